"""Checks of the tables that the splits and the negatives take."""

import pandas as pd


def check_columns(name, frame, *columns):
    """Raise unless `frame` is a DataFrame with these columns."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}.")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} must have the column {missing[0]!r}, got {list(frame.columns)}.")


def check_nothing_missing(frame, *columns):
    """Raise unless these columns have a value in each row."""
    for column in columns:
        n_missing = frame[column].isna().sum()
        if n_missing:
            raise ValueError(
                f"column {column!r} must not be missing, got {n_missing} missing. "
                f"Leave them out with .dropna(subset=[{column!r}])."
            )
