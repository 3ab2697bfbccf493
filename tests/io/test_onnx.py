"""ONNX files of tokenizers and click models, run by ONNX Runtime and compared with the estimators they come from."""

import builtins
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import as_of_0_1_0
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import semid
from semid.base import _live_module
from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
)
from semid.datasets import make_items
from semid.io._onnx import encode_for_onnx, to_onnx
from semid.io._onnx_graph import Graph
from semid.nn._fusions import FUSIONS, GateFusion
from semid.tables._histories import HistoryArray
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    VQVAETokenizer,
)

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

_NETWORK = {"hidden_layer_sizes": (32, 16), "max_iter": 2, "random_state": 0}
_LATENT = {"latent_dim": 7, **_NETWORK}
TOKENIZERS = {
    "RQ-VAE": RQVAETokenizer(3, 32, **_LATENT),
    "RQ-VAE with prices": RQVAETokenizer(3, 32, assignment="sinkhorn", **_LATENT),
    "RQ-VAE without hidden layers": RQVAETokenizer(2, [8, 32], latent_dim=7, hidden_layer_sizes=(), max_iter=2),
    "VQ-VAE": VQVAETokenizer(32, **_LATENT),
    "MultiEmbedding": MultiEmbeddingTokenizer(3, 32, **_LATENT),
    "MixtureOfCodes": MixtureOfCodesTokenizer(3, 32, **_LATENT),
    "MixtureOfCodes with prices": MixtureOfCodesTokenizer(
        3, [4, 8, 32], projection_dim=None, assignment="sinkhorn", **_LATENT
    ),
    "FSQ": FSQTokenizer(3, [256, 60, 2], **_NETWORK),
    "FSQ with levels": FSQTokenizer(2, 12, levels=(2, 6), **_NETWORK),
    "residual k-means": ResidualKMeansTokenizer(4, 32, random_state=0),
    "residual k-means with a beam": ResidualKMeansTokenizer(3, 32, beam_size=5, n_refinements=1, random_state=0),
    "residual k-means with a beam wider than a codebook": ResidualKMeansTokenizer(
        3, [2, 8, 4], beam_size=20, random_state=0
    ),
    "parallel k-means": ParallelKMeansTokenizer(4, "graded", random_state=0),
    "PQ": ProductQuantizationTokenizer(5, 16, rotation=None, random_state=0),
    "PQ with balanced blocks": ProductQuantizationTokenizer(3, 16, rotation="pca_balanced", random_state=0),
    "OPQ": ProductQuantizationTokenizer(3, 16, random_state=0),
}


@pytest.fixture(scope="module")
def X():
    return make_items(n_items=10_000, n_features=16, random_state=1).embeddings


def _run(estimator, inputs, path, **options):
    """Return the one output of the graph of `estimator`."""
    to_onnx(estimator, path, overwrite=True)
    return _session(path, **options).run(None, inputs)[0]


def _session(path, **options):
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = 1
    for name, value in options.items():
        setattr(session_options, name, value)
    return onnxruntime.InferenceSession(path, session_options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", TOKENIZERS)
def test_codes_equal_those_of_transform_in_batches_of_any_size(name, X, tmp_path):
    tokenizer = clone(TOKENIZERS[name]).fit(X[:2000])
    codes = tokenizer.transform(X)
    to_onnx(tokenizer, tmp_path / "tokenizer.onnx")
    session = _session(tmp_path / "tokenizer.onnx")
    for batch_size in (1, 64, len(X)):
        batches = [X[start : start + batch_size] for start in range(0, len(X), batch_size)]
        got = np.concatenate([session.run(["codes"], {"embeddings": batch})[0] for batch in batches])
        np.testing.assert_array_equal(got, codes)
        assert got.dtype == np.int64
    assert session.run(["codes"], {"embeddings": X[:0]})[0].shape == (0, codes.shape[1])


def _hostile_catalogues():
    rows = np.random.default_rng(0).standard_normal((600, 5))
    steps = np.round(rows)
    return {
        "huge": rows * 1e30,
        "tiny": rows * 1e-30,
        "far from zero": rows * 1e-3 + 1e4,
        "near-duplicates": np.repeat(rows[:60], 10, axis=0) + 1e-6 * rows,
        "a grid": steps,
        "outliers": rows**9,
        "one feature": rows[:, :1],
        "constant": np.ones((40, 3)),
    }


@pytest.mark.parametrize("catalogue", _hostile_catalogues())
@pytest.mark.parametrize(
    "tokenizer",
    [
        RQVAETokenizer(3, 16, assignment="sinkhorn", **_LATENT),
        FSQTokenizer(2, 12, **_NETWORK),
        ResidualKMeansTokenizer(5, 16, random_state=0),
        ResidualKMeansTokenizer(3, 16, beam_size=4, random_state=0),
        ProductQuantizationTokenizer(7, 16, random_state=0),  # more codebooks than features
    ],
    ids=["RQ-VAE", "FSQ", "residual", "beam", "OPQ"],
)
def test_codes_of_hostile_embeddings_are_equal_on_borders_too(tokenizer, catalogue, tmp_path):
    rows = _hostile_catalogues()[catalogue].astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of codebooks that are cut or collapse
        tokenizer = clone(tokenizer).fit(rows)
    half_way = (rows + np.roll(rows, 1, axis=0)) / 2
    queries = np.concatenate([rows, half_way, rows[::-1] * np.float32(3.7), rows * np.float32(1e-3), 0 * rows[:2]])
    got = _run(tokenizer, {"embeddings": queries}, tmp_path / "tokenizer.onnx")
    np.testing.assert_array_equal(got, tokenizer.transform(queries))


def test_an_item_between_two_code_vectors_has_the_code_of_the_first(tmp_path):
    tokenizer = ParallelKMeansTokenizer(1, 4, random_state=0).fit(np.eye(4, dtype=np.float32))
    name = next(name for name in tokenizer.state_ if name.endswith("code_vectors"))
    tokenizer.state_[name][[1, 3]] = tokenizer.state_[name][[2, 0]]
    tokenizer._live = _live_module.LiveModule()
    queries = np.concatenate([tokenizer.codebooks_[0], tokenizer.codebooks_[0].mean(axis=0, keepdims=True)])
    got = _run(tokenizer, {"embeddings": queries}, tmp_path / "tokenizer.onnx")
    np.testing.assert_array_equal(got[:, 0], [0, 1, 1, 0, 0])
    np.testing.assert_array_equal(got, tokenizer.transform(queries))


def test_a_scalar_closer_to_a_border_than_the_tie_has_reached_the_upper_level(tmp_path):
    plane = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    tokenizer = FSQTokenizer(1, 16, levels=(4, 4), hidden_layer_sizes=(), max_iter=1, random_state=0).fit(plane)
    # The latent is the embedding: one border of each scalar is at zero.
    plain = {"encoder.linear.weight": np.eye(2), "quantizer.bound": np.ones(2), "scale": np.ones(())}
    plain |= {"encoder.linear.bias": np.zeros(2), "mean": np.zeros(2)}
    tokenizer.state_ |= {name: array.astype(np.float32) for name, array in plain.items()}
    tokenizer._live = _live_module.LiveModule()
    queries = np.array([[0.1, 0.1], [0, 0], [-1e-12, -1e-12], [-1e-10, -1e-12], [-1e-10, -1e-10]], dtype=np.float32)
    got = _run(tokenizer, {"embeddings": queries}, tmp_path / "tokenizer.onnx")
    np.testing.assert_array_equal(got[:, 0], [10, 10, 10, 6, 5])
    np.testing.assert_array_equal(got, tokenizer.transform(queries))


def test_of_sums_that_are_equal_but_for_rounding_the_beam_takes_the_same(X, tmp_path):
    tokenizer = ResidualKMeansTokenizer(3, 16, beam_size=12, random_state=0).fit(X[:2000])
    first, *others = (name for name in tokenizer.state_ if name.endswith("code_vectors"))
    for name in others:  # the codes of an item in any order have the same sum
        tokenizer.state_[name][:] = tokenizer.state_[first]
    tokenizer._live = _live_module.LiveModule()
    got = _run(tokenizer, {"embeddings": X[:2000]}, tmp_path / "tokenizer.onnx")
    np.testing.assert_array_equal(got, tokenizer.transform(X[:2000]))


def test_codes_do_not_depend_on_the_optimizations_of_the_runtime(X, tmp_path):
    tokenizer = clone(TOKENIZERS["RQ-VAE"]).fit(X[:2000])
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    got = _run(tokenizer, {"embeddings": X}, tmp_path / "tokenizer.onnx", graph_optimization_level=level)
    np.testing.assert_array_equal(got, tokenizer.transform(X))


def test_relabelled_codes_and_later_parameters(X, tmp_path):
    tokenizer = clone(TOKENIZERS["residual k-means"]).fit(X[:2000])
    tokenizer.align_to(X[:2000], 31 - tokenizer.transform(X[:2000]))
    tokenizer.set_params(beam_size=9, n_codebooks=2)  # waits for the next fit
    got = _run(tokenizer, {"embeddings": X}, tmp_path / "tokenizer.onnx")
    np.testing.assert_array_equal(got, tokenizer.transform(X))


def test_the_file_says_what_it_is_and_is_about_as_large_as_the_weights(X, tmp_path):
    tokenizer = RQVAETokenizer(2, [16, 8], latent_dim=4, hidden_layer_sizes=(256,), max_iter=1, random_state=0)
    tokenizer.fit(X[:500])
    to_onnx(tokenizer, tmp_path / "tokenizer.onnx")
    session = _session(tmp_path / "tokenizer.onnx")
    assert session.get_modelmeta().custom_metadata_map == {
        "semid_version": semid.__version__,
        "estimator": "RQVAETokenizer",
        "n_features": "16",
        "codebook_sizes": "[16, 8]",
    }
    (embeddings,), (codes,) = session.get_inputs(), session.get_outputs()
    assert (embeddings.name, embeddings.type, embeddings.shape) == ("embeddings", "tensor(float)", ["batch", 16])
    assert (codes.name, codes.type, codes.shape) == ("codes", "tensor(int64)", ["batch", 2])
    n_bytes = sum(array.nbytes for name, array in tokenizer.state_.items() if "decoder" not in name)
    assert (tmp_path / "tokenizer.onnx").stat().st_size < n_bytes + 10_000
    model = onnx.load(tmp_path / "tokenizer.onnx")
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]


def _impressions(n_rows, seed=0):
    """A table with columns of every kind, and the clicks."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user_id": rng.choice([f"u{n}" for n in range(40)], n_rows),
            "brand": rng.choice(["a", "b", None, "é"], n_rows),
            "hour": rng.integers(0, 24, n_rows),
            "price": rng.lognormal(size=n_rows),
            "age": np.where(rng.random(n_rows) < 0.2, np.nan, rng.normal(40, 10, n_rows)),
            "code0": rng.integers(0, 4, n_rows),
            "code1": rng.integers(0, 8, n_rows),
            "code2": rng.integers(0, 8, n_rows),
            "tags": [list(rng.choice(["x", "y", "z"], rng.integers(0, 4))) for _ in range(n_rows)],
            "history": [list(rng.integers(0, 9, rng.integers(0, 6))) for _ in range(n_rows)],
        }
    )
    vectors = pd.DataFrame(rng.standard_normal((n_rows, 8)), columns=[f"image{n}" for n in range(8)])
    logits = (frame["code0"] - 1.5) + (frame["hour"] > 12) - (frame["brand"] == "a") + vectors["image0"]
    return pd.concat([frame, vectors], axis=1), (rng.random(n_rows) < 1 / (1 + np.exp(-logits))).astype(int)


_SMALL = {"embedding_dim": 6, "max_iter": 2, "random_state": 0}
_DEEP = {"hidden_layer_sizes": (16, 8), **_SMALL}
CLASSIFIERS = {
    "DeepFM": DeepFMClassifier(**_DEEP),
    "DeepFM with several sets": DeepFMClassifier(n_embedding_sets=3, **_DEEP),
    "DCNv2": DCNv2Classifier(dropout=0.1, **_DEEP),
    "DCNv2, low rank": DCNv2Classifier(low_rank=3, **_DEEP),
    "DCNv2 with several sets": DCNv2Classifier(n_embedding_sets=2, **_DEEP),
    "AutoInt": AutoIntClassifier(attention_dim=8, **_DEEP),
    "AutoInt, one width": AutoIntClassifier(attention_dim=6, n_attention_layers=2, **_DEEP),
    "DeepIM": DeepIMClassifier(interaction_order=5, **_DEEP),
    "FM": FactorizationMachineClassifier(**_SMALL),
    "MLP": MLPCTRClassifier(**_DEEP),
    "MLP with several sets": MLPCTRClassifier(n_embedding_sets=2, **_DEEP),
    "MLP without hidden layers": MLPCTRClassifier(hidden_layer_sizes=(), **_SMALL),
    "with rare categories left out": DeepFMClassifier(min_frequency=40, vector_fields=3, **_DEEP),
    "with a user among the codes": DeepFMClassifier(code_features=["user_id", "code0", "code1"], **_DEEP),
} | {f"fusion={fusion}": DeepFMClassifier(fusion=fusion, **_DEEP) for fusion in FUSIONS}
FORMER = {  # what models of 0.1.0 could be besides
    "DCNv2, stacked": (CLASSIFIERS["DCNv2"], {"structure": "stacked"}),
    "DCNv2, two experts": (CLASSIFIERS["DCNv2, low rank"], {"n_experts": 2}),
    "AutoInt, three heads": (CLASSIFIERS["AutoInt, one width"], {"n_heads": 3}),
    "without adapter": (DeepFMClassifier(vector_fields=3, **_DEEP), {"adapter_width": 0}),
    "without the norm": (DeepFMClassifier(vector_fields=3, **_DEEP), {}),
    "with buckets": (CLASSIFIERS["DeepFM"], {"buckets": {"user_id": 5, "tags": 3}}),
    "with a query": (CLASSIFIERS["fusion=attention"], {"fusion_query": 0}),
    "with a narrow bottleneck": (CLASSIFIERS["fusion=gate"], {"fusion_rank": 5}),
}


def _fitted_with_all_weights_at_work(classifier, X, y):
    """Fit, then move the embeddings and fusions away from zero, where they start and two epochs left them."""
    return _with_all_weights_at_work(clone(classifier).fit(X, y))


def _with_all_weights_at_work(classifier, scale=0.3):
    rng = np.random.default_rng(0)
    for name, array in classifier.state_.items():
        if "fusions" in name or name == "embedding.table":
            array += scale * rng.standard_normal(array.shape).astype(array.dtype)
    classifier._live = _live_module.LiveModule()
    return classifier


@pytest.mark.parametrize("name", [*CLASSIFIERS, *FORMER])
def test_click_probabilities_equal_those_of_predict_proba(name, tmp_path):
    if name in FORMER:
        classifier, former = FORMER[name]
        classifier = _with_all_weights_at_work(as_of_0_1_0(classifier, *_impressions(1500), **former), scale=1.0)
    else:
        classifier = _fitted_with_all_weights_at_work(CLASSIFIERS[name], *_impressions(1500))
    X, _ = _impressions(1000, seed=1)
    X.loc[:50, "user_id"] = "unheard of"
    expected = classifier.predict_proba(X)[:, 1]
    inputs = encode_for_onnx(classifier, X)
    to_onnx(classifier, tmp_path / "model.onnx")
    session = _session(tmp_path / "model.onnx")
    for batch_size in (1, 64, len(X)):
        for start in range(0, len(X), max(batch_size, 100)):
            rows = slice(start, start + batch_size)
            (got,) = session.run(["click_probability"], {key: array[rows] for key, array in inputs.items()})
            np.testing.assert_allclose(got, expected[rows], rtol=0, atol=1e-5)
    assert got.dtype == np.float32
    assert np.ptp(expected) > 0.05  # or the comparison says little
    assert session.run(None, {key: array[:0] for key, array in inputs.items()})[0].shape == (0,)


HISTORIES = {
    "mean": DeepFMClassifier(history_pooling="mean", **_DEEP),
    "attention": DeepFMClassifier(history_pooling="attention", **_DEEP),
    "attention, several sets": MLPCTRClassifier(history_pooling="attention", n_embedding_sets=2, **_DEEP),
    "of residual codes": AutoIntClassifier(fusion="residual", attention_dim=8, **_DEEP),
    "with ids fused": DCNv2Classifier(code_features=["user_id", "brand"], history_pooling="attention", **_DEEP),
    "DIN": DINClassifier(**_DEEP),
}


def _with_histories(X, seed=0, n_items=9):
    """Return `X` with histories of items whose codes are those of the column ``code<n>``, and of the ids alone."""
    rng = np.random.default_rng(seed)
    X = X.rename(columns={f"code{n}": f"brand_code{n}" for n in range(3)}).drop(columns=["history", "age"])
    starts, lengths = rng.integers(0, 20, len(X)), rng.integers(0, 6, len(X))
    brands = np.array([f"{letter}" for letter in "abcdefghi"][:n_items])
    codes = np.random.default_rng(1).integers(-1, 4, (n_items, 3))
    entries = rng.integers(n_items, size=30)
    X["seen"] = HistoryArray(entries, brands, starts, starts + lengths, codes=codes, item="brand")
    X["bought"] = HistoryArray(entries, brands, starts, starts + lengths // 2, item="brand")
    return X


@pytest.mark.parametrize("name", HISTORIES)
def test_click_probabilities_with_histories_equal_those_of_predict_proba(name, tmp_path):
    X, y = _impressions(1000)
    classifier = _fitted_with_all_weights_at_work(HISTORIES[name], _with_histories(X), y)
    for key, array in classifier.state_.items():
        if "poolings" in key:
            array += np.random.default_rng(0).standard_normal(array.shape).astype(array.dtype)
    X = _with_histories(_impressions(300, seed=1)[0], seed=1)
    expected = classifier.predict_proba(X)[:, 1]
    to_onnx(classifier, tmp_path / "model.onnx")
    session = _session(tmp_path / "model.onnx")
    for rows in (slice(0, 300), slice(5, 6), slice(7, 40)):
        (got,) = session.run(None, encode_for_onnx(classifier, X[rows]))
        np.testing.assert_allclose(got, expected[rows], rtol=0, atol=1e-5)
    inputs = encode_for_onnx(classifier, X)
    longer = inputs | {"histories": np.pad(inputs["histories"], ((0, 0), (0, 0), (0, 7)))}
    np.testing.assert_allclose(session.run(None, longer)[0], expected, rtol=0, atol=1e-5)
    assert session.run(None, {key: array[:0] for key, array in inputs.items()})[0].shape == (0,)
    names = json.loads(session.get_modelmeta().custom_metadata_map["histories"])
    assert names == ["seen: brand", *(f"seen: brand_code{n}" for n in range(3)), "bought: brand"]
    assert np.ptp(expected) > 0.05


@pytest.mark.parametrize(
    "columns",
    [
        ["user_id"],
        ["price"],
        ["age"],
        ["tags"],
        ["user_id", "tags"],
        ["price", "history"],
        [f"image{n}" for n in range(8)],
        ["code0", "code1", "code2"],
    ],
    ids=lambda columns: columns[0] + "+" * (len(columns) - 1),
)
def test_a_model_of_few_columns_has_the_inputs_that_these_need(columns, tmp_path):
    X, y = _impressions(600)
    classifier = DeepFMClassifier(**_DEEP).fit(X[columns], y)
    inputs = encode_for_onnx(classifier, X[columns])
    got = _run(classifier, inputs, tmp_path / "model.onnx")
    assert [entry.name for entry in _session(tmp_path / "model.onnx").get_inputs()] == list(inputs)
    np.testing.assert_allclose(got, classifier.predict_proba(X[columns])[:, 1], rtol=0, atol=1e-5)


def test_the_calibration_is_in_the_graph(tmp_path):
    X, y = _impressions(600)
    classifier = DeepFMClassifier(**_DEEP).fit(X, y)
    classifier.calibration_ = {"scale": 0.25, "shift": -2.0}
    got = _run(classifier, encode_for_onnx(classifier, X), tmp_path / "model.onnx")
    logits = torch.logit(torch.from_numpy(got)).numpy()
    np.testing.assert_allclose(logits, classifier.decision_function(X), atol=1e-4)
    classifier.calibration_ = {"scale": 1.0, "shift": 0.0}
    np.testing.assert_allclose(logits, 0.25 * classifier.decision_function(X) - 2.0, atol=1e-4)


def test_what_a_vocabulary_has_not_counts_as_unknown_and_is_no_row_of_the_next(tmp_path):
    X, y = _impressions(600)
    classifier = _fitted_with_all_weights_at_work(DeepFMClassifier(**_DEEP), X[["user_id", "brand", "tags"]], y)
    to_onnx(classifier, tmp_path / "model.onnx")
    inputs = encode_for_onnx(classifier, X[:5][["user_id", "brand", "tags"]])
    unknown = {key: np.where(array > 0, 1, 0) for key, array in inputs.items()}
    session = _session(tmp_path / "model.onnx")
    (expected,) = session.run(None, unknown)
    for wrong in (-1, 1000, 10**12):
        (got,) = session.run(None, {key: np.where(array > 0, wrong, 0) for key, array in inputs.items()})
        np.testing.assert_array_equal(got, expected)


def test_lists_may_be_padded_to_any_length(tmp_path):
    X, y = _impressions(600)
    X = X[["tags", "history"]]
    classifier = DeepFMClassifier(**_DEEP).fit(X, y)
    to_onnx(classifier, tmp_path / "model.onnx")
    lists = encode_for_onnx(classifier, X)["lists"]
    assert lists.shape == (600, 2, 5)
    session, expected = _session(tmp_path / "model.onnx"), classifier.predict_proba(X)[:, 1]
    (longer,) = session.run(None, {"lists": np.pad(lists, ((0, 0), (0, 0), (0, 7)))})
    np.testing.assert_allclose(longer, expected, rtol=0, atol=1e-5)
    (empty,) = session.run(None, {"lists": lists[:, :, :0]})
    nothing = pd.DataFrame({"tags": [[]] * 600, "history": [[]] * 600})
    np.testing.assert_allclose(empty, classifier.predict_proba(nothing)[:, 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", [FactorizationMachineClassifier, DeepIMClassifier])
def test_a_huge_number_has_the_probability_of_the_model(tmp_path, model):
    X, y = _impressions(600)
    X = X[["user_id", "brand", "price"]]
    classifier = model(max_iter=2, random_state=0).fit(X, y)
    to_onnx(classifier, tmp_path / "model.onnx")
    asked = X[:4].assign(price=[9_999_999.0, -1e9, 1e30, 3e5])
    (got,) = _session(tmp_path / "model.onnx").run(None, encode_for_onnx(classifier, asked))
    np.testing.assert_allclose(got, classifier.predict_proba(asked)[:, 1], rtol=0, atol=1e-5)


def test_the_file_of_a_click_model_names_its_classes_and_columns(tmp_path):
    X, y = _impressions(600)
    classifier = DeepFMClassifier(**_DEEP).fit(X, np.where(y, "yes", "no"))
    to_onnx(classifier, tmp_path / "model.onnx")
    metadata = _session(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert metadata["estimator"] == "DeepFMClassifier"
    assert json.loads(metadata["classes"]) == ["no", "yes"]
    assert json.loads(metadata["categories"]) == ["user_id", "brand", "hour", "code0", "code1", "code2"]
    assert json.loads(metadata["lists"]) == ["tags", "history"]
    assert json.loads(metadata["numbers"]) == ["price", "age", "is missing: age", *(f"image{n}" for n in range(8))]
    inputs = encode_for_onnx(classifier, X)
    shapes = {key: (array.dtype.name, array.shape) for key, array in inputs.items()}
    assert shapes == {
        "categories": ("int64", (600, 6)),
        "lists": ("int64", (600, 2, 5)),
        "numbers": ("float32", (600, 11)),
    }


def test_an_array_without_column_names(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 9, (500, 3)), rng.integers(0, 2, 500)
    classifier = FactorizationMachineClassifier(**_SMALL).fit(X, y)
    got = _run(classifier, encode_for_onnx(classifier, X), tmp_path / "model.onnx")
    np.testing.assert_allclose(got, classifier.predict_proba(X)[:, 1], rtol=0, atol=1e-5)


class _OwnFusion(GateFusion):
    def forward(self, e):
        return -e


class _OwnProbability(DeepFMClassifier):
    def predict_proba(self, X):
        return 1 - super().predict_proba(X)


def test_what_has_no_graph_is_refused_and_the_message_says_what_to_do(X, tmp_path):
    random, inner = RandomTokenizer(2, 8, random_state=0), ResidualKMeansTokenizer(2, 32, random_state=0)
    table, y = _impressions(300)
    fusion = DeepFMClassifier(fusion=_OwnFusion, **_DEEP).fit(table, y)
    refused = [
        (random.fit(X[:300]), r"got RandomTokenizer.*write_mapping\(path"),
        (UniqueTokenizer(inner).fit(X[:300]), r"got UniqueTokenizer.*write_mapping\(path"),
        (make_pipeline(inner).fit(X[:300]), "got Pipeline. Write the steps"),
        (inner.fit, "got method"),
        (fusion, r"got .*\._OwnFusion\. Use a model and a fusion of semid's own"),
        (_OwnProbability(**_DEEP).fit(table, y), "got _OwnProbability, which has a predict_proba of its own"),
    ]
    for estimator, message in refused:
        with pytest.raises(TypeError, match=message):
            to_onnx(estimator, tmp_path / "refused.onnx")
    with pytest.raises(TypeError, match=r"must be a click model of semid\.ctr, or a NextItemRecommender, got Residual"):
        encode_for_onnx(inner, X)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_fitted_is_refused(tmp_path):
    for estimator in (ResidualKMeansTokenizer(), RandomTokenizer(), DeepFMClassifier()):
        with pytest.raises(NotFittedError):
            to_onnx(estimator, tmp_path / "refused.onnx")
    with pytest.raises(NotFittedError):
        encode_for_onnx(DeepFMClassifier(), _impressions(3)[0])


def test_a_file_is_replaced_on_demand_only_and_as_a_whole(X, tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.onnx"
    first = ResidualKMeansTokenizer(2, 8, random_state=0).fit(X[:300])
    to_onnx(first, str(path))
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="Pass overwrite=True"):
        to_onnx(first, path)

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr("os.replace", fail)
        to_onnx(ResidualKMeansTokenizer(3, 8, random_state=0).fit(X[:300]), path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    to_onnx(first, path, overwrite=True)
    assert path.read_bytes() == before  # the same model is the same file


def test_without_onnx_the_error_says_what_to_install(X, tmp_path, monkeypatch):
    tokenizer = ResidualKMeansTokenizer(2, 8, random_state=0).fit(X[:300])
    import_module = builtins.__import__

    def without_onnx(name, *args, **kwargs):
        if name == "onnx":
            raise ImportError(name)
        return import_module(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(ImportError, match=r'pip install "semid\[onnx\]"'):
        to_onnx(tokenizer, tmp_path / "tokenizer.onnx")


def test_weights_beyond_the_limit_of_a_file_are_refused():
    graph = Graph("float32")
    graph.constant(np.broadcast_to(np.float32(0), (2**30, 1)))
    with pytest.raises(ValueError, match=r"less than 2 GiB of weights for one ONNX file, got 4\.0 GiB"):
        graph.to_model(onnx, {})
