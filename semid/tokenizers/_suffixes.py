"""One more code for items that share the others: 0, 1, 2, ... (Rajput et al., 2023, arXiv:2305.05065, from memory)."""

import numpy as np

from semid.tokenizers._occupancy import first_places, ranks_within_equal, to_numbers

_SMALLEST_SIZE = 16


def size_with_room(inner_codes, sizes, capacity):
    """Return a size of the suffix that leaves room for items to come: twice what these need, and at least 16."""
    needed = 1 + ranks_within_equal(to_numbers(inner_codes, sizes)).max() // capacity
    return max(_SMALLEST_SIZE, 2 ** int(2 * needed - 1).bit_length())


def with_suffix(inner_codes, ranks, sizes, taken, capacity):
    """Append the suffix that the item of this rank, among the new ones of the same codes, gets: the next with room.

    Parameters
    ----------
    inner_codes : ndarray of shape (n_items, n_codebooks), int64
    ranks : int or ndarray of shape (n_items,), int64
    sizes : list of int, length n_codebooks + 1
        The suffix's last.
    taken : ndarray of shape (n_taken,)
        Places in use, in increasing order.
    capacity : int
        Number of items that may share a row of codes, and therefore a suffix.
    """
    size = sizes[-1]
    # Suffixes are given without gaps: the first with room follows from the number of items that have one.
    first = first_places(np.pad(inner_codes, ((0, 0), (0, 1))), sizes, capacity)
    n_taken = np.searchsorted(taken, first + size * capacity) - np.searchsorted(taken, first)
    suffixes = (n_taken + ranks) // capacity
    if suffixes.max() >= size:
        codes = inner_codes[suffixes.argmax()].tolist()
        raise ValueError(
            f"suffix_size must be at least the number of items that share codes{_each(capacity)}, got {size}, and item "
            f"{(n_taken + ranks).max() + 1} of codes {codes}. Fit again with a larger suffix_size, or larger codebooks."
        )
    return np.column_stack([inner_codes, suffixes])


def _each(capacity):
    return f", {capacity} of them for each" if capacity > 1 else ""
