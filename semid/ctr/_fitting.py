"""From checked data to a trained module: a first fit, one that goes on, and what they leave on the estimator."""

import copy
import math

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from semid.base._checks import check_layer_sizes, warn
from semid.base._live_module import LiveModule, build_seeded, export_state
from semid.ctr._encoding import ImpressionEncoder
from semid.ctr._holding_out import split_impressions
from semid.ctr._modules import describe_fields
from semid.ctr._parameters import check_unchanged
from semid.ctr._suspects import warn_of_codes_without_names, warn_of_ids_as_numbers, warn_of_suspects
from semid.engine._checkpoints import Checkpoint, NoCheckpoint, fingerprint_of
from semid.engine._click_net import LEAST_GAIN
from semid.engine._click_training import Calibration, NetOptions, train_click_model
from semid.engine._impressions import Batches
from semid.engine._ranks import current_ranks
from semid.engine._shared_step import check_shareable
from semid.nn._fields import grown_table, known_rows
from semid.tables._frames import split_columns

EMBEDDING_PACE, _NETWORK_PACE = 0.9, 0.6  # at which `forgetting=1.0` forgets
_READ_ROWS = 131_072  # impressions whose categories are read at once
_LEARNED_SHARE = 0.05  # least share of impressions whose hold-out a last epoch makes up for
_LEAST_AVERAGED_STEPS = 20
_CLEARLY = 0.01  # in AUC, under that of click rates
_JUDGED_ROWS = 100  # of the rarer class, held out, below which an AUC says little


def begin(model, X, y, weights, seed):
    """Learn the columns of `X`; return an untrained module and `X` encoded."""
    told = warn_of_ids_as_numbers(X, model.categorical_features)
    model.encoder_ = new_encoder(model)
    encoded = model.encoder_.fit_encode(X, weights)
    warn_of_codes_without_names(model, X)
    warn_of_suspects(model.encoder_, encoded, split_columns(X)[1], y, told)
    return start_module(model, np.average(y, weights=weights), seed), encoded


def new_encoder(model):
    """Return an encoder that has learned nothing; the model keeps what it is built from."""
    model._architecture = {name: getattr(model, name) for name in model._architecture_parameters}
    model._architecture |= model._architecture_constants
    model._architecture["hidden_layer_sizes"] = check_layer_sizes("hidden_layer_sizes", model.hidden_layer_sizes)
    model._columns_as = {name: copy.deepcopy(getattr(model, name)) for name in model._column_parameters}
    return ImpressionEncoder(
        model.categorical_features,
        model.code_features,
        model.vector_features,
        model.min_frequency,
        model.vector_fields,
    )


def start_module(model, rate, seed):
    """Return an untrained module, for columns that have been learned and a `rate` of clicks."""
    # Within reach of a sigmoid even if only one class is there yet.
    rate = np.clip(rate, 1e-6, 1 - 1e-6)
    model.fields_ = describe_fields(model, float(np.log(rate / (1 - rate))))
    model.calibration_ = Calibration()._asdict()
    return build_seeded(model._build_module, seed)


def resume(model, X, seed):
    """Add the new categories of `X`; return the trained module, with rows for them, and `X` encoded."""
    check_unchanged(model)
    model._architecture = model._architecture | {name: getattr(model, name) for name in model._changeable_parameters}
    before = model.fields_.shapes
    model.encoder_ = copy.copy(model.encoder_)
    encoded = model.encoder_.extend_encode(X)
    model.fields_ = model.fields_._replace(shapes=model.encoder_.shapes)
    module = build_seeded(model._build_module, seed)
    # By order: names move where dropout layers come or go.
    state = dict(zip(module.state_dict(), map(torch.tensor, model.state_.values()), strict=True))
    state["embedding.table"] = grown_table(state["embedding.table"], before, module.embedding)
    module.load_state_dict(state)
    return module, encoded


def train_on(model, module, impressions, y, eval_set, random_state, seed, before=None):
    """Train `module` on `impressions` but for those held out, and on these where there are many of them; keep it.

    Rows of the table of the fields `before`, if there were any, stay as they are where nothing is learned for them.
    """
    train, held_out = split_impressions(model, impressions, y, eval_set, random_state)
    is_worth_learning = eval_set is None and held_out is not None and len(held_out) >= _LEARNED_SHARE * len(y)
    everything = impressions if is_worth_learning else None
    zero_untrained(model, module.embedding, train, before)
    # That of former weights says nothing of these; a held-out part will give another.
    model.calibration_ = Calibration()._asdict()
    return train_module(model, module, train, held_out, model.max_iter, seed, everything, is_whole_fit=True)


def train_module(model, module, train, held_out, max_iter, seed, everything=None, *, is_whole_fit=False):
    """Train `module` and keep what it learned."""
    options = NetOptions(
        max_iter=max_iter,
        batch_size=_batch_size_for(model, len(train)),
        learning_rate=model.learning_rate,
        # Going once over impressions, there is nothing to forget.
        embedding_forgetting=EMBEDDING_PACE * model.forgetting if is_whole_fit else 0.0,
        network_forgetting=_NETWORK_PACE * model.forgetting if is_whole_fit else 0.0,
        weight_averaging=_averaging_for(model, len(train)),
        n_iter_no_change=model.n_iter_no_change,
        callbacks=tuple(model.callbacks),
        verbose=bool(model.verbose),
    )
    module = module.to(device=train.device, dtype=model._dtype)
    generator = torch.Generator().manual_seed(seed)
    ranks = current_ranks()
    if ranks.n_shares > 1:
        check_shareable(module)
    checkpoint = _open_checkpoint(model, module, train, held_out, generator, ranks, is_whole_fit)
    trained = train_click_model(module, train, held_out, options, generator, checkpoint, everything, ranks)
    module, model.history_, calibration = trained
    model.n_iter_ = len(model.history_["train_loss"])
    if held_out is not None:
        model.calibration_ = calibration._asdict()
        _warn_unless_learned(model, held_out)
    model.state_ = export_state(module)
    model._live = LiveModule()
    checkpoint.finish()
    return model


def _warn_unless_learned(model, held_out):
    """Warn if the model ranks no better than click rates, which need no training."""
    reached, rates = model.history_["valid_auc"].max(), model.history_["rates_auc"][0]
    n_clicks = sum(part.labels_and_weights()[0].sum().item() for part in held_out.parts)
    n_rarest = min(n_clicks, len(held_out) - n_clicks)
    is_short = model.n_iter_ <= model.n_iter_no_change  # asked for few epochs, which are not judged
    if is_short or n_rarest < _JUDGED_ROWS or reached > rates + LEAST_GAIN:
        return
    loss = model.history_["train_loss"]
    learned, way_out = (
        "it has learned nothing beyond them",
        "Longer patience (n_iter_no_change), another learning_rate, or fields that say more, such as codes of the "
        "items, may help",
    )
    if reached < rates - _CLEARLY:
        learned, way_out = "it has learned less than them", "Pass another learning_rate"
    warn(
        f"the model ranks held-out impressions with an AUC of {reached:.4f}, and the click rates of their "
        f"categories, added up, with {rates:.4f}: {learned} in {model.n_iter_} epochs, in which its training loss "
        f"went from {loss[0]:.4f} to {loss[-1]:.4f}. {way_out}.",
        ConvergenceWarning,
    )


def shared_random_state(model):
    """Return the random state of a fit, the same for all processes that share it."""
    random_state, ranks = check_random_state(model.random_state), current_ranks()
    if ranks.size == 1 or model.random_state is not None:
        return random_state
    return check_random_state(ranks.on_first(lambda: int(random_state.randint(np.iinfo(np.int32).max))))


def _open_checkpoint(model, module, train, held_out, generator, ranks, is_whole_fit):
    """Return the checkpoint of a fit, after a look at whether all who share it have been given the same."""
    is_kept = model.checkpoint_dir is not None and is_whole_fit
    if not is_kept and ranks.size == 1:
        return NoCheckpoint()
    data = (tensor for part in (train, held_out) if part is not None for tensor in part.tensors())
    start = (*module.state_dict().values(), generator.get_state())
    fingerprint = fingerprint_of(model, train.device, data=data, start=start)
    ranks.check_same(fingerprint)
    if not is_kept or ranks.rank > 0:
        return NoCheckpoint()
    return Checkpoint(model.checkpoint_dir, type(model).__name__, fingerprint)


def zero_untrained(model, embedding, train, before):
    """Set the embeddings that no training impression needs to zero, as those of unknown values are.

    They are of categories that were held out altogether. Those of the fields `before`, if there were any, stay as they
    are.
    """
    n_rows = len(embedding.table)
    is_trained = torch.zeros(n_rows, dtype=torch.bool) if before is None else known_rows(before, embedding)
    for categories, *_ in Batches(train, _READ_ROWS):
        is_trained[embedding.rows(categories.cpu())] = True
    with torch.no_grad():
        embedding.table[~is_trained] = 0.0


def _averaging_for(model, n_rows):
    """Return what an average leaves of itself in a step."""
    if model._averaged_epochs == 0:
        return 0.0
    n_steps = math.ceil(n_rows / _batch_size_for(model, n_rows))
    return 1 - 1 / max(model._averaged_epochs * n_steps, _LEAST_AVERAGED_STEPS)


def _batch_size_for(model, n_rows):
    if model.batch_size == "auto":
        return int(np.clip(n_rows // 50, 64, 2048))
    return int(model.batch_size)
