"""A score against the number of codes, repeated over seeds: mean and standard error, as numbers and as a line."""

from typing import NamedTuple

import numpy as np

from semid.plots._style import MARKERS, SMALL, line_styles, tidy

_LARGEST_LINEAR_RATIO = 16  # of the largest to the smallest number of codes, beyond which the axis is logarithmic


class Curve(NamedTuple):
    """A score at each of several scales, over repeated runs.

    Parameters
    ----------
    x : ndarray of shape (n_scales,)
        The scales, increasing.
    mean : ndarray of shape (n_scales,)
        Mean score of the runs.
    standard_error : ndarray of shape (n_scales,)
        Of the mean; NaN where there is one run.
    n_runs : ndarray of shape (n_scales,), int
        Number of runs.

    Examples
    --------
    >>> from semid.plots import ReconstructionDisplay
    >>> display = ReconstructionDisplay.from_values({"RQ-VAE": ([1, 3], [[0.6, 0.5], [0.3, 0.3]])})
    >>> display.curves["RQ-VAE"].mean
    array([0.55, 0.3 ])
    """

    x: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    n_runs: np.ndarray


def curve_of(name, x, runs):
    """Return the `Curve` of ``runs[i]``, the scores of all runs at ``x[i]``, or raise unless all are finite."""
    x = np.asarray(x)
    if x.dtype.kind not in "iuf":
        raise ValueError(f"{name} must have numbers as scales, got {x.tolist()}.")
    x = x.astype(np.float64)
    if x.ndim != 1 or len(x) == 0 or len(x) != len(runs):
        raise ValueError(
            f"{name} must have one row of runs per number of codes, got {len(runs)} rows for x of shape {x.shape}."
        )
    if not np.isfinite(x).all() or len(np.unique(x)) < len(x):
        raise ValueError(f"{name} must have different, finite numbers of codes, got {x.tolist()}.")
    runs = [np.atleast_1d(np.asarray(scores, dtype=np.float64)) for scores in runs]
    for scale, scores in zip(x, runs, strict=True):
        if scores.ndim != 1 or len(scores) == 0 or not np.isfinite(scores).all():
            raise ValueError(
                f"{name} must have finite scores, got {scores.tolist()} at {scale:g}. Leave out runs that failed."
            )
    order = np.argsort(x)
    runs = [runs[i] for i in order]
    n_runs = np.array([len(scores) for scores in runs])
    deviation = np.array([scores.std(ddof=1) if len(scores) > 1 else np.nan for scores in runs])
    return Curve(x[order], np.array([scores.mean() for scores in runs]), deviation / np.sqrt(n_runs), n_runs)


def check_curves(curves):
    """Return `curves`, or raise unless it is a dict of at least one `Curve`."""
    if not isinstance(curves, dict) or not curves or not all(isinstance(curve, Curve) for curve in curves.values()):
        raise TypeError(f"curves must be a dict of name to Curve, at least one, got {curves!r}.")
    return curves


def draw_curves(ax, curves, options):
    """Draw each curve with its error bars; returns the lines by name."""
    lines = {}
    for i, (style, (name, curve)) in enumerate(zip(line_styles(len(curves)), curves.items(), strict=True)):
        style = {"marker": MARKERS[i % len(MARKERS)], "markersize": 5, "capsize": 3, "label": name, **style, **options}
        errors = curve.standard_error if np.isfinite(curve.standard_error).any() else None
        lines[name] = ax.errorbar(curve.x, curve.mean, yerr=errors, **style).lines[0]
    _set_scales(ax, np.unique(np.concatenate([curve.x for curve in curves.values()])))
    tidy(ax)
    return lines


def draw_legend(ax, n_entries, **options):
    """Name the lines, unless there is only one and nothing to tell apart."""
    if n_entries > 1:
        ax.legend(frameon=False, fontsize=SMALL, **options)


def repeats(curves, unit):
    """Return ``"mean ± standard error over 5 seeds"`` of the scores that were repeated, or nothing if none was."""
    n_runs = np.concatenate([curve.n_runs for curve in curves])
    n_runs = n_runs[n_runs > 1]
    if len(n_runs) == 0:
        return ""
    number = f"{n_runs.min()}" if n_runs.min() == n_runs.max() else f"{n_runs.min()} to {n_runs.max()}"
    return f"mean ± standard error over {number} {unit}"


def _set_scales(ax, x):
    """Put ticks at the numbers of codes that were tried, and nowhere else."""
    from matplotlib.ticker import NullLocator

    if x.min() > 0 and x.max() / x.min() > _LARGEST_LINEAR_RATIO:
        ax.set_xscale("log", base=2)
    ax.set_xticks(x, [f"{value:g}" for value in x])
    ax.xaxis.set_minor_locator(NullLocator())
