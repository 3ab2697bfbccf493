"""What a catalogue asks of a tokenizer, alone or at the end of a Pipeline: codes, places for new items, old labels."""

import copy

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from semid.base._all_or_nothing import snapshot
from semid.features._catalogue_codes import warn_of_no_clicks


def last_step(estimator):
    """Return the tokenizer itself, which may be the last step of a Pipeline."""
    return estimator[-1] if isinstance(estimator, Pipeline) and len(estimator) else estimator


def check_tokenizer(estimator):
    """Raise unless `estimator` is a tokenizer of semid, or a Pipeline that ends in one."""
    from semid.tokenizers._base import EmbeddingsToCodes  # which imports torch

    if isinstance(estimator, type) or not isinstance(last_step(estimator), EmbeddingsToCodes):
        raise TypeError(
            f"tokenizer must be a tokenizer of semid, or a Pipeline that ends in one, got {estimator!r:.200}. Of other "
            "codes, pass codes=..."
        )


def is_fitted(estimator):
    """Return whether the tokenizer, and all before it, have been fitted."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def fitted_on(estimator, X):
    """Return the tokenizer as it is if it has been fitted, else a clone that is fitted on `X`."""
    if is_fitted(estimator):
        return estimator
    way_out = (
        "Pass tokenizer=presets.co_clicks().fit(X, embedder__interactions=interaction_matrix(log, item_ids)), or "
        "another one that was fitted with clicks."
    )
    warn_of_no_clicks(estimator, "a catalogue", way_out)
    return clone(estimator).fit(X)


def codes_of(estimator, X):
    """Return codes (n_items, n_codebooks), int64."""
    return np.asarray(estimator.transform(X), dtype=np.int64)


def with_places_for(estimator, X):
    """Return the tokenizer that has placed the items of `X`, and whether it is another than before.

    Of tokenizers that give each item codes of its own, a twin learns the new items; others know them already.
    """
    tokenizer = last_step(estimator)
    if not hasattr(tokenizer, "hashes_"):
        return estimator, False
    placed = snapshot(tokenizer)
    placed.partial_fit(X if tokenizer is estimator else estimator[:-1].transform(X))
    return _with_last_step(estimator, placed), True


def in_labels_of(estimator, X, codes, popularity):
    """Return the tokenizer with the labels that `codes`, the old ones of the items `X`, have, and whether it could be.

    FSQ, random codes, and another number of codebooks cannot be relabelled.
    """
    tokenizer = last_step(estimator)
    sizes = tokenizer.codebook_sizes_
    if len(codes) == 0 or codes.shape[1] != len(sizes) or (codes < 0).any():
        return estimator, False
    relabelled = snapshot(tokenizer)
    weights = popularity if popularity is not None and popularity.any() else None
    try:
        relabelled.align_to(X if tokenizer is estimator else estimator[:-1].transform(X), codes, weights)
    except TypeError:
        return estimator, False
    return _with_last_step(estimator, relabelled), True


def some_rows(X, rows):
    """Return rows of what a tokenizer takes: an array, a DataFrame, a list of texts."""
    return _safe_indexing(X, rows)


def _with_last_step(estimator, tokenizer):
    if not isinstance(estimator, Pipeline):
        return tokenizer
    pipeline = copy.copy(estimator)
    pipeline.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], tokenizer)]
    return pipeline
