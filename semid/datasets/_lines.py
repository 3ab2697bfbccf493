"""Reads files line by line and accounts for each line that cannot be read."""

import ast
import gzip
import json
import warnings
import zlib

import pandas as pd

from semid.base._checks import check_option, warn

_SHOWN = 5  # bad lines in the warning
GZIP_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)


class BadLines:
    """The lines that could not be read: an error at the first of them, or a list and a warning at the end."""

    def __init__(self, on_bad_lines):
        self._on_bad_lines = check_option("on_bad_lines", on_bad_lines, ("error", "warn"))
        self._rows = []

    def add(self, path, line, reason):
        """Take down a line, counted from 1; or raise, if that is what was asked for."""
        if self._on_bad_lines == "error":
            raise ValueError(
                f"{path}, line {line}: {reason}. Good lines before it: {line - 1}. Mend the file, or pass "
                "on_bad_lines='warn' to leave such lines out and find them in bad_lines."
            )
        self._rows.append((str(path), line, reason))

    def finish(self):
        """Return a row per bad line, and warn if there are any."""
        if self._rows:
            shown = "; ".join(f"{path}, line {line}: {reason}" for path, line, reason in self._rows[:_SHOWN])
            more = ", ..." if len(self._rows) > _SHOWN else ""
            warn(f"left out {len(self._rows)} bad line(s), all listed in bad_lines: {shown}{more}")
        files, lines, reasons = zip(*self._rows, strict=True) if self._rows else ((), (), ())
        return pd.DataFrame(
            {
                "file": pd.Series(files, dtype=str),
                "line": pd.Series(lines, dtype="int64"),
                "reason": pd.Series(reasons, dtype=str),
            }
        )


def open_bytes(path):
    """Open a file to read bytes, through gzip if that is what it holds, whatever its name."""
    with open(path, "rb") as stream:
        is_gzip = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else open(path, "rb")


def numbered_lines(path, bad):
    """Yield the number, from 1, and the bytes of each line; empty lines at the end are none."""
    number, empty = 0, []
    try:
        with open_bytes(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.isspace():
                    empty.append(number)
                    continue
                while empty:
                    bad.add(path, empty.pop(0), "the line is empty")
                yield number, line
    except GZIP_DAMAGE as error:
        damage = f"file ends at line {number + 1}: {error}"
    else:
        return
    bad.add(path, number + 1, damage)


def read_rows(path, parse, bad, *, n_header_lines=0):
    """Yield what `parse` makes of the bytes of each line; a line for which it raises a ValueError is bad."""
    for number, line in numbered_lines(path, bad):
        if number <= n_header_lines:
            continue
        try:
            row, reason = parse(line), None
        except ValueError as error:
            reason = _reason(error)
        if reason is None:
            yield row
        else:
            bad.add(path, number, reason)


def _reason(error):
    return f"not text in {error.encoding}: {error.reason}" if isinstance(error, UnicodeError) else str(error)


def parse_record(line):
    """Return the dict of a line of JSON, or of Python as in the Amazon metadata of 2014."""
    text = line.decode("utf-8").removeprefix("\ufeff")
    record = _parse_python(text) if text.startswith("{'") else _parse_json(text)
    if not isinstance(record, dict):
        raise ValueError(f"must be an object with keys, got {type(record).__name__}")
    return record


def _parse_json(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None


def _parse_python(text):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as '\d', which are taken as they are
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a Python literal: {getattr(error, 'msg', error)}") from None


def required_text(record, key):
    """Return the text under a key, or raise unless there is some."""
    value = record.get(key)
    if type(value) is not str or not value:
        raise ValueError(_lacks(record, key, "a text"))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"not text in utf-8: {key} has half a character, {value!r:.50}") from None
    return value


def required_number(record, key):
    """Return the number under a key, or raise unless there is a finite one."""
    value = record.get(key)
    # NaN and infinity, which Python's JSON takes, fail the comparison.
    if type(value) not in (float, int) or not -(2**63) <= value < 2**63:
        raise ValueError(_lacks(record, key, "a number"))
    return value


def _lacks(record, key, kind):
    return f"{key} must be {kind}, got {record[key]!r:.50}" if key in record else f"{key} is missing"
