"""The benchmarks of histories, on so few impressions that only their working is tested."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a script of the folder as python does when it is run, and forget it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: __import__(name)
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    sys.path[:] = [folder for folder in sys.path if not folder.startswith(str(FOLDER))]


@pytest.fixture
def log(benchmark):
    return benchmark("histories").make_log(600, "geometric", n_items=300)


@pytest.mark.parametrize(("lengths", "mean"), [("full", 50), ("geometric", 10)])
def test_made_histories_have_the_lengths_asked_for_and_are_of_their_user(benchmark, lengths, mean):
    histories = benchmark("histories")
    train = histories.make_log(3000, lengths).train
    assert train.histories.lengths.mean() == pytest.approx(mean, abs=0.5)
    assert train.histories.lengths.max() == 50
    own = 55 * train.users
    assert (train.histories.starts >= own).all()
    assert (train.histories.stops <= own + 55).all()


def test_padding_is_the_entries_one_by_one(benchmark, log):
    array = benchmark("histories").padded(log.train.histories)
    for row, items in zip(array, log.train.histories, strict=True):
        assert row.tolist() == [item + 1 for item in items] + [0] * (50 - len(items))


def test_the_hand_written_model_is_din_as_its_paper_has_it(benchmark, log):
    histories = benchmark("histories")
    settings = {"seed": 0, "with_codes": True, "learning_rate": 0.01, "batch_size": 64}
    by_hand = histories.HandWritten(log, settings)
    by_hand.prepare()
    by_hand.train_epoch()
    module = by_hand.module
    probability = by_hand.predict(log.test)
    assert (log.test.histories.lengths == 0).any()
    for row, history in enumerate(log.test.histories[:40]):
        q = module.table(module.rows[log.test.items[row] + 1]).flatten()
        interest = torch.zeros_like(q)
        for item in history:
            k = module.table(module.rows[int(item) + 1]).flatten()
            hidden = module.of_query(q) + module.of_entry(k) + module.of_product(q * k)
            interest = interest + module.out(module.activation(hidden)) * k
        user = module.table(torch.tensor(module.first_user + log.test.users[row]))
        logit = module.mlp(torch.cat([user, q, interest]))
        assert probability[row] == pytest.approx(logit.sigmoid().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("package", "peer"), [("deepctr_torch", "DeepCTRTorchDIN"), ("torch_rechub", "TorchRecHubDIN")]
)
def test_a_peer_looks_at_histories_and_not_at_padding(benchmark, log, package, peer):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    histories = benchmark("histories")
    settings = {"seed": 0, "with_codes": True, "learning_rate": 0.05, "threads": 1, "batch_size": 64}
    theirs = histories.Theirs(getattr(benchmark("history_peers"), peer), log, settings)
    theirs.train(3)
    reordered = log.test._replace(histories=log.test.histories[::-1])
    changed = np.abs(theirs.predict(log.test) - theirs.predict(reordered)) > 0
    both_empty = (log.test.histories.lengths == 0) & (reordered.histories.lengths == 0)
    assert changed[~both_empty].mean() > 0.9
    assert not changed[both_empty].any()


def test_contenders_are_measured_once_and_get_their_rows(benchmark, tmp_path, monkeypatch):
    histories = benchmark("histories")
    monkeypatch.setattr(histories, "measure_in_a_fresh_process", lambda task, limit: histories.measure(task))
    page = tmp_path / "page.md"
    page.write_text("<!-- histories: begin -->\n<!-- histories: end -->\n")
    names = ["semid, DIN", "semid, DeepFM, mean", "hand-written DIN"]
    sizes = {"--rows": 300, "--items": 200, "--repeats": 1, "--auc-rows": 300, "--auc-seeds": 1, "--epochs": 1}
    arguments = [str(word) for size in sizes.items() for word in size] + ["--threads", "1", "--codes", "0", "1"]
    arguments += ["--only", *names, "--results", str(tmp_path / "results.jsonl"), "--output", str(page)]
    histories.main(arguments)
    histories.main(arguments)

    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    n_settings = 2 * 2 + 2 * len(histories.LEARNING_RATES)  # rates by codes and lengths, AUC by codes and learning rate
    assert sorted(result["name"] for result in results) == sorted(names * n_settings)
    assert all(result["train_rate"] > 0 for result in results if result["what"] == "rate")
    text = page.read_text()
    assert "### Histories of 50, ids and 7 codes" in text
    assert text.count("| **semid, DIN** |") == 4 + 2
    assert text.count("| hand-written DIN |") == 4 + 2


def test_a_measurement_in_a_process_of_its_own_has_all_figures(benchmark):
    histories = benchmark("histories")
    task = {"name": "semid, DIN", "what": "rate", "lengths": "geometric", "with_codes": True, "rows": 300}
    task |= {"items": 200, "learning_rate": 0.001, "seed": 0, "epochs": 1, "threads": 1, "zoo": None, "batch_size": 64}
    assert set(histories.measure_in_a_fresh_process(task, limit=120)) == {"train_rate", "predict_rate", "memory"}
    failed = histories.measure_in_a_fresh_process({**task, "lengths": "full", "items": 0}, limit=120)
    assert "Error" in failed["error"]


@pytest.fixture
def data(benchmark):
    """Forty users, each with impressions at positions that some of them share, and sixty items with embeddings."""
    rng = np.random.default_rng(0)
    users, items, times = rng.integers(40, size=900), rng.integers(60, size=900), rng.integers(25, size=900)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "position": times, "click": rng.integers(2, size=900)})
    frame = frame.sort_values("position", ignore_index=True)
    parts = (frame[a:b].reset_index(drop=True) for a, b in ((0, 600), (600, 700), (700, 900)))
    embeddings = rng.standard_normal((60, 8)).astype(np.float32)
    study = benchmark("history_arms").defaults.study_data
    return study.StudyData("beauty", np.arange(60), embeddings, *parts, ["user_id", "item_id"])


def test_an_arm_has_the_clicks_strictly_before_and_their_codes(benchmark, data):
    arms = benchmark("history_arms")
    everything = pd.concat([data.train, data.valid, data.test])
    codes = pd.DataFrame({"item_id_code0": np.arange(60) * 2, "item_id_code1": np.arange(60) % 3})
    history = arms.histories(data)[2]
    X = arms.with_history(data.test[data.fields], history, codes, "both")
    for row, items in data.test.join(X["history"]).iterrows():
        of_user = everything[(everything["user_id"] == items["user_id"]) & (everything["click"] == 1)]
        before = of_user[of_user["position"] < items["position"]]
        assert sorted(X["history"][row]) == sorted(before["item_id"])
    column = X["history"].array
    assert np.array_equal(column.codes, codes.loc[column.items])
    assert column.item == "item_id"
    assert not arms.with_history(data.test, history, codes, "codes")["history"].array.has_ids
    assert arms.with_history(data.test, history, codes, "ids")["history"].array.codes is None
    assert "history" not in arms.with_history(data.test, history, codes, "none")


def test_arms_are_run_once_and_reported_in_pairs(benchmark, data, tmp_path, monkeypatch, capsys):
    arms = benchmark("history_arms")
    monkeypatch.setattr(arms.defaults, "load", lambda name, folder: data)
    classifier = arms.DeepFMClassifier
    monkeypatch.setattr(arms, "DeepFMClassifier", lambda **parameters: classifier(max_iter=1, **parameters))
    results = tmp_path / "arms.jsonl"
    options = ["--data", "beauty", "--codes", "none,graded", "--seeds", "2", "--results", str(results)]
    options += ["--cache", str(tmp_path / "codes"), "--threads", "1"]
    arms.main(["run", *options])
    arms.main(["run", *options])
    runs = pd.DataFrame([json.loads(line) for line in results.read_text().splitlines()])
    assert len(runs) == 2 * (3 + 7)
    capsys.readouterr()
    arms.main(["report", *options])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in rows if row[1:3] == ["graded", "both, attention"])

    graded = runs[runs["codes"] == "graded"]
    both = graded[(graded["history"] == "both") & (graded["pooling"] == "attention")].set_index("seed")["auc"]
    none = graded[graded["history"] == "none"].set_index("seed")["auc"]
    difference = both - none
    error = abs(difference[0] - difference[1]) / 2  # of the mean of two
    assert row[4] == f"{difference.mean():+.4f} ± {error:.4f}"
