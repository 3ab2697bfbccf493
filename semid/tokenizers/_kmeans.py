"""What the k-means tokenizers share: codebooks on the embedding itself, no autoencoder."""

import numpy as np
import torch
from tqdm.auto import tqdm

from semid.base._checks import check_integer
from semid.engine._catalogue import ROWS_PER_CODE
from semid.nn._autoencoder import QuantizedAutoencoder
from semid.tokenizers._base import BaseTokenizer


class BaseKMeansTokenizer(BaseTokenizer):
    """A tokenizer whose quantizer is fitted by k-means alone; a subclass gives ``_build_quantizer(dim)``."""

    def _check_parameters(self):
        self._n_codebooks()
        check_integer("max_iter", self.max_iter, 1)

    def _build_module(self):
        return QuantizedAutoencoder(self.n_features_in_, self._build_quantizer(self.n_features_in_))

    def _learn(self, module, catalogue, generator):
        x, weights = catalogue.sample(generator, n_at_least=ROWS_PER_CODE * max(self.codebook_sizes_))
        variance = float((torch.linalg.vector_norm(x, dim=1).double().square() * weights.double()).sum())
        with tqdm(desc="k-means", unit=" iterations", disable=not self.verbose) as progress:

            def show(inertia, usage):
                progress.update()
                progress.set_postfix(r2=f"{r2_of(inertia, variance):.3f}", usage=f"{usage:.0%}")

            clusterings = self._initialize(module.quantizer, x, weights, generator, show)
        self.n_iter_ = max(len(clustering.inertias) for clustering in clusterings)
        inertias = _per_iteration([clustering.inertias for clustering in clusterings])
        self.history_ = {
            "reconstruction_loss": inertias / (float(weights.sum()) * x.shape[1]),
            "r2": r2_of(inertias, variance),
            "usage": _per_iteration([clustering.usages for clustering in clusterings]),
        }

    def _initialize(self, quantizer, x, weights, generator, show):
        return quantizer.initialize(x, weights, generator, self.max_iter, show)


def r2_of(inertia, variance):
    return 1 - inertia / variance if variance > 0 else np.ones_like(inertia)


def _per_iteration(columns):
    """Stack lists of unequal length as columns; a codebook that stopped early repeats its last value."""
    n_iter = max(map(len, columns))
    return np.stack([np.pad(column, (0, n_iter - len(column)), mode="edge") for column in columns], axis=1)
