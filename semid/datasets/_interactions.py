"""Reads logs of interactions from tables: parquet, CSV, and the atomic files of RecBole."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import (
    is_bool_dtype,
    is_complex_dtype,
    is_datetime64_any_dtype,
    is_integer_dtype,
    is_numeric_dtype,
)

from semid.base._checks import check_option, check_single_values, warn
from semid.base._typing import StrPath
from semid.datasets._lines import GZIP_DAMAGE, BadLines, open_bytes, read_rows
from semid.datasets._log_data import LogData, Repeats, make_log
from semid.datasets._numbers import check_number_text
from semid.tables._columns import LOST_DIGITS, MISSING_NUMBERS, from_text, has_lost_digits, shared_ids
from semid.tables._parquet import frame_of, read_parquet

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".user": "\t"}
_ATOMIC = (".inter", ".item", ".user")


class _Table(NamedTuple):
    """Rows of a file; in a text file it is open whether ids of digits are text or integers."""

    frame: pd.DataFrame
    has_open_ids: bool


class _Form(NamedTuple):
    """How a text file holds a table; in `names` the columns have the names of the result."""

    header: list  # names as they are in the file
    names: list
    separator: str
    quoting: int
    n_header_lines: int
    types: dict  # of RecBole's columns: token, float, token_seq, float_seq
    ids: list
    numbers: list


def load_interactions(
    path: StrPath,
    *,
    items: StrPath | None = None,
    users: StrPath | None = None,
    user: str = "user_id",
    item: str = "item_id",
    rating: str = "rating",
    timestamp: str = "timestamp",
    timestamp_unit: Literal["s", "ms", "us", "ns"] = "s",
    columns: Sequence[str] | None = None,
    text_ids: bool = False,
    on_bad_lines: Literal["error", "warn"] = "error",
    on_repeats: Literal["keep", "warn", "drop"] = "keep",
) -> LogData:
    """Read a log of interactions from a parquet or CSV file or from the atomic files of RecBole.

    Parameters
    ----------
    path : path
        A file that ends in ``.parquet``, ``.csv``, ``.tsv`` (both may be followed by ``.gz``) or ``.inter``; or a
        folder with one ``.inter`` file, or of ``.parquet`` files. The ``.item`` and ``.user`` files beside an
        ``.inter`` file are read too. In these files a column ``token_seq`` becomes lists of str; a column ``token``
        stays str.
    items : path or None, default None
        File of the items, of any of these kinds.
    users : path or None, default None
        File of the users.
    user : str, default "user_id"
        Column of the user, renamed to ``user_id``; in the file of the users as well.
    item : str, default "item_id"
        Column of the item, renamed to ``item_id``; in the file of the items as well.
    rating : str, default "rating"
        Column of the rating, renamed to ``rating``; there need not be one of the default name.
    timestamp : str, default "timestamp"
        Column of the time, renamed to ``timestamp``; there need not be one of the default name.
    timestamp_unit : {"s", "ms", "us", "ns"}, default "s"
        What the times count; cut to seconds. Dates in parquet files need no unit.
    columns : list of str or None, default None
        Names of the columns of a CSV file of interactions that starts without them.
    text_ids : bool, default False
        Whether all ids are text. Files that are read one by one, such as train.csv and test.csv, need it where one of
        them may have ids that are no integers: its user ``"7"`` is not the 7 of the other.
    on_bad_lines : {"error", "warn"}, default "error"
        What to do with a line that cannot be read, that holds the names of the columns again, or that lacks its user or
        item or, where there is such a column, a finite rating or time: stop; or go on, list it in ``bad_lines``, and
        warn at the end. In a parquet file lines are rows. In a text file with a bad line, a row that spans lines
        counts as bad lines.
    on_repeats : {"keep", "warn", "drop"}, default "keep"
        What to do with interactions that equal an earlier one in every column; ``n_repeats`` counts them. A split may
        put the same interaction on both of its sides; without times, a user who comes back leaves such rows.

    Returns
    -------
    log : LogData
        Ids of text files are int64 where each one, in all files, is an integer as Python would write it (``7``, not
        ``007``), otherwise str; those of parquet files are as they are there, those of RecBole str. Where some files
        have text and others integers, all are str. Other columns of text files are integers, floats or booleans where
        each value is one (``01234`` and ``+49`` are none), maybe missing (Int64, float64, boolean), and otherwise str
        as written: ``"NA"`` is missing among numbers alone.

    Raises
    ------
    ValueError
        If a column is missing; at the first bad line, unless `on_bad_lines` is ``"warn"``; if ids are text in one file
        and integers in another, and none is in both.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from semid.datasets import load_interactions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "clicks.csv"
    ...     _ = path.write_text("uid,asin,time\\n7,B1,1000500\\n8,B2,2000500\\n")
    ...     log = load_interactions(path, user="uid", item="asin", timestamp="time", timestamp_unit="ms")
    >>> log.interactions
       user_id item_id  timestamp
    0        7      B1       1000
    1        8      B2       2000
    """
    check_option("timestamp_unit", timestamp_unit, tuple(_PER_SECOND))
    bad = BadLines(on_bad_lines)
    path = _interactions_file(Path(path))
    new_names = {user: "user_id", item: "item_id", rating: "rating", timestamp: "timestamp"}
    repeats = Repeats(on_repeats)
    log = _read_table(path, new_names, ["user_id", "item_id"], ["rating", "timestamp"], bad, columns)
    interactions = log.frame
    for name, default in ((rating, "rating"), (timestamp, "timestamp")):
        if name != default and default not in interactions.columns:
            raise ValueError(
                f"{default} must name a column of {path}, got {name!r} among {list(interactions.columns)}."
            )
    if "rating" in interactions.columns:
        interactions["rating"] = interactions["rating"].astype("float64")
    if "timestamp" in interactions.columns:
        interactions["timestamp"] = _seconds(interactions["timestamp"], _PER_SECOND[timestamp_unit])
    described = {
        "item_id": _read_table(_beside(path, items, ".item"), {item: "item_id"}, ["item_id"], [], bad),
        "user_id": _read_table(_beside(path, users, ".user"), {user: "user_id"}, ["user_id"], [], bad),
    }
    for name, table in described.items():
        tables = [log] if table is None else [log, table]
        ids = shared_ids(
            name, [each.frame[name] for each in tables], [each.has_open_ids for each in tables], text_ids=text_ids
        )
        for each, column in zip(tables, ids, strict=True):
            each.frame[name] = column
    about_items, about_users = (None if table is None else table.frame for table in described.values())
    return make_log(interactions, about_items, about_users, bad.finish(), repeats=repeats)


def _interactions_file(path):
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.inter"))
    if not files and _has_parquet(path):
        return path
    if len(files) != 1:
        raise ValueError(
            f"path must be a file, or a folder with one .inter file, got {path} with {len(files)} and no .parquet file."
        )
    return files[0]


def _has_parquet(path):
    return path.is_dir() and next(path.rglob("*.parquet"), None) is not None


def _beside(path, given, suffix):
    """Return the file that was given, or else the one of RecBole that lies beside `path`, or else None."""
    if given is not None:
        return Path(given)
    sibling = path.with_suffix(suffix)
    return sibling if path.suffix == ".inter" and sibling.is_file() else None


def _read_table(path, new_names, ids, numbers, bad, columns=None):
    """Return the rows of a file that have all `ids`, and finite `numbers` where there are such columns."""
    if path is None:
        return None
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind == ".parquet" or _has_parquet(path):
        return _Table(_read_parquet(path, new_names, ids, numbers, bad), has_open_ids=False)
    if kind not in _SEPARATORS:
        raise ValueError(f"path must end in .parquet, {', '.join(_SEPARATORS)} or these with .gz, got {path}.")
    form = _form(path, kind, new_names, ids, numbers, columns)
    try:
        with open_bytes(path) as stream:
            frame = _typed(_parse(stream, form, form.n_header_lines), form)
    except (ValueError, OverflowError, *GZIP_DAMAGE):
        frame = _typed(_parse_good_lines(path, form, bad), form)
    return _Table(frame, has_open_ids=not form.types)


def _form(path, kind, new_names, ids, numbers, columns):
    separator, quoting = _SEPARATORS[kind], csv.QUOTE_NONE if kind in _ATOMIC else csv.QUOTE_MINIMAL
    header = names = list(columns or _header(path, separator, quoting))
    types = {}
    if kind in _ATOMIC:
        names, types = _typed_header(path, names)
    names = _renamed(path, names, new_names, ids)
    types = {new_names.get(name, name): kind for name, kind in types.items()}
    numbers = [name for name in numbers if name in names]
    return _Form(header, names, separator, quoting, 0 if columns else 1, types, ids, numbers)


def _header(path, separator, quoting):
    with open_bytes(path) as stream:
        line = stream.readline().rstrip(b"\r\n")
    if not line:
        raise ValueError(f"{path} must start with a line of column names, got an empty line.")
    try:
        return next(csv.reader([line.decode("utf-8-sig")], delimiter=separator, quoting=quoting))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must start with a line of column names, got {line!r:.80}: {error}.") from error


def _typed_header(path, header):
    pairs = [name.rpartition(":")[::2] for name in header]
    for name, kind in pairs:
        if not name or kind not in ("token", "float", "token_seq", "float_seq"):
            raise ValueError(
                f"each column of {path} must be <name>:<type> with a type token, float, token_seq or float_seq, "
                f"got {header}."
            )
    return [name for name, _ in pairs], dict(pairs)


def _renamed(path, names, new_names, ids):
    renamed = [new_names.get(name, name) for name in names]
    old_names = {new: old for old, new in new_names.items()}
    for name in ids:
        if name not in renamed:
            raise ValueError(f"{path} must have the column {old_names[name]!r}, got {names}. Name it with {name[:4]}=.")
    twice = [name for name in renamed if renamed.count(name) > 1]
    if twice:
        raise ValueError(f"{path} must have one column {twice[0]!r}, got {names}, read as {renamed}.")
    return renamed


def _parse(stream, form, n_header_lines, *, counted=False):
    """Read all lines at once, or raise a ValueError if any may not be good; `counted` if the fields have been."""
    texts = {name for name in form.names if form.types.get(name) != "float" or name in form.ids} - set(form.numbers)
    frame = pd.read_csv(
        stream,
        sep=form.separator,
        header=None,
        names=form.names,
        skiprows=n_header_lines,
        dtype=dict.fromkeys(texts, str),
        quoting=form.quoting,
        keep_default_na=False,
        na_values={name: [""] if name in texts else ["", *MISSING_NUMBERS] for name in form.names},
        skip_blank_lines=False,
        low_memory=False,
    )
    # A line that is too short is filled up with missing values: where the last one is missing, look closer.
    checked = [*form.ids, *form.numbers, *([] if counted else form.names[-1:])]
    if not isinstance(frame.index, pd.RangeIndex) or frame[checked].isna().any(axis=None):
        raise ValueError("a line of too many or too few fields")
    if not form.numbers and _is_header(frame, form).any():
        raise ValueError("a line that holds the names of the columns")
    if any(not _is_number(frame[name]) for name in form.numbers) or any(_has_newline(frame[name]) for name in form.ids):
        raise ValueError("a number that is none, or a quote that takes in a line")
    declared = [name for name in form.names if form.types.get(name) == "float" and name not in form.ids]
    if any(not is_numeric_dtype(frame[name]) for name in declared):
        raise ValueError("text in a column of numbers")
    return frame


def _is_number(column):
    return (
        is_numeric_dtype(column)
        and not is_bool_dtype(column)
        and bool(np.less(np.abs(column.to_numpy(dtype=np.float64)), 2.0**63).all())
    )


def _is_header(frame, form):
    """Return which rows hold the names of the columns, as where files were put together with their headers."""
    return np.logical_and.reduce(
        [
            frame[name].isin([title, "\ufeff" + title])  # with the mark that some files start with
            for title, name in zip(form.header, form.names, strict=True)
            if name in form.ids
        ]
    )


def _has_newline(column):
    return bool(column.str.contains("\n", regex=False).any())


def _parse_good_lines(path, form, bad):
    lines = read_rows(path, lambda line: _check_line(line, form), bad, n_header_lines=form.n_header_lines)
    content = b"".join(lines)
    if not content:
        types = {name: float if name in form.numbers else str for name in form.names}
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})
    try:
        return _parse(io.BytesIO(content), form, 0, counted=True)
    except ValueError as error:  # which no line explains
        raise ValueError(f"{path} must be a table of one row per line, got {error}.") from error


def _check_line(line, form):
    """Return a line as it is, or raise a ValueError that says what is wrong with it."""
    try:
        text = line.decode("utf-8").rstrip("\r\n")
        fields = next(csv.reader([text], delimiter=form.separator, quoting=form.quoting, strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None
    if fields[:1] and [fields[0].removeprefix("\ufeff"), *fields[1:]] == form.header:
        raise ValueError("the line holds the names of the columns, not their values")
    if len(fields) != len(form.names):
        raise ValueError(f"must have {len(form.names)} fields, got {len(fields)}")
    values = dict(zip(form.names, fields, strict=True))
    for name in form.ids:
        if not values[name]:
            raise ValueError(f"{name} is missing")
    for name in form.numbers:
        check_number_text(name, values[name])
    for name in form.names:
        if form.types.get(name) == "float_seq" and name not in form.ids:
            _floats(name, values[name])
        if form.types.get(name) == "float" and name not in form.ids and values[name] not in MISSING_NUMBERS:
            _floats(name, values[name])
    return line if line.endswith(b"\n") else line + b"\n"


def _typed(frame, form):
    """Make of the columns of text, all but ids and numbers, what RecBole's types or else their values say."""
    for name in set(form.names) - {*form.ids, *form.numbers}:
        kind = form.types.get(name)
        if kind is None:
            frame[name] = from_text(frame[name])
        elif kind == "token":
            frame[name] = frame[name].fillna("")
        elif kind != "float":
            texts = frame[name].fillna("")
            lists = [_floats(name, text) if kind == "float_seq" else text.split() for text in texts]
            frame[name] = pd.Series(lists, dtype=object)
    return frame


def _floats(name, text):
    """Return the numbers that are written in a text, between spaces."""
    try:
        return [float(part) for part in text.split()]
    except ValueError as error:
        raise ValueError(f"{name} must be numbers between spaces, got {text!r:.50}") from error


def _read_parquet(path, new_names, ids, numbers, bad):
    times = [old for old, new in new_names.items() if new == "timestamp"]
    frame = frame_of(path, read_parquet(path), times)
    frame.columns = _renamed(path, list(frame.columns), new_names, ids)
    for name in ids:
        check_single_values(f"column {name!r} of {path}", frame[name])
        if frame[name].dtype == np.float16:  # of which pandas has no index
            frame[name] = frame[name].astype(np.float32)
        if has_lost_digits(frame[name]):
            warn(LOST_DIGITS.format(name=f"column {name!r} of {path}", dtype=frame[name].dtype))
    numbers = [name for name in numbers if name in frame.columns]
    wrong = {name: frame[name].isna() for name in ids}
    for name in numbers:
        wrong[name] = _not_a_number(path, name, frame[name])
    wrong = pd.DataFrame(wrong)
    for row in np.flatnonzero(wrong.any(axis=1)):
        name = wrong.columns[wrong.iloc[row]][0]
        kind = "a number" if name in numbers else "there"
        bad.add(path, int(row) + 1, f"{name} must be {kind}, got {frame[name].iloc[row]!r}")
    return frame[~wrong.any(axis=1)].reset_index(drop=True)


def _not_a_number(path, name, column):
    """Return where a column of numbers, or of times that are dates, has none."""
    if name == "timestamp" and is_datetime64_any_dtype(column):
        return column.isna()
    if not is_numeric_dtype(column) or is_bool_dtype(column) or is_complex_dtype(column):
        raise ValueError(
            f"column {name!r} of {path} must hold numbers, got {column.dtype}."
            + (" Make dates of text with pd.to_datetime." if name == "timestamp" else "")
        )
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(~(np.abs(values) < 2.0**63), index=column.index)


def _seconds(column, per_second):
    if is_datetime64_any_dtype(column):
        since = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC")
        return (since // pd.Timedelta(seconds=1)).astype("int64")
    dtype = np.int64 if is_integer_dtype(column) else np.float64
    return pd.Series(column.to_numpy(dtype=dtype) // per_second, index=column.index).astype("int64")
