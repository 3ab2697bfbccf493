"""Bad input: a clear error that names the parameter, the rule and the value, or a documented result."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    graded_sizes,
)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((20, 4), np.nan), "contains NaN"),
        (np.full((20, 4), np.inf), "contains infinity"),
        (np.full((20, 4), 1e300), "infinity or a value too large"),
        (np.empty((0, 4)), r"0 sample\(s\)"),
        (np.empty((20, 0)), r"0 feature\(s\)"),
        (np.ones(20), "Expected 2D array"),
        (np.ones((1, 4)), r"1 sample\(s\)"),
        (np.array([["a", "b"], ["c", "d"]]), "X must hold embeddings, .* got text such as 'a'"),
    ],
)
def test_bad_embeddings_are_refused_in_fit(tokenizer, X, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(X)


def test_another_width_is_refused_in_transform(tokenizer, items):
    tokenizer.fit(items.embeddings)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 24 features"):
        tokenizer.transform(np.ones((3, 5)))


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "score", "get_feature_names_out"])
def test_an_unfitted_tokenizer_says_so(tokenizer, method):
    arguments = () if method == "get_feature_names_out" else (np.ones((3, 4)),)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(tokenizer, method)(*arguments)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(300), "must not be zero for every row"),
        (-np.ones(300), "must be finite and not negative, got -1.0"),
        (np.full(300, np.nan), "must be finite and not negative, got nan"),
        (np.ones(3), r"one entry per row, shape \(300,\), got shape \(3,\)"),
    ],
)
def test_bad_weights_are_refused(tokenizer, items, weights, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.fit(items.embeddings, sample_weight=weights)


def test_more_codes_than_distinct_items_are_cut_with_a_warning(tokenizer, rng):
    X = rng.normal(size=(6, 4)).repeat(3, axis=0)
    tokenizer.set_params(codebook_size=10)
    with pytest.warns(UserWarning, match="codebook_size=10 is more than the 6 distinct items"):
        tokenizer.fit(X)
    assert set(tokenizer.codebook_sizes_) == {6}
    assert tokenizer.transform(X).max() < 6


@pytest.mark.filterwarnings("ignore:codebook_size=.* is more than")
@pytest.mark.parametrize("X", [np.zeros((20, 3)), np.full((20, 3), 7.5), np.full((20, 3), 3e38)])
def test_constant_embeddings_get_one_code_and_are_rebuilt(tokenizer, X):
    codes = tokenizer.fit_transform(X)
    assert (codes == codes[0]).all()
    np.testing.assert_allclose(tokenizer.inverse_transform(codes), X, rtol=1e-6)


def test_constant_columns_change_nothing_but_the_width(items):
    tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0)
    X = np.hstack([items.embeddings, np.full((300, 2), 5.0)])
    tokenizer.fit(X)
    np.testing.assert_allclose(tokenizer.inverse_transform(tokenizer.transform(X))[:, -2:], 5.0, rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_tiny_and_huge_embeddings_get_the_codes_of_ordinary_ones(tokenizer, items, factor):
    X = (items.embeddings.astype(np.float64) * factor).astype(np.float32)
    tokenizer.fit(X)
    assert np.isfinite(tokenizer.inverse_transform(tokenizer.transform(X))).all()
    assert abs(tokenizer.score(X) - clone(tokenizer).fit(items.embeddings).score(items.embeddings)) < 0.1


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 4), dtype=int), r"shape \(n_items, 3\), got \(3, 4\)"),
        (np.zeros(3, dtype=int), r"shape \(n_items, 3\), got \(3,\)"),
        (np.full((3, 3), 8), r"codebook 0 must lie in \[0, 8\), got 8 in row 0"),
        (np.full((3, 3), -1), r"codebook 0 must lie in \[0, 8\), got -1 in row 0"),
        (np.full((3, 3), 0.5), "codes must be integers, got an array of float64"),
        (np.full((3, 3), np.nan), "codes must be integers"),
    ],
)
def test_bad_codes_are_refused(items, codes, message):
    tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0).fit(items.embeddings)
    with pytest.raises(ValueError, match=message):
        tokenizer.inverse_transform(codes)


def test_float_codes_of_whole_numbers_are_accepted(items):
    tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0).fit(items.embeddings)
    codes = tokenizer.transform(items.embeddings)
    np.testing.assert_array_equal(tokenizer.inverse_transform(codes.astype(float)), tokenizer.inverse_transform(codes))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_codebooks": 0}, ValueError, "n_codebooks must be at least 1, got 0"),
        ({"n_codebooks": 2.0}, TypeError, "n_codebooks must be an integer, got 2.0"),
        ({"n_codebooks": True}, TypeError, "n_codebooks must be an integer, got True"),
        ({"codebook_size": 1}, ValueError, "codebook_size must be at least 2, got 1"),
        ({"codebook_size": [4, 4]}, ValueError, "one entry for each of the n_codebooks=3, got 2"),
        ({"codebook_size": [4, 4, 1]}, ValueError, "each codebook_size must be at least 2, got 1"),
        (
            {"codebook_size": "big"},
            ValueError,
            "codebook_size must be an integer, one integer per codebook, or 'graded', got 'big'",
        ),
        ({"latent_dim": 0}, ValueError, "latent_dim must be at least 1"),
        ({"hidden_layer_sizes": "wide"}, TypeError, "hidden_layer_sizes must be a sequence of integers"),
        ({"hidden_layer_sizes": (8, 0)}, ValueError, "each of hidden_layer_sizes must be at least 1"),
        (
            {"codebook_update": "magic"},
            ValueError,
            "codebook_update must be one of 'ema', 'gradient', got 'magic'",
        ),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"learning_rate": 0.0}, ValueError, r"learning_rate must lie in \(0, inf\), got 0.0"),
        ({"commitment_weight": -1}, ValueError, r"commitment_weight must lie in \[0, inf\), got -1"),
        ({"commitment_weight": "low"}, TypeError, "commitment_weight must be a number, got 'low'"),
        ({"device": "abacus"}, ValueError, "device must be 'auto', 'cpu', 'cuda'"),
        ({"device": "meta"}, ValueError, "device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got 'meta'"),
        ({"device": "cuda:99"}, ValueError, "device='cuda:99' must be there"),
        ({"projection_dim": "wide"}, TypeError, "projection_dim must be an integer, got 'wide'"),
        ({"validation": True}, TypeError, "validation must be a number, got True"),
        ({"validation": "last"}, TypeError, "validation must be a number, got 'last'"),
        ({"validation": 1.0}, ValueError, r"validation must lie in \(0, 1\), got 1.0"),
        ({"projection_dim": 99}, ValueError, "projection_dim must be at most latent_dim=28, got 99"),
    ],
)
def test_bad_parameters_are_refused_before_any_work(items, parameters, error, message):
    kind = MixtureOfCodesTokenizer if "projection" in str(parameters) else RQVAETokenizer
    with pytest.raises(error, match=message):
        kind(**{"n_codebooks": 3, **parameters}).fit(items.embeddings)


def test_copies_of_several_sizes_are_refused(items):
    with pytest.raises(ValueError, match="must be one number, since one code is copied"):
        MultiEmbeddingTokenizer(n_codebooks=2, codebook_size=[4, 8]).fit(items.embeddings)
    copies = MultiEmbeddingTokenizer(n_codebooks=2, codebook_size=4, max_iter=1).fit(items.embeddings)
    with pytest.raises(ValueError, match="must repeat one code"):
        copies.inverse_transform([[0, 1]])


def test_the_graded_default_shrinks_with_the_catalogue_without_a_warning(items):
    assert ParallelKMeansTokenizer(n_codebooks=3).fit(items.embeddings[:100]).codebook_sizes_ == [12, 12, 12]
    assert ParallelKMeansTokenizer(n_codebooks=3).fit(items.embeddings).codebook_sizes_ == [16, 24, 37]


def test_divergence_is_an_error_that_names_the_learning_rate(items):
    with pytest.raises(ValueError, match=r"training diverged in epoch \d+: the loss is .* with learning_rate=1e\+20"):
        RQVAETokenizer(codebook_size=8, learning_rate=1e20, max_iter=20).fit(items.embeddings)


@pytest.mark.parametrize("factor", [1e300, 1e-60])
def test_the_scale_of_the_weights_does_not_matter(tokenizer, items, factor):
    weights = 2.0 ** (np.arange(300) % 3)
    codes = clone(tokenizer).fit(items.embeddings, sample_weight=weights).transform(items.embeddings)
    scaled = tokenizer.fit(items.embeddings, sample_weight=weights * factor).transform(items.embeddings)
    assert (scaled == codes).mean() > 0.9


@pytest.mark.parametrize("text", [["item00038", "item00039"], ["red mug", None]])
def test_ids_and_texts_are_told_apart_from_embeddings_and_shown_the_way(tokenizer, text):
    for X in (pd.DataFrame({"x": text}), np.array(text, dtype=object)[:, None]):
        with pytest.raises(ValueError, match=f"got text such as '{text[0]}'") as refused:
            tokenizer.fit(X)
        assert "SemanticIDEncoder(tokenizer, items=ItemTable(ids, embeddings))" in str(refused.value)
        assert "make_pipeline(TextEmbedder(), tokenizer)" in str(refused.value)


def test_numbers_written_as_text_are_numbers(items):
    X = items.embeddings[:50]
    codes = ResidualKMeansTokenizer(codebook_size=4, random_state=0).fit(X).transform(X)
    written = np.array([[repr(float(value)) for value in row] for row in X], dtype=object)
    np.testing.assert_array_equal(
        ResidualKMeansTokenizer(codebook_size=4, random_state=0).fit(written).transform(written), codes
    )
    written[3, 2] = "nan"
    with pytest.raises(ValueError, match="contains NaN"):
        ResidualKMeansTokenizer(codebook_size=4).fit(written)


@pytest.mark.parametrize("validation", [0.1, None])
def test_a_last_step_that_diverges_is_an_error_too(items, validation):
    tokenizer = RQVAETokenizer(codebook_size=8, learning_rate=1e30, max_iter=1, validation=validation)
    with pytest.raises(ValueError, match=r"training diverged in epoch 1: the loss is .* with learning_rate=1e\+30"):
        tokenizer.fit(items.embeddings)


def test_options_may_come_from_arrays(items):
    options = {"assignment": ["nearest", "sinkhorn"], "validation": [0.1], "batch_size": [64]}
    grid = {name: np.array(values) for name, values in options.items()}
    tokenizer = RQVAETokenizer(codebook_size=8, hidden_layer_sizes=(8,), max_iter=1, random_state=0)
    search = GridSearchCV(tokenizer, grid, cv=2, error_score="raise").fit(items.embeddings)
    assert search.best_estimator_.transform(items.embeddings).shape == (300, 3)


@pytest.mark.parametrize("arguments", [(2.5,), ("a",), (True,), (3, 1.5)])
def test_graded_sizes_are_of_integers(arguments):
    with pytest.raises(TypeError, match="must be an integer, got"):
        graded_sizes(*arguments)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.float64])
def test_tensors_of_any_float_are_taken_as_the_same_numbers_in_float32(dtype):
    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    tokenizer = ResidualKMeansTokenizer(2, 4, random_state=0)
    codes = tokenizer.fit_transform(rows.float().numpy())
    for same in (rows, list(rows)):
        np.testing.assert_array_equal(tokenizer.fit(same).transform(same), codes)


def test_bfloat16_is_taken_as_the_same_numbers_in_float32(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    tokenizer = ResidualKMeansTokenizer(2, 4, random_state=0)
    codes = tokenizer.fit_transform(rows.float().numpy())
    X = rows.float().numpy().astype(ml_dtypes.bfloat16)
    for same in (rows, list(rows), rows.clone().requires_grad_(), X):
        np.testing.assert_array_equal(tokenizer.fit(same).transform(same), codes)
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(ValueError, match=r"X must hold numbers, got an array of \|V2.*view\(ml_dtypes.bfloat16\)"):
        tokenizer.fit(np.load(tmp_path / "X.npy"))


@pytest.mark.parametrize(
    ("X", "which"),
    [
        (pd.DataFrame({"sku": np.arange(20)}), "the integers of column 'sku'"),
        (pd.DataFrame({"code": pd.Series(range(20), dtype="UInt64")}), "the integers of the one column 'code'"),
        (pl.DataFrame({"item_id": range(20)}), "the integers of column 'item_id'"),
        (np.arange(20)[:, None], "one column of integers"),
        (pd.DataFrame({"a": np.arange(20.0), "item_id": np.arange(20)}), "the integers of column 'item_id'"),
        (pd.DataFrame({"a": np.arange(20.0), "ID": np.arange(20)}), "the integers of column 'ID'"),
    ],
)
def test_integer_ids_are_no_embeddings(X, which):
    with pytest.raises(ValueError, match=f"X must hold embeddings, .* got {which}, .* SemanticIDEncoder"):
        ResidualKMeansTokenizer(2, 4, random_state=0).fit(X)


def test_a_tokenizer_in_the_place_of_an_encoder_is_refused():
    log = pd.DataFrame({"item_id": np.arange(20), "price": np.arange(20.0)})
    features = ColumnTransformer([("codes", ResidualKMeansTokenizer(2, 4), ["item_id"])], remainder="passthrough")
    with pytest.raises(ValueError, match="SemanticIDEncoder"):
        features.fit(log)


def test_one_column_of_floats_and_integers_in_several_columns_may_be_embeddings(rng):
    tokenizer = ResidualKMeansTokenizer(2, 4, random_state=0)
    for X in (rng.normal(size=(20, 1)), rng.integers(-99, 99, size=(20, 3), dtype=np.int8)):
        named = pd.DataFrame(X, columns=[f"emb_{n}" for n in range(X.shape[1])])
        codes = tokenizer.fit(X.astype(np.float32)).transform(X.astype(np.float32))
        np.testing.assert_array_equal(tokenizer.fit(X).transform(X), codes)
        np.testing.assert_array_equal(tokenizer.fit(named).transform(named), codes)


@pytest.mark.parametrize("names", [["books", "movies", "songs"], ["item", "key", "product"]])
def test_counts_of_things_are_no_ids(names, rng):
    X = pd.DataFrame(rng.integers(9, size=(20, 3)), columns=names)
    tokenizer = ResidualKMeansTokenizer(2, 4, random_state=0)
    codes = tokenizer.fit_transform(X.to_numpy().astype(np.float32))
    for same in (X, pl.DataFrame(X)):
        np.testing.assert_array_equal(tokenizer.fit_transform(same), codes)
