"""The three data sets of the study, each as impressions to train on, to choose on and to test on.

Amazon Beauty and Toys have positives alone: each user's last interaction is the test, the one before is for validation,
and every positive gets an item that the user never touched as its negative. MovieLens 100K has ratings: a click is a
rating above 3, the split is by time, 80/10/10.

In a 5-core an item of few training clicks has its others in validation and test, so that of the test's rows of such
items most are clicks: to rank the item of *fewest* training clicks first beats chance among them. So Amazon's clicks of
the test are set against a second draw of negatives, each with as many training clicks as the item clicked: there
popularity says nothing, whichever way round.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from semid.datasets import leave_last_out, sample_negatives

COLD_CLICKS = 5  # an item with so many clicks in training, or fewer, is cold
_LEAST_CHOICE = 20  # items that a matched negative is drawn from, of as many training clicks or of the next numbers
N_ITEMS = {"beauty": 12_101, "toys": 11_924, "ml100k": 1_682}  # the report is written without the data
NAMES = tuple(N_ITEMS)


class StudyData(NamedTuple):
    """Impressions have the fields, ``item_id`` among them, and ``click``."""

    name: str
    item_ids: np.ndarray  # (n_items,)
    embeddings: np.ndarray  # (n_items, n_features) float32, row i for item i
    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    fields: list[str]
    matched: pd.DataFrame | None = None  # clicks of the test, each before a negative of as many training clicks

    def training_clicks(self, impressions):
        """Return the number of training clicks of the item of each impression."""
        counts = self.train["item_id"][self.train["click"] == 1].value_counts()
        return impressions["item_id"].map(counts).fillna(0).to_numpy(dtype=int)

    def rows_in_training(self, impressions):
        """Return the number of training rows of the item of each impression, clicked or not."""
        return impressions["item_id"].map(self.train["item_id"].value_counts()).fillna(0).to_numpy(dtype=int)


def load(name, folder, seed=0):
    """Return a data set of the study from the files in `folder`; `seed` draws the negatives."""
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {name!r}.")
    folder = Path(folder)
    embeddings = np.load(folder / f"{name}_minilm.npy").astype(np.float32)
    items = pd.read_parquet(folder / f"{name}_items.parquet")
    if len(items) != N_ITEMS[name]:
        raise ValueError(f"{name} must have {N_ITEMS[name]} items, those of the runs that are kept, got {len(items)}.")
    impressions, part, fields = _movielens(folder) if name == "ml100k" else _amazon(folder, name, items, seed)
    impressions = impressions.reset_index(drop=True)
    parts = [impressions[part == which].reset_index(drop=True) for which in ("train", "validation", "test")]
    data = StudyData(name, items["item_id"].to_numpy(), embeddings, *parts, fields)
    return data if name == "ml100k" else data._replace(matched=matched_impressions(data, seed))


def matched_impressions(data, seed=0):
    """Return the clicks of the test, and behind each a negative whose item has as many training clicks.

    An item that the user never touched, drawn among those of the same number of training clicks; where these are fewer
    than `_LEAST_CHOICE`, among those nearest in number as well.
    """
    clicks = data.test[data.test["click"] == 1].reset_index(drop=True)
    everything = pd.concat([data.train, data.valid, data.test])
    touched = everything.loc[everything["click"] == 1, ["user_id", "item_id"]]
    touched = set(touched.itertuples(index=False, name=None))
    counts = data.training_clicks(pd.DataFrame({"item_id": data.item_ids}))
    order = np.argsort(counts, kind="stable")
    item_ids, counts = data.item_ids[order], counts[order]
    of_clicks = data.training_clicks(clicks)
    first, last = (np.searchsorted(counts, of_clicks, side) for side in ("left", "right"))
    lacking = np.maximum(_LEAST_CHOICE - (last - first), 0)
    first, last = np.maximum(first - (lacking + 1) // 2, 0), np.minimum(last + (lacking + 1) // 2, len(counts))
    rng, negatives, todo = np.random.default_rng(seed), np.empty(len(clicks), dtype=object), np.arange(len(clicks))
    while len(todo):
        negatives[todo] = item_ids[first[todo] + (rng.random(len(todo)) * (last - first)[todo]).astype(int)]
        users = clicks["user_id"].to_numpy()
        todo = np.array([row for row in todo if (users[row], negatives[row]) in touched], dtype=int)
    negatives = clicks.assign(item_id=negatives.astype(data.item_ids.dtype), click=0)
    return pd.concat([clicks, negatives]).sort_index(kind="stable").reset_index(drop=True)


def _amazon(folder, name, items, seed):
    return implicit(pd.read_parquet(folder / f"{name}_interactions.parquet"), items, seed)


def implicit(positives, items, seed):
    """Return impressions, the part of each, and the fields, of a log of `positives` alone."""
    part = leave_last_out(positives, order="position")
    negatives = sample_negatives(positives, items["item_id"], random_state=seed)
    impressions = pd.concat([positives.assign(click=1), negatives.assign(click=0)], ignore_index=True)
    return impressions, np.concatenate([part, part]), ["user_id", "item_id"]


def _movielens(folder):
    ratings = pd.read_parquet(folder / "ml100k_ratings.parquet").sort_values("timestamp", kind="stable")
    users = pd.read_parquet(folder / "ml100k_users.parquet")[["user_id", "age", "gender", "occupation"]]
    items = pd.read_parquet(folder / "ml100k_items.parquet")[["item_id", "class"]]
    impressions = ratings.merge(users, on="user_id", how="left").merge(items, on="item_id", how="left")
    genres = impressions["class"].fillna("").astype(str).str.split()
    impressions = impressions.assign(genres=genres, click=(impressions["rating"] > 3).astype(int))
    impressions["age"] = impressions["age"].astype(str)
    ends = [int(0.8 * len(impressions)), int(0.9 * len(impressions))]
    part = np.repeat(["train", "validation", "test"], np.diff([0, *ends, len(impressions)]))
    return impressions, part, ["user_id", "item_id", "age", "gender", "occupation", "genres"]
