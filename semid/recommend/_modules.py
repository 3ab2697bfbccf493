"""From the codes of a catalogue to the torch module of a recommender."""

import numpy as np
import torch

from semid.nn._next_item import NextItemModule
from semid.recommend._catalogue import shares_among_equals
from semid.recommend._parameters import n_heads
from semid.recommend._recommending import code_tree


def build_module(model):
    """Return the untrained module, from ``_architecture``, the codes, and how often items were clicked."""
    options = model._architecture
    tree = code_tree(model.codes_, model.codebook_sizes_) if options["head"] == "residual" else None
    return NextItemModule(
        torch.tensor(model.codes_),  # a copy: arrays of a memory map cannot be written to
        model.codebook_sizes_,
        torch.as_tensor(shares_among_equals(model.codes_, model.clicks_)),
        torch.as_tensor(np.flatnonzero(model.clicks_)),
        tree,
        dim=options["embedding_dim"],
        n_layers=options["n_layers"],
        n_heads=n_heads(options["embedding_dim"]),
        fusion=options["fusion"],
        has_own=options["own_embedding"],
        max_length=options["max_length"],
        dropout=options["dropout"],
    )
