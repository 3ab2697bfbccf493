"""Codes nearby that have room, for items too many of which share theirs."""

import functools
from itertools import starmap
from math import prod

import numpy as np

from semid.base._threads import in_threads
from semid.tokenizers._auction import PATIENCE, assign
from semid.tokenizers._candidates import BLOCK, NearestCodes
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
_CLOSE_ITEMS = 128  # searched for at once
_TOO_MANY = 2  # times more items of the same codes than candidates: they would fight over them in vain
# More items of the same codes than this raise prices in larger steps: they bid against one another for long, and lose
# about as much whoever wins. Four times the step halved the bids, and cost a thousandth of the variance at most.
_CROWD, _CROWD_PATIENCE = 16, 25
_LARGEST_AUCTION = 2**25  # candidates of all items that bid at once: 1 GB
_WORTH_SHARING = 2**17  # candidates times codes of close items, above which a search for all at once is faster


class FreeCodes:
    """The rows of codes of a fitted tokenizer that have room beside the places `taken`, in increasing order."""

    def __init__(self, tokenizer, taken, capacity):
        self.tokenizer, self.taken, self.capacity = tokenizer, taken, capacity
        self.sizes = tokenizer.codebook_sizes_
        self.n_places = prod(self.sizes) * capacity

    @functools.cached_property
    def _search(self):
        return NearestCodes(self.tokenizer)

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
        n_alike = counts[inverse]
        *numbers, last = self._numbers_of_candidates(len(left))
        for n_candidates in [*numbers, last]:
            is_asking = (n_alike[left] <= _TOO_MANY * n_candidates * self.capacity) | (n_candidates == last)
            for items in self._batches(left[is_asking], firsts, n_candidates):
                patience = np.where(n_alike[items] > _CROWD, _CROWD_PATIENCE, PATIENCE)
                found, is_placed = self._bid(rows[items], firsts[items], weights[items], n_candidates, taken, patience)
                firsts[items[is_placed]] = found
                taken = self._with(taken, found)
                is_settled[items[is_placed]] = True
            left = left[~is_settled[left]]
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

    def _batches(self, items, firsts, n_candidates):
        """Return all of `items`, or, where that would take too much memory, some after others, near ones together."""
        n_batches = -(-len(items) * n_candidates // _LARGEST_AUCTION)
        if n_batches <= 1:
            return [items] if len(items) else []
        return np.array_split(items[np.argsort(firsts[items], kind="stable")], n_batches)

    def _bid(self, rows, own, weights, n_candidates, taken, patience):
        """Return the first places of the codes that items got among their nearest, and which items got any."""
        candidates, numbers, regrets = self._candidates_by_group(rows, own, n_candidates)
        regrets *= weights[:, None]
        is_complete = numbers.shape[1] * self.capacity == self.n_places
        outside = np.full(len(rows), np.inf) if is_complete else regrets[:, -1].copy()
        room = n_free(taken, candidates, self.capacity)
        regrets[(room == 0)[numbers]] = np.inf
        choices = assign(regrets, numbers, outside, room, patience)
        is_placed = choices >= 0
        return candidates[numbers[is_placed, choices[is_placed]]], is_placed

    def _numbers_of_candidates(self, n_items=None):
        """How many candidates to ask for, round by round; few items start with more, for a better assignment."""
        largest = max(self.sizes)
        least = _N_CANDIDATES[0]
        if n_items:
            least = np.clip(_CHEAP_SEARCH // (n_items * largest), least, 256)
        return [n for n in _N_CANDIDATES if least // 4 < n <= max(256, _LARGEST_SEARCH // largest)]

    def _searched(self, search, X, parts, n_candidates):
        """Yield parts of the items, each with what `search` finds for it: small searches, one in each thread."""
        n_threads = min(self._search.n_threads, len(parts))
        calls = ((X[items], n_candidates) for items in parts)
        found = starmap(search, calls) if n_threads <= 1 else in_threads(search, calls, n_threads)
        return zip(parts, found, strict=True)

    def _candidates(self, X, n_candidates):
        codes, regrets = self._search.of(X, n_candidates)
        return first_places(codes, self.sizes, self.capacity), regrets

    def _candidates_by_group(self, X, own, n_candidates):
        """Return all candidates (P,), which of them are those of each item, best first, and their regrets.

        Many items that have the same place as their `own` lie close together, and are searched for together.
        """
        width = min(n_candidates, prod(self.sizes))
        numbers, regrets = np.empty((len(X), width), dtype=np.int32), np.empty((len(X), width))
        places, n_places = [], 0

        def record(items, found, number_of, more):
            nonlocal n_places
            numbers[items], regrets[items] = number_of + n_places, more
            places.append(found)
            n_places += len(found)

        n_close = -(-_WORTH_SHARING // (n_candidates * max(self.sizes)))
        in_order = np.argsort(own, kind="stable")
        groups = np.split(in_order, np.flatnonzero(own[in_order][1:] != own[in_order][:-1]) + 1)
        parts = [group[i : i + _CLOSE_ITEMS] for group in groups for i in range(0, len(group), _CLOSE_ITEMS)]
        close = [items for items in parts if len(items) >= n_close]
        alone = [np.empty(0, dtype=np.int64), *(items for items in parts if len(items) < n_close)]
        for items, found in self._searched(self._search.of_close_items, X, close, n_candidates):
            if found is None:
                alone.append(items)
            else:
                record(items, first_places(found[0], self.sizes, self.capacity), *found[1:])
        items = np.concatenate(alone)
        blocks = [items[start : start + BLOCK] for start in range(0, len(items), BLOCK)]
        for some, (firsts, more) in self._searched(self._candidates, X, blocks, n_candidates):
            found, number_of = np.unique(firsts, return_inverse=True)
            record(some, found, number_of.reshape(firsts.shape), more)
        candidates, number_of = np.unique(np.concatenate(places), return_inverse=True)
        for start in range(0, len(numbers), BLOCK):
            numbers[start : start + BLOCK] = number_of[numbers[start : start + BLOCK]]
        return candidates, numbers, regrets
