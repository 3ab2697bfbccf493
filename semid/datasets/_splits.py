"""Splits and cores of logs of interactions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from semid.base._checks import check_integer, check_number, warn
from semid.datasets._frames import check_columns, check_nothing_missing, check_sorts
from semid.exceptions import DataLeakWarning
from semid.tables._ids import factorize_ids

_PARTS = np.array(["train", "validation", "test"])


def leave_last_out(
    interactions: pd.DataFrame, *, user: str = "user_id", order: str = "timestamp", item: str | None = None
) -> np.ndarray:
    """Split each user's interactions: the last for the test, the one before for validation, the rest for training.

    Users with fewer than three interactions stay in training altogether. Among equal values of `order`, the later row
    counts as later.

    Rows of one user, item and time are one interaction, told more than once: they stay in one part, that of the last of
    them, and count as one. A warning says how many would have been on two sides.

    Parameters
    ----------
    interactions : DataFrame
        One row per interaction, in any order.
    user, order : str, default "user_id" and "timestamp"
        Columns of the user and of the time (or any number that grows with it; dates as text if they sort).
    item : str or None, default None
        Column of the item, by which an interaction that is there twice is known. None for ``"item_id"`` if there is
        such a column, else rows with equal values in all columns, if there are others, are one interaction.

    Returns
    -------
    part : ndarray of shape (n_interactions,), str
        ``"train"``, ``"validation"`` or ``"test"`` for each row.

    Raises
    ------
    TypeError
        If `interactions` is not a DataFrame.
    ValueError
        If a column is not there or has missing values, or if `order` holds text whose order is not that of its numbers.

    Warns
    -----
    DataLeakWarning
        If copies of an interaction would have been in two parts.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import leave_last_out
    >>> log = pd.DataFrame({"user_id": [1, 1, 1, 1, 2], "timestamp": [3, 0, 2, 1, 0]})
    >>> leave_last_out(log).tolist()
    ['test', 'train', 'validation', 'train', 'train']
    """
    check_columns("interactions", interactions, user, order)
    if item is not None:
        check_columns("interactions", interactions, item)
    check_nothing_missing(interactions, user, order)
    check_sorts(interactions, order)
    users = factorize_ids(interactions[user])[0]
    time = pd.factorize(interactions[order], sort=True)[0]
    by_row = _last_two_out(users, time)
    last_copy = _last_copies(interactions, users, time, item)
    is_last = last_copy == np.arange(len(users))
    if is_last.all():
        return _PARTS[by_row]
    part = np.zeros(len(users), dtype=np.int64)
    part[is_last] = _last_two_out(users[is_last], time[is_last])
    part = part[last_copy]
    n_split = np.count_nonzero(by_row[last_copy] != by_row)
    if n_split:
        warn(
            f"interactions hold {np.count_nonzero(~is_last)} rows that repeat another, of the same user, item and "
            f"time, and {n_split} of them would have been in another part than their copy. Copies stay together; drop "
            "them with drop_duplicates to count each once.",
            DataLeakWarning,
        )
    return _PARTS[part]


def _last_two_out(users, time):
    """Return 2 for each user's last row, 1 for the one before, 0 for the others and for users of less than three."""
    by_time = pd.Series(users).iloc[np.argsort(time, kind="stable")]
    groups = by_time.groupby(by_time, sort=False)
    from_last, size = groups.cumcount(ascending=False), groups.transform("size")
    return np.where(size < 3, 0, (2 - from_last).clip(lower=0))[np.argsort(by_time.index)]


def _last_copies(interactions, users, time, item):
    """Return for each row the last row that is the same interaction."""
    if item is None and "item_id" in interactions:
        item = "item_id"
    if item is None and interactions.shape[1] <= 2:  # nothing says what the user did
        return np.arange(len(users))
    named = [interactions.columns.get_loc(item)] if item is not None else range(interactions.shape[1])
    keys = pd.DataFrame({"user": users, "time": time})
    for n, position in enumerate(named):
        try:
            keys[n] = factorize_ids(interactions.iloc[:, position])[0]
        except TypeError:  # lists and the like, which are compared as they are written
            keys[n] = pd.factorize(interactions.iloc[:, position].map(repr))[0]
    copies = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    last = np.empty(copies.max(initial=-1) + 1, dtype=np.int64)
    last[copies] = np.arange(len(copies))  # of several, the last stays
    return last[copies]


def split_by_time(
    interactions: pd.DataFrame, fractions: Sequence[float] = (0.8, 0.1, 0.1), order: str = "timestamp"
) -> np.ndarray:
    """Split all interactions by time: the first for training, the next for validation, the last for the test.

    Interactions of one time stay together, in the later of the two parts, so that no part holds what happened as late
    as something in the next, and copies of one interaction are never on two sides; a part may then be a little smaller
    or larger than its fraction.

    Parameters
    ----------
    interactions : DataFrame
        One row per interaction, in any order.
    fractions : tuple of 3 float, default (0.8, 0.1, 0.1)
        Shares of training, validation and test, which sum to 1. A share may be 0.
    order : str, default "timestamp"
        Column of the time (or anything that grows with it).

    Returns
    -------
    part : ndarray of shape (n_interactions,), str
        ``"train"``, ``"validation"`` or ``"test"`` for each row.

    Raises
    ------
    ValueError
        If a part of a share above 0 is left without a row, as when there is a single time, or if `order` holds text
        whose order is not that of its numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import split_by_time
    >>> split_by_time(pd.DataFrame({"timestamp": [40, 10, 20, 30]}), fractions=(0.5, 0.25, 0.25)).tolist()
    ['test', 'train', 'train', 'validation']
    """
    check_columns("interactions", interactions, order)
    fractions = _check_fractions(fractions)
    check_nothing_missing(interactions, order)
    check_sorts(interactions, order)
    # Ranks of the times, so that any type that sorts will do.
    time = pd.factorize(interactions[order], sort=True)[0]
    by_time = np.append(np.sort(time), time.max(initial=-1) + 1)
    # The small number: 0.7 + 0.2 is a little less than 0.9.
    ends = np.floor(np.cumsum(fractions[:2]) * len(time) + 1e-6).astype(np.int64)
    part = np.searchsorted(by_time[ends], time, side="right")
    empty = (np.bincount(part, minlength=3) == 0) & (np.array(fractions) > 0)
    if empty.any():
        raise ValueError(
            f"each part must have a row, {str(_PARTS[empty][0])!r} has none with fractions={tuple(fractions)}, "
            f"{len(time)} rows and {len(np.unique(time))} different values of {order!r}. "
            "Pass other fractions, or 0 for this part."
        )
    return _PARTS[part]


def _check_fractions(fractions):
    if isinstance(fractions, str) or not hasattr(fractions, "__iter__"):
        raise TypeError(f"fractions must be three numbers, got {fractions!r}.")
    checked = [check_number("each of fractions", fraction, 0, 1) for fraction in fractions]
    if len(checked) != 3 or abs(sum(checked) - 1) > 1e-9:
        raise ValueError(
            f"fractions must be three numbers (training, validation, test) that sum to 1, got {fractions!r}."
        )
    return checked


def k_core(interactions: pd.DataFrame, k: int = 5, *, user: str = "user_id", item: str = "item_id") -> pd.DataFrame:
    """Return the interactions whose users and items have at least `k` each, among those returned.

    What has fewer is dropped until nothing changes: the largest such set, whatever the order. Rows are counted, so a
    user who interacted with one item twice has two.

    Parameters
    ----------
    interactions : DataFrame
        One row per interaction.
    k : int, default 5
        Least number of interactions of a user and of an item.
    user, item : str, default "user_id" and "item_id"
        Columns of the user and of the item.

    Returns
    -------
    core : DataFrame
        The rows that are left, in their order, with their index; maybe none.

    Raises
    ------
    TypeError
        If `interactions` is not a DataFrame.
    ValueError
        If a column is not there, a user or an item is missing, or `k` is less than 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import k_core
    >>> log = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": ["a", "b", "a", "b", "a"]})
    >>> k_core(log, k=2)["user_id"].tolist()
    [1, 1, 2, 2]
    """
    check_integer("k", k, 1)
    check_columns("interactions", interactions, user, item)
    check_nothing_missing(interactions, user, item)
    users, items = factorize_ids(interactions[user])[0], factorize_ids(interactions[item])[0]
    rows = np.arange(len(users))
    while True:
        enough = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if enough.all():
            return interactions.iloc[rows]
        rows, users, items = rows[enough], users[enough], items[enough]
