"""Columns that are probably not what they are used as: a word before the fit, none where all is well."""

import ast
import json
import re
from inspect import signature

import numpy as np
import pandas as pd
from pandas.api import types

from semid.base._checks import warn
from semid.nn._fields import FIRST_CATEGORY
from semid.tables._frames import split_columns

_ID_NAME = re.compile(r"(^|_|\b)(id|user|item)$", re.IGNORECASE)
_LEAST_ROWS = 200  # below which rates of single values say little
_LEAST_VISITS = 5  # of each value on average: fewer are not few values
_SURE = 5.0  # standard deviations
_LEAST_NAMES = 6  # distinct numbers, below which names and curves look alike
_SURE_STEP = 2.5  # standard deviations
_LEAST_TURNS = 1 / 3  # of the values; three peaks of 24 hours are a quarter
_LEAST_RATIO = 0.5  # of von Neumann's, 1 for random rates
_READ_VALUES = 1000  # of a text column
_LEAST_OF_RARER = 100  # impressions, of the rarer class; in fewer, a good column may decide all
_STEPS = 10  # at most, of a rating
_PARSED_VALUES = 5
_LONGEST_PARSED = 10_000  # characters


def warn_of_suspects(encoder, encoded, columns, y, told=()):
    """Warn of categories used as numbers, but for those `told`, of lists as text, and of a field that is the label."""
    _warn_of_names_as_numbers(encoder, columns, y, told)
    _warn_of_lists_as_text(encoder, columns)
    _warn_of_labels(encoder, encoded, y)


def _warn_of_names_as_numbers(encoder, columns, y, told):
    """Warn of float columns whose few whole numbers are names: click rates jump from one to the next.

    Ratings, counts, ages and hours are whole numbers too, and their rates follow a curve.
    """
    if not isinstance(encoder.categorical_features, str) or len(y) < _LEAST_ROWS:
        return
    names = encoder.names_
    suspects = [names[p] for p in encoder.numeric_ if names[p] not in told and _are_names(columns[p], y)]
    if suspects:
        warn(
            f"columns {suspects} hold few whole numbers as floats, and are used as numbers, though clicks depend on "
            "them as on names: the rate jumps from one to the next. Tables that pass through one array, as polars "
            'frames do in ColumnTransformer(...).set_output(transform="pandas"), lose their integers. Pass integers '
            '(.astype("Int64"), or set_output(transform="polars")) or name the columns in categorical_features; a list '
            "there without them, or None, says that they are numbers."
        )


def _are_names(column, y):
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = ~np.isnan(values)
    values, clicks = values[present], y[present]
    if len(values) < _LEAST_ROWS or not (values == np.round(values)).all():
        return False
    numbers, which = np.unique(values, return_inverse=True)
    if not _LEAST_NAMES <= len(numbers) <= len(values) / _LEAST_VISITS:
        return False
    visits = np.bincount(which)
    rates, rate = np.bincount(which, clicks) / visits, clicks.mean()
    if not 0 < rate < 1:
        return False
    # Chi-squared, where rates do not depend on the number.
    noise, free = rate * (1 - rate), len(numbers) - 1
    beyond_chance = (visits * np.square(rates - rate)).sum() / noise - free
    if beyond_chance < _SURE * np.sqrt(2 * free) + _SURE**2:
        return False
    # What rates vary by, beside the noise of each; a value whose noise is larger says nothing of its neighbours.
    variance = beyond_chance * noise / (len(values) - np.square(visits).sum() / len(values))
    likely = (rates * visits + rate) / (visits + 1)
    noises = likely * (1 - likely) / visits
    return _are_jagged(rates[noises < variance], noises[noises < variance])


def _are_jagged(rates, noises):
    """Return whether rates of neighbours, whose variances of sampling are `noises`, differ as those of strangers do.

    Random rates turn at two thirds of their values, a curve at its few peaks; and their squared steps are on average
    twice their variance (von Neumann, 1941), of a curve far less.
    """
    if len(rates) < _LEAST_NAMES:
        return False
    steps, noise_of_steps = np.diff(rates), noises[:-1] + noises[1:]
    signs = np.sign(steps[np.abs(steps) > _SURE_STEP * np.sqrt(noise_of_steps)])
    n_turns = (signs[:-1] != signs[1:]).sum()
    if n_turns < max(_LEAST_NAMES - 2, _LEAST_TURNS * (len(rates) - 2)):
        return False
    squared_step = (np.square(steps) - noise_of_steps).mean()
    return bool(squared_step > _LEAST_RATIO * 2 * (rates.var(ddof=1) - noises.mean()))


def _warn_of_lists_as_text(encoder, columns):
    for position in encoder.categorical_:
        column = columns[position]
        if isinstance(column.dtype, pd.CategoricalDtype) or not (
            types.is_object_dtype(column.dtype) or types.is_string_dtype(column.dtype)
        ):
            continue
        values = pd.unique(column.dropna().iloc[:_READ_VALUES])
        if len(values) < 2 or not all(map(_is_in_brackets, values)):
            continue
        several = [value for value in values if _has_several(value)]
        if several and all(map(_is_printed_list, sorted(several, key=len)[:_PARSED_VALUES])):
            name, example = encoder.names_[position], several[0]
            warn(
                f"column {name!r} holds lists as text, such as {example!r:.80}, and each text is one category. Make "
                f"lists of them: X[{name!r}].map(json.loads) or .map(ast.literal_eval). "
                '.astype("category") says that each text is a category of its own.'
            )


def _is_in_brackets(value):
    return isinstance(value, str) and value.strip()[:1] + value.strip()[-1:] in ("[]", "()", "{}")


def _is_printed_list(value):
    """Return whether text is what Python, JSON or, with spaces between the entries, NumPy writes of a list."""
    text = value.strip()
    if len(text) > _LONGEST_PARSED:
        return False
    for parse, written in ((ast.literal_eval, text), (json.loads, text), (ast.literal_eval, _with_commas(text))):
        try:
            return isinstance(parse(written), list | tuple | set)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return False


def _with_commas(text):
    return re.sub(r"(?<![\[,\s])\s+(?![\],])", ",", text)


def _has_several(value):
    inside = value.strip()[1:-1].strip()
    return "," in inside or (value.strip()[0] == "[" and len(inside.split()) > 1)


def _warn_of_labels(encoder, encoded, y):
    """Warn of a field that alone decides each label: the label itself, or what it was made of."""
    if np.bincount(y, minlength=2).min() < _LEAST_OF_RARER:
        return
    n_plain = len(encoder.categorical_) - sum(group.stop - group.start for group in encoder.code_groups_)
    names = [encoder.names_[p] for p in encoder.categorical_[:n_plain]]
    fields = [(name, _in_order(encoder, f, encoded.categories[:, f])) for f, name in enumerate(names)]
    numeric = [encoder.names_[p] for p in encoder.numeric_]
    numeric += [f"{numeric[m]} (whether it is missing)" for m in encoder.indicated_]
    fields += [(name, (encoded.numbers[:, m], True)) for m, name in enumerate(numeric)]
    suspects = [name for name, (values, has_order) in fields if _decides(values, y, has_order)]
    if suspects:
        warn(
            f"each of the columns {suspects} alone decides every label: is it the label, what the label was made of, "
            "or what a click leaves behind? Then nobody knows it before the click; leave it out of X."
        )


def _in_order(encoder, field, categories):
    """Return the categories of a field and whether their order is that of integers."""
    vocabulary = encoder.vocabularies_[field]
    is_ordered = isinstance(vocabulary, np.ndarray) and vocabulary.dtype.kind in "iu"
    return categories, is_ordered and (categories >= FIRST_CATEGORY).all()


def _decides(values, y, has_order):
    """Return whether one class has one value, which the other has not, or few values in order part the classes."""
    of_class = [values[y == label] for label in (0, 1)]
    for own, other in (of_class, of_class[::-1]):
        if own.min() == own.max() and not (other == own[0]).any():
            return True
    apart = of_class[0].max() < of_class[1].min() or of_class[1].max() < of_class[0].min()
    return has_order and apart and len(np.unique(values)) <= _STEPS


def warn_of_codes_without_names(model, X):
    """Warn of an array whose columns may well be codes, which are found by their names alone.

    Where integers stand beside text, a ColumnTransformer has dropped the names as a rule. Integers alone may be
    plain ids: then only a `fusion` that was asked for says that some of them are codes.
    """
    looks_for_names = isinstance(model.code_features, str)
    if isinstance(X, pd.DataFrame) or not looks_for_names or model.fusion == "concat":
        return
    kinds = [pd.api.types.infer_dtype(column, skipna=True) for column in split_columns(X[:1000])[1]]
    is_asked_for = model.fusion != signature(type(model)).parameters["fusion"].default
    if kinds.count("integer") >= 2 and ("string" in kinds or is_asked_for):
        warn(
            f"X is an array without column names, by which codes are found: none are, and fusion={model.fusion!r} "
            "mixes nothing. If X holds codes, pass a DataFrame "
            '(ColumnTransformer(...).set_output(transform="pandas")) or give their positions as code_features; '
            "code_features=None says that there are none."
        )


def warn_of_ids_as_numbers(X, categorical_features):
    """Warn of whole numbers in float columns that look like ids or codes, used as numbers; return the columns."""
    if not (isinstance(categorical_features, str) and len(X) > 2):
        return []
    if isinstance(X, pd.DataFrame):
        named_like_ids = [c for c in X.columns if _ID_NAME.search(str(c)) and pd.api.types.is_float_dtype(X[c].dtype)]
        suspects = [c for c in named_like_ids if _are_whole(X[c].dropna().to_numpy(dtype=np.float64))]
        where = f"columns {suspects} hold"
    else:
        if X.dtype.kind != "f":
            return []
        first = X[:1000]
        suspects = np.flatnonzero((first == np.round(first)).all(axis=0) & (np.ptp(first, axis=0) > 1)).tolist()
        where = f"X is a float array without column names, and its columns {suspects} hold"
    if suspects:
        warn(
            f"{where} whole numbers as floats, and are used as numbers. If these are ids or codes, pass integers in a "
            'DataFrame (ColumnTransformer(...).set_output(transform="pandas"), .astype("Int64")) or name them in '
            "categorical_features; categorical_features=None says that all are numbers.",
        )
    return suspects


def _are_whole(numbers):
    return len(numbers) > 0 and (np.isfinite(numbers) & (numbers == np.round(numbers))).all()
