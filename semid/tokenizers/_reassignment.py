"""Free codes nearby for items that share theirs."""

from math import prod

import numpy as np

from semid.tokenizers._auction import assign
from semid.tokenizers._candidates import BLOCK, nearest_codes
from semid.tokenizers._occupancy import contains, distinct_free_after, free_after, to_codes, to_numbers, union

# Asked for one after the other, by the items that found nothing free before; the last two of small codebooks only,
# where they take no longer than 256 of large ones.
_N_CANDIDATES = (16, 64, 256, 1024, 4096)
_LARGEST_SEARCH = 2**16  # candidates times codes, of one item
_CHEAP_SEARCH = 2**26  # candidates times codes, of all items together


class FreeCodes:
    """The rows of codes of a fitted tokenizer that are not among those `taken`, as sorted numbers."""

    def __init__(self, tokenizer, taken):
        self.tokenizer, self.taken = tokenizer, taken
        self.sizes = tokenizer.codebook_sizes_
        self.n_numbers = prod(self.sizes)

    def reassign(self, rows, inner_codes, weights):
        """Return codes that nobody else has: the inner ones where they are free and nobody shares them.

        Parameters
        ----------
        rows : ndarray of shape (n_items, n_features), float32
        inner_codes : ndarray of shape (n_items, n_codebooks), int64
        weights : ndarray of shape (n_items,)
        """
        numbers = to_numbers(inner_codes, self.sizes)
        _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        is_settled = (counts[inverse] == 1) & ~contains(self.taken, numbers)
        taken = union(self.taken, numbers[is_settled])
        left = np.flatnonzero(~is_settled)
        for n_candidates in self._numbers_of_candidates(len(left)):
            if len(left) == 0:
                break
            found, is_placed = self._bid(rows[left], weights[left], n_candidates, taken)
            numbers[left[is_placed]] = found
            taken = union(taken, found)
            left = left[~is_placed]
        numbers[left] = distinct_free_after(taken, numbers[left], self.n_numbers)
        return to_codes(numbers, self.sizes)

    def nearest(self, X, inner_codes):
        """Return for each item alone its inner codes if they are free, else the nearest free ones; one must be."""
        numbers = to_numbers(inner_codes, self.sizes)
        left = np.flatnonzero(contains(self.taken, numbers))
        # Not as many as these items could afford: what one item gets is not to depend on the others.
        for n_candidates in self._numbers_of_candidates():
            if len(left) == 0:
                break
            candidates, _ = self._candidates(X[left], n_candidates)
            is_free = ~contains(self.taken, candidates)
            first, found = is_free.argmax(axis=1), is_free.any(axis=1)
            numbers[left[found]] = candidates[found, first[found]]
            left = left[~found]
        numbers[left] = free_after(self.taken, numbers[left], self.n_numbers)
        return to_codes(numbers, self.sizes)

    def _bid(self, rows, weights, n_candidates, taken):
        """Return the numbers of the codes that items got among their nearest, and which items got any."""
        candidates, regrets = self._candidates(rows, n_candidates)
        regrets *= weights[:, None]
        is_complete = candidates.shape[1] == self.n_numbers
        outside = np.full(len(rows), np.inf) if is_complete else regrets[:, -1]
        choices = assign(np.where(contains(taken, candidates), np.inf, regrets), candidates, outside)
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
        numbers, regrets = [], []
        for start in range(0, len(X), BLOCK):
            codes, more = nearest_codes(self.tokenizer, X[start : start + BLOCK], n_candidates)
            numbers.append(to_numbers(codes, self.sizes))
            regrets.append(more)
        return np.concatenate(numbers), np.concatenate(regrets)
