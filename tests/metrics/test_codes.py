import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score, r2_score

from semid.metrics import (
    codebook_perplexity,
    codebook_redundancy,
    codebook_usage,
    collision_rate,
    reconstruction_r2,
)

CODES = np.array([[0, 0], [0, 1], [1, 0], [1, 0], [3, 2]])


def test_collision_rate_by_hand():
    assert collision_rate(CODES) == pytest.approx(1 / 5)  # one of five rows repeats another
    assert collision_rate(np.zeros((4, 3), dtype=int)) == 0.75
    assert collision_rate(np.arange(6).reshape(3, 2)) == 0.0


def test_codebook_usage_by_hand():
    np.testing.assert_allclose(codebook_usage(CODES, 4), [3 / 4, 3 / 4])
    np.testing.assert_allclose(codebook_usage(CODES, [4, 6]), [3 / 4, 3 / 6])
    with pytest.raises(ValueError, match=r"codes must lie in \[0, codebook_size\), got 0 to \[3, 2\] and 3"):
        codebook_usage(CODES, 3)
    with pytest.raises(ValueError, match="got -1 to"):
        codebook_usage(CODES - 1, 4)


def test_codebook_perplexity_by_hand():
    shares = np.array([2, 2, 1]) / 5
    expected = np.exp(-(shares * np.log(shares)).sum())
    other = np.array([3, 1, 1]) / 5
    np.testing.assert_allclose(codebook_perplexity(CODES), [expected, np.exp(-(other * np.log(other)).sum())])


def test_codebook_redundancy_is_the_mean_over_pairs(rng):
    codes = rng.integers(5, size=(100, 3))
    pairs = [normalized_mutual_info_score(codes[:, i], codes[:, j]) for i in range(3) for j in range(i)]
    assert codebook_redundancy(codes) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="at least 2 codebooks"):
        codebook_redundancy(codes[:, :1])


def test_reconstruction_r2_equals_scikit_learns_variance_weighted_score(rng):
    X, reconstruction = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    expected = r2_score(X, reconstruction, multioutput="variance_weighted")
    assert reconstruction_r2(X, reconstruction) == pytest.approx(expected)
    assert reconstruction_r2(np.ones((3, 2)), np.ones((3, 2))) == 1.0
    assert reconstruction_r2(np.ones((3, 2)), np.zeros((3, 2))) == 0.0
    with pytest.raises(ValueError, match=r"one 2-D shape, got \(30, 4\) and \(3, 4\)"):
        reconstruction_r2(X, X[:3])


@pytest.mark.parametrize("metric", [collision_rate, codebook_perplexity, codebook_redundancy])
@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(3, dtype=int), r"shape \(n_items, n_codebooks\)"),
        (np.empty((0, 2), dtype=int), "not be empty"),
        (np.zeros((3, 2)), "codes must be integers, got an array of float64"),
    ],
)
def test_bad_codes_are_refused(metric, codes, message):
    with pytest.raises(ValueError, match=message):
        metric(codes)
