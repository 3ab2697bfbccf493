"""What all click models share: from a table and clicks to a trained module, and from a table to probabilities."""

import copy
import math
import re
from abc import abstractmethod
from collections.abc import Sequence
from inspect import cleandoc, signature
from textwrap import dedent
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d, validate_data
from torch import nn

from semid._all_or_nothing import all_or_nothing, snapshot
from semid._checkpoints import Checkpoint, NoCheckpoint, check_checkpoint_dir, fingerprint_of
from semid._checks import (
    as_array,
    check_integer,
    check_layer_sizes,
    check_number,
    check_option,
    check_sample_weight,
    warn,
)
from semid._net import (
    EMBEDDING_OPTIMIZERS,
    LEAST_GAIN,
    Batches,
    Calibration,
    Impressions,
    NetOptions,
    check_callbacks,
    train_click_model,
)
from semid._state import LiveModule, build_seeded, export_state, resolve_device
from semid._tables import check_table, split_columns
from semid._typing import Columns, RandomState, StrPath
from semid._versioned import Versioned
from semid.ctr._code_vectors import start_from_code_vectors
from semid.ctr._documentation import SHARED_PARTS
from semid.ctr._encoding import ImpressionEncoder
from semid.ctr._suspects import warn_of_suspects
from semid.nn._click_module import ClickModule, MultiEmbedding
from semid.nn._fields import FieldShapes, grown_table, known_rows
from semid.nn._fusions import FUSIONS

_PREDICT_ROWS = 131_072  # impressions encoded and scored at once
_ID_NAME = re.compile(r"(^|_|\b)(id|user|item)$", re.IGNORECASE)
_EARLY_STOPPING_ROWS = 1_000
_FORGETTING = 0.9  # what `embedding_forgetting="auto"` stands for
_HELD_OUT_SHARE, _HELD_OUT_ROWS = 0.1, 5_000  # `validation_fraction="auto"`: rows are of the rarer class, at most
_AVERAGED_EPOCHS = 0.75  # over which `weight_averaging="auto"` averages
_LEAST_AVERAGED_STEPS = 20
_LEARNED_SHARE = 0.05  # least share of impressions whose hold-out a last epoch makes up for
_CLEARLY = 0.01  # in AUC, under that of click rates
_JUDGED_ROWS = 100  # of the rarer class, held out, below which an AUC says little


class Fields(NamedTuple):
    """What a module must know of the data."""

    shapes: FieldShapes
    fusion_groups: tuple[slice, ...]  # fields that are fused, such as the codes of one item
    fusion_query: int | None  # the field that an attention asks for
    base_logit: float  # log-odds of the weighted share of clicks


class BaseCTRClassifier(Versioned, ClassifierMixin, BaseEstimator):
    """Contract of all click models: a table of fields in, click probabilities out.

    A subclass gives its parameters beyond those here and ``_body``, what follows the fused embeddings. The fitted model
    is ``encoder_``, ``fields_`` and ``state_``, numpy arrays by name.
    """

    # Training in float64 is for the tests alone, where repeated and weighted rows must agree to seven digits.
    _dtype = torch.float32
    _has_first_order = False
    _poolings: tuple[str, ...] = ("mean", "attention")  # of histories, keys of `POOLINGS`
    # What the module is built from, and what becomes of the columns: both stay when a fitted model goes on.
    _architecture_parameters: tuple[str, ...] = (
        "embedding_dim",
        "hidden_layer_sizes",
        "fusion",
        "fusion_rank",
        "n_embedding_sets",
        "history_pooling",
        "dropout",
        "adapter_width",
        "embedding_init_std",
    )
    _later_parameters = ("history_pooling",)  # that models of version 0.1.0 do not have
    _column_parameters = (
        "categorical_features",
        "code_features",
        "vector_features",
        "min_frequency",
        "hash_buckets",
        "vector_fields",
        "fusion_scope",
        "fusion_query",
        "code_embedding_init",
    )
    _changeable_parameters = ("dropout", "embedding_init_std")  # these act on the steps and the rows to come

    def __init__(
        self,
        embedding_dim: int = 16,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        fusion: str | type = "gate",
        *,
        fusion_scope: Literal["codes", "all"] = "codes",
        fusion_rank: int = 32,
        fusion_query: str | int | None = None,
        n_embedding_sets: int = 1,
        history_pooling: Literal["mean", "attention"] = "mean",
        categorical_features: Columns = "auto",
        code_features: Columns = "auto",
        vector_features: Columns = "auto",
        vector_fields: int = 1,
        adapter_width: int = 64,
        min_frequency: int = 1,
        hash_buckets: int | dict | None = None,
        dropout: float = 0.0,
        embedding_init_std: float = 0.05,
        code_embedding_init: Literal["random", "codebooks"] = "random",
        embedding_optimizer: Literal["lazy_adam", "rowwise_adagrad", "dense_adam"] = "lazy_adam",
        max_iter: int = 30,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 0.006,
        embedding_learning_rate: float | None = None,
        l2: float = 0.0,
        embedding_l2: float = 0.0,
        embedding_forgetting: float | Literal["auto"] = "auto",
        network_forgetting: float = 0.6,
        max_gradient_norm: float | None = None,
        weight_averaging: float | Literal["auto"] = "auto",
        class_weight: dict | Literal["balanced"] | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float | Literal["auto"] = "auto",
        validation: Literal["random", "last"] = "random",
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
        self.fusion_scope = fusion_scope
        self.fusion_rank = fusion_rank
        self.fusion_query = fusion_query
        self.n_embedding_sets = n_embedding_sets
        self.history_pooling = history_pooling
        self.categorical_features = categorical_features
        self.code_features = code_features
        self.vector_features = vector_features
        self.vector_fields = vector_fields
        self.adapter_width = adapter_width
        self.min_frequency = min_frequency
        self.hash_buckets = hash_buckets
        self.dropout = dropout
        self.embedding_init_std = embedding_init_std
        self.code_embedding_init = code_embedding_init
        self.embedding_optimizer = embedding_optimizer
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.embedding_learning_rate = embedding_learning_rate
        self.l2 = l2
        self.embedding_l2 = embedding_l2
        self.embedding_forgetting = embedding_forgetting
        self.network_forgetting = network_forgetting
        self.max_gradient_norm = max_gradient_norm
        self.weight_averaging = weight_averaging
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
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
        X: pd.DataFrame | ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        eval_set: tuple | None = None,
    ) -> Self:
        """Learn from impressions.

        Ctrl-C after at least one epoch ends the training with a ConvergenceWarning and keeps what complete epochs have
        learned, the best of them with early stopping; before, the classifier is as it was. With `checkpoint_dir`, the
        same call goes on from there, as it does after a kill.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            One row per impression: pandas, polars or another Arrow table, or an array. See the class for what becomes
            of its columns.
        y : array-like of shape (n_impressions,)
            Labels of exactly two kinds; the one that sorts last is the click.
        sample_weight : array-like of shape (n_impressions,), default None
            Weight of each impression; those of weight 0 are left out. Weight 2 is the impression listed twice, in the
            loss, the mean and scale of numbers and the base rate; `min_frequency` counts rows.
        eval_set : tuple (X, y) or (X, y, sample_weight), default None
            Impressions to stop early on, and to calibrate on, in the place of a part of `X`. Not those that the model
            is to be judged on.

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
        OSError
            Before training, if `checkpoint_dir` cannot be written to or has no room.
        """
        self._check_parameters()
        if eval_set is not None and not self.early_stopping:
            raise ValueError("eval_set must be left out with early_stopping=False: nothing would be done with it.")
        continues = self.warm_start and hasattr(self, "state_")
        classes = self.classes_ if continues else None
        X, y, weights = self._check_training_data(X, y, sample_weight, classes, reset=not continues)
        random_state = check_random_state(self.random_state)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        before = self.fields_.shapes if continues else None
        module, encoded = self._resume(X, seed) if continues else self._begin(X, y, weights, seed)
        impressions = Impressions(encoded, y, weights, resolve_device(self.device), self._dtype)
        train, held_out = self._split(impressions, y, eval_set, random_state)
        is_worth_learning = eval_set is None and held_out is not None and len(held_out) >= _LEARNED_SHARE * len(y)
        everything = impressions if is_worth_learning else None
        self._zero_untrained(module.embedding, train, before)
        # That of former weights says nothing of these; a held-out part will give another.
        self.calibration_ = Calibration()._asdict()
        return self._train(module, train, held_out, self.max_iter, seed, everything, is_whole_fit=True)

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
        continues = hasattr(self, "state_")
        classes = _check_classes(classes, self.classes_ if continues else None)
        may_be_one = classes is not None
        X, y, weights = self._check_training_data(
            X, y, sample_weight, classes, reset=not continues, may_be_one=may_be_one
        )
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        before = self.fields_.shapes if continues else None
        module, encoded = self._resume(X, seed) if continues else self._begin(X, y, weights, seed)
        impressions = Impressions(encoded, y, weights, resolve_device(self.device), self._dtype)
        self._zero_untrained(module.embedding, impressions, before)
        return self._train(module, impressions, None, 1, seed)

    def decision_function(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the logit of each impression, (n_impressions,): the log-odds of a click.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`.

        Returns
        -------
        logits : ndarray of shape (n_impressions,), float32
        """
        model = snapshot(self)  # a fit in another thread must not change it meanwhile
        logits = model._streamed(X, lambda module, categories, numbers: module(categories, numbers))
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
        fields = model._represented_fields(columns)

        def embed(module, categories, numbers):
            sets, _ = module.embed(categories, numbers)
            return torch.cat([e[:, fields].flatten(1) for e in sets], dim=1)

        return model._streamed(X, embed)

    def predict_proba(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the probability of each class, (n_impressions, 2), in the order of ``classes_``.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_impressions, 2), float32
        """
        logits = torch.from_numpy(self.decision_function(X))
        return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).numpy()

    def predict(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the more probable label of each impression, (n_impressions,).

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Columns as in `fit`.

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

    def _represented_fields(self, columns):
        if columns is None:
            fields = [f for group in self.encoder_.code_groups_ for f in range(group.start, group.stop)]
        elif isinstance(columns, str) or not hasattr(columns, "__iter__") or getattr(columns, "ndim", 1) == 0:
            raise TypeError(f"columns must be None or a list of columns, got {columns!r}; pass [{columns!r}].")
        else:
            fields = [self.encoder_.field_of("columns", column) for column in columns]
        if not fields:
            got = "None for a model without codes" if columns is None else "none"
            raise ValueError(
                f"columns must name columns to represent, got {got}; name the item id, or add codes with "
                "SemanticIDEncoder."
            )
        return fields

    def _streamed(self, X, compute):
        """Return ``compute(module, categories, numbers)`` for all impressions, a part of them at a time."""
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        device = resolve_device(self.device)
        module = self._live.get(self._build_module, self.state_, device, self._dtype)
        results = []
        for start in range(0, len(X), _PREDICT_ROWS):
            rows = slice(start, start + _PREDICT_ROWS)
            encoded = self.encoder_.encode(X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows])
            n_rows = len(encoded.categories)
            part = Impressions(encoded, np.zeros(n_rows), np.ones(n_rows), device, self._dtype)
            with torch.inference_mode():
                categories, numbers, _, _ = part[torch.arange(n_rows, device=device)]
                results.append(compute(module, categories, numbers).cpu().numpy())
        return np.concatenate(results)

    @abstractmethod
    def _body(self, n_fields, architecture):
        """Return the untrained module (B, F, d) → logits (B,) that follows the fused embeddings."""

    def _interaction(self, n_fields, architecture):
        """Return the untrained module (B, F, d) → (B, ``width``) that each of several embedding sets has."""
        raise NotImplementedError(f"{type(self).__name__} has one embedding set.")

    def _build_module(self):
        """Return the untrained module, from ``fields_`` and ``_architecture`` alone."""
        architecture, n_fields = self._architecture, self.fields_.shapes.n_fields
        n_sets, dim = architecture["n_embedding_sets"], architecture["embedding_dim"]
        if n_sets == 1:
            body = self._body(n_fields, architecture)
        else:
            interactions = [self._interaction(n_fields, architecture) for _ in range(n_sets)]
            sizes, dropout = architecture["hidden_layer_sizes"], architecture["dropout"]
            body = MultiEmbedding(interactions, n_fields * dim, sizes, dropout)
        return ClickModule(
            self.fields_.shapes,
            body,
            base_logit=self.fields_.base_logit,
            embedding_dim=dim,
            embedding_init_std=architecture["embedding_init_std"],
            has_first_order=self._has_first_order,
            n_embedding_sets=n_sets,
            fusion=architecture["fusion"],
            fusion_groups=self.fields_.fusion_groups,
            fusion_rank=architecture["fusion_rank"],
            fusion_query=self.fields_.fusion_query,
            adapter_width=architecture["adapter_width"],
            history_pooling=architecture.get("history_pooling", "mean"),
        )

    def _begin(self, X, y, weights, seed):
        """Learn the columns of `X`; return an untrained module and `X` encoded."""
        self._architecture = {name: getattr(self, name) for name in self._architecture_parameters}
        self._architecture["hidden_layer_sizes"] = check_layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        self._columns_as = {name: copy.deepcopy(getattr(self, name)) for name in self._column_parameters}
        told = _warn_of_ids_as_numbers(X, self.categorical_features)
        self.encoder_ = ImpressionEncoder(
            self.categorical_features,
            self.code_features,
            self.vector_features,
            self.min_frequency,
            self.hash_buckets,
            self.vector_fields,
        )
        encoded = self.encoder_.fit_encode(X, weights)
        self._warn_of_codes_without_names(X)
        warn_of_suspects(self.encoder_, encoded, split_columns(X)[1], y, told)
        # Within reach of a sigmoid even if only one class is there yet.
        rate = np.clip(np.average(y, weights=weights), 1e-6, 1 - 1e-6)
        self.fields_ = self._describe_fields(float(np.log(rate / (1 - rate))))
        self.calibration_ = Calibration()._asdict()
        module = build_seeded(self._build_module, seed)
        if self.code_embedding_init == "codebooks":
            width = self._architecture["n_embedding_sets"] * self._architecture["embedding_dim"]
            start_from_code_vectors(module.embedding, self.encoder_, X, width)
        return module, encoded

    def _resume(self, X, seed):
        """Add the new categories of `X`; return the trained module, with rows for them, and `X` encoded."""
        self._check_unchanged()
        self._architecture = self._architecture | {name: getattr(self, name) for name in self._changeable_parameters}
        before = self.fields_.shapes
        self.encoder_ = copy.copy(self.encoder_)
        encoded = self.encoder_.extend_encode(X)
        self.fields_ = self.fields_._replace(shapes=self.encoder_.shapes)
        module = build_seeded(self._build_module, seed)
        # By order: names move where dropout layers come or go.
        state = dict(zip(module.state_dict(), map(torch.tensor, self.state_.values()), strict=True))
        state["embedding.table"] = grown_table(state["embedding.table"], before, module.embedding)
        module.load_state_dict(state)
        return module, encoded

    def _train(self, module, train, held_out, max_iter, seed, everything=None, *, is_whole_fit=False):
        """Train `module` and keep what it learned."""
        options = NetOptions(
            max_iter=max_iter,
            batch_size=self._batch_size_for(len(train)),
            learning_rate=self.learning_rate,
            embedding_learning_rate=self.embedding_learning_rate or self.learning_rate,
            l2=self.l2,
            embedding_l2=self.embedding_l2,
            # Going once over impressions, there is nothing to forget.
            embedding_forgetting=self._forgetting() if is_whole_fit else 0.0,
            network_forgetting=self.network_forgetting if is_whole_fit else 0.0,
            embedding_optimizer=self.embedding_optimizer,
            max_gradient_norm=self.max_gradient_norm,
            weight_averaging=self._averaging_for(len(train)),
            n_iter_no_change=self.n_iter_no_change,
            callbacks=tuple(self.callbacks),
            verbose=bool(self.verbose),
        )
        module = module.to(device=train.y.device, dtype=self._dtype)
        generator = torch.Generator().manual_seed(seed)
        checkpoint = self._open_checkpoint(module, train, held_out, generator) if is_whole_fit else NoCheckpoint()
        trained = train_click_model(module, train, held_out, options, generator, checkpoint, everything)
        module, self.history_, calibration = trained
        self.n_iter_ = len(self.history_["train_loss"])
        if held_out is not None:
            self.calibration_ = calibration._asdict()
            self._warn_unless_learned(held_out)
        self.state_ = export_state(module)
        self._live = LiveModule()
        checkpoint.finish()
        return self

    def _warn_unless_learned(self, held_out):
        """Warn if the model ranks no better than click rates, which need no training."""
        reached, rates = self.history_["valid_auc"].max(), self.history_["rates_auc"][0]
        y, _ = held_out.labels_and_weights()
        n_rarest = min(y.sum().item(), len(y) - y.sum().item())
        is_short = self.n_iter_ <= self.n_iter_no_change  # asked for few epochs, which are not judged
        if is_short or n_rarest < _JUDGED_ROWS or reached > rates + LEAST_GAIN:
            return
        loss = self.history_["train_loss"]
        learned, way_out = (
            "it has learned nothing beyond them",
            "Longer patience (n_iter_no_change), another learning_rate, or fields that say more, such as codes of the "
            "items, may help",
        )
        if reached < rates - _CLEARLY:
            learned, way_out = "it has learned less than them", "Pass another learning_rate"
        warn(
            f"the model ranks held-out impressions with an AUC of {reached:.4f}, and the click rates of their "
            f"categories, added up, with {rates:.4f}: {learned} in {self.n_iter_} epochs, in which its training loss "
            f"went from {loss[0]:.4f} to {loss[-1]:.4f}. {way_out}.",
            ConvergenceWarning,
        )

    def _forgetting(self):
        """Return the pace at which embeddings forget in `fit`."""
        if self.embedding_forgetting != "auto":
            return self.embedding_forgetting
        return 0.0 if self.embedding_optimizer == "rowwise_adagrad" else _FORGETTING

    def _open_checkpoint(self, module, train, held_out, generator):
        if self.checkpoint_dir is None:
            return NoCheckpoint()
        data = (tensor for part in (train, held_out) if part is not None for tensor in part.tensors())
        start = (*module.state_dict().values(), generator.get_state())
        fingerprint = fingerprint_of(self, train.y.device, data=data, start=start)
        return Checkpoint(self.checkpoint_dir, type(self).__name__, fingerprint)

    def _zero_untrained(self, embedding, train, before):
        """Set the embeddings that no training impression needs to zero, as those of unknown values are.

        They are of categories that were held out altogether, and of empty buckets. Codes that start from their code
        vectors keep these, and those of the fields `before`, if there were any, stay as they are.
        """
        n_rows = len(embedding.table)
        is_trained = torch.zeros(n_rows, dtype=torch.bool) if before is None else known_rows(before, embedding)
        for categories, *_ in Batches(train, _PREDICT_ROWS):
            is_trained[embedding.rows(categories.cpu())] = True
        if before is None and self.code_embedding_init == "codebooks":
            sizes = self.fields_.shapes.vocabulary_sizes
            for group in self.encoder_.code_groups_:
                is_trained[sum(sizes[: group.start]) : sum(sizes[: group.stop])] = True
        with torch.no_grad():
            embedding.table[~is_trained] = 0.0

    def _warn_of_codes_without_names(self, X):
        """Warn of an array whose columns may well be codes, which are found by their names alone.

        Where integers stand beside text, a ColumnTransformer has dropped the names as a rule. Integers alone may be
        plain ids: then only a `fusion` that was asked for says that some of them are codes.
        """
        looks_for_names = isinstance(self.code_features, str) and self.fusion_scope == "codes"
        if isinstance(X, pd.DataFrame) or not looks_for_names or self.fusion == "concat":
            return
        kinds = [pd.api.types.infer_dtype(column, skipna=True) for column in split_columns(X[:1000])[1]]
        is_asked_for = self.fusion != signature(type(self)).parameters["fusion"].default
        if kinds.count("integer") >= 2 and ("string" in kinds or is_asked_for):
            warn(
                f"X is an array without column names, by which codes are found: none are, and fusion={self.fusion!r} "
                "mixes nothing. If X holds codes, pass a DataFrame "
                '(ColumnTransformer(...).set_output(transform="pandas")) or give their positions as code_features; '
                "code_features=None says that there are none."
            )

    def _describe_fields(self, base_logit):
        shapes = self.encoder_.shapes
        groups = self.encoder_.code_groups_ if self.fusion_scope == "codes" else [slice(0, shapes.n_fields)]
        query = None if self.fusion_query is None else self.encoder_.field_of("fusion_query", self.fusion_query)
        is_own = isinstance(self.fusion, type)
        if not groups and (is_own or query is not None):
            name, value = ("fusion", self.fusion.__name__) if is_own else ("fusion_query", repr(self.fusion_query))
            raise ValueError(
                f"{name} must be left out where there is nothing to fuse, got {value} and no code columns. Add codes "
                "with SemanticIDEncoder, name them in code_features, or set fusion_scope='all'."
            )
        if is_own:
            for group in groups:
                _check_fusion_class(self.fusion, group.stop - group.start, self.embedding_dim, self.fusion_rank)
        return Fields(shapes, tuple(groups), query, base_logit)

    def _check_unchanged(self):
        """Raise if a parameter that must stay is not as it was in the first fit."""
        way_out = "set warm_start=False" if self.warm_start else "call fit"
        for name, fitted in (self._architecture | self._columns_as).items():
            now = getattr(self, name)
            if name == "hidden_layer_sizes":
                now = check_layer_sizes(name, now)
            if name not in self._changeable_parameters and not _is_equal(now, fitted):
                raise ValueError(
                    f"{name} must stay {fitted!r}, as in the first fit, got {now!r}; {way_out} to begin anew."
                )

    def _check_parameters(self):
        self._check_module_parameters()
        self._check_column_parameters()
        self._check_training_parameters()
        self._check_stopping_parameters()

    def _check_module_parameters(self):
        check_integer("embedding_dim", self.embedding_dim, 1)
        hidden_layer_sizes = check_layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        is_own = isinstance(self.fusion, type) and issubclass(self.fusion, nn.Module)
        if not is_own and not (isinstance(self.fusion, str) and self.fusion in FUSIONS):
            names = ", ".join(map(repr, FUSIONS))
            raise ValueError(f"fusion must be one of {names}, or a class of torch modules, got {self.fusion!r}.")
        check_option("fusion_scope", self.fusion_scope, ("codes", "all"))
        check_integer("fusion_rank", self.fusion_rank, 1)
        if self.fusion_query is not None and self.fusion != "attention":
            raise ValueError(
                f"fusion_query must be None unless fusion='attention', got {self.fusion_query!r} and {self.fusion!r}."
            )
        check_integer("n_embedding_sets", self.n_embedding_sets, 1)
        if self.n_embedding_sets > 1 and not hidden_layer_sizes:
            raise ValueError("hidden_layer_sizes must not be empty with n_embedding_sets > 1: sets meet in a layer.")
        check_option("history_pooling", self.history_pooling, self._poolings)
        check_number("dropout", self.dropout, 0, 1, open_maximum=True)
        check_number("embedding_init_std", self.embedding_init_std, 0, open_minimum=True)
        check_option("code_embedding_init", self.code_embedding_init, ("random", "codebooks"))

    def _check_column_parameters(self):
        check_integer("vector_fields", self.vector_fields, 1)
        check_integer("adapter_width", self.adapter_width, 0)
        check_integer("min_frequency", self.min_frequency, 1)
        if self.hash_buckets is not None:
            by_column = self.hash_buckets if isinstance(self.hash_buckets, dict) else {"all": self.hash_buckets}
            for n_buckets in by_column.values():
                check_integer("hash_buckets", n_buckets, 1)

    def _check_training_parameters(self):
        check_option("embedding_optimizer", self.embedding_optimizer, tuple(EMBEDDING_OPTIMIZERS))
        check_integer("max_iter", self.max_iter, 1)
        if self.batch_size != "auto":
            check_integer("batch_size", self.batch_size, 1)
        check_number("learning_rate", self.learning_rate, 0, open_minimum=True)
        if self.embedding_learning_rate is not None:
            check_number("embedding_learning_rate", self.embedding_learning_rate, 0, open_minimum=True)
        check_number("l2", self.l2, 0)
        check_number("embedding_l2", self.embedding_l2, 0)
        check_number("network_forgetting", self.network_forgetting, 0)
        if self.embedding_forgetting != "auto":
            check_number("embedding_forgetting", self.embedding_forgetting, 0)
            if self.embedding_forgetting and self.embedding_optimizer == "rowwise_adagrad":
                raise ValueError(
                    "embedding_forgetting must be 'auto' or 0 with embedding_optimizer='rowwise_adagrad', whose steps "
                    f"become too short to learn again, got {self.embedding_forgetting!r}. Use 'lazy_adam'."
                )
        if self.max_gradient_norm is not None:
            check_number("max_gradient_norm", self.max_gradient_norm, 0, open_minimum=True)
        if self.weight_averaging != "auto":
            check_number("weight_averaging", self.weight_averaging, 0, 1, open_maximum=True)
        check_callbacks(self.callbacks)
        check_checkpoint_dir(self.checkpoint_dir, self.random_state)
        resolve_device(self.device)

    def _check_stopping_parameters(self):
        check_option("early_stopping", self.early_stopping, (True, False, "auto"))
        if self.validation_fraction != "auto":
            check_number("validation_fraction", self.validation_fraction, 0, 1, open_minimum=True, open_maximum=True)
        check_option("validation", self.validation, ("random", "last"))
        check_integer("n_iter_no_change", self.n_iter_no_change, 1)

    def _check_training_data(self, X, y, sample_weight, classes=None, *, reset=True, may_be_one=False):
        """Return the table, the labels as 0 and 1, and the weights, without the rows of weight 0.

        The labels are `classes`, or those in `y`, of which both must be there unless one `may_be_one`.
        """
        if y is None:
            validate_data(self, X, y)  # says that y is required
        X = check_table(self, X, reset=reset)
        y = _check_labels(y)
        check_consistent_length(X, y)
        weights = check_sample_weight(sample_weight, len(y))
        if self.class_weight is not None:
            weights = check_sample_weight(weights * compute_sample_weight(self.class_weight, y), len(y))
        kept = weights > 0
        self.classes_, y = _binary_labels(y, classes)
        if not may_be_one and len(np.unique(y[kept])) < 2:
            (only,) = self.classes_[np.unique(y[kept])].tolist()
            where = "" if kept.all() else " among the rows of positive weight"
            raise ValueError(
                f"y must hold two classes{where}, got one class: {only!r}. Use more rows, or stratified splits."
            )
        if kept.all():
            return X, y, weights
        return X[kept], y[kept], weights[kept]

    def _split(self, impressions, y, eval_set, random_state):
        """Return the impressions to train on and, with early stopping, those held out, of both classes each."""
        if eval_set is not None:
            return impressions, self._encode_eval_set(eval_set)
        rarest = np.bincount(y).min()
        stops_early, share = self.early_stopping, self.validation_fraction
        if share == "auto":
            share = min(_HELD_OUT_SHARE, _HELD_OUT_ROWS / rarest)
        if stops_early == "auto":
            stops_early = len(y) > _EARLY_STOPPING_ROWS and rarest * share >= 1
        if not stops_early:
            return impressions, None
        if rarest < 2:
            raise ValueError(
                "early_stopping must have at least 2 rows of each class, to train on and to hold out, "
                f"got {rarest} of one. Set early_stopping=False."
            )
        held_out = _stratified_share(y, share, self.validation, random_state)
        return impressions.part(np.flatnonzero(~held_out)), impressions.part(np.flatnonzero(held_out))

    def _encode_eval_set(self, eval_set):
        X, y, sample_weight = _unpacked(eval_set)
        try:
            X, y, weights = self._check_training_data(X, y, sample_weight, self.classes_, reset=False)
            encoded = self.encoder_.encode(X)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"eval_set: {error}") from error
        return Impressions(encoded, y, weights, resolve_device(self.device), self._dtype)

    def _averaging_for(self, n_rows):
        if self.weight_averaging == "auto":
            n_steps = math.ceil(n_rows / self._batch_size_for(n_rows))
            return 1 - 1 / max(_AVERAGED_EPOCHS * n_steps, _LEAST_AVERAGED_STEPS)
        return self.weight_averaging

    def _batch_size_for(self, n_rows):
        if self.batch_size == "auto":
            return int(np.clip(n_rows // 50, 64, 2048))
        return int(self.batch_size)


def _unpacked(eval_set):
    """Return X, y and the weights, None if there are none, of an `eval_set`."""
    is_list_of_pairs = isinstance(eval_set, list) and all(isinstance(pair, tuple) for pair in eval_set)
    if not isinstance(eval_set, tuple | list) or is_list_of_pairs or len(eval_set) not in (2, 3):
        got = f"a list of {len(eval_set)} tuples" if is_list_of_pairs else type(eval_set).__name__
        raise ValueError(f"eval_set must be one tuple (X, y) or (X, y, sample_weight), got {got}.")
    X, y, *weights = eval_set
    return X, y, *(weights or [None])


def _is_equal(a, b):
    return np.array_equal(np.asarray(a, dtype=object), np.asarray(b, dtype=object))


def _check_classes(classes, known):
    """Return both labels, sorted, or None if nobody says them; `known` are those of a former call."""
    if classes is None:
        return known
    try:
        classes = np.unique(as_array("classes", classes))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise TypeError(
            f"classes must hold two labels of one type, none of them missing, got {classes!r:.80}."
        ) from error
    if len(classes) != 2:
        raise ValueError(f"classes must hold two labels, got {classes.tolist()}.")
    if known is not None and not _is_equal(classes, known):
        raise ValueError(f"classes must be {known.tolist()}, as in the first call, got {classes.tolist()}.")
    return classes if known is None else known


def _check_labels(y):
    y = y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else y
    is_missing = pd.isna(as_array("y", y))
    if np.any(is_missing):
        n_missing, n_labels = np.sum(is_missing), np.size(is_missing)
        raise ValueError(f"Input y contains NaN or None: {n_missing} of {n_labels} labels. Drop these rows.")
    with np.errstate(invalid="ignore"):  # of infinities of both signs, which are refused
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    return column_or_1d(y, warn=True)


def _binary_labels(y, classes):
    """Return the two classes, sorted, and `y` as 0 and 1; `classes` are those known, None for those in `y`."""
    with np.errstate(invalid="ignore"):  # of numbers beyond int64, which are no classes
        kind = type_of_target(y, input_name="y", raise_unknown=True)
    if kind not in ("binary", "multiclass"):
        raise ValueError(f"Unknown label type: {kind}. y must hold two classes, such as 0 and 1.")
    present, y = np.unique(y, return_inverse=True)
    if classes is None:
        if len(present) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}, "
                f"with {len(present)} classes."
            )
        return present, y
    unknown = np.setdiff1d(present, classes)
    if len(unknown):
        raise ValueError(f"y must hold the labels {classes.tolist()}, as before, got {unknown.tolist()}.")
    return classes, np.searchsorted(classes, present)[y]


def _check_fusion_class(fusion, n_codes, dim, rank):
    """Raise unless `fusion(n_codes, dim, rank)` maps (B, n_codes, dim) to the same shape."""
    e = torch.zeros(2, n_codes, dim)
    with torch.no_grad():
        fused = build_seeded(lambda: fusion(n_codes, dim, rank), seed=0)(e)
    if not isinstance(fused, torch.Tensor) or fused.shape != e.shape:
        shape = tuple(fused.shape) if isinstance(fused, torch.Tensor) else type(fused).__name__
        raise ValueError(
            f"fusion must map embeddings of shape {tuple(e.shape)} to the same shape, {fusion.__name__} gave {shape}."
        )


def _warn_of_ids_as_numbers(X, categorical_features):
    """Warn of whole numbers in float columns that look like ids or codes, used as numbers; return the columns."""
    if not (isinstance(categorical_features, str) and len(X) > 2):
        return []
    if isinstance(X, pd.DataFrame):
        named_like_ids = [c for c in X.columns if _ID_NAME.search(str(c)) and pd.api.types.is_float_dtype(X[c].dtype)]
        suspects = [c for c in named_like_ids if _are_whole(X[c].dropna().to_numpy(dtype=np.float64))]
        where = f"columns {suspects} hold"
    else:
        if X.dtype.kind != "f":
            return []
        first = X[:1000]
        suspects = np.flatnonzero((first == np.round(first)).all(axis=0) & (np.ptp(first, axis=0) > 1)).tolist()
        where = f"X is a float array without column names, and its columns {suspects} hold"
    if suspects:
        warn(
            f"{where} whole numbers as floats, and are used as numbers. If these are ids or codes, pass integers in a "
            'DataFrame (ColumnTransformer(...).set_output(transform="pandas"), .astype("Int64")) or name them in '
            "categorical_features; categorical_features=None says that all are numbers.",
        )
    return suspects


def _are_whole(numbers):
    return len(numbers) > 0 and (np.isfinite(numbers) & (numbers == np.round(numbers))).all()


def _stratified_share(y, share, which, random_state):
    """Return a mask of about `share` of the rows of each class, `which` of them, at least one in and one out."""
    mask = np.zeros(len(y), dtype=bool)
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        rows = rows[::-1] if which == "last" else random_state.permutation(rows)
        mask[rows[: np.clip(round(share * len(rows)), 1, len(rows) - 1)]] = True
    return mask
