"""How a fit went, epoch by epoch: the ``history_`` of tokenizers, click models and recommenders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from semid.plots._line_display import LineDisplay
from semid.plots._style import SMALL, line_styles, ordered_colors, tidy

# Title of each panel, and the entries of a history that it shows, by their names in the legend.
_PANELS = {
    "loss": {
        "loss": "loss",
        "reconstruction_loss": "reconstruction",
        "codebook_loss": "codebook",
        "commitment_loss": "commitment",
        "train_loss": "training",
        "valid_loss": "validation",
    },
    "R²": {"r2": "training", "validation_r2": "validation", "refinement_r2": "refinement"},
    "AUC": {"valid_auc": "validation", "rates_auc": "click rates alone"},
    "NDCG@10": {"valid_ndcg": "validation", "popularity_ndcg": "popularity alone"},
    "perplexity": {"perplexity": "codebook"},
    "usage": {"usage": "codebook"},
}
_LEAST_SPANS = {"AUC": 0.02, "NDCG@10": 0.02, "R²": 0.02}  # of an axis: less is noise, and is not scaled to the panel
_LEAST_RELATIVE_SPAN = 0.01  # of an axis of losses or perplexities, as a share of the largest
_LARGEST_LINEAR_RATIO = 16  # of losses, beyond which their axis is logarithmic
_LONGEST_LEGEND = 4  # codebooks that a panel names
_GAP = 0.12  # between panels, as a share of the height of one


class HistoryDisplay(LineDisplay):
    """How losses, reconstruction and the use of codes went in training, a panel each, one above the other.

    For tokenizers the losses, R² and the perplexity of each codebook, or where that is not known its share of codes in
    use; for click models the log loss and the AUC; for what recommends the next item the loss and NDCG@10. The R² and
    losses of learned tokenizers are those of the embeddings that training met, which `mixup` had moved: validation R²
    may lie above them.

    Parameters
    ----------
    history : dict of str to array-like of shape (n_epochs,) or (n_epochs, n_codebooks)
        As in the ``history_`` of an estimator; entries by other names are kept and not drawn.
    x_label : str, default "epoch"
        What the rows are.

    Attributes
    ----------
    axes_ : dict of str to matplotlib Axes
        The panels: those of ``"loss"``, ``"R²"``, ``"AUC"``, ``"NDCG@10"``, ``"perplexity"`` and ``"usage"`` that have
        something to show.
    lines_ : dict of str to list of matplotlib Line2D
        The line of each entry, or the lines of its codebooks.
    ax_ : matplotlib Axes
        The axes whose place the panels share, and whose own frame is hidden.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.plots import HistoryDisplay
    >>> from semid.tokenizers import RQVAETokenizer
    >>> X = make_items(n_items=300, random_state=0).embeddings
    >>> tokenizer = RQVAETokenizer(codebook_size=16, hidden_layer_sizes=(32,), max_iter=3, random_state=0).fit(X)
    >>> display = HistoryDisplay.from_estimator(tokenizer)
    >>> display.history["perplexity"].shape
    (3, 3)
    >>> display.panels
    ['loss', 'R²', 'perplexity']
    """

    def __init__(self, history: Mapping[str, ArrayLike], *, x_label: str = "epoch") -> None:
        self.history = _check_history(history)
        self.x_label = x_label

    @classmethod
    def from_estimator(cls, estimator: BaseEstimator) -> Self:
        """Take the history of a fitted estimator.

        Parameters
        ----------
        estimator : tokenizer, click model, recommender, `SemanticIDEncoder`, or Pipeline that ends in one
            Fitted. Of a `UniqueTokenizer` or `SemanticIDEncoder` the tokenizer inside is taken.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        TypeError
            If the estimator keeps no history.
        """
        while isinstance(estimator, Pipeline) or hasattr(estimator, "tokenizer_"):
            estimator = estimator[-1] if isinstance(estimator, Pipeline) else estimator.tokenizer_
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if history is None:
            raise TypeError(
                "estimator must keep a history_, as tokenizers that learn, click models and recommenders do, "
                f"got {type(estimator).__name__}."
            )
        is_in_epochs = "loss" in history or "train_loss" in history
        return cls(history, x_label="epoch" if is_in_epochs else "iteration of k-means")

    @property
    def panels(self) -> list[str]:
        """Names of the panels that have something to show, in their order."""
        panels = [panel for panel, entries in _PANELS.items() if not entries.keys().isdisjoint(self.history)]
        return [panel for panel in panels if panel != "usage" or "perplexity" not in panels]

    def _draw(self, ax, options):
        ax.set_axis_off()
        height = 1 / len(self.panels)
        axes = [ax.inset_axes((0, n * height, 1, (1 - _GAP) * height)) for n in reversed(range(len(self.panels)))]
        for upper in axes[:-1]:
            upper.sharex(axes[-1])
            upper.tick_params(labelbottom=False)
        axes[-1].set_xlabel(self.x_label)
        self.axes_: dict = dict(zip(self.panels, axes, strict=True))
        self.lines_: dict = {}
        for panel, its_axes in self.axes_.items():
            self.lines_ |= self._draw_panel(its_axes, panel, options)

    def _draw_panel(self, ax, panel, options):
        """Draw the entries of a panel; returns their lines by name."""
        from matplotlib.ticker import MaxNLocator

        entries = {name: label for name, label in _PANELS[panel].items() if name in self.history}
        lines = {}
        for style, (name, label) in zip(line_styles(len(entries)), entries.items(), strict=True):
            rows = self.history[name]
            x = self._first_row(name) + np.arange(len(rows))
            lines[name] = []
            for column, its_style in zip(rows.reshape(len(rows), -1).T, _styles(rows, style, label), strict=True):
                lines[name] += ax.plot(x, column, **{"marker": ".", "markersize": 3, **its_style, **options})
        if panel == "AUC":
            ax.axhline(0.5, color="0.8", linewidth=1, zorder=0)  # chance
        if panel == "loss":
            _choose_scale(ax, [self.history[name] for name in entries])
        _widen(ax, panel, [self.history[name] for name in entries])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylabel(panel)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(frameon=False, fontsize=SMALL, ncols=2)
        tidy(ax)
        return lines

    def _first_row(self, name):
        """Rounds of refinement come after the iterations of k-means; all else starts with the first."""
        return 1 + len(self.history["r2"]) if name == "refinement_r2" else 1


def _check_history(history):
    """Return `history` as float arrays, or raise unless it has an entry to show, of one row per epoch."""
    if not isinstance(history, Mapping):
        raise TypeError(f"history must be a dict of name to array, got {type(history).__name__}.")
    arrays = {str(name): np.asarray(values, dtype=np.float64) for name, values in history.items()}
    known = [name for entries in _PANELS.values() for name in entries]
    if arrays.keys().isdisjoint(known):
        raise ValueError(f"history must have one of {known} at least, got {list(arrays)}.")
    for name in arrays.keys() & known:
        if arrays[name].ndim not in (1, 2) or arrays[name].size == 0:
            raise ValueError(
                f"history must hold arrays of shape (n_epochs,) or (n_epochs, n_codebooks), got {arrays[name].shape} "
                f"as {name!r}."
            )
    return arrays


def _styles(rows, style, label):
    """Return the style of the line of an entry, or of each of its codebooks, of which the legend names some."""
    if rows.ndim == 1:
        return [{**style, "label": label}]
    n_codebooks = rows.shape[1]
    named = np.linspace(0, n_codebooks - 1, min(n_codebooks, _LONGEST_LEGEND)).round()
    colors = ordered_colors(n_codebooks)
    return [{"color": color, "label": f"code{n}" if n in named else None} for n, color in enumerate(colors)]


def _choose_scale(ax, losses):
    """Make the axis of losses logarithmic where they are far apart."""
    values = np.concatenate([loss.ravel() for loss in losses])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() / values.min() > _LARGEST_LINEAR_RATIO:
        ax.set_yscale("log")


def _widen(ax, panel, entries):
    """Give the vertical axis a least span, around what it shows."""
    values = np.concatenate([entry.ravel() for entry in entries])
    largest = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    least = _LEAST_SPANS.get(panel, _LEAST_RELATIVE_SPAN * largest)
    low, high = ax.get_ylim()
    if ax.get_yscale() == "linear" and high - low < least:
        middle = (low + high) / 2
        ax.set_ylim(middle - least / 2, middle + least / 2)
