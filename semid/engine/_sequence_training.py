"""Training of next-item models: epochs over sequences, early stopping by what ranks first."""

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from tqdm.auto import tqdm

from semid.engine._checkpoints import NoCheckpoint, as_plain, n_bytes_of, plain_entries, warn_of_interruption
from semid.engine._sequences import SequenceBatches
from semid.nn._mlp import SeededDropout

_LONGEST_GRADIENT = 5.0
_FIRST_STEPS = 10  # of the average, which weigh less
_SCORE = "valid_ndcg"
_N_RIVALS = 20_000  # items in the softmax of a step


class SequenceOptions(NamedTuple):
    max_iter: int
    batch_size: int
    learning_rate: float
    n_iter_no_change: int
    verbose: bool


class TrainedSequences(NamedTuple):
    module: torch.nn.Module  # of averaged weights
    history: dict[str, np.ndarray]  # one entry per epoch


class TrainingEnds(Exception):
    """Ends a training whose held-out score rises no more."""


class StopWhenNoBetter(Callback):
    """Ends training when the held-out score has not risen for `patience` epochs."""

    def __init__(self, patience):
        self.patience = patience

    def on_epoch_end(self, net, **kwargs):
        scores = net.history[:, _SCORE]
        if len(scores) - 1 - int(np.argmax(scores)) >= self.patience:
            raise TrainingEnds


class _Average:
    """A copy of a module, whose weights are the exponential moving average of its own, over steps."""

    def __init__(self, module, decay):
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay, self.n_steps = decay, 0
        self.averages = [parameter.data for parameter in self.module.parameters()]
        self.currents = [parameter.detach() for parameter in module.parameters()]

    def update(self):
        decay = min(self.decay, self.n_steps / (self.n_steps + _FIRST_STEPS))
        torch._foreach_lerp_(self.averages, self.currents, 1 - decay)
        self.n_steps += 1


class SequenceNet(NeuralNet):
    """Trains a module by its ``loss``; the result is ``average``, of its weights of about an epoch."""

    average: _Average
    score_held_out: Callable | None  # of a module
    kept_state: dict | None  # of the average, at the highest score
    n_complete: int  # epochs
    generators: list  # all that the training draws from
    checkpoint: NoCheckpoint  # or a Checkpoint
    progress: tqdm

    def get_dataset(self, X, y=None):
        return X

    def notify(self, method_name, **kwargs):
        super().notify(method_name, **kwargs)
        if method_name == "on_epoch_end":  # after the callbacks, so that one that ends the training ends it again
            self.checkpoint.save(self.export)

    def export(self):
        """Return all that the epochs to come depend on."""
        return {
            "generators": [generator.get_state() for generator in self.generators],
            "module": self.module_.state_dict(),
            "optimizer": as_plain(self.optimizer_.state_dict()),
            "average": self.average.module.state_dict(),
            "n_averaged": self.average.n_steps,
            "kept_state": self.kept_state,
            "history": [plain_entries(epoch) for epoch in self.history],
        }

    def restore(self, saved):
        """Go back to a state that `export` has returned."""
        for generator, state in zip(self.generators, saved["generators"], strict=True):
            generator.set_state(state)
        self.module_.load_state_dict(saved["module"])
        self.optimizer_.load_state_dict(saved["optimizer"])
        self.average.module.load_state_dict(saved["average"])
        self.average.n_steps, self.kept_state = saved["n_averaged"], saved["kept_state"]
        self.history.extend(saved["history"])
        self.n_complete = len(self.history)

    def train_step(self, batch, **fit_params):
        self.module_.train()
        self.optimizer_.zero_grad(set_to_none=True)
        n_targets = batch.is_there[:, 1:].sum()
        loss = self.module_.loss(*batch, self._rivals())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module_.parameters(), _LONGEST_GRADIENT)
        self.optimizer_.step()
        self.average.update()
        self.progress.update()
        return loss.detach() * n_targets, n_targets

    def _rivals(self):
        """Return items that the targets of a batch are set against, None for all where they are no more."""
        rivals = self.module_.rivals
        if len(rivals) <= _N_RIVALS:
            return None
        return rivals[torch.randint(len(rivals), (_N_RIVALS,), generator=self.generators[0]).to(rivals.device)]

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if not training or iterator is None:
            return
        with torch.enable_grad():
            losses, counts = zip(*[step_fn(batch) for batch in iterator], strict=True)
        loss = float(sum(losses) / sum(counts))
        self.history.record("train_loss", loss)
        if not np.isfinite(loss):
            self.checkpoint.finish()  # it leads here again
            raise ValueError(
                f"training diverged in epoch {len(self.history)}: the loss is {loss} with learning_rate={self.lr}. "
                "Pass a smaller learning_rate."
            )
        if self.score_held_out is not None:
            score = self.score_held_out(self.average.module)
            if all(score > epoch[_SCORE] for epoch in self.history[:-1]):
                self.kept_state = copy.deepcopy(self.average.module.state_dict())
            self.history.record(_SCORE, score)
        self.n_complete = len(self.history)
        self.progress.set_postfix({name: f"{v[-1]:.4f}" for name, v in self.recorded().items()}, refresh=False)

    def recorded(self):
        """Return what was recorded of complete epochs, by name."""
        names = [name for name in ("train_loss", _SCORE) if self.n_complete and name in self.history[0]]
        return {name: np.array(self.history[: self.n_complete, name]) for name in names}


def train_sequences(module, sequences, options, generator, *, score_held_out=None, checkpoint=None):
    """Train `module` on `Sequences`; return the `TrainedSequences`.

    With ``score_held_out(module)``, training stops when it has not risen for ``n_iter_no_change`` epochs, and the
    weights are those of its best epoch. With a `checkpoint`, it goes on from the state that is there. Interrupted by
    the user after at least one epoch, it warns, and returns what was learned in complete ones.
    """
    checkpoint = checkpoint or NoCheckpoint()
    saved = checkpoint.load()
    checkpoint.reserve(5 * n_bytes_of(module))  # with the average, that of the best epoch, and two moments of Adam
    n_steps = -(-len(sequences) // options.batch_size)  # per epoch
    net = _make_net(module, sequences, options, generator)
    net.average = _Average(module, 1 - 1 / max(n_steps, 2 * _FIRST_STEPS))
    _seed_dropout(net, generator)
    net.checkpoint, net.score_held_out, net.kept_state, net.n_complete = checkpoint, score_held_out, None, 0
    if score_held_out is not None:
        net.callbacks_.append(("stop", StopWhenNoBetter(options.n_iter_no_change)))
    bar = tqdm(total=options.max_iter * n_steps, unit=" steps", disable=not options.verbose, mininterval=0.5)
    with bar as net.progress:
        if saved is not None:
            net.restore(saved)
            net.progress.update(net.n_complete * n_steps)
        _run_epochs(net, sequences, options.max_iter)
    if net.kept_state is not None:
        net.average.module.load_state_dict(net.kept_state)
    return TrainedSequences(net.average.module, net.recorded())


def _make_net(module, sequences, options, generator):
    """Return the skorch net that trains `module`, initialized."""
    return SequenceNet(
        module,
        criterion=torch.nn.CrossEntropyLoss,  # skorch wants one; the module has the loss itself
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=options.learning_rate,
        max_epochs=options.max_iter,
        batch_size=options.batch_size,
        iterator_train=SequenceBatches,
        iterator_train__generator=generator,
        train_split=None,
        callbacks__valid_loss=None,
        callbacks__train_loss=None,
        callbacks__print_log=None,
        verbose=0,
        device=str(sequences.starts.device),
    ).initialize()


def _seed_dropout(net, generator):
    """Give the dropout of the module, not of its average, a generator of its own."""
    masks = torch.Generator(net.device).manual_seed(generator.initial_seed())
    for layer in net.module_.modules():
        if isinstance(layer, SeededDropout):
            layer.generator = masks
    net.generators = [generator, masks]


def _run_epochs(net, sequences, max_iter):
    """Run the epochs that are left."""
    net.notify("on_train_begin", X=sequences, y=None)
    try:
        with suppress(TrainingEnds):
            if net.n_complete:  # of a fit that was killed as it ended
                for _, callback in net.callbacks_:
                    if isinstance(callback, StopWhenNoBetter):
                        callback.on_epoch_end(net)
            net.fit_loop(sequences, epochs=max_iter - net.n_complete)
    except KeyboardInterrupt:
        if net.n_complete == 0:
            raise
        net.checkpoint.keep()
        warn_of_interruption(net.n_complete, max_iter)
    net.notify("on_train_end", X=sequences, y=None)
