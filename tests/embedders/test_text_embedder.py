import pickle
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils.estimator_checks import estimator_checks_generator

from semid.embedders import TextEmbedder, _sentence_transformer, _texts
from semid.tokenizers import ResidualKMeansTokenizer


@pytest.fixture(scope="session")
def titles(items):
    return items.frame["title"]


@pytest.fixture
def model(monkeypatch):
    """A stand-in for sentence-transformers that counts the texts it reads; vectors are counts of letters."""
    read = []

    class SentenceTransformer:
        def __init__(self, name, device=None, revision=None, backend="torch"):
            if name == "nowhere":
                raise OSError("no such model")
            weights = Path(name) / "weights"
            self.shift = float(weights.read_text()) if weights.exists() else 0.0

        def to(self, dtype):
            return self

        def encode(self, texts, *, prompt, batch_size, show_progress_bar, convert_to_numpy, normalize_embeddings):
            read.extend(texts)
            return self.shift + np.stack([_letters((prompt or "") + text) for text in texts])

    monkeypatch.setattr(_sentence_transformer, "find_spec", lambda name: name)
    monkeypatch.setattr(_sentence_transformer, "_loaded", {})
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=SentenceTransformer))
    return read


def _letters(text):
    return np.array([text.count(letter) for letter in "abcdefgh"], dtype=np.float32) + 0.5


def test_lsa_is_tfidf_and_a_truncated_svd(titles):
    distinct = np.unique(titles)
    counts = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", sublinear_tf=True, strip_accents="unicode"),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, strip_accents="unicode"),
    )
    expected = (
        make_pipeline(counts, TruncatedSVD(5, algorithm="arpack", random_state=0)).fit(distinct).transform(titles)
    )
    embeddings = TextEmbedder(n_components=5, normalize=False).fit_transform(titles)
    np.testing.assert_allclose(np.abs(embeddings), np.abs(expected), atol=1e-4)
    assert embeddings.dtype == np.float32


def test_neither_order_nor_repetition_of_the_texts_matters(titles, rng):
    embedder = TextEmbedder(n_components=8)
    embeddings = embedder.fit_transform(titles)
    order = np.append(rng.permutation(len(titles)), [0, 0, 1])
    np.testing.assert_array_equal(clone(embedder).fit_transform(titles.iloc[order]), embeddings[order])
    np.testing.assert_array_equal(embedder.transform(titles[:7]), embeddings[:7])
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)


def test_fewer_dimensions_are_the_leading_ones(titles):
    wide = TextEmbedder(n_components=8, normalize=False).fit_transform(titles)
    few = TextEmbedder(n_components=8, truncate_dim=3, normalize=False).fit_transform(titles)
    np.testing.assert_array_equal(few, wide[:, :3])
    scaled = TextEmbedder(n_components=8, truncate_dim=3).fit_transform(titles)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-6)


def test_each_distinct_text_is_read_once_and_every_row_gets_its_own(model):
    texts = ["bag", "cab", "bag", "", "hedge", "cab"]
    embeddings = TextEmbedder("letters", normalize=False).fit_transform(texts)
    np.testing.assert_array_equal(embeddings, np.stack([_letters(text) for text in texts]))
    assert sorted(model) == sorted([*set(texts), texts[0]])  # one text more, to learn the width


def test_a_prompt_goes_before_each_text(model):
    embeddings = TextEmbedder("letters", prompt="ache ", normalize=False).fit_transform(["bag"])
    np.testing.assert_array_equal(embeddings[0], _letters("ache bag"))


def test_with_memory_a_text_is_read_once_for_all(model, tmp_path):
    embedder = TextEmbedder("letters", memory=str(tmp_path))
    embeddings = embedder.fit_transform(["bag", "cab"])
    assert sorted(model) == ["bag", "cab"]
    np.testing.assert_array_equal(clone(embedder).fit_transform(["cab", "bag"]), embeddings[::-1])
    assert sorted(model) == ["bag", "cab"]
    grown = clone(embedder).set_params(truncate_dim=3, normalize=False, verbose=True).fit_transform(["bag", "hedge"])
    assert sorted(model) == ["bag", "cab", "hedge"]
    np.testing.assert_array_equal(grown, [_letters("bag")[:3], _letters("hedge")[:3]])


@pytest.mark.parametrize("other", [{"prompt": "a"}, {"revision": "2"}, {"dtype": "float16"}, {"model": "others"}])
def test_vectors_of_other_settings_are_others(model, tmp_path, other):
    embedder = TextEmbedder("letters", memory=joblib.Memory(tmp_path, verbose=0))
    embedder.fit_transform(["bag"])
    clone(embedder).set_params(**other).fit_transform(["bag"])
    assert model == ["bag", "bag"]


def test_a_model_whose_files_have_changed_is_another(model, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("1")
    embedder = TextEmbedder(str(folder), normalize=False, memory=str(tmp_path / "memory"))
    np.testing.assert_array_equal(embedder.fit_transform(["bag"])[0], _letters("bag") + 1)
    (folder / "weights").write_text("12")
    for _ in range(2):  # the second time from memory
        np.testing.assert_array_equal(embedder.fit_transform(["bag"])[0], _letters("bag") + 12)
    assert model == ["bag", "bag"]
    assert len(_sentence_transformer._loaded) == 1


def test_components_that_are_equal_by_chance_do_not_share_vectors(tmp_path):
    # In alphabetical order the words of both catalogues stand in the same places, so that counts and components agree.
    catalogue, other = [["mug 1", "mug 1 pan", "bed 1"], ["mug 2", "mug 2 pan", "bed 2"]]
    TextEmbedder(n_components=2, memory=str(tmp_path)).fit_transform(catalogue)
    remembered = TextEmbedder(n_components=2, memory=str(tmp_path)).fit(other)
    expected = TextEmbedder(n_components=2).fit(other)
    np.testing.assert_array_equal(
        remembered._lsa.components_, TextEmbedder(n_components=2).fit(catalogue)._lsa.components_
    )
    np.testing.assert_array_equal(remembered.transform(catalogue), expected.transform(catalogue))


def test_the_empty_text_is_the_zero_vector_of_lsa():
    embeddings = TextEmbedder(n_components=2).fit_transform(["mug", "", "pan"])
    np.testing.assert_array_equal(np.flatnonzero(~embeddings.any(axis=1)), [1])


@pytest.mark.parametrize(
    ("asked", "cuda", "mps", "picked"),
    [
        ("auto", False, True, "mps"),
        ("mps", True, True, "mps"),
        ("auto", True, True, "cuda"),
        ("auto", False, False, "cpu"),
        ("cpu", False, True, "cpu"),
    ],
)
def test_the_device_is_a_gpu_where_there_is_one(monkeypatch, asked, cuda, mps, picked):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert _sentence_transformer.pick_device(asked) == picked


def test_one_thread_at_a_time_reads(model, monkeypatch):
    embedder = TextEmbedder("letters", normalize=False).fit(["a"])
    ((_, loaded),) = _sentence_transformer._loaded.items()
    busy, together = [], []

    def encode(texts, **options):
        busy.append(1)
        together.append(len(busy))
        time.sleep(0.002)
        busy.pop()
        return np.stack([_letters(text) for text in texts])

    monkeypatch.setattr(loaded, "encode", encode, raising=False)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(embedder.transform, [[f"bag {n}"] for n in range(12)]))
    np.testing.assert_array_equal(np.vstack(results), [_letters(f"bag {n}") for n in range(12)])
    assert set(together) == {1}


@pytest.mark.parametrize("name", ["lsa", "letters"])
def test_a_search_reads_each_text_once(model, monkeypatch, titles, tmp_path, name):
    fits = []
    original = TextEmbedder._fit.__globals__["LSA"].fit
    monkeypatch.setattr(TextEmbedder._fit.__globals__["LSA"], "fit", lambda *a: (fits.append(1), original(*a))[1])
    embedder = TextEmbedder(name, n_components=8, memory=str(tmp_path))
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=4, random_state=0)
    grid = {"textembedder__truncate_dim": [3, 4, 8], "residualkmeanstokenizer__n_codebooks": [1, 2]}
    every_row = [(np.arange(len(titles)), np.arange(len(titles)))]
    GridSearchCV(make_pipeline(embedder, tokenizer), grid, cv=every_row).fit(titles)
    assert (len(fits), sorted(model)) == ((1, []) if name == "lsa" else (0, sorted(set(titles))))


def test_a_damaged_file_is_told_of_and_its_texts_are_read_again(model, tmp_path):
    embedder = TextEmbedder("letters", memory=str(tmp_path))
    expected = embedder.fit_transform(["bag", "cab"])
    for path in tmp_path.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match="cannot be read and are left out"):
        np.testing.assert_array_equal(embedder.transform(["bag", "cab"]), expected)
    assert len(model) == 4


def test_every_kind_of_table_gives_the_same(titles):
    expected = TextEmbedder(n_components=4).fit_transform(titles)
    frame = titles.to_frame()
    tables = [titles.tolist(), titles.to_numpy(), frame, frame.to_numpy(), pl.DataFrame({"title": titles.tolist()})]
    for X in [*tables, pl.Series("title", titles.tolist())]:
        np.testing.assert_array_equal(TextEmbedder(n_components=4).fit_transform(X), expected)
    columns = ColumnTransformer([("one", TextEmbedder(n_components=4), "title")]).set_output(transform="pandas")
    embedded = columns.fit_transform(frame)
    np.testing.assert_array_equal(embedded, expected)
    assert list(embedded.columns) == [f"one__emb_{n}" for n in range(4)]
    columns = ColumnTransformer([("one", TextEmbedder(n_components=4), ["title"])])
    np.testing.assert_array_equal(columns.fit_transform(frame), expected)


def test_pickles_hold_no_weights_of_a_model(model):
    embedder = TextEmbedder("letters").fit(["bag"])
    assert len(pickle.dumps(embedder)) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedder)).transform(["cab"]), embedder.transform(["cab"]))


@pytest.mark.parametrize(
    ("parameters", "X", "error", "message"),
    [
        ({}, ["mug", None], ValueError, r"in every row, got none in 1 of 2, first in row 1. .*X.fillna"),
        ({}, ["mug", np.nan], ValueError, "none in 1 of 2, first in row 1"),
        ({}, "mug", ValueError, "a list of texts or a table of them, got the one text 'mug'"),
        ({}, [1, 2], TypeError, r"must hold text, got 1 \(int\)"),
        ({}, ["mug"], ValueError, "at least two different texts"),
        ({}, ["", ""], ValueError, "X must have words"),
        ({"template": "{name}"}, ["mug"], ValueError, r"template must name columns of X, got 'name'; X has \['0'\]"),
        ({"template": "mug"}, ["mug"], ValueError, "at least one column in braces, got 'mug'"),
        ({"template": "{0"}, ["mug"], ValueError, "template must be text with names"),
        ({"template": "{0:.2f}"}, [1.5], ValueError, r"nothing but names .*, got '\{0:.2f\}'. Format the column"),
        ({"template": "{0!r}"}, ["mug"], ValueError, "nothing but names of columns"),
        ({}, pd.DataFrame({"id": [3], "t": "mug"}), TypeError, r"'id' must hold text, got 3 \(int\).*in a template"),
        ({}, np.ones((3, 2)), TypeError, "column 0 must hold text, got 1.0"),
        ({}, [["mug", "pan"], ["bed"]], ValueError, r"as many texts in each, got \['mug', 'pan'\] and in row 1 \['bed"),
        ({}, [["mug"], "bed"], ValueError, "and in row 1 'bed'. For one column of lists of words, pass a Series"),
        ({"n_components": 0}, ["mug"], ValueError, "n_components must be at least 1"),
        ({"truncate_dim": 9, "n_components": 1}, ["mug", "pan"], ValueError, "truncate_dim must be at most the 1 dim"),
        ({"dtype": "int8"}, ["mug"], ValueError, "dtype must be one of"),
        ({"backend": "jax"}, ["mug"], ValueError, "backend must be one of"),
        ({"model": 3}, ["mug"], TypeError, 'model must be "lsa", or the name'),
        ({"model": "letters", "prompt": 3}, ["mug"], TypeError, "prompt must be None or text, got 3"),
        ({"revision": 3}, ["mug"], TypeError, "revision must be None or text, got 3"),
        ({"backend": "onnx", "dtype": "float16"}, ["mug"], ValueError, 'dtype must be "float32" for backend="onnx"'),
        ({"model": "letters", "device": "tpu"}, ["mug"], ValueError, "device must be 'auto'"),
        ({"memory": 3}, ["mug"], ValueError, "'memory' should be None, a string"),
        ({"prompt": "query: "}, ["mug"], ValueError, 'prompt must be None for model="lsa"'),
        ({"model": "nowhere"}, ["mug"], OSError, "'nowhere' cannot be loaded. Without a network, save it"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(model, parameters, X, error, message):
    embedder = TextEmbedder(**parameters)
    with pytest.raises(error, match=message):
        embedder.fit(X)
    assert not hasattr(embedder, "n_features_out_")


def test_a_missing_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(_sentence_transformer, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "semid\[text\]"'):
        TextEmbedder("all-MiniLM-L6-v2").fit(["mug"])
    monkeypatch.setattr(_sentence_transformer, "find_spec", lambda name: None if name == "optimum" else name)
    with pytest.raises(ImportError, match=r'pip install "sentence-transformers\[onnx\]", or pass backend="torch"'):
        TextEmbedder("all-MiniLM-L6-v2", backend="onnx").fit(["mug"])


class OfNumbers(TextEmbedder):
    """Says that it takes tables of numbers, which are what scikit-learn's checks have."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        return tags


# What texts do otherwise, and why.
NOT_FOR_TEXTS = {
    "check_estimators_nan_inf": "a missing cell is left out where the row has others",
    "check_fit1d": "a list of texts is one column",
    "check_fit2d_predict1d": "a list of texts is one column",
    "check_fit2d_1sample": "the message is of texts",
}


@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API")
def test_scikit_learns_checks_hold_where_numbers_are_let_through_as_texts(monkeypatch):
    monkeypatch.setattr(_texts, "_check_is_text", lambda values, name: None)
    checked = set()
    for estimator, check in estimator_checks_generator(OfNumbers(n_components=2)):
        if check.func.__name__ not in NOT_FOR_TEXTS:
            check(estimator)
            checked.add(check.func.__name__)
    assert {
        "check_n_features_in",
        "check_set_params",
        "check_transformer_general",
        "check_estimators_pickle",
    } <= checked
