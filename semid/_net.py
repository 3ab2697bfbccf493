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
from skorch.callbacks import Callback, PrintLog
from skorch.helper import predefined_split
from torch.utils.data import Dataset

from semid.nn._mlp import SeededDropout

_LEAST_SCALE = 1e-3  # of calibrated logits


class Impressions(Dataset):
    """Encoded impressions as tensors on one device, their weights scaled to a mean of 1."""

    def __init__(self, categories, numbers, y, weights, device, dtype):
        self.categories = torch.as_tensor(categories, device=device)  # (n, C) int64
        self.numbers = torch.as_tensor(numbers, dtype=dtype, device=device)  # (n, M)
        self.y = torch.as_tensor(y, dtype=dtype, device=device)  # (n,)
        self.weights = torch.as_tensor(weights / np.mean(weights), dtype=dtype, device=device)  # (n,)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, rows):
        return self.categories[rows], self.numbers[rows], self.y[rows], self.weights[rows]


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
    neither. The first steps weigh less, so that the random start is soon forgotten.
    """

    def __init__(self, module, decay):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.n_steps = decay, 0

    @torch.no_grad()
    def update(self, module):
        decay = min(self.decay, self.n_steps / (self.n_steps + 10))
        self.n_steps += 1
        for average, current in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(current, 1 - decay)


class ClickNet(NeuralNet):
    """Trains a module (categories, numbers) → logits (B,) on the weighted log loss; ``average`` is what it learned."""

    average: WeightAverage

    def get_dataset(self, X, y=None):
        return X

    def train_step(self, batch, **fit_params):
        categories, numbers, y, weights = batch
        self._set_training(True)
        self.optimizer_.zero_grad(set_to_none=True)
        logits = self.module_(categories, numbers)
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (losses * weights).mean()  # the weights are 1 on average: unbiased in every batch
        loss.backward()
        self.optimizer_.step()
        self.average.update(self.module_)
        return loss.detach() * len(y)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if iterator is None:
            return
        if not training:
            self._record_held_out(iterator)
            return
        with torch.enable_grad():
            loss = float(sum(step_fn(batch) for batch in iterator) / len(iterator.dataset))
        if not np.isfinite(loss):
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: the loss is {loss} with learning_rate={self.lr}. "
                "Pass a smaller learning_rate."
            )
        self.history.record("train_loss", loss)

    def _record_held_out(self, iterator):
        y, logits, weights = self.score_held_out(iterator.dataset)
        self.history.record("valid_loss", float(np.average(np.logaddexp(0, logits) - y * logits, weights=weights)))
        self.history.record("valid_auc", float(roc_auc_score(y, logits, sample_weight=weights)))

    def score_held_out(self, held_out):
        """Return labels, logits of the averaged weights, and sample weights, as float64 arrays."""
        with torch.inference_mode():
            batches = Batches(held_out, self.batch_size)
            logits = torch.cat([self.average.module(categories, numbers) for categories, numbers, _, _ in batches])
        return tuple(t.cpu().numpy().astype(np.float64) for t in (held_out.y, logits, held_out.weights))


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
        net.average.module.load_state_dict(self.best_state_)


class NetOptions(NamedTuple):
    max_iter: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    weight_averaging: float
    n_iter_no_change: int
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
    """Train `module` with Adam; return the `TrainedModel`.

    With `held_out` impressions (or None), training stops when their AUC has not improved for ``n_iter_no_change``
    epochs, the weights are those of the best epoch, and the logits are calibrated on them.
    """
    callbacks = [("log", PrintLog())] if options.verbose else []
    if held_out is not None:
        callbacks.append(("stop", StopWhenNoBetter(options.n_iter_no_change)))
    net = ClickNet(
        module,
        criterion=torch.nn.BCEWithLogitsLoss,  # skorch wants one; train_step computes the weighted loss itself
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=options.weight_decay,
        optimizer__fused=True,
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
        verbose=int(options.verbose),
        device=str(train.y.device),
    ).initialize()
    net.average = WeightAverage(module, options.weight_averaging)
    _seed_dropout(module, generator, train.y.device)
    net.notify("on_train_begin", X=train, y=None)
    with suppress(TrainingEnds):
        net.fit_loop(train)
    net.notify("on_train_end", X=train, y=None)
    names = [name for name in ("train_loss", "valid_loss", "valid_auc") if name in net.history[0]]
    history = {name: np.array(net.history[:, name]) for name in names}
    calibration = Calibration() if held_out is None else _calibrate(*net.score_held_out(held_out))
    return TrainedModel(net.average.module, history, calibration)


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
