"""One run of the study: a click model fitted on one arm of one data set, and what it scored.

Runs are kept in one parquet file; those of a session come in as lines of JSON, so that nothing is lost when it ends.
"""

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from arms import ARMS, EMBEDDING_DIM, LONG, REFERENCES, short_products
from data import COLD_CLICKS
from scipy.sparse import csr_array
from sklearn.metrics import log_loss, roc_auc_score
from skorch.callbacks import LRScheduler

from semid.ctr import AutoIntClassifier, DCNv2Classifier, DeepFMClassifier, DeepIMClassifier
from semid.metrics import (
    code_nmi,
    collision_rate,
    discriminability,
    effective_rank,
    gauc_score,
    information_abundance,
    singular_spectrum,
)

MODELS = {
    "DeepFM": DeepFMClassifier,
    "DeepIM": DeepIMClassifier,
    "AutoInt+": AutoIntClassifier,
    "DCNv2": DCNv2Classifier,
}
# What no arm chooses for itself.
COMMON = {
    "embedding_dim": EMBEDDING_DIM,
    "hidden_layer_sizes": (128, 64),
    "device": "cpu",
}
SHORT, PATIENT = "short", "patient"  # trainings
_LAST_RATE = 0.2  # of the learning rate, in the last epoch of a short training


class Run(NamedTuple):
    """What a run is, all of it: two runs with the same entries are the same."""

    stage: str
    data: str
    model: str
    arm: str
    n_codes: int
    fusion: str
    learning_rate: float
    forgetting: float
    seed: int  # of the tokenizer and of the click model
    training: str = SHORT


class Decay:
    """Factor of the learning rate in each epoch, from 1 to `_LAST_RATE` along a line."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def __call__(self, epoch):
        return 1 - (1 - _LAST_RATE) * min(epoch / (self.n_epochs - 1), 1)


def training_parameters(training, arm):
    """Return the parameters of the click model that say how long it trains.

    A short training runs a fixed number of epochs while the learning rate falls, and keeps the best of them, with
    products in bfloat16. A patient one is that of the library's defaults: it waits for epochs without gain. The report
    has a table of both.
    """
    n = arm.n_epochs
    if training == PATIENT:
        return {"n_iter_no_change": 6} if n == LONG else {}
    decay = LRScheduler("LambdaLR", lr_lambda=Decay(n))
    return {"max_iter": n, "n_iter_no_change": n, "callbacks": [decay]}


class Scores:
    """Everything the tables say of one set of predictions, of rows of a data set: those of its test, or `matched`."""

    def __init__(self, data, rows):
        self.y = rows["click"].to_numpy()
        self.users = rows["user_id"].to_numpy()
        clicks = data.training_clicks(rows)
        head, middle = popularity_bounds(data)
        self.parts = {
            "warm": clicks > COLD_CLICKS,
            "cold": clicks <= COLD_CLICKS,
            "unseen": data.rows_in_training(rows) == 0,
            "head": clicks >= head,
            "middle": (clicks < head) & (clicks >= middle),
            "tail": clicks < middle,
        }

    def __call__(self, scores, *, are_probabilities=True):
        gauc = gauc_score(self.y, scores, self.users)
        found = {
            "auc": roc_auc_score(self.y, scores),
            "gauc": gauc.score,
            "gauc_coverage": gauc.coverage,
            "log_loss": log_loss(self.y, scores) if are_probabilities else np.nan,
        }
        for name, rows in self.parts.items():
            found[f"rows_{name}"] = int(rows.sum())
            has_both = len(np.unique(self.y[rows])) == 2
            found[f"auc_{name}"] = roc_auc_score(self.y[rows], scores[rows]) if has_both else np.nan
        return found


def popularity_bounds(data):
    """Return the least numbers of training clicks of an item of the head, and of the middle.

    The most popular items that have a third of all training clicks together are the head, those of the next third the
    middle, the others the tail.
    """
    counts = np.sort(data.training_clicks(pd.DataFrame({"item_id": data.item_ids})))[::-1]
    shares = np.cumsum(counts) / counts.sum()
    return tuple(counts[np.searchsorted(shares, share)] for share in (1 / 3, 2 / 3))


def execute(run, data, predictions=None):
    """Fit and score `run`; return one flat record. With a folder for `predictions`, the test's are kept there."""
    if run.arm in REFERENCES:
        return _execute_reference(run, data)
    arm = ARMS[run.arm]
    data = data._replace(fields=[field for field in data.fields if field not in arm.without])
    start = time.perf_counter()
    columns = arm.columns(data, run.n_codes, run.seed)
    tokenizer_seconds = time.perf_counter() - start
    start_of_run = time.perf_counter()
    train, valid, test = (impressions_with(columns, part, data) for part in (data.train, data.valid, data.test))
    parameters = {"fusion": run.fusion, **COMMON, **arm.parameters(data, run.n_codes)}
    parameters |= training_parameters(run.training, arm)
    model = MODELS[run.model](
        learning_rate=run.learning_rate, forgetting=run.forgetting, random_state=run.seed, **parameters
    )
    start = time.perf_counter()
    with short_products() if run.training == SHORT else nullcontext():
        model.fit(train, data.train["click"], eval_set=(valid, data.valid["click"]))
    seconds = time.perf_counter() - start
    probability = model.predict_proba(test)[:, 1]
    if predictions is not None:
        np.save(Path(predictions) / file_name(run), probability.astype(np.float32))
    record = {
        **run._asdict(),
        "valid_auc": float(model.history_["valid_auc"].max()),
        "valid_aucs": model.history_["valid_auc"].round(5).tolist(),
        "rates_auc": float(model.history_["rates_auc"][0]),
        **Scores(data, data.test)(probability),
        **_of_matched(data, lambda rows: model.predict_proba(impressions_with(columns, rows, data))[:, 1]),
        "n_parameters": int(sum(array.size for array in model.state_.values())),
        **_item_storage(train, columns),
        "n_epochs": model.n_iter_,
        "seconds": seconds,
        "tokenizer_seconds": tokenizer_seconds,
        "run_seconds": time.perf_counter() - start_of_run,  # without the codes, which other runs share
    }
    if columns is not None and "item_code0" in columns:
        record |= _of_codes(columns, data)
    if run.model == "DeepFM" and run.stage in ("primary", "scale"):
        record |= _of_representation(model, test, data.test["click"], run.seed)
    return record


def _execute_reference(run, data):
    """Score what needs no model: the clicks of an item in training, and their opposite."""

    def score(rows):
        return REFERENCES[run.arm].sign * data.training_clicks(rows)

    scores = Scores(data, data.test)(score(data.test), are_probabilities=False)
    of_fit = {"valid_auc": np.nan, "seconds": 0.0}  # none was made
    return {**run._asdict(), **of_fit, **scores, **_of_matched(data, score, are_probabilities=False)}


def _of_matched(data, score, **options):
    """Return the AUCs of ``score(rows)`` on the rows whose negatives have as many training clicks, if there are any."""
    if data.matched is None:
        return {}
    found = Scores(data, data.matched)(score(data.matched), **options)
    return {f"matched_{name}": value for name, value in found.items() if name.startswith("auc")}


def impressions_with(columns, impressions, data):
    """Return the fields of `impressions` with what an arm adds for their items."""
    fields = impressions[data.fields]
    if columns is None:
        return fields
    rows = pd.Index(data.item_ids).get_indexer(impressions["item_id"])
    return pd.concat([fields, columns.iloc[rows].set_axis(fields.index)], axis=1)


def file_name(run):
    return "_".join(str(entry).replace("+", "") for entry in run) + ".npy"


def _item_storage(train, columns):
    """Rows of the embedding tables that are the items', and bytes that a server holds for each item beside them.

    A code takes two bytes, a row that ids are hashed to two as well, the number of a vector four.
    """
    of_items = train.filter(regex="^item_(id$|row$|code)")
    vectors = 0 if columns is None else columns.filter(like="item_vector").shape[1]
    codes = of_items.shape[1] - ("item_id" in of_items)
    return {"item_rows": int(of_items.nunique().sum()), "bytes_per_item": 2 * codes + 4 * vectors}


def _of_codes(columns, data):
    """What the codes are like: items that share theirs, what they keep, together and each alone, and say of a click."""
    codes = columns.filter(like="item_code").to_numpy()
    rows = pd.Index(data.item_ids).get_indexer(data.train["item_id"])
    return {
        "collision_rate": collision_rate(codes, data.embeddings),
        "r2": float(columns.attrs["r2"]),
        "cluster_r2": float(np.mean([cluster_r2(data.embeddings, column) for column in codes.T])),
        "code_nmi": float(code_nmi(codes[rows], data.train["click"].to_numpy()).mean()),
    }


def cluster_r2(X, code):
    """Return how good a clustering of `X` one code per item is: the share of variance between its clusters."""
    X = np.asarray(X - X.mean(axis=0), dtype=np.float64)
    counts = np.bincount(code)
    sums = csr_array((np.ones(len(X)), (code, np.arange(len(X)))), shape=(len(counts), len(X))) @ X
    return np.square(sums[counts > 0]).sum(axis=1) @ (1 / counts[counts > 0]) / np.square(X).sum()


def _of_representation(model, test, y, seed):
    """The paper's two definitions: discriminability by clusters, dimension robustness by the spectrum."""
    names = None if model.encoder_.code_groups_ else ["item_id"]
    representation = model.representation(test, columns=names)
    return {
        "nmi": discriminability(representation, y, random_state=seed),
        "information_abundance": information_abundance(representation),
        "effective_rank": effective_rank(representation),
        "spectrum": singular_spectrum(representation, normalize=True).round(6).tolist(),
    }


class RunStore:
    """All runs that were made: a parquet file, and beside it the lines that came in since it was written."""

    def __init__(self, parquet, lines):
        self.parquet, self.lines = Path(parquet), Path(lines)
        self.lines.parent.mkdir(parents=True, exist_ok=True)

    def frame(self):
        """Return all runs, one row each; of a run that was made twice the later one."""
        parts = []
        if self.parquet.exists():
            parts.append(pd.read_parquet(self.parquet))
        if self.lines.exists():
            records = [json.loads(line) for line in self.lines.read_text().splitlines() if line.endswith("}")]
            parts.append(pd.DataFrame(records))
        if not any(map(len, parts)):
            return pd.DataFrame(columns=list(Run._fields))
        runs = pd.concat([part for part in parts if len(part)], ignore_index=True)
        return runs.drop_duplicates(list(Run._fields), keep="last").reset_index(drop=True)

    def missing(self, wanted):
        """Return those of the runs `wanted` that were not made."""
        made = {Run(*entries) for entries in self.frame()[list(Run._fields)].itertuples(index=False, name=None)}
        return [run for run in dict.fromkeys(wanted) if run not in made]

    def add(self, record):
        with self.lines.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def collect(self):
        """Write all runs into the parquet file."""
        runs = self.frame().sort_values(list(Run._fields), kind="stable", ignore_index=True)
        partial = self.parquet.with_suffix(".partial")
        runs.to_parquet(partial, index=False)
        partial.replace(self.parquet)
        return runs
