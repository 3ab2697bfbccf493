"""Embeddings of the fields of an impression.

Letters: B impressions, C categorical fields, L lists of categories, M numeric fields, F fields in all, w width of a
table, U rows of it that a batch needs.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._mlp import MLP

MISSING, UNKNOWN = 0, 1  # rows at the start of each vocabulary
FIRST_CATEGORY = 2


class VectorField(NamedTuple):
    """Float columns that belong together, such as the embedding of an item."""

    n_columns: int
    n_fields: int  # fields that the adapter makes of it


class FieldShapes(NamedTuple):
    """What a module must know of the data; fields come in this order."""

    vocabulary_sizes: tuple[int, ...]  # rows of each categorical field in the table, codes last
    list_vocabulary_sizes: tuple[int, ...] = ()  # and of each list of categories
    n_numeric: int = 0
    vectors: tuple[VectorField, ...] = ()

    @property
    def n_fields(self):
        vectors = sum(vector.n_fields for vector in self.vectors)
        return len(self.vocabulary_sizes) + len(self.list_vocabulary_sizes) + self.n_numeric + vectors


class TouchedRows(NamedTuple):
    """The rows of a table that a batch needs, and where it needs them; stands for the table in a training step."""

    values: torch.Tensor  # (U, w), one row for each that is needed
    places: torch.Tensor  # row of `values` for each entry of the batch, (B, C + list columns) int64


class FieldEmbedding(nn.Module):
    """An embedding per category, all in one table; for other fields, one per column that is multiplied by the value.

    A list of categories is the mean of its embeddings; a vector passes an MLP adapter. The rows for missing and unknown
    values start at zero: until something is learned for them they add nothing.

    Shape: categories (B, C + L·longest) int64, of lists padded with MISSING to one length, numbers (B, M + vector
    columns) → (B, F, w)
    """

    def __init__(self, shapes, width, init_std, adapter_width):
        super().__init__()
        self.n_categorical, self.n_lists = len(shapes.vocabulary_sizes), len(shapes.list_vocabulary_sizes)
        sizes = torch.tensor([0, *shapes.vocabulary_sizes, *shapes.list_vocabulary_sizes], dtype=torch.int64)
        # The row at which the vocabulary of each categorical field, and of each list, begins.
        self.register_buffer("first_rows", sizes.cumsum(0)[:-1], persistent=False)
        self.table = nn.Parameter(torch.empty(int(sizes.sum()), width).normal_(std=init_std))
        self.numeric = nn.Parameter(torch.empty(shapes.n_numeric, width).normal_(std=init_std))
        self.adapters = nn.ModuleList(VectorAdapter(vector, width, adapter_width) for vector in shapes.vectors)
        self.widths = [shapes.n_numeric, *(vector.n_columns for vector in shapes.vectors)]
        with torch.no_grad():
            for reserved in (MISSING, UNKNOWN):
                self.table[self.first_rows + reserved] = 0.0

    def rows(self, categories):
        """Return the row of the table for each entry of `categories`."""
        if not self.n_lists:
            return categories + self.first_rows
        longest = (categories.shape[1] - self.n_categorical) // self.n_lists
        alone, of_lists = self.first_rows[: self.n_categorical], self.first_rows[self.n_categorical :]
        return categories + torch.cat([alone, of_lists.repeat_interleave(longest)])

    def forward(self, categories, numbers, touched=None):
        if touched is None:
            e = F.embedding(self.rows(categories), self.table)  # (B, C + L·longest, w)
        else:
            # index_select: its gradient is three times as fast as that of F.embedding on the CPU.
            e = touched.values.index_select(0, touched.places.flatten()).view(*categories.shape, self.table.shape[1])
        parts = [e[:, : self.n_categorical]]
        if self.n_lists:
            parts.append(self._pooled(categories[:, self.n_categorical :], e[:, self.n_categorical :]))
        numeric, *vectors = numbers.split(self.widths, dim=1)
        if len(self.numeric):
            parts.append(numeric[:, :, None] * self.numeric)
        parts += [adapter(vector) for adapter, vector in zip(self.adapters, vectors, strict=True)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else e

    def _pooled(self, categories, e):
        """Return the mean embedding of each list, (B, L, w); that of an empty list is the one for missing values."""
        is_entry = (categories != MISSING).unflatten(1, (self.n_lists, -1))  # (B, L, longest)
        is_entry[:, :, 0] |= ~is_entry.any(2)
        shares = is_entry / is_entry.sum(2, keepdim=True)
        return torch.einsum("bnl,bnlw->bnw", shares.to(e.dtype), e.unflatten(1, (self.n_lists, -1)))


class VectorAdapter(nn.Module):
    """Linear → ReLU → Linear from a vector, such as an item's embedding, to the embeddings of one or several fields.

    One linear map where there are no hidden units.

    Shape: (B, n_columns) → (B, n_fields, w)
    """

    def __init__(self, vector, width, hidden_width):
        super().__init__()
        self.n_fields = vector.n_fields
        self.hidden = MLP((vector.n_columns, hidden_width) if hidden_width else (vector.n_columns,))
        self.out = nn.Linear(hidden_width or vector.n_columns, vector.n_fields * width)

    def forward(self, x):
        return self.out(self.hidden(x)).unflatten(1, (self.n_fields, -1))


def known_rows(shapes, embedding):
    """Return which rows of the table of `embedding` are those of a table that has `shapes`, in its order, (n_rows,)."""
    is_known = torch.zeros(len(embedding.table), dtype=torch.bool)
    sizes = (*shapes.vocabulary_sizes, *shapes.list_vocabulary_sizes)
    for first_row, size in zip(embedding.first_rows.tolist(), sizes, strict=True):
        is_known[first_row : first_row + size] = True
    return is_known


def grown_table(table, shapes, embedding):
    """Return the table of `embedding`, its first rows of each vocabulary taken from `table`, which has `shapes`."""
    grown = embedding.table.detach().clone()
    grown[known_rows(shapes, embedding)] = table
    return grown
