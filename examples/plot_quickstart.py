"""
The whole path: embeddings → codes → clicks
===========================================

How much do semantic IDs add to a click model, and which ones? One table and one picture answer, on a made catalogue
whose best possible AUC is known:

::

    python examples/plot_quickstart.py

or on your own data, an items table, its embeddings (row i belongs to row i) and a log:

::

    python examples/plot_quickstart.py --items items.parquet --embeddings embeddings.npy --interactions log.parquet

A log with a ``click`` column is split by time, the last fifth for the test. A log without one is taken as positives:
each user's last interaction is the test, the one before is left for tuning, and every positive gets one item that the
user never touched as its negative.
"""

# %%
# Data
# ----
# Everything below needs four things: an `ItemTable`, training rows, test rows, and the names of the columns to use.
import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline

from semid.ctr import DeepFMClassifier
from semid.datasets import expected_auc, leave_last_out, make_clicks, make_items, sample_negatives
from semid.features import ItemTable, SemanticIDEncoder
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    ParallelKMeansTokenizer,
    RQVAETokenizer,
    VQVAETokenizer,
    presets,
)


class Task(NamedTuple):
    items: ItemTable
    train: pd.DataFrame
    test: pd.DataFrame
    fields: list[str]  # columns of the impressions to use; those of the user and the item among them
    user: str  # the user-id column
    item: str  # the item-id column
    best_auc: float | None  # of the true click probabilities, where they are known


def made_task(random_state=0):
    """A catalogue of 2,000 items and 40,000 impressions, in order of time; the last fifth is the test."""
    items = make_items(n_items=2000, random_state=random_state)
    clicks = make_clicks(items, n_impressions=40_000, n_users=150, random_state=random_state)
    train, test = clicks.frame[:32_000], clicks.frame[32_000:]
    table = ItemTable(items.frame["item_id"], items.embeddings)
    best_auc = expected_auc(clicks.click_probability[32_000:])
    return Task(table, train, test, ["user_id", "item_id", "hour", "rank"], "user_id", "item_id", best_auc)


def task_from_files(arguments):
    """The user's data; see the module's first lines for what becomes of a log."""
    user, item, order, click = arguments.user, arguments.item, arguments.order, arguments.click
    fields = [user, item, *arguments.fields]
    items = read_columns(arguments.items, "--items", [item])
    table = ItemTable(items[item], arguments.embeddings)
    log = read_columns(arguments.interactions, "--interactions", [*fields, order])
    if click in log:
        log = log.rename(columns={click: "click"}).sort_values(order, kind="stable")
        cut = int(0.8 * len(log))
        task = Task(table, log[:cut], log[cut:], fields, user, item, None)
    else:
        print(f"no column {click!r} in the log (--click): every row is a positive, negatives are drawn")
        part = leave_last_out(log, user=user, order=order)
        negatives = sample_negatives(log, table.ids, user=user, item=item, random_state=0)
        impressions = pd.concat([log.assign(click=1), negatives.assign(click=0)], ignore_index=True)
        part = np.concatenate([part, part])
        task = Task(table, impressions[part == "train"], impressions[part == "test"], fields, user, item, None)
    print(
        f"{len(table):,} items, {log[user].nunique():,} users, "
        f"{len(task.train):,} rows to train on, {len(task.test):,} to test on, "
        f"{task.train['click'].mean():.0%} clicks, {log[item].isin(table.ids).mean():.0%} of rows with a known item"
    )
    return task


def read_columns(path, option, columns):
    """The parquet file of an option, or an exit that says what is wrong with it."""
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{option} must be a parquet file, {path} cannot be read as one: {error}") from error
    missing = [column for column in columns if column not in frame]
    if missing:
        raise SystemExit(
            f"{option} must have the column {missing[0]!r}, {path} has {list(frame.columns)}; name yours with --user, "
            "--item (in both files), --order and --fields"
        )
    return frame


# %%
# Models
# ------
# A tokenizer learns codes from the catalogue; `SemanticIDEncoder` puts them beside the item id; DeepFM learns an
# embedding for each code, and its fusion mixes those of an item. Told which column has the users, the encoder also
# aligns the codes with the clicks it is fitted on. Defaults throughout.
class Arm(NamedTuple):
    name: str
    tokenizer: BaseEstimator | None  # without one, ids and fields alone
    fusion: str
    is_aligned: bool = False  # whether codes are aligned with who clicked what


def click_model(task, arm, memory):
    """A Pipeline from impressions to click probabilities."""
    classifier = DeepFMClassifier(fusion=arm.fusion, random_state=0)
    if arm.tokenizer is None:
        return Pipeline([("ctr", classifier)])
    user = task.user if arm.is_aligned else None
    encoder = SemanticIDEncoder(arm.tokenizer, task.items, memory=memory, user=user)
    columns = [task.item, task.user] if arm.is_aligned else [task.item]
    features = ColumnTransformer(
        [("codes", encoder, columns), ("fields", "passthrough", task.fields)],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    return Pipeline([("features", features), ("ctr", classifier)])


def arms():
    mixture = MixtureOfCodesTokenizer(n_codebooks=7, random_state=0)
    return [
        Arm("no codes", None, "concat"),
        Arm("one code (VQ-VAE)", VQVAETokenizer(random_state=0), "concat"),
        Arm("RQ-VAE 7x", RQVAETokenizer(n_codebooks=7, random_state=0), "concat"),
        Arm("MoC 7x", mixture, "concat"),
        Arm("MoC 7x, gate", mixture, "gate"),
        Arm("k-means 7x, graded, gate", ParallelKMeansTokenizer(random_state=0), "gate"),
        Arm("MoC 7x for ranking, gate", presets.ranking(random_state=0), "gate"),
        Arm("MoC 7x for ranking, aligned", presets.ranking(random_state=0), "gate", is_aligned=True),
    ]


# %%
# Results
# -------
# The lines below the table say what its words mean. One seed: differences of .003 in AUC are noise.
LEGEND = """
test AUC      chance that a click is ranked above no click
log loss      of the click probabilities, lower is better
seconds       to fit tokenizer and click model; a tokenizer that two rows share
              is fitted once, in the first
7x            seven codes per item
MoC           Mixture-of-Codes
graded        codebooks of 16, 32, ..., 1024 codes
gate          the item's codes scale one another
for ranking   graded sizes, each code of the whole latent
aligned       with who clicked what in training"""


def compare(task, arms):
    """Fit and score each arm; returns one row per arm."""
    rows = []
    print(f"{'':<34}{'test AUC':>9}{'log loss':>10}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as memory:
        for arm in arms:
            model = click_model(task, arm, memory)
            start = time.perf_counter()
            model.fit(task.train[task.fields], task.train["click"])
            seconds = time.perf_counter() - start
            probability = model.predict_proba(task.test[task.fields])[:, 1]
            auc = roc_auc_score(task.test["click"], probability)
            loss = log_loss(task.test["click"], probability)
            rows.append({"model": arm.name, "auc": auc, "log_loss": loss, "seconds": seconds})
            print(f"{arm.name:<34}{auc:>9.4f}{loss:>10.4f}{seconds:>9.1f}", flush=True)
    print(f"{'click rates, no model':<34}{rates_auc(task):>9.4f}")
    if task.best_auc is not None:
        print(f"{'the true click probabilities':<34}{task.best_auc:>9.4f}")
    print(LEGEND)
    return pd.DataFrame(rows)


def rates_auc(task, prior=20):
    """What needs no model: smoothed click rates of user and item, added up as log-odds. A model has to beat it."""
    y, log_odds = task.train["click"], 0.0
    for column in (task.user, task.item):
        counts = y.groupby(task.train[column]).agg(["sum", "count"])
        rates = (counts["sum"] + prior * y.mean()) / (counts["count"] + prior)
        log_odds = log_odds + np.log(task.test[column].map(rates / (1 - rates)).fillna(y.mean() / (1 - y.mean())))
    return roc_auc_score(task.test["click"], log_odds)


def draw(results, task):
    """Test AUC per arm as dots, with the model without codes as the line to beat."""
    figure, axes = plt.subplots(figsize=(7.5, 3.4), layout="constrained")
    baseline = results["auc"].iloc[0]
    places = np.arange(len(results))[::-1]
    axes.axvline(baseline, color="0.6", linewidth=1, linestyle="--")
    axes.hlines(places, baseline, results["auc"], color="tab:blue", linewidth=2)
    axes.plot(results["auc"], places, "o", color="tab:blue", markersize=7)
    for place, auc in zip(places, results["auc"], strict=True):
        side = 1 if auc >= baseline else -1
        alignment = "left" if side > 0 else "right"
        axes.annotate(
            f"{auc:.3f}", (auc, place), xytext=(8 * side, 0), textcoords="offset points", va="center", ha=alignment
        )
    if task.best_auc is not None:
        axes.axvline(task.best_auc, color="tab:green", linewidth=1)
        label = {"xytext": (-6, 0), "textcoords": "offset points", "ha": "right", "va": "center", "color": "tab:green"}
        axes.annotate("true click\nprobabilities", (task.best_auc, places[0]), **label)
    axes.set_yticks(places, results["model"])
    axes.set_xlabel("test AUC (dashed: no codes)")
    axes.set_title("What codes add to a click model")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main():
    parser = argparse.ArgumentParser(description="Compare semantic IDs in a click model.")
    parser.add_argument("--items", help="parquet file, one row per item")
    parser.add_argument("--embeddings", help="npy file (n_items, n_features), row i for row i of the items")
    parser.add_argument("--interactions", help="parquet file, one row per interaction or impression")
    parser.add_argument("--user", default="user_id", help="column of the user (default: user_id)")
    parser.add_argument("--item", default="item_id", help="column of the item in both files (default: item_id)")
    parser.add_argument("--order", default="position", help="column that grows with time (default: position)")
    parser.add_argument("--click", default="click", help="column of the label, if the log has one (default: click)")
    parser.add_argument("--fields", nargs="*", default=[], help="more columns of the log to use")
    parser.add_argument("--output", default="outputs/quickstart.png", help="where the picture goes")
    arguments = parser.parse_args()
    files = [arguments.items, arguments.embeddings, arguments.interactions]
    if any(files) and not all(files):
        parser.error("--items, --embeddings and --interactions go together")

    task = task_from_files(arguments) if all(files) else made_task()
    results = compare(task, arms())
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    draw(results, task).savefig(arguments.output, dpi=150)
    print(f"picture: {arguments.output}")


if __name__ == "__main__":
    main()
