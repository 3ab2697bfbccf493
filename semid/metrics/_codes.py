"""How codes are used, and what they keep of the embeddings. Arrays in, numbers out."""

from itertools import combinations

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import normalized_mutual_info_score


def collision_rate(codes):
    """Return the share of items that add no new row of codes: ``1 - n_distinct / n_items``.

    0 when every item has codes of its own, close to 1 when all share one row. ``1 - collision_rate`` is the
    "unique share". Random codes collide least, so never choose a model by this number alone.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int

    Returns
    -------
    rate : float in [0, 1)

    Examples
    --------
    >>> from semid.metrics import collision_rate
    >>> collision_rate([[0, 1], [0, 2], [0, 1], [3, 1]])
    0.25
    """
    codes = _check_codes(codes)
    return 1.0 - len(np.unique(codes, axis=0)) / len(codes)


def codebook_usage(codes, codebook_size):
    """Return the share of each codebook's codes that at least one item has.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
    codebook_size : int or array-like of shape (n_codebooks,), int
        Number of codes in each codebook.

    Returns
    -------
    usage : ndarray of shape (n_codebooks,), float in (0, 1]

    Examples
    --------
    >>> from semid.metrics import codebook_usage
    >>> codebook_usage([[0, 1], [0, 2], [0, 1], [3, 1]], codebook_size=4)
    array([0.5, 0.5])
    """
    codes = _check_codes(codes)
    sizes = np.broadcast_to(codebook_size, codes.shape[1])
    if codes.min() < 0 or (codes.max(axis=0) >= sizes).any():
        raise ValueError(
            "codes must lie in [0, codebook_size), "
            f"got {codes.min()} to {codes.max(axis=0).tolist()} and {codebook_size}."
        )
    return np.array([len(np.unique(column)) for column in codes.T]) / sizes


def codebook_perplexity(codes):
    """Return the effective number of codes in use per codebook: ``exp(-Σ p log p)``, p the share of items per code.

    Between 1 (all items have one code) and the codebook size (all codes equally frequent).

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int

    Returns
    -------
    perplexity : ndarray of shape (n_codebooks,), float

    Examples
    --------
    >>> from semid.metrics import codebook_perplexity
    >>> codebook_perplexity([[0, 1], [0, 2], [0, 3], [0, 4]]).round(6)
    array([1., 4.])
    """
    codes = _check_codes(codes)
    counts = (np.unique(column, return_counts=True)[1] for column in codes.T)
    return np.array([np.exp(entropy(count)) for count in counts])


def codebook_redundancy(codes):
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

    Examples
    --------
    >>> from semid.metrics import codebook_redundancy
    >>> codebook_redundancy([[0, 5], [0, 5], [1, 3], [1, 3]])
    1.0
    >>> codebook_redundancy([[0, 0], [0, 1], [1, 0], [1, 1]])
    0.0
    """
    codes = _check_codes(codes)
    if codes.shape[1] < 2:
        raise ValueError(f"codes must have at least 2 codebooks to compare, got {codes.shape[1]}.")
    return float(np.mean([normalized_mutual_info_score(a, b) for a, b in combinations(codes.T, 2)]))


def reconstruction_r2(X, reconstruction):
    """Return ``1 - Σ‖x - x̂‖² / Σ‖x - mean(x)‖²``, over all items and features together.

    1 is perfect, 0 is as good as the mean, negative is worse. When `X` has no variance: 1 for an exact
    reconstruction, else 0, as in `sklearn.metrics.r2_score`.

    Parameters
    ----------
    X, reconstruction : array-like of shape (n_items, n_features)

    Returns
    -------
    r2 : float in (-inf, 1]

    Examples
    --------
    >>> from semid.metrics import reconstruction_r2
    >>> reconstruction_r2([[0.0, 0.0], [2.0, 2.0]], [[0.0, 0.0], [2.0, 1.0]])
    0.75
    """
    X = np.asarray(X, dtype=np.float64)
    error = np.asarray(reconstruction, dtype=np.float64)
    if X.ndim != 2 or X.shape != error.shape:
        raise ValueError(f"X and reconstruction must have one 2-D shape, got {X.shape} and {error.shape}.")
    residual = np.square(X - error).sum()
    total = np.square(X - X.mean(axis=0)).sum()
    if total == 0:
        return float(residual == 0)
    return float(1 - residual / total)


def _check_codes(codes):
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.size == 0:
        raise ValueError(f"codes must have shape (n_items, n_codebooks) and not be empty, got {codes.shape}.")
    if codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers, got an array of {codes.dtype}.")
    return codes
