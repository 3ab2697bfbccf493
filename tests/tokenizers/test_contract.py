"""What holds for every tokenizer."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL_TOKENIZERS
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semid.metrics import reconstruction_r2
from semid.tokenizers import (
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    VQVAETokenizer,
)


def test_codes_are_int64_within_their_codebooks(tokenizer, items):
    codes = tokenizer.fit_transform(items.embeddings)
    assert codes.dtype == np.int64
    assert codes.shape == (300, len(tokenizer.codebook_sizes_))
    assert codes.min() >= 0
    assert (codes.max(axis=0) < tokenizer.codebook_sizes_).all()


def test_same_seed_same_codes(tokenizer, items):
    first = tokenizer.fit_transform(items.embeddings)
    np.testing.assert_array_equal(first, clone(tokenizer).fit_transform(items.embeddings))
    other = clone(tokenizer).set_params(random_state=1).fit_transform(items.embeddings)
    assert (first != other).any()


def test_codes_do_not_depend_on_the_global_seed_nor_touch_it(tokenizer, items):
    torch.manual_seed(3)
    expected_next = torch.rand(1)
    torch.manual_seed(3)
    codes = tokenizer.fit_transform(items.embeddings)
    assert torch.rand(1) == expected_next
    np.testing.assert_array_equal(codes, clone(tokenizer).fit_transform(items.embeddings))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_codes_do_not_depend_on_the_batch(tokenizer, items, batch):
    X = items.embeddings[:130]
    codes = tokenizer.fit(items.embeddings).transform(X)
    pieces = [tokenizer.transform(X[start : start + batch]) for start in range(0, len(X), batch)]
    np.testing.assert_array_equal(np.vstack(pieces), codes)


def test_codes_do_not_depend_on_the_order_of_rows_in_transform_or_fit(tokenizer, items, rng):
    order = rng.permutation(len(items.embeddings))
    codes = tokenizer.fit_transform(items.embeddings)
    np.testing.assert_array_equal(tokenizer.transform(items.embeddings[order]), codes[order])
    again = clone(tokenizer).fit(items.embeddings[order])
    np.testing.assert_array_equal(again.transform(items.embeddings), codes)


ENCODE_EACH = """
import joblib, numpy as np, pathlib, sys
X = np.load(sys.argv[1] + "/X.npy")
for path in pathlib.Path(sys.argv[1]).glob("*.joblib"):
    try:
        np.save(path.with_suffix(".npy"), joblib.load(path).transform(X))
    except Exception as error:  # of this one alone; its test finds no codes
        print(path.stem, repr(error), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def codes_here_and_in_a_fresh_process(items, tmp_path_factory):
    """Codes of each tokenizer by its class, and the folder of those that one process made which loaded them all."""
    folder = tmp_path_factory.mktemp("tokenizers")
    np.save(folder / "X.npy", items.embeddings)
    here = {}
    for unfitted in SMALL_TOKENIZERS:
        tokenizer = clone(unfitted)
        here[type(tokenizer)] = tokenizer.fit_transform(items.embeddings)
        joblib.dump(tokenizer, folder / f"{type(tokenizer).__name__}.joblib")
    subprocess.run([sys.executable, "-c", ENCODE_EACH, str(folder)], check=True, timeout=120)
    return here, folder


def test_codes_are_equal_after_reload_in_a_fresh_process(tokenizer, codes_here_and_in_a_fresh_process):
    here, folder = codes_here_and_in_a_fresh_process
    there = np.load(folder / f"{type(tokenizer).__name__}.npy")
    np.testing.assert_array_equal(there, here[type(tokenizer)])


def test_the_file_is_hardly_larger_than_the_weights(tokenizer, items, tmp_path):
    tokenizer.set_params(codebook_size=64)
    if hasattr(tokenizer, "hidden_layer_sizes"):
        tokenizer.set_params(hidden_layer_sizes=(256, 128))
    tokenizer.fit(items.embeddings)
    tokenizer.transform(items.embeddings)  # the live module must not be in the file
    weights = sum(array.nbytes for array in tokenizer.state_.values())
    joblib.dump(tokenizer, tmp_path / "tokenizer.joblib")
    assert (tmp_path / "tokenizer.joblib").stat().st_size <= 1.3 * weights


def test_hash_is_the_same_before_and_after_use(tokenizer, items):
    tokenizer.fit(items.embeddings)
    before = joblib.hash(tokenizer)
    tokenizer.transform(items.embeddings)
    assert joblib.hash(tokenizer) == before


def test_a_weight_of_two_is_an_item_listed_twice(tokenizer, items, rng):
    X = items.embeddings
    weights = rng.integers(0, 3, size=len(X))
    weighted = clone(tokenizer).fit(X, sample_weight=weights)
    repeated = clone(tokenizer).fit(X.repeat(weights, axis=0))
    np.testing.assert_array_equal(weighted.transform(X), repeated.transform(X))
    for name, array in weighted.state_.items():
        np.testing.assert_array_equal(array, repeated.state_[name])


def test_score_is_the_r2_of_the_way_there_and_back(tokenizer, items):
    tokenizer.fit(items.embeddings)
    X = items.embeddings
    reconstruction = tokenizer.inverse_transform(tokenizer.transform(X))
    assert reconstruction.shape == X.shape
    assert tokenizer.score(X) == reconstruction_r2(X, reconstruction)
    if not isinstance(tokenizer, RandomTokenizer):
        assert tokenizer.score(X) > 0.2


def test_every_tokenizer_beats_random_codes(tokenizer, items):
    if isinstance(tokenizer, RandomTokenizer):
        pytest.skip("is the baseline")
    random = RandomTokenizer(codebook_size=8, random_state=0).fit(items.embeddings)
    assert tokenizer.fit(items.embeddings).score(items.embeddings) > random.score(items.embeddings) + 0.1


def test_pandas_output_names_the_code_columns(tokenizer, items):
    frame = pd.DataFrame(items.embeddings).add_prefix("e")
    codes = tokenizer.set_output(transform="pandas").fit_transform(frame)
    assert list(codes.columns) == [f"code{n}" for n in range(codes.shape[1])]
    assert (codes.dtypes == np.int64).all()
    assert tokenizer.inverse_transform(codes).shape == frame.shape
    assert tokenizer.score(frame) <= 1


def test_history_has_an_entry_per_epoch_and_a_usage_per_codebook(tokenizer, items):
    tokenizer.fit(items.embeddings)
    if isinstance(tokenizer, RandomTokenizer):
        assert not hasattr(tokenizer, "history_")
        return
    n_learned = 1 if isinstance(tokenizer, MultiEmbeddingTokenizer) else len(tokenizer.codebook_sizes_)
    assert all(len(values) == tokenizer.n_iter_ for values in tokenizer.history_.values())
    assert tokenizer.history_["usage"].shape == (tokenizer.n_iter_, n_learned)
    assert (tokenizer.history_["r2"][-1] >= tokenizer.history_["r2"][0] - 0.05).all()


def test_codebooks_have_the_documented_shapes(tokenizer, items):
    tokenizer.fit(items.embeddings)
    sizes = [len(codebook) for codebook in tokenizer.codebooks_]
    assert sizes == tokenizer.codebook_sizes_[: len(sizes)]


def test_a_memory_mapped_float16_array_is_as_good(tokenizer, items, tmp_path):
    np.save(tmp_path / "X.npy", items.embeddings.astype(np.float16))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    codes = tokenizer.fit_transform(mapped)
    np.testing.assert_array_equal(codes, clone(tokenizer).fit_transform(np.array(mapped, dtype=np.float64)))


def test_grid_search_over_the_number_of_codebooks(tokenizer, items):
    if isinstance(tokenizer, VQVAETokenizer):
        pytest.skip("has one codebook")
    if isinstance(tokenizer.codebook_size, list):
        tokenizer.set_params(codebook_size=8)
    search = GridSearchCV(tokenizer, {"n_codebooks": [1, 2]}, cv=2, n_jobs=2).fit(items.embeddings)
    assert search.best_estimator_.transform(items.embeddings).shape == (
        300,
        search.best_params_["n_codebooks"],
    )


def test_composes_in_a_pipeline(tokenizer, items):
    pipeline = make_pipeline(StandardScaler(), tokenizer).fit(items.embeddings)
    assert pipeline.transform(items.embeddings).shape[0] == 300
    assert pipeline.score(items.embeddings) <= 1


def test_verbose_shows_a_progress_bar(tokenizer, items, capsys):
    if isinstance(tokenizer, RandomTokenizer):
        pytest.skip("nothing to wait for")
    tokenizer.set_params(verbose=True).fit(items.embeddings)
    shown = capsys.readouterr().err
    assert "r2=" in shown
    assert "usage=" in shown


def test_parameters_set_after_fit_wait_for_the_next_fit(tokenizer, items, tmp_path):
    codes = tokenizer.fit_transform(items.embeddings)
    changes = {
        "codebook_size": 5,
        "n_codebooks": 2,
        "latent_dim": 3,
        "hidden_layer_sizes": (7,),
        "projection_dim": None,
    }
    tokenizer.set_params(**{name: value for name, value in changes.items() if name in tokenizer.get_params()})
    joblib.dump(tokenizer, tmp_path / "tokenizer.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "tokenizer.joblib").transform(items.embeddings), codes)


def test_a_fit_that_fails_or_is_interrupted_leaves_the_former_model(tokenizer, items, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    codes = tokenizer.fit_transform(items.embeddings)
    narrow = items.embeddings[:, :5]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(type(tokenizer), "_learn", interrupt)
        tokenizer.fit(narrow)
    with pytest.raises(ValueError, match="sample_weight"):
        tokenizer.fit(narrow, sample_weight=np.zeros(len(narrow)))
    np.testing.assert_array_equal(tokenizer.transform(items.embeddings), codes)


def test_fits_in_threads_equal_those_alone(tokenizer, items):
    X = items.embeddings[:100]
    alone = clone(tokenizer).fit_transform(X)
    with ThreadPoolExecutor(4) as pool:
        for codes in pool.map(lambda _: clone(tokenizer).fit_transform(X), range(8)):
            np.testing.assert_array_equal(codes, alone)


def test_transform_does_not_mind_autocast_nor_embeddings_that_are_read_only(tokenizer, items):
    codes = tokenizer.fit(items.embeddings).transform(items.embeddings)
    read_only = items.embeddings.copy()
    read_only.flags.writeable = False
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(tokenizer.transform(read_only), codes)


def test_fit_does_not_mind_torchs_ambient_modes(tokenizer, items):
    codes = clone(tokenizer).fit_transform(items.embeddings)
    with torch.no_grad():
        np.testing.assert_array_equal(clone(tokenizer).fit_transform(items.embeddings), codes)
    torch.set_default_dtype(torch.float64)
    try:
        assert clone(tokenizer).fit_transform(items.embeddings).shape == codes.shape
    finally:
        torch.set_default_dtype(torch.float32)


def test_codes_on_the_border_between_two_codes_do_not_waver(items):
    # Midpoints of two code vectors, give or take one part in ten million: float32 could decide by its rounding.
    tokenizer = ParallelKMeansTokenizer(1, [64], random_state=0).fit(items.embeddings)
    (centers,) = tokenizer.codebooks_
    rng = np.random.default_rng(0)
    pairs = rng.integers(64, size=(20_000, 2))
    middle = (centers[pairs[:, 0]].astype(np.float64) + centers[pairs[:, 1]]) / 2
    X = (middle * (1 + rng.uniform(-1e-7, 1e-7, size=middle.shape))).astype(np.float32)
    codes = tokenizer.transform(X)
    distances = np.square(X[:, None, :2].astype(np.float64) - centers[None, :, :2])[:, :, 0] * 0
    for f in range(X.shape[1]):
        distances += np.square(X[:, None, f].astype(np.float64) - centers[None, :, f])
    chosen = np.take_along_axis(distances, codes, axis=1)[:, 0]
    # The state is centered and scaled in float32, so "exact" means to its rounding.
    assert (chosen <= distances.min(axis=1) * (1 + 1e-6)).all()
    one_by_one = np.vstack([tokenizer.transform(X[i : i + 1]) for i in range(0, 20_000, 40)])
    np.testing.assert_array_equal(one_by_one, codes[::40])
    np.testing.assert_array_equal(tokenizer.transform(X[::-1])[::-1], codes)


def test_nullable_codes_are_accepted(items):
    tokenizer = ResidualKMeansTokenizer(2, 8, random_state=0).fit(items.embeddings)
    codes = tokenizer.transform(items.embeddings)
    nullable = pd.DataFrame(codes).astype("Int64")
    np.testing.assert_array_equal(tokenizer.inverse_transform(nullable), tokenizer.inverse_transform(codes))


def test_embeddings_are_standardised_inside(tokenizer, items):
    if isinstance(tokenizer, RandomTokenizer):
        pytest.skip("hashes the embedding as it is")
    score = tokenizer.fit(items.embeddings).score(items.embeddings)
    scaled = 1e4 * (items.embeddings + 50)
    np.testing.assert_allclose(clone(tokenizer).fit(scaled).score(scaled), score, atol=0.1)
    np.testing.assert_allclose(tokenizer.state_["mean"], items.embeddings.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(tokenizer.state_["scale"] ** 2, items.embeddings.var(axis=0).mean(), rtol=1e-5)


def test_threads_share_a_tokenizer(tokenizer, items):
    codes = tokenizer.fit_transform(items.embeddings)
    tokenizer._live = type(tokenizer._live)()  # all threads find it empty
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(tokenizer.transform, [items.embeddings] * 16):
            np.testing.assert_array_equal(result, codes)


def test_the_copied_code_is_that_of_the_vq_vae(items):
    parameters = {"codebook_size": 8, "hidden_layer_sizes": (16,), "latent_dim": 6, "max_iter": 3, "random_state": 0}
    one = VQVAETokenizer(**parameters).fit_transform(items.embeddings)
    copies = MultiEmbeddingTokenizer(n_codebooks=4, **parameters).fit_transform(items.embeddings)
    np.testing.assert_array_equal(copies, one.repeat(4, axis=1))


def test_codebooks_of_the_k_means_tokenizers_rebuild_items_as_documented(items):
    X = items.embeddings
    residual = ResidualKMeansTokenizer(3, 8, random_state=0).fit(X)
    codes = residual.transform(X)
    total = sum(book[code] for book, code in zip(residual.codebooks_, codes.T, strict=True))
    np.testing.assert_allclose(residual.inverse_transform(codes), total, atol=1e-5)
    for kind in (ParallelKMeansTokenizer(3, [4, 8, 16], random_state=0), RandomTokenizer(3, 8, random_state=0)):
        codes = kind.fit_transform(X)
        mean = np.mean([book[code] for book, code in zip(kind.codebooks_, codes.T, strict=True)], axis=0)
        np.testing.assert_allclose(kind.inverse_transform(codes), mean, atol=1e-5)


def test_parallel_k_means_equals_scikit_learns_clustering_of_each_granularity(items):
    tokenizer = ParallelKMeansTokenizer(2, [4, 16], max_iter=100, random_state=0).fit(items.embeddings)
    for codebook, codes in zip(tokenizer.codebooks_, tokenizer.transform(items.embeddings).T, strict=True):
        oracle = KMeans(len(codebook), init=codebook, n_init=1, max_iter=1).fit(items.embeddings)
        assert (oracle.predict(items.embeddings) == codes).mean() > 0.97  # one more iteration moves hardly an item
