"""Seconds and memory against the number of items, for catalogues that are memory-mapped files.

    python benchmarks/scale.py scratch_folder --rows 10000 100000 1000000 --output docs/benchmarks.md

Every measurement runs in a process of its own. The files, 4 GB at a million rows of 1,024 features, stay in the folder
and are made only where they are not there yet.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from machine import OwnMemory, describe_machine, prepare_torch, thread_environment
from records import Records, markdown_table, publish

from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

_BLOCK = 10_000
_N_CLUSTERS = 1_000

LEGEND = """\
Rows of {n_features:,} float32 features around {n_clusters:,} random centers, in a memory-mapped file. *Own memory* is
the peak of what the call allocates, the pages of the file not counted; the file itself would take {n_bytes:,}
bytes a row. Both should grow no faster than the rows: compare the columns per row."""


def catalogue(folder, n_rows, n_features, seed=0):
    """Return the path of a file of `n_rows` rows in random clusters; shorter files are beginnings of longer ones."""
    path = Path(folder) / f"clusters_{n_rows}x{n_features}.npy"
    if path.exists():
        return path
    centers = np.random.default_rng(seed).standard_normal((_N_CLUSTERS, n_features), dtype=np.float32)
    unfinished = path.with_suffix(".unfinished")
    X = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=(n_rows, n_features))
    for block, start in enumerate(range(0, n_rows, _BLOCK)):
        random = np.random.default_rng([seed, block])
        rows = centers[random.integers(_N_CLUSTERS, size=_BLOCK)]
        rows += 0.5 * random.standard_normal(rows.shape, dtype=np.float32)
        X[start : start + _BLOCK] = rows[: n_rows - start]
    X.flush()
    return unfinished.rename(path)


def fit_residual_kmeans(X):
    return lambda: ResidualKMeansTokenizer(random_state=0).fit(X)


def fit_one_rqvae_epoch(X):
    return lambda: RQVAETokenizer(max_iter=1, random_state=0).fit(X)


def transform(X):
    # Few rows: memory that a large fit gave back to the allocator, but not to the system, would hide what follows.
    tokenizer = ResidualKMeansTokenizer(random_state=0).fit(np.array(X[:2_000]))
    return lambda: tokenizer.transform(X)


WORK = {
    "`ResidualKMeansTokenizer().fit`": fit_residual_kmeans,
    "`RQVAETokenizer(max_iter=1).fit`": fit_one_rqvae_epoch,
    "`ResidualKMeansTokenizer.transform`": transform,
}


def measure(work, path, threads):
    """Return the seconds and the own memory, in MiB, of one piece of `WORK` on the file at `path`."""
    prepare_torch(threads)
    call = WORK[work](np.load(path, mmap_mode="r"))
    with OwnMemory() as memory:
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "memory": memory.peak}


def measure_in_a_fresh_process(task):
    command = [sys.executable, __file__, "unused", "--measure", json.dumps(task)]
    environment = thread_environment(task["threads"])
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(record):
    n_rows = record["rows"]
    return {
        "": record["work"],
        "rows": f"{n_rows:,}",
        "seconds": f"{record['seconds']:.1f}",
        "µs per row": f"{1e6 * record['seconds'] / n_rows:.0f}",
        "own memory, MiB": f"{record['memory']:,.0f}",
        "bytes per row": f"{2**20 * record['memory'] / n_rows:,.0f}",
    }


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the catalogues are, or are made")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--n-features", type=int, default=1_024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", default="outputs/scale.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'scale'; without it, print only")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = parse_arguments(arguments)
    if arguments.measure:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(**arguments.measure)))
        return
    records, found = Records(arguments.results), []
    for n_rows in arguments.rows:
        path = str(catalogue(arguments.folder, n_rows, arguments.n_features))
        for work in WORK:
            task = {"work": work, "path": path, "threads": arguments.threads}
            found.append({**task, "rows": n_rows, **measure_in_a_fresh_process(task)})
            records.add(found[-1])
    found.sort(key=lambda record: list(WORK).index(record["work"]))
    legend = LEGEND.format(n_features=arguments.n_features, n_bytes=4 * arguments.n_features, n_clusters=_N_CLUSTERS)
    table = markdown_table([row(record) for record in found])
    publish("\n\n".join([describe_machine(arguments.threads), legend, table]), "scale", arguments.output)


if __name__ == "__main__":
    main()
