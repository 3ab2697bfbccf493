"""The benchmark of next items, on a catalogue so small that only its working is tested."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def next_item(monkeypatch):
    """Import the script as python does when it is run, and forget it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("next_item")
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path, rng):
    """Users who go round a circle of items, and two items that no one has clicked before the last click."""
    items, users = 40, 50
    starts = rng.integers(items, size=users)
    clicked = (starts[:, None] + np.arange(6)) % items
    clicked[:2, -1] = [40, 41]
    pd.DataFrame({"item_id": [f"i{n}" for n in range(42)]}).to_parquet(tmp_path / "made_items.parquet")
    log = {
        "user_id": np.repeat(np.arange(users), 6),
        "item_id": [f"i{n}" for n in clicked.ravel()],
        "position": np.tile(np.arange(6), users),
    }
    pd.DataFrame(log).to_parquet(tmp_path / "made_interactions.parquet")
    angles = 2 * np.pi * np.append(np.arange(items), [0.5, 1.5]) / items
    circle = np.column_stack([np.cos(angles), np.sin(angles), *rng.normal(size=(6, 42)) * 0.01])
    np.save(tmp_path / "made_minilm.npy", circle.astype(np.float16))
    return tmp_path


def test_every_arm_runs_once_and_is_in_the_table(next_item, folder, monkeypatch, capsys):
    monkeypatch.setattr(next_item, "SETTINGS", {"embedding_dim": 8, "max_iter": 1, "n_layers": 1})
    monkeypatch.setattr(next_item, "_quantized", _few(next_item))
    arms = [arm for arm in next_item.ARMS if arm != "aligned"]
    options = ["--folder", str(folder), "--data", "made", "--arms", ",".join(arms), "--seeds", "1", "--threads", "1"]
    results = folder / "runs.jsonl"
    for _ in range(2):
        next_item.main(["run", *options, "--results", str(results)])
    records = [json.loads(line) for line in results.read_text().splitlines()]
    assert [record["arm"] for record in records] == arms
    assert all(record["n_cold"] == 2 and record["n_test"] == 50 for record in records)
    next_item.main(["report", "--results", str(results)])
    assert all(f"| {arm} |" in capsys.readouterr().out for arm in arms[:1])


def test_the_guide_has_the_table_of_the_stored_runs(next_item):
    page = (FOLDER.parent / "docs" / "guide" / "next_item.md").read_text(encoding="utf-8")
    assert next_item.table_of(next_item.RESULTS) in page


def _few(next_item):
    def quantized(embeddings, data, seed, n_codebooks=4):
        tokenizer = next_item.ProductQuantizationTokenizer(n_codebooks, 4, rotation="pca_balanced", random_state=seed)
        return next_item.SemanticIDEncoder(tokenizer, items=next_item.ItemTable(data.ids, embeddings))

    return quantized


def test_figures_are_those_of_a_loop(next_item, folder):
    data = next_item.load("made", folder)
    model = next_item.NextItemRecommender(time="position", embedding_dim=8, max_iter=2, random_state=0)
    model.fit(data.train, eval_set=data.valid)
    record = next_item.judged(model, data)
    hits, gains = [], []
    everything = pd.concat([data.train, data.valid])
    for user, item in data.test[["user_id", "item_id"]].itertuples(index=False):
        history = everything[everything["user_id"] == user].sort_values("position")["item_id"].tolist()
        best = model.recommend([history], n=5).items[0].tolist()
        hits.append(item in best)
        gains.append(1 / np.log2(best.index(item) + 2) if item in best else 0)
    assert record["recall5_removed"] == pytest.approx(np.mean(hits))
    assert record["ndcg5_removed"] == pytest.approx(np.mean(gains))
    assert record["cold_recall10_removed"] == record["cold_among_cold"] == 0


def test_cold_items_are_ranked_among_themselves(next_item, folder):
    data = next_item.load("made", folder)
    codes = _few(next_item)(data.embeddings, data, 0)
    model = next_item.NextItemRecommender(codes, time="position", embedding_dim=8, max_iter=1, random_state=0)
    record = next_item.judged(model.fit(data.train, eval_set=data.valid), data)
    assert record["cold_among_cold"] == 1  # of two


def test_an_item_without_clicks_has_the_clicks_that_its_text_lets_expect(next_item, folder):
    data = next_item.load("made", folder)
    vectors = next_item.with_clicks(data)
    of_text, of_clicks = vectors[:, :8], vectors[:, 8:]
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.square(of_text).sum(), np.square(of_clicks).sum(), rtol=1e-4)
