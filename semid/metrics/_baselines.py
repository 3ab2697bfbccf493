"""What a mapping has to be better than: random codes, and k-means, of the same sizes on the same items."""

import warnings

import numpy as np
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from semid.metrics._arrays import distinct_rows

RANDOM, RESIDUAL, PARALLEL = "random", "residual k-means", "parallel k-means"
_SAMPLE = 16_384  # items that the clusters are learned from
_WIDTH = 64  # principal components that they are learned in
_ROUNDS = 10  # of Lloyd's


def baseline_codes(n_items, sizes, X, rows, rng):
    """Return codes of other origins with as many codebooks of the same `sizes`, by name, each (n_items, n_codebooks).

    `X` are the embeddings of the items in `rows`, or None: then there are random codes alone. An item without an
    embedding has the codes of the mean.
    """
    codes = {RANDOM: np.column_stack([rng.randint(size, size=n_items) for size in sizes])}
    if X is not None and len(X) > 1:
        vectors = _components(X, rng)
        for name, is_residual in ((RESIDUAL, True), (PARALLEL, False)):
            of_mean, of_rows = _clusterings(vectors, sizes, is_residual, rng)
            codes[name] = np.tile(of_mean, (n_items, 1))
            codes[name][rows] = of_rows
    return codes


def _components(X, rng):
    """Return the rows in their leading principal components, float32, with mean 0; some rows at a time."""
    exponent = -np.frexp(max(X.max(), -X.min()))[1]  # near 1, whatever the scale: squares stay within float32
    mean = X.mean(axis=0, dtype=np.float64)
    n_features = X.shape[1]
    vectors = np.eye(n_features)
    if n_features > _WIDTH:
        some = np.ldexp(X[rng.permutation(len(X))[:_SAMPLE]] - mean, exponent)
        _, vectors = eigh(some.T @ some, subset_by_index=(n_features - _WIDTH, n_features - 1))
    components = np.empty((len(X), vectors.shape[1]), dtype=np.float32)
    for start in range(0, len(X), _SAMPLE):
        rows = slice(start, start + _SAMPLE)
        components[rows] = np.ldexp(X[rows] - mean, exponent) @ vectors
    return components


def _clusterings(X, sizes, is_residual, rng):
    """Return the codes of the mean, (n_codebooks,), and of the rows, (n_rows, n_codebooks)."""
    X = np.vstack([np.zeros((1, X.shape[1]), dtype=X.dtype), X])
    some = 1 + rng.permutation(len(X) - 1)[:_SAMPLE]
    codes = np.empty((len(X), len(sizes)), dtype=np.int64)
    for n, size in enumerate(sizes):
        centers = _centers(X[some], int(size), rng)
        codes[:, n] = _nearest(X, centers)
        if is_residual:
            X = X - centers[codes[:, n]]
    return codes[0], codes[1:]


def _centers(X, n_clusters, rng):
    n_clusters = min(n_clusters, len(distinct_rows(X)[0]))
    kmeans = KMeans(n_clusters, init="random", n_init=1, max_iter=_ROUNDS, random_state=rng.randint(2**31 - 1))
    with warnings.catch_warnings():  # rows that are equal but for rounding make fewer clusters, which is no matter here
        warnings.simplefilter("ignore", ConvergenceWarning)
        return kmeans.fit(X).cluster_centers_


def _nearest(X, centers):
    """Return the nearest center of each row, some rows at a time."""
    norms = np.square(centers).sum(axis=1)
    parts = np.array_split(X, -(-len(X) * len(centers) // 2**24))
    return np.concatenate([np.argmin(norms - 2 * part @ centers.T, axis=1) for part in parts])
