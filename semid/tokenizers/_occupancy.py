"""Rows of codes as numbers, and which of the numbers are taken.

A row of codes is a number in mixed radix, the last codebook's code the fastest. Numbers that int64 cannot hold (8
codebooks of 256) are Python integers in an object array: slower, and otherwise the same.

Where several items may share a row of codes, its `capacity`, each of them has a place there: one more digit, 0, 1, 2,
... as they come. The places of a row are taken without gaps; with a capacity of 1, places are numbers of rows of codes.
"""

from math import prod

import numpy as np


def to_numbers(codes, sizes):
    """Return the number of each row of `codes` (..., N): an int64 or object array of shape (...)."""
    numbers = np.zeros(codes.shape[:-1], dtype=np.int64 if prod(sizes) < 2**63 else object)
    for n, size in enumerate(sizes):
        numbers = numbers * size + codes[..., n]
    return numbers


def to_codes(numbers, sizes):
    """Return the rows of codes (n, N), int64, of `numbers` (n,): the inverse of `to_numbers`."""
    codes = np.empty((len(numbers), len(sizes)), dtype=np.int64)
    for n in reversed(range(len(sizes))):
        codes[:, n] = numbers % sizes[n]
        numbers = numbers // sizes[n]
    return codes


def first_places(codes, sizes, capacity):
    """Return the first place (...) of each row of `codes` (..., N)."""
    padding = [(0, 0)] * (codes.ndim - 1) + [(0, 1)]
    return to_numbers(np.pad(codes, padding), [*sizes, capacity])


def taken_places(codes, sizes, capacity):
    """Return the places that the items of these rows of codes (n, N) take, in increasing order."""
    firsts = first_places(codes, sizes, capacity)
    return np.sort(firsts + ranks_within_equal(firsts))


def codes_of_places(places, sizes, capacity):
    """Return the rows of codes (n, N), int64, that `places` (n,) belong to."""
    return to_codes(places, [*sizes, capacity])[:, :-1]


def n_free(taken, firsts, capacity):
    """Return how many places are free of the row of codes of each first place, of any shape, int64."""
    if capacity == 1:  # half the searches
        return 1 - contains(taken, firsts).astype(np.int64)
    flat = firsts.ravel()
    n_taken = np.searchsorted(taken, flat + capacity) - np.searchsorted(taken, flat)
    return capacity - n_taken.reshape(firsts.shape)


def next_places(taken, firsts, capacity):
    """Return the place that each item gets of those of its row of codes, given by their first: the next ones free."""
    return firsts + (capacity - n_free(taken, firsts, capacity)) + ranks_within_equal(firsts)


def ranks_within_equal(numbers):
    """Return how many of the same number came before each: 0 for the first of its kind."""
    order = np.argsort(numbers, kind="stable")
    in_order = numbers[order]
    ranks = np.empty(len(numbers), dtype=np.int64)
    ranks[order] = np.arange(len(numbers)) - np.searchsorted(in_order, in_order)
    return ranks


def contains(taken, numbers):
    """Return which of `numbers`, of any shape, are in the sorted array `taken`."""
    if len(taken) == 0:
        return np.zeros(numbers.shape, dtype=bool)
    places = np.searchsorted(taken, numbers.ravel()).reshape(numbers.shape)
    return taken[np.minimum(places, len(taken) - 1)] == numbers


def union(taken, numbers):
    """Return the sorted array of all of `taken` and `numbers`, which have none in common."""
    return np.sort(np.concatenate([taken, numbers]))


def free_after(taken, starts, n_numbers):
    """Return for each of `starts` the first number from there on that is not in `taken`; after the last comes 0.

    Each start is served alone, so that two may get the same number. One number at least must be free.
    """
    ranks = _free_before(taken, starts)
    return _free_number(taken, np.where(ranks < n_numbers - len(taken), ranks, 0))


def distinct_free_after(taken, starts, n_numbers):
    """Return a free number for each of `starts`, all different: the first from there on that is left.

    Starts are served in increasing order, equal ones as they come; after the last number comes 0.
    """
    order = np.argsort(starts, kind="stable")
    step = np.arange(len(starts))
    # Places among the free numbers: each the one that it wants, or the one after its predecessor's.
    places = np.maximum.accumulate(_free_before(taken, starts[order]) - step) + step
    past_the_end = places >= n_numbers - len(taken)
    places[past_the_end] = np.setdiff1d(step, places[~past_the_end])[: past_the_end.sum()]
    numbers = np.empty_like(starts)
    numbers[order] = _free_number(taken, places)
    return numbers


def _free_before(taken, numbers):
    return numbers - np.searchsorted(taken, numbers)


def _free_number(taken, places):
    """Return the free number that has `places` free ones before it."""
    return places + np.searchsorted(taken - np.arange(len(taken)), places, side="right")
