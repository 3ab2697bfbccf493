"""What the loaders return: the interactions of a log, with the items and the users they are of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from semid.base._checks import check_option, warn
from semid.datasets._splits import k_core
from semid.tables._columns import nullable_type


class LogData(NamedTuple):
    """A log as the loaders return it; each table is numbered from 0.

    Parameters
    ----------
    items : DataFrame
        One row per item: ``item_id`` and what is known of it. Items of the interactions come after those that are
        described, if they are not among them.
    interactions : DataFrame
        One row per interaction, in the order of the file: ``user_id``, ``item_id``, ``rating`` where there is one,
        ``timestamp`` (int64, seconds since 1970) where there is one, and other columns.
    users : DataFrame
        One row per user: ``user_id`` and what is known of them.
    bad_lines : DataFrame
        ``file``, ``line`` (from 1) and ``reason`` of each line that could not be read; empty if there are none.
    n_duplicates : int, default 0
        Number of rows of items and users that were left out, as an earlier one is of the same item or user.
    n_repeats : int, default 0
        Number of interactions in the file that equal an earlier one in every column.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import LogData
    >>> interactions = pd.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": ["a", "b", "a", "b", "c"]})
    >>> items, users = pd.DataFrame({"item_id": ["a", "b", "c"]}), pd.DataFrame({"user_id": [1, 2, 3]})
    >>> log = LogData(items, interactions, users, bad_lines=pd.DataFrame(columns=["file", "line", "reason"]))
    >>> log.k_core(2).items["item_id"].tolist()
    ['a', 'b']
    """

    items: pd.DataFrame
    interactions: pd.DataFrame
    users: pd.DataFrame
    bad_lines: pd.DataFrame
    n_duplicates: int = 0
    n_repeats: int = 0

    def k_core(self, k: int = 5) -> LogData:
        """Return the log of the users and items with at least `k` interactions each, as `semid.datasets.k_core`.

        Items and users that have none are left out.

        Parameters
        ----------
        k : int, default 5
            Least number of interactions.

        Returns
        -------
        log : LogData
            Numbered anew; ``bad_lines``, ``n_duplicates`` and ``n_repeats`` are the same.
        """
        interactions = k_core(self.interactions, k)
        items = self.items[self.items["item_id"].isin(interactions["item_id"])]
        users = self.users[self.users["user_id"].isin(interactions["user_id"])]
        items, interactions, users = (table.reset_index(drop=True) for table in (items, interactions, users))
        return LogData(items, interactions, users, self.bad_lines, self.n_duplicates, self.n_repeats)


class Repeats:
    """Interactions that equal an earlier one: counted, and kept, kept with a warning, or left out."""

    def __init__(self, on_repeats):
        self._on_repeats = check_option("on_repeats", on_repeats, ("keep", "warn", "drop"))

    def settle(self, interactions):
        """Return the interactions that stay, and the number of those that equal an earlier one."""
        is_repeat = _is_repeat(interactions)
        n_repeats = int(is_repeat.sum())
        if n_repeats and self._on_repeats == "drop":
            return interactions[~is_repeat].reset_index(drop=True), n_repeats
        if n_repeats and self._on_repeats == "warn":
            row = int(is_repeat.argmax())
            user, item = (interactions[name].iloc[row : row + 1].tolist()[0] for name in ("user_id", "item_id"))
            warn(
                f"{n_repeats} of {len(interactions)} interactions equal an earlier one in every column, the first is "
                f"of user {user!r} and item {item!r}: a split may put the same interaction on both of its sides. "
                "Pass on_repeats='drop' to leave them out, or 'keep' where they are meant."
            )
        return interactions, n_repeats


def _is_repeat(interactions):
    """Return which rows equal an earlier one in every column."""
    first = [name for name in ("user_id", "item_id", "timestamp") if name in interactions.columns]
    may_be = interactions.duplicated(first, keep=False).to_numpy()
    is_repeat = np.zeros(len(interactions), dtype=bool)
    rows = interactions[may_be]
    hashable = {
        name: column.map(repr) if column.dtype == object else column  # lists and arrays, which equal nothing
        for name, column in rows.items()
    }
    is_repeat[may_be] = pd.DataFrame(hashable).duplicated().to_numpy()
    return is_repeat


def make_log(interactions, items, users, bad_lines, fill=None, *, repeats):
    """Return a log with one row for each item and user; `fill` has the value of a column where nothing is known."""
    interactions, n_repeats = repeats.settle(interactions)
    items, n_items = _one_row_each("item_id", items, interactions["item_id"], fill or {})
    users, n_users = _one_row_each("user_id", users, interactions["user_id"], fill or {})
    return LogData(items, interactions, users, bad_lines, n_items + n_users, n_repeats)


def _one_row_each(name, table, seen, fill):
    """Return `table` with one row for each id, those of `seen` included, and the number of rows left out."""
    if table is None:
        return pd.DataFrame({name: seen.unique()}), 0
    first = table[~table[name].duplicated()]
    unknown = seen[~seen.isin(first[name])].unique()
    complete = first.reset_index(drop=True)
    if len(unknown):
        ids = pd.Index(first[name]).append(pd.Index(unknown)).rename(name)
        known = first.set_index(name)
        complete = known.astype(known.dtypes.map(nullable_type)).reindex(ids).reset_index()
        for column in complete.columns.intersection(list(fill)):
            complete[column] = _filled(complete[column], fill[column])
    return complete, len(table) - len(first)


def _filled(column, value):
    if isinstance(value, list):
        return column.map(lambda entry: entry if isinstance(entry, list) else list(value))
    return column.fillna(value)
