"""Codes that no more than a few items share, and the few nearest codes of an item, against brute force."""

import joblib
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from semid.io import load, save
from semid.metrics import reconstruction_r2
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
)
from semid.tokenizers._auction import assign
from semid.tokenizers._occupancy import first_places, n_free, next_places, taken_places

INNER = ResidualKMeansTokenizer(2, 12, random_state=0)


@pytest.fixture
def X(items):
    return items.embeddings[:200]


@pytest.fixture
def later(items):
    return items.embeddings[200:]


def _most(codes):
    return np.unique(codes, axis=0, return_counts=True)[1].max()


@pytest.mark.parametrize("strategy", ["reassign", "suffix"])
@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_no_more_than_the_capacity_share_codes_now_and_later(X, later, strategy, capacity):
    tokenizer = UniqueTokenizer(clone(INNER).set_params(codebook_size=18), strategy, capacity=capacity).fit(X)
    codes = tokenizer.transform(X)
    assert _most(codes) == capacity
    for batch in (later[:40], later[30:]):
        tokenizer.partial_fit(batch)
    np.testing.assert_array_equal(tokenizer.transform(X), codes)
    assert _most(tokenizer.transform(np.vstack([X, later]))) <= capacity
    np.testing.assert_array_equal(tokenizer._taken, taken_places(tokenizer.codes_, tokenizer.codebook_sizes_, capacity))


def test_the_more_may_share_the_fewer_move_and_the_nearer_they_are(X):
    moved, r2 = [], []
    for capacity in (1, 2, 4, 200):
        tokenizer = UniqueTokenizer(clone(INNER).set_params(codebook_size=15), capacity=capacity).fit(X)
        moved.append(tokenizer.report_.n_moved)
        r2.append(reconstruction_r2(X, tokenizer.inverse_transform(tokenizer.transform(X))))
    assert moved == sorted(moved, reverse=True)
    assert r2 == sorted(r2)
    np.testing.assert_array_equal(tokenizer.transform(X), clone(INNER).set_params(codebook_size=15).fit_transform(X))


def test_the_total_error_is_near_the_least_that_the_capacity_allows(X):
    tokenizer = UniqueTokenizer(ParallelKMeansTokenizer(2, 7, random_state=0), capacity=5).fit(X)  # 245 places
    every_row = np.stack(np.meshgrid(np.arange(7), np.arange(7), indexing="ij"), axis=-1).reshape(-1, 2)
    books = tokenizer.codebooks_
    costs = sum(np.square(X[:, None] - book[every_row[:, n]]).sum(axis=2) for n, book in enumerate(books))
    seats = np.repeat(costs, 5, axis=1)
    least = seats[linear_sum_assignment(seats)].sum()
    got = costs[np.arange(200), tokenizer.transform(X) @ [7, 1]].sum()
    assert least * (1 - 1e-6) <= got <= least * 1.02


def test_a_suffix_stands_for_as_many_items_as_the_capacity(X, later):
    tokenizer = UniqueTokenizer(INNER, "suffix", capacity=3).fit(X)
    rows, counts = np.unique(tokenizer.codes_[:, :2], axis=0, return_counts=True)
    for row, count in zip(rows, counts, strict=True):
        suffixes = np.sort(tokenizer.codes_[(tokenizer.codes_[:, :2] == row).all(axis=1), 2])
        assert suffixes.tolist() == [n // 3 for n in range(count)]
    for *inner, suffix in tokenizer.transform(later):
        assert suffix == (tokenizer.codes_[:, :2] == inner).all(axis=1).sum() // 3


def test_all_places_are_given_before_there_is_no_room(X, later):
    tokenizer = UniqueTokenizer(ParallelKMeansTokenizer(2, 5, random_state=0), capacity=8).fit(X)
    assert np.unique(tokenizer.codes_, axis=0, return_counts=True)[1].tolist() == [8] * 25
    with pytest.raises(ValueError, match="25 rows of codes, 8 items to each, for 201 items"):
        tokenizer.transform(later[:1])
    with pytest.raises(ValueError, match="8 items to each, for 201 items"):
        clone(tokenizer).fit(np.vstack([X, later[:1]]))
    with pytest.raises(ValueError, match=r"suffix_size must be .* share codes, 2 of them for each, got 1"):
        UniqueTokenizer(INNER, "suffix", suffix_size=1, capacity=2).fit(X)


def test_a_new_item_gets_its_inner_codes_while_there_is_room(X, later):
    tokenizer = UniqueTokenizer(INNER, capacity=2).fit(X)
    inner = tokenizer.tokenizer_.transform(later)
    for own, given in zip(inner, tokenizer.transform(later), strict=True):
        n_there = (tokenizer.codes_ == own).all(axis=1).sum()
        assert (own == given).all() == (n_there < 2)
        assert (tokenizer.codes_ == given).all(axis=1).sum() < 2


def test_numbers_beyond_int64_are_no_hindrance(X, later):
    tokenizer = UniqueTokenizer(
        ParallelKMeansTokenizer(16, 15, random_state=0), capacity=3
    )  # 15**16 below, times 3 not
    near_duplicates = X[:1] + np.linspace(1e-6, 1e-4, 100, dtype=np.float32)[:, None]
    tokenizer.fit(np.vstack([X, near_duplicates])).partial_fit(later)
    assert tokenizer._taken.dtype == object
    assert _most(tokenizer.transform(np.vstack([X, near_duplicates, later]))) == 3


def test_places_are_those_of_a_walk(rng):
    sizes, capacity = [3, 4], 3
    codes = rng.integers(sizes, size=(25, 2))
    codes = np.unique(codes, axis=0).repeat(2, axis=0)  # each twice
    taken = taken_places(codes, sizes, capacity)
    assert taken.tolist() == sorted(3 * (4 * a + b) + k for a, b in np.unique(codes, axis=0).tolist() for k in (0, 1))
    asked = np.array([codes[0], codes[0] * 0 + [2, 3]])
    expected = [1 if (codes == row).all(axis=1).any() else 3 for row in asked]
    assert n_free(taken, first_places(asked, sizes, capacity), capacity).tolist() == expected
    firsts = first_places(np.array([codes[0], codes[-1], codes[0]]), sizes, capacity)
    assert (next_places(taken, firsts, capacity) - firsts).tolist() == [2, 2, 3]


def test_what_was_fitted_with_a_capacity_comes_back(X, later, tmp_path):
    tokenizer = UniqueTokenizer(INNER, capacity=3).fit(X)
    restored = load(save(tokenizer, tmp_path / "t"))
    np.testing.assert_array_equal(
        restored.partial_fit(later).transform(later), tokenizer.partial_fit(later).transform(later)
    )
    before = joblib.hash(tokenizer.transform(X))
    assert joblib.hash(tokenizer.set_params(capacity=9).transform(X)) == before  # waits for the next fit


@pytest.mark.parametrize(("capacity", "error"), [(0, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_a_capacity_that_is_none_is_refused(X, capacity, error):
    with pytest.raises(error, match="capacity must be"):
        UniqueTokenizer(INNER, capacity=capacity).fit(X)


# The auction, where a place is for several


@pytest.mark.parametrize("capacity", [1, 3, 10])
def test_the_total_cost_is_close_to_the_least(rng, capacity):
    n_places = 30 // capacity + 2
    costs = rng.exponential(size=(30, n_places))
    choices = assign(costs, np.tile(np.arange(n_places), (30, 1)), np.full(30, np.inf), capacity)
    assert (choices >= 0).all()
    assert np.bincount(choices).max() <= capacity
    seats = np.repeat(costs, capacity, axis=1)
    assert costs[np.arange(30), choices].sum() <= seats[linear_sum_assignment(seats)].sum() + 0.01 * costs.max(1).sum()


def test_places_of_several_sizes_hold_what_they_can(rng):
    places = np.tile([1, 2, 0], (12, 1))
    room = np.array([0, 1, 5])
    costs = np.where(room[places] == 0, np.inf, rng.uniform(1, 2, size=(12, 3)))
    choices = assign(costs, places, np.full(12, 100.0), room)
    assert np.bincount(choices + 1).tolist() == [6, 1, 5]


# The few nearest codes


@pytest.mark.parametrize("kind", [ResidualKMeansTokenizer, ParallelKMeansTokenizer, ProductQuantizationTokenizer])
def test_candidates_are_the_nearest_with_their_distances(X, kind):
    tokenizer = kind(2, [5, 6], random_state=0).fit(X)
    codes, distances = tokenizer.candidates(X[:50], 30)
    assert codes.shape == (50, 30, 2)
    assert codes.dtype == np.int64
    scale = tokenizer.state_["scale"]
    for x, rows, found in zip(X[:50].astype(np.float64), codes, distances, strict=True):
        assert len({tuple(row) for row in rows.tolist()}) == 30
        first, second = (book[rows[:, n]] for n, book in enumerate(tokenizer.codebooks_))
        if kind is ParallelKMeansTokenizer:
            expected = (np.square((x - first) / scale) + np.square((x - second) / scale)).sum(axis=1)
        else:
            expected = np.square((x - tokenizer.inverse_transform(rows)) / scale).sum(axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (np.diff(distances, axis=1) >= -1e-9).all()


@pytest.mark.parametrize(
    "tokenizer",
    [
        ResidualKMeansTokenizer(3, 8, beam_size=4, random_state=0),
        ParallelKMeansTokenizer(3, [2, 4, 8], random_state=0),
        ProductQuantizationTokenizer(3, 8, random_state=0),
        RQVAETokenizer(3, 8, hidden_layer_sizes=(16,), latent_dim=6, max_iter=2, random_state=0),
        MixtureOfCodesTokenizer(3, 8, hidden_layer_sizes=(16,), latent_dim=6, max_iter=2, random_state=0),
    ],
    ids=lambda tokenizer: type(tokenizer).__name__,
)
def test_the_first_candidate_is_what_transform_returns(X, later, tokenizer):
    tokenizer.fit(X)
    for k in (1, 5):
        codes, distances = tokenizer.candidates(later, k)
        assert codes.shape == (100, k, 3)
        assert distances.shape == (100, k)
        if k == 1 or not isinstance(tokenizer, ResidualKMeansTokenizer | RQVAETokenizer):
            np.testing.assert_array_equal(codes[:, 0], tokenizer.transform(later))


def test_fewer_candidates_come_back_where_there_are_fewer(X):
    tokenizer = ParallelKMeansTokenizer(1, 4, random_state=0).fit(X)
    assert tokenizer.candidates(X, 99).codes.shape == (200, 4, 1)


def test_codes_that_are_not_the_nearest_have_no_candidates(X):
    for tokenizer in (FSQTokenizer(), RandomTokenizer(), MultiEmbeddingTokenizer(), UniqueTokenizer(INNER)):
        assert not hasattr(tokenizer, "candidates")


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (2.0, TypeError)])
def test_numbers_of_candidates_that_are_none_are_refused(X, k, error):
    with pytest.raises(error, match="k must be"):
        ParallelKMeansTokenizer(1, 4, random_state=0).fit(X).candidates(X, k)
