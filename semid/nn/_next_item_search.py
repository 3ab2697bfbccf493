"""From the state of a history to items: the scores of all of them, or a beam search through the tree of their codes.

Letters: I items, N codebooks, K codes in a codebook, R codes in all, B histories, d width, W width of a beam, M nodes of
a level: beginnings of codes that some item has.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

_MANY = 8  # histories, from which on scores are summed item by item
_HISTORIES_AT_ONCE = 64  # whose scores of a code lie side by side in a few lines of the cache


class CodeTree(NamedTuple):
    """Beginnings of the catalogue's codes, level by level: a node is parent · codebook size + code."""

    keys: list[torch.Tensor]  # (M,) int64 each, rising
    sizes: list[int]


class Beginnings(NamedTuple):
    nodes: torch.Tensor  # (B, W) int64, of the last level, best first
    scores: torch.Tensor  # (B, W), -inf where a history has fewer


def look_up(log_probabilities, rows):
    """Return Σ_n log p_n(c_n) of all items, (B, I), from those of the codes, (B, R), and the items' `rows` (N, I).

    One sum of N numbers per item, whatever the width of the model. For a few histories columns are gathered; for many,
    rows of the transposed table are summed, so that what a code gives to all of them is read at once.
    """
    if len(log_probabilities) < _MANY:
        scores = log_probabilities.index_select(1, rows[0])
        for of_codebook in rows[1:]:
            scores += log_probabilities.index_select(1, of_codebook)
        return scores
    of_items = rows.T.contiguous()
    parts = [
        F.embedding_bag(of_items, part.T.contiguous(), mode="sum").T for part in log_probabilities.split(_HISTORIES_AT_ONCE)
    ]
    return torch.cat(parts)


def parallel_scores(head, h, table, rows):
    """Return log p(codes) of all items, (B, I), by the `ParallelHead` from states `h` (B, d)."""
    return look_up(torch.cat(list(head.log_probabilities(h, table)), dim=1), rows)


def beam_search(head, h, table, tree, width):
    """Return the `Beginnings` with all their codes that the `ResidualHead` finds most probable, from states `h` (B, d).

    Only codes that lead to an item are followed. The scores are exact: log p of the codes, as `ResidualHead` has it. A beam
    as wide as the catalogue has all of them, and finds the best there are.
    """
    n_histories, dim = h.shape
    nodes = h.new_zeros(n_histories, 1, dtype=torch.int64)
    scores, before = h.new_zeros(n_histories, 1), h.new_zeros(n_histories, 1, dim)
    for n, (keys, size) in enumerate(zip(tree.keys, tree.sizes, strict=True)):
        log_p = head.level(n, h[:, None].expand_as(before), before, table)  # (B, W, K)
        log_p = log_p.masked_fill(~followed(nodes, keys, size), -torch.inf)
        extended = (scores[:, :, None] + log_p).flatten(1)
        scores, chosen = extended.topk(min(width, extended.shape[1], len(keys)), dim=1)
        owners, codes = chosen // size, chosen % size
        nodes = torch.searchsorted(keys, nodes.gather(1, owners) * size + codes).clamp_(max=len(keys) - 1)
        before = head.choose(n, before.gather(1, owners[:, :, None].expand(-1, -1, dim)), codes)
    return Beginnings(nodes, scores)


def followed(nodes, keys, size):
    """Return which codes lead from each node (B, W) to a node of the next level, (B, W, K) bool."""
    wanted = nodes[:, :, None] * size + torch.arange(size, device=nodes.device)
    places = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return keys[places] == wanted


def residual_scores(head, h, table, tree):
    """Return log p of all complete codes of `tree`, (B, M), by the `ResidualHead` from states `h` (B, d).

    Each beginning that items share is computed once.
    """
    n_histories, dim = h.shape
    scores, before = h.new_zeros(n_histories, 1), h.new_zeros(n_histories, 1, dim)
    for n, (keys, size) in enumerate(zip(tree.keys, tree.sizes, strict=True)):
        log_p = head.level(n, h[:, None].expand_as(before), before, table)  # (B, M, K)
        parents, codes = keys // size, keys % size
        scores = scores[:, parents] + log_p[:, parents, codes]
        before = head.choose(n, before[:, parents], codes.expand(n_histories, -1))
    return scores
