"""What predicted clicks are worth beyond one AUC. Arrays in, numbers out."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import log_loss

from semid.base._checks import (
    as_array,
    as_numbers,
    check_integer,
    check_option,
    check_sample_weight,
    check_single_values,
)
from semid.metrics._arrays import check_labels
from semid.tables._ids import factorize_ids


class GroupAUC(NamedTuple):
    """What `gauc_score` returns.

    Parameters
    ----------
    score : float
        Mean AUC over the groups that have both clicks and non-clicks.
    coverage : float
        Share of the impressions that are in those groups.
    n_groups : int
        Number of those groups.

    Examples
    --------
    >>> from semid.metrics import gauc_score
    >>> gauc_score([1, 0, 1, 1], [0.9, 0.2, 0.1, 0.3], ["ann", "ann", "bob", "bob"]).coverage
    0.5
    """

    score: float
    coverage: float
    n_groups: int


def gauc_score(
    y_true: ArrayLike,
    y_score: ArrayLike,
    groups: ArrayLike,
    *,
    weighting: Literal["impressions", "clicks", "uniform"] = "impressions",
    sample_weight: ArrayLike | None = None,
) -> GroupAUC:
    """Return the mean AUC within groups, for example users: how well each one's own impressions are ranked.

    ``Σ_g w_g AUC_g / Σ_g w_g`` (Zhou et al., 2018, "Deep Interest Network", arXiv:1706.06978, from memory), where
    ``AUC_g`` is the probability that a click of group g has a higher score than a non-click of the group, ties counted
    as half. Groups of clicks alone, or without any, have no AUC and are left out: see the coverage. 1 when every click
    is above its group's other impressions, 0.5 for constant scores: what tells users apart, and no item, is worth
    nothing here.

    Parameters
    ----------
    y_true : array-like of shape (n_impressions,)
        Clicks, 0 or 1.
    y_score : array-like of shape (n_impressions,)
        Click probabilities, logits, or any other scores.
    groups : array-like of shape (n_impressions,)
        Group of each impression: user ids, sessions, ...
    weighting : {"impressions", "clicks", "uniform"}, default "impressions"
        Weight ``w_g`` of a group: how many impressions it has, how many clicks, or one for each group.
    sample_weight : array-like of shape (n_impressions,), default None
        Weight of each impression, as if it was there so many times. None weights all alike.

    Returns
    -------
    result : GroupAUC
        ``score`` and ``coverage``, floats in [0, 1], and ``n_groups``, the number of groups that count.

    Raises
    ------
    ValueError
        If no group has both a click and a non-click, or the arguments differ in length, are missing or not finite.

    Examples
    --------
    >>> from semid.metrics import gauc_score
    >>> y_true = [1, 0, 0, 1, 0, 1]
    >>> y_score = [0.9, 0.2, 0.1, 0.3, 0.3, 0.8]
    >>> gauc_score(y_true, y_score, ["ann", "ann", "ann", "bob", "bob", "eve"])
    GroupAUC(score=0.8, coverage=0.8333333333333334, n_groups=2)
    """
    check_option("weighting", weighting, ("impressions", "clicks", "uniform"))
    y_true = _check_clicks(y_true)
    y_score = _check_scores("y_score", y_score, len(y_true))
    weights = check_sample_weight(sample_weight, len(y_true))
    groups = check_labels("groups", groups, len(y_true))
    check_single_values("groups", pd.Series(groups))
    group, names = factorize_ids(groups)
    if (group < 0).any():
        raise ValueError(
            f"groups must not be missing, got {np.count_nonzero(group < 0)} missing of {len(group)}. "
            "Leave those impressions out, or give each a group of its own."
        )
    clicks = np.bincount(group, weights * y_true, len(names))
    non_clicks = np.bincount(group, weights * ~y_true, len(names))
    is_used = (clicks > 0) & (non_clicks > 0)
    if not is_used.any():
        raise ValueError(f"groups must hold at least one with clicks and non-clicks, got none among {len(names)}.")
    pairs_in_order = _pairs_in_order(y_true, y_score, weights, group, len(names))
    aucs = np.minimum(pairs_in_order[is_used] / (clicks * non_clicks)[is_used], 1.0)  # but for rounding
    group_weights = {"impressions": clicks + non_clicks, "clicks": clicks, "uniform": np.ones(len(names))}[weighting]
    coverage = (clicks + non_clicks)[is_used].sum() / (clicks + non_clicks).sum()
    return GroupAUC(float(np.average(aucs, weights=group_weights[is_used])), float(coverage), int(is_used.sum()))


def normalized_entropy(y_true: ArrayLike, y_prob: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the log loss of click probabilities, relative to that of the click rate for every impression.

    ``log_loss(y, p) / -(r log r + (1 - r) log(1 - r))`` with r the mean of `y_true` (He et al., 2014, "Practical
    lessons from predicting clicks on ads at Facebook", from memory). Less than 1 is better than knowing the click rate
    alone, 0 is perfect; unlike the log loss it can be compared between data of different click rates.

    Parameters
    ----------
    y_true : array-like of shape (n_impressions,)
        Clicks, 0 or 1.
    y_prob : array-like of shape (n_impressions,)
        Click probabilities; 0 and 1 are moved inside by the resolution of their dtype, as in
        `sklearn.metrics.log_loss`.
    sample_weight : array-like of shape (n_impressions,), default None
        Weight of each impression. None weights all alike.

    Returns
    -------
    entropy : float in [0, inf)

    Raises
    ------
    ValueError
        If all impressions are clicks or none is, or if `y_prob` is not in [0, 1].

    Examples
    --------
    >>> from semid.metrics import normalized_entropy
    >>> round(normalized_entropy([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]), 6)
    1.0
    >>> normalized_entropy([1, 0, 0, 0], [0.7, 0.1, 0.1, 0.1]) < 0.4
    True
    """
    y_true = _check_clicks(y_true)
    y_prob = _check_probabilities(y_prob, len(y_true))
    weights = check_sample_weight(sample_weight, len(y_true))
    # Each by itself: 1 - rate has no digits left where nearly all weight is on clicks.
    rates = [float(np.average(y, weights=weights)) for y in (y_true, ~y_true)]
    if 0 in rates:
        raise ValueError(
            f"y_true must hold clicks and non-clicks of positive weight, got a click rate of {rates[0]:g}."
        )
    rarer = min(rates)
    entropy = -(rarer * np.log(rarer) + (1 - rarer) * np.log1p(-rarer))
    return float(log_loss(y_true, y_prob, sample_weight=weights, labels=[False, True]) / entropy)


def expected_calibration_error(
    y_true: ArrayLike, y_prob: ArrayLike, *, n_bins: int = 10, strategy: Literal["uniform", "quantile"] = "uniform"
) -> float:
    """Return the mean distance between predicted and observed click rates, over bins of the predictions.

    ``Σ_b n_b / n |mean(y in b) - mean(p in b)|`` (Naeini et al., 2015, "Obtaining well calibrated probabilities using
    Bayesian binning", and Guo et al., 2017, arXiv:1706.04599, from memory), in the bins of
    `sklearn.calibration.calibration_curve`. 0 when each bin's clicks are as frequent as predicted. It says nothing of
    the ranking: the click rate for every impression has 0.

    Parameters
    ----------
    y_true : array-like of shape (n_impressions,)
        Clicks, 0 or 1.
    y_prob : array-like of shape (n_impressions,)
        Click probabilities.
    n_bins : int, default 10
        Number of bins.
    strategy : {"uniform", "quantile"}, default "uniform"
        Bins of equal width in [0, 1], or of about equally many impressions: better where most probabilities are small.

    Returns
    -------
    error : float in [0, 1]

    Raises
    ------
    ValueError
        If `y_prob` is not in [0, 1], or the arguments differ in length.

    Examples
    --------
    >>> from semid.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0, 1, 1, 1], [0.4, 0.4, 0.9, 0.9], n_bins=2), 6)
    0.1
    """
    check_option("strategy", strategy, ("uniform", "quantile"))
    n_bins = check_integer("n_bins", n_bins, 1)
    y_true = _check_clicks(y_true)
    y_prob = _check_probabilities(y_prob, len(y_true)).astype(np.float64)
    edges = np.linspace(0, 1, n_bins + 1)
    if strategy == "quantile":
        edges = np.quantile(y_prob, edges)
    bins = np.searchsorted(edges[1:-1], y_prob)
    # n_b |mean(y) - mean(p)| is the distance of the sums.
    distances = np.abs(np.bincount(bins, weights=y_true) - np.bincount(bins, weights=y_prob))
    return float(distances.sum() / len(y_true))


def _pairs_in_order(y_true, y_score, weights, group, n_groups):
    """Return per group the weight of its pairs of a click and a non-click with the click above, ties as half.

    In order of group and score, equal scores of a group form a block; a click is above all non-clicks of earlier
    blocks of its group, and level with those of its own.
    """
    order = np.lexsort((y_score, group))
    group, y_score, y_true, weights = group[order], y_score[order], y_true[order], weights[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (group[1:] != group[:-1]) | (y_score[1:] != y_score[:-1])
    starts = np.flatnonzero(is_first)
    group = group[starts]  # from here on per block
    clicks = np.add.reduceat(weights * y_true, starts)
    non_clicks = np.add.reduceat(weights * ~y_true, starts)
    # Summed up group by group: what is subtracted from the sum over all takes the digits of groups of small weights.
    up_to_here = pd.Series(non_clicks).groupby(group).cumsum().to_numpy()
    below = np.where(np.append(True, group[1:] != group[:-1]), 0.0, np.append(0.0, up_to_here[:-1]))
    return np.bincount(group, clicks * (below + non_clicks / 2), n_groups)


def _check_clicks(y_true: ArrayLike) -> np.ndarray:
    y_true = as_numbers("y_true", y_true)
    if y_true.ndim != 1 or y_true.size == 0:
        raise ValueError(f"y_true must have shape (n_impressions,) and not be empty, got {y_true.shape}.")
    is_wrong = ~np.isin(y_true, (0, 1))
    if is_wrong.any():
        raise ValueError(f"y_true must hold clicks, 0 or 1, got {y_true[is_wrong][0]!r}.")
    return y_true.astype(bool)


def _check_scores(name: str, scores: ArrayLike, n_rows: int) -> np.ndarray:
    scores = as_array(name, scores)
    if scores.shape != (n_rows,):
        hint = " Pass the second column of predict_proba." if scores.ndim == 2 else ""
        raise ValueError(f"{name} must have shape ({n_rows},), one number per impression, got {scores.shape}.{hint}")
    if scores.dtype.kind not in "biuf" or not np.isfinite(scores).all():
        raise ValueError(f"{name} must hold finite numbers, got an array of {scores.dtype} with others.")
    return scores


def _check_probabilities(y_prob: ArrayLike, n_rows: int) -> np.ndarray:
    y_prob = _check_scores("y_prob", y_prob, n_rows)
    if y_prob.min() < 0 or y_prob.max() > 1:
        raise ValueError(f"y_prob must lie in [0, 1], got {y_prob.min():g} to {y_prob.max():g}. Are these logits?")
    return y_prob.astype(np.result_type(y_prob.dtype, np.float32), copy=False)
