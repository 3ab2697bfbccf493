"""What codes say of who takes what, beside loops that count one pair after the other."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from semid.metrics import co_click_auc, co_click_hit_rate, co_click_rates
from semid.metrics._co_clicks import Contests, UserItems


@pytest.fixture
def log(rng):
    """60 users with one to seven items of 30, some of them twice, in the order of chance."""
    users = np.repeat(np.arange(60), rng.integers(1, 8, size=60))
    users = rng.permutation(np.append(users, users[:20]))
    return users, (rng.integers(30, size=len(users)) ** 2) // 30


@pytest.fixture
def codes(rng):
    return rng.integers(4, size=(30, 3))


def _baskets(users, items):
    baskets = {user: sorted(set(items[users == user])) for user in set(users)}
    return [basket for basket in baskets.values() if len(basket) > 1]


def test_the_rates_are_those_of_all_pairs_of_a_users_items(log, codes):
    rates = co_click_rates(codes, *log)
    baskets = _baskets(*log)
    n_interactions = sum(map(len, baskets))
    popularity = np.bincount(np.concatenate(baskets), minlength=30) / n_interactions
    apart = [(a, b) for a in range(30) for b in range(30) if a != b]
    mass = sum(popularity[a] * popularity[b] for a, b in apart)
    for n in range(3):
        for found, chance, same in (
            (rates.prefix, rates.prefix_by_chance, lambda a, b, n=n: (codes[a, : n + 1] == codes[b, : n + 1]).all()),
            (rates.code, rates.code_by_chance, lambda a, b, n=n: codes[a, n] == codes[b, n]),
        ):
            of_baskets = [np.mean([same(a, b) for a, b in permutations(basket, 2)]) * len(basket) for basket in baskets]
            assert found[n] == pytest.approx(sum(of_baskets) / n_interactions)
            assert chance[n] == pytest.approx(sum(popularity[a] * popularity[b] * same(a, b) for a, b in apart) / mass)


def test_random_codes_are_shared_as_often_as_by_chance_however_popular_items_are(rng):
    users = np.repeat(np.arange(3_000), 6)
    items = rng.choice(500, size=len(users), p=np.arange(500, 0, -1) ** 3 / (np.arange(500, 0, -1) ** 3).sum())
    rates = co_click_rates(rng.integers(16, size=(500, 2)), users, items)
    np.testing.assert_allclose(rates.code / rates.code_by_chance, 1, atol=0.05)


def test_names_of_users_and_repeats_and_the_order_of_the_log_are_no_matter(log, codes):
    users, items = log
    expected = co_click_rates(codes, users, items)
    order = np.argsort(items, kind="stable")
    names = np.array([f"user {user}" for user in users])
    again = co_click_rates(
        codes, np.append(names, names)[np.append(order, order)], np.append(items, items)[np.append(order, order)]
    )
    np.testing.assert_allclose(again, expected)
    same = co_click_auc(codes, users[order], items[order], random_state=0)
    assert same == pytest.approx(co_click_auc(codes, users, items, random_state=0), abs=0.01)


def test_the_auc_is_that_of_a_loop_over_all_pairs(log, codes):
    users, items = log
    baskets = {user: sorted(set(items[users == user])) for user in set(users)}
    popularity = np.bincount(np.concatenate(list(baskets.values())), minlength=30)
    everyone = [np.bincount(column, popularity, minlength=4) / popularity.sum() for column in codes.T]

    def score(item, others):
        own = [np.mean(codes[others, n] == codes[item, n]) for n in range(3)]
        return sum(np.log(0.5 + 0.5 * own[n] / everyone[n][codes[item, n]]) for n in range(3))

    wins, weights = 0.0, 0.0
    for basket in baskets.values():
        for taken in basket if len(basket) > 1 else ():
            others = [item for item in basket if item != taken]
            own = score(taken, others)
            strangers = [item for item in range(30) if item not in basket and popularity[item]]
            of_strangers = np.array([score(item, others) for item in strangers])
            share = popularity[strangers] / popularity[strangers].sum()
            wins += share @ np.where(np.isclose(own, of_strangers), 0.5, own > of_strangers)
            weights += 1
    assert co_click_auc(codes, users, items, n_pairs=100_000, random_state=0) == pytest.approx(wins / weights, abs=0.01)


def test_the_auc_is_half_for_random_codes_and_for_codes_that_say_what_is_popular_alone(rng):
    users = np.repeat(np.arange(4_000), 5)
    share = np.arange(400, 0, -1) ** 3.0
    items = rng.choice(400, size=len(users), p=share / share.sum())
    for codes in (rng.integers(8, size=(400, 3)), np.arange(400)[:, None] // 50):
        assert co_click_auc(codes, users, items, random_state=0) == pytest.approx(0.5, abs=0.015)


def test_copies_of_a_codebook_and_a_constant_one_leave_the_auc_alone(log, codes):
    expected = co_click_auc(codes[:, :1], *log, random_state=0)
    assert co_click_auc(codes[:, [0, 0, 0]], *log, random_state=0) == expected
    assert co_click_auc(np.column_stack([codes[:, 0], np.zeros(30, dtype=int)]), *log, random_state=0) == expected


def test_among_rare_items_both_of_a_pair_are_rare(rng):
    users = np.repeat(np.arange(500), 4)
    kinds = np.repeat(np.arange(500) % 2, 4)
    items = 2 * rng.integers(20, size=2_000) + kinds  # two circles of users and items that do not meet
    is_rare = np.arange(40) >= 20
    codes = np.where(is_rare, np.arange(40) % 2, 7)[:, None]  # nothing is told of the others
    assert co_click_auc(codes, users, items, among=is_rare, random_state=0) > 0.7
    assert co_click_auc(codes, users, items, among=~is_rare, random_state=0) == 0.5
    assert np.isnan(co_click_auc(codes, users, items, among=np.zeros(40, dtype=bool), random_state=0))


@pytest.mark.parametrize("kind", ["codes", "vectors"])
def test_the_hit_rate_is_that_of_a_loop(log, codes, kind, rng):
    users, items = log
    space = codes if kind == "codes" else np.round(rng.normal(size=(30, 2)), 1)
    hits, n = 0.0, 0
    for basket in _baskets(users, items):
        for item in basket:
            difference = space - space[item]
            distances = (difference != 0).sum(axis=1) if kind == "codes" else np.square(difference).sum(axis=1).round(9)
            others = np.delete(distances, item)
            for partner in basket:
                if partner != item:
                    nearer, tied = (others < distances[partner]).sum(), (others == distances[partner]).sum()
                    hits += min(max((5 - nearer) / tied, 0), 1) / (len(basket) - 1)
            n += 1
    found = np.mean([co_click_hit_rate(space, users, items, k=5, random_state=seed) for seed in range(30)])
    # Of each item one partner is drawn: over logs in other orders the mean is that over all of them.
    assert found == pytest.approx(hits / n, abs=0.05)


def test_without_a_user_of_two_items_nothing_is_told():
    users, items = ["ann", "bob", "bob"], [0, 1, 1]
    codes = [[0], [1]]
    assert np.isnan(co_click_rates(codes, users, items)).all()
    assert np.isnan(co_click_auc(codes, users, items))
    assert np.isnan(co_click_hit_rate(codes, users, items, k=1))


def test_users_of_every_item_have_no_other_to_compare_with():
    assert np.isnan(co_click_auc([[0], [1]], ["ann", "ann"], [0, 1], random_state=0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0], [1]], ["ann"], [0, 1]), ValueError, r"users must have shape \(2,\)"),
        (([[0], [1]], ["ann", None], [0, 1]), ValueError, "users must not be missing, got 1 missing"),
        (([[0], [1]], ["ann", "bob"], [0, 2]), ValueError, "items must be rows below 2, got 0 to 2"),
        (([[0], [1]], ["ann", "bob"], [0.0, 1.0]), ValueError, "items must be rows, integers of one axis, got float64"),
        (([[0], [1]], [["ann"], ["bob"]], [0, 1]), ValueError, "users must have shape"),
        (([[0.5], [1]], ["ann", "bob"], [0, 1]), ValueError, "codes must be integers"),
    ],
)
def test_what_is_no_log_is_refused(arguments, error, message):
    for function in (co_click_rates, co_click_auc):
        with pytest.raises(error, match=message):
            function(*arguments)


def test_a_representation_is_2d_and_has_more_items_than_neighbours():
    with pytest.raises(ValueError, match=r"representation must be 2-D, one row per item, got shape \(2,\)"):
        co_click_hit_rate([0, 1], ["ann", "ann"], [0, 1])
    with pytest.raises(ValueError, match="k must be less than the number of items, got 2 for 2 items"):
        co_click_hit_rate([[0], [1]], ["ann", "ann"], [0, 1], k=2)


def test_among_must_be_one_truth_for_each_item():
    with pytest.raises(ValueError, match=r"among must have shape \(2,\) and be boolean, got \(2,\) of int64"):
        co_click_auc([[0], [1]], ["ann", "ann"], [0, 1], among=[0, 1])


def test_users_may_be_of_any_type_of_ids(codes, log):
    users, items = log
    expected = co_click_rates(codes, users, items)
    for kind in ("string[pyarrow]", "category", "Int64", "float64"):
        np.testing.assert_allclose(
            co_click_rates(codes, pd.Series(users).astype(str if "st" in kind else kind), items), expected
        )


def test_the_noise_is_that_of_the_interactions_and_not_of_how_often_each_is_looked_at(rng):
    """Random codes over many short logs: the spread of their AUC."""
    aucs = []
    for seed in range(40):
        codes, items = rng.integers(4, size=(50, 2)), rng.integers(50, size=200)
        pairs = UserItems.of_numbers(np.repeat(np.arange(50), 4), items, 50)
        contests = Contests.draw(pairs, np.ones(50, dtype=bool), 2_000, np.random.RandomState(seed))
        aucs.append(contests.auc(codes))
    assert 0.25 * contests.noise < np.std(aucs) < 1.3 * contests.noise


def test_prefixes_of_one_item_each_are_shared_by_nobody_to_the_last_digit(rng):
    users, items = rng.integers(20, size=160), rng.integers(60, size=160)
    rates = co_click_rates(np.column_stack([np.arange(60) % 8, np.arange(60) // 8]), users, items)
    assert rates.prefix[1] == 0 and rates.prefix_by_chance[1] == 0
