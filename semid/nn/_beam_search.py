"""Joint search for the codes of a row over several codebooks.

Letters: B rows, W beam size, N codebooks, K codes in a codebook, D width of a row.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_GROUP = 16  # numbers of which the least is looked at first


class Beam(NamedTuple):
    codes: Tensor  # (B, W, N), best first
    scores: Tensor  # (B, W), ascending
    certain: Tensor  # (B,) bool, False where a choice between scores was closer than the tolerance


def beam_search(costs, n_codebooks, beam_size, tolerance):
    """Choose one code per codebook, keeping the `beam_size` best beginnings at each codebook.

    ``costs(n, codes)`` returns what each code of codebook n adds to the score of the beginnings `codes` (B, W, n):
    (B, W, K) or, where the beginning does not matter, (B, 1, K). `tolerance` (B,) is the difference of scores below
    which rounding could have decided.

    Exact where a code's cost does not depend on the beginning: the best W of all combinations.
    """
    n_rows = len(tolerance)
    codes = torch.zeros(n_rows, 1, 0, dtype=torch.int64, device=tolerance.device)
    scores = tolerance.new_zeros(n_rows, 1)
    certain = torch.ones_like(tolerance, dtype=torch.bool)
    # Without a tolerance equal scores have no order but that of `topk`, which a seed's codes depend on.
    is_plain = tolerance.device.type != "cpu" or not bool((tolerance > 0).all())
    find = _k_smallest_of_few if is_plain else k_smallest
    for n in range(n_codebooks):
        extended = scores[:, :, None] + costs(n, codes)  # (B, W, K)
        size = extended.shape[2]
        # Equal scores rank by their place, and one place is further than rounding reaches, but all less than doubt.
        places = torch.arange(extended[0].numel(), device=extended.device, dtype=extended.dtype)
        extended = extended.flatten(1).add_(places * (tolerance[:, None] / (4 * len(places))))
        n_kept = min(beam_size, extended.shape[1])
        n_looked_at = min(n_kept + 1, extended.shape[1])
        best = find(extended, n_looked_at)
        if n_looked_at > n_kept:
            certain &= best.values[:, n_kept] - best.values[:, n_kept - 1] > tolerance
        scores, chosen = best.values[:, :n_kept], best.indices[:, :n_kept]
        beginnings = codes.gather(1, (chosen // size)[:, :, None].expand(-1, -1, n))
        codes = torch.cat([beginnings, (chosen % size)[:, :, None]], dim=2)
    if scores.shape[1] > 1:
        certain &= scores[:, 1] - scores[:, 0] > tolerance
    return Beam(codes, scores, certain)


class SumCosts:
    """Half the squared distance of rows `x` (B, D) to a SUM of code vectors, one codebook at a time, less half |x|².

    From products of code vectors, so that no cost needs a vector of width D again: with E the sum so far,
    ``|x - E - e|² / 2 = |x - E|² / 2 + |e|² / 2 - x·e + E·e``. Prices (K,) are added as they are.
    """

    def __init__(self, x, codebooks, prices, gram=None):
        offsets = [book.square().sum(1) / 2 + price for book, price in zip(codebooks, prices, strict=True)]
        # Of the row alone, (B, K) each, and what each code before adds, (K, K) each and the same for all rows.
        self.own = [offset - x @ book.T for offset, book in zip(offsets, codebooks, strict=True)]
        self.between = products_of_code_vectors(codebooks) if gram is None else gram

    def __call__(self, n, codes):
        costs = self.own[n][:, None, :]  # (B, 1, K)
        for m, products in enumerate(self.between[n]):
            added = products.index_select(0, codes[:, :, m].flatten()).unflatten(0, codes.shape[:2])
            costs = added.add_(costs)  # (B, W, K)
        return costs


class SeparableCosts:
    """Costs (B, K) of each codebook, whatever the codes before."""

    def __init__(self, own):
        self.own = own
        self.between = [[] for _ in own]

    def __call__(self, n, codes):
        return self.own[n][:, None, :]


class Smallest(NamedTuple):
    values: Tensor  # (B, k), ascending
    indices: Tensor  # (B, k)


def k_smallest(x, k):
    """Return the `k` smallest numbers of each row of `x` (B, n), and where they are; of equal ones, any.

    They are in the `k` groups whose least is smallest, which is a pass over `x` and two over a few numbers.
    """
    n_groups = x.shape[1] // _GROUP
    if k * _GROUP >= x.shape[1] / 2 or n_groups * _GROUP != x.shape[1]:
        return _k_smallest_of_few(x, k)
    grouped = x.unflatten(1, (_GROUP, n_groups))  # a group is every n-th number
    groups = _k_smallest_of_few(grouped.amin(1), k).indices  # (B, k)
    members = grouped.gather(2, groups[:, None, :].expand(-1, _GROUP, -1)).flatten(1)
    values, places = _k_smallest_of_few(members, k)
    return Smallest(values, places // k * n_groups + groups.gather(1, places % k))


def _k_smallest_of_few(x, k):
    return Smallest(*x.topk(k, dim=1, largest=False))


def products_of_code_vectors(codebooks):
    """Return for each codebook its products with those before it, (K, K) each: the same for all rows."""
    return [[earlier @ book.T for earlier in codebooks[:n]] for n, book in enumerate(codebooks)]
