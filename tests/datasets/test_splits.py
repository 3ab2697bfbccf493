import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from semid.datasets import LogData, k_core, leave_last_out, sample_negatives, split_by_time
from semid.exceptions import DataLeakWarning


def test_leave_last_out_equals_the_naive_loop(rng):
    log = pd.DataFrame({"user_id": rng.integers(20, size=200), "timestamp": rng.permutation(200)})
    part = leave_last_out(log)
    for user in log["user_id"].unique():
        rows = np.flatnonzero(log["user_id"] == user)
        rows = rows[np.argsort(log["timestamp"].to_numpy()[rows])]
        expected = ["train"] * (len(rows) - 2) + ["validation", "test"] if len(rows) >= 3 else ["train"] * len(rows)
        assert part[rows].tolist() == expected


def test_leave_last_out_ignores_the_index_and_the_order_of_rows(rng):
    log = pd.DataFrame({"user_id": [1, 1, 1, 2, 2, 2], "timestamp": [0, 1, 2, 0, 1, 2]}, index=[9, 9, 8, 7, 7, 1])
    order = rng.permutation(6)
    np.testing.assert_array_equal(leave_last_out(log.iloc[order]), leave_last_out(log)[order])


def test_negatives_were_never_touched_and_keep_their_row():
    rng = np.random.default_rng(0)
    log = pd.DataFrame({"user_id": rng.integers(50, size=1000), "item_id": rng.integers(40, size=1000)})
    negatives = sample_negatives(log, np.arange(40), random_state=0)
    touched = set(zip(log["user_id"], log["item_id"], strict=True))
    assert not touched & set(zip(negatives["user_id"], negatives["item_id"], strict=True))
    pd.testing.assert_series_equal(negatives["user_id"], log["user_id"])
    pd.testing.assert_frame_equal(negatives, sample_negatives(log, np.arange(40), random_state=0))


def test_negatives_are_uniform_over_the_untouched():
    log = pd.DataFrame({"user_id": np.zeros(9000, dtype=int), "item_id": np.zeros(9000, dtype=int)})
    counts = sample_negatives(log, np.arange(10), random_state=0)["item_id"].value_counts()
    assert 0 not in counts
    assert chisquare(counts).pvalue > 0.001


def test_a_user_of_everything_is_named():
    log = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["a", "b", "a"]})
    with pytest.raises(ValueError, match="user 'ann' has touched all 2"):
        sample_negatives(log, ["a", "b"])


@pytest.mark.parametrize(
    ("items", "message"),
    [(["a"], "'b' is not among them"), (["a", "a", "b"], "items must be unique, got 'a' more than once")],
)
def test_bad_catalogues_are_refused(items, message):
    log = pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]})
    with pytest.raises(ValueError, match=message):
        sample_negatives(log, items)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="interactions must have the column 'timestamp', got"):
        leave_last_out(pd.DataFrame({"user_id": [1]}))
    with pytest.raises(TypeError, match="interactions must be a DataFrame, got list"):
        leave_last_out([1, 2])


@pytest.mark.parametrize("column", ["user_id", "timestamp"])
def test_missing_users_and_times_are_refused(column):
    log = pd.DataFrame({"user_id": [1.0, 1.0, 1.0, 1.0], "timestamp": [1.0, 2.0, 4.0, 3.0]})
    log.loc[2, column] = np.nan
    with pytest.raises(ValueError, match=f"column '{column}' must not be missing, got 1 missing"):
        leave_last_out(log)


def test_split_by_time_equals_the_naive_cut_where_times_differ(rng):
    log = pd.DataFrame({"timestamp": rng.permutation(1000)}, index=rng.integers(5, size=1000))
    part = split_by_time(log, (0.7, 0.2, 0.1))
    expected = ["train" if time < 700 else "validation" if time < 900 else "test" for time in log["timestamp"]]
    assert part.tolist() == expected


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.3, 0.2), (0.9, 0.0, 0.1), (0.6, 0.4, 0)])
def test_split_by_time_leaves_equal_times_together(rng, fractions):
    log = pd.DataFrame({"when": pd.to_datetime(rng.integers(30, size=500), unit="D")})
    part = pd.Series(split_by_time(log, fractions, order="when"))
    assert len(set(zip(log["when"], part, strict=True))) == log["when"].nunique()
    bounds = log["when"].groupby(part).agg(["min", "max"])
    present = [name for name in ("train", "validation", "test") if name in bounds.index]
    assert len(present) == sum(fraction > 0 for fraction in fractions)
    for earlier, later in itertools.pairwise(present):
        assert bounds.loc[earlier, "max"] < bounds.loc[later, "min"]
    assert (part == "train").mean() <= fractions[0]
    assert (part == "train").mean() > fractions[0] - log["when"].value_counts().max() / 500


@pytest.mark.parametrize(
    ("fractions", "error", "message"),
    [
        ((0.8, 0.2), ValueError, r"fractions must be three numbers .* that sum to 1, got \(0.8, 0.2\)"),
        ((0.8, 0.1, 0.2), ValueError, r"that sum to 1, got \(0.8, 0.1, 0.2\)"),
        ((1.2, -0.1, -0.1), ValueError, r"each of fractions must lie in \[0, 1\], got 1.2"),
        (0.8, TypeError, "fractions must be three numbers, got 0.8"),
        ("abc", TypeError, "fractions must be three numbers, got 'abc'"),
    ],
)
def test_bad_fractions_are_named(fractions, error, message):
    with pytest.raises(error, match=message):
        split_by_time(pd.DataFrame({"timestamp": range(10)}), fractions)


def test_a_part_without_a_row_is_named():
    with pytest.raises(ValueError, match=r"each part must have a row, 'train' has none with .* 1 different values"):
        split_by_time(pd.DataFrame({"timestamp": [5] * 10}))
    with pytest.raises(ValueError, match="column 'timestamp' must not be missing, got 1 missing"):
        split_by_time(pd.DataFrame({"timestamp": [5, None, 3]}))


def _naive_core(log, k):
    pairs = list(zip(log["user_id"], log["item_id"], strict=True))
    kept = set(range(len(pairs)))
    while True:
        users, items = Counter(pairs[row][0] for row in kept), Counter(pairs[row][1] for row in kept)
        left = {row for row in kept if users[pairs[row][0]] >= k and items[pairs[row][1]] >= k}
        if left == kept:
            return sorted(kept)
        kept = left


@pytest.mark.parametrize("k", [1, 2, 3, 5, 50])
def test_the_core_equals_the_naive_loop(rng, k):
    users, items = rng.zipf(1.5, size=600) % 80, rng.zipf(1.5, size=600) % 90
    log = pd.DataFrame({"user_id": [f"u{user}" for user in users], "item_id": items}, index=rng.permutation(600))
    core = k_core(log, k)
    pd.testing.assert_frame_equal(core, log.iloc[_naive_core(log, k)])


def test_cores_need_whole_tables():
    log = pd.DataFrame({"user_id": [1, None], "item_id": [1, 1]})
    with pytest.raises(ValueError, match="column 'user_id' must not be missing, got 1 missing"):
        k_core(log)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        k_core(log, 0)
    with pytest.raises(ValueError, match="interactions must have the column 'asin'"):
        k_core(log, item="asin")


def test_the_core_of_a_log_has_its_items_and_users_alone():
    interactions = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": ["a", "b", "a", "b", "c"]})
    items = pd.DataFrame({"item_id": list("dcba"), "title": list("DCBA")})
    bad_lines = pd.DataFrame({"file": ["x"], "line": [1], "reason": ["y"]})
    core = LogData(items, interactions, pd.DataFrame({"user_id": [3, 2, 1]}), bad_lines, 4).k_core(2)
    assert core.items.to_dict("list") == {"item_id": ["b", "a"], "title": ["B", "A"]}
    assert core.users["user_id"].tolist() == [2, 1]
    assert len(core.interactions) == 4
    assert core.bad_lines is bad_lines
    assert core.n_duplicates == 4


def _copies_of(log, part):
    return log.assign(part=part).groupby(["user_id", "item_id", "timestamp"])["part"].nunique()


def test_copies_of_an_interaction_are_never_in_two_parts(rng):
    log = pd.DataFrame(rng.integers(12, size=(300, 3)), columns=["user_id", "item_id", "timestamp"])
    log = pd.concat([log, log.sample(150, random_state=0)], ignore_index=True).sample(frac=1, random_state=1)
    with pytest.warns(DataLeakWarning, match="rows that repeat another, of the same user, item and time, and"):
        part = leave_last_out(log)
    assert (_copies_of(log, part) == 1).all()
    once = log.drop_duplicates(["user_id", "item_id", "timestamp"], keep="last")
    assert part[log.index.isin(once.index)].tolist() == leave_last_out(once).tolist()
    assert (_copies_of(log, split_by_time(log)) == 1).all()


def test_an_interaction_that_is_there_twice_is_not_validation_and_test():
    log = pd.DataFrame({"user_id": 1, "asin": list("abcdd"), "timestamp": [1, 2, 3, 4, 4]})
    with pytest.warns(DataLeakWarning, match="hold 1 rows .* and 1 of them would have been in another part"):
        part = leave_last_out(log, item="asin")
    assert part.tolist() == ["train", "train", "validation", "test", "test"]
    with pytest.warns(DataLeakWarning):
        assert leave_last_out(log).tolist() == part.tolist()  # all columns are equal
    # Other items of one time are other interactions.
    assert leave_last_out(log.assign(asin=list("abcde"))).tolist() == ["train"] * 3 + ["validation", "test"]
    with pytest.raises(ValueError, match="interactions must have the column 'sku'"):
        leave_last_out(log, item="sku")


def test_times_that_are_text_of_numbers_are_refused_where_text_sorts_otherwise():
    log = pd.DataFrame({"user_id": 1, "timestamp": ["9", "10", "11"]})
    for kind in (object, "str", "category"):
        with pytest.raises(ValueError, match="column 'timestamp' must hold numbers or dates, got numbers as text"):
            leave_last_out(log.astype({"timestamp": kind}))
        with pytest.raises(ValueError, match="'10' comes before '9'"):
            split_by_time(log.astype({"timestamp": kind}), (0.4, 0.3, 0.3))
    with pytest.raises(ValueError, match="must hold times of one type, got text such as '10' beside 9"):
        leave_last_out(log.assign(timestamp=[9, "10", 11]))
    for same_width in (["09", "10", "11"], ["2020-01-02", "2020-01-10", "2020-02-01"]):
        assert leave_last_out(log.assign(timestamp=same_width)).tolist() == ["train", "validation", "test"]


def test_users_beyond_2_53_are_others_when_objects_mix_int64_and_uint64():
    users = [np.int64(2**60), np.uint64(2**60), 2**60, np.uint64(2**60 + 1), 2**60 + 1, np.int64(2**60 + 1)]
    log = pd.DataFrame({"user_id": pd.Series(users, dtype=object), "timestamp": [1, 2, 3, 1, 2, 3], "item_id": "a"})
    assert leave_last_out(log).tolist() == ["train", "validation", "test"] * 2
    assert len(k_core(log.assign(item_id=list("aaabbb")), k=3)) == 6
