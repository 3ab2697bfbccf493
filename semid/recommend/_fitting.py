"""From a log to a trained module: a first fit, one that goes on, and what they leave on the recommender."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning

from semid.base._checks import warn
from semid.base._live_module import LiveModule, build_seeded, export_state, resolve_device
from semid.engine._checkpoints import Checkpoint, NoCheckpoint, fingerprint_of
from semid.engine._sequence_training import SequenceOptions, train_sequences
from semid.engine._sequences import Sequences, windows
from semid.features import ClickHistory
from semid.features._times import read_times
from semid.recommend._catalogue import learn_catalogue, positions_in, with_new_ids
from semid.recommend._parameters import check_unchanged
from semid.recommend._recommending import Histories, Ranker, as_histories, cut, ndcg, recommend
from semid.tables._frames import find_column, split_columns
from semid.tables._ids import find_ids, id_index, plain_name, warn_of_other_kind

_LARGEST_HELD_OUT = 5000  # users
_HELD_OUT_BEAM = 20
_LABELS = ("click", "clicked", "is_click", "is_clicked", "label")
_LEAST_CLICKS = 3  # of a user whose last one is held out
_JUDGED_USERS = 100  # held out, below which an NDCG says little


class Known(NamedTuple):
    """Histories, and the item that came next."""

    histories: Histories
    targets: np.ndarray  # (B,) rows of the catalogue, -1 for an item that is not there


class _Columns(NamedTuple):
    users: pd.Series
    items: pd.Series
    times: pd.Series | None


def begin(model, X, seed):
    """Learn the catalogue, keep the log; return all clicks and an untrained module, None where popularity decides."""
    columns = _columns(model, X)
    _warn_of_rows_that_are_no_clicks(X)
    model._architecture = {name: getattr(model, name) for name in model._architecture_parameters}
    catalogue = learn_catalogue(model.codes, columns.users, columns.items, seed)
    model.encoder_, model.items_, model.codes_, model.codebook_sizes_ = catalogue
    model.log_ = ClickHistory(*columns)
    clicks = _known_clicks(model, model.log_, model.log_.users)
    if not (np.diff(clicks.offsets) > 1).any():
        raise ValueError(
            f"X must hold a user with two clicks on items of the catalogue, got none in n_samples={len(X)} rows. Are "
            "user and item the right columns?"
        )
    model.clicks_ = np.bincount(clicks.entries, minlength=len(model.items_)).astype(np.int64)
    return clicks, None if model.head == "popularity" else build_seeded(model._build_module, seed)


def resume(model, X, seed):
    """Add the clicks of `X` to the log; return the clicks to go over, and the trained module."""
    check_unchanged(model)
    columns = _columns(model, X)
    model.log_ = model.log_.append(*columns)
    if model.encoder_ is None:
        model.items_ = with_new_ids(model.items_, columns.items)
        model.codes_ = np.arange(len(model.items_))[:, None]
        model.codebook_sizes_ = [len(model.items_)]
    new = _known_clicks(model, ClickHistory(*columns), pd.unique(columns.users.dropna()))
    counts = np.bincount(new.entries, minlength=len(model.items_))
    model.clicks_ = counts + np.pad(model.clicks_, (0, len(counts) - len(model.clicks_)))
    n_read = model.max_length + int(np.diff(new.offsets).max(initial=1))
    clicks = _known_clicks(model, model.log_, pd.unique(columns.users.dropna()), n_read)
    return clicks, None if model.head == "popularity" else _grown_module(model, seed)


def _grown_module(model, seed):
    """Return the trained module, with new rows behind those that are known where there are more ids."""
    module = build_seeded(model._build_module, seed)
    state = module.state_dict()
    for name, array in model.state_.items():
        known = torch.tensor(array)
        state[name] = known if known.shape == state[name].shape else torch.cat([known, state[name][len(known) :]])
    module.load_state_dict(state)
    return module


def held_out_of(model, clicks, later, random_state):
    """Return the bounds of what is to be learned of `clicks`, and the `Known` to stop early on, or None.

    That is the users' last clicks in the table `later`, if there is one, which the log then has as well, or else the
    last of some users' `clicks`.
    """
    starts, stops = clicks.offsets[:-1], clicks.offsets[1:].copy()
    if later is not None:
        asked = known_log(model, later, "eval_set")
        model.log_ = model.log_.append(*_columns(model, later))
        return starts, stops, _some(asked, random_state)
    candidates = np.flatnonzero(stops - starts >= _LEAST_CLICKS)
    if model.validation is None or not len(candidates):
        return starts, stops, None
    n_chosen = min(_LARGEST_HELD_OUT, max(1, round(model.validation * len(candidates))))
    chosen = np.sort(random_state.choice(candidates, n_chosen, replace=False))
    stops[chosen] -= 1
    known = cut(clicks.entries, starts[chosen], stops[chosen])
    return starts, stops, Known(known, clicks.entries[stops[chosen]])


def train(model, module, clicks, bounds, held_out, max_iter, seed, *, is_whole_fit=False):
    """Train `module` on the `clicks` within `bounds` and keep what it learned."""
    model._live = LiveModule()
    model.history_, model.n_iter_ = {"train_loss": np.empty(0)}, 0
    if module is None:
        model.state_ = {}
        return model
    device = resolve_device(model.device)
    sequences = Sequences(clicks.entries, *windows(*bounds, model.max_length), device)
    if not len(sequences):  # later clicks, none of them behind another
        model.state_ = export_state(module)
        return model
    size = int(np.clip(len(sequences) // 50, 16, 256)) if model.batch_size == "auto" else model.batch_size
    options = SequenceOptions(max_iter, size, model.learning_rate, model.n_iter_no_change, bool(model.verbose))
    generator = torch.Generator().manual_seed(seed)
    module = module.to(device)
    checkpoint = NoCheckpoint()
    if is_whole_fit and model.checkpoint_dir is not None:
        data = [*sequences.tensors(), model.codes_, model.clicks_]
        data += [] if held_out is None else [*held_out.histories, held_out.targets]
        start = (*module.state_dict().values(), generator.get_state())
        fingerprint = fingerprint_of(model, device, data=data, start=start)
        checkpoint = Checkpoint(model.checkpoint_dir, type(model).__name__, fingerprint)
    score = None if held_out is None else lambda candidate: _score(model._ranker(candidate), held_out)
    trained = train_sequences(module, sequences, options, generator, score_held_out=score, checkpoint=checkpoint)
    model.state_, model.history_ = export_state(trained.module), trained.history
    model.n_iter_ = len(model.history_["train_loss"])
    if held_out is not None:
        model.history_["popularity_ndcg"] = np.full(model.n_iter_, _popularity_ndcg(model, clicks, bounds, held_out))
        _warn_unless_learned(model, held_out)
    checkpoint.finish()
    return model


def _popularity_ndcg(model, clicks, bounds, held_out):
    """Return the held-out NDCG of what was clicked most, in the clicks that were learned from, less what was seen."""
    counts = np.bincount(cut(clicks.entries, *bounds).entries, minlength=len(model.items_))
    return _score(Ranker(None, torch.device("cpu"), model.max_length, counts), held_out)


def _warn_unless_learned(model, held_out):
    """Warn if the model recommends no better than popularity, which needs no training."""
    reached, popular = model.history_["valid_ndcg"].max(), model.history_["popularity_ndcg"][0]
    n_judged = (held_out.targets >= 0).sum()
    is_short = model.n_iter_ <= model.n_iter_no_change  # asked for few epochs, which are not judged
    if is_short or n_judged < _JUDGED_USERS or reached > popular or popular == 0:
        return
    way_out = "" if model.encoder_ is None else "more codes of the items, own_embedding=True, "
    warn(
        f"the model recommends the held-out clicks of {n_judged} users with an NDCG@10 of {reached:.4f} after its best "
        f"of {model.n_iter_} epochs, and popularity alone with {popular:.4f}. More clicks per user, {way_out}or longer "
        "patience (n_iter_no_change) may help; head='popularity' is the cheaper model where nothing does.",
        ConvergenceWarning,
    )


def _score(ranker, held_out):
    n = min(10, len(ranker.clicks))
    rows, _ = recommend(ranker, held_out.histories, n, exclude_seen=True, beam_size=_HELD_OUT_BEAM)
    return ndcg(rows, held_out.targets)


def known_log(model, X, name="X"):
    """Return what is known of each user in the table `X` before their last click there, and that click."""
    columns = _columns(model, X)
    own = ClickHistory(*columns)
    if not len(own):
        needed = "a user and an item" if columns.times is None else "a user, an item and a time"
        raise ValueError(f"{name} must hold a click with {needed}, got none in n_samples={len(X)} rows.")
    users, times = _first_clicks(columns, own)
    if (find_ids(model.log_._users, users) < 0).all():
        warn_of_other_kind(columns.users.name, model.log_._users, users, "the log")
    before = _known_clicks(model, model.log_, users, times=times)
    column = own.before(users, max_length=len(own))
    entries, offsets = column.gathered()
    rows = positions_in(model._index(), column.items, name)[entries]
    is_last = np.zeros(len(rows), dtype=bool)
    is_last[offsets[1:] - 1] = True
    is_kept = (rows >= 0) & ~is_last
    inside = Histories(rows[is_kept], np.append(0, np.cumsum(is_kept))[offsets])
    return Known(_joined(before, inside), rows[offsets[1:] - 1])


def _first_clicks(columns, log):
    """Return the users that have a click in `log`, made of the columns, and the time of the first one, or None."""
    users = log.users[log.before(log.users).lengths > 0]
    if columns.times is None:
        return users, None
    read = read_times("times", columns.times)
    numbers = find_ids(id_index(users), columns.users)
    rows = np.flatnonzero((numbers >= 0) & columns.items.notna().to_numpy() & ~read.is_missing)
    rows = rows[np.lexsort((read.values[rows], numbers[rows]))]
    return users, columns.times.iloc[rows[np.searchsorted(numbers[rows], np.arange(len(users)))]]


def _joined(first, second):
    """Return histories that go on with those of another, one by one."""
    owners = np.concatenate([first.owners, second.owners])
    order = np.argsort(owners, kind="stable")
    return Histories(np.concatenate([first.entries, second.entries])[order], first.offsets + second.offsets)


def _some(known, random_state):
    """Return at most so many of what is known that a score after each epoch takes little time."""
    if len(known.targets) <= _LARGEST_HELD_OUT:
        return known
    chosen = np.sort(random_state.choice(len(known.targets), _LARGEST_HELD_OUT, replace=False))
    return Known(known.histories.of(chosen), known.targets[chosen])


def _known_clicks(model, log, users, max_length=None, *, times=None):
    """Return the clicks of `users` on items of the catalogue."""
    column = log.before(users, times, max_length=max_length or max(1, len(log)))
    return as_histories(column, lambda ids: positions_in(model._index(), ids, "the log"))


def warn_of_labels(X, y):
    """Warn if `y`, which is not read, says that some rows are no clicks; `X` has as many rows."""
    labels = None if y is None or np.ndim(y) != 1 or len(y) != len(X) else pd.Series(y).dropna()
    if labels is not None and labels.isin([0, 1]).all() and (labels == 0).any():
        warn(
            f"y is not read, and every row of X counts as a click, also the {(labels == 0).mean():.0%} of them whose "
            "label is 0. Pass X[y == 1]."
        )


def _warn_of_rows_that_are_no_clicks(X):
    """Warn if a column that is called like a label is 0 in some rows: they would be learned as clicks."""
    names, columns = split_columns(X)
    for name, column in zip(names, columns, strict=True):
        is_no_click = (column == 0).fillna(False).to_numpy(dtype=bool)
        if plain_name(name) in _LABELS and column.dropna().isin([0, 1]).all() and is_no_click.any():
            warn(
                f"every row of X counts as a click, also the {is_no_click.mean():.0%} of them whose {name!r} is 0. "
                f"Pass X[X[{name!r}] == 1]."
            )


def _columns(model, X):
    """Return the columns of users, items and times of a table."""
    names, columns = split_columns(X)
    users, items = (columns[find_column(name, getattr(model, name), names)] for name in ("user", "item"))
    return _Columns(users, items, None if model.time is None else columns[find_column("time", model.time, names)])
