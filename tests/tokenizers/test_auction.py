"""Places for items, and rows of codes as numbers, against brute force."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from semid.tokenizers._auction import assign
from semid.tokenizers._occupancy import contains, distinct_free_after, free_after, to_codes, to_numbers, union


def test_the_item_with_more_to_lose_keeps_the_place():
    # Both are at place 7. The first would lose 1 at place 8, the second 5 at place 9.
    costs, places = np.array([[0.0, 1.0], [0.0, 5.0]]), np.array([[7, 8], [7, 9]])
    assert assign(costs, places, np.array([9.0, 9.0])).tolist() == [1, 0]
    assert assign(costs * [[6], [1]], places, np.array([9.0, 9.0])).tolist() == [0, 1]


def test_an_item_leaves_when_what_is_elsewhere_is_cheaper():
    costs, places = np.array([[0.0, 4.0], [0.0, 5.0], [0.0, 6.0]]), np.array([[7, 8]] * 3)
    choices = assign(costs, places, np.array([1.0, 20.0, 20.0]))
    assert choices.tolist() == [-1, 1, 0]


def test_a_place_that_cannot_be_had_is_not_given():
    costs, places = np.array([[np.inf, 1.0], [np.inf, np.inf]]), np.array([[0, 1], [0, 2]])
    assert assign(costs, places, np.array([3.0, 3.0])).tolist() == [1, -1]


@pytest.mark.parametrize("n_places", [40, 60])
def test_the_total_cost_is_close_to_the_least(rng, n_places):
    costs = rng.exponential(size=(40, n_places))
    choices = assign(costs, np.tile(np.arange(n_places), (40, 1)), np.full(40, np.inf))
    assert len(set(choices)) == 40
    assert (choices >= 0).all()
    least = costs[linear_sum_assignment(costs)].sum()
    # Each item is within its least raise, a hundredth of its largest cost, of its part in the optimum.
    assert costs[np.arange(40), choices].sum() <= least + 0.01 * costs.max(axis=1).sum()


def test_identical_items_fill_the_places_there_are():
    choices = assign(np.tile([0.0, 1.0, 1.0, 2.0], (50, 1)), np.tile([3, 1, 2, 0], (50, 1)), np.full(50, 2.0))
    assert np.sort(choices[choices >= 0]).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("sizes", [[3, 4, 5], [16] * 17])
def test_numbers_of_codes_lead_back_to_the_codes(rng, sizes):
    codes = rng.integers(sizes, size=(50, len(sizes)))
    numbers = to_numbers(codes, sizes)
    expected = [0] * 50
    for i, row in enumerate(codes.tolist()):
        for code, size in zip(row, sizes, strict=True):
            expected[i] = expected[i] * size + code
    assert numbers.tolist() == expected
    np.testing.assert_array_equal(to_codes(numbers, sizes), codes)


def test_the_last_codebook_is_the_fastest():
    assert to_numbers(np.array(list(product(range(2), range(3)))), [2, 3]).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("dtype", [np.int64, object])
def test_free_numbers_are_those_of_a_walk(rng, dtype):
    for n_taken in (0, 1, 10, 19):
        taken = np.sort(rng.permutation(20)[:n_taken]).astype(dtype)
        starts = np.arange(20).astype(dtype)
        expected = [next(k for k in [*range(s, 20), *range(20)] if k not in taken) for s in range(20)]
        assert free_after(taken, starts, 20).tolist() == expected


@pytest.mark.parametrize("dtype", [np.int64, object])
def test_distinct_free_numbers_are_those_of_a_walk_in_order(rng, dtype):
    for n_taken, n_starts in [(0, 20), (5, 15), (12, 8), (10, 3), (19, 1), (5, 0)]:
        taken = np.sort(rng.permutation(20)[:n_taken]).astype(dtype)
        starts = rng.integers(20, size=n_starts).astype(dtype)
        numbers = distinct_free_after(taken, starts, 20)
        gone, past_the_end = set(taken.tolist()), []
        for i in np.argsort(starts, kind="stable"):
            free = [k for k in range(starts[i], 20) if k not in gone]
            if free:
                assert numbers[i] == free[0]
                gone.add(free[0])
            else:
                past_the_end.append(i)
        for i in past_the_end:
            first = next(k for k in range(20) if k not in gone)
            assert numbers[i] == first
            gone.add(first)


def test_contains_and_union_are_those_of_sets():
    taken = union(np.array([5, 9]), np.array([7]))
    assert taken.tolist() == [5, 7, 9]
    assert contains(taken, np.array([[4, 5], [9, 10]])).tolist() == [[False, True], [True, False]]
    assert not contains(taken[:0], np.array([1])).any()
