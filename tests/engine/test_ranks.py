"""Fits whose batches are computed in shares; several processes are started in tests/distributed/test_torchrun.py."""

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from semid.engine._autoencoder_training import Training, TrainingOptions
from semid.engine._catalogue import Catalogue
from semid.engine._ranks import OneShare, SharedFit, current_ranks
from semid.nn._autoencoder import LinearPlusMLP, MeanOfDecoders, QuantizedAutoencoder
from semid.nn._quantizers import ParallelQuantizer, ResidualQuantizer
from semid.tokenizers import MixtureOfCodesTokenizer, RQVAETokenizer, distributed_fit

PLAIN = TrainingOptions(2, 16, 0.01, commitment_weight=0.5)
TERMS = {
    "averages": PLAIN,
    "gradient": PLAIN._replace(codebook_update="gradient"),
    "balanced and separated": PLAIN._replace(assignment="sinkhorn", separation_weight=0.5),
    "mixed": PLAIN._replace(mixup=0.3),
    "aligned": PLAIN._replace(alignment_weight=0.5),
}


def _training(options, is_parallel, ranks):
    torch.manual_seed(0)
    learnable = options.codebook_update == "gradient"
    if is_parallel:
        quantizer = ParallelQuantizer([4, 4], 3, projection_dim=2, learnable=learnable, average=False)
        decoder = MeanOfDecoders([LinearPlusMLP((3, 5)), LinearPlusMLP((3, 5))])
    else:
        quantizer, decoder = ResidualQuantizer([4, 4], 3, learnable=learnable), LinearPlusMLP((3, 4, 5))
    for codebook in quantizer.codebooks:
        nn.init.normal_(codebook.code_vectors)
    x, weights = torch.randn(40, 5), torch.rand(40) + 0.5
    catalogue = Catalogue(x.numpy(), np.arange(40), (weights / weights.mean()).numpy(), np.zeros(5), 1.0, x.device)
    model = QuantizedAutoencoder(5, quantizer, LinearPlusMLP((5, 4, 3)), decoder)
    alignment = torch.randn(40, 6) if options.alignment_weight else None
    return Training(model, catalogue, options, torch.Generator().manual_seed(1), alignment, ranks=ranks)


def _cases():
    for name, options in TERMS.items():
        for is_parallel in (False, True):
            yield pytest.param(options, is_parallel, id=f"{name}, {'parallel' if is_parallel else 'residual'}")


@pytest.mark.parametrize("n_shares", [2, 3, 7])
@pytest.mark.parametrize(("options", "is_parallel"), list(_cases()))
def test_a_step_in_shares_has_the_gradient_and_the_losses_of_a_whole_batch(options, is_parallel, n_shares):
    whole = _training(options, is_parallel, OneShare())
    shared = _training(options, is_parallel, SharedFit(0, 1, n_shares))
    items = torch.arange(16)
    groups = torch.arange(16) // 3 if options.separation_weight else None
    output, losses = whole._train_step(items, whole.catalogue.weights[items], groups)
    of_shares, losses_of_shares = shared._train_step(items, shared.catalogue.weights[items], groups)

    torch.testing.assert_close(losses_of_shares, losses)
    assert torch.equal(of_shares.codes, output.codes)
    n_used = 0
    for ours, theirs in zip(shared.trainable, whole.trainable, strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)
            n_used += bool((theirs.grad != 0).any())
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)  # after the step of the optimizer
    assert n_used > 2


def test_a_batch_of_fewer_rows_than_shares_is_learned_from():
    whole, shared = _training(PLAIN, False, OneShare()), _training(PLAIN, False, SharedFit(0, 1, 7))
    items = torch.arange(3)
    for training in (whole, shared):
        training._train_step(items, training.catalogue.weights[items], None)
    for ours, theirs in zip(shared.trainable, whole.trainable, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("cls", [RQVAETokenizer, MixtureOfCodesTokenizer])
def test_a_fit_in_shares_differs_from_a_plain_one_by_the_order_of_summation(items, cls):
    tokenizer = cls(n_codebooks=2, codebook_size=8, hidden_layer_sizes=(16,), latent_dim=6, max_iter=3, random_state=0)
    plain = copy.deepcopy(tokenizer).fit(items.embeddings)
    with distributed_fit(n_shares=3):
        shared = tokenizer.fit(items.embeddings)
    np.testing.assert_allclose(shared.history_["loss"], plain.history_["loss"], rtol=1e-3)
    assert (shared.transform(items.embeddings) == plain.transform(items.embeddings)).mean() > 0.99
    assert any((shared.state_[name] != plain.state_[name]).any() for name in plain.state_)


def test_without_torchrun_a_block_is_a_plain_fit(items):
    tokenizer = RQVAETokenizer(codebook_size=8, max_iter=2, random_state=0)
    with distributed_fit() as ranks:
        assert (ranks.rank, ranks.size, ranks.n_shares) == (0, 1, 1)
        shared = copy.deepcopy(tokenizer).fit(items.embeddings)
    plain = tokenizer.fit(items.embeddings)
    for name, array in plain.state_.items():
        np.testing.assert_array_equal(array, shared.state_[name])


def test_a_block_ends_with_an_error_too_and_is_not_seen_by_other_threads():
    seen = []
    with pytest.raises(KeyError), distributed_fit(n_shares=2):
        assert current_ranks().n_shares == 2
        thread = threading.Thread(target=lambda: seen.append(current_ranks().n_shares))
        thread.start()
        thread.join()
        raise KeyError
    assert seen == [1]
    assert current_ranks().n_shares == 1


@pytest.mark.parametrize("n_shares", [0, -2])
def test_shares_that_cannot_be_are_refused(n_shares):
    with (
        pytest.raises(ValueError, match=r"n_shares must be a positive multiple of the number of processes, 1, got"),
        distributed_fit(n_shares),
    ):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("n_shares", [True, 2.0, "2"])
def test_shares_that_are_no_number_are_refused(n_shares):
    with pytest.raises(TypeError, match=r"n_shares must be an int or None, got"), distributed_fit(n_shares):
        pytest.fail("the block was entered")
