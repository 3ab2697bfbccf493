"""What a new fit, or a new catalogue, changes of the codes that are in use."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from semid.metrics._arrays import check_codes


class CodeChurn(NamedTuple):
    """What `code_churn` returns.

    Parameters
    ----------
    items : float
        Share of items of which at least one code changed.
    codes : ndarray of shape (n_codebooks,), float
        Share of items whose code of this codebook changed.

    Examples
    --------
    >>> from semid.metrics import code_churn
    >>> items, codes = code_churn([[0, 1], [0, 2]], [[0, 1], [1, 2]])
    >>> items, codes.tolist()
    (0.5, [0.5, 0.0])
    """

    items: float
    codes: np.ndarray


def code_churn(old: ArrayLike, new: ArrayLike) -> CodeChurn:
    """Return what share of items changed their codes: any of them, and those of each codebook.

    ``items = mean_i [old_i ≠ new_i]`` and ``codes[n] = mean_i [old_in ≠ new_in]``: each codebook's share is at most
    that of the items. Labels are compared as they are; those of two fits are arbitrary, until `align_codes` or
    ``align_to`` has made them comparable.

    Parameters
    ----------
    old : array-like of shape (n_items, n_codebooks), int
        Codes before.
    new : array-like of shape (n_items, n_codebooks), int
        Codes of the same items after.

    Returns
    -------
    churn : CodeChurn
        ``items``, a float in [0, 1], and ``codes``, an ndarray of shape (n_codebooks,) with values in [0, 1]: 0 when
        nothing changed, 1 when everything did.

    Raises
    ------
    ValueError
        If `old` and `new` differ in shape, are empty, or are not integers.

    Examples
    --------
    >>> from semid.metrics import code_churn
    >>> churn = code_churn([[0, 1], [0, 2], [3, 1], [3, 2]], [[0, 1], [1, 2], [2, 1], [3, 0]])
    >>> churn.items
    0.75
    >>> churn.codes
    array([0.5 , 0.25])
    """
    old, new = check_codes(old), check_codes(new)
    if old.shape != new.shape:
        raise ValueError(f"old and new must have one shape (n_items, n_codebooks), got {old.shape} and {new.shape}.")
    changed = old != new
    return CodeChurn(float(changed.any(axis=1).mean()), changed.mean(axis=0))
