"""How codes are used, and what they keep of the embeddings. Arrays in, numbers out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import entropy
from sklearn.metrics import normalized_mutual_info_score

from semid.metrics._arrays import check_codes, check_rows, check_sizes, distinct_rows, numbered_labels, rescaled


def collision_rate(codes: ArrayLike, X: ArrayLike | None = None) -> float:
    """Return the share of items that add no new row of codes: ``1 - n_distinct / n_items``.

    0 when every item has codes of its own, close to 1 when all share one row. ``1 - collision_rate`` is the
    "unique share". Random codes collide least, so never choose a model by this number alone.

    No tokenizer can tell items of equal embeddings apart. Given the embeddings, those items count as one, and what is
    left are the collisions that another tokenizer could avoid.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    X : array-like of shape (n_items, n_features), default None
        Embeddings. Of the items whose rows are equal, number by number, the first alone is looked at, so that
        `n_items` in the formula is the number of distinct embeddings. None looks at all items.

    Returns
    -------
    rate : float in [0, 1)

    Raises
    ------
    ValueError
        If `codes` are not integers, are empty, or if `X` does not have one row of finite numbers per item.

    Examples
    --------
    >>> from semid.metrics import collision_rate
    >>> collision_rate([[0, 1], [0, 2], [0, 1], [3, 1]])
    0.25
    >>> collision_rate([[0, 1], [0, 2], [0, 1], [3, 1]], X=[[0.5], [0.7], [0.5], [0.1]])
    0.0
    """
    rows = check_codes(codes)
    if X is not None:
        first, _ = distinct_rows(check_rows("X", X, len(rows)))
        rows = rows[first]
    return 1.0 - len(distinct_rows(rows)[0]) / len(rows)


def prefix_collision_rates(codes: ArrayLike) -> np.ndarray:
    """Return the `collision_rate` of the first code alone, of the first two, ..., and of all codes.

    ``rates[n] = 1 - n_distinct(codes[:, :n + 1]) / n_items``, which never rises. A map whose last codebook was made to
    tell items apart has a rate near 0 at its end, and a large one just before.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.

    Returns
    -------
    rates : ndarray of shape (n_codebooks,), float in [0, 1)

    Raises
    ------
    ValueError
        If `codes` are not integers, or are empty.

    Examples
    --------
    >>> from semid.metrics import prefix_collision_rates
    >>> prefix_collision_rates([[0, 1, 0], [0, 1, 1], [0, 2, 0], [3, 1, 0]])
    array([0.5 , 0.25, 0.  ])
    """
    codes = check_codes(codes)
    return np.array([collision_rate(codes[:, :n]) for n in range(1, codes.shape[1] + 1)])


def codebook_usage(codes: ArrayLike, codebook_size: int | ArrayLike) -> np.ndarray:
    """Return the share of each codebook's codes that at least one item has.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    codebook_size : int or array-like of shape (n_codebooks,), int
        Number of codes in each codebook.

    Returns
    -------
    usage : ndarray of shape (n_codebooks,), float in (0, 1]

    Raises
    ------
    ValueError
        If `codes` are not integers in ``[0, codebook_size)``.

    Examples
    --------
    >>> from semid.metrics import codebook_usage
    >>> codebook_usage([[0, 1], [0, 2], [0, 1], [3, 1]], codebook_size=4)
    array([0.5, 0.5])
    """
    codes = check_codes(codes)
    sizes = check_sizes(codes, codebook_size)
    return np.array([len(np.unique(column)) for column in codes.T]) / sizes


def codebook_perplexity(codes: ArrayLike) -> np.ndarray:
    """Return the effective number of codes in use per codebook: ``exp(-Σ p log p)``, p the share of items per code.

    Between 1 (all items have one code) and the codebook size (all codes equally frequent).

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.

    Returns
    -------
    perplexity : ndarray of shape (n_codebooks,), float

    Raises
    ------
    ValueError
        If `codes` are not integers, or are empty.

    Examples
    --------
    >>> from semid.metrics import codebook_perplexity
    >>> codebook_perplexity([[0, 1], [0, 2], [0, 3], [0, 4]]).round(6)
    array([1., 4.])
    """
    codes = check_codes(codes)
    counts = (np.unique(column, return_counts=True)[1] for column in codes.T)
    return np.array([np.exp(entropy(count)) for count in counts])


def codebook_gini(codes: ArrayLike, codebook_size: int | ArrayLike) -> np.ndarray:
    """Return how unevenly items are spread over each codebook: the Gini coefficient of the items per code.

    ``Σ_i (2i - K - 1) c_i / (K Σ_i c_i)`` with the counts ``c_1 ≤ ... ≤ c_K`` of all K codes, also of those that no
    item has. 0 when all codes are equally frequent, ``1 - 1 / K`` when one has all items. From memory: half the mean
    difference of two codes' counts, relative to the mean count.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    codebook_size : int or array-like of shape (n_codebooks,), int
        Number of codes in each codebook.

    Returns
    -------
    gini : ndarray of shape (n_codebooks,), float in [0, 1)

    Raises
    ------
    ValueError
        If `codes` are not integers in ``[0, codebook_size)``.

    Examples
    --------
    >>> from semid.metrics import codebook_gini
    >>> codebook_gini([[0, 0], [0, 1], [0, 2], [0, 3]], codebook_size=4)
    array([0.75, 0.  ])
    """
    codes = check_codes(codes)
    sizes = check_sizes(codes, codebook_size)
    return np.array([_gini(column, size) for column, size in zip(codes.T, sizes, strict=True)])


def code_nmi(codes: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Return the normalized mutual information (NMI) between each codebook's codes and labels.

    ``2 I(code; y) / (H(code) + H(y))``: 0 when the codes say nothing of the labels, 1 when each says all of the other.
    More codes than labels keep it below 1, and chance keeps it above 0, the more so the fewer items a code has: compare
    codebooks of one size on the same items. Measured per code by arXiv:2410.09560v1 (Figure 3, from memory).

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of items, or of impressions.
    y : array-like of shape (n_items,)
        Labels, for example categories, or clicks.

    Returns
    -------
    nmi : ndarray of shape (n_codebooks,), float in [0, 1]

    Raises
    ------
    ValueError
        If `codes` are not integers, are empty, or if `y` does not have one label per row.

    Examples
    --------
    >>> from semid.metrics import code_nmi
    >>> code_nmi([[0, 0], [0, 1], [4, 0], [4, 1]], ["a", "a", "b", "b"])
    array([1., 0.])
    """
    codes = check_codes(codes)
    y = numbered_labels("y", y, len(codes))
    return np.array([normalized_mutual_info_score(y, column) for column in codes.T])


def redundancy_matrix(codes: ArrayLike) -> np.ndarray:
    """Return the normalized mutual information (NMI) between each two codebooks.

    ``2 I(a; b) / (H(a) + H(b))``, what codebook b says of codebook a and the other way round: 1 for relabelled copies.
    Its values above the diagonal have the mean `codebook_redundancy`; what chance alone gives is said there.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.

    Returns
    -------
    redundancy : ndarray of shape (n_codebooks, n_codebooks), float in [0, 1]
        Symmetric, with ones on the diagonal.

    Raises
    ------
    ValueError
        If `codes` are not integers, or are empty.

    Examples
    --------
    >>> from semid.metrics import redundancy_matrix
    >>> redundancy_matrix([[0, 5, 0], [0, 5, 1], [1, 3, 0], [1, 3, 1]])
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    codes = check_codes(codes)
    redundancy = np.eye(codes.shape[1])
    for a, b in combinations(range(codes.shape[1]), 2):
        redundancy[a, b] = redundancy[b, a] = normalized_mutual_info_score(codes[:, a], codes[:, b])
    return redundancy


def codebook_redundancy(codes: ArrayLike) -> float:
    """Return the mean normalized mutual information (NMI) over all pairs of codebooks.

    1 when all codebooks are relabelled copies of one; what independent codebooks reach depends on their sizes and the
    number of items, and is not 0 (256 codes each on 12,000 items: codes drawn at random have about 0.3). NMI with the
    arithmetic mean of the entropies as norm, as in `sklearn.metrics.normalized_mutual_info_score`.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        At least two codebooks.

    Returns
    -------
    redundancy : float in [0, 1]

    Raises
    ------
    ValueError
        If `codes` are not integers, or of fewer than two codebooks.

    Examples
    --------
    >>> from semid.metrics import codebook_redundancy
    >>> codebook_redundancy([[0, 5], [0, 5], [1, 3], [1, 3]])
    1.0
    >>> codebook_redundancy([[0, 0], [0, 1], [1, 0], [1, 1]])
    0.0
    """
    codes = check_codes(codes)
    if codes.shape[1] < 2:
        raise ValueError(f"codes must have at least 2 codebooks to compare, got {codes.shape[1]}.")
    return float(redundancy_matrix(codes)[np.triu_indices(codes.shape[1], k=1)].mean())


def reconstruction_r2(X: ArrayLike, reconstruction: ArrayLike) -> float:
    """Return ``1 - Σ‖x - x̂‖² / Σ‖x - mean(x)‖²``, over all items and features together.

    1 is perfect, 0 is as good as the mean, negative is worse. When `X` has no variance: 1 for an exact
    reconstruction, else 0, as in `sklearn.metrics.r2_score`.

    Parameters
    ----------
    X, reconstruction : array-like of shape (n_items, n_features)
        Embeddings, and what their codes stand for.

    Returns
    -------
    r2 : float in [-inf, 1]

    Raises
    ------
    ValueError
        If `X` and `reconstruction` differ in shape, or are not matrices of finite numbers.

    Examples
    --------
    >>> from semid.metrics import reconstruction_r2
    >>> reconstruction_r2([[0.0, 0.0], [2.0, 2.0]], [[0.0, 0.0], [2.0, 1.0]])
    0.75
    """
    X = check_rows("X", X).astype(np.float64)
    reconstruction = check_rows("reconstruction", reconstruction).astype(np.float64)
    if X.shape != reconstruction.shape:
        raise ValueError(f"X and reconstruction must have one 2-D shape, got {X.shape} and {reconstruction.shape}.")
    x, decoded = rescaled(X, reconstruction)
    with np.errstate(over="ignore"):  # of a reconstruction beyond all measure
        residual = np.square(x - decoded).sum()
    total = np.square(x - x.mean(axis=0)).sum()
    if total == 0 or (x == x[0]).all():  # whose mean may be another number, by rounding
        return float(residual == 0)
    return float(1 - residual / total)


def _gini(column, size):
    counts = np.sort(np.unique(column, return_counts=True)[1])
    ranks = np.arange(size - len(counts) + 1, size + 1)  # codes that no item has come first, and add nothing
    shares = counts / counts.sum()
    return float(((2.0 * ranks - size - 1) / size * shares).sum())
