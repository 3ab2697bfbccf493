"""How much the codebooks repeat one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from semid.base._typing import RandomState
from semid.metrics import redundancy_matrix
from semid.plots._code_columns import check_code_table
from semid.plots._style import SMALL, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_VALUES = 16  # codebooks, beyond which numbers in the cells cannot be read, nor a name for each


class CodebookRedundancyDisplay:
    """Normalized mutual information (NMI) of all pairs of codebooks, as a map with numbers.

    1 when two codebooks are relabelled copies of each other. Codebooks that have nothing to do with each other do not
    reach 0 but what chance gives to finite numbers of items, which the title states beside the mean.

    Parameters
    ----------
    redundancy : ndarray of shape (n_codebooks, n_codebooks)
        NMI of each pair; see `semid.metrics.redundancy_matrix`.
    chance : float, default None
        Mean NMI of the pairs after the items of each codebook were shuffled.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The map, without its diagonal.
    text_ : ndarray of shape (n_codebooks, n_codebooks) of matplotlib Text, or None
        The numbers in the cells; None on the diagonal.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from semid.plots import CodebookRedundancyDisplay
    >>> display = CodebookRedundancyDisplay.from_codes([[0, 5, 0], [0, 5, 1], [1, 3, 0], [1, 3, 1]], random_state=0)
    >>> display.redundancy.round(2)
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """

    def __init__(self, redundancy: np.ndarray, *, chance: float | None = None) -> None:
        self.redundancy = redundancy
        self.chance = chance

    @classmethod
    def from_codes(cls, codes: ArrayLike, *, random_state: RandomState | None = None) -> Self:
        """Compare all pairs of codebooks.

        Parameters
        ----------
        codes : array-like of shape (n_items, n_codebooks), int
            Codes of all items; at least two codebooks.
        random_state : int, RandomState instance or None, default None
            Seed of the shuffle that `chance` is measured with.

        Returns
        -------
        display : CodebookRedundancyDisplay

        Raises
        ------
        ValueError
            If codes are not whole numbers from 0, or of fewer than two codebooks.
        """
        codes, _ = check_code_table(codes)
        if codes.shape[1] < 2:
            raise ValueError(f"codes must have at least 2 codebooks to compare, got {codes.shape[1]}.")
        rng = check_random_state(random_state)
        shuffled = np.column_stack([rng.permutation(column) for column in codes.T])
        return cls(redundancy_matrix(codes), chance=_mean_of_pairs(redundancy_matrix(shuffled)))

    @classmethod
    def from_estimator(cls, tokenizer: BaseEstimator, X: ArrayLike, *, random_state: RandomState | None = None) -> Self:
        """Compare all pairs of codebooks of a fitted tokenizer.

        Parameters
        ----------
        tokenizer : estimator
            Fitted tokenizer.
        X : array-like of shape (n_items, n_features)
            Embeddings.
        random_state : int, RandomState instance or None, default None
            Seed of the shuffle that `chance` is measured with.

        Returns
        -------
        display : CodebookRedundancyDisplay
        """
        return cls.from_codes(tokenizer.transform(X), random_state=random_state)

    def plot(self, ax: Axes | None = None, *, include_values: bool = True, **kwargs: Any) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default None
            Where to draw; None for a new figure.
        include_values : bool, default True
            Whether to write the numbers into the cells; with more than 16 codebooks they are left out.
        **kwargs : dict
            Passed to ``Axes.imshow``.

        Returns
        -------
        self : CodebookRedundancyDisplay
        """
        ax = axes_for(ax)
        n_codebooks = len(self.redundancy)
        # What each codebook has in common with itself says nothing, and would take the darkest color.
        others = np.ma.masked_where(np.eye(n_codebooks, dtype=bool), self.redundancy)
        self.im_ = ax.imshow(others, **{"vmin": 0, "vmax": 1, "cmap": "Blues", **kwargs})
        ax.set_facecolor("0.9")  # of the diagonal
        self.text_ = self._write_values(ax) if include_values and n_codebooks <= _MOST_VALUES else None
        named = range(0, n_codebooks, -(-n_codebooks // _MOST_VALUES))
        names = [f"code{n}" for n in named]
        ax.set_xticks(named, names, rotation=0 if n_codebooks < 9 else 90)
        ax.set_yticks(named, names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        chance = "" if self.chance is None else f", by chance {self.chance:.2f}"
        ax.set_title(f"mean of the pairs {_mean_of_pairs(self.redundancy):.2f}{chance}", fontsize="medium")
        ax.figure.colorbar(self.im_, ax=ax, label="normalized mutual information")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write_values(self, ax):
        text = np.full(self.redundancy.shape, None, dtype=object)
        for i, j in zip(*np.nonzero(~np.eye(len(self.redundancy), dtype=bool)), strict=True):
            value = self.redundancy[i, j]
            red, green, blue, _ = self.im_.cmap(self.im_.norm(value))
            is_dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            style = {"color": "white" if is_dark else "black", "ha": "center", "va": "center"}
            fontsize = SMALL + 1 if len(self.redundancy) < 9 else SMALL - 2
            text[i, j] = ax.text(j, i, f"{value:.2f}", fontsize=fontsize, **style)
        return text


def _mean_of_pairs(matrix):
    return float(matrix[np.triu_indices(len(matrix), k=1)].mean())
