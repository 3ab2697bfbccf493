"""Codes without content: the baseline that must lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike

from semid.base._typing import RandomState
from semid.nn._autoencoder import QuantizedAutoencoder
from semid.nn._quantizers import ParallelQuantizer
from semid.tables._rows import mix_bits, row_hashes
from semid.tokenizers._base import BaseTokenizer

_BLOCK = 8_192  # rows whose embeddings are read at once


class RandomTokenizer(BaseTokenizer):
    """Uniformly random codes per item: a control that says what codes are worth apart from their content.

    The codes are a hash of the embedding and the seed: an item gets the same ones in every call, also an item that was
    not there in `fit`, and items of equal embeddings share them. Whatever a click model gains from these codes, it
    gains from having more parameters.

    Parameters
    ----------
    n_codebooks : int, default 7
        Number of codes per item.
    {codebook_size}
    device : str, default "auto"
        Where `inverse_transform` computes; ``"auto"`` is CUDA where there is one, else the CPU.
    random_state : int, RandomState instance or None, default None
        Seed of the codes.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), float32
        Mean embedding of the items that have each code. The reconstruction of an item is the mean of its rows.
    {sizes}
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    seed_ : int
        The seed in use.
    state_ : dict of ndarray
        The fitted model by name.

    Notes
    -----
    Letters: n items of F features, N codebooks of K codes.
    Cost: O(n N F) time to fit, the means of each code's items; O(n (F + N)) to encode, a hash of each embedding, which
    reading it bounds. O(N K F) memory.
    Going on: nothing to go on with. The codes of new items are exactly those that a fit with them would give.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import RandomTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = RandomTokenizer(codebook_size=16, random_state=0).fit(items.embeddings)
    >>> tokenizer.score(items.embeddings) < 0.1
    True
    """

    _codes_are_nearest = False

    def __init__(
        self,
        n_codebooks: int = 7,
        codebook_size: int | Sequence[int] | Literal["graded"] = 256,
        *,
        device: str = "auto",
        random_state: RandomState | None = None,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.device = device
        self.random_state = random_state

    def align_to(self, X: ArrayLike, codes: ArrayLike, sample_weight: ArrayLike | None = None) -> NoReturn:
        """Raise TypeError: random codes are hashes, not places of code vectors, and cannot be relabelled.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Not read.
        codes : array-like of shape (n_items, n_codebooks)
            Not read.
        sample_weight : array-like of shape (n_items,), default None
            Not read.

        Raises
        ------
        TypeError
            Always.
        """
        self._relabel([])

    def _relabel(self, labels: list[np.ndarray]) -> NoReturn:
        raise TypeError(
            "RandomTokenizer cannot be aligned: its codes are hashes and not places of code vectors. "
            "Relabel an array of codes with align_codes(old, new)."
        )

    def _check_parameters(self):
        self._n_codebooks()

    def _build_module(self):
        return QuantizedAutoencoder(self.n_features_in_, ParallelQuantizer(self.codebook_sizes_, self.n_features_in_))

    def _learn(self, module, catalogue, generator):
        self.seed_ = generator.initial_seed()
        totals = [torch.zeros_like(codebook.prices) for codebook in module.quantizer.codebooks]
        for items in torch.arange(len(catalogue)).split(_BLOCK):
            rows = catalogue.X[catalogue.rows[items.numpy()]]
            codes = torch.from_numpy(self._random_codes(rows)).to(catalogue.device)
            x, weights = catalogue.batch(items.to(catalogue.device)), catalogue.weights[items]
            for codebook, total, code in zip(module.quantizer.codebooks, totals, codes.T, strict=True):
                total.index_add_(0, code, weights)
                codebook.code_vectors.data.index_add_(0, code, x * weights[:, None])
        for codebook, total in zip(module.quantizer.codebooks, totals, strict=True):
            codebook.code_vectors.data /= total.clamp(min=1e-30)[:, None]

    def _encode(self, X, device, dtype, tolerance):
        return self._random_codes(X), np.ones(len(X), dtype=bool)

    def _random_codes(self, X):
        hashes = row_hashes(X, self.seed_)
        columns = [
            mix_bits(hashes + np.array([n], dtype=np.uint64)) % np.uint64(size)
            for n, size in enumerate(self.codebook_sizes_)
        ]
        return np.stack(columns, axis=1).astype(np.int64)

    def _in_documented_units(self, vectors):
        return [self.state_["mean"] + self.state_["scale"] * v for v in vectors]
