"""Which impressions a fit stops early on: a part of what it is given, or those that the user gives for it."""

import numpy as np

from semid.base._live_module import resolve_device
from semid.ctr._training_data import check_training_data
from semid.engine._impressions import Impressions

_EARLY_STOPPING_ROWS = 1_000
_HELD_OUT_SHARE, _HELD_OUT_ROWS = 0.1, 5_000  # at most; rows are of the rarer class


def split_impressions(model, impressions, y, eval_set, random_state):
    """Return the impressions to train on and, with early stopping, those held out, of both classes each."""
    if eval_set is not None:
        return impressions, _encode_eval_set(model, eval_set)
    if model.validation is None:
        return impressions, None
    rarest = np.bincount(y).min()
    is_number = not isinstance(model.validation, str)
    share = model.validation if is_number else min(_HELD_OUT_SHARE, _HELD_OUT_ROWS / rarest)
    if model.validation == "auto" and (len(y) <= _EARLY_STOPPING_ROWS or rarest * share < 1):
        return impressions, None
    if rarest < 2:
        raise ValueError(
            f"validation={model.validation!r} must have at least 2 rows of each class, to train on and to hold out, "
            f"got {rarest} of one. Pass validation=None."
        )
    held_out = _stratified_share(y, share, model.validation == "last", random_state)
    return impressions.part(~held_out), impressions.part(held_out)


def _encode_eval_set(model, eval_set):
    X, y, sample_weight = _unpacked(eval_set)
    try:
        X, y, weights = check_training_data(model, X, y, sample_weight, model.classes_, reset=False)
        encoded = model.encoder_.encode(X)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"eval_set: {error}") from error
    return Impressions(encoded, y, weights, resolve_device(model.device), model._dtype)


def _unpacked(eval_set):
    """Return X, y and the weights, None if there are none, of an `eval_set`."""
    is_list_of_pairs = isinstance(eval_set, list) and all(isinstance(pair, tuple) for pair in eval_set)
    if not isinstance(eval_set, tuple | list) or is_list_of_pairs or len(eval_set) not in (2, 3):
        got = f"a list of {len(eval_set)} tuples" if is_list_of_pairs else type(eval_set).__name__
        raise ValueError(f"eval_set must be one tuple (X, y) or (X, y, sample_weight), got {got}.")
    X, y, *weights = eval_set
    return X, y, *(weights or [None])


def _stratified_share(y, share, is_last, random_state):
    """Return a mask of about `share` of the rows of each class, at random or the last, at least one in and one out."""
    mask = np.zeros(len(y), dtype=bool)
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        rows = rows[::-1] if is_last else random_state.permutation(rows)
        mask[rows[: np.clip(round(share * len(rows)), 1, len(rows) - 1)]] = True
    return mask
