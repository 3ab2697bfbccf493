"""Training of click models: optimizers, epochs, a last epoch over all impressions, and the calibration."""

import copy
import math
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from tqdm.auto import tqdm

from semid.engine._checkpoints import NoCheckpoint, n_bytes_of, warn_of_interruption
from semid.engine._click_net import (
    RECORDED,
    TABLE,
    USERS,
    ClickNet,
    StopWhenNoBetter,
    TrainingEnds,
    WeightAverage,
    table_group,
)
from semid.engine._impressions import Batches
from semid.engine._ranks import OneShare
from semid.nn._click_rates import click_rates
from semid.nn._mlp import SeededDropout
from semid.nn._row_sparse import LazyAdam, Visits, forgetting_rates

_LEAST_SCALE, _LARGEST_SCALE = 1e-3, 10.0  # of calibrated logits
_COMPARED_ROWS = 16_384  # whose logits say how a last epoch has changed them
_DRAWN_SHARE = 3000  # a row met in so small a share of impressions has half a second moment of its own


class NetOptions(NamedTuple):
    max_iter: int
    batch_size: int
    learning_rate: float
    embedding_forgetting: float  # pace, see `forgetting_rates`
    network_forgetting: float  # pace, of weight matrices
    weight_averaging: float
    n_iter_no_change: int
    callbacks: tuple
    verbose: bool


class Calibration(NamedTuple):
    """Logit = scale × the module's output + shift; the scale is positive, so that it keeps the order."""

    scale: float = 1.0
    shift: float = 0.0


class TrainedModel(NamedTuple):
    module: torch.nn.Module  # of averaged weights
    history: dict[str, np.ndarray]  # one entry per epoch
    calibration: Calibration


def train_click_model(module, train, held_out, options, generator, checkpoint=None, everything=None, ranks=None):
    """Train `module`, with Adam and the embedding optimizer on its table; return the `TrainedModel`.

    With `held_out` impressions (or None), training stops when their AUC has not improved for ``n_iter_no_change``
    epochs, the weights are those of the best epoch, and the logits are calibrated on them. With `everything`, one more
    epoch from there learns all impressions, those held out among them. With a `checkpoint`, it goes on from the state
    that is there. Interrupted by the user after at least one epoch, it warns, and returns what was learned in complete
    ones. The `ranks` of a shared fit all call this with the same, and the first alone has a `checkpoint`.
    """
    checkpoint, ranks = checkpoint or NoCheckpoint(), ranks or OneShare()
    saved = ranks.on_first(checkpoint.load)
    # With the average, that of the best epoch, and two moments of Adam.
    ranks.on_first(lambda: checkpoint.reserve(5 * n_bytes_of(module)))
    net = _make_net(module, train, held_out, options, generator, ranks)
    base, rates = None, []
    if options.embedding_forgetting or held_out is not None:
        base, rates = _click_rates(module.embedding, train)
    _prepare_optimizers(net, rates, train, options)
    net.checkpoint, net.kept_state, net.n_complete, net.n_epochs = checkpoint, None, 0, options.max_iter
    net.generators = [generator, _seed_dropout(module, generator, train.device)]
    net.rates_auc = None if held_out is None else _rates_auc(base, rates, held_out)
    n_steps = -(-len(train) // options.batch_size)  # per epoch
    is_shown = options.verbose and ranks.rank == 0
    bar = tqdm(total=options.max_iter * n_steps, unit=" steps", disable=not is_shown, mininterval=0.5)
    with bar as net.progress:
        net.notify("on_train_begin", X=train, y=None)
        if saved is not None:
            net.restore(saved)
            net.progress.update(net.n_complete * n_steps)
        is_whole = _run_epochs(net, train)
        calibration = Calibration() if held_out is None else _calibrate(*net.score_held_out(held_out))
        if is_whole and everything is not None:
            calibration = _learn_everything(net, train, everything, calibration)
        net.notify("on_train_end", X=train, y=None)
    history = {name: np.array(net.history[: net.n_complete, name]) for name in RECORDED if name in net.history[0]}
    if held_out is not None:
        history["rates_auc"] = np.full(net.n_complete, net.rates_auc)
    return TrainedModel(net.average.module, history, calibration)


def _make_net(module, train, held_out, options, generator, ranks):
    """Return the skorch net that trains `module`, initialized."""
    callbacks = [(f"{USERS}{i}", callback) for i, callback in enumerate(copy.deepcopy(options.callbacks))]
    if held_out is not None:
        callbacks.append(("stop", StopWhenNoBetter(options.n_iter_no_change)))
    net = ClickNet(
        module,
        criterion=torch.nn.BCEWithLogitsLoss,  # skorch wants one; train_step computes the weighted loss itself
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        optimizer__param_groups=[(TABLE, {})],
        lr=options.learning_rate,
        max_epochs=options.max_iter,
        batch_size=options.batch_size,
        iterator_train=Batches,
        iterator_train__generator=generator,
        iterator_train__n_shares=ranks.n_shares,
        iterator_valid=Batches,
        train_split=None if held_out is None else predefined_split(held_out),
        callbacks=callbacks,
        callbacks__valid_loss=None,
        callbacks__train_loss=None,
        callbacks__print_log=None,
        verbose=0,
        device=str(train.device),
    ).initialize()
    net.ranks = ranks
    return net


def _run_epochs(net, train):
    """Run the epochs that are left, give the average the weights to keep, and return whether nobody interrupted."""
    is_whole = True
    try:
        with suppress(TrainingEnds):
            net.fit_loop(train, epochs=net.n_epochs - net.n_complete)
    except KeyboardInterrupt:
        if net.n_complete == 0 or net.ranks.size > 1:  # the others may be an epoch ahead
            raise
        is_whole = False
        net.checkpoint.keep()
        warn_of_interruption(net.n_complete, net.n_epochs)
    if net.kept_state is not None:
        net.average.module.load_state_dict(net.kept_state)
    _check_learned(net, train)
    return is_whole


def _learn_everything(net, train, everything, calibration):
    """Go once more over all impressions, from the weights of the best epoch, and return the calibration for it.

    The held-out part has said when to stop. An embedding that forgets within about an epoch needs one epoch to learn
    what was held out, and categories that are met a dozen times miss every visit. What was held out can't calibrate
    a model that has seen it: mean and spread of the calibrated logits stay as they were on a sample of `train`.
    """
    best = copy.deepcopy(net.average.module.state_dict())
    net.module_.load_state_dict(best)
    sample = train.first(_COMPARED_ROWS)
    _, before, _ = net.score_held_out(sample)
    try:
        for batch in Batches(everything, net.batch_size, net.generators[0], net.ranks.n_shares):
            net.train_step(batch)
    except KeyboardInterrupt:
        if net.ranks.size > 1:
            raise
        net.average.module.load_state_dict(best)
        net.checkpoint.keep()
        warn_of_interruption(net.n_complete, net.n_epochs)
        return calibration
    net.settle_table()
    _check_learned(net, everything)
    _, after, _ = net.score_held_out(sample)
    scale = calibration.scale * before.std() / max(after.std(), 1e-9)
    scale = float(np.clip(scale, _LEAST_SCALE, _LARGEST_SCALE))
    return Calibration(scale, float(calibration.scale * before.mean() + calibration.shift - scale * after.mean()))


def _check_learned(net, impressions):
    """Raise if training has diverged in its last step, whose loss is that before it."""
    *inputs, _, _ = next(iter(Batches(impressions, net.batch_size)))
    with torch.inference_mode():
        logits = net.average.module(*inputs)
    net.complain_of_divergence("logit of an impression", logits.cpu().numpy())


def _prepare_optimizers(net, rates, train, options):
    """Give `net` its average, and the optimizer of the rows that a batch touches.

    Its learning rate is that of the table's group in ``optimizer_``, where skorch's schedulers find them.
    """
    embedding, n_rows = net.module_.embedding, len(train)
    n_steps = math.ceil(n_rows / options.batch_size)
    visits = _visits(embedding, train)
    forgetting = 0.0
    if options.embedding_forgetting:
        forgetting = forgetting_rates(visits / n_rows, n_steps, options.embedding_forgetting).to(embedding.table)
    net.matrices = [p for name, p in net.module_.named_parameters() if name != TABLE and p.ndim > 1]
    net.kept_of_matrices = math.exp(-options.network_forgetting / (10 * math.sqrt(n_steps)))
    net.shows_gradients = any(type(c).on_grad_computed is not Callback.on_grad_computed for c in options.callbacks)
    net.average = WeightAverage(net.module_, options.weight_averaging)
    statistics = None
    if len(embedding.first_rows):
        visits = torch.where(visits > 0, visits, 1.0)  # a row that only a last epoch meets has met one impression then
        prior = None
        if options.embedding_forgetting and net.module_.n_first_order:
            least_weight = train.least_weight()
            precisions = torch.cat([torch.full_like(r.log_odds, r.precision) for r in rates])
            prior = precisions * least_weight / visits / (n_rows / n_steps)
            prior = prior[:, None].to(embedding.table)
        per_step = (visits / n_steps)[:, None].to(embedding.table)
        statistics = Visits(per_step, embedding.first_rows, n_rows / n_steps / _DRAWN_SHARE, prior)
    net.lazy_table = LazyAdam(
        embedding.table,
        table_group(net),
        net.average.module.embedding.table,
        forgetting,
        net.module_.n_first_order,
        statistics,
    )


def _visits(embedding, impressions):
    """Return how often an epoch meets each row of the table, (R,) float64, with weights of 1 on average."""
    visits = torch.zeros(len(embedding.table), dtype=torch.float64, device=impressions.device)
    for part in impressions.parts:
        weights = part.labels_and_weights()[1].double() * impressions.weight_scale
        for field, first_row in enumerate(embedding.first_rows.tolist()):
            entries = part.entries(field)
            visits.index_add_(0, entries.categories + first_row, weights[entries.impressions])
    return visits


def _click_rates(embedding, impressions):
    sizes = np.diff([*embedding.first_rows.tolist(), len(embedding.table)]).tolist()
    return click_rates(impressions.parts, sizes, impressions.kept_by_part())


def _rates_auc(base, rates, held_out):
    """Return the AUC on `held_out` of click rates of all categories, added up as log-odds."""
    scored = []
    for part in held_out.parts:
        y, weights = part.labels_and_weights()
        log_odds = torch.full_like(y, base, dtype=torch.float64)
        for field, of_field in enumerate(rates):
            categories, impressions, shares = part.entries(field)
            log_odds.index_add_(0, impressions, of_field.log_odds[categories] * shares)
        scored.append((y, log_odds, weights))
    y, log_odds, weights = (torch.cat(tensors).cpu().numpy() for tensors in zip(*scored, strict=True))
    return float(roc_auc_score(y, log_odds, sample_weight=weights))


def _calibrate(y, logits, weights):
    """Return the scale and shift of `logits` with the least log loss on held-out impressions.

    Platt scaling (Platt, 1999, from memory), with targets drawn in from 0 and 1. A click model ranks best some epochs
    after its probabilities have become too sure of themselves; this takes the sureness back and leaves the order.
    """
    n_clicks, n_others = y.sum(), (1 - y).sum()
    targets = np.where(y == 1, (n_clicks + 1) / (n_clicks + 2), 1 / (n_others + 2))

    def loss(parameters):
        calibrated = parameters[0] * logits + parameters[1]
        return np.average(np.logaddexp(0, calibrated) - targets * calibrated, weights=weights)

    bounds = [(_LEAST_SCALE, _LARGEST_SCALE), (None, None)]
    scale, shift = minimize(loss, x0=[1.0, 0.0], bounds=bounds, method="L-BFGS-B").x
    return Calibration(float(scale), float(shift))


def _seed_dropout(module, generator, device):
    """Give the dropout layers of `module` one generator on `device`, seeded by `generator`; return it."""
    masks = torch.Generator(device).manual_seed(generator.initial_seed())
    for layer in module.modules():
        if isinstance(layer, SeededDropout):
            layer.generator = masks
    return masks
