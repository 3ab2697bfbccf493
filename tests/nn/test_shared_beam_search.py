"""The search for rows that lie close together, against that for each row alone."""

import pytest
import torch

from semid.nn._beam_search import k_smallest
from semid.nn._product_quantizer import ProductQuantizer
from semid.nn._quantizers import ParallelQuantizer, ResidualQuantizer

SIZES, DIM, TIE = (12, 9, 11), 6, 1e-9


def _search(kind, **options):
    generator = torch.Generator().manual_seed(0)
    quantizer = kind(SIZES, DIM, **options).double()
    for codebook in quantizer.codebooks:
        codebook.code_vectors.data = torch.randn(codebook.code_vectors.shape, generator=generator).double()
        codebook.code_vectors.data[1] = codebook.code_vectors.data[0]  # equal scores rank by their place
        codebook.prices.copy_(torch.rand(len(codebook), generator=generator) / 4)
    return quantizer.joint_search()


SEARCHES = {
    "residual": _search(ResidualQuantizer),
    "side by side": _search(ParallelQuantizer, projection_dim=DIM),
    "blocks": _search(ProductQuantizer, rotation=None),
}


def _close_rows(spread, n=20, seed=1):
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(1, DIM, generator=generator).double()
    return center + spread * torch.randn(n, DIM, generator=generator).double()


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("beam_size", [1, 5, 40, 400])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-2, 0.1])
def test_codes_and_scores_are_those_of_each_row_alone(name, beam_size, spread):
    n_found = 0
    for seed in range(5):
        z = _close_rows(spread, seed=seed)
        codes, scores, _ = SEARCHES[name].beam(z, beam_size, TIE)
        found = SEARCHES[name].shared_beam(z, beam_size, TIE)
        if found is not None:
            n_found += 1
            assert torch.equal(found.beginnings[found.kept], codes)
            torch.testing.assert_close(found.scores, scores, rtol=1e-13, atol=1e-13)
    assert n_found == 5 or beam_size > 5 or spread > 1e-6


def test_rows_far_apart_are_left_to_a_search_for_each():
    search, z = SEARCHES["residual"], _close_rows(3.0, n=200)
    assert search.shared_beam(z, 5, TIE) is None
    assert search.shared_beam(z[:1], 5, TIE) is not None


def test_a_row_alone_is_close_to_itself():
    search, z = SEARCHES["residual"], _close_rows(3.0)
    for row in z.split(1):
        beams = search.shared_beam(row, 7, TIE)
        assert torch.equal(beams.beginnings[beams.kept], search.beam(row, 7, TIE).codes)


@pytest.mark.parametrize(("n", "k"), [(20, 20), (20, 3), (50, 16), (5, 1)])
def test_the_smallest_few_are_those_of_sorting(n, k):
    x = torch.randn(30, n, generator=torch.Generator().manual_seed(0))
    values, indices = k_smallest(x, k)
    assert torch.equal(values, x.sort(1).values[:, :k])
    assert torch.equal(values, x.gather(1, indices))
