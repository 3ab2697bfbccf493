"""One generation of a catalogue, read: ids, codes, and the way from the one to the other."""

from __future__ import annotations

import hashlib
from functools import cached_property
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from semid.base._checks import as_array
from semid.base._typing import StrPath
from semid.io._arrow import import_pyarrow
from semid.io._errors import ArtifactError
from semid.io._files import read_regular_file
from semid.io._prefixes import find_numbers, find_prefixes, is_sorted, prefix_tables, row_numbers
from semid.io._sealed import LARGEST_MANIFEST, unsealed
from semid.metrics._mapping_rows import NO_CODE
from semid.tables._ids import find_ids, id_index, warn_of_other_kind
from semid.tables._parquet import frame_of

FORMAT, VERSION = "semid-catalogue", 1
MANIFEST, ITEMS, CHANGES, TOKENIZER = "manifest.json", "items.parquet", "changes.parquet", "tokenizer"
_MOST_CODES = 2**62 + 1  # codes are at most 2**62


class Generation:
    """The codes of all items at one time: from ids to codes, from codes and prefixes to ids.

    Read whole from its folder, whose checksums are compared; the folder is not needed afterwards but for `changes` and
    `tokenizer`. Immutable, and safe to share between threads.

    Parameters
    ----------
    folder : str or path-like
        Folder of one generation: one of a `Catalogue`, which `Catalogue.open` finds, or a copy of one.

    Attributes
    ----------
    folder : Path
    number : int
        Place in the order of generations, from 1.
    about : dict
        What the manifest says: how and when it was made (``made_by``, ``created``, ``written_with``), its ``parent``,
        numbers of changes, ``churn``, and size and checksum of each file.
    item_ids : ndarray of shape (n_items,)
        Ids in the order of the codes; read-only.
    codes : ndarray of shape (n_items, n_codebooks), int64
        Their codes, in increasing order, so that the items of a prefix are neighbours; -1 after the end of a shorter
        ID. Read-only.
    codebook_sizes : list of int
        Number of codes of each codebook.
    level_offsets : ndarray of shape (n_codebooks,), int64
        Where each codebook begins in a vocabulary that all share: ``codes + level_offsets`` are its tokens.
    vocabulary_size : int
        Number of codes of all codebooks together.

    Raises
    ------
    ArtifactError
        If `folder` is not a generation, of a newer format, or damaged.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.io import Catalogue
    >>> with TemporaryDirectory() as there:
    ...     codes = [[1, 7], [3, 0], [1, 2], [1, 7]]
    ...     catalogue = Catalogue.build(Path(there) / "toys", ["mug", "cup", "pan", "pot"], codes=codes)
    ...     generation = catalogue.open()
    >>> generation.codes_of(["cup", "mug", "spoon"]).tolist()
    [[3, 0], [1, 7], [-1, -1]]
    >>> [ids.tolist() for ids in generation.items_of([[1, 7], [1, -1], [2, 2]])]
    [['mug', 'pot'], ['pan', 'mug', 'pot'], []]
    >>> generation.level_offsets.tolist(), generation.vocabulary_size
    ([0, 4], 12)
    """

    def __init__(self, folder: StrPath) -> None:
        self.folder = Path(folder)
        self.about, self.item_ids, self.codes = _read(self.folder)
        self.number: int = self.about["generation"]
        self.codebook_sizes: list[int] = list(self.about["codebook_sizes"])
        self.level_offsets = np.cumsum([0, *self.codebook_sizes[:-1]])
        self.vocabulary_size = sum(self.codebook_sizes)
        for array in (self.item_ids, self.codes, self.level_offsets):
            array.flags.writeable = False

    def __repr__(self) -> str:
        made = f"{self.about['made_by']} of {self.about['created']}"
        return f"Generation({self.number}: {len(self)} items, codebooks {self.codebook_sizes}, {made})"

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def parent(self) -> int | None:
        """Number of the generation before it, None of the first: int or None."""
        return None if self.about["parent"] is None else self.about["parent"]["generation"]

    @property
    def changes(self) -> pd.DataFrame:
        """What became of each item since the parent, as `CatalogueDiff` has it in its ``changes``: DataFrame.

        Raises
        ------
        ArtifactError
            If the file is damaged or there no more.
        """
        try:
            return _frame(self.folder, CHANGES, self.about["files"])
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise damaged(self.folder, error) from error

    def codes_of(self, item_ids: ArrayLike) -> np.ndarray:
        """Return the codes of items.

        The first call builds a hash table of all ids.

        Parameters
        ----------
        item_ids : array-like of shape (n_asked,)
            Ids, of the kind that the catalogue has: 7 and "7" are different.

        Returns
        -------
        codes : ndarray of shape (n_asked, n_codebooks), int64
            -1 in every column of an id that is not there.

        Raises
        ------
        TypeError
            If `item_ids` is a single id, or lists of them.
        """
        is_list = hasattr(item_ids, "__iter__") and getattr(item_ids, "ndim", 1) > 0
        if isinstance(item_ids, str | bytes) or not is_list:
            raise TypeError(f"item_ids must be a list of ids, got {item_ids!r:.80}. Of a single one, pass [item_id].")
        places = find_ids(self._index, item_ids)
        if len(places) and (places < 0).all():
            warn_of_other_kind("item_ids", self._index, item_ids, "the catalogue")
        nobody = np.full((1, self.codes.shape[1]), NO_CODE, dtype=np.int64)
        return self.codes[places] if (places >= 0).all() else np.where(places[:, None] < 0, nobody, self.codes[places])

    def rows_of(self, prefixes: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Return where the items of each ID or prefix are, as bounds of rows of `item_ids` and `codes`.

        Parameters
        ----------
        prefixes : array-like of shape (n_asked, n_codebooks or fewer), int
            Full rows of codes, or their first few; -1 after the end of those that are shorter than others.

        Returns
        -------
        starts : ndarray of shape (n_asked,), int64
            First row of each.
        stops : ndarray of shape (n_asked,), int64
            The row after the last; that of ``starts`` where no item has these codes.

        Raises
        ------
        ValueError
            If `prefixes` are not whole numbers, or have more columns than there are codebooks.
        """
        asked = self._checked_prefixes(prefixes)
        if self._numbers is None:
            return find_prefixes(self.codes, asked)
        return find_numbers(self._numbers, asked, self.codebook_sizes)

    def items_of(self, prefixes: ArrayLike) -> list[np.ndarray]:
        """Return the ids of all items of each ID or prefix.

        Parameters
        ----------
        prefixes : array-like of shape (n_asked, n_codebooks or fewer), int
            As of `rows_of`.

        Returns
        -------
        item_ids : list of ndarray
            One array of ids for each, empty where no item has these codes.

        Raises
        ------
        ValueError
            If `prefixes` are not whole numbers, or have more columns than there are codebooks.
        """
        bounds = zip(*(bound.tolist() for bound in self.rows_of(prefixes)), strict=True)
        return [self.item_ids[start:stop] for start, stop in bounds]

    def prefixes(self, length: int) -> pd.DataFrame:
        """Return all prefixes of one length, and where their items are.

        Parameters
        ----------
        length : int
            Number of codes, from 1 to the number of codebooks.

        Returns
        -------
        table : DataFrame
            A row per prefix, in increasing order: ``code0``, ``code1``, ..., and the bounds ``start`` and ``stop`` of
            its rows of `item_ids`.

        Raises
        ------
        ValueError
            If `length` is not such a number.
        """
        if not isinstance(length, int | np.integer) or not 1 <= length <= self.codes.shape[1]:
            raise ValueError(f"length must be an integer from 1 to {self.codes.shape[1]}, got {length!r}.")
        return frame_of_prefixes(prefix_tables(self.codes[:, :length])[-1])

    def tokenizer(self) -> Any:
        """Return the fitted tokenizer, or the Pipeline that ends in one, that gave the codes.

        Returns
        -------
        tokenizer : estimator

        Raises
        ------
        ValueError
            If the catalogue was built of codes alone.
        ArtifactError
            If its folder is damaged or there no more.
        """
        if not self.has_tokenizer:
            raise ValueError(
                f"generation {self.number} has no tokenizer, it was built of codes alone. Pass codes=..., or refit "
                "with a tokenizer."
            )
        from semid.io._artifact import load  # which imports all estimators

        return load(self.folder / TOKENIZER)

    @property
    def has_tokenizer(self) -> bool:
        """Whether the tokenizer that gave the codes is there: bool."""
        return f"{TOKENIZER}/{MANIFEST}" in self.about["files"]

    def verify(self) -> None:
        """Compare all files of the folder, also those that were not read, with the checksums of the manifest.

        Raises
        ------
        ArtifactError
            If a file is not there, or not what was written.
        """
        try:
            for name in self.about["files"]:
                _content(self.folder, name, self.about["files"])
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise damaged(self.folder, error) from error

    @cached_property
    def _index(self) -> pd.Index:
        index = id_index(self.item_ids)
        if not index.is_unique:
            raise damaged(self.folder, ValueError(f"{ITEMS} must have each item once."))
        return index

    @cached_property
    def _numbers(self) -> np.ndarray | None:
        return row_numbers(self.codes, self.codebook_sizes)

    def _checked_prefixes(self, prefixes: Any) -> np.ndarray:
        array = as_array("prefixes", prefixes)
        n_codebooks = self.codes.shape[1]
        if array.ndim != 2 or not 1 <= array.shape[1] <= n_codebooks:
            raise ValueError(
                f"prefixes must have shape (n_asked, up to {n_codebooks}), got {array.shape}. Of a single one, pass "
                "[codes]."
            )
        if array.dtype.kind not in "iu":
            raise ValueError(f"prefixes must be integers, got an array of {array.dtype}.")
        if array.dtype.kind == "u":  # what int64 cannot hold is not to become -1
            array = np.minimum(array.astype(np.uint64), np.uint64(_MOST_CODES))
        array = np.minimum(array.astype(np.int64), _MOST_CODES)  # no code is as large, and one more is int64 as well
        has_gap = (array[:, 0] < 0) | (array < NO_CODE).any(axis=1)
        has_gap |= ((array[:, 1:] != NO_CODE) & (array[:, :-1] == NO_CODE)).any(axis=1)
        if has_gap.any():
            row = int(has_gap.argmax())
            got = array[row].tolist()
            raise ValueError(f"prefixes must be codes, and -1 at their end only, got {got} in row {row}.")
        return array


def frame_of_prefixes(table):
    """Return a `PrefixTable` as the DataFrame that is written."""
    columns = {f"code{n}": column for n, column in enumerate(table.codes.T)}
    return pd.DataFrame({**columns, "start": table.starts, "stop": table.stops})


def damaged(folder, error):
    """Return the `ArtifactError` for a generation that cannot be read because of `error`."""
    text = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    text = f"{text[:500].removesuffix('.')}. Open another generation, or get another copy."
    return ArtifactError(f"no generation of a catalogue could be read from {fspath(folder)!r}: {text}")


def read_manifest(folder):
    """Return the manifest of a generation, and the digest of the file; raise whatever the damage leads to."""
    content = read_regular_file(folder / MANIFEST, LARGEST_MANIFEST)
    manifest = unsealed(content, MANIFEST, format=FORMAT, version=VERSION, what="a catalogue")
    for key, is_right in _KEYS.items():
        if key not in manifest:
            raise ValueError(f"{MANIFEST} must have {key!r}.")
        if not is_right(manifest[key]):
            raise ValueError(f"{key} of {MANIFEST} must be what a catalogue writes, got {manifest[key]!r:.80}.")
    for name in manifest["files"]:
        _check_name(name)
    return manifest, hashlib.sha256(content).hexdigest()


def _is_number(value, least):
    return type(value) is int and value >= least


def _are_sizes(value):
    return type(value) is list and value != [] and all(_is_number(size, 1) and size <= _MOST_CODES for size in value)


def _is_parent(value):
    return value is None or (type(value) is dict and _is_number(value.get("generation"), 1))


def _are_files(value):
    entries = value.values() if type(value) is dict else [None]
    return all(
        type(entry) is dict and _is_number(entry.get("size"), 0) and type(entry.get("sha256")) is str
        for entry in entries
    )


# What a manifest has whoever wrote it: others than this module read it by these keys without looking again.
_KEYS = {
    "generation": lambda value: _is_number(value, 1),
    "parent": _is_parent,
    "made_by": lambda value: type(value) is str,
    "created": lambda value: type(value) is str,
    "written_with": lambda value: type(value) is dict and "semid" in value,
    "codebook_sizes": _are_sizes,
    "n_items": lambda value: _is_number(value, 0),
    "changes": lambda value: type(value) is dict and all(_is_number(count, 0) for count in value.values()),
    "files": _are_files,
}


def _check_name(name):
    """Raise unless `name` is a file of the folder of a generation, or of a folder in it."""
    parts = name.split("/")
    if len(parts) > 2 or any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts):
        raise ValueError(f"files must be in the folder of the generation, got {name!r:.80}.")


def _read(folder):
    """Return the manifest, the ids and the codes of a generation."""
    if not folder.is_dir():
        is_there = "is a file" if folder.exists() else "is not there"
        raise ArtifactError(f"folder must be a generation of a catalogue, {fspath(folder)!r} {is_there}.")
    import_pyarrow()
    try:
        about, _ = read_manifest(folder)
        frame = _frame(folder, ITEMS, about["files"])
        codes = _codes_of_frame(frame, about)
        return about, frame["item_id"].to_numpy(copy=True), codes
    except ArtifactError:
        raise
    except Exception as error:  # a damaged file makes any library below fail in its own way
        raise damaged(folder, error) from error


def _codes_of_frame(frame, about):
    sizes = about["codebook_sizes"]
    names = [f"code{n}" for n in range(len(sizes))]
    if list(frame.columns) != ["item_id", *names] or len(frame) != about["n_items"] or not names:
        raise ValueError(f"{ITEMS} must have item_id, {', '.join(names)} of {about['n_items']} items.")
    codes = np.column_stack([frame[name].to_numpy() for name in names])
    if codes.dtype != np.int64 or frame["item_id"].isna().any():
        raise ValueError(f"{ITEMS} must have an id and codes of int64 for each item.")
    if len(codes) and ((codes >= sizes).any() or codes.min() < NO_CODE or codes[:, 0].min() < 0):
        raise ValueError(f"codes of {ITEMS} must lie below the codebook sizes, {sizes}.")
    if not is_sorted(codes):
        raise ValueError(f"codes of {ITEMS} must be in increasing order.")
    return codes


def _frame(folder, name, files):
    """Return the table of a parquet file whose checksum is that of the manifest."""
    pa = import_pyarrow()
    from pyarrow import parquet

    content = _content(folder, name, files)
    # What pandas says of types is not needed: ids and codes have those of the file.
    return frame_of(name, parquet.read_table(pa.BufferReader(content)).replace_schema_metadata(None))


def _content(folder, name, files):
    """Return the bytes of a file of the manifest, which are those that were written."""
    expected = files[name]
    content = read_regular_file(folder / name, expected["size"])
    if len(content) != expected["size"] or hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise ValueError(f"{name} must have the size and the checksum of the manifest: it is cut or damaged.")
    return content
