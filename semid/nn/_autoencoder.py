"""Autoencoders with a quantizer in the middle.

Letters: B rows, D width of the latent.
"""

import torch
from torch import nn

from semid.nn._mlp import MLP


class LinearPlusMLP(nn.Module):
    """A linear map beside an MLP, summed. The MLP's last layer starts at zero, so the linear map is where it starts.

    Without hidden layers only the linear map is left.

    Shape: (B, sizes[0]) → (B, sizes[-1])
    """

    def __init__(self, sizes):
        super().__init__()
        self.linear = nn.Linear(sizes[0], sizes[-1])
        self.mlp = None
        if len(sizes) > 2:
            last = nn.Linear(sizes[-2], sizes[-1], bias=False)
            nn.init.zeros_(last.weight)
            self.mlp = nn.Sequential(MLP(sizes[:-1]), last)

    def forward(self, x):
        return self.linear(x) if self.mlp is None else self.linear(x) + self.mlp(x)


class QuantizedAutoencoder(nn.Module):
    """Standardisation → encoder → quantizer → decoder, and back to the units of the input.

    Standardisation takes off the mean of each feature and divides by ONE scale, the root mean square of what is left:
    distances, and with them the reconstruction R², keep their proportions.

    With `output_codebooks`, of version 0.1.0, each code also adds a vector of its own to what the decoder puts out.

    Shape: (B, n_features) → codes (B, n_codebooks) → (B, n_features)
    """

    def __init__(self, n_features, quantizer, encoder=None, decoder=None, output_codebooks=False):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(()))
        self.encoder = nn.Identity() if encoder is None else encoder
        self.quantizer = quantizer
        self.decoder = nn.Identity() if decoder is None else decoder
        self.output_codebooks = nn.ParameterList(
            nn.Parameter(torch.zeros(size, n_features), requires_grad=False)
            for size in (quantizer.sizes if output_codebooks else ())
        )

    def standardize(self, x):
        return (x - self.mean).div_(self.scale)

    def encode(self, x, tolerance):
        """Codes of `x` and whether they are beyond doubt, see `Codebook.nearest`."""
        return self.quantizer.encode(self.encoder(self.standardize(x)), tolerance)

    def decode(self, codes):
        decoded = self.decoder(self.quantizer.decode(codes))
        # Not strict: the first codes alone are a coarser reconstruction.
        for table, code in zip(self.output_codebooks, codes.T, strict=False):
            decoded = decoded + table[code]
        return decoded * self.scale + self.mean


class MeanOfDecoders(nn.Module):
    """A decoder per codebook, averaged.

    Shape: (B, n, D) → (B, n_features), for the first n of the decoders
    """

    def __init__(self, decoders):
        super().__init__()
        self.decoders = nn.ModuleList(decoders)

    def forward(self, x):
        # Not strict: fewer inputs than decoders are the first codebooks alone.
        parts = [decoder(part) for decoder, part in zip(self.decoders, x.unbind(1), strict=False)]
        return sum(parts) / len(parts)


@torch.no_grad()
def start_as_pca(encoder, decoder_maps, x, weights, generator, n_iter=8):
    """Set the linear maps to the leading principal components of `x`, scaled half-way to unit variance.

    A closed form to start from: the autoencoder reconstructs as well as PCA before the first step, and its first
    codebooks are clusterings of the data instead of noise. Components past the rank of `x` stay zero. Block power
    iteration with a random start (Halko et al., 2011, arXiv:0909.4061, algorithm 4.4, from memory); `x` is centered.
    """
    latent_dim, n_features = encoder.linear.weight.shape
    n_components = min(latent_dim, n_features)
    n_vectors = min(n_components + 8, n_features)
    basis = torch.randn(n_features, n_vectors, generator=generator, dtype=x.dtype).to(x.device)
    shares = (weights / weights.sum())[:, None]
    for _ in range(n_iter):
        basis = torch.linalg.qr(x.T @ (shares * (x @ basis))).Q
    projected = x @ basis
    variances, rotation = torch.linalg.eigh(projected.T @ (shares * projected))
    order = variances.argsort(descending=True)[:n_components]
    components = (basis @ rotation[:, order]).T  # (n_components, n_features)
    deviations = variances[order].clamp_(min=0).sqrt()
    # A square root of the deviation: components of small variance, which tell near-duplicates apart, gain weight in the
    # distance without drowning the large ones.
    stretch = torch.where(deviations > 1e-6 * deviations.max(), deviations.clamp(min=1e-30).rsqrt(), 0.0)
    for layer in (encoder.linear, *decoder_maps):
        layer.weight.zero_()
        layer.bias.zero_()
    encoder.linear.weight[:n_components] = components * stretch[:, None]
    for layer in decoder_maps:
        layer.weight[:, :n_components] = torch.where(stretch > 0, 1 / stretch, 0.0) * components.T
