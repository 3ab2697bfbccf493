"""From item ids to codes, inside a table of impressions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from types import MappingProxyType
from typing import Literal, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from semid.base._all_or_nothing import all_or_nothing, snapshot
from semid.base._checks import check_input_features, check_option, warn
from semid.base._versioned import Versioned
from semid.features._catalogue_codes import (
    check_takes_clicks,
    fit_on_catalogue,
    options_of_clicks,
    warn_of_no_clicks,
)
from semid.features._history_frames import frame_of_blocks
from semid.features._interaction_embeddings import log_of_clicks
from semid.features._item_table import ItemTable
from semid.tables._frames import as_index, check_table, find_column, split_columns
from semid.tables._histories import UNKNOWN_CODE, HistoryArray, HistoryDtype, holds_histories, is_history
from semid.tables._ids import concat_ids, find_ids, id_index, like_those, of_other_kind, warn_of_other_kind

_TOLERATED_UNKNOWN = 0.5  # share of rows without codes that `fit` does not warn of


class SemanticIDEncoder(Versioned, TransformerMixin, BaseEstimator):
    """Replace item-id columns of an impression table by the items' codes, and give histories of items theirs.

    The tokenizer is fitted on the catalogue (`items`), not on the impressions that `fit` is given: an item needs its
    codes whether or not it was shown. Only item content is used, and with `user` the clicks that `fit` is given, so
    that nothing leaks from the rows that a cross-validation holds out.

    A column of lists, oldest item first, is a history: lists of Python or Arrow, or what a `HistoryEncoder` makes.
    It stays one column, whose items have codes beside their ids, for a click model to look up in the tables that it has
    for those of the candidate item. The candidate is the column that the `HistoryEncoder` calls ``item``, or else the
    first one of single ids; without one, the codes of the history have tables of their own.

    Meant for a `ColumnTransformer`, which passes the item-id column and leaves the others as they are. Ask that one for
    ``set_output(transform="pandas")``: the names of the code columns tell the click model what they are.

    Parameters
    ----------
    tokenizer : estimator
        Tokenizer to fit on ``items.content``, for example `MixtureOfCodesTokenizer`; or a `Pipeline` that ends in one,
        such as a `TextEmbedder` and a tokenizer for a table of texts. Cloned, never fitted itself.
    items : ItemTable
        Ids of the catalogue, and embeddings or texts.
    memory : None, str or joblib.Memory, default None
        Where to keep fitted tokenizers, by class, parameters and content of `items`, so that a search over other
        parameters of a pipeline fits each tokenizer once. Of a Pipeline such as `presets.co_clicks`, the steps before
        the tokenizer are kept as well, once for all numbers of codes, with the vectors that they make. Used for
        tokenizers with an integer `random_state` only; for others a warning says so.
    handle_unknown : {"use_encoded_value", "error"}, default "use_encoded_value"
        What an id that is not in `items` becomes: the code -1 in every column, or an error.
    user : str or int, default None
        Column of the user, by name or position, to be passed beside the item-id columns. Then the clicks in `fit`,
        who clicked what in the first column of single ids, teach the tokenizer: items that the same users click get
        codes in common. A step of it that takes ``interactions``, the `CoClickEmbedder` of `presets.co_clicks`, learns
        from pairs of clicks; else the learned tokenizers take ``alignment``, `interaction_embeddings` as a second view
        of the items. Codes still follow from an item's embedding, those of items without clicks too; but `transform`
        wants the column as well, and ``codes_`` are the codes of ``ids_`` without it. What the click model behind it
        holds out of the same rows for early stopping is among these clicks; an `eval_set` would be apart.

    Attributes
    ----------
    tokenizer_ : estimator
        The fitted tokenizer.
    ids_ : ndarray of shape (n_items,)
        Ids of the catalogue.
    codes_ : ndarray of shape (n_items, n_codebooks), int64
        Their codes.
    histories_ : list of int
        Which of the columns of ids, the user's not counted, hold lists or histories.
    n_features_in_ : int
        Number of columns seen in `fit`: those of item ids, and that of the user if there is one.
    feature_names_in_ : ndarray of str
        Their names, if they had names of type str.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.datasets import make_items
    >>> from semid.features import ItemTable, SemanticIDEncoder
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> table = ItemTable(items.frame["item_id"], items.embeddings)
    >>> encoder = SemanticIDEncoder(ResidualKMeansTokenizer(codebook_size=16, random_state=0), items=table)
    >>> encoder = encoder.set_output(transform="pandas")
    >>> encoder.fit_transform(pd.DataFrame({"item_id": ["item00007", "item00007", "gone"]})).iloc[-1].tolist()
    [-1, -1, -1]
    >>> encoder.get_feature_names_out().tolist()
    ['item_id_code0', 'item_id_code1', 'item_id_code2']
    """

    _removed_parameters = MappingProxyType(
        {"code_vectors": "Click models that began with them ranked no better; tokenizer_.codebooks_ has them."}
    )

    def __init__(
        self,
        tokenizer: BaseEstimator,
        items: ItemTable,
        *,
        memory: str | joblib.Memory | None = None,
        handle_unknown: Literal["use_encoded_value", "error"] = "use_encoded_value",
        user: str | int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.items = items
        self.memory = memory
        self.handle_unknown = handle_unknown
        self.user = user

    @all_or_nothing
    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the tokenizer on the catalogue and keep the codes of all items.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_id_columns)
            Columns of item ids, or of lists of them, and that of the user if there is one.
        y : array-like of shape (n_impressions,), default None
            Labels of two kinds; read with `user` only. Of numbers and booleans, the larger is the click; of text, which
            does not say it by its order, "yes", "true" and "1" beside "no", "false" and "0".

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is out of its range, or with `user` if there is no column of single item ids, if `y` is
            missing or not of two kinds, or does not say which of them is the click, or if the clicks are of fewer
            than two users or known items.
        """
        check_option("handle_unknown", self.handle_unknown, ("use_encoded_value", "error"))
        _check_items(self.items)
        if not (hasattr(self.tokenizer, "fit") and hasattr(self.tokenizer, "transform")):
            raise TypeError(f"tokenizer must be an estimator with fit and transform, got {self.tokenizer!r}.")
        columns = self._id_columns(X, reset=True)
        options = {}
        if self.user is not None:
            options = self._clicks(X, y, columns)
        else:
            way_out = "Pass the column of users too, and name it, user='user_id'."
            warn_of_no_clicks(self.tokenizer, "user=None", way_out)
        self.tokenizer_, self.codes_ = fit_on_catalogue(self.tokenizer, self.items, options, self.memory)
        self.ids_ = self.items.ids
        self._warn_of_unknown_ids(columns)
        return self

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray | pd.DataFrame:
        """Return the codes of the items in each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_id_columns)
            Columns of item ids, or of lists of them.

        Returns
        -------
        codes : ndarray of shape (n_impressions, n_id_columns * n_codebooks), int64
            The codes of the first id column, then those of the second, and so on; -1 for unknown items. With
            histories, a DataFrame in which they are a column each.

        Raises
        ------
        TypeError
            If a column holds lists that held single ids in `fit`, or the other way round.
        ValueError
            If an id is not in the item table and ``handle_unknown="error"``, if `X` has other columns than in `fit`, or
            if there are histories without ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        self._index()  # of this object, for later calls as well
        encoder = snapshot(self)
        names, columns = encoder._id_names(), encoder._id_columns(X, reset=False)
        made = [
            encoder._history_with_codes(name, column, names) if is_history(column) else encoder._codes_of(name, column)
            for name, column in zip(names, columns, strict=True)
        ]
        if encoder._histories():
            return frame_of_blocks(encoder, made, X)
        return np.hstack(made)

    @all_or_nothing
    def add_items(self, items: ItemTable) -> Self:
        """Give codes to items that appeared after `fit`. The tokenizer stays as it is, and so do all codes given.

        Codes follow from an item's content, so that new items share those of the items they resemble, and a click model
        that was fitted on the codes scores them sensibly without another fit. A later `fit` knows the `items` of the
        encoder alone: put the new ones into its table before.

        Parameters
        ----------
        items : ItemTable
            With the same kind of content as that of `fit`. Ids that have codes keep them.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If `items` is not an ItemTable.
        ValueError
            If its ids are text and those of the table are numbers, or the other way round.

        Examples
        --------
        >>> from semid.datasets import make_items
        >>> from semid.features import ItemTable, SemanticIDEncoder
        >>> from semid.tokenizers import ResidualKMeansTokenizer
        >>> made = make_items(n_items=500, random_state=0)
        >>> ids, X = made.frame["item_id"], made.embeddings
        >>> tokenizer = ResidualKMeansTokenizer(codebook_size=16, random_state=0)
        >>> encoder = SemanticIDEncoder(tokenizer, items=ItemTable(ids[:400], X[:400])).fit(ids[:9].to_frame())
        >>> encoder.add_items(ItemTable(ids[400:], X[400:])).transform(ids[-1:].to_frame()).min() >= 0
        np.True_
        """
        check_is_fitted(self)
        _check_items(items)
        if of_other_kind(self.ids_, items.ids):
            one, known = items.ids[:1].tolist()[0], self.ids_[:1].tolist()[0]
            raise ValueError(f"items must have ids of the type that the table has, like {known!r}, got {one!r}.")
        is_new = find_ids(self._index(), items.ids) < 0
        if is_new.any():
            codes = np.asarray(self.tokenizer_.transform(items.content[is_new]))
            self.codes_ = np.vstack([self.codes_, codes])
            self.ids_ = _concat(self.ids_, items.ids[is_new])
        return self

    def get_feature_names_out(self, input_features: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Return the names of the columns: ``<id column>_code0``, ``<id column>_code1``, ..., and those of histories.

        Parameters
        ----------
        input_features : array-like of str, default None
            Names of the id columns; None for those seen in `fit`, or ``x0``, ``x1``, ...

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        names = self._id_names(input_features)
        n_codebooks = self.codes_.shape[1]
        coded = [
            [name] if place in self._histories() else [f"{name}_code{n}" for n in range(n_codebooks)]
            for place, name in enumerate(names)
        ]
        return np.array(list(chain.from_iterable(coded)), dtype=object)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_ids_and_index"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _index(self):
        """Return an Index of the ids that have codes, built once for them; pickles hold none."""
        ids, index = vars(self).get("_ids_and_index", (None, None))
        if ids is not self.ids_:
            index = id_index(self.ids_)
            self._ids_and_index = self.ids_, index
        return index

    def _id_columns(self, X, *, reset):
        """Return the item-id columns as Indexes, after scikit-learn's checks of the number and names of columns."""
        if isinstance(X, pd.Series):
            raise ValueError(
                f"Expected 2D array, got the column {X.name!r} alone. Reshape your data: select a list of columns, "
                f"X[[{X.name!r}]], and in a ColumnTransformer name [{X.name!r}]."
            )
        X = check_table(self, X, reset=reset)
        names, columns = split_columns(X, plain_lists=False)
        if self.user is not None:
            position = self._user_position(names)
            del names[position], columns[position]
        if reset:
            self.histories_ = [place for place, column in enumerate(columns) if holds_histories(column)]
        places = range(len(columns))
        return [self._ids_or_history(*column) for column in zip(places, names, columns, strict=True)]

    def _histories(self):
        """Return which of the columns of ids hold histories; encoders of earlier versions know none."""
        return getattr(self, "histories_", ())

    def _ids_or_history(self, place, name, column):
        """Return a column as an Index of ids or a HistoryArray, whichever it was in `fit`."""
        if place in self._histories():
            return _as_history(name, column)
        if holds_histories(column):
            raise TypeError(
                f"column {name!r} must hold single ids, as in fit, got lists such as "
                f"{column[column.notna().to_numpy()].iloc[0]!r:.80}. Fit the encoder on rows of which some have a "
                "list, or make a row of each entry with .explode()."
            )
        return as_index(column)

    def _user_position(self, names):
        return find_column("user", self.user, list(names))

    def _clicks(self, X, y, id_columns):
        """Return what the tokenizer's `fit` takes of the rows of `X` that were clicked."""
        single = [column for column in id_columns if not is_history(column)]
        if not single:
            raise ValueError(
                f"user must go with a column of single item ids, whose clicks it is of, got "
                f"{'histories alone' if id_columns else 'none'} beside {self.user!r}. Pass the item-id column too."
            )
        check_takes_clicks(self.tokenizer, self.user)
        if y is None:
            raise ValueError(f"y must be given with user={self.user!r}: clicks are what codes are learned from.")
        y = column_or_1d(y)
        check_consistent_length(X, y)
        names, columns = split_columns(check_table(self, X, reset=False))
        users = columns[self._user_position(names)].reset_index(drop=True)
        log = log_of_clicks(users, single[0], y, self.items.ids, self.user)
        return options_of_clicks(self.tokenizer, log, self.items.ids)

    def _id_names(self, input_features=None):
        """Return the names of the item-id columns, or ``x0``, ``x1``, ..."""
        if input_features is None:
            default = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", default)
        check_input_features(self, input_features)
        names = list(input_features)
        if self.user is not None:
            del names[self._user_position(names)]
        return names

    def _codes_of(self, name, ids):
        """Return the codes of a column of ids, (n, n_codebooks); -1 for unknown items."""
        rows = find_ids(self._index(), ids)
        if self.handle_unknown == "error" and (rows < 0).any():
            unknown = pd.unique(ids[rows < 0]).tolist()
            raise ValueError(
                f"ids must be in the item table, got {len(unknown)} that are not, for example {unknown[0]!r}"
                f'{self._cause(unknown)}. Add them to items, or pass handle_unknown="use_encoded_value".'
            )
        if len(rows) and (rows < 0).all():
            warn_of_other_kind(name, self._index(), ids, "the item table")
        return np.where(rows[:, None] < 0, UNKNOWN_CODE, self.codes_[rows])

    def _history_with_codes(self, name, history, names):
        """Return a HistoryArray with the codes of its items, beside the codes of the candidate of `names`."""
        if self.handle_unknown == "error":  # of items that a log has, and none of the histories, nobody asks
            history = history.compacted()
        codes = self._codes_of(name, pd.Index(history.items))
        candidates = [name for place, name in enumerate(names) if place not in self._histories()]
        item = history.item if history.item in candidates else next(iter(candidates), None)
        return history.with_codes(codes, item)

    def _cause(self, unknown):
        """Return what an error adds where ids are unknown since they are of another type."""
        index = self._index()
        return f": {like_those(unknown, index, 'the table')}" if of_other_kind(index, unknown) else ""

    def _warn_of_unknown_ids(self, columns):
        index = self._index()
        for name, column in zip(self._id_names(), columns, strict=True):
            ids, what = (column.items, "entries") if is_history(column) else (column, "rows")
            is_unknown = find_ids(index, ids) < 0
            of_all = is_unknown[column.entries] if is_history(column) else is_unknown
            if of_all.sum() > _TOLERATED_UNKNOWN * len(of_all):
                warn(
                    f"{of_all.mean():.0%} of the {what} of column {name!r} have ids that are not in the item table, "
                    f"and get no codes: {like_those(ids[is_unknown], self.ids_, 'the table')}. Is it the right column, "
                    "and of the same type?"
                )


def _as_history(name, column):
    try:
        return HistoryArray._from_sequence(column, dtype=HistoryDtype(getattr(column.dtype, "item", None)))
    except TypeError as error:
        raise TypeError(f"column {name!r}: {error}{_way_out_of_text(column)}") from error


def _way_out_of_text(column):
    """Return what to do where a column that held lists holds the text of them."""
    is_text = any(isinstance(value, str) for value in column)
    return " Text of lists is read by semid.datasets.parse_lists." if is_text else ""


def _check_items(items):
    if not isinstance(items, ItemTable):
        raise TypeError(
            f"items must be an ItemTable, got {type(items).__name__}; pass items=ItemTable(ids, embeddings)."
        )


def _concat(known, new):
    """Return two arrays of ids as one; fixed-width text stays it."""
    if known.dtype == new.dtype or known.dtype.kind == new.dtype.kind == "U":
        return np.concatenate([known, new])
    return concat_ids(known, new).to_numpy()
