"""What a GPU makes of it: codes beside those of the CPU, training beside the limits of the card, and what stays there.

    python benchmarks/gpu.py scratch_folder --output docs/benchmarks.md
    python benchmarks/gpu.py scratch_folder --only limits codes --output docs/benchmarks.md
    python benchmarks/gpu.py scratch_folder --small --device cpu

The folder gets 18 GB of made embeddings, kept for the next run. Every case is added to a file of JSON lines as soon as
it is measured, and a run leaves out what is there already: for the same card and the same sources of `semid`. The exit
status is 1 where codes differ too often, a step waits for the card, memory stays there, or a case came to an error.

The last line above tries the script on so few items, and without a GPU, that it says nothing but that it runs.
"""

import argparse
import gc
import statistics
import sys
import time
import warnings
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import torch
from contenders import CONTENDERS
from machine import describe_machine
from records import Records, markdown_table, publish
from scale import catalogue
from sklearn.model_selection import GridSearchCV
from torch import nn

from semid.ctr import DCNv2Classifier
from semid.engine import _catalogue
from semid.engine._autoencoder_training import Training
from semid.engine._click_net import ClickNet
from semid.nn._quantizers import ParallelQuantizer
from semid.tokenizers import MixtureOfCodesTokenizer, ResidualKMeansTokenizer, RQVAETokenizer

FLOAT = 4  # bytes
LEAST_EQUAL = 0.9999  # share of items whose codes on the card are those of the CPU
# As in semid.tokenizers._base: what float32 leaves in doubt is encoded in float64, where closer ones count as one.
FLOAT32_DOUBT, FLOAT64_TIE = 3e-5, 1e-11


class Sizes(NamedTuple):
    code_items: int  # encoded on the card and on the CPU
    code_features: int
    items: int  # that tokenizers are trained on
    n_features: int
    n_impressions: int
    n_ids: int  # of all fields together
    click_batches: tuple[int, ...]  # batch sizes of the click model
    n_epochs: int  # the first of them warms up
    grid_rows: int  # of the GridSearchCV
    matrix: int  # rows and columns of the product that the matrix rate is measured with
    copied: int  # bytes of the copy that the memory's rate is measured with
    architecture: dict  # of autoencoders


FULL = Sizes(1_000_000, 384, 1_000_000, 4_096, 50_000_000, 10_000_000, (2_048, 65_536), 3, 20_000, 8_192, 2**32, {})
SMALL = Sizes(
    600, 16, 600, 16, 3_000, 200, (256,), 2, 400, 64, 2**16,
    {"codebook_size": 8, "hidden_layer_sizes": (16,), "latent_dim": 8, "batch_size": 64},
)  # fmt: skip
N_FIELDS = 10


class Card:
    """A device to measure on. On the CPU, which `--small` allows, nothing is held and nobody waits."""

    def __init__(self, device):
        self.device = torch.device(device)
        self.is_gpu = self.device.type == "cuda"
        self.name = torch.cuda.get_device_name(self.device) if self.is_gpu else "no card, the CPU"

    def synchronize(self):
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def seconds(self, work):
        """Return how long ``work()`` takes, all that it has put in the queue of the card included."""
        self.synchronize()
        start = time.perf_counter()
        work()
        self.synchronize()
        return time.perf_counter() - start

    def held(self):
        """Return the bytes that tensors hold on the card, once nothing is left that nobody can reach."""
        gc.collect()
        if not self.is_gpu:
            return 0
        torch.cuda.empty_cache()
        return torch.cuda.memory_allocated(self.device)

    @contextmanager
    def peak(self):
        """Give a function that returns the most bytes held at once so far, from here on."""
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        yield lambda: torch.cuda.max_memory_allocated(self.device) if self.is_gpu else 0

    @contextmanager
    def waits(self):
        """Give a Counter that, on leaving, has the places in which the host waited for the card."""
        places = Counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if self.is_gpu:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                yield places
            finally:
                if self.is_gpu:
                    torch.cuda.set_sync_debug_mode("default")
        told = [warning for warning in caught if "synchronizing CUDA operation" in str(warning.message)]
        places.update(f"{Path(warning.filename).name}:{warning.lineno}" for warning in told)


@contextmanager
def around_epochs(watch):
    """Run each epoch of training, of tokenizers and of click models, inside of the context ``watch()``."""

    def watched(run_epoch):
        def run(*args, **kwargs):
            with watch() if kwargs.get("training", True) else nullcontext():  # skorch's net also scores epochs
                return run_epoch(*args, **kwargs)

        return run

    with (
        mock.patch.object(Training, "run_epoch", watched(Training.run_epoch)),
        mock.patch.object(ClickNet, "run_single_epoch", watched(ClickNet.run_single_epoch)),
    ):
        yield


# --- The limits of the card ---


def measure_limits(card, sizes):
    """Return the rates of memory, of matrix products at the precision in use, and of copies from pageable memory."""
    n_numbers = sizes.copied // FLOAT
    x, y = torch.zeros(n_numbers, device=card.device), torch.empty(n_numbers, device=card.device)
    a, b = torch.randn(2, sizes.matrix, sizes.matrix, device=card.device)
    on_host = torch.zeros(n_numbers // 16)
    return {
        "bytes_per_second": 2 * FLOAT * n_numbers / _median_seconds(card, lambda: y.copy_(x)),
        "operations_per_second": 2 * sizes.matrix**3 / _median_seconds(card, lambda: a @ b),
        "copied_per_second": FLOAT * len(on_host) / _median_seconds(card, lambda: on_host.to(card.device, copy=True)),
        "precision": torch.get_float32_matmul_precision(),
    }


def _median_seconds(card, work, n_times=10):
    return statistics.median(card.seconds(work) for _ in range(n_times + 3)[3:])


class Work(NamedTuple):
    """What a step of training asks for at the least."""

    operations: int  # of matrix products: two for each multiplication
    bytes: int  # to and from the card's memory, if no array stays in a cache between two that need it
    copied: int  # bytes from the host


# Passes of a training step over the numbers of an array: each is written once by what makes it, and read once by each
# that needs it. Of a batch (B, n_features) and its reconstruction:
BATCH_PASSES = {
    "gathered": 2,
    "gathered again, in another order, and mixed (mixup)": 5,
    "read by the two maps that see it, and again for their gradients": 4,
    "reconstruction: written by two maps and added": 5,
    "error: difference, square, mean": 5,
    "their gradients, down to what both maps of the decoder read, twice each": 8,
}
# Of the units of a hidden layer: forward, ReLU and the next layer; backward, the same and the gradient of the weights.
UNIT_PASSES = {"made": 1, "ReLU": 2, "read": 1, "gradient made": 1, "ReLU's gradient": 3, "read, with the units": 3}
# Of weights: forward, gradient of the input, gradient made; the optimizer reads four arrays and writes three.
WEIGHT_PASSES = {"forward": 1, "backward": 1, "gradient": 1, "optimizer": 7}
SCORE_PASSES = {"distances to all code vectors": 1, "argmin": 1}
# Of the embeddings (B, fields · dim): rows, moments aside, are gathered, caught up, looked up, and written back.
EMBEDDING_PASSES = {
    "rows and their averages gathered": 4,
    "both caught up": 5,
    "looked up": 2,
    "gradient added up by row, and taken by slot": 4,
    "step": 5,
    "average moved": 3,
    "rows and averages written back": 4,
}
# Of x_l (B, fields · dim) in a cross layer: product, x0 ⊙ (...) + x; backward through both.
CROSS_PASSES = {"product": 2, "addcmul": 4, "its gradients": 6, "gradients of the product": 3}
# Of an id of a batch: int32 → int64, eight passes of a radix sort of ids and places, and about sixty over what its row
# has one float64 of each, such as its rate and the steps since it was touched.
ID_BYTES = 4 + 8 + 2 * 8 * 8 + 60 * 8
AVERAGE_PASSES = 3  # of the weights of a click model


def work_of_tokenizer(tokenizer, is_resident):
    """Return the `Work` of a step of a fitted tokenizer, whose catalogue is on the card or read batch by batch."""
    module, batch, n_features = tokenizer._build_module(), tokenizer.batch_size, tokenizer.n_features_in_
    linears = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    n_weights = sum(layer.weight.numel() for layer in linears)
    # The embeddings need no gradient.
    n_first = sum(layer.weight.numel() for layer in module.encoder.modules() if _reads(layer, n_features))
    n_units = sum(layer.out_features for layer in linears if layer.out_features != n_features)
    n_scores = sum(len(codebook) for codebook in module.quantizer.codebooks)
    n_code_numbers = sum(codebook.code_vectors.numel() for codebook in module.quantizer.codebooks)
    numbers = (
        batch * n_features * _passes(BATCH_PASSES)
        + batch * n_units * _passes(UNIT_PASSES)
        + batch * n_scores * _passes(SCORE_PASSES)
        + n_weights * _passes(WEIGHT_PASSES)
    )
    operations = 2 * batch * (3 * n_weights - n_first + n_code_numbers)
    return Work(operations, FLOAT * numbers, 0 if is_resident else FLOAT * batch * n_features)


def work_of_dcnv2(classifier, batch):
    """Return the `Work` of a step of a fitted `DCNv2Classifier`, all of its fields categorical."""
    module = classifier._build_module()
    n_fields, dim = classifier.fields_.shapes.n_fields, classifier.embedding_dim
    linears = [layer for layer in module.body.modules() if isinstance(layer, nn.Linear)]
    n_weights = sum(layer.weight.numel() for layer in linears)
    n_units = sum(layer.out_features for layer in linears) - classifier.n_cross_layers * n_fields * dim
    numbers = (
        batch * n_fields * dim * _passes(EMBEDDING_PASSES)
        + batch * n_fields * dim * _passes(CROSS_PASSES) * classifier.n_cross_layers
        + batch * n_units * _passes(UNIT_PASSES)
        + n_weights * (_passes(WEIGHT_PASSES) + AVERAGE_PASSES)
    )
    return Work(2 * batch * 3 * n_weights, FLOAT * numbers + batch * n_fields * ID_BYTES, 0)


def _passes(passes):
    return sum(passes.values())


def _reads(layer, n_features):
    return isinstance(layer, nn.Linear) and layer.in_features == n_features


# --- Codes ---


def tokenizers(card, sizes, **parameters):
    """Return the tokenizers to compare, by name."""
    parameters |= {"device": str(card.device), "random_state": 0}
    autoencoder = sizes.architecture | parameters
    size = {name: value for name, value in sizes.architecture.items() if name == "codebook_size"}
    return {
        "RQ-VAE": RQVAETokenizer(**autoencoder),
        "MoC": MixtureOfCodesTokenizer(**autoencoder),
        "residual k-means": ResidualKMeansTokenizer(**size, device=str(card.device), random_state=0),
    }


def compare_codes(card, sizes, folder, name, precision):
    """Return how many items have the same codes from the card and from the CPU, and why the others have not."""
    X = np.load(catalogue(folder, sizes.code_items, sizes.code_features), mmap_mode="r")
    tokenizer = tokenizers(card, sizes, max_iter=sizes.n_epochs)[name].fit(X[: len(X) // 20])
    results = {}
    with matmul_precision(precision):
        seconds = card.seconds(lambda: results.update(card=tokenizer.transform(X)))
    tokenizer.set_params(device="cpu")
    seconds_cpu = card.seconds(lambda: results.update(cpu=tokenizer.transform(X)))
    differing = np.flatnonzero((results["card"] != results["cpu"]).any(axis=1))
    leads = leads_where_codes_differ(tokenizer, X[differing], results["card"][differing], results["cpu"][differing])
    return {
        "items": len(X),
        "equal": 1 - len(differing) / len(X),
        "rows_per_second": len(X) / seconds,
        "rows_per_second_cpu": len(X) / seconds_cpu,
        "ties": int((leads <= 2 * FLOAT64_TIE).sum()),
        "in_doubt": int(((leads > 2 * FLOAT64_TIE) & (leads <= FLOAT32_DOUBT)).sum()),
        "beyond": int((leads > FLOAT32_DOUBT).sum()),
        "largest_lead": float(leads.max(initial=0.0)),
    }


@contextmanager
def matmul_precision(precision):
    """Let matrix products of float32 have that precision: "high" allows TF32, which keeps 10 bits of a number."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def leads_where_codes_differ(tokenizer, X, codes, other_codes):
    """Return by how much the nearest code vector leads the second nearest where an item's codes first differ, (n,).

    In float64 on the CPU, as a share of |x|² and the largest |e|²: the unit of `FLOAT32_DOUBT` and `FLOAT64_TIE`.
    """
    module = tokenizer._live.get(tokenizer._build_module, tokenizer.state_, torch.device("cpu"), torch.float64)
    first = (codes != other_codes).argmax(axis=1)
    leads = np.empty(len(X))
    for n, codebook in enumerate(module.quantizer.codebooks):
        rows = np.flatnonzero(first == n)
        if not len(rows):
            continue
        z = module.encoder(module.standardize(torch.tensor(np.asarray(X[rows]), dtype=torch.float64)))
        x = _input_of_codebook(module.quantizer, n, z, torch.from_numpy(codes[rows]))
        nearest, second = codebook.scores(x).topk(2, dim=1, largest=False).values.T
        leads[rows] = ((second - nearest) / (x.square().sum(1) + codebook.largest_norm())).numpy()
    return leads


def _input_of_codebook(quantizer, n, z, codes):
    """Return what codebook `n` quantizes of the latents `z` that have the `codes`, as far as it depends on these."""
    if isinstance(quantizer, ParallelQuantizer):
        return quantizer.down[n](z)
    before = [book.code_vectors[code] for book, code in zip(quantizer.codebooks[:n], codes.T, strict=False)]
    return z - sum(before) if before else z


# --- Training ---


def train_tokenizer(card, sizes, folder, name, is_resident):
    """Return the rate of training on embeddings in a mapped file, read batch by batch or held on the card."""
    X = np.load(catalogue(folder, sizes.items, sizes.n_features), mmap_mode="r")
    tokenizer = tokenizers(card, sizes, max_iter=sizes.n_epochs)[name]
    with mock.patch.object(_catalogue, "RESIDENT_NUMBERS", X.size if is_resident else _catalogue.RESIDENT_NUMBERS):
        figures = _train(card, lambda: tokenizer.fit(X), len(X), tokenizer.batch_size)
        work = work_of_tokenizer(tokenizer, X.size <= _catalogue.RESIDENT_NUMBERS)
    return figures | work._asdict() | {"r2": float(tokenizer.history_["r2"][-1])}


def train_dcnv2(card, sizes, batch):
    X, y = impressions(sizes.n_impressions, sizes.n_ids)
    classifier = click_model(card, batch_size=batch, max_iter=sizes.n_epochs)
    figures = _train(card, lambda: classifier.fit(X, y), len(X), batch)
    n_rows = sum(classifier.fields_.shapes.vocabulary_sizes)
    return figures | work_of_dcnv2(classifier, batch)._asdict() | {"rows_of_table": n_rows}


def click_model(card, **parameters):
    return DCNv2Classifier(device=str(card.device), validation=None, random_state=0, **parameters)


def _train(card, fit, n_rows, batch):
    """Return the seconds and the peak memory of a fit, and of its epochs after the first."""
    epochs = []

    @contextmanager
    def timed():
        card.synchronize()
        start = time.perf_counter()
        yield
        card.synchronize()
        epochs.append(time.perf_counter() - start)

    with around_epochs(timed), card.peak() as peak:
        fit_seconds = card.seconds(fit)
    epoch = statistics.median(epochs[1:])
    return {
        "rows": n_rows,
        "batch": batch,
        "epoch_seconds": epoch,
        "fit_seconds": fit_seconds,
        "rows_per_second": n_rows / epoch,
        "step_seconds": epoch / -(-n_rows // batch),
        "peak": peak(),
    }


def impressions(n_rows, n_ids, seed=0, block=1_000_000):
    """Return a table of `N_FIELDS` columns with `n_ids` ids in all, each met at least once, and random labels.

    Made in blocks that do not depend on one another; ids by a Zipf law: the logarithm of their rank is uniform.
    """
    n_values = n_ids // N_FIELDS
    categories, y = np.empty((N_FIELDS, n_rows), dtype=np.int32), np.empty(n_rows, dtype=np.int8)
    for number, start in enumerate(range(0, n_rows, block)):
        random = np.random.default_rng([seed, number])
        end = min(start + block, n_rows)
        ranks = np.exp(
            random.random((N_FIELDS, end - start), dtype=np.float32) * np.log(n_values + 1, dtype=np.float32)
        )
        categories[:, start:end] = ranks.astype(np.int32).clip(max=n_values) - 1
        y[start:end] = random.integers(2, size=end - start)
    for field in range(N_FIELDS):
        # Every rank once, somewhere: the ids at the start of the table go through all of them.
        categories[field, :n_values] = np.random.default_rng([seed, n_rows, field]).permutation(n_values)
    return pd.DataFrame({f"field_{field}": column for field, column in enumerate(categories)}), y


# --- What waits, and what stays ---


def count_waits(card, sizes, name):
    """Return how often the host waits for the card in a step, and where: of twice the steps, what is more."""
    epochs, n_steps = [], 8

    @contextmanager
    def counted():
        with card.waits() as places:
            yield
        epochs.append(places)

    for n in (n_steps, 2 * n_steps):
        fit = _fit_of_steps(card, sizes, name, n)
        with around_epochs(counted):
            fit()
    more = epochs[-1] - epochs[0]
    places = [f"{place} ({count / n_steps:g})" for place, count in sorted(more.items())]
    return {"waits_per_step": sum(more.values()) / n_steps, "places": places, "counted": card.is_gpu}


def _fit_of_steps(card, sizes, name, n_steps):
    """Return a fit of one epoch of `n_steps` batches."""
    batch = 64
    if name == "DCNv2":
        X, y = impressions(n_steps * batch, n_ids=N_FIELDS * n_steps)
        return lambda: click_model(card, batch_size=batch, max_iter=1).fit(X, y)
    X = np.random.default_rng(0).standard_normal((n_steps * batch, 32), dtype=np.float32)
    tokenizer = tokenizers(card, sizes)[name].set_params(max_iter=1, batch_size=batch, codebook_size=8)
    return lambda: tokenizer.fit(X)


def measure_leftovers(card, sizes, name):
    """Return the bytes on the card before and after a `GridSearchCV` whose result is kept, and after a prediction."""
    if name == "DCNv2":
        X, y = impressions(sizes.grid_rows, n_ids=N_FIELDS * 20)
        estimator, grid = click_model(card, max_iter=1), {"embedding_dim": [4, 8]}
    else:
        X, y = np.random.default_rng(0).standard_normal((sizes.grid_rows, 32), dtype=np.float32), None
        estimator, grid = tokenizers(card, sizes)[name].set_params(max_iter=1), {"codebook_size": [8, 16]}
    predict = "predict_proba" if name == "DCNv2" else "transform"
    _search(estimator, grid, X, y)  # what torch and its libraries keep for themselves is there from now on
    before = card.held()
    search = _search(estimator, grid, X, y)
    after = card.held()
    getattr(search, predict)(X)
    with_module = card.held()
    del search
    return {"before": before, "after": after, "with_module": with_module, "without_search": card.held()}


def _search(estimator, grid, X, y):
    return GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(X, y)


# --- What is run, and what is said of it ---


class Case(NamedTuple):
    part: str
    name: str
    measure: object  # () → figures


def cases(card, sizes, folder):
    """Yield all that can be measured, part by part."""
    names = list(tokenizers(card, sizes))
    autoencoders = names[:2]
    yield Case("limits", "limits", lambda: measure_limits(card, sizes))
    for name in names:
        for precision, label in (("highest", ""), ("high", ", TF32 allowed")):
            yield Case("codes", name + label, lambda n=name, p=precision: compare_codes(card, sizes, folder, n, p))
    for name in autoencoders:
        for is_resident, label in ((False, ", as it comes"), (True, ", all on the card")):
            yield Case(name, name + label, lambda n=name, r=is_resident: train_tokenizer(card, sizes, folder, n, r))
    for batch in sizes.click_batches:
        yield Case("DCNv2", f"DCNv2, batches of {batch:,}", lambda b=batch: train_dcnv2(card, sizes, b))
    for name in (*autoencoders, "DCNv2"):
        yield Case("waits", name, lambda n=name: count_waits(card, sizes, n))
        yield Case("memory", name, lambda n=name: measure_leftovers(card, sizes, n))


PARTS = ("limits", "codes", "RQ-VAE", "MoC", "DCNv2", "waits", "memory")


def run(card, sizes, arguments, records):
    """Measure the cases that are not in `records` yet; return the finished and the failed ones, by part and name."""
    finished, failed = {}, {}
    for case in cases(card, sizes, arguments.folder):
        if case.part not in arguments.only:
            continue
        key = {"part": case.part, "name": case.name, "card": card.name, "small": arguments.small, "version": version()}
        known = [record for record in records.matching(**key) if "error" not in record]
        if not known:
            print(f"{case.part}: {case.name}", file=sys.stderr, flush=True)
            known = [key | _figures_or_error(case)]
            records.add(known[0])
        outcome = failed if "error" in known[-1] else finished
        outcome[case.part, case.name] = known[-1]
    return finished, failed


def version():
    """Return what measurements stand for: a changed source of `semid` makes them anew."""
    return CONTENDERS["RQVAETokenizer"].version()


def _figures_or_error(case):
    """Return the figures of `case`, or what went wrong: the others are measured all the same."""
    try:
        return case.measure()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def complaints(finished, failed):
    """Return a line for each thing that should not be so."""
    lines = [f"{name}: {record['error']}" for (_, name), record in failed.items()]
    for (part, name), record in finished.items():
        if part == "codes" and "TF32" not in name and record["equal"] < LEAST_EQUAL:
            lines.append(f"{name}: only {record['equal']:.4%} of the items have the codes of the CPU.")
        if part == "waits" and record["waits_per_step"]:
            lines.append(f"{name}: a step waits for the card, in {', '.join(record['places'])}.")
        if part == "memory" and record["after"] != record["before"]:
            lines.append(f"{name}: {record['after'] - record['before']:,} bytes stay on the card after GridSearchCV.")
    return lines


LEGENDS = {
    "limits": "Measured: copies within the card, products of float32 matrices, copies from ordinary memory.",
    "codes": """\
{code_items:,} items of {code_features} features around random centers; codes of the same fitted tokenizer from the
card and from the CPU. Of those that differ, by the lead of the nearest code vector over the second nearest in float64:
a *tie* is within what float64 cannot tell, *in doubt* within what is left to float64, *beyond* is what float32 got
wrong. "TF32 allowed" is `torch.set_float32_matmul_precision("high")`.""",
    "training": """\
Epochs after the first. Tokenizers: {items:,} items of {n_features:,} features in a mapped file, read batch by batch
("as it comes") or held on the card; DCNv2: {n_impressions:,} impressions of {n_fields} fields, {n_ids:,} ids. *Of the
...* is the least time that the rate above allows for what a step must move or multiply, as a share of the time that it
took. What it must is an estimate (`work_of_tokenizer` and `work_of_dcnv2` in the script); caches may beat that of the
memory.""",
    "waits": "Times that the host waits for the card in a step of training: should be 0.",
    "memory": """\
MiB that tensors hold on the card before a GridSearchCV, after it, after a prediction of the best estimator, which keeps
its module there until it is fitted again or gone, and when the search is gone.""",
}


def report(card, sizes, finished, failed, threads):
    """Return the tables of all that was measured, with what they mean and where they come from."""
    software = f"CUDA {torch.version.cuda}" if card.is_gpu else "figures that say nothing but that the script runs"
    sections = [f"{card.name}, {software}; {describe_machine(threads)}"]
    facts, limits = sizes._asdict() | {"n_fields": N_FIELDS}, finished.get(("limits", "limits"))
    for title, parts, row in (
        ("limits", ["limits"], _limits_row),
        ("codes", ["codes"], _codes_row),
        ("training", ["RQ-VAE", "MoC", "DCNv2"], lambda record: _training_row(record, limits)),
        ("waits", ["waits"], _waits_row),
        ("memory", ["memory"], _memory_row),
    ):
        rows = [row(record) for (part, _), record in finished.items() if part in parts]
        if rows:
            sections += [LEGENDS[title].format(**facts), markdown_table(rows)]
    sections.append("\n".join(f"- {line}" for line in complaints(finished, failed)))
    return "\n\n".join(filter(None, sections))


def _limits_row(record):
    return {
        "limit": "rate",
        "memory, GB/s": f"{record['bytes_per_second'] / 1e9:,.0f}",
        "matrices, TFLOP/s": f"{record['operations_per_second'] / 1e12:.1f}",
        "precision": record["precision"],
        "from the host, GB/s": f"{record['copied_per_second'] / 1e9:.1f}",
    }


def _codes_row(record):
    return {
        "codes": record["name"],
        "equal": f"{record['equal']:.4%}",
        "ties": f"{record['ties']:,}",
        "in doubt": f"{record['in_doubt']:,}",
        "beyond": f"{record['beyond']:,}",
        "largest lead": f"{record['largest_lead']:.0e}",
        "rows/s": f"{record['rows_per_second']:,.0f}",
        "rows/s, CPU": f"{record['rows_per_second_cpu']:,.0f}",
    }


def _training_row(record, limits):
    shares = dict.fromkeys(("of the memory", "of the matrices", "of the host's copies"), "")
    if limits is not None:
        pairs = zip(shares, ("bytes", "operations", "copied"), strict=True)
        shares = {
            title: f"{record[name] / limits[f'{name}_per_second'] / record['step_seconds']:.0%}"
            for title, name in pairs
        }
    return {
        "training": record["name"],
        "epoch, s": f"{record['epoch_seconds']:.1f}",
        "rows/s": f"{record['rows_per_second']:,.0f}",
        "ms a step": f"{1e3 * record['step_seconds']:.2f}",
        **shares,
        "fit, s": f"{record['fit_seconds']:.1f}",
        "peak, MiB": f"{record['peak'] / 2**20:,.0f}",
    }


def _waits_row(record):
    waits = f"{record['waits_per_step']:g}" if record["counted"] else "not counted"
    return {"steps of": record["name"], "waits": waits, "where (times)": ", ".join(record["places"])}


def _memory_row(record):
    names = {"before": "before", "after": "after", "with_module": "after a prediction", "without_search": "search gone"}
    return {"search over": record["name"]} | {title: f"{record[n] / 2**20:.2f}" for n, title in names.items()}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the embeddings are, or are made")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:<index>, or, with --small, cpu")
    parser.add_argument("--small", action="store_true", help="so few items that it takes seconds")
    parser.add_argument("--threads", type=int, default=16, help="of the CPU")
    parser.add_argument("--results", default="outputs/gpu.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'gpu'; without it, print only")
    arguments = parser.parse_args(arguments)
    if arguments.device == "cpu" and not arguments.small:
        parser.error("--device cpu must go with --small: this measures GPUs")
    return arguments


def main(arguments=None):
    """Measure and report; return the exit status."""
    arguments = parse_arguments(arguments)
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print(
            "This benchmark needs a GPU, and torch finds none here; --small --device cpu tries the script itself.",
            file=sys.stderr,
        )
        return 1
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    Path(arguments.folder).mkdir(parents=True, exist_ok=True)
    card, sizes = Card(arguments.device), SMALL if arguments.small else FULL
    finished, failed = run(card, sizes, arguments, Records(arguments.results))
    publish(report(card, sizes, finished, failed, arguments.threads), "gpu", arguments.output)
    return 1 if complaints(finished, failed) else 0


if __name__ == "__main__":
    sys.exit(main())
