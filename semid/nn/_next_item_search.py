"""From the state of a history to items: the scores of all of them, or a beam search through the tree of their codes.

Letters: I items, N codebooks, K codes in a codebook, R codes in all, B histories, d width, W width of a beam, M nodes
of a level: beginnings of codes that some item has.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

_MANY = 8  # histories, from which on scores are summed item by item
_HISTORIES_AT_ONCE = 64  # whose scores of a code lie side by side in a few lines of the cache
_NUMBERS_AT_ONCE = 2**22  # of states of beginnings


class Beginnings(NamedTuple):
    nodes: torch.Tensor  # (B, W) int64, of the last level, best first
    scores: torch.Tensor  # (B, W), -inf where a history has fewer


def look_up(of_codes, rows):
    """Return the sum over codebooks of what items' codes have, (B, I), from `of_codes` (B, R) and `rows` (N, I).

    N additions per item, whatever the width of the model. For a few histories columns are gathered; for many, rows of
    the transposed table are summed, so that what a code gives to all of them is read at once.
    """
    if len(of_codes) < _MANY:
        scores = of_codes.index_select(1, rows[0])
        for of_codebook in rows[1:]:
            scores += of_codes.index_select(1, of_codebook)
        return scores
    of_items = rows.T.contiguous()
    parts = of_codes.split(_HISTORIES_AT_ONCE)
    return torch.cat([F.embedding_bag(of_items, part.T.contiguous(), mode="sum").T for part in parts])


def parallel_scores(module, h):
    """Return log p of all items, (B, I), by the `ParallelHead` from states `h` (B, d)."""
    scores = look_up(module.head(h, module.items.table), module.items.rows)
    scores += module.shares
    if module.items.own is not None:
        scores = torch.addmm(scores, h, module.items.own.T)
    return scores.sub_(scores.logsumexp(1, keepdim=True))


def beam_search(module, h, width):
    """Return the `Beginnings` with all their codes that the `ResidualHead` finds most probable, from states `h` (B, d).

    Only codes that lead to an item are followed, and the scores are exact: log p of the codes. A beam as wide as the
    catalogue holds all of them.
    """
    head, dim = module.head, h.shape[1]
    nodes = torch.zeros(len(h), 1, dtype=torch.int64, device=h.device)
    scores, before = h.new_zeros(len(h), 1), h.new_zeros(len(h), 1, dim)
    for n, size in enumerate(head.sizes):
        log_p = head.level(n, h[:, None].expand_as(before), before, nodes, module.items.table)  # (B, W, K)
        extended = (scores[:, :, None] + log_p).flatten(1)
        keys = head.keys(n)
        scores, chosen = extended.topk(min(width, extended.shape[1], len(keys)), dim=1)
        owners, codes = chosen // size, chosen % size
        nodes = torch.searchsorted(keys, nodes.gather(1, owners) * size + codes).clamp_(max=len(keys) - 1)
        before = head.choose(n, before.gather(1, owners[:, :, None].expand(-1, -1, dim)), codes)
    return Beginnings(nodes, scores)


def residual_scores(module, h):
    """Return log p of all complete codes, (B, M), by the `ResidualHead` from states `h` (B, d).

    Each beginning that items share is computed once, and of each codebook only the codes that follow it.
    """
    head = module.head
    scores, before = h.new_zeros(len(h), 1), h.new_zeros(len(h), 1, h.shape[1])
    for n, size in enumerate(head.sizes):
        keys = head.keys(n)
        parents, codes = keys // size, keys % size
        log_p = torch.cat(list(_of_children(module, n, h, before, parents, codes)), dim=1)
        scores = scores[:, parents].add_(log_p)
        if n + 1 < len(head.sizes):
            before = head.choose(n, before[:, parents], codes.expand(len(h), -1))
    return scores


def _of_children(module, n, h, before, parents, codes):
    """Yield log p of `codes` (M',) of codebook n after `parents` (M',), which rise, some of these at a time."""
    head = module.head
    table, bias = module.items.table.split(head.sizes)[n], head.bias.split(head.sizes)[n]
    n_parents = before.shape[1]
    size = max(1, _NUMBERS_AT_ONCE * n_parents // (before.numel() * -(-len(parents) // n_parents)))
    for start in range(0, n_parents, size):
        part = before[:, start : start + size]
        first, last = torch.searchsorted(parents, torch.tensor([start, start + size], device=parents.device)).tolist()
        of_part, codes_of_part = parents[first:last] - start, codes[first:last]
        states = head.state(n, h[:, None].expand_as(part), part)[:, of_part]
        logits = torch.einsum("bmd,md->bm", states, table[codes_of_part]) + bias[codes_of_part]
        yield logits - _log_sum_of_siblings(logits, of_part, part.shape[1])[:, of_part]


def _log_sum_of_siblings(logits, parents, n_parents):
    """Return log Σ exp of the logits (B, M') of each parent's children, (B, n_parents)."""
    owners = parents.expand_as(logits)
    largest = logits.new_full((len(logits), n_parents), -torch.inf).scatter_reduce_(1, owners, logits, "amax")
    sums = torch.zeros_like(largest).scatter_add_(1, owners, (logits - largest.gather(1, owners)).exp_())
    return largest + sums.log()
