"""Joint search for codes, against a search through all combinations."""

from itertools import product

import torch

from semid.nn._beam_search import SumCosts, beam_search
from semid.nn._quantizers import ParallelQuantizer, ResidualQuantizer

SIZES = (4, 3, 5)
EVERY_ROW = torch.tensor(list(product(*map(range, SIZES))))


def _quantizer(cls=ResidualQuantizer, prices=False, **options):
    generator = torch.Generator().manual_seed(0)
    quantizer = cls(SIZES, 6, **options).double()
    for codebook in quantizer.codebooks:
        codebook.code_vectors.data = torch.randn(codebook.code_vectors.shape, generator=generator).double()
        if prices:
            codebook.prices.copy_(torch.rand(len(codebook), generator=generator))
    return quantizer


def _rows(n=50):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(1)).double()


def _scores_of_every_row(quantizer, z):
    """(B, number of combinations): half the squared distance to the sum, plus prices, less half of |z|²."""
    sums = quantizer.decode(EVERY_ROW)
    prices = sum(book.prices[code] for book, code in zip(quantizer.codebooks, EVERY_ROW.T, strict=True))
    return torch.cdist(z, sums).square() / 2 + prices - z.square().sum(1, keepdim=True) / 2


def test_a_beam_as_wide_as_all_beginnings_finds_the_best_of_all_rows():
    quantizer, z = _quantizer(prices=True), _rows()
    beam = quantizer.joint_search().beam(z, 60, 1e-11)
    scores = _scores_of_every_row(quantizer, z)
    assert beam.codes.shape == (50, 60, 3)
    torch.testing.assert_close(beam.scores, scores.sort(1).values)
    torch.testing.assert_close(beam.codes[:, 0], EVERY_ROW[scores.argmin(1)])


def test_a_beam_of_one_is_the_greedy_chain():
    quantizer, z = _quantizer(prices=True), _rows()
    torch.testing.assert_close(quantizer.joint_search().beam(z, 1, 1e-11).codes[:, 0], quantizer.encode(z, 1e-11).codes)


def test_a_wider_beam_never_ends_farther_away():
    z = _rows(200)
    errors = [
        (z - quantizer.decode(quantizer.encode(z, 0.0).codes)).square().sum()
        for quantizer in (_quantizer(beam_size=size) for size in (1, 2, 12, 60))
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]


def test_candidates_of_codebooks_side_by_side_are_the_best_of_all():
    quantizer, z = _quantizer(ParallelQuantizer, prices=True, projection_dim=6), _rows()
    beam = quantizer.joint_search().beam(z, 7, 1e-11)
    scores = sum(
        book.scores(down(z))[:, code]
        for book, down, code in zip(quantizer.codebooks, quantizer.down, EVERY_ROW.T, strict=True)
    )
    torch.testing.assert_close(beam.scores, scores.sort(1).values[:, :7])


def test_equal_code_vectors_count_as_the_first_of_them_and_are_in_doubt():
    quantizer, z = _quantizer(beam_size=3), _rows()
    for codebook in quantizer.codebooks:
        codebook.code_vectors.data[1] = codebook.code_vectors.data[0]
    codes, certain = quantizer.encode(z, 1e-11)
    assert (codes != 1).all()
    assert not certain[(codes == 0).any(1)].any()
    assert certain[(codes != 0).all(1)].any()


def test_a_row_is_certain_when_its_lead_exceeds_the_tolerance():
    books = [torch.tensor([[0.0], [1.0]])]
    x = torch.tensor([[0.1], [0.499], [0.501], [0.9]])
    costs = SumCosts(x, books, [torch.zeros(2)])
    assert beam_search(costs, 1, 1, torch.full((4,), 0.01)).certain.tolist() == [True, False, False, True]
