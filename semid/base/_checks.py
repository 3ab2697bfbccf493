"""Checks of parameters, and the one phrase in which they fail: name, rule, value."""

import sys
import warnings
from collections.abc import Hashable, Iterable
from math import inf, isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from semid.base._graded import graded_sizes

_WRAPPERS = ("sklearn", "joblib", "pickle", "copy")  # between the line of a user and an estimator
_PACKAGE = str(Path(__file__).parents[1])  # this file is in a folder of it
_HALF_BYTES = (range(4), range(4, 8))  # places, lowest first


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of `message` at the line of the caller that led here: outside this package, and what it is wrapped in."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_on_the_way(frame):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_on_the_way(frame):
    is_wrapper = str(frame.f_globals.get("__name__")).partition(".")[0] in _WRAPPERS
    return is_wrapper or frame.f_code.co_filename.startswith(_PACKAGE)


def check_integer(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an int, or raise unless it is an integer of at least `minimum`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value)


def check_number(
    name: str,
    value: Any,
    minimum: float = 0.0,
    maximum: float = inf,
    *,
    open_minimum: bool = False,
    open_maximum: bool = False,
) -> float:
    """Return `value` as a float, or raise unless it is finite and lies between the bounds."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    number = float(value)
    too_low = number <= minimum if open_minimum else number < minimum
    too_high = number >= maximum if open_maximum else number > maximum
    if not isfinite(number) or too_low or too_high:
        left, right = "(" if open_minimum else "[", ")" if open_maximum or maximum == inf else "]"
        raise ValueError(f"{name} must lie in {left}{minimum}, {maximum}{right}, got {value!r}.")
    return number


def check_option(name: str, value: Any, options: Iterable[Any]) -> Any:
    """Return `value`, a plain one for numpy's, or raise unless it is one of `options`."""
    if isinstance(value, np.generic):  # as a search over an array hands them over
        value = value.item()
    if not any(value is option or (type(value) is type(option) and value == option) for option in options):
        allowed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")
    return value


def check_layer_sizes(name: str, value: Any) -> tuple[int, ...]:
    """Return a tuple of layer widths from an int or a sequence of ints; empty means no hidden layer."""
    sizes = (value,) if isinstance(value, Integral) else value
    if isinstance(sizes, str) or not hasattr(sizes, "__iter__"):
        raise TypeError(f"{name} must be a sequence of integers, got {value!r}.")
    return tuple(check_integer(f"each of {name}", size, 1) for size in sizes)


def check_codebook_sizes(codebook_size: Any, n_codebooks: int, n_items: int) -> list[int]:
    """Return one int per codebook from ``codebook_size``: an int, one int per codebook, or ``"graded"``.

    ``"graded"`` is scaled down for a small catalogue, to 8 items per code on average in the largest codebook.
    """
    if isinstance(codebook_size, str):
        if codebook_size != "graded":
            raise ValueError(
                f"codebook_size must be an integer, one integer per codebook, or 'graded', got {codebook_size!r}."
            )
        largest = int(np.clip(n_items // 8, 2, 1024))
        return graded_sizes(n_codebooks, min(16, largest), largest)
    if np.ndim(codebook_size) == 0:
        return [check_integer("codebook_size", codebook_size, 2)] * n_codebooks
    sizes = [check_integer("each codebook_size", size, 2) for size in codebook_size]
    if len(sizes) != n_codebooks:
        raise ValueError(
            f"codebook_size must have one entry for each of the n_codebooks={n_codebooks}, "
            f"got {len(sizes)}: {sizes}. Pass one int for all, or set n_codebooks={len(sizes)}."
        )
    return sizes


def as_array(name: str, values: Any) -> np.ndarray:
    """Return `values` as an array, or raise where they are rows of several lengths."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be an array, got a {type(values).__name__} that is none: do its rows have one length?"
        ) from error


def as_numbers(name: str, values: Any) -> np.ndarray:
    """Return `values` as an array of booleans, integers or floats, or raise unless they are; None and NA are NaN."""
    array = as_array(name, values)
    if array.dtype.kind == "O" and array.ndim:
        try:
            array = np.where(pd.isna(array), np.nan, array).astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{name} must hold numbers, got others among them, such as {array.flat[0]!r:.80}."
            ) from error
    if array.dtype.kind not in "biuf":
        kind = type(values).__name__ if array.dtype.kind == "O" else f"an array of {array.dtype}"
        raise ValueError(f"{name} must hold numbers, got {kind}.")
    return array


def check_single_values(name: str, column: pd.Series) -> None:
    """Raise if a Series of ids or the like holds lists, or something else that equals nothing."""
    if column.dtype != object and not isinstance(column.dtype, pd.ArrowDtype):
        return
    odd = next((value for value in column if not isinstance(value, Hashable)), None)
    if odd is not None:
        raise TypeError(f"{name} must hold text or numbers, got {odd!r:.80}.{way_out_of_lists(odd)}")


def way_out_of_lists(odd):
    """Return what to do where a list stands for a single value; nothing of another value."""
    if not isinstance(odd, list | tuple | set | np.ndarray):
        return ""
    return (
        " That is a list, and each row must have one value: .str[0] or .str[-1] takes one of its entries, .explode() "
        "makes a row of each. A click model takes a column of lists as it is."
    )


def check_codes(codes: Any, codebook_sizes: Any, *, may_be_cut: bool = False) -> np.ndarray:
    """Return `codes` as int64, or raise unless they are whole numbers below the codebook sizes, a column for each.

    With `may_be_cut`, columns for the first few codebooks will do.
    """
    codes = as_numbers("codes", codes)
    n_codebooks = len(codebook_sizes)
    if codes.ndim != 2 or not (codes.shape[1] == n_codebooks or (may_be_cut and 0 < codes.shape[1] < n_codebooks)):
        raise ValueError(f"codes must have shape (n_items, {n_codebooks}), got {codes.shape}.")
    codebook_sizes = codebook_sizes[: codes.shape[1]]
    if codes.dtype.kind not in "iu" and not (codes.dtype.kind == "f" and (codes == codes.round()).all()):
        raise ValueError(f"codes must be integers, got an array of {codes.dtype}.")
    wrong = np.argwhere((codes < 0) | (codes >= codebook_sizes))
    if len(wrong):
        row, n = wrong[0]
        raise ValueError(
            f"codes of codebook {n} must lie in [0, {codebook_sizes[n]}), got {codes[row, n]} in row {row}."
        )
    return codes.astype(np.int64)


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Return one float64 weight per row, the largest in [1, 2), ones for None.

    Raise unless the weights are finite, not negative, and not all zero. Those below 1e-30 of the largest become 0.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    weights = check_raw_weights(sample_weight, n_rows)
    if not weights.any():
        raise ValueError("sample_weight must not be zero for every row; leave it out to weight all rows alike.")
    # Divided by a power of two: integer weights keep their proportions to the last bit.
    weights = np.ldexp(weights, 1 - np.frexp(weights.max())[1])
    return np.where(weights < 1e-30, 0.0, weights)


def check_raw_weights(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Return weights as they are, float64; raise unless they are finite and not negative."""
    weights = as_numbers("sample_weight", sample_weight).astype(np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight must have one entry per row, shape ({n_rows},), got shape {weights.shape}.")
    if not np.isfinite(weights).all() or (weights < 0).any():
        bad = weights[~(np.isfinite(weights) & (weights >= 0))][0]
        raise ValueError(f"sample_weight must be finite and not negative, got {bad}.")
    return weights


def warn_of_packed_bits(name: str, X: Any) -> None:
    """Warn where bytes look like eight features each, one a bit, as precisions "ubinary" and "binary" have them.

    In numbers, the two highest bits of a byte know of each other: half-way between the smallest and the largest, where
    most are, they are 01 or 10, unless all are equally frequent. And only the higher bits of a number know of those of
    other columns. Bits that were packed are features like any two.
    """
    is_bytes = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype in (np.uint8, np.int8)
    if not is_bytes or len(X) < 20 or X.shape[1] < 8:
        return
    some = X[np.linspace(0, len(X) - 1, num=min(len(X), 2000)).astype(int)].view(np.uint8)
    high, next_to_high = (((some >> place) & 1).astype(np.float64) for place in (7, 6))
    high, next_to_high = high - high.mean(axis=0), next_to_high - next_to_high.mean(axis=0)
    spread = high.std(axis=0) * next_to_high.std(axis=0)
    varies = spread > 0.02
    if varies.mean() < 0.8 or abs(np.mean((high * next_to_high).mean(axis=0)[varies] / spread[varies])) > 0.2:
        return
    if not _low_bits_are_features(some):
        return
    unpacked = "X" if X.dtype == np.uint8 else "(X.astype(np.int16) + 128).astype(np.uint8)"
    warn(
        f"{name} looks like packed bits, 8 features in each of {X.shape[1]} columns of {X.dtype}, as embeddings of "
        "binary precision are: distances between such numbers mean nothing. If it is, pass "
        f"np.unpackbits({unpacked}, axis=1); if not, pass X.astype(np.float32)."
    )


def _low_bits_are_features(X):
    """Return whether the lower four bits of bytes, (n, B), are as correlated between columns as the higher four are."""
    X = np.unique(X, axis=0)  # of rows that are there twice, all bits are
    X = X[:, np.linspace(0, X.shape[1] - 1, num=min(X.shape[1], 256)).astype(int)]
    low, high = (np.mean([_squared_correlation((X >> place) & 1) for place in places]) for places in _HALF_BYTES)
    n_pairs = X.shape[1] * (X.shape[1] - 1) / 2
    by_chance = 1 / (len(X) - 1)  # and sqrt(2) times as much, its standard deviation
    return low - by_chance > max(5 * by_chance * np.sqrt(2 / (4 * n_pairs)), (high - by_chance) / 3)


def _squared_correlation(bits):
    """Return the mean squared correlation of different columns, those of one value left out."""
    centred = bits - bits.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=0)
    units = centred[:, lengths > 0] / lengths[lengths > 0]
    n_columns = units.shape[1]
    if n_columns < 2:
        return 0.0
    return (np.square(units.T @ units).sum() - n_columns) / (n_columns * (n_columns - 1))


def check_input_features(estimator, input_features):
    """Raise unless there are as many `input_features` as the estimator saw in `fit`."""
    if len(input_features) != estimator.n_features_in_:
        raise ValueError(
            "input_features should have length equal to the number of features seen in fit "
            f"({estimator.n_features_in_}), got {len(input_features)}."
        )
