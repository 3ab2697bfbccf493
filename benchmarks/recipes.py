"""Autoencoders with a quantizer as public projects train them, in one plain loop.

A quantizer here is a torch module with ``forward(z) → (code vectors as the decoder sees them, loss)``,
``codes_of(z)`` and ``vectors_of(codes)``.

Letters: B rows, D width of the latent, N codebooks, K codes in a codebook.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import nn
from torch.nn import functional as F

_ENCODE_ROWS = 8_192


class Standardization:
    """Mean off and one scale for all features, as our tokenizers do it.

    Kinder to a recipe than embeddings of unit length, whose features are small numbers.
    """

    def __init__(self, X):
        self.mean, self.scale = X.mean(0), np.sqrt(X.var(0).mean())

    def apply(self, X):
        return torch.from_numpy((X - self.mean) / self.scale)

    def undo(self, x):
        return x.numpy() * self.scale + self.mean


class QuantizedMLP:
    """An autoencoder of two ReLU MLPs around a quantizer, trained with AdamW at a constant learning rate."""

    def __init__(self, quantizer, sizes, *, batch_size=1024, learning_rate=1e-3, weight_decay=1e-2):
        self.quantizer = quantizer
        self.encoder, self.decoder = mlp(sizes), mlp(sizes[::-1])
        self.batch_size, self.learning_rate, self.weight_decay = batch_size, learning_rate, weight_decay

    def epochs(self, X):
        """Train on `X` without end; yields after each epoch, so that the caller decides when to look and to stop."""
        self.standardization = Standardization(X)
        x = self.standardization.apply(X)
        model = nn.ModuleList([self.encoder, self.quantizer, self.decoder])
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        while True:
            model.train()
            for rows in torch.randperm(len(x)).split(self.batch_size):
                self._train_step(x[rows], optimizer)
            yield model.eval()

    def _train_step(self, x, optimizer):
        decoder_input, quantizer_loss = self.quantizer(self.encoder(x))
        loss = F.mse_loss(self.decoder(decoder_input), x) + quantizer_loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.inference_mode()
    def encode(self, X):
        blocks = self.standardization.apply(X).split(_ENCODE_ROWS)
        return torch.cat([self.quantizer.codes_of(self.encoder(x)) for x in blocks]).numpy()

    @torch.inference_mode()
    def decode(self, codes):
        blocks = torch.from_numpy(codes).split(_ENCODE_ROWS)
        decoded = torch.cat([self.decoder(self.quantizer.vectors_of(block)) for block in blocks])
        return self.standardization.undo(decoded)


def mlp(sizes):
    """Return linear layers of `sizes` with ReLU between them, started by Glorot's rule and zero biases."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        linear = nn.Linear(n_in, n_out)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class GradientResidualQuantizer(nn.Module):
    """The quantizer of the LC-Rec recipe: codebooks that learn by gradient, Sinkhorn on the last level in training.

    The codebooks start as k-means of the first batch. The loss is the mean over the levels of codebook loss plus
    `commitment_weight` times commitment loss.

    Shape: (B, D) → (B, D), ()
    """

    def __init__(self, n_codebooks, codebook_size, dim, commitment_weight=0.25, epsilon=0.003):
        super().__init__()
        self.codebooks = nn.ParameterList(torch.zeros(codebook_size, dim) for _ in range(n_codebooks))
        self.commitment_weight, self.epsilon = commitment_weight, epsilon
        self.register_buffer("is_started", torch.tensor(False))

    def forward(self, z):
        if not self.is_started:
            self._start(z)
        residual, total, losses = z, 0.0, []
        for codebook in self.codebooks:
            distances = _squared_distances(residual, codebook)
            is_balanced = codebook is self.codebooks[-1]
            codes = balanced_codes(distances, self.epsilon) if is_balanced else distances.argmin(1)
            code_vectors = codebook[codes]
            codebook_loss = F.mse_loss(code_vectors, residual.detach())
            commitment_loss = F.mse_loss(residual, code_vectors.detach())
            losses.append(codebook_loss + self.commitment_weight * commitment_loss)
            total = total + code_vectors.detach()
            residual = residual - code_vectors.detach()
        return z + (total - z).detach(), sum(losses) / len(losses)

    def codes_of(self, z):
        codes = []
        for codebook in self.codebooks:
            codes.append(_squared_distances(z, codebook).argmin(1))
            z = z - codebook[codes[-1]]
        return torch.stack(codes, 1)

    def vectors_of(self, codes):
        return sum(codebook[code] for codebook, code in zip(self.codebooks, codes.T, strict=True))

    @torch.no_grad()
    def _start(self, z):
        for codebook in self.codebooks:
            seed = int(torch.randint(2**31, ()))
            clusters = KMeans(min(len(codebook), len(z)), n_init=1, max_iter=100, random_state=seed).fit(z.numpy())
            centers = torch.from_numpy(clusters.cluster_centers_)
            codebook[: len(centers)] = centers
            z = z - centers[clusters.labels_]
        self.is_started.fill_(True)


@torch.no_grad()
def balanced_codes(distances, epsilon, n_iter=50):
    """Return codes (B,) that spread a batch evenly over all K codes, by Sinkhorn's iteration in float64.

    Distances are first brought to [-1, 1], so that `epsilon` means the same whatever their scale and no exponential
    leaves the range of float64.
    """
    distances = distances.double()
    middle = (distances.max() + distances.min()) / 2
    half_range = (distances.max() - middle).clamp(min=1e-12)
    kernel = (-(distances - middle) / half_range / epsilon).exp()  # (B, K)
    n_rows, n_codes = kernel.shape
    of_rows = torch.ones(n_rows, dtype=torch.float64)
    for _ in range(n_iter):
        of_codes = 1 / n_codes / (of_rows @ kernel)
        of_rows = 1 / n_rows / (kernel @ of_codes)
    return (kernel * of_codes).argmax(1)


def _squared_distances(x, code_vectors):
    return x.square().sum(1, keepdim=True) - 2 * x @ code_vectors.T + code_vectors.square().sum(1)


class VectorQuantizePytorch(nn.Module):
    """A residual quantizer of vector-quantize-pytorch, ``ResidualVQ``, ``ResidualFSQ`` or ``FSQ``, in our interface.

    Shape: (B, D) → (B, D), ()
    """

    def __init__(self, quantizer):
        super().__init__()
        self.quantizer = quantizer

    def forward(self, z):
        # Sequences of length one: some of its quantizers take no other rank. Those of fixed codebooks have no loss.
        code_vectors, _, *losses = self.quantizer(z[:, None])
        return code_vectors[:, 0], sum(loss.sum() for loss in losses)

    def codes_of(self, z):
        return self.quantizer(z[:, None])[1][:, 0].long()

    def vectors_of(self, codes):
        from_codes = getattr(self.quantizer, "get_output_from_indices", None) or self.quantizer.indices_to_codes
        return from_codes(codes[:, None])[:, 0]


def residual_vq(n_codebooks, codebook_size, dim):
    """Return vector-quantize-pytorch's ``ResidualVQ``: k-means of the first batch, then moving averages."""
    from vector_quantize_pytorch import ResidualVQ

    return VectorQuantizePytorch(
        ResidualVQ(dim=dim, num_quantizers=n_codebooks, codebook_size=codebook_size, kmeans_init=True)
    )


def residual_fsq(n_codebooks, codebook_size, dim):
    """Return vector-quantize-pytorch's ``ResidualFSQ``, four levels per dimension."""
    from vector_quantize_pytorch import ResidualFSQ

    return VectorQuantizePytorch(
        ResidualFSQ(dim=dim, num_quantizers=n_codebooks, levels=_four_levels_each(codebook_size))
    )


def parallel_fsq(n_codebooks, codebook_size, dim):
    """Return vector-quantize-pytorch's ``FSQ`` with codebooks side by side, four levels per dimension."""
    from vector_quantize_pytorch import FSQ

    return VectorQuantizePytorch(
        FSQ(dim=dim, num_codebooks=n_codebooks, keep_num_codebooks_dim=True, levels=_four_levels_each(codebook_size))
    )


def _four_levels_each(codebook_size):
    n_dimensions = round(math.log(codebook_size, 4))
    if 4**n_dimensions != codebook_size:
        raise ValueError(f"codebook_size must be a power of 4 for FSQ here, got {codebook_size}.")
    return [4] * n_dimensions
