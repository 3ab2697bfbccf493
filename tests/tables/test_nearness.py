"""An item that comes back is known again, and another one is not taken for it."""

import copy

import numpy as np
import pytest
import torch
from conftest import UNIQUE_TOKENIZERS
from sklearn.base import clone

from semid.io import load, save
from semid.tables._nearness import PlacedItems
from semid.tokenizers import ResidualKMeansTokenizer, UniqueTokenizer


@pytest.fixture(params=UNIQUE_TOKENIZERS, ids=lambda tokenizer: tokenizer.strategy)
def unique(request, items):
    return clone(request.param).fit(items.embeddings[:200])


@pytest.fixture
def X(items):
    return items.embeddings[:200]


def _bfloat16(X):
    return torch.from_numpy(X).bfloat16().float().numpy()


RETURNS = {
    "float16": lambda X: X.astype(np.float16),
    "bfloat16": _bfloat16,
    "another batch": lambda X: X + np.random.default_rng(0).choice([-2e-7, 2e-7], X.shape).astype(np.float32),
    "one factor": lambda X: X * np.float32(1 + 2**-22),
}


@pytest.mark.parametrize("back", RETURNS.values(), ids=RETURNS)
def test_an_item_keeps_its_codes_and_is_placed_once_when_it_comes_back(unique, X, back):
    np.testing.assert_array_equal(unique.transform(back(X)), unique.transform(X))
    assert len(unique.partial_fit(back(X)).codes_) == 200


def test_items_fitted_from_bfloat16_are_known_in_float32(X):
    unique = UniqueTokenizer(ResidualKMeansTokenizer(2, 16, random_state=0)).fit(_bfloat16(X))
    np.testing.assert_array_equal(unique.transform(X), unique.transform(_bfloat16(X)))


def test_one_item_in_two_batches_of_one_fit_has_one_row_of_codes(X):
    again = X[:50] * np.float32(1 + 2**-22)
    unique = UniqueTokenizer(ResidualKMeansTokenizer(2, 16, random_state=0)).fit(np.vstack([X, again]))
    assert unique.report_.n_distinct == 200
    np.testing.assert_array_equal(unique.transform(again), unique.transform(X[:50]))


def test_items_at_a_small_but_real_distance_stay_apart(X):
    variant = X[:1] * np.float32(1 + 1e-3)
    unique = UniqueTokenizer(ResidualKMeansTokenizer(2, 16, random_state=0)).fit(np.vstack([X, variant]))
    codes = unique.transform(np.vstack([X, variant]))
    assert len(np.unique(codes, axis=0)) == 201
    for scale in (1, 1 + 2**-22):  # and each is known again beside the other
        np.testing.assert_array_equal(unique.transform(np.vstack([X, variant]) * np.float32(scale)), codes)


def test_an_item_beyond_all_rounding_is_another_one(unique, X):
    assert len(unique.partial_fit(X[:3] * np.float32(1 + 2e-2)).codes_) == 203


def test_integers_that_differ_by_one_are_not_rounded_from_one_another(rng):
    X = np.unique(rng.integers(0, 4, size=(60, 6)), axis=0).astype(np.float32)
    X[:, 0] += 1000
    unique = UniqueTokenizer(ResidualKMeansTokenizer(3, 8, random_state=0)).fit(X[:40])
    unique.partial_fit(X)
    assert len(np.unique(unique.transform(X), axis=0)) == len(X) == len(unique.codes_)


@pytest.mark.parametrize("n_copies", [1, 14, 15, 16, 20, 60, 1500])
def test_any_number_of_copies_of_one_item_has_one_row_of_codes(items, rng, n_copies):
    X = items.embeddings[:300]
    copies = (X[0] + 1e-7 * rng.normal(size=(n_copies, X.shape[1]))).astype(np.float32)
    unique = UniqueTokenizer(ResidualKMeansTokenizer(2, 32, random_state=0)).fit(np.vstack([X, copies]))
    assert len(unique.codes_) == 300
    np.testing.assert_array_equal(unique.transform(copies), np.repeat(unique.transform(X[:1]), n_copies, axis=0))


def test_clumps_of_copies_of_one_item_have_one_row_of_codes(rng):
    X = rng.normal(size=(100, 12)).astype(np.float32)
    clumps = [X[0] * np.float32(1 + factor) + 1e-8 * rng.normal(size=(40, 12)) for factor in (1e-6, 2e-6, 4e-6)]
    X = np.vstack([X, *clumps]).astype(np.float32)
    assert len(np.unique(PlacedItems(X).copies())) == 100


def test_many_items_in_a_chain_wider_than_copies_stay_apart():
    X = np.ones((200, 12), dtype=np.float32) * (1 + 2e-6 * np.arange(200, dtype=np.float32))[:, None]
    np.testing.assert_array_equal(PlacedItems(X).copies(), np.arange(200))


def _year_and_month(rng):
    return np.array([[year, month] for year in range(1990, 2020) for month in range(1, 13)])


def _int8(rng, n_features=16):
    X = rng.integers(-100, 100, size=(400, n_features))
    return np.vstack([X, X + np.eye(n_features, dtype=int)[rng.integers(n_features, size=400)]])


STEPS = {
    "year and month": _year_and_month,
    "whole numbers beyond float16": lambda rng: _year_and_month(rng) * [500, 1],
    "year and rating": lambda rng: _year_and_month(rng) * [1, 0.5],
    "int8": _int8,
    "uint8": lambda rng: _int8(rng) + 128,
    "shares of 256": lambda rng: (_int8(rng, 48) + 128) / 256,
}


@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS)
def test_items_one_step_apart_are_no_rounding_of_one_another(make, rng):
    X = np.unique(make(rng), axis=0).astype(np.float32)
    new = rng.permutation(len(X)) < len(X) // 2
    unique = UniqueTokenizer(ResidualKMeansTokenizer(3, 16, random_state=0)).fit(X[~new])
    placed = unique.transform(X[~new])
    assert len(unique.partial_fit(X).codes_) == len(X)
    codes = unique.transform(X)
    np.testing.assert_array_equal(codes[~new], placed)
    assert len(np.unique(codes, axis=0)) == len(X)


def test_one_step_of_a_number_in_float16_is_the_rounding_of_one_item(X):
    placed = X.astype(np.float16)
    back = placed.copy()
    back[::2, 3] = np.nextafter(back[::2, 3], np.float16(np.inf))
    unique = UniqueTokenizer(ResidualKMeansTokenizer(2, 16, random_state=0)).fit(placed)
    np.testing.assert_array_equal(unique.transform(back), unique.transform(placed))


def test_what_rounding_does_not_explain_is_taken_for_the_nearest_with_a_word(unique, X):
    codes = unique.transform(X)
    doubtful = X * np.float32(1 + 3e-3)
    with pytest.warns(UserWarning, match=r"X has 200 rows that may be a placed item or not, such as row 0, at 3.0e-03"):
        np.testing.assert_array_equal(unique.transform(doubtful), codes)
    with pytest.warns(UserWarning, match=r"They are taken for the nearest.* by item id with SemanticIDEncoder"):
        unique.transform(doubtful)


def test_what_rounding_does_not_explain_is_placed_with_a_word(unique, X):
    codes = unique.transform(X)
    doubtful = X[:50] * np.float32(1 + 3e-3)
    with pytest.warns(UserWarning, match=r"X has 50 rows that may be .* They are placed, and have codes of their own"):
        unique.partial_fit(doubtful)
    both = unique.transform(np.vstack([X, doubtful]))
    np.testing.assert_array_equal(both[:200], codes)
    assert len(np.unique(both, axis=0)) == 250


def test_a_row_between_two_placed_items_is_told(X):
    unique = UniqueTokenizer(ResidualKMeansTokenizer(2, 16, random_state=0))
    unique.fit(np.vstack([X, X[:1] * np.float32(1 + 3e-4)]))
    with pytest.warns(UserWarning, match="X has 1 rows"):
        unique.transform(_bfloat16(X[:1]))


def test_the_nearest_item_is_the_one_that_a_search_through_all_finds(rng):
    placed = (1 + 1e-3 * rng.normal(size=(300, 12))).astype(np.float32)
    X = placed[rng.permutation(300)] + (1e-4 * rng.normal(size=(300, 12))).astype(np.float32)
    found = PlacedItems(placed).recognise(X)
    distances = np.linalg.norm(X[:, None].astype(np.float64) - placed, axis=2)
    np.testing.assert_allclose(found.distances, distances.min(axis=1) / np.linalg.norm(X, axis=1), rtol=1e-5)
    known = found.places >= 0
    np.testing.assert_array_equal(found.places[known], distances.argmin(axis=1)[known])


def test_items_of_an_older_version_are_known_to_the_bit_until_their_embeddings_come(unique, X):
    codes = unique.transform(X)
    older = copy.copy(unique)
    del older.embeddings_
    np.testing.assert_array_equal(older.transform(X), codes)
    older.partial_fit(X[:100])
    np.testing.assert_array_equal(older.transform(X[:100].astype(np.float16)), codes[:100])
    np.testing.assert_array_equal(older.transform(X), codes)


def test_embeddings_of_other_items_are_refused_in_a_file(unique, tmp_path):
    unique.embeddings_ = unique.embeddings_[::-1].copy()
    with pytest.raises(ValueError, match="embeddings_ must be those that hashes_ were made from"):
        save(unique, tmp_path / "tokenizer")
        load(tmp_path / "tokenizer")
