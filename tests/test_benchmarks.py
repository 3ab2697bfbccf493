"""The benchmark scripts, on so few items that only their working is tested."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def embeddings(tmp_path):
    path = tmp_path / "embeddings.npy"
    np.save(path, np.random.default_rng(0).standard_normal((200, 16)).astype(np.float16))
    return str(path)


@pytest.fixture
def benchmark(monkeypatch):
    """Import a script of the folder as python does when it is run, and forget it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: __import__(name)
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    names = ("tokenizers", "epoch_time", "time_to_quality", "scale")
    path.write_text("".join(f"before\n<!-- {name}: begin -->\nold\n<!-- {name}: end -->\nafter\n" for name in names))
    return path


def _arguments(embeddings, tmp_path, page):
    results, shape = str(tmp_path / "results.jsonl"), ["--n-codebooks", "2", "--codebook-size", "16", "--threads", "1"]
    return [embeddings, *shape, "--results", results, "--output", str(page)]


def test_every_tokenizer_of_ours_is_measured_once_and_gets_its_row(benchmark, embeddings, tmp_path, page, monkeypatch):
    tokenizers = benchmark("codes")
    ours = [name for name, contender in tokenizers.CONTENDERS.items() if contender.is_ours]
    in_process = {name: tokenizers.CONTENDERS[name].build for name in ours}
    monkeypatch.setattr(
        tokenizers,
        "measure_in_a_fresh_process",
        lambda task, limit: tokenizers.measure(in_process[task["name"]](2, 16, 0), tokenizers.load(embeddings), 0),
    )
    arguments = [*_arguments(embeddings, tmp_path, page), "--repeats", "1", "--only", *ours]
    tokenizers.main(arguments)
    tokenizers.main(arguments)

    results = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in results] == ours
    assert all(f"\n| **{name}** |" in page.read_text() for name in ours)


def test_a_measurement_in_a_process_of_its_own_has_all_figures(benchmark, embeddings, tmp_path, page):
    tokenizers = benchmark("codes")
    arguments = _arguments(embeddings, tmp_path, page)
    tokenizers.main([*arguments, "--repeats", "1", "--only", "RandomTokenizer"])
    (result,) = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    assert "error" not in result
    assert result["r2"] < 0.2
    assert len(result["usage"]) == len(result["perplexity"]) == 2
    assert 0 <= result["fit_memory"] < 1_000


def test_a_rerun_replaces_the_table_and_nothing_else(benchmark, page):
    publish = benchmark("records").publish
    before = page.read_text()
    publish("first", "scale", page)
    publish("second", "scale", page)
    expected = before.replace("<!-- scale: begin -->\nold\n", "<!-- scale: begin -->\n\nsecond\n\n")
    assert page.read_text() == expected
    with pytest.raises(ValueError, match=r"must have the lines '<!-- other: begin -->' and"):
        publish("text", "other", page)


def test_neighbours_kept_are_those_of_the_metric(benchmark):
    X, reconstruction = np.random.default_rng(0).standard_normal((2, 30, 4))
    shares = []
    for i in range(30):
        kept = [np.argsort(np.linalg.norm(A - A[i], axis=1))[1:11] for A in (X, reconstruction)]
        shares.append(len(set(kept[0]) & set(kept[1])) / 10)
    figures = benchmark("quality").figures_of_reconstruction(X, reconstruction)
    assert figures["neighbours_kept"] == pytest.approx(np.mean(shares))


def test_balanced_codes_match_the_plan_normalised_by_hand(benchmark):
    distances = torch.rand(64, 8, generator=torch.Generator().manual_seed(0)).double() + torch.linspace(0, 2, 8)
    plan = np.exp(-(2 * (distances - distances.min()) / (distances.max() - distances.min()) - 1).numpy() / 0.05)
    for _ in range(50):
        plan /= 8 * plan.sum(axis=0)
        plan /= 64 * plan.sum(axis=1, keepdims=True)
    codes = benchmark("recipes").balanced_codes(distances, epsilon=0.05)
    assert codes.tolist() == plan.argmax(axis=1).tolist()
    assert len(distances.argmin(1).unique()) < len(codes.unique()) == 8


def test_recipes_race_ours_and_get_their_rows(benchmark, embeddings, tmp_path, page, monkeypatch):
    race = benchmark("time_to_quality")
    monkeypatch.setattr(race, "RECIPES", {"LC-Rec's recipe": race.lc_rec})
    race.main([*_arguments(embeddings, tmp_path, page), "--limit", "0.2", "--plot", str(tmp_path / "curves.png")])
    assert "| **semid** |" in page.read_text()
    assert "| LC-Rec's recipe" in page.read_text()
    assert (tmp_path / "curves.png").stat().st_size > 5_000


def test_the_loop_runs_without_a_quantizer_as_with_ours(benchmark):
    epoch_time = benchmark("epoch_time")
    x = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
    for quantizer in (epoch_time.NoQuantizer(), epoch_time.ResidualQuantizer([4, 4], epoch_time.LATENT_DIM)):
        assert epoch_time.OneEpoch(x, quantizer).seconds() > 0


def test_every_piece_of_work_is_measured_on_a_mapped_file(benchmark, tmp_path):
    scale = benchmark("scale")
    path = scale.catalogue(tmp_path, n_rows=500, n_features=8)
    assert np.array_equal(np.load(path), np.load(scale.catalogue(tmp_path, n_rows=700, n_features=8))[:500])
    result = scale.measure("`ResidualKMeansTokenizer().fit`", path, threads=1)
    assert scale.row({**result, "work": "fit", "rows": 500})["rows"] == "500"


def test_a_fit_from_files_is_measured_beside_one_in_memory(benchmark, tmp_path, monkeypatch):
    files = benchmark("files")
    monkeypatch.setattr(files, "N_TEST", 500)
    monkeypatch.setattr(files, "OF_GROUP", 1_000)
    files.write(tmp_path, 2_500)
    found = []
    for source in ("memory", "files"):
        files.Times.seen.clear()
        found.append(files.fit(tmp_path, source))
    assert [(row["n_rows"], row["source"]) for row in found] == [(2500, "memory"), (2500, "files")]
    assert found[0]["auc"] == found[1]["auc"]  # so few impressions are one block
    assert all(0 < row["before"] < 60 and row["rate"] > 0 for row in found)
    records = files.Records(tmp_path / "lines.jsonl")
    for row in found:
        records.add(row)
    rows = files.table_rows(records)
    assert [(row["impressions"], row["fit from"], row["fits"]) for row in rows] == [
        ("2,500", "memory", "1"),
        ("2,500", "files", "1"),
    ]
