"""Codes of one item after the other, as lists or text, read into one array."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

NO_CODE = -1  # stands where an item has fewer codes than others
LARGEST_CODE = 2**62  # what codes and codebook sizes can be added to without leaving int64

# <a_12> of LC-Rec, LETTER and MiniOneRec, <s_a_12> of OneRec, <item_L0_C12> of rectokens: a name, then the code.
_TOKEN = re.compile(r"<\|?([^<>|]*?)([0-9]+)\|?>")
_MARK = re.compile(r"<\|?[^<>|]*[^<>|0-9]\|?>")  # of the beginning or the end, such as <|sid_begin|>
_TOKENS = re.compile(r"""[\s,;\[\]()'"]*(?:<[^<>]+>[\s,;\[\]()'"]*)+""")
# 3-9-1 of semantic-id, 3,9,1 of TorchEasyRec's CSV, and lists that became text: [3, 9, 1].
_NUMBERS = re.compile(r"[0-9]+(?:-[0-9]+)+|[\[(]?\s*-?[0-9]+(?:[\s,;|:_/]+-?[0-9]+)*[\s,]*[\])]?")


def could_be_codes(row: Any, *, tokens_alone: bool = False) -> bool:
    """Return whether `row` is the codes of an item, as a list or as text; of texts, with `tokens_alone`, tokens."""
    if isinstance(row, str):
        return is_text_of_tokens(row) or (not tokens_alone and _NUMBERS.fullmatch(row.strip()) is not None)
    if isinstance(row, np.ndarray) and row.dtype.kind in "iu":
        return row.ndim == 1
    return _is_list(row) and all(_could_be_a_code(code, tokens_alone) for code in row)


def _could_be_a_code(code, tokens_alone):
    if isinstance(code, str):
        return _TOKEN.fullmatch(code) is not None or (not tokens_alone and code.isdecimal())
    return isinstance(code, int | np.integer) and not isinstance(code, bool)


def n_codes(row: Any) -> int:
    """Return how many codes are in a row that could be some."""
    return len(_split(row)) if isinstance(row, str) else len(row)


def is_text_of_tokens(text: str) -> bool:
    """Return whether `text` is a row of tokens such as ``<a_12><b_7>``, each with a number."""
    tokens = _split(text) if _TOKENS.fullmatch(text) else []
    return len(tokens) > 0 and all(_TOKEN.fullmatch(token) for token in tokens)


def codes_of_rows(keys: list, rows: list, *, may_be_missing: bool = False) -> np.ndarray:
    """Return the codes of all items, (n_items, n_codebooks) int64, NO_CODE after the end of shorter IDs.

    A row is a list of integers or of tokens, or the text of one; with `may_be_missing`, None for an item without codes.
    """
    if all(isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in "iu" for row in rows):
        stacked = np.array(rows) if len({len(row) for row in rows}) == 1 else None
        if stacked is not None and stacked.dtype.kind in "iu":  # int64 beside uint64 would be float64
            return stacked
    numbers = [
        [] if row is None and may_be_missing else _numbers_of(key, row) for key, row in zip(keys, rows, strict=True)
    ]
    n_codebooks = max(map(len, numbers))
    if n_codebooks < 2:
        _check_no_text(keys, rows)
    codes = np.full((len(rows), n_codebooks), NO_CODE, dtype=np.int64)
    names: dict[int, str | None] = {}
    for i, (key, row) in enumerate(zip(keys, numbers, strict=True)):
        for n, (name, number) in enumerate(row):
            if name != names.setdefault(n, name):
                kind = "integers" if names[n] is None else f"tokens <{names[n]}...>"
                raise ValueError(
                    f"codes of item {key!r} must have {kind} at position {n}, as items before have, got {rows[i]!r}."
                )
            codes[i, n] = number
    return codes


def _check_no_text(keys, rows):
    """Raise if a row of one code is text, which may be anything."""
    for key, row in zip(keys, rows, strict=True):
        if isinstance(row, str | bytes):
            raise ValueError(f"codes of item {key!r} must be a list of tokens or integers, got {row!r:.80}.")


def _numbers_of(key: Any, row: Any) -> list[tuple[str | None, int]]:
    """Return the (name, number) of each code of an item, the name None for plain integers."""
    if isinstance(row, bytes):
        row = row.decode(errors="replace")
    if isinstance(row, str):
        tokens = _split(row) if could_be_codes(row) else []
    else:
        tokens = list(row) if _is_list(row) else []
    if not tokens:
        raise ValueError(f"codes of item {key!r} must be a list of tokens or integers, got {row!r:.80}.")
    return [_number_of(key, token) for token in tokens]


def _is_list(row):
    """Whether `row` has an order, which sets do not, and is no dict of something else."""
    is_sized = hasattr(row, "__len__") and hasattr(row, "__iter__")
    return is_sized and getattr(row, "ndim", 1) == 1 and not isinstance(row, Mapping | set | frozenset)


def _split(text):
    """Return the tokens or integers in a text of codes, without a mark of the beginning or the end."""
    if "<" not in text:
        has_dashes = re.fullmatch(r"[0-9]+(-[0-9]+)+", text.strip())
        return re.findall(r"[0-9]+" if has_dashes else r"-?[0-9]+", text)
    tokens = re.findall(r"<[^<>]+>", text)
    is_mark = [_MARK.fullmatch(token) is not None for token in tokens]
    return tokens[is_mark[0] : len(tokens) - (len(tokens) > 1 and is_mark[-1])]


def _number_of(key, token):
    if isinstance(token, int | np.integer) and not isinstance(token, bool) and abs(token) <= LARGEST_CODE:
        return None, int(token)
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    name, digits = match.groups() if match else (None, token)
    if not isinstance(digits, str) or not re.fullmatch(r"-1|[0-9]{1,19}", digits) or int(digits) > LARGEST_CODE:
        raise ValueError(f'codes of item {key!r} must be integers or tokens like "<a_12>", got {token!r:.80}.')
    return name, int(digits)
