"""Codes nearby that have room, for items too many of which share theirs."""

from math import prod

import numpy as np

from semid.tokenizers._auction import assign
from semid.tokenizers._candidates import BLOCK, nearest_codes
from semid.tokenizers._occupancy import (
    codes_of_places,
    distinct_free_after,
    first_places,
    free_after,
    n_free,
    next_places,
    union,
)

# Asked for one after the other, by the items that found nothing free before; the last two of small codebooks only,
# where they take no longer than 256 of large ones.
_N_CANDIDATES = (16, 64, 256, 1024, 4096)
_LARGEST_SEARCH = 2**16  # candidates times codes, of one item
_CHEAP_SEARCH = 2**26  # candidates times codes, of all items together


class FreeCodes:
    """The rows of codes of a fitted tokenizer that have room beside the places `taken`, in increasing order."""

    def __init__(self, tokenizer, taken, capacity):
        self.tokenizer, self.taken, self.capacity = tokenizer, taken, capacity
        self.sizes = tokenizer.codebook_sizes_
        self.n_places = prod(self.sizes) * capacity

    def reassign(self, rows, inner_codes, weights):
        """Return codes that no more than `capacity` items have: the inner ones where there is room for all of them.

        Parameters
        ----------
        rows : ndarray of shape (n_items, n_features), float32
        inner_codes : ndarray of shape (n_items, n_codebooks), int64
        weights : ndarray of shape (n_items,)
        """
        firsts = first_places(inner_codes, self.sizes, self.capacity)
        _, inverse, counts = np.unique(firsts, return_inverse=True, return_counts=True)
        is_settled = counts[inverse] <= n_free(self.taken, firsts, self.capacity)
        taken = self._with(self.taken, firsts[is_settled])
        left = np.flatnonzero(~is_settled)
        for n_candidates in self._numbers_of_candidates(len(left)):
            if len(left) == 0:
                break
            found, is_placed = self._bid(rows[left], weights[left], n_candidates, taken)
            firsts[left[is_placed]] = found
            taken = self._with(taken, found)
            left = left[~is_placed]
        firsts[left] = distinct_free_after(taken, firsts[left], self.n_places)
        return codes_of_places(firsts, self.sizes, self.capacity)

    def nearest(self, X, inner_codes):
        """Return for each item alone its inner codes if they have room, else the nearest that have; some must."""
        firsts = first_places(inner_codes, self.sizes, self.capacity)
        left = np.flatnonzero(n_free(self.taken, firsts, self.capacity) == 0)
        # Not as many as these items could afford: what one item gets is not to depend on the others.
        for n_candidates in self._numbers_of_candidates():
            if len(left) == 0:
                break
            candidates, _ = self._candidates(X[left], n_candidates)
            is_free = n_free(self.taken, candidates, self.capacity) > 0
            first, found = is_free.argmax(axis=1), is_free.any(axis=1)
            firsts[left[found]] = candidates[found, first[found]]
            left = left[~found]
        firsts[left] = free_after(self.taken, firsts[left], self.n_places)
        return codes_of_places(firsts, self.sizes, self.capacity)

    def _with(self, taken, firsts):
        return union(taken, next_places(taken, firsts, self.capacity))

    def _bid(self, rows, weights, n_candidates, taken):
        """Return the first places of the codes that items got among their nearest, and which items got any."""
        candidates, regrets = self._candidates(rows, n_candidates)
        regrets *= weights[:, None]
        is_complete = candidates.shape[1] * self.capacity == self.n_places
        outside = np.full(len(rows), np.inf) if is_complete else regrets[:, -1]
        room = n_free(taken, candidates, self.capacity)
        choices = assign(np.where(room == 0, np.inf, regrets), candidates, outside, room)
        is_placed = choices >= 0
        return candidates[is_placed, choices[is_placed]], is_placed

    def _numbers_of_candidates(self, n_items=None):
        """How many candidates to ask for, round by round; few items start with more, for a better assignment."""
        largest = max(self.sizes)
        least = _N_CANDIDATES[0]
        if n_items:
            least = np.clip(_CHEAP_SEARCH // (n_items * largest), least, 256)
        return [n for n in _N_CANDIDATES if least // 4 < n <= max(256, _LARGEST_SEARCH // largest)]

    def _candidates(self, X, n_candidates):
        firsts, regrets = [], []
        for start in range(0, len(X), BLOCK):
            codes, more = nearest_codes(self.tokenizer, X[start : start + BLOCK], n_candidates)
            firsts.append(first_places(codes, self.sizes, self.capacity))
            regrets.append(more)
        return np.concatenate(firsts), np.concatenate(regrets)
