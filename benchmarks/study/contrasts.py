"""Whether one arm is better than another: paired over seeds, corrected for many questions, and over users."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata, ttest_rel


def paired_contrasts(runs, ours, others, *, score="auc"):
    """Return one row per other arm: the mean difference of `ours` to it, and its p, paired by seed.

    Parameters
    ----------
    runs : DataFrame
        Runs of one data set and model, one per arm and seed.
    ours : str
        Arm.
    others : list of str
        Arms to compare it with.
    score : str, default "auc"

    Returns
    -------
    contrasts : DataFrame
        ``arm``, ``difference``, ``standard_error``, ``n_seeds`` and ``p`` of a two-sided paired t-test.
    """
    table = runs.pivot_table(index="seed", columns="arm", values=score)
    rows = []
    for arm in others:
        pairs = table[[ours, arm]].dropna()
        differences = pairs[ours] - pairs[arm]
        p = ttest_rel(pairs[ours], pairs[arm]).pvalue if len(pairs) > 1 else np.nan
        error = differences.std(ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else np.nan
        rows.append(
            {
                "arm": arm,
                "difference": differences.mean(),
                "standard_error": error,
                "n_seeds": len(pairs),
                "p": p,
            }
        )
    return pd.DataFrame(rows)


def holm(p):
    """Return p-values corrected for their number (Holm, 1979, from memory): none of them wrong with probability 1 - p.

    Missing ones count as questions asked, and stay missing.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(np.where(np.isnan(p), np.inf, p), kind="stable")
    factors = len(p) - np.arange(len(p))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.fmax.accumulate(factors * p[order]), 1.0)
    return np.where(np.isnan(p), np.nan, corrected)


def bootstrap_aucs(y, scores, users, *, n_samples=1000, seed=0):
    """Return the AUC of several predictions for samples of the users: one row per sample, a column per prediction.

    Users are drawn with replacement, each with all of its impressions, so that an interval speaks of other users as
    well as of other impressions. All predictions get the same samples: differences are paired.

    Parameters
    ----------
    y : array-like of shape (n_impressions,)
    scores : list of arrays of shape (n_impressions,)
    users : array-like of shape (n_impressions,)
    n_samples : int, default 1000
    seed : int, default 0

    Returns
    -------
    aucs : ndarray of shape (n_samples, len(scores))
    """
    rng = np.random.default_rng(seed)
    number, names = pd.factorize(np.asarray(users))
    weighted_aucs = [_WeightedAUC(np.asarray(y, dtype=bool), one) for one in scores]
    aucs = np.empty((n_samples, len(scores)))
    for sample in aucs:
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))
        weights = times[number].astype(np.float64)
        sample[:] = [auc(weights) for auc in weighted_aucs]
    return aucs


class _WeightedAUC:
    """AUC of fixed scores for changing weights: sorted once."""

    def __init__(self, y, scores):
        ranks = rankdata(scores, method="dense") - 1
        self.order = np.argsort(ranks, kind="stable")
        self.y = y[self.order]
        self.starts = np.flatnonzero(np.diff(ranks[self.order], prepend=-1))

    def __call__(self, weights):
        weights = weights[self.order]
        clicks = np.add.reduceat(weights * self.y, self.starts)
        others = np.add.reduceat(weights * ~self.y, self.starts)
        below = np.cumsum(others) - others
        return float((clicks * (below + others / 2)).sum() / (clicks.sum() * others.sum()))
