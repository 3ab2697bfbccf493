"""How codes are used: by hand, by naive loops, and by scikit-learn."""

from collections import defaultdict

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.metrics import normalized_mutual_info_score, r2_score

from semid.metrics import (
    code_nmi,
    codebook_gini,
    codebook_perplexity,
    codebook_redundancy,
    codebook_usage,
    collision_rate,
    neighbor_overlap,
    prefix_collision_rates,
    reconstruction_r2,
    redundancy_matrix,
    tokenizer_report,
)

CODES = np.array([[0, 0], [0, 1], [1, 0], [1, 0], [3, 2]])


def test_collision_rate_by_hand():
    assert collision_rate(CODES) == pytest.approx(1 / 5)  # one of five rows repeats another
    assert collision_rate(np.zeros((4, 3), dtype=int)) == 0.75
    assert collision_rate(np.arange(6).reshape(3, 2)) == 0.0


def test_items_of_equal_embeddings_are_no_collision():
    X = np.array([[0.0], [1.0], [2.0], [2.0], [3.0]])
    assert collision_rate(CODES, X) == 0.0  # the one collision is between two items at 2.0
    X = np.array([[0.0], [-0.0], [2.0], [4.0], [3.0]])
    assert collision_rate(CODES, X) == 1 / 4  # the second item is the first, and counts no more


def test_collisions_among_distinct_embeddings_are_those_of_a_naive_loop(rng):
    codes, X = rng.integers(3, size=(200, 3)), rng.integers(5, size=(200, 2)).astype(np.float32)
    seen = {}
    for row, item in zip(codes, X, strict=True):
        seen.setdefault(tuple(item), tuple(row))
    assert collision_rate(codes, X) == pytest.approx(1 - len(set(seen.values())) / len(seen))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((4, 2)), "X must have one row for each of the 5 items, got 4"),
        (np.full((5, 2), np.nan), "X must hold neither NaN nor infinity"),
        (np.zeros(5), r"X must be 2-D, one row per item, and not be empty, got shape \(5,\)"),
        (np.full((5, 1), "a"), "X must hold numbers, got an array of <U1"),
    ],
)
def test_embeddings_that_do_not_fit_the_codes_are_refused(X, message):
    with pytest.raises(ValueError, match=message):
        collision_rate(CODES, X)


def test_prefix_collision_rates_are_those_of_the_first_columns(rng):
    codes = rng.integers(4, size=(60, 3))
    rates = prefix_collision_rates(codes)
    assert rates.tolist() == [collision_rate(codes[:, : n + 1]) for n in range(3)]
    assert prefix_collision_rates(CODES).tolist() == [1 - 3 / 5, 1 - 4 / 5]


def test_codebook_usage_by_hand():
    np.testing.assert_allclose(codebook_usage(CODES, 4), [3 / 4, 3 / 4])
    np.testing.assert_allclose(codebook_usage(CODES, [4, 6]), [3 / 4, 3 / 6])
    with pytest.raises(ValueError, match=r"codes must lie in \[0, codebook_size\), got 0 to \[3, 2\] and 3"):
        codebook_usage(CODES, 3)
    with pytest.raises(ValueError, match="got -1 to"):
        codebook_usage(CODES - 1, 4)
    with pytest.raises(ValueError, match=r"one integer, or one for each of 2 codebooks, got \[4, 4, 4\]"):
        codebook_usage(CODES, [4, 4, 4])


def test_codebook_perplexity_by_hand():
    shares = np.array([2, 2, 1]) / 5
    expected = np.exp(-(shares * np.log(shares)).sum())
    other = np.array([3, 1, 1]) / 5
    np.testing.assert_allclose(codebook_perplexity(CODES), [expected, np.exp(-(other * np.log(other)).sum())])


def test_codebook_gini_is_half_the_relative_mean_difference_of_the_counts(rng):
    codes = rng.integers(5, size=(40, 2)) ** 2
    sizes = [17, 30]
    for gini, column, size in zip(codebook_gini(codes, sizes), codes.T, sizes, strict=True):
        counts = [np.count_nonzero(column == code) for code in range(size)]
        differences = [abs(a - b) for a in counts for b in counts]
        assert gini == pytest.approx(np.mean(differences) / 2 / np.mean(counts))


def test_codebook_gini_ends_at_even_use_and_at_one_code_for_all():
    assert codebook_gini(np.arange(8).reshape(8, 1), 8).tolist() == [0.0]
    assert codebook_gini(np.full((8, 1), 3), 8).tolist() == [1 - 1 / 8]
    with pytest.raises(ValueError, match=r"codes must lie in \[0, codebook_size\)"):
        codebook_gini(CODES, 3)


def _nmi_by_counting(a, b):
    joint, left, right = defaultdict(float), defaultdict(float), defaultdict(float)
    for pair in zip(a, b, strict=True):
        joint[pair] += 1 / len(a)
        left[pair[0]] += 1 / len(a)
        right[pair[1]] += 1 / len(a)
    information = sum(p * np.log(p / (left[i] * right[j])) for (i, j), p in joint.items())
    entropies = [-sum(p * np.log(p) for p in shares.values()) for shares in (left, right)]
    return 2 * information / sum(entropies)


def test_code_nmi_is_the_formula_over_counted_shares(rng):
    codes, y = rng.integers(4, size=(50, 2)), rng.choice(["a", "b", "c"], size=50)
    expected = [_nmi_by_counting(column.tolist(), y.tolist()) for column in codes.T]
    np.testing.assert_allclose(code_nmi(codes, y), expected)
    with pytest.raises(ValueError, match=r"y must have shape \(50,\), one entry per row, got \(49,\)"):
        code_nmi(codes, y[1:])


def test_redundancy_matrix_holds_the_nmi_of_each_pair(rng):
    codes = rng.integers(4, size=(50, 3))
    expected = [[normalized_mutual_info_score(a, b) for a in codes.T] for b in codes.T]
    np.testing.assert_allclose(redundancy_matrix(codes), expected)
    above = redundancy_matrix(codes)[np.triu_indices(3, k=1)]
    assert codebook_redundancy(codes) == pytest.approx(above.mean())
    assert redundancy_matrix(codes[:, :1]).tolist() == [[1.0]]


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


@pytest.mark.parametrize(
    "metric",
    [collision_rate, codebook_perplexity, codebook_redundancy, prefix_collision_rates, redundancy_matrix],
)
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


def test_r2_of_rows_that_are_all_alike_is_that_of_no_variance():
    X = np.full((3, 2), 0.1)  # whose mean is no 0.1
    assert reconstruction_r2(X, X + 0.1) == r2_score([[0.5, 0.5]] * 3, [[0.6, 0.6]] * 3) == 0
    assert reconstruction_r2(X, X) == 1


@pytest.mark.parametrize(
    "metric", [collision_rate, codebook_perplexity, redundancy_matrix, lambda codes: codebook_usage(codes, 4)]
)
def test_embeddings_of_int8_are_no_codes(metric):
    with pytest.raises(ValueError, match=r"codes must be at least 0, or -1 for no code, got -93\. Are these"):
        metric(np.array([[-93, 4], [17, 60]], dtype=np.int8))


def test_a_column_of_ids_beside_codes_or_embeddings_is_refused():
    frame = pd.DataFrame({"item_id": [10, 11, 12], "code0": [1, 1, 1], "code1": [2, 2, 2]})
    for table in (frame, pl.DataFrame(frame), frame.rename(columns={"item_id": "asin"})):
        for metric in (collision_rate, codebook_perplexity, redundancy_matrix):
            with pytest.raises(
                ValueError, match=r"codes must not hold ids, got the column '.*'\. Pass the other columns"
            ):
                metric(table)
        with pytest.raises(ValueError, match="X must not hold ids"):
            reconstruction_r2(table, table)
        with pytest.raises(ValueError, match="other must not hold ids"):
            neighbor_overlap(np.eye(3), table, k=1)
    assert collision_rate(frame[["code0", "code1"]]) == pytest.approx(2 / 3)


def test_features_are_no_ids_by_the_name_of_a_thing_or_if_they_have_fractions(rng):
    codes = rng.integers(3, size=(20, 2))
    X = rng.integers(9, size=(20, 3)).astype(float)
    for values, names in ((X, ["books", "movies", "songs"]), (X + 0.5, ["grid", "sku", "user_id"])):
        frame = pd.DataFrame(values, columns=names)
        for table in (frame, pl.DataFrame(frame)):
            expected = tokenizer_report(codes, values).summary["neighbor_overlap"]
            assert tokenizer_report(codes, table).summary["neighbor_overlap"] == expected
            assert np.isfinite(reconstruction_r2(table, table))
    with pytest.raises(ValueError, match="X must not hold ids, got the column 'sku'"):
        tokenizer_report(codes, pd.DataFrame(X, columns=["a", "b", "sku"]))
