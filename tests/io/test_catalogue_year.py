"""The year of docs/guide/catalogue.md, in a process of its own, while others read."""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from semid.io import Catalogue

DOCS = Path(__file__).resolve().parents[2] / "docs"
python_blocks = runpy.run_path(str(DOCS / "_ext" / "code_blocks.py"))["python_blocks"]
SCRIPT = python_blocks((DOCS / "guide" / "catalogue.md").read_text(encoding="utf-8"))[0].code


def _both_ways(generation):
    """Look up ids and codes of some items, against the arrays."""
    rows = np.arange(0, len(generation), 97)
    np.testing.assert_array_equal(generation.codes_of(generation.item_ids[rows]), generation.codes[rows])
    for row, found in zip(rows, generation.items_of(generation.codes[rows]), strict=True):
        shared = (generation.codes == generation.codes[row]).all(axis=1)
        assert set(found) == set(generation.item_ids[shared])


@pytest.mark.slow
def test_a_year_of_thirty_lines_moves_no_id_but_by_refits_and_no_reader_is_ever_wrong(tmp_path):
    assert len(SCRIPT.splitlines()) <= 30
    script = tmp_path / "year.py"
    script.write_text(SCRIPT)
    held = {}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([sys.executable, os.fspath(script)], cwd=tmp_path, stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(0.02)
            if not list(tmp_path.glob("toys/generation-*")):
                continue
            newest = Catalogue(tmp_path / "toys").open()
            if newest.number not in held:
                held[newest.number] = newest, newest.item_ids.copy(), newest.codes.copy()
            for generation, ids, codes in held.values():
                np.testing.assert_array_equal(generation.codes_of(ids[::53]), codes[::53])
            _both_ways(newest)
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert len(held) > 3

    catalogue = Catalogue(tmp_path / "toys")
    assert catalogue.generations == list(range(1, 18))
    made_by = [catalogue.open(number).about["made_by"] for number in catalogue.generations]
    assert [made_by.count(kind) for kind in ("build", "append", "refit", "rollback")] == [1, 12, 3, 1]
    for number in catalogue.generations[1:]:
        before, after = catalogue.open(number - 1), catalogue.open(number)
        kept = after.codes_of(before.item_ids)
        moved = before.item_ids[((kept != before.codes) & (kept >= 0)).any(axis=1)]
        diff = catalogue.diff(number - 1, number)
        assert set(diff.changes["item_id"][diff.changes["change"] == "moved"]) == set(moved)
        if made_by[number - 1] == "append":
            assert len(moved) == 0
    restored = catalogue.open(17).about["restores"]
    np.testing.assert_array_equal(catalogue.open(17).codes, catalogue.open(restored).codes)
