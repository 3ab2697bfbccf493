"""What the metrics take: checks of arrays, and their distinct rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from semid.base._checks import as_array, check_single_values, warn_of_packed_bits
from semid.metrics._mapping_rows import NO_CODE
from semid.tables._ids import check_no_ids, factorize_ids
from semid.tables._vectors import plain_array


def as_table(name: str, rows: Any) -> np.ndarray:
    """Return embeddings or codes as an array, also of a frame whose columns are nullable or Arrow's; raise for ids."""
    check_no_ids(name, rows)
    return as_array(name, plain_array(rows) if isinstance(rows, pd.DataFrame) else rows)


def check_codes(codes: ArrayLike) -> np.ndarray:
    """Return `codes` as an array, or raise unless they are integers of at least NO_CODE, one row per item."""
    codes = as_table("codes", codes)
    if codes.ndim != 2 or codes.size == 0:
        raise ValueError(f"codes must have shape (n_items, n_codebooks) and not be empty, got {codes.shape}.")
    if codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got an array of {codes.dtype}.")
    if codes.min() < NO_CODE:
        raise ValueError(
            f"codes must be at least 0, or {NO_CODE} for no code, got {codes.min()}. Are these embeddings?"
        )
    return codes


def one_size_each(codebook_size: int | ArrayLike, n_codebooks: int) -> np.ndarray:
    """Return `codebook_size` as one integer per codebook, (n_codebooks,)."""
    sizes = as_array("codebook_size", codebook_size)
    if sizes.dtype.kind not in "iu" or sizes.shape not in ((), (n_codebooks,)):
        raise ValueError(
            f"codebook_size must be one integer, or one for each of {n_codebooks} codebooks, got {codebook_size!r}."
        )
    return np.broadcast_to(sizes, n_codebooks)


def check_sizes(codes: np.ndarray, codebook_size: Any) -> np.ndarray:
    """Return one size per codebook, or raise unless all `codes` lie below them."""
    sizes = one_size_each(codebook_size, codes.shape[1])
    if codes.min() < 0 or (codes.max(axis=0) >= sizes).any():
        raise ValueError(
            "codes must lie in [0, codebook_size), "
            f"got {codes.min()} to {codes.max(axis=0).tolist()} and {codebook_size}."
        )
    return sizes


def check_rows(name: str, X: ArrayLike, n_items: int | None = None) -> np.ndarray:
    """Return `X` as a 2-D array of finite floats, in float32 if it has no more digits than that."""
    X = as_table(name, X)
    if X.ndim != 2 or X.size == 0:
        raise ValueError(f"{name} must be 2-D, one row per item, and not be empty, got shape {X.shape}.")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, got an array of {X.dtype}.")
    if n_items is not None and len(X) != n_items:
        raise ValueError(f"{name} must have one row for each of the {n_items} items, got {len(X)}.")
    warn_of_packed_bits(name, X)
    X = X.astype(np.result_type(X.dtype, np.float32), copy=False)
    if not np.isfinite(X).all():
        raise ValueError(f"{name} must hold neither NaN nor infinity. Leave those items out, or fill them in.")
    return X


def check_labels(name: str, y: Any, n_rows: int) -> np.ndarray:
    """Return `y` as a 1-D array with one entry per row."""
    labels = as_array(name, y)
    if labels.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), one entry per row, got {labels.shape}.")
    if not hasattr(y, "dtype"):  # numpy would make text of 1 beside "1", and floats of int64 beside uint64
        labels = np.empty(n_rows, dtype=object)
        labels[:] = list(y)
    return labels


def numbered_labels(name: str, y: ArrayLike, n_rows: int) -> np.ndarray:
    """Return the number of the label of each row, an integer array, or raise where one is missing."""
    y = check_labels(name, y, n_rows)
    check_single_values(name, pd.Series(y))
    numbers, _ = factorize_ids(y)
    if (numbers < 0).any():
        raise ValueError(f"{name} must not be missing, got {np.count_nonzero(numbers < 0)} missing of {n_rows}.")
    return numbers


def distinct_rows(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each distinct row of `X` is first, (n_distinct,), and which of them each row equals, (n_items,)."""
    X = np.ascontiguousarray(X) + X.dtype.type(0)  # -0.0 → 0.0: equal numbers, equal bytes
    # Compared byte by byte, ten times as fast as np.unique(axis=0) on wide rows; their order means nothing.
    rows = X.view(np.dtype((np.void, X.shape[1] * X.itemsize))).ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    return first, inverse


def rescaled(X, *others):
    """Return `X`, and `others`, times the power of two that brings the largest number of `X` near 1.

    For what does not depend on the scale: no digit changes, and squares stay within the range of floats.
    """
    exponent = -np.frexp(np.abs(X).max())[1]
    return np.ldexp(X, exponent) if not others else tuple(np.ldexp(array, exponent) for array in (X, *others))
