import numpy as np
import torch
from sklearn.decomposition import PCA

from semid.nn._autoencoder import LinearPlusMLP, start_as_pca


def test_the_start_reconstructs_as_well_as_pca():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 10)) @ rng.normal(size=(10, 10)) * np.linspace(3, 0.1, 10)).astype(np.float32)
    x -= x.mean(axis=0)
    encoder, decoder = LinearPlusMLP((10, 16, 4)), LinearPlusMLP((4, 16, 10))
    start_as_pca(encoder, [decoder.linear], torch.from_numpy(x), torch.ones(300), torch.Generator().manual_seed(0))
    pca = PCA(4, svd_solver="full").fit(x)
    expected = pca.inverse_transform(pca.transform(x))
    reconstruction = decoder(encoder(torch.from_numpy(x))).detach().numpy()
    np.testing.assert_allclose(np.square(reconstruction - x).sum(), np.square(expected - x).sum(), rtol=1e-4)


def test_weights_in_the_start_are_repeated_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6)).astype(np.float32)
    weights = rng.integers(1, 4, size=50)
    subspaces = []
    for rows, w in ((x, weights), (x.repeat(weights, axis=0), np.ones(weights.sum()))):
        encoder, decoder = LinearPlusMLP((6, 2)), LinearPlusMLP((2, 6))
        w = torch.tensor(w, dtype=torch.float32)
        start_as_pca(encoder, [decoder.linear], torch.from_numpy(rows), w, torch.Generator().manual_seed(0), n_iter=60)
        subspaces.append(decoder.linear.weight @ encoder.linear.weight)
    torch.testing.assert_close(*subspaces, rtol=1e-3, atol=1e-3)


def test_a_latent_wider_than_the_data_starts_with_empty_dimensions():
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    encoder, decoder = LinearPlusMLP((3, 8)), LinearPlusMLP((8, 3))
    start_as_pca(encoder, [decoder.linear], x, torch.ones(40), torch.Generator().manual_seed(0))
    torch.testing.assert_close(decoder(encoder(x)), x, rtol=1e-4, atol=1e-4)
    assert not encoder.linear.weight[3:].any()


def test_constant_data_start_at_zero_not_nan():
    encoder, decoder = LinearPlusMLP((3, 2)), LinearPlusMLP((2, 3))
    start_as_pca(encoder, [decoder.linear], torch.zeros(5, 3), torch.ones(5), torch.Generator().manual_seed(0))
    assert not decoder(encoder(torch.zeros(5, 3))).any()
