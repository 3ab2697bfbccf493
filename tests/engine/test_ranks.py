"""Fits whose batches are computed in shares; several processes are started in tests/distributed/test_torchrun.py."""

import copy
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from semid.ctr import DeepFMClassifier
from semid.ctr._deepfm import DeepFM
from semid.engine._autoencoder_training import Training, TrainingOptions
from semid.engine._catalogue import Catalogue
from semid.engine._click_training import NetOptions, train_click_model
from semid.engine._impressions import Impressions
from semid.engine._ranks import OneShare, SharedFit, current_ranks
from semid.nn._autoencoder import LinearPlusMLP, MeanOfDecoders, QuantizedAutoencoder
from semid.nn._click_module import ClickModule
from semid.nn._fields import FieldShapes
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


def _click_net(ranks, dropout=0.0):
    rng = np.random.default_rng(0)
    offsets = np.arange(0, 61, 2)
    lists = [(rng.integers(6, size=60).astype(np.int32), offsets, rng.integers(30, size=50).astype(np.int32))]
    encoded = SimpleNamespace(
        categories=rng.integers(9, size=(50, 3)).astype(np.int32),
        lists=lists,
        numbers=rng.normal(size=(50, 2)),
        histories=(),
    )
    data = Impressions(encoded, rng.integers(2, size=50), rng.uniform(0.5, 2, size=50), "cpu", torch.float64)
    torch.manual_seed(0)
    shapes = FieldShapes((9, 9, 9), (6,), 2)
    module = ClickModule(
        shapes,
        DeepFM(shapes.n_fields, 3, (5,), dropout),
        base_logit=0.0,
        embedding_dim=3,
        embedding_init_std=0.1,
        has_first_order=True,
        n_embedding_sets=1,
        fusion="gate",
        fusion_groups=(slice(1, 3),),
        fusion_rank=4,
        fusion_query=None,
        adapter_width=4,
        adapter_norm="rms",
    ).double()
    options = NetOptions(2, 16, 0.01, 1.0, 1.0, 0.9, 5, (), False)
    return train_click_model(module, data, None, options, torch.Generator().manual_seed(0), ranks=ranks)


@pytest.mark.parametrize("n_shares", [2, 3, 20])
def test_click_models_learn_from_shares_what_they_learn_from_whole_batches(n_shares):
    whole, shared = _click_net(OneShare()), _click_net(SharedFit(0, 1, n_shares))
    for name, tensor in whole.module.state_dict().items():
        torch.testing.assert_close(shared.module.state_dict()[name], tensor, atol=1e-9, rtol=1e-7, msg=name)
    np.testing.assert_allclose(shared.history["train_loss"], whole.history["train_loss"], rtol=1e-9)


def test_what_a_share_drops_follows_from_the_seed_and_not_from_who_computes_it():
    learned = [_click_net(SharedFit(0, 1, 2), dropout=0.5).module.state_dict() for _ in range(2)]
    without = _click_net(SharedFit(0, 1, 2)).module.state_dict()
    for name, tensor in learned[0].items():
        assert torch.equal(tensor, learned[1][name]), name
    assert not torch.equal(learned[0]["embedding.table"], without["embedding.table"])


def test_a_fusion_with_statistics_of_batches_is_not_shared():
    class Normalised(nn.Module):
        def __init__(self, n_codes, dim, rank):
            super().__init__()
            self.norm = nn.BatchNorm1d(n_codes)

        def forward(self, e):
            return self.norm(e)

    X = pd.DataFrame({"item_code0": [0, 1] * 20, "item_code1": [0, 1, 2, 1] * 10})
    model = DeepFMClassifier(fusion=Normalised, max_iter=1)
    with distributed_fit(2), pytest.raises(ValueError, match="fusion must keep no statistics of batches in a shared"):
        model.fit(X, [0, 0, 1, 1] * 10)
