"""Histories of an impression's user: earlier items, pooled to fields of the impression.

Letters: B impressions, I distinct items of a batch, E entries of its histories, K fields of an item, d width of an
embedding.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._fields import BatchHistory
from semid.nn._row_sparse import distinct_on


class HistoryColumn(NamedTuple):
    """Histories of n impressions, slices of one sequence of entries."""

    entries: torch.Tensor  # (n_entries,) int32, item of each
    categories: torch.Tensor  # (n_items, K) int32; MISSING where an item has nothing
    starts: torch.Tensor  # (n,) int64
    stops: torch.Tensor  # (n,) int64

    def lengths(self, rows):
        return self.stops[rows] - self.starts[rows]


def batch_history(column, rows, n_entries=None):
    """Return the `BatchHistory` of the impressions `rows` (B,), whose histories have `n_entries` in all.

    The cost is that of the entries, and items that occur several times are looked up once.
    """
    lengths = column.lengths(rows)
    owners = torch.repeat_interleave(lengths, output_size=n_entries)
    shifts = column.starts[rows] - (lengths.cumsum(0) - lengths)
    places = torch.arange(len(owners), device=rows.device) + shifts[owners]
    distinct = distinct_on(rows.device)(column.entries[places].long())
    return BatchHistory(column.categories[distinct.rows].long(), distinct.places, owners, lengths)


def weighted_sums(items, history, weights):
    """Return Σ over the entries of each history of weight · item, (B, ...), of `items` (I, ...), `weights` (E,).

    No (E, ...) is held.
    """
    starts = history.lengths.cumsum(0) - history.lengths
    sums = F.embedding_bag(history.entries, items.flatten(1), starts, mode="sum", per_sample_weights=weights)
    return sums.view(-1, *items.shape[1:])


class MeanPooling(nn.Module):
    """The mean of a history's items, field by field; zeros for an empty history.

    An item that a field does not know counts as a zero.

    Shape: query (B, K, d), items (I, K, d), history of B impressions → (B, K, d)
    """

    def __init__(self, n_fields, dim):
        super().__init__()

    def forward(self, query, items, history, candidates=None):
        shares = 1 / history.lengths.clamp(min=1).to(items.dtype)
        return weighted_sums(items, history, shares[history.owners])


class TargetAttention(nn.Module):
    """Σ_i (1 + a(q, k_i)) k_i / n over the n entries of a history: items that say more of the candidate count for more.

    The local activation unit of DIN (Zhou et al., 2018, "Deep Interest Network", KDD, arXiv:1706.06978, from memory):
    a = <v, PReLU(W [q, k, q - k, q ∘ k])>, with q the candidate's fused embeddings side by side, and k those of an item
    of the history. As there, weights are not normalised by a softmax, so that many items of one kind say more than one;
    1 / n and 1 + are ours: v starts at zero, so that attention starts as the mean and learns what to make of it.

    W is linear in q and k, so what it makes of them is computed once per impression and once per distinct item, with
    q - k in both; only q ∘ k costs something per entry.

    Shape: query (B, K, d), items (I, K, d), history of B impressions → (B, K, d)
    """

    def __init__(self, n_fields, dim):
        super().__init__()
        width, hidden = n_fields * dim, 36
        self.of_query = nn.Linear(width, hidden)
        self.of_item = nn.Linear(width, hidden, bias=False)
        self.of_product = nn.Linear(width, hidden, bias=False)
        self.activation = nn.PReLU()
        self.out = nn.Parameter(torch.zeros(hidden))

    def forward(self, query, items, history, candidates=None):
        scores = self.scores(query.flatten(1), items.flatten(1), history)
        shares = 1 / history.lengths.clamp(min=1).to(items.dtype)
        return weighted_sums(items, history, (1 + scores) * shares[history.owners])

    def scores(self, query, items, history):
        """Return a(q, k) of each entry, (E,), of queries (B, K·d) and items (I, K·d)."""
        owners, entries = history.owners, history.entries
        hidden = self.of_query(query).index_select(0, owners) + self.of_item(items).index_select(0, entries)
        hidden = hidden + self.of_product(query.index_select(0, owners) * items.index_select(0, entries))
        return self.activation(hidden).mv(self.out)


POOLINGS = {"mean": MeanPooling, "attention": TargetAttention}
