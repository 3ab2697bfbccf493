"""Click models: a fit from parquet files beside the same fit from a table in memory: pace, memory, AUC.

    python benchmarks/files.py write folder --rows 4000000
    python benchmarks/files.py measure folder --outputs lines.jsonl --from files memory --repeats 3
    python benchmarks/files.py table --outputs lines.jsonl --output docs/benchmarks.md

`measure` starts a process per fit, the sources in turns, and adds a line for each; `table` has the medians of all.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from machine import describe_machine, thread_environment
from pyarrow import parquet
from records import Records, markdown_table, medians, publish
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback

from semid.ctr import DeepFMClassifier

N_COLUMNS, OF_GROUP, N_TEST = 20, 1_000_000, 500_000
SIZES = np.geomspace(10, 200_000, N_COLUMNS).astype(int)  # values of each column
LEGEND = f"""\
{N_COLUMNS} columns of integers, Zipf, with {SIZES[0]} to {SIZES[-1]:,} values that add up to the log-odds of a click;
DeepFM at its defaults but for one epoch, nothing held out and batches of 8,192. *Before*: all that comes before the
first step, of a table also reading it. *Peak* is that of the process, libraries included (0.4 GB). The AUC is that of
{N_TEST:,} impressions of another file."""


class Times(Callback):
    """When the training of a fit began and ended; a fit trains a copy, hence the class."""

    seen: ClassVar[dict[str, float]] = {}

    def on_epoch_begin(self, net, **kwargs):
        self.seen.setdefault("began", time.perf_counter())

    def on_epoch_end(self, net, **kwargs):
        self.seen["ended"] = time.perf_counter()


def write(folder, n_rows):
    """Write impressions in row groups to ``folder/train.parquet`` and ``folder/test.parquet``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    effects = [rng.normal(0, 0.35, size) for size in SIZES]
    for name, n_of_file in (("test", N_TEST), ("train", n_rows)):
        writer = None
        for first in range(0, n_of_file, OF_GROUP):
            table = _impressions(rng, effects, min(OF_GROUP, n_of_file - first))
            writer = writer or parquet.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writer.write_table(table)
        writer.close()


def _impressions(rng, effects, n_rows):
    columns, log_odds = {}, np.full(n_rows, -1.0)
    for n, (size, effect) in enumerate(zip(SIZES, effects, strict=True)):
        # By a power of a uniform number, near enough to Zipf and fast.
        columns[f"c{n}"] = (size ** rng.random(n_rows, dtype=np.float32)).astype(np.int32) - 1
        log_odds += effect[columns[f"c{n}"]]
    click = rng.random(n_rows) < 1 / (1 + np.exp(-log_odds))
    return pa.table({**columns, "click": click.astype(np.int8)})


def fit(folder, source):
    """Return the measures of one fit in this process."""
    names = [f"c{n}" for n in range(N_COLUMNS)]
    model = DeepFMClassifier(
        max_iter=1, batch_size=8_192, validation=None, categorical_features=names, callbacks=[Times()], random_state=0
    )
    start = time.perf_counter()
    if source == "files":
        model.fit(folder / "train.parquet", "click")
    else:
        X = pd.read_parquet(folder / "train.parquet")
        y = X.pop("click")
        model.fit(X, y)
    seen = Times.seen
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    test = pd.read_parquet(folder / "test.parquet")
    n_rows = parquet.ParquetFile(folder / "train.parquet").metadata.num_rows
    return {
        "n_rows": n_rows,
        "source": source,
        "parquet": (folder / "train.parquet").stat().st_size / 1e9,
        "before": seen["began"] - start,
        "rate": n_rows / (seen["ended"] - seen["began"]),
        "peak": peak,
        "auc": roc_auc_score(test["click"], model.predict_proba(test[names])[:, 1]),
    }


def measure(folder, sources, repeats, outputs, n_threads):
    records = Records(outputs)
    for _ in range(repeats):
        for source in sources:
            command = [sys.executable, __file__, "fit", str(folder), "--from", source, "--threads", str(n_threads)]
            finished = subprocess.run(command, env=thread_environment(n_threads), stdout=subprocess.PIPE, check=True)
            records.add(json.loads(finished.stdout.splitlines()[-1]))
            print(records.rows[-1], flush=True)


def table_rows(records):
    rows = []
    for n_rows in sorted({record["n_rows"] for record in records.rows}):
        for source in ("memory", "files"):
            of_fit = records.matching(n_rows=n_rows, source=source)
            if not of_fit:
                continue
            median = medians(of_fit)
            rows.append(
                {
                    "impressions": f"{n_rows:,}",
                    "parquet, GB": f"{median['parquet']:.2f}",
                    "fit from": source,
                    "before, s": f"{median['before']:,.0f}",
                    "impressions/s": f"{median['rate']:,.0f}",
                    "peak, GB": f"{median['peak']:.1f}",
                    "AUC": f"{median['auc']:.4f}",
                    "fits": str(median["n_fits"]),
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["write", "measure", "fit", "table"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--from", dest="sources", nargs="+", default=["memory", "files"], choices=["memory", "files"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--outputs", default="outputs/files.jsonl", help="file of the measures")
    parser.add_argument("--output", help="markdown page with the markers 'ctr_files'; without it, print only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.what == "write":
        write(arguments.folder, arguments.rows)
    elif arguments.what == "fit":
        (source,) = arguments.sources
        print(json.dumps(fit(arguments.folder, source)))
    elif arguments.what == "measure":
        measure(arguments.folder, arguments.sources, arguments.repeats, arguments.outputs, arguments.threads)
    else:
        rows = table_rows(Records(arguments.outputs))
        text = "\n\n".join([describe_machine(arguments.threads), LEGEND, markdown_table(rows)])
        publish(text, "ctr_files", arguments.output)


if __name__ == "__main__":
    main()
