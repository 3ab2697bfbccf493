"""Clicks from what a log holds instead."""

from __future__ import annotations

import operator
import re

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from semid.datasets._frames import check_columns, check_nothing_missing

_OPERATORS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(rf"\s*(?P<column>.+?)\s*(?P<operator>{'|'.join(_OPERATORS)})\s*(?P<number>{_NUMBER})\s*", re.ASCII)


def label_clicks(interactions: pd.DataFrame, rule: str = "rating > 3") -> np.ndarray:
    """Return 1 for each interaction that counts as a click by `rule`, 0 for the others.

    Parameters
    ----------
    interactions : DataFrame
        One row per interaction.
    rule : str, default "rating > 3"
        ``<column> <operator> <number>``, with one of ``>``, ``>=``, ``<``, ``<=``, ``==`` and ``!=``. The column is one
        of numbers, with none missing. The rule is read, never evaluated as Python.

    Returns
    -------
    clicks : ndarray of shape (n_interactions,), int64

    Raises
    ------
    TypeError
        If `interactions` is not a DataFrame, `rule` not a str, or the column not one of numbers.
    ValueError
        If `rule` has another form, or its column is not there or has missing values.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import label_clicks
    >>> label_clicks(pd.DataFrame({"rating": [3, 4, 5]})).tolist()
    [0, 1, 1]
    """
    if not isinstance(rule, str):
        raise TypeError(f"rule must be a str such as 'rating > 3', got {rule!r}.")
    match = _RULE.fullmatch(rule)
    if match is None:
        raise ValueError(
            f"rule must have the form '<column> <operator> <number>' with an operator among {', '.join(_OPERATORS)}, "
            f"such as 'rating > 3', got {rule!r}."
        )
    column = match["column"]
    check_columns("interactions", interactions, column)
    check_nothing_missing(interactions, column)
    values = interactions[column]
    if not is_numeric_dtype(values) or is_bool_dtype(values):
        raise TypeError(f"column {column!r} of rule must hold numbers, got {values.dtype}.")
    return _OPERATORS[match["operator"]](values, _number(match["number"])).to_numpy(dtype=np.int64)


def _number(text):
    # An int where it can be one: large ids do not survive as floats.
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
