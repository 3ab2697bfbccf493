"""Checks of the tables that the splits and the negatives take."""

import re

import numpy as np
import pandas as pd
from pandas.api import types

from semid.tables._frames import check_is_frame

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def check_columns(name, frame, *columns):
    """Raise unless `frame` is a DataFrame with these columns."""
    check_is_frame(name, frame)
    names = list(frame.columns)
    odd = next((column for column in columns if names.count(column) != 1), None)
    if odd is not None:
        raise ValueError(f"{name} must have the column {odd!r}{' once' if odd in names else ''}, got {names}.")


def check_nothing_missing(frame, *columns):
    """Raise unless these columns have a value in each row."""
    for column in columns:
        n_missing = frame[column].isna().sum()
        if n_missing:
            raise ValueError(
                f"column {column!r} must not be missing, got {n_missing} missing. "
                f"Leave them out with .dropna(subset=[{column!r}])."
            )


def check_sorts(frame, column, name="interactions"):
    """Raise if a column of times is text whose order is not that of the numbers it holds, or of several kinds."""
    times = frame[column]
    if isinstance(times.dtype, pd.CategoricalDtype):
        times = times.cat.categories  # which is their order
        in_order = times.tolist()
    elif types.is_numeric_dtype(times.dtype) or types.is_datetime64_any_dtype(times.dtype):
        return
    else:
        times = times.unique()
        is_text = [isinstance(time, str) for time in times]
        if any(is_text) and not all(is_text):
            text, other = times[is_text.index(True)], times[is_text.index(False)]
            raise ValueError(
                f"column {column!r} must hold times of one type, got text such as {text!r} beside {other!r}, which "
                "have no order. Pass numbers, or dates, alone."
            )
        in_order = sorted(times) if all(is_text) else []
    if not all(isinstance(text, str) and _NUMBER.fullmatch(text) for text in in_order):
        return
    numbers = np.array([float(text) for text in in_order])
    if (numbers[1:] < numbers[:-1]).any():
        raise ValueError(
            f"column {column!r} must hold numbers or dates, got numbers as text, such as {in_order[0]!r}, of which "
            f"'10' comes before '9'. Pass {name}.assign({column}={name}[{column!r}].astype(float))."
        )
