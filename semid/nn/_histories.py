"""Histories of an impression's user: earlier items, pooled to fields of the impression.

Letters: B impressions, I distinct items of a batch, E entries of its histories, K fields of an item, d width of an
embedding.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._entries import at_entries, entry_products, weighted_sums
from semid.nn._fields import BatchHistory
from semid.nn._row_sparse import numbered, padded_distinct


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
    items, entries, order, starts = _by_item(column.entries[places].long())
    return BatchHistory(column.categories[items].long(), entries, owners, lengths, order, starts)


def _by_item(items):
    """Return the distinct ones of the items of entries (E,), the place of each entry among them, and entries by item.

    As many as entries on a GPU, see `distinct_rows_of`: what is left over repeats the last one and has no entries.
    """
    ordered, order, numbers = numbered(items)
    entries = torch.empty_like(order).scatter_(0, order, numbers)
    distinct = padded_distinct(ordered, numbers)
    starts = torch.searchsorted(numbers, torch.arange(len(ordered), device=items.device))
    if items.device.type == "cpu" and len(items):  # where to know their number costs no wait
        n_distinct = int(numbers[-1]) + 1
        return distinct[:n_distinct], entries, order, starts[:n_distinct]
    return distinct, entries, order, starts


class MeanPooling(nn.Module):
    """The mean of a history's items, field by field; zeros for an empty history.

    An item that a field does not know counts as a zero.

    Shape: query (B, K, d), items (I, K, d), history of B impressions → (B, K, d)
    """

    def __init__(self, n_fields, dim):
        super().__init__()

    def forward(self, query, items, history):
        shares = 1 / history.lengths.clamp(min=1).to(items.dtype)
        return weighted_sums(items, history, shares[history.owners])


class LocalActivationUnit(nn.Module):
    """a(q, k) = <v, PReLU(W [q, k, q - k, q ∘ k])>, how much an item k of a history says of a candidate q.

    Zhou et al., 2018, "Deep interest network for click-through rate prediction", KDD, arXiv:1706.06978, section 4.3,
    from memory. W is linear in q and k, so what it makes of these is computed once per impression and once per distinct
    item, that of q - k with them; only q ∘ k costs something per entry. <v, PReLU(h)> is a mean of <v, ReLU(h)> and of
    <v, h>, with the slope as weight, and the second needs no h: a slope's gradient in each h would cost half of a step.

    Shape: queries (B, D), items (I, D), history of B impressions → (E,)
    """

    def __init__(self, width, hidden_width=36):
        super().__init__()
        self.of_query = nn.Linear(width, hidden_width)
        self.of_item = nn.Linear(width, hidden_width, bias=False)
        self.of_product = nn.Linear(width, hidden_width, bias=False)
        self.slope = nn.Parameter(torch.tensor([0.25]))
        self.out = nn.Linear(hidden_width, 1)

    def forward(self, queries, items, history):
        of_queries, of_items, v = self.of_query(queries), self.of_item(items), self.out.weight
        items, of_items, v_of_items = at_entries(history, items, of_items, F.linear(of_items, v))
        products = queries.index_select(0, history.owners) * items
        hidden = self.of_product(products)
        hidden += of_queries.index_select(0, history.owners)
        hidden += of_items
        v_of_all = F.linear(products, v @ self.of_product.weight) + v_of_items
        v_of_all += F.linear(of_queries, v).index_select(0, history.owners)
        v_of_positive = F.linear(hidden.relu_(), v)
        return (v_of_positive.lerp(v_of_all, self.slope) + self.out.bias).squeeze(1)


class TargetAttention(nn.Module):
    """Σ_i softmax_i(Σ_f s_f <q_f, k_if>) k_i: items of a history count by how much they are like the candidate.

    Scaled dot products (Vaswani et al., 2017, "Attention is all you need", arXiv:1706.03762) of the embeddings
    themselves, which candidate and history have from the same tables, with one scale s per field. These start at 0, so
    that attention starts as the mean and only has to learn what to change of it. Not the unit of DIN, which
    `InterestPooling` has: on three catalogues it ranked between this and the mean, and a hidden layer per entry costs
    several times as much.

    Shape: query (B, K, d), items (I, K, d), history of B impressions → (B, K, d)
    """

    def __init__(self, n_fields, dim):
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.zeros(n_fields))

    def forward(self, query, items, history):
        scaled = (query * self.scale[:, None]).flatten(1)
        scores = entry_products(scaled, items.flatten(1), history)
        return weighted_sums(items, history, softmax_of_each(scores, history))


def softmax_of_each(scores, history):
    """Return the softmax of `scores` (E,) over the entries of each history."""
    highest = scores.new_full((len(history.lengths),), -torch.inf)
    highest = highest.scatter_reduce(0, history.owners, scores.detach(), "amax")
    odds = (scores - highest.index_select(0, history.owners)).exp()
    return odds / odds.new_zeros(len(highest)).index_add(0, history.owners, odds).index_select(0, history.owners)


class InterestPooling(nn.Module):
    """Σ_i a(q, k_i) k_i over the items of a history: DIN as its paper has it, whose sum grows with the history.

    Shape: query (B, K, d), items (I, K, d), history of B impressions → (B, K, d)
    """

    def __init__(self, n_fields, dim):
        super().__init__()
        self.unit = LocalActivationUnit(n_fields * dim)

    def forward(self, query, items, history):
        return weighted_sums(items, history, self.unit(query.flatten(1), items.flatten(1), history))


POOLINGS = {"mean": MeanPooling, "attention": TargetAttention, "interest": InterestPooling}
