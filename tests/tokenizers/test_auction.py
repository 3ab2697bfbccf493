"""Places for items, and rows of codes as numbers, against brute force."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from semid.tokenizers._auction import _Offers, assign
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


def _naive_auction(costs, places, outside_costs, capacities):
    """The same bids one by one: every bidder looks at all of its candidates, places keep lists of bids."""
    n_items, n_candidates = costs.shape
    steps = costs.max(axis=1, where=np.isfinite(costs), initial=0.0).clip(1e-30) / 100
    room = capacities.tolist()
    asked = np.unique(places, return_counts=True)
    room = {p: max(min(room[p], n), 1) for p, n in zip(asked[0].tolist(), asked[1].tolist(), strict=True)}
    held = {p: [] for p in room}  # (-bid, rank of arrival, item, choice)
    choices, bidders = np.full(n_items, -1), list(range(n_items))
    while bidders:
        prices = {p: -bids[-1][0] if len(bids) == room[p] else 0.0 for p, bids in held.items()}
        bids_of = {}
        for item in bidders:
            totals = [costs[item, c] + prices[places[item, c]] for c in range(n_candidates)]
            choice = int(np.argmin(totals))
            if not (totals[choice] <= outside_costs[item] and np.isfinite(totals[choice])):
                continue
            second = min([t for c, t in enumerate(totals) if c != choice], default=np.inf)
            margin = min(second, outside_costs[item]) - totals[choice]
            place = int(places[item, choice])
            bid = prices[place] + (margin if np.isfinite(margin) else 0.0) + steps[item]
            bids_of.setdefault(place, []).append((-bid, 1, item, choice))
        bidders = []
        for place, bids in bids_of.items():
            in_order = sorted(held[place] + bids, key=lambda bid: bid[:3])
            bidders += [item for _, _, item, _ in in_order[room[place] :]]
            held[place] = [(bid, 0, item, choice) for bid, _, item, choice in in_order[: room[place]]]
        bidders.sort()
    for bids in held.values():
        for _, _, item, choice in bids:
            choices[item] = choice
    return choices


@pytest.mark.parametrize("n_candidates", [3, 40])
@pytest.mark.parametrize("capacity", [1, 3])
@pytest.mark.parametrize("values", ["real", "whole numbers"])
def test_choices_are_those_of_the_naive_auction(rng, n_candidates, capacity, values):
    for _ in range(3):
        places = np.argsort(rng.random((60, 70)), axis=1)[:, :n_candidates]
        costs = np.sort(rng.exponential(size=places.shape), axis=1)
        costs = np.ceil(4 * costs) if values == "whole numbers" else costs
        room = rng.integers(0, capacity + 1, size=70)
        costs[room[places] == 0] = np.inf
        outside = np.where(rng.random(60) < 0.2, np.inf, 3.0)
        choices = assign(costs, places, outside, room)
        np.testing.assert_array_equal(choices, _naive_auction(costs, places, outside, room))
        assert (choices >= 0).any()


def test_an_item_looks_at_few_of_many_candidates(rng, monkeypatch):
    n_bids, n_looks = [], []
    two_cheapest, look_at_all = _Offers.two_cheapest, _Offers._look_at_all
    monkeypatch.setattr(
        _Offers, "two_cheapest", lambda self, items, p: n_bids.append(len(items)) or two_cheapest(self, items, p)
    )
    monkeypatch.setattr(
        _Offers, "_look_at_all", lambda self, items, p: n_looks.append(len(items)) or look_at_all(self, items, p)
    )
    costs = np.sort(rng.random((200, 128)) * 1e-3 + np.linspace(0, 1, 128), axis=1)  # all want the same
    assign(costs, np.tile(np.arange(128), (200, 1)), costs[:, -1])
    assert sum(n_looks) < sum(n_bids) / 2
