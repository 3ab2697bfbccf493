"""What codes and reconstructions are worth: the figures of every table here, as functions of arrays."""

import numpy as np

from semid.metrics import codebook_perplexity, codebook_usage, collision_rate, neighbor_overlap, reconstruction_r2


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
    return {
        "r2": reconstruction_r2(X, reconstruction),
        "neighbours_kept": neighbor_overlap(X, reconstruction, k=min(10, len(X) - 1), random_state=0),
    }


def shared_share(codes):
    """Return the share of items whose row of codes another item has too."""
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return float(counts[counts > 1].sum() / len(codes))
