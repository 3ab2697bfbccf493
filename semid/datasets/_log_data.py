"""What the loaders return: the interactions of a log, with the items and the users they are of."""

from typing import NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from semid.datasets._splits import k_core


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

    def k_core(self, k: int = 5) -> "LogData":
        """Return the log of the users and items with at least `k` interactions each, as `semid.datasets.k_core`.

        Items and users that have none are left out.

        Parameters
        ----------
        k : int, default 5
            Least number of interactions.

        Returns
        -------
        log : LogData
            Numbered anew; ``bad_lines`` and ``n_duplicates`` are the same.
        """
        interactions = k_core(self.interactions, k)
        items = self.items[self.items["item_id"].isin(interactions["item_id"])]
        users = self.users[self.users["user_id"].isin(interactions["user_id"])]
        items, interactions, users = (table.reset_index(drop=True) for table in (items, interactions, users))
        return LogData(items, interactions, users, self.bad_lines, self.n_duplicates)


def make_log(interactions, items, users, bad_lines, fill=None):
    """Return a log with one row for each item and user; `fill` has the value of a column where nothing is known."""
    items, n_items = _one_row_each("item_id", items, interactions["item_id"], fill or {})
    users, n_users = _one_row_each("user_id", users, interactions["user_id"], fill or {})
    return LogData(items, interactions, users, bad_lines, n_items + n_users)


def _one_row_each(name, table, seen, fill):
    """Return `table` with one row for each id, those of `seen` included, and the number of rows left out."""
    if table is None:
        return pd.DataFrame({name: seen.unique()}), 0
    if len(table) and len(seen) and is_numeric_dtype(table[name]) != is_numeric_dtype(seen):
        raise ValueError(
            f"{name} must be of one type, got {seen.dtype} in the interactions and {table[name].dtype} where they are "
            "described. Write the ids alike in both files."
        )
    first = table[~table[name].duplicated()]
    unknown = seen[~seen.isin(first[name])].unique()
    complete = first.reset_index(drop=True)
    if len(unknown):
        ids = pd.Index(first[name]).append(pd.Index(unknown)).rename(name)
        complete = first.set_index(name).reindex(ids).reset_index()
        for column in complete.columns.intersection(list(fill)):
            complete[column] = _filled(complete[column], fill[column])
    return complete, len(table) - len(first)


def _filled(column, value):
    if isinstance(value, list):
        return column.map(lambda entry: entry if isinstance(entry, list) else list(value))
    return column.fillna(value)
