"""The beam search of rows that lie close together, in which they share nearly all of the work.

What a code costs differs little between such rows. So the span of its costs over all of them says which continuations
none of them can want, once for all rows, and the few others are all that is compared row by row.

Letters: B rows, W beam size, N codebooks, K codes in a codebook, S beginnings that some row keeps, T continuations of
these that some row may keep.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from semid.nn._beam_search import k_smallest

_NUMBERS = 2**17  # compared at once: they stay in the cache
_LEAST_SAVING = 4  # times fewer continuations than a search for each row alone compares


class SharedBeams(NamedTuple):
    beginnings: Tensor  # (S, n), all different
    kept: Tensor  # (B, W), which of them each row keeps, best first
    scores: Tensor  # (B, W)


def shared_beam_search(costs, beam_size, tolerance):
    """Return what `beam_search` finds, as `SharedBeams`, or None if the rows lie too far apart.

    `costs` are `SumCosts` or `SeparableCosts`: that of code k of codebook n for row b, after the codes c, is
    ``own[n][b, k] + between[n][0][c[0], k] + between[n][1][c[1], k] + ...``. It is summed in that order here as there,
    and equal to the bit.
    """
    n_rows, device = len(tolerance), tolerance.device
    beams = SharedBeams(
        torch.zeros(1, 0, dtype=torch.int64, device=device),
        torch.zeros(n_rows, 1, dtype=torch.int64, device=device),
        tolerance.new_zeros(n_rows, 1),
    )
    level = torch.zeros_like(tolerance)  # of the scores of each row: close rows differ by little beside it
    for n, (own, between) in enumerate(zip(costs.own, costs.between, strict=True)):
        shift = own[:, own[0].argmin()]
        parents, codes = _possible(beams, own, between, shift, level, beam_size, tolerance.max())
        if len(codes) * _LEAST_SAVING > beams.kept.shape[1] * own.shape[1] and n > 0:
            return None
        beams = _extend(beams, parents, codes, own, between, beam_size, tolerance)
        level = level + shift
    return beams


def _possible(beams, own, between, shift, level, beam_size, slack):
    """Return the continuations, beginnings and codes (T,), that may be among the best `beam_size` of some row.

    Less its `level` and `shift`, a continuation costs a row no less than `least` and no more than `most`, so the best
    `beam_size` cost it no more than so many of the `most` of beginnings that every row keeps.
    """
    relative = own - shift[:, None]
    scores = _per_beginning(beams, beams.scores - level[:, None], torch.inf)  # (B, S)
    lows, highs = scores.amin(0), scores.amax(0)
    rank = min(beam_size, beams.kept.shape[1] * own.shape[1])
    most, found = lows.new_empty(0), []
    # The most promising beginnings first: they set a bound that few of the others are below.
    for some in lows.argsort().split(max(1, _NUMBERS // own.shape[1])):
        fixed = lows.new_zeros(len(some), own.shape[1])
        for m, products in enumerate(between):
            fixed += products.index_select(0, beams.beginnings[some, m])
        common = highs[some].isfinite()  # those that every row keeps
        most = torch.cat([most, (fixed[common] + highs[some][common, None] + relative.amax(0)).ravel()])
        if len(most) > rank:
            most = most.topk(rank, largest=False, sorted=False).values
        bound = most.amax() + slack if len(most) == rank else torch.inf
        least = fixed.add_(lows[some, None]).add_(relative.amin(0))
        places, codes = torch.nonzero(least <= bound, as_tuple=True)
        found.append((least[places, codes], some[places], codes))
    least, parents, codes = map(torch.cat, zip(*found, strict=True))
    is_possible = least <= bound
    return parents[is_possible], codes[is_possible]


def _extend(beams, parents, codes, own, between, beam_size, tolerance):
    """Return the best `beam_size` of the continuations (T,) of each row's own beginnings."""
    n_kept, size = beams.kept.shape[1], own.shape[1]
    n_places = n_kept * size
    fixed = [products[beams.beginnings[parents, m], codes] for m, products in enumerate(between)]
    chosen, best = [], []
    for rows in torch.arange(len(own), device=own.device).split(max(1, _NUMBERS // len(codes))):
        some = beams._replace(kept=beams.kept[rows])
        extended = own[rows].index_select(1, codes)
        for products in fixed:
            extended += products
        extended += _per_beginning(some, beams.scores[rows], torch.inf).index_select(1, parents)
        # As in `beam_search`: equal scores rank by their place among all continuations of the row.
        firsts = _per_beginning(some, torch.arange(0, n_places, size, dtype=own.dtype).expand(len(rows), -1), 0.0)
        places = firsts.index_select(1, parents).add_(codes)
        extended += places.mul_(tolerance[rows, None] / (4 * n_places))
        smallest = k_smallest(extended, min(beam_size, n_places))
        chosen.append(smallest.indices)
        best.append(smallest.values)
    chosen = torch.cat(chosen)
    is_kept = torch.zeros(len(codes), dtype=torch.bool, device=own.device)
    is_kept[chosen.ravel()] = True
    beginnings = torch.cat([beams.beginnings[parents], codes[:, None]], dim=1)[is_kept]
    return SharedBeams(beginnings, (is_kept.cumsum(0) - 1)[chosen], torch.cat(best))


def _per_beginning(beams, values, missing):
    """Lay out the `values` (B, W) of each row's beginnings as (B, S), `missing` where a row has a beginning not."""
    return values.new_full((len(values), len(beams.beginnings)), missing).scatter_(1, beams.kept, values)
