"""How many items each code has."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from semid.metrics import codebook_perplexity
from semid.plots._code_columns import check_code_table
from semid.plots._line_display import LineDisplay
from semid.plots._style import SMALL, ordered_colors, tidy

_LONGEST_LEGEND = 8  # lines


class CodeUsageDisplay(LineDisplay):
    """Items per code, from the most frequent code to the rarest, one line per codebook, on logarithmic axes.

    A flat line is a codebook whose codes are used alike; one that ends early leaves codes unused.

    Parameters
    ----------
    counts : list of ndarray of shape (codebook_size,), int
        Items per code in decreasing order, of each codebook; codes that no item has count 0.
    perplexity : ndarray of shape (n_codebooks,)
        Effective number of codes; see `semid.metrics.codebook_perplexity`.
    sizes_are_known : bool, default True
        Whether the lengths of `counts` are codebook sizes, so that the share of codes in use can be told.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The line of each codebook.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from semid.plots import CodeUsageDisplay
    >>> display = CodeUsageDisplay.from_codes([[0, 1], [2, 0], [2, 1], [2, 0]], codebook_size=[4, 2])
    >>> display.counts
    [array([3, 1, 0, 0]), array([2, 2])]
    >>> display.perplexity.round(2)
    array([1.75, 2.  ])
    """

    def __init__(self, counts: list[np.ndarray], perplexity: np.ndarray, *, sizes_are_known: bool = True) -> None:
        self.counts = counts
        self.perplexity = perplexity
        self.sizes_are_known = sizes_are_known

    @classmethod
    def from_codes(cls, codes: ArrayLike, codebook_size: int | ArrayLike | None = None) -> Self:
        """Count the items of each code.

        Parameters
        ----------
        codes : array-like of shape (n_items, n_codebooks), int
            Codes of all items.
        codebook_size : int or array-like of shape (n_codebooks,), int, default None
            Number of codes in each codebook. None leaves open how many there are beyond those in use.

        Returns
        -------
        display : CodeUsageDisplay

        Raises
        ------
        ValueError
            If codes are not whole numbers in [0, codebook_size).
        """
        codes, sizes = check_code_table(codes, codebook_size)
        counts = [np.bincount(column, minlength=size) for column, size in zip(codes.T, sizes, strict=True)]
        counts = [np.sort(count)[::-1] for count in counts]
        if codebook_size is None:
            counts = [count[count > 0] for count in counts]
        return cls(counts, codebook_perplexity(codes), sizes_are_known=codebook_size is not None)

    @classmethod
    def from_estimator(cls, tokenizer: BaseEstimator, X: ArrayLike) -> Self:
        """Count the items of each code of a fitted tokenizer.

        Parameters
        ----------
        tokenizer : estimator
            Fitted tokenizer.
        X : array-like of shape (n_items, n_features)
            Embeddings.

        Returns
        -------
        display : CodeUsageDisplay
        """
        codes = tokenizer.transform(X)
        return cls.from_codes(codes, getattr(tokenizer, "codebook_sizes_", None))

    def _draw(self, ax, options):
        self.lines_: list = []
        # Of many codebooks, the legend names some: the colors of the others lie in between.
        named = np.linspace(0, len(self.counts) - 1, min(len(self.counts), _LONGEST_LEGEND)).round().astype(int)
        for n, (color, count) in enumerate(zip(ordered_colors(len(self.counts)), self.counts, strict=True)):
            used = np.count_nonzero(count)
            of = f" of {len(count)}" if self.sizes_are_known else ""
            label = f"code{n}: {used}{of} used, perplexity {self.perplexity[n]:.0f}" if n in named else None
            # A logarithm has no place for unused codes: the line ends with the last that is used.
            ranks, style = np.arange(1, used + 1), {"color": color, "label": label, "marker": ".", "markersize": 3}
            self.lines_ += ax.plot(ranks, count[:used], **{**style, **options})
        _count_logarithmically(ax)
        ax.set_xlabel("rank of the code, by number of items")
        ax.set_ylabel("items per code")
        ax.legend(frameon=False, fontsize=SMALL)
        tidy(ax)


def _count_logarithmically(ax):
    """Make both axes logarithmic, with plain numbers at their ticks."""
    from matplotlib.ticker import LogFormatter

    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(LogFormatter())
        axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1, 0.4)))
