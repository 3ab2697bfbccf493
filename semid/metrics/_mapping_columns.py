"""Which columns of a table are the codes of its items, and which are their ids."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid.metrics._mapping_rows import LARGEST_CODE, NO_CODE, codes_of_rows, could_be_codes, n_codes
from semid.tables._ids import is_called_codes, is_called_id, is_perhaps_called_id, plain_name

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
    text, or numbered columns, that are called codes, sid, semantic_id, ...; such under any other name; integers that
    are called codes; all integers but ids. Ids are what is called item_id, else what is called an id, else an index,
    else the one column that tells all items apart.
    """
    if not frame.columns.is_unique:
        repeated = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"codes must have columns of different names, got {repeated!r} more than once.")
    candidate = _code_columns(frame)
    ids = _ids_of(frame, candidate)
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
    called = [name for name in frame.columns if is_called_codes(name) and _holds_whole_numbers(frame[name])]
    called = [name for name in called if not _tells_items_apart(frame[name])]
    if called:
        return _Candidate(called, _from_columns(called))
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
    return candidates[0]._replace(names=[name for candidate in candidates for name in candidate.names])


def _list_columns(frame, called_codes):
    """Return the columns of which each entry holds all codes of an item, as a list or as text."""
    names = [
        name
        for name in frame.columns
        if is_called_codes(name) is called_codes and _holds_rows_of_codes(frame[name], tokens_alone=not called_codes)
    ]
    if not called_codes:
        names = [name for name in names if _holds_tokens(frame[name]) or _could_be_nothing_else(frame, name)]
    return [_Candidate([name], _from_lists(name)) for name in names]


def _holds_rows_of_codes(column, *, tokens_alone):
    if column.dtype.kind in "biufcmM":
        return False
    rows = _rows_of(column.dropna().iloc[:_ROWS_LOOKED_AT])
    could_be = bool(rows) and all(could_be_codes(row, tokens_alone=tokens_alone) for row in rows)
    return could_be and (not isinstance(rows[0], str) or max(map(n_codes, rows)) > 1)


def _holds_tokens(column):
    row = _rows_of(column.dropna())[0]
    return isinstance(row if isinstance(row, str) else row[0], str)


def _could_be_nothing_else(frame, name):
    """Whether lists of integers that are not called codes are like codes, or raise where integers beside them are."""
    rows = [row for row in _rows_of(frame[name].dropna()) if could_be_codes(row, tokens_alone=True)]
    if len({len(row) for row in rows}) > 1 or any(
        _tells_items_apart(list(column)) for column in zip(*rows, strict=True)
    ):
        return False
    integers = [other for other in frame.columns if frame[other].dtype.kind in "iu" and not _is_perhaps_ids(other)]
    integers = [other for other in integers if not _NUMBERED.fullmatch(str(other))]
    integers = [other for other in integers if not _tells_items_apart(frame[other])]
    if integers:
        raise ValueError(
            f"codes must be one set of columns, got the lists {name!r} and the integers {integers[0]!r}, either of "
            "which could be it. Call that of the codes codes."
        )
    return True


def _is_perhaps_ids(name):
    return is_called_id(name) or is_perhaps_called_id(name)


def _rows_of(column):
    return [row for row in map(_row_of, column.astype(object)) if row is not None]


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
    integers = [name for name in frame.columns if frame[name].dtype.kind in "iu" and not _is_perhaps_ids(name)]
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


def _ids_of(frame, candidate):
    """Return the ids of the items: of what is called so, the index, or a column that could be nothing else."""
    columns = {name: frame[name] for name in frame.columns if name not in candidate.names}
    ids = _called_ids(frame.index, columns)
    if ids is None and _is_numbering(frame.index):
        ids = _unnamed_ids(columns)
        if ids is None:
            _check_none_left_out(frame, columns, candidate)
    return text_of_bytes((frame.index if ids is None else ids).to_numpy())


def _called_ids(index, columns):
    """Return the column or the index of the name item_id, or else the one complete one that is called an id, or None.

    The index counts as a column where it has a name, as it does for others who read the file.
    """
    of_items = [name for name in columns if plain_name(name) == "item_id"]
    if of_items:
        return columns[_the_one_of(of_items)]
    named = {index.name: index.to_series()} if index.nlevels == 1 and index.name is not None else {}
    if any(plain_name(name) == "item_id" for name in named):
        return index
    called = {name: column for name, column in (named | columns).items() if is_called_id(name)}
    complete = [name for name, column in called.items() if _is_complete(column)]
    return called[_the_one_of(complete)] if complete else None


def _is_numbering(index):
    return index.nlevels == 1 and index.name is None and index.dtype.kind in "iu"


def _unnamed_ids(columns):
    """Return the column that could be the ids, None where none could, or raise; one that is refused if called so."""
    perhaps = [name for name, column in columns.items() if is_perhaps_called_id(name) and _is_complete(column)]
    could_be = [name for name, column in columns.items() if _could_be_ids(name, column)]
    incomplete = [name for name in columns if is_called_id(name) or is_perhaps_called_id(name)]
    for names in (perhaps, could_be, [name for name in incomplete if _has_single_values(columns[name])]):
        if names:
            return columns[_the_one_of(names)]
    return None


def _the_one_of(names):
    if len(names) > 1:
        raise ValueError(
            f"codes must have one column of ids, got {names[:5]}, each of which could be it. Call that of the items "
            "item_id."
        )
    return names[0]


def _check_none_left_out(frame, columns, candidate):
    """Raise before items are numbered where a column that is called codes, but is none, could be their ids."""
    for name, column in columns.items():
        could_be = is_called_codes(name) and _is_complete(column) and (column.dtype.kind in "iu" or _is_words(column))
        if not could_be or _holds_rows_of_codes(column, tokens_alone=True):
            continue
        rows = list(range(len(frame)))
        is_text_of_codes = _holds_rows_of_codes(column, tokens_alone=False)
        if not is_text_of_codes or not np.array_equal(_from_lists(name)(frame, rows), candidate.read(frame, rows)):
            raise ValueError(
                f"codes must have one column of ids, got {name!r}, which is called codes and different in every row. "
                "If it is the ids, call it item_id; if not, leave it out."
            )


def _has_single_values(column):
    try:
        pd.factorize(column)
    except TypeError:  # lists
        return False
    return True


def _is_complete(column):
    """Whether a column has another value in every row."""
    return _has_single_values(column) and bool(column.notna().all()) and column.is_unique


def _is_words(column):
    words = column.astype(object).map(lambda value: isinstance(value, str | bytes) and len(value.split()) == 1)
    return bool(words.all())


def _could_be_ids(name, column):
    """Whether a column has another value in every row, and is of text without spaces, or of integers."""
    if column.dtype.kind in "iu":
        return _tells_items_apart(column) and _is_complete(column)
    is_text_of_codes = is_called_codes(name) and _holds_rows_of_codes(column, tokens_alone=False)
    return _is_words(column) and column.is_unique and not is_text_of_codes


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
    kind = pd.api.types.infer_dtype(values)
    try:
        # pandas makes floats of integers beside None.
        numbers = pd.to_numeric(values.where(values.notna(), NO_CODE) if kind == "integer" else values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"codes in column {column.name!r} must be integers, got {column.dtype}.") from error
    if kind in _NO_NUMBERS:  # though they become some in pandas
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
