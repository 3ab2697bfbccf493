"""Residual quantization of the embedding itself."""

from semid.nn._quantizers import ResidualQuantizer
from semid.tokenizers._kmeans import BaseKMeansTokenizer


class ResidualKMeansTokenizer(BaseKMeansTokenizer):
    """Codes from coarse to fine by k-means of the embeddings, then of what is left over, and so on.

    Residual vector quantization (Chen, Guan & Wang, 2010, "Approximate nearest neighbor search by residual vector
    quantization", from memory); no autoencoder, nothing to tune, seconds on a small catalogue.

    Parameters
    ----------
    n_codebooks : int, default 3
        Number of codes per item, the levels of the chain.
    codebook_size : int, list of int, or "graded", default 256
        Number of codes per codebook: one int for all, one int per codebook, or ``"graded"`` for sizes from coarse to
        fine (see `graded_sizes`).
    max_iter : int, default 25
        Number of Lloyd iterations per codebook at most.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU. Decided at each call, not stored.
    random_state : int, RandomState instance or None, default None
        Seed of the k-means starts. An int makes codes the same in every
        run, on CUDA up to the rounding of its sums.
    verbose : bool, default False
        Show a progress bar with R² and codebook usage.

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), float32
        Code vectors in the units of the embeddings. Those of the first level carry the mean, so that an item's
        reconstruction is the sum of its code vectors.
    codebook_sizes_ : list of int
        Number of codes per codebook after cutting to the number of distinct items.
    history_ : dict of ndarray of shape (n_iter_, n_codebooks)
        Per Lloyd iteration: ``reconstruction_loss`` (mean squared error of standardised embeddings), ``r2`` after each
        level, and ``usage``, the share of codes in use. Codebooks that stopped early repeat their last value.
    n_iter_ : int
        Number of iterations of the codebook that took most.
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    state_ : dict of ndarray
        The fitted model by name.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=[32, 16, 8], random_state=0).fit(items.embeddings)
    >>> tokenizer.transform(items.embeddings[:4]).shape
    (4, 3)
    """

    def __init__(
        self,
        n_codebooks=3,
        codebook_size=256,
        *,
        max_iter=25,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build_quantizer(self, dim):
        return ResidualQuantizer(self.codebook_sizes_, dim)

    def _in_documented_units(self, vectors):
        mean, scale = self.state_["mean"], self.state_["scale"]
        first, *rest = [scale * v for v in vectors]
        return [mean + first, *rest]
