"""The study in small: its statistics against loops and by hand, and the way from a plan to tables and figures."""

import re
import shutil
import sys
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = ("arms", "contrasts", "data", "plan", "records", "report", "runs", "study")


@contextmanager
def _importable():
    """Import a script of the study as python does when it is run, and forget it afterwards."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(FOLDER))
            patch.syspath_prepend(str(FOLDER / "study"))
            yield __import__
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def scripts():
    with _importable() as scripts:
        yield scripts


@pytest.fixture
def data(scripts):
    return _made_data(scripts)


def _made_data(scripts):
    """Forty users and sixty items of two kinds; each user likes one kind."""
    rng = np.random.default_rng(0)
    kinds = np.arange(60) % 2
    users, items = rng.integers(40, size=1200), rng.integers(60, size=1200)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "click": (users % 2 == kinds[items]).astype(int)})
    embeddings = (rng.standard_normal((60, 8)) + 3 * kinds[:, None]).astype(np.float32)
    parts = frame[:800], frame[800:1000].reset_index(drop=True), frame[1000:].reset_index(drop=True)
    module = scripts("data")
    data = module.StudyData("beauty", np.arange(60), embeddings, *parts, ["user_id", "item_id"])
    return data._replace(matched=module.matched_impressions(data))


def test_holm_by_hand(scripts):
    holm = scripts("contrasts").holm
    # Sorted .01, .02, .03, .04 times 4, 3, 2, 1: .04, .06, .06, .04; never less than the one before.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.01, np.nan]), [0.02, np.nan])


def test_contrasts_are_paired_by_seed(scripts):
    runs = pd.DataFrame(
        {"arm": ["a"] * 3 + ["b"] * 3, "seed": [0, 1, 2, 2, 1, 0], "auc": [0.7, 0.8, 0.9, 0.87, 0.78, 0.69]}
    )
    (row,) = scripts("contrasts").paired_contrasts(runs, "a", ["b"]).itertuples()
    differences = np.array([0.01, 0.02, 0.03])
    assert row.difference == pytest.approx(0.02)
    assert row.standard_error == pytest.approx(differences.std(ddof=1) / 3**0.5)
    assert row.n_seeds == 3
    assert row.p == pytest.approx(0.0742, abs=1e-4)  # t = .02 / (.01 / √3) = 3.464, two degrees of freedom


def test_the_bootstrap_draws_users_with_all_their_rows(scripts):
    contrasts = scripts("contrasts")
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(30), 4)
    y = rng.integers(2, size=120)
    ours, other = y + rng.normal(size=120), np.round(y + 2 * rng.normal(size=120))
    aucs = contrasts.bootstrap_aucs(y, [ours, other], users, n_samples=50, seed=1)
    rng = np.random.default_rng(1)
    for sample in aucs:
        times = rng.multinomial(30, np.full(30, 1 / 30))
        rows = np.concatenate([np.flatnonzero(users == user) for user in np.repeat(np.arange(30), times)])
        np.testing.assert_allclose(sample, [roc_auc_score(y[rows], scores[rows]) for scores in (ours, other)])


def test_the_interval_is_that_of_paired_differences(scripts):
    ours, noise = np.arange(101) / 100, np.arange(101) / 1000
    (low, high), _ = scripts("report").interval_of_differences(np.column_stack([ours, ours - noise, ours]))
    np.testing.assert_allclose([low, high], [0.0025, 0.0975])


def test_how_good_a_clustering_a_code_is(scripts):
    X, code = np.array([[0.0, 1.0], [2.0, 1.0], [5.0, 4.0], [5.0, 0.0]]), np.array([0, 0, 3, 3])
    within = sum(np.square(X[code == c] - X[code == c].mean(0)).sum() for c in (0, 3))
    expected = 1 - within / np.square(X - X.mean(0)).sum()
    assert scripts("runs").cluster_r2(X, code) == pytest.approx(expected)


def test_training_clicks_make_an_item_warm_or_cold(scripts, data):
    clicks = data.training_clicks(data.test)
    for row in range(5):
        item = data.test["item_id"][row]
        assert clicks[row] == ((data.train["item_id"] == item) & (data.train["click"] == 1)).sum()
    scores = scripts("runs").Scores(data, data.test)(np.linspace(0, 1, len(data.test)))
    cold = clicks <= 5
    expected = roc_auc_score(data.test["click"][cold], np.linspace(0, 1, len(data.test))[cold])
    assert scores["auc_cold"] == pytest.approx(expected)
    assert scores["rows_cold"] + scores["rows_warm"] == len(data.test)


def test_matched_negatives_have_as_many_training_clicks_and_were_never_touched(scripts, data, monkeypatch):
    monkeypatch.setattr(scripts("data"), "_LEAST_CHOICE", 4)
    matched = scripts("data").matched_impressions(data)
    clicks, negatives = matched[matched["click"] == 1], matched[matched["click"] == 0]
    assert clicks["item_id"].tolist() == data.test.loc[data.test["click"] == 1, "item_id"].tolist()
    assert negatives["user_id"].tolist() == clicks["user_id"].tolist()
    everything = pd.concat([data.train, data.valid, data.test])
    touched = set(everything.loc[everything["click"] == 1, ["user_id", "item_id"]].itertuples(index=False, name=None))
    assert not touched & set(negatives[["user_id", "item_id"]].itertuples(index=False, name=None))
    counts = np.sort(data.training_clicks(pd.DataFrame({"item_id": data.item_ids})))
    of_clicks, of_negatives = data.training_clicks(clicks), data.training_clicks(negatives)
    for k, other in zip(of_clicks, of_negatives, strict=True):
        # Where four items have k clicks, one of them; else one of those next to them in order.
        n_alike, below = np.sum(counts == k), np.sum(counts < k)
        wider = (max(4 - n_alike, 0) + 1) // 2
        assert other in counts[max(below - wider, 0) : below + n_alike + wider]


def test_what_needs_no_model_is_scored_by_training_clicks(scripts, data):
    runs = scripts("runs")
    found = {
        arm: runs.execute(runs.Run("references", "beauty", "none", arm, 0, "none", 0.0, 0.0, 0), data)
        for arm in ("popular", "unpopular")
    }
    clicks = data.training_clicks(data.test)
    assert found["popular"]["auc"] == pytest.approx(roc_auc_score(data.test["click"], clicks))
    assert found["unpopular"]["auc"] == pytest.approx(1 - found["popular"]["auc"])
    of_matched = roc_auc_score(data.matched["click"], data.training_clicks(data.matched))
    assert found["popular"]["matched_auc"] == pytest.approx(of_matched)


def test_the_head_has_a_third_of_the_clicks_and_so_has_the_middle(scripts, data):
    head, middle = scripts("runs").popularity_bounds(data)
    counts = data.training_clicks(pd.DataFrame({"item_id": data.item_ids}))
    assert counts[counts >= head].sum() >= counts.sum() / 3 > counts[counts > head].sum()
    assert counts[counts >= middle].sum() >= 2 * counts.sum() / 3 > counts[counts > middle].sum()


@pytest.mark.parametrize("arm", ["random", "shuffled", "graded", "graded_joint", "alone"])
def test_an_arm_has_a_row_of_codes_per_item(scripts, data, arm, monkeypatch):
    arms = scripts("arms")
    vectors = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    vectors[7] = np.nan
    monkeypatch.setattr(arms, "interaction_embeddings", lambda *arguments, **parameters: vectors)
    columns = arms.ARMS[arm].columns(data, 3, 0)
    assert columns.shape == (60, 3)
    assert list(columns) == ["item_code0", "item_code1", "item_code2"]
    impressions = scripts("runs").impressions_with(columns, data.test, data)
    for row in range(5):
        item = data.test["item_id"][row]
        assert impressions.loc[row, list(columns)].tolist() == columns.loc[item].tolist()


SMALL_PLAN = {
    "MODELS": ("DeepFM", "DCNv2"),
    "NAMES": ("beauty",),
    "SETTINGS": [(0.01, 1.0), (0.02, 0.5)],
    "PRIMARY_SEEDS": range(2),
    "SEEDS": range(1),
    "CODES": "graded",
    "CONTRASTS": ("none", "random"),
    "SCALES": (1, 2),
    "MORE_CODES": (),
    "SCALED": ("graded",),
    "SCALED_MORE": ("random",),
    "SPECTRA": ("graded",),
    "FUSED": ("graded",),
    "FUSED_MODELS": ("DeepFM",),
    "FUSIONS": ("concat", "gate"),
    "TUNED_FOR_EACH": ("graded",),
    "REUSED": ("none",),
    "PACED": ("none", "graded"),
    "STORED": {"none": (0,), "hashed": (2,), "graded": (2,)},
    "N_CODES": 2,
}


@pytest.fixture
def small(scripts, data, monkeypatch):
    return _shrunk(scripts, data, monkeypatch)


def _shrunk(scripts, data, monkeypatch):
    """The study with three arms, two models, one data set and few epochs."""
    plan, report, runs = scripts("plan"), scripts("report"), scripts("runs")
    for module in (plan, report):
        for name, value in SMALL_PLAN.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
        monkeypatch.setattr(
            module, "ARMS", {name: scripts("arms").ARMS[name] for name in ("none", "random", "graded", "hashed")}
        )
    short = {name: arm._replace(n_epochs=2) for name, arm in plan.ARMS.items()}
    monkeypatch.setattr(runs, "ARMS", short)
    monkeypatch.setattr(runs, "COMMON", runs.COMMON | {"embedding_dim": 4, "hidden_layer_sizes": (8,)})
    for module in (scripts("study"), report):
        monkeypatch.setattr(module, "load", lambda name, folder: data)
    return scripts("study").main


def _where(folder):
    return ["--runs", str(folder / "runs.parquet"), "--outputs", str(folder / "outputs")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of all runs of the small study, and how many there were of a part, of all, and after one more call."""
    folder = tmp_path_factory.mktemp("study")
    with _importable() as scripts, pytest.MonkeyPatch.context() as patch:
        study = _shrunk(scripts, _made_data(scripts), patch)
        run = ["run", *scripts("plan").STAGES, "--data", "nowhere", "--workers", "0", *_where(folder)]
        study([*run, "--only", "arm=none,random"])
        study(["collect", *_where(folder)])
        n_runs = [len(pd.read_parquet(folder / "runs.parquet"))]
        for _ in range(2):
            study(run)
            n_runs.append(len((folder / "outputs" / "runs.jsonl").read_text().splitlines()))
        study(["collect", *_where(folder)])
    return folder, n_runs


def test_what_is_made_is_kept_and_not_made_again(small, scripts, finished):
    plan, runs = scripts("plan"), scripts("runs")
    folder, (of_a_part, made, again) = finished
    assert again == made > of_a_part
    kept = runs.RunStore(folder / "runs.parquet", folder / "none.jsonl").frame()
    assert len(kept) == made
    best = plan.best_settings(kept)
    assert best["beauty", "DCNv2", "none"] == best["beauty", "DeepFM", "none"]
    for model, arm in [("DeepFM", "none"), ("DeepFM", "graded"), ("DCNv2", "graded")]:
        of_arm = kept[(kept["stage"] == "tune") & (kept["arm"] == arm) & (kept["model"] == model)]
        scores = of_arm.set_index(plan.TUNED)["valid_auc"]
        assert scores[best["beauty", model, arm]] == scores.max()
    stale = kept[kept["stage"] == "primary"].assign(forgetting=7.0)
    assert len(plan.at_their_best(pd.concat([kept, stale]))) == len(kept)
    # Every cell of seven codes is made once: of arms that are contrasts by the stage before.
    scaled = kept[kept["stage"] == "scale"]
    assert set(scaled["n_codes"]) == {1}
    of_primary = kept[kept["stage"] == "primary"].groupby(["model", "arm"])["seed"].count()
    assert set(of_primary) == {2}


def test_codes_beside_vectors_are_run_with_dcnv2_as_well(scripts):
    plan, runs = scripts("plan"), scripts("runs")
    model, arm = plan.BESIDE
    tries = [runs.Run("tune", "toys", plan.TUNED_MODEL, arm, 7, "gate", *setting, 100) for setting in plan.SETTINGS]
    planned = plan.primary(pd.DataFrame(tries).assign(valid_auc=0.7))
    assert {(run.model, run.seed) for run in planned} == set(product([plan.TUNED_MODEL, model], plan.SEEDS))


def _intervals(small, folder):
    """Bootstrap from the predictions that are left in `folder`; return what is kept afterwards."""
    small(["bootstrap", "--data", "nowhere", *_where(folder)])
    return pd.read_parquet(folder / "intervals.parquet").set_index(["model", "arm"]).sort_index()


def test_runs_become_tables_figures_and_intervals(small, scripts, finished, tmp_path):
    plan, where = scripts("plan"), _where(tmp_path)
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    kept = pd.read_parquet(tmp_path / "runs.parquet")
    tables = scripts("report").tables(plan.at_their_best(kept))
    page = tmp_path / "page.md"
    page.write_text(
        "".join(f"<!-- study_{name}: begin -->\n<!-- study_{name}: end -->\n" for name in [*tables, "intervals"])
    )
    predictions = tmp_path / "outputs" / "predictions"
    of_both_seeds = _intervals(small, tmp_path)
    assert set(of_both_seeds["n_seeds"]) == {2}

    # Of the seed that one arm has lost, no other arm's files are read.
    one, *others = sorted(predictions.glob("primary_*_DCNv2_*_0_short.npy"))
    one.unlink()
    of_the_other_seed = _intervals(small, tmp_path)
    has_changed = of_both_seeds["low"] != of_the_other_seed["low"]
    assert set(has_changed.index[has_changed]) == {("DCNv2", "none"), ("DCNv2", "random")}
    for file in others:
        file.unlink()
    pd.testing.assert_frame_equal(_intervals(small, tmp_path), of_the_other_seed)

    # Without a seed that all arms have, what was found before stays.
    next(predictions.glob("primary_*_DCNv2_*_1_short.npy")).unlink()
    pd.testing.assert_frame_equal(_intervals(small, tmp_path), of_the_other_seed)
    assert scripts("report")._kept_predictions(kept.iloc[:0], predictions) == {}
    small(["report", "--pages", str(page), "--images", str(tmp_path / "images"), *where])
    text = page.read_text()
    assert "| Amazon Beauty | DeepFM | parallel k-means, graded sizes |" in text
    assert "| Amazon Beauty | DCNv2 | no codes | 1 | +" in text
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        f"beauty_{name}.png" for name in ("arms", "curves", "reconstruction", "scaling", "cold", "spectrum")
    }
    assert all(tables.values())
    assert [claim["fewest seeds"] for claim in tables["claims"]] == ["2", "2"]
    assert {claim["wins"] for claim in tables["claims"]} <= {"yes", "no"}
    assert [row["arm"] for row in tables["matched"]][-2:] == [
        "most clicks in training first",
        "fewest clicks in training first",
    ]


def test_cells_of_the_scaling_table_have_as_many_seeds_each(small, scripts):
    report = scripts("report")
    of = {"data": "beauty", "model": "DeepFM", "arm": "graded"}
    runs = pd.DataFrame(
        [
            *({**of, "stage": "scale", "n_codes": 1, "seed": 0, "auc": 0.6},),
            *({**of, "stage": "primary", "n_codes": 2, "seed": seed, "auc": 0.7 + seed} for seed in range(2)),
            {**of, "arm": "random", "stage": "primary", "n_codes": 2, "seed": 0, "auc": 0.5},  # at one number alone
        ]
    )
    (row,) = report.scale_table(runs, "auc")
    assert (row["1x"], row["2x"]) == ("0.6000", "0.7000")


def test_storage_counts_rows_of_items_and_what_lies_beside_them(scripts, data):
    columns = pd.DataFrame({"item_code0": np.arange(60) % 3, "item_code1": np.arange(60) % 5})
    runs = scripts("runs")
    train = runs.impressions_with(columns, data.train, data)
    n_items = data.train["item_id"].nunique()
    assert runs._item_storage(train, columns) == {"item_rows": n_items + 3 + 5, "bytes_per_item": 4}
    without = runs.impressions_with(columns, data.train, data._replace(fields=["user_id"]))
    assert runs._item_storage(without, columns) == {"item_rows": 8, "bytes_per_item": 4}
    vector = pd.DataFrame({f"item_vector_{n}": np.zeros(60) for n in range(10)})
    assert runs._item_storage(runs.impressions_with(vector, data.train, data), vector)["bytes_per_item"] == 40


def test_a_short_training_leaves_the_precision_of_products_as_it_was(scripts):
    before = torch.get_float32_matmul_precision()
    with scripts("arms").short_products():
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before


def test_the_learning_rate_falls_along_a_line(scripts):
    assert [scripts("runs").Decay(5)(epoch) for epoch in range(6)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_fields_of_lists_are_not_fused(scripts, data):
    of_lists = data.train.assign(genres=[["a"], []] * 400)
    arms = scripts("arms")
    with_lists = data._replace(train=of_lists, fields=["user_id", "genres", "item_id"])
    assert arms.ARMS["fusion"].parameters(with_lists, 7)["code_features"] == ["user_id", "item_id"]


TABLE = re.compile(r"<!-- study_(\w+): begin -->\n\n(.*?)\n\n<!-- study_\1: end -->", re.DOTALL)


def test_the_pages_have_the_tables_of_the_stored_runs(scripts, tmp_path):
    store = scripts("runs").RunStore(FOLDER / "study" / "runs.parquet", tmp_path / "none.jsonl")
    tables = scripts("report").markdown_tables(store)
    root = FOLDER.parent
    n_found = 0
    for page in [root / "README.md", *root.glob("docs/*.md"), *root.glob("docs/guide/*.md")]:
        marked = TABLE.findall(page.read_text(encoding="utf-8"))
        n_found += len(marked)
        for name, text in marked:
            assert text == tables[name], f"{page.name}: study_{name}"
    assert n_found >= len(tables)
