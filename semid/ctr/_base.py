"""What all click models share: from a table and clicks to a trained module, and from a table to probabilities."""

import re
import warnings
from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data

from semid._all_or_nothing import all_or_nothing
from semid._checks import check_integer, check_layer_sizes, check_number, check_option, check_sample_weight, check_table
from semid._net import Impressions, NetOptions, train_click_model
from semid._state import LiveModule, build_seeded, export_state, resolve_device
from semid.ctr._encoding import ImpressionEncoder

_PREDICT_ROWS = 65_536  # impressions scored at once
_ID_NAME = re.compile(r"(^|_|\b)(id|user|item)$", re.IGNORECASE)
_EARLY_STOPPING_ROWS = 1_000


class Fields(NamedTuple):
    """What a module must know of the data."""

    vocabulary_sizes: list[int]  # rows of each categorical field's table
    n_numeric: int
    code_groups: list[slice]  # fields that hold the codes of one item
    base_logit: float  # log-odds of the weighted share of clicks


class BaseCTRClassifier(ClassifierMixin, BaseEstimator):
    """Contract of all click models: a table of fields in, click probabilities out.

    A subclass gives the parameters and ``_build_module``, which returns a module (categories, numbers) → logits for
    ``fields_``. The fitted model is ``encoder_``, ``fields_`` and ``state_``, numpy arrays by name.
    """

    # Training in float64 is for the tests alone, where repeated and weighted rows must agree to seven digits.
    _dtype = torch.float32
    _architecture_parameters = ("embedding_dim", "embedding_init_std", "hidden_layer_sizes", "dropout")

    @all_or_nothing
    def fit(self, X, y, sample_weight=None):
        """Learn from impressions.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_fields)
            One row per impression. A missing value in a categorical column is a category of its own; numeric
            columns must be complete.
        y : array-like of shape (n_impressions,)
            Labels of exactly two kinds; the one that sorts last is the click.
        sample_weight : array-like of shape (n_impressions,), default None
            Weight of each impression; those of weight 0 are left out.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If `X` is empty or not 2-D, if a numeric column holds NaN or infinity, if `y` does not hold exactly two
            classes, if a parameter or `sample_weight` is out of its range, or if training diverges. The classifier
            then is as it was before.
        """
        self._check_parameters()
        device = resolve_device(self.device)
        X, y, weights = self._check_training_data(X, y, sample_weight)
        random_state = check_random_state(self.random_state)
        seed = int(random_state.randint(np.iinfo(np.int32).max))

        self._architecture = {name: getattr(self, name) for name in self._architecture_parameters}
        self._architecture["hidden_layer_sizes"] = check_layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        _warn_of_ids_as_numbers(X, self.categorical_features)
        self.encoder_ = ImpressionEncoder(self.categorical_features, self.code_features, self.min_frequency)
        encoded = self.encoder_.fit_encode(X, weights)
        rate = np.average(y, weights=weights)
        self.fields_ = Fields(
            self.encoder_.vocabulary_sizes,
            len(self.encoder_.numeric_),
            self.encoder_.code_groups_,
            float(np.log(rate / (1 - rate))),
        )
        self._live = LiveModule()
        module = build_seeded(self._build_module, seed).to(device=device, dtype=self._dtype)
        train, held_out = self._split(encoded, y, weights, random_state, device)
        options = NetOptions(
            max_iter=self.max_iter,
            batch_size=self._batch_size_for(len(train)),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            weight_averaging=self.weight_averaging,
            n_iter_no_change=self.n_iter_no_change,
            verbose=bool(self.verbose),
        )
        generator = torch.Generator().manual_seed(seed)
        module, self.history_, calibration = train_click_model(module, train, held_out, options, generator)
        self.n_iter_ = len(self.history_["train_loss"])
        self.calibration_ = calibration._asdict()
        self.state_ = export_state(module)
        return self

    def decision_function(self, X):
        """Return the logit of each impression, (n_impressions,): the log-odds of a click.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_fields)
            Columns as in `fit`.

        Returns
        -------
        logits : ndarray of shape (n_impressions,), float32
        """
        check_is_fitted(self)
        encoded = self.encoder_.encode(check_table(self, X, reset=False))
        device = resolve_device(self.device)
        module = self._live.get(self._build_module, self.state_, device, self._dtype)
        logits = np.empty(len(encoded.categories), dtype=module.bias.cpu().numpy().dtype)
        for start in range(0, len(logits), _PREDICT_ROWS):
            rows = slice(start, start + _PREDICT_ROWS)
            with torch.inference_mode():
                categories = torch.as_tensor(encoded.categories[rows], device=device)
                numbers = torch.as_tensor(encoded.numbers[rows], dtype=self._dtype, device=device)
                logits[rows] = module(categories, numbers).cpu().numpy()
        return (self.calibration_["scale"] * logits + self.calibration_["shift"]).astype(logits.dtype)

    def predict_proba(self, X):
        """Return the probability of each class, (n_impressions, 2), in the order of ``classes_``.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_fields)
            Columns as in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_impressions, 2), float32
        """
        logits = torch.from_numpy(self.decision_function(X))
        return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).numpy()

    def predict(self, X):
        """Return the more probable label of each impression, (n_impressions,).

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_fields)
            Columns as in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_impressions,)
        """
        is_click = self.decision_function(X) > 0
        return self.classes_[is_click.astype(int)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "state_")

    @abstractmethod
    def _build_module(self):
        """Return the untrained module, from ``fields_`` and ``_architecture`` alone."""

    def _check_parameters(self):
        check_integer("embedding_dim", self.embedding_dim, 1)
        check_layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        check_integer("min_frequency", self.min_frequency, 1)
        check_number("dropout", self.dropout, 0, 1, open_maximum=True)
        check_number("embedding_init_std", self.embedding_init_std, 0, open_minimum=True)
        check_integer("max_iter", self.max_iter, 1)
        if self.batch_size != "auto":
            check_integer("batch_size", self.batch_size, 1)
        check_number("learning_rate", self.learning_rate, 0, open_minimum=True)
        check_number("weight_decay", self.weight_decay, 0)
        check_number("weight_averaging", self.weight_averaging, 0, 1, open_maximum=True)
        check_option("early_stopping", self.early_stopping, (True, False, "auto"))
        check_number("validation_fraction", self.validation_fraction, 0, 1, open_minimum=True, open_maximum=True)
        check_integer("n_iter_no_change", self.n_iter_no_change, 1)

    def _check_training_data(self, X, y, sample_weight):
        """Return the table, the labels as 0 and 1, and the weights, without the rows of weight 0."""
        if y is None:
            validate_data(self, X, y)  # says that y is required
        X = check_table(self, X, reset=True)
        y = y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else y
        n_missing = int(pd.isna(np.asarray(y)).sum())
        if n_missing:
            raise ValueError(f"Input y contains NaN or None: {n_missing} of {len(y)} labels. Drop these rows.")
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"), warn=True)
        check_consistent_length(X, y)
        weights = check_sample_weight(sample_weight, len(y))

        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"Unknown label type: {kind}. y must hold two classes, such as 0 and 1.")
        kept = weights > 0
        self.classes_, y = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}, "
                f"with {len(self.classes_)} classes."
            )
        if len(np.unique(y[kept])) < 2:
            (only,) = self.classes_[np.unique(y[kept])].tolist()
            where = "" if sample_weight is None else " among the rows of positive weight"
            raise ValueError(
                f"y must hold two classes{where}, got one class: {only!r}. Use more rows, or stratified splits."
            )
        if kept.all():
            return X, y, weights
        return X[kept], y[kept], weights[kept]

    def _split(self, encoded, y, weights, random_state, device):
        """Return the impressions to train on and, with early stopping, those held out, of both classes each."""

        def impressions(rows):
            return Impressions(
                encoded.categories[rows], encoded.numbers[rows], y[rows], weights[rows], device, self._dtype
            )

        rarest = np.bincount(y).min()
        stops_early = self.early_stopping
        if stops_early == "auto":
            stops_early = len(y) > _EARLY_STOPPING_ROWS and rarest * self.validation_fraction >= 1
        if not stops_early:
            return impressions(slice(None)), None
        if rarest < 2:
            raise ValueError(
                "early_stopping must have at least 2 rows of each class, to train on and to hold out, "
                f"got {rarest} of one. Set early_stopping=False."
            )
        held_out = _stratified_share(y, self.validation_fraction, random_state)
        return impressions(~held_out), impressions(held_out)

    def _batch_size_for(self, n_rows):
        if self.batch_size == "auto":
            return int(np.clip(n_rows // 50, 64, 2048))
        return self.batch_size


def _warn_of_ids_as_numbers(X, categorical_features):
    """Warn of whole numbers in float columns that look like ids or codes: they would be used as numbers."""
    if not (isinstance(categorical_features, str) and len(X) > 2):
        return
    if isinstance(X, pd.DataFrame):
        named_like_ids = [c for c in X.columns if _ID_NAME.search(str(c)) and pd.api.types.is_float_dtype(X[c].dtype)]
        suspects = [c for c in named_like_ids if (X[c].dropna() % 1 == 0).all()]
        where = f"columns {suspects} hold"
    else:
        first = X[:1000] if X.dtype.kind == "f" else np.full((2, 1), 0.5)
        suspects = np.flatnonzero((first == np.round(first)).all(axis=0) & (np.ptp(first, axis=0) > 1)).tolist()
        where = f"X is a float array without column names, and its columns {suspects} hold"
    if suspects:
        warnings.warn(
            f"{where} whole numbers as floats, and are used as numbers. If these are ids or codes, pass integers in a "
            'DataFrame (ColumnTransformer(...).set_output(transform="pandas"), .astype("Int64")) or name them in '
            "categorical_features; categorical_features=None says that all are numbers.",
            UserWarning,
            stacklevel=4,
        )


def _stratified_share(y, share, random_state):
    """Return a mask of about `share` of the rows, drawn from each class alone; at least one row of each in and out."""
    mask = np.zeros(len(y), dtype=bool)
    for label in (0, 1):
        rows = random_state.permutation(np.flatnonzero(y == label))
        mask[rows[: np.clip(round(share * len(rows)), 1, len(rows) - 1)]] = True
    return mask
