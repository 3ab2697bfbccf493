"""What a representation of items still tells: its spectrum, its labels, its neighbours. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import svdvals
from scipy.stats import entropy
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.utils import check_random_state

from semid.base._checks import check_integer
from semid.base._typing import RandomState
from semid.metrics._arrays import as_table, check_rows, distinct_rows, numbered_labels, rescaled
from semid.metrics._mapping_rows import NO_CODE

_DISTANCES_AT_ONCE = 2**22  # 16 MB in float32
# Squared distances to the nearest few of some items, relative to the squared distance from the mean, that float32 can
# tell from 0: eight bits above its rounding.
_NEAREST, _SAMPLE, _ROUNDING = 10, 64, 2.0**-16


def singular_spectrum(representation: ArrayLike, *, center: bool = False, normalize: bool = False) -> np.ndarray:
    """Return the singular values of a representation matrix, the largest first.

    Definition 3.2, dimension robustness, of arXiv:2410.09560v1 compares these spectra: the flatter, the more
    dimensions carry signal. ``σ_1 ≥ σ_2 ≥ ... ≥ 0`` with ``representation = U diag(σ) Vᵀ``, in float64 and from the
    matrix itself: a Gram matrix would lose all that lies below ``1e-8 σ_1``, where a collapse shows.

    Parameters
    ----------
    representation : array-like of shape (n_items, n_dims)
        One row per item or impression, for example the concatenated embeddings of its codes.
    center : bool, default False
        Subtract the mean row first. Without it the mean often is the first direction and dwarfs the others.
    normalize : bool, default False
        Divide by ``σ_1``, so that representations of several scales share one axis.

    Returns
    -------
    spectrum : ndarray of shape (min(n_items, n_dims),), float64
        In [0, inf), or in [0, 1] if normalized.

    Raises
    ------
    ValueError
        If `representation` is not a finite matrix, or, with `normalize`, is zero everywhere.

    Examples
    --------
    >>> from semid.metrics import singular_spectrum
    >>> singular_spectrum([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    array([4., 3.])
    >>> singular_spectrum([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], normalize=True)
    array([1.  , 0.75])
    """
    matrix = check_rows("representation", representation).astype(np.float64)
    if center:
        matrix = matrix - matrix.mean(axis=0)
    spectrum = svdvals(matrix)
    return spectrum / _largest(spectrum) if normalize else spectrum


def information_abundance(representation: ArrayLike) -> float:
    """Return ``Σσ / σ_1`` of a representation matrix: the number of dimensions it uses, by their singular values.

    1 when all rows are multiples of one, the rank when all directions are equally strong; an embedding that collapses
    has far less than its width. Guo et al., "On the Embedding Collapse when Scaling up Recommendation Models",
    arXiv:2310.04400v3 (formula from memory). Not centered, as there: pass ``X - X.mean(axis=0)`` for the spread alone.

    Parameters
    ----------
    representation : array-like of shape (n_items, n_dims)
        One row per item or impression.

    Returns
    -------
    abundance : float in [1, min(n_items, n_dims)]

    Raises
    ------
    ValueError
        If `representation` is not a finite matrix, or is zero everywhere.

    Examples
    --------
    >>> from semid.metrics import information_abundance
    >>> information_abundance([[3.0, 0.0], [0.0, 4.0]])
    1.75
    """
    spectrum = singular_spectrum(representation)
    return float(spectrum.sum() / _largest(spectrum))


def effective_rank(representation: ArrayLike) -> float:
    """Return ``exp(-Σ p log p)`` with ``p = σ / Σσ``: how many equally strong directions a representation is worth.

    1 when all rows are multiples of one, the rank when all directions are equally strong. Roy & Vetterli, 2007, "The
    effective rank: a measure of effective dimensionality" (from memory). Not centered: pass ``X - X.mean(axis=0)`` for
    the spread alone. Never less than `information_abundance`, which weighs the strongest direction more.

    Parameters
    ----------
    representation : array-like of shape (n_items, n_dims)
        One row per item or impression.

    Returns
    -------
    rank : float in [1, min(n_items, n_dims)]

    Raises
    ------
    ValueError
        If `representation` is not a finite matrix, or is zero everywhere.

    Examples
    --------
    >>> from semid.metrics import effective_rank
    >>> round(effective_rank([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]), 6)
    2.0
    """
    spectrum = singular_spectrum(representation)
    return float(np.exp(entropy(spectrum / _largest(spectrum))))


def discriminability(
    representation: ArrayLike, y: ArrayLike, *, n_clusters: int = 50, random_state: RandomState | None = None
) -> float:
    """Return the normalized mutual information (NMI) between clusters of a representation and labels.

    Definition 3.1, discriminability, of arXiv:2410.09560v1, as its public scripts have it: mini-batch k-means with 50
    clusters, then ``2 I(cluster; y) / (H(cluster) + H(y))``. 0 when the clusters say nothing of the labels, 1 when
    each label is one cluster. With fewer labels than clusters 1 is out of reach: of two equally frequent labels, 50
    even clusters reach ``2 log 2 / (log 2 + log 50) = 0.30`` at most. Compare representations at one `n_clusters` only.

    Parameters
    ----------
    representation : array-like of shape (n_samples, n_dims)
        One row per impression or item.
    y : array-like of shape (n_samples,)
        Labels, for example clicks.
    n_clusters : int, default 50
        Number of clusters.
    random_state : int, RandomState instance or None, default None
        Seed of the clustering.

    Returns
    -------
    nmi : float in [0, 1]

    Raises
    ------
    ValueError
        If there are fewer rows than `n_clusters`, or `y` does not have one label per row.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.metrics import discriminability
    >>> items = make_items(n_items=500, random_state=0)
    >>> of_content = discriminability(items.embeddings, items.frame["category"], n_clusters=8, random_state=0)
    >>> of_others = discriminability(items.embeddings[::-1], items.frame["category"], n_clusters=8, random_state=0)
    >>> bool(of_content > 5 * of_others)
    True
    """
    representation = check_rows("representation", representation)
    y = numbered_labels("y", y, len(representation))
    n_clusters = check_integer("n_clusters", n_clusters, 2)
    if n_clusters > len(representation):
        raise ValueError(f"n_clusters must be at most the number of rows, got {n_clusters} for {len(representation)}.")
    clusters = MiniBatchKMeans(n_clusters, random_state=random_state).fit_predict(rescaled(representation))
    return float(normalized_mutual_info_score(y, clusters))


def neighbor_overlap(
    X: ArrayLike, other: ArrayLike, *, k: int = 10, n_queries: int = 2000, random_state: RandomState | None = None
) -> float:
    """Return the share of an item's nearest neighbours that are its nearest in another representation too.

    Averaged over a sample of items; the item itself is no neighbour::

        mean_i |N_X(i) ∩ N_other(i)| / k,    N(i) = the k nearest of the other items

    Neighbours by Euclidean distance, in codes by Hamming distance (the number of codebooks in which two items differ).
    Equal distances are the rule in codes, and among items with one reconstruction: which of them are nearest is then
    left to chance, and the value is the expectation over it, in closed form. In `X`, all that are as near as the k-th
    are neighbours, so that ``neighbor_overlap(X, X)`` is 1. Random codes, or rows in the wrong order, have about
    ``k / (n_items - 1)``, and more where rows of `X` are equal: the mean number of neighbours in the place of `k`.

    Parameters
    ----------
    X : array-like of shape (n_items, n_features)
        Embeddings, row by row the items of `other`.
    other : array-like of shape (n_items, n_columns)
        Another representation of the same items. Integers are codes and compared by Hamming distance, unless some are
        below -1, as those of int8 embeddings are; floats, such as a reconstruction, by Euclidean distance.
    k : int, default 10
        Number of neighbours.
    n_queries : int, default 2000
        Number of items whose neighbours are compared, drawn at random; all if there are no more. The standard error
        is at most ``0.5 / sqrt(n_queries)``, the time proportional to ``n_queries · n_items``.
    random_state : int, RandomState instance or None, default None
        Seed of the sample.

    Returns
    -------
    overlap : float in [0, 1]

    Raises
    ------
    ValueError
        If `X` and `other` differ in length, or `k` is not below the number of items.

    Examples
    --------
    >>> from semid.metrics import neighbor_overlap
    >>> X = [[0.0], [1.0], [3.0], [7.0]]
    >>> neighbor_overlap(X, [[0.0], [2.0], [5.0], [6.0]], k=1)
    0.75
    >>> neighbor_overlap(X[:3], [[0], [0], [0]], k=1)  # equal codes: either of the two others, half of the time
    0.5
    """
    return neighbor_overlap_and_chance(X, other, k, n_queries, random_state)[0]


def neighbor_overlap_and_chance(
    X: ArrayLike, other: ArrayLike, k: int, n_queries: int, random_state: RandomState | None
) -> tuple[float, float]:
    """Return the `neighbor_overlap`, and the one that the same rows of `other` are expected to have in any order."""
    (overlap,), chance = neighbor_overlaps(X, [other], k, n_queries, random_state)
    return overlap, chance


def neighbor_overlaps(
    X: ArrayLike, others: Sequence[ArrayLike], k: int, n_queries: int, random_state: RandomState | None
) -> tuple[list[float], float]:
    """Return the `neighbor_overlap` of each of `others` with the same items of `X`, and that by chance."""
    X = check_rows("X", X)
    distances_in_others = [distances_between("other", other, len(X)) for other in others]
    distances_in_x = _SquaredDistances("X", X)
    k = check_integer("k", k, 1)
    if k >= len(X):
        raise ValueError(f"k must be less than the number of items, got {k} for {len(X)} items.")
    n_queries = min(check_integer("n_queries", n_queries, 1), len(X))
    queries = check_random_state(random_state).permutation(len(X))[:n_queries]
    kept, n_near = np.zeros(len(distances_in_others)), 0
    for some in parts_of_queries(n_queries, len(X)):
        distances = distances_in_x(queries[some])
        near = distances <= _kth_smallest(distances, k)
        kept += [_expected_overlaps(near, other(queries[some]), k).sum() for other in distances_in_others]
        n_near += int(np.count_nonzero(near))
    return (kept / (n_queries * k)).tolist(), float(n_near / n_queries / (len(X) - 1))


def distances_between(
    name: str, representation: ArrayLike, n_items: int | None = None
) -> _HammingDistances | _SquaredDistances:
    """Return what has the distances from some items to all: Hamming's between codes, squared ones between vectors."""
    array = as_table(name, representation)
    is_codes = array.dtype.kind in "iu" and array.size > 0 and array.min() >= NO_CODE
    return _HammingDistances(name, array, n_items) if is_codes else _SquaredDistances(name, array, n_items)


def parts_of_queries(n_queries: int, n_items: int) -> list[np.ndarray]:
    """Return the places of so many queries in parts whose distances to all items are held at once."""
    return np.array_split(np.arange(n_queries), max(1, -(-n_queries * n_items // _DISTANCES_AT_ONCE)))


def expected_hits(distances: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Return the chance of each target to be one of the k nearest where equal distances are in any order, (n_queries,).

    `distances` are of shape (n_queries, n_items), `targets` items.
    """
    own = distances[np.arange(len(targets)), targets][:, None]
    n_nearer, n_tied = (distances < own).sum(axis=1), (distances == own).sum(axis=1)
    return np.clip((k - n_nearer) / n_tied, 0, 1)


class _SquaredDistances:
    """From some items to all, infinite to itself; computed between distinct rows, so that equal rows tie exactly."""

    def __init__(self, name, X, n_items=None):
        X = check_rows(name, X, n_items)
        first, self._inverse = distinct_rows(X)
        X = rescaled(X)
        self._rows = X[first] - X.mean(axis=0, dtype=np.float64).astype(X.dtype)  # small norms lose fewer digits
        if self._leave_no_digits():
            self._rows = self._rows.astype(np.float64)
        self._norms = np.square(self._rows).sum(axis=1)

    def _leave_no_digits(self):
        """Whether neighbours lie so close, for how far they are from the mean, that float32 does not order them."""
        n_rows = len(self._rows)
        if self._rows.dtype == np.float64 or n_rows <= _NEAREST:
            return False
        some = self._rows[np.linspace(0, n_rows - 1, num=min(_SAMPLE, n_rows)).astype(int)].astype(np.float64)
        norms = np.square(some).sum(axis=1)[:, None]
        nearest = np.empty((len(some), 0))
        for rows in np.array_split(self._rows, -(-n_rows * self._rows.shape[1] // _DISTANCES_AT_ONCE)):
            distances = norms - 2 * some @ rows.T.astype(np.float64) + np.square(rows, dtype=np.float64).sum(axis=1)
            nearest = np.sort(np.hstack([nearest, distances]), axis=1)[:, : 1 + _NEAREST]  # the row itself is the first
        return bool((nearest[:, -1:] < _ROUNDING * norms).any())

    def __call__(self, queries):
        own = self._inverse[queries]
        # (n_queries, n_distinct), less the query's own norm, which is the same for all.
        distances = self._norms - 2 * self._rows[own] @ self._rows.T
        distances[np.arange(len(queries)), own] = -np.inf  # an equal row is nearer than all others
        distances = distances[:, self._inverse]
        distances[np.arange(len(queries)), queries] = np.inf
        return distances


class _HammingDistances:
    """From some items to all, the largest number of its type to itself."""

    def __init__(self, name, codes, n_items=None):
        if codes.ndim != 2 or len(codes) != (len(codes) if n_items is None else n_items):
            each = "item" if n_items is None else f"of the {n_items} items"
            raise ValueError(f"{name} must be 2-D, one row for each {each}, got shape {codes.shape}.")
        # Small integers are compared several times as fast.
        numbers = [np.unique(column, return_inverse=True)[1] for column in codes.T]
        self._columns = [column.astype(np.min_scalar_type(column.max())) for column in numbers]
        self._n_items = len(codes)
        self._dtype = np.int8 if len(numbers) < np.iinfo(np.int8).max else np.int16

    def __call__(self, queries):
        distances = np.zeros((len(queries), self._n_items), dtype=self._dtype)
        for column in self._columns:
            distances += column[queries, None] != column
        distances[np.arange(len(queries)), queries] = np.iinfo(self._dtype).max
        return distances


def _kth_smallest(distances, k):
    return np.partition(distances, k - 1, axis=1)[:, k - 1 : k]  # (n_queries, 1)


def _expected_overlaps(near, distances, k):
    """Return how many of the k nearest by `distances` are `near`, on average over the ways to break ties, per query."""
    kth = _kth_smallest(distances, k)
    nearer, tied = distances < kth, distances == kth
    n_left = k - nearer.sum(axis=1)  # places for those that tie, each of which gets one as often as the others
    return (near & nearer).sum(axis=1) + (near & tied).sum(axis=1) * n_left / tied.sum(axis=1)


def _largest(spectrum):
    if spectrum[0] == 0:
        raise ValueError("representation must not be zero everywhere.")
    return spectrum[0]
