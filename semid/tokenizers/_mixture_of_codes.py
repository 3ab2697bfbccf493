"""Parallel codebooks around one autoencoder."""

from collections.abc import Sequence
from typing import Literal

from semid.base._checks import check_integer, check_option
from semid.base._typing import RandomState, StrPath
from semid.nn._autoencoder import LinearPlusMLP, MeanOfDecoders
from semid.nn._quantizers import ParallelQuantizer
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
    codebook_size : int, list of int, or "graded", default 256
        Number of codes per codebook: one int for all, one int per codebook, or ``"graded"`` for sizes from coarse to
        fine (see `graded_sizes`).
    projection : {"linear", None}, default "linear"
        Whether each codebook sees the latent through a linear projection of its own.
    projection_dim : int or "auto", default "auto"
        Width of each projection and of the code vectors; read with ``projection="linear"`` only. ``"auto"`` shares
        the latent out: ``latent_dim / n_codebooks``, rounded up, and at least 4. The smaller it is, the more the
        codebooks differ from one another; the larger, the better a clustering of the items is each of them.
    latent_dim : int, default 28
        Width of the latent. A wider latent reconstructs better, a narrower one gives more items codes of their own.
    hidden_layer_sizes : sequence of int, default (512, 256, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.
    decoder : {"shared", "per_codebook"}, default "shared"
        One decoder of the mean code vector, or a decoder for each codebook, whose outputs are averaged.
    codebook_update : {"ema", "gradient"}, default "ema"
        How code vectors learn: as exponential moving averages of what they quantize, or by the gradient of the
        codebook loss.
    gradient_estimator : {"straight_through", "rotation"}, default "straight_through"
        How the gradient passes the codebooks: copied, or turned along with the vector (rotation trick,
        arXiv:2410.06424).
    assignment : {"nearest", "sinkhorn"}, default "nearest"
        ``"sinkhorn"`` balances the codes in training: a code that too many items come near gets a price that is added
        to its distance. Prices stay with the codebook, so that an item's codes never depend on its batch.
    commitment_weight : float, default 0.1
        Weight of the commitment loss, which pulls the projected latents towards their code vectors.
    diversity_weight : float, default 0.0
        Weight of the mean squared correlation between what different codebooks see, which keeps their projections
        apart.
    nested_dropout : float, default 0.0
        Share of the training steps in which the decoder sees the first k codes only, k drawn evenly (nested dropout,
        arXiv:1402.0915). Then the first k codes alone are useful: drop the last columns instead of refitting.
    separation_weight : float, default 0.0
        Weight of a term that pushes apart the latents of items that shared all codes in the last epoch. Between 1 and
        10, it trades reconstruction for codes of their own.
    alignment_weight : float, default 0.1
        Weight of the contrastive term with a second embedding; read where `fit` is given ``alignment``.
    output_codebooks : bool, default False
        Whether each code also adds a vector of its own to the decoder's output, fitted by ridge regression at the
        end. Reconstructs the fitted items better, items that were not there hardly.
    max_iter : int, default 30
        Number of epochs.
    batch_size : int, default 512
        Items per gradient step.
    learning_rate : float, default 0.001
        Of AdamW at the first step; falls to zero along a half cosine.
    mixup : float, default 0.3
        How far an embedding moves towards another random item's in training, as a share of the way at most (mixup,
        arXiv:1710.09412). Items that were not there in `fit` lie between those that were: more of it brings their
        reconstruction closer to that of the fitted items, which gets worse.
    early_stopping : bool, default False
        Whether to hold items out, stop when their reconstruction gets no better, and keep the best epoch.
    validation_fraction : float, default 0.1
        Share of the items held out; read with ``early_stopping=True`` only.
    n_iter_no_change : int, default 5
        Epochs without a better held-out reconstruction after which training stops; read with ``early_stopping=True``.
    warm_start : bool, default False
        Whether `fit` goes on from the fitted codebooks instead of starting anew.
    checkpoint_dir : str, path-like or None, default None
        Folder in which `fit` keeps its state after every epoch. Killed at any moment, the same call on the same data
        goes on after the last complete epoch and ends with the same codes; `random_state` must be an int. The file,
        about four times as large as the weights, is removed when the fit completes. One fit at a time: that of other
        parameters or data is refused as long as the file is there.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU. Decided at each call, not stored.
    random_state : int, RandomState instance or None, default None
        Seed of the k-means starts, the MLPs and the batches. An int makes codes the same in every run with as many
        threads, by which sums are rounded; on CUDA up to the rounding of its sums. See `distributed_fit`.
    verbose : bool, default False
        Show a progress bar with the loss, R² and mean codebook usage.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, projection_dim), float32
        Code vectors of each codebook in its projection, or in the latent space without projections.
    codebook_sizes_ : list of int
        Number of codes per codebook after cutting to the number of distinct items.
    history_ : dict of ndarray
        Per epoch: ``loss``, ``reconstruction_loss``, ``codebook_loss``, ``commitment_loss``, ``r2``, ``usage``,
        ``perplexity`` and, with ``early_stopping=True``, ``validation_r2``; see `RQVAETokenizer`, also for
        what `mixup` does to them.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    state_ : dict of ndarray
        The fitted weights by name.

    See Also
    --------
    ParallelKMeansTokenizer : Independent codebooks on the embedding itself, no autoencoder.
    RQVAETokenizer : Codebooks in a chain.

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

    _architecture_parameters = (
        *BaseAutoencoderTokenizer._architecture_parameters,
        "projection",
        "projection_dim",
        "decoder",
    )

    def __init__(
        self,
        n_codebooks: int = 7,
        codebook_size: int | Sequence[int] | Literal["graded"] = 256,
        *,
        projection: Literal["linear"] | None = "linear",
        projection_dim: int | Literal["auto"] = "auto",
        latent_dim: int = 28,
        hidden_layer_sizes: Sequence[int] = (512, 256, 128),
        decoder: Literal["shared", "per_codebook"] = "shared",
        codebook_update: Literal["ema", "gradient"] = "ema",
        gradient_estimator: Literal["straight_through", "rotation"] = "straight_through",
        assignment: Literal["nearest", "sinkhorn"] = "nearest",
        commitment_weight: float = 0.1,
        diversity_weight: float = 0.0,
        nested_dropout: float = 0.0,
        separation_weight: float = 0.0,
        alignment_weight: float = 0.1,
        output_codebooks: bool = False,
        max_iter: int = 30,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        mixup: float = 0.3,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint_dir: StrPath | None = None,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.projection = projection
        self.projection_dim = projection_dim
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.decoder = decoder
        self.codebook_update = codebook_update
        self.gradient_estimator = gradient_estimator
        self.assignment = assignment
        self.commitment_weight = commitment_weight
        self.diversity_weight = diversity_weight
        self.nested_dropout = nested_dropout
        self.separation_weight = separation_weight
        self.alignment_weight = alignment_weight
        self.output_codebooks = output_codebooks
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.mixup = mixup
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_option("projection", self.projection, ("linear", None))
        check_option("decoder", self.decoder, ("shared", "per_codebook"))
        if self.projection is not None and self.projection_dim != "auto":
            check_integer("projection_dim", self.projection_dim, 1)
            if self.projection_dim > self.latent_dim:
                raise ValueError(
                    f"projection_dim must be at most latent_dim={self.latent_dim}, got {self.projection_dim}."
                )

    def _projection_dim(self, latent_dim):
        if self._architecture["projection"] is None:
            return None
        if self._architecture["projection_dim"] == "auto":
            return min(latent_dim, max(4, -(-latent_dim // len(self.codebook_sizes_))))
        return self._architecture["projection_dim"]

    def _build_quantizer(self, dim):
        return ParallelQuantizer(
            self.codebook_sizes_,
            dim,
            projection_dim=self._projection_dim(dim),
            average=self._architecture["decoder"] == "shared",
            **self._quantizer_options(),
        )

    def _build_decoder(self, sizes):
        if self._architecture["decoder"] == "shared":
            return LinearPlusMLP(sizes)
        return MeanOfDecoders(LinearPlusMLP(sizes) for _ in self.codebook_sizes_)
