"""Codes that no two items share, or no more than a few, on top of any tokenizer."""

from __future__ import annotations

from math import prod
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from semid.base._all_or_nothing import all_or_nothing, on_snapshot, snapshot
from semid.base._checks import (
    check_codebook_sizes,
    check_codes,
    check_integer,
    check_option,
    check_sample_weight,
)
from semid.tables._nearness import PlacedItems, distinct_items, warn_of_placed, warn_of_taken
from semid.tables._rows import row_hashes
from semid.tokenizers._alignment import labels_like
from semid.tokenizers._base import EmbeddingsToCodes
from semid.tokenizers._candidates import BLOCK, gives_candidates
from semid.tokenizers._occupancy import (
    contains,
    first_places,
    next_places,
    ranks_within_equal,
    taken_places,
    to_numbers,
    union,
)
from semid.tokenizers._placement_report import PlacementReport, report_of
from semid.tokenizers._reassignment import FreeCodes
from semid.tokenizers._suffixes import size_with_room, with_suffix


class UniqueTokenizer(EmbeddingsToCodes):
    """Codes of fixed length that no two different items share, from those of another tokenizer.

    Or no more than `capacity` of them. An item placed once, in `fit` or `partial_fit`, keeps its codes in every
    `transform`, and is known again when its embedding comes from another batch, another machine, or a file of float16
    or bfloat16. Where items have ids, `SemanticIDEncoder` looks codes up by id.

    Parameters
    ----------
    tokenizer : estimator
        Tokenizer that gives the codes to begin with, for example `RQVAETokenizer`. Cloned, never fitted itself.
    strategy : {"reassign", "suffix"}, default "reassign"
        What happens to items that share codes. ``"reassign"`` keeps the number of codes: all but one at most move to
        free codes nearby, such that the total quantization error, weighted by `sample_weight`, stays near its least
        (see Notes). Needs a tokenizer that assigns items to nearest code vectors. ``"suffix"`` appends one more code,
        0, 1, 2, ... among the items that share the others (Rajput et al., 2023, arXiv:2305.05065, from memory).
    suffix_size : int or "auto", default "auto"
        Number of codes of the suffix, hence of items that may share the other codes. ``"auto"`` leaves room for items
        that come later: the least power of two that is at least twice what `fit` needs, and at least 16. Without
        effect on ``"reassign"``.
    capacity : int, default 1
        Number of different items that may share all their codes, at most. With more than 1, fewer items have to move,
        and none farther: for those who rank the few items of an ID themselves.

    Attributes
    ----------
    tokenizer_ : estimator
        The fitted tokenizer.
    codebook_sizes_ : list of int
        Number of codes per codebook, the suffix's last.
    codebooks_ : list of ndarray
        Code vectors of the fitted tokenizer; a suffix has none.
    hashes_ : ndarray of shape (n_placed,), uint64
        64-bit hashes of the embeddings of the items placed so far, in increasing order.
    embeddings_ : ndarray of shape (n_placed, n_features), float32
        Their embeddings, by which they are known again; NaN for items placed by version 0.1.0, which kept none.
    codes_ : ndarray of shape (n_placed, n_codebooks), int64
        Their codes.
    report_ : PlacementReport
        How many items the last call that brought new ones placed, how many of them had to move, and what it cost.
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if they had names of type str.

    Notes
    -----
    A row is a placed item if the two are equal in float32, or if it is the nearest one and they differ by no more than
    rounding explains: ``2**-17`` of the norm of the row, and the rounding of each side to float16 or bfloat16 where
    its numbers are such. Up to ``2**-7`` of the norm `transform` still takes it for that item, if every other one is
    at least 8 times as far away, and a warning says so; `partial_fit`, with a warning, places it: an item that has
    codes twice is worse off than before by little, one that has those of another is lost. Another warning tells of
    rows that may be either of two placed items. Anything else is another item, and so are rows of whole numbers or
    quarters, or as clearly of multiples of another power of two, that are not equal. Rows of one call are one item if
    they are within ``2**-13`` of each other, all of them, and rounding explains it. Titles of 12,101 products in
    all-MiniLM-L6-v2 come back within 3e-4 (float16) and 2e-3 (bfloat16) of the norm; different titles are at least
    4e-2 apart.

    For ``"reassign"``, the items that share codes, where they are more than `capacity`, ask for their 16 nearest rows
    of codes (up to 256 in a small catalogue) and bid for those with room, their own included, in an auction. Items that
    find nothing ask for four times as many, up to 256; up to 1024 where no codebook has more than 64 codes, up to 4096
    where none has more than 16. Where more than 32 items share codes, times the `capacity`, they ask for 64 at once,
    more than 128 for 256; more than 2**25 candidates bid in several auctions. Those left after that, as happens among
    hundreds of near-duplicates, take the next free codes counted up from their own, the last codebook the fastest,
    whatever the error.

    On a CPU, the search runs in as many threads as torch has, on one core each; a thread of yours whose first work with
    torch falls into that time keeps one core.

    Letters: n items of F features, m of them sharing codes, N codebooks of K codes, C candidates of an item.
    Cost: that of the tokenizer, and O(n F + n log n) time to tell items apart; ``"reassign"`` adds O(m C N K) for the
    nearest codes, which bound it, and the auction; O(m C N) where many items that lie close together share codes.
    O(n (F + N)) memory: embeddings and codes of all items are kept.
    Going on: `partial_fit` is exact in that codes, once given, never change; a fit of all items at once would share
    the codes out otherwise.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.metrics import collision_rate
    >>> from semid.tokenizers import ResidualKMeansTokenizer, UniqueTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> inner = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=32, random_state=0)
    >>> collision_rate(inner.fit_transform(items.embeddings)) > 0.1
    True
    >>> tokenizer = UniqueTokenizer(inner).fit(items.embeddings)
    >>> collision_rate(tokenizer.transform(items.embeddings))
    0.0
    >>> tokenizer.report_.r2_after > tokenizer.report_.r2_before - 0.02
    True
    >>> UniqueTokenizer(inner, strategy="suffix").fit(items.embeddings).codebook_sizes_
    [32, 32, 16]
    """

    report_: PlacementReport  # by this name pickles of 0.1.0 find it in this module

    def __init__(
        self,
        tokenizer: BaseEstimator,
        strategy: Literal["reassign", "suffix"] = "reassign",
        *,
        suffix_size: int | Literal["auto"] = "auto",
        capacity: int = 1,
    ) -> None:
        self.tokenizer = tokenizer
        self.strategy = strategy
        self.suffix_size = suffix_size
        self.capacity = capacity

    @all_or_nothing
    def fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the tokenizer, and give every item codes of its own, or such as no more than `capacity` items have.

        The result does not depend on the order of the items, and an item of weight 2 counts exactly as an item
        listed twice.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            One embedding per item of the catalogue; computed with in float32.
        y : None
            Ignored, present for Pipelines.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item, for example its popularity, in the fit of the tokenizer and in deciding who moves.
            Items of weight 0 are left out, and not placed. None weights all alike.

        Returns
        -------
        self : object
            The fitted tokenizer.

        Raises
        ------
        TypeError
            If `tokenizer` is not a tokenizer.
        ValueError
            If there are fewer rows of codes than distinct items need, if `suffix_size` is too small, if ``"reassign"``
            is asked of a tokenizer that cannot name nearby codes, and whatever the tokenizer raises.
        """
        self._check_parameters()
        self._strategy, self._capacity = self.strategy, int(self.capacity)
        X = self._check_embeddings(X, ensure_min_samples=2)
        item_weights = check_sample_weight(sample_weight, len(X))
        rows, weights = distinct_items(X, item_weights)
        self._check_capacity_before_fit(len(rows))
        self.tokenizer_ = clone(self.tokenizer).fit(X, sample_weight=sample_weight)
        rows = X[rows]
        inner_codes = self._inner_codes(rows)
        self.codebook_sizes_ = list(self.tokenizer_.codebook_sizes_)
        if self._strategy == "suffix":
            room = size_with_room(inner_codes, self.tokenizer_.codebook_sizes_, self._capacity)
            self.codebook_sizes_.append(room if self.suffix_size == "auto" else int(self.suffix_size))
        self._check_capacity(self.tokenizer_.codebook_sizes_, len(rows))
        self.hashes_ = np.empty(0, dtype=np.uint64)
        self.embeddings_ = np.empty((0, X.shape[1]), dtype=np.float32)
        self.codes_ = np.empty((0, len(self.codebook_sizes_)), dtype=np.int64)
        self._neighbors: dict[str, Any] = {}
        self._taken = taken_places(self.codes_, self.codebook_sizes_, self._capacity)
        self._place(rows, inner_codes, weights, np.count_nonzero(item_weights))
        return self

    @all_or_nothing
    def partial_fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Give codes of their own to items that are new; no other item's codes change.

        The result does not depend on the order of the rows. Before the first `fit`, the same as `fit`. What is near an
        item that has codes, but farther than rounding explains, is placed, with a warning; see Notes.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings; those of items that have codes already change nothing.
        y : None
            Ignored, present for Pipelines.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item in deciding who moves; items of weight 0 are left out.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there is no room for the new items. The tokenizer then is as it was before.
        """
        if not hasattr(self, "codes_"):
            return self.fit(X, y, sample_weight)
        X = self._check_embeddings(X, reset=False)
        item_weights = check_sample_weight(sample_weight, len(X))
        n_items = np.count_nonzero(item_weights)
        self._keep_embeddings(X)
        item_weights = np.where(self._places(X, item_weights > 0, is_placing=True) < 0, item_weights, 0)
        if not item_weights.any():
            return self
        rows, weights = distinct_items(X, item_weights)
        rows = X[rows]
        self._check_capacity(self.tokenizer_.codebook_sizes_, len(self.codes_) + len(rows))
        self._place(rows, self._inner_codes(rows), weights, n_items)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the codes of item embeddings.

        Items that were placed have the codes they were given, also from embeddings that rounding has moved; a warning
        tells where that is in doubt (see Notes). Others get, each as if it alone came next, the codes of
        the inner tokenizer if they are free, else the nearest free ones (``"suffix"``: the next free suffix): two new
        items may therefore share codes, until `partial_fit` places them.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings, of items seen in `fit` or new ones.

        Returns
        -------
        codes : ndarray of shape (n_items, n_codebooks), int64
            Codebook n's code of each item, from 0 to ``codebook_sizes_[n] - 1``.

        Raises
        ------
        ValueError
            If no codes are free for a new item.
        """
        check_is_fitted(self)
        self.__dict__.setdefault("_neighbors", {})  # of this object, for later calls as well
        return snapshot(self)._transform(X)

    def _transform(self, X):
        X = self._check_embeddings(X, reset=False)
        places = self._places(X)
        codes = self.codes_[places]
        new = np.flatnonzero(places < 0)
        free = FreeCodes(self.tokenizer_, self._taken, self._room)
        for start in range(0, len(new), BLOCK):
            block = new[start : start + BLOCK]
            inner_codes = np.asarray(self.tokenizer_.transform(X[block]))  # set_output may make a table of them
            if self._strategy == "suffix":
                codes[block] = with_suffix(inner_codes, 0, self.codebook_sizes_, self._taken, self._room)
            else:
                self._check_capacity(self.codebook_sizes_, len(self.codes_) + 1)
                codes[block] = free.nearest(X[block], inner_codes)
        return codes

    @on_snapshot
    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return the embeddings that codes stand for; a suffix says nothing of them.

        Parameters
        ----------
        X : array-like of shape (n_items, n_codebooks)
            Codes, as `transform` returns them.

        Returns
        -------
        embeddings : ndarray of shape (n_items, n_features), float32

        Raises
        ------
        NotFittedError
            If the tokenizer is not fitted.
        ValueError
            If `X` holds other numbers than codes of these codebooks.
        """
        check_is_fitted(self)
        codes = check_codes(X, self.codebook_sizes_)
        return self.tokenizer_.inverse_transform(codes[:, : len(self.tokenizer_.codebook_sizes_)])

    def align_to(self, X: ArrayLike, codes: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Relabel the codes such that as many items as possible have the codes they had before.

        In each codebook of the tokenizer the code vectors change places, and the codes of the placed items with them;
        a suffix stays. Which items share a code stays as it is.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings of items that had codes before.
        codes : array-like of shape (n_items, n_codebooks)
            Their old codes, as this class gave them.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item, for example its popularity. None weights all alike.

        Returns
        -------
        self : object
            The tokenizer, its codes relabelled.

        Raises
        ------
        TypeError
            If the tokenizer has no code vectors to relabel, as FSQ and random codes.
        ValueError
            If `codes` are not whole numbers, are negative, or are not one row of the right length per item.
        """
        labels = labels_like(codes, self.transform(X), self.codebook_sizes_, sample_weight)
        inner = snapshot(self.tokenizer_)
        labels = inner._relabel(labels[: len(inner.codebook_sizes_)])
        # Not strict: a suffix has no label of its own.
        columns = [new[column] for new, column in zip(labels, self.codes_.T, strict=False)]
        placed = np.column_stack([*columns, *self.codes_.T[len(labels) :]])
        taken = taken_places(placed, self.codebook_sizes_, self._room)
        self.__dict__.update(tokenizer_=inner, codes_=placed, _taken=taken)  # in one step, for other threads
        return self

    @property
    def codebooks_(self) -> list[np.ndarray]:
        """Code vectors of the fitted tokenizer: list of ndarray."""
        check_is_fitted(self)
        return self.tokenizer_.codebooks_

    def __sklearn_is_fitted__(self):
        return hasattr(self, "codes_")

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_neighbors"}

    def _places(self, X, is_asked=True, *, is_placing=False):
        """Return which placed item each row of `X` is, its position or -1; warn of rows where that is in doubt.

        Where rows are about to be placed, one that rounding does not explain is an item of its own: placed twice, an
        item has codes to spare; taken for another one, it has none.
        """
        hashes = row_hashes(X)
        places = np.where(contains(self.hashes_, hashes), np.searchsorted(self.hashes_, hashes), -1)
        left = np.flatnonzero((places < 0) & is_asked)
        if len(left) and hasattr(self, "embeddings_"):
            found = self._placed_items().recognise(X[left])
            is_new = (found.places >= 0) & ~found.is_explained & is_placing
            places[left] = np.where(is_new, -1, found.places)
            warn_of_taken(left, found, found.is_doubtful & ~is_new)
            warn_of_placed(left, found, is_new)
        return places

    def _placed_items(self):
        """Return the index of the placed items, built once for them; pickles hold none."""
        cache = vars(self).setdefault("_neighbors", {})
        embeddings, placed = cache.get("placed", (None, None))
        if embeddings is not self.embeddings_:
            placed = PlacedItems(self.embeddings_)
            cache["placed"] = self.embeddings_, placed
        return placed

    def _keep_embeddings(self, X):
        """Keep those of items that were placed by a version that kept none."""
        kept = getattr(self, "embeddings_", None)
        if kept is None:
            kept = np.full((len(self.hashes_), self.n_features_in_), np.nan, dtype=np.float32)
        if not np.isnan(kept[:, 0]).any():
            return
        hashes = row_hashes(X)
        is_placed = contains(self.hashes_, hashes)
        kept = kept.copy()
        kept[np.searchsorted(self.hashes_, hashes[is_placed])] = X[is_placed]
        self.embeddings_ = kept

    @property
    def _room(self):
        """Number of items that may share codes, as in `fit`; what was fitted before there was a capacity has none."""
        return vars(self).get("_capacity", 1)

    def _inner_codes(self, X):
        blocks = [X[start : start + BLOCK] for start in range(0, len(X), BLOCK)]
        return np.concatenate([np.asarray(self.tokenizer_.transform(block)) for block in blocks])

    def _check_parameters(self):
        check_option("strategy", self.strategy, ("reassign", "suffix"))
        check_integer("capacity", self.capacity, 1)
        if not isinstance(self.suffix_size, str):
            check_integer("suffix_size", self.suffix_size, 1)
        elif self.suffix_size != "auto":
            raise ValueError(f"suffix_size must be an integer or 'auto', got {self.suffix_size!r}.")
        if isinstance(self.tokenizer, type) or not hasattr(self.tokenizer, "inverse_transform"):
            raise TypeError(f"tokenizer must be a tokenizer such as RQVAETokenizer(), got {self.tokenizer!r}.")
        if self.strategy == "reassign" and not gives_candidates(self.tokenizer):
            raise ValueError(
                "strategy='reassign' must have a tokenizer that assigns items to their nearest code vectors, got "
                f"{type(self.tokenizer).__name__}. Pass strategy='suffix', which works with any tokenizer."
            )

    def _check_capacity_before_fit(self, n_distinct):
        """The same check by what the tokenizer asks for: its fit may take long, and can only cut the sizes."""
        if hasattr(self.tokenizer, "codebook_size"):
            n_codebooks = check_integer("n_codebooks", getattr(self.tokenizer, "n_codebooks", 1), 1)
            self._check_capacity(
                check_codebook_sizes(self.tokenizer.codebook_size, n_codebooks, n_distinct), n_distinct
            )

    def _check_capacity(self, sizes, n_distinct):
        """Raise if there are more items than rows of codes for them."""
        if self._strategy == "reassign" and prod(sizes) * self._room < n_distinct:
            each = f", {self._room} items to each" if self._room > 1 else ""
            raise ValueError(
                f"the product of the codebook sizes must be at least the number of distinct items, got {list(sizes)}, "
                f"{prod(sizes)} rows of codes{each}, for {n_distinct} items. Fit with a larger codebook_size or more "
                "codebooks, or pass strategy='suffix'."
            )

    def _place(self, rows, inner_codes, weights, n_items):
        """Give codes to new items, in order of their content, and record them."""
        if self._strategy == "suffix":
            ranks = ranks_within_equal(to_numbers(inner_codes, self.tokenizer_.codebook_sizes_))
            codes = with_suffix(inner_codes, ranks, self.codebook_sizes_, self._taken, self._room)
        else:
            codes = FreeCodes(self.tokenizer_, self._taken, self._room).reassign(rows, inner_codes, weights)
        hashes = row_hashes(rows)  # in increasing order
        places = np.searchsorted(self.hashes_, hashes)
        self.hashes_, self.codes_ = (
            np.insert(self.hashes_, places, hashes),
            np.insert(self.codes_, places, codes, axis=0),
        )
        self.embeddings_ = np.insert(self.embeddings_, places, rows, axis=0) if len(self.embeddings_) else rows
        firsts = first_places(codes, self.codebook_sizes_, self._room)
        self._taken = union(self._taken, next_places(self._taken, firsts, self._room))
        self.report_ = report_of(self.tokenizer_, rows, inner_codes, codes, n_items)
