"""Tokenizers in folders."""

from sklearn.pipeline import Pipeline

from semid.io import load
from semid.tokenizers._base import EmbeddingsToCodes


def load_tokenizer(folder):
    """Return the tokenizer in `folder`, or the Pipeline that ends in one, and the sizes of its codebooks."""
    estimator = load(folder)
    tokenizer = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(tokenizer, EmbeddingsToCodes):
        raise ValueError(f"--model must hold a tokenizer, {folder!r} holds a {type(tokenizer).__name__}.")
    if not hasattr(tokenizer, "codebook_sizes_"):
        raise ValueError(f"--model must hold a fitted tokenizer, that in {folder!r} is not fitted.")
    return estimator, tokenizer.codebook_sizes_
