"""What a fit is given: a table, labels and weights, checked before any work."""

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, column_or_1d, validate_data

from semid.base._checks import as_array, check_sample_weight
from semid.ctr._parameters import is_equal
from semid.tables._frames import check_table


def check_training_data(model, X, y, sample_weight, classes=None, *, reset=True, may_be_one=False):
    """Return the table, the labels as 0 and 1, and the weights, without the rows of weight 0.

    The labels are `classes`, or those in `y`, of which both must be there unless one `may_be_one`.
    """
    if y is None:
        validate_data(model, X, y)  # says that y is required
    X = check_table(model, X, reset=reset)
    y = check_labels(y)
    check_consistent_length(X, y)
    weights = check_sample_weight(sample_weight, len(y))
    if model.class_weight is not None:
        weights = check_sample_weight(weights * compute_sample_weight(model.class_weight, y), len(y))
    kept = weights > 0
    model.classes_, y = binary_labels(y, classes)
    if not may_be_one:
        check_two_classes(model.classes_[np.unique(y[kept])], is_everything=kept.all())
    if kept.all():
        return X, y, weights
    return X[kept], y[kept], weights[kept]


def check_two_classes(present, *, is_everything):
    """Raise unless labels of both classes are `present` in the rows of positive weight, which are all or some."""
    if len(present) < 2:
        where = "" if is_everything else " among the rows of positive weight"
        raise ValueError(
            f"y must hold two classes{where}, got one class: {present.tolist()[0]!r}. Use more rows, or stratified "
            "splits."
        )


def check_labels(y):
    """Return labels as an array (n,), none of them missing."""
    y = y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else y
    is_missing = pd.isna(as_array("y", y))
    if np.any(is_missing):
        n_missing, n_labels = np.sum(is_missing), np.size(is_missing)
        raise ValueError(f"Input y contains NaN or None: {n_missing} of {n_labels} labels. Drop these rows.")
    with np.errstate(invalid="ignore"):  # of infinities of both signs, which are refused
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    return column_or_1d(y, warn=True)


def check_classes(classes, known):
    """Return both labels, sorted, or None if nobody says them; `known` are those of a former call."""
    if classes is None:
        return known
    try:
        classes = np.unique(as_array("classes", classes))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise TypeError(
            f"classes must hold two labels of one type, none of them missing, got {classes!r:.80}."
        ) from error
    if len(classes) != 2:
        raise ValueError(f"classes must hold two labels, got {classes.tolist()}.")
    if known is not None and not is_equal(classes, known):
        raise ValueError(f"classes must be {known.tolist()}, as in the first call, got {classes.tolist()}.")
    return classes if known is None else known


def binary_labels(y, classes):
    """Return the two classes, sorted, and `y` as 0 and 1; `classes` are those known, None for those in `y`."""
    with np.errstate(invalid="ignore"):  # of numbers beyond int64, which are no classes
        kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind not in ("binary", "multiclass"):
        raise ValueError(f"Unknown label type: {kind}. y must hold two classes, such as 0 and 1.")
    present, y = np.unique(y, return_inverse=True)
    if classes is None:
        if len(present) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}, "
                f"with {len(present)} classes."
            )
        return present, y
    unknown = np.setdiff1d(present, classes)
    if len(unknown):
        raise ValueError(f"y must hold the labels {classes.tolist()}, as before, got {unknown.tolist()}.")
    return classes, np.searchsorted(classes, present)[y]
