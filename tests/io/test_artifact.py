"""Estimators as folders: equal after the way there and back, whole or not there."""

import copy
import hashlib
import inspect
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from conftest import UNIQUE_TOKENIZERS, as_of_0_1_0
from make_corpus import make_estimators, make_inputs, question
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, Normalizer, StandardScaler

import semid.io
from semid.ctr import AutoIntClassifier, DCNv2Classifier, DeepFMClassifier
from semid.embedders import TextEmbedder
from semid.features import ItemTable, SemanticIDEncoder
from semid.io import ArtifactError, _artifact, load, save
from semid.io._codec import Decoder, Encoder
from semid.tokenizers import MixtureOfCodesTokenizer, ResidualKMeansTokenizer, RQVAETokenizer, UniqueTokenizer

KMEANS = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0)


@pytest.fixture(scope="session")
def estimators():
    return make_estimators(make_inputs())


def _there_and_back(estimator, tmp_path):
    return load(save(estimator, tmp_path / "artifact"))


def _plain_parameters(estimator):
    """Return the parameters by name, those of estimators within too, as comparable text."""
    return {name: repr(value) for name, value in estimator.get_params().items() if not _is_composite(value)}


def _is_composite(value):
    return isinstance(value, BaseEstimator | ItemTable | list)


def test_tokenizers_give_equal_codes_of_seen_and_new_items(tokenizer, items, rng, tmp_path):
    tokenizer.fit(items.embeddings)
    restored = _there_and_back(tokenizer, tmp_path)
    for X in (items.embeddings, rng.normal(size=(200, 24))):
        np.testing.assert_array_equal(restored.transform(X), tokenizer.transform(X))
    codes = tokenizer.transform(items.embeddings)
    np.testing.assert_array_equal(restored.inverse_transform(codes), tokenizer.inverse_transform(codes))
    assert restored.get_params() == tokenizer.get_params()
    assert vars(restored).keys() == vars(tokenizer).keys()


def test_restored_tokenizers_can_be_cloned_and_fitted_anew(tokenizer, items, tmp_path):
    expected = tokenizer.fit(items.embeddings).transform(items.embeddings)
    restored = _there_and_back(tokenizer, tmp_path)
    np.testing.assert_array_equal(clone(restored).fit(items.embeddings).transform(items.embeddings), expected)
    np.testing.assert_array_equal(restored.fit(items.embeddings).transform(items.embeddings), expected)


@pytest.mark.parametrize("unique", UNIQUE_TOKENIZERS, ids=lambda tokenizer: tokenizer.strategy)
def test_unique_tokenizers_go_on_where_they_were(unique, items, rng, tmp_path):
    unique = clone(unique).fit(items.embeddings)
    restored = _there_and_back(unique, tmp_path)
    new = rng.normal(size=(20, 24))
    np.testing.assert_array_equal(restored.transform(new), unique.transform(new))
    restored.partial_fit(new)
    unique.partial_fit(new)
    np.testing.assert_array_equal(restored.transform(new), unique.transform(new))
    assert restored.report_ == unique.report_


def test_unique_codes_beyond_int64_come_back(items, tmp_path):
    inner = ResidualKMeansTokenizer(n_codebooks=9, codebook_size=256, max_iter=2, random_state=0)
    unique = UniqueTokenizer(inner).fit(items.embeddings)
    assert unique._taken.dtype == object
    restored = _there_and_back(unique, tmp_path)
    np.testing.assert_array_equal(restored.transform(items.embeddings + 1), unique.transform(items.embeddings + 1))


def test_a_tokenizer_goes_on_learning_as_if_it_had_stayed(items, tmp_path):
    tokenizer = RQVAETokenizer(
        n_codebooks=2, codebook_size=8, hidden_layer_sizes=(8,), latent_dim=4, max_iter=2, random_state=0
    )
    tokenizer.partial_fit(items.embeddings)
    restored = _there_and_back(tokenizer, tmp_path)
    expected = tokenizer.partial_fit(items.embeddings).transform(items.embeddings)
    np.testing.assert_array_equal(restored.partial_fit(items.embeddings).transform(items.embeddings), expected)


def test_a_tokenizer_from_another_device_is_loaded_where_there_is_none(items, tmp_path):
    tokenizer = clone(KMEANS).fit(items.embeddings).set_params(device="cuda:7")
    restored = _there_and_back(tokenizer, tmp_path)
    assert restored.device == "cuda:7"
    restored.set_params(device="auto").transform(items.embeddings)


def test_every_estimator_keeps_parameters_and_attributes(estimators, tmp_path):
    for name, estimator in estimators.items():
        restored = load(save(estimator, tmp_path / name))
        assert _plain_parameters(restored) == _plain_parameters(estimator), name
        assert restored.__getstate__().keys() == estimator.__getstate__().keys(), name


@pytest.mark.parametrize("fitted_on", ["names", "arrays"])
def test_an_encoder_comes_with_its_item_table(encoder, items, clicks, fitted_on, tmp_path):
    ids = clicks[["item_id"]] if fitted_on == "names" else clicks[["item_id"]].to_numpy()
    encoder.fit(ids)
    restored = _there_and_back(encoder, tmp_path)
    np.testing.assert_array_equal(restored.transform(ids), encoder.transform(ids))
    assert restored.items.fingerprint == encoder.items.fingerprint
    assert restored.items.embeddings.dtype == encoder.items.embeddings.dtype
    assert not restored.items.embeddings.flags.writeable
    np.testing.assert_array_equal(restored.fit(ids).transform(ids), encoder.transform(ids))
    assert (
        json.loads((tmp_path / "artifact" / "manifest.json").read_text())["manifest"]["estimator"]["parameters"][
            "items"
        ]["fingerprint"]
        == encoder.items.fingerprint
    )


def test_an_encoder_of_a_memory_map_needs_no_file_afterwards(items, clicks, tmp_path):
    np.save(tmp_path / "embeddings.npy", items.embeddings)
    table = ItemTable(items.frame["item_id"], tmp_path / "embeddings.npy")
    encoder = SemanticIDEncoder(clone(KMEANS), table).fit(clicks[["item_id"]])
    save(encoder, tmp_path / "artifact")
    (tmp_path / "embeddings.npy").unlink()
    restored = load(tmp_path / "artifact")
    np.testing.assert_array_equal(restored.fit(clicks[["item_id"]]).codes_, encoder.codes_)


def test_items_can_be_added_to_a_restored_encoder(items, tmp_path):
    ids, X = items.frame["item_id"], items.embeddings
    encoder = SemanticIDEncoder(clone(KMEANS), ItemTable(ids[:200], X[:200])).fit(ids[:9].to_frame())
    restored = _there_and_back(encoder, tmp_path).add_items(ItemTable(ids[200:], X[200:]))
    expected = encoder.add_items(ItemTable(ids[200:], X[200:])).transform(ids.to_frame())
    np.testing.assert_array_equal(restored.transform(ids.to_frame()), expected)


def test_a_cache_is_not_kept(encoder, clicks, tmp_path):
    encoder.set_params(memory=str(tmp_path / "cache")).fit(clicks[["item_id"]])
    assert _there_and_back(encoder, tmp_path).memory is None


def test_tables_of_texts_come_back(tmp_path):
    texts = pd.DataFrame({"title": ["red mug", "blé", None], "brand": ["a", "b", "c"]})
    table = ItemTable([3, 1, 2], texts=texts)
    encoder = Encoder()
    node = encoder.encode(table, ())
    restored = Decoder(encoder.arrays, None).decode(json.loads(json.dumps(node)))
    assert restored.fingerprint == table.fingerprint
    pd.testing.assert_frame_equal(restored.content, table.content)


@pytest.mark.parametrize(
    "classifier",
    [
        DeepFMClassifier(embedding_dim=4, hidden_layer_sizes=(8,), max_iter=1, random_state=0),
        DeepFMClassifier(embedding_dim=4, hidden_layer_sizes=[8], n_embedding_sets=2, max_iter=1, random_state=0),
        DCNv2Classifier(embedding_dim=4, hidden_layer_sizes=(8,), low_rank=2, dropout=0.1, max_iter=1, random_state=0),
        AutoIntClassifier(
            embedding_dim=4, fusion="attention", code_features=["user_id", "item_id"], max_iter=1, random_state=0
        ),
    ],
    ids=["DeepFM", "embedding sets", "DCNv2", "AutoInt"],
)
def test_click_models_give_equal_probabilities(classifier, clicks, tmp_path):
    X, y = clicks.drop(columns="click"), clicks["click"]
    classifier = clone(classifier).fit(X, y)
    restored = _there_and_back(classifier, tmp_path)
    unseen = X.assign(item_id="new", hour=99)
    for table in (X, unseen):
        np.testing.assert_array_equal(restored.predict_proba(table), classifier.predict_proba(table))
    np.testing.assert_array_equal(restored.representation(X, ["item_id"]), classifier.representation(X, ["item_id"]))
    again = clone(restored).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


FORMER = [
    (DeepFMClassifier(), {"buckets": {"user_id": 5, "item_id": 1000}}),
    (DeepFMClassifier(code_features=["item_id", "hour"], fusion="attention"), {"fusion_query": 0, "fusion_rank": 3}),
    (DCNv2Classifier(low_rank=2), {"structure": "stacked", "n_experts": 3, "embedding_init_std": 0.01}),
    (AutoIntClassifier(), {"n_heads": 3, "attention_dim": 9}),
]


@pytest.mark.parametrize(
    ("classifier", "former"), FORMER, ids=lambda value: "-".join(value) if type(value) is dict else ""
)
def test_what_0_1_0_could_build_comes_back_and_goes_on(classifier, former, clicks, tmp_path):
    X, y = clicks.drop(columns="click"), clicks["click"]
    small = {"embedding_dim": 4, "hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
    model = as_of_0_1_0(clone(classifier).set_params(**small), X, y, **former)
    restored = _there_and_back(model, tmp_path)
    np.testing.assert_array_equal(restored.predict_proba(X), model.predict_proba(X))
    assert np.ptp(restored.predict_proba(X)) > 0
    expected = model.partial_fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(restored.partial_fit(X, y).predict_proba(X), expected)


def _odd_columns(n_rows, rng):
    numbers = rng.normal(size=n_rows)
    numbers[::7] = np.nan
    return pd.DataFrame(
        {
            "user_id": rng.integers(9, size=n_rows),
            "big": rng.integers(2**63, 2**64, size=n_rows, dtype=np.uint64),
            "text": pd.Series(["a", "é", None, "1"] * (n_rows // 4)),
            "mixed": pd.Series([1, "1", None, b"x"] * (n_rows // 4), dtype=object),
            "genres": [["a", "b"], [], ["c"], ["a"]] * (n_rows // 4),
            "bins": pd.Categorical(pd.cut(rng.normal(size=n_rows), 3)),
            "fractions": pd.Categorical(rng.choice([0.5, 1.5], size=n_rows)),
            "flag": rng.integers(2, size=n_rows).astype(bool),
            "price": numbers,
            **{f"v{i}": rng.normal(size=n_rows) for i in range(8)},
        }
    )


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], [False, True], [-1.0, 1.0]], ids=str)
def test_columns_of_all_kinds_come_back(classifier, labels, rng, tmp_path):
    X = _odd_columns(200, rng)
    y = np.array(labels)[rng.integers(2, size=200)]
    classifier.fit(X, y)
    restored = _there_and_back(classifier, tmp_path)
    np.testing.assert_array_equal(restored.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(restored.predict(X), classifier.predict(X))
    assert restored.classes_.dtype == classifier.classes_.dtype


def test_a_click_model_goes_on_learning_as_if_it_had_stayed(classifier, clicks, tmp_path):
    X, y = clicks.drop(columns="click"), clicks["click"]
    classifier.fit(X[:2000], y[:2000])
    restored = _there_and_back(classifier, tmp_path)
    expected = classifier.partial_fit(X[2000:], y[2000:]).predict_proba(X)
    np.testing.assert_array_equal(restored.partial_fit(X[2000:], y[2000:]).predict_proba(X), expected)


def _columns(encoder, columns):
    transformer = ColumnTransformer(
        [("codes", encoder, columns), ("kept", "passthrough", ["item_id"]), ("left_out", "drop", ["timestamp"])],
        remainder=StandardScaler(),
        verbose_feature_names_out=False,
    )
    return transformer.set_output(transform="pandas")


@pytest.mark.parametrize("user", [None, "user_id"])
@pytest.mark.parametrize("handle_unknown", ["use_encoded_value", "error"])
def test_pipelines_from_impressions_to_clicks_come_back(table, classifier, clicks, user, handle_unknown, tmp_path):
    learned = MixtureOfCodesTokenizer(
        n_codebooks=2, codebook_size=8, latent_dim=6, hidden_layer_sizes=(8,), max_iter=2, random_state=0
    )
    encoder = SemanticIDEncoder(learned if user else clone(KMEANS), table, user=user, handle_unknown=handle_unknown)
    columns = _columns(encoder, ["item_id"] if user is None else [user, "item_id"])
    X, y = clicks.drop(columns="click"), clicks["click"]
    pipeline = make_pipeline(columns, classifier).fit(X, y)
    restored = _there_and_back(pipeline, tmp_path)
    np.testing.assert_array_equal(restored.predict_proba(X), pipeline.predict_proba(X))
    np.testing.assert_array_equal(clone(restored).fit(X, y).predict_proba(X), pipeline.predict_proba(X))


@pytest.mark.parametrize(
    "step",
    [StandardScaler(), MinMaxScaler(), Normalizer(), PCA(8, random_state=0), FunctionTransformer(), "passthrough"],
)
def test_pipelines_of_embeddings_come_back(step, items, tmp_path):
    pipeline = make_pipeline(step, clone(KMEANS)).fit(items.embeddings)
    restored = _there_and_back(pipeline, tmp_path)
    np.testing.assert_array_equal(restored.transform(items.embeddings), pipeline.transform(items.embeddings))


@pytest.fixture(scope="module")
def titles(items):
    return pd.DataFrame({"title": items.frame["title"], "brand": ["one", None, "two"] * 100})


def test_text_embedders_come_back(titles, tmp_path):
    embedder = TextEmbedder(n_components=8, template="{title}, {brand}", truncate_dim=6).fit(titles)
    restored = _there_and_back(embedder, tmp_path)
    unseen = pd.DataFrame({"title": ["entirely new words", ""], "brand": ["one", ""]})
    for X in (titles, unseen):
        np.testing.assert_array_equal(restored.transform(X), embedder.transform(X))
    np.testing.assert_array_equal(clone(restored).fit_transform(titles), embedder.transform(titles))


def test_encoders_of_texts_come_back(titles, items, clicks, tmp_path):
    table = ItemTable(items.frame["item_id"], texts=titles)
    tokenizer = make_pipeline(TextEmbedder(n_components=8), clone(KMEANS))
    encoder = SemanticIDEncoder(tokenizer, table).fit(clicks[["item_id"]])
    restored = _there_and_back(encoder, tmp_path)
    np.testing.assert_array_equal(restored.transform(clicks[["item_id"]]), encoder.transform(clicks[["item_id"]]))
    assert restored.items.fingerprint == table.fingerprint
    new = ItemTable(["n1", "n2"], texts=pd.DataFrame({"title": ["red mug", "pan"], "brand": ["one", "two"]}))
    np.testing.assert_array_equal(restored.add_items(new).codes_, encoder.add_items(new).codes_)


def test_texts_in_a_column_transformer_come_back(titles, tmp_path):
    codes = make_pipeline(TextEmbedder(n_components=8), clone(KMEANS))
    transformer = ColumnTransformer([("codes", codes, ["title"]), ("kept", "passthrough", ["brand"])]).fit(titles)
    restored = _there_and_back(transformer, tmp_path)
    np.testing.assert_array_equal(restored.transform(titles)[:, :2], transformer.transform(titles)[:, :2])


def test_a_model_that_a_text_embedder_names_is_not_looked_for(tmp_path):
    embedder = TextEmbedder("no-such/model")
    embedder.n_features_in_, embedder.n_features_out_ = 1, 384  # as fitted elsewhere
    pipeline = make_pipeline(embedder, StandardScaler())
    assert _there_and_back(pipeline, tmp_path)[0].model == "no-such/model"


def test_unfitted_estimators_come_back_unfitted(table, tmp_path):
    encoder = SemanticIDEncoder(clone(KMEANS), table)
    restored = _there_and_back(make_pipeline(encoder, DeepFMClassifier()), tmp_path)
    assert restored[0].tokenizer.get_params() == KMEANS.get_params()
    assert not hasattr(restored[0], "codes_")


def test_what_set_output_said_is_kept(items, tmp_path):
    tokenizer = clone(KMEANS).set_output(transform="pandas").fit(items.embeddings)
    frame = _there_and_back(tokenizer, tmp_path).transform(items.embeddings)
    assert list(frame) == ["code0", "code1"]


class _Own(ResidualKMeansTokenizer):
    pass


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), r"estimator must be .*got sklearn.linear_model._logistic.LogisticRegression.*skops.io"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "steps/1/1 must be .*LogisticRegression"),
        (RQVAETokenizer(random_state=np.random.RandomState(0)), "random_state must be .*RandomState"),
        (DeepFMClassifier(callbacks=[print]), "callbacks/0 must be .*builtin"),
        (FunctionTransformer(np.log), "func must be .*ufunc"),
        (_Own(), "estimator must be .*_Own"),
        (RQVAETokenizer, "estimator must be an estimator of semid, got <class"),
        ({"a": 1}, "estimator must be an estimator of semid, got {'a': 1}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_artifacts_do_not_hold_is_refused_by_name(estimator, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        save(estimator, tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


VALUES = [
    None, True, 3, -(2**70), 0.1, -0.0, float("inf"), float("-inf"), "é\ud800", b"\x00\xff", [], (), {}, [1, (2, [3])],
    {1: "a", "1": "b", (1, "x"): None, None: 2.5}, slice(1, None), np.float32(0.1), np.int64(3), np.bool_(True),
    pd.Interval(0, 1.5, closed="both"), pd.NA,
]  # fmt: skip
ARRAYS = [
    np.array(3.5), np.zeros((0, 5), np.float32), np.arange(6).reshape(2, 3).T, np.arange(3, dtype=">i4"),
    np.array([True, False]), np.array([2**63], dtype=np.uint64), np.array([1.5, np.nan], dtype=np.float16),
    np.array(["a", "bcd"]), np.array(["a", 1, None, 2.5, b"x", (1, 2), [3]], dtype=object), np.array([], dtype=object),
    np.array([["a", "b"]], dtype=object), np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
    np.array([2**64, 1], dtype=object),
]  # fmt: skip


def _through_json(value):
    encoder = Encoder()
    node = json.loads(json.dumps(encoder.encode(value, ("x",)), allow_nan=False))
    arrays = safetensors.numpy.load(safetensors.numpy.save(encoder.arrays))
    return Decoder(arrays, None).decode(node)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_with_their_types(value):
    restored = _through_json(value)
    assert type(restored) is type(value)
    assert repr(restored) == repr(value)


@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_arrays_come_back_with_their_dtypes(array):
    restored = _through_json(array)
    np.testing.assert_array_equal(restored, array)
    assert restored.shape == array.shape
    assert restored.dtype == array.dtype.newbyteorder("=")
    if array.dtype == object:
        assert [type(entry) for entry in restored.flat] == [type(entry) for entry in array.flat]


def test_nan_comes_back():
    assert np.isnan(_through_json({"a": float("nan")})["a"])


def test_an_array_is_written_once_and_equal_paths_do_not_collide():
    array = np.arange(1000.0)
    encoder = Encoder()
    encoder.encode(
        {"a": array, "b": array, 1: np.ones(2), "1": np.zeros(2), "c/d": np.ones(1), "c": {"d": array[:1]}}, ()
    )
    assert [value.size for value in encoder.arrays.values()] == [1000, 2, 2, 1, 1]


@pytest.mark.parametrize(
    "value",
    [
        {1},
        object(),
        np.array([object()]),
        np.zeros(2, dtype=np.complex128),
        [lambda: 0],
        pd.Index([1]),
        np.datetime64(1, "D"),
    ],
)
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match=r"x.* must be an estimator of semid, a number, text"):
        Encoder().encode(value, ("x",))


def test_a_folder_that_is_there_is_replaced_on_demand_only(items, tmp_path):
    old, new = clone(KMEANS).fit(items.embeddings), clone(KMEANS).set_params(random_state=1).fit(items.embeddings)
    folder = save(old, tmp_path / "artifact")
    with pytest.raises(FileExistsError, match="Pass overwrite=True"):
        save(new, folder)
    np.testing.assert_array_equal(load(folder).transform(items.embeddings), old.transform(items.embeddings))
    save(new, folder, overwrite=True)
    np.testing.assert_array_equal(load(folder).transform(items.embeddings), new.transform(items.embeddings))
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]
    save(new, folder, overwrite=True)  # with arrays of the same name
    load(folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("other", ["notes.txt", "manifest.json", None])
def test_a_folder_of_other_things_is_never_replaced(other, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    if other:
        (folder / "notes.txt").write_text("precious")
        (folder / other).write_text("precious")
    with pytest.raises(FileExistsError, match="an artifact and nothing else"):
        save(KMEANS, folder, overwrite=True)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError, match="an artifact and nothing else"):
        save(KMEANS, tmp_path / "file", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("n_before", range(12))
def test_a_save_that_breaks_off_leaves_the_old_artifact_or_the_new_one(
    n_before, overwrite, items, tmp_path, monkeypatch
):
    """Whichever call to the system is the one that fails."""
    old, new = clone(KMEANS).fit(items.embeddings), clone(KMEANS).set_params(random_state=1).fit(items.embeddings)
    expected = [old.transform(items.embeddings).tolist(), new.transform(items.embeddings).tolist()]
    folder = tmp_path / "artifact"
    if overwrite:
        save(old, folder)
    calls = []

    def breaking(function):
        def called(*args, **kwargs):
            calls.append(function)
            if len(calls) > n_before:
                raise OSError("no space left on device")
            return function(*args, **kwargs)

        return called

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", breaking(safetensors.numpy.save_file))
        for name in ("rename", "replace", "fsync"):
            patch.setattr(os, name, breaking(getattr(os, name)))
        try:
            save(new, folder, overwrite=overwrite)
        except OSError as error:
            assert "no space" in str(error)
    if folder.exists():
        assert load(folder).transform(items.embeddings).tolist() in expected
    else:
        assert not overwrite
    assert {path.name for path in tmp_path.iterdir()} <= {"artifact"}


def test_an_artifact_replaced_while_it_is_read_is_read_again(items, tmp_path, monkeypatch):
    folder = save(clone(KMEANS).fit(items.embeddings), tmp_path / "artifact")
    new = clone(KMEANS).set_params(random_state=1).fit(items.embeddings)
    read = _artifact._read_arrays
    replaced = []

    def slow_read(*args):
        if not replaced:
            replaced.append(save(new, folder, overwrite=True))
        return read(*args)

    monkeypatch.setattr(_artifact, "_read_arrays", slow_read)
    np.testing.assert_array_equal(load(folder).transform(items.embeddings), new.transform(items.embeddings))


def _interrupted(monkeypatch, meanwhile):
    """Let `meanwhile` happen once, between the check of the target and the last step of a save."""
    write, pending = _artifact._write, [meanwhile]

    def slow_write(*args):
        write(*args)
        if pending:
            pending.pop()()

    monkeypatch.setattr(_artifact, "_write", slow_write)


def test_a_folder_that_appears_during_a_save_is_not_touched(items, tmp_path, monkeypatch):
    folder = tmp_path / "artifact"

    def somebody():
        folder.mkdir()
        (folder / "manifest.json").write_text("theirs")
        (folder / "thesis.txt").write_text("theirs")

    _interrupted(monkeypatch, somebody)
    with pytest.raises(FileExistsError, match="Pass overwrite=True"):
        save(clone(KMEANS).fit(items.embeddings), folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("manifest.json", "thesis.txt"), "theirs"
    )
    assert list(tmp_path.iterdir()) == [folder]


def test_the_last_of_two_that_replace_an_artifact_leaves_a_whole_one(items, tmp_path, monkeypatch):
    first, second, third = (clone(KMEANS).set_params(random_state=n).fit(items.embeddings) for n in range(3))
    folder = save(first, tmp_path / "artifact")
    replace, pending = os.replace, [second]

    def slow_replace(source, target):
        replace(source, target)
        if pending and Path(target).suffix == ".safetensors":
            save(pending.pop(), folder, overwrite=True)

    monkeypatch.setattr(os, "replace", slow_replace)
    save(third, folder, overwrite=True)
    np.testing.assert_array_equal(load(folder).transform(items.embeddings), third.transform(items.embeddings))


def test_others_may_read_what_the_umask_lets_them(items, tmp_path):
    folder = save(clone(KMEANS).fit(items.embeddings), tmp_path / "artifact")
    (tmp_path / "plain").write_text("")
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_a_manifest_is_json_and_its_checksums_can_be_told_without_semid(estimators, tmp_path):
    folder = save(estimators["ClickPipeline"], tmp_path / "artifact")
    content = json.loads((folder / "manifest.json").read_text(encoding="ascii"))
    assert content["manifest"]["written_with"]["semid"] == semid.__version__
    ((name, file),) = content["manifest"]["files"].items()
    assert file["size"] == (folder / name).stat().st_size
    assert {"numpy", "torch", "scikit-learn", "safetensors"} <= content["manifest"]["written_with"].keys()


def test_equal_estimators_are_saved_as_equal_bytes(items, tmp_path):
    tokenizer = clone(KMEANS).fit(items.embeddings)
    first, second = save(tokenizer, tmp_path / "first"), save(load(tmp_path / "first"), tmp_path / "second")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_saving_leaves_the_estimator_as_it_was(items, clicks, encoder, tmp_path):
    encoder.fit(clicks[["item_id"]])
    before = {name: id(value) for name, value in vars(encoder).items()}
    save(encoder, tmp_path / "artifact")
    assert {name: id(value) for name, value in vars(encoder).items()} == before
    assert encoder.codes_.flags.writeable


def test_a_link_to_a_folder_is_followed(items, tmp_path):
    folder = save(clone(KMEANS).fit(items.embeddings), tmp_path / "artifact")
    (tmp_path / "latest").symlink_to(folder)
    assert load(tmp_path / "latest").codebook_sizes_ == [8, 8]
    save(clone(KMEANS), tmp_path / "latest", overwrite=True)
    assert (tmp_path / "latest").is_symlink()
    assert not hasattr(load(folder), "state_")


def test_a_folder_in_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="in a folder that exists"):
        save(KMEANS, tmp_path / "nowhere" / "artifact")


def test_random_generators_are_left_as_they_were(estimators, tmp_path):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    load(save(estimators["ClickPipeline"], tmp_path / "artifact"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_threads_can_load_at_the_same_time(estimators, tmp_path):
    folder = save(estimators["ClickPipeline"], tmp_path / "artifact")
    X = question("ClickPipeline", make_inputs())
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: load(folder).predict_proba(X), range(8)))
    for result in results:
        np.testing.assert_array_equal(result, estimators["ClickPipeline"].predict_proba(X))


def test_public_docstrings_say_the_real_defaults():
    for name in set(semid.io.__all__) - {"ArtifactError"}:
        function = getattr(semid.io, name)
        text = inspect.getdoc(function)
        assert "Examples\n--------" in text, name
        for parameter in inspect.signature(function).parameters.values():
            line = next(line for line in text.splitlines() if line.split(" : ")[0] == parameter.name)
            if parameter.default is not inspect.Parameter.empty:
                default = f'"{parameter.default}"' if isinstance(parameter.default, str) else repr(parameter.default)
                assert line.split(", default ")[1] == default, (name, parameter.name)


def test_no_file_is_opened_by_name_from_the_manifest_nor_pickle_imported():
    folder = Path(semid.__file__).parent / "io"
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text
        assert "eval(" not in text
        assert "exec(" not in text


def test_no_process_is_started_for_the_jobs_of_an_artifact(estimators, tmp_path, monkeypatch):
    pipeline = copy.deepcopy(estimators["ClickPipeline"])
    pipeline[0].set_params(n_jobs=3)
    monkeypatch.setattr("joblib._parallel_backends.get_memmapping_executor", lambda *_, **__: pytest.fail("a process"))
    assert load(save(pipeline, tmp_path / "artifact"))[0].n_jobs == 3


@pytest.mark.parametrize(("name", "message"), [("nowhere", "is not there"), ("file", "is read with joblib.load")])
def test_what_is_no_folder_is_told(name, message, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=f"folder must be one that semid.io.save wrote.*{message}"):
        load(tmp_path / name)


def test_of_a_search_the_best_estimator_is_asked_for(items, tmp_path):
    search = GridSearchCV(clone(KMEANS), {"n_codebooks": [1, 2]}, cv=2).fit(items.embeddings)
    with pytest.raises(TypeError, match="got a GridSearchCV"):
        save(search, tmp_path / "artifact")


@pytest.mark.parametrize("name", ["../victim.txt", "{}/victim.txt", "notes.txt", 5])
def test_replacing_an_artifact_deletes_nothing_that_its_manifest_names_outside(name, items, tmp_path):
    """Whose checksum anybody can make."""
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    tokenizer = clone(KMEANS).fit(items.embeddings)
    folder = save(tokenizer, tmp_path / "artifact")
    manifest = json.loads((folder / "manifest.json").read_text())["manifest"]
    name = name.format(tmp_path) if isinstance(name, str) else name
    manifest["files"] = [name] if name == 5 else {name: {"sha256": "0" * 64, "size": 8}}
    body = json.dumps(manifest)
    digest = hashlib.sha256(body.encode()).hexdigest()
    (folder / "manifest.json").write_text(f'{{"sha256": "{digest}", "manifest": {body}}}\n')
    with pytest.raises(ArtifactError, match=r"files must be named|could be restored"):
        load(folder)
    save(tokenizer, folder, overwrite=True)
    assert victim.read_text() == "precious"
    load(folder)
