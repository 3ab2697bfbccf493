"""Sums and products over the entries of histories, whose gradients hold no row of an embedding per entry.

Letters: B impressions, I distinct items of a batch, E entries of its histories, w width of what an item is.

The gradient of `index_select` adds entry after entry to rows here and there, and a product of embeddings per entry is E
rows to write and to read again. Sorted by item once, both are sums over neighbours, and with 8 fields a step of
attention over 50 items takes a sixth of the time.
"""

import torch
import torch.nn.functional as F

_PART = 2**19  # elements of embeddings at once, which a core's cache holds


def weighted_sums(items, history, weights):
    """Return Σ over the entries of each history of weight · item, (B, ...), of `items` (I, ...), `weights` (E,)."""
    sums = _WeightedSums.apply(items.flatten(1), weights, *history[1:])
    return sums.view(-1, *items.shape[1:])


def entry_products(queries, items, history):
    """Return <q_b, k_i> of each entry i of impression b, (E,), of `queries` (B, w) and `items` (I, w)."""
    return _EntryProducts.apply(queries, items, *history[1:])


def at_entries(history, *tables):
    """Return what each of the `tables`, (I, w), has for each entry, (E, w)."""
    return _AtEntries.apply(history.entries, history.order, history.starts, *tables)


class _WeightedSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, items, weights, entries, owners, lengths, order, starts):
        ctx.save_for_backward(items, weights, entries, owners, order, starts)
        return _bags(entries, items, _starts(lengths), weights)

    @staticmethod
    def backward(ctx, gradient):
        items, weights, entries, owners, order, starts = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_items = _of_items(order, starts, owners, weights, gradient)
        of_weights = _products(gradient, items, entries, owners) if ctx.needs_input_grad[1] else None
        return of_items, of_weights, None, None, None, None, None


class _EntryProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, queries, items, entries, owners, lengths, order, starts):
        ctx.save_for_backward(queries, items, entries, owners, lengths, order, starts)
        return _products(queries, items, entries, owners)

    @staticmethod
    def backward(ctx, gradient):
        queries, items, entries, owners, lengths, order, starts = ctx.saved_tensors
        of_queries = _bags(entries, items, _starts(lengths), gradient)
        return of_queries, _of_items(order, starts, owners, gradient, queries), None, None, None, None, None


class _AtEntries(torch.autograd.Function):
    @staticmethod
    def forward(ctx, entries, order, starts, *tables):
        ctx.save_for_backward(order, starts)
        return tuple(table.index_select(0, entries) for table in tables)

    @staticmethod
    def backward(ctx, *gradients):
        order, starts = ctx.saved_tensors
        return None, None, None, *(_bags(order, gradient.contiguous(), starts) for gradient in gradients)


def _products(queries, items, entries, owners):
    n = max(_PART // max(items.shape[1], 1), 1)
    parts = zip(owners.split(n), entries.split(n), strict=True)
    return torch.cat([(queries.index_select(0, o) * items.index_select(0, e)).sum(1) for o, e in parts])


def _of_items(order, starts, owners, weights, rows):
    """Return Σ over the entries of each item of weight · row of the impression, (I, w)."""
    return _bags(owners.index_select(0, order), rows, starts, weights.index_select(0, order))


def _starts(lengths):
    return lengths.cumsum(0) - lengths


def _bags(places, table, starts, weights=None):
    return F.embedding_bag(places, table, starts, mode="sum", per_sample_weights=weights)
