"""Residual codes as the tree that they are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from semid.base._checks import check_integer
from semid.plots._code_columns import check_code_table
from semid.plots._style import COLORS, GREY, SMALL, axes_for, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = COLORS[:-1]  # without black, on which codes could not be read
_LABEL_WIDTH = 34  # characters
_LINE = 1.4 * SMALL  # points, height of a line of text
_CHARACTER = 0.6 * SMALL  # points, width of most characters
_THINNEST_FRAMED = 3.0  # points


class Branch(NamedTuple):
    """The items that share their first codes.

    Parameters
    ----------
    codes : tuple of int
        One code per level down to this branch.
    start : int
        Number of items before it, in the order of the picture.
    n_items : int
        Number of its items.
    label : str
        The most frequent label of its items; empty without labels.

    Examples
    --------
    >>> from semid.plots import CodeTreeDisplay
    >>> CodeTreeDisplay.from_codes([[1, 0], [0, 2], [0, 1]], max_depth=1).branches[0][0]
    Branch(codes=(0,), start=0, n_items=2, label='')
    """

    codes: tuple[int, ...]
    start: int
    n_items: int
    label: str


class CodeTreeDisplay:
    """The first levels of residual codes as boxes within boxes, the height of a box its number of items.

    Each column is a level. The items of a box have the codes of the box and of those to its left in common; siblings
    are sorted by size.

    Parameters
    ----------
    branches : list of list of Branch
        The branches of each level, from top to bottom of the picture.
    n_items : int
        Number of items in each level.

    Attributes
    ----------
    boxes_ : list of matplotlib PolyCollection
        The boxes of each level.
    text_ : list of matplotlib Text
        Labels of branches.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from semid.plots import CodeTreeDisplay
    >>> codes = [[1, 0], [0, 2], [0, 1], [0, 1]]
    >>> display = CodeTreeDisplay.from_codes(codes, labels=["a brush", "a comb", "a soap", "a soap"], max_depth=2)
    >>> for branch in display.branches[1]:
    ...     print(branch)
    Branch(codes=(0, 1), start=0, n_items=2, label='a soap')
    Branch(codes=(0, 2), start=2, n_items=1, label='a comb')
    Branch(codes=(1, 0), start=3, n_items=1, label='a brush')
    """

    def __init__(self, branches: list[list[Branch]], n_items: int) -> None:
        self.branches = branches
        self.n_items = n_items

    @classmethod
    def from_codes(cls, codes: ArrayLike, labels: ArrayLike | None = None, *, max_depth: int = 3) -> Self:
        """Group the items by their first codes.

        Parameters
        ----------
        codes : array-like of shape (n_items, n_codebooks), int
            Codes from coarse to fine.
        labels : array-like of shape (n_items,) or (n_items, n_levels), default None
            Text for each item, such as its title or its brand; or one for each level, such as category and brand. A
            branch is called by the most frequent one of its items, the first of those in case of a tie.
        max_depth : int, default 3
            Number of levels, at most.

        Returns
        -------
        display : CodeTreeDisplay

        Raises
        ------
        ValueError
            If codes are not whole numbers from 0, or if there is not one label for each item, or for each item and
            level.
        """
        codes, _ = check_code_table(codes)
        depth = min(check_integer("max_depth", max_depth, 1), codes.shape[1])
        return cls(_grow(codes[:, :depth], _check_labels(labels, len(codes), depth)), len(codes))

    @classmethod
    def from_estimator(
        cls, tokenizer: BaseEstimator, X: ArrayLike, labels: ArrayLike | None = None, *, max_depth: int = 3
    ) -> Self:
        """Group items by the first codes that a fitted tokenizer gives them.

        Parameters
        ----------
        tokenizer : estimator
            Fitted tokenizer of codes from coarse to fine, such as `RQVAETokenizer`.
        X : array-like of shape (n_items, n_features)
            Embeddings.
        labels : array-like of shape (n_items,) or (n_items, n_levels), default None
            Text for each item, or one for each level. A branch is called by the most frequent one of its items and, in
            case of a tie, as among titles, by that of the item nearest to what the codes of the branch are decoded to.
        max_depth : int, default 3
            Number of levels, at most.

        Returns
        -------
        display : CodeTreeDisplay

        Raises
        ------
        ValueError
            If `max_depth` is less than 1, or there is not one label for each item, or for each item and level.
        """
        codes, _ = check_code_table(tokenizer.transform(X))
        depth = min(check_integer("max_depth", max_depth, 1), codes.shape[1])
        labels = _check_labels(labels, len(codes), depth)
        distances = None
        if labels is not None:
            embeddings = np.asarray(X, dtype=np.float32)
            decoded = (tokenizer.inverse_transform(codes[:, :level]) for level in range(1, depth + 1))
            distances = [np.square(embeddings - center).sum(axis=1) for center in decoded]
        return cls(_grow(codes[:, :depth], labels, distances), len(codes))

    def plot(self, ax: Axes | None = None, *, label_level: int = 0, n_labels: int = 12, **kwargs: Any) -> Self:
        """Draw the levels from left to right.

        Parameters
        ----------
        ax : matplotlib Axes, default None
            Where to draw; None for a new figure. Labels stand to the right of the axes: leave room for them, as figures
            with ``layout="constrained"`` do.
        label_level : int, default 0
            Level whose branches are labelled at the right, where there are labels; 0 is the first, -1 the last. The
            label of a branch stands at half its height. Those of the levels before stand in their boxes.
        n_labels : int, default 12
            How many of the largest branches of that level are labelled.
        **kwargs : dict
            Passed to every ``PolyCollection`` of boxes.

        Returns
        -------
        self : CodeTreeDisplay

        Raises
        ------
        ValueError
            If there is no level `label_level`, or `n_labels` is negative.
        """
        n_levels = len(self.branches)
        if label_level not in range(-n_levels, n_levels):
            raise ValueError(f"label_level must lie in [{-n_levels}, {n_levels - 1}], got {label_level!r}.")
        check_integer("n_labels", n_labels, 0)
        ax = axes_for(ax)
        self.boxes_ = [self._draw_level(ax, level, kwargs) for level in range(n_levels)]
        ax.set_xlim(0, n_levels)
        ax.set_ylim(self.n_items, 0)
        ax.set_xticks(np.arange(n_levels) + 0.5, [f"code{level}" for level in range(n_levels)])
        ax.set_ylabel("items, grouped by their first codes")
        ax.tick_params(axis="x", length=0)
        ax.spines[:].set_visible(False)
        self.text_ = self._write_codes(ax, label_level % n_levels) + self._write_labels(
            ax, self.branches[label_level], n_labels
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_level(self, ax, level, options):
        from matplotlib.collections import PolyCollection

        starts = np.array([branch.start for branch in self.branches[level]])
        n_items = np.array([branch.n_items for branch in self.branches[level]])
        ends, left, right = starts + n_items, np.full(len(starts), level), np.full(len(starts), level + 1)
        corners = np.stack([[left, starts], [right, starts], [right, ends], [left, ends]])  # (4, 2, n_branches)
        # Frames around slivers would leave nothing but white.
        is_framed = n_items * _height(ax) > _THINNEST_FRAMED * self.n_items
        style = {"facecolors": self._colors(level), "edgecolors": "white", "linewidths": np.where(is_framed, 0.5, 0.0)}
        return ax.add_collection(PolyCollection(corners.transpose(2, 0, 1), **{**style, **options}))

    def _colors(self, level):
        """The color of the first code, paler from level to level, and siblings in turn."""
        from matplotlib.colors import to_rgb

        first = {branch.codes: i for i, branch in enumerate(self.branches[0])}
        colors = []
        for i, branch in enumerate(self.branches[level]):
            color = np.array(to_rgb(_COLORS[first[branch.codes[:1]] % len(_COLORS)]))
            paleness = min(0.3 + 0.1 * level + (0.2 * (i % 2) if level else 0.0), 0.85)
            colors.append(1 - (1 - color) * (1 - paleness))
        return colors

    def _write_codes(self, ax, label_level):
        """Write code and size of the branches that have the height for it, and the labels of those left of a level."""
        texts = []
        room = int(_width(ax) / len(self.branches) / _CHARACTER)  # characters
        for level, branches in enumerate(self.branches):
            for branch in branches:
                if branch.n_items * _height(ax) > _LINE * self.n_items:
                    place = level + 0.04, _middle(branch)
                    label = f": {branch.label}" if branch.label and level < label_level else " "
                    size = f" ({branch.n_items:,})"
                    text = _shortened(f"{branch.codes[-1]}{label}", room - len(size)) + size
                    texts.append(ax.text(*place, text, fontsize=SMALL, va="center", clip_on=True))
        return texts

    def _write_labels(self, ax, branches, n_labels):
        """Write the labels of the largest branches at the right, each with a line to the middle of its branch."""
        branches = sorted((branch for branch in branches if branch.label), key=lambda branch: -branch.n_items)
        branches = sorted(branches[:n_labels], key=lambda branch: branch.start)
        middles = np.array([_middle(branch) for branch in branches])
        places = spread(middles, self.n_items * _LINE / _height(ax), self.n_items)
        texts = []
        for branch, middle, place in zip(branches, middles, places, strict=True):
            codes = "-".join(map(str, branch.codes))
            texts.append(
                ax.annotate(
                    f"{codes}: {_shortened(branch.label, _LABEL_WIDTH)} ({branch.n_items:,})",
                    (len(self.branches), middle),
                    xytext=(1.04, 1 - place / self.n_items),
                    textcoords="axes fraction",
                    fontsize=SMALL,
                    va="center",
                    arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkB": 0, "relpos": (0, 0.5)},
                )
            )
        return texts


def _height(ax):
    """Return the height of `ax` in points."""
    return ax.get_window_extent().height / ax.figure.dpi * 72


def _width(ax):
    """Return the width of `ax` in points."""
    return ax.get_window_extent().width / ax.figure.dpi * 72


def _middle(branch):
    return branch.start + branch.n_items / 2


def _shortened(text, n_characters):
    return text if len(text) <= n_characters else text[: max(n_characters - 1, 0)].rstrip() + "…"


def _grow(codes, labels, distances=None):
    """Return the branches of each level of `codes`.

    `labels` has one list of texts for each level, `distances` one array (n_items,) that ranks the items of a branch.
    """
    order = _order(codes)
    levels = []
    for level in range(1, codes.shape[1] + 1):
        prefixes = codes[order, :level]
        starts = np.flatnonzero(np.r_[True, (prefixes[1:] != prefixes[:-1]).any(axis=1)])
        ends = np.r_[starts[1:], len(codes)]
        branches = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            items = order[start:end]
            if distances is not None:
                items = items[np.argsort(distances[level - 1][items], kind="stable")]
            label = "" if labels is None else _most_frequent(labels[level - 1], items)
            branches.append(Branch(tuple(prefixes[start].tolist()), start, end - start, label))
        levels.append(branches)
    return levels


def _order(codes):
    """Return the items sorted such that each branch is one run, and larger siblings come first."""
    keys = []
    for level in range(1, codes.shape[1] + 1):
        _, branch, sizes = np.unique(codes[:, :level], axis=0, return_inverse=True, return_counts=True)
        keys += [-sizes[branch.ravel()], codes[:, level - 1]]
    return np.lexsort(keys[::-1])


def _most_frequent(labels, items):
    known = [labels[item] for item in items if labels[item]]
    return Counter(known).most_common(1)[0][0] if known else ""


def _check_labels(labels, n_items, depth):
    """Return, for each level, one text per item, empty where there is none."""
    if labels is None:
        return None
    table = pd.DataFrame(np.asarray(labels, dtype=object))
    if len(table) != n_items:
        raise ValueError(f"labels must have one entry per item, got {len(table)} for {n_items} items.")
    if table.shape[1] not in (1, depth):
        raise ValueError(
            f"labels must have one column, or one for each of the {depth} levels, got {table.shape[1]}; "
            "max_depth is the number of levels."
        )
    columns = [
        [" ".join(str(label).split()) for label in column.where(column.notna(), "")] for _, column in table.items()
    ]
    return columns * depth if len(columns) == 1 else columns
