"""Mappings from items to codes as files, and codes as tokens of a language model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from semid.base._checks import check_single_values
from semid.base._typing import StrPath
from semid.io._files import replaced
from semid.metrics import _mapping
from semid.metrics._mapping import ItemCodes
from semid.metrics._mapping_columns import text_of_bytes
from semid.metrics._mapping_rows import NO_CODE
from semid.tables._ids import check_no_ids


def read_mapping(source: StrPath | Mapping | pd.DataFrame | ArrayLike) -> ItemCodes:
    """Return the ids and the codes of all items of a mapping, as this and other projects write them.

    Parameters
    ----------
    source : str or path-like, dict, DataFrame, or array-like of shape (n_items, n_codebooks)
        A file: ``.parquet`` with a column of ids and columns ``code0``, ``code1``, ..., or one of lists; ``.json`` or
        ``.index.json`` with the codes of each item, integers or tokens, ``{"0": ["<a_12>", "<b_7>"], ...}`` as LC-Rec
        and LETTER have it; ``.npy`` with an array of codes. Or what is in such a file.

        Of a table, the codes are the first of these that it has: columns ``code0``, ... or ``<name>_code0``, ...; one
        column of lists or text, or numbered columns, that are called codes, sid or semantic_id; such under any other
        name, if there is one set; integers called so; all integers but ids, unless one is different in every row. Text
        may be ``3-9-1``, ``3,9,1``, ``<a_3><b_9>``, ``<s_a_3><s_b_9>`` or ``<item_L0_C3><item_L1_C9>``. Ids are the
        column or index ``item_id``, else the one of ``<name>_id``, asin, sku and the like that is different in every
        row, else another named index, else the one column of integers or words that is.

    Returns
    -------
    mapping : ItemCodes
        A named tuple: ``item_ids`` of shape (n_items,), text where they were keys of JSON, positions where there are
        none; and ``codes`` of shape (n_items, n_codebooks), int64, -1 after the end of a shorter ID. In the order of
        the source.

    Raises
    ------
    TypeError
        If ids are neither text nor numbers.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or holds no codes, if ids are repeated or missing, or if more than one set of columns
        could be the codes, or more than one column the ids.

    Examples
    --------
    >>> from semid.io import read_mapping
    >>> mapping = read_mapping({"0": ["<a_12>", "<b_7>"], "1": ["<a_3>", "<b_0>"]})
    >>> mapping.codes.tolist()
    [[12, 7], [3, 0]]
    """
    mapping = _mapping.read_mapping(source)
    return ItemCodes(checked_ids("item_ids", mapping.item_ids, len(mapping.codes)), mapping.codes)


def write_mapping(path: StrPath, item_ids: ArrayLike, codes: ArrayLike, *, overwrite: bool = False) -> None:
    """Write the codes of all items to a file, which is there as a whole or not at all.

    Parameters
    ----------
    path : str or path-like
        Ends in ``.parquet`` (columns ``item_id``, ``code0``, ``code1``, ...; needs pyarrow), ``.index.json`` (tokens,
        as LC-Rec and LETTER read them) or ``.json`` (integers).
    item_ids : array-like of shape (n_items,)
        One id per item, text or integers, unique. In JSON they are keys, and `read_mapping` returns them as text. Bytes
        of UTF-8 are written as text.
    codes : array-like of shape (n_items, n_codebooks)
        The items' codes, as `transform` returns them; -1 after the end of a shorter ID.
    overwrite : bool, default False
        Whether to replace a file that is there.

    Raises
    ------
    FileExistsError
        If there is such a file, unless `overwrite` is True.
    TypeError
        If ids are neither text nor numbers.
    ValueError
        If `codes` are not codes, if an item has none, or if ids are repeated, missing or of another number.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.io import read_mapping, write_mapping
    >>> with TemporaryDirectory() as there:
    ...     write_mapping(Path(there) / "toys.index.json", ["mug", "cup"], [[12, 7], [3, 0]])
    ...     print((Path(there) / "toys.index.json").read_text())
    ...     read_mapping(Path(there) / "toys.index.json").item_ids.tolist()
    {"mug": ["<a_12>", "<b_7>"], "cup": ["<a_3>", "<b_0>"]}
    ['mug', 'cup']
    """
    path = Path(path)
    writers = {".index.json": _write_tokens, ".json": _write_integers, ".parquet": _write_parquet}
    ending = next((ending for ending in writers if path.name.endswith(ending)), None)
    if ending is None:
        raise ValueError(f"path must end in {', '.join(writers)}, got {fspath(path)!r}; use numpy.save for an array.")
    codes = _checked_codes(codes)
    item_ids = checked_ids("item_ids", item_ids, len(codes))
    with replaced(path, overwrite=overwrite) as staged:
        writers[ending](staged, item_ids, codes)


def to_tokens(codes: ArrayLike) -> list[list[str]]:
    """Return codes as tokens for a language model: ``<a_12>`` is code 12 of the first codebook, ``<b_7>`` the second's.

    The letters of codebooks past the 26th are those of spreadsheet columns: ..., z, aa, ab, ..., az, ba, ...

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks)
        Codes; -1 after the end of a shorter ID becomes no token.

    Returns
    -------
    tokens : list of list of str

    Raises
    ------
    ValueError
        If `codes` are not codes, or if an item has none.

    Examples
    --------
    >>> from semid.io import to_tokens
    >>> to_tokens([[12, 7], [3, -1]])
    [['<a_12>', '<b_7>'], ['<a_3>']]
    """
    codes = _checked_codes(codes)
    letters = [letters_of(n) for n in range(codes.shape[1])]
    return [
        [f"<{letter}_{code}>" for letter, code in zip(letters, row, strict=True) if code != NO_CODE]
        for row in codes.tolist()
    ]


def from_tokens(tokens: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the codes that tokens stand for: the inverse of `to_tokens`.

    Parameters
    ----------
    tokens : list of list of str
        The tokens of each item, in the order of the codebooks.

    Returns
    -------
    codes : ndarray of shape (n_items, n_codebooks), int64
        -1 after the end of a shorter ID.

    Raises
    ------
    ValueError
        If something is not a token, or not at the place of its letter.

    Examples
    --------
    >>> from semid.io import from_tokens
    >>> from_tokens([["<a_12>", "<b_7>"], ["<a_3>"]]).tolist()
    [[12, 7], [3, -1]]
    """
    if isinstance(tokens, str | dict) or not hasattr(tokens, "__iter__"):
        raise TypeError(f"tokens must be a list of lists of tokens, got {tokens!r:.80}.")
    tokens = [list(row) if hasattr(row, "__iter__") and not isinstance(row, str) else row for row in tokens]
    text = next((row for row in tokens if isinstance(row, str)), None)
    if text is not None:
        raise ValueError(f"tokens must be a list of lists of tokens, each must be a list of tokens, got {text!r:.80}.")
    codes = _mapping.read_mapping(dict(enumerate(tokens))).codes
    for i, (row, expected) in enumerate(zip(tokens, to_tokens(codes), strict=True)):
        if row != expected:
            raise ValueError(f"tokens of item {i} must be those of the codebooks in turn, {expected}, got {row}.")
    return codes


def letters_of(n):
    """Return the letters of codebook `n`: a, ..., z, aa, ..."""
    letters = ""
    while n >= 0:
        letters = chr(ord("a") + n % 26) + letters
        n = n // 26 - 1
    return letters


def _checked_codes(codes: Any) -> np.ndarray:
    """Return `codes` as int64, or raise unless every row is codes and then, perhaps, NO_CODE."""
    check_no_ids("codes", codes)
    codes = _mapping._checked(codes.to_numpy() if hasattr(codes, "to_numpy") else np.asarray(codes))
    is_code = codes != NO_CODE
    has_gap = ~is_code[:, 0] | (is_code[:, 1:] & ~is_code[:, :-1]).any(axis=1)
    if has_gap.any():
        row = int(has_gap.argmax())
        raise ValueError(
            f"codes must not be missing but at the end of a row, got {codes[row].tolist()} in row {row}. Leave out "
            "items without codes."
        )
    return codes


def checked_ids(name: str, item_ids: Any, n_items: int) -> np.ndarray:
    """Return ids as an array, or raise unless there are `n_items`, different ones, none of them missing."""
    column = _as_series(item_ids)
    if len(column) != n_items:
        raise ValueError(f"{name} must have one entry per row of codes, got {len(column)} for {n_items} rows.")
    if column.isna().any():
        raise ValueError(
            f"{name} must not be missing, got {column.isna().sum()}, first in row {column.isna().argmax()}."
        )
    check_single_values(name, column)
    if column.dtype == object and any(isinstance(value, tuple) for value in column):
        raise TypeError(f"{name} must hold text or numbers, got tuples. Join the parts of each id into one text.")
    if column.dtype == object or column.dtype.kind == "S":
        column = pd.Series(text_of_bytes(column.to_numpy()), dtype=object)
    repeated = column[column.duplicated()]
    if len(repeated):
        raise ValueError(f"{name} must be unique, got {repeated.tolist()[0]!r} more than once. Drop repeated items.")
    return column.to_numpy()


def _as_series(item_ids):
    try:
        return pd.Series(item_ids)
    except (ValueError, TypeError) as error:
        raise ValueError(f"item_ids must have one entry per row of codes, got a {type(item_ids).__name__}.") from error


def _as_key(item_id):
    if isinstance(item_id, str):
        return item_id
    if isinstance(item_id, int | np.integer) and not isinstance(item_id, bool):
        return str(item_id)
    if isinstance(item_id, float) and item_id.is_integer():  # integers that lay beside missing ones
        return str(int(item_id))
    hint = (
        ", bytes that are no UTF-8. Write them as text, for example item_id.hex()" if isinstance(item_id, bytes) else ""
    )
    raise TypeError(f"item_ids must be text or integers, got {item_id!r:.80}{hint}.")


def _write_parquet(path, item_ids, codes):
    columns = {f"code{n}": column for n, column in enumerate(codes.T)}
    try:
        pd.DataFrame({"item_id": item_ids, **columns}).to_parquet(path, index=False)
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
        raise TypeError(f"item_ids must be text or numbers, got {item_ids.tolist()[0]!r:.80}.") from error


def _write_tokens(path, item_ids, codes):
    _write_json(path, item_ids, to_tokens(codes))


def _write_integers(path, item_ids, codes):
    _write_json(path, item_ids, [[code for code in row if code != NO_CODE] for row in codes.tolist()])


def _write_json(path, item_ids, rows):
    if item_ids.dtype.kind in "mM":
        raise TypeError(f"item_ids must be text or integers, got {item_ids[0]!r:.80}.")
    keys = [_as_key(item_id) for item_id in item_ids.tolist()]
    content = dict(zip(keys, rows, strict=True))
    if len(content) < len(keys):
        raise ValueError("item_ids must be unique as text, which keys of JSON are, got ids such as 1 and '1'.")
    path.write_text(json.dumps(content), encoding="utf-8")
