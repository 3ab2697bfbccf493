"""Measurements as they come in, one JSON object per line, and as tables in a page."""

import json
import statistics
from pathlib import Path


class Records:
    """Measurements in a file of JSON lines, each written as soon as it is made, so that a run can be resumed."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.rows = [json.loads(line) for line in lines]

    def add(self, record):
        self.rows.append(record)
        with self.path.open("a") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def matching(self, **key):
        """Return the records that have all the entries of `key`."""
        return [row for row in self.rows if all(row.get(name) == value for name, value in key.items())]


def medians(records):
    """Return one dict with the median of every number in `records`; lists entry by entry, the rest from the first."""
    merged = {name: _median([record[name] for record in records if name in record]) for name in records[0]}
    return merged | {"n_fits": len(records)}


def _median(values):
    if isinstance(values[0], list):
        return [_median(list(column)) for column in zip(*values, strict=True)]
    is_number = all(isinstance(value, int | float) for value in values)
    return statistics.median(values) if is_number else values[0]


def markdown_table(rows):
    """Return dicts of ready strings as a markdown table; the keys of the first are the header."""
    header = list(rows[0])
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    lines += ["| " + " | ".join(row[name] for name in header) + " |" for row in rows]
    return "\n".join(lines)


def publish(text, name, page=None, *, quiet=False):
    """Print `text`, unless `quiet`; where there is a `page`, also put it between the page's markers of `name`."""
    if not quiet:
        print(text, flush=True)
    if page is None:
        return
    page = Path(page)
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, has_begin, rest = page.read_text().partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        raise ValueError(f"{page} must have the lines {begin!r} and {end!r}, around the place for the table.")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
