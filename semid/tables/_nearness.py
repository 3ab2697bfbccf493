"""Which placed item an embedding is, when its bits are not those that were placed.

An item comes back a little beside itself: from another batch or machine by the rounding of float32, from a file of
float16 or bfloat16 by up to that of the file. Distances here are shares of the norm of the embedding that is looked up.

Measured on the titles of 12,101 products with all-MiniLM-L6-v2: see "Items that come back" in docs/guide/tokenizers.md.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from semid.base._checks import warn
from semid.tables._rows import distinct_rows

# What the arithmetic of float32 leaves between two batches or machines, with room: about 2e-7 was seen.
SAME = 2.0**-17
# Beyond what any storage of 8 bits of precision or more does to both sides, an embedding is that of another item.
DOUBT = 2.0**-7
_COPY = 2.0**-13  # the most between two rows of one catalogue that are one item
_ISOLATED = 8  # times nearer than the next placed item
_AMBIGUOUS = 2
_ROUNDOFF = {13: 2.0**-11, 16: 2.0**-8}  # by the number of trailing zero bits: float16, bfloat16
_FLOAT32_ROUNDOFF = 2.0**-24
_LEAST_STEP = -24  # exponent of the step of float16 next to zero, where it is no share of the number
_COARSE_STEP = -2  # exponent of a quarter: numbers in steps of that or more are counts, years, ratings or prices
_EVIDENCE = 24  # bits, zero by chance, that speak for any other step; in 1 of 10,000 pairs of rounded normal rows
_PAST_ALL = np.int32(1000)  # an exponent that no number has
_N_AXES = 8
_N_NEIGHBOURS = (4, 16, 64, 256, 1024)
_N_COPIES = 16
_BLOCK_NUMBERS = 2**17
_TAKEN = (
    ", or no less than half of that to another one. They are taken for the nearest, and have its codes. Look codes up "
    "by item id with SemanticIDEncoder, or fit on these items together, so that each has codes of its own."
)
_PLACED = (
    ". They are placed, and have codes of their own. If they are items that have codes, embed them as before, or look "
    "codes up by item id with SemanticIDEncoder."
)


class Recognised(NamedTuple):
    places: np.ndarray  # (n,) int64, position of the placed item, -1 for another item
    is_explained: np.ndarray  # (n,) bool, the rounding of storage says so
    is_doubtful: np.ndarray  # (n,) bool, it does not, or says as much of another one
    distances: np.ndarray  # (n,) to the nearest placed item


class PlacedItems:
    """Finds the placed item that is nearest to an embedding, and says whether it is the same one.

    Orthonormal axes, the same in every process, bound the distance from below; a k-d tree of them names the few items
    whose distance is worth computing. Rows of NaN, of items whose embeddings nobody kept, are found by nobody.
    """

    def __init__(self, embeddings, places=None):
        self.embeddings = embeddings
        self.places = np.flatnonzero(~np.isnan(embeddings[:, 0])) if places is None else places
        n_features = embeddings.shape[1]
        random = np.random.default_rng(0).normal(size=(n_features, min(n_features, _N_AXES)))
        self._axes = np.linalg.qr(random)[0]
        self._tree = cKDTree(self._project(embeddings, self.places))

    def recognise(self, X):
        """Return for each row of `X` which placed item it is, see `Recognised`.

        It is the nearest one if the rounding of float32, float16 or bfloat16, which a row shows in its bits, explains
        the distance, or if it is within `DOUBT` and all other placed items are far beyond. Rows of whole numbers, or of
        multiples of another step, are the same item only if they are equal: rounding leaves no such numbers.
        """
        n_rows = len(X)
        found = Recognised(np.full(n_rows, -1), *np.zeros((2, n_rows), dtype=bool), np.full(n_rows, np.inf))
        left = np.arange(len(X)) if len(self.places) else np.arange(0)
        for n_neighbours in _N_NEIGHBOURS:
            n_neighbours = min(n_neighbours, len(self.places))
            n_rows = max(1, _BLOCK_NUMBERS // (max(n_neighbours, 1) * X.shape[1]))
            is_last = n_neighbours in (len(self.places), _N_NEIGHBOURS[-1])
            blocks = [left[start : start + n_rows] for start in range(0, len(left), n_rows)]
            left = np.concatenate(
                [left[:0], *(self._look_up(X, rows, n_neighbours, is_last, found) for rows in blocks)]
            )
            if is_last:
                break
        return found

    def copies(self):
        """Return for each of the places which of them is the first that is the same item, its own number for most.

        Rows are one item where each is nearer than `_COPY` to every other, and no farther than rounding explains:
        a text encoded in two batches. A chain of neighbours wider than that stays apart. Where there are more of them
        than neighbours are asked for, each is compared with the first, and has to be nearer than half of `_COPY`.
        """
        n_items, X = len(self.places), self.embeddings
        n_neighbours = min(_N_COPIES, n_items)
        pairs, is_crowded = [np.empty((0, 2), dtype=np.int64)], np.zeros(n_items, dtype=bool)
        n_rows = max(1, _BLOCK_NUMBERS // max(_N_COPIES * _N_AXES, X.shape[1]))
        for start in range(0, n_items, n_rows):
            rows = np.arange(start, min(start + n_rows, n_items))
            bounds, columns = self._neighbours(X, self.places[rows], n_neighbours)
            is_close = bounds <= _COPY * _norms(X[self.places[rows]])[:, None]
            is_crowded[rows] = is_close[:, -1] & (n_neighbours < n_items)
            is_close &= columns != rows[:, None]
            pairs.append(np.column_stack([rows[is_close.nonzero()[0]], columns[is_close]]))
        first, second = np.concatenate(pairs).T
        is_copy = self._are_copies(first, second, _COPY)
        first, second = first[is_copy], second[is_copy]
        graph = coo_array((np.ones(len(first)), (first, second)), shape=(n_items, n_items))
        labels = connected_components(graph, directed=False)[1]
        sizes = np.bincount(labels)
        is_whole = np.bincount(labels[first], minlength=len(sizes)) == sizes * (sizes - 1)
        firsts = np.unique(labels, return_index=True)[1]
        asked = np.flatnonzero((np.bincount(labels, weights=is_crowded) > 0)[labels] & ~is_whole[labels])
        is_beyond = ~self._are_copies(firsts[labels[asked]], asked, _COPY / 2)
        is_whole[labels[asked]] = True
        is_whole[labels[asked[is_beyond]]] = False
        copies = np.where(is_whole[labels], firsts[labels], np.arange(n_items))
        left = np.unique(copies)
        if not is_crowded.any() or len(left) == n_items:
            return copies
        # What stood between two clumps of one item is out of the way now.
        return left[PlacedItems(X, self.places[left]).copies()][np.searchsorted(left, copies)]

    def _are_copies(self, first, second, share):
        """Return of pairs of places whether they are one item, no farther apart than this share of the norm."""
        X = self.embeddings
        is_copy = np.zeros(len(first), dtype=bool)
        n_pairs = max(1, _BLOCK_NUMBERS // X.shape[1])
        for start in range(0, len(first), n_pairs):
            some = slice(start, start + n_pairs)
            a, b = X[self.places[first[some]]], X[self.places[second[some]]]
            is_copy[some] = (_norms(a.astype(np.float64) - b) <= share * _norms(a)) & _is_explained(a, b)
        return is_copy

    def _look_up(self, X, rows, n_neighbours, is_last, found):
        """Write what is found of the `rows` of `X`, and return those for which more neighbours have to be asked."""
        x, norms = X[rows], _norms(X[rows])
        bounds, columns = self._neighbours(X, rows, n_neighbours)
        places = self.places[columns]
        distances = _norms(x[:, None].astype(np.float64) - self.embeddings[places])
        order = np.argsort(distances, axis=1, kind="stable")
        in_order = np.take_along_axis(distances, order, axis=1)
        nearest, place = in_order[:, 0], places[np.arange(len(rows)), order[:, 0]]
        unseen = np.full(len(rows), np.inf) if is_last else bounds[:, -1] * (1 - 1e-9)
        second = in_order[:, 1] if n_neighbours > 1 else np.full(len(rows), np.inf)
        is_done = np.where(
            nearest <= DOUBT * norms, unseen >= np.minimum(second, _ISOLATED * nearest), unseen > DOUBT * norms
        )
        is_other = _are_steps_apart(x, self.embeddings[place])
        is_explained = _is_explained(x, self.embeddings[place])
        is_near = nearest <= DOUBT * norms
        is_placed = is_near & ~is_other & (is_explained | (second >= _ISOLATED * nearest))
        found.places[rows] = np.where(is_placed, place, -1)
        found.is_explained[rows] = is_placed & is_explained
        found.is_doubtful[rows] = is_placed & (~is_explained | (second < _AMBIGUOUS * nearest))
        found.distances[rows] = nearest / np.where(norms > 0, norms, 1)
        return rows[~is_done]

    def _neighbours(self, X, rows, n_neighbours):
        bounds, columns = self._tree.query(self._project(X, rows), n_neighbours)
        return bounds.reshape(len(rows), -1), columns.reshape(len(rows), -1)

    def _project(self, X, rows):
        projected = np.empty((len(rows), self._axes.shape[1]))
        n_rows = max(1, _BLOCK_NUMBERS // X.shape[1])
        for start in range(0, len(rows), n_rows):
            some = slice(start, start + n_rows)
            # Not by BLAS, whose buffers are larger than all else here.
            projected[some] = np.einsum("nd,da->na", X[rows[some]].astype(np.float64), self._axes)
        return projected


def distinct_items(X, weights):
    """Return where the distinct items of `X` are, in the order of their hashes, and their summed weights, mean 1."""
    rows, totals = distinct_rows(X, weights)
    firsts, inverse = np.unique(PlacedItems(X, rows).copies(), return_inverse=True)
    if len(firsts) == len(rows):
        return rows, totals
    totals = np.bincount(inverse, weights=totals)
    return rows[firsts], (totals / totals.mean()).astype(np.float32)


def warn_of_taken(rows, found, is_doubtful):
    """Warn of `rows` that were taken for a placed item and may be none."""
    _warn_of_doubt(rows, found, is_doubtful, _TAKEN)


def warn_of_placed(rows, found, is_doubtful):
    """Warn of `rows` that were placed and may be items that had codes."""
    _warn_of_doubt(rows, found, is_doubtful, _PLACED)


def _warn_of_doubt(rows, found, is_doubtful, consequence):
    if is_doubtful.any():
        first = is_doubtful.argmax()
        warn(
            f"X has {is_doubtful.sum()} rows that may be a placed item or not, such as row {rows[first]}, at "
            f"{found.distances[first]:.1e} of its norm from the nearest one: more than rounding explains{consequence}"
        )


def _is_explained(x, y):
    """Return whether rows are one item to the rounding of float32, and of the formats that their bits show, (n,)."""
    return (_unexplained(x, y) <= SAME * _norms(x)) & ~_are_steps_apart(x, y)


def _are_steps_apart(x, y):
    """Return whether rows differ that count in steps, such as whole numbers: rounding leaves no such numbers, (n,).

    That all numbers of two rows are multiples of a step that their formats could divide is chance unless it takes many
    bits.
    """
    exponents, steps = zip(_exponents(x), _exponents(y), strict=True)
    step = np.minimum(*(row_steps.min(axis=1) for row_steps in steps))
    n_bits = sum(np.maximum(step[:, None] - ulps, 0).sum(axis=1) for ulps in exponents)
    return ((step >= _COARSE_STEP) | (n_bits >= _EVIDENCE)) & (x != y).any(axis=1)


def _exponents(x):
    """Return the exponents of the unit in the last place, in the format of the row, and of the last bit that is set.

    Both are int32, (n, d). Those of zero are past all others.
    """
    mantissas, exponents = np.frexp(x)
    mantissas = (mantissas * 2.0**24).astype(np.int32)
    last = exponents - 25 + np.frexp((mantissas & -mantissas).astype(np.float32))[1]
    digits = np.log2(np.maximum(_roundoffs(x), _FLOAT32_ROUNDOFF)).astype(np.int32)
    ulps = np.maximum(exponents + digits[:, None], _LEAST_STEP)
    return np.where(x == 0, _PAST_ALL, ulps), np.where(x == 0, _PAST_ALL, last)


def _unexplained(x, y):
    """Return what of ‖x - y‖ the rounding of the two to the precision that their bits show leaves over, (n,)."""
    roundoff_x, roundoff_y = _roundoffs(x), _roundoffs(y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    explained = roundoff_x[:, None] * np.abs(x) + roundoff_y[:, None] * np.abs(y)
    return _norms(np.maximum(np.abs(x - y) - explained, 0))


def _roundoffs(x):
    """Return the unit roundoff of the coarsest format that holds each row of float32 `x` as it is, 0 for float32."""
    bits = np.bitwise_or.reduce(np.ascontiguousarray(x).view(np.uint32), axis=1)
    roundoffs = np.zeros(len(x))
    for n_zeros, roundoff in _ROUNDOFF.items():
        roundoffs[bits & np.uint32(2**n_zeros - 1) == 0] = roundoff
    return roundoffs


def _norms(x):
    return np.sqrt(np.square(x, dtype=np.float64).sum(axis=-1))
