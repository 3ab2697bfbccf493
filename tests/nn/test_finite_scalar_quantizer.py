from itertools import product

import pytest
import torch

from semid.nn._finite_scalar_quantizer import FiniteScalarQuantizer

LEVELS = [(5, 4), (8, 3, 2)]
N_SCALARS = 5


def _quantizer():
    """Bounds and reaches other than one."""
    quantizer = FiniteScalarQuantizer(LEVELS)
    generator = torch.Generator().manual_seed(0)
    quantizer.bound.uniform_(0.5, 2, generator=generator)
    quantizer.reach.uniform_(0.5, 2, generator=generator)
    return quantizer


def _z(n=200):
    return 2 * torch.randn(n, N_SCALARS, generator=torch.Generator().manual_seed(1))


def test_codes_and_decoding_match_the_naive_loop_over_scalars():
    quantizer, z = _quantizer(), _z()
    codes = quantizer.encode(z, 0.0).codes
    decoded = quantizer.decode(codes)
    for row in range(len(z)):
        scalar = 0
        for n, levels in enumerate(LEVELS):
            code = 0
            for n_levels in levels:
                points = [-1 + 2 * k / (n_levels - 1) for k in range(n_levels)]
                bounded = float(torch.tanh(z[row, scalar] / quantizer.bound[scalar]))
                nearest = min(range(n_levels), key=lambda k: abs(points[k] - bounded))
                assert decoded[row, scalar] == pytest.approx(points[nearest] * float(quantizer.reach[scalar]), abs=1e-6)
                code = code * n_levels + nearest
                scalar += 1
            assert codes[row, n] == code


@pytest.mark.parametrize("n_levels", range(2, 17))
def test_rounding_is_that_of_the_paper(n_levels):
    # f(z) = round(h tanh(z + s) - o), h = (L - 1) / 2 and o = ½ for even L, 0 for odd; s only moves z.
    z = torch.linspace(-3, 3, 500, dtype=torch.float64)[:, None]
    half, offset = (n_levels - 1) / 2, 0.5 if n_levels % 2 == 0 else 0.0
    paper = (half * torch.tanh(z) - offset).round()
    codes = FiniteScalarQuantizer([(n_levels,)]).to(torch.float64).encode(z, 0.0).codes
    assert torch.equal(codes, (paper + n_levels // 2).long())


def test_every_code_has_a_point_of_the_grid_and_gets_back_to_it():
    quantizer = FiniteScalarQuantizer(LEVELS)
    grids = quantizer.grids()
    assert [grid.shape for grid in grids] == [(20, 2), (48, 3)]
    for n, (grid, levels) in enumerate(zip(grids, LEVELS, strict=True)):
        expected = list(product(*([-1 + 2 * k / (m - 1) for k in range(m)] for m in levels)))
        torch.testing.assert_close(grid, torch.tensor(expected))
        z = torch.zeros(len(grid), N_SCALARS)
        z[:, slice(0, 2) if n == 0 else slice(2, 5)] = torch.atanh(grid * (1 - 1e-6))
        encoded = quantizer.encode(z, 1e-6)
        assert torch.equal(encoded.codes[:, n], torch.arange(len(grid)))


def test_training_has_the_codes_and_values_of_encoding():
    quantizer, z = _quantizer(), _z()
    output = quantizer(z)
    assert torch.equal(output.codes, quantizer.encode(z, 0.0).codes)
    torch.testing.assert_close(output.decoder_input, quantizer.decode(output.codes))


def test_the_gradient_passes_the_rounding_and_feels_tanh():
    quantizer, z = _quantizer(), _z().requires_grad_()
    quantizer(z).decoder_input.sum().backward()
    bounded = torch.tanh(z.detach() / quantizer.bound)
    torch.testing.assert_close(z.grad, quantizer.reach * (1 - bounded.square()) / quantizer.bound)


def test_nothing_learns_and_nothing_is_lost_to_codebooks():
    quantizer = _quantizer()
    output = quantizer(_z())
    assert list(quantizer.parameters()) == []
    assert not output.codebook_loss.any()
    assert not output.commitment_loss.any()


@pytest.mark.parametrize("side", [-1, 1])
def test_scalars_at_a_border_are_reported_and_reach_the_upper_level(side):
    quantizer = FiniteScalarQuantizer([(4,)])
    borders = torch.atanh(torch.tensor([[-2 / 3], [0.0], [2 / 3]]))
    encoded = quantizer.encode(borders + side * 1e-7, 1e-5)
    assert encoded.codes[:, 0].tolist() == [1, 2, 3]
    assert not encoded.certain.any()
    apart = quantizer.encode(borders + side * 1e-3, 1e-5)
    assert apart.certain.all()
    assert apart.codes[:, 0].tolist() == ([0, 1, 2] if side < 0 else [1, 2, 3])


def test_the_start_uses_every_level_and_decodes_to_the_latent():
    z, weights = _z(2000), torch.ones(2000)
    z = z - z.mean(0)
    quantizer = FiniteScalarQuantizer(LEVELS)
    assert quantizer.initialize(z, weights, torch.Generator(), 1) == []
    codes = quantizer.encode(z, 0.0).codes
    assert [len(column.unique()) for column in codes.T] == [20, 48]
    values = quantizer.decode(codes)
    # Least squares: what is left over is orthogonal to the values.
    torch.testing.assert_close((values * (z - values)).mean(0), torch.zeros(N_SCALARS), rtol=0, atol=1e-4)
    assert 1 - (z - values).square().sum() / z.square().sum() > 0.75
