"""New codes in the labels of old ones, so that what was learned per code stays of use."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from semid.base._checks import as_array, check_codes, check_sample_weight

_MOST_CODES = 2**15  # whose overlaps, each with each, are 8 GB


def align_codes(
    old: ArrayLike, new: ArrayLike, *, codebook_sizes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
) -> np.ndarray:
    """Return the codes `new` in the labels of `old`, such that as many items as possible keep their code.

    Which code means what is arbitrary in every fit. Relabelling one codebook at a time leaves all that matters as it
    was, who shares a code with whom, and lets embeddings learned for the old codes be used for the new ones. The best
    relabelling is a linear assignment over the counts of items by old and new code.

    Parameters
    ----------
    old : array-like of shape (n_items, n_codebooks), int
        Codes before.
    new : array-like of shape (n_items, n_codebooks), int
        Codes of the same items after.
    codebook_sizes : array-like of shape (n_codebooks,), int, default None
        Number of codes in each new codebook; labels stay below. None for one more than the largest code, old or new.
    sample_weight : array-like of shape (n_items,), default None
        Weight of each item, for example its popularity. None weights all alike.

    Returns
    -------
    aligned : ndarray of shape (n_items, n_codebooks), int64
        `new`, relabelled. New codes that match no old one have the labels that are left.

    Raises
    ------
    ValueError
        If `old` and `new` differ in shape, are not whole numbers, are negative, or if `new` is beyond `codebook_sizes`.

    Examples
    --------
    >>> from semid.tokenizers import align_codes
    >>> align_codes([[0], [0], [1], [2]], [[2], [2], [2], [0]]).ravel().tolist()
    [0, 0, 0, 2]
    """
    old, new = check_pair(old, new)
    sizes = 1 + np.maximum(old.max(axis=0), new.max(axis=0))
    if codebook_sizes is not None:
        sizes = _check_sizes(codebook_sizes, new.shape[1])
    new = check_codes(new, sizes)
    if np.max(sizes) > _MOST_CODES:
        raise ValueError(f"codes must be less than {_MOST_CODES}, got a codebook of {np.max(sizes)} to be aligned.")
    weights = check_sample_weight(sample_weight, len(new))
    columns = [best_labels(*pair, weights)[pair[1]] for pair in zip(old.T, new.T, sizes, strict=True)]
    return np.stack(columns, axis=1)


def labels_like(old: ArrayLike, new: np.ndarray, sizes: list[int], sample_weight: ArrayLike | None) -> list[np.ndarray]:
    """Return the labels (size,) of each codebook under which most weight of the codes `new` has its old code."""
    codes = as_array("codes", old)
    if codes.shape != new.shape:
        raise ValueError(f"codes must have a row per row of X, of the shape {new.shape}, got {codes.shape}.")
    before, after = check_pair(codes, new)
    weights = check_sample_weight(sample_weight, len(after))
    return [best_labels(*columns, weights) for columns in zip(before.T, after.T, sizes, strict=True)]


def best_labels(old: np.ndarray, new: np.ndarray, size: int, weights: np.ndarray) -> np.ndarray:
    """Return the label (size,) of each new code, a permutation under which most weight has its old code.

    Old codes from `size` on are no labels, and match nothing.
    """
    usable = old < size
    pairs = new[usable] * size + old[usable]
    overlaps = np.bincount(pairs, weights=weights[usable], minlength=size * size).reshape(size, size)
    return linear_sum_assignment(overlaps, maximize=True)[1]


def _check_sizes(codebook_sizes, n_codebooks):
    sizes = as_array("codebook_sizes", codebook_sizes)
    if sizes.shape != (n_codebooks,) or sizes.dtype.kind not in "iu":
        raise ValueError(
            f"codebook_sizes must have an integer per codebook, {n_codebooks} of them, got {codebook_sizes!r:.80}."
        )
    return sizes


def check_pair(old: ArrayLike, new: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of codes as int64, or raise unless they have one shape and hold codes."""
    old, new = as_array("old", old), as_array("new", new)
    if old.shape != new.shape or old.ndim != 2 or old.size == 0:
        raise ValueError(
            f"old and new must have one shape (n_items, n_codebooks) and not be empty, got {old.shape} and {new.shape}."
        )
    unbounded = [np.iinfo(np.int64).max] * old.shape[1]
    return check_codes(old, unbounded), check_codes(new, unbounded)
