"""Independent clusterings of the embedding itself."""

from __future__ import annotations

from semid.base._typing import RandomState
from semid.nn._quantizers import ParallelQuantizer
from semid.tokenizers._annotations import CodebookSize, NCodebooks
from semid.tokenizers._kmeans import BaseKMeansTokenizer


class ParallelKMeansTokenizer(BaseKMeansTokenizer):
    """Codes side by side: independent k-means clusterings of the embeddings, by default from coarse to fine.

    No autoencoder and nothing to train. With codebooks of several granularities (``codebook_size="graded"``) these
    gave a click model the best codes of all that this project compared: a coarse code is learned from few clicks, a
    fine one tells items apart, and each is a good clustering of the items by itself.

    Parameters
    ----------
    n_codebooks : int, default 7
        Number of codes per item.
    codebook_size : int, list of int, or "graded", default "graded"
        Number of codes per codebook: ``"graded"`` for sizes from 16 to 1024 (see `graded_sizes`; on a small catalogue
        the largest is an eighth of the number of distinct items), one int for all, or one int per codebook. With equal
        sizes, the codebooks differ by the seed of their k-means.
    max_iter : int, default 25
        Number of Lloyd iterations per codebook at most; embeddings of 128 and more features are clustered in their 64
        leading components before, for as many.
    {kmeans}

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), float32
        Cluster centers in the units of the embeddings. An item's reconstruction is the mean of its centers.
    {sizes}
    history_ : dict of ndarray of shape (n_iterations, n_codebooks)
        Per Lloyd iteration and clustering: ``reconstruction_loss`` (mean squared error of standardised embeddings),
        ``r2``, and ``usage``, the share of codes in use. Codebooks that stopped early repeat their last value.
    n_iter_ : int
        Number of iterations of the codebook that took most.
    {state}

    Notes
    -----
    Letters: n items of F features, N codebooks of K codes, I Lloyd iterations.
    Cost: O(I n N K F) time to fit, O(n N K F) to encode; O(n F) memory, of the embeddings no more than 512 MB: of
    more, k-means sees a sample. Distances to all code vectors, one matrix product, bound it.
    {no going on}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import ParallelKMeansTokenizer
    >>> items = make_items(n_items=2000, random_state=0)
    >>> tokenizer = ParallelKMeansTokenizer(n_codebooks=5, random_state=0).fit(items.embeddings)
    >>> tokenizer.codebook_sizes_
    [16, 32, 63, 126, 250]
    >>> ParallelKMeansTokenizer(n_codebooks=2, codebook_size=[8, 64]).fit(items.embeddings).codebook_sizes_
    [8, 64]
    """

    def __init__(
        self,
        n_codebooks: NCodebooks = 7,
        codebook_size: CodebookSize = "graded",
        *,
        max_iter: int = 25,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _build_quantizer(self, dim):
        return ParallelQuantizer(self.codebook_sizes_, dim)

    def _in_documented_units(self, vectors):
        return [self.state_["mean"] + self.state_["scale"] * v for v in vectors]
