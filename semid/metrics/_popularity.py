"""Which items share their codes, and how much of the traffic goes there; what prefixes say of labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from semid.base._checks import as_numbers
from semid.metrics._arrays import check_codes, check_labels, distinct_rows
from semid.tables._ids import factorize_ids

PARTS = ("head", "middle", "tail")


def shared_traffic(codes: ArrayLike, popularity: ArrayLike) -> float:
    """Return the share of all interactions that is with items whose codes another item has too.

    ``Σ_i w_i [i shares its row of codes] / Σ_i w_i``: 0 when every item has a row of its own, 1 when none has. A
    collision rate counts every item alike; this says what the collisions cost, since two bestsellers that share their
    codes are met more often than two items that nobody takes.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    popularity : array-like of shape (n_items,)
        Number of interactions of each item, or any other weight of at least 0.

    Returns
    -------
    share : float in [0, 1]

    Raises
    ------
    ValueError
        If `codes` are not integers, or `popularity` is negative, not finite, zero everywhere or not one per item.

    Examples
    --------
    >>> from semid.metrics import shared_traffic
    >>> shared_traffic([[0, 1], [0, 1], [2, 0]], [30, 10, 60])
    0.4
    """
    codes = check_codes(codes)
    popularity = check_popularity(popularity, len(codes))
    return float(popularity[shares_codes(codes)].sum() / popularity.sum())


def allocation_by_popularity(codes: ArrayLike, popularity: ArrayLike) -> pd.DataFrame:
    """Return how many items have codes of their own among those in demand and among those that are not.

    Items from the most popular to the least are cut where a third and two thirds of the interactions are reached:
    the few of the head have as many as the many of the tail. Of equally popular items those that come first in `codes`
    are first. SIDInspector (arXiv:2606.10375) has such a table; the thirds of the traffic are this project's choice.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    popularity : array-like of shape (n_items,)
        Number of interactions of each item, or any other weight of at least 0.

    Returns
    -------
    parts : DataFrame of shape (3, 3)
        Rows ``head``, ``middle`` and ``tail``; columns ``n_items``, ``traffic`` (share of the interactions) and
        ``own_codes`` (share of the part's items whose row of codes no other item has, NaN without items).

    Raises
    ------
    ValueError
        If `codes` are not integers, or `popularity` is negative, not finite, zero everywhere or not one per item.

    Examples
    --------
    >>> from semid.metrics import allocation_by_popularity
    >>> allocation_by_popularity([[0], [1], [2], [2], [3], [2]], [30, 20, 10, 10, 10, 10])
            n_items   traffic  own_codes
    head          1  0.333333   1.000000
    middle        2  0.333333   0.500000
    tail          3  0.333333   0.333333
    """
    codes = check_codes(codes)
    popularity = check_popularity(popularity, len(codes))
    parts, has_own = part_of_each(popularity), ~shares_codes(codes)
    n_items = np.bincount(parts, minlength=3)
    traffic = np.bincount(parts, popularity, minlength=3) / popularity.sum()
    with np.errstate(invalid="ignore"):
        own = np.bincount(parts, has_own, minlength=3) / n_items
    return pd.DataFrame({"n_items": n_items, "traffic": traffic, "own_codes": own}, index=list(PARTS))


def prefix_purity(codes: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return how often two items of one prefix have the same label, for each length of the prefix.

    ``Σ_g Σ_c n_gc (n_gc - 1) / Σ_g n_g (n_g - 1)`` with ``n_gc`` items of label c among the ``n_g`` of prefix g: the
    chance that two different items which share a prefix share their label. Codes that know nothing of the labels have
    the chance of any two items, ``Σ_c N_c (N_c - 1) / (N (N - 1))``, whatever their number: an item that is alone adds
    nothing, where the usual purity, the share of the largest label, would be 1. The precision of pairs of a clustering
    (Rand, 1971, from memory).

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    labels : array-like of shape (n_items,)
        Labels of the items, such as categories. Items whose label is missing are left out.

    Returns
    -------
    purity : ndarray of shape (n_codebooks,), float in [0, 1]
        NaN where no two items share a prefix.

    Raises
    ------
    ValueError
        If `codes` are not integers, or there is not one label per item.

    Examples
    --------
    >>> from semid.metrics import prefix_purity
    >>> prefix_purity([[0, 0], [0, 0], [0, 1], [1, 0], [1, 0]], ["a", "a", "b", "b", "b"])
    array([0.5, 1. ])
    """
    codes = check_codes(codes)
    numbers, _ = factorize_ids(check_labels("labels", labels, len(codes)))
    codes, numbers = codes[numbers >= 0], numbers[numbers >= 0]
    return np.array([_agreement(codes[:, :n], numbers) for n in range(1, codes.shape[1] + 1)])


def purity_by_chance(labels: ArrayLike, n_items: int) -> float:
    """Return the `prefix_purity` that codes have which know nothing of the labels, NaN with fewer than two items."""
    numbers, _ = factorize_ids(check_labels("labels", labels, n_items))
    numbers = numbers[numbers >= 0]
    return _agreement(np.zeros((len(numbers), 1), dtype=np.int64), numbers)


def check_popularity(popularity: ArrayLike, n_items: int) -> np.ndarray:
    """Return `popularity` as float64, one finite number of at least 0 per item, or raise."""
    weights = as_numbers("popularity", popularity).astype(np.float64)
    if weights.shape != (n_items,):
        way_out = " Of a Series by item id, pass popularity.reindex(item_ids, fill_value=0)."
        raise ValueError(
            f"popularity must have shape ({n_items},), one number per item, got {weights.shape}."
            f"{way_out if isinstance(popularity, pd.Series) else ''}"
        )
    if not np.isfinite(weights).all() or weights.min(initial=0) < 0 or weights.sum() == 0:
        odd = weights[~np.isfinite(weights) | (weights < 0)]
        got = f"{odd[0]}" if len(odd) else "zeros alone"
        raise ValueError(f"popularity must be finite, at least 0, and not 0 for all, got {got}.")
    return weights


def part_of_each(popularity: np.ndarray) -> np.ndarray:
    """Return 0 for items of the head, 1 for the middle, 2 for the tail, (n_items,)."""
    order = np.argsort(-popularity, kind="stable")
    reached = np.cumsum(popularity[order]) / popularity.sum()
    before = np.append(0.0, reached[:-1])  # an item is of the part in which its interactions begin
    parts = np.empty(len(order), dtype=np.int64)
    parts[order] = np.minimum((3 * before + 1e-9).astype(np.int64), 2)
    return parts


def shares_codes(codes: np.ndarray) -> np.ndarray:
    """Return whether another item has the same row of codes, (n_items,)."""
    _, groups = distinct_rows(codes)
    return np.bincount(groups)[groups] > 1


def _agreement(prefixes, labels):
    if len(labels) == 0:
        return float("nan")
    _, groups = distinct_rows(prefixes)
    n_of_groups = np.bincount(groups).astype(np.float64)
    both = np.unique(groups * (labels.max() + 1) + labels, return_counts=True)[1].astype(np.float64)
    n_pairs = (n_of_groups * (n_of_groups - 1)).sum()
    return float((both * (both - 1)).sum() / n_pairs) if n_pairs else float("nan")
