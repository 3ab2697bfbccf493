"""R² of items that a fit did not see, against the number of items that it saw.

    python benchmarks/sample_size.py embeddings.npy more_embeddings.npy --output docs/scale.md

Real embeddings end at some ten thousand; made ones, with the means and covariances of clusters of the real ones, go on.
"""

import argparse
import time
import warnings

import numpy as np
from machine import describe_machine, prepare_torch
from records import Records, markdown_table, publish
from sklearn.cluster import KMeans

from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

N_CLUSTERS = 64
HELD_OUT = 4_000
TOKENIZERS = {
    "ResidualKMeansTokenizer": lambda: ResidualKMeansTokenizer(3, 256, random_state=0),
    "RQVAETokenizer": lambda: RQVAETokenizer(3, 256, random_state=0),
}

LEGEND = """\
R² of {held_out:,} items held out (in brackets: of the sample itself) and CPU seconds of the fit, one thread, 3 codes of
256, one fit each. *Real*: {n_real:,} distinct titles of {n_features} dimensions. *Made*: Gaussian, with the means and
covariances of {n_clusters} clusters of the real ones. Empty: not measured."""


def real_embeddings(paths, seed=0):
    """Return the distinct embeddings of all files in random order, (n_items, n_features) float32."""
    X = np.unique(np.concatenate([np.load(path) for path in paths]).astype(np.float32), axis=0)
    return np.random.default_rng(seed).permutation(X)


def made_embeddings(real, n_items, seed=0):
    """Return draws from a mixture of Gaussians that has the means and covariances of clusters of `real`."""
    random = np.random.default_rng(seed)
    n_clusters = min(N_CLUSTERS, len(real) // 2)
    labels = KMeans(n_clusters, n_init=1, random_state=seed).fit_predict(real)
    X = np.empty((n_items, real.shape[1]), dtype=np.float32)
    drawn = labels[random.integers(len(real), size=n_items)]
    for cluster in range(n_clusters):
        members, rows = real[labels == cluster], np.flatnonzero(drawn == cluster)
        mean = members.mean(axis=0)
        # Random sums of the deviations have their covariance.
        weights = random.standard_normal((len(rows), len(members)), dtype=np.float32) / np.sqrt(len(members))
        X[rows] = mean + weights @ (members - mean)
    return X


def measure(name, X, n_items):
    """Return R² of the last rows of `X` and of the first `n_items`, on which the tokenizer is fitted."""
    sample, held_out = X[:n_items], X[-HELD_OUT:]
    start = time.process_time()
    tokenizer = TOKENIZERS[name]().fit(sample)
    seconds = time.process_time() - start
    return {"held_out": tokenizer.score(held_out), "sample": tokenizer.score(sample), "seconds": seconds}


def run(arguments, records):
    """Return the measurements by (data, tokenizer, number of items)."""
    real = real_embeddings(arguments.embeddings)
    data = {"real": real, "made": made_embeddings(real, max(arguments.items) + HELD_OUT)}
    found = {}
    for n_items in arguments.items:
        for kind, X in data.items():
            for name in TOKENIZERS:
                if n_items + HELD_OUT > len(X) or (name == "RQVAETokenizer" and n_items > arguments.largest_rqvae):
                    continue
                found[kind, name, n_items] = measure(name, X, n_items)
                records.add({"data": kind, "name": name, "items": n_items, **found[kind, name, n_items]})
    return found, real


def rows(found, sizes):
    """Return one row per number of items."""
    table = []
    for n_items in sizes:
        row = {"items in the sample": f"{n_items:,}"}
        for kind in ("real", "made"):
            for name in TOKENIZERS:
                result = found.get((kind, name, n_items))
                row[f"{kind}: `{name}`"] = (
                    f"{result['held_out']:.3f} ({result['sample']:.3f}), {result['seconds']:.0f} s" if result else ""
                )
        table.append(row)
    return table


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", nargs="+", help="npy files (n_items, n_features), all of one width")
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 3_000, 10_000, 19_000, 100_000, 300_000])
    parser.add_argument("--largest-rqvae", type=int, default=19_000, help="above it, RQ-VAE takes too long")
    parser.add_argument("--results", default="outputs/sample_size.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'sample_size'; without it, print only")
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = parse_arguments(arguments)
    warnings.simplefilter("ignore")
    prepare_torch(1)
    found, real = run(arguments, Records(arguments.results))
    legend = LEGEND.format(held_out=HELD_OUT, n_real=len(real), n_features=real.shape[1], n_clusters=N_CLUSTERS)
    text = "\n\n".join([describe_machine(1), legend, markdown_table(rows(found, arguments.items))])
    publish(text, "sample_size", arguments.output)


if __name__ == "__main__":
    main()
