"""Codes, embeddings, labels and predictions of any kind: numbers in their range, or an error that helps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, columns, exact_dtypes, layouts, matrices, odd_arrays, outcome, rngs, run

from semid import metrics
from semid.metrics import (
    allocation_by_popularity,
    co_click_auc,
    co_click_hit_rate,
    co_click_rates,
    code_churn,
    code_nmi,
    codebook_gini,
    codebook_perplexity,
    codebook_redundancy,
    codebook_usage,
    collision_rate,
    discriminability,
    effective_rank,
    expected_calibration_error,
    gauc_score,
    information_abundance,
    neighbor_overlap,
    normalized_entropy,
    prefix_collision_rates,
    prefix_purity,
    reconstruction_r2,
    redundancy_matrix,
    shared_traffic,
    singular_spectrum,
    tokenizer_report,
)
from semid.tokenizers import ResidualKMeansTokenizer

N_ROWS = 9
ANY = st.one_of(columns(N_ROWS).map(lambda drawn: drawn[1]), odd_arrays())


def n_rows_of(X):
    """How many labels go with `X`, be it an array or not."""
    try:
        return len(np.asarray(X))
    except (TypeError, ValueError):
        return 1


def known(value):
    """A figure without NaN, which says that there is nothing to tell, such as no user of two items."""
    value = np.asarray(value, dtype=float)
    return np.where(np.isnan(value), 0.0, value)


OF_CODES = {
    "allocation_by_popularity": lambda codes: known(allocation_by_popularity(codes, np.ones(n_rows_of(codes)))),
    "co_click_rates": lambda codes: known(co_click_rates(codes, [0] * n_rows_of(codes), np.arange(n_rows_of(codes)))),
    "code_churn": lambda codes: code_churn(codes, codes),
    "codebook_gini": lambda codes: codebook_gini(codes, 4),
    "codebook_perplexity": codebook_perplexity,
    "codebook_redundancy": codebook_redundancy,
    "codebook_usage": lambda codes: codebook_usage(codes, 4),
    "collision_rate": collision_rate,
    "prefix_collision_rates": prefix_collision_rates,
    "redundancy_matrix": redundancy_matrix,
}
OF_EMBEDDINGS = {
    "effective_rank": effective_rank,
    "information_abundance": information_abundance,
    "neighbor_overlap": lambda X: neighbor_overlap(X, X, k=1, random_state=0),
    "reconstruction_r2": lambda X: reconstruction_r2(X, X),
    "singular_spectrum": singular_spectrum,
    "discriminability": lambda X: discriminability(X, np.arange(n_rows_of(X)) % 2, n_clusters=2, random_state=0),
}
OF_PAIRS = {
    "co_click_auc": lambda codes, users: known(
        co_click_auc(codes, users, np.arange(n_rows_of(users)), n_pairs=20, random_state=0)
    ),
    "co_click_hit_rate": lambda X, users: known(
        co_click_hit_rate(X, users, np.arange(n_rows_of(users)), k=2, random_state=0)
    ),
    "prefix_purity": lambda codes, labels: known(prefix_purity(codes, labels)),
    "shared_traffic": shared_traffic,
    "code_churn": code_churn,
    "code_nmi": code_nmi,
    "codebook_gini": codebook_gini,
    "codebook_usage": codebook_usage,
    "collision_rate": collision_rate,
    "discriminability": lambda X, y: discriminability(X, y, n_clusters=2, random_state=0),
    "expected_calibration_error": expected_calibration_error,
    "gauc_score": lambda y, score: gauc_score(y, score, y),
    "neighbor_overlap": lambda X, other: neighbor_overlap(X, other, k=1, random_state=0),
    "normalized_entropy": normalized_entropy,
    "reconstruction_r2": reconstruction_r2,
    "tokenizer_report": tokenizer_report,
}
CODES = np.random.default_rng(0).integers(0, 4, size=(N_ROWS, 2))
EMBEDDINGS = np.random.default_rng(0).normal(size=(N_ROWS, 3))
CLICKS = np.arange(N_ROWS) % 2


def is_finite(value):
    """Whether all numbers of a metric, whatever it is made of, are finite."""
    if isinstance(value, metrics.TokenizerReport):
        # Redundancy needs another codebook, and nothing else may be missing.
        return all(np.isfinite(number) for number in value.summary.values())
    return all(np.isfinite(part).all() for part in (value if isinstance(value, tuple) else (value,)))


def test_every_metric_is_tried():
    functions = {name for name in metrics.__all__ if not isinstance(getattr(metrics, name), type)}
    assert functions == {*OF_CODES, *OF_EMBEDDINGS, *OF_PAIRS}


@cases(quick=2, long=40)
@pytest.mark.parametrize("name", sorted(OF_CODES))
def test_codes_of_any_kind_are_measured_or_refused(name, profile):
    @given(ANY)
    def case(codes):
        value, error = outcome(OF_CODES[name], codes)
        assert error is not None or is_finite(value)

    run(profile, case, name)


@cases(quick=2, long=40)
@pytest.mark.parametrize("name", sorted(OF_EMBEDDINGS))
def test_embeddings_of_any_kind_are_measured_or_refused(name, profile):
    @given(odd_arrays() | matrices())
    def case(X):
        value, error = outcome(OF_EMBEDDINGS[name], X)
        assert error is not None or is_finite(value)

    run(profile, case, name)


@cases(quick=1, long=40)
@pytest.mark.parametrize("name", sorted(OF_PAIRS))
def test_pairs_of_any_kind_are_measured_or_refused(name, profile):
    ordinary = st.sampled_from([CODES, EMBEDDINGS, CLICKS, CLICKS.astype(float)])

    @given(st.tuples(ordinary, ANY) | st.tuples(ANY, ordinary) | st.tuples(ANY, ANY))
    def case(pair):
        value, error = outcome(OF_PAIRS[name], *pair)
        assert error is not None or is_finite(value)

    run(profile, case, name)


@cases(quick=4, long=100)
def test_equal_codes_measure_alike_however_they_are_held(profile):
    @given(
        rngs(), layouts(), st.sampled_from([np.int8, np.int32, np.uint8, np.uint64]), st.sampled_from(sorted(OF_CODES))
    )
    def case(rng, layout, dtype, name):
        codes = rng.integers(0, 4, size=(N_ROWS, 2))
        expected, held = OF_CODES[name](codes), outcome(OF_CODES[name], layout(codes.astype(dtype))).value
        for a, b in zip(*([v] if not isinstance(v, tuple) else v for v in (expected, held)), strict=True):
            np.testing.assert_array_equal(a, b)

    run(profile, case)


@cases(quick=4, long=100)
def test_equal_embeddings_measure_alike_however_they_are_held(profile):
    # Clusters of near-duplicates may differ between float32 and float64; integers are codes to the overlap.
    names = sorted(set(OF_EMBEDDINGS) - {"discriminability", "neighbor_overlap"})

    @given(matrices(), layouts(), st.sampled_from(names), st.data())
    def case(X, layout, name, data):
        X = X.clip(-1e15, 1e15).astype(np.float32)
        held = layout(X.astype(data.draw(exact_dtypes(X))))
        (expected, error), (value, error_of_held) = outcome(OF_EMBEDDINGS[name], X), outcome(OF_EMBEDDINGS[name], held)
        # Objects are no numbers to numpy; nothing else may be refused that was not before.
        assert (error is None) == (error_of_held is None) or np.asarray(held).dtype == object
        if error is None and error_of_held is None:
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6 * np.abs(X).max())

    run(profile, case)


@cases(quick=4, long=100)
def test_impressions_of_any_kind_are_scored_or_refused(profile):
    scores = np.linspace(0.1, 0.9, N_ROWS)

    @given(ANY, st.sampled_from([0, 1, 2, 3]))
    def case(odd, place):
        arguments = [CLICKS, scores, np.zeros(N_ROWS, dtype=int), np.ones(N_ROWS)]
        arguments[place] = odd
        y, score, groups, weights = arguments
        value, error = outcome(gauc_score, y, score, groups, sample_weight=weights)
        assert error is not None or (0 <= value.score <= 1 and 0 <= value.coverage <= 1)
        value, error = outcome(normalized_entropy, y, score, weights)
        assert error is not None or value >= 0
        for strategy in ("uniform", "quantile"):
            value, error = outcome(expected_calibration_error, y, score, strategy=strategy)
            assert error is not None or 0 <= value <= 1

    run(profile, case)


@cases(quick=4, long=100)
def test_a_report_is_of_numbers_or_is_refused(profile):
    log = pd.DataFrame({"user_id": np.arange(18) % 4, "item_id": np.arange(18) % N_ROWS})
    named = ["codes", "X", "reconstruction", "codebook_size", "labels", "popularity", "titles", "user_id", "item_id"]

    @given(ANY, st.sampled_from([*named, "interactions"]))
    def case(odd, name):
        arguments = {
            "codes": CODES,
            "X": EMBEDDINGS,
            "reconstruction": EMBEDDINGS + 0.1,
            "codebook_size": 4,
            "labels": CLICKS,
            "interactions": log,
        }
        if name in log:
            try:
                arguments["interactions"] = pd.DataFrame({**log[:N_ROWS], name: odd})
            except ValueError:  # which is no column
                return
        else:
            arguments[name] = odd
        report, error = outcome(tokenizer_report, **arguments)
        if error is None:
            assert is_finite(report) and repr(report) and report._repr_html_()

    run(profile, case)


@cases(quick=2, long=40)
@pytest.mark.parametrize("scorer", ["R2Scorer", "NeighborOverlapScorer", "R2MinusCollisionsScorer"])
def test_embeddings_of_any_kind_are_scored_or_refused(scorer, profile):
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=3, max_iter=2, random_state=0).fit(EMBEDDINGS)
    score = getattr(metrics, scorer)(k=1) if scorer == "NeighborOverlapScorer" else getattr(metrics, scorer)()

    @given(odd_arrays() | matrices(n_columns=st.just(3)))
    def case(X):
        value, error = outcome(score, tokenizer, X)
        assert error is not None or value <= 1  # which NaN is not

    run(profile, case, scorer)


@cases(quick=4, long=100)
def test_a_table_of_codes_with_any_other_columns_is_read_or_refused(profile):
    @given(columns(N_ROWS), columns(N_ROWS), st.booleans())
    def case(ids, codes, named):
        table = pd.DataFrame({"item_id": ids[1], "code0" if named else "first": codes[1], "code1": CODES[:, 1]})
        report, error = outcome(tokenizer_report, table)
        assert error is not None or is_finite(report)

    run(profile, case)
