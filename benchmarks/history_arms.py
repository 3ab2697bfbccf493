"""What histories bring at the defaults: none, of ids, of codes, of both, pooled by their mean or by attention.

    python benchmarks/history_arms.py run --folder DATA --data beauty,toys --seeds 5
    python benchmarks/history_arms.py report

A run is one fit of DeepFM on the training impressions of the study (benchmarks/study): no ``eval_set``, no argument but
`history_pooling` and `random_state`. An impression's history are its user's last 50 clicks strictly before it, of all
parts: a row of the test sees those of the validation part. The candidate has its codes in every arm of a catalogue's
codes. Results are lines of JSON, one per run; what is there already is not run again. Seeds come one after the other,
so that a run that is stopped has all arms of the first ones.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import defaults
import numpy as np
import pandas as pd
import torch
from records import Records, markdown_table
from sklearn.metrics import roc_auc_score

from semid.ctr import DeepFMClassifier
from semid.features import ClickHistory, HistoryEncoder

DATA = ("beauty", "toys", "ml100k")
CODES = ("none", "graded", "moc_aligned")  # of the items, arms of the study
HISTORIES = ("none", "ids", "codes", "both")
POOLINGS = ("mean", "attention")
TIMES = {"ml100k": "timestamp"}  # other data have the order of each user's clicks
COLD, SHORT = defaults.study_data.COLD_CLICKS, 5
BASELINES = {"none": ("none", "mean"), "ids, mean": ("ids", "mean")}  # what every arm is set against


class Run(NamedTuple):
    data: str
    codes: str
    history: str
    pooling: str
    seed: int  # of the codes and of the click model
    has_user: bool  # whether the user's id is a field


def planned(options) -> Iterator[Run]:
    arms = [arm for arm in product(options.codes.split(","), HISTORIES, POOLINGS) if _is_arm(*arm)]
    for seed, data, arm in product(range(options.seeds), options.data.split(","), arms):
        yield Run(data, *arm, seed, not options.without_user)


def _is_arm(codes, history, pooling):
    needs_codes = history in ("codes", "both")
    return not (codes == "none" and needs_codes) and not (history == "none" and pooling != "mean")


def histories(data):
    """Return the column of histories of each part of the data: train, validation, test."""
    parts = [data.train, data.valid, data.test]
    time_column = TIMES.get(data.name, "position")
    everything = pd.concat(parts)
    log = ClickHistory.from_frame(everything[everything["click"] == 1], time=time_column)
    encoder = HistoryEncoder(log, time=time_column).fit(data.train)
    return [encoder.transform(part)["history"] for part in parts]


def with_history(X, history, codes, kind):
    """Return the fields `X` with a `history` of one of the kinds `HISTORIES`; `codes` are a table of items, or None."""
    if kind == "none":
        return X
    column = history.array
    if kind != "ids":
        column = column.with_codes(codes.loc[column.items].to_numpy(), "item_id")
    return X.assign(history=column.without_ids() if kind == "codes" else column)


def tables(run, data):
    """Return train and test as the arm of `run` has them, and the lengths of the histories of the test."""
    columns = defaults.columns_of(run.codes, data, run.seed)
    if columns is not None:
        columns = columns.rename(columns=lambda name: name.replace("item_code", "item_id_code"))
    codes = None if columns is None else columns.set_axis(data.item_ids)
    of_train, _, of_test = histories(data)
    dropped = [] if run.has_user else ["user_id"]
    train, test = (
        with_history(defaults.impressions_with(columns, part, data), history, codes, run.history).drop(columns=dropped)
        for part, history in ((data.train, of_train), (data.test, of_test))
    )
    return train, test, of_test.array.lengths


def execute(run, data):
    """Fit once and return a flat record."""
    train, test, lengths = tables(run, data)
    model = DeepFMClassifier(history_pooling=run.pooling, random_state=run.seed, device="cpu")
    start = time.perf_counter()
    model.fit(train, data.train["click"])
    seconds = time.perf_counter() - start
    y, probability = data.test["click"].to_numpy(), model.predict_proba(test)[:, 1]
    rows = {
        "auc": np.ones(len(y), dtype=bool),
        "cold": data.training_clicks(data.test) <= COLD,
        "short": lengths <= SHORT,
    }
    return {
        **run._asdict(),
        **{name: _auc(y[chosen], probability[chosen]) for name, chosen in rows.items()},
        **{f"rows_{name}": int(chosen.sum()) for name, chosen in rows.items()},
        "mean_over_rate": float(probability.mean() / y.mean()),
        "n_epochs": model.n_iter_,
        "seconds": seconds,
    }


def _auc(y, probability):
    return float(roc_auc_score(y, probability)) if 0 < y.sum() < len(y) else None


def run(options):
    torch.set_num_threads(options.threads)
    defaults.study_arms.keep_codes_in(options.cache)
    records, loaded = Records(options.results), {}
    for planned_run in planned(options):
        if records.matching(**planned_run._asdict()):
            continue
        if planned_run.data not in loaded:
            loaded = {planned_run.data: defaults.load(planned_run.data, options.folder)}
        records.add(execute(planned_run, loaded[planned_run.data]))
        print(json.dumps(records.rows[-1]), flush=True)


def report(options):
    """Print the table: means over seeds, and what each arm adds to `BASELINES` of the same codes, paired by seed."""
    runs = pd.DataFrame(Records(options.results).rows)
    rows = []
    for (data, has_user, codes), cell in runs.groupby(["data", "has_user", "codes"], sort=False):
        for (history, pooling), arm in cell.groupby(["history", "pooling"], sort=False):
            rows.append(
                {
                    "data": data + ("" if has_user else ", without the user's id"),
                    "codes": codes,
                    "history": history if history == "none" else f"{history}, {pooling}",
                    "test AUC": f"{arm['auc'].mean():.4f}",
                    **{f"to {name}": _difference(cell, arm, base) for name, base in BASELINES.items()},
                    "cold": f"{arm['cold'].mean():.4f}",
                    **{f"cold, to {name}": _difference(cell, arm, base, "cold") for name, base in BASELINES.items()},
                    "short": f"{arm['short'].mean():.4f}",
                    "seconds": f"{arm['seconds'].median():.0f}",
                    "seeds": str(len(arm)),
                }
            )
    print(markdown_table(rows))


def _difference(cell, arm, baseline, score="auc"):
    """Return mean ± standard error of what `arm` adds to the `baseline` (history, pooling), over the seeds of both."""
    is_baseline = (cell["history"] == baseline[0]) & (cell["pooling"] == baseline[1])
    pairs = arm.set_index("seed")[score].sub(cell[is_baseline].set_index("seed")[score]).dropna()
    if len(pairs) == 0 or arm.index.isin(cell.index[is_baseline]).any():
        return ""
    return f"{pairs.mean():+.4f}" + (f" ± {pairs.sem():.4f}" if len(pairs) > 1 else "")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--folder", default="data", help="of the data sets")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--codes", default=",".join(CODES), help="arms of the study, or none")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without-user", action="store_true", help="leave the user's id out of the fields")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default="outputs/codes", help="folder of fitted codes")
    parser.add_argument("--results", default="outputs/history_arms.jsonl")
    options = parser.parse_args(arguments)
    {"run": run, "report": report}[options.command](options)


if __name__ == "__main__":
    main()
