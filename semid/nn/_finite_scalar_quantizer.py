"""Finite scalar quantization: codes without codebooks to learn.

Letters: B rows, N codebooks, S scalars of all codes together, L levels of a scalar, K codes of a codebook.
"""

from math import prod

import torch
from torch import nn

from semid.nn._quantizers import CertainCodes, QuantizerOutput, straight_through

# Deviations of the latent per unit of tanh's argument: the one that kept most of real embeddings at 3 to 8 levels.
_SPREAD = 0.9


class FiniteScalarQuantizer(nn.Module):
    """Each scalar of the latent is bounded and rounded to a few levels; a code counts through the levels of a group.

    Mentzer et al., 2023, arXiv:2309.15505, section 3.1 (from memory): L levels at equal distances over the range of
    tanh. The paper rounds to integers, which for even L takes a shift by one half; levels symmetric about zero have
    that shift built in. What tanh calls 1 is fixed by `initialize` for each scalar, so that levels are in the units of
    the latent and a decoder made for the latent itself is the right one to start from.

    `levels` holds one sequence of ints per codebook; a codebook has as many codes as their product.

    Shape: (B, S) → codes (B, N)
    """

    def __init__(self, levels):
        super().__init__()
        self.widths = [len(group) for group in levels]
        self.sizes = [prod(group) for group in levels]
        self.codebooks = ()  # none that learn
        self.dim = sum(self.widths)
        flat = [level for group in levels for level in group]
        strides = [prod(group[i + 1 :]) for group in levels for i in range(len(group))]
        self.register_buffer("top", torch.tensor(flat, dtype=torch.float32) - 1, persistent=False)  # (S,), L - 1
        self.register_buffer("strides", torch.tensor(strides), persistent=False)  # (S,)
        self.register_buffer("bound", torch.ones(len(flat)))  # (S,), tanh sees z / bound
        self.register_buffer("reach", torch.ones(len(flat)))  # (S,), the highest level in the units of z

    def forward(self, z):
        bounded = torch.tanh(z / self.bound)
        levels = self._nearest_levels(bounded.detach())
        no_loss = z.new_zeros(len(z))
        decoder_input = straight_through(bounded * self.reach, self._values(levels))
        return QuantizerOutput(decoder_input, decoder_input, self._codes(levels), no_loss, no_loss, ())

    def encode(self, z, tolerance):
        """Codes of `z`, certain where no scalar is closer to a border between two levels than `tolerance` of the row.

        A scalar as close as that has reached the upper level.
        """
        z = z / self.bound
        # Borders are compared with z, not with tanh(z), whose rounding grows where it saturates.
        lower = (torch.tanh(z) + 1).mul(self.top / 2).floor().minimum(self.top - 1)
        border = torch.atanh((2 * lower + 1) / self.top - 1)
        slack = tolerance * z.abs().amax(1, keepdim=True).clamp(min=1)
        codes = self._codes(lower + (z >= border - slack))
        return CertainCodes(codes, ((z - border).abs() > slack).all(1))

    def decode(self, codes):
        sizes = self.top + 1
        given = codes.shape[1]
        digits = codes.repeat_interleave(self._repeats(codes.device)[:given], dim=1)  # (B, scalars of these codes)
        width = digits.shape[1]
        values = self._values(digits // self.strides[:width] % sizes[:width], width)
        # The first codes alone are a coarser reconstruction: the other scalars stay at their mean.
        return nn.functional.pad(values, (0, self.dim - width))

    @torch.no_grad()
    def initialize(self, z, weights, generator, max_iter, on_iteration=None):
        """Fit the range of each scalar to all of `z` (n, S); returns no `KMeansResult`, since nothing is clustered."""
        shares = (weights / weights.sum())[:, None]
        deviations = (shares * z.square()).sum(0).sqrt()  # z is centered
        varies = deviations > 1e-6 * deviations.max()
        self.bound.copy_(torch.where(varies, deviations / _SPREAD, 1.0))
        values = self._values(self._nearest_levels(torch.tanh(z / self.bound))) / self.reach
        # The least squares fit of z on the levels from -1 to 1.
        reach = (shares * values * z).sum(0) / (shares * values.square()).sum(0).clamp(min=1e-30)
        self.reach.copy_(torch.where(varies, reach, 1.0))
        return []

    def grids(self):
        """Return the points that the codes of each codebook stand for, N tensors (K, its number of scalars)."""
        codes = torch.arange(max(self.sizes), device=self.top.device)[:, None].expand(-1, len(self.sizes))
        groups = self.decode(codes).split(self.widths, dim=1)
        return [points[:size] for points, size in zip(groups, self.sizes, strict=True)]

    def _nearest_levels(self, bounded):
        """Levels from 0 to L - 1 of scalars in [-1, 1]; half-way counts as the upper one, as in `encode`."""
        return ((bounded + 1) * (self.top / 2) + 0.5).floor().minimum(self.top)

    def _values(self, levels, width=None):
        return (2 * levels / self.top[:width] - 1) * self.reach[:width]

    def _codes(self, levels):
        """The levels of a group (B, S) as digits of one number (B, N), those of its first scalar the leading ones."""
        groups = (levels.long() * self.strides).split(self.widths, dim=1)
        return torch.stack([group.sum(1) for group in groups], 1)

    def _repeats(self, device):
        return torch.tensor(self.widths, device=device)
