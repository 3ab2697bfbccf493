"""Product quantization of the embedding itself."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from semid.base._checks import check_option, warn
from semid.base._search_space import Options
from semid.base._typing import RandomState
from semid.nn._product_quantizer import ProductQuantizer, block_widths
from semid.tokenizers._annotations import CodebookSize, NCodebooks
from semid.tokenizers._kmeans import BaseKMeansTokenizer


class ProductQuantizationTokenizer(BaseKMeansTokenizer):
    """Codes side by side, each of a block of coordinates of its own, after a rotation that suits the blocks.

    Product quantization (PQ; Jégou, Douze & Schmid, 2011, "Product quantization for nearest neighbor search") with the
    rotation of optimized product quantization (OPQ; Ge, He, Ke & Sun, 2013, "Optimized product quantization for
    approximate nearest neighbor search"; both from memory). No autoencoder. The codebooks tell of different, nearly
    uncorrelated directions of the embedding, where those of `ParallelKMeansTokenizer` all tell of all of it.

    Parameters
    ----------
    n_codebooks : int, default 4
        Number of codes per item, the number of blocks. It need not divide the width of the embeddings: the first blocks
        then are wider by one, as in `numpy.array_split`.
    {codebook_size}
    rotation : {"opq", "pca_balanced", None}, default "opq"
        What is cut into blocks: the coordinates of ``"opq"``, codebooks and rotation fitted in turn; principal
        components, dealt out so that the blocks carry the same amount of information (``"pca_balanced"``, a fraction of
        the time, less is kept); or the embedding as it is (None, the original PQ).
    max_iter : int, default 25
        Number of Lloyd iterations per codebook at most, and for ``"opq"`` number of rounds of codebooks and rotation.
    {kmeans}

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, width of the block), float32
        Code vectors in the units of the embeddings. An item's reconstruction is its code vectors one after the other,
        times ``rotation_.T``.
    rotation_ : ndarray of shape (n_features, n_features), float32
        Orthogonal; the blocks are cut from ``X @ rotation_``. The identity where `rotation` is None.
    codebook_sizes_ : list of int
        Number of codes per codebook after cutting to the number of distinct items. Where there are more codebooks than
        features, the last ones have nothing to tell apart and one code.
    history_ : dict of ndarray of shape (n_iterations, n_codebooks)
        Per Lloyd iteration: ``reconstruction_loss`` (mean squared error of standardised embeddings) and ``r2`` of the
        blocks up to each, and ``usage``, the share of codes in use. Codebooks that stopped early repeat their last
        value. The rounds of ``"opq"`` come before and are not counted.
    n_iter_ : int
        Number of iterations of the codebook that took most.
    {state}

    See Also
    --------
    ResidualKMeansTokenizer : Codebooks in a row, which keep more and tell of coarse before fine.

    Notes
    -----
    Letters: n items of F features, N codebooks of K codes, I Lloyd iterations or rounds.
    Cost: O(I n K F) time to fit, each codebook seeing F / N features, and O(n F (K + F)) to encode; ``"opq"`` adds
    O(I (n F² + F³)) for its rotations, which bound it for wide embeddings. O(n F + F²) memory, of the embeddings no
    more than 512 MB.
    {no going on}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import ProductQuantizationTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = ProductQuantizationTokenizer(n_codebooks=3, codebook_size=16, random_state=0)
    >>> codes = tokenizer.fit_transform(items.embeddings)
    >>> codes.shape
    (500, 3)
    >>> [codebook.shape for codebook in tokenizer.codebooks_]
    [(16, 22), (16, 21), (16, 21)]
    """

    _architecture_parameters = ("rotation",)

    def __init__(
        self,
        n_codebooks: NCodebooks = 4,
        codebook_size: CodebookSize = 256,
        *,
        rotation: Annotated[Literal["opq", "pca_balanced"] | None, Options(("opq", "pca_balanced"))] = "opq",
        max_iter: int = 25,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.rotation = rotation
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @property
    def rotation_(self) -> np.ndarray:
        """Coordinates that the blocks are cut from, one per column: ndarray of shape (n_features, n_features)."""
        check_is_fitted(self)
        return self.state_.get("quantizer.rotation", np.eye(self.n_features_in_, dtype=np.float32))

    def _check_parameters(self):
        super()._check_parameters()
        check_option("rotation", self.rotation, ("opq", "pca_balanced", None))

    def _codebook_sizes_for(self, n_distinct):
        sizes = super()._codebook_sizes_for(n_distinct)
        widths = block_widths(self.n_features_in_, len(sizes))
        if min(widths) == 0:
            warn(
                f"n_codebooks={len(sizes)} is more than the {self.n_features_in_} features to share; the last "
                f"{widths.count(0)} codes are 0 for every item. Pass n_codebooks={self.n_features_in_} or fewer."
            )
        return [size if width else 1 for size, width in zip(sizes, widths, strict=True)]

    def _build_quantizer(self, dim):
        return ProductQuantizer(self.codebook_sizes_, dim, rotation=self._architecture["rotation"])

    def _in_documented_units(self, vectors):
        means = np.split(self.state_["mean"] @ self.rotation_, np.cumsum([v.shape[1] for v in vectors])[:-1])
        return [mean + self.state_["scale"] * v for mean, v in zip(means, vectors, strict=True)]
