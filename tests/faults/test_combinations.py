"""What a hostile reader of histories, co-click codes, the recommender and the audit has found: joins, above all."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from pyarrow import dataset
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline

from semid import io
from semid.ctr import DeepFMClassifier, codes_worth
from semid.datasets import leave_last_out
from semid.embedders import CoClickEmbedder
from semid.features import ClickHistory, HistoryEncoder, ItemTable, SemanticIDEncoder, interaction_matrix
from semid.io import CodeLogitsProcessor, CodeVocabulary, add_code_tokens, prefix_table
from semid.metrics import co_click_auc, co_click_rates, collision_rate, tokenizer_report
from semid.metrics._report import write_whole
from semid.recommend import NextItemRecommender
from semid.tokenizers import ParallelKMeansTokenizer, UniqueTokenizer, presets

SMALL = {"n_components": 4, "content_weight": 0, "hidden_dim": 8, "max_iter": 1, "batch_size": 8, "random_state": 0}
USERS = [1, 1, 2, 2, 3, 3]
LOG = pd.DataFrame({"user_id": USERS, "item_id": ["mug", "pan", "mug", "pot", "pot", "pan"], "timestamp": range(6)})


def test_a_clicked_item_is_known_when_it_comes_back_from_another_batch_or_file(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 6)).astype(np.float32)
    embedder = CoClickEmbedder(**SMALL).fit(X, interactions=csr_array(rng.random((30, 20)) < 0.2))
    Z = embedder.transform(X)
    for again in (X.astype(np.float16), torch.from_numpy(X).bfloat16().float().numpy(), X * np.float32(1 + 2**-22)):
        np.testing.assert_array_equal(embedder.transform(again), Z)
    others = X + 0.05 * rng.standard_normal(X.shape).astype(np.float32)
    np.testing.assert_array_equal(embedder.transform(others), embedder._encoded(others))
    loaded = io.load(io.save(embedder, tmp_path / "embedder"))
    np.testing.assert_array_equal(loaded.transform(X.astype(np.float16)), Z)
    embedder.clicked_items_ = embedder.clicked_items_[::-1].copy()
    with pytest.raises(ValueError, match="clicked_items_ must be the float32 embeddings of clicked_hashes_"):
        io.save(embedder, tmp_path / "another")


def test_missing_labels_are_no_clicks_and_no_other_ones_either():
    ids, X = LOG["item_id"].unique(), np.eye(3, dtype=np.float32)
    encoder = SemanticIDEncoder(presets.co_clicks(2, codebook_size=2, **SMALL), ItemTable(ids, X), user="user_id")
    for y in ([1, np.nan] * 3, [1, None] * 3, pd.array([1, None] * 3, dtype="Int64"), [0, 1, np.nan] * 2):
        with pytest.raises(ValueError, match=r"y must not be missing with log=None, got [23] missing of 6 labels"):
            HistoryEncoder().fit(LOG, y)
        with pytest.raises(ValueError, match="y must not be missing with user='user_id'"):
            encoder.fit(LOG[["user_id", "item_id"]], y)


def test_a_log_of_another_kind_of_times_is_refused_in_fit():
    log = ClickHistory(LOG["user_id"], LOG["item_id"], pd.to_datetime(LOG["timestamp"], unit="D"))
    with pytest.raises(TypeError, match="time must be dates without a time zone, as in the log, got numbers"):
        HistoryEncoder(log).fit(LOG)


def test_one_user_is_no_column_of_users():
    log = ClickHistory(["ann", "a"], ["mug", "pan"])
    for one in ("ann", b"ann", 7, np.array("ann")):
        with pytest.raises(TypeError, match=r"users must be a column of values, got .* alone\. Pass a list of it"):
            log.before(one)
    with pytest.raises(ValueError, match=r"users must be one column of values, got a DataFrame of shape \(6, 1\)"):
        ClickHistory(LOG[["user_id"]], LOG["item_id"])


def test_a_column_that_is_there_twice_is_said_to_be():
    log = pd.concat([LOG, LOG["user_id"]], axis=1)
    for call in (
        lambda: interaction_matrix(log, ["mug", "pan", "pot"]),
        lambda: tokenizer_report({"mug": [1], "pan": [2], "pot": [0]}, interactions=log),
        lambda: codes_worth({"mug": [1], "pan": [2], "pot": [0]}, log),
    ):
        with pytest.raises(ValueError, match=r"user must be a column of .*, got 'user_id' twice; it has"):
            call()
    with pytest.raises(ValueError, match="user must name one column of X, got 'user_id', which 2 have"):
        ClickHistory.from_frame(log)
    with pytest.raises(ValueError, match="interactions must have the column 'user_id' once"):
        leave_last_out(log)


def test_popularity_in_an_order_of_its_own_is_warned_of():
    codes = pd.DataFrame({"item_id": ["pan", "pot", "mug", "cup"], "code0": [0, 0, 1, 2]})
    popularity = pd.Series([9, 5, 2, 1], index=pd.Index(["mug", "cup", "pan", "pot"], name="item_id"))
    with pytest.warns(
        UserWarning, match=r"popularity is read row by row.*'mug' first where they begin with 'pan'\. Pass"
    ):
        tokenizer_report(codes, popularity=popularity, baselines=False)
    right = tokenizer_report(codes, popularity=popularity.reindex(codes["item_id"]), baselines=False)
    assert right.summary["shared_traffic"] == pytest.approx(3 / 17)
    with pytest.raises(
        ValueError, match=r"popularity must have shape \(4,\).*popularity.reindex\(item_ids, fill_value=0\)"
    ):
        tokenizer_report(codes, popularity=popularity[:3], baselines=False)
    # Integers say nothing of ids unless they are called so: they are those of a table whose rows were moved.
    moved = pd.Series([9, 5, 2, 1], index=[3, 1, 0, 2])
    tokenizer_report(codes[["code0"]].to_numpy(), popularity=moved, baselines=False)
    with pytest.warns(UserWarning, match="popularity is read row by row"):
        tokenizer_report(codes[["code0"]].to_numpy(), popularity=moved.rename_axis("item_id"), baselines=False)


def test_a_catalogue_warns_of_what_is_in_another_order_and_of_codes_of_clicks_without_clicks(tmp_path):
    ids, codes = ["pan", "pot", "mug"], [[0], [0], [1]]
    catalogue = io.Catalogue.build(tmp_path / "toys", ids, codes=codes)
    popularity = pd.Series([9, 5, 2], index=["mug", "pan", "pot"])
    with pytest.warns(UserWarning, match=r"popularity is read row by row.*'mug' first"):
        catalogue.refit(ids, codes=codes, popularity=popularity)
    X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    tokenizer = presets.co_clicks(1, codebook_size=4, **SMALL)
    with pytest.warns(UserWarning, match=r"CoClickEmbedder learns from clicks, and a catalogue passes it none.*fitted"):
        io.Catalogue.build(tmp_path / "books", np.arange(40), X, tokenizer=tokenizer)
    io.Catalogue.build(tmp_path / "films", np.arange(40), X, tokenizer=tokenizer.fit(X))


def test_rows_of_any_integers_are_rows():
    codes, users, items = [[0], [0], [1], [1]], [1, 1, 2, 2], np.array([0, 1, 2, 3])
    for dtype in (np.int8, np.uint8, np.uint64):
        assert co_click_auc(codes, users, items.astype(dtype), random_state=0) == 1.0
        assert co_click_rates(codes, users, items.astype(dtype)).code[0] == 1.0


def test_codes_that_are_none_are_no_tokens():
    lists = CodeVocabulary([[100, 101], [102, 103, 104]])
    assert lists.encode([[1, 2]]).tolist() == [[101, 104]]
    assert lists.decode([[101, 104], [104, 7]]).tolist() == [[1, 2], [-1, -1]]
    with pytest.raises(ValueError, match=r"codes must be whole numbers, got 0\.7"):
        lists.encode([[0.7, 1]])
    for codes in ([[0, np.nan]], pd.DataFrame({"code0": pd.array([1, None], dtype="Int64")})):
        with pytest.raises(ValueError, match="codes must be whole numbers, got nan"):
            prefix_table(codes)
    for call in (lambda: prefix_table([[0, 1]], 5), lambda: add_code_tokens(None, 5)):
        with pytest.raises(
            TypeError, match=r"codebook_sizes must be an integer for each codebook, got 5\. .*\[size\] \*"
        ):
            call()


def test_a_prompt_that_is_shorter_than_said_and_a_model_without_the_tokens_are_refused():
    table, vocabulary = prefix_table([[0, 1], [1, 2]]), CodeVocabulary([[10, 11], [12, 13, 14]])
    start = torch.zeros((1, 2), dtype=torch.long)
    with pytest.raises(
        ValueError, match=r"prompt_length must be .*, got 5 where the model was given 2\. Pass input_ids"
    ):
        CodeLogitsProcessor(table, vocabulary, prompt_length=5, end_token_id=0)(start, torch.zeros(1, 20))
    for end, width in ((0, 14), (20, 20)):
        with pytest.raises(ValueError, match=r"tokens of the model, which has \d\d, got \d\d\. Call model\.resize"):
            CodeLogitsProcessor(table, vocabulary, prompt_length=2, end_token_id=end)(start, torch.zeros(1, width))


@pytest.mark.parametrize("head", ["parallel", "residual"])
def test_first_clicks_alone_are_counted_and_nothing_is_learned(head):
    model = NextItemRecommender(None, head, embedding_dim=8, n_layers=1, max_iter=1, random_state=0).fit(LOG)
    before = model.state_
    model.partial_fit(pd.DataFrame({"user_id": [8, 9], "item_id": ["pot", "cup"], "timestamp": [8, 9]}))
    assert (model.n_iter_, len(model.history_["train_loss"]), len(model.log_)) == (0, 0, 8)
    assert dict(zip(model.items_, model.clicks_, strict=True)) == {"mug": 2, "pan": 2, "pot": 3, "cup": 1}
    for name, array in before.items():
        np.testing.assert_array_equal(model.state_[name][: len(array)], array)
    assert np.exp(model.score_items([["mug"], []])).sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_histories_of_polars_are_those_of_lists():
    model = NextItemRecommender(None, embedding_dim=8, n_layers=1, max_iter=1, random_state=0).fit(LOG)
    lists = [["mug", "pan"], None, ["pot", None], []]
    np.testing.assert_array_equal(model.score_items(pl.Series(lists)), model.score_items(lists))
    for table in (pl.DataFrame({"history": lists}), pd.DataFrame({"history": lists})):
        with pytest.raises(
            TypeError, match=r"histories must be one column of lists, got a DataFrame\. Pass its column"
        ):
            model.recommend(table, n=1)


def test_rows_that_are_no_clicks_are_warned_of_where_some_labels_are_missing():
    with pytest.warns(UserWarning, match="also the 33% of them whose 'click' is 0"):
        NextItemRecommender(None, "popularity").fit(LOG.assign(click=[1, 0, np.nan] * 2))


@pytest.fixture(scope="module")
def impressions():
    """With histories that have codes, as their encoders make them, and labels."""
    return _impressions()


def _impressions():
    rng = np.random.default_rng(0)
    ids, X = np.array([f"item{n}" for n in range(20)]), rng.standard_normal((20, 4)).astype(np.float32)
    log = pd.DataFrame({"user_id": rng.integers(9, size=80), "item_id": rng.choice(ids, 80), "timestamp": range(80)})
    rows = log.assign(history=HistoryEncoder().fit_transform(log)["history"])[["item_id", "history"]]
    tokenizer = ParallelKMeansTokenizer(2, 4, random_state=0)
    coded = SemanticIDEncoder(tokenizer, ItemTable(ids, X)).set_output(transform="pandas").fit_transform(rows)
    return pd.concat([log[["user_id", "item_id"]], coded], axis=1), pd.Series(rng.integers(2, size=80), name="click")


def test_histories_are_read_backwards_as_forwards(impressions):
    X, y = impressions
    model = DeepFMClassifier(hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X[::-1]), model.predict_proba(X)[::-1], rtol=1e-6)
    DeepFMClassifier(hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X[::-1], y[::-1])


def test_histories_in_files_are_said_to_be_lists(impressions, tmp_path):
    X, y = impressions
    X.assign(click=y).to_parquet(tmp_path / "day.parquet")
    model = DeepFMClassifier(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    some = dataset.dataset(tmp_path).filter(dataset.field("user_id") < 8)
    for files in (tmp_path, some):
        with pytest.warns(UserWarning, match="column 'history' was written as histories, and is read in parts"):
            model.fit(files, "click")
    with pytest.raises(TypeError, match="X must be a table in memory in partial_fit, got a PosixPath"):
        model.partial_fit(tmp_path, "click")
    with pytest.raises(TypeError, match=r"eval_set must be .* got the name 'click' of labels\. Pass \(X\.drop"):
        model.fit(tmp_path, "click", eval_set=(X, "click"))


def test_what_set_output_makes_tables_of_is_saved_and_placed(tmp_path):
    X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    for kind in ("pandas", "polars"):
        embedder = CoClickEmbedder(**SMALL).set_output(transform=kind).fit(X)
        io.load(io.save(embedder, tmp_path / kind))
        inner = ParallelKMeansTokenizer(2, 8, random_state=0)
        unique = UniqueTokenizer(inner).fit(X[:30])
        expected = unique.transform(X)
        unique.tokenizer_.set_output(transform=kind)
        np.testing.assert_array_equal(unique.transform(X), expected)
        np.testing.assert_array_equal(
            UniqueTokenizer(inner.set_output(transform=kind)).fit(X[:30]).transform(X), expected
        )


def test_warnings_point_at_the_users_line_through_scikit_learn(tmp_path):
    encoder = SemanticIDEncoder(ParallelKMeansTokenizer(1, 2, random_state=0), ItemTable([1, 2, 3], np.eye(3)))
    for call in (encoder.fit_transform, make_pipeline(encoder).fit, make_pipeline(encoder).fit_transform):
        with pytest.warns(UserWarning, match="100% of the rows") as caught:
            call(pd.DataFrame({"item_id": [17, 18]}))
        assert caught[0].filename == __file__
    old = ParallelKMeansTokenizer(1, 2).__getstate__() | {"_semid_version": "0.0.1"}
    with pytest.warns(UserWarning, match="was pickled by semid") as caught:
        ParallelKMeansTokenizer(1, 2).__setstate__(old)
    assert caught[0].filename == __file__


def test_a_column_of_ids_is_no_codebook_in_production_either(tmp_path):
    codes = pd.DataFrame({"item_id": [10, 11], "code0": [0, 1]})
    for call in (
        lambda: io.Catalogue.build(tmp_path / "toys", ["mug", "pan"], codes=codes),
        lambda: io.write_mapping(tmp_path / "toys.parquet", ["mug", "pan"], codes),
        lambda: io.to_tokens(codes),
        lambda: prefix_table(codes),
    ):
        with pytest.raises(ValueError, match="codes must not hold ids, got the column 'item_id'"):
            call()


def test_a_log_that_is_not_of_pandas_or_has_no_order_is_told_the_way_out():
    codes = {"mug": [1], "pan": [2], "pot": [0]}
    for call in (
        lambda: codes_worth(codes, pl.from_pandas(LOG)),
        lambda: interaction_matrix(pl.from_pandas(LOG), list(codes)),
        lambda: leave_last_out(pl.from_pandas(LOG)),
    ):
        with pytest.raises(TypeError, match=r"must be a DataFrame of pandas, got a polars\.DataFrame\. .*to_pandas"):
            call()
    with pytest.raises(ValueError, match=r"column 'timestamp' must not be missing, got 1 missing\. .*'timestamp'"):
        codes_worth(codes, LOG.assign(timestamp=[np.nan, *range(5)]), order="timestamp")
    with pytest.raises(ValueError, match=r"column 'timestamp' must hold numbers .* Pass log\.assign\(timestamp=log\["):
        codes_worth(codes, LOG.assign(timestamp=["10", *"98765"]), order="timestamp")


def test_nullable_numbers_are_numbers_to_the_audit():
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32))
    codes = pd.DataFrame({"code0": np.arange(30) % 4, "code1": np.arange(30) % 3})
    plain = tokenizer_report(codes, X, reconstruction=X * 2, k=2).summary
    for backend in ("numpy_nullable", "pyarrow"):
        nullable, Y, Y_twice = (table.convert_dtypes(dtype_backend=backend) for table in (codes, X, X * 2))
        found = tokenizer_report(nullable, Y, reconstruction=Y_twice, k=2)
        assert found.summary == pytest.approx(plain)
        assert collision_rate(nullable) == collision_rate(codes)


def test_a_page_that_cannot_be_written_is_refused_before_it_is_drawn_and_leaves_nothing(tmp_path, monkeypatch):
    report = tokenizer_report([[0, 1], [1, 0], [1, 1]])
    for page in (report, report.compare(report)):
        with pytest.raises(FileNotFoundError, match=r"path must be in a folder that exists, got .*Create that first"):
            page.to_html(tmp_path / "none" / "page.html")
        with pytest.raises(IsADirectoryError, match=r"path must be that of a file, got the folder .*Name a file in it"):
            page.to_html(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "page.html", "text")
    assert not list(tmp_path.iterdir())


def test_lists_are_no_users_of_codes():
    encoder = SemanticIDEncoder(
        presets.co_clicks(2, codebook_size=2, **SMALL), ItemTable([0, 1], np.eye(2)), user="user"
    )
    with pytest.raises(TypeError, match=r"column 'user' must hold text or numbers, got \[1\]"):
        encoder.fit(pd.DataFrame({"user": [[1], [2]], "item": [0, 1]}), [0, 1])


def test_labels_and_clicks_in_the_place_of_y_are_not_passed_over():
    model = NextItemRecommender(None, "popularity")
    for y in ([1, 0, 1, 1, 1, 1], pd.Series([True, False, True, True, True, None])):
        for fit in (model.fit, model.partial_fit):
            with pytest.warns(UserWarning, match=r"y is not read, and every row of X counts as a click.*X\[y == 1\]"):
                fit(LOG, y)
    model.fit(LOG, [1] * 6)
    with pytest.raises(TypeError, match=r"y must be None, got a sparse matrix\. .* interactions="):
        presets.co_clicks(2, codebook_size=2, **SMALL).fit(np.eye(3), csr_array(np.eye(3)))
