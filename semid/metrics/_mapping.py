"""Mappings from items to codes, as this and other projects write them, read into one array."""

import json
from collections import Counter
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid.metrics._mapping_columns import LEAST_EVIDENCE, NO_CODEBOOK, is_table, split_columns
from semid.metrics._mapping_rows import LARGEST_CODE, NO_CODE, codes_of_rows
from semid.tables._frames import from_arrow, read_npy
from semid.tables._parquet import read_indexed


class ItemCodes(NamedTuple):
    """What `read_mapping` returns."""

    item_ids: np.ndarray  # (n_items,), keys of a JSON file, the id column or index of a table, positions in an array
    codes: np.ndarray  # (n_items, n_codebooks) int64, NO_CODE after the end of shorter IDs


def read_mapping(source: Any) -> ItemCodes:
    """Return the ids and codes of all items of a mapping: a path, a dict, a DataFrame or an array.

    Items are in the order of the source.
    """
    if hasattr(source, "transform") and hasattr(source, "fit"):
        raise TypeError(
            f"codes must be a mapping, got the estimator {type(source).__name__}. Pass its codes: transform(X)."
        )
    if isinstance(source, str | PathLike):
        return _read_file(Path(source))
    if isinstance(source, Mapping):
        return _from_frame(pd.DataFrame(source)) if is_table(source) else _from_dict(source)
    if hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.DataFrame | pd.Series):  # polars, pyarrow
        source = from_arrow("codes", source)
    if isinstance(source, pd.Series) and source.dtype.kind not in "biuf":  # of lists or text
        source = source.to_frame("codes")
    if isinstance(source, pd.DataFrame):
        return _from_frame(source)
    return _from_array(source)


def _read_file(path):
    readers = {".json": _read_json, ".npy": read_npy, ".parquet": read_indexed}
    if path.suffix not in readers:
        raise ValueError(
            f"codes given as a path must end in {', '.join(readers)}, got {fspath(path)!r}. Read other files "
            "yourself, and pass the DataFrame, dict or array."
        )
    if not path.is_file():
        raise FileNotFoundError(f"codes must be the path of a file that exists, got {fspath(path)!r}.")
    try:
        return read_mapping(readers[path.suffix](path))
    except (ValueError, TypeError, NotImplementedError, OSError, RecursionError) as error:
        raise ValueError(f"no codes could be read from {fspath(path)!r}: {str(error)[:500]}") from error


def _read_json(path):
    content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    if not isinstance(content, dict):
        raise ValueError(
            'codes in a JSON file must be an object like {"0": ["<a_12>", "<b_7>"], ...}, '
            f"got a {type(content).__name__} in {fspath(path)!r}."
        )
    return content


def _without_repeats(pairs):
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"item_ids must be unique, got {repeated!r} more than once. Drop repeated items.")
    return content


def _from_array(source):
    try:
        codes = np.asarray(source)
    except ValueError as error:
        raise ValueError(
            "codes given as lists must have one length. For IDs of different lengths pass a dict, or fill the shorter "
            f"ones up with {NO_CODE}."
        ) from error
    if (codes.ndim == 2 and codes.dtype.kind in "OUS") or (codes.ndim == 1 and codes.dtype.kind in "US"):
        return _from_dict(dict(enumerate(codes.tolist())))
    codes = _checked(codes)
    _check_no_ids(codes)
    return ItemCodes(np.arange(len(codes)), codes)


def _check_no_ids(codes):
    for n, column in enumerate(codes.T):
        if len(codes) >= LEAST_EVIDENCE and column.max() >= NO_CODEBOOK:
            raise ValueError(
                f"codes must not be ids, got numbers up to {column.max()} in column {n}, beyond any codebook. Pass the "
                "other columns, or a DataFrame with the ids in a column item_id."
            )


def _from_frame(frame):
    item_ids, codes = split_columns(frame)
    return ItemCodes(item_ids, _checked(codes))


def _from_dict(mapping):
    if not mapping:
        raise ValueError("codes must not be empty, got a mapping without items.")
    keys = list(mapping)
    return ItemCodes(_as_ids(keys), _checked(codes_of_rows(keys, list(mapping.values()))))


def _as_ids(keys):
    """Return keys as an array: of text or integers if all are, else of objects, so that 1 and "1" stay two."""
    if all(isinstance(key, str) for key in keys):
        return np.array(keys)
    ids = np.fromiter(keys, dtype=object, count=len(keys))
    if all(isinstance(key, int | np.integer) and not isinstance(key, bool) for key in keys):
        is_narrow = max(keys) < 2**63 and min(keys) >= -(2**63)
        return ids.astype(np.int64) if is_narrow else ids
    return ids


def _checked(codes: np.ndarray) -> np.ndarray:
    if codes.ndim != 2 or codes.size == 0:
        raise ValueError(f"codes must have shape (n_items, n_codebooks) and not be empty, got {codes.shape}.")
    if codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got an array of {codes.dtype}.")
    if codes.min() < NO_CODE:
        raise ValueError(f"codes must be at least 0, or {NO_CODE} for no code, got {codes.min()}.")
    if codes.max() > LARGEST_CODE:
        raise ValueError(f"codes must be at most {LARGEST_CODE}, got {codes.max()}.")
    return codes.astype(np.int64, copy=False)
