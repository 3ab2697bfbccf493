"""One more code for items that share the others: 0, 1, 2, ... (Rajput et al., 2023, arXiv:2305.05065, from memory)."""

import numpy as np

from semid.tokenizers._occupancy import to_numbers

_SMALLEST_SIZE = 16


def size_with_room(inner_codes, sizes):
    """Return a size of the suffix that leaves room for items to come: twice what these need, and at least 16."""
    needed = 1 + ranks_within_equal(to_numbers(inner_codes, sizes)).max()
    return max(_SMALLEST_SIZE, 2 ** int(2 * needed - 1).bit_length())


def with_suffix(inner_codes, ranks, sizes, taken):
    """Append the suffix that the item of this rank, among the new ones of the same codes, gets.

    Parameters
    ----------
    inner_codes : ndarray of shape (n_items, n_codebooks), int64
    ranks : int or ndarray of shape (n_items,), int64
    sizes : list of int, length n_codebooks + 1
        The suffix's last.
    taken : ndarray of shape (n_taken,)
        Numbers of the rows of codes in use, in increasing order.
    """
    size = sizes[-1]
    # Suffixes are given without gaps: the first free one is the number of those taken.
    first = to_numbers(np.pad(inner_codes, ((0, 0), (0, 1))), sizes)
    n_taken = np.searchsorted(taken, first + size) - np.searchsorted(taken, first)
    suffixes = n_taken + ranks
    if suffixes.max() >= size:
        codes = inner_codes[suffixes.argmax()].tolist()
        raise ValueError(
            f"suffix_size must be at least the number of items that share codes, got {size}, and item "
            f"{suffixes.max() + 1} of codes {codes}. Fit again with a larger suffix_size, or larger codebooks."
        )
    return np.column_stack([inner_codes, suffixes])


def ranks_within_equal(numbers):
    """Return how many of the same number came before each: 0 for the first of its kind."""
    order = np.argsort(numbers, kind="stable")
    in_order = numbers[order]
    ranks = np.empty(len(numbers), dtype=np.int64)
    ranks[order] = np.arange(len(numbers)) - np.searchsorted(in_order, in_order)
    return ranks
