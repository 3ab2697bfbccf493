"""Click models: rate of training beside a hand-written loop and other projects, against the vocabulary, and quality.

    python benchmarks/ctr.py rate --zoo FuxiCTR_checkout --output docs/benchmarks.md
    python benchmarks/ctr.py vocabulary --output docs/benchmarks.md
    python benchmarks/ctr.py encoding --output docs/benchmarks.md
    python benchmarks/ctr.py movielens folder --zoo FuxiCTR_checkout --output docs/benchmarks.md
    python benchmarks/ctr.py beauty folder --zoo FuxiCTR_checkout --output docs/benchmarks.md

Contenders take turns in one process; figures are medians. FuxiCTR's wheel has no models: `--zoo` is a checkout of its
repository, tag v2.3.7. Without one, FuxiCTR is left out.
"""

import argparse
import statistics
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent / "study"))
import data as study_data
from ctr_peers import DeepCTRTorch, FuxiCTR
from machine import OwnMemory, describe_machine
from records import markdown_table, publish
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from skorch.callbacks import Callback
from torch import nn

from semid.ctr import AutoIntClassifier, DCNv2Classifier, DeepFMClassifier, DeepIMClassifier
from semid.ctr._encoding import ImpressionEncoder
from semid.ctr._fitting import begin, train_module
from semid.ctr._training_data import check_training_data
from semid.engine._impressions import Impressions
from semid.tokenizers import ResidualKMeansTokenizer

CLASSIFIERS = {
    "DeepFM": DeepFMClassifier,
    "DCNv2": DCNv2Classifier,
    "DeepIM": DeepIMClassifier,
    "AutoInt": AutoIntClassifier,
}
N_ROWS, N_FIELDS, N_VALUES, DIM, SIZES, BATCH = 200_000, 10, 10_000, 16, (256, 128), 4_096


def zipf_impressions(n_rows=N_ROWS, n_fields=N_FIELDS, n_values=N_VALUES, seed=0):
    """Return categories (n_rows, n_fields) by a Zipf law, and random labels."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_values + 1)
    categories = rng.choice(n_values, size=(n_rows, n_fields), p=popularity / popularity.sum())
    return categories, rng.integers(2, size=n_rows)


class TightLoop:
    """DeepFM or DCNv2 as one writes it by hand: one table, fused Adam, batches sliced from tensors, nothing else."""

    def __init__(self, model, categories, y, n_values):
        n_fields = categories.shape[1]
        self.rows = torch.as_tensor(categories + np.arange(n_fields) * n_values)
        self.y = torch.as_tensor(y, dtype=torch.float32)
        self.module = _TightDeepFM(n_fields, n_values) if model == "DeepFM" else _TightDCNv2(n_fields, n_values)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3, fused=True)

    def train_epoch(self):
        for batch in torch.randperm(len(self.y)).split(BATCH):
            self.optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(self.module(self.rows[batch]), self.y[batch]).backward()
            self.optimizer.step()


class _TightDeepFM(nn.Module):
    def __init__(self, n_fields, n_values):
        super().__init__()
        self.embedding = nn.Embedding(n_fields * n_values, DIM)
        self.first_order = nn.Embedding(n_fields * n_values, 1)
        self.mlp = _mlp(n_fields * DIM)
        self.head = nn.Linear(SIZES[-1], 1)

    def forward(self, rows):
        e = self.embedding(rows)
        pairs = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        return self.first_order(rows).sum((1, 2)) + pairs + self.head(self.mlp(e.flatten(1))).squeeze(1)


class _TightDCNv2(nn.Module):
    def __init__(self, n_fields, n_values):
        super().__init__()
        width = n_fields * DIM
        self.embedding = nn.Embedding(n_fields * n_values, DIM)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.mlp = _mlp(width)
        self.head = nn.Linear(width + SIZES[-1], 1)

    def forward(self, rows):
        x0 = x = self.embedding(rows).flatten(1)
        for layer in self.layers:
            x = x0 * layer(x) + x
        return self.head(torch.cat([x, self.mlp(x0)], dim=1)).squeeze(1)


def _mlp(width):
    return nn.Sequential(nn.Linear(width, SIZES[0]), nn.ReLU(), nn.Linear(*SIZES), nn.ReLU())


class Ours:
    """Epochs of one of our classifiers, without the encoding: the only place that knows how `fit` is made."""

    def __init__(self, model, categories, y, **parameters):
        self.classifier = CLASSIFIERS[model](
            embedding_dim=DIM,
            hidden_layer_sizes=SIZES,
            categorical_features=list(range(categories.shape[1])),
            batch_size=BATCH,
            random_state=0,
            **parameters,
        )
        X, labels, weights = check_training_data(self.classifier, categories, y, None)
        self.module, encoded = begin(self.classifier, X, labels, weights, seed=0)
        self.impressions = Impressions(encoded, labels, weights, "cpu", torch.float32)

    def train_epoch(self):
        train_module(self.classifier, self.module, self.impressions, None, 1, 0)


class Theirs:
    """Epochs of another project's model."""

    def __init__(self, peer, model, categories, y, n_values, **parameters):
        self.data = categories + 2, y
        sizes = [n_values + 2] * categories.shape[1]
        settings = {"embedding_dim": DIM, "hidden_layer_sizes": SIZES, "batch_size": BATCH, "learning_rate": 1e-3}
        self.model = peer(model, sizes, seed=0, **settings, **parameters)
        self.model.prepare(*self.data)

    def train_epoch(self):
        self.model.train_epoch(*self.data)


def measure_rate(repeats, zoo):
    """Return rows for a table: samples per second of each contender."""
    categories, y = zipf_impressions()
    rows = []
    for model in ("DeepFM", "DCNv2"):
        contenders = {
            "hand-written loop": TightLoop(model, categories, y, N_VALUES),
            "**semid**": Ours(model, categories, y),
            "DeepCTR-Torch": Theirs(DeepCTRTorch, model, categories, y, N_VALUES),
            "DeepCTR-Torch, its loop alone": Theirs(DeepCTRTorch, model, categories, y, N_VALUES, as_it_comes=False),
        }
        if zoo:
            contenders["FuxiCTR"] = Theirs(FuxiCTR, model, categories, y, N_VALUES, zoo=zoo)
            contenders["FuxiCTR, its loop alone"] = Theirs(
                FuxiCTR, model, categories, y, N_VALUES, zoo=zoo, as_it_comes=False
            )
        seconds = take_turns({name: contender.train_epoch for name, contender in contenders.items()}, repeats)
        ours = seconds["**semid**"]
        for name, median in sorted(seconds.items(), key=lambda item: item[1]):
            rows.append(
                {
                    "model": model,
                    "loop": name,
                    "samples/s": f"{N_ROWS / median:,.0f}",
                    "semid's rate to it": f"{median / ours:.2f}",
                }
            )
    return rows


def take_turns(tasks, repeats):
    """Return the median seconds of each task, after one round that does not count."""
    rounds = [{name: _seconds(task) for name, task in tasks.items()} for _ in range(repeats + 1)]
    return {name: statistics.median(times[name] for times in rounds[1:]) for name in tasks}


def _seconds(task):
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


class EpochTimes(Callback):
    """When each epoch of a fit ended, its evaluation with it."""

    ends: ClassVar[list[float]] = []

    def on_epoch_end(self, net, **kwargs):
        self.ends.append(time.perf_counter())


class StepTimes(Callback):
    """When each step of a fit ended; a fit trains a copy, hence the list of the class."""

    ends: ClassVar[list[float]] = []

    def on_batch_end(self, net, training=True, **kwargs):
        if training:
            self.ends.append(time.perf_counter())


def measure_vocabulary(sizes=(10_000, 100_000, 1_000_000, 10_000_000), n_steps=60):
    """Return rows for a table: milliseconds per step of DeepFM, and memory, against the rows of its table."""
    rows = []
    for n_rows in sizes:
        n_values = n_rows // N_FIELDS
        X, y = zipf_impressions(n_steps * BATCH, n_values=n_values)
        classifier = DeepFMClassifier(
            embedding_dim=DIM,
            hidden_layer_sizes=SIZES,
            categorical_features=list(range(N_FIELDS)),
            batch_size=BATCH,
            max_iter=1,
            validation=None,
            callbacks=[StepTimes()],
            warm_start=True,
            random_state=0,
        )
        every_value = np.repeat(np.arange(n_values)[:, None], N_FIELDS, axis=1)
        classifier.fit(every_value, np.arange(n_values) % 2)  # gives each a row, which the next fit keeps
        StepTimes.ends.clear()
        with OwnMemory() as memory:
            classifier.fit(X, y)
        row = {
            "rows of the table": f"{n_rows:,}",
            "weights, MiB": f"{n_rows * (DIM + 1) * 4 / 2**20:,.0f}",
            "ms a step": f"{1000 * np.median(np.diff(StepTimes.ends)[5:]):.1f}",
            "MiB": f"{memory.peak:,.0f}",
        }
        rows.append(row)
        print(row, flush=True)
    return rows


def measure_encoding(n_rows):
    """Return a row for a table: encoding and one epoch of a DataFrame with strings and categories."""
    rng = np.random.default_rng(0)
    X = {}
    for n, n_values in enumerate(np.geomspace(10, 1_000_000, 20).astype(int)):
        codes = np.minimum(rng.zipf(1.3, n_rows) - 1, n_values - 1)
        if n % 2:
            X[f"text_{n}"] = pd.Series(np.array([f"value {v}" for v in range(n_values)])[codes], dtype="str")
        else:
            X[f"kind_{n}"] = pd.Categorical.from_codes(codes, categories=[f"k{v}" for v in range(n_values)])
    X, y = pd.DataFrame(X), rng.integers(2, size=n_rows)
    data = X.memory_usage(deep=True).sum() / 2**20
    encoder = ImpressionEncoder("auto", "auto", "auto", 1, 1)
    weights = np.ones(n_rows)
    encoding = _seconds(lambda: encoder.fit_encode(X, weights))
    with OwnMemory() as memory:
        model = DeepFMClassifier(max_iter=1, batch_size=8_192, validation=None, random_state=0)
        fit = _seconds(lambda: model.fit(X, y))
    return [
        {
            "impressions": f"{n_rows:,}",
            "data, MiB": f"{data:,.0f}",
            "encoding, s": f"{encoding:.1f}",
            "fit of one epoch, s": f"{fit:.1f}",
            "memory of the fit, MiB": f"{memory.peak:,.0f}",
            "data and fit, of the data": f"{1 + memory.peak / data:.2f}",
        }
    ]


def movielens(folder):
    """Return the columns of MovieLens 100K, genres as lists, the labels, and the parts of a time split."""
    folder = Path(folder)
    ratings = pd.read_parquet(folder / "ml100k_ratings.parquet").sort_values("timestamp", kind="stable")
    users = pd.read_parquet(folder / "ml100k_users.parquet")[["user_id", "age", "gender", "occupation"]]
    items = pd.read_parquet(folder / "ml100k_items.parquet")[["item_id", "class"]]
    X = ratings.merge(users, on="user_id", how="left").merge(items, on="item_id", how="left")
    genres = X["class"].fillna("").astype(str).str.split()
    X = X[_FIELDS].astype(str).assign(genres=genres.tolist())
    ends = [0, int(0.8 * len(X)), int(0.9 * len(X)), len(X)]
    y = (ratings["rating"].to_numpy() > 3).astype(int)
    return X, y, [slice(a, b) for a, b in pairwise(ends)]


def beauty(folder):
    """Return user, item and three codes of the study's impressions of Amazon Beauty, labels, and the parts."""
    data = study_data.load("beauty", folder)
    parts = [data.train, data.valid, data.test]
    X = pd.concat(parts, ignore_index=True)
    tokenizer = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=256, random_state=0)
    names = ["code0", "code1", "code2"]
    X[names] = tokenizer.fit_transform(data.embeddings)[pd.Index(data.item_ids).get_indexer(X["item_id"])]
    slices = [slice(a, b) for a, b in pairwise(np.cumsum([0, *map(len, parts)]))]
    return X[[*data.fields, *names]].astype(str), X["click"].to_numpy(), slices


class Quality(NamedTuple):
    """What one fit reached at its best epoch on validation, and its way there."""

    auc: float  # of the test
    log_loss: float
    seconds: float  # until that epoch
    valid_aucs: np.ndarray  # (n_epochs,)
    ends: np.ndarray  # (n_epochs,) seconds

    def seconds_to(self, auc):
        """Return the seconds until an epoch reaches a validation AUC, NaN if none does."""
        reached = np.flatnonzero(self.valid_aucs >= auc)
        return self.ends[reached[0]] if len(reached) else np.nan


def measure_quality(data, models, zoo, seeds, settings, n_epochs=20):
    """Return rows for a table: test AUC and log loss at the best epoch on validation, mean over seeds."""
    X, y, parts = data
    encoder = ImpressionEncoder("auto", "auto", "auto", 1, 1)
    encoder.fit_encode(X[parts[0]], np.ones(parts[0].stop))
    encoded = encoder.encode(X)
    entries = [column.padded() for column in encoded.lists]
    categories = np.hstack([encoded.categories, *entries]).astype(np.int64)
    sizes = encoder.shapes.list_vocabulary_sizes
    sequences = [(size, column.shape[1]) for size, column in zip(sizes, entries, strict=True)]
    rows = []
    for model in models:
        found = {}
        for seed in seeds:
            same = {"batch_size": settings["batch_size"], "learning_rate": settings["learning_rate"]}
            ours = CLASSIFIERS[model](random_state=seed, max_iter=n_epochs, forgetting=0.0, **same)
            found.setdefault("**semid**, FuxiCTR's batches and rate", []).append(_our_quality(ours, X, y, parts))
            ours = CLASSIFIERS[model](random_state=seed)
            found.setdefault("**semid**, defaults", []).append(_our_quality(ours, X, y, parts))
            if zoo:
                peer = FuxiCTR(
                    model, encoder.shapes.vocabulary_sizes, sequences=sequences, seed=seed, zoo=zoo, **settings
                )
                found.setdefault("FuxiCTR", []).append(_their_quality(peer, categories, y, parts, n_epochs))
            print(model, {name: [round(v, 4) for v in fits[-1][:3]] for name, fits in found.items()}, flush=True)
        rows += [_quality_row(model, name, fits, found.get("FuxiCTR")) for name, fits in found.items()]
    return rows


def floor_rows(data):
    """Return the rows of scikit-learn's models on the fields of `movielens`."""
    X, y, (train, _, test) = data
    rows = []
    for name, floor in scikit_learn_floor().items():
        seconds = _seconds(lambda floor=floor: floor.fit(X[train], y[train]))
        probability = floor.predict_proba(X[test])[:, 1]
        fit = Quality(roc_auc_score(y[test], probability), log_loss(y[test], probability), seconds, [], [])
        rows.append(_quality_row(name, "scikit-learn", [fit]))
    return rows


def _quality_row(model, loop, fits, peers=None):
    auc, loss = np.mean([fit[:2] for fit in fits], axis=0)
    row = {
        "model": model,
        "loop": loop,
        "test AUC": f"{auc:.4f}",
        "spread": f"{np.ptp([fit.auc for fit in fits]):.4f}",
        "log loss": f"{loss:.4f}",
        "s to the best epoch": f"{np.median([fit.seconds for fit in fits]):.1f}",
    }
    if peers is None:
        return row | {"s to FuxiCTR's AUC": "", "of its s": ""}
    seconds = [fit.seconds_to(peer.valid_aucs.max()) for fit, peer in zip(fits, peers, strict=True)]
    ratios = [own / peer.seconds for own, peer in zip(seconds, peers, strict=True)]
    if not np.isfinite(seconds).all():
        n_reached = np.isfinite(seconds).sum()
        return row | {"s to FuxiCTR's AUC": f"reached by {n_reached} of {len(fits)}", "of its s": ""}
    return row | {"s to FuxiCTR's AUC": f"{np.median(seconds):.1f}", "of its s": f"{np.median(ratios):.2f}"}


def scikit_learn_floor():
    """Return scikit-learn's models on the fields of `movielens`, by name: what every click model has to beat."""
    genres = make_pipeline(FunctionTransformer(_joined), CountVectorizer())
    one_hot = OneHotEncoder(handle_unknown="ignore")
    linear = ColumnTransformer([("fields", one_hot, _FIELDS), ("genres", genres, "genres")])
    ids, kinds = ["user_id", "item_id"], ["age", "gender", "occupation"]
    dense = ColumnTransformer(
        [
            (
                "ids",
                TargetEncoder(cv=StratifiedKFold(shuffle=True, random_state=0)),
                ids,
            ),  # more values than a tree splits on
            ("kinds", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), kinds),
            ("genres", genres, "genres"),
        ],
        sparse_threshold=0,
    )
    return {
        "logistic regression": make_pipeline(linear, LogisticRegression(C=0.1, max_iter=1000)),
        "gradient boosting": make_pipeline(dense, HistGradientBoostingClassifier(random_state=0)),
    }


_FIELDS = ["user_id", "item_id", "age", "gender", "occupation"]


def _joined(lists):
    return [" ".join(entries) for entries in lists]


def _our_quality(model, X, y, parts):
    train, valid, test = parts
    EpochTimes.ends.clear()
    start = time.perf_counter()
    model.set_params(callbacks=[EpochTimes()]).fit(X[train], y[train], eval_set=(X[valid], y[valid]))
    ends = np.array(EpochTimes.ends) - start
    probability = model.predict_proba(X[test])[:, 1]
    valid_aucs = model.history_["valid_auc"]
    scores = roc_auc_score(y[test], probability), log_loss(y[test], probability)
    return Quality(*scores, ends[valid_aucs.argmax()], valid_aucs, ends)


def _their_quality(peer, categories, y, parts, n_epochs, patience=2):
    train, valid, test = parts
    valid_aucs, seconds, best, scores = [], [], -1, None
    peer.prepare(rows := categories[train], labels := y[train])
    while len(seconds) < n_epochs and len(seconds) - 1 - best < patience:
        seconds.append(_seconds(lambda: peer.train_epoch(rows, labels)))
        valid_aucs.append(roc_auc_score(y[valid], peer.predict(categories[valid])))
        if best < 0 or valid_aucs[-1] > valid_aucs[best]:
            best = len(valid_aucs) - 1
            probability = peer.predict(categories[test])
            scores = roc_auc_score(y[test], probability), log_loss(y[test], probability.clip(1e-7, 1 - 1e-7))
    ends = np.cumsum(seconds)
    return Quality(*scores, ends[best], np.array(valid_aucs), ends)


_QUALITY = """\
Best epoch on the validation part, test AUC of that epoch, mean over seeds and largest less smallest ("spread");
medians of seconds. FuxiCTR stops after two epochs without a better one; its seconds are those of training alone, ours
of the fit from its call on, with encoding and evaluations. With FuxiCTR's batches and rate, ours forgets nothing. The
last columns: seconds until our validation AUC is at FuxiCTR's best of the same seed, and their ratio to its seconds."""
LEGENDS = {
    "rate": f"""\
One epoch over {N_ROWS:,} impressions of {N_FIELDS} fields with {N_VALUES:,} values each (Zipf), embeddings of {DIM},
MLP {SIZES}, batches of {BATCH:,}, Adam; median, contenders taking turns. The hand-written loop has one table, fused
Adam and nothing else. Ours at their defaults: rows of the batch alone, averaged weights. FuxiCTR as it comes: embedding
L2 of 1e-8 as in its example configuration, three loader processes; DeepCTR-Torch as it comes: L2 of 1e-5, metrics.""",
    "vocabulary": f"""\
DeepFM, {N_FIELDS} fields, Zipf, embeddings of {DIM} and a first-order weight, batches of {BATCH:,}. Memory is the peak
that a fit allocates which goes on with a table of so many rows; for each row weights, their average, second moments,
rates and two counters.""",
    "encoding": """\
Twenty columns, ten of strings and ten of categories, with 10 to a million values each. Memory of the fit is what it
allocates beside the data.""",
    "movielens": f"""\
MovieLens 100K: click = rating > 3, split by time 80/10/10; user, item, age, gender, occupation, genres (mean-pooled).
{_QUALITY}
scikit-learn's models, the floor, are fitted once: one-hot fields, or ids by their target's mean in trees.""",
    "beauty": f"""\
Amazon Beauty, leave-last-out, a uniform negative for each click; user, item and three codes of 256 (residual k-means).
{_QUALITY}""",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=LEGENDS)
    parser.add_argument("folder", nargs="?", help="of the files, for movielens and beauty")
    parser.add_argument("--zoo", help="a checkout of FuxiCTR, tag v2.3.7")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=10_000_000, help="impressions, for encoding")
    parser.add_argument(
        "--models", nargs="*", default=list(CLASSIFIERS), choices=CLASSIFIERS, help="for movielens and beauty"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", help="markdown page with the markers 'ctr_<what>'; without it, print only")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.what == "rate":
        rows = measure_rate(arguments.repeats, arguments.zoo)
    elif arguments.what == "vocabulary":
        rows = measure_vocabulary()
    elif arguments.what == "encoding":
        rows = measure_encoding(arguments.rows)
    else:
        data = (movielens if arguments.what == "movielens" else beauty)(arguments.folder)
        settings = {"embedding_dim": 16, "hidden_layer_sizes": SIZES, "batch_size": 1024, "learning_rate": 1e-3}
        settings["n_threads"] = arguments.threads
        rows = measure_quality(data, arguments.models, arguments.zoo, arguments.seeds, settings)
        rows += floor_rows(data) if arguments.what == "movielens" else []
    text = "\n\n".join([describe_machine(arguments.threads), LEGENDS[arguments.what], markdown_table(rows)])
    publish(text, f"ctr_{arguments.what}", arguments.output)


if __name__ == "__main__":
    main()
