"""Fusions: how the embeddings of one item's codes are mixed before a click model uses them.

Letters: B impressions, N codes, d width of an embedding. Every fusion maps (B, N, d) to (B, N, d) and starts as the
identity, so that comparing fusions compares what they learn and not where they start.
"""

import torch
from torch import nn


class ConcatFusion(nn.Module):
    """e: each code stays a field of its own.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__()

    def forward(self, e):
        return e


class PoolingFusion(nn.Module):
    """e + α ⊙ (pooled - e): from codes apart to one embedding for all; α, per code and dimension, starts at 0.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__()
        self.share = nn.Parameter(torch.zeros(n_codes, dim))

    def forward(self, e):
        return torch.lerp(e, self.pool(e), self.share)


class SumFusion(PoolingFusion):
    """Pooling by the sum of the codes' embeddings (as semantic IDs are summed in arXiv:2306.08121).

    Shape: (B, N, d) → (B, N, d)
    """

    def pool(self, e):
        return e.sum(1, keepdim=True)


class MeanFusion(PoolingFusion):
    """Pooling by the mean of the codes' embeddings.

    Shape: (B, N, d) → (B, N, d)
    """

    def pool(self, e):
        return e.mean(1, keepdim=True)


class BottleneckFusion(nn.Module):
    """What fusions that see all codes at once share: W_up φ(W_down e); the up-projection starts at zero."""

    def __init__(self, n_codes, dim, rank, activation):
        super().__init__()
        self.down = nn.Linear(n_codes * dim, rank)
        self.activation = activation
        self.up = _zero_linear(rank, n_codes * dim)

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


class MLPFusion(BottleneckFusion):
    """e + W_2 ReLU(W_1 e), with a hidden layer as wide as all codes together instead of a bottleneck.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__(n_codes, dim, n_codes * dim, nn.ReLU())

    def forward(self, e):
        return e + self.mix(e)


class SqueezeExcitationFusion(nn.Module):
    """e_n ⊙ 2σ(W_up ReLU(W_down z))_n, where z_n is the mean of e_n: a code is scaled as a whole.

    After the SENET layer of FiBiNET (Huang et al., 2019, arXiv:1905.09433, equations 2 and 3, from memory), with a
    sigmoid that starts at 1 in the place of a second ReLU.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__()
        self.down = nn.Linear(n_codes, rank)
        self.up = _zero_linear(rank, n_codes)

    def forward(self, e):
        scale = self.up(torch.relu(self.down(e.mean(2))))  # (B, N)
        return e * 2 * torch.sigmoid(scale)[:, :, None]


class AttentionFusion(nn.Module):
    """e + W_up softmax(QKᵀ / √rank) V: each code asks the other codes of its item.

    Shape: (B, N, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, rank, bias=False) for _ in range(3))
        self.up = _zero_linear(rank, dim)

    def forward(self, e):
        scores = self.query(e) @ self.key(e).mT / self.query.out_features**0.5  # (B, N, N)
        return e + self.up(scores.softmax(2) @ self.value(e))


class QueriedAttentionFusion(nn.Module):
    """e_n ⊙ N softmax_n(<W_q u, W_k e_n> / √rank): another field, the user, says how much each code counts.

    Shape: e (B, N, d), query u (B, d) → (B, N, d)
    """

    def __init__(self, n_codes, dim, rank):
        super().__init__()
        self.query = _zero_linear(dim, rank)
        self.key = nn.Linear(dim, rank, bias=False)

    def forward(self, e, query):
        scores = (self.key(e) @ self.query(query)[:, :, None]).squeeze(2) / self.key.out_features**0.5  # (B, N)
        return e * e.shape[1] * scores.softmax(1)[:, :, None]


FUSIONS = {
    "concat": ConcatFusion,
    "sum": SumFusion,
    "mean": MeanFusion,
    "gate": GateFusion,
    "residual": ResidualFusion,
    "se": SqueezeExcitationFusion,
    "mlp": MLPFusion,
    "attention": AttentionFusion,
}


class FieldFusion(nn.Module):
    """A fusion of each group of fields; the others pass unchanged.

    `groups` are slices of the field axis; `fusion` is a key of `FUSIONS` or a class that is constructed and called like
    those. With a `query`, the position of a field, as in models of 0.1.0 alone, it is `QueriedAttentionFusion`.

    Shape: (B, F, d) → (B, F, d)
    """

    def __init__(self, fusion, groups, dim, rank, query=None):
        super().__init__()
        self.groups, self.query = groups, query
        fusion = QueriedAttentionFusion if query is not None else FUSIONS.get(fusion, fusion)
        self.fusions = nn.ModuleList(fusion(group.stop - group.start, dim, rank) for group in groups)

    def forward(self, e):
        query = () if self.query is None else (e[:, self.query],)
        parts, done = [], 0
        for group, fusion in zip(self.groups, self.fusions, strict=True):
            parts += [e[:, done : group.start], fusion(e[:, group], *query)]
            done = group.stop
        return torch.cat([*parts, e[:, done:]], dim=1) if parts else e

    def of_items(self, e, fields):
        """Return embeddings of items, (I, K, d), fused as those of the candidate in `fields` are.

        A group of which an item has not all fields, and one whose fusion a field of the impression asks for, is not.
        """
        fields = list(fields)
        for group, fusion in zip(self.groups, self.fusions, strict=True):
            of_group = list(range(group.start, group.stop))
            if self.query is None and set(of_group) <= set(fields):
                first = fields.index(group.start)
                fused = fusion(e[:, first : first + len(of_group)])
                e = torch.cat([e[:, :first], fused, e[:, first + len(of_group) :]], dim=1)
        return e


def _zero_linear(width_in, width_out):
    linear = nn.Linear(width_in, width_out)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
