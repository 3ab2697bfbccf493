"""From item ids to codes, inside a table of impressions."""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Literal, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    check_memory,
    column_or_1d,
    has_fit_parameter,
)

from semid import __version__
from semid.base._all_or_nothing import all_or_nothing, snapshot
from semid.base._checks import check_input_features, check_option
from semid.base._versioned import Versioned
from semid.features._interaction_embeddings import interaction_embeddings
from semid.features._item_table import ItemTable
from semid.features._labels import is_click
from semid.tables._code_columns import with_code_vectors
from semid.tables._frames import as_index, check_table, find_column, split_columns
from semid.tables._ids import concat_ids, find_ids, id_index, like_those, of_other_kind, warn_of_other_kind

UNKNOWN_CODE = -1
_INTERACTION_DIM = 64  # of what clicks say of an item, if there are enough users and items
_TOLERATED_UNKNOWN = 0.5  # share of rows without codes that `fit` does not warn of


class SemanticIDEncoder(Versioned, TransformerMixin, BaseEstimator):
    """Replace item-id columns of an impression table by the items' codes.

    The tokenizer is fitted on the catalogue (`items`), not on the impressions that `fit` is given: an item needs its
    codes whether or not it was shown. Only item content is used, and with `user` the clicks that `fit` is given, so
    that nothing leaks from the rows that a cross-validation holds out.

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
        parameters of a pipeline fits each tokenizer once. Used for tokenizers with an integer `random_state` only;
        for others a warning says so.
    handle_unknown : {"use_encoded_value", "error"}, default "use_encoded_value"
        What an id that is not in `items` becomes: the code -1 in every column, or an error.
    code_vectors : bool, default False
        Hand the code vectors over with the codes: the columns are categories that carry them, for
        ``code_embedding_init="codebooks"`` of the click models. Needs ``set_output(transform="pandas")``.
    user : str or int, default None
        Column of the user, by name or position, to be passed beside the one item-id column. Then the clicks in `fit`,
        who clicked what, are a second view of the items (`interaction_embeddings`) with which the tokenizer aligns its
        codes: items that the same users click get codes in common. Codes still follow from an item's embedding alone,
        those of items without clicks too; but `transform` wants the column as well, and ``codes_`` are the
        codes of ``ids_`` without it. For tokenizers whose `fit` takes ``alignment``. What the click model behind
        it holds out of the same rows for early stopping is among these clicks; an `eval_set` would be apart.

    Attributes
    ----------
    tokenizer_ : estimator
        The fitted tokenizer.
    ids_ : ndarray of shape (n_items,)
        Ids of the catalogue.
    codes_ : ndarray of shape (n_items, n_codebooks), int64
        Their codes.
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

    def __init__(
        self,
        tokenizer: BaseEstimator,
        items: ItemTable,
        *,
        memory: str | joblib.Memory | None = None,
        handle_unknown: Literal["use_encoded_value", "error"] = "use_encoded_value",
        code_vectors: bool = False,
        user: str | int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.items = items
        self.memory = memory
        self.handle_unknown = handle_unknown
        self.code_vectors = code_vectors
        self.user = user

    @all_or_nothing
    def fit(self, X: pd.DataFrame | ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the tokenizer on the catalogue and keep the codes of all items.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_id_columns)
            Columns of item ids, and that of the user if there is one.
        y : array-like of shape (n_impressions,), default None
            Labels of two kinds; read with `user` only. Of numbers and booleans, the larger is the click; of text, which
            does not say it by its order, "yes", "true" and "1" beside "no", "false" and "0".

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is out of its range, or with `user` if there is more than one item-id column, if `y` is
            missing or not of two kinds, or does not say which of them is the click, or if the clicks are of fewer
            than two users or known items.
        """
        check_option("handle_unknown", self.handle_unknown, ("use_encoded_value", "error"))
        check_option("code_vectors", self.code_vectors, (True, False))
        _check_items(self.items)
        if not (hasattr(self.tokenizer, "fit") and hasattr(self.tokenizer, "transform")):
            raise TypeError(f"tokenizer must be an estimator with fit and transform, got {self.tokenizer!r}.")
        columns = self._id_columns(X, reset=True)
        alignment = None if self.user is None else self._interactions(X, y, columns)
        self.tokenizer_, self.codes_ = self._fit_tokenizer(alignment)
        self.ids_ = self.items.ids
        self._warn_of_unknown_ids(columns)
        return self

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray | pd.DataFrame:
        """Return the codes of the items in each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_id_columns)
            Columns of item ids.

        Returns
        -------
        codes : ndarray of shape (n_impressions, n_id_columns * n_codebooks), int64
            The codes of the first id column, then those of the second, and so on; -1 for unknown items. With
            `code_vectors`, a DataFrame of categories.

        Raises
        ------
        ValueError
            If an id is not in the item table and ``handle_unknown="error"``, if `X` has other columns than in `fit`, or
            if there are `code_vectors` without ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        self._index()  # of this object, for later calls as well
        encoder = snapshot(self)
        blocks = []
        columns = encoder._id_columns(X, reset=False)
        for name, column in zip(encoder._id_names(), columns, strict=True):
            rows = find_ids(encoder._index(), column)
            if encoder.handle_unknown == "error" and (rows < 0).any():
                unknown = pd.unique(column[rows < 0]).tolist()
                raise ValueError(
                    f"ids must be in the item table, got {len(unknown)} that are not, for example {unknown[0]!r}"
                    f'{encoder._cause(unknown)}. Add them to items, or pass handle_unknown="use_encoded_value".'
                )
            if (rows < 0).all():
                warn_of_other_kind(name, encoder._index(), column, "the item table")
            blocks.append(np.where(rows[:, None] < 0, UNKNOWN_CODE, encoder.codes_[rows]))
        if encoder.code_vectors:
            return encoder._with_code_vectors(blocks, X)
        return np.hstack(blocks)

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
        """Return the names of the code columns: ``<id column>_code0``, ``<id column>_code1``, ...

        Parameters
        ----------
        input_features : array-like of str, default None
            Names of the id columns; None for those seen in `fit`, or ``x0``, ``x1``, ...

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        if input_features is None:
            default = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", default)
        check_input_features(self, input_features)
        if self.user is not None:
            input_features = np.delete(np.asarray(input_features, dtype=object), self._user_position(input_features))
        n_codebooks = self.codes_.shape[1]
        names = [f"{column}_code{n}" for column in input_features for n in range(n_codebooks)]
        return np.array(names, dtype=object)

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
        names, columns = split_columns(X)
        if self.user is not None:
            del columns[self._user_position(names)]
        return [as_index(column) for column in columns]

    def _user_position(self, names):
        return find_column("user", self.user, list(names))

    def _interactions(self, X, y, id_columns):
        """Return the `interaction_embeddings` of the items, from the rows of `X` that were clicked."""
        if len(id_columns) != 1:
            way_out = "Pass the item-id column too"
            if id_columns:
                way_out = "Give each an encoder of its own, [item id, user] each, in a ColumnTransformer"
            raise ValueError(
                f"user must go with one item-id column, got {len(id_columns)} beside {self.user!r}. {way_out}."
            )
        tokenizer = _last_step(self.tokenizer)
        if not has_fit_parameter(tokenizer, "alignment"):
            raise ValueError(
                f"user must be None for {type(tokenizer).__name__}, whose fit takes no alignment, got "
                f"{self.user!r}. Use a learned tokenizer, such as MixtureOfCodesTokenizer."
            )
        if y is None:
            raise ValueError(f"y must be given with user={self.user!r}: clicks are what codes are aligned with.")
        y = column_or_1d(y)
        check_consistent_length(X, y)
        clicked = is_click(y, f"with user={self.user!r}")
        names, columns = split_columns(check_table(self, X, reset=False))
        users = columns[self._user_position(names)].reset_index(drop=True)
        log = pd.DataFrame({"user": users, "item": id_columns[0]})
        is_known = find_ids(id_index(self.items.ids), id_columns[0]) >= 0
        if not is_known.any():
            raise ValueError(
                f"user={self.user!r} must go with ids of the item table, got "
                f"{like_those(id_columns[0], self.items.ids, 'the table')}. Is it the right column, and of the same "
                "type?"
            )
        log = log[clicked & is_known & users.notna().to_numpy()]
        n_components = min(_INTERACTION_DIM, log["user"].nunique() - 1, log["item"].nunique() - 1)
        if n_components < 1:
            raise ValueError(
                "user must name a column of at least two users who clicked at least two known items, "
                f"got {self.user!r} with {log['user'].nunique()} and {log['item'].nunique()}."
            )
        return interaction_embeddings(
            log, self.items.ids, n_components=n_components, user="user", item="item", random_state=0
        )

    def _id_names(self):
        """Return the names of the item-id columns, as errors and warnings call them."""
        return [name.removesuffix("_code0") for name in self.get_feature_names_out()[:: self.codes_.shape[1]]]

    def _cause(self, unknown):
        """Return what an error adds where ids are unknown since they are of another type."""
        index = self._index()
        return f": {like_those(unknown, index, 'the table')}" if of_other_kind(index, unknown) else ""

    def _with_code_vectors(self, blocks, X):
        """Return the codes as a DataFrame of categories that carry their code vectors."""
        output = getattr(self, "_sklearn_output_config", {}).get("transform", get_config()["transform_output"])
        if output != "pandas":
            raise ValueError(
                f"code_vectors=True must have set_output(transform='pandas'), got {output!r}: arrays carry none."
            )
        columns = [
            with_code_vectors(codes, vectors)
            for block in blocks
            for codes, vectors in zip(block.T, _last_step(self.tokenizer_).codebooks_, strict=True)
        ]
        names = self.get_feature_names_out()
        return pd.DataFrame(dict(zip(names, columns, strict=True)), index=getattr(X, "index", None))

    def _fit_tokenizer(self, alignment):
        tokenizer = clone(self.tokenizer)
        if self.memory is None:
            return _fit_on_catalogue(tokenizer, None, self.items, alignment)
        for name, value in tokenizer.get_params(deep=True).items():
            if name.endswith("random_state") and not isinstance(value, Integral):
                warnings.warn(
                    f"memory keeps nothing for {name}={value!r}: each fit is to differ. Pass an int.",
                    UserWarning,
                    stacklevel=4,
                )
                return _fit_on_catalogue(tokenizer, None, self.items, alignment)
        cached = check_memory(self.memory).cache(_fit_on_catalogue, ignore=["items"])
        return cached(tokenizer, (__version__, self.items.fingerprint), self.items, alignment)

    def _warn_of_unknown_ids(self, columns):
        index = self._index()
        for name, column in zip(self._id_names(), columns, strict=True):
            unknown = find_ids(index, column) < 0
            if unknown.mean() > _TOLERATED_UNKNOWN:
                warnings.warn(
                    f"{unknown.mean():.0%} of the rows of column {name!r} have ids that are not in the item table, and "
                    f"get no codes: {like_those(column[unknown], self.ids_, 'the table')}. Is it the right column, and "
                    "of the same type?",
                    UserWarning,
                    stacklevel=4,
                )


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


def _fit_on_catalogue(tokenizer, key, items, alignment):
    """Return the fitted tokenizer and the codes of the catalogue; `key` stands for `items` in a cache."""
    options = {} if alignment is None else {_alignment_parameter(tokenizer): alignment}
    if isinstance(tokenizer, Pipeline):  # whose first steps, an embedder of texts above all, then work once
        return tokenizer, np.asarray(tokenizer.fit_transform(items.content, **options))
    return tokenizer, np.asarray(tokenizer.fit(items.content, **options).transform(items.content))


def _last_step(tokenizer):
    """Return the tokenizer itself, or that at the end of a Pipeline."""
    return tokenizer.steps[-1][1] if isinstance(tokenizer, Pipeline) else tokenizer


def _alignment_parameter(tokenizer):
    """Return the name under which `fit` takes the alignment; a Pipeline wants that of its step before it."""
    return f"{tokenizer.steps[-1][0]}__alignment" if isinstance(tokenizer, Pipeline) else "alignment"
