"""Residual quantization in an autoencoder."""

from semid.nn._quantizers import ResidualQuantizer
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
    codebook_size : int, list of int, or "graded", default 256
        Number of codes per codebook: one int for all, one int per codebook, or ``"graded"`` for sizes from coarse to
        fine (see `graded_sizes`).
    latent_dim : int, default 40
        Width of the latent and of the code vectors. A wider latent reconstructs better, a narrower one gives more
        items codes of their own.
    hidden_layer_sizes : sequence of int, default (512, 256, 128)
        Widths of the encoder's hidden layers; the decoder mirrors them.
    codebook_update : {"ema", "gradient"}, default "ema"
        How code vectors learn: as exponential moving averages of what they quantize, or by the gradient of the
        codebook loss.
    commitment_weight : float, default 0.1
        Weight of the commitment loss, which pulls the latent towards its code vectors.
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
    codebooks_ : list of ndarray of shape (codebook_size, latent_dim), float32
        Code vectors of each level, in the latent space.
    codebook_sizes_ : list of int
        Number of codes per codebook after cutting to the number of distinct items.
    history_ : dict of ndarray
        Per epoch: ``loss``, ``reconstruction_loss``, ``codebook_loss`` and ``commitment_loss`` (of standardised
        embeddings, means over items), ``r2`` (as met in training), and ``usage`` (n_epochs, n_codebooks), the share of
        codes met.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    state_ : dict of ndarray
        The fitted weights by name.

    See Also
    --------
    ResidualKMeansTokenizer : The same chain on the embedding itself, no autoencoder.
    MixtureOfCodesTokenizer : Codebooks side by side.

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

    def __init__(
        self,
        n_codebooks=3,
        codebook_size=256,
        *,
        latent_dim=40,
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

    def _build_quantizer(self, dim):
        return ResidualQuantizer(self.codebook_sizes_, dim, learnable=self._learns_codebooks_by_gradient())
