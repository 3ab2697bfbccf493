"""Codes that are read together: prefixes of residual codes, pairs of parallel ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from semid.base._checks import check_input_features, check_integer, check_option
from semid.base._versioned import Versioned
from semid.features._history_frames import frame_of_blocks
from semid.tables._frames import check_table, split_columns
from semid.tables._histories import is_history

_CODE_COLUMN = re.compile(r"(?P<prefix>(?:.*_)?)code\d+")
_MOST_BUCKETS = 2**63 - 1  # they are counted in int64
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment


class PrefixNGramEncoder(Versioned, TransformerMixin, BaseEstimator):
    """Hash the codes of an item, several at a time, into fields for a click model.

    A code of a deep level says little without those above it, so residual codes are read as prefixes: level 1, levels
    1-2, levels 1-2-3. Parallel codes are read in pairs. Every combination has a field and `n_buckets` embeddings;
    combinations that share a bucket share an embedding. A history whose items have codes, as `SemanticIDEncoder` makes
    it, gets the same combinations, which a click model looks up in the tables of the candidate's. Ask for
    ``set_output(transform="pandas")`` then.

    Zheng et al., 2025, "Enhancing embedding representation stability in recommendation systems with semantic ID",
    arXiv:2504.02137, and Singh et al., 2023, "Better generalization with semantic IDs", arXiv:2306.08121 (both from
    memory).

    Parameters
    ----------
    ngrams : {"prefix", "pairs"}, default "prefix"
        Codes that are read together: the first one, two, three, ..., or every two.
    n_buckets : int, default 1048576
        Buckets per field.

    Attributes
    ----------
    histories_ : list of int
        Which of the columns are histories.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if they had names of type str.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.features import PrefixNGramEncoder
    >>> codes = pd.DataFrame({"item_id_code0": [3, 3, 3], "item_id_code1": [7, 7, 5]})
    >>> fields = PrefixNGramEncoder(n_buckets=1000).set_output(transform="pandas").fit_transform(codes)
    >>> list(fields)
    ['item_id_prefix1', 'item_id_prefix2']
    >>> fields.nunique().tolist()
    [1, 2]
    """

    def __init__(self, ngrams: Literal["prefix", "pairs"] = "prefix", *, n_buckets: int = 2**20) -> None:
        self.ngrams = ngrams
        self.n_buckets = n_buckets

    def fit(self, X: pd.DataFrame | ArrayLike, y: None = None) -> Self:
        """Check the parameters and note the columns; nothing is learned.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_codebooks)
            Columns of codes, of one item, and of histories with as many codes.
        y : None
            Ignored, present for Pipelines.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If a column does not hold numbers.
        ValueError
            If a parameter is out of its range, the columns are of several items or hold infinity, or a history has
            another number of codes.
        """
        check_option("ngrams", self.ngrams, ("prefix", "pairs"))
        if check_integer("n_buckets", self.n_buckets, 1) > _MOST_BUCKETS:
            raise ValueError(f"n_buckets must be at most 2**63 - 1, got {self.n_buckets}.")
        names, columns = split_columns(check_table(self, X, reset=True), plain_lists=False)
        self.histories_ = [place for place, column in enumerate(columns) if is_history(column)]
        names, columns, histories = self._parts(names, columns)
        _check_one_item(names)
        if self.ngrams == "pairs" and len(columns) < 2:
            raise ValueError(
                f"ngrams='pairs' must have at least two columns of codes, got n_features = {len(columns)}. Use "
                "ngrams='prefix'."
            )
        _code_values(names, columns)
        for history in histories:
            _check_codes_of(history, len(columns))
        return self

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray | pd.DataFrame:
        """Return the bucket of each combination of codes in each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_codebooks)
            Columns of codes; negative or missing ones are of unknown items.

        Returns
        -------
        buckets : ndarray of shape (n_rows, n_combinations), int64
            From 0 to ``n_buckets - 1``; -1 where a code of the combination is unknown. With histories, a DataFrame in
            which they follow.

        Raises
        ------
        TypeError
            If a column does not hold numbers.
        ValueError
            If `X` has other columns than in `fit`, or holds infinity, a history has another number of codes, or there
            are histories without ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        names, columns, histories = self._parts(*split_columns(check_table(self, X, reset=False), plain_lists=False))
        buckets = self._buckets(*_code_values(names, columns))
        if not self._histories():
            return buckets
        made = tuple(self.get_feature_names_out()[: buckets.shape[1]])
        return frame_of_blocks(self, [buckets, *(self._of_history(history, made) for history in histories)], X)

    def _of_history(self, history, names):
        """Return a history with the combinations of its codes, which are the columns `names` of the candidate."""
        _check_codes_of(history, self._n_codes())
        array, codes = history.array, history.array.codes
        buckets = self._buckets(codes.view(np.uint64), codes >= 0)
        return array.with_codes(buckets, array.item, names)

    def _buckets(self, codes, is_known):
        """Return the buckets, (n, n_combinations) int64, of `codes` (n, n_codebooks) uint64."""
        combinations = self._combinations()
        buckets = np.empty((len(codes), len(combinations)), dtype=np.int64)
        for field, columns in enumerate(combinations):
            hashed = np.full(len(codes), _mixed(np.uint64(field)), dtype=np.uint64)
            for column in columns:
                hashed = _mixed(hashed ^ _mixed(codes[:, column]))
            known = is_known[:, list(columns)].all(axis=1)
            buckets[:, field] = np.where(known, (hashed % np.uint64(self.n_buckets)).astype(np.int64), -1)
        return buckets

    def get_feature_names_out(self, input_features: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Return the names of the fields: ``item_id_prefix1``, ..., or ``item_id_pair0_1``, ...

        Parameters
        ----------
        input_features : array-like of str, default None
            Names of the code columns; None for those seen in `fit`, or ``x0``, ``x1``, ...

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        if input_features is None:
            default = [f"x{i}" for i in range(self.n_features_in_)]
            input_features = getattr(self, "feature_names_in_", default)
        check_input_features(self, input_features)
        names = [name for place, name in enumerate(input_features) if place not in self._histories()]
        histories = [name for place, name in enumerate(input_features) if place in self._histories()]
        match = _CODE_COLUMN.fullmatch(str(names[0]))
        prefix = match["prefix"] if match else ""
        if self.ngrams == "prefix":
            names = [f"{prefix}prefix{len(columns)}" for columns in self._combinations()]
        else:
            names = [f"{prefix}pair{i}_{j}" for i, j in self._combinations()]
        return np.array([*names, *histories], dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_in_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = True
        return tags

    def _histories(self):
        """Return which of the columns are histories; encoders of earlier versions know none."""
        return getattr(self, "histories_", ())

    def _n_codes(self):
        return self.n_features_in_ - len(self._histories())

    def _parts(self, names, columns):
        """Return names and columns of the codes, and the histories."""
        places = [place for place in range(len(columns)) if place not in self._histories()]
        for place in self._histories():
            if not is_history(columns[place]):
                raise TypeError(
                    f"column {names[place]!r} must hold histories, as in fit, got {columns[place].dtype}. Pass it "
                    "through the encoders that made the column of fit."
                )
        histories = [columns[place] for place in self._histories()]
        return [names[place] for place in places], [columns[place] for place in places], histories

    def _combinations(self):
        n_columns = self._n_codes()
        if self.ngrams == "prefix":
            return [tuple(range(n)) for n in range(1, n_columns + 1)]
        return list(combinations(range(n_columns), 2))


def _check_one_item(names):
    """Raise if the names of code columns say that they are of several items."""
    matches = [_CODE_COLUMN.fullmatch(str(name)) for name in names]
    prefixes = list(dict.fromkeys(match["prefix"] for match in matches if match))
    if len(prefixes) > 1:
        raise ValueError(
            "columns must be the codes of one item, got codes of several, named "
            + " and ".join(f"{prefix}code<n>" for prefix in prefixes)
            + ". Give each a PrefixNGramEncoder of its own, in a ColumnTransformer."
        )


def _check_codes_of(history, n_codes):
    """Raise unless the items of a history have as many codes as the candidate."""
    codes = history.array.codes
    n_given = 0 if codes is None else codes.shape[1]
    if n_given != n_codes or n_codes == 0:
        raise ValueError(
            f"column {history.name!r} must be of items with as many codes as the candidate, got {n_given} and "
            f"{n_codes}. Pass both columns, the candidate's ids and the histories, through one SemanticIDEncoder."
        )


def _code_values(names, columns):
    """Return 64 bits for each code, (n_rows, n_codebooks) uint64, and whether the code is known.

    Whole numbers are themselves whatever their dtype; any other number stands for its bits.
    """
    values = np.zeros((len(columns[0]) if columns else 0, len(columns)), dtype=np.uint64)
    is_known = np.zeros(values.shape, dtype=bool)
    for position, column in enumerate(columns):
        try:
            if isinstance(column.dtype, pd.CategoricalDtype):
                column = column.astype(column.cat.categories.dtype if not column.hasnans else "Float64")
            if pd.api.types.is_complex_dtype(column.dtype):
                raise TypeError("got complex ones")
            numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"codes must be numbers, got others in column {names[position]!r}: {error} "
                "(argument must be a string or a number)."
            ) from error
        if np.isinf(numbers).any():
            raise ValueError(f"Input X contains infinity in column {names[position]!r}; codes must be finite.")
        is_known[:, position] = numbers >= 0
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**63)
        integers = np.where(whole, numbers, 0).astype(np.int64).view(np.uint64)
        values[:, position] = np.where(whole, integers, numbers.view(np.uint64))
    return values, is_known


def _mixed(bits):
    """splitmix64 (Steele et al., 2014, from memory): every bit of the result depends on every bit; wraps on purpose."""
    with np.errstate(over="ignore"):
        bits = bits + _GOLDEN
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))
