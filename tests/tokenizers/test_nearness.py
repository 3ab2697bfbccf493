"""An item that comes back is known again, and another one is not taken for it."""

import copy

import numpy as np
import pytest
import torch
from conftest import UNIQUE_TOKENIZERS
from sklearn.base import clone

from semid.io import load, save
from semid.tokenizers import ResidualKMeansTokenizer, UniqueTokenizer
from semid.tokenizers._nearness import PlacedItems


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


@pytest.mark.parametrize("method", ["transform", "partial_fit"])
def test_what_rounding_does_not_explain_is_taken_for_the_nearest_with_a_word(unique, X, method):
    codes = unique.transform(X)
    doubtful = X * np.float32(1 + 3e-3)
    with pytest.warns(UserWarning, match=r"X has 200 rows that may be a placed item or not, such as row 0, at 3.0e-03"):
        getattr(unique, method)(doubtful)
    with pytest.warns(UserWarning, match="by item id with SemanticIDEncoder"):
        np.testing.assert_array_equal(unique.transform(doubtful), codes)
    assert len(unique.codes_) == 200


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
