"""The code of the README and of the page on own data runs, block after block, as a reader would type it."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import semid.io
from semid.datasets import make_clicks, make_items

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """Files in the format of 2014 in the current folder: JSON for reviews, Python literals for products."""
    monkeypatch.chdir(tmp_path)
    items = make_items(n_items=60, random_state=0)
    clicks = make_clicks(items, n_impressions=4000, n_users=60, random_state=0).frame
    with gzip.open("reviews_Beauty_5.json.gz", "wt") as file:
        for user, item, time in clicks.loc[clicks["click"] == 1, ["user_id", "item_id", "timestamp"]].to_numpy():
            review = {
                "reviewerID": f"A{user}",
                "asin": item,
                "overall": 5.0,
                "unixReviewTime": time,
                "reviewText": "Good.",
            }
            file.write(json.dumps(review) + "\n")
    with gzip.open("meta_Beauty.json.gz", "wt") as file:
        for _, item in items.frame.iterrows():
            product = {"asin": item["item_id"], "title": item["title"], "brand": item["brand"], "price": 9.5}
            file.write(repr(product) + "\n")


def _run(page):
    """Run the python blocks of a page in a row; return their variables."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)
    return namespace


def test_the_readmes_code_runs():
    namespace = _run(ROOT / "README.md")
    assert namespace["model"].predict_proba(namespace["clicks"][:3]).shape == (3, 2)
    assert namespace["codes"].shape == (500, 3)
    assert namespace["search"].best_score_ > 0.5
    assert "collision_rate" in str(namespace["report"])


def test_the_readme_is_two_screens_long():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.fixture
def csv_files(tmp_path, monkeypatch):
    """Products and impressions as somebody's database writes them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    items = make_items(n_items=200, random_state=0)
    products = items.frame[["item_id", "title", "brand"]].rename(columns={"item_id": "sku"})
    products.loc[[3, 7], "title"] = None
    products.to_csv("products.csv", index=False)
    clicks = make_clicks(items, n_impressions=6000, n_users=60, random_state=0).frame
    log = clicks.rename(columns={"user_id": "user", "item_id": "sku", "click": "clicked"})
    log["time"] = pd.to_datetime(log.pop("timestamp"), unit="s")
    log.loc[::50, "sku"] = "not-in-the-catalogue"
    log[["time", "user", "sku", "clicked"]].to_csv("impressions.csv", index=False)


@pytest.mark.usefixtures("reviews", "csv_files")
@pytest.mark.filterwarnings("ignore:codebook_size=.* is more than")
def test_the_way_from_files_to_an_auc_runs():
    namespace = _run(ROOT / "docs" / "own_data.md")
    assert namespace["auc"] > 0.5
    assert namespace["auc_of_csv"] > 0.55
    assert namespace["report"].summary["neighbor_overlap"] > 0.1
    assert len(namespace["log"]) == 2 * len(namespace["data"].interactions)
    assert namespace["auc_with_histories"] > 0.5
    restored = semid.io.load("ranker").predict_proba(namespace["test"])
    np.testing.assert_array_equal(restored, namespace["ranker"].predict_proba(namespace["test"]))
    assert Path("codes.html").stat().st_size > 90_000
    assert namespace["next_items"].items.shape == (len(namespace["histories"]), 5)
