"""Which codes may follow a beginning: the catalogue's codes as a tree, in one sorted array per level.

Letters: I items, N codebooks, K codes in a codebook, B beginnings, n their length. A node of level n is a beginning of
n codes that some item has; nodes of a level are numbered in the order of their codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from semid.base._checks import as_numbers, check_codes, check_integer
from semid.tables._ids import check_no_ids

UNKNOWN_NODE = -1  # of a beginning that no item has
_LARGEST_KEY = 2**62


class PrefixTable:
    """The beginnings of all codes of a catalogue, and what may follow each; `semid.io.prefix_table` makes it.

    Immutable. A beginning of n codes that some item has is a node of level n, and nodes of a level are numbered in the
    order of their codes: a sorted array of ``parent · codebook size + code`` per level is the whole tree.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of all items.
    codebook_sizes : sequence of int, default None
        Size of each codebook; None for one more than its largest code.

    Attributes
    ----------
    codebook_sizes : tuple of int
    n_codebooks : int
    n_nodes : list of int
        Number of distinct beginnings of each length.
    keys : list of ndarray
        The tree itself: ``parent · codebook size + code`` of each node, rising, an array for each level.
    nbytes : int

    Raises
    ------
    ValueError
        If `codes` are no whole numbers from 0 to below the codebook sizes, a column per codebook.

    Notes
    -----
    Cost: a sort of the items per codebook to build, 8 bytes per node and 16 per item to keep, a binary search per code
    to look up.

    Examples
    --------
    >>> from semid.io import PrefixTable
    >>> table = PrefixTable([[0, 1], [0, 2], [2, 0]])
    >>> table.n_nodes
    [2, 3]
    >>> table.nodes([[0, 2], [1, 0]]).tolist()
    [1, -1]
    """

    def __init__(self, codes: Any, codebook_sizes: Any = None) -> None:
        codes, sizes = _checked(codes, codebook_sizes)
        self.codebook_sizes = sizes
        parents = np.zeros(len(codes), dtype=np.int64)
        self.keys: list[np.ndarray] = []
        for n, size in enumerate(sizes):
            keys = parents * size + codes[:, n]  # rises with the codes so far, as the parents' numbers do
            distinct, parents = np.unique(keys, return_inverse=True)
            self.keys.append(distinct)
        self._items = np.argsort(parents, kind="stable")
        self._firsts = np.append(0, np.cumsum(np.bincount(parents)))

    @property
    def n_codebooks(self) -> int:
        """Number of codes of an item."""
        return len(self.codebook_sizes)

    @property
    def n_nodes(self) -> list[int]:
        """Number of distinct beginnings of each length, from 1 to all codes."""
        return [len(keys) for keys in self.keys]

    @property
    def nbytes(self) -> int:
        """Memory of the table in bytes: 8 for each beginning, and 8 to 16 for each item."""
        return sum(array.nbytes for array in (*self.keys, self._items, self._firsts))

    def nodes(self, prefixes: Any) -> np.ndarray:
        """Return the number of each beginning among those of its length, -1 for one that no item has.

        Parameters
        ----------
        prefixes : array-like of shape (n_prefixes, n), int
            The first n codes of something, n from 0 to all.

        Returns
        -------
        nodes : ndarray of shape (n_prefixes,), int64

        Raises
        ------
        ValueError
            If there are more codes than codebooks, or they are no whole numbers.
        """
        prefixes = self._checked_prefixes(prefixes)
        nodes = np.zeros(len(prefixes), dtype=np.int64)
        for n in range(prefixes.shape[1]):
            nodes = self.step(n, nodes, prefixes[:, n])
        return nodes

    def step(self, level: int, nodes: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return where a code leads to from each node, -1 where to nothing.

        Parameters
        ----------
        level : int
            Number of codes that the nodes stand for.
        nodes : ndarray of shape (n_prefixes,), int64
            As `nodes` returns them; 0 for no codes at all.
        codes : ndarray of shape (n_prefixes,), int64
            The next code of each.

        Returns
        -------
        nodes : ndarray of shape (n_prefixes,), int64
        """
        keys, size = self.keys[level], self.codebook_sizes[level]
        wanted = nodes * size + codes
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        is_there = (nodes >= 0) & (codes >= 0) & (codes < size) & (keys[places] == wanted)
        return np.where(is_there, places, UNKNOWN_NODE)

    def children(self, level: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the range of nodes that follow each node of a level.

        Parameters
        ----------
        level : int
            Number of codes that the nodes stand for, less than all.
        nodes : ndarray of shape (n_prefixes,), int64
            As `nodes` returns them.

        Returns
        -------
        firsts, lasts : ndarray of shape (n_prefixes,), int64
            The nodes of the next level from first to before last follow; of -1, none.
        """
        keys, size = self.keys[level], self.codebook_sizes[level]
        is_known = nodes >= 0
        firsts = np.searchsorted(keys, np.where(is_known, nodes, 0) * size)
        lasts = np.searchsorted(keys, np.where(is_known, nodes + 1, 0) * size)
        return firsts, np.maximum(firsts * is_known, lasts * is_known)

    def codes_of(self, level: int) -> np.ndarray:
        """Return the last code of each node of beginnings one longer than `level`.

        Parameters
        ----------
        level : int
            Which codebook, from 0.

        Returns
        -------
        codes : ndarray of shape (n_nodes,), int64
        """
        return self.keys[level] % self.codebook_sizes[level]

    def allowed(self, prefixes: Any) -> np.ndarray:
        """Return which codes may follow each beginning, so that an item with these codes exists.

        Parameters
        ----------
        prefixes : array-like of shape (n_prefixes, n), int
            The first n codes of something, n from 0 to all but one.

        Returns
        -------
        allowed : ndarray of shape (n_prefixes, codebook_size), bool
            Of the codebook that comes next; all False for a beginning that no item has.

        Raises
        ------
        ValueError
            If there are as many codes as codebooks or more, or they are no whole numbers.
        """
        prefixes = self._checked_prefixes(prefixes)
        level = prefixes.shape[1]
        if level == self.n_codebooks:
            raise ValueError(f"prefixes must have less than {level} codes, after which nothing comes, got {level}.")
        firsts, lasts = self.children(level, self.nodes(prefixes))
        lengths = lasts - firsts
        rows = np.repeat(np.arange(len(prefixes)), lengths)
        places = np.arange(len(rows)) + np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths)
        mask = np.zeros((len(prefixes), self.codebook_sizes[level]), dtype=bool)
        mask[rows, self.codes_of(level)[places]] = True
        return mask

    def items(self, codes: Any) -> list[np.ndarray]:
        """Return the rows of the items that have these very codes, an array for each row of `codes`.

        Parameters
        ----------
        codes : array-like of shape (n_rows, n_codebooks), int
            Complete codes.

        Returns
        -------
        rows : list of ndarray
            Positions in the codes that the table was made of, in rising order; empty where no item has them.

        Raises
        ------
        ValueError
            If there is not a code for each codebook.
        """
        codes = self._checked_prefixes(codes)
        if codes.shape[1] != self.n_codebooks:
            raise ValueError(
                f"codes must have a column for each of {self.n_codebooks} codebooks, got {codes.shape[1]}."
            )
        nodes = self.nodes(codes)
        return [
            self._items[self._firsts[node] : self._firsts[node + 1]] if node >= 0 else self._items[:0] for node in nodes
        ]

    def __repr__(self):
        return f"PrefixTable({len(self._items)} items, {self.n_nodes[-1]} distinct, codebooks of {self.codebook_sizes})"

    def _checked_prefixes(self, prefixes):
        prefixes = as_numbers("prefixes", prefixes)
        if prefixes.ndim != 2 or prefixes.shape[1] > self.n_codebooks:
            raise ValueError(
                f"prefixes must have shape (n_prefixes, n) with n up to {self.n_codebooks}, got {prefixes.shape}."
            )
        if prefixes.size and not (prefixes == np.round(prefixes)).all():
            raise ValueError(f"prefixes must be whole numbers, got an array of {prefixes.dtype}.")
        return prefixes.astype(np.int64)


def check_sizes_of_codebooks(codebook_sizes: Any) -> list[int]:
    """Return the size of each codebook, or raise unless they are integers of at least 1."""
    if not hasattr(codebook_sizes, "__iter__") or np.ndim(codebook_sizes) == 0:
        raise TypeError(
            f"codebook_sizes must be an integer for each codebook, got {codebook_sizes!r:.80}. Of as many codebooks of "
            "one size, pass [size] * n_codebooks."
        )
    return [check_integer("each of codebook_sizes", size, 1) for size in codebook_sizes]


def _checked(codes, codebook_sizes):
    """Return codes as int64 (I, N), and the size of each codebook, or raise."""
    check_no_ids("codes", codes)
    codes = as_numbers("codes", codes)
    if codes.ndim != 2 or 0 in codes.shape:
        raise ValueError(f"codes must have shape (n_items, n_codebooks) and not be empty, got {codes.shape}.")
    if not np.isfinite(codes).all():
        raise ValueError(f"codes must be whole numbers, got {codes[~np.isfinite(codes)][0]}.")
    if codebook_sizes is None:
        sizes = [int(size) + 1 for size in codes.max(axis=0)]
        if codes.min() < 0:
            raise ValueError(
                f"codes must not be negative, got {codes.min()}. Leave out items without codes, and pad shorter IDs "
                "with a code of their own."
            )
    else:
        sizes = check_sizes_of_codebooks(codebook_sizes)
    codes = check_codes(codes, sizes)
    largest = len(codes) * max(sizes)
    if largest > _LARGEST_KEY:
        raise ValueError(
            f"codebook_sizes must be below {_LARGEST_KEY // len(codes)} for {len(codes)} items, got {max(sizes)}."
        )
    return codes, tuple(sizes)
