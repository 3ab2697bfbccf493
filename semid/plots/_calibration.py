"""Whether a click model is right about the items of each code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from semid.base._checks import check_integer
from semid.plots._style import COLORS, GREY, SMALL, axes_for, spread, tidy
from semid.tables._frames import find_column, split_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNKNOWN_CODE = -1
_LARGEST_BUBBLE = 250  # points²
_BUBBLE: dict = {"color": COLORS[0], "alpha": 0.6, "linewidths": 0}
_COLOR_OF_UNKNOWN = COLORS[1]
_LINE = 1.4 * SMALL  # points, height of a line of text
_LABEL_DISTANCE, _LABEL_RISE = 36, 30  # points from a bubble to its name, sideways and away from the diagonal


class CalibrationByCodeDisplay:
    """Observed click rate against mean predicted probability, for the impressions of each code of one codebook.

    On the diagonal, the predictions are right on average. A code off it by more than its error bar is a group of items
    that the model thinks too much or too little of, which one calibration over all impressions does not show.

    Parameters
    ----------
    codes : ndarray of shape (n_codes,), int
        The codes that occur, in increasing order; -1 is that of unknown items.
    predicted : ndarray of shape (n_codes,)
        Mean predicted probability of the impressions of each code.
    observed : ndarray of shape (n_codes,)
        Share of clicks among them.
    interval : ndarray of shape (n_codes, 2)
        Ends of the 95 % interval of the click rate (Wilson, 1927, from memory).
    n_impressions : ndarray of shape (n_codes,), int
        Impressions of each code.
    name : str, default "code"
        Name of the column of codes.

    Attributes
    ----------
    calibration_error : float
        Mean over impressions of the distance between observed and predicted of their code.
    points_ : matplotlib PathCollection
        The bubbles.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from semid.plots import CalibrationByCodeDisplay
    >>> display = CalibrationByCodeDisplay.from_predictions([0, 1, 1, 1], [0.25, 0.25, 0.5, 1.0], codes=[7, 7, 9, 9])
    >>> display.predicted, display.observed
    (array([0.25, 0.75]), array([0.5, 1. ]))
    >>> display.calibration_error
    0.25
    """

    def __init__(
        self,
        codes: np.ndarray,
        predicted: np.ndarray,
        observed: np.ndarray,
        interval: np.ndarray,
        n_impressions: np.ndarray,
        *,
        name: str = "code",
    ) -> None:
        self.codes = codes
        self.predicted = predicted
        self.observed = observed
        self.interval = interval
        self.n_impressions = n_impressions
        self.name = name

    @classmethod
    def from_predictions(cls, y_true: ArrayLike, y_prob: ArrayLike, codes: ArrayLike, *, name: str = "code") -> Self:
        """Compare clicks with predicted probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_impressions,)
            1 for a click, 0 for none.
        y_prob : array-like of shape (n_impressions,)
            Predicted click probability.
        codes : array-like of shape (n_impressions,), int
            Code of the item of each impression, of one codebook; -1 for unknown items.
        name : str, default "code"
            Name of the column of codes, for the picture.

        Returns
        -------
        display : CalibrationByCodeDisplay

        Raises
        ------
        ValueError
            If the arrays differ in length, `y_true` is not of 0 and 1, `y_prob` not within [0, 1], or `codes` not of
            whole numbers.
        """
        y_true, y_prob, codes = _check_impressions(y_true, y_prob, codes)
        codes, rows, n_impressions = np.unique(codes, return_inverse=True, return_counts=True)
        predicted = np.bincount(rows, y_prob) / n_impressions
        observed = np.bincount(rows, y_true) / n_impressions
        return cls(codes, predicted, observed, _wilson(observed, n_impressions), n_impressions, name=name)

    @classmethod
    def from_estimator(
        cls, classifier: BaseEstimator, X: pd.DataFrame | ArrayLike, y: ArrayLike, code_column: str | int
    ) -> Self:
        """Compare clicks with the predictions of a fitted click model.

        Parameters
        ----------
        classifier : click model, or Pipeline that ends in one
            Fitted.
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Impressions, not those of `fit`.
        y : array-like of shape (n_impressions,)
            Labels; the last of ``classifier.classes_`` is the click.
        code_column : str or int
            Name or position of a column of codes, in `X` or, for a Pipeline, in what its last step is given, such as
            ``"item_id_code0"``.

        Returns
        -------
        display : CalibrationByCodeDisplay
        """
        column = _find_codes(classifier, X, code_column)
        is_click = np.asarray(y) == classifier.classes_[-1]
        probability = classifier.predict_proba(X)[:, -1]
        return cls.from_predictions(is_click, probability, column, name=str(code_column))

    @property
    def calibration_error(self) -> float:
        """Mean over impressions of the distance between observed and predicted of their code."""
        gaps = np.abs(self.observed - self.predicted)
        return float(np.average(gaps, weights=self.n_impressions))

    def plot(self, ax: Axes | None = None, *, n_labels: int = 5, **kwargs: Any) -> Self:
        """Draw one bubble per code, its area the number of impressions.

        Parameters
        ----------
        ax : matplotlib Axes, default None
            Where to draw; None for a new figure.
        n_labels : int, default 5
            How many codes are named: those that add most to the calibration error, among those whose error bar does
            not reach the diagonal.
        **kwargs : dict
            Passed to ``Axes.scatter``.

        Returns
        -------
        self : CalibrationByCodeDisplay

        Raises
        ------
        ValueError
            If `n_labels` is negative.
        """
        check_integer("n_labels", n_labels, 0)
        ax = axes_for(ax)
        errors = np.abs(self.interval.T - self.observed)
        # The more error bars, the paler, or those of a thousand codes hide all else.
        style = {"fmt": "none", "ecolor": GREY, "elinewidth": 0.7, "alpha": np.clip(30 / len(self.codes), 0.1, 0.5)}
        ax.errorbar(self.predicted, self.observed, yerr=errors, **style)
        colors = np.where(self.codes == _UNKNOWN_CODE, _COLOR_OF_UNKNOWN, _BUBBLE["color"])
        style = {**_BUBBLE, "s": self._area(self.n_impressions), "color": colors, "zorder": 3}
        self.points_ = ax.scatter(self.predicted, self.observed, **{**style, **kwargs})
        ax.axline((0, 0), slope=1, color=GREY, linestyle="--", linewidth=1, zorder=1)
        # No rate is negative, whatever the margins.
        ax.set(xlim=np.maximum(ax.get_xlim(), 0), ylim=np.maximum(ax.get_ylim(), 0))
        ax.set_xlabel("mean predicted click probability")
        ax.set_ylabel("observed click rate, with 95 % interval")
        ax.set_title(f"{self.name}: mean distance to the diagonal {self.calibration_error:.3f}", fontsize="medium")
        is_above = self.observed > self.predicted
        worst = self._worst(n_labels)
        self._name(ax, worst[is_above[worst]], -1)
        self._name(ax, worst[~is_above[worst]], 1)
        self._explain_sizes(ax)
        tidy(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _worst(self, n_labels):
        """Positions of the codes that add most to the calibration error, of those off by more than their interval."""
        is_off = (self.predicted < self.interval[:, 0]) | (self.predicted > self.interval[:, 1])
        gaps = np.where(is_off, np.abs(self.observed - self.predicted) * self.n_impressions, 0.0)
        return np.argsort(-gaps)[: min(n_labels, is_off.sum())]

    def _name(self, ax, positions, side):
        """Name codes away from the diagonal, to the left of those above it and to the right of those below."""
        positions = positions[np.argsort(self.observed[positions])]
        bottom, top = ax.get_ylim()
        height = ax.get_window_extent().height / ax.figure.dpi * 72 / (top - bottom)  # points per unit
        offset = -side * _LABEL_RISE / height
        places = spread(self.observed[positions] + offset - bottom, _LINE / height, top - bottom) + bottom
        for i, place in zip(positions, places, strict=True):
            name = "unknown items" if self.codes[i] == _UNKNOWN_CODE else f"code {self.codes[i]}"
            ax.annotate(
                name,
                (self.predicted[i], self.observed[i]),
                xytext=(side * _LABEL_DISTANCE, (place - self.observed[i]) * height),
                textcoords="offset points",
                ha="right" if side < 0 else "left",
                va="center",
                fontsize=SMALL,
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0},
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
                zorder=4,
            )

    def _explain_sizes(self, ax):
        sizes = sorted({int(np.median(self.n_impressions)), int(self.n_impressions.max())})
        handles = [ax.scatter([], [], s=self._area(size), label=f"{size:,}", **_BUBBLE) for size in sizes]
        if _UNKNOWN_CODE in self.codes:
            style = {**_BUBBLE, "color": _COLOR_OF_UNKNOWN}
            handles.append(ax.scatter([], [], s=self._area(sizes[0]), label="of unknown items", **style))
        style = {"frameon": False, "fontsize": SMALL, "title_fontsize": SMALL}
        ax.legend(handles=handles, title="impressions", loc="upper left", **style)

    def _area(self, n_impressions):
        return _LARGEST_BUBBLE * n_impressions / self.n_impressions.max()


def _check_impressions(y_true: Any, y_prob: Any, codes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = codes.to_numpy() if hasattr(codes, "to_numpy") else np.asarray(codes)
    y_true, y_prob = np.asarray(y_true), np.asarray(y_prob, dtype=np.float64)
    if y_prob.ndim != 1 or len(y_prob) == 0:
        raise ValueError(
            f"y_prob must have shape (n_impressions,) and not be empty, got {y_prob.shape}; "
            "of predict_proba(X), take the column of the clicks, [:, 1]."
        )
    for name, array in (("y_true", y_true), ("codes", codes)):
        if array.shape != y_prob.shape:
            raise ValueError(f"{name} must have one entry per impression, {y_prob.shape}, got shape {array.shape}.")
    if not np.isin(y_true, [0, 1]).all():
        raise ValueError(
            f"y_true must hold 0 and 1 alone, got {y_true[~np.isin(y_true, [0, 1])][0]!r}; pass y_true == click."
        )
    if not ((y_prob >= 0) & (y_prob <= 1)).all():
        wrong = y_prob[~((y_prob >= 0) & (y_prob <= 1))][0]
        raise ValueError(f"y_prob must lie in [0, 1], got {wrong}; pass predict_proba(X)[:, 1], not logits.")
    # A ColumnTransformer may have made floats of them.
    is_whole = codes.dtype.kind == "f" and np.isfinite(codes).all() and (codes == codes.round()).all()
    if codes.dtype.kind not in "iu" and not is_whole:
        raise ValueError(f"codes must be integers, -1 for unknown items, got an array of {codes.dtype}.")
    return y_true.astype(np.float64), y_prob, codes.astype(np.int64)


def _find_codes(classifier, X, code_column):
    names, columns = split_columns(X)
    if isinstance(classifier, Pipeline) and len(classifier) > 1 and code_column not in names:
        names, columns = split_columns(classifier[:-1].transform(X))
    return columns[find_column("code_column", code_column, names)]


def _wilson(rate, n):
    """Return the ends of the 95 % score interval of binomial rates, (n_codes, 2)."""
    z = norm.ppf(0.975)
    center = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    # A rate of 0 or 1 is an end of its interval, but for rounding.
    return np.column_stack([np.minimum(center - half, rate), np.maximum(center + half, rate)]).clip(0, 1)
