"""Tokenizers as ONNX graphs: `transform` in float64 from the input to the codes.

Letters: B rows, N codebooks, K codes in a codebook, W beam size.
"""

import numpy as np
import torch

from semid.io._onnx_graph import Graph
from semid.io._onnx_modules import convert, converts
from semid.nn._finite_scalar_quantizer import FiniteScalarQuantizer
from semid.nn._product_quantizer import ProductQuantizer
from semid.nn._quantizers import CopiedCodeQuantizer, ParallelQuantizer, ResidualQuantizer
from semid.tokenizers._base import _FLOAT64_TIE, BaseTokenizer


def tokenizer_graph(tokenizer):
    """Return the `Graph` from ``embeddings`` (B, n_features) to ``codes`` (B, N)."""
    _check_codes_come_from_the_module(tokenizer)
    cpu = torch.device("cpu")
    module = tokenizer._live.get(tokenizer._build_module, tokenizer.state_, cpu, torch.float64)
    graph = Graph("float64")
    x = graph.input("embeddings", "float32", ["batch", tokenizer.n_features_in_]).to_float()
    z = convert(graph, module.encoder, (x - module.mean) / module.scale)
    codes = convert(graph, module.quantizer, z)
    graph.output("codes", codes, "int64", ["batch", len(tokenizer.codebook_sizes_)])
    return graph


def _check_codes_come_from_the_module(tokenizer):
    kind = type(tokenizer)
    for name in ("transform", "_encode"):
        if getattr(kind, name) is not getattr(BaseTokenizer, name):
            raise TypeError(
                f"estimator must compute codes with a network, got {kind.__name__}, which finds them otherwise (hashes "
                "have no ONNX form). Write the codes themselves: write_mapping(path, item_ids, codes)."
            )


def _nearest(graph, codebook, code_vectors, x, tolerance=_FLOAT64_TIE):
    """Return the code of each row of `x`, (B,), as `Codebook.nearest` does; `code_vectors` are those in the graph."""
    scores = graph.weights(codebook.offsets()) - x @ code_vectors.permute(1, 0)  # (B, K)
    reach = x.square().sum(1, keepdim=True) + codebook.largest_norm()
    within = scores <= scores.amin(1, keepdim=True) + reach * tolerance
    return within.cast(np.uint8).argmax(1)


@converts(ResidualQuantizer)
def _residual(graph, quantizer, z):
    if quantizer.beam_size > 1:
        return _beam_search(graph, quantizer, z)
    residual, codes = z, []
    for codebook in quantizer.codebooks:
        code_vectors = graph.weights(codebook.code_vectors)
        codes.append(_nearest(graph, codebook, code_vectors, residual))
        residual = residual - code_vectors.rows(codes[-1])
    return graph.stack(codes, axis=1)


@converts(CopiedCodeQuantizer)
def _copied(graph, quantizer, z):
    return graph.concat([_residual(graph, quantizer, z)] * quantizer.n_copies, axis=1)


@converts(ParallelQuantizer)
def _parallel(graph, quantizer, z):
    codes = [
        _nearest(graph, codebook, graph.weights(codebook.code_vectors), convert(graph, down, z))
        for codebook, down in zip(quantizer.codebooks, quantizer.down, strict=True)
    ]
    return graph.stack(codes, axis=1)


@converts(ProductQuantizer)
def _product(graph, quantizer, z):
    norms = z.square().sum(1, keepdim=True).sqrt()
    rotated = z if quantizer.rotation is None else z @ quantizer.rotation
    codes, start = [], 0
    for codebook, width in zip(quantizer.codebooks, quantizer.widths, strict=True):
        block = rotated.slice(1, start, start + width)
        largest = codebook.code_vectors.square().sum(1).max().sqrt().clamp(min=1e-30)
        tolerance = (norms / largest).maximum(1.0) * _FLOAT64_TIE
        codes.append(_nearest(graph, codebook, graph.weights(codebook.code_vectors), block, tolerance))
        start += width
    return graph.stack(codes, axis=1)


@converts(FiniteScalarQuantizer)
def _finite_scalar(graph, quantizer, z):
    z = z / quantizer.bound
    lower = ((z.tanh() + 1.0) * (quantizer.top / 2)).floor().minimum(quantizer.top - 1)  # (B, S)
    # ONNX Runtime has no Atanh of float64: the borders are looked up.
    borders, starts = _borders(quantizer)
    border = graph.weights(borders).rows(lower.cast(np.int64) + starts)
    slack = z.abs().amax(1, keepdim=True).maximum(1.0) * _FLOAT64_TIE
    levels = lower.cast(np.int64) + (z >= border - slack).cast(np.int64)
    return _digits_to_codes(graph, quantizer, levels)


def _borders(quantizer):
    """Return the borders between levels in the units of tanh's argument, scalar by scalar, and where each starts."""
    per_scalar = [torch.atanh((2 * torch.arange(top).double() + 1) / top - 1) for top in quantizer.top.long().tolist()]
    starts = np.cumsum([0, *map(len, per_scalar)], dtype=np.int64)[:-1]
    return torch.cat(per_scalar), starts


def _digits_to_codes(graph, quantizer, levels):
    places, start, codes = levels * quantizer.strides.numpy(), 0, []
    for width in quantizer.widths:
        codes.append(places.slice(1, start, start + width).sum(1))
        start += width
    return graph.stack(codes, axis=1)


def _beam_search(graph, quantizer, z):
    """Return the best codes that `beam_search` finds with `SumCosts`, (B, N)."""
    reach = sum(codebook.largest_norm() for codebook in quantizer.codebooks)
    tolerance = (z.square().sum(1, keepdim=True) + reach) * _FLOAT64_TIE  # (B, 1)
    scores, beginnings, width = None, [], 1  # (B, W), and N arrays of codes (B, W)
    for codebook in quantizer.codebooks:
        costs = _costs(graph, quantizer, z, beginnings)
        extended = costs if scores is None else costs + scores.unsqueeze(2)  # (B, W, K)
        n_extended = width * len(codebook)
        # As in `beam_search`: equal scores rank by their place.
        places = np.arange(n_extended, dtype=np.float64)
        extended = extended.flatten() + tolerance / (4.0 * n_extended) * places
        width = min(quantizer.beam_size, n_extended)
        scores, chosen = extended.smallest(width)
        beginnings = [codes.gather(1, chosen / len(codebook)) for codes in beginnings] + [chosen % len(codebook)]
    return graph.concat([codes.slice(1, 0, 1) for codes in beginnings], axis=1)


def _costs(graph, quantizer, z, beginnings):
    """Return what each code of the next codebook adds to the score of the beginnings, (B, W or 1, K)."""
    codebook = quantizer.codebooks[len(beginnings)]
    costs = graph.weights(codebook.offsets()) - z @ codebook.code_vectors.T
    costs = costs.unsqueeze(1)
    for earlier, codes in zip(quantizer.codebooks, beginnings, strict=False):
        costs = costs + graph.weights(earlier.code_vectors @ codebook.code_vectors.T).rows(codes)
    return costs
