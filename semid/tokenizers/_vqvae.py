"""Vector quantization in an autoencoder: one code per item."""

from collections.abc import Sequence
from typing import Literal

from semid.base._typing import RandomState, StrPath
from semid.nn._quantizers import ResidualQuantizer
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
    hidden_layer_sizes : sequence of int, default (512, 256, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.
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
        Weight of the commitment loss, which pulls the latent towards its code vector.
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
        Seed of the k-means start, the MLPs and the batches. An int makes codes the same in every run with as many
        threads, by which sums are rounded; on CUDA up to the rounding of its sums. See `distributed_fit`.
    verbose : bool, default False
        Show a progress bar with the loss, R² and codebook usage.

    Attributes
    ----------
    codebooks_ : list of one ndarray of shape (codebook_size, latent_dim), float32
        Code vectors, in the latent space.
    codebook_sizes_ : list of one int
        Number of codes after cutting to the number of distinct items.
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
        codebook_size: int | Sequence[int] | Literal["graded"] = 256,
        *,
        latent_dim: int = 40,
        hidden_layer_sizes: Sequence[int] = (512, 256, 128),
        codebook_update: Literal["ema", "gradient"] = "ema",
        gradient_estimator: Literal["straight_through", "rotation"] = "straight_through",
        assignment: Literal["nearest", "sinkhorn"] = "nearest",
        commitment_weight: float = 0.1,
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
        self.codebook_size = codebook_size
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.codebook_update = codebook_update
        self.gradient_estimator = gradient_estimator
        self.assignment = assignment
        self.commitment_weight = commitment_weight
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

    def _n_codebooks(self):
        return 1

    def _build_quantizer(self, dim):
        return ResidualQuantizer(self.codebook_sizes_, dim, **self._quantizer_options())
