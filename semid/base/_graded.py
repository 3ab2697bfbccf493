"""Codebook sizes of several granularities."""

from __future__ import annotations

from numbers import Integral

import numpy as np


def graded_sizes(n_codebooks: int, smallest: int = 16, largest: int = 1024) -> list[int]:
    """Return codebook sizes from coarse to fine, evenly spaced on a logarithmic scale.

    A coarse code groups many items, so that a ranker learns it from few clicks; a fine code tells items apart.
    Codebooks of several granularities offer both, and gave a click model the best codes of all that were
    compared for this project (README, table of results).

    Parameters
    ----------
    n_codebooks : int
        How many sizes; a single one is the geometric mean of the two ends.
    smallest, largest : int, default 16 and 1024
        Number of codes in the first and in the last codebook.

    Returns
    -------
    sizes : list of int, length n_codebooks

    Raises
    ------
    TypeError
        If a number is no integer.
    ValueError
        If a number is less than 1.

    Examples
    --------
    >>> from semid.tokenizers import graded_sizes
    >>> graded_sizes(7)
    [16, 32, 64, 128, 256, 512, 1024]
    >>> graded_sizes(3, smallest=8, largest=128)
    [8, 32, 128]
    """
    for name, value in (("n_codebooks", n_codebooks), ("smallest", smallest), ("largest", largest)):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{name} must be an integer, got {value!r}.")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}.")
    if n_codebooks == 1:
        return [round((smallest * largest) ** 0.5)]
    return [round(size) for size in np.geomspace(smallest, largest, n_codebooks)]
