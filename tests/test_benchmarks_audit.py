"""The benchmark of the audit, on so few rows that only its working is tested."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def audit(monkeypatch):
    """Import the script as python does when it is run, and forget it and its neighbours afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("audit")
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def _run(audit, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["audit.py", *arguments])
    audit.main()


def test_the_tables_have_the_mappings_from_best_to_worst_and_the_rank_correlations(audit, monkeypatch, tmp_path):
    aucs = {"moc": 0.6, "graded": 0.8, "pq": 0.7}
    fits = [{"data": "beauty", "seed": 0, "arm": arm, "auc": auc, "cold": auc - 0.1} for arm, auc in aucs.items()]
    figures = dict.fromkeys([*audit.SHOWN, *audit.ORDERED], 0.5)
    audits = [figures | {"data": "beauty", "seed": 0, "arm": arm, "co_click_auc": auc} for arm, auc in aucs.items()]
    audits = [row | {"collision_rate": -row["co_click_auc"]} for row in audits]
    for name, rows in (("fits", fits), ("figures", audits)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "page.md"
    markers = [
        f"<!-- {name}: {place} -->\n" for name in ("audit_mappings", "audit_orders") for place in ("begin", "end")
    ]
    page.write_text("".join(markers))
    _run(audit, monkeypatch, "report", "--results", str(tmp_path), "--output", str(page))
    text = page.read_text()
    assert text.index("graded sizes | 0.700 | 0.800") < text.index("quantization | 0.600") < text.index("MoC | 0.500")
    assert "| figure | beauty, 3 mappings |" in text
    assert "| co-click AUC (`co_click_auc`) | +1.00 |" in text
    assert "| collisions (`collision_rate`) | -1.00 |" in text
    assert "| redundancy (`redundancy`) | +0.00 |" in text  # which is the same for all


@pytest.mark.slow
def test_the_audit_of_a_made_log_says_what_it_takes(audit, monkeypatch, tmp_path, capsys):
    _run(audit, monkeypatch, "scale", "--interactions", "5000", "--results", str(tmp_path))
    assert "5,000 interactions, 100,000 items: " in capsys.readouterr().out
