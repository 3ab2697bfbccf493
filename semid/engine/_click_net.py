"""The net under the click models: a loop of skorch on tensors which stay where they are.

As skorch comes, its DataLoader collates row by row and its loop reads each batch's loss back; slicing resident
tensors and reading once per epoch is twice as fast. The net lives in ``fit`` alone: estimators keep numpy.
"""

import copy
import inspect
from operator import gt, lt

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, PassthroughScoring
from tqdm.auto import tqdm

from semid.engine._checkpoints import NoCheckpoint, as_plain, plain_entries
from semid.engine._impressions import Batches
from semid.engine._ranks import OneShare, SharedFit
from semid.engine._shared_step import shared_gradients
from semid.nn._fields import (
    field_visits,
)
from semid.nn._row_sparse import LazyAdam

TABLE = "embedding.table"
LEAST_GAIN = 0.002  # in AUC over click rates, of a model that has learned interactions
RECORDED = ("train_loss", "valid_loss", "valid_auc")
USERS = "user"  # how the names of the user's callbacks begin
_PATIENCE_BEFORE = 3  # times that afterwards
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


class WeightAverage:
    """A copy of a module whose weights are the exponential moving average of its own, over steps.

    Click models overfit rare categories within an epoch and wander; the average of the last hundred steps does
    neither. The first steps weigh less, so that the random start is soon forgotten. The table is left to its
    optimizer, which averages it row by row.
    """

    def __init__(self, module, decay):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.n_steps = decay, 0
        names = [name for name, _ in module.named_parameters() if name != TABLE]
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
    ranks: OneShare | SharedFit  # who compute the shares of a batch
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
        self.lazy_table.group = table_group(self)  # the optimizer has new ones
        for name, value in saved.items():
            if isinstance(value, torch.Tensor):
                getattr(self.lazy_table, name).copy_(value)
            else:
                setattr(self.lazy_table, name, value)

    def _users_callbacks(self):
        return [callback for name, callback in self.callbacks_ if name.startswith(USERS)]

    def train_step(self, batch, **fit_params):
        self.module_.train()
        self.optimizer_.zero_grad(set_to_none=True)
        of_batch = self._gradients if self.ranks.n_shares == 1 else self._gradients_of_shares
        loss, n_rows, touched = of_batch(batch)
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
        return loss * n_rows

    def _gradients(self, batch):
        """Set the gradients of a batch; return its loss, its number of rows, and those of the table that it touches."""
        categories, numbers, y, weights = batch
        touched = ()
        if self.module_.embedding.table.requires_grad:
            touched = (self.lazy_table.open(*field_visits(self.module_.embedding, categories, weights)),)
        logits = self.module_(categories, numbers, *touched)
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (losses * weights).mean()  # the weights are 1 on average: unbiased in every batch
        loss.backward()
        return loss.detach(), len(y), touched

    def _gradients_of_shares(self, shares):
        """As `_gradients`, of a batch in shares."""
        table = self.lazy_table if self.module_.embedding.table.requires_grad else None
        loss, touched = shared_gradients(self.module_, table, shares, self.ranks, self.generators[1])
        return loss, sum(len(y) for *_, y, _ in shares), () if touched is None else (touched,)

    def _copy_from_first(self):
        """Take what unlike processors could have made different of what is learned."""
        tensors = [*self.module_.state_dict().values(), *self.average.module.state_dict().values()]
        tensors += [value for value in map(vars(self.lazy_table).get, _LAZY_STATE) if isinstance(value, torch.Tensor)]
        for state in self.optimizer_.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
        self.ranks.copy_from_first(tensors)

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
        self._copy_from_first()
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
        y, logits, weights = self.ranks.on_first(lambda: self.score_held_out(iterator.dataset))
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
        shown = {name: f"{self.history[-1, name]:.4f}" for name in RECORDED if name in self.history[-1]}
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


def table_group(net):
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
    parameters = [(name, p) for name, p in module.named_parameters() if not (touched and name == TABLE)]
    return parameters + [(TABLE, rows.values) for rows in touched]
