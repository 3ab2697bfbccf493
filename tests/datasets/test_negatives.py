import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from sklearn.model_selection import TimeSeriesSplit

from semid.datasets import add_negatives, leave_last_out, sample_negatives


@pytest.fixture
def log(rng):
    return pd.DataFrame({"user_id": rng.integers(60, size=2000), "item_id": rng.integers(80, size=2000)})


def _pairs(frame):
    return set(zip(frame["user_id"], frame["item_id"], strict=True))


def test_one_uniform_negative_is_the_one_it_has_always_been():
    """Values of version 0.1.0.dev0, before there were other negatives: the stored study rests on them."""
    rng = np.random.default_rng(7)
    small = pd.DataFrame({"user_id": rng.integers(6, size=40), "item_id": rng.integers(12, size=40)})
    assert sample_negatives(small, np.arange(12), random_state=0)["item_id"].tolist() == [
        *(0, 0, 1, 9, 3, 9, 9, 3, 0, 10, 4, 7, 0, 8, 8, 4, 1, 6, 7, 3),
        *(8, 11, 5, 9, 8, 9, 2, 3, 0, 3, 5, 0, 7, 3, 8, 1, 2, 3, 3, 7),
    ]
    words = pd.DataFrame({"user_id": ["ann"] * 7 + ["bob"] * 3, "item_id": list("abcdefgaah")}, index=range(10, 0, -1))
    negatives = sample_negatives(words, list("abcdefgh"), random_state=3)
    assert negatives["item_id"].tolist() == list("hhhhhhhffd")
    assert negatives.index.tolist() == words.index.tolist()
    large = pd.DataFrame({"user_id": rng.integers(500, size=20000), "item_id": rng.integers(300, size=20000)})
    drawn = sample_negatives(large, np.arange(300), random_state=5)["item_id"].to_numpy(np.int64)
    assert hashlib.sha256(drawn.tobytes()).hexdigest().startswith("250acb8ff6b706778293e72b5b478f0f")


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_several_negatives_follow_their_interaction_and_were_never_touched(log, sampling):
    options = {"n_negatives": 3, "sampling": sampling, "random_state": 1}
    negatives = sample_negatives(log.assign(rank=range(len(log))), np.arange(100), **options)
    assert negatives["rank"].tolist() == np.repeat(np.arange(len(log)), 3).tolist()
    assert negatives["user_id"].tolist() == log["user_id"].repeat(3).tolist()
    assert not _pairs(log) & _pairs(negatives)
    again = sample_negatives(log, np.arange(100), **options)
    assert again["item_id"].tolist() == negatives["item_id"].tolist()


@pytest.mark.parametrize("exponent", [0, 0.75, 1])
def test_popular_negatives_come_in_proportion_to_their_interactions(exponent):
    counts = np.array([500, 200, 100, 50, 10, 0])
    others = pd.DataFrame({"user_id": 1, "item_id": np.repeat(np.arange(6), counts)})
    mine = pd.DataFrame({"user_id": 2, "item_id": np.full(4000, 1)})
    log = pd.concat([others[others["item_id"] != 4], mine, pd.DataFrame({"user_id": 3, "item_id": [4] * 10})])
    negatives = sample_negatives(log, np.arange(6), sampling="popularity", exponent=exponent, random_state=0)
    drawn = negatives.loc[negatives["user_id"] == 2, "item_id"].value_counts()
    expected = counts[[0, 2, 3, 4]] ** float(exponent)
    assert set(drawn.index) <= {0, 2, 3, 4}
    assert chisquare(drawn.reindex([0, 2, 3, 4], fill_value=0), 4000 * expected / expected.sum()).pvalue > 0.001


def test_a_user_of_nearly_everything_popular_gets_what_is_left():
    popular = pd.DataFrame({"user_id": 1, "item_id": np.repeat([0, 1], 25_000)})
    log = pd.concat([popular, pd.DataFrame({"user_id": [2, 3], "item_id": [2, 3]})])
    negatives = sample_negatives(log, np.arange(5), sampling="popularity", exponent=1.0, random_state=0)
    drawn = negatives.loc[negatives["user_id"] == 1, "item_id"].value_counts(normalize=True)
    assert set(drawn.index) == {2, 3}
    assert abs(drawn[2] - 0.5) < 0.02


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_excluded_pairs_are_not_drawn(log, rng, sampling):
    later = pd.DataFrame({"user_id": rng.integers(70, size=3000), "item_id": rng.integers(110, size=3000)})
    negatives = sample_negatives(log, np.arange(100), exclude=later, n_negatives=5, sampling=sampling, random_state=0)
    assert not (_pairs(log) | _pairs(later)) & _pairs(negatives)


def test_added_negatives_come_behind_their_interaction_with_all_its_columns(log):
    log = log.assign(part=leave_last_out(log.assign(timestamp=range(len(log)))), weight=0.5).sort_values("user_id")
    impressions = add_negatives(log, np.arange(100), n_negatives=2, random_state=4)
    n = len(log)
    assert impressions.index.tolist() == list(range(3 * n))
    assert impressions["click"].tolist() == [1, 0, 0] * n
    clicked = impressions["click"] == 1
    pd.testing.assert_frame_equal(
        impressions[clicked].drop(columns="click").reset_index(drop=True), log.reset_index(drop=True)
    )
    drawn = sample_negatives(log, np.arange(100), n_negatives=2, random_state=4)
    pd.testing.assert_frame_equal(
        impressions[~clicked].drop(columns="click").reset_index(drop=True), drawn.reset_index(drop=True)
    )
    assert add_negatives(log, np.arange(100), label="seen").columns[-1] == "seen"


def test_each_fold_of_a_time_series_split_has_clicks_and_negatives(log):
    impressions = add_negatives(log, np.arange(100), random_state=0)
    for train, test in TimeSeriesSplit(n_splits=4).split(impressions):
        for rows in (train, test):
            assert abs(impressions["click"].iloc[rows].mean() - 0.5) < 0.01


@pytest.mark.parametrize("log_kind", ["int64", "uint64", "Int64", "UInt64", "int64[pyarrow]", "object", "category"])
@pytest.mark.parametrize("items_kind", ["int64", "uint64", "UInt64", "uint64[pyarrow]", "object"])
def test_ids_beyond_2_53_stay_apart_when_the_log_and_the_catalogue_have_other_dtypes(log_kind, items_kind):
    ids = [2**60 + n for n in range(10)]
    log = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": pd.Series(ids[:4]).astype(log_kind)})
    items = pd.Series(ids).astype(items_kind)
    impressions = add_negatives(log, items, n_negatives=5, random_state=0)
    expected = add_negatives(log.assign(item_id=ids[:4]), np.array(ids), n_negatives=5, random_state=0)
    assert [int(one) for one in impressions["item_id"]] == expected["item_id"].tolist()
    later = pd.DataFrame({"user_id": [1] * 5, "item_id": pd.Series(ids[2:7]).astype(items_kind)})
    drawn = sample_negatives(log, items, n_negatives=20, exclude=later, random_state=0)
    assert {int(one) for one in drawn["item_id"][drawn["user_id"] == 1]} <= set(ids[7:])


def test_integers_of_two_dtypes_stay_integers():
    log = pd.DataFrame({"user_id": [1, 2], "item_id": np.array([1, 2])})
    impressions = add_negatives(log, np.arange(1, 5, dtype=np.uint64), random_state=0)
    assert impressions["item_id"].dtype == np.int64
    above = add_negatives(log, np.array([1, 2, 2**63 + 5], dtype=np.uint64), n_negatives=9, random_state=0)
    assert above["item_id"].dtype == np.uint64 and 2**63 + 5 in set(above["item_id"].tolist())


@pytest.mark.parametrize("log_kind", ["int64", "int32", "uint64", "Int64"])
@pytest.mark.parametrize("items_kind", ["float64", "float32", "Float64"])
def test_integers_of_a_log_stay_integers_beside_a_catalogue_of_whole_floats(log_kind, items_kind):
    log = pd.DataFrame({"user_id": [0, 1], "item_id": pd.Series([1, 2], dtype=log_kind)})
    impressions = add_negatives(log, pd.Series([1.0, 2.0, 3.0, 4.0], dtype=items_kind), random_state=0)
    assert pd.api.types.is_integer_dtype(impressions["item_id"])
    assert impressions["item_id"].tolist()[::2] == [1, 2]
    assert set(impressions["item_id"]) <= {1, 2, 3, 4}


def test_floats_stay_floats():
    log = pd.DataFrame({"user_id": [0, 1], "item_id": [1.0, 2.0]})
    assert add_negatives(log, pd.Series([1.0, 2.0, 3.0]), random_state=0)["item_id"].dtype == np.float64
    assert (
        add_negatives(log.astype({"item_id": "float32"}), [1.0, 2.0, 3.0], random_state=0)["item_id"].dtype.kind == "f"
    )
    assert add_negatives(log.astype({"item_id": int}), [1.0, 2.0, 3.5], random_state=0)["item_id"].tolist()[0] == 1


def test_ids_of_the_other_kind_are_named_as_such():
    log = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    with pytest.raises(ValueError, match="1 is not among them: ids like 1, where items has ids like '1'"):
        sample_negatives(log, ["1", "2", "3"])
    with pytest.warns(UserWarning, match="no value of column 'item_id' is known: ids like '3', where the log has"):
        sample_negatives(log, [1, 2, 3], exclude=pd.DataFrame({"user_id": [1], "item_id": ["3"]}))


def test_no_interactions_have_no_negatives():
    log = pd.DataFrame({"user_id": np.array([], dtype=int), "item_id": np.array([], dtype=int)})
    for sampling in ("uniform", "popularity"):
        assert len(sample_negatives(log, [1, 2], sampling=sampling)) == 0
    assert len(add_negatives(log, [1, 2])) == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_negatives": 0}, ValueError, "n_negatives must be at least 1, got 0"),
        ({"sampling": "hard"}, ValueError, "sampling must be one of 'uniform', 'popularity', got 'hard'"),
        ({"exponent": -1}, ValueError, r"exponent must lie in \[0, inf\), got -1"),
        ({"exclude": [(1, 2)]}, TypeError, "exclude must be a DataFrame, got list"),
        ({"exclude": pd.DataFrame({"user_id": [1]})}, ValueError, "exclude must have the column 'item_id'"),
        ({"item": "asin"}, ValueError, "interactions must have the column 'asin'"),
    ],
)
def test_bad_parameters_are_named(log, options, error, message):
    with pytest.raises(error, match=message):
        sample_negatives(log, np.arange(100), **options)


def test_logs_that_leave_nothing_to_draw_are_refused():
    log = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["a", "b", "a"]})
    with pytest.raises(ValueError, match="leave an item with interactions untouched, user 'ann' has touched all 2"):
        sample_negatives(log, ["a", "b", "c"], sampling="popularity")
    with pytest.raises(ValueError, match="user 'bob' has touched all 3"):
        sample_negatives(log, ["a", "b", "c"], exclude=pd.DataFrame({"user_id": ["bob", "bob"], "item_id": ["b", "c"]}))
    with pytest.raises(ValueError, match="column 'user_id' must not be missing, got 1 missing"):
        sample_negatives(log.assign(user_id=["ann", None, "bob"]), ["a", "b", "c"])
    with pytest.raises(ValueError, match="label must name a new column, interactions have 'click' already"):
        add_negatives(log.assign(click=1), ["a", "b", "c"])
    with pytest.raises(ValueError, match="items must not be missing, got 1 missing"):
        sample_negatives(log, ["a", "b", None])
