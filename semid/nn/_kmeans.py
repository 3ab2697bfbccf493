"""Weighted k-means on the device where the data are, without an (n, K, d) temporary.

Letters: n rows, d their width, K centers.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from semid.nn._half_products import can_prove, proven_nearest

BLOCK = 4_096  # rows whose distances to all centers are held at once
SEEDING_ROUNDS = 8
# Rows at least twice this wide are clustered in so many leading components first: an iteration costs less there, and
# ends in better optima than one that starts on all of the noise.
COARSE_DIM = 64
COARSE_ROWS = 4_096  # rows that the components are estimated from


class KMeansResult(NamedTuple):
    centers: Tensor  # (K, d)
    labels: Tensor  # (n,), the nearest of `centers`
    inertias: list[float]  # weighted sum of squared distances, after each iteration
    usages: list[float]  # share of centers that are the nearest of some row, after each iteration


def kmeans(x, weights, n_clusters, *, max_iter, generator, centers=None, tolerance=1e-4, on_iteration=None):
    """Cluster the rows of `x` (n, d) by Lloyd's algorithm, from a seeding that spreads with the squared distance.

    An empty cluster moves to the row that is farthest from its center. Stops when an iteration lowers the inertia
    by less than `tolerance` of it, or after `max_iter` iterations. Calls ``on_iteration(inertia, usage)``. Given
    `centers` are started from instead of a seeding.
    """
    if centers is None:
        centers = _first_centers(x, weights, n_clusters, max_iter, generator, tolerance)
    return _lloyd(x, weights, centers, max_iter, tolerance, on_iteration)


def _first_centers(x, weights, n_clusters, max_iter, generator, tolerance):
    """Seed the centers; those of wide rows as the means of a clustering of their leading components."""
    if x.shape[1] < 2 * COARSE_DIM:
        return seed_centers(x, weights, n_clusters, generator)
    coarse = x @ _leading_axes(x)
    seeds = seed_centers(coarse, weights, n_clusters, generator)
    labels = _lloyd(coarse, weights, seeds, max_iter, tolerance).labels
    return _cluster_means(x, weights, labels, n_clusters, weights)


def _lloyd(x, weights, centers, max_iter, tolerance, on_iteration=None):
    norms = torch.linalg.vector_norm(x, dim=1).square()
    labels, distances = nearest(x, centers, norms)
    inertias, usages = [_inertia(distances, weights)], []
    for _ in range(max_iter):
        centers = _cluster_means(x, weights, labels, len(centers), distances * weights)
        labels, distances = nearest(x, centers, norms)
        inertias.append(_inertia(distances, weights))
        usages.append(float((torch.bincount(labels, minlength=len(centers)) > 0).float().mean()))
        if on_iteration is not None:
            on_iteration(inertias[-1], usages[-1])
        if inertias[-2] - inertias[-1] <= tolerance * inertias[-2]:
            break
    return KMeansResult(centers, labels, inertias[1:], usages)


def seed_centers(x, weights, n_clusters, generator):
    """Draw rows of `x` as first centers, (K, d), with probability proportional to weight × squared distance.

    The oversampled rounds of k-means|| (Bahmani et al., 2012, arXiv:1203.6402) with as many draws in all as there are
    clusters, so that nothing is clustered twice: a few matrix products, where k-means++ needs one pass per center.
    """
    norms = torch.linalg.vector_norm(x, dim=1).square()
    log_weights = weights.log()
    chosen = _draw(log_weights, 1, generator)
    distances = nearest(x, x[chosen], norms)[1]
    for round_ in range(SEEDING_ROUNDS):
        n_missing = n_clusters - len(chosen)
        if n_missing == 0:
            break
        n_draws = -(-n_missing // (SEEDING_ROUNDS - round_))
        fresh = _draw(log_weights + distances.log(), n_draws, generator)
        chosen = torch.cat([chosen, fresh])
        distances = torch.minimum(distances, nearest(x, x[fresh], norms)[1])
        distances[chosen] = 0.0
    return x[chosen]


def nearest(x, centers, norms=None):
    """Return the index of the nearest center of each row and the squared distance to it, both (n,)."""
    if norms is None:
        norms = torch.linalg.vector_norm(x, dim=1).square()
    half_norms = centers.square().sum(1) / 2
    find = _nearest_of_block if not can_prove(x, len(centers)) else _proven_nearest_of_block
    blocks = zip(x.split(BLOCK), norms.split(BLOCK), strict=True)
    found = [find(block, block_norms, centers, half_norms) for block, block_norms in blocks]
    labels, scores = map(torch.cat, zip(*found, strict=True))
    return labels, (2 * scores + norms).clamp_(min=0)


def _nearest_of_block(x, norms, centers, half_norms):
    """Return the labels, and |x - c|² / 2 - |x|² / 2."""
    scores = torch.addmm(half_norms, x, centers.T, alpha=-1)
    labels = argmin(scores)
    return labels, scores.gather(1, labels[:, None]).squeeze(1)


def _proven_nearest_of_block(x, norms, centers, half_norms):
    """The same by `proven_nearest`, and for rows where that proves nothing as above."""
    labels, is_proven = proven_nearest(x, norms.sqrt(), centers, half_norms)
    others = is_proven.logical_not().nonzero().squeeze(1)
    labels[others], _ = _nearest_of_block(x[others], norms[others], centers, half_norms)
    products = (x * centers.index_select(0, labels)).sum(1)
    return labels, half_norms[labels] - products


def argmin(scores):
    """Return the index of the smallest of each row of `scores` (n, K), the first of equals."""
    if scores.device.type == "cpu":  # numpy's is four times as fast as torch's there
        return torch.from_numpy(scores.detach().numpy().argmin(1))
    return scores.argmin(1)


def _leading_axes(x):
    """Return the directions of largest second moment of `x`, (d, COARSE_DIM), estimated from evenly spaced rows."""
    rows = x[:: -(-len(x) // COARSE_ROWS)]
    return torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -COARSE_DIM:]


def _draw(log_probabilities, n_draws, generator):
    """Draw distinct indices with the given unnormalised log-probabilities (exponential races; Efraimidis & Spirakis).

    Drawn on the CPU, so that a seed means the same rows on every device.
    """
    races = torch.empty(len(log_probabilities), dtype=torch.float64).exponential_(generator=generator)
    keys = log_probabilities.double().cpu() - races.log()
    return keys.topk(n_draws).indices.to(log_probabilities.device)


def _cluster_means(x, weights, labels, n_clusters, priorities):
    """Return the mean of each cluster, (K, d); empty ones become the rows of the highest priorities."""
    totals = x.new_zeros(n_clusters).index_add_(0, labels, weights)
    sums = x.new_zeros(n_clusters, x.shape[1])
    for rows, label, weight in zip(x.split(BLOCK), labels.split(BLOCK), weights.split(BLOCK), strict=True):
        sums.index_add_(0, label, rows * weight[:, None])
    empty = totals == 0
    means = sums / torch.where(empty, 1.0, totals)[:, None]
    n_empty = int(empty.sum())
    if n_empty:
        means[empty] = x[priorities.topk(n_empty).indices]
    return means


def _inertia(distances, weights):
    return float((distances.double() * weights.double()).sum())
