"""Quality and speed of every tokenizer at its defaults on one catalogue, as a markdown table.

    python benchmarks/tokenizers.py embeddings.npy --n-codebooks 7

Columns: R² of the reconstruction, share of items with codes of their own, mean NMI between codebooks, lowest usage and
perplexity of a codebook, seconds to fit, and items encoded per second.
"""

import argparse
import time

import numpy as np

from semid.metrics import codebook_perplexity, codebook_redundancy, codebook_usage, collision_rate
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    ParallelKMeansTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    VQVAETokenizer,
)


def contenders(n_codebooks):
    several = {"n_codebooks": n_codebooks, "random_state": 0}
    return {
        "VQ-VAE": VQVAETokenizer(random_state=0),
        "RQ-VAE": RQVAETokenizer(**several),
        "Mixture-of-Codes": MixtureOfCodesTokenizer(**several),
        "Mixture-of-Codes, no projection": MixtureOfCodesTokenizer(projection=None, **several),
        "Mixture-of-Codes, graded sizes": MixtureOfCodesTokenizer(codebook_size="graded", **several),
        "parallel k-means, graded sizes": ParallelKMeansTokenizer(**several),
        "parallel k-means, 256 each": ParallelKMeansTokenizer(codebook_size=256, **several),
        "residual k-means": ResidualKMeansTokenizer(**several),
        "random": RandomTokenizer(**several),
    }


def measure(tokenizer, X):
    start = time.perf_counter()
    tokenizer.fit(X)
    fitted = time.perf_counter()
    codes = tokenizer.transform(X)
    encoded = time.perf_counter()
    return {
        "R²": f"{tokenizer.score(X):.3f}",
        "unique share": f"{1 - collision_rate(codes):.3f}",
        "NMI": f"{codebook_redundancy(codes):.3f}" if codes.shape[1] > 1 else "",
        "usage": f"{codebook_usage(codes, tokenizer.codebook_sizes_).min():.3f}",
        "perplexity": f"{codebook_perplexity(codes).min():.0f}",
        "fit, s": f"{fitted - start:.1f}",
        "items/s": f"{len(X) / (encoded - fitted):,.0f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", help="npy file (n_items, n_features)")
    parser.add_argument("--n-codebooks", type=int, default=7)
    arguments = parser.parse_args()
    X = np.load(arguments.embeddings).astype(np.float32)
    for i, (name, tokenizer) in enumerate(contenders(arguments.n_codebooks).items()):
        row = measure(tokenizer, X)
        if i == 0:
            print("| tokenizer |", " | ".join(row), "|")
            print("|---" * (len(row) + 1) + "|")
        print(f"| {name} |", " | ".join(row.values()), "|", flush=True)


if __name__ == "__main__":
    main()
