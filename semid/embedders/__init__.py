"""From texts to embeddings, and from embeddings to ones that know clicks: one row of floats per item."""

import importlib
from typing import TYPE_CHECKING

from semid.embedders._text_embedder import TextEmbedder

if TYPE_CHECKING:  # what __getattr__ finds
    from semid.embedders._co_click_embedder import CoClickEmbedder as CoClickEmbedder

__all__ = ["CoClickEmbedder", "TextEmbedder"]


def __getattr__(name):
    if name == "CoClickEmbedder":  # which needs torch
        return importlib.import_module("semid.embedders._co_click_embedder").CoClickEmbedder
    raise AttributeError(f"module 'semid.embedders' has no attribute {name!r}")
