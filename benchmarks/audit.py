"""Do the figures of an audit say which codes a click model will like? And what an audit of a long log costs.

    python benchmarks/audit.py fit --folder DATA            # a click model on each mapping: minutes each
    python benchmarks/audit.py figures --folder DATA        # the audit of each mapping, on the training clicks alone
    python benchmarks/audit.py report --output docs/guide/report.md
    python benchmarks/audit.py scale --interactions 10000000

``fit`` fits DeepFM at its defaults on the training impressions of the study, with one seed, and scores the test, cold
items apart (benchmarks/defaults.py). ``figures`` audits the same codes with the training clicks as interactions: nothing
of the test, and no click model. ``report`` has both side by side, and the rank correlation of each figure with the AUC.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from defaults import columns_of, execute, load, study_arms
from machine import OwnMemory, describe_machine
from records import Records, markdown_table, publish
from scipy.stats import spearmanr

# Mappings by their names in the study, codes alone: what a user would choose among.
MAPPINGS = (
    "shuffled", "pq", "residual", "rqvae", "rqvae_aligned", "moc", "moc_graded", "parallel", "graded", "moc_whole",
    "moc_aligned", "graded_joint",
)  # fmt: skip


def fit(options):
    """Fit a click model on each mapping, and on no codes, and keep what it scores."""
    records = Records(Path(options.results) / "fits.jsonl")
    data = load(options.data, options.folder)
    for arm in ("none", *options.mappings.split(",")):
        if not records.matching(data=options.data, arm=arm, seed=options.seed):
            record = execute(data, "DeepFM", arm, options.seed, {})
            records.add(record)
            print(arm, f"{record['auc']:.4f} {record['cold']:.4f} {record['seconds']:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("fit",))
    parser.add_argument("--folder", default="data", help="of the data sets")
    parser.add_argument("--data", default="beauty")
    parser.add_argument("--mappings", default=",".join(MAPPINGS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", default="outputs/audit", help="folder of results and of fitted codes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    study_arms.keep_codes_in(Path(options.results) / "codes")
    {"fit": fit}[options.command](options)


if __name__ == "__main__":
    main()
