import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from semid.datasets import leave_last_out, sample_negatives


def test_leave_last_out_equals_the_naive_loop(rng):
    log = pd.DataFrame({"user_id": rng.integers(20, size=200), "position": rng.permutation(200)})
    part = leave_last_out(log)
    for user in log["user_id"].unique():
        rows = np.flatnonzero(log["user_id"] == user)
        rows = rows[np.argsort(log["position"].to_numpy()[rows])]
        expected = ["train"] * (len(rows) - 2) + ["validation", "test"] if len(rows) >= 3 else ["train"] * len(rows)
        assert part[rows].tolist() == expected


def test_leave_last_out_ignores_the_index_and_the_order_of_rows(rng):
    log = pd.DataFrame({"user_id": [1, 1, 1, 2, 2, 2], "position": [0, 1, 2, 0, 1, 2]}, index=[9, 9, 8, 7, 7, 1])
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
    with pytest.raises(ValueError, match="interactions must have the column 'position', got"):
        leave_last_out(pd.DataFrame({"user_id": [1]}))
    with pytest.raises(TypeError, match="interactions must be a DataFrame, got list"):
        leave_last_out([1, 2])
