"""The code of the documentation runs, page by page, block after block, as a reader would type it."""

import os
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
python_blocks = runpy.run_path(str(DOCS / "_ext" / "code_blocks.py"))["python_blocks"]
# Its engines are started by tests/distributed/test_engines.py; its files are made by tests/test_readme.py.
ELSEWHERE = {"scale.md", "own_data.md"}
PAGES = [
    page
    for page in sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")])
    if page.name not in ELSEWHERE and python_blocks(page.read_text(encoding="utf-8"))
]


def test_a_page_has_blocks_of_python_and_of_run_in_order_without_those_marked_as_not_run():
    text = "\n".join(
        [
            "```python",
            "x = 1",
            "```",
            "<!-- not run -->",
            "```python",
            "x = 2",
            "```",
            "```bash",
            "x = 3",
            "```",
            "```{run}",
            ":alt: a picture",
            ":beside:",
            "",
            "x += 1",
            "```",
        ]
    )
    assert python_blocks(text) == [(1, "x = 1\n"), (11, "x += 1\n")]


def test_the_pages_that_show_code_are_found():
    names = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert {"index.md", "tour.md", "persistence.md", "faq.md", "guide/tokenizers.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_pages_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8")):
        exec(compile("\n" * block.line + block.code, os.fspath(page), "exec"), namespace)
