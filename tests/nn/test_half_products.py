"""Products of half the bits: the nearest vector where they prove it is that of float64, and training is as good."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from semid.ctr import AutoIntClassifier, DCNv2Classifier, DeepFMClassifier
from semid.datasets import make_clicks, make_items
from semid.nn import _half_products, _kmeans, _quantizers
from semid.nn._half_products import proven_nearest
from semid.nn._interactions import CrossNetwork, LowRankCrossNetwork
from semid.nn._kmeans import kmeans, nearest
from semid.nn._mlp import HalvedMLP
from semid.nn._quantizers import ResidualQuantizer
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
)


@pytest.fixture
def fast(monkeypatch):
    """As on a processor with instructions for bfloat16, whatever this one has."""
    monkeypatch.setattr(_half_products, "_is_fast", lambda: True)
    monkeypatch.setattr(_half_products, "_BLOCK", 100)
    monkeypatch.setattr(_half_products, "_LEAST_ROWS", 1)


def _rows(n, width, scale=1.0, seed=0):
    return scale * torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def _scores(x, vectors, offsets):
    return offsets.double() - x.double() @ vectors.double().T


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e3, 1e12])
@pytest.mark.parametrize("kind", ["apart", "close", "skewed"])
def test_what_is_proven_is_the_nearest_by_more_than_the_margin(kind, scale):
    vectors, x = _rows(80, 160, scale), _rows(350, 160, scale, seed=1)
    if kind == "close":  # pairs of vectors too close for bfloat16 to tell
        vectors[40:] = vectors[:40] * (1 + 1e-3)
    if kind == "skewed":  # rows and vectors of very different lengths
        x, vectors = x * torch.logspace(-4, 4, 350)[:, None], vectors * torch.logspace(-2, 1, 80)[:, None]
    offsets = vectors.square().sum(1) / 2
    margins = 1e-3 * x.square().sum(1)
    found = proven_nearest(x, torch.linalg.vector_norm(x, dim=1), vectors, offsets, margins)
    scores = _scores(x, vectors, offsets)
    two = scores.topk(2, dim=1, largest=False)
    assert torch.equal(found.labels[found.is_proven], two.indices[:, 0][found.is_proven])
    assert ((two.values[:, 1] - two.values[:, 0])[found.is_proven] > margins[found.is_proven].double()).all()
    if kind == "apart" and 1e-3 <= scale <= 1e3:
        assert found.is_proven.float().mean() > 0.5  # else nothing would be gained


def test_nothing_is_proven_of_ties_and_of_rows_that_are_not_finite():
    vectors = _rows(80, 160)
    vectors[1] = vectors[0]
    x = torch.cat([vectors[:1], torch.full((1, 160), 3e38), torch.full((1, 160), float("nan"))])
    found = proven_nearest(x, torch.linalg.vector_norm(x, dim=1), vectors, vectors.square().sum(1) / 2)
    assert found.is_proven.tolist() == [False, False, False]


@pytest.mark.parametrize(
    "tokenizer",
    [
        ResidualKMeansTokenizer(3, 64),
        ResidualKMeansTokenizer(3, 64, beam_size=4),
        ParallelKMeansTokenizer(3, 64),
        ProductQuantizationTokenizer(2, 64, rotation=None),
        ProductQuantizationTokenizer(2, 64, rotation="pca_balanced"),
        ProductQuantizationTokenizer(2, 64, rotation="opq"),
    ],
    ids=repr,
)
def test_codes_are_those_of_whole_products(fast, rng, tokenizer, monkeypatch):
    X = rng.standard_normal((600, 300)).astype(np.float32)  # blocks of a product are wide enough as well
    X[300:330] = X[:30] + 1e-4 * X[30:60]
    tokenizer = clone(tokenizer).set_params(max_iter=4, device="cpu", random_state=0).fit(X)
    codes = tokenizer.transform(X)
    np.testing.assert_array_equal(tokenizer.transform(X[290:295]), codes[290:295])
    monkeypatch.setattr(_quantizers, "can_prove", lambda *_: False)
    np.testing.assert_array_equal(tokenizer.transform(X), codes)


def test_residual_codes_are_those_of_the_naive_loop_in_float64(fast):
    quantizer = ResidualQuantizer([70, 70], 140)
    z = _rows(300, 140)
    quantizer.initialize(z, torch.ones(300), torch.Generator().manual_seed(0), 3)
    codes, certain = quantizer.encode(z, 3e-5)
    kept, residual = z.clone(), z.double()
    for n, codebook in enumerate(quantizer.codebooks):
        vectors = codebook.code_vectors.double()
        nearest_ = (residual[:, None] - vectors).square().sum(2).argmin(1)
        assert torch.equal(codes[certain, n], nearest_[certain])
        residual = residual - vectors[nearest_]
    assert torch.equal(z, kept)  # as it was


def test_distances_and_clusters_are_those_of_whole_products(fast, monkeypatch):
    x = _rows(500, 140)
    labels, distances = nearest(x, x[:70])
    expected = (x.double()[:, None] - x[:70].double()).square().sum(2)
    assert torch.equal(labels, expected.argmin(1))
    torch.testing.assert_close(distances.double(), expected.amin(1), rtol=1e-4, atol=1e-3)

    def clustered():
        return kmeans(x, torch.ones(500), 64, max_iter=5, generator=torch.Generator().manual_seed(0))

    by_halves = clustered()
    monkeypatch.setattr(_kmeans, "can_prove", lambda *_: False)
    whole = clustered()
    assert torch.equal(by_halves.labels, whole.labels)
    np.testing.assert_allclose(by_halves.inertias, whole.inertias, rtol=1e-5)


@pytest.mark.parametrize("tokenizer_class", [RQVAETokenizer, MixtureOfCodesTokenizer])
def test_training_in_bfloat16_reconstructs_as_well_as_in_float32(monkeypatch, tokenizer_class):
    X = make_items(n_items=1_500, n_features=128, random_state=0).embeddings
    r2 = {}
    for is_fast in (False, True):
        monkeypatch.setattr(_half_products, "_is_fast", lambda is_fast=is_fast: is_fast)
        tokenizer = tokenizer_class(2, 32, max_iter=10, device="cpu", random_state=0).fit(X)
        r2[is_fast] = tokenizer.score(X)
    assert r2[True] != r2[False]
    assert r2[True] == pytest.approx(r2[False], abs=0.01)


def test_narrow_embeddings_are_trained_in_float32_on_every_processor(monkeypatch):
    X = make_items(n_items=300, n_features=32, random_state=0).embeddings
    losses = []
    for is_fast in (False, True):
        monkeypatch.setattr(_half_products, "_is_fast", lambda is_fast=is_fast: is_fast)
        losses.append(RQVAETokenizer(2, 8, max_iter=3, device="cpu", random_state=0).fit(X).history_["loss"])
    np.testing.assert_array_equal(*losses)


CLICK_BLOCKS = {
    "MLP": lambda: HalvedMLP((96, 64, 32)),
    "MLP with dropout": lambda: HalvedMLP((96, 64, 32), dropout=1e-6),
    "cross network": lambda: CrossNetwork(6, 16, 3),
    "low-rank cross network": lambda: LowRankCrossNetwork(6, 16, 3, 8, 2),
}


@pytest.mark.parametrize("name", CLICK_BLOCKS)
def test_blocks_of_click_models_have_nearly_the_gradients_of_float32_and_the_very_predictions(name, monkeypatch):
    torch.manual_seed(0)
    block = CLICK_BLOCKS[name]()
    x = torch.randn(300, 6, 16) if "cross" in name else torch.randn(300, 96)
    results = {}
    for is_fast in (False, True):
        monkeypatch.setattr(_half_products, "_is_fast", lambda is_fast=is_fast: is_fast)
        inputs = x.clone().requires_grad_()
        out = block.train()(inputs)
        assert out.dtype == torch.float32
        gradients = torch.autograd.grad(out.square().mean(), [inputs, *block.parameters()])
        results[is_fast] = [out.detach(), *gradients], block.eval()(x).detach()
    (exact, predicted), (halved, predicted_fast) = results[False], results[True]
    assert torch.equal(predicted, predicted_fast)
    assert not torch.equal(exact[0], halved[0])
    for tensor, expected in zip(halved, exact, strict=True):
        assert tensor.dtype == torch.float32
        assert (tensor - expected).norm() < 0.05 * expected.norm()  # a ReLU here and there is on the other side


@pytest.mark.parametrize("shape", [(255, 96), (300, 63)])
def test_small_steps_of_click_models_are_of_float32(shape, fast):
    x = torch.randn(*shape)
    block = HalvedMLP((shape[1], 64)).train()
    assert torch.equal(block(x), block.eval()(x))


@pytest.mark.parametrize("model", [DeepFMClassifier, DCNv2Classifier, AutoIntClassifier])
def test_click_models_trained_in_bfloat16_rank_as_well(monkeypatch, model):
    items = make_items(n_items=400, random_state=0)
    clicks = make_clicks(items, n_impressions=16_000, random_state=0).frame
    columns = ["user_id", "item_id", "hour"]
    clicks["copy"] = clicks["item_id"]  # four fields of 16: wide enough
    train, test = clicks[:14_000], clicks[14_000:]
    probabilities = {}
    for is_fast in (False, True):
        monkeypatch.setattr(_half_products, "_is_fast", lambda is_fast=is_fast: is_fast)
        fitted = model(hidden_layer_sizes=(32,), max_iter=4, batch_size=512, device="cpu", random_state=0)
        fitted.fit(train[[*columns, "copy"]], train["click"])
        probabilities[is_fast] = fitted.predict_proba(test[[*columns, "copy"]])[:, 1]
    assert not np.array_equal(probabilities[True], probabilities[False])
    auc = {is_fast: roc_auc_score(test["click"], p) for is_fast, p in probabilities.items()}
    assert auc[True] == pytest.approx(auc[False], abs=0.01)
