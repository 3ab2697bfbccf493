"""What codes add to a click model, where it is known."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import roc_auc_score

from semid.ctr import FactorizationMachineClassifier, codes_worth
from semid.ctr._worth import _impressions


@pytest.fixture(scope="module")
def log():
    """300 users who take items of one of four kinds; item 4n + k is of kind k."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(300), 6)
    return pd.DataFrame({"user_id": users, "item_id": 4 * rng.integers(50, size=1_800) + users % 4})


class Remembers(ClassifierMixin, BaseEstimator):
    """Knows what kind a user takes if it is shown kinds; else nothing. The seed shifts a little."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.array([0, 1])
        self.kinds_ = X[y == 1].groupby("user_id")["item_code0"].first() if "item_code0" in X else None
        self.seen_ = set(zip(X["user_id"][y == 1], X["item_id"][y == 1], strict=True))
        return self

    def predict_proba(self, X):
        assert not self.seen_ & set(zip(X["user_id"], X["item_id"], strict=True))  # nothing of the test was trained on
        p = np.full(len(X), 0.5)
        if self.kinds_ is not None:
            p = np.where(X["user_id"].map(self.kinds_) == X["item_code0"], 0.9, 0.1)
        return np.column_stack([1 - p, p])


def test_the_gain_is_that_of_what_the_model_knows_by_the_codes(log):
    worth = codes_worth(np.arange(200)[:, None] % 4, log, model=Remembers(), n_fits=2)
    # A negative is of the user's kind a bit less often than one in four: it is none of those that the user took.
    expected = 0.5 + 0.5 * (1 - 45 / 195)
    assert worth.table.loc["codes", "auc"] == pytest.approx(expected, abs=0.04)
    assert worth.table.loc["no codes"].tolist() == [0.5, 0.5]
    assert worth.gain.loc["no codes", "auc"] == worth.table.loc["codes", "auc"] - 0.5
    assert worth.gain.loc["popularity", "auc"] == pytest.approx(
        worth.table.loc["codes", "auc"] - worth.table.loc["popularity", "auc"]
    )
    assert "What codes add, with the standard error over users and 2 fits" in str(worth)


def test_the_error_is_that_of_drawing_users(log):
    """Of 300 independent users whose pair is won or tied: the error of a mean."""
    worth = codes_worth(np.arange(200)[:, None] % 4, log, model=Remembers(), n_fits=1)
    share = 2 * worth.table.loc["codes", "auc"] - 1  # of negatives that are of another kind
    expected = 0.5 * np.sqrt(share * (1 - share) / 300)
    assert worth.gain.loc["no codes", "auc_error"] == pytest.approx(expected, rel=0.3)


def test_popularity_is_the_number_of_training_clicks_and_cold_items_have_few(log):
    codes = np.arange(200)[:, None] % 4
    worth = codes_worth(codes, log, model=Remembers(), n_fits=1, n_cold=6, random_state=3)
    train, test = _impressions(log, np.arange(200), "user_id", "item_id", None, np.random.RandomState(3))
    clicks = train[train["click"] == 1].groupby("item").size().reindex(range(200), fill_value=0)
    scores, y = clicks.loc[test["item"]].to_numpy(), test["click"]
    assert worth.table.loc["popularity", "auc"] == roc_auc_score(y, scores)
    assert worth.n_cold == (scores <= 6).sum()
    assert worth.table.loc["popularity", "auc_cold"] == roc_auc_score(y[scores <= 6], scores[scores <= 6])


def test_each_users_last_item_is_the_test_by_row_or_by_time(log):
    distinct = log.drop_duplicates()
    last = set(distinct.groupby("user_id").tail(1).itertuples(index=False, name=None))
    _, test = _impressions(log, np.arange(200), "user_id", "item_id", None, np.random.RandomState(0))
    positives = test[test["click"] == 1]
    assert set(zip(positives["user"], positives["item"], strict=True)) == last
    backwards = log.iloc[::-1].assign(when=np.arange(len(log))[::-1])
    _, test = _impressions(backwards, np.arange(200), "user_id", "item_id", "when", np.random.RandomState(0))
    assert len(test) == 600


@pytest.mark.slow
def test_a_real_click_model_gains_by_codes_and_not_by_random_ones(log, rng):
    model = FactorizationMachineClassifier(max_iter=5)
    codes = np.arange(200)[:, None] % 4
    assert codes_worth(codes, log, model=model, n_fits=1).gain.loc["no codes", "auc"] > 0.05
    assert codes_worth(rng.permutation(codes), log, model=model, n_fits=1).gain.loc["no codes", "auc"] < 0.04


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda log: log.to_numpy(), TypeError, "log must be a DataFrame, got ndarray"),
        (lambda log: log[["user_id"]], ValueError, "item must be a column of log, got 'item_id'"),
        (
            lambda log: log.assign(item_id=900),
            ValueError,
            r"log must have interactions of users with items of the mapping, got none .*: ids like 900, where",
        ),
        (lambda log: log.assign(item_id=log["item_id"].astype(str)), ValueError, "Text and numbers are never equal"),
        (lambda log: pd.concat([log, log[["user_id"]]], axis=1), ValueError, "user must be .* got 'user_id' twice"),
        (lambda log: log.assign(user_id=[[1]] * len(log)), TypeError, "user_id must hold text or numbers, got "),
        (lambda log: log.drop_duplicates("user_id"), ValueError, "log must have a user with three items or more"),
    ],
)
def test_logs_of_which_nothing_can_be_learned_are_refused(log, change, error, message):
    with pytest.raises(error, match=message):
        codes_worth(np.arange(200)[:, None] % 4, change(log))


def test_of_an_item_taken_twice_the_first_in_time_counts_in_any_order_of_the_rows():
    log = pd.DataFrame({"user_id": 1, "item_id": [0, 1, 2, 0], "t": [0, 1, 2, 3]})
    for rows in (log, log[::-1]):
        _, test = _impressions(rows, np.arange(20), "user_id", "item_id", "t", np.random.RandomState(0))
        assert test["item"][test["click"] == 1].tolist() == [2]
