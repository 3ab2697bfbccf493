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


def bootstrap_difference(y, ours, other, users, *, n_samples=1000, seed=0):
    """Return the difference in AUC of two predictions and its 95 % interval over resampled users.

    Users are drawn with replacement, each with all of its impressions, so that the interval speaks of other users as
    well as of other impressions.
    """
    y = np.asarray(y, dtype=bool)
    rng = np.random.default_rng(seed)
    number, names = pd.factorize(users)
    aucs = [_WeightedAUC(y, scores) for scores in (ours, other)]
    everyone = np.ones(len(y))
    difference = aucs[0](everyone) - aucs[1](everyone)
    samples = []
    for _ in range(n_samples):
        weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[number].astype(np.float64)
        samples.append(aucs[0](weights) - aucs[1](weights))
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(difference), float(low), float(high)


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
