"""Who clicked what, and when: the log that histories are cut from."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from semid.base._checks import check_integer, check_single_values
from semid.features._times import as_floats, check_kinds, comparable, read_times, whole_if_all_are
from semid.tables._frames import find_column, from_arrow, split_columns
from semid.tables._histories import HistoryArray
from semid.tables._ids import concat_ids, find_ids, id_index, like_those, of_other_kind

_BLOCK = 2**20  # impressions looked up at once: what is needed on the way is that of a block


class _Clicks(NamedTuple):
    """Clicks with a user, an item and a time, sorted by the user's number and then by time, ties as they came."""

    users: np.ndarray  # (n,) intp, numbers of the ids
    user_ids: pd.Index
    items: np.ndarray  # (n,) int32
    item_ids: pd.Index
    times: np.ndarray | None  # (n,) int64 or float64


class ClickHistory:
    """A log of clicks, to be asked what a user had clicked before a given time.

    Each user's clicks are kept once, in order; a history is two offsets into them. So 10,000,000 histories of up to 50
    items take 160 MB beside the log, and looking them up takes a binary search each.

    Immutable, and therefore never copied: `sklearn.base.clone` and `copy.deepcopy` return the object itself, threads
    may share it, and `append` returns another one.

    Parameters
    ----------
    users : array-like of shape (n_clicks,)
        Who clicked; text or numbers. What should have a history of its own: a session, if histories are to end with it.
    items : array-like of shape (n_clicks,)
        The clicked item. An item that is clicked twice is in the history twice.
    times : array-like of shape (n_clicks,), default None
        When: numbers, or dates, with a time zone or without. None if clicks are in their order.

    Attributes
    ----------
    users : ndarray of shape (n_users,)
        The distinct users.
    items : ndarray of shape (n_items,)
        The distinct items.
    has_times : bool
        Whether clicks have times.

    Raises
    ------
    TypeError
        If ids are neither text nor numbers, or times neither numbers nor dates.
    ValueError
        If the columns are not of one length.

    Notes
    -----
    A click whose user, item or time is missing is in no history: nothing says whose it is, or what it came before. Of
    clicks at the same time, the one given first counts as the older one, in the histories of those who ask later.

    Examples
    --------
    >>> from semid.features import ClickHistory
    >>> log = ClickHistory(users=["ann", "bob", "ann"], items=["mug", "pan", "pot"], times=[1, 2, 3])
    >>> log
    ClickHistory(3 clicks, 2 users, 3 items)
    >>> list(log.before(["ann", "ann", "eve"], [3, 4, 4]))
    [('mug',), ('mug', 'pot'), ()]
    >>> list(log.append(["eve"], ["mug"], [4]).before(["eve"], [5]))
    [('mug',)]
    """

    def __init__(self, users: ArrayLike, items: ArrayLike, times: ArrayLike | None = None) -> None:
        columns = _columns(users, items, times)
        read = None if times is None else read_times("times", columns[2])
        self._kind = None if read is None else read.kind
        clicks = _sorted_clicks(columns[0], columns[1], read)
        firsts = _counted(clicks.users, len(clicks.user_ids))
        self._keep(clicks.user_ids, firsts, clicks.item_ids.to_numpy(), clicks.items, clicks.times)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        user: str | int = "user_id",
        item: str | int = "item_id",
        time: str | int | None = "timestamp",
    ) -> Self:
        """Make a log of the rows of a table, each of them a click.

        Parameters
        ----------
        frame : DataFrame
            Of pandas, polars or any other that speaks Arrow.
        user : str or int, default "user_id"
            Column of the user, by name or position.
        item : str or int, default "item_id"
            Column of the item.
        time : str, int or None, default "timestamp"
            Column of the time. None if the rows are in their order.

        Returns
        -------
        log : ClickHistory

        Raises
        ------
        ValueError
            If a column is not there, and whatever the class refuses.
        """
        if not isinstance(frame, pd.DataFrame) and hasattr(frame, "__arrow_c_stream__"):
            frame = from_arrow("frame", frame)
        names, columns = split_columns(frame)
        users, items = columns[find_column("user", user, names)], columns[find_column("item", item, names)]
        return cls(users, items, None if time is None else columns[find_column("time", time, names)])

    @property
    def items(self) -> np.ndarray:
        """Distinct ids of the items, (n_items,)."""
        return self._items

    @property
    def users(self) -> np.ndarray:
        """Distinct ids of the users, (n_users,)."""
        return self._users.to_numpy()

    @property
    def has_times(self) -> bool:
        """Whether clicks have times; else they are in their order."""
        return self._kind is not None

    def before(self, users: ArrayLike, times: ArrayLike | None = None, *, max_length: int = 50) -> HistoryArray:
        """Return what each user had clicked strictly before a time.

        Parameters
        ----------
        users : array-like of shape (n_impressions,)
            An unknown or missing user has an empty history.
        times : array-like of shape (n_impressions,), default None
            Times of the log's kind. Of clicks at the very time, none is before it; nothing is before a missing time.
            None for after all clicks: what is known now.
        max_length : int, default 50
            Items in a history at most: the last ones.

        Returns
        -------
        histories : HistoryArray of shape (n_impressions,)
            A pandas array; each entry a tuple of ids, oldest first.

        Raises
        ------
        TypeError
            If times are not of the kind that the log's are.
        ValueError
            If there are times here and none in the log, or `max_length` is less than 1.
        """
        check_integer("max_length", max_length, 1)
        asked = _series("users", users)
        wanted = None if times is None else self._wanted(times, len(asked))
        starts, stops = np.empty(len(asked), dtype=np.int64), np.empty(len(asked), dtype=np.int64)
        for begin in range(0, len(asked), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            first, last = self._bounds(self._rows(asked.iloc[block]))
            if wanted is not None:
                last = _first_not_below(self._times, first, last, wanted[0][block])
                last = np.where(wanted[1][block], first, last)
            starts[block], stops[block] = np.maximum(first, last - max_length), last
        return HistoryArray(self._entries, self._items, starts, stops)

    def append(self, users: ArrayLike, items: ArrayLike, times: ArrayLike | None = None) -> Self:
        """Return a log with further clicks; this one stays as it is.

        Only the new clicks are sorted, so that this costs a copy of the log, not another sort. They may be older than
        those that are there; of clicks at the same time, the new ones count as the later ones.

        Parameters
        ----------
        users, items : array-like of shape (n_clicks,)
            As in the class.
        times : array-like of shape (n_clicks,), default None
            Times of the log's kind; None if the log has none: then the new clicks are the last ones.

        Returns
        -------
        log : ClickHistory

        Raises
        ------
        TypeError
            If users or items are text and those of the log are numbers, or the other way round, or times are of another
            kind.
        ValueError
            If there are times here and none in the log, or the other way round.
        """
        columns = _columns(users, items, times)
        if (times is None) != (self._kind is None):
            raise ValueError(
                f"times must be given if those of the log are, and only then, got {'none' if times is None else 'some'}"
                f" where the log has {'none' if self._kind is None else 'some'}."
            )
        read = None if times is None else read_times("times", columns[2])
        if not len(self):  # of which the kind of times, and of ids, is not known
            return type(self)(users, items, times)
        if read is not None:
            check_kinds("times", read.kind, self._kind)
        new = _sorted_clicks(columns[0], columns[1], read)
        return self._with(new) if len(new.users) else self

    def __len__(self):
        return len(self._entries)

    def __repr__(self):
        return f"ClickHistory({len(self)} clicks, {len(self._users)} users, {len(self._items)} items)"

    def __sklearn_clone__(self):
        return self

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __getstate__(self):
        return parts_of_log(self)

    def __setstate__(self, parts):
        self._kind = parts.get("kind")
        self._keep(id_index(parts["users"]), *(parts.get(name) for name in ("firsts", "items", "entries", "times")))

    def _keep(self, users, firsts, items, entries, times):
        """Keep clicks that are sorted by user and time; those of user i begin in ``firsts[i]``. `users` is an Index."""
        self._users = users
        self._items, self._firsts, self._entries = _frozen(items), _frozen(firsts), _frozen(entries)
        self._times = None if times is None else _frozen(times)

    def _rows(self, users):
        """Return the number of each user, -1 for unknown and missing ones."""
        if isinstance(users.dtype, np.dtype) and users.dtype != object:
            return find_ids(self._users, users)
        try:
            numbers, names = pd.factorize(users)  # in Arrow, if the text is there: what follows makes objects of it
        except TypeError:
            check_single_values("users", users)
            raise
        return np.append(find_ids(self._users, names), -1)[numbers]

    def _bounds(self, rows):
        """Return where the clicks of users begin and end; 0 and 0 of one who is unknown, in row -1."""
        if not len(self._users):
            return np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        is_known = rows >= 0
        return self._firsts[rows] * is_known, self._firsts[rows + 1] * is_known

    def _wanted(self, times, n_rows):
        """Return times in the dtype of the log's, and which are missing."""
        if self._kind is None:
            raise ValueError("times must be None where the log has none, got some. Make the log with times.")
        read = read_times("times", _series("times", times))
        if len(read.values) != n_rows:
            raise ValueError(f"users and times must be of one length, got {n_rows} and {len(read.values)}.")
        if read.is_missing.all() or not len(self):
            return np.zeros(n_rows, dtype=self._times.dtype), read.is_missing
        check_kinds("times", read.kind, self._kind)
        return comparable("times", read.values, self._times), read.is_missing

    def _with(self, new):
        """Return a log with `_Clicks` among those that are there."""
        user_numbers, user_ids = _joined("users", self._users, new.user_ids)
        item_numbers, item_ids = _joined("items", id_index(self._items), new.item_ids)
        users = user_numbers[new.users]
        order = np.argsort(users, kind="stable")
        users, entries = users[order], item_numbers[new.items[order]].astype(np.int32)
        is_known = users < len(self._users)
        first, places = self._bounds(np.where(is_known, users, -1))
        times, known_times = None, None
        if new.times is not None:
            times, known_times = _of_one_dtype(new.times[order], self._times)
            places = _first_not_below(known_times, first, places, times, or_equal=True)
        places = np.where(is_known, places, len(self))
        firsts = np.pad(self._firsts, (0, len(user_ids) - len(self._users)), mode="edge")
        other = object.__new__(type(self))
        other._kind = self._kind
        other._keep(
            user_ids,
            firsts + _counted(users, len(user_ids)),
            item_ids.to_numpy(),
            np.insert(self._entries, places, entries),
            None if times is None else np.insert(known_times, places, times),
        )
        return other


def _counted(users, n_users):
    """Return where the clicks of each user begin, and the last ones end, (n_users + 1,) int64."""
    return np.append(0, np.cumsum(np.bincount(users, minlength=n_users))).astype(np.int64)


def _series(name: str, column: Any) -> pd.Series:
    """Return a column as a Series, integers beside None as they are, or raise for what is none."""
    if isinstance(column, pd.Series):
        return column
    if isinstance(column, str | bytes) or not hasattr(column, "__iter__") or getattr(column, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a column of values, got {column!r:.80} alone. Pass a list of it.")
    if getattr(column, "ndim", 1) > 1:
        raise ValueError(f"{name} must be one column of values, got a {type(column).__name__} of shape {column.shape}.")
    return pd.Series(column if hasattr(column, "dtype") else list(column), dtype=getattr(column, "dtype", object))


def _columns(users, items, times):
    """Return columns of one length as Series, or raise."""
    named = {"users": users, "items": items, "times": times}
    columns = [_series(name, column) for name, column in named.items() if column is not None]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"users, items and times must be of one length, got {lengths}.")
    return columns


def _sorted_clicks(users, items, times):
    """Return the `_Clicks` of columns of ids, and `Times` or None."""
    user_numbers, user_ids = _numbered("users", users)
    item_numbers, item_ids = _numbered("items", items)
    is_whole = (user_numbers >= 0) & (item_numbers >= 0)
    values = None
    if times is not None:
        is_whole &= ~times.is_missing
        values = times.values
    if not is_whole.all():
        user_numbers, item_numbers = user_numbers[is_whole], item_numbers[is_whole]
        values = None if values is None else whole_if_all_are(values[is_whole])
    order = np.argsort(user_numbers, kind="stable") if values is None else np.lexsort((values, user_numbers))
    sorted_times = None if values is None else values[order]
    return _Clicks(user_numbers[order], user_ids, item_numbers[order].astype(np.int32), item_ids, sorted_times)


def _numbered(name, ids):
    """Return the number of each id, -1 where missing, and the distinct ids in one form."""
    try:
        numbers, names = pd.factorize(ids)  # before anything is done to each of them
    except TypeError:
        check_single_values(name, ids)
        raise
    return numbers, id_index(pd.Index(names))


def _joined(name, known, new):
    """Return the numbers of new ids behind known ones, an `id_index`, and that of all."""
    if len(known) and of_other_kind(known, new):
        raise TypeError(
            f"{name} must be of the type that the log has, got {like_those(new, known, 'the log')}: text and numbers "
            "are never equal."
        )
    numbers = find_ids(known, new)
    is_new = numbers < 0
    if not is_new.any():
        return numbers, known
    numbers[is_new] = len(known) + np.arange(is_new.sum())
    return numbers, id_index(concat_ids(pd.Series(known), pd.Series(new[is_new])))


def _of_one_dtype(new, known):
    if new.dtype == known.dtype:
        return new, known
    return tuple(as_floats("times", times) if times.dtype == np.int64 else times for times in (new, known))


def _first_not_below(times, first, last, wanted, *, or_equal=False):
    """Return the first place in each range of sorted `times` whose time is at least `wanted`; after it `or_equal`.

    A binary search for all rows at once. `np.searchsorted` knows no ranges; of a key of user and time in its place, a
    log would need another array, and each look-up steps over all users before it comes to its own.
    """
    low, high = first.copy(), last.copy()
    rows = np.flatnonzero(low < high)
    while len(rows):
        middle = (low[rows] + high[rows]) // 2
        is_below = times[middle] <= wanted[rows] if or_equal else times[middle] < wanted[rows]
        low[rows[is_below]] = middle[is_below] + 1
        high[rows[~is_below]] = middle[~is_below]
        rows = rows[low[rows] < high[rows]]
    return low


def _frozen(array):
    """Return the array, read-only: those who share a log cannot change it."""
    array = np.asarray(array)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def parts_of_log(log):
    """Return what a `ClickHistory` is made of, by name: arrays, and the kind of its times."""
    arrays = {"items": log._items, "firsts": log._firsts, "entries": log._entries}
    times = {} if log._times is None else {"times": log._times, "kind": log._kind}
    return {"users": log._users.to_numpy(), **arrays, **times}


def log_of_parts(parts):
    """Return the `ClickHistory` that is made of `parts`."""
    log = object.__new__(ClickHistory)
    log.__setstate__(parts)
    return log
