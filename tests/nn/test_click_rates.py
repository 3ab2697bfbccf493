"""Click rates against loops over categories, and against logs whose rates are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from semid.nn._click_rates import FieldEntries, click_rates


def _part(columns, y, weights):
    """Return impressions as `click_rates` takes them: columns (n,) of categories, and lists of lists of them."""

    def entries(field):
        lists = columns[field]
        lengths = np.array([np.size(entry) for entry in lists])
        return FieldEntries(
            torch.as_tensor(np.hstack(lists)),
            torch.arange(len(lists)).repeat_interleave(torch.as_tensor(lengths)),
            torch.as_tensor(np.repeat(1 / lengths, lengths)),
        )

    y, weights = torch.as_tensor(y), torch.as_tensor(weights)
    return SimpleNamespace(entries=entries, labels_and_weights=lambda: (y, weights))


@pytest.mark.parametrize("are_costs", [False, True])
def test_rates_equal_a_loop_over_fields_and_categories(are_costs):
    rng = np.random.default_rng(0)
    n, sizes = 400, [30, 5, 8]
    lists = [rng.choice(8, size=1 + i % 3, replace=False) for i in range(n)]
    columns = [rng.integers(30, size=n), rng.integers(4, size=n), lists]
    weights = rng.uniform(0.5, 1.5, size=n) if are_costs else 0.5 * rng.integers(1, 4, size=n)
    y = (rng.random(n) < expit(rng.normal(size=30)[columns[0]] - 1)).astype(float)
    base, rates = click_rates([_part(columns, y, weights)], sizes)

    weights = weights / weights.min()
    overall = np.average(y, weights=weights)
    np.testing.assert_allclose(base, logit(overall))
    log_odds = np.full(n, base)
    for field in (1, 2, 0):  # of few categories first
        share = np.zeros((n, sizes[field]))  # of each category in each impression
        for row, entry in enumerate(columns[field]):
            for category in np.atleast_1d(entry):
                share[row, category] += 1 / np.size(entry)
        w, p = weights[:, None] * share, expit(log_odds)
        visits, clicks, expected = w.sum(0), y @ w, p @ w
        variance = p * (1 - p)
        information = variance @ w
        noise = variance @ w**2 if are_costs else information
        excess, dispersion = (clicks - expected) ** 2 - noise, noise.sum() / information.sum()
        s2 = np.expm1(rates[field].variance)
        precision = dispersion * max(1 / rates[field].variance, 100 * information.sum() / visits.sum())
        np.testing.assert_allclose(rates[field].precision, precision, rtol=1e-6)
        omega = (1 + s2 * information) ** -2  # the estimate is the one that its own weights give
        np.testing.assert_allclose(s2, max((omega @ excess) / (omega @ information**2), 1e-3), rtol=1e-6)
        for category in range(sizes[field]):
            if visits[category] == 0:
                assert rates[field].log_odds[category] == 0
                continue
            rate = expected[category] / visits[category]
            more = visits[category] / (s2 / dispersion * information[category])
            smoothed = (clicks[category] + more * rate) / (visits[category] + more)
            np.testing.assert_allclose(rates[field].log_odds[category], logit(smoothed) - logit(rate), rtol=1e-6)
        log_odds += share @ rates[field].log_odds.numpy()


@pytest.mark.parametrize("mean", [-6.0, -1.0, 0.0])
@pytest.mark.parametrize("deviation", [0.0, 0.5, 1.0])
def test_the_variance_between_categories_is_found(mean, deviation):
    rng = np.random.default_rng(0)
    categories = rng.integers(3000, size=200_000)
    p = expit(mean + deviation * rng.normal(size=3000)[categories])
    y = torch.as_tensor((rng.random(200_000) < p).astype(float))
    _, (rates,) = click_rates([_part([categories], y, torch.ones(200_000))], [3000])
    assert abs(np.sqrt(rates.variance) - deviation) < 0.3


def test_an_item_explains_what_its_code_has_left_over():
    codes = np.repeat([0, 1], 500)
    items = np.arange(1000) // 10  # each of one code
    y = torch.as_tensor((np.arange(1000) % 10 < np.where(codes == 0, 2, 8)).astype(float))
    _, (of_items, of_codes) = click_rates([_part([items, codes], y, torch.ones(1000))], [100, 2])
    np.testing.assert_allclose(of_codes.log_odds.numpy(), [logit(0.2), logit(0.8)], atol=0.02)
    assert of_items.log_odds.abs().max() < 0.01
    assert of_items.variance < 0.002 < of_codes.variance


def test_labels_of_one_kind_have_rates():
    categories = np.array([0, 0, 1])
    base, (rates,) = click_rates([_part([categories], torch.zeros(3), torch.ones(3))], [4])
    assert base < -20
    assert np.isfinite(rates.log_odds.numpy()).all()


def test_a_small_whole_weight_is_a_number_of_impressions_and_no_scale_matters():
    rng = np.random.default_rng(0)
    categories, times = rng.integers(20, size=500), rng.integers(1, 4, size=500)
    y = (rng.random(500) < expit(rng.normal(size=20)[categories])).astype(float)

    def rates_of(categories, y, weights):
        base, (rates,) = click_rates([_part([categories], y, weights)], [20])
        return base, rates.log_odds.numpy(), rates.precision

    weighted = rates_of(categories, y, times * 1e-60)
    listed = rates_of(np.repeat(categories, times), np.repeat(y, times), np.ones(times.sum()))
    for ours, expected in zip(weighted, listed, strict=True):
        np.testing.assert_allclose(ours, expected)
    costs = times + rng.random(500)
    for ours, expected in zip(rates_of(categories, y, costs), rates_of(categories, y, 1e300 * costs), strict=True):
        np.testing.assert_allclose(ours, expected)


@pytest.mark.parametrize("are_costs", [False, True])
def test_parts_have_the_rates_of_all_together(are_costs):
    rng = np.random.default_rng(0)
    n, sizes = 600, [30, 5, 8]
    lists = [rng.choice(8, size=1 + i % 3, replace=False) for i in range(n)]
    columns = [rng.integers(30, size=n), rng.integers(4, size=n), lists]
    weights = rng.uniform(0.5, 1.5, size=n) if are_costs else 1.0 * rng.integers(1, 4, size=n)
    y = (rng.random(n) < expit(rng.normal(size=30)[columns[0]] - 1)).astype(float)
    base, rates = click_rates([_part(columns, y, weights)], sizes)
    slices = [slice(0, 100), slice(100, 101), slice(101, 600)]
    in_parts = click_rates([_part([c[s] for c in columns], y[s], weights[s]) for s in slices], sizes)
    np.testing.assert_allclose(in_parts[0], base, rtol=1e-12)
    for of_parts, of_all in zip(in_parts[1], rates, strict=True):
        np.testing.assert_allclose(of_parts.log_odds, of_all.log_odds, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(of_parts[1:], of_all[1:], rtol=1e-9)
