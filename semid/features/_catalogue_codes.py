"""A tokenizer fitted on a catalogue, and the codes of its items, computed once or taken from a cache."""

from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np
from joblib import Memory
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_memory, has_fit_parameter

from semid import __version__
from semid.base._checks import warn
from semid.features._interaction_embeddings import alignment_of_clicks, interaction_matrix


def fit_on_catalogue(tokenizer, items, options, memory):
    """Return a fitted clone of the tokenizer and the codes of `items`; with `memory`, those of an earlier call.

    `options` go to its `fit`.
    """
    tokenizer = clone(tokenizer)
    if memory is None:
        return _fit(tokenizer, None, items, options, None)
    for name, value in tokenizer.get_params(deep=True).items():
        if name.endswith("random_state") and not isinstance(value, Integral):
            warn(f"memory keeps nothing for {name}={value!r}: each fit is to differ. Pass an int.")
            return _fit(tokenizer, None, items, options, None)
    memory = check_memory(memory)
    cached = memory.cache(_fit, ignore=["items", "memory"])
    return cached(tokenizer, (__version__, items.fingerprint), items, options, memory)


def options_of_clicks(tokenizer, log, item_ids):
    """Return what `fit` of a tokenizer takes of a log of clicks: ``interactions`` of a step of it, or ``alignment``.

    Raises
    ------
    ValueError
        If it takes neither.
    """
    steps = _steps(tokenizer)
    for prefix, step in steps.items():
        if has_fit_parameter(step, "interactions"):
            return {f"{prefix}interactions": interaction_matrix(log, item_ids, user="user", item="item")}
    return {f"{[*steps][-1]}alignment": alignment_of_clicks(log, item_ids)}


def check_takes_clicks(tokenizer, user):
    """Raise if no step of the tokenizer takes clicks in its `fit`, which those of the column `user` are for."""
    last = [*_steps(tokenizer).values()][-1]
    if _learns_from_clicks(tokenizer) or has_fit_parameter(last, "alignment"):
        return
    raise ValueError(
        f"user must be None for {type(last).__name__}, whose fit takes no alignment, got {user!r}. Use a Pipeline "
        "of a CoClickEmbedder and it, as presets.co_clicks() is one, or a learned tokenizer, such as "
        "MixtureOfCodesTokenizer."
    )


def warn_of_no_clicks(tokenizer, cause, way_out):
    """Warn where a step of the tokenizer learns from clicks, and is about to be fitted without any."""
    for step in _steps(tokenizer).values():
        if has_fit_parameter(step, "interactions"):
            warn(
                f"{type(step).__name__} learns from clicks, and {cause} passes it none: items are told apart by "
                f"themselves. {way_out}"
            )


def _learns_from_clicks(tokenizer):
    return any(has_fit_parameter(step, "interactions") for step in _steps(tokenizer).values())


def _steps(tokenizer, prefix=""):
    """Return the steps of a tokenizer, of Pipelines within it too, by what the parameters of their `fit` begin with."""
    if not isinstance(tokenizer, Pipeline):
        return {prefix: tokenizer}
    steps = {}
    for name, step in tokenizer.steps:
        steps |= _steps(step, f"{prefix}{name}__")
    return steps


def _fit(tokenizer, key, items, options, memory):
    """Return the fitted tokenizer and the codes of the catalogue; `key` stands for `items` in a cache."""
    if not isinstance(tokenizer, Pipeline):
        return tokenizer, np.asarray(tokenizer.fit(items.content, **options).transform(items.content))
    # Options are named by their step; with metadata routing a Pipeline would take those alone that steps request.
    with config_context(enable_metadata_routing=False), _keeps_what_learns_from_clicks(tokenizer, memory):
        return tokenizer, np.asarray(tokenizer.fit_transform(items.content, **options))


@contextmanager
def _keeps_what_learns_from_clicks(tokenizer, memory):
    """Give the Pipeline one of whose first steps learns from clicks a memory for these steps, as long as it is fitted.

    A search over the number of codes then fits them once for each set of clicks. They lie within the folder of
    `memory`, apart for each version of this package.
    """
    while isinstance(tokenizer, Pipeline) and not any(map(_learns_from_clicks, dict(tokenizer.steps[:-1]).values())):
        tokenizer = tokenizer.steps[-1][1]
    is_folder = type(memory) is Memory and memory.backend == "local" and memory.location is not None
    if not is_folder or not isinstance(tokenizer, Pipeline) or tokenizer.memory is not None:
        yield
        return
    folder = Path(memory.store_backend.location) / f"semid-{__version__}"
    tokenizer.memory = Memory(folder, mmap_mode=memory.mmap_mode, compress=memory.compress, verbose=0)
    yield
    tokenizer.memory = None
