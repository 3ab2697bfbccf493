"""Time of one training epoch of our RQ-VAE, against the same autoencoder without and with another quantizer.

    python benchmarks/epoch_time.py embeddings.npy --output docs/benchmarks.md

The loop, the autoencoder and the data are the same; only the quantizer differs. Contenders take turns.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from machine import describe_machine
from recipes import residual_vq
from records import markdown_table, publish
from torch import nn

from semid.engine._autoencoder_training import Training, TrainingOptions
from semid.engine._catalogue import Catalogue
from semid.nn._autoencoder import LinearPlusMLP, QuantizedAutoencoder
from semid.nn._quantizers import QuantizerOutput, ResidualQuantizer

N_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM, HIDDEN_LAYER_SIZES = 3, 256, 32, (512, 256, 128)
BATCH_SIZE = 1_024


class NoQuantizer(nn.Module):
    """The latent as it is."""

    codebooks, sizes, dim = (), (), LATENT_DIM

    def forward(self, z):
        return self._output(z, z.new_zeros(()))

    def _output(self, decoder_input, loss):
        """As our quantizers answer, without codes for the loop to count: (B, D), (B, 0), and losses (B,)."""
        n_rows = len(decoder_input)
        no_codes = torch.empty(n_rows, 0, dtype=torch.int64)
        return QuantizerOutput(
            decoder_input, decoder_input, no_codes, decoder_input.new_zeros(n_rows), loss.expand(n_rows), ()
        )


class TheirQuantizer(NoQuantizer):
    """vector-quantize-pytorch's ``ResidualVQ``, which updates its codebooks by itself."""

    def __init__(self):
        super().__init__()
        self.quantizer = residual_vq(N_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM)

    def forward(self, z):
        return self._output(*self.quantizer(z))


class OneEpoch:
    """One epoch of the package's training loop, again and again: the only place that knows its pieces."""

    def __init__(self, x, quantizer):
        n_items, device = len(x), torch.device("cpu")
        ones, no_mean = np.ones(n_items, dtype=np.float32), np.zeros(x.shape[1])
        self.catalogue = Catalogue(x.numpy(), np.arange(n_items), ones, no_mean, 1.0, device)
        sizes = (x.shape[1], *HIDDEN_LAYER_SIZES, LATENT_DIM)
        self.model = QuantizedAutoencoder(x.shape[1], quantizer, LinearPlusMLP(sizes), LinearPlusMLP(sizes[::-1]))
        self.generator = torch.Generator().manual_seed(0)
        if isinstance(quantizer, ResidualQuantizer):
            quantizer.initialize(self.model.encoder(x).detach(), torch.ones(n_items), self.generator, 5)

        options = TrainingOptions(
            max_iter=1,
            batch_size=BATCH_SIZE,
            learning_rate=1e-3,
            schedule="constant",
            codebook_update="ema" if isinstance(quantizer, ResidualQuantizer) else "gradient",
        )
        self.training = Training(self.model, self.catalogue, options, self.generator)

    def seconds(self):
        """Train for one epoch; return how long it took."""
        start = time.perf_counter()
        self.training.run_epoch()
        return time.perf_counter() - start


def measure(x, repeats):
    """Return the median seconds per epoch of each contender, the one without a quantizer first."""
    epochs = {
        "the autoencoder without a quantizer": OneEpoch(x, NoQuantizer()),
        "**semid**": OneEpoch(x, ResidualQuantizer([CODEBOOK_SIZE] * N_CODEBOOKS, LATENT_DIM)),
        "vector-quantize-pytorch": OneEpoch(x, TheirQuantizer()),
    }
    for epoch in epochs.values():
        epoch.seconds()  # warm-up
    rounds = [{name: epoch.seconds() for name, epoch in epochs.items()} for _ in range(repeats)]
    return {name: statistics.median(times[name] for times in rounds) for name in epochs}


def report(seconds, x, threads):
    plain, *_ = seconds.values()
    rows = [
        {
            "quantizer": name,
            "epoch, s": f"{median:.3f}",
            "items/s": f"{len(x) / median:,.0f}",
            "of the plain epoch": f"{median / plain:.2f}",
        }
        for name, median in seconds.items()
    ]
    shape = "-".join(map(str, (x.shape[1], *HIDDEN_LAYER_SIZES, LATENT_DIM)))
    legend = f"{len(x):,} items, {shape}, {N_CODEBOOKS} codebooks of {CODEBOOK_SIZE}, batches of {BATCH_SIZE:,}."
    return "\n\n".join([describe_machine(threads), legend, markdown_table(rows)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", help="npy file (n_items, n_features)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", help="markdown page with the markers 'epoch_time'; without it, print only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    X = np.load(arguments.embeddings).astype(np.float32)
    X -= X.mean(0)
    x = torch.from_numpy(X / np.sqrt(X.var(0).mean()))
    publish(report(measure(x, arguments.repeats), x, arguments.threads), "epoch_time", arguments.output)


if __name__ == "__main__":
    main()
