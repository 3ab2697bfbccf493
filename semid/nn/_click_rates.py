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


def click_rates(fields, sizes, y, weights):
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
    fields : callable
        ``fields(f)`` returns the `FieldEntries` of field f.
    sizes : list of int
        Categories of each field.
    y, weights : Tensor of shape (N,)
        Labels, and positive weights. Where these are small multiples of the smallest, they are numbers of impressions;
        else they are costs: the error of an impression of weight 2 counts twice, and has four times the variance.
    """
    y, weights = y.double(), weights.double() / weights.double().min()
    are_numbers = bool(((weights - weights.round()).abs() < 1e-6).all() and weights.max() < _MOST_REPETITIONS)
    base = torch.logit(((y * weights).sum() / weights.sum()).clamp(1e-9, 1 - 1e-9))
    log_odds, rates = base.expand(len(y)).clone(), {}
    for f in sorted(range(len(sizes)), key=sizes.__getitem__):
        entries = fields(f)
        p, w = torch.sigmoid(log_odds)[entries.impressions], weights[entries.impressions] * entries.shares

        def total(amounts, entries=entries, size=sizes[f]):
            return torch.zeros(size, dtype=torch.float64, device=y.device).index_add_(0, entries.categories, amounts)

        n, clicks, expected = total(w), total(w * y[entries.impressions]), total(w * p)
        information = total(w * p * (1 - p))
        noise = information if are_numbers else total(w.square() * p * (1 - p))
        dispersion = noise.sum() / information.sum().clamp(min=1e-30)
        s2 = _excess_variance((clicks - expected).square() - noise, information)
        smoothed = _smoothed(n, clicks, expected, information, s2 / dispersion)
        variance = torch.log1p(s2)
        precision = dispersion * torch.maximum(1 / variance, _LEAST_PRIOR * information.sum() / n.sum())
        rates[f] = FieldRates(smoothed, float(variance), float(precision))
        log_odds.index_add_(0, entries.impressions, rates[f].log_odds[entries.categories] * entries.shares)
    return float(base), [rates[f] for f in range(len(sizes))]


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
