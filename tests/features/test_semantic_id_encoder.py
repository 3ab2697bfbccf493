import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from semid.embedders import CoClickEmbedder
from semid.features import (
    ItemTable,
    SemanticIDEncoder,
    _catalogue_codes,
    _semantic_id_encoder,
    interaction_embeddings,
)
from semid.tokenizers import MixtureOfCodesTokenizer, ResidualKMeansTokenizer, presets


def test_codes_are_those_of_the_items_by_id(encoder, table, clicks):
    codes = encoder.fit_transform(clicks[["item_id"]])
    of_item = dict(zip(table.ids, encoder.tokenizer_.transform(table.embeddings), strict=True))
    np.testing.assert_array_equal(codes, [of_item[item] for item in clicks["item_id"]])
    assert codes.dtype == np.int64


def test_the_tokenizer_is_fitted_on_the_catalogue_whatever_the_impressions(encoder, clicks):
    all_codes = encoder.fit(clicks[["item_id"]]).codes_
    np.testing.assert_array_equal(clone(encoder).fit(clicks[["item_id"]][:3]).codes_, all_codes)
    assert not hasattr(encoder.tokenizer, "state_")


def test_new_items_get_codes_and_old_ones_keep_theirs(items, clicks):
    ids, X = items.frame["item_id"], items.embeddings
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0)
    encoder = SemanticIDEncoder(tokenizer, ItemTable(ids[:200], X[:200])).fit(ids[:200].to_frame())
    before = encoder.transform(ids.to_frame())
    assert (before[200:] == -1).all()

    moved = X.copy()
    moved[:200] = 0.0  # known items have changed since, and are listed again
    assert encoder.add_items(ItemTable(ids, moved)) is encoder
    after = encoder.transform(ids.to_frame())
    np.testing.assert_array_equal(after[:200], before[:200])
    np.testing.assert_array_equal(after[200:], encoder.tokenizer_.transform(X[200:]))
    np.testing.assert_array_equal(encoder.add_items(ItemTable(ids, moved)).codes_, after)


def test_an_item_table_of_another_width_changes_nothing(encoder, clicks):
    encoder.fit(clicks[["item_id"]])
    before = encoder.codes_
    with pytest.raises(ValueError, match="features"):
        encoder.add_items(ItemTable(["new"], [[1.0, 2.0]]))
    with pytest.raises(TypeError, match="items must be an ItemTable, got list"):
        encoder.add_items(["new"])
    with pytest.raises(ValueError, match="ids of the type that the table has, like 'item00000', got 7"):
        encoder.add_items(ItemTable([7], encoder.items.embeddings[:1]))
    assert encoder.codes_ is before


@pytest.fixture
def text_tokenizer():
    titles = FunctionTransformer(lambda frame: frame["title"])
    tokenizer = MixtureOfCodesTokenizer(2, 8, hidden_layer_sizes=(), latent_dim=6, max_iter=2, random_state=0)
    dense = FunctionTransformer(lambda X: X.toarray())
    return make_pipeline(titles, TfidfVectorizer(max_features=40), dense, tokenizer)


def test_a_table_of_texts_goes_to_a_pipeline_that_reads_them(items, clicks, text_tokenizer):
    texts = ItemTable(items.frame["item_id"], texts=items.frame[["title", "brand"]])
    encoder = SemanticIDEncoder(text_tokenizer, texts).fit(clicks[["item_id"]])
    expected = clone(text_tokenizer).fit(items.frame).transform(items.frame)
    np.testing.assert_array_equal(encoder.codes_, expected)
    new = ItemTable(["new"], texts=pd.DataFrame({"title": items.frame["title"][:1], "brand": "?"}))
    np.testing.assert_array_equal(encoder.add_items(new).codes_[-1], expected[0])


def test_clicks_reach_the_tokenizer_at_the_end_of_a_pipeline(items, table, clicks):
    X, y = clicks[["item_id", "user_id"]], clicks["click"]
    encoder = SemanticIDEncoder(make_pipeline(StandardScaler(), Recorder()), table, user="user_id").fit(X, y)
    alone = SemanticIDEncoder(Recorder(), table, user="user_id").fit(X, y)
    np.testing.assert_array_equal(encoder.tokenizer_[-1].alignment_, alone.tokenizer_.alignment_)
    with pytest.raises(ValueError, match="user must be None for ResidualKMeansTokenizer"):
        SemanticIDEncoder(make_pipeline(ResidualKMeansTokenizer()), table, user="user_id").fit(X, y)


def test_integer_ids_in_any_order_and_as_floats(items, rng):
    ids = rng.permutation(300) + 2**24  # neighbours that float32 cannot tell apart
    table = ItemTable(ids, items.embeddings)
    encoder = SemanticIDEncoder(ResidualKMeansTokenizer(codebook_size=8, random_state=0), items=table)
    codes = encoder.fit_transform(pd.DataFrame({"item": ids}))
    np.testing.assert_array_equal(codes, encoder.tokenizer_.transform(items.embeddings))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"item": ids.astype(float)})), codes)


def test_unknown_and_missing_ids_get_the_code_minus_one_or_an_error(encoder, clicks):
    encoder.fit(clicks[["item_id"]])
    rows = pd.DataFrame({"item_id": ["gone", None, clicks["item_id"][0]]})
    codes = encoder.transform(rows)
    assert (codes[:2] == -1).all()
    assert (codes[2] >= 0).all()
    strict = clone(encoder).set_params(handle_unknown="error").fit(clicks[["item_id"]])
    with pytest.raises(ValueError, match="got 2 that are not, for example 'gone'"):
        strict.transform(rows)


def test_a_column_of_foreign_ids_is_told(encoder):
    with pytest.warns(UserWarning, match=r"100% of the rows of column 'item_id' .* like 17, .* ids like 'item0"):
        encoder.fit(pd.DataFrame({"item_id": [17, 18]}))
    with pytest.warns(UserWarning, match=r"67% of the rows of column 'item_id' .* ids like 'gone', where"):
        encoder.fit(pd.DataFrame({"item_id": ["item00001", "gone", "gone"]}))
    encoder.fit(pd.DataFrame({"item_id": ["item00001", "gone"]}))


def test_several_id_columns_get_their_codes_side_by_side(encoder, clicks):
    X = clicks[["item_id"]].assign(previous=clicks["item_id"].to_numpy()[::-1])
    codes = encoder.set_output(transform="pandas").fit_transform(X)
    assert list(codes.columns) == ["item_id_code0", "item_id_code1", "previous_code0", "previous_code1"]
    np.testing.assert_array_equal(codes["previous_code1"], codes["item_id_code1"][::-1])


def test_a_column_alone_is_refused_with_the_way_out(encoder, clicks):
    with pytest.raises(ValueError, match=r"name \['item_id'\]"):
        encoder.fit(clicks["item_id"])


def test_wrong_items_or_tokenizer_are_refused(table, clicks):
    with pytest.raises(TypeError, match=r"items must be an ItemTable, got ndarray; pass items=ItemTable\("):
        SemanticIDEncoder(ResidualKMeansTokenizer(), items=np.eye(3)).fit(clicks[["item_id"]])
    with pytest.raises(TypeError, match="tokenizer must be an estimator"):
        SemanticIDEncoder("moc", items=table).fit(clicks[["item_id"]])


class CountingTokenizer(ResidualKMeansTokenizer):
    n_fits = 0

    def fit(self, X, y=None, sample_weight=None):
        type(self).n_fits += 1
        return super().fit(X, y, sample_weight)


def test_memory_fits_each_tokenizer_once(table, clicks, tmp_path):
    CountingTokenizer.n_fits = 0
    encoder = SemanticIDEncoder(CountingTokenizer(2, 8, random_state=0), items=table, memory=str(tmp_path))
    codes = encoder.fit_transform(clicks[["item_id"]])
    np.testing.assert_array_equal(clone(encoder).fit_transform(clicks[["item_id"]]), codes)
    assert CountingTokenizer.n_fits == 1
    clone(encoder).set_params(tokenizer__n_codebooks=3).fit(clicks[["item_id"]])
    assert CountingTokenizer.n_fits == 2
    other = ItemTable(table.ids, table.embeddings + 1)
    clone(encoder).set_params(items=other).fit(clicks[["item_id"]])
    assert CountingTokenizer.n_fits == 3


class CountingEmbedder(CoClickEmbedder):
    n_fits = 0

    def fit(self, X, y=None, interactions=None):
        type(self).n_fits += 1
        return super().fit(X, y, interactions)


@pytest.mark.parametrize("is_nested", [False, True])
def test_memory_fits_what_learns_from_clicks_once_for_all_numbers_of_codes(
    table, clicks, tmp_path, monkeypatch, is_nested
):
    CountingEmbedder.n_fits = 0
    embedder = CountingEmbedder(n_components=4, max_iter=1, random_state=0)
    tokenizer = make_pipeline(embedder, ResidualKMeansTokenizer(2, 8, random_state=0))
    n_codebooks = "tokenizer__residualkmeanstokenizer__n_codebooks"
    if is_nested:
        tokenizer = make_pipeline(StandardScaler(), tokenizer)
        n_codebooks = "tokenizer__pipeline__residualkmeanstokenizer__n_codebooks"
    memory = joblib.Memory(tmp_path, verbose=0)
    encoder = SemanticIDEncoder(tokenizer, table, user="user_id", memory=memory)
    X, y = clicks[["user_id", "item_id"]], clicks["click"]
    without = clone(encoder).set_params(memory=joblib.Memory(None), **{n_codebooks: 3}).fit(X, y)
    codes = {n: encoder.set_params(**{n_codebooks: n}).fit(X, y).codes_ for n in (2, 3, 2)}
    np.testing.assert_array_equal(codes[3], without.codes_)
    assert CountingEmbedder.n_fits == 2  # without memory, and with it
    inner = encoder.tokenizer_[-1] if is_nested else encoder.tokenizer_
    assert inner.memory is None
    encoder.fit(X[:2000], y[:2000])
    assert CountingEmbedder.n_fits == 3  # of other clicks
    with monkeypatch.context() as patch:
        patch.setattr(_catalogue_codes, "__version__", "0.0.0")
        encoder.fit(X, y)
    assert CountingEmbedder.n_fits == 4
    memory.clear(warn=False)
    encoder.fit(X, y)
    assert CountingEmbedder.n_fits == 5


def test_the_memory_of_a_pipeline_of_its_own_is_what_it_was(table, clicks, tmp_path):
    embedder = CountingEmbedder(n_components=4, max_iter=1, random_state=0)
    own = str(tmp_path / "own")
    tokenizer = make_pipeline(embedder, ResidualKMeansTokenizer(2, 8, random_state=0), memory=own)
    encoder = SemanticIDEncoder(tokenizer, table, user="user_id", memory=str(tmp_path / "of_the_encoder"))
    encoder.fit(clicks[["user_id", "item_id"]], clicks["click"])
    assert encoder.tokenizer_.memory == own


def test_memory_without_a_seed_warns_and_fits_anew(table, clicks, tmp_path):
    CountingTokenizer.n_fits = 0
    encoder = SemanticIDEncoder(CountingTokenizer(2, 8), items=table, memory=str(tmp_path))
    for _ in range(2):
        with pytest.warns(UserWarning, match="memory keeps nothing for random_state=None"):
            encoder.fit(clicks[["item_id"]])
    assert CountingTokenizer.n_fits == 2


def test_codes_stay_integers_in_a_column_transformer_with_pandas_output(encoder, clicks):
    features = ColumnTransformer(
        [("codes", encoder, ["item_id"]), ("fields", "passthrough", ["user_id", "hour"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    X = features.fit_transform(clicks)
    assert list(X.columns) == ["item_id_code0", "item_id_code1", "user_id", "hour"]
    assert (X.dtypes == np.int64).all()


def test_equal_codes_after_reload(encoder, clicks, tmp_path):
    codes = encoder.fit_transform(clicks[["item_id"]])
    joblib.dump(encoder, tmp_path / "encoder.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "encoder.joblib").transform(clicks[["item_id"]]), codes)


def test_memory_sees_the_seeds_inside_a_pipeline(table, clicks, tmp_path):
    tokenizer = make_pipeline(StandardScaler(), ResidualKMeansTokenizer(2, 8))
    encoder = SemanticIDEncoder(tokenizer, items=table, memory=str(tmp_path))
    with pytest.warns(UserWarning, match="memory keeps nothing for residualkmeanstokenizer__random_state=None"):
        encoder.fit(clicks[["item_id"]])


def test_a_fitted_encoder_needs_no_embeddings(items, clicks, tmp_path):
    np.save(tmp_path / "X.npy", items.embeddings)
    table = ItemTable(items.frame["item_id"], tmp_path / "X.npy")
    encoder = SemanticIDEncoder(ResidualKMeansTokenizer(2, 8, random_state=0), items=table)
    codes = encoder.fit_transform(clicks[["item_id"]])
    pickled = pickle.dumps(encoder)
    (tmp_path / "X.npy").unlink()
    np.testing.assert_array_equal(pickle.loads(pickled).transform(clicks[["item_id"]]), codes)


def test_ids_that_cannot_be_compared_are_refused(encoder, clicks):
    encoder.fit(clicks[["item_id"]])
    with pytest.raises(TypeError, match=r"'item_id' must hold single ids, .*got lists such as \['item.*\.explode\("):
        encoder.transform(pd.DataFrame({"item_id": [["item00001"]]}))


def test_a_fit_that_fails_leaves_the_former_encoder(encoder, clicks):
    codes = encoder.fit_transform(clicks[["item_id"]])
    with pytest.raises(ValueError, match="n_codebooks must be at least 1"):
        encoder.set_params(tokenizer__n_codebooks=0).fit(clicks[["item_id", "user_id"]])
    np.testing.assert_array_equal(encoder.transform(clicks[["item_id"]]), codes)


def test_warnings_point_at_the_users_line(encoder):
    with pytest.warns(UserWarning, match="100% of the rows") as caught:
        encoder.fit(pd.DataFrame({"item_id": [17, 18]}))
    assert caught[0].filename == __file__


class Recorder(TransformerMixin, BaseEstimator):
    """A tokenizer that keeps what it was aligned with; every item has code 0."""

    def fit(self, X, y=None, alignment=None):
        self.alignment_ = alignment
        return self

    def transform(self, X):
        return np.zeros((len(X), 2), dtype=np.int64)


@pytest.fixture
def log(table, rng):
    ids = np.append(table.ids[rng.integers(50, size=400)], "gone")
    log = pd.DataFrame({"user_id": rng.integers(40, size=401).astype(float), "item_id": ids})
    log.loc[3, "user_id"] = np.nan
    return log.assign(click=rng.integers(2, size=401))


def test_with_users_the_clicks_of_fit_are_what_codes_are_aligned_with(table, log):
    encoder = SemanticIDEncoder(Recorder(), table, user="user_id").fit(log[["user_id", "item_id"]], log["click"])
    clicks = log[(log["click"] == 1) & log["user_id"].notna() & (log["item_id"] != "gone")]
    expected = interaction_embeddings(clicks, table.ids, n_components=39, random_state=0)
    np.testing.assert_array_equal(encoder.tokenizer_.alignment_, expected)
    assert encoder.get_feature_names_out().tolist() == ["item_id_code0", "item_id_code1"]
    assert encoder.transform(log[["user_id", "item_id"]]).shape == (401, 2)
    labels = np.array(["no", "yes"])[log["click"]]
    by_position = SemanticIDEncoder(Recorder(), table, user=0).fit(log[["user_id", "item_id"]].to_numpy(), labels)
    np.testing.assert_array_equal(by_position.tokenizer_.alignment_, expected)
    assert by_position.get_feature_names_out().tolist() == ["x1_code0", "x1_code1"]


def test_clicks_move_the_codes_of_a_learned_tokenizer_and_the_cache_knows(table, log, tmp_path):
    X = log[["user_id", "item_id"]]
    tokenizer = MixtureOfCodesTokenizer(
        2, 8, hidden_layer_sizes=(), latent_dim=6, alignment_weight=3.0, max_iter=8, random_state=0
    )
    alone = SemanticIDEncoder(tokenizer, table, memory=str(tmp_path)).fit(X[["item_id"]])
    encoder = SemanticIDEncoder(tokenizer, table, memory=str(tmp_path), user="user_id").fit(X, log["click"])
    assert (encoder.codes_ != alone.codes_).any()
    others = clone(encoder).fit(X, 1 - log["click"])
    assert (encoder.codes_ != others.codes_).any()
    np.testing.assert_array_equal(clone(encoder).fit(X, log["click"]).codes_, encoder.codes_)


def test_users_are_passed_through_a_pipeline(table, log):
    encoder = SemanticIDEncoder(Recorder(), table, user="user_id")
    features = ColumnTransformer(
        [("codes", encoder, ["item_id", "user_id"]), ("fields", "passthrough", ["item_id", "user_id"])],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    columns = features.fit(log[:400], log["click"][:400]).transform(log).columns.tolist()
    assert columns == ["item_id_code0", "item_id_code1", "item_id", "user_id"]


@pytest.mark.parametrize(
    ("parameters", "columns", "y", "message"),
    [
        ({"user": "who"}, ["user_id", "item_id"], "click", "user must name columns of X.*, got 'who'"),
        ({"user": "user_id"}, ["user_id"], "click", "user must go with a column of single item ids.*got none beside"),
        ({"user": "user_id"}, ["user_id", "item_id"], "one", r"got 1: \[1\]. Take more rows or a stratified split"),
        ({"user": "user_id"}, ["user_id", "item_id"], None, "y must be given with user='user_id'"),
        ({"user": "user_id"}, ["user_id", "item_id"], "user_id", "y must have two kinds of labels.*label_clicks makes"),
        (
            {"user": "user_id", "tokenizer": ResidualKMeansTokenizer()},
            ["user_id", "item_id"],
            "click",
            "user must be None for ResidualKMeansTokenizer, whose fit takes no alignment, got 'user_id'",
        ),
    ],
)
def test_bad_users_are_named(table, log, parameters, columns, y, message):
    encoder = SemanticIDEncoder(**{"tokenizer": Recorder(), "items": table, **parameters})
    with pytest.raises(ValueError, match=message):
        encoder.fit(log[columns], None if y is None else log.assign(one=1)[y])


def test_too_few_users_to_align_with_are_named(table, log):
    encoder = SemanticIDEncoder(Recorder(), table, user="user_id")
    with pytest.raises(ValueError, match=r"user must name a column of at least two users .* with 1 and"):
        encoder.fit(log[["user_id", "item_id"]].assign(user_id=1), log["click"])


def test_the_index_of_the_ids_is_built_once_and_kept_out_of_pickles(table, clicks, encoder, monkeypatch):
    built = []
    monkeypatch.setattr(_semantic_id_encoder, "id_index", lambda ids: built.append(len(ids)) or pd.Index(ids))
    ids = clicks[["item_id"]][:5]
    encoder.fit(ids)
    codes = encoder.transform(ids)
    assert built.count(len(table)) == 1
    loaded = pickle.loads(pickle.dumps(encoder))
    assert "_ids_and_index" in vars(encoder)
    assert "_ids_and_index" not in vars(loaded)
    np.testing.assert_array_equal(loaded.transform(ids), codes)
    np.testing.assert_array_equal(loaded.transform(ids), codes)
    assert built.count(len(table)) == 2


def test_a_fit_that_ends_within_a_transform_does_not_mix_with_it(encoder, table, clicks, monkeypatch):
    X = clicks[["item_id"]]
    before = encoder.fit(X).transform(X)
    find, pending = _semantic_id_encoder.find_ids, [ItemTable(table.ids[::-1][:200], table.embeddings[:200])]

    def fitting_find(index, column):
        rows = find(index, column)
        if pending:
            encoder.set_params(items=pending.pop()).fit(X)
        return rows

    monkeypatch.setattr(_semantic_id_encoder, "find_ids", fitting_find)
    np.testing.assert_array_equal(encoder.transform(X), before)
    assert (encoder.transform(X) != before).any()


def test_new_items_of_uint64_keep_the_ids_beyond_2_53_apart(rng):
    ids, X = np.arange(2**60, 2**60 + 10), rng.normal(size=(10, 4)).astype(np.float32)
    asked = pd.DataFrame({"item_id": ids})
    encoder = SemanticIDEncoder(ResidualKMeansTokenizer(2, 3, random_state=0), ItemTable(ids[:6], X[:6])).fit(asked)
    encoder.add_items(ItemTable(ids[4:].astype(np.uint64), X[4:]))
    assert encoder.ids_.dtype == np.int64 and encoder.ids_.tolist() == ids.tolist()
    for kind in ("int64", "uint64", "Int64", "uint64[pyarrow]", "category", object):
        np.testing.assert_array_equal(encoder.transform(asked.astype(kind)), encoder.tokenizer_.transform(X))


def test_ids_of_the_other_kind_are_told_of(encoder, rng):
    numbers = ItemTable(np.arange(9), rng.normal(size=(9, 4)))
    X = pd.DataFrame({"item_id": np.arange(9)})
    encoder = clone(encoder).set_params(items=numbers, tokenizer=ResidualKMeansTokenizer(2, 3)).fit(X)
    with pytest.warns(UserWarning, match="no value of column 'item_id' is known: ids like '0', where the item table"):
        assert (encoder.transform(X.astype(str)) == -1).all()
    encoder.transform(X + 100)  # numbers that are not there are merely new, and so is text
    encoder.transform(pd.DataFrame({"item_id": ["guest"]}))
    encoder.transform(pd.DataFrame({"item_id": ["0", 1]}))  # nor are all of the other kind
    encoder.set_params(handle_unknown="error")
    with pytest.raises(ValueError, match="for example '0': ids like '0', where the table has ids like 0"):
        encoder.transform(X.astype(str))


def test_users_beside_ids_of_the_other_kind_are_told_the_cause(rng):
    numbers = ItemTable(np.arange(9), rng.normal(size=(9, 4)))
    X = pd.DataFrame({"user_id": [1, 2] * 3, "item_id": list("012012")})
    with pytest.raises(ValueError, match="user='user_id' must go with ids of the item table, got ids like '0', where"):
        SemanticIDEncoder(Recorder(), numbers, user="user_id").fit(X, [0, 1] * 3)


def test_labels_must_say_which_of_them_is_the_click(table, log):
    X, clicked = log[["user_id", "item_id"]], log["click"].to_numpy()

    def aligned(y):
        return SemanticIDEncoder(Recorder(), table, user="user_id").fit(X, y).tokenizer_.alignment_

    for negative, positive in (("skip", "click"), ("click", "order"), (b"a", b"b")):
        labels = np.where(clicked == 1, positive, negative)
        with pytest.raises(ValueError, match=r"y must say which label is the click .* Pass y == "):
            aligned(labels)
    for labels in (clicked == 1, np.where(clicked, 1, -1), np.where(clicked, "Yes", "No"), np.where(clicked, "1", "0")):
        np.testing.assert_array_equal(aligned(labels), aligned(clicked))


def test_clicks_reach_a_step_of_a_pipeline_within_another(table, log):
    X, y = log[["user_id", "item_id"]], log["click"]
    alone = SemanticIDEncoder(Recorder(), table, user="user_id").fit(X, y).tokenizer_
    nested = make_pipeline(FunctionTransformer(), make_pipeline(FunctionTransformer(), Recorder()))
    found = SemanticIDEncoder(nested, table, user="user_id").fit(X, y).tokenizer_[-1][-1]
    np.testing.assert_array_equal(found.alignment_, alone.alignment_)

    with_texts = make_pipeline(FunctionTransformer(), presets.co_clicks(n_codebooks=2, max_iter=1, random_state=0))
    codes = SemanticIDEncoder(with_texts, table, user="user_id").fit(X, y).codes_
    plain = presets.co_clicks(n_codebooks=2, max_iter=1, random_state=0)
    np.testing.assert_array_equal(codes, SemanticIDEncoder(plain, table, user="user_id").fit(X, y).codes_)


def test_clicks_reach_a_step_of_a_pipeline_with_metadata_routing_as_without(table, log):
    pipeline = make_pipeline(FunctionTransformer(), Recorder())
    encoder = SemanticIDEncoder(pipeline, table, user="user_id")
    X, y = log[["user_id", "item_id"]], log["click"]
    expected = encoder.fit(X, y).tokenizer_[-1].alignment_
    with config_context(enable_metadata_routing=True):
        found = encoder.fit(X, y).tokenizer_[-1].alignment_
        assert get_config()["enable_metadata_routing"]
    np.testing.assert_array_equal(found, expected)
