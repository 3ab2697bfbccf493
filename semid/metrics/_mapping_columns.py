"""Which columns of a table are the codes of its items, and which are their ids."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid._ids import ALSO_ID_NAME, ID_NAME, is_called_codes, is_called_id, plain_name
from semid.metrics._mapping_rows import LARGEST_CODE, NO_CODE, codes_of_rows, could_be_codes, n_codes

_NO_NUMBERS = ("complex", "datetime64", "datetime", "date", "timedelta64", "timedelta", "period", "interval")
_ROWS_LOOKED_AT = 50  # to see what a column holds; all are read afterwards, and those that differ are named
# Fewer items may have a code each by chance.
LEAST_EVIDENCE = 10
# Among fewer items than that, numbers this large are ids; and beyond the next one whatever they are.
_MORE_THAN_A_CODEBOOK = 2**16
NO_CODEBOOK = 2**31

_OURS = re.compile(r"(?:(.*)_)?code_?(\d+)")
_NUMBERED = re.compile(r"(.*?)[_\-. ]?\[?(\d+)\]?")
_LETTERED = re.compile(r"(?:(.*)[_\-. ])?([a-z])")


class _Candidate(NamedTuple):
    """Columns that may be the codes of the items."""

    names: list
    read: Callable[[pd.DataFrame, list], np.ndarray]  # the table and what to call its items in errors


def split_columns(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids, (n_items,), and the codes, (n_items, n_codebooks), int64, of a table.

    Codes are, the first of these that there is: columns ``code0``, ... or ``<name>_code0``, ...; a column of lists or
    text, or numbered columns, that are called codes, sid, semantic_id, ...; such under any other name; all integers but
    ids. Ids are a column that is called so, else an index that is, else the one column that tells all items apart.
    """
    if not frame.columns.is_unique:
        repeated = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"codes must have columns of different names, got {repeated!r} more than once.")
    candidate = _code_columns(frame)
    ids = _ids_of(frame, candidate.names)
    return ids, candidate.read(frame, ids.tolist())


def is_table(mapping: Mapping) -> bool:
    """Return whether a dict is one of columns by name rather than of codes by item."""
    names = [name for name in mapping if isinstance(name, str)]
    has_codes = any(_OURS.fullmatch(name) or is_called_codes(name) for name in names)
    lengths = {len(column) if isinstance(column, list | tuple | np.ndarray) else -1 for column in mapping.values()}
    return len(names) == len(mapping) and has_codes and "item_id" in names and len(lengths) == 1 and -1 not in lengths


def _code_columns(frame):
    names = {name: _OURS.fullmatch(name) for name in frame.columns if isinstance(name, str)}
    names = {name: match for name, match in names.items() if match}
    prefixes = sorted({match[1] or "" for match in names.values()})
    if len(prefixes) > 1:
        raise ValueError(
            f"codes must have the columns of one set, got the prefixes {prefixes}. Pass one set's columns."
        )
    if names:
        ordered = sorted(names, key=lambda name: int(names[name][2]))
        return _Candidate(ordered, _from_columns(ordered))
    for called_codes in (True, False):
        candidates = [*_list_columns(frame, called_codes), *_families(frame, called_codes)]
        if candidates:
            return _the_one(frame, candidates)
    return _Candidate(integers := _integers(frame), _from_columns(integers))


def _the_one(frame, candidates):
    """Return the candidate, or the first of several that hold the same codes."""
    if len(candidates) == 1:
        return candidates[0]
    codes = [candidate.read(frame, list(range(len(frame)))) for candidate in candidates]
    if not all(np.array_equal(codes[0], others) for others in codes[1:]):
        raise ValueError(
            f"codes must be one set of columns, got {_some([candidate.names for candidate in candidates])}, which "
            "differ. Pass one of them, with the ids."
        )
    return candidates[0]


def _list_columns(frame, called_codes):
    """Return the columns of which each entry holds all codes of an item, as a list or as text."""
    return [
        _Candidate([name], _from_lists(name))
        for name in frame.columns
        if is_called_codes(name) is called_codes and _holds_rows_of_codes(frame[name], tokens_alone=not called_codes)
    ]


def _holds_rows_of_codes(column, *, tokens_alone):
    if column.dtype.kind in "biufcmM":
        return False
    rows = [row for row in map(_row_of, column.dropna().iloc[:_ROWS_LOOKED_AT].astype(object)) if row is not None]
    could_be = bool(rows) and all(could_be_codes(row, tokens_alone=tokens_alone) for row in rows)
    return could_be and (not isinstance(rows[0], str) or max(map(n_codes, rows)) > 1)


def _families(frame, called_codes):
    """Return the sets of integer columns that are numbered, or lettered, from one to the next."""
    families = {}
    for name in frame.columns:
        if _OURS.fullmatch(str(name)) or not _holds_whole_numbers(frame[name]):
            continue
        for pattern, number in ((_NUMBERED, int), (_LETTERED, lambda letter: ord(letter) - ord("a"))):
            match = pattern.fullmatch(str(name))
            if match:
                families.setdefault((pattern, match[1] or ""), {})[name] = number(match[2])
    return [
        _Candidate(names := sorted(numbers, key=numbers.get), _from_columns(names))
        for (pattern, stem), numbers in families.items()
        if is_called_codes(stem) is called_codes and ((called_codes and pattern is _NUMBERED) or _is_a_row(numbers))
    ]


def _is_a_row(numbers):
    """Whether columns are numbered one after the other, from 0 or 1 on."""
    found = sorted(numbers.values())
    return len(found) > 1 and found[0] in (0, 1) and found == list(range(found[0], found[0] + len(found)))


def _holds_whole_numbers(column):
    if column.dtype.kind in "iu":
        return True
    values = column.dropna().to_numpy(dtype=np.float64) if column.dtype.kind == "f" else np.empty(0)
    return len(values) > 0 and bool((values == values.round()).all() and values.min() >= NO_CODE)


def _integers(frame):
    """Return all columns of integers but ids, or raise where one looks like ids, or there are none."""
    integers = [name for name in frame.columns if frame[name].dtype.kind in "iu" and not is_called_id(name)]
    if not integers:
        raise ValueError(
            "codes must have integer columns, or columns named code0, code1, ..., or one of lists named codes, got "
            f"{_dtypes(frame)}."
        )
    for name in integers:
        if _tells_items_apart(frame[name]):
            raise ValueError(
                f"codes must not be ids, got the integer column {name!r}, which is beyond any codebook or different in "
                "every row. If it is the ids, call it item_id; if it is codes, name the columns code0, code1, ..."
            )
    return integers


def _tells_items_apart(codes: Any) -> bool:
    """Return whether a column of integers is one of ids, as far as its values say: different ones, or very large."""
    codes = pd.Series(codes).dropna()
    if len(codes) < 2:
        return False
    largest = int(codes.max())
    is_much = len(codes) >= LEAST_EVIDENCE or largest >= _MORE_THAN_A_CODEBOOK
    return largest >= NO_CODEBOOK or (is_much and codes.is_unique)


def _ids_of(frame, code_columns):
    """Return the ids of the items: of a column that is called so, the index, or a column that could be nothing else."""
    others = [name for name in frame.columns if name not in code_columns and not is_called_codes(name)]
    name = _called_item_id(others)
    has_index = frame.index.nlevels > 1 or frame.index.names[0] is not None or frame.index.dtype.kind not in "iu"
    if name is None and not has_index:
        name = _only(frame, [name for name in others if ALSO_ID_NAME.fullmatch(plain_name(name))], lambda column: True)
        name = name if name is not None else _only(frame, others, _could_be_ids)
    ids = frame.index if name is None else frame[name]
    return text_of_bytes(ids.to_numpy())


def _called_item_id(names):
    called = [name for name in names if ID_NAME.fullmatch(plain_name(name))]
    of_items = [name for name in called if plain_name(name) == "item_id"]
    if len(of_items) == 1 or len(called) == 1:
        return (of_items or called)[0]
    if called:
        raise ValueError(f"codes must have one column of ids, got {called}. Call that of the items item_id.")
    return None


def _only(frame, names, condition):
    """Return the name of the one column that meets the `condition`, None where none does, or raise."""
    names = [name for name in names if condition(frame[name])]
    if len(names) > 1:
        raise ValueError(
            f"codes must have one column of ids, got {_some(names)}, each of which could be it. Call that of the items "
            "item_id."
        )
    return names[0] if names else None


def _could_be_ids(column):
    """Whether a column has another value in every row, and is of text without spaces, or of integers."""
    values = column.astype(object)
    if column.dtype.kind in "iu":
        return len(column) >= LEAST_EVIDENCE and column.notna().all() and column.is_unique
    is_word = values.map(lambda value: isinstance(value, str | bytes) and len(value.split()) == 1)
    return bool(is_word.all()) and values.is_unique


def text_of_bytes(ids: np.ndarray) -> np.ndarray:
    """Return ids with bytes of UTF-8, which parquet has where text is not marked as such, as text."""
    ids = ids.astype(object) if ids.dtype.kind == "S" else ids
    if ids.dtype != object or not any(isinstance(value, bytes) for value in ids):
        return ids
    try:
        return np.array([value.decode() if isinstance(value, bytes) else value for value in ids], dtype=object)
    except UnicodeDecodeError:
        return ids


def _from_columns(names):
    return lambda frame, _: np.column_stack([_whole_numbers(frame[name]) for name in names])


def _from_lists(name):
    def read(frame, keys):
        return codes_of_rows(keys, [_row_of(row) for row in frame[name].astype(object)], may_be_missing=True)

    return read


def _row_of(row):
    """Return the codes of an item in a column of lists or texts, None where it has none."""
    if isinstance(row, bytes):
        row = row.decode(errors="replace")
    if isinstance(row, str) or hasattr(row, "__len__"):
        return row if len(row) else None
    return None if pd.isna(row) else row


def _whole_numbers(column):
    """Return a column of integers, categories of integers, or whole floats, missing ones as NO_CODE."""
    values = pd.Series(column.to_numpy(dtype=object, na_value=None))
    try:
        numbers = pd.to_numeric(values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"codes in column {column.name!r} must be integers, got {column.dtype}.") from error
    if pd.api.types.infer_dtype(values) in _NO_NUMBERS:  # though they become some in pandas
        raise ValueError(f"codes in column {column.name!r} must be integers, got other values, of {column.dtype}.")
    numbers = numbers.fillna(NO_CODE)
    if (numbers.abs() > LARGEST_CODE).any():
        raise ValueError(f"codes in column {column.name!r} must be at most {LARGEST_CODE}, got {numbers.abs().max()}.")
    if numbers.dtype.kind == "f" and (numbers != numbers.round()).any():
        raise ValueError(f"codes in column {column.name!r} must be whole numbers, got {column.dtype} with fractions.")
    return numbers.to_numpy(dtype=np.int64)


def _dtypes(frame):
    return ", ".join(f"{name!r} of {dtype}" for name, dtype in frame.dtypes.items()) or "no columns"


def _some(names):
    return " and ".join(map(str, names[:5]))
