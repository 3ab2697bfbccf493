"""One code per item, copied: the baseline of the Mixture-of-Codes paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from semid.base._typing import RandomState, StrPath
from semid.nn._quantizers import CopiedCodeQuantizer
from semid.tokenizers._annotations import (
    Assignment,
    CommitmentWeight,
    LatentDim,
    LearningRate,
    Mixup,
    NCodebooks,
    OneCodebookSize,
    SeparationWeight,
)
from semid.tokenizers._autoencoder import BaseAutoencoderTokenizer


class MultiEmbeddingTokenizer(BaseAutoencoderTokenizer):
    """One VQ-VAE code per item, copied `n_codebooks` times, so that a click model learns as many embeddings for it.

    The baseline "Multi-Embedding" of Zhang et al., 2024, arXiv:2410.09560v1: scale without new information about the
    item. Same codes as `VQVAETokenizer` of the same parameters.

    Parameters
    ----------
    n_codebooks : int, default 7
        Number of copies.
    codebook_size : int, list of int, or "graded", default 256
        Number of codes. A list must repeat one size, since the code is one; ``"graded"`` is therefore refused for
        more than one copy.
    latent_dim : int, default 40
        Width of the latent and of the code vectors.
    {hidden}
    {code_vectors}
    {terms}
    {training}

    Attributes
    ----------
    codebooks_ : list of one ndarray of shape (codebook_size, latent_dim), float32
        Code vectors of the one codebook, in the latent space.
    codebook_sizes_ : list of int
        The number of codes, once per copy.
    {history}

    Notes
    -----
    {cost of one codebook}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import MultiEmbeddingTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = MultiEmbeddingTokenizer(
    ...     n_codebooks=3, codebook_size=16, hidden_layer_sizes=(32,), max_iter=5, random_state=0)
    >>> codes = tokenizer.fit_transform(items.embeddings)
    >>> bool((codes == codes[:, :1]).all())
    True
    """

    _codes_are_nearest = False

    def __init__(
        self,
        n_codebooks: NCodebooks = 7,
        codebook_size: OneCodebookSize = 256,
        *,
        latent_dim: LatentDim = 40,
        hidden_layer_sizes: Sequence[int] = (512, 256, 128),
        assignment: Assignment = "nearest",
        commitment_weight: CommitmentWeight = 0.1,
        separation_weight: SeparationWeight = 0.0,
        alignment_weight: float = 0.1,
        max_iter: int = 30,
        batch_size: int = 512,
        learning_rate: LearningRate = 1e-3,
        mixup: Mixup = 0.3,
        validation: float | None = None,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint_dir: StrPath | None = None,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.assignment = assignment
        self.commitment_weight = commitment_weight
        self.separation_weight = separation_weight
        self.alignment_weight = alignment_weight
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.mixup = mixup
        self.validation = validation
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Return the embeddings that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n_items, n_codebooks)
            Codes, as `transform` returns them: one code, in every column.

        Returns
        -------
        embeddings : ndarray of shape (n_items, n_features), float32

        Raises
        ------
        NotFittedError
            If the tokenizer is not fitted.
        ValueError
            If the columns differ, or hold other numbers than codes.
        """
        check_is_fitted(self)
        codes = self._check_codes(X)
        if (codes != codes[:, :1]).any():
            raise ValueError("codes must repeat one code in every column, as transform returns them.")
        return super().inverse_transform(codes)

    def _codebook_sizes_for(self, n_distinct):
        sizes = super()._codebook_sizes_for(n_distinct)
        if len(set(sizes)) > 1:
            raise ValueError(
                f"codebook_size must be one number, since one code is copied, got {sizes}. "
                "Use ParallelKMeansTokenizer for codebooks of different sizes."
            )
        return sizes

    def _build_quantizer(self, dim):
        return CopiedCodeQuantizer(self.codebook_sizes_[0], len(self.codebook_sizes_), dim, **self._quantizer_options())
