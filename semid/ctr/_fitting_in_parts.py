"""A fit on impressions that are read in parts: columns are learned in one pass, and written, encoded, in another."""

import contextlib
import os
import shutil
import tempfile

import numpy as np

from semid.base._live_module import resolve_device
from semid.ctr._column_learner import ColumnLearner
from semid.ctr._fitting import new_encoder, shared_random_state, start_module, train_on
from semid.ctr._labelled_parts import LabelledParts
from semid.ctr._suspects import warn_of_ids_as_numbers, warn_of_suspects
from semid.engine._ranks import current_ranks
from semid.engine._stored_impressions import StoredImpressions
from semid.tables._frames import check_table, split_columns
from semid.tables._in_parts import is_read_in_parts


def fit_in_parts(model, X, y, sample_weight, eval_set, continues):
    """Fit a click model, whose parameters have been checked, on what `TableInParts` takes; return it."""
    if continues:
        raise ValueError(
            "warm_start must be False where X is read in parts, since a fit does not go on there. Pass the new "
            "impressions in memory, to fit or to partial_fit."
        )
    _check_eval_set(eval_set)
    parts = LabelledParts(X, y, sample_weight, model.class_weight)
    random_state = shared_random_state(model)
    seed = int(random_state.randint(np.iinfo(np.int32).max))
    module = begin_in_parts(model, parts, seed)
    with stored_impressions(model, parts) as (impressions, labels):
        return train_on(model, module, impressions, labels, eval_set, random_state, seed)


def check_in_memory(X):
    """Raise for what `partial_fit` cannot go over, a table that is read in parts."""
    if is_read_in_parts(X):
        raise TypeError(
            f"X must be a table in memory in partial_fit, got a {type(X).__name__}. Pass one table after the other, "
            "such as pandas.read_parquet of each file, or all of them to fit."
        )


def _check_eval_set(eval_set):
    if isinstance(eval_set, tuple) and eval_set and is_read_in_parts(eval_set[0]):
        raise TypeError(
            f"eval_set must be a table in memory and its labels, got a {type(eval_set[0]).__name__}. Read it "
            "with pandas.read_parquet, or leave eval_set out: a part of X is held out then."
        )
    if isinstance(eval_set, tuple) and any(isinstance(part, str) for part in eval_set[1:]):
        raise TypeError(
            f"eval_set must be a table in memory and its labels, got the name {eval_set[1]!r} of labels. Pass "
            "(X.drop(columns=y), X[y])."
        )


def begin_in_parts(model, parts, seed):
    """Learn the columns of `parts`, a `LabelledParts`; return an untrained module."""
    model.classes_ = parts.classes
    first, learner, clicks, total = None, None, 0.0, 0.0
    for X, y, weights in parts:
        if learner is None:
            first = X, y
            check_table(model, X, reset=True)
            told = warn_of_ids_as_numbers(X, model.categorical_features)
            model.encoder_ = new_encoder(model)
            model.encoder_.assign(*split_columns(X), parts.lists)
            learner = ColumnLearner(model.encoder_)
        learner.add(X, weights)
        clicks, total = clicks + (y * weights).sum(), total + weights.sum()
    learner.finish()
    X, y = first
    warn_of_suspects(model.encoder_, model.encoder_.encode(X), split_columns(X)[1], y, told)
    return start_module(model, clicks / total, seed)


@contextlib.contextmanager
def stored_impressions(model, parts):
    """Write what the encoder makes of `parts` to files that are there as long as the block; give it, and the labels.

    Labels are (n,) uint8.
    """
    encoder = model.encoder_
    n_categorical, n_lists = len(encoder.categorical_), len(encoder.lists_)
    n_numbers = len(encoder.means_) + len(encoder.indicated_)
    n_bytes = parts.n_rows * 4 * (n_categorical + 3 * n_lists + n_numbers + 2)
    current_ranks().on_first(lambda: _check_room(n_bytes))  # before any of them has written
    with StoredImpressions(n_categorical, n_lists, n_numbers, resolve_device(model.device), model._dtype) as stored:
        labels = []
        for X, y, weights in parts:
            with _names_the_folder():
                stored.append(encoder.encode(X), y, weights)
            labels.append(y.astype(np.uint8))
        yield stored.complete(), np.concatenate(labels)


def _check_room(n_bytes):
    # Each process writes its own; those of this machine are counted by torchrun.
    n_processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if current_ranks().size > 1 else 1
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < n_bytes * n_processes:
        in_each = f" in each of {n_processes} processes" if n_processes > 1 else ""
        raise OSError(
            f"the folder of temporary files must have room for {n_bytes / 1e9:.1f} GB of encoded impressions{in_each}, "
            f"got {free / 1e9:.1f} GB in {tempfile.gettempdir()!r}. Name another in the environment variable TMPDIR, "
            "or set tempfile.tempdir."
        )


@contextlib.contextmanager
def _names_the_folder():
    """Say of an error in writing where that was, and what to do."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"encoded impressions could not be written to {tempfile.gettempdir()!r}: {os.strerror(error.errno or 0)}. "
            "Name another folder in the environment variable TMPDIR, or set tempfile.tempdir",
        ) from error
