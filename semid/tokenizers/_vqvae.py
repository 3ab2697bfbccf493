"""Vector quantization in an autoencoder: one code per item."""

from __future__ import annotations

from collections.abc import Sequence

from semid.base._typing import RandomState, StrPath
from semid.nn._quantizers import ResidualQuantizer
from semid.tokenizers._annotations import (
    Assignment,
    CommitmentWeight,
    LatentDim,
    LearningRate,
    Mixup,
    OneCodebookSize,
    SeparationWeight,
)
from semid.tokenizers._autoencoder import BaseAutoencoderTokenizer


class VQVAETokenizer(BaseAutoencoderTokenizer):
    """One code per item: the nearest code vector to the latent of an autoencoder.

    van den Oord et al., 2017, arXiv:1711.00937v2 (equation 3, from memory), with the start and the training of
    `RQVAETokenizer`, whose case of a single codebook this is.

    Parameters
    ----------
    codebook_size : int, list of one int, or "graded", default 256
        Number of codes.
    latent_dim : int, default 40
        Width of the latent and of the code vectors.
    {hidden}
    {code_vectors}
    {terms}
    {training}

    Attributes
    ----------
    codebooks_ : list of one ndarray of shape (codebook_size, latent_dim), float32
        Code vectors, in the latent space.
    codebook_sizes_ : list of one int
        Number of codes after cutting to the number of distinct items.
    {history}

    Notes
    -----
    {cost of one codebook}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import VQVAETokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = VQVAETokenizer(codebook_size=16, hidden_layer_sizes=(32,), max_iter=5, random_state=0)
    >>> tokenizer.fit_transform(items.embeddings).shape
    (500, 1)
    """

    def __init__(
        self,
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

    def _n_codebooks(self):
        return 1

    def _build_quantizer(self, dim):
        return ResidualQuantizer(self.codebook_sizes_, dim, **self._quantizer_options())
