"""The script behind the table of docs/guide/catalogue.md, on so few items that only its working is tested."""

import sys
from pathlib import Path

import pytest

from semid.io import Catalogue
from semid.tokenizers import ParallelKMeansTokenizer

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a script of the folder as python does when it is run, and forget it afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: __import__(name)
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_page_gets_its_table(script, tmp_path, monkeypatch):
    benchmark = script("catalogue")
    monkeypatch.setattr(benchmark, "TOKENIZERS", {"2 of 8": lambda: ParallelKMeansTokenizer(2, 8, random_state=0)})
    monkeypatch.setattr(benchmark, "N_APPENDED", 20)
    monkeypatch.setattr(benchmark, "FIT_ROWS", 100)
    monkeypatch.setattr(benchmark, "_alone", lambda step, *arguments: getattr(benchmark, step)(*arguments))
    page = tmp_path / "page.md"
    page.write_text("<!-- catalogue: begin -->\nold\n<!-- catalogue: end -->\n")
    options = ["--n-items", "200", "--n-features", "4", "--repeats", "2", "--results", str(tmp_path / "r.jsonl")]
    benchmark.main([*options, "--output", str(page)])
    text = page.read_text()
    assert "old" not in text
    assert "200 items with text ids, 4 dimensions" in text
    assert len([line for line in text.splitlines() if line.startswith("| 2 of 8 |")]) == 1


def test_what_is_measured_is_a_catalogue(script, tmp_path, monkeypatch):
    benchmark = script("catalogue")
    monkeypatch.setattr(benchmark, "FIT_ROWS", 500)
    found = benchmark.write(tmp_path / "c", "3 of 256", 500, 4)
    assert found["disk_bytes"] > 10_000
    assert Catalogue(tmp_path / "c").generations == [1, 2]
    assert len(Catalogue(tmp_path / "c").open(1)) == 500
    assert set(benchmark.read(tmp_path / "c", 1)) >= {"open", "ids_cpu", "codes_wall", "reader_mib"}
