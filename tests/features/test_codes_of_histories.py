"""SemanticIDEncoder on lists: each entry has the codes that it would have in a column of its own."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline

from semid.features import ClickHistory, HistoryEncoder, ItemTable, SemanticIDEncoder
from semid.tables._histories import UNKNOWN_CODE, HistoryArray, HistoryDtype


class Recorder(TransformerMixin, BaseEstimator):
    """Gives each item two codes, and keeps what it was aligned with."""

    def fit(self, X, y=None, *, alignment=None):
        self.alignment_ = alignment
        return self

    def transform(self, X):
        return np.column_stack([np.arange(len(X)), np.arange(len(X)) % 3])


@pytest.fixture
def encoder(encoder):
    return encoder.set_output(transform="pandas")


@pytest.fixture
def X(clicks):
    """Impressions, each with the items of those just above it."""
    few = clicks[:60].reset_index(drop=True)
    history = [few["item_id"][max(0, row - row % 5) : row].tolist() for row in range(len(few))]
    return few[["user_id", "item_id"]].assign(history=history)


def _codes_of(encoder, history):
    """The codes of each entry, as of a column of single ids."""
    of_item = dict(zip(encoder.ids_.tolist(), encoder.codes_.tolist(), strict=True))
    return [[of_item.get(item, [UNKNOWN_CODE] * encoder.codes_.shape[1]) for item in entries] for entries in history]


def _codes_in(column):
    """The codes that a column of histories carries, entry by entry."""
    array = column.array
    ranges = zip(array.starts, array.stops, strict=True)
    return [array.codes[array.entries[start:stop]].tolist() for start, stop in ranges]


def _as_arrow(lists):
    pa = pytest.importorskip("pyarrow")
    return pd.Series(lists.tolist(), dtype=pd.ArrowDtype(pa.list_(pa.string())))


KINDS = {
    "lists": lambda lists: lists,
    "tuples and None": lambda lists: lists.map(lambda entries: tuple(entries) or None),
    "arrays": lambda lists: lists.map(lambda entries: np.array(entries, dtype=object)),
    "Arrow": _as_arrow,
    "histories": lambda lists: pd.Series(HistoryArray._from_sequence(lists)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_entries_have_the_codes_of_their_items(encoder, X, kind):
    expected_single = clone(encoder).fit_transform(X[["item_id"]])
    made = encoder.fit_transform(X[["item_id", "history"]].assign(history=KINDS[kind](X["history"])))
    assert made.columns.tolist() == encoder.get_feature_names_out().tolist()
    assert made.columns.tolist() == ["item_id_code0", "item_id_code1", "history"]
    assert made["history"].dtype == HistoryDtype("item_id")
    assert list(map(list, made["history"])) == X["history"].tolist()
    assert _codes_in(made["history"]) == _codes_of(encoder, X["history"])
    pd.testing.assert_frame_equal(made[["item_id_code0", "item_id_code1"]], expected_single)
    single = encoder.transform(X[["item_id", "history"]][:1].assign(history=[[]]))
    assert single["history"].tolist() == [()] and single["history"].array.codes.shape == (0, 2)


def test_new_items_have_codes_in_histories_at_once(items, X):
    ids, embeddings = items.frame["item_id"], items.embeddings
    known = X["item_id"].iloc[:30]
    is_known = ids.isin(known).to_numpy()
    encoder = SemanticIDEncoder(Recorder(), ItemTable(ids[is_known], embeddings[is_known])).set_output(
        transform="pandas"
    )
    before = encoder.fit(X[:30][["item_id", "history"]]).transform(X[["item_id", "history"]])
    encoder.add_items(ItemTable(ids, embeddings))
    after = encoder.transform(X[["item_id", "history"]])
    assert (before["history"].array.codes == UNKNOWN_CODE).any()
    assert (after["history"].array.codes != UNKNOWN_CODE).all()
    assert _codes_in(after["history"]) == _codes_of(encoder, X["history"])
    assert after["history"].tolist() == before["history"].tolist()


def test_unknown_items_stay_in_the_history_without_codes_or_are_refused(encoder, X):
    some = X[["item_id", "history"]].assign(history=[["gone", X["item_id"][0]]] * len(X))
    encoder.fit(X[["item_id", "history"]])
    assert _codes_in(encoder.transform(some)["history"])[0] == _codes_of(encoder, [["gone", X["item_id"][0]]])[0]
    strict = clone(encoder).set_params(handle_unknown="error").fit(X[["item_id", "history"]])
    with pytest.raises(ValueError, match="ids must be in the item table, got 1 that are not, for example 'gone'"):
        strict.transform(some)
    unused = pd.Series(HistoryArray._from_sequence(some["history"])[:0].take([-1] * len(X), allow_fill=True))
    assert strict.transform(some.assign(history=unused))["history"].map(len).sum() == 0


def test_the_candidate_is_the_column_that_the_log_names_or_the_first_of_single_ids(encoder, X):
    X = X.assign(previous=X["item_id"], history=HistoryArray._from_sequence(X["history"]))
    named = X.assign(history=X["history"].astype(HistoryDtype("previous")))
    elsewhere = X.assign(history=X["history"].astype(HistoryDtype("shown")))
    for frame, expected in ((X, "item_id"), (named, "previous"), (elsewhere, "item_id")):
        made = clone(encoder).fit_transform(frame[["history", "item_id", "previous"]])
        assert made.columns[0] == "history" and len(made.columns) == 5
        assert made["history"].dtype == HistoryDtype(expected)
    alone = clone(encoder).fit_transform(named[["history"]])
    assert alone["history"].dtype == HistoryDtype() and _codes_in(alone["history"]) == _codes_of(
        clone(encoder).fit(named[["history"]]), X["history"]
    )


def test_without_pandas_output_histories_are_refused_as_their_codes_would_be_lost(encoder, X):
    encoder = clone(encoder).set_output(transform="default").fit(X[["item_id", "history"]])
    with pytest.raises(ValueError, match=r"histories must have set_output\(transform='pandas'\), got 'default'"):
        encoder.transform(X[["item_id", "history"]])


def test_users_go_with_histories_and_several_items_and_the_clicks_are_of_the_first_single_one(table, clicks):
    X, y = clicks[["user_id", "item_id"]], clicks["click"]
    one = SemanticIDEncoder(Recorder(), table, user="user_id").fit(X, y)
    X = X.assign(history=[[item] for item in clicks["item_id"]], previous=clicks["item_id"].to_numpy()[::-1])
    several = SemanticIDEncoder(Recorder(), table, user="user_id").set_output(transform="pandas")
    made = several.fit_transform(X[["history", "user_id", "item_id", "previous"]], y)
    np.testing.assert_array_equal(several.tokenizer_.alignment_, one.tokenizer_.alignment_)
    assert made.columns.tolist() == [
        "history",
        *("item_id_code0", "item_id_code1"),
        *("previous_code0", "previous_code1"),
    ]
    with pytest.raises(ValueError, match=r"a column of single item ids.*got histories alone beside 'user_id'. Pass"):
        clone(several).fit(X[["history", "user_id"]], y)


def test_lists_where_single_ids_were_and_the_other_way_round_are_refused(encoder, X):
    encoder.fit(X[["item_id", "history"]])
    with pytest.raises(TypeError, match=r"column 'item_id' must hold single ids, as in fit, got lists such as \['item"):
        encoder.transform(X[1:][["history", "item_id"]].set_axis(["item_id", "history"], axis=1))
    with pytest.raises(TypeError, match=r"column 'history': histories must be lists of item ids, got 'item.* in row 0"):
        encoder.transform(X[["item_id"]].assign(history=X["item_id"]))
    with pytest.raises(TypeError, match=r"got '\[\]' in row 0. Text of lists is read by semid.datasets.parse_lists."):
        encoder.transform(X[["item_id"]].assign(history=X["history"].astype(str)))


def test_histories_of_ids_of_another_type_are_said_to_be_so(encoder, X):
    with pytest.warns(UserWarning, match="100% of the entries of column 'history' have ids that are not in the item"):
        encoder.fit(X[["item_id"]].assign(history=[[7]] * len(X)))


def test_histories_of_a_log_reach_the_encoder_through_column_transformers(encoder, clicks):
    columns = ["user_id", "item_id", "timestamp"]
    first = ColumnTransformer(
        [("history", HistoryEncoder(max_length=4), columns), ("ids", "passthrough", ["user_id", "item_id"])],
        verbose_feature_names_out=False,
    )
    second = ColumnTransformer(
        [("codes", encoder, ["item_id", "history"]), ("ids", "passthrough", ["user_id", "item_id"])],
        verbose_feature_names_out=False,
    )
    both = make_pipeline(first, second).set_output(transform="pandas")
    made = both.fit_transform(clicks[columns], clicks["click"])
    assert made.columns.tolist() == ["item_id_code0", "item_id_code1", "history", "user_id", "item_id"]
    clicked = clicks[clicks["click"] == 1]
    expected = ClickHistory.from_frame(clicked).before(clicks["user_id"], clicks["timestamp"], max_length=4)
    assert made["history"].tolist() == list(expected)
    assert made["history"].dtype == HistoryDtype("item_id")
    codes = both.named_steps["columntransformer-2"].named_transformers_["codes"]
    assert _codes_in(made["history"]) == _codes_of(codes, made["history"])


def test_an_encoder_of_histories_survives_a_pickle(encoder, X):
    made = encoder.fit_transform(X[["item_id", "history"]])
    again = pickle.loads(pickle.dumps(encoder)).transform(X[["item_id", "history"]])
    assert _codes_in(again["history"]) == _codes_in(made["history"])
