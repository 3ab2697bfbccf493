"""Joint refinement, against numpy's least squares and loops over codes."""

import numpy as np
import pytest
import torch

from semid.nn._additive import _conditional_modes, improve_codes, least_squares_code_vectors, refine

SIZES = (5, 4, 6)


def _data(n=300, dim=7):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, dim, generator=generator)
    weights = torch.rand(n, generator=generator) + 0.1
    codes = torch.stack([torch.randint(size, (n,), generator=generator) for size in SIZES], 1)
    codebooks = [torch.randn(size, dim, generator=generator) for size in SIZES]
    return x, weights, codes, codebooks, generator


def _error(x, codebooks, codes):
    return (x - sum(book[code] for book, code in zip(codebooks, codes.T, strict=True))).square().sum(1)


def test_code_vectors_solve_the_weighted_ridge_regression_on_codes():
    x, weights, codes, codebooks, _ = _data()
    found = torch.cat(least_squares_code_vectors(x, weights, codes, codebooks, ridge=0.5)).numpy()
    one_hot = np.concatenate([np.eye(size)[code] for size, code in zip(SIZES, codes.T.numpy(), strict=True)], axis=1)
    w = weights.double().numpy()[:, None]
    gram = one_hot.T @ (w * one_hot) + 0.5 * np.eye(one_hot.shape[1])
    np.testing.assert_allclose(found, np.linalg.solve(gram, one_hot.T @ (w * x.numpy())), atol=1e-5)


def test_conditional_modes_equal_the_naive_loop():
    x, _, codes, codebooks, _ = _data(n=20)
    costs = [book.square().sum(1) / 2 - x @ book.T for book in codebooks]
    gram = [[a @ b.T for b in codebooks] for a in codebooks]
    found, energy = _conditional_modes(costs, gram, codes)
    for row in range(20):
        mine = codes[row].tolist()
        for _ in range(2):
            for n, book in enumerate(codebooks):
                others = sum(codebooks[m][mine[m]] for m in range(3) if m != n)
                mine[n] = int((x[row] - others - book).square().sum(1).argmin())
        assert found[row].tolist() == mine
    torch.testing.assert_close(2 * energy + x.square().sum(1), _error(x, codebooks, found), rtol=1e-4, atol=1e-4)


def test_improved_codes_are_no_farther_and_mostly_nearer():
    x, _, codes, codebooks, generator = _data()
    improved = improve_codes(x, codebooks, codes, 3, generator)
    before, after = _error(x, codebooks, codes), _error(x, codebooks, improved)
    assert (after <= before + 1e-4).all()
    assert after.mean() < 0.8 * before.mean()


def test_refinement_lowers_the_error_of_random_codes_and_keeps_the_shapes():
    x, weights, codes, codebooks, generator = _data()
    start = (weights * _error(x, least_squares_code_vectors(x, weights, codes, codebooks), codes)).sum()
    refined, found = refine(x, weights, codebooks, codes, 8, generator)
    assert [book.shape for book in refined] == [book.shape for book in codebooks]
    assert (weights * _error(x, refined, found)).sum() < 0.7 * start


def _plain_least_squares(x, weights, codes, codebooks):
    """One pass over all pairs of columns for each two codebooks."""
    sizes = [len(codebook) for codebook in codebooks]
    columns = codes + torch.tensor([0, *sizes[:-1]]).cumsum(0)
    gram = torch.zeros(sum(sizes) ** 2, dtype=torch.float64)
    targets = torch.zeros(sum(sizes), x.shape[1])
    for a in columns.T:
        targets.index_add_(0, a, x * weights[:, None])
        for b in columns.T:
            gram += torch.bincount(a * sum(sizes) + b, weights=weights.double(), minlength=len(gram))
    gram = gram.view(sum(sizes), -1)
    gram.diagonal().add_(1e-3)
    return torch.cholesky_solve(targets.double(), torch.linalg.cholesky(gram)).float()


def _plain_modes(costs, gram, codes):
    codes = list(codes.T)
    for _ in range(2):
        for n, cost in enumerate(costs):
            scores = cost
            for m, code in enumerate(codes):
                scores = scores + gram[m][n][code] if m != n else scores
            codes[n] = scores.argmin(1)
    return torch.stack(codes, 1)


@pytest.mark.parametrize("sizes", [(5,), (40, 30), (32, 32, 32), (16,) * 7])
@pytest.mark.parametrize("values", ["real", "whole numbers"])
def test_shortcuts_change_no_bit(sizes, values):
    generator = torch.Generator().manual_seed(len(sizes))
    x, *codebooks = (torch.randn(n, 12, generator=generator) for n in (400, *sizes))
    if values == "whole numbers":  # with equal scores
        x, codebooks = x.round(), [book.round() for book in codebooks]
    weights = torch.rand(400, generator=generator) + 0.1
    codes = torch.stack([torch.randint(size, (400,), generator=generator) for size in sizes], 1)
    found = torch.cat(least_squares_code_vectors(x, weights, codes, codebooks))
    assert torch.equal(found, _plain_least_squares(x, weights, codes, codebooks))
    costs = [book.square().sum(1) / 2 - x @ book.T for book in codebooks]
    gram = [[a @ b.T for b in codebooks] for a in codebooks]
    assert torch.equal(_conditional_modes(costs, gram, codes)[0], _plain_modes(costs, gram, codes))
