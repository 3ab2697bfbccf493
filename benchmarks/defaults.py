"""What click models reach at their defaults, on data that these were not chosen on, beside a grid of settings.

    python benchmarks/defaults.py run --folder DATA --data beauty,toys --arms none,moc --seeds 5
    python benchmarks/defaults.py run --folder DATA --data beauty --grid
    python benchmarks/defaults.py report

A run is one fit on the training impressions alone: no ``eval_set``, no argument but ``random_state``. Results are lines
of JSON, one per run; what is there already is not run again. ``--folder`` holds the files of the study
(benchmarks/study); a name that the study does not know is that of a catalogue in the same form, ``NAME_items.parquet``,
``NAME_interactions.parquet`` and ``NAME_minilm.npy``. Logs called ``made_...`` are made here.
"""

import argparse
import json
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parent / "study"))
import arms as study_arms
import data as study_data
from runs import MODELS, impressions_with

# The arms, by their names in the study.
ARMS = {
    "none": "no codes",
    "one": "one k-means code of 256",
    "rqvae": "RQ-VAE, 7 codes",
    "moc": "Mixture-of-Codes as in the paper, 7 codes",
    "graded": "parallel k-means, graded sizes",
    "moc_whole": "presets.ranking()",
    "moc_aligned": "presets.ranking(), aligned",
}
DATA = ("beauty", "toys", "ml100k", "beauty_tenth", "made_sparse", "made_dense", "made_rare")
PATIENCE = 8
GRID = [
    {"learning_rate": learning_rate, "forgetting": forgetting, "n_iter_no_change": PATIENCE}
    for learning_rate, forgetting in product((0.003, 0.006, 0.012), (0.3, 1.0, 3.0))
]
# Rows, users, items, base logit, share of rows that are positive about: logit = base + user + item + product of 4 dims.
_MADE = {
    "made_sparse": (60_000, 8_000, 4_000, -1.0),
    "made_dense": (300_000, 300, 1_000, 0.0),
    "made_rare": (3_000_000, 50_000, 20_000, -7.5),
}


def load(name, folder):
    """Return the `StudyData` of `name`; made logs have the test as validation too, which no fit here looks at."""
    if name in _MADE:
        return _made(name)
    if name in study_data.NAMES:
        return study_data.load(name, folder)
    source = "beauty" if name == "beauty_tenth" else name
    folder = Path(folder)
    items = pd.read_parquet(folder / f"{source}_items.parquet")
    embeddings = np.load(folder / f"{source}_minilm.npy").astype(np.float32)
    if name != "beauty_tenth":
        impressions, part, fields = study_data._amazon(folder, source, items, 0)
    else:
        positives = pd.read_parquet(folder / "beauty_interactions.parquet")
        users = positives["user_id"].unique()
        kept = np.random.default_rng(0).choice(users, len(users) // 10, replace=False)
        impressions, part, fields = study_data.implicit(positives[positives["user_id"].isin(kept)], items, 0)
    parts = [impressions[part == which].reset_index(drop=True) for which in ("train", "validation", "test")]
    return study_data.StudyData(name, items["item_id"].to_numpy(), embeddings, *parts, fields)


def _made(name):
    n_rows, n_users, n_items, base = _MADE[name]
    rng = np.random.default_rng(1)
    n = n_rows + max(20_000, n_rows // 10)
    users = rng.integers(n_users, size=n)
    share = 1 / np.arange(1, n_items + 1) ** 0.9 if name != "made_dense" else np.ones(n_items)  # Zipf's
    items = rng.choice(n_items, size=n, p=share / share.sum())
    tastes, traits = rng.normal(size=(n_users, 4)), rng.normal(size=(n_items, 4))
    logit = base + rng.normal(size=n_users)[users] + 1.2 * rng.normal(size=n_items)[items]
    logit += 0.4 * (tastes[users] * traits[items]).sum(axis=1)
    click = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "hour": rng.integers(24, size=n), "click": click})
    embeddings = np.hstack([traits @ rng.normal(size=(4, 32)), rng.normal(size=(n_items, 32))]).astype(np.float32)
    train, test = frame[:n_rows], frame[n_rows:].reset_index(drop=True)
    return study_data.StudyData(name, np.arange(n_items), embeddings, train, test, test, ["user_id", "item_id", "hour"])


def columns_of(arm, data, seed):
    name, n_codes = ("repeat_256", 1) if arm == "one" else (arm, 7)
    return study_arms.ARMS[name].columns(data, n_codes, seed)


def execute(data, model, arm, seed, settings):
    """Fit once and return a flat record."""
    columns = columns_of(arm, data, seed)
    train, test = (impressions_with(columns, part, data) for part in (data.train, data.test))
    start = time.perf_counter()
    classifier = MODELS[model](random_state=seed, **settings).fit(train, data.train["click"])
    seconds = time.perf_counter() - start
    probability, y = classifier.predict_proba(test)[:, 1], data.test["click"].to_numpy()
    cold = data.training_clicks(data.test) <= study_data.COLD_CLICKS
    has_cold = 0 < y[cold].sum() < cold.sum()
    return {
        "data": data.name,
        "model": model,
        "arm": arm,
        "seed": seed,
        "settings": settings,
        "auc": roc_auc_score(y, probability),
        "cold": roc_auc_score(y[cold], probability[cold]) if has_cold else None,
        "rates": rates_auc(data),
        "popularity": roc_auc_score(y, data.training_clicks(data.test)),
        "mean_over_rate": probability.mean() / y.mean(),
        "valid_auc": float(classifier.history_["valid_auc"].max()),
        "n_epochs": classifier.n_iter_,
        "seconds": seconds,
    }


def rates_auc(data):
    """Return the test AUC of smoothed click rates of all categories, added up as log-odds, with the best smoothing."""
    return max(_smoothed_rates_auc(data, prior) for prior in (20, 100, 400))


def _smoothed_rates_auc(data, prior):
    rate, total = data.train["click"].mean(), 0.0
    for field in data.fields:
        if data.train[field].map(np.ndim).iloc[0]:  # a list
            continue
        by_category = data.train.groupby(field)["click"].agg(["sum", "count"])
        smoothed = (by_category["sum"] + prior * rate) / (by_category["count"] + prior)
        log_odds = np.log(smoothed / (1 - smoothed))
        total = total + data.test[field].map(log_odds).astype(float).fillna(np.log(rate / (1 - rate))).to_numpy()
    return roc_auc_score(data.test["click"], total)


def _key(record):
    return json.dumps([record[name] for name in ("data", "model", "arm", "seed", "settings")], sort_keys=True)


def run(options):
    torch.set_num_threads(options.threads)
    study_arms.keep_codes_in(options.cache)
    results = Path(options.results)
    lines = results.read_text().splitlines() if results.exists() else []
    done = {_key(json.loads(line)) for line in lines}
    for name in options.data.split(","):
        data = None
        for model, arm, seed in product(options.models.split(","), options.arms.split(","), range(options.seeds)):
            for settings in GRID if options.grid else [{}]:
                wanted = {"data": name, "model": model, "arm": arm, "seed": seed, "settings": settings}
                if _key(wanted) in done:
                    continue
                data = data or load(name, options.folder)
                record = execute(data, model, arm, seed, settings)
                with results.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(*(f"{value:.4f}" if isinstance(value, float) else value for value in record.values()), flush=True)


def report(options):
    """Print the table: mean and worst of the defaults, regret against the best of the grid, seconds."""
    runs = pd.DataFrame([json.loads(line) for line in Path(options.results).read_text().splitlines()])
    runs["is_default"] = runs["settings"].map(len) == 0
    rows = []
    for (data, model, arm), cell in runs.groupby(["data", "model", "arm"], sort=False):
        defaults, grid = cell[cell["is_default"]], cell[~cell["is_default"]]
        if len(defaults) == 0:
            continue
        best = max(grid["auc"].max() if len(grid) else np.nan, defaults["auc"].mean())
        rows.append(
            {
                "data": data,
                "model": model,
                "arm": arm,
                "seeds": len(defaults),
                "test AUC": defaults["auc"].mean(),
                "worst": defaults["auc"].min(),
                "cold": defaults["cold"].mean(),
                "click rates": defaults["rates"].mean(),
                "regret": best - defaults["auc"].mean() if len(grid) else np.nan,
                "settings": len(grid),
                "seconds": defaults["seconds"].median(),
            }
        )
    table = pd.DataFrame(rows)
    print(table.round({"seconds": 0}).to_markdown(index=False, floatfmt=".3f"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--folder", default="data", help="of the data sets")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--models", default="DeepFM")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--grid", action="store_true", help="the grid of settings in the place of the defaults")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", default="outputs/codes", help="folder of fitted codes")
    parser.add_argument("--results", default="outputs/defaults.jsonl")
    options = parser.parse_args()
    Path(options.results).parent.mkdir(parents=True, exist_ok=True)
    {"run": run, "report": report}[options.command](options)


if __name__ == "__main__":
    main()
