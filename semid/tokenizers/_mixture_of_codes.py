"""Parallel codebooks around one autoencoder."""

from semid._checks import check_integer, check_option
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
    codebook_update : {"ema", "gradient"}, default "ema"
        How code vectors learn: as exponential moving averages of what they quantize, or by the gradient of the
        codebook loss.
    commitment_weight : float, default 0.1
        Weight of the commitment loss, which pulls the projected latents towards their code vectors.
    max_iter : int, default 30
        Number of epochs.
    batch_size : int, default 512
        Items per gradient step.
    learning_rate : float, default 0.001
        Of AdamW at the first step; falls to zero along a half cosine.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU. Decided at each call, not stored.
    random_state : int, RandomState instance or None, default None
        Seed of the k-means starts, the MLPs and the batches. An int makes codes the same in every
        run, on CUDA up to the rounding of its sums.
    verbose : bool, default False
        Show a progress bar with the loss, R² and mean codebook usage.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, projection_dim), float32
        Code vectors of each codebook in its projection, or in the latent space without projections.
    codebook_sizes_ : list of int
        Number of codes per codebook after cutting to the number of distinct items.
    history_ : dict of ndarray
        Per epoch: ``loss``, ``reconstruction_loss``, ``codebook_loss``, ``commitment_loss``, ``r2``, ``usage``; see
        `RQVAETokenizer`.
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

    def __init__(
        self,
        n_codebooks=7,
        codebook_size=256,
        *,
        projection="linear",
        projection_dim="auto",
        latent_dim=28,
        hidden_layer_sizes=(512, 256, 128),
        codebook_update="ema",
        commitment_weight=0.1,
        max_iter=30,
        batch_size=512,
        learning_rate=1e-3,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.projection = projection
        self.projection_dim = projection_dim
        self.latent_dim = latent_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.codebook_update = codebook_update
        self.commitment_weight = commitment_weight
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    _architecture_parameters = (*BaseAutoencoderTokenizer._architecture_parameters, "projection", "projection_dim")

    def _check_parameters(self):
        super()._check_parameters()
        check_option("projection", self.projection, ("linear", None))
        if self.projection_dim != "auto":
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
        projection_dim = self._projection_dim(dim)
        learnable = self._learns_codebooks_by_gradient()
        return ParallelQuantizer(self.codebook_sizes_, dim, projection_dim=projection_dim, learnable=learnable)
