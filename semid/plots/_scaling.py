"""Figure 2 of the Mixture-of-Codes paper, for any score: does it get better with more codes?"""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
import pandas as pd

from semid.plots._curves import Curve, check_curves, curve_of, draw_curves, draw_legend, repeats
from semid.plots._line_display import LineDisplay
from semid.plots._style import GREY

_WORDS = {
    "auc": "AUC",
    "codebook_size": "codes per codebook",
    "log_loss": "log loss",
    "n_codebooks": "number of codebooks",
    "neg_log_loss": "negative log loss",
    "nmi": "NMI",
    "r2": "R²",
    "roc_auc": "AUC",
}


class ScalingDisplay(LineDisplay):
    """A score against the number of codebooks, one line per method, with error bars.

    Figure 2 and, for AUC, Table 1 of Zhang et al., 2024, arXiv:2410.09560v1, as a picture. Error bars are one standard
    error of the mean to either side: where those of two methods overlap, the runs do not tell them apart.

    Parameters
    ----------
    curves : dict of str to Curve
        Score of each method over the number of codebooks.
    x_label : str, default "number of codebooks"
        What the scales are.
    y_label : str, default "score"
        What the score is.
    unit : str, default "seeds"
        What the runs differ by.
    baseline : Curve, default None
        Score at no scale, a `Curve` of one point, drawn as a horizontal line.
    baseline_label : str, default "no codes"
        What that line is.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The line of each method.
    baseline_ : matplotlib Line2D or None
        The horizontal line.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.plots import ScalingDisplay
    >>> runs = pd.DataFrame({
    ...     "method": ["no codes", "MoC", "MoC", "MoC", "MoC"],
    ...     "n_codebooks": [0, 1, 1, 3, 3],
    ...     "seed": [0, 0, 1, 0, 1],
    ...     "auc": [0.68, 0.70, 0.72, 0.73, 0.73],
    ... })
    >>> display = ScalingDisplay.from_runs(runs, baseline="no codes")
    >>> display.curves["MoC"].mean
    array([0.71, 0.73])
    >>> display.curves["MoC"].standard_error.round(4)
    array([0.01, 0.  ])
    """

    def __init__(
        self,
        curves: dict[str, Curve],
        *,
        x_label: str = "number of codebooks",
        y_label: str = "score",
        unit: str = "seeds",
        baseline: Curve | None = None,
        baseline_label: str = "no codes",
    ) -> None:
        self.curves = check_curves(curves)
        self.x_label = x_label
        self.y_label = y_label
        self.unit = unit
        self.baseline = baseline
        self.baseline_label = baseline_label

    @classmethod
    def from_runs(
        cls,
        runs: pd.DataFrame,
        *,
        x: str = "n_codebooks",
        y: str = "auc",
        by: str | None = "method",
        unit: str = "seeds",
        baseline: Any = None,
    ) -> Self:
        """Summarize a table of runs.

        Parameters
        ----------
        runs : DataFrame
            One row per run.
        x : str, default "n_codebooks"
            Column of the scale.
        y : str, default "auc"
            Column of the score.
        by : str or None, default "method"
            Column whose values become lines; None for one line of all runs.
        unit : str, default "seeds"
            What the runs of one scale and method differ by, for the label.
        baseline : number or value of the column `by`, default None
            Score without codes, or the method whose runs give it, whatever their scale.

        Returns
        -------
        display : ScalingDisplay

        Raises
        ------
        ValueError
            If a column is not there, a score or scale is missing, or `baseline` is no method of the table.
        """
        if not isinstance(runs, pd.DataFrame):
            raise TypeError(f"runs must be a DataFrame with one row per run, got {type(runs).__name__}.")
        for parameter, column in (("x", x), ("y", y), ("by", by)):
            if column is not None and column not in runs:
                raise ValueError(f"{parameter} must be a column of runs, got {column!r}; runs has {list(runs)}.")
        label, level = "no codes", None
        if baseline is not None:
            runs, label, level = _take_baseline(runs, y, by, baseline)
        groups = [(y, runs)] if by is None else runs.groupby(by, sort=False, dropna=False)
        curves = {str(name): _curve_of_runs(f"runs of {name!r}", group, x, y) for name, group in groups}
        return cls(
            curves,
            x_label=_in_words(x),
            y_label=_in_words(y),
            unit=unit,
            baseline=level,
            baseline_label=label,
        )

    @classmethod
    def from_cv_results(
        cls,
        cv_results: dict[str, Any],
        *,
        x: str = "n_codebooks",
        by: str | None = None,
        score: str = "score",
        y_label: str | None = None,
        baseline: float | None = None,
    ) -> Self:
        """Summarize ``cv_results_`` of a `GridSearchCV`: test scores over the folds.

        Where the grid has more parameters than `x` and `by`, each point is the best combination of the others, by its
        mean: a maximum, which flatters the points that had more combinations to choose from. Candidates without `x`
        or `by`, in a list of grids, are left out.

        Parameters
        ----------
        cv_results : dict
            ``search.cv_results_``.
        x : str, default "n_codebooks"
            Parameter of the scale; the end of its name suffices, as ``"n_codebooks"`` for
            ``features__codes__tokenizer__n_codebooks``.
        by : str, default None
            Parameter whose values become lines, named in the same way; None for one line, named "codes".
        score : str, default "score"
            Name of the score; with several in ``scoring``, the name of one of them.
        y_label : str, default None
            What the score is; None for its name.
        baseline : number, default None
            Score without codes.

        Returns
        -------
        display : ScalingDisplay

        Raises
        ------
        ValueError
            If a parameter or score is not among the results, or a fit of the search failed.
        """
        folds = [key for key in cv_results if key.startswith("split") and key.endswith(f"_test_{score}")]
        if not folds:
            known = sorted(key.removeprefix("mean_test_") for key in cv_results if key.startswith("mean_test_"))
            raise ValueError(f"score must be one of the scores of the search, {known}, got {score!r}.")
        table = pd.DataFrame({fold: np.asarray(cv_results[fold], dtype=np.float64) for fold in folds})
        table["mean"] = table[folds].mean(axis=1, skipna=False)
        scales = list(cv_results[_parameter("x", x, cv_results)])
        lines = ["codes"] * len(scales) if by is None else list(cv_results[_parameter("by", by, cv_results)])
        # Where the grid is a list, candidates without a parameter are masked.
        masked = np.ma.masked
        is_placed = [scale is not masked and line is not masked for scale, line in zip(scales, lines, strict=True)]
        table = table.assign(by=_values_in_words(lines))[is_placed]
        table["x"] = [scale for scale, is_there in zip(scales, is_placed, strict=True) if is_there]
        if not np.isfinite(table["mean"]).all():
            raise ValueError(
                f"cv_results must hold finite scores, got {table['mean'].isna().sum()} candidates with fits that "
                'failed; run the search with error_score="raise" to see why.'
            )
        best = table.loc[table.groupby(["by", "x"], sort=False)["mean"].idxmax()]
        curves = {
            name: curve_of(f"scores of {name!r}", group["x"], group[folds].to_numpy())
            for name, group in best.groupby("by", sort=False)
        }
        level = None if baseline is None else curve_of("baseline", [0], [baseline])
        name = _in_words(score) if y_label is None else y_label
        return cls(curves, x_label=_in_words(x), y_label=name, unit="folds", baseline=level)

    def _draw(self, ax, options):
        self.baseline_ = None
        if self.baseline is not None:
            mean, error = self.baseline.mean[0], self.baseline.standard_error[0]
            self.baseline_ = ax.axhline(mean, color=GREY, linestyle="--", linewidth=1, label=self.baseline_label)
            if np.isfinite(error):
                ax.axhspan(mean - error, mean + error, color=GREY, alpha=0.2, linewidth=0)
        self.lines_ = draw_curves(ax, self.curves, options)
        ax.set_xlabel(self.x_label)
        everything = [*self.curves.values(), *([] if self.baseline is None else [self.baseline])]
        ax.set_ylabel("\n".join(filter(None, [self.y_label, repeats(everything, self.unit)])))
        draw_legend(ax, len(everything))


def _take_baseline(runs, y, by, baseline):
    """Return the runs without those of the baseline, its name and its `Curve`."""
    is_baseline = np.zeros(len(runs), dtype=bool) if by is None else (runs[by] == baseline).to_numpy()
    if is_baseline.any():
        return runs[~is_baseline], str(baseline), curve_of("baseline", [0], [runs.loc[is_baseline, y]])
    if not isinstance(baseline, Real):
        raise ValueError(
            f"baseline must be a number or one of {[] if by is None else runs[by].unique().tolist()}, got {baseline!r}."
        )
    return runs, "no codes", curve_of("baseline", [0], [baseline])


def _curve_of_runs(name: str, runs: pd.DataFrame, x: str, y: str) -> Curve:
    scales = runs[x].unique()
    return curve_of(name, scales, [runs.loc[runs[x] == scale, y] for scale in scales])


def _parameter(name, wanted, cv_results):
    """Return the key of the one searched parameter that is called `wanted`, or ends in it."""
    searched = [key.removeprefix("param_") for key in cv_results if key.startswith("param_")]
    found = [key for key in searched if key == wanted] or [key for key in searched if key.endswith(f"__{wanted}")]
    if len(found) != 1:
        raise ValueError(f"{name} must be one of the parameters of the search, {searched}, got {wanted!r}.")
    return f"param_{found[0]}"


def _values_in_words(values):
    """Return names for lines: an estimator's class, anything else as it prints."""
    return [type(value).__name__ if hasattr(value, "get_params") else str(value) for value in values]


def _in_words(name):
    last = name.rsplit("__", 1)[-1]
    return _WORDS.get(last, last.replace("_", " "))
