"""What click rates of categories say of an impression by themselves, without any training.

Letters: N impressions, C categories of a field, E entries of a field, at least one per impression.
"""

from typing import NamedTuple

import torch

_LEAST_VARIANCE = 1e-3  # of log-odds: where categories do not differ beyond chance
_LEAST_PRIOR = 100  # impressions; rates drift, and what training has seen of a category is not all that it will meet
_MOST_REPETITIONS = 20  # of an impression, that a weight may stand for
_N_WEIGHTINGS = 30  # of the estimate of a variance, which has settled long before


class FieldEntries(NamedTuple):
    """The categories of one field: one of each impression, or those of a list."""

    categories: torch.Tensor  # (E,) int64
    impressions: torch.Tensor  # (E,) int64, ascending
    shares: torch.Tensor  # (E,) float64, of the field's value; 1 where there is one category


class FieldRates(NamedTuple):
    log_odds: torch.Tensor  # (C,) float64, what it adds to the log-odds of an impression
    variance: float  # of what the categories add, as estimated
    precision: float  # of a Gaussian prior of what the categories add, where the smallest weight is 1


def click_rates(parts, sizes, log_odds=None):
    """Return the log-odds of the rate of all impressions, and the `FieldRates` of each field.

    Field after field, those of few categories first, each explains what the fields before it have left over: an item
    what its codes do not say.

    Let k be the clicks of a category, m those expected and i = Σ p (1 - p) their variance. If log-odds differ between
    categories with a variance of s², then (k - m)² is i + s² i² in expectation. s² is the moment estimate, with weights
    1 / (1 + s² i)². Where clicks are rare it is the variance of relative rates, so that log(1 + s²) is that of log-odds
    which are normal; where they are as frequent as not, that is a half too small for log-odds that spread by 1.
    A rate is smoothed by impressions that are as expected and have the variance 1 / s² in all. The prior of what is to
    be trained has the precision 1 / log(1 + s²), or that of 100 impressions if that is more.

    Parameters
    ----------
    parts : iterable, gone through several times
        Of impressions, N in all: ``part.entries(f)`` are the `FieldEntries` of field f, ``part.labels_and_weights()``
        labels and positive weights, (n,) each. Where weights are small multiples of the smallest, they are numbers of
        impressions; else they are costs: the error of an impression of weight 2 counts twice, and has four times the
        variance.
    sizes : list of int
        Categories of each field.
    log_odds : mapping, default None
        Where to keep a tensor of log-odds, (n,), for each part, by its number; None keeps them in memory.
    """
    log_odds = {} if log_odds is None else log_odds
    least_weight, base, are_numbers = _weights_and_base(parts, log_odds)
    rates = {}
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    for f in order:
        n, clicks, expected, information, noise = _totals(parts, f, sizes[f], log_odds, least_weight, are_numbers)
        dispersion = noise.sum() / information.sum().clamp(min=1e-30)
        s2 = _excess_variance((clicks - expected).square() - noise, information)
        smoothed = _smoothed(n, clicks, expected, information, s2 / dispersion)
        variance = torch.log1p(s2)
        precision = dispersion * torch.maximum(1 / variance, _LEAST_PRIOR * information.sum() / n.sum())
        rates[f] = FieldRates(smoothed, float(variance), float(precision))
        for number, part in enumerate(parts) if f != order[-1] else ():
            entries = part.entries(f)
            added = rates[f].log_odds[entries.categories] * entries.shares
            log_odds[number] = log_odds[number].index_add_(0, entries.impressions, added)
    return float(base), [rates[f] for f in range(len(sizes))]


def _weights_and_base(parts, log_odds):
    """Return the least weight, the log-odds of all impressions, kept as `log_odds`, and whether weights are numbers."""
    least_weight = min(part.labels_and_weights()[1].double().min() for part in parts)
    clicks, total, are_numbers, lengths = 0.0, 0.0, True, []
    for part in parts:
        y, weights = part.labels_and_weights()
        y, weights = y.double(), weights.double() / least_weight
        clicks, total = clicks + (y * weights).sum(), total + weights.sum()
        is_number = ((weights - weights.round()).abs() < 1e-6).all() and weights.max() < _MOST_REPETITIONS
        are_numbers = are_numbers and bool(is_number)
        lengths.append(len(y))
    base = torch.logit((clicks / total).clamp(1e-9, 1 - 1e-9))
    for number, n_rows in enumerate(lengths):
        log_odds[number] = base.expand(n_rows).clone()
    return least_weight, base, are_numbers


def _totals(parts, f, size, log_odds, least_weight, are_numbers):
    """Return the sums over the impressions of each category of a field that `click_rates` needs, (5, C).

    They are added up impression by impression, so that parts make no difference.
    """
    totals = None
    for number, part in enumerate(parts):
        entries = part.entries(f)
        y, weights = (tensor.double()[entries.impressions] for tensor in part.labels_and_weights())
        p = torch.sigmoid(log_odds[number])[entries.impressions]
        w = weights / least_weight * entries.shares
        information = w * p * (1 - p)
        noise = information if are_numbers else w.square() * p * (1 - p)
        if totals is None:
            totals = torch.zeros(5, size, dtype=torch.float64, device=w.device)
        for total, amounts in zip(totals, (w, w * y, w * p, information, noise), strict=True):
            total.index_add_(0, entries.categories, amounts)
    return totals


def _excess_variance(excess, information):
    """Return s², with `excess` = s² information² in expectation, more exact where there is less information."""
    s2 = torch.zeros((), dtype=torch.float64, device=excess.device)
    for _ in range(_N_WEIGHTINGS):
        weights = 1 / (1 + s2 * information).square()
        s2 = ((weights * excess).sum() / (weights * information.square()).sum().clamp(min=1e-30)).clamp(min=0.0)
    return s2.clamp(min=_LEAST_VARIANCE)


def _smoothed(n, clicks, expected, information, s2):
    """Return by how much the log-odds of clicks among n impressions exceed what is expected, (C,)."""
    rate = (expected / n.clamp(min=1e-30)).clamp(1e-9, 1 - 1e-9)
    n_more = n / (s2 * information.clamp(min=1e-30))
    smoothed = ((clicks + n_more * rate) / (n + n_more)).clamp(1e-9, 1 - 1e-9)
    return torch.where(n > 0, torch.logit(smoothed) - torch.logit(rate), 0.0)
