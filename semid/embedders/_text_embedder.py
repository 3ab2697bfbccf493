"""Texts in, embeddings out: the first stage, as a transformer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_memory

from semid import __version__
from semid.base._all_or_nothing import all_or_nothing
from semid.base._checks import check_integer, check_option
from semid.base._versioned import Versioned
from semid.embedders import _sentence_transformer
from semid.embedders._lsa import LSA
from semid.embedders._texts import as_table, join_columns
from semid.embedders._vector_store import VectorStore
from semid.tables._frames import check_table


class TextEmbedder(Versioned, TransformerMixin, BaseEstimator):
    """Turn one or several columns of text into embeddings, each distinct text once.

    ``"lsa"`` needs no model and no network: counts of words and groups of letters, projected on their leading
    components, learned from the texts of `fit`. Any other `model` is one of sentence-transformers
    (the extra ``text``), by the name it has at its hub or the path of its folder; nothing is learned then.

    With `memory`, vectors are kept on the disk by text, so that a text is encoded once in the life of the folder: a
    second run, a search over `truncate_dim` or over what follows in a pipeline, and a catalogue that has grown cost
    the new texts alone. Weights of a model are loaded once per process and never part of a pickle.

    Parameters
    ----------
    model : str, default "lsa"
        ``"lsa"``, or the name or path of a sentence-transformers model, such as ``"all-MiniLM-L6-v2"``. Without a
        network, the hub is tried again and again for about a minute before the model is loaded from the cache or
        refused; with ``HF_HUB_OFFLINE=1`` in the environment from the start, it is not asked.
    template : str or None, default None
        How the columns of a row become one text, ``"{title}. {brand}"``; a missing cell is empty, numbers become text,
        a list of words is joined by spaces. None joins all columns, which must hold text, with ". ", without missing
        and empty ones.
    n_components : int, default 256
        Dimensions of ``"lsa"``; fewer where the texts have fewer.
    truncate_dim : int or None, default None
        Keep the first so many dimensions: of ``"lsa"`` the leading components, of a model that was trained for it
        (Matryoshka) its coarser view. Applied after `memory`.
    prompt : str or None, default None
        Text that goes before each, for models that ask for it. Not for ``"lsa"``.
    normalize : bool, default True
        Scale embeddings to unit length, after `truncate_dim`; the zero vector of a text without known words stays.
    batch_size : int, default 64
        Texts that a model reads at a time, of like length.
    dtype : {"float32", "float16", "bfloat16"}, default "float32"
        Of a model's weights and arithmetic, float32 with ``"onnx"``. Embeddings are float32 in any case.
    device : str, default "auto"
        Where a model runs: ``"auto"`` is a GPU (``"cuda"``, else ``"mps"``) where there is one, else ``"cpu"``.
    backend : {"torch", "onnx"}, default "torch"
        What runs a model; ``"onnx"`` needs ``sentence-transformers[onnx]``.
    revision : str or None, default None
        Version of a model at its hub.
    memory : None, str or joblib.Memory, default None
        Where to keep vectors: a folder. It holds one for each model and setting that matters to the vectors.
    verbose : bool, default False
        Show a progress bar while a model reads.

    Attributes
    ----------
    n_features_out_ : int
        Width of the embeddings.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if they had names of type str.

    References
    ----------
    Reimers and Gurevych, 2019, arXiv:1908.10084 (sentence-transformers); Deerwester et al., 1990 ("Indexing by latent
    semantic analysis"). Both from memory.

    Examples
    --------
    >>> from semid.embedders import TextEmbedder
    >>> titles = ["red mug", "blue mug", "steel frying pan", "small frying pan", "red mug"]
    >>> embeddings = TextEmbedder(n_components=2).fit_transform(titles)
    >>> embeddings.shape, embeddings.dtype
    ((5, 2), dtype('float32'))
    >>> mug, other_mug, pan = embeddings[:3]
    >>> bool(mug @ other_mug > mug @ pan)
    True
    """

    def __init__(
        self,
        model: str = "lsa",
        *,
        template: str | None = None,
        n_components: int = 256,
        truncate_dim: int | None = None,
        prompt: str | None = None,
        normalize: bool = True,
        batch_size: int = 64,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: str = "auto",
        backend: Literal["torch", "onnx"] = "torch",
        revision: str | None = None,
        memory: str | joblib.Memory | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.template = template
        self.n_components = n_components
        self.truncate_dim = truncate_dim
        self.prompt = prompt
        self.normalize = normalize
        self.batch_size = batch_size
        self.dtype = dtype
        self.device = device
        self.backend = backend
        self.revision = revision
        self.memory = memory
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X: pd.DataFrame | ArrayLike, y: None = None) -> Self:
        """Learn the components of ``"lsa"``; of another model, learn the width only.

        Parameters
        ----------
        X : array-like of str of shape (n_rows,), or DataFrame or array-like of shape (n_rows, n_columns)
            Texts; cells may be lists of words. A row must have text in a column at least; it may be the empty text,
            whose embedding is zero with ``"lsa"`` and the model's own otherwise.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter is out of its range, a row has no text, or a column is not text and no template names it.
        ImportError, OSError
            If sentence-transformers is not installed, or the model cannot be loaded.
        """
        self._fit(X)
        return self

    @all_or_nothing
    def fit_transform(self, X: pd.DataFrame | ArrayLike, y: None = None) -> np.ndarray:
        """Fit to the texts and return their embeddings; each distinct text is encoded once.

        Parameters
        ----------
        X : array-like of str of shape (n_rows,), or DataFrame or array-like of shape (n_rows, n_columns)
            Texts.
        y : None
            Ignored.

        Returns
        -------
        embeddings : ndarray of shape (n_rows, n_features_out), float32
        """
        texts = self._fit(X)
        return self._embed(texts)

    def transform(self, X: pd.DataFrame | ArrayLike) -> np.ndarray:
        """Return the embeddings of the texts.

        Parameters
        ----------
        X : array-like of str of shape (n_rows,), or DataFrame or array-like of shape (n_rows, n_columns)
            Texts.

        Returns
        -------
        embeddings : ndarray of shape (n_rows, n_features_out), float32
        """
        check_is_fitted(self)
        return self._embed(self._texts(X, reset=False))

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
        return np.array([f"emb_{n}" for n in range(self.n_features_out_)], dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_out_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _fit(self, X):
        """Learn what there is to learn, and return the texts."""
        self._check_parameters()
        texts = self._texts(X, reset=True)
        if self.model == "lsa":
            fit = check_memory(self.memory).cache(_fit_lsa)
            self._lsa, self._digest, width = fit(np.unique(texts).tolist(), self.n_components, __version__)
        else:
            width = self._encode(texts[:1]).shape[1]
        if self.truncate_dim is not None and self.truncate_dim > width:
            raise ValueError(
                f"truncate_dim must be at most the {width} dimensions of model={self.model!r}, got {self.truncate_dim}."
            )
        self.n_features_out_ = width if self.truncate_dim is None else int(self.truncate_dim)
        return texts

    def _check_parameters(self):
        if not isinstance(self.model, str | Path) or not str(self.model):
            raise TypeError(f'model must be "lsa", or the name or path of a model, got {self.model!r}.')
        check_integer("n_components", self.n_components, 1)
        if self.truncate_dim is not None:
            check_integer("truncate_dim", self.truncate_dim, 1)
        check_integer("batch_size", self.batch_size, 1)
        check_option("normalize", self.normalize, (True, False))
        check_option("dtype", self.dtype, ("float32", "float16", "bfloat16"))
        check_option("backend", self.backend, ("torch", "onnx"))
        check_memory(self.memory)
        for name in ("prompt", "revision"):
            if not isinstance(getattr(self, name), str | None):
                raise TypeError(f"{name} must be None or text, got {getattr(self, name)!r}.")
        if self.model == "lsa" and self.prompt is not None:
            raise ValueError(f'prompt must be None for model="lsa", got {self.prompt!r}.')
        if self.backend == "onnx" and self.dtype != "float32":
            raise ValueError(f'dtype must be "float32" for backend="onnx", got {self.dtype!r}.')
        if self.model != "lsa" and self.memory is None:
            _sentence_transformer.check_installed(self.backend)

    def _texts(self, X, *, reset):
        """Return one text per row, an object array, after scikit-learn's checks of the columns."""
        X = as_table(X, named=self.template is not None)
        return join_columns(check_table(self, X, reset=reset), self.template)

    def _embed(self, texts):
        distinct, places = np.unique(texts, return_inverse=True)
        vectors = self._encode(distinct)[:, : self.n_features_out_]
        if self.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths == 0, 1, lengths)
        return np.ascontiguousarray(vectors[places], dtype=np.float32)

    def _encode(self, distinct):
        """Return the vectors of distinct texts, as wide as the model's; from `memory` where they are there."""
        folder = check_memory(self.memory).location
        encode = self._lsa.encode if self.model == "lsa" else self._encode_with_model
        if folder is None:
            return encode(distinct)
        return VectorStore(Path(folder) / "semid_texts" / self._key()).encode(distinct, encode)

    def _encode_with_model(self, texts):
        _sentence_transformer.check_installed(self.backend)
        device = _sentence_transformer.pick_device(self.device)  # needs torch, which a search in memory does without
        key = _sentence_transformer.ModelKey(
            str(self.model),
            self.revision,
            device,
            self.dtype,
            self.backend,
            _sentence_transformer.fingerprint(self.model),
        )
        return _sentence_transformer.encode(
            key, texts, prompt=self.prompt, batch_size=self.batch_size, verbose=bool(self.verbose)
        )

    def _key(self):
        """Return the name under which vectors of this model and these settings are kept."""
        told = (
            ["lsa", self._digest]
            if self.model == "lsa"
            else [
                str(self.model),
                _sentence_transformer.fingerprint(self.model),
                self.revision,
                self.prompt,
                self.dtype,
                self.backend,
            ]
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def _fit_lsa(texts, n_components, version):
    """Return a fitted `LSA`, its digest and its width; `version` parts what other versions have kept."""
    lsa = LSA(n_components).fit(texts)
    # Different catalogues, one with "1" where the other has "2", may have equal components: the digest is of both.
    return lsa, joblib.hash([lsa.components_, texts]), lsa.components_.shape[1]
