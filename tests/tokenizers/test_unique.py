"""Codes that no two items share: who has to move, where to, and what stays as it was."""

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import UNIQUE_TOKENIZERS
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from semid.features import ItemTable, SemanticIDEncoder
from semid.metrics import collision_rate, reconstruction_r2
from semid.tables._rows import row_hashes
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    _reassignment,
)
from semid.tokenizers._auction import assign
from semid.tokenizers._candidates import NearestCodes

INNER = ResidualKMeansTokenizer(2, 16, random_state=0)


@pytest.fixture(params=UNIQUE_TOKENIZERS, ids=lambda tokenizer: tokenizer.strategy)
def unique(request):
    return clone(request.param)


@pytest.fixture
def X(items):
    return items.embeddings[:200]


@pytest.fixture
def later(items):
    return items.embeddings[200:]


def test_no_two_different_items_share_codes(unique, X):
    inner_codes = clone(unique.tokenizer).fit_transform(X)
    assert collision_rate(inner_codes) > 0.1
    codes = unique.fit_transform(X)
    assert collision_rate(codes) == 0
    assert codes.dtype == np.int64
    assert codes.min() >= 0
    assert (codes.max(axis=0) < unique.codebook_sizes_).all()


def test_items_of_equal_embeddings_are_one_item(unique, X):
    codes = unique.fit_transform(np.vstack([X, X[:50]]))
    np.testing.assert_array_equal(codes[200:], codes[:50])
    np.testing.assert_array_equal(unique.transform(X.astype(np.float64)), codes[:200])
    assert (unique.report_.n_items, unique.report_.n_distinct) == (250, 200)


def test_items_that_share_their_codes_with_nobody_keep_them(X):
    tokenizer = UniqueTokenizer(INNER).fit(X)
    inner_codes = tokenizer.tokenizer_.transform(X)
    _, inverse, counts = np.unique(inner_codes, axis=0, return_inverse=True, return_counts=True)
    alone = counts[inverse.reshape(-1)] == 1
    assert 0 < alone.sum() < 200
    np.testing.assert_array_equal(tokenizer.transform(X)[alone], inner_codes[alone])


@pytest.mark.parametrize("weighted", [False, True])
def test_the_regret_is_close_to_that_of_the_optimal_assignment(X, rng, weighted):
    weights = rng.uniform(0.1, 10, size=len(X)) if weighted else np.ones(len(X))
    tokenizer = UniqueTokenizer(INNER).fit(X, sample_weight=weights)
    inner_codes, codes = tokenizer.tokenizer_.transform(X), tokenizer.transform(X)
    every_row = np.stack(np.meshgrid(np.arange(16), np.arange(16), indexing="ij"), axis=-1).reshape(-1, 2)
    errors = np.square(X[:, None] - tokenizer.inverse_transform(every_row)).sum(axis=2) * weights[:, None]
    numbers, found = inner_codes @ [16, 1], codes @ [16, 1]
    alone = np.bincount(numbers, minlength=256)[numbers] == 1
    free = np.setdiff1d(np.arange(256), numbers[alone])
    least = errors[np.ix_(~alone, free)][linear_sum_assignment(errors[np.ix_(~alone, free)])].sum()
    unavoidable = errors[~alone].min(axis=1).sum()
    regret = errors[np.flatnonzero(~alone), found[~alone]].sum() - unavoidable
    assert regret <= 1.03 * (least - unavoidable)


@pytest.mark.parametrize("popular", range(4))
def test_a_popular_item_gets_the_nearest_codes(X, rng, popular):
    alike = X[:1] + rng.normal(scale=1e-3, size=(4, X.shape[1])).astype(np.float32)
    tokenizer = UniqueTokenizer(INNER).fit(X[1:])
    alone = tokenizer.transform(alike)
    assert (alone == alone[0]).all()
    tokenizer.partial_fit(alike, sample_weight=np.where(np.arange(4) == popular, 1000, 1))
    np.testing.assert_array_equal((tokenizer.transform(alike) == alone).all(axis=1), np.arange(4) == popular)


def test_suffixes_count_the_items_of_equal_codes_in_order_of_content(X):
    tokenizer = UniqueTokenizer(INNER, "suffix").fit(X)
    inner_codes = tokenizer.tokenizer_.transform(X)
    seen, expected = {}, np.empty(len(X), dtype=int)
    for i in np.argsort(row_hashes(X)):
        row = tuple(inner_codes[i])
        expected[i] = seen[row] = seen.get(row, -1) + 1
    np.testing.assert_array_equal(tokenizer.transform(X), np.column_stack([inner_codes, expected]))
    assert tokenizer.get_feature_names_out().tolist() == ["code0", "code1", "code2"]


@pytest.mark.parametrize("n_codes", [3, 30, 200])
def test_the_suffix_has_room_for_items_that_come_later(X, n_codes):
    tokenizer = UniqueTokenizer(RandomTokenizer(1, n_codes, random_state=0), "suffix").fit(X)
    needed = 2 * np.bincount(tokenizer.tokenizer_.transform(X)[:, 0]).max()
    assert tokenizer.codebook_sizes_[-1] == next(size for size in (16, 32, 64, 128, 256) if size >= needed)
    assert tokenizer.set_params(suffix_size=99).fit(X).codebook_sizes_[-1] == 99


def test_the_result_does_not_depend_on_the_order_of_the_items(unique, X, later, rng):
    order, later_order = rng.permutation(200), rng.permutation(100)
    tokenizer = clone(unique).fit(X).partial_fit(later)
    again = clone(unique).fit(X[order]).partial_fit(later[later_order])
    for sample in (X, later):
        np.testing.assert_array_equal(again.transform(sample), tokenizer.transform(sample))


def test_a_weight_of_two_is_an_item_listed_twice(unique, X, rng):
    weights = rng.integers(0, 3, size=len(X))
    weighted = clone(unique).fit(X, sample_weight=weights)
    repeated = clone(unique).fit(X.repeat(weights, axis=0))
    np.testing.assert_array_equal(weighted.transform(X), repeated.transform(X))
    assert weighted.report_.n_items == (weights > 0).sum()


@pytest.mark.parametrize("batch", [1, 7])
def test_codes_do_not_depend_on_the_other_rows(unique, X, later, batch):
    unique.fit(X)
    both = np.vstack([later, X])
    codes = unique.transform(both)
    pieces = [unique.transform(both[start : start + batch]) for start in range(0, len(both), batch)]
    np.testing.assert_array_equal(np.vstack(pieces), codes)
    np.testing.assert_array_equal(unique.transform(both[::-1])[::-1], codes)


def test_a_new_item_gets_its_inner_codes_or_the_nearest_free_ones(X, later):
    tokenizer = UniqueTokenizer(ParallelKMeansTokenizer(1, 250, random_state=0))
    tokenizer.fit(np.vstack([X, later[:50]]))  # as many codes as items: no code is free
    with pytest.raises(ValueError, match=r"at least the number of distinct items, got .* for 251 items"):
        tokenizer.transform(later[50:])
    tokenizer = UniqueTokenizer(ParallelKMeansTokenizer(2, 12, random_state=0)).fit(X[:100])
    every_row = np.stack(np.meshgrid(np.arange(12), np.arange(12), indexing="ij"), axis=-1).reshape(-1, 2)
    free = [row for row in every_row if not (tokenizer.codes_ == row).all(axis=1).any()]
    first, second = tokenizer.codebooks_
    for x, code in zip(later, tokenizer.transform(later), strict=True):
        errors = [np.square(x - first[a]).sum() + np.square(x - second[b]).sum() for a, b in free]
        np.testing.assert_array_equal(code, free[np.argmin(errors)])


def test_a_new_item_gets_the_next_suffix(X, later):
    tokenizer = UniqueTokenizer(INNER, "suffix").fit(X)
    for x, (*inner, suffix) in zip(later, tokenizer.transform(later), strict=True):
        np.testing.assert_array_equal(inner, tokenizer.tokenizer_.transform(x[None])[0])
        assert suffix == (tokenizer.codes_[:, :-1] == inner).all(axis=1).sum()


def test_partial_fit_places_new_items_and_moves_no_old_one(unique, X, later):
    codes = unique.fit_transform(X)
    assert collision_rate(np.vstack([codes, unique.transform(later)])) > 0
    for batch in (later[:30], np.vstack([later[20:], X[:20]])):
        unique.partial_fit(batch)
    np.testing.assert_array_equal(unique.transform(X), codes)
    assert collision_rate(unique.transform(np.vstack([X, later]))) == 0
    assert (unique.report_.n_items, unique.report_.n_distinct) == (100, 70)
    assert len(unique.codes_) == 300
    assert (np.diff(unique.hashes_.astype(object)) > 0).all()


def test_partial_fit_of_known_items_changes_nothing(unique, X):
    unique.fit(X)
    before = joblib.hash(unique)
    assert joblib.hash(unique.partial_fit(X[:7])) == before


def test_partial_fit_before_fit_is_fit(unique, X):
    codes = clone(unique).fit_transform(X)
    np.testing.assert_array_equal(unique.partial_fit(X).transform(X), codes)


@pytest.mark.parametrize("strategy", ["reassign", "suffix"])
def test_an_item_that_finds_no_room_is_refused_and_nothing_changes(X, later, strategy):
    inner = ResidualKMeansTokenizer(1, 250, random_state=0) if strategy == "reassign" else INNER
    tokenizer = UniqueTokenizer(inner, strategy, suffix_size=8).fit(np.vstack([X, later[:49], later[-1:]]))
    before = joblib.hash(tokenizer)
    way_out = "larger codebook_size" if strategy == "reassign" else "Fit again with a larger suffix_size"
    near_duplicates = X[:1] + np.linspace(0.02, 0.03, 20, dtype=np.float32)[:, None]
    with pytest.raises(ValueError, match=way_out):
        tokenizer.partial_fit(near_duplicates)
    assert joblib.hash(tokenizer) == before


@pytest.mark.parametrize("n_items", [300, 512])
def test_near_duplicates_all_find_codes_while_there_are_any(n_items, rng):
    X = (1 + 1e-4 * rng.normal(size=(n_items, 4))).astype(np.float32)
    X[:40] = rng.normal(size=(40, 4))
    tokenizer = UniqueTokenizer(ResidualKMeansTokenizer(3, 8, random_state=0)).fit(X)
    assert collision_rate(tokenizer.transform(X)) == 0
    tokenizer = UniqueTokenizer(ResidualKMeansTokenizer(3, 8, random_state=0)).fit(X[:60])
    tokenizer.partial_fit(X)
    assert collision_rate(tokenizer.transform(X)) == 0


def test_more_rows_of_codes_than_int64_can_number_are_no_hindrance(X, later):
    tokenizer = UniqueTokenizer(ParallelKMeansTokenizer(17, 16, random_state=0))
    near_duplicates = X[:1] + np.linspace(1e-6, 1e-4, 600, dtype=np.float32)[:, None]
    tokenizer.fit(np.vstack([X, near_duplicates])).partial_fit(later)
    codes = tokenizer.transform(np.vstack([X, near_duplicates, later]))
    assert collision_rate(codes) == 0
    assert (codes.max(axis=0) < 16).all()
    assert collision_rate(UniqueTokenizer(tokenizer.tokenizer, "suffix").fit_transform(X)) == 0


@pytest.mark.parametrize(
    "inner",
    [
        MixtureOfCodesTokenizer(2, 16, hidden_layer_sizes=(16,), latent_dim=6, max_iter=2, random_state=0),
        RQVAETokenizer(2, 16, hidden_layer_sizes=(16,), latent_dim=6, max_iter=2, random_state=0),
        ParallelKMeansTokenizer(2, 16, random_state=0),
    ],
    ids=lambda inner: type(inner).__name__,
)
def test_every_tokenizer_with_nearest_codes_can_be_reassigned(inner, X, later):
    tokenizer = UniqueTokenizer(inner).fit(X)
    assert collision_rate(tokenizer.transform(X)) == 0
    assert tokenizer.score(X) > tokenizer.tokenizer_.score(X) - 0.1
    tokenizer.partial_fit(later[:20])
    assert collision_rate(tokenizer.transform(np.vstack([X, later[:20]]))) == 0


def test_the_report_is_what_a_loop_over_the_items_finds(X):
    tokenizer = UniqueTokenizer(INNER).fit(np.vstack([X, X[:5]]))
    before, after = tokenizer.tokenizer_.transform(X), tokenizer.transform(X)
    errors, regrets = [], []
    for x, old, new in zip(X.astype(np.float64), before, after, strict=True):
        errors.append(np.square(x - tokenizer.inverse_transform([old])[0]).sum())
        if (old != new).any():
            regrets.append(np.square(x - tokenizer.inverse_transform([new])[0]).sum() - errors[-1])
    report = tokenizer.report_
    assert (report.n_items, report.n_distinct, report.n_moved) == (205, 200, len(regrets))
    assert report.share_moved == len(regrets) / 200
    np.testing.assert_allclose(report.mean_regret, np.mean(regrets), rtol=1e-6)
    np.testing.assert_allclose(report.max_regret, np.max(regrets), rtol=1e-6)
    np.testing.assert_allclose(report.relative_regret, np.sum(regrets) / np.sum(errors), rtol=1e-6)
    np.testing.assert_allclose(report.r2_before, tokenizer.tokenizer_.score(X))
    np.testing.assert_allclose(report.r2_after, tokenizer.score(X))


def test_a_suffix_costs_nothing(X):
    report = UniqueTokenizer(INNER, "suffix").fit(X).report_
    assert report.n_moved > 0
    assert (report.mean_regret, report.max_regret, report.relative_regret) == (0, 0, 0)
    assert report.r2_after == report.r2_before


def test_items_without_collisions_are_left_as_they_are(rng):
    X = rng.normal(size=(200, 24)).astype(np.float32)
    inner = ParallelKMeansTokenizer(7, 64, random_state=0)
    tokenizer = UniqueTokenizer(inner).fit(X)
    np.testing.assert_array_equal(tokenizer.transform(X), tokenizer.tokenizer_.transform(X))
    assert tokenizer.report_[2:7] == (0, 0, 0, 0, 0)


def test_score_is_the_r2_of_the_way_there_and_back(unique, X):
    unique.fit(X)
    codes = unique.transform(X)
    assert unique.score(X) == reconstruction_r2(X, unique.inverse_transform(codes))
    inner_columns = codes[:, : len(unique.tokenizer_.codebook_sizes_)]
    np.testing.assert_array_equal(unique.inverse_transform(codes), unique.tokenizer_.inverse_transform(inner_columns))
    for mine, inner in zip(unique.codebooks_, unique.tokenizer_.codebooks_, strict=True):
        np.testing.assert_array_equal(mine, inner)


def test_codes_are_equal_after_reload(unique, X, later, tmp_path):
    unique.fit(X)
    codes, new_codes = unique.transform(X), unique.transform(later)
    joblib.dump(unique, tmp_path / "tokenizer.joblib")
    loaded = joblib.load(tmp_path / "tokenizer.joblib")
    np.testing.assert_array_equal(loaded.transform(X), codes)
    np.testing.assert_array_equal(loaded.transform(later), new_codes)
    np.testing.assert_array_equal(
        loaded.partial_fit(later).transform(later), unique.partial_fit(later).transform(later)
    )


def test_parameters_set_after_fit_wait_for_the_next_fit(unique, X, later):
    unique.fit(X)
    codes = unique.transform(later)
    other = "suffix" if unique.strategy == "reassign" else "reassign"
    unique.set_params(strategy=other, suffix_size=1, tokenizer__codebook_size=3)
    np.testing.assert_array_equal(unique.transform(later), codes)
    assert unique.partial_fit(later).codes_.shape == (300, codes.shape[1])


def test_a_fit_that_fails_leaves_the_former_model(unique, X):
    codes = unique.fit_transform(X)
    with pytest.raises(ValueError, match="sample_weight"):
        unique.fit(X[:, :5], sample_weight=np.zeros(len(X)))
    np.testing.assert_array_equal(unique.transform(X), codes)


def test_pandas_output_names_the_code_columns(unique, X):
    frame = pd.DataFrame(X).add_prefix("e")
    codes = unique.set_output(transform="pandas").fit_transform(frame)
    assert list(codes.columns) == [f"code{n}" for n in range(codes.shape[1])]
    assert unique.inverse_transform(codes).shape == frame.shape
    assert unique.feature_names_in_[0] == "e0"


def test_composes_in_pipelines_searches_and_encoders(unique, X, items):
    assert make_pipeline(StandardScaler(), unique).fit(X).transform(X).shape[0] == 200
    search = GridSearchCV(unique, {"tokenizer__codebook_size": [7, 8]}, cv=2).fit(X)
    assert search.best_estimator_.tokenizer_.codebook_sizes_[0] == search.best_params_["tokenizer__codebook_size"]
    table = ItemTable(items.frame["item_id"], items.embeddings)
    encoder = SemanticIDEncoder(unique, items=table).fit(items.frame[["item_id"]])
    assert collision_rate(encoder.codes_) == 0


@pytest.mark.parametrize(
    ("tokenizer", "error", "message"),
    [
        (
            UniqueTokenizer(INNER, "suffixes"),
            ValueError,
            "strategy must be one of 'reassign', 'suffix', got 'suffixes'",
        ),
        (UniqueTokenizer(INNER, suffix_size="big"), ValueError, "suffix_size must be an integer or 'auto'"),
        (UniqueTokenizer(INNER, suffix_size=0), ValueError, "suffix_size must be at least 1, got 0"),
        (UniqueTokenizer(StandardScaler), TypeError, "tokenizer must be a tokenizer such as"),
        (UniqueTokenizer(None), TypeError, r"tokenizer must be a tokenizer such as RQVAETokenizer\(\), got None"),
        (UniqueTokenizer(RandomTokenizer()), ValueError, "got RandomTokenizer. Pass strategy='suffix', which works"),
        (UniqueTokenizer(MultiEmbeddingTokenizer()), ValueError, "got MultiEmbeddingTokenizer. Pass strategy='suffix'"),
        (
            UniqueTokenizer(ResidualKMeansTokenizer(2, 8)),
            ValueError,
            r"got \[8, 8\], 64 rows of codes, for 200 items. Fit with a larger codebook_size",
        ),
        (UniqueTokenizer(INNER, "suffix", suffix_size=2), ValueError, r"suffix_size must be .* got 2, and item"),
    ],
)
def test_bad_parameters_are_refused(X, tokenizer, error, message):
    with pytest.raises(error, match=message):
        tokenizer.fit(X)


def test_too_few_codes_are_refused_before_the_tokenizer_is_fitted(X, monkeypatch):
    monkeypatch.setattr(ResidualKMeansTokenizer, "fit", lambda *args, **kwargs: pytest.fail("was fitted"))
    with pytest.raises(ValueError, match="64 rows of codes, for 200 items"):
        UniqueTokenizer(ResidualKMeansTokenizer(2, 8)).fit(X)


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score", "get_feature_names_out"])
def test_an_unfitted_tokenizer_says_so(unique, method):
    arguments = () if method == "get_feature_names_out" else (np.ones((3, 4)),)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(unique, method)(*arguments)


def test_bad_codes_are_refused(X):
    tokenizer = UniqueTokenizer(INNER, "suffix").fit(X)
    with pytest.raises(ValueError, match=r"shape \(n_items, 3\), got \(3, 2\)"):
        tokenizer.inverse_transform(np.zeros((3, 2), dtype=int))
    with pytest.raises(ValueError, match=r"codebook 2 must lie in \[0, 16\), got 16 in row 0"):
        tokenizer.inverse_transform([[0, 0, 16]])


def _tight_clusters(rng, n_clusters=150, n_items=900):
    centers = rng.normal(size=(n_clusters, 16))
    return (centers[rng.integers(n_clusters, size=n_items)] + 1e-3 * rng.normal(size=(n_items, 16))).astype(np.float32)


@pytest.mark.parametrize("kind", [ResidualKMeansTokenizer, ParallelKMeansTokenizer])
@pytest.mark.parametrize("capacity", [1, 2])
def test_items_of_a_tight_cluster_get_the_codes_that_a_search_for_each_gives(rng, monkeypatch, kind, capacity):
    X = _tight_clusters(rng)
    n_alone, of = [], NearestCodes.of
    monkeypatch.setattr(NearestCodes, "of", lambda self, X, k: n_alone.append(len(X)) or of(self, X, k))
    monkeypatch.setattr(_reassignment, "_WORTH_SHARING", 1)
    tokenizer = UniqueTokenizer(kind(2, 64, random_state=0), capacity=capacity).fit(X)
    n_shared = len(X) - sum(n_alone)
    n_alone.clear()
    monkeypatch.setattr(_reassignment, "_WORTH_SHARING", 2**60)
    one_by_one = clone(tokenizer).fit(X)
    assert n_shared > 0.7 * len(X)
    assert sum(n_alone) >= tokenizer.report_.n_moved > 0.5 * len(X)
    np.testing.assert_array_equal(tokenizer.codes_, one_by_one.codes_)


def test_searches_in_threads_find_what_one_after_the_other_finds(rng, monkeypatch):
    X = np.concatenate([_tight_clusters(rng), rng.normal(size=(600, 16)).astype(np.float32)])
    monkeypatch.setattr(_reassignment, "_WORTH_SHARING", 2**16)  # some together, others alone
    alone = UniqueTokenizer(ResidualKMeansTokenizer(2, 64, random_state=0)).fit(X)
    monkeypatch.setattr(NearestCodes, "n_threads", 3)
    monkeypatch.setattr(_reassignment, "BLOCK", 64)
    torch.set_num_threads(2)
    in_threads = clone(alone).fit(X)
    assert torch.get_num_threads() == 2  # given back
    torch.set_num_threads(1)
    np.testing.assert_array_equal(in_threads.codes_, alone.codes_)


def test_an_error_in_a_thread_of_the_search_is_raised(rng, monkeypatch):
    X = _tight_clusters(rng)
    monkeypatch.setattr(NearestCodes, "n_threads", 3)
    monkeypatch.setattr(NearestCodes, "of", lambda self, X, k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        UniqueTokenizer(ResidualKMeansTokenizer(2, 64, random_state=0)).fit(X)


def test_a_crowd_that_bids_in_large_steps_loses_next_to_nothing(rng, monkeypatch):
    X = _tight_clusters(rng, n_clusters=90, n_items=2400)
    hasty = UniqueTokenizer(ResidualKMeansTokenizer(2, 64, random_state=0)).fit(X)
    monkeypatch.setattr(_reassignment, "_CROWD", len(X))
    patient = clone(hasty).fit(X)
    assert not np.array_equal(hasty.codes_, patient.codes_)
    assert hasty.report_.r2_after == pytest.approx(patient.report_.r2_after, abs=0.002)


def test_auctions_that_would_take_too_much_memory_are_held_one_after_the_other(rng, monkeypatch):
    X = _tight_clusters(rng)
    tokenizer = UniqueTokenizer(ResidualKMeansTokenizer(2, 64, random_state=0)).fit(X)
    sizes = []
    monkeypatch.setattr(_reassignment, "_LARGEST_AUCTION", 2**14)
    monkeypatch.setattr(_reassignment, "assign", lambda costs, *rest: sizes.append(costs.size) or assign(costs, *rest))
    again, backwards = clone(tokenizer).fit(X), clone(tokenizer).fit(X[::-1])
    assert len(sizes) > 10
    assert max(sizes) <= 2**14 + 256
    assert collision_rate(again.codes_) == 0
    np.testing.assert_array_equal(again.codes_, backwards.codes_)
    assert again.report_.r2_after > tokenizer.report_.r2_after - 0.02


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_search_fits_a_nested_tokenizer_once_for_each_fit_of_the_pipeline_and_copies_no_table(
    items, monkeypatch, tmp_path, is_kept
):
    n_fits, tables = [], set()
    fit, fit_encoder = ResidualKMeansTokenizer.fit, SemanticIDEncoder.fit

    def counted(self, *arguments, **options):
        n_fits.append(self.n_codebooks)
        return fit(self, *arguments, **options)

    def watched(self, *arguments, **options):
        tables.add(id(self.items))
        return fit_encoder(self, *arguments, **options)

    monkeypatch.setattr(ResidualKMeansTokenizer, "fit", counted)
    monkeypatch.setattr(SemanticIDEncoder, "fit", watched)
    table = ItemTable(items.frame["item_id"], items.embeddings)
    codes = SemanticIDEncoder(UniqueTokenizer(INNER), items=table, memory=str(tmp_path) if is_kept else None)
    pipeline = Pipeline([("codes", codes), ("ctr", DummyClassifier())])
    grid = {"codes__tokenizer__tokenizer__codebook_size": [24, 32]}
    GridSearchCV(pipeline, grid, cv=2).fit(items.frame[["item_id"]], np.arange(len(items.frame)) % 2)
    assert len(n_fits) == (2 if is_kept else 2 * 2 + 1)
    assert tables == {id(table)}
