"""A table that is read in parts, with its labels and weights: what `check_training_data` makes of one in memory."""

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from semid.base._checks import check_raw_weights, warn
from semid.ctr._training_data import binary_labels, check_labels, check_two_classes
from semid.tables._in_parts import TableInParts

_LEAST_WEIGHT = 1e-30  # of the largest


class LabelledParts:
    """Impressions of positive weight, part by part, in the order of the table.

    One pass over labels and weights says what is wrong with them, before all other work, and what they are on the
    whole. No row is kept.

    Parameters
    ----------
    X : see `TableInParts`
    y : str
        Name of the column of labels.
    sample_weight : str or None
        Name of the column of weights.
    class_weight : dict, "balanced" or None

    Attributes
    ----------
    classes : ndarray of shape (2,)
    features : list of str
        All other columns.
    lists : set of str
        Those that hold lists.
    n_rows : int
        Of the table.
    """

    def __init__(self, X, y, sample_weight, class_weight):
        self._table = TableInParts("X", X)
        self._y, self._sample_weight, self._class_weight = y, sample_weight, class_weight
        self._about = [y] if sample_weight is None else [y, sample_weight]
        self._table.check_column("y", y)
        if sample_weight is not None:
            self._table.check_column("sample_weight", sample_weight)
        if y == sample_weight:
            raise ValueError(f"sample_weight must be another column than y, got {y!r} for both.")
        self.features = [name for name in self._table.names if name not in self._about]
        self.lists = self._table.lists
        histories = [name for name in self._table.histories if name in self.features]
        if histories:
            warn(
                f"column {histories[0]!r} was written as histories, and is read in parts as lists of ids, with "
                "embeddings of their own and without codes. Pass impressions with histories in memory, as the encoders "
                "make them."
            )
        if not self.features:
            raise ValueError(f"X must have columns beside y and sample_weight, got {self._table.names}.")
        self._look_at_labels()

    def __iter__(self):
        """Yield the DataFrame of the features, labels as 0 and 1, (n,), and float64 weights (n,)."""
        n_rows = 0
        for frame in self._table.frames([*self.features, *self._about]):
            n_rows += len(frame)
            labels = self._labels_of(frame)
            y = np.searchsorted(self.classes, labels).clip(max=len(self.classes) - 1)
            if not np.array_equal(self.classes[y], labels):
                raise self._other_rows(f"labels {self.classes.tolist()} and then {np.unique(labels).tolist()}")
            weights = self._weights(self._raw_weights(frame), y)
            kept = weights > 0
            if kept.all():
                yield frame[self.features], y, weights
            elif kept.any():
                yield frame.loc[kept, self.features], y[kept], weights[kept]
        if n_rows != self.n_rows:
            raise self._other_rows(f"{self.n_rows} rows and then {n_rows}")

    def _other_rows(self, got):
        return ValueError(
            f"X must give the same rows each time it is gone through, got {got}. Leave its files as they are during a "
            "fit; an iterable must begin anew with each iter()."
        )

    def _look_at_labels(self):
        self.n_rows, numbers, heaviest = 0, {}, {}  # by label
        for frame in self._table.frames(self._about):
            present, y = binary_labels(self._labels_of(frame), None)
            weights = self._raw_weights(frame)
            self.n_rows += len(y)
            for label, name in enumerate(present.tolist()):
                of_label = weights[y == label]
                numbers[name] = numbers.get(name, 0) + len(of_label)
                heaviest[name] = max(heaviest.get(name, 0.0), of_label.max())
        if not numbers:
            raise ValueError("X must have at least one row, got none.")
        self.classes, _ = binary_labels(np.array([*numbers]), None)
        names = self.classes.tolist()
        self._learn_weights(np.array([numbers[n] for n in names]), np.array([heaviest[n] for n in names]))

    def _learn_weights(self, numbers, heaviest):
        """Learn what weights are divided by, from how many rows of each label there are, and its largest weight."""
        self._of_classes, self._exponents = None, [_exponent(heaviest)]
        heaviest = _scaled(heaviest, self._exponents[0])
        if self._class_weight is not None and len(numbers) == 2:
            if isinstance(self._class_weight, str):
                self._of_classes = self.n_rows / (2 * numbers.astype(np.float64))
            else:
                self._of_classes = compute_sample_weight(self._class_weight, self.classes)
            heaviest = check_raw_weights(heaviest * self._of_classes, len(heaviest))
            self._exponents.append(_exponent(heaviest))
            heaviest = _scaled(heaviest, self._exponents[1])
        check_two_classes(self.classes[heaviest > 0], is_everything=bool((heaviest > 0).all()))

    def _weights(self, raw, y):
        weights = _scaled(raw, self._exponents[0])
        if self._of_classes is None:
            return weights
        return _scaled(weights * self._of_classes[y], self._exponents[1])

    def _labels_of(self, frame):
        column = frame[self._y]
        if hasattr(column.dtype, "numpy_dtype") and not column.isna().any():
            column = column.astype(column.dtype.numpy_dtype)  # of integers and booleans, not objects
        return check_labels(column)

    def _raw_weights(self, frame):
        if self._sample_weight is None:
            return np.ones(len(frame))
        return check_raw_weights(frame[self._sample_weight], len(frame))


def _exponent(weights):
    """Return the power of two that brings the largest weight into [1, 2), as in `check_sample_weight`."""
    if not weights.any():
        raise ValueError("sample_weight must not be zero for every row; leave it out to weight all rows alike.")
    return 1 - np.frexp(weights.max())[1]


def _scaled(weights, exponent):
    weights = np.ldexp(weights, exponent)
    return np.where(weights < _LEAST_WEIGHT, 0.0, weights)
