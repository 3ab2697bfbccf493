"""Residual quantization in an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from semid.base._typing import RandomState, StrPath
from semid.nn._quantizers import ResidualQuantizer
from semid.tokenizers._annotations import (
    Assignment,
    CodebookSize,
    CommitmentWeight,
    LatentDim,
    LearningRate,
    Mixup,
    NCodebooks,
    SeparationWeight,
)
from semid.tokenizers._autoencoder import BaseAutoencoderTokenizer


class RQVAETokenizer(BaseAutoencoderTokenizer):
    """Codes from coarse to fine: each codebook quantizes what the codebooks before it left over.

    An encoder maps an embedding to a latent, a chain of codebooks approximates the latent by the sum of one code
    vector each, and a decoder maps the sum back (Lee et al., 2022, arXiv:2203.01941; for item IDs Rajput et al., 2023,
    TIGER, arXiv:2305.05065; equations from memory). The loss is the mean squared reconstruction error plus
    `commitment_weight` times the commitment loss, summed over the levels.

    Unlike the published recipes, training does not start from noise: encoder and decoder begin as a principal
    component analysis beside an MLP whose last layer is zero, and the codebooks as k-means of the whole catalogue,
    level by level, so that few epochs are enough. Directly after the start the loss may rise for a few epochs while
    the latent moves and the codebooks follow; that is normal.

    Parameters
    ----------
    n_codebooks : int, default 3
        Number of codes per item, the levels of the chain.
    {codebook_size}
    latent_dim : int, default 40
        Width of the latent and of the code vectors. A wider latent reconstructs better, a narrower one gives more
        items codes of their own.
    {hidden}
    codebook_update : {"ema", "gradient"}, default "ema"
        How code vectors learn: as exponential moving averages of what they quantize, or by the gradient of the
        codebook loss.
    {code_vectors}
    {terms}
    {training}

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, latent_dim), float32
        Code vectors of each level, in the latent space.
    {sizes}
    {history}

    See Also
    --------
    ResidualKMeansTokenizer : The same chain on the embedding itself, no autoencoder.
    MixtureOfCodesTokenizer : Codebooks side by side.

    Notes
    -----
    {cost}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import RQVAETokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = RQVAETokenizer(codebook_size=16, hidden_layer_sizes=(32,), max_iter=5, random_state=0)
    >>> codes = tokenizer.fit_transform(items.embeddings)
    >>> codes.shape, codes.dtype
    ((500, 3), dtype('int64'))
    >>> tokenizer.inverse_transform(codes).shape
    (500, 64)
    """

    _architecture_parameters = (*BaseAutoencoderTokenizer._architecture_parameters, "codebook_update")
    _removed_parameters: ClassVar = {
        name: text for name, text in BaseAutoencoderTokenizer._removed_parameters.items() if name != "codebook_update"
    }

    def __init__(
        self,
        n_codebooks: NCodebooks = 3,
        codebook_size: CodebookSize = 256,
        *,
        latent_dim: LatentDim = 40,
        hidden_layer_sizes: Sequence[int] = (512, 256, 128),
        codebook_update: Literal["ema", "gradient"] = "ema",
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
        self.codebook_update = codebook_update
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

    def _build_quantizer(self, dim):
        return ResidualQuantizer(self.codebook_sizes_, dim, **self._quantizer_options())
