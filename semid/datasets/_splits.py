"""Splits and negatives for logs of positive interactions."""

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state


def leave_last_out(interactions, *, user="user_id", order="position"):
    """Split each user's interactions: the last for the test, the one before for validation, the rest for training.

    Users with fewer than three interactions stay in training altogether. Among equal values of `order`, the later row
    counts as later.

    Parameters
    ----------
    interactions : DataFrame
        One row per interaction, in any order.
    user, order : str, default "user_id" and "position"
        Columns of the user and of the time (or any number that grows with it).

    Returns
    -------
    part : ndarray of shape (n_interactions,), str
        ``"train"``, ``"validation"`` or ``"test"`` for each row.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import leave_last_out
    >>> log = pd.DataFrame({"user_id": [1, 1, 1, 1, 2], "position": [3, 0, 2, 1, 0]})
    >>> leave_last_out(log).tolist()
    ['test', 'train', 'validation', 'train', 'train']
    """
    _check_columns("interactions", interactions, user, order)
    by_time = interactions[[user, order]].reset_index(drop=True).sort_values(order, kind="stable")
    groups = by_time.groupby(user, sort=False)[order]
    from_last = groups.cumcount(ascending=False).to_numpy()
    size = groups.transform("size").to_numpy()
    part = np.where(from_last == 0, "test", np.where(from_last == 1, "validation", "train"))
    return pd.Series(np.where(size < 3, "train", part), index=by_time.index).sort_index().to_numpy(dtype=str)


def sample_negatives(interactions, items, *, user="user_id", item="item_id", random_state=None):
    """Return a negative for each interaction: the same row with an item that its user never touched.

    Drawn uniformly over `items`, with replacement, those of the user's own interactions excluded.

    Parameters
    ----------
    interactions : DataFrame
        All interactions of each user, one row each.
    items : array-like of shape (n_items,)
        Ids of all items of the catalogue.
    user, item : str, default "user_id" and "item_id"
        Columns of the user and of the item.
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    negatives : DataFrame
        `interactions` with another item in each row; the index is the same.

    Raises
    ------
    ValueError
        If an interaction's item is not among `items`, or a user has touched all of them.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import sample_negatives
    >>> log = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})
    >>> sample_negatives(log, ["a", "b", "c"], random_state=0)["item_id"].tolist()
    ['c', 'c', 'c']
    """
    _check_columns("interactions", interactions, user, item)
    catalogue = pd.Index(items)
    if not catalogue.is_unique:
        raise ValueError(f"items must be unique, got {catalogue[catalogue.duplicated()][0]!r} more than once.")
    rng = check_random_state(random_state)
    positive = catalogue.get_indexer(interactions[item])
    if (positive < 0).any():
        unknown = interactions[item].to_numpy()[positive < 0][0]
        raise ValueError(f"items must hold every item of the interactions, {unknown!r} is not among them.")
    if interactions[user].isna().any():
        raise ValueError(f"column {user!r} must not be missing, got {interactions[user].isna().sum()} missing.")
    users, names = pd.factorize(interactions[user])
    touched = np.unique(users.astype(np.int64) * len(catalogue) + positive)
    n_touched = np.bincount(touched // len(catalogue), minlength=len(names))
    if (n_touched == len(catalogue)).any():
        greedy = names[n_touched == len(catalogue)][0]
        raise ValueError(f"each user must leave an item untouched, user {greedy!r} has touched all {len(catalogue)}.")

    drawn = np.empty(len(users), dtype=np.int64)
    pending = np.arange(len(users))
    while len(pending):
        drawn[pending] = rng.randint(len(catalogue), size=len(pending))
        keys = users[pending] * len(catalogue) + drawn[pending]
        places = np.searchsorted(touched, keys).clip(max=len(touched) - 1)
        pending = pending[touched[places] == keys]
    negatives = interactions.copy()
    negatives[item] = catalogue.to_numpy()[drawn]
    return negatives


def _check_columns(name, frame, *columns):
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a DataFrame, got {type(frame).__name__}.")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} must have the column {missing[0]!r}, got {list(frame.columns)}.")
