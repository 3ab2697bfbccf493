"""The parameters that all click models share: what is wrong with them, and which must stay once a model is fitted."""

import numpy as np
from torch import nn

from semid.base._checks import check_integer, check_layer_sizes, check_number, check_option
from semid.base._live_module import resolve_device
from semid.base._removed import defaults
from semid.engine._checkpoints import check_checkpoint_dir
from semid.engine._click_net import check_callbacks
from semid.nn._fusions import FUSIONS


def check_parameters(model):
    """Raise if a parameter of a click model is out of its range."""
    _check_module_parameters(model)
    _check_column_parameters(model)
    _check_training_parameters(model)
    _check_stopping_parameters(model)


def _check_module_parameters(model):
    check_integer("embedding_dim", model.embedding_dim, 1)
    hidden_layer_sizes = check_layer_sizes("hidden_layer_sizes", model.hidden_layer_sizes)
    is_own = isinstance(model.fusion, type) and issubclass(model.fusion, nn.Module)
    if not is_own and not (isinstance(model.fusion, str) and model.fusion in FUSIONS):
        names = ", ".join(map(repr, FUSIONS))
        raise ValueError(f"fusion must be one of {names}, or a class of torch modules, got {model.fusion!r}.")
    check_integer("n_embedding_sets", model.n_embedding_sets, 1)
    if model.n_embedding_sets > 1 and not hidden_layer_sizes:
        raise ValueError("hidden_layer_sizes must not be empty with n_embedding_sets > 1: sets meet in a layer.")
    check_option("history_pooling", model.history_pooling, model._poolings)
    check_number("dropout", model.dropout, 0, 1, open_maximum=True)


def _check_column_parameters(model):
    check_integer("vector_fields", model.vector_fields, 1)
    check_integer("min_frequency", model.min_frequency, 1)


def _check_training_parameters(model):
    check_integer("max_iter", model.max_iter, 1)
    if model.batch_size != "auto":
        check_integer("batch_size", model.batch_size, 1)
    check_number("learning_rate", model.learning_rate, 0, open_minimum=True)
    check_number("forgetting", model.forgetting, 0)
    check_callbacks(model.callbacks)
    check_checkpoint_dir(model.checkpoint_dir, model.random_state)
    resolve_device(model.device)


def _check_stopping_parameters(model):
    share = model.validation
    if isinstance(share, str) and share not in ("auto", "last"):
        raise ValueError(f"validation must be a share of the impressions, 'auto', 'last' or None, got {share!r}.")
    if share is not None and not isinstance(share, str):
        check_number("validation", share, 0, 1, open_minimum=True, open_maximum=True)
    check_integer("n_iter_no_change", model.n_iter_no_change, 1)


def check_unchanged(model):
    """Raise if a parameter that must stay is not as it was in the first fit."""
    way_out = "set warm_start=False" if model.warm_start else "call fit"
    before = defaults(type(model)) | model._architecture | model._columns_as
    for name in (*model._architecture_parameters, *model._column_parameters):
        now, fitted = getattr(model, name), before[name]
        if name == "hidden_layer_sizes":
            now = check_layer_sizes(name, now)
        if name not in model._changeable_parameters and not is_equal(now, fitted):
            raise ValueError(f"{name} must stay {fitted!r}, as in the first fit, got {now!r}; {way_out} to begin anew.")


def is_equal(a, b):
    """Return whether two values of a parameter, or two arrays of labels, are the same."""
    return np.array_equal(np.asarray(a, dtype=object), np.asarray(b, dtype=object))
