"""Columns of histories: what each user clicked before an impression, oldest first, as ranges of one long sequence.

A history is two offsets into `entries`, which all histories of a column share, and an entry is the position of an item
in `items`. So a column takes the memory of the log it is cut from, not impressions × length, and slices of it, such as
the folds of a cross-validation, share both. It carries codes of its items to the click model, as it is a pandas column
whose dtype survives a ColumnTransformer.
"""

import builtins
from itertools import chain
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.api.extensions import ExtensionArray, ExtensionDtype, register_extension_dtype
from pandas.api.indexers import check_array_indexer

from semid.tables._frames import without_views
from semid.tables._ids import concat_ids, factorize_ids, find_ids, id_index

UNKNOWN_CODE = -1  # of an item without codes
SEQUENCES = list | tuple | np.ndarray
_EMPTY = np.empty(0, dtype=object)


@register_extension_dtype
class HistoryDtype(ExtensionDtype):
    """The dtype of a `HistoryArray`.

    Parameters
    ----------
    item : str or None, default None
        Column of the candidate item, whose tables the history shares: it holds items of the same catalogue.
    """

    kind = "O"
    type = tuple
    _is_immutable = True
    _metadata = ("item",)

    def __init__(self, item: str | None = None) -> None:
        self.item = item

    @property
    def name(self) -> str:
        """``history``, or ``history[<item>]``."""
        return "history" if self.item is None else f"history[{self.item}]"

    @classmethod
    def construct_from_string(cls, string: str) -> Self:
        """Return the dtype of a name."""
        if not isinstance(string, str):
            raise TypeError(f"'construct_from_string' expects a string, got {type(string)}")
        if string == "history":
            return cls()
        if string.startswith("history[") and string.endswith("]"):
            return cls(string[len("history[") : -1])
        raise TypeError(f"Cannot construct a 'HistoryDtype' from {string!r}")

    @classmethod
    def construct_array_type(cls) -> "builtins.type[HistoryArray]":
        """Return `HistoryArray`."""
        return HistoryArray

    def __repr__(self):
        return f"HistoryDtype({'' if self.item is None else repr(self.item)})"

    def __from_arrow__(self, array):
        return HistoryArray._from_sequence(array, dtype=self)


class HistoryArray(ExtensionArray):
    """A column of histories; a scalar of it is a tuple of item ids, oldest first.

    Parameters
    ----------
    entries : ndarray of shape (n_entries,), int32
        Positions in `items`. Kept as they are, and shared by slices.
    items : ndarray of shape (n_items,)
        Distinct ids, in any order, none missing.
    starts, stops : ndarray of shape (n,), int64
        History i is ``entries[starts[i]:stops[i]]``; equal where it is empty. Ranges may overlap.
    codes : ndarray of shape (n_items, n_codebooks), int64, or None, default None
        Codes of `items`, `UNKNOWN_CODE` throughout for an item that has none.
    has_ids : bool, default True
        Whether the ids are a field of the history, else its codes alone.
    item : str or None, default None
        Column of the candidate item.
    code_names : sequence of str or None, default None
        Columns of the candidate that hold what `codes` do; None for ``<item>_code0``, ``<item>_code1``, ...
    """

    def __init__(self, entries, items, starts, stops, *, codes=None, has_ids=True, item=None, code_names=None):
        self.entries = np.asarray(entries, dtype=np.int32)
        self.items = np.asarray(items)
        self.starts = np.asarray(starts, dtype=np.int64)
        self.stops = np.asarray(stops, dtype=np.int64)
        self.codes = None if codes is None else np.asarray(codes, dtype=np.int64)
        self.has_ids = bool(has_ids)
        self.item = item
        self.code_names = None if code_names is None else tuple(code_names)
        if self.starts.shape != self.stops.shape or self.starts.ndim != 1:
            raise ValueError(
                f"starts and stops must be of one length, got shapes {self.starts.shape} and {self.stops.shape}."
            )
        if self.codes is not None and (self.codes.ndim != 2 or len(self.codes) != len(self.items)):
            raise ValueError(
                f"codes must have a row for each of the {len(self.items)} items, got shape {self.codes.shape}."
            )

    @property
    def dtype(self) -> HistoryDtype:
        return HistoryDtype(self.item)

    @property
    def nbytes(self) -> int:
        """Bytes, those that other arrays share included."""
        codes = 0 if self.codes is None else self.codes.nbytes
        return self.entries.nbytes + self.items.nbytes + self.starts.nbytes + self.stops.nbytes + codes

    @property
    def lengths(self) -> np.ndarray:
        """Number of entries of each history, (n,) int64."""
        return self.stops - self.starts

    def with_codes(self, codes: np.ndarray, item: str | None, names: tuple[str, ...] | None = None) -> Self:
        """Return the same histories with codes, a row for each of `items`, like those of the candidate's column `item`.

        Entries are shared. `names` are the columns of the candidate's codes.
        """
        return self._like(self.starts, self.stops, codes=codes, item=item, code_names=names)

    def columns_of_codes(self) -> list[str]:
        """Return the names of the candidate's columns that hold what each column of `codes` does."""
        if self.codes is None or self.item is None:
            return []
        return list(self.code_names or (f"{self.item}_code{n}" for n in range(self.codes.shape[1])))

    def with_item(self, item: str | None) -> Self:
        """Return the same histories beside another column of candidates."""
        return self._like(self.starts, self.stops, item=item)

    def without_ids(self) -> Self:
        """Return the same histories, whose codes alone are to be used."""
        return self._like(self.starts, self.stops, has_ids=False)

    def gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the entries history after history, (sum of lengths,) int32, and offsets of the histories, (n + 1,)."""
        lengths = self.lengths
        offsets = np.append(0, np.cumsum(lengths))
        places = np.repeat(self.starts - offsets[:-1], lengths)
        places += np.arange(offsets[-1])
        return self.entries[places], offsets

    def compacted(self) -> Self:
        """Return the same histories with a sequence of its own, of the entries and items that they have alone."""
        depth = np.zeros(len(self.entries) + 1, dtype=np.int64)
        np.add.at(depth, self.starts, 1)
        np.add.at(depth, self.stops, -1)
        is_used = np.cumsum(depth[:-1]) > 0
        places = np.append(0, np.cumsum(is_used))
        entries = self.entries[is_used]
        has_item = np.zeros(len(self.items), dtype=bool)
        has_item[entries] = True
        numbers = np.cumsum(has_item) - 1
        codes = None if self.codes is None else self.codes[has_item]
        starts, stops = places[self.starts], places[self.stops]
        kind = {**self._kind(), "codes": codes}
        return type(self)(numbers[entries], self.items[has_item], starts, stops, **kind)

    # What pandas asks of a column.

    @classmethod
    def _from_sequence(cls, scalars, *, dtype=None, copy=False):
        item = dtype.item if isinstance(dtype, HistoryDtype) else getattr(getattr(scalars, "dtype", None), "item", None)
        item = item if isinstance(item, str) else None
        if isinstance(scalars, pd.Series | pd.Index):
            scalars = scalars.array
        if isinstance(scalars, cls):
            return scalars.with_item(item)
        flat, lengths = _flattened_arrow(scalars) if _is_arrow(scalars) else _flattened(scalars)
        numbers, items = _numbered(flat)
        stops = np.cumsum(lengths)
        starts = stops - lengths
        is_there = numbers >= 0
        if not is_there.all():
            places = np.append(0, np.cumsum(is_there))
            numbers, starts, stops = numbers[is_there], places[starts], places[stops]
        return cls(numbers, items, starts, stops, item=item)

    @classmethod
    def _from_factorized(cls, values, original):
        return cls._from_sequence(values, dtype=original.dtype)

    @classmethod
    def _concat_same_type(cls, to_concat):
        starts, stops = (np.concatenate([getattr(part, name) for part in to_concat]) for name in ("starts", "stops"))
        logs = []
        for part in to_concat:
            says_something = len(part.entries) or part.codes is not None
            if says_something and not any(_is_of_one_log(log, part) for log in logs):
                logs.append(part)
        if len(logs) < 2:
            return (logs or to_concat)[0]._like(starts, stops)
        _check_alike(logs)
        merged, shifts = _merged(logs)
        ends = np.cumsum([len(part) for part in to_concat])
        for part, end in zip(to_concat, ends, strict=True):
            shift = next((s for log, s in zip(logs, shifts, strict=True) if _is_of_one_log(log, part)), 0)
            starts[end - len(part) : end] += shift
            stops[end - len(part) : end] += shift
        return merged._like(starts, stops)

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, key):
        key = check_array_indexer(self, key)
        if types.is_integer(key):
            return tuple(self.items[self.entries[self.starts[key] : self.stops[key]]].tolist())
        return self._like(self.starts[key], self.stops[key])

    def __setitem__(self, key, value):
        raise TypeError("histories are read-only. Change the log they are made from, or pass a column of lists.")

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __eq__(self, other):
        if isinstance(other, pd.Series | pd.DataFrame | pd.Index):
            return NotImplemented
        if isinstance(other, tuple) or not types.is_list_like(other):
            other = [other] * len(self)
        if len(other) != len(self):
            raise ValueError(f"histories must be compared with as many, got {len(self)} and {len(other)}.")
        other = other if isinstance(other, HistoryArray) else self._from_sequence(other)
        is_equal = self.lengths == other.lengths
        positions = find_ids(id_index(self.items), other.items)
        mine, offsets = self[is_equal].gathered()
        theirs, _ = other[is_equal].gathered()
        wrong = np.append(0, np.cumsum(mine != positions[theirs]))
        is_equal[is_equal] = wrong[offsets[1:]] == wrong[offsets[:-1]]
        return is_equal

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("histories become an array of tuples by a copy alone.")
        array = np.empty(len(self), dtype=object)
        array[:] = list(self)
        return array

    def __arrow_array__(self, type=None):
        import pyarrow as pa

        entries, offsets = self.gathered()
        values = pa.array(self.items, from_pandas=True).take(pa.array(entries))
        array = pa.LargeListArray.from_arrays(pa.array(offsets), values)
        return array if type is None else array.cast(type)

    def __reduce__(self):
        own = self.compacted() if self.lengths.sum() < len(self.entries) else self
        return _restore, (type(self), (own.entries, own.items, own.starts, own.stops), own._kind())

    def isna(self) -> np.ndarray:
        """Return False for each: who clicked nothing has an empty history."""
        return np.zeros(len(self), dtype=bool)

    def take(self, indices: Any, *, allow_fill: bool = False, fill_value: Any = None) -> Self:
        """Return the histories at `indices`, an empty one or `fill_value` for -1 with `allow_fill`."""
        indices = np.asarray(indices, dtype=np.intp)
        if not allow_fill:
            return self._like(self.starts.take(indices), self.stops.take(indices))
        if (indices < -1).any():
            raise ValueError(f"indices must be at least -1 with allow_fill=True, got {indices.min()}.")
        if len(indices) and indices.max() >= len(self):
            raise IndexError(f"indices must be below {len(self)}, got {indices.max()}.")
        both = self._concat_same_type([self, self._from_sequence([fill_value], dtype=self.dtype)])
        return both._like(both.starts[indices], both.stops[indices])  # where -1 is the last

    def copy(self) -> Self:
        """Return an array whose offsets are its own; entries, items and codes are never written to, and shared."""
        return self._like(self.starts.copy(), self.stops.copy())

    def view(self, dtype=None):
        """Return the array again."""
        if dtype is not None:
            raise NotImplementedError(f"histories have no view as {dtype}.")
        return self._like(self.starts, self.stops)

    def astype(self, dtype, copy=True):
        """Return the histories as objects (tuples), or of another `HistoryDtype`."""
        dtype = types.pandas_dtype(dtype)
        if dtype == self.dtype:
            return self.copy() if copy else self
        if isinstance(dtype, HistoryDtype):
            return self.with_item(dtype.item)
        if isinstance(dtype, np.dtype) and dtype.kind == "U":  # pandas 2: of tuples numpy makes no text by itself
            return np.array([str(history) for history in self], dtype=object)
        return super().astype(dtype, copy=copy)

    def _values_for_factorize(self):
        return np.asarray(self, dtype=object), ()

    def _values_for_argsort(self):
        return np.asarray(self, dtype=object)

    def _formatter(self, boxed=False):
        return lambda history: "[" + ", ".join(map(str, history)) + "]"

    def _like(self, starts, stops, **changed):
        """Return an array of other ranges of the same entries."""
        return type(self)(self.entries, self.items, starts, stops, **{**self._kind(), **changed})

    def _kind(self):
        """Return the arguments that say what its fields are."""
        return {"codes": self.codes, "has_ids": self.has_ids, "item": self.item, "code_names": self.code_names}


def is_history(column: Any) -> bool:
    """Return whether a column is one of histories."""
    return isinstance(getattr(column, "dtype", None), HistoryDtype)


def holds_histories(column: pd.Series) -> bool:
    """Return whether a column is one of histories, or its first value that is not missing is a list."""
    if column.dtype != object:
        return is_history(column) or _is_arrow(column)
    present = column[column.notna().to_numpy()]
    return len(present) > 0 and isinstance(present.iloc[0], SEQUENCES)


def _restore(array_type, bounds, kind):
    return array_type(*bounds, **kind)


def _is_arrow(scalars):
    is_list = isinstance(getattr(scalars, "dtype", None), pd.ArrowDtype) and scalars.dtype.type is list
    return is_list or type(scalars).__module__.partition(".")[0] in ("pyarrow", "polars")


def _flattened_arrow(column):
    """Return the entries of a column of Arrow lists, list after list, and the length of each list."""
    import pyarrow as pa

    array = pa.chunked_array(column) if isinstance(column, list) else column
    if hasattr(column, "__arrow_array__"):
        array = column.__arrow_array__()
    elif not isinstance(array, pa.Array | pa.ChunkedArray):
        array = pa.chunked_array(column)  # of polars
    array = array.cast(without_views(pa, array.type))
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    if pa.types.is_null(array.type):
        return pd.Series(_EMPTY), np.zeros(len(array), dtype=np.int64)
    lengths = [chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) for chunk in chunks]
    flat = pa.chunked_array([chunk.flatten() for chunk in chunks], type=array.type.value_type)
    lengths = np.concatenate([np.empty(0, dtype=np.int64), *lengths]).astype(np.int64)
    return pd.Series(flat.combine_chunks(), dtype=pd.ArrowDtype(flat.type)), lengths


def _flattened(scalars):
    """Return the entries of lists, list after list, and the length of each list; None and NaN are empty."""
    lists = []
    for row, entry in enumerate(scalars):
        if isinstance(entry, np.ndarray) and entry.ndim == 1:
            entry = entry.tolist()
        elif not isinstance(entry, list | tuple):
            if not (types.is_scalar(entry) and pd.isna(entry)):
                raise TypeError(f"histories must be lists of item ids, got {entry!r:.80} in row {row}.")
            entry = ()
        lists.append(entry)
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    flat = np.empty(lengths.sum(), dtype=object)
    flat[:] = list(chain.from_iterable(lists))
    return pd.Series(flat, dtype=object), lengths


def _numbered(flat):
    """Return the position of each entry among the distinct ids, -1 where missing, and these as an array."""
    try:
        first, values = pd.factorize(flat)  # of objects as they are: the few that differ are read as ids then
    except TypeError as error:
        odd = next(entry for entry in flat if isinstance(entry, SEQUENCES | set | dict))
        raise TypeError(f"histories must be flat lists of item ids, got {odd!r:.80} in one.") from error
    second, items = factorize_ids(pd.Index(values))
    return np.append(second, -1)[first].astype(np.int32), items.to_numpy()


def _is_of_one_log(first, second):
    return first.entries is second.entries and first.items is second.items and first.codes is second.codes


def _check_alike(logs):
    """Raise unless histories of several logs can stand in one column."""
    kinds = {(0 if log.codes is None else log.codes.shape[1], log.has_ids) for log in logs}
    if len(kinds) > 1:
        got = " beside ".join(f"{n} codes {'and' if has_ids else 'without'} ids" for n, has_ids in sorted(kinds))
        raise ValueError(
            f"histories of one column must all be of the same fields, got {got}. Put the rows together before the "
            "encoder that gives them codes."
        )


def _merged(logs):
    """Return an array of all entries of several logs, and how far those of each are shifted."""
    ids = pd.Series(logs[0].items)
    for log in logs[1:]:
        ids = concat_ids(ids, pd.Series(log.items))
    numbers, items = factorize_ids(ids)
    numbers = np.split(numbers.astype(np.int32), np.cumsum([len(log.items) for log in logs])[:-1])
    entries = np.concatenate([own[log.entries] for own, log in zip(numbers, logs, strict=True)])
    shifts = np.append(0, np.cumsum([len(log.entries) for log in logs])[:-1])
    codes = None if logs[0].codes is None else _merged_codes(logs, numbers, len(items))
    none = np.empty(0, dtype=np.int64)
    return HistoryArray(entries, items.to_numpy(), none, none, **{**logs[0]._kind(), "codes": codes}), shifts


def _merged_codes(logs, numbers, n_items):
    """Return the codes of the items of several logs, an item's those that any log has."""
    codes = np.full((n_items, logs[0].codes.shape[1]), UNKNOWN_CODE, dtype=np.int64)
    for own, log in zip(numbers, logs, strict=True):
        has_codes = (log.codes != UNKNOWN_CODE).any(axis=1)
        old, new = codes[own[has_codes]], log.codes[has_codes]
        is_other = (old != new).any(axis=1) & (old != UNKNOWN_CODE).any(axis=1)
        if is_other.any():
            item = log.items[has_codes][is_other][:1].tolist()[0]
            raise ValueError(
                f"histories of one column must have their codes from one encoder, got {old[is_other][0].tolist()} and "
                f"{new[is_other][0].tolist()} for item {item!r}."
            )
        codes[own[has_codes]] = new
    return codes
