"""Negatives for logs of positive interactions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api import types
from sklearn.utils import check_random_state

from semid.base._checks import check_integer, check_number, check_option
from semid.base._typing import RandomState
from semid.datasets._frames import check_columns, check_nothing_missing
from semid.tables._frames import as_index
from semid.tables._ids import (
    concat_ids,
    factorize_ids,
    find_ids,
    id_index,
    like_those,
    of_other_kind,
    warn_of_other_kind,
)

_ROUNDS = 50  # of drawing again, after which users of nearly everything popular get exact draws


def sample_negatives(
    interactions: pd.DataFrame,
    items: ArrayLike,
    *,
    n_negatives: int = 1,
    sampling: Literal["uniform", "popularity"] = "uniform",
    exponent: float = 0.75,
    exclude: pd.DataFrame | None = None,
    user: str = "user_id",
    item: str = "item_id",
    random_state: RandomState | None = None,
) -> pd.DataFrame:
    """Return negatives for each interaction: the same row with an item that its user never touched.

    Drawn with replacement, the user's own interactions excluded.

    Parameters
    ----------
    interactions : DataFrame
        All interactions of each user, one row each.
    items : array-like of shape (n_items,)
        Ids of all items of the catalogue.
    n_negatives : int, default 1
        Negatives of each interaction.
    sampling : {"uniform", "popularity"}, default "uniform"
        ``"popularity"`` draws an item in proportion to its number of interactions to the power of `exponent`; items
        without any are never drawn.
    exponent : float, default 0.75
        For ``sampling="popularity"``: 1 for plain popularity, 0 for all items with interactions alike.
    exclude : DataFrame or None, default None
        Further pairs of user and item that must not be drawn, such as the users' later interactions; those of other
        users or of items outside the catalogue do nothing.
    user, item : str, default "user_id" and "item_id"
        Columns of the user and of the item.
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    negatives : DataFrame
        `interactions` with another item in each row, each row `n_negatives` times in a row; so is the index.

    Raises
    ------
    ValueError
        If an interaction's item is not among `items`, or a user has touched all that can be drawn.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import sample_negatives
    >>> log = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})
    >>> sample_negatives(log, ["a", "b", "c"], random_state=0)["item_id"].tolist()
    ['c', 'c', 'c']
    """
    check_integer("n_negatives", n_negatives, 1)
    check_option("sampling", sampling, ("uniform", "popularity"))
    check_number("exponent", exponent, 0)
    check_columns("interactions", interactions, user, item)
    catalogue, index = _check_catalogue(items)
    positive = _positions(interactions[item], index)
    check_nothing_missing(interactions, user)
    users, names = factorize_ids(interactions[user])
    users = users.astype(np.int64)
    touched = _sorted_set(users * len(catalogue) + positive, _excluded(exclude, names, index, user, item))

    weights = None
    if sampling == "popularity":
        counts = np.bincount(positive, minlength=len(catalogue))
        weights = np.where(counts > 0, np.power(counts, exponent, dtype=np.float64), 0.0)
    _check_all_leave_something(touched, names, len(catalogue), weights)
    repeated = np.repeat(users, n_negatives)
    drawn = _draw_untouched(repeated, touched, len(catalogue), weights, check_random_state(random_state))
    negatives = interactions.iloc[np.repeat(np.arange(len(users)), n_negatives)].copy()
    negatives[item] = _in_dtype_of(interactions[item], catalogue.to_numpy()[drawn])
    return negatives


def add_negatives(
    interactions: pd.DataFrame,
    items: ArrayLike,
    *,
    n_negatives: int = 1,
    label: str = "click",
    sampling: Literal["uniform", "popularity"] = "uniform",
    exponent: float = 0.75,
    exclude: pd.DataFrame | None = None,
    user: str = "user_id",
    item: str = "item_id",
    random_state: RandomState | None = None,
) -> pd.DataFrame:
    """Return impressions to learn from: each interaction, clicked, and after it its negatives, not clicked.

    A log in order of time stays in it, so that every fold of a `TimeSeriesSplit` has clicks and others.

    Parameters
    ----------
    interactions : DataFrame
        All interactions of each user, one row each. A negative has the other columns of its interaction, such as the
        part from `leave_last_out`.
    items : array-like of shape (n_items,)
        As in `sample_negatives`.
    n_negatives : int, default 1
        As in `sample_negatives`.
    label : str, default "click"
        Column to add: 1 for interactions, 0 for negatives.
    sampling : {"uniform", "popularity"}, default "uniform"
        As in `sample_negatives`.
    exponent : float, default 0.75
        As in `sample_negatives`.
    exclude : DataFrame or None, default None
        As in `sample_negatives`.
    user, item : str, default "user_id" and "item_id"
        As in `sample_negatives`.
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    impressions : DataFrame
        ``(1 + n_negatives) * n_interactions`` rows, numbered anew. Ids of items are integers where those of the log
        and of `items` are, whatever their dtypes.

    Raises
    ------
    ValueError
        As `sample_negatives`, and if the interactions have a column `label` already.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import add_negatives
    >>> log = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "part": ["train", "test", "train"]})
    >>> add_negatives(log, ["a", "b", "c"], random_state=0)
       user_id item_id   part  click
    0        1       a  train      1
    1        1       c  train      0
    2        1       b   test      1
    3        1       c   test      0
    4        2       a  train      1
    5        2       c  train      0
    """
    check_columns("interactions", interactions, user, item)
    if label in interactions.columns:
        raise ValueError(f"label must name a new column, interactions have {label!r} already: {[*interactions]}.")
    negatives = sample_negatives(
        interactions,
        items,
        n_negatives=n_negatives,
        sampling=sampling,
        exponent=exponent,
        exclude=exclude,
        user=user,
        item=item,
        random_state=random_state,
    )
    n = len(interactions)
    item_ids = concat_ids(interactions[item], negatives[item]).array
    clicked, skipped = interactions.assign(**{label: 1}), negatives.assign(**{label: 0})
    clicked[item], skipped[item] = item_ids[:n], item_ids[n:]
    impressions = pd.concat([clicked, skipped], ignore_index=True)
    # Each interaction, and its negatives behind it.
    order = np.arange(len(impressions))
    order = np.column_stack([order[:n], order[n:].reshape(n, n_negatives)]).ravel()
    return impressions.iloc[order].reset_index(drop=True)


def _check_catalogue(items):
    """Return the ids of the items as they are, and as what they are looked up in."""
    catalogue = as_index(items) if hasattr(items, "dtype") else pd.Index(items)
    if catalogue.hasnans:
        raise ValueError(f"items must not be missing, got {catalogue.isna().sum()} missing.")
    index = id_index(catalogue)
    if not index.is_unique:
        raise ValueError(f"items must be unique, got {catalogue[index.duplicated()][0]!r} more than once.")
    return catalogue, index


def _positions(column, index):
    positions = find_ids(index, column)
    if (positions < 0).any():
        unknown = column[positions < 0]
        cause = f": {like_those(unknown, index, 'items')}" if of_other_kind(index, unknown) else ""
        raise ValueError(
            f"items must hold every item of the interactions, {unknown.tolist()[0]!r} is not among them{cause}."
        )
    return positions


def _in_dtype_of(column, ids):
    """Return `ids` in the integer dtype of `column`, if it holds them all, else as they are."""
    kind = column.dtype
    if not (types.is_integer_dtype(kind) and ids.dtype.kind in "iu" and isinstance(kind, np.dtype)):
        return ids
    bounds = np.iinfo(kind)
    fits = not len(ids) or (int(ids.min()) >= bounds.min and int(ids.max()) <= bounds.max)
    is_other_sign = ids.dtype.kind != kind.kind
    return ids.astype(kind) if fits and is_other_sign else ids


def _excluded(exclude, names, catalogue, user, item):
    """Return the keys of the excluded pairs whose user and item are known."""
    if exclude is None:
        return np.empty(0, dtype=np.int64)
    check_columns("exclude", exclude, user, item)
    users_index = id_index(names)
    users, positions = find_ids(users_index, exclude[user]), find_ids(catalogue, exclude[item])
    for name, known_ids, places in ((user, users_index, users), (item, catalogue, positions)):
        if (places < 0).all():
            warn_of_other_kind(name, known_ids, exclude[name], "the log")
    known = (users >= 0) & (positions >= 0)
    return users[known].astype(np.int64) * len(catalogue) + positions[known]


def _sorted_set(*keys):
    # Ten times faster than np.unique, which hashes.
    keys = np.sort(np.concatenate(keys))
    return keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]


def _check_all_leave_something(touched, names, n_items, weights):
    """Raise for a user who has touched every item that can be drawn."""
    can_be_drawn = np.ones(n_items, dtype=bool) if weights is None else weights > 0
    owners = touched[can_be_drawn[touched % n_items]] // n_items
    n_touched = np.bincount(owners, minlength=len(names))
    n_drawable = can_be_drawn.sum()
    if (n_touched == n_drawable).any():
        greedy = names[n_touched == n_drawable][0]
        kind = "" if weights is None else " with interactions"
        raise ValueError(
            f"each user must leave an item{kind} untouched, user {greedy!r} has touched all {n_drawable}. "
            "Drop this user, or pass more items."
        )


def _draw_untouched(users, touched, n_items, weights, rng):
    """Draw an item for each entry of `users`; again, where the user has touched it."""
    drawn = np.empty(len(users), dtype=np.int64)
    pending = np.arange(len(users))
    rounds = 0
    while len(pending):
        if weights is not None and rounds == _ROUNDS:
            drawn[pending] = _draw_exactly(users[pending], touched, weights, rng)
            break
        drawn[pending] = _draw(len(pending), n_items, weights, rng)
        pending = pending[_among(touched, users[pending] * n_items + drawn[pending])]
        rounds += 1
    return drawn


def _draw(size, n_items, weights, rng):
    if weights is None:
        return rng.randint(n_items, size=size)
    return _by_weight(weights, rng.uniform(size=size))


def _by_weight(weights, uniform):
    """Return positions in proportion to `weights`, none of weight 0, for numbers in [0, 1)."""
    mass = np.cumsum(weights)
    return np.searchsorted(mass, uniform * mass[-1], side="right").clip(max=np.flatnonzero(weights)[-1])


def _among(touched, keys):
    """Return whether each key is in `touched`, which is sorted."""
    # In order, a search stays near the one before: ten times faster for ten million keys.
    order = np.argsort(keys)
    ordered = keys[order]
    places = np.searchsorted(touched, ordered).clip(max=len(touched) - 1)
    found = np.empty(len(keys), dtype=bool)
    found[order] = touched[places] == ordered
    return found


def _draw_exactly(users, touched, weights, rng):
    """Draw in proportion to the weights of what each user has not touched, user by user."""
    drawn = np.empty(len(users), dtype=np.int64)
    for user in np.unique(users):
        first, last = np.searchsorted(touched, [user * len(weights), (user + 1) * len(weights)])
        left = weights.copy()
        left[touched[first:last] - user * len(weights)] = 0.0
        rows = users == user
        drawn[rows] = _by_weight(left, rng.uniform(size=rows.sum()))
    return drawn
