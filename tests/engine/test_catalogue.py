"""The same rows from memory and from disk, and means that equal numpy's."""

import numpy as np
import pytest
import torch

import semid.engine._catalogue
from semid.engine._catalogue import Catalogue, mean_and_scale
from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

CPU = torch.device("cpu")


@pytest.fixture
def on_disk(tmp_path, rng):
    X = np.memmap(tmp_path / "X.dat", dtype=np.float32, mode="w+", shape=(5000, 8))
    X[:] = rng.standard_normal((5000, 8)) * 3 + 1
    X.flush()
    return np.memmap(tmp_path / "X.dat", dtype=np.float32, mode="r", shape=(5000, 8))


def _catalogue(X, rows, weights):
    return Catalogue(X, rows, weights, *mean_and_scale(X, rows, weights), CPU)


def test_mean_and_scale_equal_numpys(on_disk, rng):
    rows, weights = rng.permutation(5000)[:4500], rng.random(4500).astype(np.float32)
    mean, scale = mean_and_scale(on_disk, rows, weights)
    X = on_disk[rows].astype(np.float64)
    expected = np.average(X, axis=0, weights=weights)
    np.testing.assert_allclose(mean, expected)
    variance = np.average(np.square(X - expected), axis=0, weights=weights).mean()
    assert scale == pytest.approx(np.sqrt(variance))


def test_rows_read_when_due_equal_those_in_memory(on_disk, rng, monkeypatch):
    rows, weights = rng.permutation(5000)[:4500], np.ones(4500, dtype=np.float32)
    resident = _catalogue(on_disk, rows, weights)
    monkeypatch.setattr(semid.engine._catalogue, "RESIDENT_NUMBERS", 8 * 1000)
    streamed = _catalogue(on_disk, rows, weights)
    items = torch.from_numpy(rng.permutation(4500)[:700])
    torch.testing.assert_close(streamed.batch(items), resident.batch(items))
    x, sampled_weights = streamed.sample(torch.Generator().manual_seed(0))
    assert x.shape == (1000, 8)
    assert sampled_weights.shape == (1000,)
    everything = resident.batch(torch.arange(4500))
    assert all((row == everything).all(1).any() for row in x[::50])


def test_a_subset_has_the_rows_and_weights_of_its_items(on_disk, rng):
    weights = rng.random(5000).astype(np.float32)
    catalogue = _catalogue(on_disk, np.arange(5000), weights / weights.mean())
    items = np.array([7, 3, 11])
    subset = catalogue.subset(items)
    torch.testing.assert_close(subset.batch(torch.arange(3)), catalogue.batch(torch.from_numpy(items)))
    np.testing.assert_allclose(subset.weights, weights[items] / weights[items].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    "tokenizer",
    [
        ResidualKMeansTokenizer(2, 16, random_state=0),
        RQVAETokenizer(2, 16, latent_dim=4, hidden_layer_sizes=(16,), max_iter=2, random_state=0),
    ],
    ids=lambda tokenizer: type(tokenizer).__name__,
)
def test_a_catalogue_too_large_for_memory_is_learned_nearly_as_well(tokenizer, on_disk, monkeypatch):
    r2 = tokenizer.fit(on_disk).score(on_disk)
    monkeypatch.setattr(semid.engine._catalogue, "RESIDENT_NUMBERS", 8 * 2000)
    assert tokenizer.fit(on_disk).score(on_disk) == pytest.approx(r2, abs=0.03)
