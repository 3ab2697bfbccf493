"""A transformer over sequences that sees no future.

Letters: B sequences, L their length with what pads them, d width, H heads.
"""

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._mlp import SeededDropout


class CausalBlock(nn.Module):
    """x + Attention(Norm(x)), then x + FFN(Norm(x)), of the positions up to each one alone.

    Vaswani et al., 2017, "Attention is all you need", arXiv:1706.03762, section 3, with the norm before each part
    (Xiong et al., 2020, "On layer normalization in the transformer architecture", arXiv:2002.04745; both from memory).

    Shape: (B, L, d) → (B, L, d)
    """

    def __init__(self, dim, n_heads, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropouts = nn.ModuleList(SeededDropout(dropout) for _ in range(2))

    def forward(self, x):
        x = x + self.dropouts[0](self.attend(self.attention_norm(x)))
        return x + self.dropouts[1](self.down(F.gelu(self.up(self.feed_forward_norm(x)))))

    def attend(self, x):
        n_sequences, length, dim = x.shape
        heads = self.query_key_value(x).view(n_sequences, length, 3, self.n_heads, dim // self.n_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # (B, H, L, d / H) each
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(attended.transpose(1, 2).reshape(x.shape))


class CausalTransformer(nn.Module):
    """Blocks over the items of a history plus where they stand in it; output l knows of positions up to l.

    Sequences begin at position 0, and what pads a shorter one comes after it, where nothing of the sequence looks.

    Shape: (B, L, d) → (B, L, d), L up to `max_length`
    """

    def __init__(self, dim, n_layers, n_heads, dropout, max_length):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(max_length, dim) * 0.02)
        self.first_norm, self.last_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = SeededDropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(dim, n_heads, dropout) for _ in range(n_layers))

    def forward(self, x):
        x = self.dropout(self.first_norm(x) + self.positions[: x.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x)
