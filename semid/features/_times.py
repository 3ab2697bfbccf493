"""When something happened, as numbers that can be compared: what a log and its impressions must have in common."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types

NUMBERS, DATES, ZONED_DATES = "numbers", "dates without a time zone", "dates with a time zone"
_END = 2.0**63


class Times(NamedTuple):
    """Times of one kind."""

    values: np.ndarray  # (n,) int64, of dates nanoseconds of UTC; float64 of numbers that are not whole; 0 if missing
    is_missing: np.ndarray  # (n,) bool
    kind: str


def read_times(name, times):
    """Return a column of numbers or dates as `Times`, or raise for any other."""
    column = _typed(pd.Series(times) if not isinstance(times, pd.Series) else times)
    if isinstance(column.dtype, pd.ArrowDtype) and types.is_datetime64_any_dtype(column.dtype):
        column = column.astype(column.dtype.numpy_dtype if column.dt.tz is None else pd.DatetimeTZDtype(tz="UTC"))
    is_missing = column.isna().to_numpy(dtype=bool)
    if types.is_datetime64_any_dtype(column.dtype):
        kind = DATES if column.dt.tz is None else ZONED_DATES
        return Times(_nanoseconds(name, column, is_missing), is_missing, kind)
    if types.is_integer_dtype(column.dtype) or types.is_bool_dtype(column.dtype):
        if column.dtype != np.int64:
            column = column.fillna(0) if is_missing.any() else column
            _check_fits(name, column)
        return Times(column.to_numpy(dtype=np.int64), is_missing, NUMBERS)
    if types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return Times(whole_if_all_are(np.where(is_missing, 0.0, values)), is_missing, NUMBERS)
    odd = column[~is_missing]
    got = repr(odd.iloc[0])[:80] if len(odd) else f"a column of {column.dtype}"
    way_out = " Pass pd.to_datetime of them, or numbers." if len(odd) and isinstance(odd.iloc[0], str) else ""
    raise TypeError(f"{name} must be numbers or dates, got {got}.{way_out}")


def whole_if_all_are(values):
    """Return numbers as int64 if all of them are whole, and int64 holds them."""
    is_whole = (np.abs(values) < _END) & (values == np.round(values))
    return values.astype(np.int64) if is_whole.all() else values


def as_floats(name, values):
    """Return int64 as the float64 beside which they are compared, or raise if they are not all among these."""
    floats = values.astype(np.float64)
    if (np.abs(values) > 2**53).any() and (floats.astype(np.int64) != values).any():
        raise ValueError(
            f"{name} must be whole numbers throughout, or below 2**53, got {values[np.abs(values).argmax()]} beside "
            "fractions: float64 cannot tell them apart."
        )
    return floats


def comparable(name, asked, known):
    """Return `asked` such that ``known < asked`` is exact for times in the dtype of `known`."""
    if asked.dtype == known.dtype:
        return asked
    if known.dtype == np.float64:
        return as_floats(name, asked)
    # A whole number is below a fraction if it is below the next whole one.
    above = np.ceil(asked)
    is_beyond = above >= _END
    above = np.where(is_beyond, 0.0, np.maximum(above, -_END)).astype(np.int64)
    return np.where(is_beyond, np.iinfo(np.int64).max, above)


def check_kinds(name, asked, known):
    """Raise unless times of two kinds are comparable."""
    if asked != known:
        raise TypeError(f"{name} must be {known}, as in the log, got {asked}.")


def _typed(column):
    """Return a column of objects or categories in the dtype of its values."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.ArrowDtype) and types.infer_dtype(column, skipna=True) == "date":
        column = column.astype(object)
    if column.dtype != object:
        return column
    kind = types.infer_dtype(column, skipna=True)
    if kind in ("date", "datetime", "datetime64"):
        return pd.to_datetime(column)
    if kind == "empty":
        return column.astype("Int64")
    if kind in ("integer", "floating", "mixed-integer-float", "boolean"):
        return pd.Series(pd.array([None if pd.isna(value) else value for value in column]), index=column.index)
    return column


def _nanoseconds(name, column, is_missing):
    if column.dt.tz is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    try:
        values = column.dt.as_unit("ns").to_numpy().view(np.int64)
    except pd.errors.OutOfBoundsDatetime as error:
        raise ValueError(f"{name} must lie between the years 1678 and 2262: {error}.") from error
    return np.where(is_missing, 0, values) if is_missing.any() else values


def _check_fits(name, column):
    if len(column) and column.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be below 2**63, got {column.max()}.")
