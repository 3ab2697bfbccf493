"""The code of the documentation runs, page by page, block after block, and prints what the page shows below it."""

import os
import re
import runpy
from contextlib import nullcontext
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from public_api import NAMES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
python_blocks = runpy.run_path(str(DOCS / "_ext" / "code_blocks.py"))["python_blocks"]
# Its engines are started by tests/distributed/test_engines.py; its files are made by tests/test_readme.py.
ELSEWHERE = {"scale.md", "own_data.md"}
NEVER_RELEASED = {"embedding_forgetting", "network_forgetting"}  # of main, between 0.1.0 and 0.2.0
PAGES = [
    page
    for page in sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")])
    if page.name not in ELSEWHERE and python_blocks(page.read_text(encoding="utf-8"))
]

LINKING = [ROOT / "README.md", *sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")])]
GENERATED = {"auto_examples", "api"}  # pages that the build writes


def test_a_page_has_blocks_of_python_and_of_run_in_order_without_those_marked_as_not_run():
    text = "\n".join(
        [
            "```python",
            "x = 1",
            "```",
            "",
            "{.run-wrap}",
            "```text",
            "1",
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
    assert python_blocks(text) == [(1, "x = 1\n", "1\n"), (16, "x += 1\n", None)]


def test_the_pages_that_show_code_are_found():
    names = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert {"index.md", "tour.md", "persistence.md", "faq.md", "guide/tokenizers.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_pages_code_runs_and_prints_what_is_shown(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page.read_text(encoding="utf-8")):
        exec(compile("\n" * block.line + block.code, os.fspath(page), "exec"), namespace)
        printed = capsys.readouterr().out
        if block.output is not None:
            assert_alike(printed, block.output, where=f"{page.name}, line {block.line}")


NUMBER = re.compile(r"(?<![\w.])-?\d[\d,_]*(?:\.\d+)?(?:e[+-]?\d+)?")


def assert_alike(printed, shown, where):
    """The same words, and numbers that are near: what is learned differs a little from machine to machine."""
    words, expected = ("".join(NUMBER.sub("#", text).split()) for text in (printed, shown))
    assert words == expected, f"{where}: prints\n{printed}"
    numbers, expected = (
        [float(number.replace(",", "").replace("_", "")) for number in NUMBER.findall(text)]
        for text in (printed, shown)
    )
    np.testing.assert_allclose(numbers, expected, rtol=0.05, atol=0.02, err_msg=f"{where}: prints\n{printed}")


@pytest.mark.parametrize(
    ("printed", "is_alike"), [("AUC 0.71\n", True), ("AUC  0.72", True), ("AUC 0.81", False), ("GAUC 0.71", False)]
)
def test_output_is_alike_where_its_words_are_the_same_and_its_numbers_near(printed, is_alike):
    with nullcontext() if is_alike else pytest.raises(AssertionError):
        assert_alike(printed, "AUC 0.71\n", where="here")


def slug(heading):
    """The anchor that MyST, and GitHub, give to a heading of the Markdown `heading`."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def prose_of(page):
    """The text of a page without its blocks of code and its inline code."""
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]+`", "", text)


def anchors_of(page):
    """What a link may name behind the # of a page: headings down to the third level, and targets as in (name)=."""
    text = re.sub(r"^(```+).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#{1,3} (.+)$", text, flags=re.MULTILINE)
    return {*map(slug, headings), *re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE)}


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Codes change after a reload, or not", "codes-change-after-a-reload-or-not"),
        ("`user`: codes that know", "user-codes-that-know"),
        ("Why `-1`?", "why--1"),
        ("Joint codes: `beam_size`, `n_refinements`", "joint-codes-beam_size-n_refinements"),
        ("R²: three numbers", "r²-three-numbers"),
    ],
)
def test_an_anchor_is_the_heading_in_small_letters_with_hyphens(heading, anchor):
    assert slug(heading) == anchor


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_between_pages_leads_to_a_file_and_a_heading(page):
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        path, _, anchor = link.partition("#")
        if "://" in link or path.split("/")[0] in GENERATED or path.split("/")[:2] == ["..", "auto_examples"]:
            continue
        target = page if not path else page.parent / path
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(link)
    assert not lost


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_no_page_promises_a_table_for_later(page):
    text = page.read_text(encoding="utf-8").lower()
    assert not [promise for promise in ("to be generated", "to be run", "todo") if promise in text]


def test_the_page_on_upgrading_has_every_parameter_of_0_1_that_was_removed():
    text = (DOCS / "upgrade.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+) \|$", text, flags=re.MULTILINE)
    shown = {tuple(row.replace("`", "").split(" | ")[::2]) for row in rows}
    removed = {
        (name, advice)
        for public in NAMES.values()
        for name, advice in getattr(public, "_removed_parameters", {}).items()
        if name not in NEVER_RELEASED
    }
    assert shown == removed
