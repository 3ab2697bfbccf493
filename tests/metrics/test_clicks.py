"""Metrics of predicted clicks beside loops over scikit-learn's."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss, roc_auc_score

from semid.metrics import expected_calibration_error, gauc_score, normalized_entropy


def _loop_over_groups(y_true, y_score, groups, weighting, weights):
    aucs, group_weights, covered = [], [], 0.0
    for group in np.unique(groups):
        rows = groups == group
        y, w = y_true[rows], weights[rows]
        if len(set(y)) < 2:
            continue
        aucs.append(roc_auc_score(y, y_score[rows], sample_weight=w))
        group_weights.append({"impressions": w.sum(), "clicks": w @ y, "uniform": 1.0}[weighting])
        covered += w.sum()
    return np.average(aucs, weights=group_weights), covered / weights.sum(), len(aucs)


@pytest.mark.parametrize("weighting", ["impressions", "clicks", "uniform"])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_gauc_is_the_mean_of_a_loop_over_groups(weighting, is_weighted, rng):
    n = 600
    y_true, groups = rng.integers(2, size=n), rng.integers(150, size=n)
    y_score = rng.normal(size=n).round(1)  # with ties
    weights = rng.uniform(0.5, 3, size=n) if is_weighted else np.ones(n)
    expected = _loop_over_groups(y_true, y_score, groups, weighting, weights)
    sample_weight = weights if is_weighted else None
    result = gauc_score(y_true, y_score, groups, weighting=weighting, sample_weight=sample_weight)
    np.testing.assert_allclose(result, expected)
    assert result.coverage < 1


def test_gauc_of_one_group_is_the_auc(rng):
    y_true, y_score = rng.integers(2, size=100), rng.normal(size=100)
    assert gauc_score(y_true, y_score, np.zeros(100)).score == pytest.approx(roc_auc_score(y_true, y_score))


def test_scores_that_only_tell_users_apart_are_worth_nothing_within_them():
    y_true, users = np.array([1, 1, 0, 1, 0, 0]), np.array(["x", "x", "x", "y", "y", "y"], dtype=object)
    y_score = np.where(users == "x", 0.9, 0.1)
    assert roc_auc_score(y_true, y_score) > 0.6
    assert gauc_score(y_true, y_score, users) == (0.5, 1.0, 2)


def test_a_row_of_weight_two_is_a_row_twice_and_of_weight_zero_none(rng):
    y_true, y_score, groups = rng.integers(2, size=50), rng.normal(size=50), rng.integers(8, size=50)
    weights = rng.integers(3, size=50)
    repeated = np.repeat(np.arange(50), weights)
    weighted = gauc_score(y_true, y_score, groups, sample_weight=weights)
    np.testing.assert_allclose(weighted, gauc_score(y_true[repeated], y_score[repeated], groups[repeated]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 2], [0.1, 0.2], [1, 1]), "y_true must hold clicks, 0 or 1, got .*2"),
        (([0, 1], [[0.1, 0.9], [0.5, 0.5]], [1, 1]), "Pass the second column of predict_proba"),
        (([0, 1], [0.1, np.nan], [1, 1]), "y_score must hold finite numbers"),
        (([0, 1], [0.1, 0.2], [1, 1, 2]), r"groups must have shape \(2,\)"),
        (([0, 1], [0.1, 0.2], ["a", None]), "groups must not be missing, got 1 missing of 2"),
        (([0, 1], [0.1, 0.2], [1, 2]), "at least one with clicks and non-clicks, got none among 2"),
        (([], [], []), "y_true must have shape .* and not be empty"),
    ],
)
def test_groups_that_cannot_be_scored_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gauc_score(*arguments)


def test_gauc_refuses_unknown_weightings():
    with pytest.raises(ValueError, match="weighting must be one of 'impressions', 'clicks', 'uniform', got 'users'"):
        gauc_score([0, 1], [0, 1], [1, 1], weighting="users")


def test_gauc_takes_columns_of_a_table(rng):
    frame = pd.DataFrame({"click": [True, False, False], "score": [2.0, 1.0, 3.0], "user": ["a", "a", "a"]})
    frame = frame.astype({"user": "category"})
    assert gauc_score(frame["click"], frame["score"], frame["user"]).score == 0.5


def test_normalized_entropy_is_the_log_loss_over_that_of_the_click_rate(rng):
    y_true, y_prob, weights = rng.integers(2, size=80), rng.uniform(size=80), rng.uniform(size=80)
    rate = np.full(80, y_true.mean())
    assert normalized_entropy(y_true, y_prob) == pytest.approx(log_loss(y_true, y_prob) / log_loss(y_true, rate))
    rate[:] = np.average(y_true, weights=weights)
    losses = [-np.average(np.where(y_true, np.log(p), np.log(1 - p)), weights=weights) for p in (y_prob, rate)]
    assert normalized_entropy(y_true, y_prob, weights) == pytest.approx(losses[0] / losses[1])


def test_normalized_entropy_ends_at_the_click_rate_and_at_certainty():
    y_true = np.array([1, 0, 0, 0])
    assert normalized_entropy(y_true, np.full(4, 0.25)) == pytest.approx(1)
    assert normalized_entropy(y_true, y_true) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(normalized_entropy(y_true, 1 - y_true))


@pytest.mark.parametrize(
    ("y_true", "y_prob", "message"),
    [
        ([1, 1], [0.5, 0.5], "y_true must hold clicks and non-clicks of positive weight, got a click rate of 1"),
        ([1, 0], [1.5, 0.5], r"y_prob must lie in \[0, 1\], got 0.5 to 1.5. Are these logits\?"),
    ],
)
def test_an_entropy_that_is_not_defined_is_refused(y_true, y_prob, message):
    with pytest.raises(ValueError, match=message):
        normalized_entropy(y_true, y_prob)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_calibration_error_is_a_loop_over_the_bins_of_scikit_learns_curve(strategy, rng):
    y_prob = rng.beta(1, 4, size=500)
    y_true = rng.random(500) < y_prob**1.5
    edges = np.linspace(0, 1, 8) if strategy == "uniform" else np.quantile(y_prob, np.linspace(0, 1, 8))
    counts = np.bincount(np.searchsorted(edges[1:-1], y_prob), minlength=7)
    observed, predicted = calibration_curve(y_true, y_prob, n_bins=7, strategy=strategy)
    expected = (counts[counts > 0] / 500 * np.abs(observed - predicted)).sum()
    assert expected_calibration_error(y_true, y_prob, n_bins=7, strategy=strategy) == pytest.approx(expected)


def test_calibration_error_ends_at_the_click_rate_and_at_certain_mistakes():
    assert expected_calibration_error([1, 0, 0, 0], [0.25] * 4) == 0
    assert expected_calibration_error([1, 0], [0.0, 1.0]) == 1
    with pytest.raises(ValueError, match="strategy must be one of 'uniform', 'quantile', got 'even'"):
        expected_calibration_error([1, 0], [0.0, 1.0], strategy="even")


@pytest.mark.parametrize("weighting", ["impressions", "clicks", "uniform"])
def test_gauc_of_weights_of_very_different_size_is_that_of_exact_fractions(weighting):
    rng = np.random.default_rng(0)
    y, scores, groups = rng.integers(0, 2, 90), rng.integers(0, 5, 90), rng.integers(0, 6, 90)
    weights = 10.0 ** rng.uniform(-12, 12, 90)
    total = above = 0
    for group in range(6):
        clicks, others = (np.flatnonzero((groups == group) & (y == label)) for label in (1, 0))
        pairs = [(Fraction(weights[i]) * Fraction(weights[j]), scores[i], scores[j]) for i in clicks for j in others]
        auc = sum(w * Fraction(int(a > b) * 2 + int(a == b), 2) for w, a, b in pairs) / sum(w for w, _, _ in pairs)
        of_clicks, of_others = (sum(Fraction(weights[i]) for i in rows) for rows in (clicks, others))
        weight = {"impressions": of_clicks + of_others, "clicks": of_clicks, "uniform": 1}[weighting]
        total, above = total + weight, above + weight * auc
    result = gauc_score(y, scores, groups, weighting=weighting, sample_weight=weights)
    assert result.score == pytest.approx(float(above / total), rel=1e-14)


@pytest.mark.parametrize("weight", [1e-9, 1e-12, 1e-20])
def test_a_group_of_tiny_weights_has_the_auc_that_it_has_alone(weight):
    y, scores, groups = [1, 0, 1, 0], [0.9, 0.1, 0.8, 0.2], ["a", "a", "b", "b"]
    for weights in ([1, 1, weight, weight], [weight, weight, 1, 1]):
        assert gauc_score(y, scores, groups, weighting="uniform", sample_weight=weights).score == 1
        assert gauc_score(y, scores[::-1], groups, weighting="uniform", sample_weight=weights).score == 0


def test_normalized_entropy_of_hardly_any_weight_on_the_others_is_that_of_exact_entropies():
    for weight in (1e-12, 1e-20):
        loss = -(np.log(0.9) + np.log(0.8) + weight * np.log(0.9)) / (2 + weight)
        rate = weight / (2 + weight)
        expected = loss / -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
        assert normalized_entropy([1, 1, 0], [0.9, 0.8, 0.1], [1, 1, weight]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "groups",
    [
        [np.int64(2**60), 2**60, np.uint64(2**60 + 1), np.uint64(2**60 + 1)],
        [1, 1, "1", "1"],
        pd.Series([2**60, 2**60, 2**60 + 1, 2**60 + 1], dtype="UInt64"),
        pd.Series([2**60, 2**60, 2**60 + 1, 2**60 + 1], dtype="uint64[pyarrow]"),
    ],
)
def test_users_of_several_integer_types_are_groups_of_their_own(groups):
    assert gauc_score([0, 1, 0, 1], [0.9, 1.0, 0.1, 0.2], groups) == (1.0, 1.0, 2)
