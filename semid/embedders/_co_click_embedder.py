"""Embeddings in, embeddings out: items that the same users click come to lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from semid.base._all_or_nothing import all_or_nothing, snapshot
from semid.base._checks import as_array, check_integer, check_number, warn
from semid.base._live_module import LiveModule, build_seeded, export_state, resolve_device
from semid.base._search_space import Float, HasSearchSpace, Integer
from semid.base._typing import RandomState
from semid.base._versioned import Versioned
from semid.engine._catalogue import mean_and_scale
from semid.engine._co_clicks import CoClickOptions, CoClicks, train_co_click_encoder
from semid.nn._co_click_encoder import CoClickEncoder
from semid.tables._nearness import PlacedItems
from semid.tables._rows import row_hashes
from semid.tables._vectors import plain_array

_ENCODE_ROWS = 8_192


class CoClickEmbedder(HasSearchSpace, Versioned, TransformerMixin, BaseEstimator):
    """Put beside the embedding of each item a vector that says by whom it is clicked.

    A small encoder of an item's embedding, and of the mean embedding of what its users clicked beside it, learns to
    tell the item that a user clicked from those that others clicked. Codes of both are the best for click models
    that this project knows (:doc:`the study </study>`): where `presets.ranking` with ``alignment`` cuts the space of
    texts by clicks, here the space itself follows them.

    An item without clicks has the vector that its embedding alone predicts; training shows the encoder items without
    their clicks for it. Of a pair of clicks, each item is seen without the user whom the pair is of, so that the
    encoder cannot learn the answer by heart. `transform` knows the items of `fit` by their embeddings, to what the
    rounding of float32, float16 or bfloat16 explains, and gives them the vector with their clicks; to any other
    embedding it gives the vector without.

    As the first step of a pipeline, ``SemanticIDEncoder(presets.co_clicks(), items=table, user="user_id")`` passes it
    the clicks of the training rows alone.

    Parameters
    ----------
    n_components : int, default 64
        Width of the vectors.
    content_weight : float, default 0.67
        Length of the embedding, root mean square, beside the vector of length 1. 0 leaves the vector alone: a little
        better where the log is large and texts say little, worse where clicks say no more than content.
    hidden_dim : int, default 512
        Width of the hidden layer.
    dropout : float, default 0.2
        Share of inputs and hidden units dropped in training, rounded to 256ths.
    temperature : float, default 0.07
        Of the contrast; smaller looks harder at the wrong items that are most alike.
    max_iter : int, default 12
        Number of epochs, each as many pairs as there are clicks.
    batch_size : int or "auto", default "auto"
        Pairs per step; ``"auto"`` is a fiftieth of the clicks, at least 64 and at most 1024.
    learning_rate : float, default 0.003
        The highest of a cycle, of AdamW.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU.
    random_state : int, RandomState instance or None, default None
        Seed of the weights, the pairs and the dropout.
    verbose : bool, default False
        Show a progress bar.

    Attributes
    ----------
    clicked_embeddings_ : ndarray of shape (n_clicked, n_components), float32
        Vectors of the distinct items with clicks beside others, which `transform` gives to these.
    clicked_hashes_ : ndarray of shape (n_clicked,), uint64
        Hashes of their embeddings, ascending.
    clicked_items_ : ndarray of shape (n_clicked, n_features), float32
        Their embeddings, by which they are known when they come back from another batch, machine or file.
    history_ : dict of ndarray of shape (max_iter,)
        ``loss`` by epoch.
    mean_ : ndarray of shape (n_features,), float32
        Of the embeddings of `fit`.
    scale_ : float
        Their root mean square, once the mean is taken off.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if they had names of type str.

    See Also
    --------
    semid.features.interaction_matrix : The clicks of a log, as `fit` takes them.
    semid.features.interaction_embeddings : A vector per item from clicks alone, for ``alignment`` of the tokenizers.

    Notes
    -----
    With n items, u users, E clicks and D features: memory of about 16 n D + 4 u D + 40 E bytes beside `X`, time
    O(E · max_iter · hidden_dim · D).

    Examples
    --------
    >>> from semid.datasets import make_clicks, make_items
    >>> from semid.embedders import CoClickEmbedder
    >>> from semid.features import interaction_matrix
    >>> items = make_items(n_items=300, random_state=0)
    >>> log = make_clicks(items, n_impressions=5000, random_state=0).frame.query("click == 1")
    >>> clicks = interaction_matrix(log, items.frame["item_id"])
    >>> embedder = CoClickEmbedder(n_components=8, max_iter=2, random_state=0)
    >>> embedder.fit_transform(items.embeddings, interactions=clicks).shape
    (300, 72)
    """

    def __init__(
        self,
        n_components: Annotated[int, Integer(16, 256)] = 64,
        *,
        content_weight: Annotated[float, Float(0.0, 1.5)] = 0.67,
        hidden_dim: int = 512,
        dropout: Annotated[float, Float(0.0, 0.5)] = 0.2,
        temperature: Annotated[float, Float(0.03, 0.3, log=True)] = 0.07,
        max_iter: int = 12,
        batch_size: int | str = "auto",
        learning_rate: Annotated[float, Float(0.001, 0.01, log=True)] = 0.003,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.content_weight = content_weight
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.temperature = temperature
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X: ArrayLike, y: None = None, interactions: Any = None) -> Self:
        """Learn the vectors from what users clicked together.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings, float32 or convertible; equal rows are one item.
        y : None
            Ignored.
        interactions : sparse matrix or array of shape (n_items, n_users), default None
            Who clicked what, whatever is not zero, from the training rows alone (`interaction_matrix`). None, or no
            user with two items: items are told apart by themselves, which teaches nothing of clicks.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of its range, `interactions` has not a row for each of `X`, or training diverges.
        """
        self._check_parameters()
        if issparse(y):
            raise TypeError("y must be None, got a sparse matrix. Pass the clicks by their name, interactions=...")
        embeddings = self._checked(X, ensure_min_samples=2)
        clicks = _checked_interactions(interactions, len(embeddings))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        hashes, first, places = np.unique(row_hashes(embeddings), return_index=True, return_inverse=True)
        mean, self.scale_ = mean_and_scale(embeddings, first, np.ones(len(first)))
        self.mean_ = mean.astype(np.float32)
        self._architecture = {name: int(getattr(self, name)) for name in ("hidden_dim", "n_components")}
        device = resolve_device(self.device)
        x = self._standardized(embeddings[first], device, torch.float32)
        co_clicks = CoClicks(x, _merged_rows(clicks, places, len(first)))
        if interactions is not None and not co_clicks.has_pairs:
            warn(
                "interactions has no user who clicked two items, so that there are no pairs to learn from, and items "
                "are told apart by themselves. Is each column a user, not a session or a row of the log?"
            )
        module = build_seeded(lambda: self._build_module(float(self.dropout)), seed).to(device)
        generator = torch.Generator().manual_seed(seed)
        self.history_ = {"loss": train_co_click_encoder(module, co_clicks, self._options(co_clicks), generator)}
        self._content_weight = float(self.content_weight)
        self.n_iter_ = len(self.history_["loss"])
        self.state_ = export_state(module)
        self._live = LiveModule()
        self._nearness: dict[str, Any] = {}
        is_clicked = (co_clicks.n_beside > 0).cpu().numpy()
        self.clicked_hashes_ = hashes[is_clicked]
        self.clicked_items_ = embeddings[first[is_clicked]]
        self.clicked_embeddings_ = self._encoded(self.clicked_items_, co_clicks, np.flatnonzero(is_clicked))
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the vectors of items and their embeddings; a vector knows the clicks that `fit` had for the embedding.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings.

        Returns
        -------
        embeddings : ndarray of shape (n_items, n_components + n_features), float32
            The vectors, of unit length, and behind them, unless `content_weight` is 0, the embeddings, standardised.
        """
        check_is_fitted(self)
        self.__dict__.setdefault("_nearness", {})  # of this object, for later calls as well
        return snapshot(self)._transform(X)

    def get_feature_names_out(self, input_features: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Return ``emb_0``, ``emb_1``, ...: float columns that click models take for one vector.

        Parameters
        ----------
        input_features : array-like of str, default None
            Ignored.

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        width = self._architecture["n_components"] + (self.n_features_in_ if self._content_weight else 0)
        return np.array([f"emb_{n}" for n in range(width)], dtype=object)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_nearness"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _check_parameters(self):
        for name in ("n_components", "hidden_dim", "max_iter"):
            check_integer(name, getattr(self, name), 1)
        if self.batch_size != "auto":
            check_integer("batch_size", self.batch_size, 2)
        check_number("content_weight", self.content_weight, 0)
        check_number("dropout", self.dropout, 0, 1, open_maximum=True)
        for name in ("temperature", "learning_rate"):
            check_number(name, getattr(self, name), 0, open_minimum=True)
        resolve_device(self.device)

    def _transform(self, X):
        embeddings = self._checked(X, reset=False)
        vectors = self._vectors(embeddings)
        if not self._content_weight:
            return vectors
        unit = self._content_weight / (self.scale_ * np.sqrt(self.n_features_in_))
        return np.hstack([vectors, (embeddings - self.mean_) * np.float32(unit)])

    def _vectors(self, X):
        """Return the vectors of checked embeddings, (n_items, n_components)."""
        vectors = np.empty((len(X), self._architecture["n_components"]), dtype=np.float32)
        places = self._places(X)
        is_clicked = places >= 0
        vectors[is_clicked] = self.clicked_embeddings_[places[is_clicked]]
        vectors[~is_clicked] = self._encoded(X[~is_clicked])
        return vectors

    def _places(self, X):
        """Return which of the items with clicks each embedding is, -1 for none."""
        if not len(self.clicked_hashes_):
            return np.full(len(X), -1)
        hashes = row_hashes(X)
        places = np.searchsorted(self.clicked_hashes_, hashes).clip(max=len(self.clicked_hashes_) - 1)
        places[self.clicked_hashes_[places] != hashes] = -1
        left = np.flatnonzero(places < 0)
        if len(left) and hasattr(self, "clicked_items_"):  # which artefacts of before do not have
            found = self._clicked_items().recognise(X[left])
            places[left[found.is_explained]] = found.places[found.is_explained]
        return places

    def _clicked_items(self):
        """Return the index of the items with clicks, built once for them; pickles hold none."""
        cache = self.__dict__.setdefault("_nearness", {})
        embeddings, items = cache.get("clicked", (None, None))
        if embeddings is not self.clicked_items_:
            items = PlacedItems(self.clicked_items_)
            cache["clicked"] = self.clicked_items_, items
        return items

    def _checked(self, X, **checks):
        return validate_data(self, X if issparse(X) else plain_array(X), dtype=np.float32, **checks)

    def _build_module(self, dropout=0.0):
        return CoClickEncoder(self.n_features_in_, **self._architecture, dropout=dropout)

    def _options(self, co_clicks):
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = int(np.clip(co_clicks.n_drawn // 50, 64, 1024))
        return CoClickOptions(
            max_iter=self.max_iter,
            batch_size=int(batch_size),
            learning_rate=self.learning_rate,
            temperature=self.temperature,
            verbose=bool(self.verbose),
        )

    def _standardized(self, X, device, dtype):
        mean = torch.tensor(self.mean_, device=device, dtype=dtype)
        return (torch.from_numpy(np.ascontiguousarray(X)).to(device, dtype) - mean) / self.scale_

    def _encoded(self, X, co_clicks=None, items=None):
        """Return the vectors of embeddings; with `co_clicks`, of its `items`, with what lies beside them.

        In float64, so that the last bits, and with them codes, do not depend on how many items are encoded at once.
        """
        device = resolve_device(self.device)
        module = self._live.get(self._build_module, self.state_, device, torch.float64)
        parts = [np.empty((0, self._architecture["n_components"]), dtype=np.float32)]
        for start in range(0, len(X), _ENCODE_ROWS):
            block = slice(start, start + _ENCODE_ROWS)
            beside = None
            if co_clicks is not None:
                beside = co_clicks.beside(torch.from_numpy(items[block]).to(device)).double()
            with torch.inference_mode():
                vectors = module(self._standardized(X[block], device, torch.float64), beside)
            parts.append(vectors.float().cpu().numpy())
        return np.concatenate(parts)


def _checked_interactions(interactions, n_items):
    """Return who clicked what as a CSR array of booleans, (n_items, n_users)."""
    if interactions is None:
        return csr_array((n_items, 1), dtype=bool)
    if not issparse(interactions):
        interactions = as_array("interactions", interactions)
    if interactions.ndim != 2 or interactions.dtype.kind not in "biuf":
        raise TypeError(
            "interactions must be a matrix of numbers, a row per item and a column per user, got "
            f"{type(interactions).__name__} of shape {interactions.shape} and dtype {interactions.dtype}. "
            "interaction_matrix(log, item_ids) makes one of a log."
        )
    if interactions.shape[0] != n_items:
        raise ValueError(
            f"interactions must have a row for each item of X, got {interactions.shape[0]} and {n_items}. Rows are "
            "items, columns are users."
        )
    matrix = csr_array(interactions, copy=True)
    n_missing = int(np.isnan(matrix.data).sum()) if matrix.data.dtype.kind == "f" else 0
    if n_missing:
        raise ValueError(
            f"interactions must have no NaN, got {n_missing}. Where nobody clicked is 0: fill them with it, or take "
            "interaction_matrix(log, item_ids)."
        )
    matrix.sum_duplicates()
    matrix.data = matrix.data != 0
    matrix.eliminate_zeros()
    return matrix


def _merged_rows(interactions, places, n_distinct):
    """Return the clicks of distinct items: those of all rows that are one."""
    ones = np.ones(len(places), dtype=np.int32)
    merge = csr_array((ones, (places, np.arange(len(places)))), shape=(n_distinct, len(places)))
    return csr_array((merge @ interactions.astype(np.int32)) > 0)
