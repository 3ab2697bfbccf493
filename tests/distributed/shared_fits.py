"""A program for torchrun: fits tokenizers on all ranks, and writes what each rank has.

torchrun --nproc-per-node=2 shared_fits.py folder
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from semid.datasets import make_items
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    VQVAETokenizer,
    distributed_fit,
)

_SMALL = {"codebook_size": 16, "hidden_layer_sizes": (32,), "latent_dim": 8, "max_iter": 8, "batch_size": 100}
X = make_items(n_items=901, n_features=24, random_state=0).embeddings
ALIGNMENT = np.random.default_rng(0).standard_normal((len(X), 5))
ALIGNMENT[::7] = np.nan


def fits():
    """Yield the name of each case and its tokenizer, fitted."""
    yield "RQ-VAE", RQVAETokenizer(**_SMALL, random_state=0).fit(X)
    separated = RQVAETokenizer(
        **_SMALL, random_state=0, separation_weight=0.5, assignment="sinkhorn", mixup=0.2, validation=0.1
    )
    yield "RQ-VAE, balanced, separated, mixed, stopped early", separated.fit(X)
    by_gradient = RQVAETokenizer(**_SMALL, random_state=0, codebook_update="gradient")
    yield "RQ-VAE by gradient", by_gradient.fit(X)
    yield "Mixture-of-Codes, aligned", MixtureOfCodesTokenizer(**_SMALL, random_state=0).fit(X, alignment=ALIGNMENT)
    whole = MixtureOfCodesTokenizer(**_SMALL, random_state=0, projection_dim=None)
    yield "Mixture-of-Codes, no projections, weighted", whole.fit(X, sample_weight=np.arange(len(X)) % 3)
    yield "VQ-VAE, seeds drawn", VQVAETokenizer(**_SMALL).fit(X)
    yield "FSQ, twice", FSQTokenizer(max_iter=2, random_state=0).fit(X).partial_fit(X)
    yield "unique", UniqueTokenizer(RQVAETokenizer(**_SMALL, random_state=0)).fit(X)
    yield "pipeline", make_pipeline(PCA(12, random_state=0), RQVAETokenizer(**_SMALL, random_state=0)).fit(X)


def main(folder, n_shares=None):
    torch.set_num_threads(1)
    with distributed_fit(n_shares and int(n_shares)) as ranks:
        codes = {name: tokenizer.transform(X) for name, tokenizer in fits()}
    np.savez(Path(folder) / f"{ranks.size}_{ranks.n_shares}_{ranks.rank}.npz", **codes)


if __name__ == "__main__":
    main(*sys.argv[1:])
