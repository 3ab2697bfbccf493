"""What all tokenizers share: fit on the catalogue, codes that never waver, and the way back to embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from semid.base._all_or_nothing import all_or_nothing, on_snapshot
from semid.base._checks import (
    check_codebook_sizes,
    check_codes,
    check_input_features,
    check_integer,
    check_sample_weight,
    warn,
    warn_of_packed_bits,
)
from semid.base._documentation import fill_in
from semid.base._live_module import LiveModule, build_seeded, export_state, prediction_mode, resolve_device
from semid.base._search_space import HasSearchSpace
from semid.base._versioned import Versioned
from semid.engine._catalogue import ENCODE_ROWS, Catalogue, mean_and_scale
from semid.metrics import reconstruction_r2
from semid.tables._ids import is_called_id
from semid.tables._rows import distinct_rows
from semid.tables._vectors import from_tensor
from semid.tokenizers._alignment import labels_like
from semid.tokenizers._candidates import GivesCandidates
from semid.tokenizers._documentation import SHARED_PARTS

# A code is taken from float32 arithmetic where the nearest code vector leads the next by more than this share of the
# squared norms, far above the rounding of an encoder; the few other items are encoded again in float64. Not covered:
# in a residual chain, what copies that differ by 1e-5 leave over has the rounding of the latent, larger than itself.
_FLOAT32_DOUBT = 3e-5
_FLOAT64_TIE = 1e-11
_CACHED_ROWS = 4_096  # encoded at once by a processor, in whose cache they stay better than twice as many
_FOR_IDS = "Codes for a column of item ids are given by SemanticIDEncoder(tokenizer, items=ItemTable(ids, embeddings))"
_LARGEST_SCALE = 1e37  # of embeddings whose deviations from the mean float32 can hold


class EmbeddingsToCodes(Versioned, TransformerMixin, BaseEstimator):
    """What follows from `transform`, `inverse_transform` and ``codebook_sizes_`` alone."""

    codebook_sizes_: list[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Fill in the parts of a tokenizer's docstring that several share."""
        super().__init_subclass__(**kwargs)
        fill_in(cls, SHARED_PARTS)

    @on_snapshot
    def score(self, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the R² of the reconstruction of `X` from its codes.

        ``1 - Σ‖x - x̂‖² / Σ‖x - mean(x)‖²``, over all items and features together: 1 is perfect, 0 is as good as the
        mean of `X`.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings.
        y : None
            Ignored, present for `GridSearchCV`.

        Returns
        -------
        r2 : float

        Raises
        ------
        NotFittedError
            If the tokenizer is not fitted.
        ValueError
            If `X` holds NaN or infinity, or is not as wide as in `fit`.
        """
        reconstruction = self.inverse_transform(self.transform(X))
        return reconstruction_r2(self._check_embeddings(X, reset=False), reconstruction)

    def get_feature_names_out(self, input_features: Sequence[str] | np.ndarray | None = None) -> np.ndarray:
        """Return the names of the code columns: ``code0``, ``code1``, ...

        Parameters
        ----------
        input_features : array-like of str, default None
            Ignored but for its length.

        Returns
        -------
        names : ndarray of str objects, shape (n_codebooks,)
        """
        check_is_fitted(self)
        if input_features is not None:
            check_input_features(self, input_features)
        return np.array([f"code{n}" for n in range(len(self.codebook_sizes_))], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_embeddings(self, X: ArrayLike, **checks: Any) -> np.ndarray:
        ids = _ids_among(X)
        if ids is not None:
            raise ValueError(
                f"X must hold embeddings, one row of numbers per item, got {ids}, which are ids and no features. "
                f"{_FOR_IDS}; drop them from X if they stand beside embeddings."
            )
        X = _without_tensors(X)
        if checks.get("reset", True):
            warn_of_packed_bits("X", X)
        try:
            # What float32 cannot hold becomes infinity, and is refused as such.
            with np.errstate(over="ignore", invalid="ignore"):
                return validate_data(self, X, dtype=np.float32, **checks)
        except ValueError as error:
            text = _first_text(X)
            if text is None:
                raise
            raise ValueError(
                f"X must hold embeddings, one row of numbers per item, got text such as {text!r:.80}. {_FOR_IDS}; "
                "embeddings of texts by TextEmbedder, as in make_pipeline(TextEmbedder(), tokenizer)."
            ) from error


def _without_tensors(X):
    """Return tensors as arrays, those of types that numpy has not as float32; anything else as it is."""
    if isinstance(X, list | tuple) and len(X) and all(isinstance(row, torch.Tensor) for row in X):
        X = torch.stack(tuple(X)) if len({row.shape for row in X}) == 1 else X
    if isinstance(X, torch.Tensor):
        return from_tensor(X)
    if getattr(getattr(X, "dtype", None), "kind", None) == "V" and X.dtype.name.startswith("void"):
        raise ValueError(
            f"X must hold numbers, got an array of {X.dtype.str}, as which numpy reads numbers that it does not know "
            "from .npy files. If they are bfloat16: X.view(ml_dtypes.bfloat16).astype(numpy.float32)."
        )
    return X


def _ids_among(X):
    """Return words for the columns of `X` that are ids: integers alone in their row, or under the name of an id.

    Floats, and integers in several columns without such a name, may be embeddings.
    """
    names, kinds = getattr(X, "columns", None), getattr(X, "dtypes", None)
    if names is not None and kinds is not None:
        is_integer = [str(kind).lower().startswith(("int", "uint")) for kind in kinds]
        named = [name for name, integer in zip(names, is_integer, strict=True) if integer and is_called_id(name)]
        if named:
            return f"the integers of column {named[0]!r}"
        return f"the integers of the one column {names[0]!r}" if is_integer == [True] else None
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) != 2 or shape[1] != 1:
        return None
    return "one column of integers" if getattr(getattr(X, "dtype", None), "kind", None) in ("i", "u") else None


def _first_text(X):
    """Return the first entry of `X` that is text and no number, None if there is none."""
    try:
        array = np.asarray(X)
    except (TypeError, ValueError):  # rows of several lengths
        return None
    if array.dtype.kind in "biuf":
        return None
    return next((str(value) for value in array.flat if isinstance(value, str) and not _is_number(value)), None)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


class BaseTokenizer(HasSearchSpace, GivesCandidates, EmbeddingsToCodes):
    """Contract of all tokenizers: item embeddings in, codes out.

    A subclass gives ``_check_parameters``, ``_build_module`` and ``_learn``. The fitted model is ``state_``, numpy
    arrays by name; the torch module that computes with it is rebuilt when it is needed, from ``codebook_sizes_`` and
    from the parameters as they were in `fit`, so that `set_params` on a fitted tokenizer waits for the next `fit`.
    """

    state_: dict[str, np.ndarray]
    _architecture_parameters: tuple[str, ...] = ()
    _former_architecture: tuple[str, ...] = ()  # what modules of former versions may have been built from besides
    _codes_are_nearest = True  # whether codes are those of nearest code vectors, and any combination of them may occur

    @all_or_nothing
    def fit(self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn codebooks from item embeddings.

        The result does not depend on the order of the items, and an item of weight 2 counts exactly as an item
        listed twice.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            One embedding per item of the catalogue; computed with in float32.
        y : None
            Ignored, present for Pipelines.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item, for example its popularity; items of weight 0 are left out. None weights all alike.

        Returns
        -------
        self : object
            The fitted tokenizer.

        Raises
        ------
        ValueError
            If `X` holds NaN or infinity, is empty or not 2-D, has fewer than two rows, if a parameter is out of its
            range, if `sample_weight` is negative, of another length, or zero for every row, or if training diverges.
            The tokenizer then is as it was before.
        """
        return self._fit(X, sample_weight)

    @on_snapshot
    def transform(self, X: ArrayLike) -> np.ndarray:
        """Return the codes of item embeddings.

        An item's codes do not depend on the other rows of `X`, on their number or order, nor, up to the rounding of
        float64, on the device.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings, of items seen in `fit` or new ones.

        Returns
        -------
        codes : ndarray of shape (n_items, n_codebooks), int64
            Codebook n's code of each item, from 0 to ``codebook_sizes_[n] - 1``.

        Raises
        ------
        NotFittedError
            If the tokenizer is not fitted.
        ValueError
            If `X` holds NaN or infinity, or is not as wide as in `fit`.
        """
        check_is_fitted(self)
        X = self._check_embeddings(X, reset=False)
        device = resolve_device(self.device)
        codes, certain = self._encode(X, device, torch.float32, _FLOAT32_DOUBT)
        doubtful = np.flatnonzero(~certain)
        if len(doubtful):
            codes[doubtful], _ = self._encode(X[doubtful], device, torch.float64, _FLOAT64_TIE)
        return codes

    @on_snapshot
    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return the embeddings that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n_items, n_codebooks)
            Codes, as `transform` returns them, or their first few columns for a coarser reconstruction.

        Returns
        -------
        embeddings : ndarray of shape (n_items, n_features), float32

        Raises
        ------
        NotFittedError
            If the tokenizer is not fitted.
        ValueError
            If `X` holds other numbers than codes of these codebooks.
        """
        check_is_fitted(self)
        codes = self._check_codes(X)
        device = resolve_device(self.device)
        module = self._live.get(self._build_module, self.state_, device)
        embeddings = np.empty((len(codes), self.n_features_in_), dtype=np.float32)
        for start in range(0, len(codes), ENCODE_ROWS):
            rows = slice(start, start + ENCODE_ROWS)
            with prediction_mode(device):
                embeddings[rows] = module.decode(torch.from_numpy(codes[rows]).to(device)).cpu().numpy()
        return embeddings

    def align_to(self, X: ArrayLike, codes: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Relabel the codes such that as many items as possible have the codes they had before.

        For a tokenizer fitted anew, whose codes are to be used with embeddings learned for the old ones. In each
        codebook the code vectors change places, see `align_codes`: which items share a code, and what codes stand for,
        stays as it is. Of equal code vectors, the first one is always the code.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings of items that had codes before.
        codes : array-like of shape (n_items, n_codebooks)
            Their old codes. Those that this tokenizer has not, since its codebook is smaller, match nothing.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item, for example its popularity. None weights all alike.

        Returns
        -------
        self : object
            The tokenizer, its codes relabelled.

        Raises
        ------
        ValueError
            If `codes` are not whole numbers, are negative, or are not one row of the right length per item.
        """
        self._relabel(labels_like(codes, self.transform(X), self.codebook_sizes_, sample_weight))
        return self

    @property
    def codebooks_(self) -> list[np.ndarray]:
        """Code vectors of each codebook: list of ndarray of shape (codebook_size, dim)."""
        check_is_fitted(self)
        vectors = [array for name, array in self.state_.items() if name.endswith(".code_vectors")]
        return self._in_documented_units(vectors)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "state_")

    def _relabel(self, labels: list[np.ndarray]) -> list[np.ndarray]:
        """Give code c of codebook n the label ``labels[n][c]``; return the labels of each column of codes.

        Of copied codes, the one codebook has the labels of the first.
        """
        # A live module may be in use by another thread: the permuted one is a new one.
        module = LiveModule().get(self._build_module, self.state_, torch.device("cpu"))
        codebooks = module.quantizer.codebooks
        for n, (codebook, of_codebook) in enumerate(zip(codebooks, labels, strict=False)):
            order = torch.from_numpy(np.argsort(of_codebook))
            codebook.permute(order)
            if n < len(module.output_codebooks):
                module.output_codebooks[n].copy_(module.output_codebooks[n][order])
        self.state_, self._live = export_state(module), LiveModule()
        return [labels[n % len(codebooks)] for n in range(len(labels))]

    def _fit(self, X, sample_weight, **options):
        """Fit from the start; `options` go to ``_learn``."""
        self._check_parameters()
        device = resolve_device(self.device)
        X = self._check_embeddings(X, ensure_min_samples=2)
        rows, weights = distinct_rows(X, check_sample_weight(sample_weight, len(X)))
        self._architecture = {name: getattr(self, name) for name in self._architecture_parameters}
        self.codebook_sizes_ = self._codebook_sizes_for(len(rows))
        seed = self._draw_seed()
        module = build_seeded(self._build_module, seed).to(device, torch.float32)
        mean, scale = mean_and_scale(X, rows, weights)
        if scale > _LARGEST_SCALE:
            raise ValueError(
                f"X must not be spread by more than {_LARGEST_SCALE:g}, near the end of float32, got a standard "
                f"deviation of {scale:.2g}. Divide the embeddings by one number."
            )
        module.mean.copy_(torch.from_numpy(mean))
        module.scale.fill_(scale)
        with torch.enable_grad():
            catalogue = Catalogue(X, rows, weights, mean, scale, device)
            self._learn(module, catalogue, torch.Generator().manual_seed(seed), **options)
        self.state_, self._live = export_state(module), LiveModule()
        return self

    def _draw_seed(self):
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    @abstractmethod
    def _check_parameters(self):
        """Raise for any parameter out of its range, before any work."""

    @abstractmethod
    def _build_module(self):
        """Return the untrained `QuantizedAutoencoder`, from fitted attributes and ``_architecture`` alone."""

    @abstractmethod
    def _learn(self, module, catalogue, generator):
        """Fit the encoder, the codebooks and the decoder of `module`; set ``n_iter_`` and ``history_``."""

    def _in_documented_units(self, vectors):
        return vectors

    def _n_codebooks(self):
        return check_integer("n_codebooks", self.n_codebooks, 1)

    def _codebook_sizes_for(self, n_distinct):
        """One size per codebook, none larger than the number of distinct items."""
        sizes = check_codebook_sizes(self.codebook_size, self._n_codebooks(), n_distinct)
        if max(sizes) > n_distinct:
            warn(
                f"codebook_size={max(sizes)} is more than the {n_distinct} distinct items; codebooks are cut to "
                f"{n_distinct} codes. With several items per code, codes say what items share: pass a smaller size, or "
                'codebook_size="graded".'
            )
        return [min(size, n_distinct) for size in sizes]

    def _encode(self, X, device, dtype, tolerance):
        """Codes of `X` in arithmetic of `dtype`, and whether they are beyond the doubt that it leaves."""
        module = self._live.get(self._build_module, self.state_, device, dtype)
        codes = np.empty((len(X), len(self.codebook_sizes_)), dtype=np.int64)
        certain = np.empty(len(X), dtype=bool)
        n_at_once = _CACHED_ROWS if device.type == "cpu" else ENCODE_ROWS
        for start in range(0, len(X), n_at_once):
            rows = slice(start, start + n_at_once)
            with prediction_mode(device):
                encoded = module.encode(_as_tensor(X[rows]).to(device, dtype), tolerance)
            codes[rows], certain[rows] = encoded.codes.cpu().numpy(), encoded.certain.cpu().numpy()
        return codes, certain

    def _check_codes(self, X: ArrayLike) -> np.ndarray:
        return check_codes(X, self.codebook_sizes_, may_be_cut=True)


def _as_tensor(rows):
    """Return a tensor of `rows`, which must not be written to: of the same memory, where torch takes that."""
    rows = np.ascontiguousarray(rows)
    return torch.from_numpy(rows) if rows.flags.writeable else torch.tensor(rows)
