"""The study in small: its statistics against loops and by hand, and the way from a plan to tables and figures."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = ("arms", "contrasts", "data", "plan", "records", "report", "runs", "study")


@pytest.fixture
def scripts(monkeypatch):
    """Import a script of the study as python does when it is run, and forget it afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(FOLDER / "study"))
    yield lambda name: __import__(name)
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def data(scripts):
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


@pytest.mark.parametrize("arm", ["random", "shuffled", "graded", "graded_joint"])
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


def test_what_is_made_is_kept_and_not_made_again(scripts, data, tmp_path, monkeypatch):
    study, plan, runs = scripts("study"), scripts("plan"), scripts("runs")
    few = {name: arm for name, arm in plan.ARMS.items() if name in ("none", "random", "graded")}
    monkeypatch.setattr(plan, "FUSED", ("none", "graded"))
    monkeypatch.setattr(plan, "ARMS", few)
    monkeypatch.setattr(plan, "MODELS", {"DeepFM": runs.MODELS["DeepFM"]})
    monkeypatch.setattr(plan, "NAMES", ("beauty",))
    monkeypatch.setattr(plan, "SETTINGS", [(0.01, 1.0), (0.02, 0.5)])
    monkeypatch.setattr(plan, "PRIMARY_SEEDS", range(2))
    monkeypatch.setattr(plan, "CODES", "graded")
    monkeypatch.setattr(plan, "CONTRASTS", ("none", "random"))
    for name, value in {"CODES": "graded", "CONTRASTS": ("none", "random"), "MORE_CODES": ()}.items():
        monkeypatch.setattr(scripts("report"), name, value)
    monkeypatch.setattr(plan, "MORE_CODES", ())
    monkeypatch.setattr(plan, "ON_A_PLATEAU", ("none",))
    monkeypatch.setattr(plan, "SEEDS", range(1))
    monkeypatch.setattr(plan, "SCALES", (1, 2))
    monkeypatch.setattr(scripts("report"), "SCALES", (1, 2))
    monkeypatch.setattr(plan, "FUSIONS", ("concat", "gate"))
    smaller = {"embedding_dim": 4, "hidden_layer_sizes": (8,), "max_iter": 2}
    monkeypatch.setattr(runs, "COMMON", runs.COMMON | smaller)
    for module in (study, scripts("report")):
        monkeypatch.setattr(module, "load", lambda name, folder: data)
    where = ["--runs", str(tmp_path / "runs.parquet"), "--outputs", str(tmp_path / "outputs")]
    stages = ["references", "tune", "primary", "scale", "fusion"]
    run = ["run", *stages, "--data", "nowhere", "--workers", "0", *where]

    study.main([*run, "--only", "arm=none,random"])
    study.main(["collect", *where])
    before = len(pd.read_parquet(tmp_path / "runs.parquet"))
    study.main(run)
    made = len((tmp_path / "outputs" / "runs.jsonl").read_text().splitlines())
    study.main(run)
    assert len((tmp_path / "outputs" / "runs.jsonl").read_text().splitlines()) == made > before == 6 + 2 * 2 + 2
    study.main(["collect", *where])

    page = tmp_path / "page.md"
    kept = runs.RunStore(tmp_path / "runs.parquet", tmp_path / "none.jsonl").frame()
    best = plan.best_settings(kept)["beauty", "DeepFM", "none"]
    of_none = kept[(kept["stage"] == "tune") & (kept["arm"] == "none")]
    assert of_none.groupby(["learning_rate", "forgetting"])["valid_auc"].mean()[best] == max(
        of_none["valid_auc"][a : a + 2].mean() for a in (0, 2)
    )
    stale = kept[kept["stage"] == "primary"].assign(forgetting=7.0)
    assert len(plan.at_their_best(pd.concat([kept, stale]))) == len(kept)

    tables = scripts("report").tables(plan.at_their_best(kept))
    page.write_text(
        "".join(f"<!-- study_{name}: begin -->\n<!-- study_{name}: end -->\n" for name in [*tables, "intervals"])
    )
    study.main(["bootstrap", "--data", "nowhere", *where])
    before = pd.read_parquet(tmp_path / "intervals_forgetting.parquet")
    next((tmp_path / "outputs" / "predictions").iterdir()).unlink()
    study.main(["bootstrap", "--data", "nowhere", *where])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "intervals_forgetting.parquet"), before)
    study.main(["report", "--output", str(page), "--images", str(tmp_path / "images"), *where])
    text = page.read_text()
    assert "| Amazon Beauty | DeepFM | parallel k-means, graded sizes |" in text
    assert "| Amazon Beauty | DeepFM | no codes | +" in text
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        f"beauty_{name}.png" for name in ("arms", "reconstruction", "scaling", "cold", "spectrum")
    }
    asked = ("claims", "primary", "arms", "matched_cold", "table1", "table2", "settings")
    assert not any(tables[name] == [] for name in asked)
    (claim,) = tables["claims"]
    assert claim["wins"] in ("yes", "no")
    assert claim["seeds"] == "2"
    assert [row["arm"] for row in tables["matched"]][-2:] == [
        "most clicks in training first",
        "fewest clicks in training first",
    ]


def _cells(text, name):
    """The rows of a table of the page, each a list of cells."""
    table = text.split(f"<!-- study_{name}: begin -->")[1].split(f"<!-- study_{name}: end -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n") if line.startswith("|")]


def test_runs_of_former_training_still_give_the_tables_of_the_page(scripts):
    """They were tuned by L2, which no model has any more."""
    store = scripts("runs").RunStore(FOLDER / "study" / "runs.parquet", FOLDER / "study" / "none.jsonl")
    former = store.former()
    assert len(former) == 670
    assert sorted(map(tuple, former[["learning_rate", "l2"]].drop_duplicates().to_numpy())) == sorted(
        scripts("plan").FORMER_SETTINGS
    )
    assert "forgetting" not in former
    assert store.frame().empty
    tables = scripts("report").tables(scripts("plan").at_their_best(former))
    page = (FOLDER.parent / "docs" / "study.md").read_text(encoding="utf-8")
    asked_later = {"claims", "matched", "matched_cold"}
    assert {name for name, rows in tables.items() if not rows} == asked_later
    for name, rows in ((name, tables[name]) for name in tables.keys() - asked_later):
        header, _, *cells = _cells(page, name)
        assert header == list(rows[0])
        assert sorted(cells) == sorted(list(map(str, row.values())) for row in rows), name


def test_former_runs_are_kept_beside_those_of_today(scripts, tmp_path):
    runs = scripts("runs")
    of_today = dict(
        zip(runs.Run._fields, ("tune", "beauty", "DeepFM", "none", 7, "gate", 0.006, 1.0, 100), strict=True)
    )
    former = {name: value for name, value in of_today.items() if name != "forgetting"}
    pd.DataFrame([former | {"l2": 1e-4}, former | {"l2": 2e-4}]).to_parquet(tmp_path / "runs.parquet")
    store = runs.RunStore(tmp_path / "runs.parquet", tmp_path / "lines.jsonl")
    assert store.missing([runs.Run(**of_today)]) == [runs.Run(**of_today)]
    store.add(of_today | {"valid_auc": 0.7})
    store.add(of_today | {"valid_auc": 0.8})
    for _ in range(2):
        assert store.former()["l2"].tolist() == [1e-4, 2e-4]
        assert store.frame()["valid_auc"].tolist() == [0.8]
        assert store.missing([runs.Run(**of_today)]) == []
        store.collect()


def test_fields_of_lists_are_not_fused(scripts, data):
    of_lists = data.train.assign(genres=[["a"], []] * 400)
    arms = scripts("arms")
    with_lists = data._replace(train=of_lists, fields=["user_id", "genres", "item_id"])
    assert arms.ARMS["fusion"].parameters(with_lists, 7)["code_features"] == ["user_id", "item_id"]
