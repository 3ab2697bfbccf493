"""Embeddings of the fields of an impression.

Letters: B impressions, C categorical fields, M numeric fields, F = C + M fields, d width of an embedding.
"""

import torch
import torch.nn.functional as F
from torch import nn

MISSING, UNKNOWN = 0, 1  # rows at the start of each vocabulary
FIRST_CATEGORY = 2


class FieldEmbedding(nn.Module):
    """An embedding per category, all in one table, and per numeric field one that is multiplied by its value.

    The rows for missing and unknown values start at zero: until something is learned for them they add nothing.

    Shape: categories (B, C) int64, numbers (B, M) → (B, F, d), categorical fields first
    """

    def __init__(self, vocabulary_sizes, n_numeric, dim, init_std):
        super().__init__()
        sizes = torch.tensor([0, *vocabulary_sizes], dtype=torch.int64)
        self.register_buffer("offsets", sizes.cumsum(0)[:-1], persistent=False)
        self.table = nn.Parameter(torch.empty(int(sizes.sum()), dim).normal_(std=init_std))
        self.numeric = nn.Parameter(torch.empty(n_numeric, dim).normal_(std=init_std))
        with torch.no_grad():
            for reserved in (MISSING, UNKNOWN):
                self.table[self.offsets + reserved] = 0.0

    def forward(self, categories, numbers):
        embeddings = F.embedding(categories + self.offsets, self.table)  # (B, C, d)
        return torch.cat([embeddings, numbers[:, :, None] * self.numeric], dim=1)
