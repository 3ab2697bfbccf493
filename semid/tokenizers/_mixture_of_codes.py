"""Parallel codebooks around one autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from semid.base._checks import check_integer
from semid.base._search_space import Options
from semid.base._typing import RandomState, StrPath
from semid.nn._autoencoder import LinearPlusMLP, MeanOfDecoders
from semid.nn._quantizers import ParallelQuantizer
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


class MixtureOfCodesTokenizer(BaseAutoencoderTokenizer):
    """Codes side by side: independent codebooks quantize the latent of one shared autoencoder.

    The indexing stage of Mixture-of-Codes (Zhang, Pan, Wang, et al., 2024, arXiv:2410.09560v1): a shared encoder, N
    parallel codebooks, the mean of their code vectors, a shared decoder. In a click model, each code gets an embedding
    table of its own and a fusion module mixes them (``DeepFMClassifier(fusion="gate")``).

    The projections are a choice of this library where the paper's text is not known in full: each codebook quantizes
    a small linear projection of its own of the latent, and projects its code vectors back before the mean. The
    projections start as disjoint sets of principal components, dealt out in turn. Without projections all codebooks
    see the same vectors and become near-copies of one another. Start and training otherwise as in `RQVAETokenizer`.

    Parameters
    ----------
    n_codebooks : int, default 7
        Number of codes per item.
    {codebook_size}
    projection_dim : int, "auto" or None, default "auto"
        Width of the linear projection of the latent that each codebook sees, and of its code vectors. ``"auto"``
        shares the latent out: ``latent_dim / n_codebooks``, rounded up, and at least 4. The smaller it is, the more
        the codebooks differ from one another; the larger, the better a clustering of the items is each of them. None
        for no projections: each codebook sees the whole latent.
    latent_dim : int, default 28
        Width of the latent. A wider latent reconstructs better, a narrower one gives more items codes of their own.
    {hidden}
    {code_vectors}
    {terms}
    {training}

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, projection_dim), float32
        Code vectors of each codebook in its projection, or in the latent space without projections.
    {sizes}
    {history}

    See Also
    --------
    ParallelKMeansTokenizer : Independent codebooks on the embedding itself, no autoencoder.
    RQVAETokenizer : Codebooks in a chain.

    Notes
    -----
    {cost}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.metrics import collision_rate
    >>> from semid.tokenizers import MixtureOfCodesTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = MixtureOfCodesTokenizer(codebook_size=16, hidden_layer_sizes=(32,), max_iter=5, random_state=0)
    >>> codes = tokenizer.fit_transform(items.embeddings)
    >>> codes.shape
    (500, 7)
    >>> collision_rate(codes) < 0.1
    True
    """

    _architecture_parameters = (*BaseAutoencoderTokenizer._architecture_parameters, "projection_dim")
    _former_architecture = (*BaseAutoencoderTokenizer._former_architecture, "decoder")
    _removed_parameters: ClassVar = {
        **BaseAutoencoderTokenizer._removed_parameters,
        "projection": "Use projection_dim=None in the place of projection=None; leave projection='linear' out.",
        "decoder": "One decoder of the mean code vector is all there is: leave it out.",
        "diversity_weight": "Codebooks are kept apart by projections of their own: leave it out.",
        "nested_dropout": "Fit with fewer codebooks, or use RQVAETokenizer, whose first codes are useful alone.",
    }

    def __init__(
        self,
        n_codebooks: NCodebooks = 7,
        codebook_size: CodebookSize = 256,
        *,
        projection_dim: Annotated[int | Literal["auto"] | None, Options(("auto", 8, 16, None))] = "auto",
        latent_dim: LatentDim = 28,
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
        self.projection_dim = projection_dim
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

    def _check_parameters(self):
        super()._check_parameters()
        if self.projection_dim not in (None, "auto"):
            check_integer("projection_dim", self.projection_dim, 1)
            if self.projection_dim > self.latent_dim:
                raise ValueError(
                    f"projection_dim must be at most latent_dim={self.latent_dim}, got {self.projection_dim}."
                )

    def _projection_dim(self, latent_dim):
        if self._architecture["projection_dim"] == "auto":
            return min(latent_dim, max(4, -(-latent_dim // len(self.codebook_sizes_))))
        return self._architecture["projection_dim"]

    @property
    def _has_decoder_per_codebook(self):
        return self._architecture.get("decoder") == "per_codebook"  # of version 0.1.0

    def _build_quantizer(self, dim):
        return ParallelQuantizer(
            self.codebook_sizes_,
            dim,
            projection_dim=self._projection_dim(dim),
            average=not self._has_decoder_per_codebook,
            **self._quantizer_options(),
        )

    def _build_decoder(self, sizes):
        if self._has_decoder_per_codebook:
            return MeanOfDecoders(LinearPlusMLP(sizes) for _ in self.codebook_sizes_)
        return super()._build_decoder(sizes)

    @classmethod
    def _in_place_of_removed(cls, former):
        return super()._in_place_of_removed(former) | _projection_of_today(former)

    @classmethod
    def _architecture_of_today(cls, former):
        return super()._architecture_of_today(former) | _projection_of_today(former)


def _projection_of_today(former):
    return {"projection_dim": None} if former.get("projection", "linear") is None else {}
