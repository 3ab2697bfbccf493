"""Do the figures of an audit say which codes a click model will like? And what an audit of a long log costs.

    python benchmarks/audit.py fit --folder DATA            # a click model on each mapping: minutes each
    python benchmarks/audit.py figures --folder DATA        # the audit of each mapping, on the training clicks alone
    python benchmarks/audit.py report --data beauty,toys --output docs/guide/report.md
    python benchmarks/audit.py scale --interactions 10000000

``fit`` fits DeepFM at its defaults on the training impressions of the study, with one seed, and scores the test, cold
items apart (benchmarks/defaults.py). ``figures`` audits the same codes with the training clicks as interactions:
nothing of the test, and no click model. ``report`` has both side by side, and the rank correlations.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from defaults import columns_of, execute, load, study_arms
from machine import OwnMemory, describe_machine
from records import Records, markdown_table, publish
from runs import cluster_r2
from scipy.stats import spearmanr

from semid.metrics import tokenizer_report

# Mappings by their names in the study, codes alone: what a user would choose among.
MAPPINGS = (
    "shuffled", "pq", "residual", "rqvae", "rqvae_aligned", "moc", "moc_graded", "parallel", "graded", "moc_whole",
    "moc_aligned", "graded_joint",
)  # fmt: skip
SHOWN = {
    "co_click_auc": "co-click AUC",
    "co_click_auc_tail": "in the tail",
    "co_click_hit_rate": "hit rate",
    "mean_co_click_lift": "lift",
    "neighbor_overlap": "neighbours kept",
    "collision_rate": "collisions",
}
ORDERED = {
    "co_click_lift_of_first": "lift of the first code",
    "cluster_r2": "variance of the embeddings that one code explains, mean",
    "redundancy": "redundancy",
    "mean_perplexity": "perplexity, mean",
    "shared_traffic": "collisions by traffic",
}


def fit(options):
    """Fit a click model on each mapping, and on no codes, and keep what it scores."""
    records = Records(Path(options.results) / "fits.jsonl")
    data = load(options.data, options.folder)
    for arm in ("none", *options.mappings.split(",")):
        if not records.matching(data=options.data, arm=arm, seed=options.seed):
            record = execute(data, "DeepFM", arm, options.seed, {})
            records.add(record)
            print(arm, f"{record['auc']:.4f} {record['cold']:.4f} {record['seconds']:.0f} s", flush=True)


def figures(options):
    """Audit each mapping with the training clicks, and keep the figures."""
    records = Records(Path(options.results) / "figures.jsonl")
    data = load(options.data, options.folder)
    log = data.train[data.train["click"] == 1]
    for arm in options.mappings.split(","):
        if records.matching(data=options.data, arm=arm, seed=options.seed):
            continue
        codes = columns_of(arm, data, options.seed).filter(like="item_code").to_numpy()
        mapping = pd.DataFrame(codes, index=data.item_ids).add_prefix("code")
        start = time.perf_counter()
        report = tokenizer_report(mapping, data.embeddings, interactions=log, baselines=False)
        seconds = time.perf_counter() - start
        rates = {
            f"mean_{name}": float(report.table[name].mean())
            for name in ("perplexity", "prefix_collision_rate", "co_click_lift", "prefix_co_click_lift")
        }
        parts = {f"co_click_auc_{part}": float(auc) for part, auc in report.parts["co_click_auc"].items()}
        of_codes = {"cluster_r2": float(np.mean([cluster_r2(data.embeddings, column) for column in codes.T]))}
        key = {"data": options.data, "arm": arm, "seed": options.seed}
        records.add(key | report.summary | rates | parts | of_codes | {"seconds": seconds})
        print(arm, f"{report.summary['co_click_auc']:.4f} {seconds:.0f} s", flush=True)


def report(options):
    """Print both side by side for the first data set, and how each figure orders the mappings of all of them."""
    names = options.data.split(",")
    pairs = {name: _pairs(name, options) for name in names}
    rows = []
    for of_model, of_audit in pairs[names[0]]:
        row = {"mapping": study_arms.ARMS[of_model["arm"]].label}
        row |= {"cold AUC": f"{of_model['cold']:.3f}", "test AUC": f"{of_model['auc']:.3f}"}
        rows.append(row | {label: f"{of_audit[name]:.3f}" for name, label in SHOWN.items()})
    publish(markdown_table(rows), "audit_mappings", options.output)
    orders = []
    for figure, label in (SHOWN | ORDERED).items():
        row = {"figure": f"{label} (`{figure}`)"}
        for name in names:
            values = [of_audit[figure] for _, of_audit in pairs[name]]
            order = spearmanr(values, [of_model["cold"] for of_model, _ in pairs[name]])[0] if _vary(values) else 0
            row[f"{name}, {len(values)} mappings"] = f"{order:+.2f}"
        orders.append(row)
    orders.sort(key=lambda row: -abs(float(list(row.values())[1])))
    publish(markdown_table(orders), "audit_orders", options.output)


def _pairs(name, options):
    """Return the scores of the click model and the figures of each mapping, the best on cold items first."""
    key = {"data": name, "seed": options.seed}
    fits = {row["arm"]: row for row in Records(Path(options.results) / "fits.jsonl").matching(**key)}
    audits = Records(Path(options.results) / "figures.jsonl").matching(**key)
    pairs = [(fits[row["arm"]], row) for row in audits if row["arm"] in fits]
    return sorted(pairs, key=lambda pair: -pair[0]["cold"])


def _vary(values):
    return bool(np.isfinite(values).all()) and len(set(values)) > 1


def scale(options):
    """Audit a made log of many interactions, and print seconds and memory."""
    rng = np.random.default_rng(0)
    n_items, n_users = 100_000, 1_000_000
    X = rng.normal(size=(n_items, 64)).astype(np.float32)
    codes = rng.integers(256, size=(n_items, 4))
    share = 1 / np.arange(1, n_items + 1) ** 0.8
    items = rng.choice(n_items, size=options.interactions, p=share / share.sum())
    log = pd.DataFrame({"user_id": rng.integers(n_users, size=options.interactions), "item_id": items})
    del items
    with OwnMemory() as memory:
        start = time.perf_counter(), time.process_time()
        tokenizer_report(codes, X, codebook_size=256, interactions=log, labels=codes[:, 0] // 16)
        seconds, of_cores = time.perf_counter() - start[0], time.process_time() - start[1]
    print(describe_machine(options.threads))
    took = f"{seconds:.1f} s ({of_cores:.1f} s of all cores), {memory.peak:,.0f} MiB"
    print(f"{options.interactions:,} interactions, {n_items:,} items: {took}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("fit", "figures", "report", "scale"))
    parser.add_argument("--folder", default="data", help="of the data sets")
    parser.add_argument("--data", default="beauty")
    parser.add_argument("--mappings", default=",".join(MAPPINGS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", default="outputs/audit", help="folder of results and of fitted codes")
    parser.add_argument("--output", help="page to put the tables into")
    parser.add_argument("--interactions", type=int, default=10_000_000)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    study_arms.keep_codes_in(Path(options.results) / "codes")
    {"fit": fit, "figures": figures, "report": report, "scale": scale}[options.command](options)


if __name__ == "__main__":
    main()
