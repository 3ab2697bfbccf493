"""The engine under the click models: a skorch net that trains on tensors which stay where they are.

As skorch comes, its DataLoader collates row by row and its loop reads each batch's loss back; slicing resident
tensors and reading once per epoch is twice as fast. The net lives in ``fit`` alone: estimators keep numpy.
"""

import copy
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from semid.nn._mlp import SeededDropout
from semid.nn._row_sparse import LazyAdam, RowwiseAdagrad

EMBEDDING_OPTIMIZERS = {"lazy_adam": LazyAdam, "rowwise_adagrad": RowwiseAdagrad, "dense_adam": None}
_LEAST_SCALE = 1e-3  # of calibrated logits
_RECORDED = ("train_loss", "valid_loss", "valid_auc")


class Impressions(Dataset):
    """Encoded impressions as tensors on one device; a part of them shares the tensors of the whole."""

    def __init__(self, encoded, y, weights, device, dtype):
        self.categories = torch.as_tensor(encoded.categories, device=device)  # (n, C) int32
        self.lists = [tuple(torch.as_tensor(array, device=device) for array in column) for column in encoded.lists]
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

    def __len__(self):
        return len(self.y) if self.rows is None else len(self.rows)

    def __getitem__(self, rows):
        """Return categories, those of lists behind the others, numbers, labels, and weights of mean 1."""
        rows = rows if self.rows is None else self.rows[rows]
        categories = [self.categories[rows]]
        if self.lists:
            longest = max(entries.shape[1] for entries, _ in self.lists)
            categories += [
                F.pad(entries[which[rows]], (0, longest - entries.shape[1])) for entries, which in self.lists
            ]
        categories = torch.cat(categories, dim=1).long()
        return categories, self.numbers[rows], self.y[rows], self.weights[rows] * self.weight_scale


class Batches:
    """Iterates over a dataset in slices; takes the place of the DataLoader in skorch."""

    def __init__(self, dataset, batch_size, generator=None):
        self.dataset, self.batch_size, self.generator = dataset, batch_size, generator

    def __iter__(self):
        order = torch.arange(len(self.dataset))
        if self.generator is not None:
            order = torch.randperm(len(self.dataset), generator=self.generator)
        for rows in order.to(self.dataset.y.device).split(self.batch_size):
            yield self.dataset[rows]


class WeightAverage:
    """A copy of a module whose weights are the exponential moving average of its own, over steps.

    Click models overfit rare categories within an epoch and wander; the average of the last hundred steps does
    neither. The first steps weigh less, so that the random start is soon forgotten. A table whose optimizer averages it
    row by row is left to that one.
    """

    def __init__(self, module, decay, *, but_table):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.n_steps = decay, 0
        names = [name for name, _ in module.named_parameters() if not (but_table and name == _TABLE)]
        self.averages = [self.module.get_parameter(name) for name in names]
        self.currents = [module.get_parameter(name).detach() for name in names]

    @property
    def next_decay(self):
        return min(self.decay, self.n_steps / (self.n_steps + 10))

    def update(self):
        torch._foreach_lerp_(self.averages, self.currents, 1 - self.next_decay)
        self.n_steps += 1


_TABLE = "embedding.table"


class ClickNet(NeuralNet):
    """Trains a module (categories, numbers) → logits (B,) on the weighted log loss; ``average`` is what it learned."""

    average: WeightAverage
    lazy_table: LazyAdam | None
    max_gradient_norm: float | None
    progress: tqdm

    def get_dataset(self, X, y=None):
        return X

    def train_step(self, batch, **fit_params):
        categories, numbers, y, weights = batch
        self.module_.train()
        self.optimizer_.zero_grad(set_to_none=True)
        touched = ()
        if self.lazy_table is not None:
            touched = (self.lazy_table.open(self.module_.embedding.rows(categories)),)
        logits = self.module_(categories, numbers, *touched)
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (losses * weights).mean()  # the weights are 1 on average: unbiased in every batch
        loss.backward()
        if self.max_gradient_norm is not None:
            rows = [rows.values for rows in touched]
            torch.nn.utils.clip_grad_norm_([*self.module_.parameters(), *rows], self.max_gradient_norm)
        self.optimizer_.step()
        if self.lazy_table is not None:
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
        if not np.isfinite(loss):
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: the loss is {loss} with learning_rate={self.lr}. "
                "Pass a smaller learning_rate."
            )
        if self.lazy_table is not None:
            self.lazy_table.settle()
        self.history.record("train_loss", loss)
        self.progress.set_postfix(self._shown(), refresh=False)

    def _notified_step(self, batch, step_fn):
        self.notify("on_batch_begin", batch=batch, training=True)
        loss = step_fn(batch)
        self.notify("on_batch_end", batch=batch, training=True)
        return loss

    def _record_held_out(self, iterator):
        y, logits, weights = self.score_held_out(iterator.dataset)
        self.history.record("valid_loss", float(np.average(np.logaddexp(0, logits) - y * logits, weights=weights)))
        self.history.record("valid_auc", float(roc_auc_score(y, logits, sample_weight=weights)))
        self.progress.set_postfix(self._shown(), refresh=False)

    def _shown(self):
        shown = {name: f"{self.history[-1, name]:.4f}" for name in _RECORDED if name in self.history[-1]}
        return {"epoch": len(self.history), **shown}

    def score_held_out(self, held_out):
        """Return labels, logits of the averaged weights, and sample weights, as float64 arrays."""
        batches = Batches(held_out, max(self.batch_size, 8192))
        with torch.inference_mode():
            scored = [(y, self.average.module(*inputs), weights) for *inputs, y, weights in batches]
        return tuple(torch.cat(part).cpu().numpy().astype(np.float64) for part in zip(*scored, strict=True))


class TrainingEnds(Exception):
    """Raised by a callback to end a fit; not skorch's KeyboardInterrupt, which is the user's."""


class StopWhenNoBetter(Callback):
    """Ends training when the held-out AUC has not risen for `patience` epochs; keeps the best epoch's weights."""

    def __init__(self, patience):
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        self.best_auc_, self.n_misses_, self.best_state_ = -np.inf, 0, None

    def on_epoch_end(self, net, **kwargs):
        auc = net.history[-1, "valid_auc"]
        if auc > self.best_auc_:
            self.best_auc_, self.n_misses_ = auc, 0
            self.best_state_ = copy.deepcopy(net.average.module.state_dict())
            return
        self.n_misses_ += 1
        if self.n_misses_ == self.patience:
            raise TrainingEnds

    def on_train_end(self, net, **kwargs):
        if self.best_state_ is not None:
            net.average.module.load_state_dict(self.best_state_)


class NetOptions(NamedTuple):
    max_iter: int
    batch_size: int
    learning_rate: float
    embedding_learning_rate: float
    l2: float
    embedding_l2: float
    embedding_optimizer: str
    max_gradient_norm: float | None
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


def train_click_model(module, train, held_out, options, generator):
    """Train `module`, with Adam and the embedding optimizer on its table; return the `TrainedModel`.

    With `held_out` impressions (or None), training stops when their AUC has not improved for ``n_iter_no_change``
    epochs, the weights are those of the best epoch, and the logits are calibrated on them.
    """
    callbacks = [(f"user{i}", callback) for i, callback in enumerate(copy.deepcopy(options.callbacks))]
    if held_out is not None:
        callbacks.append(("stop", StopWhenNoBetter(options.n_iter_no_change)))
    net = ClickNet(
        module,
        criterion=torch.nn.BCEWithLogitsLoss,  # skorch wants one; train_step computes the weighted loss itself
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=options.l2,
        optimizer__fused=True,
        optimizer__param_groups=[
            (_TABLE, {"lr": options.embedding_learning_rate, "weight_decay": options.embedding_l2})
        ],
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
    _prepare_optimizers(net, options)
    _seed_dropout(module, generator, train.y.device)
    n_steps = options.max_iter * -(-len(train) // options.batch_size)
    with tqdm(total=n_steps, unit=" steps", disable=not options.verbose, mininterval=0.5) as net.progress:
        net.notify("on_train_begin", X=train, y=None)
        with suppress(TrainingEnds):
            net.fit_loop(train)
        net.notify("on_train_end", X=train, y=None)
    history = {name: np.array(net.history[:, name]) for name in _RECORDED if name in net.history[0]}
    calibration = Calibration() if held_out is None else _calibrate(*net.score_held_out(held_out))
    return TrainedModel(net.average.module, history, calibration)


def _prepare_optimizers(net, options):
    """Give `net` its average and, unless the table is trained densely, the optimizer of the rows that a batch touches.

    Its learning rate and L2 are those of the table's group in ``optimizer_``, where skorch's schedulers find them.
    """
    lazy = EMBEDDING_OPTIMIZERS[options.embedding_optimizer]
    net.max_gradient_norm = options.max_gradient_norm
    net.average = WeightAverage(net.module_, options.weight_averaging, but_table=lazy is not None)
    net.lazy_table = None
    if lazy is not None:
        (group,) = [g for g in net.optimizer_.param_groups if g["params"][0] is net.module_.embedding.table]
        net.lazy_table = lazy(net.module_.embedding.table, group, net.average.module.embedding.table)


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

    bounds = [(_LEAST_SCALE, None), (None, None)]
    scale, shift = minimize(loss, x0=[1.0, 0.0], bounds=bounds, method="L-BFGS-B").x
    return Calibration(float(scale), float(shift))


def _seed_dropout(module, generator, device):
    """Give the dropout layers of `module` one generator on `device`, seeded by `generator`."""
    masks = torch.Generator(device).manual_seed(generator.initial_seed())
    for layer in module.modules():
        if isinstance(layer, SeededDropout):
            layer.generator = masks
