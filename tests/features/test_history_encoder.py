"""Histories inside scikit-learn: strictly before each impression, and of training rows alone."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from semid.features import ClickHistory, HistoryEncoder
from semid.tables._histories import HistoryDtype

COLUMNS = ["user_id", "item_id", "timestamp"]


def _naive(log, user, time, max_length=50):
    """The last items that a user clicked strictly before a time, by looking at all clicks."""
    return tuple(log[(log["user_id"] == user) & (log["timestamp"] < time)]["item_id"].tolist()[-max_length:])


def _expected(log, X, max_length=50):
    log = log.sort_values("timestamp", kind="stable")
    pairs = zip(X["user_id"], X["timestamp"], strict=True)
    return [_naive(log, user, time, max_length) for user, time in pairs]


@pytest.fixture
def few(clicks):
    return clicks[clicks["user_id"] < 40].reset_index(drop=True)


def test_histories_are_the_clicks_of_the_rows_in_fit_before_each_row(few):
    train, test = few[::2], few[1::2]
    encoder = HistoryEncoder(max_length=5)
    made = encoder.fit_transform(train[COLUMNS], train["click"])
    clicked = train[train["click"] == 1]
    assert made["history"].tolist() == _expected(clicked, train, 5)
    assert made["history"].dtype == HistoryDtype("item_id") and made.index.equals(train.index)
    assert encoder.transform(test[COLUMNS])["history"].tolist() == _expected(clicked, test, 5)
    assert encoder.transform(train[COLUMNS])["history"].tolist() == made["history"].tolist()


def test_a_log_of_ones_own_takes_the_place_of_the_rows_in_fit(few):
    clicked = few[few["click"] == 1]
    log = ClickHistory.from_frame(clicked)
    encoder = HistoryEncoder(log).fit(few[:10][["user_id", "timestamp"]])
    assert encoder.log_ is log and clone(encoder).log is log
    histories = encoder.transform(few[["user_id", "timestamp"]])["history"]
    assert histories.tolist() == _expected(clicked, few)
    assert histories.dtype == HistoryDtype("item_id")


def test_without_labels_each_row_is_a_click(few):
    assert HistoryEncoder().fit_transform(few[COLUMNS])["history"].tolist() == _expected(few, few)


def test_without_times_the_order_of_rows_is_the_time(few):
    X, y = few[["user_id", "item_id"]], few["click"]
    numbered = few.assign(timestamp=np.arange(len(few)))
    encoder = HistoryEncoder(time=None)
    assert encoder.fit_transform(X, y)["history"].tolist() == _expected(numbered[y == 1], numbered)
    later = numbered[:20].assign(timestamp=len(few))
    assert encoder.transform(X[:20])["history"].tolist() == _expected(numbered[y == 1], later)


def _future(rng, n=4000):
    """A log in which users click the item of their next click: to know later clicks, or one's own, is to know all."""
    users, items = rng.integers(0, 40, n), rng.integers(0, 200, n)
    return pd.DataFrame({"user_id": users, "item_id": items, "timestamp": rng.permutation(n) // 2}), rng.integers(
        0, 2, n
    )


def _item_is_in_the_history(X):
    return np.array([[float(item in history)] for item, history in zip(X["item_id"], X["history"], strict=True)])


def _with_candidate(encoder):
    columns = [("history", encoder, COLUMNS), ("item", "passthrough", ["item_id"])]
    return ColumnTransformer(columns, verbose_feature_names_out=False).set_output(transform="pandas")


@pytest.mark.parametrize("time", ["timestamp", None])
def test_a_history_gives_nothing_of_the_label_away_where_the_future_would_give_all(time):
    rng = np.random.default_rng(0)
    X, y = _future(rng)
    # An item is shown to a user once: it is in a history that leaks if, and only if, it was clicked.
    X["item_id"] = np.arange(len(X))
    order = X.sort_values("timestamp").index
    X, y = X.loc[order].reset_index(drop=True), y[order]
    made = _with_candidate(HistoryEncoder(time=time)).fit_transform(X, y)
    leaking = HistoryEncoder().fit(X, y).log_.before(X["user_id"], max_length=10_000)
    assert roc_auc_score(y, _item_is_in_the_history(X.assign(history=leaking))[:, 0]) == 1
    assert roc_auc_score(y, _item_is_in_the_history(made)[:, 0]) == 0.5


def test_a_fold_knows_the_clicks_of_its_training_rows_alone():
    rng = np.random.default_rng(0)
    X, y = _future(rng)
    # Each click is there a second time, a moment later, and not clicked: the earlier row gives the later one away.
    X["item_id"], X["timestamp"] = np.arange(len(X)), 2 * X["timestamp"]
    later = X.assign(timestamp=X["timestamp"] + 1)
    X, y = pd.concat([X, later], ignore_index=True), np.concatenate([y, y])
    seen = make_pipeline(
        _with_candidate(HistoryEncoder()), FunctionTransformer(_item_is_in_the_history), _FirstColumn()
    )
    halves = [(np.arange(4000), np.arange(4000, 8000)), (np.arange(4000, 8000), np.arange(4000))]
    scores = cross_val_predict(seen, X, y, cv=halves)
    assert roc_auc_score(y[4000:], scores[4000:]) == 1  # of training rows, that were earlier
    assert roc_auc_score(y[:4000], scores[:4000]) == 0.5  # of training rows, that were later
    scores = cross_val_predict(seen, X[4000:], y[4000:], cv=KFold(4))
    assert roc_auc_score(y[4000:], scores) == 0.5  # the rows held out are nowhere in the log


class _FirstColumn(FunctionTransformer):
    """A model that predicts its first column."""

    def fit(self, X, y=None):
        super().fit(X)
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return X[:, 0]


def test_column_transformers_keep_the_column(few):
    made = _with_candidate(HistoryEncoder()).fit_transform(few, few["click"])
    assert made.columns.tolist() == ["history", "item_id"]
    assert made["history"].dtype == HistoryDtype("item_id")
    assert _with_candidate(HistoryEncoder(name="clicked")).fit_transform(few, few["click"]).columns[0] == "clicked"


def test_columns_by_position_and_arrays_are_taken(few):
    encoder = HistoryEncoder(user=0, item=1, time=2)
    expected = HistoryEncoder().fit_transform(few[COLUMNS], few["click"])["history"]
    assert encoder.fit_transform(few[COLUMNS].to_numpy(), few["click"])["history"].tolist() == expected.tolist()
    assert encoder.fit_transform(few[COLUMNS], few["click"])["history"].dtype == expected.dtype
    assert encoder.get_feature_names_out().tolist() == ["history"]


def test_polars_frames_give_lists_of_polars(few):
    pl = pytest.importorskip("polars")
    encoder = HistoryEncoder().set_output(transform="polars")
    made = encoder.fit_transform(pl.DataFrame(few[COLUMNS].to_dict("list")), few["click"])
    expected = HistoryEncoder().fit_transform(few[COLUMNS], few["click"])["history"]
    assert made["history"].to_list() == list(map(list, expected))


def test_a_loaded_encoder_gives_the_same_histories(few, tmp_path):
    encoder = HistoryEncoder().fit(few[COLUMNS], few["click"])
    joblib.dump(encoder, tmp_path / "encoder.joblib")
    again = joblib.load(tmp_path / "encoder.joblib")
    assert again.transform(few[COLUMNS])["history"].tolist() == encoder.transform(few[COLUMNS])["history"].tolist()


def test_users_of_another_type_are_said_to_be_so(few):
    encoder = HistoryEncoder().fit(few[COLUMNS], few["click"])
    with pytest.warns(UserWarning, match="no value of column 'user_id' is known: ids like '.*', where the log has ids"):
        encoder.transform(few[COLUMNS].astype({"user_id": str}).assign(user_id=few["user_id"].astype(str)))


def test_times_of_another_unit_are_said_to_be_so(few):
    X = few[["user_id", "timestamp"]]
    log = ClickHistory.from_frame(few)
    with pytest.warns(UserWarning, match=r"far behind those of the log.*all clicks, later ones too. Are they in"):
        HistoryEncoder(log).fit(X.assign(timestamp=1000 * X["timestamp"]))
    with pytest.warns(UserWarning, match=r"far before those of the log.*hold none. Are they in the same unit"):
        HistoryEncoder(log).fit(X.assign(timestamp=X["timestamp"] // 1000))


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (HistoryEncoder(max_length=0), ValueError, "max_length must be at least 1, got 0"),
        (HistoryEncoder(name=""), ValueError, "name must be the name of a column, got ''"),
        (HistoryEncoder(user="who"), ValueError, "user must name columns of X, or give their positions, got 'who'"),
        (HistoryEncoder(time="when"), ValueError, "time must name columns of X"),
        (HistoryEncoder(item="what"), ValueError, "item must name columns of X"),
        (HistoryEncoder(log=[1]), TypeError, r"log must be a ClickHistory or None, got list; pass log=ClickHistory\("),
        (HistoryEncoder(ClickHistory([1], [2])), ValueError, "go with the log, which has no times, got 'timestamp'"),
        (HistoryEncoder(ClickHistory([1], [2], [3]), time=None), ValueError, "has times, got None. Name their column"),
    ],
)
def test_wrong_parameters_are_refused_with_the_way_out(encoder, error, message, few):
    with pytest.raises(error, match=message):
        encoder.fit(few[COLUMNS], few["click"])


def test_labels_must_say_what_a_click_is(few):
    with pytest.raises(ValueError, match="y must have two kinds of labels with log=None, no click and click, got 1"):
        HistoryEncoder().fit(few[COLUMNS], np.zeros(len(few)))


def test_clicks_added_later_make_the_log_of_all_clicks(few):
    whole = HistoryEncoder().fit(few[COLUMNS], few["click"])
    order = np.random.default_rng(0).permutation(len(few))  # older ones may come later
    first, *later = np.array_split(order, 3)
    parts = HistoryEncoder().fit(few.loc[first, COLUMNS], few.loc[first, "click"])
    for rows in later:
        parts.add_clicks(few.loc[rows, COLUMNS], few.loc[rows, "click"])
    assert parts.transform(few[COLUMNS])["history"].tolist() == whole.transform(few[COLUMNS])["history"].tolist()


def test_clicks_added_without_times_are_later_than_those_before(few):
    X, y = few[["user_id", "item_id"]], few["click"]
    whole = HistoryEncoder(time=None).fit(X, y).transform(X)["history"]
    parts = HistoryEncoder(time=None).fit(X[:100], y[:100]).add_clicks(X[100:150], y[100:150])
    assert parts.add_clicks(X[150:], y[150:]).transform(X)["history"].tolist() == whole.tolist()
    clicked = X[y == 1]
    log = ClickHistory(clicked["user_id"][:50], clicked["item_id"][:50])
    of_a_log = HistoryEncoder(log, time=None).fit(X).add_clicks(clicked[50:])
    assert of_a_log.transform(X)["history"].tolist() == whole.tolist()
    assert of_a_log.log is log and len(log) == 50


def test_clicks_of_another_kind_are_refused_and_leave_the_log_as_it_was(few):
    encoder = HistoryEncoder().fit(few[COLUMNS], few["click"])
    before = encoder.log_
    with pytest.raises(TypeError, match="users must be of the type that the log has"):
        encoder.add_clicks(few[COLUMNS].astype({"user_id": str}))
    with pytest.raises(ValueError, match="feature names"):
        encoder.add_clicks(few[["user_id", "item_id"]])
    assert encoder.log_ is before
