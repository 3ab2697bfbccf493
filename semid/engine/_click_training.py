"""The engine under the click models: a skorch net that trains on tensors which stay where they are.

As skorch comes, its DataLoader collates row by row and its loop reads each batch's loss back; slicing resident
tensors and reading once per epoch is twice as fast. The net lives in ``fit`` alone: estimators keep numpy.
"""

import copy
import inspect
import math
from contextlib import suppress
from operator import gt, lt
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, PassthroughScoring
from skorch.helper import predefined_split
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from semid.engine._checkpoints import NoCheckpoint, as_plain, n_bytes_of, plain_entries, warn_of_interruption
from semid.nn._click_rates import FieldEntries, click_rates
from semid.nn._fields import (
    CategoriesWithHistories,
    entries_of_lists,
    field_visits,
    lengths_of_lists,
    with_lists,
)
from semid.nn._histories import HistoryColumn, batch_history
from semid.nn._mlp import SeededDropout
from semid.nn._row_sparse import LazyAdam, Visits, forgetting_rates

_LEAST_SCALE, _LARGEST_SCALE = 1e-3, 10.0  # of calibrated logits
_TABLE = "embedding.table"
LEAST_GAIN = 0.002  # in AUC over click rates, of a model that has learned interactions
_PATIENCE_BEFORE = 3  # times that afterwards
_COMPARED_ROWS = 16_384  # whose logits say how a last epoch has changed them
_DRAWN_SHARE = 3000  # a row met in so small a share of impressions has half a second moment of its own
_RECORDED = ("train_loss", "valid_loss", "valid_auc")
_LAZY_STATE = (
    "second_moments",
    "resting_rates",
    "last_steps",
    "last_log_decays",
    "t",
    "log_decay",
    "field_moments",
    "rests_evenly",
)
_USERS = "user"  # how the names of the user's callbacks begin


class Impressions(Dataset):
    """Encoded impressions as tensors on one device; a part of them shares the tensors of the whole."""

    def __init__(self, encoded, y, weights, device, dtype):
        self.categories = torch.as_tensor(encoded.categories, device=device)  # (n, C) int32
        self.lists = [tuple(torch.as_tensor(array, device=device) for array in column) for column in encoded.lists]
        self.histories = [HistoryColumn(*(torch.as_tensor(a, device=device) for a in c)) for c in encoded.histories]
        self.numbers = torch.as_tensor(encoded.numbers, dtype=dtype, device=device)  # (n, M + vector columns)
        self.y = torch.as_tensor(y, dtype=dtype, device=device)  # (n,)
        self.weights = torch.as_tensor(weights, dtype=dtype, device=device)  # (n,)
        self.rows = None  # of a part
        self.weight_scale = 1 / self.weights.double().mean().item()

    def part(self, rows):
        """Return the impressions of `rows` alone, an array of positions."""
        part = copy.copy(self)
        part.rows = torch.as_tensor(rows, device=self.y.device)
        part.weight_scale = 1 / self.weights[part.rows].double().mean().item()
        return part

    def entries(self, field):
        """Return the `FieldEntries` of a categorical field or, behind those, of a list."""
        rows = torch.arange(len(self.y), device=self.y.device) if self.rows is None else self.rows
        n_categorical = self.categories.shape[1]
        if field < n_categorical:
            categories = self.categories[rows, field].long()
            impressions = torch.arange(len(rows), device=rows.device)
            return FieldEntries(categories, impressions, torch.ones_like(categories, dtype=torch.float64))
        entries, impressions, lengths = entries_of_lists(self.lists[field - n_categorical], rows)
        return FieldEntries(entries, impressions, 1 / lengths.double()[impressions])

    def labels_and_weights(self):
        """Return labels, and weights as they were given."""
        rows = slice(None) if self.rows is None else self.rows
        return self.y[rows], self.weights[rows]

    def tensors(self):
        """Yield all that the batches are made of."""
        yield from (self.categories, self.numbers, self.y, self.weights)
        for column in (*self.lists, *self.histories):
            yield from column
        if self.rows is not None:
            yield self.rows

    def __len__(self):
        return len(self.y) if self.rows is None else len(self.rows)

    def __getitem__(self, rows):
        """Return categories, with those of lists and histories, numbers, labels, and weights of mean 1."""
        (batch,) = self.batches(rows, max(1, len(rows)))
        return batch

    def batches(self, rows, batch_size):
        """Yield what `rows`, a tensor of positions, have, `batch_size` of them at a time."""
        rows = rows if self.rows is None else self.rows[rows]
        n_of_lists = _entries_per_batch([lengths_of_lists(column, rows) for column in self.lists], batch_size)
        n_of_histories = _entries_per_batch([column.lengths(rows) for column in self.histories], batch_size)
        for part in rows.split(batch_size):
            categories = self.categories[part]
            categories = with_lists(categories, self.lists, part, next(n_of_lists)) if self.lists else categories.long()
            if self.histories:
                batch = zip(self.histories, next(n_of_histories), strict=True)
                categories = CategoriesWithHistories(categories, tuple(batch_history(c, part, n) for c, n in batch))
            yield categories, self.numbers[part], self.y[part], self.weights[part] * self.weight_scale


class Batches:
    """Iterates over a dataset in slices; takes the place of the DataLoader in skorch."""

    def __init__(self, dataset, batch_size, generator=None):
        self.dataset, self.batch_size, self.generator = dataset, batch_size, generator

    def __iter__(self):
        order = torch.arange(len(self.dataset))
        if self.generator is not None:
            order = torch.randperm(len(self.dataset), generator=self.generator)
        yield from self.dataset.batches(order.to(self.dataset.y.device), self.batch_size)


class WeightAverage:
    """A copy of a module whose weights are the exponential moving average of its own, over steps.

    Click models overfit rare categories within an epoch and wander; the average of the last hundred steps does
    neither. The first steps weigh less, so that the random start is soon forgotten. The table is left to its
    optimizer, which averages it row by row.
    """

    def __init__(self, module, decay):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.n_steps = decay, 0
        names = [name for name, _ in module.named_parameters() if name != _TABLE]
        self.averages = [self.module.get_parameter(name) for name in names]
        self.currents = [module.get_parameter(name).detach() for name in names]
        state = module.state_dict()
        buffers = [(name, buffer) for name, buffer in module.named_buffers() if name in state]
        self.buffers = [(self.module.get_buffer(name), buffer) for name, buffer in buffers]

    @property
    def next_decay(self):
        return min(self.decay, self.n_steps / (self.n_steps + 10))

    def update(self):
        torch._foreach_lerp_(self.averages, self.currents, 1 - self.next_decay)
        for ours, current in self.buffers:  # statistics that a fusion of the user's keeps
            ours.copy_(current)
        self.n_steps += 1


class ClickNet(NeuralNet):
    """Trains a module (categories, numbers) → logits (B,) on the weighted log loss; ``average`` is what it learned."""

    average: WeightAverage
    kept_state: dict | None  # of the average, at the highest held-out AUC, or of the last complete epoch but the final
    n_complete: int  # epochs
    n_epochs: int  # at most
    rates_auc: float | None  # held-out AUC of click rates alone, the least that a model should reach
    lazy_table: LazyAdam
    matrices: list  # of the network
    kept_of_matrices: float  # what a step leaves of them
    generators: list  # all that the training draws from
    checkpoint: NoCheckpoint  # or a Checkpoint
    shows_gradients: bool  # to a callback that asks for them
    progress: tqdm

    def get_dataset(self, X, y=None):
        return X

    def notify(self, method_name, **kwargs):
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as interrupt:
            # How skorch's callbacks, EarlyStopping above all, end a training; at any other time it is the user's.
            if method_name != "on_epoch_end":
                raise
            raise TrainingEnds from interrupt
        if method_name == "on_epoch_end":  # after all callbacks, and outside of the try
            self.checkpoint.save(self.export)

    def export(self):
        """Return all that the epochs to come depend on."""
        return {
            "generators": [generator.get_state() for generator in self.generators],
            "module": self.module_.state_dict(),
            "optimizer": as_plain(self.optimizer_.state_dict()),  # with what schedulers have made of the learning rates
            "lazy_table": {name: getattr(self.lazy_table, name) for name in _LAZY_STATE},
            "average": self.average.module.state_dict(),
            "n_averaged": self.average.n_steps,
            "kept_state": self.kept_state,
            "history": [plain_entries(epoch) for epoch in self.history],
            "callbacks": [_memory(callback) for callback in self._users_callbacks()],
        }

    def restore(self, saved):
        """Go back to a state that `export` has returned."""
        for generator, state in zip(self.generators, saved["generators"], strict=True):
            generator.set_state(state)
        self.module_.load_state_dict(saved["module"])
        self.optimizer_.load_state_dict(saved["optimizer"])
        self.average.module.load_state_dict(saved["average"])
        self.average.n_steps, self.kept_state = saved["n_averaged"], saved["kept_state"]
        self._restore_lazy_table(saved["lazy_table"])
        self.history.extend(saved["history"])
        self.n_complete = len(self.history)
        for callback, memory in zip(self._users_callbacks(), saved["callbacks"], strict=True):
            _remember(callback, memory)

    def _restore_lazy_table(self, saved):
        self.lazy_table.group = _table_group(self)  # the optimizer has new ones
        for name, value in saved.items():
            if isinstance(value, torch.Tensor):
                getattr(self.lazy_table, name).copy_(value)
            else:
                setattr(self.lazy_table, name, value)

    def _users_callbacks(self):
        return [callback for name, callback in self.callbacks_ if name.startswith(_USERS)]

    def train_step(self, batch, **fit_params):
        categories, numbers, y, weights = batch
        self.module_.train()
        self.optimizer_.zero_grad(set_to_none=True)
        touched = ()
        if self.module_.embedding.table.requires_grad:
            touched = (self.lazy_table.open(*field_visits(self.module_.embedding, categories, weights)),)
        logits = self.module_(categories, numbers, *touched)
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (losses * weights).mean()  # the weights are 1 on average: unbiased in every batch
        loss.backward()
        if self.shows_gradients:
            parameters = _with_gradients(self.module_, touched)
            self.notify("on_grad_computed", named_parameters=parameters, batch=batch, training=True)
        self.optimizer_.step()
        for matrix in self.matrices:
            if matrix.requires_grad:
                matrix.data.mul_(self.kept_of_matrices)
        if touched:
            self.lazy_table.close(self.average.next_decay)
        self.average.update()
        self.progress.update()
        return loss.detach() * len(y)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if iterator is None:
            return
        if not training:
            self._record_held_out(iterator)
            return
        with torch.enable_grad():
            loss = float(sum(self._notified_step(batch, step_fn) for batch in iterator) / len(iterator.dataset))
        self.complain_of_divergence("loss", loss)
        self.settle_table()
        self._record("train_loss", loss, lt)
        if self.train_split is None:
            self._complete_epoch(is_best=True)
        self.progress.set_postfix(self._shown(), refresh=False)

    def complain_of_divergence(self, name, values):
        """Raise ValueError unless `values`, the `name` of this epoch, are finite."""
        wrong = np.asarray(values)[~np.isfinite(values)]
        if wrong.size:
            self.checkpoint.finish()  # it leads here again
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: the {name} is {wrong[0]} with "
                f"learning_rate={self.lr}. Pass a smaller learning_rate."
            )

    def settle_table(self):
        """Bring the table and its average up to date; one that is frozen is its own average."""
        self.lazy_table.settle()
        table = self.module_.embedding.table
        if not table.requires_grad:
            self.average.module.embedding.table.copy_(table)

    def _notified_step(self, batch, step_fn):
        self.notify("on_batch_begin", batch=batch, training=True)
        loss = step_fn(batch)
        self.notify("on_batch_end", batch=batch, training=True)
        return loss

    def _record_held_out(self, iterator):
        y, logits, weights = self.score_held_out(iterator.dataset)
        self.complain_of_divergence("logit of a held-out impression", logits)
        self._record("valid_loss", np.average(np.logaddexp(0, logits) - y * logits, weights=weights), lt)
        self._record("valid_auc", roc_auc_score(y, logits, sample_weight=weights), gt)
        self._complete_epoch(self.history[-1, "valid_auc_best"])
        self.progress.set_postfix(self._shown(), refresh=False)

    def _complete_epoch(self, is_best):
        is_final = self.train_split is None and len(self.history) == self.n_epochs
        if is_final:
            self.kept_state = None  # the average as it is
        elif is_best:
            self.kept_state = copy.deepcopy(self.average.module.state_dict())
        self.n_complete = len(self.history)

    def _record(self, name, value, is_better):
        """Record a value of this epoch and, for skorch's callbacks, whether it `is_better` than all before."""
        value = float(value)
        is_best = all(is_better(value, epoch[name]) for epoch in self.history[:-1])
        self.history.record(name, value)
        self.history.record(f"{name}_best", is_best)

    def _shown(self):
        shown = {name: f"{self.history[-1, name]:.4f}" for name in _RECORDED if name in self.history[-1]}
        if self.rates_auc is not None:
            shown["rates_auc"] = f"{self.rates_auc:.4f}"
        return {"epoch": len(self.history), **shown}

    def score_held_out(self, held_out):
        """Return labels, logits of the averaged weights, and sample weights, as float64 arrays."""
        batches = Batches(held_out, max(self.batch_size, 8192))
        with torch.inference_mode():
            scored = [(y, self.average.module(*inputs), weights) for *inputs, y, weights in batches]
        return tuple(torch.cat(part).cpu().numpy().astype(np.float64) for part in zip(*scored, strict=True))


class TrainingEnds(Exception):
    """Ends a fit. skorch's callbacks raise KeyboardInterrupt for it, which at any other time is the user's."""


class StopWhenNoBetter(Callback):
    """Ends training when the held-out AUC has not risen for `patience` epochs.

    A model that ranks no better than click rates has not left the plateau where its interactions begin, and waits three
    times as long.
    """

    def __init__(self, patience):
        self.patience = patience

    def on_epoch_end(self, net, **kwargs):
        is_on_plateau = max(net.history[:, "valid_auc"]) < net.rates_auc + LEAST_GAIN
        patience = self.patience * (_PATIENCE_BEFORE if is_on_plateau else 1)
        if not any(net.history[-patience:, "valid_auc_best"]):
            raise TrainingEnds


def check_callbacks(callbacks):
    """Raise unless `callbacks` are skorch callbacks that can act here."""
    if not (isinstance(callbacks, list | tuple) and all(isinstance(c, Callback) for c in callbacks)):
        raise TypeError(f"callbacks must be a list of skorch callbacks, got {callbacks!r}.")
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, BatchScoring | EpochScoring | PassthroughScoring):
            raise ValueError(
                f"callbacks must not score with skorch's predictions, got {name}. valid_loss and valid_auc are in the "
                "history; for another measure call net.score_held_out(dataset_valid) in the on_epoch_end of a Callback."
            )
        if getattr(callback, "load_best", False):
            raise ValueError(
                f"callbacks must not load weights at the end, which the averaged ones replace, got {name}("
                "load_best=True). validation=0.1 keeps the best epoch."
            )


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


def train_click_model(module, train, held_out, options, generator, checkpoint=None, everything=None):
    """Train `module`, with Adam and the embedding optimizer on its table; return the `TrainedModel`.

    With `held_out` impressions (or None), training stops when their AUC has not improved for ``n_iter_no_change``
    epochs, the weights are those of the best epoch, and the logits are calibrated on them. With `everything`, one more
    epoch from there learns all impressions, those held out among them. With a `checkpoint`, it goes on from the state
    that is there. Interrupted by the user after at least one epoch, it warns, and returns what was learned in complete
    ones.
    """
    checkpoint = checkpoint or NoCheckpoint()
    saved = checkpoint.load()
    checkpoint.reserve(5 * n_bytes_of(module))  # with the average, that of the best epoch, and two moments of Adam
    net = _make_net(module, train, held_out, options, generator)
    base, rates = None, []
    if options.embedding_forgetting or held_out is not None:
        base, rates = _click_rates(module.embedding, train)
    _prepare_optimizers(net, rates, train, options)
    net.checkpoint, net.kept_state, net.n_complete, net.n_epochs = checkpoint, None, 0, options.max_iter
    net.generators = [generator, _seed_dropout(module, generator, train.y.device)]
    net.rates_auc = None if held_out is None else _rates_auc(base, rates, held_out)
    n_steps = -(-len(train) // options.batch_size)  # per epoch
    bar = tqdm(total=options.max_iter * n_steps, unit=" steps", disable=not options.verbose, mininterval=0.5)
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
    history = {name: np.array(net.history[: net.n_complete, name]) for name in _RECORDED if name in net.history[0]}
    if held_out is not None:
        history["rates_auc"] = np.full(net.n_complete, net.rates_auc)
    return TrainedModel(net.average.module, history, calibration)


def _make_net(module, train, held_out, options, generator):
    """Return the skorch net that trains `module`, initialized."""
    callbacks = [(f"{_USERS}{i}", callback) for i, callback in enumerate(copy.deepcopy(options.callbacks))]
    if held_out is not None:
        callbacks.append(("stop", StopWhenNoBetter(options.n_iter_no_change)))
    return ClickNet(
        module,
        criterion=torch.nn.BCEWithLogitsLoss,  # skorch wants one; train_step computes the weighted loss itself
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        optimizer__param_groups=[(_TABLE, {})],
        lr=options.learning_rate,
        max_epochs=options.max_iter,
        batch_size=options.batch_size,
        iterator_train=Batches,
        iterator_train__generator=generator,
        iterator_valid=Batches,
        train_split=None if held_out is None else predefined_split(held_out),
        callbacks=callbacks,
        callbacks__valid_loss=None,
        callbacks__train_loss=None,
        callbacks__print_log=None,
        verbose=0,
        device=str(train.y.device),
    ).initialize()


def _run_epochs(net, train):
    """Run the epochs that are left, give the average the weights to keep, and return whether nobody interrupted."""
    is_whole = True
    try:
        with suppress(TrainingEnds):
            net.fit_loop(train, epochs=net.n_epochs - net.n_complete)
    except KeyboardInterrupt:
        if net.n_complete == 0:
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
    sample = copy.copy(train)
    sample.rows = train.rows[:_COMPARED_ROWS]
    _, before, _ = net.score_held_out(sample)
    try:
        for batch in Batches(everything, net.batch_size, net.generators[0]):
            net.train_step(batch)
    except KeyboardInterrupt:
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
    net.matrices = [p for name, p in net.module_.named_parameters() if name != _TABLE and p.ndim > 1]
    net.kept_of_matrices = math.exp(-options.network_forgetting / (10 * math.sqrt(n_steps)))
    net.shows_gradients = any(type(c).on_grad_computed is not Callback.on_grad_computed for c in options.callbacks)
    net.average = WeightAverage(net.module_, options.weight_averaging)
    statistics = None
    if len(embedding.first_rows):
        visits = torch.where(visits > 0, visits, 1.0)  # a row that only a last epoch meets has met one impression then
        prior = None
        if options.embedding_forgetting and net.module_.n_first_order:
            least_weight = train.labels_and_weights()[1].min().item() * train.weight_scale
            precisions = torch.cat([torch.full_like(r.log_odds, r.precision) for r in rates])
            prior = precisions * least_weight / visits / (n_rows / n_steps)
            prior = prior[:, None].to(embedding.table)
        per_step = (visits / n_steps)[:, None].to(embedding.table)
        statistics = Visits(per_step, embedding.first_rows, n_rows / n_steps / _DRAWN_SHARE, prior)
    net.lazy_table = LazyAdam(
        embedding.table,
        _table_group(net),
        net.average.module.embedding.table,
        forgetting,
        net.module_.n_first_order,
        statistics,
    )


def _visits(embedding, impressions):
    """Return how often an epoch meets each row of the table, (R,) float64, with weights of 1 on average."""
    weights = impressions.labels_and_weights()[1].double() * impressions.weight_scale
    visits = torch.zeros(len(embedding.table), dtype=torch.float64, device=weights.device)
    for field, first_row in enumerate(embedding.first_rows.tolist()):
        entries = impressions.entries(field)
        visits.index_add_(0, entries.categories + first_row, weights[entries.impressions])
    return visits


def _click_rates(embedding, impressions):
    sizes = np.diff([*embedding.first_rows.tolist(), len(embedding.table)]).tolist()
    return click_rates(impressions.entries, sizes, *impressions.labels_and_weights())


def _rates_auc(base, rates, held_out):
    """Return the AUC on `held_out` of click rates of all categories, added up as log-odds."""
    y, weights = held_out.labels_and_weights()
    log_odds = torch.full_like(y, base, dtype=torch.float64)
    for field, of_field in enumerate(rates):
        categories, impressions, shares = held_out.entries(field)
        log_odds.index_add_(0, impressions, of_field.log_odds[categories] * shares)
    y, log_odds, weights = (tensor.cpu().numpy() for tensor in (y, log_odds, weights))
    return float(roc_auc_score(y, log_odds, sample_weight=weights))


def _entries_per_batch(columns, batch_size):
    """Yield how many entries each batch has of each column, of `lengths` (n,) per row, read from the device at once."""
    sums = [F.pad(lengths, (0, -len(lengths) % batch_size)).view(-1, batch_size).sum(1).tolist() for lengths in columns]
    yield from zip(*sums, strict=True)


def _table_group(net):
    (group,) = [g for g in net.optimizer_.param_groups if g["params"][0] is net.module_.embedding.table]
    return group


def _memory(callback):
    """Return what `callback` has gathered beyond its parameters, as far as a checkpoint can hold it.

    That is numbers, text, tensors, and the state of what has one, such as the scheduler of skorch's LRScheduler.
    """
    parameters = inspect.signature(type(callback)).parameters
    gathered = {name: value for name, value in vars(callback).items() if name not in parameters}
    objects = {name: value for name, value in gathered.items() if not isinstance(value, type)}
    states = {name: value.state_dict() for name, value in objects.items() if hasattr(value, "load_state_dict")}
    return {"values": plain_entries(gathered), "states": plain_entries(states)}


def _remember(callback, memory):
    for name, value in memory["values"].items():
        setattr(callback, name, value)
    for name, state in memory["states"].items():
        getattr(callback, name).load_state_dict(state)


def _with_gradients(module, touched):
    """Return the names and tensors that hold gradients: parameters, the table's in the rows that a batch touches."""
    parameters = [(name, p) for name, p in module.named_parameters() if not (touched and name == _TABLE)]
    return parameters + [(_TABLE, rows.values) for rows in touched]


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
