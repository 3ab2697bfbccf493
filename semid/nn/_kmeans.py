"""Weighted k-means on the device where the data are, without an (n, K, d) temporary.

Letters: n rows, d their width, K centers.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 16_384  # rows whose distances to all centers are held at once
SEEDING_ROUNDS = 8


class KMeansResult(NamedTuple):
    centers: Tensor  # (K, d)
    labels: Tensor  # (n,), the nearest of `centers`
    inertias: list[float]  # weighted sum of squared distances, after each iteration
    usages: list[float]  # share of centers that are the nearest of some row, after each iteration


def kmeans(x, weights, n_clusters, *, max_iter, generator, centers=None, tolerance=1e-4, on_iteration=None):
    """Cluster the rows of `x` (n, d) by Lloyd's algorithm.

    Starts from `centers` (K, d), or from a seeding that spreads with the squared distance.

    An empty cluster moves to the row that is farthest from its center. Stops when an iteration lowers the inertia
    by less than `tolerance` of it, or after `max_iter` iterations. Calls ``on_iteration(inertia, usage)``.
    """
    if centers is None:
        centers = seed_centers(x, weights, n_clusters, generator)
    labels, distances = nearest(x, centers)
    inertias, usages = [_inertia(distances, weights)], []
    for _ in range(max_iter):
        centers = _cluster_means(x, weights, labels, distances, centers)
        labels, distances = nearest(x, centers)
        inertias.append(_inertia(distances, weights))
        usages.append(len(labels.unique()) / n_clusters)
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
    log_weights = weights.log()
    chosen = _draw(log_weights, 1, generator)
    distances = nearest(x, x[chosen])[1]
    for round_ in range(SEEDING_ROUNDS):
        n_missing = n_clusters - len(chosen)
        if n_missing == 0:
            break
        n_draws = -(-n_missing // (SEEDING_ROUNDS - round_))
        fresh = _draw(log_weights + distances.log(), n_draws, generator)
        chosen = torch.cat([chosen, fresh])
        distances = torch.minimum(distances, nearest(x, x[fresh])[1])
        distances[chosen] = 0.0
    return x[chosen]


def nearest(x, centers):
    """Return the index of the nearest center of each row and the squared distance to it, both (n,)."""
    half_norms = centers.square().sum(1) / 2
    labels, distances = [], []
    for block in x.split(BLOCK):
        scores, label = (half_norms - block @ centers.T).min(1)  # |x - c|² / 2 - |x|² / 2
        labels.append(label)
        distances.append((2 * scores + block.square().sum(1)).clamp_(min=0))
    return torch.cat(labels), torch.cat(distances)


def _draw(log_probabilities, n_draws, generator):
    """Draw distinct indices with the given unnormalised log-probabilities (exponential races; Efraimidis & Spirakis).

    Drawn on the CPU, so that a seed means the same rows on every device.
    """
    races = torch.empty(len(log_probabilities), dtype=torch.float64).exponential_(generator=generator)
    keys = log_probabilities.double().cpu() - races.log()
    return keys.topk(n_draws).indices.to(log_probabilities.device)


def _cluster_means(x, weights, labels, distances, centers):
    totals = torch.zeros(len(centers), dtype=x.dtype, device=x.device).index_add_(0, labels, weights)
    sums = torch.zeros_like(centers)
    for rows, label, weight in zip(x.split(BLOCK), labels.split(BLOCK), weights.split(BLOCK), strict=True):
        sums.index_add_(0, label, rows * weight[:, None])
    empty = totals == 0
    means = sums / torch.where(empty, 1.0, totals)[:, None]
    n_empty = int(empty.sum())
    if n_empty:
        means[empty] = x[(distances * weights).topk(n_empty).indices]
    return means


def _inertia(distances, weights):
    return float((distances.double() * weights.double()).sum())
