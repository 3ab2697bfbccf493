"""Mappings from items to codes, as this and other projects write them, read into one array."""

import json
import re
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid._tables import from_arrow, read_npy

_LARGEST_CODE = 2**62  # what codes and codebook sizes can be added to without leaving int64
_NO_NUMBERS = ("complex", "datetime64", "datetime", "date", "timedelta64", "timedelta", "period", "interval")
NO_CODE = -1  # stands where an item has fewer codes than others

_TOKEN = re.compile(r"<([A-Za-z]+)_(\d+)>")
_CODE_COLUMN = re.compile(r"(?:(.*)_)?code_?(\d+)")
_ID_COLUMN = re.compile(r"(?:.*_)?id")


class ItemCodes(NamedTuple):
    """What `read_mapping` returns."""

    item_ids: np.ndarray  # (n_items,), keys of a JSON file, the id column or index of a table, positions in an array
    codes: np.ndarray  # (n_items, n_codebooks) int64, NO_CODE after the end of shorter IDs


def read_mapping(source: Any) -> ItemCodes:
    """Return the ids and codes of all items of a mapping: a path, a dict, a DataFrame or an array.

    Items of a dict or JSON file whose keys are all whole numbers are in the order of these numbers, others in that of
    the file.
    """
    if hasattr(source, "transform") and hasattr(source, "fit"):
        raise TypeError(
            f"codes must be a mapping, got the estimator {type(source).__name__}. Pass its codes: transform(X)."
        )
    if isinstance(source, str | PathLike):
        return _read_file(Path(source))
    if isinstance(source, Mapping):
        return _from_dict(source)
    if hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.DataFrame | pd.Series):  # polars, pyarrow
        source = from_arrow("codes", source)
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    return _from_array(source)


def _read_file(path):
    readers = {".json": _read_json, ".npy": read_npy, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"codes given as a path must end in {', '.join(readers)}, got {fspath(path)!r}.")
    if not path.is_file():
        raise FileNotFoundError(f"codes must be the path of a file that exists, got {fspath(path)!r}.")
    try:
        return read_mapping(readers[path.suffix](path))
    except (ValueError, TypeError, NotImplementedError, OSError, RecursionError) as error:
        raise ValueError(f"no codes could be read from {fspath(path)!r}: {str(error)[:500]}") from error


def _read_json(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(
            'codes in a JSON file must be an object like {"0": ["<a_12>", "<b_7>"], ...}, '
            f"got a {type(content).__name__} in {fspath(path)!r}."
        )
    return content


def _from_array(source):
    try:
        codes = np.asarray(source)
    except ValueError as error:
        raise ValueError(
            "codes given as lists must have one length. For IDs of different lengths pass a dict, or fill the shorter "
            f"ones up with {NO_CODE}."
        ) from error
    if codes.ndim == 2 and codes.dtype.kind in "OUS":
        return _from_dict(dict(enumerate(codes.tolist())))
    return ItemCodes(np.arange(len(codes)) if codes.ndim else np.arange(0), _checked(codes))


def _from_frame(frame):
    columns = _code_columns(frame)
    ids = [name for name in frame.columns if name not in columns and _is_id(name)]
    if "item_id" in ids:
        ids = ["item_id"]
    elif len(ids) > 1:
        raise ValueError(f"codes must have one column of ids, got {ids}. Call that of the items item_id.")
    codes = np.column_stack([_whole_numbers(frame[name]) for name in columns])
    return ItemCodes((frame[ids[0]] if ids else frame.index).to_numpy(), _checked(codes))


def _code_columns(frame):
    """Return the names of the columns ``code0``, ..., or ``<something>_code0``, ..., else of all integers but ids."""
    named = {name: _CODE_COLUMN.fullmatch(name) for name in frame.columns if isinstance(name, str)}
    named = {name: match for name, match in named.items() if match}
    prefixes = sorted({match[1] or "" for match in named.values()})
    if len(prefixes) > 1:
        raise ValueError(
            f"codes must have the columns of one set, got the prefixes {prefixes}. Pass one set's columns."
        )
    if named:
        return sorted(named, key=lambda name: int(named[name][2]))
    integers = [name for name in frame.columns if frame[name].dtype.kind in "iu" and not _is_id(name)]
    if not integers:
        raise ValueError(f"codes must have integer columns, or columns named code0, code1, ..., got {_dtypes(frame)}.")
    return integers


def _dtypes(frame):
    return ", ".join(f"{name!r} of {dtype}" for name, dtype in frame.dtypes.items()) or "no columns"


def _is_id(name):
    return isinstance(name, str) and _ID_COLUMN.fullmatch(name) is not None


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
    if (numbers.abs() > _LARGEST_CODE).any():
        raise ValueError(f"codes in column {column.name!r} must be at most {_LARGEST_CODE}, got {numbers.abs().max()}.")
    if numbers.dtype.kind == "f" and (numbers != numbers.round()).any():
        raise ValueError(f"codes in column {column.name!r} must be whole numbers, got {column.dtype} with fractions.")
    return numbers.to_numpy(dtype=np.int64)


def _from_dict(mapping):
    if not mapping:
        raise ValueError("codes must not be empty, got a mapping without items.")
    keys = list(mapping)
    if all(str(key).isdecimal() for key in keys):
        keys.sort(key=int)
    rows = [_numbers_of(key, mapping[key]) for key in keys]
    lengths = [len(row) for row in rows]
    codes = np.full((len(rows), max(lengths)), NO_CODE, dtype=np.int64)
    letters = {}
    for i, (key, row) in enumerate(zip(keys, rows, strict=True)):
        for n, (letter, number) in enumerate(row):
            if letter != letters.setdefault(n, letter):
                kind = "integers" if letters[n] is None else f"tokens <{letters[n]}_...>"
                raise ValueError(
                    f"codes of item {key!r} must have {kind} at position {n}, as items before have, got "
                    f"{mapping[key]!r}."
                )
            codes[i, n] = number
    return ItemCodes(np.array(keys), _checked(codes))


def _numbers_of(key, tokens):
    """Return the (letter, number) of each token of an item, the letter None for plain integers."""
    if isinstance(tokens, str) or not hasattr(tokens, "__len__") or len(tokens) == 0:
        raise ValueError(f"codes of item {key!r} must be a list of tokens or integers, got {tokens!r}.")
    return [_number_of(key, token) for token in tokens]


def _number_of(key, token):
    if isinstance(token, int | np.integer) and not isinstance(token, bool) and abs(token) <= _LARGEST_CODE:
        return None, int(token)
    match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if match is None or len(match[2]) > len(str(_LARGEST_CODE)) or int(match[2]) > _LARGEST_CODE:
        raise ValueError(f'codes of item {key!r} must be integers or tokens like "<a_12>", got {token!r}.')
    return match[1], int(match[2])


def _checked(codes: np.ndarray) -> np.ndarray:
    if codes.ndim != 2 or codes.size == 0:
        raise ValueError(f"codes must have shape (n_items, n_codebooks) and not be empty, got {codes.shape}.")
    if codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got an array of {codes.dtype}.")
    if codes.min() < NO_CODE:
        raise ValueError(f"codes must be at least 0, or {NO_CODE} for no code, got {codes.min()}.")
    if codes.max() > _LARGEST_CODE:
        raise ValueError(f"codes must be at most {_LARGEST_CODE}, got {codes.max()}.")
    return codes.astype(np.int64, copy=False)
