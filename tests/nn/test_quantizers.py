import pytest
import torch

from semid.nn._finite_scalar_quantizer import FiniteScalarQuantizer
from semid.nn._kmeans import kmeans
from semid.nn._product_quantizer import ProductQuantizer
from semid.nn._quantizers import (
    Codebook,
    CopiedCodeQuantizer,
    ParallelQuantizer,
    ResidualQuantizer,
    straight_through,
)

B, D, N, K = 12, 6, 3, 5


def _filled(quantizer):
    """Random code vectors and projections, so that nothing is zero or the identity by chance."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in quantizer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return quantizer


def _z():
    return torch.randn(B, D, generator=torch.Generator().manual_seed(1), requires_grad=True)


def test_residual_codes_match_the_naive_loop():
    quantizer, z = _filled(ResidualQuantizer([K] * N, D)), _z()
    codes = quantizer(z).codes
    for row in range(B):
        residual = z[row].detach()
        for level, codebook in enumerate(quantizer.codebooks):
            distances = [(residual - e).square().sum() for e in codebook.code_vectors]
            assert codes[row, level] == torch.stack(distances).argmin()
            residual = residual - codebook.code_vectors[codes[row, level]]


def test_residual_decoding_is_the_sum_of_the_code_vectors():
    quantizer, z = _filled(ResidualQuantizer([K] * N, D)), _z()
    output = quantizer(z)
    expected = sum(book.code_vectors[codes] for book, codes in zip(quantizer.codebooks, output.codes.T, strict=True))
    torch.testing.assert_close(quantizer.decode(output.codes), expected)
    torch.testing.assert_close(output.decoder_input, expected)


def test_parallel_codes_match_the_naive_loop_and_decode_to_the_mean():
    quantizer, z = _filled(ParallelQuantizer([K] * N, D, projection_dim=2)), _z()
    output = quantizer(z)
    total = torch.zeros(B, D)
    for n, (codebook, down, up) in enumerate(zip(quantizer.codebooks, quantizer.down, quantizer.up, strict=True)):
        projected = z.detach() @ down.weight.T
        for row in range(B):
            distances = torch.stack([(projected[row] - e).square().sum() for e in codebook.code_vectors])
            assert output.codes[row, n] == distances.argmin()
        total += codebook.code_vectors[output.codes[:, n]] @ up.weight.T
    torch.testing.assert_close(quantizer.decode(output.codes), total / N)
    torch.testing.assert_close(output.decoder_input, total / N)


@pytest.mark.parametrize("n_codebooks", [1, 2, 4])
@pytest.mark.parametrize("kind", [ResidualQuantizer, ParallelQuantizer])
def test_the_reconstruction_gradient_reaches_the_encoder_once(kind, n_codebooks):
    # Summing straight-through outputs multiplies it by the number of levels.
    quantizer, z = _filled(kind([K] * n_codebooks, D)), _z()
    quantizer(z).decoder_input.sum().backward()
    torch.testing.assert_close(z.grad, torch.ones(B, D))


def test_the_encoder_feels_the_commitment_loss_of_every_level():
    quantizer, z = _filled(ResidualQuantizer([K] * N, D, learnable=True)), _z()
    output = quantizer(z)
    output.commitment_loss.sum().backward()

    # d/dz of mean over d of (residual - sg[e])², summed over the levels.
    residual, expected = z.detach(), torch.zeros(B, D)
    for codebook, codes in zip(quantizer.codebooks, output.codes.T, strict=True):
        residual = residual - codebook.code_vectors[codes].detach()
        expected += 2 * residual / D
    torch.testing.assert_close(z.grad, expected)
    assert all(book.code_vectors.grad is None for book in quantizer.codebooks)


@pytest.mark.parametrize("quantizer", [ResidualQuantizer([K] * N, D, learnable=True),
                                       ParallelQuantizer([K] * N, D, projection_dim=2, learnable=True)])  # fmt: skip
def test_the_codebook_loss_moves_every_codebook_and_nothing_else(quantizer):
    z = _z()
    _filled(quantizer)(z).codebook_loss.sum().backward()
    assert z.grad is None or not z.grad.any()
    assert all(book.code_vectors.grad.any() for book in quantizer.codebooks)


def test_straight_through_has_one_value_and_the_other_gradient():
    z, e = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([5.0, 7.0], requires_grad=True)
    value = straight_through(z, e)
    value.sum().backward()
    assert value.tolist() == [5.0, 7.0]
    assert z.grad.tolist() == [1.0, 1.0]
    assert e.grad is None


@pytest.mark.parametrize("quantizer", [ResidualQuantizer([K] * N, D), ParallelQuantizer([K] * N, D, projection_dim=2)])
def test_encoding_gives_the_codes_of_training(quantizer):
    z = _z()
    assert torch.equal(_filled(quantizer).encode(z, 1e-6).codes, quantizer(z).codes)


def test_a_copied_code_is_encoded_n_times_and_decoded_once():
    quantizer, z = _filled(CopiedCodeQuantizer(K, 4, D)), _z()
    codes = quantizer.encode(z, 1e-6).codes
    assert codes.shape == (B, 4)
    assert torch.equal(codes, codes[:, :1].expand(-1, 4))
    torch.testing.assert_close(quantizer.decode(codes), quantizer.codebooks[0].code_vectors[codes[:, 0]])


def test_ties_and_near_ties_are_reported_and_go_to_the_first_code():
    codebook = Codebook(3, 1)
    with torch.no_grad():
        codebook.code_vectors.copy_(torch.tensor([[1.0], [-1.0], [1.0]]))
    codes, certain = codebook.nearest(torch.tensor([[0.0], [0.9], [-0.9]]), 1e-6)
    assert codes.tolist() == [0, 0, 1]
    assert certain.tolist() == [False, False, True]


@pytest.mark.parametrize(("n_codebooks", "dim", "width"), [(7, 28, 4), (3, 28, 10), (1, 6, 6), (16, 28, 4), (14, 28, 4),
                                                           (28, 28, 4)])  # fmt: skip
def test_projections_start_on_distinct_dimensions_each(n_codebooks, dim, width):
    quantizer = ParallelQuantizer([K] * n_codebooks, dim, projection_dim=width)
    dealt = [down.weight.argmax(1).tolist() for down in quantizer.down]
    assert all(len(set(dimensions)) == width for dimensions in dealt)
    if n_codebooks * width <= dim:
        assert len({d for dimensions in dealt for d in dimensions}) == n_codebooks * width


def test_the_way_back_is_the_least_squares_solution():
    generator = torch.Generator().manual_seed(0)
    z, weights = torch.randn(200, D, generator=generator), torch.rand(200, generator=generator) + 0.5
    quantizer = ParallelQuantizer([K] * 2, D, projection_dim=3)
    results = quantizer.initialize(z, weights, generator, max_iter=10)
    codes = torch.stack([result.labels for result in results], 1)
    parts = torch.cat([book.code_vectors[c] for book, c in zip(quantizer.codebooks, codes.T, strict=True)], 1) / 2
    root = weights.sqrt()[:, None]
    best = torch.linalg.lstsq(root * parts, root * z).solution
    error = (weights[:, None] * (quantizer.decode(codes) - z).square()).sum()
    least = (weights[:, None] * (parts @ best - z).square()).sum()
    torch.testing.assert_close(error, least, rtol=1e-3, atol=0)


def test_residual_codebooks_start_as_k_means_of_all_data_level_by_level():
    z, weights = torch.randn(200, D, generator=torch.Generator().manual_seed(0)), torch.ones(200)
    quantizer = ResidualQuantizer([K] * N, D)
    quantizer.initialize(z, weights, torch.Generator().manual_seed(5), max_iter=10)
    residual, generator = z, torch.Generator().manual_seed(5)
    for codebook in quantizer.codebooks:
        result = kmeans(residual, weights, K, max_iter=10, generator=generator)
        torch.testing.assert_close(codebook.code_vectors.detach(), result.centers)
        residual = residual - result.centers[result.labels]


@pytest.mark.parametrize("n_codes", [1, 2])
def test_the_first_codes_alone_are_a_coarser_reconstruction(n_codes):
    quantizers = [
        ResidualQuantizer([4] * 3, 6),
        ParallelQuantizer([4] * 3, 6, projection_dim=2),
        ProductQuantizer([4] * 3, 6),
        FiniteScalarQuantizer([(2, 2)] * 3),
    ]
    z = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    for quantizer in quantizers:
        quantizer.initialize(z, torch.ones(200), torch.Generator().manual_seed(0), 10)
        codes = quantizer.encode(z, 0.0).codes
        errors = [(z - quantizer.decode(codes[:, :n])).square().mean().item() for n in range(1, 4)]
        if not isinstance(quantizer, ParallelQuantizer):  # a mean over fewer projections is on another scale
            assert errors == sorted(errors, reverse=True)
        assert quantizer.decode(codes[:, :n_codes]).shape == z.shape
