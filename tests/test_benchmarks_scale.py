"""The scripts behind docs/scale.md, on so few items that only their working and their arithmetic are tested."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
MARKERS = ("encoding_rates", "storage", "encoding_costs", "sample_size", "serving")


@pytest.fixture
def script(monkeypatch):
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
    path.write_text("".join(f"<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n" for name in MARKERS))
    return path


def test_rates_storage_and_costs_get_their_tables(script, tmp_path, page, monkeypatch):
    rates = script("encoding_rates")
    monkeypatch.setattr(rates, "measure_in_a_fresh_process", lambda task: {"transform": 2.0, "file to file": 1.0})
    options = ["--rows", "300", "--n-features", "8", "--results", str(tmp_path / "r.jsonl"), "--output", str(page)]
    rates.main([str(tmp_path), *options])
    text = page.read_text()
    assert text.count("old") == 2
    assert "| `RQVAETokenizer` | 7 | 2 | 1 |" in text
    assert "| 3 codes, uint8 | 3.0 |" in text
    assert "| 10^6 | 8 | `RQVAETokenizer` | 11.6 d | 8.7 h |" in text  # 10^6 s = 11.57 d, / 32 cores = 8.68 h


def test_machines_are_those_that_the_slower_of_cores_and_link_needs(script):
    rates = script("encoding_rates")
    sizes = {name: {"parquet": 1.0} for name in ("int64 id", "3 codes, int64")}
    sizes["embedding of 8, float32"] = {"parquet": 4_000.0}  # 10^10 items are 40 TB, 32,000 s of 10 Gbit/s
    for rate, machines in ((1e9, "9"), (1e3, "87")):  # 10^10 s / 32 / 1e9 is nothing; 1e7 s / 32 = 86.8 h
        found = {(name, 3, 8): {"file to file": rate} for name in rates.TOKENIZERS}
        (row,) = [row for row in rates.cost_rows(found, sizes, [8]) if row["items"] == "10^10"][:1]
        assert row["machines"] == machines
        assert (row["embeddings"], row["read at 10 Gbit/s"]) == ("40.0 TB", "8.9 h")


def test_the_file_that_is_timed_holds_the_codes_of_transform(script, items, tmp_path):
    rates = script("encoding_rates")
    np.save(tmp_path / "items.npy", items.embeddings)
    source = rates.parquet_catalogue(tmp_path / "items.npy")
    tokenizer = rates.ResidualKMeansTokenizer(2, 8, random_state=0).fit(items.embeddings)
    rates.encode_file(tokenizer, source, tmp_path / "codes.parquet")
    codes = parquet.read_table(tmp_path / "codes.parquet").to_pandas()
    np.testing.assert_array_equal(codes[["code0", "code1"]], tokenizer.transform(items.embeddings))
    assert codes["item_id"].tolist() == list(range(300))


def test_made_embeddings_have_the_mean_and_the_covariance_of_the_real_ones(script, monkeypatch):
    sample_size = script("sample_size")
    monkeypatch.setattr(sample_size, "N_CLUSTERS", 1)
    random = np.random.default_rng(0)
    real = (random.standard_normal((400, 3)) @ random.standard_normal((3, 3)) + 5).astype(np.float32)
    made = sample_size.made_embeddings(real, 200_000)
    np.testing.assert_allclose(made.mean(axis=0), real.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(made.T), np.cov(real.T, bias=True), atol=0.05)


def test_samples_of_every_size_get_their_row(script, items, tmp_path, page, monkeypatch):
    sample_size = script("sample_size")
    monkeypatch.setattr(sample_size, "HELD_OUT", 100)
    monkeypatch.setattr(
        sample_size,
        "TOKENIZERS",
        {"ResidualKMeansTokenizer": lambda: sample_size.ResidualKMeansTokenizer(2, 8, random_state=0)},
    )
    np.save(tmp_path / "items.npy", items.embeddings)
    options = ["--items", "50", "500", "--results", str(tmp_path / "r.jsonl"), "--output", str(page)]
    sample_size.main([str(tmp_path / "items.npy"), *options])
    assert "\n| 50 | 0." in page.read_text()
    assert "\n| 500 |  | 0." in page.read_text()  # there are not so many real ones


def test_a_look_up_finds_the_codes_of_its_ids(script):
    answer, ids, n_bytes = script("serving").look_up(1_000, np.random.default_rng(0))
    codes = answer(ids)
    assert (len(np.unique(ids)), codes.shape, n_bytes) == (1_000, (1_000, 3), 11_000)
    shuffled = np.random.default_rng(1).permutation(1_000)
    np.testing.assert_array_equal(answer(ids[shuffled]), codes[shuffled])


def test_every_way_to_codes_is_timed(script, tmp_path, page):
    options = ["--n-features", "8", "--n-items", "1000", "--repeats", "2", "--results", str(tmp_path / "r.jsonl")]
    script("serving").main([*options, "--output", str(page)])
    assert page.read_text().count("ONNX Runtime |") == 2
    assert "\n| look-up | 0.0" in page.read_text()
