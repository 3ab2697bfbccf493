"""Which item comes next, by its codes: items embedded by their codes, a causal transformer, and two heads.

Letters: I items, N codebooks, K codes in a codebook, R codes in all, T targets, d width, B histories, L their length.
"""

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._causal_transformer import CausalTransformer
from semid.nn._fusions import FUSIONS

_FUSION_RANK = 32


class ItemEmbedding(nn.Module):
    """The sum of an item's fused code embeddings over √N, plus one of its own where there is one.

    Shape: items (T,) int64 → (T, d)
    """

    def __init__(self, codes, codebook_sizes, dim, fusion, has_own):
        super().__init__()
        self.sizes = [int(size) for size in codebook_sizes]
        first_rows = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        self.register_buffer("first_rows", first_rows, persistent=False)  # (N,) of the table
        # A codebook after the other, 4 bytes a code: all that is kept of the catalogue.
        self.register_buffer("rows", (codes + first_rows).T.to(torch.int32).contiguous(), persistent=False)  # (N, I)
        self.table = nn.Parameter(torch.randn(sum(self.sizes), dim) * 0.02)
        self.fusion = FUSIONS.get(fusion, fusion)(len(self.sizes), dim, _FUSION_RANK)
        self.own = nn.Parameter(torch.zeros(len(codes), dim)) if has_own else None

    def codes(self, items):
        """Return the codes of items, (T, N)."""
        return self.rows[:, items].T - self.first_rows

    def forward(self, items):
        e = self.fusion(F.embedding(self.rows[:, items].T, self.table)).sum(1) / len(self.sizes) ** 0.5
        return e if self.own is None else e + F.embedding(items, self.own)


class ParallelHead(nn.Module):
    """log p(codes) = Σ_n log softmax(W_n g_n(h) + b_n)[c_n]: each codebook its own softmax, all from one state h.

    After RPG (Hou et al., 2025, "Generating long semantic IDs in parallel for recommendation", arXiv:2506.05781, as its
    authors' code has it): unordered codes, predicted together, g_n(h) = h + SiLU(V_n h), which starts as the identity,
    and W the very embeddings that items of histories are made of, so that what a code is learned to mean there counts
    when it is recommended. Without the cosine and temperature of theirs.

    Shape: h (T, d), codes (T, N) → (T,)
    """

    def __init__(self, codebook_sizes, dim):
        super().__init__()
        self.sizes = list(codebook_sizes)
        self.bias = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.mix = nn.Parameter(torch.zeros(len(self.sizes), dim, dim))

    def log_probabilities(self, h, table):
        """Yield those of each codebook's codes, (T, K)."""
        for weights, bias, mix in zip(table.split(self.sizes), self.bias.split(self.sizes), self.mix, strict=True):
            yield F.linear(h + F.silu(h @ mix), weights, bias).log_softmax(1)

    def forward(self, h, table, codes):
        each = self.log_probabilities(h, table)
        return sum(log_p.gather(1, of_codebook[:, None]).squeeze(1) for log_p, of_codebook in zip(each, codes.T, strict=True))


class ResidualHead(nn.Module):
    """log p(codes) = Σ_n log softmax(W_n s_n + b_n)[c_n], code after code: s_n = Norm(h + FFN_n([h, Σ_{m<n} E_m[c_m]])).

    The codes of an item in a row, as TIGER generates them (Rajput et al., 2023, arXiv:2305.05065), with a small network per
    level in the place of a decoder: the state h of the history, and the sum of the embeddings of the codes so far.

    Shape: h (T, d), codes (T, N) → (T,)
    """

    def __init__(self, codebook_sizes, dim):
        super().__init__()
        self.sizes = list(codebook_sizes)
        self.bias = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.chosen = nn.Parameter(torch.randn(sum(self.sizes[:-1]), dim) * 0.02)  # E
        self.up = nn.ModuleList(nn.Linear(2 * dim, 2 * dim) for _ in self.sizes)
        self.down = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in self.sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in self.sizes)

    def level(self, n, h, before, table):
        """Return the log-probabilities of the codes of codebook n, (T, K); `before` (T, d) sums those chosen so far."""
        hidden = self.down[n](F.gelu(self.up[n](torch.cat([h, before], dim=-1))))
        return F.linear(self.norms[n](h + hidden), table.split(self.sizes)[n], self.bias.split(self.sizes)[n]).log_softmax(-1)

    def choose(self, n, before, codes):
        """Return the sum of embeddings with those of `codes` of codebook n added to it."""
        if n == len(self.sizes) - 1:  # nothing comes after it
            return before
        return before + F.embedding(codes, self.chosen.split(self.sizes[:-1])[n])

    def forward(self, h, table, codes):
        before, total = torch.zeros_like(h), 0.0
        for n, of_codebook in enumerate(codes.T):
            total = total + self.level(n, h, before, table).gather(1, of_codebook[:, None]).squeeze(1)
            before = self.choose(n, before, of_codebook)
        return total


HEADS = {"parallel": ParallelHead, "residual": ResidualHead}


class NextItemModule(nn.Module):
    """p(next item | history) by its codes; `loss` over all positions at once, none of which sees a later one.

    Shape: items (B, L) int64 → states (B, L, d)
    """

    def __init__(self, codes, codebook_sizes, *, head, dim, n_layers, n_heads, fusion, has_own, max_length, dropout):
        super().__init__()
        self.items = ItemEmbedding(codes, codebook_sizes, dim, fusion, has_own)
        self.transformer = CausalTransformer(dim, n_layers, n_heads, dropout, max_length)
        self.head = HEADS[head](self.items.sizes, dim)

    def forward(self, items):
        distinct, places = torch.unique(items, return_inverse=True)
        return self.transformer(F.embedding(places, self.items(distinct)))

    def loss(self, items, is_there):
        """Return the mean over all targets, and over codebooks, of -log p(codes of an item | the items before it)."""
        is_target = is_there[:, 1:]
        h = self(items[:, :-1])[is_target]  # (T, d)
        return -self.head(h, self.items.table, self.items.codes(items[:, 1:][is_target])).mean() / len(self.items.sizes)
