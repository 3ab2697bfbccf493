"""A tokenizer fitted on a catalogue, and the codes of its items, computed once or taken from a cache."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_memory, has_fit_parameter

from semid import __version__


def fit_on_catalogue(tokenizer, items, alignment, memory):
    """Return a fitted clone of the tokenizer and the codes of `items`; with `memory`, those of an earlier call.

    Called by `fit` of an estimator, whose caller the warning names.
    """
    tokenizer = clone(tokenizer)
    if memory is None:
        return _fit(tokenizer, None, items, alignment)
    for name, value in tokenizer.get_params(deep=True).items():
        if name.endswith("random_state") and not isinstance(value, Integral):
            warnings.warn(
                f"memory keeps nothing for {name}={value!r}: each fit is to differ. Pass an int.",
                UserWarning,
                stacklevel=4,
            )
            return _fit(tokenizer, None, items, alignment)
    cached = check_memory(memory).cache(_fit, ignore=["items"])
    return cached(tokenizer, (__version__, items.fingerprint), items, alignment)


def check_takes_alignment(tokenizer, user):
    """Raise if `fit` of the tokenizer takes no alignment, which the clicks of the column `user` are for."""
    last = tokenizer.steps[-1][1] if isinstance(tokenizer, Pipeline) else tokenizer
    if not has_fit_parameter(last, "alignment"):
        raise ValueError(
            f"user must be None for {type(last).__name__}, whose fit takes no alignment, got "
            f"{user!r}. Use a learned tokenizer, such as MixtureOfCodesTokenizer."
        )


def _fit(tokenizer, key, items, alignment):
    """Return the fitted tokenizer and the codes of the catalogue; `key` stands for `items` in a cache."""
    options = {} if alignment is None else {_alignment_parameter(tokenizer): alignment}
    if isinstance(tokenizer, Pipeline):  # whose first steps, an embedder of texts above all, then work once
        return tokenizer, np.asarray(tokenizer.fit_transform(items.content, **options))
    return tokenizer, np.asarray(tokenizer.fit(items.content, **options).transform(items.content))


def _alignment_parameter(tokenizer):
    """Return the name under which `fit` takes the alignment; a Pipeline wants that of its step before it."""
    return f"{tokenizer.steps[-1][0]}__alignment" if isinstance(tokenizer, Pipeline) else "alignment"
