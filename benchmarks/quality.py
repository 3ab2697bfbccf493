"""What codes and reconstructions are worth: the figures of every table here, as functions of arrays."""

import numpy as np

from semid.metrics import codebook_perplexity, codebook_usage, collision_rate, reconstruction_r2

_QUERIES_AT_ONCE = 256


def figures_of_codes(codes, codebook_sizes):
    """Return the figures that need the codes alone, by name."""
    return {
        "unique_share": 1 - collision_rate(codes),
        "prefix_shared": shared_share(codes[:, :-1]) if codes.shape[1] > 1 else 1.0,
        "usage": codebook_usage(codes, codebook_sizes).tolist(),
        "perplexity": codebook_perplexity(codes).tolist(),
    }


def figures_of_reconstruction(X, reconstruction):
    """Return the figures that compare items with what their codes stand for, by name."""
    return {"r2": reconstruction_r2(X, reconstruction), "neighbours_kept": neighbours_kept(X, reconstruction)}


def shared_share(codes):
    """Return the share of items whose row of codes another item has too."""
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return float(counts[counts > 1].sum() / len(codes))


def neighbours_kept(X, reconstruction, n_neighbors=10, n_queries=2_000, seed=0):
    """Return the mean share of an item's nearest neighbours in `X` that are also its nearest in `reconstruction`.

    Neighbours by Euclidean distance among all other items, for a seeded sample of `n_queries` items.
    """
    n_neighbors = min(n_neighbors, len(X) - 1)
    queries = np.random.default_rng(seed).permutation(len(X))[:n_queries]
    kept = 0
    for some in np.array_split(queries, -(-len(queries) // _QUERIES_AT_ONCE)):
        pairs = zip(_nearest(X, some, n_neighbors), _nearest(reconstruction, some, n_neighbors), strict=True)
        kept += sum(len(np.intersect1d(a, b)) for a, b in pairs)
    return kept / (len(queries) * n_neighbors)


def _nearest(X, queries, n_neighbors):
    """Return the indices of the rows of `X` nearest to each of its rows `queries`, itself left out."""
    distances = np.square(X).sum(1) - 2 * X[queries] @ X.T  # (n_queries, n_items), without the query's own norm
    distances[np.arange(len(queries)), queries] = np.inf
    return np.argpartition(distances, n_neighbors - 1, axis=1)[:, :n_neighbors]
