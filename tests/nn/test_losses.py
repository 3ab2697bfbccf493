"""Each term of the loss, against a loop over pairs."""

import pytest
import torch

from semid.nn._losses import alignment_loss, separation_loss


def _randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_separation_is_a_hinge_on_neighbours_of_one_group():
    z, quantized = _randn(6, 3), _randn(6, 3, seed=1)
    groups = torch.tensor([4, 4, 4, 2, 7, 7])
    error = (z - quantized).square().sum(1).mean()
    expected = 0.0
    for i, j in ((0, 1), (1, 2), (4, 5)):
        expected += max(0.0, 2 - float((z[i] - z[j]).square().sum() / error)) / 6
    assert float(separation_loss(z, quantized, groups)) == pytest.approx(expected, rel=1e-5)


def test_separation_moves_items_apart_and_the_code_vectors_not():
    z = torch.tensor([[0.0, 0.0], [0.1, 0.0]], requires_grad=True)
    quantized = torch.ones(2, 2, requires_grad=True)
    separation_loss(z, quantized, torch.tensor([0, 0])).backward()
    assert z.grad[0, 0] > 0 > z.grad[1, 0]
    assert quantized.grad is None


def test_alignment_is_the_cross_entropy_of_cosine_similarities_and_skips_unknown_rows():
    quantized, other = _randn(5, 4), _randn(5, 4, seed=1)
    other[3] = torch.nan
    known, total = [0, 1, 2, 4], 0.0
    for i in known:
        logits = torch.stack([torch.cosine_similarity(quantized[i], other[j], dim=0) / 0.1 for j in known])
        total -= logits.log_softmax(0)[known.index(i)]
    torch.testing.assert_close(alignment_loss(quantized, other), total / 4)
    assert alignment_loss(quantized, torch.full((5, 4), torch.nan)) == 0
