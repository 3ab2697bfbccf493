"""From the columns of user and time to the history of each impression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from semid.base._all_or_nothing import all_or_nothing, snapshot
from semid.base._checks import check_input_features, check_integer, warn
from semid.base._versioned import Versioned
from semid.features._click_history import ClickHistory
from semid.features._labels import is_click
from semid.features._times import NUMBERS, check_kinds, read_times
from semid.tables._frames import check_table, find_column, split_columns
from semid.tables._ids import warn_of_other_kind

_OTHER_UNIT = 100  # times as late as the log is at its end: no later time of the same unit is


class HistoryEncoder(Versioned, TransformerMixin, BaseEstimator):
    """Write for each impression what its user clicked before: a column of histories.

    The histories are the last `max_length` clicks *strictly before* the time of the impression, so that none holds the
    click that is to be predicted, or a later one. Whose clicks they are depends on `log`:

    - with a `ClickHistory`, they are the clicks in it, those of rows that a cross-validation holds out included if they
      are in the log: what was known by then, as it will be when the model is in use;
    - without, they are the clicked rows that `fit` is given. A fold then knows the clicks of its training rows alone.

    The column has a pandas dtype of its own, whose rows share one sequence per user. Behind `SemanticIDEncoder` it has
    the codes of its items, and the click models pool their embeddings.

    Parameters
    ----------
    log : ClickHistory or None, default None
        Clicks to take histories from. None for those of the rows in `fit`.
    user : str or int, default "user_id"
        Column of the user, by name or position.
    item : str or int, default "item_id"
        Column of the candidate item. `fit` reads the clicked items there if there is no `log`; by its name, a click
        model knows whose embeddings the history shares.
    time : str, int or None, default "timestamp"
        Column of the time: numbers or dates, as those of the log. None if the order of rows is the time: then
        `transform` takes its rows to be later than all clicks, and `fit_transform` each row to be later than the rows
        above it, so that it differs from `transform` of the same rows.
    max_length : int, default 50
        Items in a history at most: the last ones.
    name : str, default "history"
        Name of the column.

    Attributes
    ----------
    log_ : ClickHistory
        The clicks in use.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if they had names of type str.

    See Also
    --------
    ClickHistory : The same for arrays, with events added later.
    SemanticIDEncoder : Gives codes to the items of histories.

    Notes
    -----
    Of clicks at the time of the impression itself, none is in its history; a missing or unknown user has an empty one,
    and so has an impression without a time. Items that are clicked twice are there twice. For histories that end with a
    session, name the column of the session as `user`.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.features import HistoryEncoder
    >>> X = pd.DataFrame(
    ...     {"user_id": [1, 1, 2, 1], "item_id": ["mug", "pan", "mug", "pot"], "timestamp": [10, 20, 20, 30]}
    ... )
    >>> HistoryEncoder().fit_transform(X, [1, 0, 1, 1])
      history
    0      []
    1   [mug]
    2      []
    3   [mug]
    """

    def __init__(
        self,
        log: ClickHistory | None = None,
        *,
        user: str | int = "user_id",
        item: str | int = "item_id",
        time: str | int | None = "timestamp",
        max_length: int = 50,
        name: str = "history",
    ) -> None:
        self.log = log
        self.user = user
        self.item = item
        self.time = time
        self.max_length = max_length
        self.name = name

    @all_or_nothing
    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Keep the clicks that histories are taken from.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns of user and time, and of the item if there is no `log`. Others are not read.
        y : array-like of shape (n_impressions,), default None
            Labels of two kinds, of which the larger, or "yes", "true" and "1", is the click. None if each row is a
            click. Not read if there is a `log`.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If `log` is not a ClickHistory, or times are neither numbers nor dates.
        ValueError
            If a parameter is out of its range, a column is not there, `time` does not go with `log`, or `y` does not
            say what a click is.
        """
        check_integer("max_length", self.max_length, 1)
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be the name of a column, got {self.name!r}.")
        X = check_table(self, X, reset=True)
        self._item = self._item_name(X)
        self.log_ = self._clicked_rows(X, y) if self.log is None else self._checked_log()
        _, times = self._users_and_times(X)
        if self.log is not None and times is not None:
            self._check_times(times)
        return self

    @all_or_nothing
    def add_clicks(self, X: pd.DataFrame | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Add the clicked rows of `X` to the log, also to a `log` that was given, which itself stays as it is.

        Exact, in any order: histories are those of one log of all clicks. At the cost of a copy of it; threads that
        call `transform` meanwhile see the log before or after.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            The columns that `fit` was given, that of the item among them. With ``time=None``, later than all before.
        y : array-like of shape (n_impressions,), default None
            As in `fit`. None if each row is a click.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If ids or times are of another kind than those of the log.
        ValueError
            If `X` has other columns than in `fit`, or `y` does not say what a click is.

        Examples
        --------
        >>> import pandas as pd
        >>> from semid.features import HistoryEncoder
        >>> X = pd.DataFrame({"user_id": [1, 1], "item_id": ["mug", "pan"], "timestamp": [10, 20]})
        >>> encoder = HistoryEncoder().fit(X[:1])
        >>> encoder.add_clicks(X[1:]).transform(X.assign(timestamp=30))["history"].tolist()
        [('mug', 'pan'), ('mug', 'pan')]
        """
        check_is_fitted(self)
        users, items, times, rows = self._clicks(check_table(self, X, reset=False), y)
        if times is None and self.log_.has_times:  # the numbers of rows
            times = rows + (self.log_._times.max(initial=-1) + 1)
        self.log_ = self.log_.append(users, items, times)
        return self

    def fit_transform(self, X: pd.DataFrame | ArrayLike, y: ArrayLike | None = None) -> pd.DataFrame:
        """Fit, and return the history of each row of `X`; with ``time=None``, of the rows above it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            As in `fit`.
        y : array-like of shape (n_impressions,), default None
            As in `fit`.

        Returns
        -------
        histories : DataFrame of shape (n_impressions, 1)
            As in `transform`.
        """
        self.fit(X, y)
        return self._histories(X, is_log=self.log is None)

    def transform(self, X: pd.DataFrame | ArrayLike) -> pd.DataFrame:
        """Return the history of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            The columns that `fit` was given.

        Returns
        -------
        histories : DataFrame of shape (n_impressions, 1)
            One column of dtype ``history``, each entry a tuple of ids, oldest first.

        Raises
        ------
        TypeError
            If times are not of the kind that the log's are.
        ValueError
            If `X` has other columns than in `fit`.
        """
        check_is_fitted(self)
        return self._histories(X, is_log=False)

    def get_feature_names_out(self, input_features: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Return the name of the column, `name`.

        Parameters
        ----------
        input_features : array-like of str, default None
            Not read, but for their number.

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        if input_features is not None:
            check_input_features(self, input_features)
        return np.array([self.name], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _histories(self, X, *, is_log):
        """Return the column of histories; of rows that are the log's own, without those that are not above."""
        encoder = snapshot(self)
        X = check_table(encoder, X, reset=False)
        users, times = encoder._users_and_times(X)
        if is_log and times is None:
            times = np.arange(len(users))
        histories = encoder.log_.before(users, times, max_length=encoder.max_length)
        if not histories.lengths.any():
            warn_of_other_kind(users.name, encoder.log_._users, users, "the log")
        column = histories.with_item(encoder._item)
        return pd.DataFrame({encoder.name: pd.Series(column, index=getattr(X, "index", None))})

    def _users_and_times(self, X):
        names, columns = split_columns(X)
        users = columns[find_column("user", self.user, names)]
        return users, None if self.time is None else columns[find_column("time", self.time, names)]

    def _item_name(self, X):
        """Return the name of the candidate's column, None if it has none."""
        if isinstance(self.item, str) or self.log is not None:
            return self.item if isinstance(self.item, str) else None
        names, _ = split_columns(X)
        name = names[find_column("item", self.item, names)]
        return name if isinstance(name, str) else None

    def _clicked_rows(self, X, y):
        """Return the log of the clicked rows of `X`, whose times are the numbers of the rows if there are no others."""
        users, items, times, rows = self._clicks(X, y)
        return ClickHistory(users, items, rows if times is None else times)

    def _clicks(self, X, y):
        names, columns = split_columns(X)
        items = columns[find_column("item", self.item, names)]
        users, times = self._users_and_times(X)
        clicked = np.ones(len(users), dtype=bool)
        if y is not None:
            y = column_or_1d(y)
            check_consistent_length(X, y)
            clicked = np.asarray(is_click(y, "with log=None"))
        return users[clicked], items[clicked], None if times is None else times[clicked], np.flatnonzero(clicked)

    def _checked_log(self):
        if not isinstance(self.log, ClickHistory):
            raise TypeError(
                f"log must be a ClickHistory or None, got {type(self.log).__name__}; pass "
                "log=ClickHistory(users, items, times)."
            )
        if self.log.has_times != (self.time is not None):
            has = "times" if self.log.has_times else "no times"
            way_out = "Name their column" if self.log.has_times else "Pass time=None, or a log with times"
            raise ValueError(f"time must go with the log, which has {has}, got {self.time!r}. {way_out}.")
        return self.log

    def _check_times(self, times):
        """Raise if times are of another kind than those of the log; warn if they may be in another unit.

        They may if all rows are so much later, or earlier, than the log.
        """
        asked, known = read_times("time", times), self.log_._times
        values = asked.values[~asked.is_missing]
        if not len(values) or not len(known):
            return
        check_kinds("time", asked.kind, self.log_._kind)
        if asked.kind != NUMBERS:
            return
        first, last = known.min(), known.max()
        is_later = values.min() / _OTHER_UNIT > last > 0
        if is_later or first / _OTHER_UNIT > values.max() > 0:
            warn(
                f"all times of column {self.time!r}, such as {values[0]}, are far "
                f"{'behind' if is_later else 'before'} those of the log, {first} to {last}, so that histories hold "
                f"{'all clicks, later ones too' if is_later else 'none'}. Are they in the same unit?"
            )
