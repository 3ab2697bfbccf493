"""Fusions: how the embeddings of one item's codes are mixed before a click model uses them.

Letters: B impressions, N codes, d width of an embedding. Every fusion maps (B, N, d) to (B, N, d) and starts as the
identity, so that comparing fusions compares what they learn and not where they start.
"""

import torch
from torch import nn


class BottleneckFusion(nn.Module):
    """What the two fusions of Mixture-of-Codes share: W_up φ(W_down e) of all codes' embeddings at once.

    The up-projection starts at zero.
    """

    def __init__(self, n_codes, dim, rank, activation):
        super().__init__()
        self.down = nn.Linear(n_codes * dim, rank)
        self.activation = activation
        self.up = nn.Linear(rank, n_codes * dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def mix(self, e):
        return self.up(self.activation(self.down(e.flatten(1)))).view_as(e)


class GateFusion(BottleneckFusion):
    """e ⊙ 2σ(W_up ReLU(W_down e)): the codes of an item scale one another.

    The self-gating reading of Mixture-of-Codes (arXiv:2410.09560v1, Figure 6; equation 8 leaves the activation out).
    The factor 2 makes the gate 1 at the start.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__(n_codes, dim, rank, nn.ReLU())

    def forward(self, e):
        return e * 2 * torch.sigmoid(self.mix(e))


class ResidualFusion(BottleneckFusion):
    """e + W_up GELU(W_down e): the codes of an item add to one another.

    The reading of Mixture-of-Codes in its authors' experiment scripts (bottleneck of 32).

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__(n_codes, dim, rank, nn.GELU())

    def forward(self, e):
        return e + self.mix(e)


class ConcatFusion(nn.Module):
    """e: each code stays a field of its own.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__()

    def forward(self, e):
        return e


FUSIONS = {"concat": ConcatFusion, "gate": GateFusion, "residual": ResidualFusion}


class FieldFusion(nn.Module):
    """A fusion of each group of code fields among all fields; the others pass unchanged.

    `groups` are slices of the field axis.

    Shape: (B, F, d) → (B, F, d)
    """

    def __init__(self, fusion, groups, dim, rank):
        super().__init__()
        self.groups = groups
        self.fusions = nn.ModuleList(FUSIONS[fusion](group.stop - group.start, dim, rank) for group in groups)

    def forward(self, e):
        parts, done = [], 0
        for group, fusion in zip(self.groups, self.fusions, strict=True):
            parts += [e[:, done : group.start], fusion(e[:, group])]
            done = group.stop
        return torch.cat([*parts, e[:, done:]], dim=1)
