"""What comes next, by ids and by codes: the same transformer, full ranking of all items, each user's last as the test.

    python benchmarks/next_item.py run --folder DATA --data beauty,toys --seeds 5
    python benchmarks/next_item.py report --page docs/guide/next_item.md
    python benchmarks/next_item.py rates

A run is one fit on all but each user's last two clicks; the one before the last says when to stop, the last is the
test, whose history has that one. Seen items are kept among the candidates or removed: both are reported, since papers
do either. A cold item has no click in training. Results are lines of JSON, one per run; what is there already is not
run again. ``--folder`` holds ``NAME_items.parquet`` and ``NAME_interactions.parquet`` (user_id, item_id, position), and
``NAME_minilm.npy``, embeddings of titles.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from machine import OwnMemory, prepare_torch
from records import Records, markdown_table, publish
from sklearn.linear_model import Ridge

from semid import ItemTable, NextItemRecommender, SemanticIDEncoder
from semid.datasets import leave_last_out
from semid.features import interaction_embeddings
from semid.tokenizers import MixtureOfCodesTokenizer, ProductQuantizationTokenizer, ResidualKMeansTokenizer

RESULTS = Path(__file__).with_suffix(".jsonl")
DATA = ("beauty", "toys")
N_BEST = 10
# Of all arms alike; chosen on the validation part of Beauty (docs/guide/next_item.md has what was tried).
SETTINGS = {"learning_rate": 0.006, "n_iter_no_change": 4}
_CLICK_DIM, _PRIOR_CLICKS, _RIDGE = 128, 3, 30.0


class Data(NamedTuple):
    name: str
    ids: np.ndarray  # (n_items,)
    embeddings: np.ndarray  # (n_items, n_features) float32, of the texts
    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame

    def training_clicks(self):
        """Return how often each item was clicked in training, (n_items,)."""
        return self.train["item_id"].value_counts().reindex(self.ids, fill_value=0).to_numpy()


class Run(NamedTuple):
    data: str
    arm: str
    seed: int


def load(name, folder):
    """Return the `Data` of a catalogue."""
    log = pd.read_parquet(f"{folder}/{name}_interactions.parquet")
    part = leave_last_out(log, order="position")
    ids = pd.read_parquet(f"{folder}/{name}_items.parquet")["item_id"].to_numpy()
    embeddings = np.load(f"{folder}/{name}_minilm.npy").astype(np.float32)
    return Data(name, ids, embeddings, *(log[part == which] for which in ("train", "validation", "test")))


def with_clicks(data):
    """Return embeddings of texts beside vectors of who clicked what in training, (n_items, n_features + 128).

    An item of few clicks has in part, one of none altogether, what a ridge regression on the texts expects. Both halves
    weigh the same.
    """
    of_text = data.embeddings - data.embeddings.mean(axis=0)
    n_users = data.train["user_id"].nunique()
    n_components = min(_CLICK_DIM, n_users - 1, data.train["item_id"].nunique() - 1)
    of_clicks = interaction_embeddings(data.train, data.ids, n_components=n_components, random_state=0)
    is_known = ~np.isnan(of_clicks[:, 0])
    expected = Ridge(_RIDGE, fit_intercept=False).fit(of_text[is_known], of_clicks[is_known]).predict(of_text)
    n_clicks = data.training_clicks()[:, None]
    of_clicks = (np.nan_to_num(of_clicks) * n_clicks + expected * _PRIOR_CLICKS) / (n_clicks + _PRIOR_CLICKS)
    scale = np.sqrt(np.square(of_text).sum() / np.square(of_clicks).sum())
    return np.hstack([of_text, scale * of_clicks]).astype(np.float32)


def _quantized(embeddings, data, seed, n_codebooks=32):
    size = int(np.clip(len(data.ids) // 8, 2, 256))
    tokenizer = ProductQuantizationTokenizer(n_codebooks, size, rotation="pca_balanced", random_state=seed)
    return SemanticIDEncoder(tokenizer, items=ItemTable(data.ids, embeddings))


def _shuffled(data, seed):
    order = np.random.default_rng(seed).permutation(len(data.ids))
    return _quantized(with_clicks(data)[order], data, seed)


def _aligned(data, seed):
    size = int(np.clip(len(data.ids) // 8, 2, 256))
    tokenizer = MixtureOfCodesTokenizer(16, size, latent_dim=64, max_iter=15, random_state=seed)
    return SemanticIDEncoder(tokenizer, items=ItemTable(data.ids, data.embeddings), user="user_id")


def _residual(data, seed):
    size = int(np.clip(len(data.ids) // 8, 2, 256))
    tokenizer = ResidualKMeansTokenizer(4, size, random_state=seed)
    return SemanticIDEncoder(tokenizer, items=ItemTable(data.ids, with_clicks(data)))


# What an arm has codes from, and what it has otherwise than others.
ARMS = {
    "popularity": (lambda data, seed: None, {"head": "popularity"}),
    "ids": (lambda data, seed: None, {}),
    "shuffled": (_shuffled, {}),
    "text": (lambda data, seed: _quantized(data.embeddings, data, seed), {}),
    "aligned": (_aligned, {}),
    "text+clicks": (lambda data, seed: _quantized(with_clicks(data), data, seed), {}),
    "text+clicks+own": (lambda data, seed: _quantized(with_clicks(data), data, seed), {"own_embedding": True}),
    "residual": (_residual, {"head": "residual"}),
}


ORDER = {name: n for n, name in enumerate((*DATA, *ARMS))}


def planned(options) -> Iterator[Run]:
    for seed, data, arm in product(range(options.seeds), options.data.split(","), options.arms.split(",")):
        yield Run(data, arm, seed)


def execute(run, data, **settings):
    """Fit once and return a flat record."""
    make_codes, own = ARMS[run.arm]
    start = time.perf_counter()
    parameters = {"time": "position", "random_state": run.seed, "device": "cpu", **SETTINGS, **own, **settings}
    model = NextItemRecommender(make_codes(data, run.seed), **parameters)
    model.fit(data.train, eval_set=data.valid)
    seconds = time.perf_counter() - start
    return {
        **run._asdict(),
        **judged(model, data),
        "valid": float(model.history_.get("valid_ndcg", np.zeros(1)).max()),
        "n_epochs": model.n_iter_,
        "seconds": seconds,
    }


def judged(model, data):
    """Return recall and NDCG of the test, of all items and of cold ones, by name."""
    test = data.test.sort_values("user_id")
    targets = test["item_id"].to_numpy()
    histories = model.log_.before(test["user_id"], max_length=len(model.log_))
    clicks = dict(zip(data.ids, data.training_clicks(), strict=True))
    is_cold = np.array([clicks[item] == 0 for item in targets])
    record = {"n_test": len(targets), "n_cold": int(is_cold.sum())}
    for seen, excluded in (("kept", False), ("removed", True)):
        best = model.recommend(histories, N_BEST, exclude_seen=excluded).items
        hits = best == targets[:, None]
        gains = hits / np.log2(np.arange(2, N_BEST + 2))
        for k in (5, 10):
            record[f"recall{k}_{seen}"] = float(hits[:, :k].sum(axis=1).mean())
            record[f"ndcg{k}_{seen}"] = float(gains[:, :k].sum(axis=1).mean())
        record[f"cold_recall10_{seen}"] = float(hits[is_cold].sum(axis=1).mean()) if is_cold.any() else None
        record[f"cold_share_{seen}"] = float(np.mean([clicks[item] == 0 for item in best.ravel()]))
    record["cold_among_cold"] = among_cold(model, histories[is_cold], targets[is_cold], clicks)
    return record


def among_cold(model, histories, targets, clicks):
    """Return Recall@10 of cold targets where cold items are all the candidates, None without any."""
    cold = np.array([clicks[item] == 0 for item in model.items_])
    cold &= np.isin(model.items_, list(clicks))
    if not len(targets):
        return None
    if not np.isin(targets, model.items_[cold]).any():  # ids know none
        return 0.0
    scores = model.score_items(histories)[:, cold]
    of_target = np.array([np.flatnonzero(model.items_[cold] == item)[0] for item in targets])
    own = scores[np.arange(len(targets)), of_target][:, None]
    ranks = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2
    return float((ranks < N_BEST).mean())


def run(options):
    prepare_torch(options.threads)
    torch.set_float32_matmul_precision(options.precision)
    records, loaded = Records(options.results), {}
    for planned_run in planned(options):
        if records.matching(**planned_run._asdict()):
            continue
        if planned_run.data not in loaded:
            loaded = {planned_run.data: load(planned_run.data, options.folder)}
        records.add(execute(planned_run, loaded[planned_run.data]))
        print(json.dumps(records.rows[-1]), flush=True)


COLUMNS = {
    "Recall@5": "recall5_removed",
    "NDCG@5": "ndcg5_removed",
    "Recall@10": "recall10_removed",
    "NDCG@10": "ndcg10_removed",
    "Recall@5, seen kept": "recall5_kept",
    "NDCG@5, seen kept": "ndcg5_kept",
    "cold Recall@10": "cold_recall10_removed",
    "among cold": "cold_among_cold",
}


def report(options):
    publish(table_of(options.results), "next item", options.page)


def table_of(results):
    """Return the means over seeds as a table, with the standard deviation of the first column."""
    runs = pd.DataFrame(Records(results).rows)
    runs = runs.sort_values(["data", "arm", "seed"], key=lambda column: column.map(ORDER.get).fillna(column))
    rows = []
    for (data, arm), cell in runs.groupby(["data", "arm"], sort=False):
        row = {"data": data, "arm": arm}
        for n, (title, name) in enumerate(COLUMNS.items()):
            spread = f" ± {cell[name].std():.4f}" if n == 0 and len(cell) > 1 else ""
            row[title] = f"{cell[name].mean():.4f}{spread}"
        row |= {"epochs": f"{cell['n_epochs'].median():.0f}", "minutes": f"{cell['seconds'].median() / 60:.1f}"}
        rows.append(row | {"seeds": str(len(cell))})
    return markdown_table(rows)


def rates(options, n_items=1_000_000, repeats=15):
    """Print how long one history takes among a million items, on one core."""
    prepare_torch(1)
    rng = np.random.default_rng(0)
    rows = []
    for n_codebooks in (4, 16, 32):
        model = _untrained(rng.integers(256, size=(n_items, n_codebooks)), rng)
        history = [rng.integers(n_items, size=20).tolist()]
        with OwnMemory() as memory:
            model.recommend(history)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            model.recommend(history)
            seconds.append(time.perf_counter() - start)
        (module,) = model._live._modules.values()
        rows.append(
            {
                "codes": str(n_codebooks),
                "ms, median": f"{1e3 * np.median(seconds):.0f}",
                "ms, least": f"{1e3 * min(seconds):.0f}",
                "MB of codes": f"{module.items.rows.nbytes / 1e6:.0f}",
                "MiB of the first call": f"{memory.peak:.0f}",
            }
        )
    publish(markdown_table(rows), "next item rates", options.page)


def _untrained(codes, rng):
    """Return a recommender with random weights over a made catalogue."""
    from semid.base._live_module import LiveModule, build_seeded, export_state
    from semid.features import ClickHistory

    model = NextItemRecommender()
    model.items_, model.codes_, model.encoder_ = np.arange(len(codes)), codes, None
    model.codebook_sizes_, model.clicks_ = [256] * codes.shape[1], rng.integers(1, 9, size=len(codes))
    model._architecture = {name: getattr(model, name) for name in model._architecture_parameters}
    model.log_, model._live = ClickHistory([0], [0]), LiveModule()
    model.state_ = export_state(build_seeded(model._build_module, seed=0))
    return model


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report", "rates"))
    parser.add_argument("--folder", default="data", help="of the data sets")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    # "medium" lets processors with AMX multiply in bfloat16: half the time of a product, other digits.
    parser.add_argument("--precision", default="highest", choices=("highest", "high", "medium"))
    parser.add_argument("--results", default=RESULTS, help="kept in the repository, for the tables of the guide")
    parser.add_argument("--page", help="Markdown page whose tables are written anew")
    options = parser.parse_args(arguments)
    {"run": run, "report": report, "rates": rates}[options.command](options)


if __name__ == "__main__":
    main()
