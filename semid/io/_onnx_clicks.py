"""Click models as ONNX graphs, from encoded impressions to click probabilities, in float32.

Letters: B impressions, C categorical fields, L lists of categories, M numeric fields, F fields in all, d width of an
embedding, w width of the table, N codes of an item, D = F·d, E items of the longest history, K fields of each.
"""

from typing import NamedTuple

import numpy as np
import torch

from semid.ctr._base import BaseCTRClassifier
from semid.ctr._dcnv2 import StackedDCNv2
from semid.ctr._deepfm import DeepFM
from semid.ctr._factorization_machine import PairSum
from semid.ctr._mlp_ctr import EmbeddingMLP, NoInteraction
from semid.io._onnx_graph import Graph, Value
from semid.io._onnx_modules import convert, converts
from semid.nn import _fusions as fusions
from semid.nn import _interactions as interactions
from semid.nn._click_module import ClickModule, InteractionHead, MultiEmbedding
from semid.nn._fields import MISSING, UNKNOWN, FieldEmbedding, VectorAdapter
from semid.nn._histories import InterestPooling, LocalActivationUnit, MeanPooling, TargetAttention

_NO_ENTRY = 1e30  # taken from the score of what is behind the end of a history
_END = np.iinfo(np.int64).max  # of a slice: to the end of the axis


def classifier_graph(classifier):
    """Return the `Graph` from ``categories``, ``lists``, ..., those that there are, to the probability."""
    _check_probability_is_that_of_the_logit(classifier)
    cpu = torch.device("cpu")
    module = classifier._live.get(classifier._build_module, classifier.state_, cpu, torch.float32)
    graph = Graph("float32")
    inputs = {
        name: graph.input(name, "float32" if name == "numbers" else "int64", ["batch", *shape])
        for name, shape in input_shapes(classifier.fields_.shapes).items()
    }
    logit = convert(graph, module, inputs)
    logit = logit * float(classifier.calibration_["scale"]) + float(classifier.calibration_["shift"])
    graph.output("click_probability", logit.sigmoid(), "float32", ["batch"])
    return graph


def input_shapes(shapes):
    """Return the shape, without the batch, of each input that a model of `FieldShapes` has."""
    n_columns = shapes.n_numeric + sum(vector.n_columns for vector in shapes.vectors)
    n_categorical, n_lists = len(shapes.vocabulary_sizes), len(shapes.list_vocabulary_sizes)
    inputs = {
        "categories": [n_categorical],
        "lists": [n_lists, "longest"],
        "histories": [sum(len(history.fields) for history in shapes.histories), "longest history"],
        "history_lengths": [len(shapes.histories)],
        "numbers": [n_columns],
    }
    return {name: shape for name, shape in inputs.items() if shape[0]}


def _check_probability_is_that_of_the_logit(classifier):
    kind = type(classifier)
    for name in ("predict_proba", "decision_function", "_build_module"):
        if getattr(kind, name) is not getattr(BaseCTRClassifier, name):
            raise TypeError(
                f"estimator must compute its probability as semid's click models do, got {kind.__name__}, which has a "
                f"{name} of its own. Serve the estimator itself (semid.io.save)."
            )


@converts(ClickModule)
def _click_module(graph, module, inputs):
    e = convert(graph, module.embedding, inputs)  # (B, F, S·d [+ 1])
    dim, width = module.dim, module.n_sets * module.dim
    sets = [e.slice(2, n * dim, (n + 1) * dim) for n in range(module.n_sets)]
    if module.histories:
        histories = _histories(graph, module, inputs)
        sets = [_with_histories(graph, module, n, e_set, histories) for n, e_set in enumerate(sets)]
    else:
        sets = [convert(graph, fusion, e_set) for fusion, e_set in zip(module.fusions, sets, strict=True)]
    logit = convert(graph, module.body, *sets) + module.bias
    if module.embedding.table.shape[1] == width:
        return logit
    return logit + e.slice(2, width, width + 1).squeeze(2).sum(1)


class _History(NamedTuple):
    """A column of histories in the graph."""

    items: Value  # (B, E, K, w), zeros where a field does not know an item
    is_entry: Value  # (B, E), 0 after the end
    lengths: Value  # (B, 1), 1 for an empty one


def _histories(graph, module, inputs):
    """Return the `_History` of each column."""
    embedding, histories = module.embedding, []
    table = graph.weights(embedding.table)
    longest = graph.call("Shape", inputs["histories"], start=2, end=3).squeeze(0)
    places = graph.call("Range", np.int64(0), longest, np.int64(1))
    sizes = np.diff(np.append(embedding.first_rows.numpy(), len(embedding.table)))
    done = 0
    for n, shape in enumerate(module.histories):
        fields = list(shape.fields)
        categories = inputs["histories"].slice(1, done, done + len(fields)).permute(0, 2, 1)  # (B, E, K)
        is_known = graph.call("And", categories > MISSING, categories < sizes[fields])
        rows = categories.where(is_known, MISSING) + embedding.first_rows[fields].numpy()
        items = table.rows(rows) * is_known.to_float().unsqueeze(3)
        lengths = inputs["history_lengths"].slice(1, n, n + 1)
        histories.append(_History(items, (places < lengths).to_float(), lengths.to_float().maximum(1.0)))
        done += len(fields)
    return histories


def _with_histories(graph, module, n_set, e, histories):
    """Return the fused embeddings of one set, and behind them what becomes of the histories, as `ClickModule` does."""
    fusion, dim = module.fusions[n_set], module.dim
    e = convert(graph, fusion, e)
    parts = [e]
    for shape, pooling, history in zip(module.histories, module.poolings[n_set], histories, strict=True):
        items = history.items.slice(3, n_set * dim, (n_set + 1) * dim)  # (B, E, K, d)
        of_items = _fused_items(graph, fusion, items.reshape(-1, len(shape.fields), dim), shape.fields)
        items = of_items.view_as(items)
        query = graph.call("Gather", e, np.array(shape.fields), axis=1)
        weights = convert(graph, pooling, query.flatten(), items.reshape(0, 0, len(shape.fields) * dim), history)
        parts.append((items * (weights * history.is_entry).unsqueeze(2).unsqueeze(3)).sum(1))
    return graph.concat(parts, axis=1)


def _fused_items(graph, fusion, e, fields):
    """`FieldFusion.of_items`."""
    for group, fuse in zip(fusion.groups, fusion.fusions, strict=True):
        if fusion.query is None and set(range(group.start, group.stop)) <= set(fields):
            first, stop = fields.index(group.start), fields.index(group.start) + group.stop - group.start
            parts = [convert(graph, fuse, e.slice(1, first, stop))]
            parts = [e.slice(1, 0, first), *parts] if first else parts
            e = graph.concat([*parts, e.slice(1, stop, _END)] if stop < len(fields) else parts, axis=1)
    return e


@converts(MeanPooling)
def _mean_pooling(graph, module, query, items, history):
    """The weight of each item, (B, E) or as it is broadcast, of queries (B, K·d) and items (B, E, K·d)."""
    return history.is_entry / history.lengths


@converts(TargetAttention)
def _target_attention(graph, module, query, items, history):
    scaled = query * graph.weights(module.scale.repeat_interleave(module.dim))
    scores = (scaled.unsqueeze(1) * items).sum(2) + (history.is_entry - 1.0) * _NO_ENTRY
    return scores.softmax(1)


@converts(InterestPooling)
def _interest_pooling(graph, module, query, items, history):
    return convert(graph, module.unit, query, items)


@converts(LocalActivationUnit)
def _local_activation_unit(graph, module, query, items):
    hidden = convert(graph, module.of_product, query.unsqueeze(1) * items)
    hidden = hidden + convert(graph, module.of_query, query).unsqueeze(1) + convert(graph, module.of_item, items)
    hidden = hidden.relu() - (-hidden).relu() * module.slope
    return convert(graph, module.out, hidden).squeeze(2)


@converts(FieldEmbedding)
def _field_embedding(graph, module, inputs):
    table = graph.weights(module.table)
    first_rows = module.first_rows.numpy()
    sizes = np.diff(np.append(first_rows, len(module.table)))
    parts, n = [], module.n_categorical
    if "categories" in inputs:
        categories = _known_or_unknown(graph, inputs["categories"], sizes[:n])
        parts.append(table.rows(categories + first_rows[:n]))
    if "lists" in inputs:
        lists = _known_or_unknown(graph, inputs["lists"], sizes[n:, None])
        parts.append(_pooled(table, lists, first_rows[n:, None]))
    start, numbers = 0, inputs.get("numbers")
    if len(module.numeric):
        start = len(module.numeric)
        parts.append(numbers.slice(1, 0, start).unsqueeze(2) * module.numeric)
    for adapter, width in zip(module.adapters, module.widths[1:], strict=True):
        parts.append(convert(graph, adapter, numbers.slice(1, start, start + width)))
        start += width
    return graph.concat(parts, axis=1)


def _known_or_unknown(graph, categories, sizes):
    """Return categories, those that a vocabulary has not as UNKNOWN, lest they be rows of the next vocabulary."""
    is_known = graph.call("And", categories >= 0, categories < sizes)
    return categories.where(is_known, UNKNOWN)


def _pooled(table, lists, first_rows):
    """Return the mean embedding of each list, (B, L, w); that of an empty list is the one for missing values."""
    e = table.rows(lists + first_rows)  # (B, L, longest, w)
    is_entry = (lists > MISSING).to_float()
    total = (e * is_entry.unsqueeze(3)).sum(2)
    n_entries = is_entry.sum(2, keepdim=True)  # (B, L, 1)
    is_empty = (n_entries <= 0.0).to_float()
    return total / n_entries.maximum(1.0) + is_empty * table.rows(first_rows[:, 0] + MISSING)


@converts(VectorAdapter)
def _vector_adapter(graph, module, x):
    out = convert(graph, module.out, convert(graph, module.hidden, x))
    return out.reshape(0, module.n_fields, module.out.out_features // module.n_fields)


@converts(InteractionHead)
def _interaction_head(graph, module, e):
    return convert(graph, module.head, convert(graph, module.interaction, e), convert(graph, module.mlp, e.flatten()))


@converts(MultiEmbedding)
def _multi_embedding(graph, module, *sets):
    hidden = [
        convert(graph, layer, graph.concat([convert(graph, interaction, e), e.flatten()], axis=1))
        for interaction, layer, e in zip(module.interactions, module.first_layers, sets, strict=True)
    ]
    mean = graph.call("Mean", *hidden)
    return convert(graph, module.head, convert(graph, module.mlp, mean))


@converts(EmbeddingMLP)
def _embedding_mlp(graph, module, e):
    return convert(graph, module.head, convert(graph, module.mlp, e.flatten()))


@converts(NoInteraction)
def _no_interaction(graph, module, e):
    return e.flatten().slice(1, 0, 0)


@converts(DeepFM)
def _deepfm(graph, module, e):
    return convert(graph, module.pairs, e).sum(1) + _embedding_mlp(graph, module, e)


@converts(PairSum)
def _pair_sum(graph, module, e):
    return convert(graph, module.pairs, e).sum(1)


@converts(StackedDCNv2)
def _stacked(graph, module, e):
    return convert(graph, module.head, convert(graph, module.mlp, convert(graph, module.cross, e)))


@converts(interactions.FactorizationMachine)
def _factorization_machine(graph, module, e):
    return (e.sum(1).square() - e.square().sum(1)) * 0.5


@converts(interactions.InteractionMachine)
def _interaction_machine(graph, module, e):
    powers, power_sums = e, [e.sum(1)]
    for _ in range(module.order - 1):
        powers = powers * e
        power_sums.append(powers.sum(1))
    polynomials = [graph.constant(np.float32(1.0))]
    for k in range(1, module.order + 1):
        total = polynomials[k - 1] * power_sums[0]
        for i in range(2, k + 1):
            term = polynomials[k - i] * power_sums[i - 1]
            total = total + term if i % 2 else total - term
        polynomials.append(total / float(k))
    return graph.concat(polynomials[1:], axis=1)


@converts(interactions.CrossNetwork)
def _cross_network(graph, module, e):
    x0 = x = e.flatten()
    for layer in module.layers:
        x = x + x0 * convert(graph, layer, x)
    return x


@converts(interactions.LowRankCrossNetwork)
def _low_rank_cross_network(graph, module, e):
    x0 = x = e.flatten()
    for layer in module.layers:
        shares = convert(graph, module.gates, x).softmax(1)  # (B, experts)
        low = ((x @ layer.down).tanh() @ layer.core).tanh()  # (experts, B, rank)
        mixed = ((low @ layer.up) * shares.permute(1, 0).unsqueeze(2)).sum(0)  # (B, D)
        x = x + x0 * (mixed + layer.bias)
    return x


@converts(interactions.SelfAttention)
def _self_attention(graph, module, e):
    for layer in module.layers:
        e = _self_attention_layer(graph, layer, e)
    return e.flatten()


def _self_attention_layer(graph, layer, e):
    width = layer.query.out_features
    width_of_head = width // layer.n_heads

    def heads(project):
        return convert(graph, project, e).reshape(0, 0, layer.n_heads, width_of_head)  # (B, F, heads, d_h)

    query, value = (heads(project).permute(0, 2, 1, 3) for project in (layer.query, layer.value))
    scores = query @ heads(layer.key).permute(0, 2, 3, 1) * width_of_head**-0.5  # (B, heads, F, F)
    attended = (scores.softmax(-1) @ value).permute(0, 2, 1, 3).reshape(0, 0, width)
    return (attended + convert(graph, layer.residual, e)).relu()


@converts(fusions.FieldFusion)
def _field_fusion(graph, module, e):
    query = () if module.query is None else (e.slice(1, module.query, module.query + 1).squeeze(1),)
    parts, done = [], 0
    for group, fusion in zip(module.groups, module.fusions, strict=True):
        if group.start > done:
            parts.append(e.slice(1, done, group.start))
        parts.append(convert(graph, fusion, e.slice(1, group.start, group.stop), *query))
        done = group.stop
    return graph.concat([*parts, e.slice(1, done, _END)], axis=1) if parts else e


@converts(fusions.ConcatFusion)
def _concat_fusion(graph, module, e):
    return e


@converts(fusions.SumFusion, fusions.MeanFusion)
def _pooling_fusion(graph, module, e):
    pool = e.sum if isinstance(module, fusions.SumFusion) else e.mean
    return e + (pool(1, keepdim=True) - e) * module.share


def _mixed(graph, module, e):
    """What a `BottleneckFusion` makes of all codes at once, (B, N, d)."""
    hidden = convert(graph, module.activation, convert(graph, module.down, e.flatten()))
    return convert(graph, module.up, hidden).view_as(e)


@converts(fusions.GateFusion)
def _gate_fusion(graph, module, e):
    return e * 2.0 * _mixed(graph, module, e).sigmoid()


@converts(fusions.ResidualFusion, fusions.MLPFusion)
def _residual_fusion(graph, module, e):
    return e + _mixed(graph, module, e)


@converts(fusions.SqueezeExcitationFusion)
def _squeeze_excitation_fusion(graph, module, e):
    scale = convert(graph, module.up, convert(graph, module.down, e.mean(2)).relu())  # (B, N)
    return e * 2.0 * scale.sigmoid().unsqueeze(2)


@converts(fusions.AttentionFusion)
def _attention_fusion(graph, module, e):
    query, key, value = (convert(graph, project, e) for project in (module.query, module.key, module.value))
    scores = query @ key.permute(0, 2, 1) / module.query.out_features**0.5  # (B, N, N)
    return e + convert(graph, module.up, scores.softmax(2) @ value)


@converts(fusions.QueriedAttentionFusion)
def _queried_attention_fusion(graph, module, e, query):
    key, asked = convert(graph, module.key, e), convert(graph, module.query, query)  # (B, N, rank), (B, rank)
    scores = (key @ asked.unsqueeze(2)).squeeze(2) / module.key.out_features**0.5  # (B, N)
    n_codes = graph.call("Shape", e, start=1, end=2).to_float()
    return e * n_codes * scores.softmax(1).unsqueeze(2)
