"""How ids meet: by value, as keys of a Python dict do, whatever dtype or container each side has them in.

7 is 7 as int8, uint64, Int64, Arrow or object, and as 7.0 and in a category; integers are never compared as floats, so
that those beyond 2**53 stay apart. Text is never a number ("7" is not 7), bytes are never text, and nothing is equal to
what is missing. Whatever joins, excludes, looks up or puts together two columns of ids goes through this module.
"""

import re
from collections.abc import Hashable, Iterable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from semid.base._checks import warn, way_out_of_lists
from semid.tables._frames import as_index

_LEAST_INT64, _BEYOND_INT64, _BEYOND_UINT64 = -(2**63), 2**63, 2**64
_CALLED_CODES = re.compile(r"(?:.*[_\-. ])?(?:codes?|sids?|sem_?ids?|semantic_?(?:ids?|codes?))")
# Names of columns of ids, as `plain_name` has them; and names that ids and features have alike.
_ID_NAME = re.compile(
    r"(?:.*_)?id|(?:.*[_\-. ])?(?:ids|[giopuv]id|uuid|guid|asin|sku|isbn\d*|ean\d*|gtin\d*|upc)|.*[_\-. ]key"
)
_PERHAPS_ID_NAME = re.compile(r"key|items?|products?|articles?|movies?|books?|songs?|tracks?")
_NUMBERS = ("integer", "boolean", "floating", "mixed-integer-float", "decimal")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.0*)?")
_TRIED_IDS = 20  # of those that are not known, whether they would be in another type


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


def warn_of_other_kind(name: str, known: pd.Index, asked: Any, owner: str) -> None:
    """Warn if ids of the column `name`, none of them in `known`, an `id_index`, would be as text or numbers.

    A few are tried, at a cost that does not grow with `known`: one that is merely new is nothing to warn of.
    """
    asked = _as_index(asked)
    some = asked[np.linspace(0, len(asked) - 1, num=min(len(asked), _TRIED_IDS)).astype(int)].dropna().tolist()
    if len({_type_of(value) for value in some}) != 1 or not (known.dtype == object or known.dtype.kind in "iu"):
        return
    pairs = ((value, other) for value in some for other in _in_other_types(value) if other in known)
    value, other = next(pairs, (None, None))
    if other is not None:
        warn(
            f"no value of column {name!r} is known: {like_those([value], [other], owner)}. Text and numbers are never "
            f"equal: pass the column in the type it had before, such as X.astype({{{name!r}: ...}})."
        )


def warn_of_other_order(name: str, rows: Any, ids: Any) -> None:
    """Warn if `rows` of pandas, which are read in their order, go by `ids` in another order, as `value_counts` does.

    An index of integers says so by its name alone: without one, it is that of a table whose rows have been moved.
    """
    index = getattr(rows, "index", None)
    if not isinstance(index, pd.Index) or isinstance(index, pd.MultiIndex) or len(index) != len(ids):
        return
    if types.is_integer_dtype(index.dtype) and not (index.name is not None and is_called_id(index.name)):
        return
    places = find_ids(id_index(ids), index)
    if (np.sort(places) == np.arange(len(ids))).all() and (places != np.arange(len(ids))).any():
        warn(
            f"{name} is read row by row, and its index has the ids of the items in another order, {index[0]!r} first "
            f"where they begin with {pd.Index(ids)[0]!r}. Pass {name}.reindex(item_ids)."
        )


def check_no_ids(name: str, table: Any) -> None:
    """Raise if a table has a column of ids, which would count as one of `name`."""
    names = getattr(table, "column_names", None) or getattr(table, "columns", ())  # pyarrow's columns are no names
    names = names if isinstance(names, Iterable) else ()
    ids = [column for column in names if isinstance(column, str) and is_called_id(column)]
    ids = [column for column in ids if not _has_fractions(table[column])]
    if ids:
        raise ValueError(f"{name} must not hold ids, got the column {ids[0]!r}. Pass the other columns alone.")


def is_called_id(name: Any) -> bool:
    """Return whether a column of this name is one of ids."""
    return not is_called_codes(name) and _ID_NAME.fullmatch(plain_name(name)) is not None


def is_perhaps_called_id(name: Any) -> bool:
    """Return whether a column of this name may be one of ids where nothing else is, such as ``movies``."""
    return _PERHAPS_ID_NAME.fullmatch(plain_name(name)) is not None


def is_called_codes(name: Any) -> bool:
    """Return whether a column of this name is one of codes."""
    return _CALLED_CODES.fullmatch(plain_name(name)) is not None


def plain_name(name: Any) -> str:
    """Return the name of a column in small letters, ``itemId`` and ``item_id:token`` as ``item_id``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name).split(":")[0]).lower()


def _has_fractions(column):
    values = np.asarray(column)
    return values.dtype.kind == "f" and bool((values != np.round(values))[np.isfinite(values)].any())


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
    if isinstance(kind, pd.ArrowDtype | pd.StringDtype):
        # Text of two dtypes would meet in a third, and the hash table be built anew for each look-up.
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
    if known.dtype == object:
        return known.get_indexer(asked.astype(object))
    if known.dtype.kind in "iu" and (asked.dtype.kind in "iu" or asked.dtype == object):
        # What the known ids' dtype cannot hold is not among them.
        fits = _fits(asked, np.iinfo(known.dtype))
        places = np.full(len(asked), -1, dtype=np.intp)
        places[fits] = known.get_indexer(asked[fits].astype(known.dtype))
        return places
    if known.dtype.kind in "iuO" or asked.dtype.kind in "iuO":
        return known.astype(object).get_indexer(asked.astype(object))
    return known.get_indexer(asked)


def _fits(asked, bounds):
    """Return which ids are whole numbers within the bounds of an integer dtype."""
    if asked.dtype != object:
        return np.asarray(asked >= 0) if bounds.min == 0 else np.asarray(asked < _BEYOND_INT64)
    if types.infer_dtype(asked, skipna=False) in ("string", "bytes"):
        return np.zeros(len(asked), dtype=bool)
    are = [isinstance(v, Real | Decimal) and bounds.min <= v <= bounds.max and v == int(v) for v in asked]
    return np.array(are, dtype=bool)


def _type_of(value):
    return next((kind for kind in (str, bytes) if isinstance(value, kind)), Real)


def _in_other_types(value):
    """Return what would be the same id in a log that has its ids as text, bytes or numbers."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    others = [text, text.encode(errors="replace")]
    if _WHOLE_NUMBER.fullmatch(text):
        others.append(int(text.split(".")[0]))
    return [other for other in others if _type_of(other) is not _type_of(value)]


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
    return next((value for value in _as_index(ids) if not pd.isna(value)), None)


def _kind(ids):
    """Return "text", "numbers" or "bytes", None if the ids are none of them, several, or missing."""
    index = _as_index(ids)
    inferred = types.infer_dtype(index, skipna=True)
    if inferred == "mixed-integer" and types.is_numeric_dtype(index.dtype):
        return "numbers"
    return "numbers" if inferred in _NUMBERS else {"string": "text", "bytes": "bytes"}.get(inferred)
