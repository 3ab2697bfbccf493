"""What all click models share: from a table and clicks to a trained module, and from a table to probabilities."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from textwrap import dedent
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from semid.base._all_or_nothing import all_or_nothing, snapshot
from semid.base._live_module import resolve_device
from semid.base._typing import Columns, RandomState, StrPath
from semid.base._versioned import Versioned
from semid.ctr._documentation import SHARED_PARTS
from semid.ctr._fitting import begin, resume, shared_random_state, train_module, train_on, zero_untrained
from semid.ctr._fitting_in_parts import check_in_memory, fit_in_parts
from semid.ctr._former import REMOVED, in_place_of_removed
from semid.ctr._modules import Fields as Fields  # pickles of 0.1.0 look for it here
from semid.ctr._modules import build_module
from semid.ctr._parameters import check_parameters
from semid.ctr._predicting import represented_fields, streamed
from semid.ctr._training_data import check_classes, check_training_data
from semid.engine._impressions import Impressions
from semid.tables._in_parts import is_read_in_parts


class BaseCTRClassifier(Versioned, ClassifierMixin, BaseEstimator):
    """Contract of all click models: a table of fields in, click probabilities out.

    A subclass gives its parameters beyond those here and ``_body``, what follows the fused embeddings. The fitted model
    is ``encoder_``, ``fields_`` and ``state_``, numpy arrays by name.
    """

    # Training in float64 is for the tests alone, where repeated and weighted rows must agree to seven digits.
    _dtype = torch.float32
    _has_first_order = False
    # What the module is built from, and what becomes of the columns: both stay when a fitted model goes on.
    _architecture_parameters: tuple[str, ...] = (
        "embedding_dim",
        "hidden_layer_sizes",
        "fusion",
        "n_embedding_sets",
        "history_pooling",
        "dropout",
    )
    _column_parameters = ("categorical_features", "code_features", "vector_features", "min_frequency", "vector_fields")
    _changeable_parameters = ("dropout",)  # which acts on the steps to come
    # What nobody needs to choose is kept beside the parameters, since a model that is loaded may have chosen it.
    _architecture_constants: Mapping[str, int | float | str] = MappingProxyType(
        {"fusion_rank": 32, "adapter_width": 64, "adapter_norm": "rms", "embedding_init_std": 0.05}
    )
    _averaged_epochs = 0.75  # whose weights are averaged to predict; 0 for the last weights, in tests alone
    _removed_parameters: ClassVar[Mapping[str, str]] = REMOVED
    _poolings: tuple[str, ...] = ("mean", "attention")  # of histories, keys of `POOLINGS`
    _later_architecture = ("history_pooling", "adapter_norm")  # what models of version 0.1.0 do not have

    def __init__(
        self,
        embedding_dim: int = 16,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        fusion: str | type = "gate",
        *,
        n_embedding_sets: int = 1,
        history_pooling: Literal["mean", "attention", "interest"] = "attention",
        categorical_features: Columns = "auto",
        code_features: Columns = "auto",
        vector_features: Columns = "auto",
        vector_fields: int = 1,
        min_frequency: int = 1,
        dropout: float = 0.0,
        max_iter: int = 30,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 0.006,
        forgetting: float = 1.0,
        class_weight: dict | Literal["balanced"] | None = None,
        validation: float | Literal["auto", "last"] | None = "auto",
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint_dir: StrPath | None = None,
        callbacks: Sequence[Any] = (),
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.embedding_dim = embedding_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.fusion = fusion
        self.n_embedding_sets = n_embedding_sets
        self.history_pooling = history_pooling
        self.categorical_features = categorical_features
        self.code_features = code_features
        self.vector_features = vector_features
        self.vector_fields = vector_fields
        self.min_frequency = min_frequency
        self.dropout = dropout
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.forgetting = forgetting
        self.class_weight = class_weight
        self.validation = validation
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __init_subclass__(cls, **kwargs):
        """Fill in the parts of a model's docstring that all of them share."""
        super().__init_subclass__(**kwargs)
        if cls.__doc__ is None:
            return
        doc = cleandoc(cls.__doc__)  # as Python itself does from 3.13 on
        for name, text in SHARED_PARTS.items():
            doc = doc.replace(f"{{{name}}}", dedent(text).rstrip())
        cls.__doc__ = doc + "\n"

    @all_or_nothing
    def fit(
        self,
        X: pd.DataFrame | ArrayLike | StrPath | Iterable,
        y: ArrayLike | str,
        sample_weight: ArrayLike | str | None = None,
        *,
        eval_set: tuple | None = None,
    ) -> Self:
        """Learn from impressions, in memory or in files of any size.

        Ctrl-C after at least one epoch ends the training with a ConvergenceWarning and keeps what complete epochs have
        learned, the best of them with early stopping; before, the classifier is as it was. With `checkpoint_dir`, the
        same call goes on from there, as it does after a kill.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            One row per impression: pandas, polars or another Arrow table, or an array. See the class for what becomes
            of its columns. Or what is read in parts and may be larger than memory, see the Notes: the path of a parquet
            file or of a folder of them, a ``pyarrow.dataset.Dataset``, or an iterable of ``pyarrow.RecordBatch``, such
            as a list, that begins anew each time it is iterated over.
        y : array-like of shape (n_impressions,), or str
            Labels of exactly two kinds; the one that sorts last is the click. Where `X` is read in parts, the name of
            their column.
        sample_weight : array-like of shape (n_impressions,), str or None, default None
            Where `X` is read in parts, the name of their column. Weight of each impression; those of weight 0 are left
            out. Weight 2 is the impression listed twice, in the loss, the mean and scale of numbers and the base rate;
            `min_frequency` counts rows.
        eval_set : tuple (X, y) or (X, y, sample_weight), default None
            Impressions to stop early on, and to calibrate on, in the place of a part of `X`; a table in memory. Not
            those that the model is to be judged on.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If `X` is empty or not 2-D, if a column holds dates or infinity, if `y` does not hold exactly two classes,
            if a parameter or `sample_weight` is out of its range, if training diverges, if `checkpoint_dir` holds
            another fit, or if, with `warm_start`, columns or parameters that must stay have changed. The classifier
            then is as it was before.
        TypeError
            If `X` is read in parts, and `y` or `sample_weight` is not the name of a column.
        OSError
            Before training, if `checkpoint_dir` or the folder of temporary files cannot be written to or has no room.

        Notes
        -----
        What is read in parts is gone through three times: for its labels and weights, for what its columns hold, and to
        write it, encoded, to a folder of temporary files (that of `tempfile`, see ``TMPDIR``; 4 bytes for each field,
        label and weight of an impression, removed when the fit ends). Training then holds 128 MiB of impressions at a
        time, beside the weights and 1 to 2 bytes for each impression of all. A pass goes through chunks of about 1 MiB
        in an order that `random_state` draws, as many of them at once as fit, and shuffles their impressions. What fits
        at once is shuffled as a table in memory is, and up to 131,072 impressions give the fit of a table in memory to
        the last bit. Histories are not read from files, and a fit does not go on there (`warm_start`): pass those in
        memory.

        Examples
        --------
        >>> import tempfile
        >>> import pyarrow as pa
        >>> from pyarrow import parquet
        >>> from semid import DeepFMClassifier
        >>> log = pa.table({"user": [1, 2, 3, 4] * 50, "item": [5, 6] * 100, "click": [1, 0, 1, 1, 0, 0, 1, 0] * 25})
        >>> with tempfile.TemporaryDirectory() as folder:  # yours: a folder of files, however large
        ...     parquet.write_table(log, f"{folder}/monday.parquet")
        ...     parquet.write_table(log, f"{folder}/tuesday.parquet")
        ...     model = DeepFMClassifier(max_iter=2, random_state=0).fit(folder, "click")
        ...     model.predict_proba(folder).shape
        (400, 2)
        """
        self._check_parameters()
        if eval_set is not None and self.validation is None:
            raise ValueError("eval_set must be left out with validation=None: nothing would be done with it.")
        continues = self.warm_start and hasattr(self, "state_")
        if isinstance(y, str) or is_read_in_parts(X):
            return fit_in_parts(self, X, y, sample_weight, eval_set, continues)
        classes = self.classes_ if continues else None
        X, y, weights = check_training_data(self, X, y, sample_weight, classes, reset=not continues)
        random_state = shared_random_state(self)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        before = self.fields_.shapes if continues else None
        module, encoded = resume(self, X, seed) if continues else begin(self, X, y, weights, seed)
        impressions = Impressions(encoded, y, weights, resolve_device(self.device), self._dtype)
        return train_on(self, module, impressions, y, eval_set, random_state, seed, before)

    @all_or_nothing
    def partial_fit(
        self,
        X: pd.DataFrame | ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Go once over more impressions, from the weights as they are; new ids get rows of their own.

        Nothing is held out, the calibration stays, and `checkpoint_dir` is not read. Categories that are known keep
        their place, so that what was learned for them is not touched by the arrival of others; means and scales of
        numbers stay as well. The table is copied once per call: pass many impressions at a time.

        The optimizer starts anew in each call, and its first steps are as long as those of `fit`. For few impressions,
        set a lower `learning_rate`: in a measurement, one call on 1,000 impressions moved the test AUC by -0.016 to
        +0.008 at the default rate, by -0.001 to +0.004 at 0.001.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in the first call.
        y : array-like of shape (n_impressions,)
            Labels.
        classes : array-like of shape (2,), default None
            Both labels; needed in the first call if `y` holds only one, the same in each later call.
        sample_weight : array-like of shape (n_impressions,), default None
            Weight of each impression.

        Returns
        -------
        self : object
            The classifier.

        Raises
        ------
        ValueError
            As in `fit`; if columns, `classes`, or parameters that must stay are not those of the first call; or if
            `class_weight` is "balanced", which nobody knows from a part of the data.
        """
        self._check_parameters()
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight must be a dict or None in partial_fit, got 'balanced'. Compute the weights on all data "
                "with sklearn.utils.class_weight.compute_class_weight and pass them as a dict."
            )
        check_in_memory(X)
        continues = hasattr(self, "state_")
        classes = check_classes(classes, self.classes_ if continues else None)
        may_be_one = classes is not None
        X, y, weights = check_training_data(
            self, X, y, sample_weight, classes, reset=not continues, may_be_one=may_be_one
        )
        seed = int(shared_random_state(self).randint(np.iinfo(np.int32).max))
        before = self.fields_.shapes if continues else None
        module, encoded = resume(self, X, seed) if continues else begin(self, X, y, weights, seed)
        impressions = Impressions(encoded, y, weights, resolve_device(self.device), self._dtype)
        zero_untrained(self, module.embedding, impressions, before)
        return train_module(self, module, impressions, None, 1, seed)

    def decision_function(self, X: pd.DataFrame | ArrayLike | StrPath | Iterable) -> np.ndarray:
        """Return the logit of each impression, (n_impressions,): the log-odds of a click.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`. Or what is read in parts, as in `fit`, where all other columns are left alone.

        Returns
        -------
        logits : ndarray of shape (n_impressions,), float32
        """
        model = snapshot(self)  # a fit in another thread must not change it meanwhile
        logits = streamed(model, X, lambda module, categories, numbers: module(categories, numbers))
        return (model.calibration_["scale"] * logits + model.calibration_["shift"]).astype(logits.dtype)

    def representation(self, X: pd.DataFrame | ArrayLike, columns: Sequence[str | int] | None = None) -> np.ndarray:
        """Return what the model makes of an item's codes: their fused embeddings side by side, one row per impression.

        The representation of the Mixture-of-Codes paper (arXiv:2410.09560v1), whose clusters and spectrum
        `semid.metrics.discriminability` and `semid.metrics.singular_spectrum` measure.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`.
        columns : list of str or int, default None
            Categorical columns, such as the item id, whose embeddings to return; None for all codes.

        Returns
        -------
        representation : ndarray of shape (n_impressions, n_represented · embedding_dim · n_embedding_sets), float32
            With n_represented the number of `columns`, or of codes.
        """
        check_is_fitted(self)
        model = snapshot(self)
        fields = represented_fields(model, columns)

        def embed(module, categories, numbers):
            sets, _ = module.embed(categories, numbers)
            return torch.cat([e[:, fields].flatten(1) for e in sets], dim=1)

        return streamed(model, X, embed)

    def predict_proba(self, X: pd.DataFrame | ArrayLike | StrPath | Iterable) -> np.ndarray:
        """Return the probability of each class, (n_impressions, 2), in the order of ``classes_``.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`. Or what is read in parts, see `decision_function`.

        Returns
        -------
        probabilities : ndarray of shape (n_impressions, 2), float32
        """
        logits = torch.from_numpy(self.decision_function(X))
        return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).numpy()

    def predict(self, X: pd.DataFrame | ArrayLike | StrPath | Iterable) -> np.ndarray:
        """Return the more probable label of each impression, (n_impressions,).

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`. Or what is read in parts, see `decision_function`.

        Returns
        -------
        labels : ndarray of shape (n_impressions,)
        """
        model = snapshot(self)
        is_click = model.decision_function(X) > 0
        return model.classes_[is_click.astype(int)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "state_")

    @abstractmethod
    def _body(self, n_fields, architecture):
        """Return the untrained module (B, F, d) → logits (B,) that follows the fused embeddings."""

    def _interaction(self, n_fields, architecture):
        """Return the untrained module (B, F, d) → (B, ``width``) that each of several embedding sets has."""
        raise NotImplementedError(f"{type(self).__name__} has one embedding set.")

    @classmethod
    def _in_place_of_removed(cls, former):
        return in_place_of_removed(former)

    def _build_module(self):
        return build_module(self)

    def _check_parameters(self):
        check_parameters(self)
