"""What an `ImpressionEncoder` learns of a table that is seen part by part: in one pass, what one look at all gives."""

import numpy as np
import pandas as pd

from semid.ctr._encoding import counts_in_lists, flat_lists
from semid.ctr._values import canonical_values, distinct_values, numeric_column
from semid.tables._frames import split_columns

_LEAST_WAITING = 200_000  # values that are counted together, or as many as are known


class ColumnLearner:
    """Learns the vocabularies, means, scales and ranges of an encoder whose columns have been assigned."""

    def __init__(self, encoder):
        self._encoder = encoder
        self._counts = [ValueCounts() for _ in encoder.vocabularies_]
        self._positions = [*encoder.numeric_, *(p for vector in encoder.vectors_ for p in vector)]
        self._moments = [Moments() for _ in self._positions]

    def add(self, X, weights):
        """Look at some rows, whose `weights` (n,) are positive."""
        _, columns = split_columns(X)
        encoder = self._encoder
        n_categorical = len(encoder.categorical_)
        for counts, position in zip(self._counts[:n_categorical], encoder.categorical_, strict=True):
            positions, values = distinct_values(columns[position], encoder.names_[position])
            counts.add(values, np.bincount(positions[positions >= 0], minlength=len(values)))
        for counts, position in zip(self._counts[n_categorical:], encoder.lists_, strict=True):
            bags = flat_lists(columns[position], encoder.names_[position])
            counts.add(bags[-1].values, counts_in_lists(*bags))
        for moments, position in zip(self._moments, self._positions, strict=True):
            moments.add(numeric_column(columns[position], encoder.names_[position]), weights)

    def finish(self):
        """Give the encoder what has been learned."""
        encoder = self._encoder
        for field, counts in enumerate(self._counts):
            encoder.learn_vocabulary(field, *counts.total(encoder.name_of(field)))
        encoder.means_ = np.array([moments.mean for moments in self._moments], dtype=np.float64)
        encoder.scales_ = np.array([moments.scale for moments in self._moments], dtype=np.float64)
        ranges = [(moments.lowest, moments.highest) for moments in self._moments]
        encoder.ranges_ = np.array(ranges, dtype=np.float64).reshape(-1, 2).T.copy()
        n_plain = len(encoder.numeric_)
        encoder.indicated_ = [m for m, moments in enumerate(self._moments[:n_plain]) if moments.has_missing]


class ValueCounts:
    """Distinct values and how often each was there, in the order of their appearance."""

    def __init__(self):
        self._values, self._counts = [], []
        self._n_waiting = self._n_known = 0

    def add(self, values, counts):
        """Count distinct `values`, an Index."""
        if len(values) == 0 and self._values:
            return
        self._values.append(values)
        self._counts.append(counts)
        self._n_waiting += len(values)
        # Counted anew when there is as much as has been: so often that each value is looked at a few times.
        if self._n_waiting > max(_LEAST_WAITING, self._n_known):
            self._put_together()

    def total(self, name):
        """Return the values of the column `name`, an Index, and their counts."""
        self._put_together()
        (values,), (counts,) = self._values, self._counts
        return canonical_values(values, name, may_be_fractions=True), counts

    def _put_together(self):
        if len(self._values) > 1:
            numbers, values = pd.factorize(_end_to_end(self._values))
            counts = np.bincount(numbers, np.concatenate(self._counts), minlength=len(values))
            self._values, self._counts = [values], [counts]
        self._n_waiting, self._n_known = 0, len(self._values[0])


def _end_to_end(indexes):
    """Return one Index of several, of objects where they have several dtypes."""
    kinds = {index.dtype for index in indexes}
    if kinds == {np.dtype(object)} or len(kinds) > 1:  # of which `append` would make integers
        return pd.Index(np.concatenate([index.to_numpy(dtype=object) for index in indexes]), dtype=object)
    return indexes[0].append(indexes[1:])


class Moments:
    """Weighted mean and scale of numbers, and their range, without what is missing."""

    def __init__(self):
        self._weight = self._mean = self._variance = 0.0
        self._lowest, self._highest = np.inf, -np.inf
        self.has_missing = False

    def add(self, values, weights):
        present = ~np.isnan(values)
        if not present.all():
            self.has_missing = True
            values, weights = values[present], weights[present]
        if not len(values):
            return
        weight = weights.sum()
        shares = weights / weight
        mean = shares @ values
        variance = shares @ np.square(values - mean)
        self._lowest, self._highest = min(self._lowest, values.min()), max(self._highest, values.max())
        if self._weight == 0:
            self._weight, self._mean, self._variance = weight, mean, variance
            return
        # Chan, Golub and LeVeque (1983), from memory.
        before, self._weight = self._weight, self._weight + weight
        share, step = weight / self._weight, mean - self._mean
        self._mean += share * step
        self._variance = (before * self._variance + weight * variance) / self._weight + share * (1 - share) * step**2

    @property
    def _is_constant(self):
        return not self._lowest < self._highest  # or there is nothing

    @property
    def mean(self):
        """The number itself where all are one, 0 where there are none."""
        if self._is_constant:
            return self._lowest if self._weight else 0.0
        return self._mean

    @property
    def scale(self):
        """Standard deviation; 1 where all are one."""
        scale = 1.0 if self._is_constant else np.sqrt(self._variance)
        return scale if scale > 0 else 1.0

    @property
    def lowest(self):
        return self._lowest if self._weight else 0.0

    @property
    def highest(self):
        return self._highest if self._weight else 0.0
