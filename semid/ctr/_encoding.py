"""Columns of a table → integer categories and standardised numbers, as a click model takes them."""

import re
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types

from semid._checks import check_integer
from semid.nn._fields import FIRST_CATEGORY, MISSING, UNKNOWN

_LARGEST_DEVIATION = 1e6  # standard deviations to which numbers are clipped
_CODE_COLUMN = re.compile(r"(?:(?P<prefix>.*)_)?code\d+")


class EncodedImpressions(NamedTuple):
    categories: np.ndarray  # (n, C) int64; 0 missing, 1 unknown, 2.. the categories met in fit
    numbers: np.ndarray  # (n, M) float32


class ImpressionEncoder:
    """Learns the vocabulary of each categorical column and the mean and scale of each numeric one.

    Code columns are put last among the categorical fields, group by group, so that a group is a slice.

    Parameters
    ----------
    categorical_features : "auto", None, or list of column names or positions, or boolean mask
    code_features : "auto", None, or list of column names or positions
    min_frequency : int
        Categories met less often share the row of unknown values.

    Attributes
    ----------
    vocabularies_ : list of ndarray
        Categories of each categorical field, in field order.
    code_groups_ : list of slice
        The fields of each item's codes.
    means_, scales_ : ndarray of shape (M,)
    """

    def __init__(self, categorical_features, code_features, min_frequency):
        self.categorical_features = categorical_features
        self.code_features = code_features
        self.min_frequency = check_integer("min_frequency", min_frequency, 1)

    def fit_encode(self, X, sample_weight):
        """Learn from the table `X` and return its `EncodedImpressions`."""
        names, columns = _split_columns(X)
        code_groups = self._find_code_groups(names)
        coded = {position for group in code_groups for position in group}
        categorical = self._find_categorical(names, columns) | coded
        self.categorical_ = [*sorted(categorical - coded), *(p for group in code_groups for p in group)]
        self.numeric_ = [position for position in range(len(columns)) if position not in categorical]
        self.names_ = names

        ends = np.cumsum([len(categorical) - len(coded), *map(len, code_groups)])
        self.code_groups_ = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self.vocabularies_ = [self._learn_vocabulary(columns[p], names[p]) for p in self.categorical_]
        numbers = self._numeric_values(columns)
        self.means_, self.scales_ = _weighted_moments(numbers, sample_weight)
        return self._encode(columns, numbers)

    def encode(self, X):
        _, columns = _split_columns(X)
        return self._encode(columns, self._numeric_values(columns))

    @property
    def vocabulary_sizes(self):
        """Rows of each categorical field's embedding table, those for missing and unknown values included."""
        return [FIRST_CATEGORY + len(vocabulary) for vocabulary in self.vocabularies_]

    def _encode(self, columns, numbers):
        n_rows = len(columns[0])
        categories = np.empty((n_rows, len(self.categorical_)), dtype=np.int64)
        for field, (position, vocabulary) in enumerate(zip(self.categorical_, self.vocabularies_, strict=True)):
            values = _categorical_values(columns[position], self.names_[position])
            found = pd.Index(vocabulary).get_indexer(values) + FIRST_CATEGORY
            found[found < FIRST_CATEGORY] = UNKNOWN
            categories[:, field] = np.where(values.isna(), MISSING, found)
        deviations = ((numbers - self.means_) / self.scales_).clip(-_LARGEST_DEVIATION, _LARGEST_DEVIATION)
        return EncodedImpressions(categories, deviations.astype(np.float32))

    def _learn_vocabulary(self, column, name):
        values = _categorical_values(column, name)
        counts = pd.Series(values[~values.isna()]).value_counts(sort=False)
        frequent = pd.Index(counts.index[counts.to_numpy() >= self.min_frequency])
        with suppress(TypeError):  # values of several types have no order; that of their appearance will do
            frequent = frequent.sort_values()
        return pd.Index(frequent.to_numpy(dtype=object)).infer_objects().to_numpy()

    def _numeric_values(self, columns):
        numbers = np.empty((len(columns[0]), len(self.numeric_)))
        for m, position in enumerate(self.numeric_):
            numbers[:, m] = _numeric_column(columns[position], self.names_[position])
        return numbers

    def _find_categorical(self, names, columns):
        if isinstance(self.categorical_features, str):
            if self.categorical_features != "auto":
                raise ValueError(
                    "categorical_features must be 'auto', None, or a list of columns, "
                    f"got {self.categorical_features!r}."
                )
            return {p for p, column in enumerate(columns) if not types.is_float_dtype(column.dtype)}
        return set(_find_columns("categorical_features", self.categorical_features, names))

    def _find_code_groups(self, names):
        if not isinstance(self.code_features, str):
            group = _find_columns("code_features", self.code_features, names)
            return [group] if group else []
        if self.code_features != "auto":
            raise ValueError(f"code_features must be 'auto', None, or a list of columns, got {self.code_features!r}.")
        groups = {}
        for position, name in enumerate(names):
            match = _CODE_COLUMN.fullmatch(name) if isinstance(name, str) else None
            if match:
                groups.setdefault(match["prefix"], []).append(position)
        return list(groups.values())


def _split_columns(X):
    """Return the names and the columns, as pandas Series, of a DataFrame or a 2-D array."""
    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(X)
        X = X.infer_objects()
    return list(X.columns), [X.iloc[:, position] for position in range(X.shape[1])]


def _find_columns(parameter, wanted, names):
    """Return the positions meant by a list of names or positions, or by a boolean mask; none for None."""
    if wanted is None:
        return []
    if not hasattr(wanted, "__iter__"):
        raise TypeError(f"{parameter} must be 'auto', None, or a list of columns, got {wanted!r}.")
    wanted = list(wanted)
    if wanted and all(isinstance(entry, bool | np.bool_) for entry in wanted):
        if len(wanted) != len(names):
            raise ValueError(
                f"{parameter} given as a mask must have one entry per column, got {len(wanted)} for {len(names)}."
            )
        return [position for position, entry in enumerate(wanted) if entry]
    positions = []
    for entry in wanted:
        if isinstance(entry, str) and entry in names:
            positions.append(names.index(entry))
        elif isinstance(entry, int | np.integer) and -len(names) <= entry < len(names):
            positions.append(int(entry) % len(names))
        else:
            raise ValueError(
                f"{parameter} must name columns of X, or give their positions, got {entry!r}; X has {names}."
            )
    if len(set(positions)) < len(positions):
        raise ValueError(f"{parameter} must name each column once, got {wanted}.")
    return positions


def _categorical_values(column, name):
    """Return the values of a categorical column as an Index; whole floats become integers, text stays text."""
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        raise ValueError(
            f"column {name!r} holds dates; turn them into fields first, for example "
            f"X[{name!r}].dt.hour or X[{name!r}].dt.dayofweek."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        kind = column.cat.categories.dtype
        column = column.astype("Int64" if types.is_integer_dtype(kind) else kind)
    if types.is_object_dtype(column.dtype):
        column = _checked_objects(column, name)
    if types.is_bool_dtype(column.dtype):
        column = column.astype("Int64") if column.hasnans else column.astype(np.int64)
    if types.is_float_dtype(column.dtype):
        return _whole_numbers(column, name)
    return pd.Index(column)


def _checked_objects(column, name):
    """Return a column of text, numbers and missing values, with True and False as the numbers they equal."""
    odd = ~column.map(lambda value: isinstance(value, str | bytes | int | float | np.number | np.bool_))
    odd &= ~column.isna()
    if odd.any():
        raise TypeError(f"argument must be a string or a number in column {name!r}, got {column[odd].iloc[0]!r}.")
    column = column.map(lambda value: int(value) if isinstance(value, bool | np.bool_) else value)
    return column.astype("Int64") if types.infer_dtype(column, skipna=True) == "integer" else column


def _whole_numbers(column, name):
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = ~np.isnan(values)
    whole = (np.abs(values) < 2**63) & (values == np.round(values))
    if (present & ~whole).any():
        raise ValueError(
            f"column {name!r} is categorical and must hold whole numbers, text or categories, "
            f"got {values[present & ~whole][0]}. Leave it out of categorical_features and code_features to use it as a "
            "number (columns named <prefix>_code<n> are codes unless code_features says otherwise)."
        )
    return pd.Index(pd.array(np.where(present, values, 0), dtype="Int64")).where(present, pd.NA)


def _numeric_column(column, name):
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"column {name!r} is not among categorical_features and must hold numbers, got {column.dtype}."
        ) from error
    if not (np.abs(values) < np.finfo(np.float32).max).all():
        kind = "NaN" if np.isnan(values).any() else "infinity or a value too large for float32"
        raise ValueError(
            f"Input X contains {kind} in the numeric column {name!r}. If it holds ids or codes, name it in "
            'categorical_features, or use .astype("Int64"). If it holds numbers, impute it first, for example with '
            "sklearn.impute.SimpleImputer."
        )
    return values


def _weighted_moments(numbers, weights):
    """Weighted mean and standard deviation of each column; a constant column has itself and 1."""
    shares = weights / weights.sum()
    constant = np.ptp(numbers, axis=0) == 0
    means = np.where(constant, numbers[0], shares @ numbers)
    scales = np.sqrt(shares @ np.square(numbers - means))
    return means, np.where(constant | (scales == 0), 1.0, scales)
