"""The report as a page: whole, small, closed, and with whatever is in a title as text."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from semid.metrics import TokenizerReport, tokenizer_report
from semid.plots import CodeUsageDisplay
from semid.plots._page import _source, prefixes_of
from semid.plots._svg import svg_of

_VOID = {"meta", "link", "input", "wbr", "br", "hr", "img"}
_MARKUP = "</script><script>alert(1)</script><b>bold & 'quoted'</b> {{ 7 * 7 }}"


class Page(HTMLParser):
    """What a page holds: elements that close, ids, headings, links, and the text in each kind of element."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.headings, self.links, self.texts, self.tags = [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    codes = np.column_stack([rng.integers(8, size=300), rng.integers(300, size=300), rng.integers(8, size=300)])
    titles = [f"mug number {n}" for n in range(300)]
    titles[7] = _MARKUP
    log = pd.DataFrame({"user_id": rng.integers(60, size=900), "item_id": rng.integers(300, size=900)})
    X, labels = rng.normal(size=(300, 8)), rng.choice(["<i>", "b"], size=300)
    return tokenizer_report(codes, X, interactions=log, titles=titles, labels=labels)


@pytest.fixture(scope="module")
def source(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.to_html(path, name="<mugs>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_the_page_is_one_whole_document_in_order(source):
    page = Page(source)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert {link[1:] for link in page.links} <= set(page.ids)
    labelled = [of["aria-labelledby"] for _, of in page.tags if "aria-labelledby" in of]
    assert set(labelled) <= set(page.ids)
    assert [of["for"] for tag, of in page.tags if tag == "label"] == ["query"]


def test_the_page_asks_nothing_of_the_network_and_is_small(source):
    assert len(source.encode()) < 2_000_000
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", source))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not places
    for tag, attributes in Page(source).tags:
        assert tag not in ("iframe", "object", "embed")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))


def test_verdict_findings_and_figures_of_the_report_are_on_the_page(source, report):
    page = Page(source)
    for purpose, sentence in report.verdict.items():
        grade, _, words = sentence.partition(": ")
        assert f"For {purpose}: {grade}" in page.text
        assert words[1:] in page.text
    for finding in report.advice:
        assert " ".join(finding.split()) in page.text
    for name, value in report.summary.items():
        assert name in page.text.replace("_ ", "_")
        assert (f"{value:,}" if isinstance(value, int) else f"{value:.4f}") in page.text
    assert "head" in page.text and "tail" in page.text


def test_titles_with_markup_stay_text(source):
    assert "<b>bold" not in source and "alert(1)</script>" not in source
    assert "<mugs>" not in source and "&lt;mugs&gt;" in source
    assert "{{ 7 * 7 }}" in Page(source).text or "{{ 7 * 7 }}" in source  # no template of ours either
    entries = json.loads(re.search(r'id="index">(.*?)</script>', source, re.DOTALL)[1])
    assert ["7", _MARKUP, entries[[entry[0] for entry in entries].index("7")][2]] in entries
    scripts = [tag for tag, _ in Page(source).tags if tag == "script"]
    assert len(scripts) == 2


def test_all_items_can_be_searched_for_and_of_too_many_the_most_popular(report, tmp_path, monkeypatch):
    report.to_html(tmp_path / "all.html")
    source = (tmp_path / "all.html").read_text()
    entries = json.loads(re.search(r'id="index">(.*?)</script>', source, re.DOTALL)[1])
    assert len(entries) == 300
    popularity = report.items.popularity[[int(entry[0]) for entry in entries]]
    assert (np.diff(popularity) <= 0).all()
    monkeypatch.setattr("semid.plots._page._MOST_BYTES", len(source) - 4_000)
    report.to_html(tmp_path / "some.html")
    less = (tmp_path / "some.html").read_text()
    n_found = len(json.loads(re.search(r'id="index">(.*?)</script>', less, re.DOTALL)[1]))
    assert 100 < n_found < 300
    assert f"This page holds the {n_found} most popular of 300 items." in Page(less).text


def test_half_an_emoji_in_a_title_is_replaced(tmp_path):
    tokenizer_report([[0], [1]], titles=["mug \ud83d", "cup"], baselines=False).to_html(tmp_path / "page.html")
    assert "mug ?" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_same_report_is_the_same_page(report, tmp_path):
    for name in ("a", "b"):
        report.to_html(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_groups_of_the_first_codes_are_called_by_their_most_popular_items(report):
    groups = prefixes_of(report.items, n_prefixes=3)
    assert [group["n_items"] for group in groups] == sorted(np.bincount(report.items.codes[:, 0]))[::-1][:3]
    rows = np.flatnonzero(report.items.codes[:, 0] == int(groups[0]["codes"]))
    best = rows[np.argsort(-report.items.popularity[rows], kind="stable")[:5]]
    assert groups[0]["titles"] == [f"mug number {row}" if row != 7 else _MARKUP[:89] + "…" for row in best]


def test_ids_without_titles_log_or_embeddings_and_of_several_lengths_make_a_page_too(tmp_path):
    tokens = {f"item {n}": ["<a_1>", f"<b_{n % 7}>", "<c_2>"][: 2 + n % 2] for n in range(30)}
    tokenizer_report(tokens, baselines=False).to_html(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    assert page.open == [] and "Unknown" in page.text
    tokenizer_report([[0], [1], [2], [2]]).to_html(tmp_path / "one.html")
    assert Page((tmp_path / "one.html").read_text()).open == []


def test_two_reports_make_one_page_with_what_changed(report, tmp_path):
    codes = report.items.codes.copy()
    codes[:9, 0] += 1
    other = tokenizer_report(codes, titles=report.items.titles)
    report.compare(other, names=("old <1>", "new")).to_html(tmp_path / "both.html")
    source = (tmp_path / "both.html").read_text()
    page = Page(source)
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert "old <1>" in page.text and "old <1>" not in source
    assert "Share of the 300 items that both have" in page.text and "3.0 %" in page.text
    assert "mug number 3" in page.text
    shorter = tokenizer_report(codes[:, :2])
    report.compare(shorter).to_html(tmp_path / "none.html")
    assert "differ in the number of codes" in Page((tmp_path / "none.html").read_text()).text


def test_a_report_made_by_hand_has_no_items_for_a_page(report, tmp_path):
    with pytest.raises(ValueError, match="the report must come from tokenizer_report"):
        TokenizerReport(report.table, report.summary, report.advice).to_html(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_has_no_size_no_head_and_no_id_of_another():
    display = CodeUsageDisplay.from_codes([[0, 1], [1, 0], [1, 1]])
    first, second = svg_of(display, "one"), svg_of(display, "two")
    assert first.startswith("<svg viewBox=") and "width=" not in first[: first.index(">")]
    ids = [set(re.findall(r'id="([^"]+)"', picture)) for picture in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    assert "#010203" not in first and "currentColor" in first
    for name in re.findall(r'(?:url\(#|href="#)([^")]+)', first):
        assert name in ids[0]


def test_without_popularity_the_page_holds_the_first_items_whatever_is_long(tmp_path, monkeypatch):
    titles = ["word " * 4_000 + str(n) for n in range(300)]
    codes = np.arange(300)[:, None] // [64, 1] % 8
    report = tokenizer_report(codes, titles=titles, labels=["kind " * 4_000] * 300, baselines=False)
    assert max(map(len, report.advice)) < 1_000
    report.to_html(tmp_path / "all.html")
    n_bytes = (tmp_path / "all.html").stat().st_size
    assert n_bytes < 150_000
    monkeypatch.setattr("semid.plots._page._MOST_BYTES", n_bytes - 4_000)
    report.to_html(tmp_path / "some.html")
    some = (tmp_path / "some.html").read_text(encoding="utf-8")
    assert re.search(r"This page holds the [12]\d\d first of 300 items\.", some)


_DOCUMENT = """
const made = () => ({value: "", children: [], append(...all) { this.children.push(...all); },
  set textContent(text) { this.text = text; this.children = []; }, get textContent() { return this.text; },
  addEventListener(name, act) { this.act = act; }, querySelector() { return null; }});
const places = {query: made(), status: made(), results: made(), index: {textContent: process.argv[2]}};
globalThis.document = {getElementById: (name) => places[name], createElement: made, querySelectorAll: () => []};
globalThis.window = {addEventListener() {}};
globalThis.setTimeout = (act) => act();
require(process.argv[1]);
places.query.value = process.argv[3];
places.query.act();
console.log(JSON.stringify(places.results.children.map((entry) => entry.children[0].text)));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_item_whose_id_is_asked_for_is_found_before_all_that_only_hold_it(tmp_path):
    script = tmp_path / "search.js"
    script.write_text(_source("search.js"))
    index = json.dumps([[str(n), "", f"{n % 8}-{n}"] for n in range(999, -1, -1)])
    command = ["node", "-e", _DOCUMENT, str(script), index, "12"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found[:2] == ["12", "912"] and len(found) == 20
