"""Click models over histories: rates of training and predicting, memory and AUC, beside DIN of other projects.

    python benchmarks/histories.py --zoo FuxiCTR_checkout --output docs/benchmarks.md

Every measurement runs in a process of its own, contenders taking turns, and is added to a file of JSON lines at once;
a run that was stopped goes on. FuxiCTR's wheel has no models: `--zoo` is a checkout of its repository, tag v2.3.7;
without one it is left out, and so are projects that are not installed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from history_peers import ATTENTION_SIZES, DeepCTRTorchDIN, FuxiDIN, TorchRecHubDIN
from machine import OwnMemory, describe_machine, prepare_torch, thread_environment
from records import Records, markdown_table, medians, publish
from sklearn.metrics import roc_auc_score
from torch import nn

from semid.ctr import DeepFMClassifier, DINClassifier
from semid.ctr._fitting import begin, train_module
from semid.ctr._training_data import check_training_data
from semid.engine._impressions import Impressions
from semid.tables._histories import HistoryArray

DIM, SIZES, MAX_LENGTH = 16, (256, 128), 50
BATCH, AUC_BATCH = 4_096, 512  # the second where it is steps that count, not how fast they are
N_ITEMS, N_GROUPS, N_CODES, ROWS_PER_USER = 10_000, 50, 7, 3
LENGTHS = ("full", "geometric")
LEARNING_RATES = (0.001, 0.006)  # default of the others, and ours


class Part(NamedTuple):
    """Impressions: what a contender is given, in the form that semid takes."""

    users: np.ndarray  # (n,)
    items: np.ndarray  # (n,), candidates
    histories: HistoryArray  # (n,), of items
    y: np.ndarray  # (n,)

    def rows(self, rows):
        return Part(*(column[rows] for column in self))


class MadeLog(NamedTuple):
    codes: np.ndarray  # (n_items, N_CODES)
    n_users: int
    train: Part
    valid: Part
    test: Part


def make_log(n_rows, lengths, n_items=N_ITEMS, seed=0):
    """Return impressions whose clicks depend on what their users like, which only their histories tell.

    Each user likes 3 of 50 groups of items; an item of those is clicked with other log-odds. A user has some three
    impressions in training, too few for an embedding of the user's id to learn it.
    """
    rng = np.random.default_rng(seed)
    n_users, n = n_rows // ROWS_PER_USER, n_rows + 2 * (n_rows // 3)
    groups = rng.permutation(n_items) % N_GROUPS
    likes = rng.random((n_users, N_GROUPS)).argsort(axis=1)[:, :3]
    draw = _ByPopularity(groups, rng)
    sequences = draw(likes, np.repeat(np.arange(n_users), MAX_LENGTH + 5), share=0.8)
    users = rng.integers(n_users, size=n)
    items = draw(likes, users, share=0.5)
    is_liked = (likes[users] == groups[items][:, None]).any(axis=1)
    logit = -1.5 + 2.5 * is_liked + 0.5 * rng.standard_normal(n_items)[items]
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    n_entries = np.full(n, MAX_LENGTH)
    if lengths == "geometric":
        n_entries = np.minimum(rng.geometric(1 / 11, size=n) - 1, MAX_LENGTH)
    starts = users * (MAX_LENGTH + 5) + rng.integers(MAX_LENGTH + 6 - n_entries)
    histories = HistoryArray(sequences, np.arange(n_items), starts, starts + n_entries, item="item_id")
    everything, ends = Part(users, items, histories, y), [0, n_rows, n_rows + n_rows // 3, n]
    parts = [everything.rows(np.arange(*ends[i : i + 2])) for i in range(3)]
    return MadeLog(_made_codes(groups, rng), n_users, *parts)


class _ByPopularity:
    """Draws of items by a Zipf law, of one group or of all."""

    def __init__(self, groups, rng):
        self.groups, self.rng = groups, rng
        self.popularity = 1 / rng.permutation(np.arange(1, len(groups) + 1))

    def __call__(self, likes, users, share):
        """Return an item for each of `users`, a `share` of them of a group that the user likes."""
        wanted = likes[users, self.rng.integers(likes.shape[1], size=len(users))]
        wanted[self.rng.random(len(users)) >= share] = -1
        items = np.empty(len(users), dtype=np.int64)
        for group in np.unique(wanted):
            among = np.flatnonzero((self.groups == group) | (group == -1))
            weights = self.popularity[among]
            places = np.flatnonzero(wanted == group)
            items[places] = self.rng.choice(among, size=len(places), p=weights / weights.sum())
        return items


def _made_codes(groups, rng):
    """Return codes of several granularities: the nearest of 16 to 256 items, in a space where a group is a cluster."""
    X = rng.standard_normal((N_GROUPS, 8))[groups] + 0.3 * rng.standard_normal((len(groups), 8))
    sizes = np.geomspace(16, 256, N_CODES).astype(int)
    codes = [((X[:, None] - X[rng.choice(len(X), size)]) ** 2).sum(axis=2).argmin(axis=1) for size in sizes]
    return np.column_stack(codes)


class Ours:
    """A classifier of ours: epochs without the encoding, as in `ctr.Ours`, or a whole fit."""

    def __init__(self, classifier, log, settings, *, with_history=True):
        self.log, self.settings, self.with_history = log, settings, with_history
        self.classifier = classifier.set_params(
            embedding_dim=DIM,
            hidden_layer_sizes=SIZES,
            batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            random_state=settings["seed"],
            device="cpu",
        )

    def prepare(self):
        X, y, weights = check_training_data(self.classifier, self._table(self.log.train), self.log.train.y, None)
        self.module, encoded = begin(self.classifier, X, y, weights, seed=self.settings["seed"])
        self.impressions = Impressions(encoded, y, weights, "cpu", torch.float32)

    def train_epoch(self):
        train_module(self.classifier, self.module, self.impressions, None, 1, 0)

    def train(self, n_epochs):
        self.classifier.set_params(max_iter=n_epochs, validation=None)
        self.classifier.fit(self._table(self.log.train), self.log.train.y)

    def predict(self, part):
        return self.classifier.predict_proba(self._table(part))[:, 1]

    def _table(self, part):
        X = pd.DataFrame({"user_id": part.users, "item_id": part.items})
        histories = part.histories
        if self.settings["with_codes"]:
            codes = self.log.codes[part.items]
            X = X.join(pd.DataFrame(codes, columns=[f"item_id_code{n}" for n in range(N_CODES)]))
            histories = histories.with_codes(self.log.codes, "item_id")
        return X.assign(history=histories) if self.with_history else X


class HandWritten:
    """DIN as one writes it by hand to be fast: padded histories, one table, fused Adam, nothing else."""

    def __init__(self, log, settings, *, is_sparse=False):
        self.log, self.is_sparse, self.settings = log, is_sparse, settings

    def prepare(self):
        torch.manual_seed(self.settings["seed"])
        fields = [np.arange(len(self.log.codes))[:, None]]
        fields += [self.log.codes] if self.settings["with_codes"] else []
        self.module = TightDIN(np.hstack(fields), self.log.n_users, self.is_sparse)
        dense = [weight for name, weight in self.module.named_parameters() if name != "table.weight"]
        kind = torch.optim.SparseAdam if self.is_sparse else torch.optim.Adam
        fused = {} if self.is_sparse else {"fused": True}
        rate = self.settings["learning_rate"]
        self.optimizers = (
            kind([self.module.table.weight], lr=rate, **fused),
            torch.optim.Adam(dense, lr=rate, fused=True),
        )
        self.data = self._tensors(self.log.train)

    def train_epoch(self):
        for rows in torch.randperm(len(self.log.train.y)).split(self.settings["batch_size"]):
            *columns, y = (column[rows] for column in self.data)
            loss = F.binary_cross_entropy_with_logits(self.module(*columns), y)
            loss.backward()
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

    def train(self, n_epochs):
        for _ in range(n_epochs):
            self.train_epoch()

    def predict(self, part):
        with torch.no_grad():
            batches = zip(*(column.split(BATCH) for column in self._tensors(part)[:-1]), strict=True)
            return torch.cat([self.module(*batch) for batch in batches]).sigmoid().numpy()

    def _tensors(self, part):
        history, lengths = padded(part.histories), part.histories.lengths
        return *map(torch.as_tensor, (part.users, part.items + 1, history, lengths)), torch.as_tensor(part.y).float()


class TightDIN(nn.Module):
    """DIN with the parts of W [q, k, q - k, q ∘ k] multiplied out: k (W_k + diag(q) W_p), one product per entry."""

    def __init__(self, fields, n_users, is_sparse):
        super().__init__()
        sizes = fields.max(axis=0) + 2  # a row of padding each
        offsets = np.append(0, np.cumsum(sizes)[:-1])
        rows = np.vstack([offsets, fields + 1 + offsets])
        self.register_buffer("rows", torch.as_tensor(rows))  # of the table, for each item; item 0 is padding
        self.first_user, width = int(sizes.sum()), DIM * fields.shape[1]
        self.table = nn.Embedding(self.first_user + n_users, DIM, sparse=is_sparse)
        nn.init.normal_(self.table.weight, std=0.05)
        self.of_query, self.of_entry = nn.Linear(width, ATTENTION_SIZES[0]), nn.Linear(width, ATTENTION_SIZES[0])
        self.of_product = nn.Linear(width, ATTENTION_SIZES[0], bias=False)
        self.activation, self.out = nn.PReLU(), nn.Linear(ATTENTION_SIZES[0], 1)
        widths = [DIM + 2 * width, *SIZES]
        layers = [layer for i in range(2) for layer in (nn.Linear(*widths[i : i + 2]), nn.ReLU())]
        self.mlp = nn.Sequential(*layers, nn.Linear(SIZES[-1], 1))

    def forward(self, users, items, history, lengths):
        history = history[:, : max(int(lengths.max()), 1)]
        q, k = self.table(self.rows[items]).flatten(1), self.table(self.rows[history]).flatten(2)
        maps = self.of_entry.weight.T + q[:, :, None] * self.of_product.weight.T
        hidden = torch.baddbmm(self.of_query(q)[:, None] + self.of_entry.bias, k, maps)
        is_there = torch.arange(history.shape[1]) < lengths[:, None]
        weights = self.out(self.activation(hidden)).squeeze(2) * is_there
        interest = torch.bmm(weights[:, None], k).squeeze(1)
        return self.mlp(torch.cat([self.table(self.first_user + users), q, interest], dim=1)).squeeze(1)


def padded(histories):
    """Return the entries of histories + 1, (n, MAX_LENGTH) int64, filled up with 0."""
    entries, offsets = histories.gathered()
    is_there = np.arange(MAX_LENGTH) < np.diff(offsets)[:, None]
    array = np.zeros(is_there.shape, dtype=np.int64)
    array[is_there] = entries.astype(np.int64) + 1
    return array


class Theirs:
    """DIN of another project, by its own loop and loader."""

    def __init__(self, peer, log, settings, **parameters):
        self.log, self.with_codes = log, settings["with_codes"]
        sizes = [len(log.codes), *(log.codes.max(axis=0) + 1)] if self.with_codes else [len(log.codes)]
        sizes = [int(size) + 2 for size in sizes]  # padding first, unknown last
        same = {name: settings[name] for name in ("batch_size", "learning_rate", "seed")}
        same |= {"embedding_dim": DIM, "hidden_layer_sizes": SIZES, "n_threads": settings["threads"]}
        sequences = [(size, MAX_LENGTH) for size in sizes]
        self.model = peer("DIN", [log.n_users + 2, *sizes], sequences=sequences, **same, **parameters)

    def prepare(self):
        self.data = self._categories(self.log.train), self.log.train.y
        self.model.prepare(*self.data)

    def train_epoch(self):
        self.model.train_epoch(*self.data)

    def train(self, n_epochs):
        self.prepare()
        for _ in range(n_epochs):
            self.train_epoch()

    def predict(self, part):
        return self.model.predict(self._categories(part))

    def _categories(self, part):
        history = padded(part.histories)
        columns, sequences = [part.users + 1, part.items + 1], [history]
        if self.with_codes:
            codes = np.vstack([np.zeros(N_CODES, dtype=np.int64), self.log.codes + 1])
            columns += list(codes[part.items + 1].T)
            sequences += [codes[history, n] for n in range(N_CODES)]
        return np.hstack([np.column_stack(columns), *sequences])


class Contender(NamedTuple):
    name: str
    build: Callable  # (log, settings, zoo) → an object with prepare, train_epoch, train, predict
    package: str = "torch"
    is_judged: bool = True  # whether its AUC is of interest

    def is_there(self, zoo):
        return find_spec(self.package) is not None and (self.package != "fuxictr" or zoo is not None)


def _ours(name, classifier, **parameters):
    return Contender(name, lambda log, settings, zoo: Ours(classifier(), log, settings, **parameters), "semid")


def _theirs(name, peer, package, **parameters):
    def build(log, settings, zoo):
        zoo_if_any = {"zoo": zoo} if peer is FuxiDIN else {}
        return Theirs(peer, log, settings, **zoo_if_any, **parameters)

    return Contender(name, build, package, is_judged=parameters.get("as_it_comes", True))


WITHOUT = "semid, DeepFM without histories"
REFERENCE = "semid, DIN"
CONTENDERS = [
    _ours(WITHOUT, DeepFMClassifier, with_history=False),
    _ours("semid, DeepFM, mean", lambda: DeepFMClassifier(history_pooling="mean")),
    _ours("semid, DeepFM, attention", lambda: DeepFMClassifier(history_pooling="attention")),
    _ours(REFERENCE, DINClassifier),
    Contender("hand-written DIN", lambda log, settings, zoo: HandWritten(log, settings)),
    Contender(
        "hand-written DIN, sparse rows",
        lambda log, settings, zoo: HandWritten(log, settings, is_sparse=True),
        is_judged=False,
    ),
    _theirs("FuxiCTR, DIN", FuxiDIN, "fuxictr"),
    _theirs("FuxiCTR, DIN, its loop alone", FuxiDIN, "fuxictr", as_it_comes=False),
    _theirs("DeepCTR-Torch, DIN", DeepCTRTorchDIN, "deepctr_torch"),
    _theirs("DeepCTR-Torch, DIN, its loop alone", DeepCTRTorchDIN, "deepctr_torch", as_it_comes=False),
    _theirs("torch-rechub, DIN", TorchRecHubDIN, "torch_rechub"),
]
CONTENDERS = {contender.name: contender for contender in CONTENDERS}


def measure(task):
    """Return the figures of one `task`, in this process."""
    prepare_torch(task["threads"])
    log = make_log(task["rows"], task["lengths"], task["items"])
    contender = CONTENDERS[task["name"]].build(log, task, task["zoo"])
    return _measure_auc(contender, log, task) if task["what"] == "auc" else _measure_rate(contender, log)


def _measure_rate(contender, log):
    with OwnMemory() as memory:
        contender.prepare()
        contender.train_epoch()
        train_seconds = _seconds(contender.train_epoch)
    contender.predict(log.test)
    return {
        "train_rate": len(log.train.y) / train_seconds,
        "predict_rate": len(log.test.y) / _seconds(lambda: contender.predict(log.test)),
        "memory": memory.peak,
    }


def _measure_auc(contender, log, task):
    contender.prepare()
    seconds = _seconds(lambda: contender.train(task["epochs"]))
    aucs = {f"{part}_auc": roc_auc_score(data.y, contender.predict(data)) for part, data in _held_out(log)}
    return {**aucs, "seconds": seconds}


def _held_out(log):
    return [("valid", log.valid), ("test", log.test)]


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure_in_a_fresh_process(task, limit):
    """Return the figures of `task`, or what went wrong."""
    environment = thread_environment(task["threads"]) | {"TQDM_DISABLE": "1"}
    command = [sys.executable, __file__, "--measure", json.dumps(task)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {limit:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def tasks(options):
    """Yield the measurements in the order in which they are made: contenders next to each other, repeats far apart."""
    names = [name for name in options.only or CONTENDERS if CONTENDERS[name].is_there(options.zoo)]
    same = {"items": options.items, "threads": options.threads}
    for repeat in range(options.repeats):
        rate = {"what": "rate", "seed": repeat, "rows": options.rows, "batch_size": BATCH, "learning_rate": 0.001}
        for with_codes, lengths, name in product(options.codes, options.lengths, names):
            yield {"name": name, **rate, "epochs": 1, "with_codes": with_codes, "lengths": lengths, **same}
    judged = [name for name in names if CONTENDERS[name].is_judged]
    for seed in range(options.auc_seeds):
        auc = {"what": "auc", "seed": seed, "rows": options.auc_rows, "batch_size": AUC_BATCH, "lengths": "geometric"}
        for with_codes, name, learning_rate in product(options.codes, judged, LEARNING_RATES):
            setting = {"epochs": options.epochs, "with_codes": with_codes, "learning_rate": learning_rate}
            yield {"name": name, **auc, **setting, **same}


def run(options, records):
    for task in tasks(options):
        if any("error" not in row for row in records.matching(**task)):
            continue
        result = measure_in_a_fresh_process({**task, "zoo": options.zoo}, options.limit)
        records.add({**task, **result})
        print(json.dumps({**task, **result}), file=sys.stderr, flush=True)


def report(options, records):
    """Return the tables of what was measured as `options` ask for."""
    wanted = list(tasks(options))
    sections = [
        describe_machine(options.threads),
        LEGEND.format(**vars(options), dim=DIM, sizes=SIZES, batch=BATCH, auc_batch=AUC_BATCH),
    ]
    for with_codes in options.codes:
        for lengths in options.lengths:
            setting = {"what": "rate", "lengths": lengths, "with_codes": with_codes}
            rows = _rate_rows(records, [task for task in wanted if setting.items() <= task.items()])
            if rows:
                sections += [f"### {_title(**setting)}", markdown_table(rows)]
    rows = _auc_rows(records, [task for task in wanted if task["what"] == "auc"])
    if rows:
        sections += ["### Test AUC", markdown_table(rows)]
    return "\n\n".join(sections)


def _title(what, lengths, with_codes):
    length = "Histories of 50" if lengths == "full" else "Histories of 10 on average, 50 at most"
    return f"{length}, ids {f'and {N_CODES} codes' if with_codes else 'alone'}"


def _finished(records, tasks):
    return [row for task in tasks for row in records.matching(**task) if "error" not in row]


def _rate_rows(records, tasks):
    by_name = {name: _finished(records, [task for task in tasks if task["name"] == name]) for name in CONTENDERS}
    figures = {name: medians(rows) for name, rows in by_name.items() if rows}
    reference = figures.get(REFERENCE)
    rows = []
    for name, row in sorted(figures.items(), key=lambda item: -item[1]["train_rate"]):
        ratio = f"{reference['train_rate'] / row['train_rate']:.2f}" if reference else ""
        rows.append(
            {
                "model": f"**{name}**" if CONTENDERS[name].package == "semid" else name,
                "training, samples/s": f"{row['train_rate']:,.0f}",
                "rate of semid's DIN to it": ratio,
                "predicting, samples/s": f"{row['predict_rate']:,.0f}",
                "memory, MiB": f"{row['memory']:,.0f}",
                "measurements": str(row["n_fits"]),
            }
        )
    return rows


def _auc_rows(records, tasks):
    found = _finished(records, tasks)
    if not found:
        return []
    frame = pd.DataFrame(found).groupby(["with_codes", "name", "learning_rate"], sort=False)
    means = frame[["valid_auc", "test_auc", "seconds"]].mean().reset_index()
    best = means.loc[means.groupby(["with_codes", "name"], sort=False)["valid_auc"].idxmax()]
    best = best.sort_values(["with_codes", "test_auc"], ascending=[True, False])
    return [
        {
            "fields": f"ids and {N_CODES} codes" if row.with_codes else "ids",
            "model": f"**{row.name_}**" if CONTENDERS[row.name_].package == "semid" else row.name_,
            "test AUC": f"{row.test_auc:.4f}",
            "learning rate": f"{row.learning_rate:g}",
            "seconds": f"{row.seconds:.0f}",
        }
        for row in best.rename(columns={"name": "name_"}).itertuples()
    ]


LEGEND = """\
A made log of {items:,} items (Zipf) and a third as many users as impressions, embeddings of {dim}, activation units of
36, MLP {sizes}, batches of {batch:,}, Adam. *Rates*: one epoch of {rows:,} impressions after one that does not count,
and predictions from the table on; *memory*: what preparing the data and those epochs allocate beside the log, of the
main process; medians of {repeats} measurements, each in a process of its own, contenders taking turns. The
hand-written loop pads histories to the longest of a batch and multiplies the activation unit out; with sparse rows, its
table has sparse gradients and SparseAdam. Ours at their defaults: rows of the batch alone, averaged weights, codes
fused. Others as they come (FuxiCTR with three loader processes, DeepCTR-Torch with L2 of 1e-6 and metrics, torch-rechub
with batch norm and L2 of 1e-5) or their loop alone. *Test AUC*: {epochs} epochs of {auc_rows:,} impressions, batches of
{auc_batch}, histories of 10 on average, at the better learning rate of two on validation impressions; what users like
shows in their histories alone, so that a model must beat the one without them."""


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zoo", help="a checkout of FuxiCTR, tag v2.3.7")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, metavar="NAME", help="; ".join(CONTENDERS))
    parser.add_argument("--lengths", nargs="+", choices=LENGTHS, default=LENGTHS)
    parser.add_argument("--codes", nargs="+", type=lambda text: bool(int(text)), default=[False, True], help="0, 1")
    parser.add_argument("--rows", type=int, default=15 * BATCH, help="impressions of an epoch whose rate is measured")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--items", type=int, default=N_ITEMS)
    parser.add_argument("--auc-rows", type=int, default=25 * BATCH)
    parser.add_argument("--auc-seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="of the fits whose AUC is measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a measurement is given up")
    parser.add_argument("--results", default="outputs/histories.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'histories'; without it, print only")
    parser.add_argument("--report", action="store_true", help="measure nothing, only make the tables")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_arguments(arguments)
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    if options.zoo:
        options.zoo = os.fspath(Path(options.zoo).resolve())
    records = Records(options.results)
    if not options.report:
        run(options, records)
    publish(report(options, records), "histories", options.output)


if __name__ == "__main__":
    main()
