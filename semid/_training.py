"""The loop that trains quantized autoencoders.

One pass over the catalogue per epoch, batches sliced from the tensors on the device, and nothing read back from the
device inside an epoch. Rows carry weights; every mean is a weighted mean.

Letters: n rows of the catalogue, N codebooks.
"""

from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm


class TrainingOptions(NamedTuple):
    max_iter: int  # epochs
    batch_size: int
    learning_rate: float  # of the first step; falls to zero along a half cosine
    commitment_weight: float
    codebook_update: str  # "ema" or "gradient"
    verbose: bool


class CodebookAverages:
    """Exponential moving averages of what falls on each code vector (van den Oord et al., 2017, arXiv:1711.00937, A.1).

    Each code vector becomes the running mean of its inputs: a mini-batch k-means that follows the encoder.
    """

    def __init__(self, codebook, counts, decay=0.9):
        self.codebook, self.decay = codebook, decay
        self.counts = counts  # (K,), weight per code in one batch
        self.sums = codebook.code_vectors.detach() * counts[:, None]  # (K, d)

    @torch.no_grad()
    def update(self, x, codes, weights):
        counts = torch.zeros_like(self.counts).index_add_(0, codes, weights)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, x * weights[:, None])
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        # A code that nothing has reached for long keeps its place until it is revived, instead of dividing 0 by 0.
        alive = (self.counts > 1e-6 * self.counts.mean())[:, None]
        means = self.sums / self.counts.clamp(min=1e-30)[:, None]
        self.codebook.code_vectors.copy_(torch.where(alive, means, self.codebook.code_vectors))

    def replace(self, dead, code_vectors):
        """Restart the `dead` codes (K,) from `code_vectors` (n_dead, d) with an average code's weight."""
        self.counts[dead] = self.counts.mean()
        self.sums[dead] = code_vectors * self.counts[dead][:, None]


def train_quantized_autoencoder(model, x, weights, initial_codes, options, generator):
    """Train `model` in place on the standardised rows `x` (n, n_features); return the history, one entry per epoch.

    `initial_codes` (N tensors (n,)) are the assignments of the codebooks' k-means initialisation.
    """
    averages = _start_averages(model.quantizer, initial_codes, weights, options)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=options.learning_rate, weight_decay=0.0, fused=True)
    n_steps = options.max_iter * -(-len(x) // options.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    variance = float(_weighted_mean(x.square().mean(1), weights))

    records = []
    with tqdm(range(options.max_iter), desc="epochs", disable=not options.verbose) as epochs:
        for epoch in epochs:
            batches = torch.randperm(len(x), generator=generator).to(x.device).split(options.batch_size)
            record, counts = _run_epoch(model, x, weights, batches, optimizer, schedule, averages, options)
            record["r2"] = 1 - record["reconstruction_loss"] / variance if variance > 0 else 1.0
            record["usage"] = [float((count > 0).float().mean()) for count in counts]
            records.append(record)
            if not np.isfinite(record["loss"]):
                raise ValueError(
                    f"training diverged in epoch {epoch + 1}: the loss is {record['loss']} with "
                    f"learning_rate={options.learning_rate}. Pass a smaller learning_rate."
                )
            if epoch < options.max_iter - 1:
                _revive_dead_codes(model, x, counts, averages, generator)
            epochs.set_postfix(
                loss=f"{record['loss']:.4f}",
                r2=f"{record['r2']:.3f}",
                usage=f"{np.mean(record['usage']):.0%}",
            )
    return {key: np.array([record[key] for record in records]) for key in records[0]}


def _run_epoch(model, x, weights, batches, optimizer, schedule, averages, options):
    """One pass; returns the epoch's mean losses and how often each code was used."""
    totals = torch.zeros(4, device=x.device, dtype=x.dtype)
    counts = [torch.zeros(size, device=x.device, dtype=x.dtype) for size in model.quantizer.sizes]
    for rows in batches:
        weight = weights[rows]
        output, losses = _train_step(model, x[rows], weight, optimizer, options)
        schedule.step()
        # Not strict: there are no averages where the codebooks learn by gradient.
        for average, inputs, codes in zip(averages, output.inputs, output.codes.T, strict=False):
            average.update(inputs, codes, weight)
        for count, codes in zip(counts, output.codes.T, strict=True):
            count += torch.bincount(codes, minlength=len(count))
        totals += losses * len(rows)
    means = (totals / len(x)).tolist()
    names = ("loss", "reconstruction_loss", "codebook_loss", "commitment_loss")
    return dict(zip(names, means, strict=True)), counts


def _train_step(model, x, weights, optimizer, options):
    output = model.quantizer(model.encoder(x))
    reconstruction_loss = _weighted_mean((model.decoder(output.decoder_input) - x).square().mean(1), weights)
    codebook_loss = _weighted_mean(output.codebook_loss, weights)
    commitment_loss = _weighted_mean(output.commitment_loss, weights)

    loss = reconstruction_loss + options.commitment_weight * commitment_loss
    if options.codebook_update == "gradient":
        loss = loss + codebook_loss
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return output, torch.stack([loss, reconstruction_loss, codebook_loss, commitment_loss]).detach()


def _weighted_mean(values, weights):
    """Mean of `values` with `weights` that are 1 on average over the catalogue, hence unbiased in every batch."""
    return (values * weights).mean()


def _start_averages(quantizer, initial_codes, weights, options):
    """One `CodebookAverages` per codebook, as if the k-means solution had been met in batches; none for gradients."""
    if options.codebook_update == "gradient":
        return []
    share = min(1.0, options.batch_size / len(weights))
    return [
        CodebookAverages(codebook, share * torch.zeros(len(codebook)).to(weights).index_add_(0, codes, weights))
        for codebook, codes in zip(quantizer.codebooks, initial_codes, strict=True)
    ]


@torch.no_grad()
def _revive_dead_codes(model, x, counts, averages, generator):
    """Move each code that no row used in the epoch onto a row of its own, drawn from the whole catalogue."""
    # Not strict: finite scalars have codes, but no codebooks that learn.
    n_dead = [int((count == 0).sum()) for _, count in zip(model.quantizer.codebooks, counts, strict=False)]
    if not any(n_dead):
        return
    rows = torch.randperm(len(x), generator=generator)[: max(n_dead)].to(x.device)
    inputs = model.quantizer(model.encoder(x[rows])).inputs
    for n, codebook in enumerate(model.quantizer.codebooks):
        dead = counts[n] == 0
        codebook.code_vectors[dead] = inputs[n][: n_dead[n]]
        if averages:
            averages[n].replace(dead, inputs[n][: n_dead[n]])
