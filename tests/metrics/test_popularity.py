"""Codes of popular and rare items, and of labels, beside loops."""

from itertools import permutations

import numpy as np
import pytest

from semid.metrics import allocation_by_popularity, prefix_purity, shared_traffic


def test_shared_traffic_is_that_of_items_with_a_twin(rng):
    codes = rng.integers(3, size=(40, 3))
    popularity = rng.integers(50, size=40)
    rows = list(map(tuple, codes.tolist()))
    expected = sum(weight for row, weight in zip(rows, popularity, strict=True) if rows.count(row) > 1)
    assert shared_traffic(codes, popularity) == pytest.approx(expected / popularity.sum())
    assert shared_traffic(np.arange(5)[:, None], np.ones(5)) == 0
    assert shared_traffic(np.zeros((5, 2), dtype=int), np.ones(5)) == 1


def test_parts_have_a_third_of_the_traffic_each_and_count_items_of_their_own(rng):
    popularity = rng.permutation((1_000 / np.arange(1, 301)).astype(int))
    codes = rng.integers(12, size=(300, 2))
    parts = allocation_by_popularity(codes, popularity)
    assert parts.index.tolist() == ["head", "middle", "tail"]
    assert parts["n_items"].sum() == 300 and parts["n_items"].is_monotonic_increasing
    assert parts["traffic"].sum() == pytest.approx(1)
    np.testing.assert_allclose(parts["traffic"], 1 / 3, atol=popularity.max() / popularity.sum())
    rows = list(map(tuple, codes.tolist()))
    order = np.argsort(-popularity, kind="stable")
    tail = order[-parts["n_items"]["tail"] :]
    assert popularity[tail].max() <= np.delete(popularity, tail).min()
    assert parts["own_codes"]["tail"] == pytest.approx(np.mean([rows.count(rows[i]) == 1 for i in tail]))


def test_one_item_with_all_the_traffic_is_the_head():
    parts = allocation_by_popularity([[0], [1], [1]], [5, 0, 0])
    assert parts["n_items"].tolist() == [1, 0, 2]
    assert parts["own_codes"].tolist()[::2] == [1, 0] and np.isnan(parts["own_codes"]["middle"])


def test_purity_is_the_agreement_of_all_pairs_with_a_prefix_in_common(rng):
    codes, labels = rng.integers(3, size=(50, 3)), rng.choice(["a", "b", "c"], size=50).astype(object)
    labels[:5] = None
    purity = prefix_purity(codes, labels)
    for n in range(3):
        pairs = [(i, j) for i, j in permutations(range(5, 50), 2) if (codes[i, : n + 1] == codes[j, : n + 1]).all()]
        assert purity[n] == pytest.approx(np.mean([labels[i] == labels[j] for i, j in pairs]))


def test_purity_of_items_alone_is_unknown_and_random_codes_have_that_of_any_two(rng):
    assert np.isnan(prefix_purity([[0], [1]], ["a", "a"])).all()
    labels = rng.choice(["a", "b"], size=4_000, p=[0.8, 0.2])
    assert prefix_purity(rng.integers(1_000, size=(4_000, 1)), labels)[0] == pytest.approx(0.68, abs=0.02)


@pytest.mark.parametrize(
    ("popularity", "message"),
    [
        ([1, 2], r"popularity must have shape \(3,\), one number per item, got \(2,\)"),
        ([1, -2, 3], "popularity must be finite, at least 0, and not 0 for all, got -2.0"),
        ([1, np.nan, 3], "got nan"),
        ([0, 0, 0], "got zeros alone"),
        (["a", "b", "c"], "popularity must hold numbers"),
    ],
)
def test_what_is_no_popularity_is_refused(popularity, message):
    for function in (shared_traffic, allocation_by_popularity):
        with pytest.raises(ValueError, match=message):
            function([[0], [1], [1]], popularity)
