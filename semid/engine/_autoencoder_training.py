"""The loop that trains quantized autoencoders.

One pass over the catalogue per epoch, batches sliced from the tensors on the device. Rows carry weights; the losses of
reconstruction and quantization are weighted means, the further terms count every item alike.

Letters: n items of the catalogue, B rows of a batch, N codebooks.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from semid.base._checks import warn
from semid.engine._catalogue import ENCODE_ROWS
from semid.engine._checkpoints import NoCheckpoint, warn_of_interruption
from semid.engine._codebook_updates import start_averages, update_prices
from semid.engine._ranks import OneShare
from semid.exceptions import CollapseWarning
from semid.nn._half_products import half_products
from semid.nn._losses import alignment_loss, separation_loss
from semid.nn._quantizers import QuantizerOutput

_LEAST_GAIN = 1e-4  # of the held-out R², for an epoch to count as better


class TrainingOptions(NamedTuple):
    max_iter: int  # epochs
    batch_size: int
    learning_rate: float  # of the first step
    schedule: str = "cosine"  # falls to zero along a half cosine, or "constant"
    commitment_weight: float = 0.1
    codebook_update: str = "ema"  # or "gradient"
    assignment: str = "nearest"  # or "sinkhorn"
    separation_weight: float = 0.0
    alignment_weight: float = 0.0
    mixup: float = 0.0  # share of the way towards another item that an embedding moves at most
    n_iter_no_change: int | None = None  # epochs without a better held-out reconstruction before it stops
    verbose: bool = False


class Progress(NamedTuple):
    """What complete epochs have come to."""

    records: tuple[dict, ...] = ()  # of the history, one per epoch
    best_r2: float = -np.inf  # of the held-out items
    n_worse: int = 0  # epochs since then
    kept_state: dict | None = None  # what the model would be if training ended here

    def after(self, record, model):
        """Return the progress after one more epoch, which is the best so far where none is held against it."""
        records, r2 = (*self.records, record), record.get("validation_r2")
        if r2 is None:
            return Progress(records, kept_state=_copy_state(model))
        if r2 > self.best_r2 + _LEAST_GAIN:
            return Progress(records, r2, 0, _copy_state(model))
        return self._replace(records=records, n_worse=self.n_worse + 1)


def train_quantized_autoencoder(
    model, catalogue, options, generator, *, alignment=None, held_out=None, checkpoint=None, saved=None, ranks=None
):
    """Train `model` in place on the `catalogue`; return the history, one entry per epoch.

    Interrupted by the user after at least one epoch, it warns, and returns what was learned in complete ones.

    Parameters
    ----------
    model : QuantizedAutoencoder
    catalogue : Catalogue
    options : TrainingOptions
    generator : torch.Generator
        Of the batches, on the CPU.
    alignment : Tensor of shape (n, A), default None
        Second embedding of each item for the contrastive term; rows of NaN for items that have none.
    held_out : Catalogue, default None
        Items that are not learned from; with ``options.n_iter_no_change``, their reconstruction decides when to stop,
        and the best epoch is kept.
    checkpoint : Checkpoint, default None
        Where to keep the state after every epoch.
    saved : dict, default None
        The state that was loaded from there.
    ranks : SharedFit, default None
        The processes that share the training, and end with the same model. None is this one alone.
    """
    if saved is not None:
        generator.set_state(saved["first_generator"])
    training = Training(model, catalogue, options, generator, alignment, held_out, checkpoint, ranks)
    if saved is not None:
        training.restore(saved)
    return training.run()


class Training:
    """One run of training: the model, its optimizer, and what follows the codebooks."""

    def __init__(
        self, model, catalogue, options, generator, alignment=None, held_out=None, checkpoint=None, ranks=None
    ):
        self.model, self.catalogue, self.options, self.generator = model, catalogue, options, generator
        self.checkpoint, self.ranks, self.progress = checkpoint or NoCheckpoint(), ranks or OneShare(), Progress()
        # Of before the samples that are drawn here: a training that goes on draws the same.
        self.first_generator = generator.get_state()
        self.alignment = alignment
        self.to_alignment = None
        self.trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if alignment is not None:
            self.to_alignment = nn.Parameter(self._regress_alignment())
            self.trainable.append(self.to_alignment)
        self.optimizer = torch.optim.AdamW(self.trainable, lr=options.learning_rate, weight_decay=0.0, fused=True)
        n_steps = options.max_iter * -(-len(catalogue) // options.batch_size)
        self.schedule = None
        if options.schedule == "cosine":
            self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, n_steps)
        x, weights = catalogue.sample(generator)
        self.variance = float(_weighted_mean(x.square().mean(1), weights))
        self.averages = (
            start_averages(model, x, weights, options.batch_size) if options.codebook_update == "ema" else []
        )
        # (n, N), as met in the epoch before; for the separation term alone
        self.codes = self._encode_all() if options.separation_weight > 0 else None
        if held_out is not None:
            self.validation_x, self.validation_weights = held_out.sample(generator)

    def run(self):
        n_done, max_iter = len(self.progress.records), self.options.max_iter
        is_shown = self.options.verbose and self.ranks.rank == 0
        with tqdm(total=max_iter, initial=n_done, desc="epochs", disable=not is_shown) as bar:
            try:
                while not self._is_over():
                    self._advance(bar)
            except KeyboardInterrupt:
                if not self.progress.records or self.ranks.size > 1:  # the others may be an epoch ahead
                    raise
                self.checkpoint.keep()
                warn_of_interruption(len(self.progress.records), max_iter)
        self.model.load_state_dict(self.progress.kept_state)
        records = self.progress.records
        self._complain_of_divergence(len(records) - 1, self._final_loss())
        return {key: np.array([record[key] for record in records]) for key in records[0]}

    def export(self):
        """Return all that the epochs to come depend on."""
        return {
            "first_generator": self.first_generator,
            "generator": self.generator.get_state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule and self.schedule.state_dict(),
            "to_alignment": self.to_alignment,
            "averages": [(average.counts, average.sums) for average in self.averages],
            "codes": self.codes,
            "progress": self.progress._asdict(),
        }

    @torch.no_grad()
    def restore(self, saved):
        """Go back to a state that `export` has returned."""
        self.generator.set_state(saved["generator"])
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(saved["schedule"])
        if self.to_alignment is not None:
            self.to_alignment.copy_(saved["to_alignment"])
        for average, (counts, sums) in zip(self.averages, saved["averages"], strict=True):
            average.counts.copy_(counts)
            average.sums.copy_(sums)
        if self.codes is not None:
            self.codes.copy_(saved["codes"])
        self.progress = Progress(**saved["progress"])

    def _drifting(self):
        """Return the tensors in which ranks on unlike processors could come to differ."""
        averages = [tensor for average in self.averages for tensor in (average.counts, average.sums)]
        to_alignment = () if self.to_alignment is None else (self.to_alignment.data,)
        return [*self.model.state_dict().values(), *to_alignment, *averages]

    def _is_over(self):
        patience, n_done = self.options.n_iter_no_change, len(self.progress.records)
        return n_done == self.options.max_iter or (patience is not None and self.progress.n_worse >= patience)

    def _advance(self, bar):
        """Go on by one epoch."""
        record, counts = self.run_epoch()
        self.ranks.copy_from_first(self._drifting())
        self._complain_of_divergence(len(self.progress.records), record["loss"])
        if self.options.n_iter_no_change is not None:
            record["validation_r2"] = self.ranks.on_first(self._validation_r2)
            self._complain_of_divergence(len(self.progress.records), record["validation_r2"])
        self.progress = self.progress.after(record, self.model)
        if not self._is_over():
            self.revive_dead_codes(counts)
        self.checkpoint.save(self.export)
        bar.update()
        usage = np.mean(record["usage"])
        bar.set_postfix(loss=f"{record['loss']:.4f}", r2=f"{record['r2']:.3f}", usage=f"{usage:.0%}")

    def run_epoch(self):
        """One pass; returns the epoch's mean losses, and how often each code was used."""
        model, catalogue, options = self.model, self.catalogue, self.options
        device = catalogue.device
        totals = torch.zeros(4, dtype=torch.float32, device=device)
        counts = [torch.zeros(size, dtype=torch.float32, device=device) for size in model.quantizer.sizes]
        ones = torch.ones(options.batch_size, dtype=torch.float32, device=device)
        order, groups = self._order_items()
        model.train()
        for items in order.split(options.batch_size):
            weights = catalogue.weights[items]
            output, losses = self._train_step(items, weights, None if groups is None else groups[items])
            self._update_codebooks(output, weights)
            for count, codes in zip(counts, output.codes.T, strict=True):
                count.index_add_(0, codes, ones[: len(codes)])  # bincount would make the host wait for a GPU
            if self.codes is not None:
                self.codes[items] = output.codes
            totals += losses * len(items)
        model.eval()
        if self.codes is not None and options.mixup > 0:  # those met are not the items' own
            self.codes = self._encode_all()
        names = ("loss", "reconstruction_loss", "codebook_loss", "commitment_loss")
        record = dict(zip(names, (totals / len(catalogue)).tolist(), strict=True))
        record["r2"] = 1 - record["reconstruction_loss"] / self.variance if self.variance > 0 else 1.0
        record["usage"] = [float((count > 0).float().mean()) for count in counts]
        record["perplexity"] = [_perplexity(count) for count in counts]
        return record, counts

    def _train_step(self, items, weights, groups):
        options = self.options
        output, errors, z, aligned = self._pass_forward(items)
        reconstruction_loss = _weighted_mean(errors, weights)
        codebook_loss = _weighted_mean(output.codebook_loss, weights)
        commitment_loss = _weighted_mean(output.commitment_loss, weights)

        loss = reconstruction_loss + options.commitment_weight * commitment_loss
        if options.codebook_update == "gradient":
            loss = loss + codebook_loss
        if groups is not None:
            loss = loss + options.separation_weight * separation_loss(z, output.quantized, groups)
        if aligned is not None:
            loss = loss + options.alignment_weight * alignment_loss(aligned, self.alignment[items])
        self.optimizer.zero_grad(set_to_none=True)
        self.ranks.backward(loss, self.trainable)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return output, torch.stack([loss, reconstruction_loss, codebook_loss, commitment_loss]).detach()

    def _pass_forward(self, items):
        """Return what a batch comes to: `QuantizerOutput`, errors (B,), latents (B, D), aligned (B, A) or None."""
        shares = [self._pass_share(x) for x in self._draw_shares(items)]
        (codes,) = self.ranks.gather([[codes] for codes, _ in shares], len(items))
        gathered = self.ranks.gather([numbers for _, numbers in shares], len(items))
        errors, codebook_loss, commitment_loss, z, quantized, *rest = gathered
        aligned = None if self.to_alignment is None else rest.pop(0)
        output = QuantizerOutput(None, quantized, codes, codebook_loss, commitment_loss, tuple(rest))
        return output, errors, z, aligned

    def _pass_share(self, x):
        """Return the codes of rows `x` (b, n_features), and a list of all else that the losses need, in float32."""
        with half_products(x):
            z = self.model.encoder(x)
        z = z.float()  # codes, losses and averages are of float32
        output = self.model.quantizer(z)
        with half_products(x):
            decoded = self.model.decoder(output.decoder_input)
        errors = (decoded.float() - x).square().mean(1)
        aligned = [] if self.to_alignment is None else [output.quantized @ self.to_alignment]
        losses = (output.codebook_loss, output.commitment_loss)
        return output.codes, [errors, *losses, z, output.quantized, *aligned, *output.inputs]

    def _draw_shares(self, items):
        """Return the embeddings of this rank's shares of the batch, each moved towards another item's of the batch.

        Mixup; Zhang et al., 2018, arXiv:1710.09412.
        """
        xs = [self.catalogue.batch(rows) for rows in self.ranks.shares_of(items)]
        if self.options.mixup == 0:
            return xs
        others = _without_waiting(torch.randperm(len(items), generator=self.generator), items.device)
        amounts = torch.rand(len(items), 1, generator=self.generator, dtype=torch.float32)
        amounts = _without_waiting(self.options.mixup * amounts, items.device)
        of_shares = zip(xs, self.ranks.shares_of(others), self.ranks.shares_of(amounts), strict=True)
        return [
            # Rows that are here are not read again.
            x.lerp(x[other] if len(x) == len(items) else self.catalogue.batch(items[other]), amount)
            for x, other, amount in of_shares
        ]

    def _order_items(self):
        """Return a random order of all items, those that shared codes in the last epoch together, and who they are."""
        order = torch.randperm(len(self.catalogue), generator=self.generator).to(self.catalogue.device)
        if self.codes is None:
            return order, None
        groups = torch.unique(self.codes, dim=0, return_inverse=True)[1]
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device)
        first_places = torch.full_like(order, len(order)).scatter_reduce(0, groups, places, "amin")
        return first_places[groups].argsort(stable=True), groups

    def _update_codebooks(self, output, weights):
        # Not strict: there are no averages where the codebooks learn by gradient.
        for average, inputs, codes in zip(self.averages, output.inputs, output.codes.T, strict=False):
            average.update(inputs, codes, weights)
        if self.options.assignment == "sinkhorn":
            for codebook, inputs in zip(self.model.quantizer.codebooks, output.inputs, strict=True):
                update_prices(codebook, inputs, weights)

    @torch.no_grad()
    def _encode_all(self):
        items = torch.arange(len(self.catalogue), device=self.catalogue.device).split(ENCODE_ROWS)
        return torch.cat([self.model.quantizer(self.model.encoder(self.catalogue.batch(i))).codes for i in items])

    @torch.no_grad()
    def _regress_alignment(self):
        """Return the ridge regression (D, A) of the second embedding on the quantized latents, to start from."""
        items = self.alignment.isfinite().all(1).nonzero().squeeze(1)[:ENCODE_ROWS]
        quantized = self.model.quantizer(self.model.encoder(self.catalogue.batch(items))).quantized
        gram = quantized.T @ quantized
        gram += 1e-3 * (gram.diagonal().mean() + 1e-6) * torch.eye(len(gram)).to(gram)
        return torch.linalg.solve(gram, quantized.T @ self.alignment[items])

    @torch.no_grad()
    def revive_dead_codes(self, counts):
        """Move each code that no item used in the epoch onto an item of its own, drawn from the whole catalogue."""
        codebooks = self.model.quantizer.codebooks
        n_dead = [int((count == 0).sum()) for count, _ in zip(counts, codebooks, strict=False)]
        if not any(n_dead):
            return
        items = torch.randperm(len(self.catalogue), generator=self.generator)[: max(n_dead)].to(self.catalogue.device)
        inputs = self.model.quantizer(self.model.encoder(self.catalogue.batch(items))).inputs
        for n, codebook in enumerate(codebooks):
            dead = (counts[n] == 0).nonzero().squeeze(1)[: len(items)]
            codebook.code_vectors[dead] = inputs[n][: len(dead)]
            codebook.prices[dead] = 0.0
            if self.averages:
                self.averages[n].replace(dead, inputs[n][: len(dead)])

    @torch.no_grad()
    def _validation_r2(self):
        """R² of the held-out items from their codes, against the variance of those learned from."""
        errors = []
        for x in self.validation_x.split(ENCODE_ROWS):
            decoded = self.model.decoder(self.model.quantizer(self.model.encoder(x)).decoder_input)
            errors.append((decoded - x).square().mean(1))
        error = float(_weighted_mean(torch.cat(errors), self.validation_weights))
        return 1 - error / self.variance if self.variance > 0 else 1.0

    @torch.no_grad()
    def _final_loss(self):
        """Mean squared error of some items after the last step, whose own loss is that before it."""
        x = self.catalogue.batch(torch.arange(min(len(self.catalogue), self.options.batch_size)))
        decoded = self.model.decoder(self.model.quantizer(self.model.encoder(x)).decoder_input)
        return float((decoded - x).square().mean())

    def _complain_of_divergence(self, epoch, loss):
        if not np.isfinite(loss):
            self.checkpoint.finish()  # it leads here again
            raise ValueError(
                f"training diverged in epoch {epoch + 1}: the loss is {loss} with "
                f"learning_rate={self.options.learning_rate}. Pass a smaller learning_rate."
            )


def warn_of_collapse(history, sizes, n_items, remedy):
    """Warn of each codebook whose last epoch used under half of its codes, or as unevenly as a tenth of them.

    Unless there are so few items that codes may well go unused.
    """
    for n, (usage, perplexity, size) in enumerate(
        zip(history["usage"][-1], history["perplexity"][-1], sizes, strict=True)
    ):
        if n_items >= 8 * size and (usage < 0.5 or perplexity < size / 10):
            warn(
                f"codebook {n} has collapsed: the items use {usage:.0%} of its {size} codes (perplexity "
                f"{perplexity:.1f}). {remedy}",
                CollapseWarning,
            )


def _without_waiting(tensor, device):
    """Return a tensor of the CPU on `device`: from pinned memory, so that the host need not wait for a GPU."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _weighted_mean(values, weights):
    """Mean of `values` with `weights` that are 1 on average over the catalogue, hence unbiased in every batch."""
    return (values * weights).mean(0)


def _perplexity(counts):
    shares = counts[counts > 0] / counts.sum()
    return float((-(shares * shares.log()).sum()).exp())


def _copy_state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
