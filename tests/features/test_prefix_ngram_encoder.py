import pickle
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from semid.ctr import DeepFMClassifier
from semid.datasets import make_clicks, make_items
from semid.features import HistoryEncoder, ItemTable, PrefixNGramEncoder, SemanticIDEncoder
from semid.tokenizers import ResidualKMeansTokenizer


@pytest.fixture
def codes(rng):
    return rng.integers(4, size=(200, 3))


def _tuples(codes, ngrams):
    groups = [range(n) for n in (1, 2, 3)] if ngrams == "prefix" else combinations(range(3), 2)
    return [[tuple(row[list(group)]) for row in codes] for group in map(list, groups)]


@pytest.mark.parametrize("ngrams", ["prefix", "pairs"])
def test_buckets_are_equal_where_the_codes_are_and_only_there(codes, ngrams):
    buckets = PrefixNGramEncoder(ngrams, n_buckets=2**40).fit_transform(codes)
    for column, tuples in zip(buckets.T, _tuples(codes, ngrams), strict=True):
        assert len(set(zip(column.tolist(), tuples, strict=True))) == len(set(tuples)) == len(set(column.tolist()))
    assert buckets.min() >= 0
    assert buckets.max() < 2**40


def test_one_bucket_holds_everything_and_few_are_all_used(codes):
    assert not PrefixNGramEncoder(n_buckets=1).fit_transform(codes).any()
    assert set(PrefixNGramEncoder(n_buckets=8).fit_transform(codes)[:, 2]) == set(range(8))


def test_an_unknown_code_makes_every_combination_with_it_unknown():
    buckets = PrefixNGramEncoder().fit_transform(pd.DataFrame({"a": [1, 1, -1], "b": [2, None, 2]}))
    assert (buckets < 0).tolist() == [[False, False], [False, True], [True, True]]


def test_the_dtype_of_codes_does_not_matter(codes):
    expected = PrefixNGramEncoder().fit_transform(codes)
    for dtype in ("float64", "Int64", "category", "int8"):
        frame = pd.DataFrame(codes).astype(dtype)
        np.testing.assert_array_equal(PrefixNGramEncoder().fit_transform(frame), expected)


def test_the_same_codes_have_the_same_buckets_in_every_process():
    buckets = PrefixNGramEncoder(n_buckets=1000).fit_transform([[3, 7], [0, 0]])
    assert buckets.tolist() == [[327, 995], [535, 547]]


def test_names_are_those_of_plain_fields(encoder, clicks):
    for ngrams, names in (("prefix", ["item_id_prefix1", "item_id_prefix2"]), ("pairs", ["item_id_pair0_1"])):
        pipeline = make_pipeline(encoder, PrefixNGramEncoder(ngrams)).set_output(transform="pandas")
        assert list(pipeline.fit_transform(clicks[["item_id"]])) == names
    assert PrefixNGramEncoder().fit([[1, 2]]).get_feature_names_out().tolist() == ["prefix1", "prefix2"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ngrams": "triples"}, "ngrams must be one of 'prefix', 'pairs', got 'triples'"),
        ({"n_buckets": 0}, "n_buckets must be at least 1, got 0"),
        ({"n_buckets": 2**63}, r"n_buckets must be at most 2\*\*63 - 1, got 9223372036854775808"),
    ],
)
def test_bad_parameters_are_refused(codes, parameters, message):
    with pytest.raises(ValueError, match=message):
        PrefixNGramEncoder(**parameters).fit(codes)


def test_as_many_buckets_as_can_be_counted(codes):
    assert PrefixNGramEncoder(n_buckets=2**63 - 1).fit_transform(codes).min() >= 0


def test_codes_of_two_items_are_no_chain():
    X = pd.DataFrame({"user_code0": [1], "user_code1": [2], "item_code0": [3]})
    with pytest.raises(
        ValueError, match=r"of one item, got codes of several, named user_code<n> and item_code<n>.*own"
    ):
        PrefixNGramEncoder().fit(X)
    PrefixNGramEncoder().fit(X.rename(columns={"item_code0": "other"}))


def test_one_code_makes_no_pair():
    with pytest.raises(ValueError, match="ngrams='pairs' must have at least two columns of codes"):
        PrefixNGramEncoder("pairs").fit([[1], [2]])


def test_text_and_infinity_are_refused():
    with pytest.raises(TypeError, match="codes must be numbers"):
        PrefixNGramEncoder().fit(pd.DataFrame({"a": pd.Categorical(["x", None])}))
    with pytest.raises(TypeError, match="codes must be numbers"):
        PrefixNGramEncoder().fit(pd.DataFrame({"a": ["x", "y"]}))
    with pytest.raises(ValueError, match="contains infinity"):
        PrefixNGramEncoder().fit([[np.inf, 1.0]])


@pytest.fixture(scope="module")
def impressions():
    """Items and clicks on them, and the history of each row beside it."""
    items = make_items(n_items=60, n_features=8, random_state=0)
    frame = make_clicks(items, n_impressions=400, n_users=10, random_state=0).frame
    encoder = HistoryEncoder(max_length=5).set_output(transform="pandas")
    columns = ["user_id", "item_id", "timestamp"]
    histories = encoder.fit(frame[columns], frame["click"]).transform(frame[columns])
    return ItemTable(items.frame["item_id"], items.embeddings), frame.assign(history=histories["history"])


def _with_codes(table):
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0)
    return SemanticIDEncoder(tokenizer, items=table).set_output(transform="pandas")


def test_items_of_a_history_have_the_buckets_that_they_have_as_candidates(impressions):
    table, frame = impressions
    encoder = _with_codes(table).fit(frame[["item_id", "history"]])
    prefixes = PrefixNGramEncoder(n_buckets=500).set_output(transform="pandas")
    made = prefixes.fit_transform(encoder.transform(frame[["item_id", "history"]]))
    assert made.columns.tolist() == ["item_id_prefix1", "item_id_prefix2", "history"]
    assert made["history"].tolist() == frame["history"].tolist()
    array = made["history"].array
    of_candidates = made.iloc[:, :2].set_axis(frame["item_id"]).groupby(level=0).first()
    is_candidate = np.isin(array.items, of_candidates.index)
    np.testing.assert_array_equal(array.codes[is_candidate], of_candidates.loc[array.items[is_candidate]])


def test_click_models_look_prefixes_of_a_history_up_in_the_tables_of_the_candidate(impressions):
    table, frame = impressions
    columns = ["item_id", "history"]
    pipeline = make_pipeline(_with_codes(table), PrefixNGramEncoder(n_buckets=500)).set_output(transform="pandas")
    X = pipeline.fit_transform(frame[columns]).join(frame[["user_id", "item_id"]])
    model = DeepFMClassifier(max_iter=1, validation=None, random_state=0).fit(X, frame["click"])
    ((position, fields, codes),) = model.encoder_.histories_
    assert model.encoder_.names_[position] == "history"
    shared = [model.encoder_.names_[model.encoder_.categorical_[field]] for field in fields]
    assert dict(zip(shared, codes, strict=True)) == {"item_id": -1, "item_id_prefix1": 0, "item_id_prefix2": 1}
    halves = [model.predict_proba(pickle.loads(pickle.dumps(part))) for part in (X[:200], X[200:])]
    np.testing.assert_allclose(np.vstack(halves), model.predict_proba(X), rtol=1e-6)


def test_a_history_of_other_codes_is_refused_and_so_is_an_array_of_them(impressions):
    table, frame = impressions
    coded = _with_codes(table).fit(frame[["item_id", "history"]]).transform(frame[["item_id", "history"]])
    with pytest.raises(ValueError, match="'history' must be of items with as many codes as the candidate, got 2 and 1"):
        PrefixNGramEncoder().fit(coded[["item_id_code0", "history"]])
    with pytest.raises(ValueError, match="must be of items with as many codes as the candidate, got 0 and 2"):
        PrefixNGramEncoder().fit(coded.assign(history=frame["history"]))
    encoder = PrefixNGramEncoder().fit(coded)
    with pytest.raises(ValueError, match=r"histories must have set_output\(transform='pandas'\)"):
        encoder.transform(coded)
    with pytest.raises(TypeError, match="column 'history' must hold histories, as in fit, got int64"):
        encoder.transform(coded.assign(history=1))
