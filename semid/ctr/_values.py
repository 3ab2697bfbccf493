"""What stands in a column: its distinct categories, lists of them, or numbers, whatever the dtype."""

from collections.abc import Hashable
from decimal import Decimal
from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types

_LISTS = list | tuple | set | frozenset | np.ndarray


class DistinctValues(NamedTuple):
    """A column as its distinct values and the position of each row's value among them."""

    positions: np.ndarray  # (n,), -1 for missing
    values: pd.Index  # text, integers, or objects of several kinds


def distinct_values(column, name):
    """Return the `DistinctValues` of a categorical column.

    A value is the same whatever its dtype and whatever else the column holds: booleans and whole floats are integers,
    text stays text, of digits too. So a row alone is read as in the table that it comes from.
    """
    is_category = isinstance(column.dtype, pd.CategoricalDtype)
    positions, values = _used_categories(column) if is_category else _factorized(column, name)
    _refuse_dates(values, name)
    # Values that are canonically equal are equal already, so that they stay distinct.
    return DistinctValues(positions, canonical_values(values, name, may_be_fractions=is_category))


def _used_categories(column):
    positions, values = column.cat.codes.to_numpy(), column.cat.categories
    used = np.bincount(positions[positions >= 0], minlength=len(values)) > 0
    if used.all():
        return positions, values
    renumbered = np.append(np.cumsum(used) - 1, -1)
    return renumbered[positions], values[used]


def _factorized(column, name):
    try:
        return pd.factorize(column)  # -1 for missing
    except (TypeError, NotImplementedError) as error:
        if holds_lists(column):
            raise _unexpected_list(column[column.notna().to_numpy()].iloc[0], name) from error
        odd = next((value for value in column if not isinstance(value, Hashable)), column.dtype)
        raise TypeError(f"argument must be a string or a number in column {name!r}, got {odd!r:.80}.") from error


def canonical_values(values, name, may_be_fractions):
    """Return distinct values as integers if all are whole numbers, else as text or as objects of several kinds."""
    kind = values.dtype
    if types.is_bool_dtype(kind) or types.is_signed_integer_dtype(kind):
        return values.astype(np.int64)
    if types.is_unsigned_integer_dtype(kind):
        values = values.astype(np.uint64)
        return values if len(values) and values.max() >= 2**63 else values.astype(np.int64)
    if types.is_float_dtype(kind):
        floats = values.to_numpy(dtype=np.float64)
        if _is_whole(floats).all():
            return pd.Index(floats.astype(np.int64))
    if isinstance(kind, pd.StringDtype | pd.IntervalDtype):
        return values
    return _canonical_objects(values.astype(object), name, may_be_fractions)


def _canonical_objects(values, name, may_be_fractions):
    kind = types.infer_dtype(values)
    if kind not in ("string", "integer"):
        values = pd.Index([_canonical_value(value, name, may_be_fractions) for value in values], dtype=object)
        kind = types.infer_dtype(values)
    return pd.Index(values.to_numpy()) if kind == "integer" else values


def _canonical_value(value, name, may_be_fractions):
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, Integral | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating):
        if _is_whole(value):
            return int(value)
        if may_be_fractions:
            return float(value)
        raise ValueError(
            f"column {name!r} is categorical and must hold whole numbers, text or categories, got {value}. To use it "
            f"as a number, pass it as X[{name!r}].astype(float) and leave it out of categorical_features and "
            "code_features (columns named <prefix>_code<n> are codes unless code_features says otherwise); to use "
            "each number as a category, .astype('category')."
        )
    if isinstance(value, Decimal):
        raise TypeError(
            f"column {name!r} must hold numbers or text, got decimals. To use it as a number, pass it as "
            f"X[{name!r}].astype(float); to use each number as a category, .astype(str)."
        )
    if isinstance(value, _LISTS):
        raise _unexpected_list(value, name)
    raise TypeError(f"argument must be a string or a number in column {name!r}, got {value!r}.")


def _is_whole(numbers):
    return (np.abs(numbers) < 2**63) & (numbers == np.round(numbers))


def _unexpected_list(value, name):
    return TypeError(
        f"column {name!r} must hold single values, got the list {value!r}. A column is one of lists if there are some "
        "in the first fit, and lists must not be nested: fit on rows that have some, or flatten them."
    )


def _refuse_dates(values, name):
    """Raise if `values`, an Index or a Series, are dates or durations."""
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
    inferred = types.infer_dtype(values) if types.is_object_dtype(kind) else None
    if (
        types.is_datetime64_any_dtype(kind)
        or isinstance(kind, pd.PeriodDtype)
        or inferred in ("date", "datetime", "datetime64", "period")
    ):
        column = f"X[{name!r}]" if inferred is None else f"pd.to_datetime(X[{name!r}])"
        raise ValueError(
            f"column {name!r} holds dates; turn them into fields first, for example {column}.dt.hour or "
            f"{column}.dt.dayofweek."
        )
    if types.is_timedelta64_dtype(kind) or inferred in ("timedelta", "timedelta64"):
        column = f"X[{name!r}]" if inferred is None else f"pd.to_timedelta(X[{name!r}])"
        raise ValueError(
            f"column {name!r} holds durations; turn them into numbers first, for example {column}.dt.total_seconds()."
        )


def holds_lists(column):
    """Return whether the first value of a column that is not missing is a list."""
    if not types.is_object_dtype(column.dtype):
        return False
    present = column[column.notna().to_numpy()]
    return len(present) > 0 and isinstance(present.iloc[0], _LISTS)


def distinct_lists(column, name):
    """Return which of the distinct lists each row has, and these as tuples; a missing list is empty."""
    numbers = {}
    which = np.empty(len(column), dtype=np.int32)
    for row, entry in enumerate(column):
        if not isinstance(entry, _LISTS):
            if not pd.isna(entry):
                raise TypeError(f"column {name!r} must hold lists, as in fit, got {entry!r} in row {row}.")
            entry = ()
        try:
            which[row] = numbers.setdefault(tuple(entry), len(numbers))
        except TypeError as error:
            raise TypeError(
                f"column {name!r} must hold lists of numbers or text, got {entry!r} in row {row}. Flatten what is "
                "nested, or make text of it."
            ) from error
    return which, list(numbers)


def numeric_column(column, name):
    """Return a column as float64, NaN where missing."""
    _refuse_dates(column, name)
    try:
        if types.is_complex_dtype(column.dtype):
            raise TypeError("got complex ones")
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {name!r} is not among categorical_features and must hold numbers, got {column.dtype}."
        ) from error
    if (np.abs(values) >= np.finfo(np.float32).max).any():
        raise ValueError(
            f"Input X contains infinity or a value too large for float32 in the numeric column {name!r}. If it holds "
            "ids or codes, name it in categorical_features."
        )
    return values
