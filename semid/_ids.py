"""How ids meet: by value, as keys of a Python dict do, whatever dtype or container each side has them in.

7 is 7 as int8, uint64, Int64, Arrow or object, and as 7.0 and in a category; integers are never compared as floats, so
that those beyond 2**53 stay apart. Text is never a number ("7" is not 7), bytes are never text, and nothing is equal to
what is missing. Whatever joins, excludes, looks up or puts together two columns of ids goes through this module.
"""

import re
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from semid._checks import warn, way_out_of_lists
from semid._tables import as_index

_LEAST_INT64, _BEYOND_INT64, _BEYOND_UINT64 = -(2**63), 2**63, 2**64
_CALLED_CODES = re.compile(r"(?:.*[_\-. ])?(?:codes?|sids?|sem_?ids?|semantic_?(?:ids?|codes?))")
# Names of columns of ids, as `plain_name` has them: surely, and in the absence of those.
ID_NAME = re.compile(r"(?:.*_)?id")
ALSO_ID_NAME = re.compile(
    r"(?:.*[_\-. ])?(?:ids|[giopuv]id|uuid|guid|asin|sku|isbn\d*|ean\d*|gtin\d*|upc|key)"
    r"|items?|products?|articles?|movies?|books?|songs?|tracks?"
)
_NUMBERS = ("integer", "boolean", "floating", "mixed-integer-float", "decimal")


def id_index(ids: Any) -> pd.Index:
    """Return ids, none of them missing, as what `find_ids` looks in if they are distinct; its hash table is there.

    pandas builds it at the first look-up, and of two threads that begin at once, one may look into a half-built table.
    """
    index = _canonical(_as_index(ids))
    if index.is_unique:
        index.get_indexer(index[:1])
    return index


def find_ids(known: pd.Index, asked: Any) -> np.ndarray:
    """Return the position in `known`, an `id_index`, of each id asked for; -1 for what is not there or missing."""
    asked = _as_index(asked)
    is_missing = np.asarray(asked.isna())
    if is_missing.any():
        places = np.full(len(asked), -1, dtype=np.intp)
        places[~is_missing] = find_ids(known, asked[~is_missing])
        return places
    try:
        return _find_canonical(known, _canonical(asked))
    except TypeError as error:
        odd = next((value for value in asked if not isinstance(value, Hashable)), asked[:1].tolist()[0])
        raise TypeError(f"ids must be text or numbers, got {odd!r:.80}.{way_out_of_lists(odd)}") from error


def factorize_ids(ids: Any) -> tuple[np.ndarray, pd.Index]:
    """Return the number of each id, -1 where it is missing, and the distinct ids in the order of their appearance."""
    if isinstance(ids, pd.Series) and ids.dtype != object:
        numbers, names = pd.factorize(ids)
        return numbers, pd.Index(names)
    index = _as_index(ids)
    is_missing = np.asarray(index.isna())
    numbers = np.full(len(index), -1, dtype=np.intp)
    numbers[~is_missing], names = pd.factorize(_canonical(index[~is_missing]))
    return numbers, pd.Index(names)


def concat_ids(first: Any, second: Any) -> pd.Series:
    """Return the ids of two columns as one: in their dtype, or in one that loses nothing, integers if all are whole."""
    parts = [part if isinstance(part, pd.Series) else pd.Series(part) for part in (first, second)]
    if parts[0].dtype == parts[1].dtype:
        return pd.concat(parts, ignore_index=True)
    parts = [pd.Series(_as_index(part)) for part in parts]
    present = [_canonical(_as_index(part.dropna())) for part in parts]
    if not all(index.dtype.kind in "iu" for index in present):
        holds_numbers = any(types.is_numeric_dtype(part.dtype) for part in parts)
        return pd.concat([part.astype(object) if holds_numbers else part for part in parts], ignore_index=True)
    if all(types.is_float_dtype(part.dtype) for part in parts):
        return pd.concat([part.astype(np.float64) for part in parts], ignore_index=True)
    bounds = [int(bound) for index in present if len(index) for bound in (index.min(), index.max())]
    return _concat_integers(parts, present, bounds)


def like_those(unknown: Any, known: Any, owner: str) -> str:
    """Return words that show an id of `unknown` beside one of `known`, which `owner` has."""
    return f"ids like {_example(unknown)!r}, where {owner} has ids like {_example(known)!r}"


def of_other_kind(known: Any, asked: Any) -> bool:
    """Return whether all ids of one side are text, and of the other numbers, or bytes: then none can be equal."""
    kinds = _kind(known), _kind(asked)
    return None not in kinds and kinds[0] != kinds[1]


def warn_of_other_kind(name: str, known: Any, asked: Any, owner: str) -> None:
    """Warn if no id of the column `name` can be known, since all are of another kind than those of `owner`."""
    if of_other_kind(known, asked):
        warn(
            f"no value of column {name!r} is known: {like_those(asked, known, owner)}. Text and numbers are never "
            f"equal: pass the column in the type it had before, such as X.astype({{{name!r}: ...}})."
        )


def is_called_id(name: Any) -> bool:
    """Return whether a column of this name is one of ids."""
    return not is_called_codes(name) and bool(
        ID_NAME.fullmatch(plain_name(name)) or ALSO_ID_NAME.fullmatch(plain_name(name))
    )


def is_called_codes(name: Any) -> bool:
    """Return whether a column of this name is one of codes."""
    return _CALLED_CODES.fullmatch(plain_name(name)) is not None


def plain_name(name: Any) -> str:
    """Return the name of a column in small letters, ``itemId`` and ``item_id:token`` as ``item_id``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name).split(":")[0]).lower()


def _as_index(ids):
    if not hasattr(ids, "dtype"):
        ids = pd.Series(list(ids), dtype=object)  # pandas makes floats of integers beside None
    if isinstance(ids.dtype, pd.CategoricalDtype):
        ids = ids.astype(ids.dtype.categories.dtype if not pd.isna(ids).any() else object)
    return as_index(ids)


def _canonical(index):
    """Return an Index without missing values in which equal ids have one form: int64 if all are whole numbers.

    Numbers that int64 cannot hold are uint64, and objects if some are negative beside them.
    """
    kind = index.dtype
    if types.is_bool_dtype(kind):
        return pd.Index(index.to_numpy(dtype=np.int64))
    if types.is_integer_dtype(kind):
        if types.is_signed_integer_dtype(kind):
            return pd.Index(index.to_numpy(dtype=np.int64))
        values = index.to_numpy(dtype=np.uint64)
        return pd.Index(values if len(values) and values.max() >= _BEYOND_INT64 else values.astype(np.int64))
    if types.is_float_dtype(kind):
        return _canonical_floats(index.to_numpy(dtype=np.float64))
    if isinstance(kind, pd.ArrowDtype):
        index = index.astype(object)
    return _canonical_objects(index) if index.dtype == object else index


def _canonical_floats(values):
    is_whole = (np.abs(values) < 2.0**63) & (values == np.round(values))
    if is_whole.all():
        return pd.Index(values.astype(np.int64))
    return _canonical_objects(pd.Index(values, dtype=object))


def _canonical_objects(index):
    kind = types.infer_dtype(index, skipna=False)
    if kind in ("string", "bytes", "empty"):
        return index
    plain = [value.item() if isinstance(value, np.generic) else value for value in index]
    values = [_as_integer(value) for value in plain]
    if not all(type(value) is int for value in values):
        return pd.Index(_object_array(values), dtype=object)
    least, most = min(values, default=0), max(values, default=0)
    if least >= _LEAST_INT64 and most < _BEYOND_INT64:
        return pd.Index(np.array(values, dtype=np.int64))
    if least >= 0 and most < _BEYOND_UINT64:
        return pd.Index(np.array(values, dtype=np.uint64))
    return pd.Index(_object_array(values), dtype=object)


def _as_integer(value):
    is_whole = isinstance(value, bool) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole else value


def _object_array(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _find_canonical(known, asked):
    if known.dtype == asked.dtype:
        return known.get_indexer(asked)
    if known.dtype.kind in "iu" and asked.dtype.kind in "iu":
        # uint64 meets int64: of the one, what the other cannot hold is not in it.
        fits = np.asarray(asked >= 0) if known.dtype.kind == "u" else np.asarray(asked < _BEYOND_INT64)
        places = np.full(len(asked), -1, dtype=np.intp)
        places[fits] = known.get_indexer(asked[fits].astype(known.dtype))
        return places
    if of_other_kind(known, asked):
        return np.full(len(asked), -1, dtype=np.intp)
    if known.dtype.kind in "iuOT" or asked.dtype.kind in "iuOT":
        return known.astype(object).get_indexer(asked.astype(object))
    return known.get_indexer(asked)


def _concat_integers(parts, present, bounds):
    """Return columns of integers, `present` without what is missing in them, as one; nullable if one of them is."""
    is_missing = np.concatenate([part.isna().to_numpy() for part in parts])
    if max(bounds, default=0) < _BEYOND_INT64:
        kind: Any = np.int64
    else:
        kind = np.uint64 if min(bounds) >= 0 else object
    values = np.zeros(len(is_missing), dtype=kind)
    values[~is_missing] = np.concatenate([index.to_numpy().astype(kind) for index in present])
    if kind is object:
        return pd.Series(values, dtype=object).mask(is_missing, None)
    is_nullable = is_missing.any() or not all(isinstance(part.dtype, np.dtype) for part in parts)
    return pd.Series(pd.arrays.IntegerArray(values, is_missing) if is_nullable else values)


def _example(ids):
    index = _as_index(ids)
    present = index[~np.asarray(index.isna())]
    return present[:1].tolist()[0] if len(present) else None


def _kind(ids):
    """Return "text", "numbers" or "bytes", None if the ids are none of them, several, or missing."""
    index = _as_index(ids)
    inferred = types.infer_dtype(index, skipna=True)
    if inferred == "mixed-integer" and types.is_numeric_dtype(index.dtype):
        return "numbers"
    return "numbers" if inferred in _NUMBERS else {"string": "text", "bytes": "bytes"}.get(inferred)
