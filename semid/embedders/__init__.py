"""From texts to embeddings: one row of floats per row of text."""

from semid.embedders._text_embedder import TextEmbedder

__all__ = ["TextEmbedder"]
