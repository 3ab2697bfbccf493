"""The parameters of a recommender: what is wrong with them, and which must stay once it is fitted."""

from torch import nn

from semid.base._checks import check_integer, check_number, check_option
from semid.base._live_module import resolve_device
from semid.engine._checkpoints import check_checkpoint_dir
from semid.nn._fusions import FUSIONS
from semid.recommend._catalogue import check_codes_parameter

HEAD_WIDTH = 32  # of the transformer's attention


def check_parameters(model):
    """Raise if a parameter is out of its range."""
    check_codes_parameter(model.codes)
    check_option("head", model.head, ("parallel", "residual", "popularity"))
    width = check_integer("embedding_dim", model.embedding_dim, 1)
    if width > HEAD_WIDTH and width % HEAD_WIDTH:
        raise ValueError(
            f"embedding_dim must be a multiple of {HEAD_WIDTH}, the width of a head of attention, or at most that, got "
            f"{width}."
        )
    check_integer("n_layers", model.n_layers, 1)
    is_own = isinstance(model.fusion, type) and issubclass(model.fusion, nn.Module)
    if not is_own and not (isinstance(model.fusion, str) and model.fusion in FUSIONS):
        names = ", ".join(map(repr, FUSIONS))
        raise ValueError(f"fusion must be one of {names}, or a class of torch modules, got {model.fusion!r}.")
    check_option("own_embedding", model.own_embedding, (True, False))
    check_integer("max_length", model.max_length, 1)
    check_number("dropout", model.dropout, 0, 1, open_maximum=True)
    _check_training(model)


def _check_training(model):
    check_integer("max_iter", model.max_iter, 1)
    if model.batch_size != "auto":
        check_integer("batch_size", model.batch_size, 1)
    check_number("learning_rate", model.learning_rate, 0, open_minimum=True)
    if model.validation is not None:
        check_number("validation", model.validation, 0, 1, open_minimum=True, open_maximum=True)
    check_integer("n_iter_no_change", model.n_iter_no_change, 1)
    check_checkpoint_dir(model.checkpoint_dir, model.random_state)
    resolve_device(model.device)


def n_heads(embedding_dim):
    """Return the number of heads of attention."""
    return max(1, embedding_dim // HEAD_WIDTH)


def check_unchanged(model):
    """Raise if a parameter that must stay is not as it was in the first fit."""
    for name in model._architecture_parameters:
        now, fitted = getattr(model, name), model._architecture[name]
        if now != fitted:
            raise ValueError(f"{name} must stay {fitted!r}, as in the first fit, got {now!r}; call fit to begin anew.")
