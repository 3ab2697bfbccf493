"""The loop that trains quantized autoencoders, against plain formulas."""

import numpy as np
import torch
from torch import nn

from semid.engine._autoencoder_training import Training, TrainingOptions, train_quantized_autoencoder
from semid.engine._catalogue import Catalogue
from semid.engine._codebook_updates import CodebookAverages
from semid.nn._autoencoder import LinearPlusMLP, QuantizedAutoencoder
from semid.nn._quantizers import Codebook, ResidualQuantizer

OPTIONS = TrainingOptions(3, 16, 0.01, commitment_weight=0.5, codebook_update="gradient")


def _model(learnable, size=4, n_codebooks=2):
    torch.manual_seed(0)
    quantizer = ResidualQuantizer([size] * n_codebooks, 3, learnable=learnable)
    for codebook in quantizer.codebooks:
        nn.init.normal_(codebook.code_vectors)
    return QuantizedAutoencoder(5, quantizer, LinearPlusMLP((5, 3)), LinearPlusMLP((3, 5)))


def _data(n=40):
    generator = torch.Generator().manual_seed(1)
    x, weights = torch.randn(n, 5, generator=generator), torch.rand(n, generator=generator) + 0.5
    return x, weights / weights.mean()


def _catalogue(x, weights):
    return Catalogue(x.numpy(), np.arange(len(x)), weights.numpy(), np.zeros(x.shape[1]), 1.0, torch.device("cpu"))


def test_averages_equal_their_formula():
    codebook = Codebook(3, 2)
    nn.init.normal_(codebook.code_vectors)
    counts, sums = torch.tensor([2.0, 1.0, 4.0]), None
    averages = CodebookAverages(codebook, counts.clone(), decay=0.8)
    sums = codebook.code_vectors.detach() * counts[:, None]
    x, weights = torch.randn(10, 2), torch.rand(10)
    codes = torch.randint(3, (10,))
    averages.update(x, codes, weights)
    for k in range(3):
        mine = codes == k
        count = 0.8 * counts[k] + 0.2 * weights[mine].sum()
        total = 0.8 * sums[k] + 0.2 * (x[mine] * weights[mine, None]).sum(0)
        torch.testing.assert_close(codebook.code_vectors[k], total / count)


def test_training_by_gradient_equals_a_hand_written_loop():
    x, weights = _data()
    ours, theirs = _model(True, size=2), _model(True, size=2)
    history = train_quantized_autoencoder(ours, _catalogue(x, weights), OPTIONS, torch.Generator().manual_seed(2))

    optimizer = torch.optim.AdamW(theirs.parameters(), lr=OPTIONS.learning_rate, weight_decay=0.0)
    generator, step, n_steps, losses = torch.Generator().manual_seed(2), 0, 9, []
    for epoch in range(3):
        total = 0.0
        met = [set(), set()]
        for rows in torch.randperm(len(x), generator=generator).split(16):
            for group in optimizer.param_groups:
                group["lr"] = OPTIONS.learning_rate * 0.5 * (1 + np.cos(np.pi * step / n_steps))
            step += 1
            z = theirs.encoder(x[rows])
            residual, summed, per_row = z, 0.0, 0.0
            for level, codebook in enumerate(theirs.quantizer.codebooks):
                codes = torch.cdist(residual, codebook.code_vectors).argmin(1)
                met[level] |= set(codes.tolist())
                e = codebook.code_vectors[codes]
                per_row = per_row + (residual.detach() - e).square().mean(1)
                per_row = per_row + OPTIONS.commitment_weight * (residual - e.detach()).square().mean(1)
                residual, summed = residual - e.detach(), summed + e.detach()
            error = (theirs.decoder(z + (summed - z).detach()) - x[rows]).square().mean(1)
            loss = ((error + per_row) * weights[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / len(x))
        assert all(len(codes) == 2 for codes in met), f"a revival in epoch {epoch} would need a step here"
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_history_terms_add_up_to_the_loss():
    x, weights = _data()
    history = train_quantized_autoencoder(_model(True), _catalogue(x, weights), OPTIONS, torch.Generator())
    terms = history["reconstruction_loss"] + history["codebook_loss"] + 0.5 * history["commitment_loss"]
    np.testing.assert_allclose(history["loss"], terms, rtol=1e-5)
    variance = (x.square().mean(1) * weights).sum() / weights.sum()
    np.testing.assert_allclose(history["r2"], 1 - history["reconstruction_loss"] / variance.item(), rtol=1e-5)


def test_dead_codes_are_revived():
    for update in ("ema", "gradient"):
        model = _model(update == "gradient")
        with torch.no_grad():
            for codebook in model.quantizer.codebooks:
                codebook.code_vectors[1:] = 1e3  # too far for any row
        x, weights = _data()
        options = OPTIONS._replace(codebook_update=update, max_iter=6)
        history = train_quantized_autoencoder(model, _catalogue(x, weights), options, torch.Generator().manual_seed(0))
        assert history["usage"][0].max() == 0.25
        assert history["usage"][-1].min() >= 0.75
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_averaged_codebooks_get_no_gradient_and_yet_move():
    model, (x, weights) = _model(False), _data()
    before = [codebook.code_vectors.clone() for codebook in model.quantizer.codebooks]
    options = OPTIONS._replace(codebook_update="ema")
    train_quantized_autoencoder(model, _catalogue(x, weights), options, torch.Generator().manual_seed(0))
    for codebook, old in zip(model.quantizer.codebooks, before, strict=True):
        assert codebook.code_vectors.grad is None
        assert not torch.equal(codebook.code_vectors, old)


def test_codes_are_revived_on_rows_of_their_own_when_the_last_batch_is_short():
    x, weights = _data(n=65)  # batches of 16, 16, 16, 16 and 1
    model = _model(True, size=30)
    with torch.no_grad():
        for codebook in model.quantizer.codebooks:
            codebook.code_vectors[1:] = 1e3
    counts = [(torch.arange(30) == 0).float()] * 2
    Training(model, _catalogue(x, weights), OPTIONS, torch.Generator().manual_seed(0)).revive_dead_codes(counts)
    for codebook in model.quantizer.codebooks:
        assert len(codebook.code_vectors.detach().unique(dim=0)) == 30
