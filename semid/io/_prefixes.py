"""Rows of codes in order, in which the items of any prefix lie side by side: found by number, listed as offsets.

Letters: n items, N codebooks, B prefixes that are asked for, P distinct prefixes of one length. A shorter ID has -1
(NO_CODE) after its end, and comes before all that it is a prefix of.
"""

from math import prod
from typing import NamedTuple

import numpy as np

from semid.metrics._mapping_rows import NO_CODE


class PrefixTable(NamedTuple):
    """The distinct prefixes of one length, in order, and where their items are."""

    codes: np.ndarray  # (P, length) int64
    starts: np.ndarray  # (P,) int64, first row
    stops: np.ndarray  # (P,) int64, the row after the last


def sorting_order(codes):
    """Return the order (n,) that sorts rows of codes, the first codebook first; equal rows as they come."""
    return np.lexsort(codes.T[::-1])


def is_sorted(codes):
    """Return whether the rows of `codes` (n, N) are in the order of `sorting_order`."""
    before, after = codes[:-1], codes[1:]
    tied = np.ones(len(before), dtype=bool)
    for earlier, later in zip(before.T, after.T, strict=True):
        if (later[tied] < earlier[tied]).any():
            return False
        tied &= later == earlier
    return True


def prefix_tables(codes):
    """Return a `PrefixTable` for each length from 1 to N, of sorted rows `codes` (n, N)."""
    tables = []
    is_first = np.zeros(len(codes), dtype=bool)
    is_first[:1] = True
    for n in range(codes.shape[1]):
        is_first[1:] |= codes[1:, n] != codes[:-1, n]
        starts = np.flatnonzero(is_first)
        stops = np.append(starts[1:], len(codes))
        is_whole = codes[starts, n] != NO_CODE  # the others are IDs that have ended before
        starts, stops = starts[is_whole], stops[is_whole]
        tables.append(PrefixTable(codes[starts, : n + 1], starts, stops))
    return tables


def row_numbers(codes, sizes):
    """Return the numbers (n,) int64, in increasing order, of sorted rows `codes` (n, N), None where int64 is too small.

    Digits in mixed radix, the first codebook's the highest; 0 is the end of a shorter ID.
    """
    if prod(size + 1 for size in sizes) >= 2**63:
        return None
    return _numbers(codes + 1, [size + 1 for size in sizes])


def find_numbers(numbers, prefixes, sizes):
    """Return what `find_prefixes` does, of `row_numbers` of the rows; codes of `prefixes` may be beyond the sizes."""
    radices = [size + 1 for size in sizes]
    width = prefixes.shape[1]
    is_beyond = (prefixes >= sizes[:width]).any(axis=1)
    digits = np.where(is_beyond[:, None], 0, prefixes) + 1
    firsts = _numbers(np.pad(digits, ((0, 0), (0, len(sizes) - width))), radices)
    # How many numbers begin with a prefix follows from its length.
    n_numbers = np.array([prod(radices[length:]) for length in range(len(sizes) + 1)], dtype=np.int64)
    starts = np.searchsorted(numbers, firsts)
    stops = np.searchsorted(numbers, firsts + n_numbers[(digits > 0).sum(axis=1)])
    return starts, np.where(is_beyond, starts, stops)


def _numbers(digits, radices):
    numbers = np.zeros(len(digits), dtype=np.int64)
    for radix, column in zip(radices, digits.T, strict=True):
        numbers = numbers * radix + column
    return numbers


def find_prefixes(codes, prefixes):
    """Return the bounds of the rows that begin with each of `prefixes`.

    Codebook by codebook, the rows that are left are cut by bisection, of all prefixes at once: O(B N log n) time, and
    nothing is kept.

    Parameters
    ----------
    codes : ndarray of shape (n, N), int64
        Sorted rows.
    prefixes : ndarray of shape (B, up to N), int64
        -1 after the end of a shorter one.

    Returns
    -------
    starts, stops : ndarray of shape (B,), int64
        Equal where there is no such row.
    """
    starts = np.zeros(len(prefixes), dtype=np.int64)
    stops = np.full(len(prefixes), len(codes), dtype=np.int64)
    for n, wanted in enumerate(prefixes.T):
        column = codes[:, n]
        is_asked = np.flatnonzero(wanted != NO_CODE)
        bounds = starts[is_asked], stops[is_asked]
        starts[is_asked] = _first_not_below(column, *bounds, wanted[is_asked])
        stops[is_asked] = _first_not_below(column, *bounds, wanted[is_asked] + 1)
    return starts, stops


def _first_not_below(column, starts, stops, values):
    """Return the first row from each of `starts` on at which `column` is no less than the value; `stops` if none is."""
    low, high = starts.copy(), stops.copy()
    left = np.flatnonzero(low < high)
    while len(left):
        middle = (low[left] + high[left]) // 2
        is_below = column[middle] < values[left]
        low[left[is_below]] = middle[is_below] + 1
        high[left[~is_below]] = middle[~is_below]
        left = left[low[left] < high[left]]
    return low
