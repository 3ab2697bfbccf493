"""Which item comes next, by its codes: items embedded by their codes, a causal transformer, and two heads.

Letters: I items, N codebooks, K codes in a codebook, R codes in all, T targets, d width, B histories, L their length, M
nodes of a level of the tree of codes: beginnings that some item has.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._catalogue_softmax import catalogue_cross_entropy
from semid.nn._causal_transformer import CausalTransformer
from semid.nn._code_sums import sums_of_codes
from semid.nn._fusions import FUSIONS
from semid.nn._mlp import RowDropout

_FUSION_RANK = 32
_INIT_STD = 0.02


class CodeTree(NamedTuple):
    """The beginnings of codes that the catalogue has; a node of a level is parent · codebook size + code."""

    keys: list[torch.Tensor]  # (M,) int64 of each level, rising
    nodes: torch.Tensor  # (N, I) int64, the number of each item's node of each level
    items: torch.Tensor  # (I,) int64, those of each node of the last level, node after node
    firsts: torch.Tensor  # (M + 1,) int64, where in `items` those of a node begin


class ItemEmbedding(nn.Module):
    """The sum of an item's fused code embeddings over √N, plus one of its own where there is one.

    In training, some of the own embeddings are left out at random, of candidates and of items in histories: what an
    item is without it has to be learned on the scale of those that have one, or no item without clicks could compete
    (the idea of DropoutNet, Volkovs et al., 2017, from memory).

    Shape: items (T,) int64 → (T, d)
    """

    def __init__(self, codes, codebook_sizes, dim, fusion, has_own, dropout):
        super().__init__()
        self.sizes = [int(size) for size in codebook_sizes]
        first_rows = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        self.register_buffer("first_rows", first_rows, persistent=False)  # (N,) of the table
        # One codebook after the other, 4 bytes a code: all that is kept of the catalogue.
        self.register_buffer("rows", (codes + first_rows).T.to(torch.int32).contiguous(), persistent=False)  # (N, I)
        self.table = nn.Parameter(torch.randn(sum(self.sizes), dim) * _INIT_STD)
        self.fusion = FUSIONS.get(fusion, fusion)(len(self.sizes), dim, _FUSION_RANK)
        self.own = nn.Parameter(torch.zeros(len(codes), dim)) if has_own else None
        self.own_dropout = RowDropout(dropout)

    def codes(self, items):
        """Return the codes of items, (T, N)."""
        return self.rows[:, items].T - self.first_rows

    def forward(self, items):
        e = self.fusion(F.embedding(self.rows[:, items].T, self.table)).sum(1) / len(self.sizes) ** 0.5
        return e if self.own is None else e + self.own_of(items)

    def own_of(self, items):
        """Return the embeddings that items (T,) have of their own, (T, d)."""
        return self.own_dropout(F.embedding(items, self.own))


class ParallelHead(nn.Module):
    """log p(item) = s_i - log Σ_j exp(s_j), s_i = Σ_n (<W_n[c_in], h> + b_n[c_in]) / √N + share_i.

    Items that have an embedding of their own add <own_i, h>, of d products, which for those without a click is 0.

    All codes from one state h, as in RPG (Hou et al., 2025, "Generating long semantic IDs in parallel for
    recommendation", arXiv:2506.05781, read in its authors' code); W are the very embeddings that items of histories are
    made of. A softmax of each codebook is that of RPG and gives items the same order: it subtracts what is equal for
    all of them. But trained by it, codes that say the same count as often as they say it, and mass goes to combinations
    that no item has. On Beauty the softmax over the catalogue reached a validation NDCG@10 of .067 for .047
    (docs/guide/next_item.md).

    Shape: h (T, d) → logits of all codes (T, R)
    """

    def __init__(self, codebook_sizes):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(sum(codebook_sizes)))
        # As items of histories are, so that many codes are not many times the learning rate of one.
        self.scale = len(codebook_sizes) ** -0.5

    def forward(self, h, table):
        return F.linear(h * self.scale, table, self.bias * self.scale)

    def loss(self, h, items, embedding, shares, rivals, is_rival):
        """Return the mean of -log p of `items` (T,) among themselves and `rivals`, some of those that ``is_rival``."""
        items, candidates, log_weights = _candidates(items, rivals, shares, is_rival)
        rows = embedding.rows[:, candidates].T.contiguous()
        # Biases are one more column: what costs is to find the rows.
        sums = sums_of_codes(torch.cat([embedding.table, self.bias[:, None]], dim=1), rows) * self.scale
        weights, bias = sums[:, :-1], sums[:, -1] + log_weights
        if embedding.own is not None:
            weights = weights + embedding.own_of(candidates)
        return catalogue_cross_entropy(h, weights, bias, items)


def _candidates(items, rivals, shares, is_rival):
    """Return where each target is among all candidates, these, and their log shares.

    Candidates are the targets of all positions, and those `rivals` that are none of them, each of which stands for as
    many as were not drawn: the sum over the catalogue is right on average. A target need not be one of those that
    ``is_rival`` (I,): of an item that is new since these were counted, say.
    """
    distinct, places = torch.unique(items, return_inverse=True)
    others = torch.unique(rivals)
    others = others[~torch.isin(others, distinct, assume_unique=True)]
    candidates = torch.cat([distinct, others])
    log_weights = shares[candidates]
    if len(others):
        n_others = int(is_rival.sum() - is_rival[distinct].sum())
        log_weights[len(distinct) :] += math.log(n_others / len(others))
    return places, candidates, log_weights


class ResidualHead(nn.Module):
    """log p(codes) = Σ_n log softmax(W_n s_n + b_n)[c_n] with s_n = Norm(h + FFN_n([h, Σ_{m<n} E_m c_m])).

    The codes of an item in a row, as TIGER generates them (Rajput et al., 2023, arXiv:2305.05065), with a small network
    per level in the place of a decoder. Each softmax is over the codes that lead to an item, so that probabilities of
    items sum to 1.

    Shape: h (T, d), items (T,) → (T,)
    """

    def __init__(self, codebook_sizes, dim, tree):
        super().__init__()
        self.sizes = list(codebook_sizes)
        for n, keys in enumerate(tree.keys):
            self.register_buffer(f"keys{n}", keys, persistent=False)
        self.register_buffer("nodes", tree.nodes, persistent=False)
        self.register_buffer("items", tree.items, persistent=False)
        self.register_buffer("firsts", tree.firsts, persistent=False)
        self.bias = nn.Parameter(torch.zeros(sum(self.sizes)))
        self.chosen = nn.Parameter(torch.randn(sum(self.sizes[:-1]), dim) * _INIT_STD)  # E
        self.up = nn.ModuleList(nn.Linear(2 * dim, 2 * dim) for _ in self.sizes)
        self.down = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in self.sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in self.sizes)

    def keys(self, n):
        """Return the keys of the nodes that codebook n leads to."""
        return getattr(self, f"keys{n}")

    def state(self, n, h, before):
        """Return s_n, (..., d), of histories with states `h` and beginnings whose codes have the sum `before`."""
        hidden = self.down[n](F.gelu(self.up[n](torch.cat([h, before], dim=-1))))
        return self.norms[n](h + hidden)

    def level(self, n, h, before, nodes, table):
        """Return log p of the codes of codebook n, (..., K), after `nodes` (...), whose codes have the sum `before`."""
        logits = F.linear(self.state(n, h, before), table.split(self.sizes)[n], self.bias.split(self.sizes)[n])
        wanted = nodes[..., None] * self.sizes[n] + torch.arange(self.sizes[n], device=nodes.device)
        places = torch.searchsorted(self.keys(n), wanted).clamp_(max=len(self.keys(n)) - 1)
        return logits.masked_fill(self.keys(n)[places] != wanted, -torch.inf).log_softmax(-1)

    def choose(self, n, before, codes):
        """Return the sum of embeddings with those of `codes` of codebook n added to it."""
        if n == len(self.sizes) - 1:  # nothing comes after it
            return before
        return before + F.embedding(codes, self.chosen.split(self.sizes[:-1])[n])

    def forward(self, h, items, embedding):
        before, total, nodes = torch.zeros_like(h), 0.0, torch.zeros_like(items)
        for n, codes in enumerate(embedding.codes(items).T.long()):
            log_p = self.level(n, h, before, nodes, embedding.table)
            total = total + log_p.gather(1, codes[:, None]).squeeze(1)
            before, nodes = self.choose(n, before, codes), self.nodes[n][items]
        return total

    def loss(self, h, items, embedding, shares, rivals, is_rival):
        """Return the mean of -log p of `items` (T,)."""
        return -(self(h, items, embedding) + shares[items]).mean()


class NextItemModule(nn.Module):
    """p(next item | history) by its codes; `loss` over all positions at once, none of which sees a later one.

    `shares` (I,) are log p(item | its codes): 0 for an item that has them alone. `rivals` (I',) are the items that
    somebody has clicked, and targets are set against these: an item that nobody could click yet is not one that nobody
    wants. With a `tree`, the head is the `ResidualHead`, else the `ParallelHead`.

    Shape: items (B, L) int64 → states (B, L, d)
    """

    def __init__(
        self,
        codes,
        codebook_sizes,
        shares,
        rivals,
        tree=None,
        *,
        dim,
        n_layers,
        n_heads,
        fusion,
        has_own,
        max_length,
        dropout,
    ):
        super().__init__()
        self.items = ItemEmbedding(codes, codebook_sizes, dim, fusion, has_own, dropout)
        self.register_buffer("shares", shares, persistent=False)
        self.register_buffer("rivals", rivals, persistent=False)
        is_rival = torch.zeros(len(codes), dtype=torch.bool)
        is_rival[rivals] = True
        self.register_buffer("is_rival", is_rival, persistent=False)
        self.transformer = CausalTransformer(dim, n_layers, n_heads, dropout, max_length)
        sizes = self.items.sizes
        self.head = ParallelHead(sizes) if tree is None else ResidualHead(sizes, dim, tree)

    def forward(self, items):
        distinct, places = torch.unique(items, return_inverse=True)
        return self.transformer(F.embedding(places, self.items(distinct)))

    def loss(self, items, is_there, rivals=None):
        """Return the mean over all targets of -log p(item | those before it), among a sample of `rivals` or all."""
        is_target = is_there[:, 1:]
        h = self(items[:, :-1])[is_target]  # (T, d)
        rivals = self.rivals if rivals is None else rivals
        return self.head.loss(h, items[:, 1:][is_target], self.items, self.shares, rivals, self.is_rival)
