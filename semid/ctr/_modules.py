"""From the fields of a table to the torch module of a click model."""

from typing import NamedTuple

import torch

from semid.base._live_module import build_seeded
from semid.nn._click_module import ClickModule, MultiEmbedding
from semid.nn._fields import FieldShapes


class Fields(NamedTuple):
    """What a module must know of the data."""

    shapes: FieldShapes
    fusion_groups: tuple[slice, ...]  # fields that are fused, such as the codes of one item
    fusion_query: int | None  # the field that an attention asks for, in models of 0.1.0 alone
    base_logit: float  # log-odds of the weighted share of clicks


def describe_fields(model, base_logit):
    shapes = model.encoder_.shapes
    groups = model.encoder_.code_groups_
    is_own = isinstance(model.fusion, type)
    if is_own and not groups:
        raise ValueError(
            f"fusion must be left out where there is nothing to fuse, got {model.fusion.__name__} and no code columns. "
            "Add codes with SemanticIDEncoder, or name the columns to fuse in code_features."
        )
    if is_own:
        for group in groups:
            _check_fusion_class(
                model.fusion, group.stop - group.start, model.embedding_dim, model._architecture["fusion_rank"]
            )
    return Fields(shapes, tuple(groups), None, base_logit)


def _check_fusion_class(fusion, n_codes, dim, rank):
    """Raise unless `fusion(n_codes, dim, rank)` maps (B, n_codes, dim) to the same shape."""
    e = torch.zeros(2, n_codes, dim)
    with torch.no_grad():
        fused = build_seeded(lambda: fusion(n_codes, dim, rank), seed=0)(e)
    if not isinstance(fused, torch.Tensor) or fused.shape != e.shape:
        shape = tuple(fused.shape) if isinstance(fused, torch.Tensor) else type(fused).__name__
        raise ValueError(
            f"fusion must map embeddings of shape {tuple(e.shape)} to the same shape, {fusion.__name__} gave {shape}."
        )


def build_module(model):
    """Return the untrained module, from ``fields_`` and ``_architecture`` alone."""
    architecture, n_fields = model._architecture, model.fields_.shapes.n_fields
    n_sets, dim = architecture["n_embedding_sets"], architecture["embedding_dim"]
    if n_sets == 1:
        body = model._body(n_fields, architecture)
    else:
        interactions = [model._interaction(n_fields, architecture) for _ in range(n_sets)]
        sizes, dropout = architecture["hidden_layer_sizes"], architecture["dropout"]
        body = MultiEmbedding(interactions, n_fields * dim, sizes, dropout)
    return ClickModule(
        model.fields_.shapes,
        body,
        base_logit=model.fields_.base_logit,
        embedding_dim=dim,
        embedding_init_std=architecture["embedding_init_std"],
        has_first_order=model._has_first_order,
        n_embedding_sets=n_sets,
        fusion=architecture["fusion"],
        fusion_groups=model.fields_.fusion_groups,
        fusion_rank=architecture["fusion_rank"],
        fusion_query=model.fields_.fusion_query,
        adapter_width=architecture["adapter_width"],
        adapter_norm=architecture.get("adapter_norm"),
        history_pooling=architecture.get("history_pooling", "mean"),
    )
