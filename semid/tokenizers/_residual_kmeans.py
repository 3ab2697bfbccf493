"""Residual quantization of the embedding itself."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from tqdm.auto import tqdm

from semid.base._checks import check_integer
from semid.base._search_space import Options
from semid.base._typing import RandomState
from semid.engine._catalogue import ENCODE_ROWS, ROWS_PER_CODE
from semid.nn._additive import least_squares_code_vectors, refine
from semid.nn._quantizers import ResidualQuantizer
from semid.tokenizers._annotations import CodebookSize, NCodebooks
from semid.tokenizers._kmeans import BaseKMeansTokenizer, r2_of


class ResidualKMeansTokenizer(BaseKMeansTokenizer):
    """Codes from coarse to fine by k-means of the embeddings, then of what is left over, and so on.

    Residual vector quantization (Chen, Guan & Wang, 2010, "Approximate nearest neighbor search by residual vector
    quantization", from memory); no autoencoder, nothing to tune, seconds on a small catalogue.

    Parameters
    ----------
    n_codebooks : int, default 3
        Number of codes per item, the levels of the chain.
    {codebook_size}
    beam_size : int, default 1
        How many beginnings of an item's codes are kept at each level. 1 takes the nearest code vector level by level;
        more look further ahead: better reconstruction, slower encoding.
    n_refinements : int, default 0
        Rounds of joint refinement after the k-means: codebooks by least squares, codes by local search, as in local
        search quantization (Martinez et al., 2018, "LSQ++: lower running time and higher recall in multi-codebook
        quantization", from memory). Much better reconstruction at the same size, for about half a second per round on
        12,000 items; needs a `beam_size` of 8 or more to find in `transform` what it found in `fit`.
    max_iter : int, default 7
        Number of Lloyd iterations per codebook at most; embeddings of 128 and more features are clustered in their 64
        leading components before, for as many.
    {kmeans}

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, n_features), float32
        Code vectors in the units of the embeddings. Those of the first level carry the mean, so that an item's
        reconstruction is the sum of its code vectors.
    {sizes}
    history_ : dict of ndarray of shape (n_iterations, n_codebooks)
        Per Lloyd iteration: ``reconstruction_loss`` (mean squared error of standardised embeddings), ``r2`` after each
        level, and ``usage``, the share of codes in use. Codebooks that stopped early repeat their last value. With
        `n_refinements`, also ``refinement_r2`` (n_refinements,).
    n_iter_ : int
        Number of iterations of the codebook that took most.
    {state}

    Notes
    -----
    Letters: n items of F features, N codebooks of K codes, I Lloyd iterations.
    Cost: O(I n N K F) time to fit, O(n N K F) to encode; O(n F) memory, of the embeddings no more than 512 MB: of
    more, k-means sees a sample. Distances to all code vectors, one matrix product, bound it.
    A beam multiplies the time to encode by its size; a round of refinement takes O(n N K (F + N)) and solves for all
    code vectors at once, O((N K)³).
    {no going on}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=[32, 16, 8], random_state=0).fit(items.embeddings)
    >>> tokenizer.transform(items.embeddings[:4]).shape
    (4, 3)
    """

    _architecture_parameters = ("beam_size",)

    def __init__(
        self,
        n_codebooks: NCodebooks = 3,
        codebook_size: CodebookSize = 256,
        *,
        beam_size: Annotated[int, Options((1, 4, 16))] = 1,
        n_refinements: int = 0,
        max_iter: int = 7,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.beam_size = beam_size
        self.n_refinements = n_refinements
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_integer("beam_size", self.beam_size, 1)
        check_integer("n_refinements", self.n_refinements, 0)

    def _build_quantizer(self, dim):
        return ResidualQuantizer(self.codebook_sizes_, dim, beam_size=self._architecture["beam_size"])

    def _learn(self, module, catalogue, generator):
        super()._learn(module, catalogue, generator)
        if self.n_refinements:
            x, weights = catalogue.sample(generator, n_at_least=ROWS_PER_CODE * max(self.codebook_sizes_))
            self.history_["refinement_r2"] = self._refine(module.quantizer, x, weights, generator)

    def _initialize(self, quantizer, x, weights, generator, show):
        # The largest array of a fit, which only a refinement reads again.
        overwrite = not self.n_refinements
        return quantizer.initialize(x, weights, generator, self.max_iter, show, overwrite=overwrite)

    @torch.no_grad()
    def _refine(self, quantizer, x, weights, generator):
        variance = float((x.square().sum(1) * weights).sum())
        r2 = []
        with tqdm(total=self.n_refinements, desc="refinement", disable=not self.verbose) as progress:

            def show(codebooks, codes):
                rest = x - sum(codebook[code] for codebook, code in zip(codebooks, codes.T, strict=True))
                r2.append(r2_of(float((rest.square().sum(1) * weights).sum()), variance))
                progress.update()
                progress.set_postfix(r2=f"{r2[-1]:.3f}")

            codebooks = [codebook.code_vectors.data for codebook in quantizer.codebooks]
            codebooks, _ = refine(x, weights, codebooks, _encode(quantizer, x), self.n_refinements, generator, show)
        quantizer.set_code_vectors(codebooks)
        # Once more, for the codes that `transform` will find.
        quantizer.set_code_vectors(least_squares_code_vectors(x, weights, _encode(quantizer, x), codebooks))
        return np.array(r2)

    def _in_documented_units(self, vectors):
        mean, scale = self.state_["mean"], self.state_["scale"]
        first, *rest = [scale * v for v in vectors]
        return [mean + first, *rest]


def _encode(quantizer, x):
    return torch.cat([quantizer.encode(rows, tolerance=0.0).codes for rows in x.split(ENCODE_ROWS)])
