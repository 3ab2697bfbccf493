"""Recommenders as ONNX graphs, from histories to the scores of all items, in float32.

Letters: B histories, L length of the longest, I items, N codes of an item, R codes in all, d width, H heads.
"""

import numpy as np
import torch

from semid.io._onnx_graph import Graph
from semid.io._onnx_modules import convert, converts, gelu
from semid.nn._causal_transformer import CausalBlock, CausalTransformer
from semid.nn._next_item import ItemEmbedding, ParallelHead
from semid.recommend._catalogue import shares_of_all

_FUTURE = -1e30  # added to the score of a position that is later


def recommender_graph(recommender):
    """Return the `Graph` from ``histories`` and ``history_lengths`` to the log p of all items."""
    head = recommender._architecture["head"]
    if head != "parallel":
        raise TypeError(
            f"estimator must have the head that scores all items at once, head='parallel', got head={head!r}. Serve "
            "the estimator itself (semid.io.save)."
        )
    module = recommender._live.get(recommender._build_module, recommender.state_, torch.device("cpu"))
    graph = Graph("float32")
    histories = graph.input("histories", "int64", ["batch", "longest"])
    lengths = graph.input("history_lengths", "int64", ["batch"])
    states = convert(graph, module.transformer, convert(graph, module.items, histories))  # (B, L, d)
    is_last = graph.call("Equal", _places(graph, histories), (lengths - 1).unsqueeze(1))
    h = (states * is_last.to_float().unsqueeze(2)).sum(1)
    scores = convert(graph, module.head, module, h) + module.shares
    log_p = graph.call("LogSoftmax", scores, axis=1)
    by_popularity = graph.constant(shares_of_all(recommender.clicks_)[None])
    log_p = log_p.where((lengths > 0).unsqueeze(1), by_popularity)
    graph.output("scores", log_p, "float32", ["batch", len(module.shares)])
    return graph


def encode_histories(recommender, histories):
    """Return what the graph of a recommender takes for histories of ids."""
    known = recommender._histories(histories)
    lengths = np.minimum(np.diff(known.offsets), recommender._architecture["max_length"])
    places = np.arange(max(1, lengths.max(initial=1)))
    is_there = places < lengths[:, None]
    padded = np.zeros(is_there.shape, dtype=np.int64)
    padded[is_there] = known.entries[((known.offsets[1:] - lengths)[:, None] + places)[is_there]]
    return {"histories": padded, "history_lengths": lengths.astype(np.int64)}


def _places(graph, sequences):
    """Return 0, 1, ... of the second axis, (L,)."""
    longest = graph.call("Shape", sequences, start=1, end=2).squeeze(0)
    return graph.call("Range", np.int64(0), longest, np.int64(1))


@converts(ItemEmbedding)
def _item_embedding(graph, module, items):
    """Embeddings (B, L, d) of items (B, L)."""
    dim, n_codes = module.table.shape[1], len(module.sizes)
    rows = graph.constant(module.rows.T.numpy()).rows(items)  # (B, L, N)
    e = graph.weights(module.table).rows(rows.reshape(-1, n_codes))  # (B·L, N, d)
    e = convert(graph, module.fusion, e).sum(1) * n_codes**-0.5
    if module.own is not None:
        e = e + graph.weights(module.own).rows(items.reshape(-1))
    return graph.call("Reshape", e, graph.concat([graph.call("Shape", items), graph.constant(np.array([dim]))], axis=0))


@converts(ParallelHead)
def _parallel_head(graph, head, module, h):
    """Scores (B, I) without the shares, from states (B, d): a look-up of N numbers per item."""
    of_codes = (h @ module.items.table.T + head.bias) * head.scale  # (B, R)
    scores = None
    for rows in module.items.rows.numpy():
        of_codebook = graph.call("Gather", of_codes, rows, axis=1)
        scores = of_codebook if scores is None else scores + of_codebook
    return scores if module.items.own is None else scores + h @ module.items.own.T


@converts(CausalTransformer)
def _causal_transformer(graph, module, x):
    longest = graph.call("Shape", x, start=1, end=2)
    positions = graph.call("Slice", module.positions, np.array([0]), longest, np.array([0]))
    places = _places(graph, x)
    is_later = (places.unsqueeze(0) > places.unsqueeze(1)).to_float()  # (L, L)
    x = convert(graph, module.first_norm, x) + positions
    for block in module.blocks:
        x = convert(graph, block, x, is_later * _FUTURE)
    return convert(graph, module.last_norm, x)


@converts(CausalBlock)
def _causal_block(graph, module, x, mask):
    dim = module.out.out_features
    projected = convert(graph, module.query_key_value, convert(graph, module.attention_norm, x))

    def heads(n):
        part = projected.slice(2, n * dim, (n + 1) * dim)
        return part.reshape(0, 0, module.n_heads, dim // module.n_heads)  # (B, L, H, d / H)

    query, value = (heads(n).permute(0, 2, 1, 3) for n in (0, 2))
    scores = query @ heads(1).permute(0, 2, 3, 1) * (dim // module.n_heads) ** -0.5 + mask  # (B, H, L, L)
    attended = (scores.softmax(-1) @ value).permute(0, 2, 1, 3).reshape(0, 0, dim)
    x = x + convert(graph, module.out, attended)
    hidden = convert(graph, module.up, convert(graph, module.feed_forward_norm, x))
    return x + convert(graph, module.down, gelu(graph, hidden))
