"""A report as a page: one HTML file that needs no network, of Jinja templates, with the Displays as SVG inside."""

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from semid import __version__
from semid.metrics._findings import shortened
from semid.metrics._report import ReportComparison, ReportItems, TokenizerReport, as_text
from semid.plots._figures_in_words import COLUMNS, FIGURES
from semid.plots._svg import pictures_of
from semid.tables._ids import find_ids, id_index

_MOST_BYTES = 1_900_000  # of a page, which has to stay under 2 MB
_N_PREFIXES, _N_TITLES, _N_CHANGED = 24, 5, 20


def page_of_report(report: TokenizerReport, name: str = "") -> str:
    """Return the page of a report, whose mapping is called `name`."""
    items = _items_of(report)
    page = {
        "title": f"Audit of {name}" if name else "Audit of semantic IDs",
        "about": _about(report),
        "verdicts": _verdicts(report),
        "advice": report.advice,
        "figures": _figures(report),
        "baselines": [] if report.baselines is None else list(report.baselines.columns[1:]),
        "codebooks": _rows(report.table),
        "columns": {column: COLUMNS.get(column, column) for column in report.table},
        "parts": None if report.parts is None else _rows(report.parts),
        "pictures": pictures_of(items, report.parts),
        "prefixes": prefixes_of(items),
    }
    return _rendered("report.html.j2", page, items)


def page_of_comparison(comparison: ReportComparison) -> str:
    """Return the page of two reports side by side."""
    items = [_items_of(report) for report in comparison.reports]
    churn = comparison.churn
    sides = [
        {
            "name": name,
            "about": _about(report),
            "verdicts": _verdicts(report),
            "advice": report.advice,
            "pictures": pictures_of(of, None, prefix=f"side{n}-", redundancy=False),
        }
        for n, (name, report, of) in enumerate(zip(comparison.names, comparison.reports, items, strict=True))
    ]
    page = {
        "title": f"{comparison.names[0]} beside {comparison.names[1]}",
        "sides": sides,
        "names": comparison.names,
        "figures": [
            {"name": figure, "says": FIGURES.get(figure, ""), "values": [_text(value, figure) for value in row]}
            for figure, row in zip(comparison.table.index, comparison.table.to_numpy(), strict=True)
        ],
        "n_common": comparison.n_common,
        "churn": None if churn is None else [churn.items, *churn.codes.tolist()],
        "changed": [] if churn is None else _changed(comparison),
    }
    return _rendered("comparison.html.j2", page, items[1])


def prefixes_of(items: ReportItems, n_prefixes: int = _N_PREFIXES) -> list[dict]:
    """Return the largest groups of items by their first code, with what the most popular of each are called."""
    weights = np.ones(len(items.ids)) if items.popularity is None else items.popularity
    groups: list[dict] = []
    first = items.codes[:, 0]
    numbers, counts = np.unique(first, return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:n_prefixes]:
        rows = np.flatnonzero(first == numbers[place])
        groups.append(_group(items, rows, weights, 0) | {"groups": _within(items, rows, weights)})
    return groups


def _within(items, rows, weights):
    """Return the largest groups by the second code among items of one first code."""
    if items.codes.shape[1] < 2:
        return []
    numbers, counts = np.unique(items.codes[rows, 1], return_counts=True)
    order = [place for place in np.argsort(-counts, kind="stable")[:3] if counts[place] > 1]
    return [_group(items, rows[items.codes[rows, 1] == numbers[place]], weights, 1) for place in order]


def _group(items, rows, weights, level):
    most = rows[np.argsort(-weights[rows], kind="stable")[:_N_TITLES]]
    label = ""
    if items.labels is not None:
        known = pd.Series(items.labels[rows]).dropna()
        if len(known):
            counts = known.value_counts()
            label = f"{shortened(str(counts.index[0]))} ({counts.iloc[0] / len(rows):.0%})"
    return {
        "codes": _codes_text(items.codes[rows[0], : level + 1]),
        "n_items": len(rows),
        "traffic": None if items.popularity is None else float(weights[rows].sum() / weights.sum()),
        "label": label,
        "titles": [_title(items, row) for row in most],
    }


def _title(items, row):
    title = "" if items.titles is None else items.titles[row]
    return shortened(title or str(items.ids[row]))


def _items_of(report):
    if report.items is None:
        raise ValueError("the report must come from tokenizer_report to be written as a page, got one without items.")
    return report.items


def _about(report):
    sizes = report.items.sizes.tolist()
    shape = f"{len(sizes)} \u00d7 {sizes[0]}" if len(set(sizes)) == 1 else ", ".join(map(str, sizes))
    about = [("Items", f"{report.summary['n_items']:,}"), ("Codes of each", shape)]
    if "n_interactions" in report.summary:
        about.append(("Interactions", f"{report.summary['n_interactions']:,}"))
    return about


def _verdicts(report):
    rows = []
    for purpose, sentence in (report.verdict or {}).items():
        grade, _, text = sentence.partition(": ")
        rows.append({"purpose": purpose, "grade": grade, "text": text[:1].upper() + text[1:]})
    return rows


def _figures(report):
    baselines = report.baselines
    rows = []
    for name, value in report.summary.items():
        beside = [] if baselines is None else [""] * (baselines.shape[1] - 1)
        if baselines is not None and name in baselines.index:
            beside = [_text(other, name) for other in baselines.loc[name].iloc[1:]]
        rows.append({"name": name, "says": FIGURES.get(name, ""), "value": _text(value, name), "beside": beside})
    return rows


def _text(value, name=""):
    if isinstance(value, float) and value.is_integer() and (name.startswith("n_") or name.endswith(("rows", "bytes"))):
        value = int(value)
    return as_text(value)


def _rows(table):
    """Return the rows of a table as (name, {column: text}), shares also as numbers."""
    rows = []
    for name, row in zip(table.index, table.to_dict("records"), strict=True):
        texts = {column: "" if pd.isna(value) else _cell(value) for column, value in row.items()}
        rows.append({"name": name, "texts": texts, "values": row})
    return rows


def _cell(value):
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.3f}"


def _changed(comparison):
    """Return the most popular of the items whose codes changed, with both codes."""
    first, second = (report.items for report in comparison.reports)
    rows = find_ids(id_index(second.ids), first.ids)
    both = np.flatnonzero(rows >= 0)
    changed = both[(first.codes[both] != second.codes[rows[both]]).any(axis=1)]
    if first.popularity is not None:
        changed = changed[np.argsort(-first.popularity[changed], kind="stable")]
    return [
        {"title": _title(first, row), "codes": [_codes_text(first.codes[row]), _codes_text(second.codes[rows[row]])]}
        for row in changed[:_N_CHANGED]
    ]


def _codes_text(codes):
    """Return codes as 12-3-9, without those that an item does not have."""
    return "-".join(str(code) for code in codes.tolist() if code >= 0) or "none"


def _index(items, n_bytes):
    """Return items to search for as JSON, the most popular first, as many as `n_bytes` hold, and their number."""
    order = np.arange(len(items.ids))
    if items.popularity is not None:
        order = np.argsort(-items.popularity, kind="stable")
    entries, left = [], n_bytes - 2
    for row in order:
        title = "" if items.titles is None else shortened(items.titles[row])
        entry = _script_safe([shortened(str(items.ids[row])), title, _codes_text(items.codes[row])])
        left -= len(entry.encode()) + 1
        if left < 0:
            break
        entries.append(entry)
    return f"[{','.join(entries)}]", len(entries)


def _script_safe(value: Any) -> str:
    """Return JSON in which nothing ends the script that it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace").decode()


def _rendered(template, page, items):
    page |= {"version": __version__, "n_items": len(items.ids), "n_found": 0, "index": ""}
    page["by_popularity"] = items.popularity is not None
    page |= {"style": _source("style.css"), "script": _source("search.js")}
    rendered = _template(template).render(page)
    page["index"], page["n_found"] = _index(items, _MOST_BYTES - len(rendered.encode(errors="replace")))
    return _template(template).render(page)


@cache
def _environment():
    # Whatever comes from a catalogue is text: a title with markup is shown as it is written.
    return Environment(
        loader=PackageLoader("semid.plots"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name):
    return _environment().get_template(name)


def _source(name):
    environment = _environment()
    return environment.loader.get_source(environment, name)[0]
