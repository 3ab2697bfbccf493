"""Reads the MovieLens data sets of GroupLens, in each of their layouts."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from semid.base._typing import StrPath
from semid.datasets._lines import BadLines, read_rows
from semid.datasets._log_data import LogData, Repeats, make_log
from semid.datasets._numbers import check_integer_text, check_number_text

# The flags of u.item; the first, "unknown", is left out: such films have no genre.
_GENRES = (
    *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
# users.dat has numbers for these.
_OCCUPATIONS = (
    *("other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service"),
    *("doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer"),
    *("retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman"),
    *("unemployed", "writer"),
)
_RATING_COLUMNS = {"user_id": "int64", "item_id": "int64", "rating": "float64", "timestamp": "int64"}
_ITEM_COLUMNS = {"item_id": "int64", "title": str, "year": "Int64", "genres": object}
_USER_COLUMNS = {"user_id": "int64", "gender": str, "age": "int64", "occupation": str, "zip_code": str}
_RATINGS_HEADER = b"userId,movieId,rating,timestamp"
_YEAR = re.compile(r"(.*?)\s*\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*", re.DOTALL | re.ASCII)
_NOTHING_KNOWN = {"title": "", "genres": []}


def load_movielens(
    folder: StrPath,
    *,
    on_bad_lines: Literal["error", "warn"] = "error",
    on_repeats: Literal["keep", "warn", "drop"] = "keep",
) -> LogData:
    """Read a MovieLens data set from the folder that its zip file holds (Harper and Konstan, 2015).

    Parameters
    ----------
    folder : path
        Such as ``ml-100k`` (u.data, u.item, u.user), ``ml-1m`` (ratings.dat, movies.dat, users.dat), ``ml-10M100K``
        (without users.dat), or ``ml-25m`` (ratings.csv, movies.csv; also 20M, 32M and latest). Other files are not
        read.
    on_bad_lines : {"error", "warn"}, default "error"
        What to do with a line that cannot be read: stop; or go on, list it in ``bad_lines``, and warn at the end.
    on_repeats : {"keep", "warn", "drop"}, default "keep"
        What to do with interactions that equal an earlier one in every column; ``n_repeats`` counts them. A split may
        put the same interaction on both of its sides.

    Returns
    -------
    log : LogData
        ``items`` has item_id, title (without the year), year (Int64, maybe missing) and genres (list of str).
        ``interactions`` has user_id, item_id, rating and timestamp. ``users`` has user_id and, in 100K and 1M, gender,
        age (in 1M the least of an age group), occupation and zip_code. Ids are int64.

    Raises
    ------
    ValueError
        If the folder has the files of no layout; at the first bad line, unless `on_bad_lines` is ``"warn"``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from semid.datasets import load_movielens
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     folder = pathlib.Path(folder)
    ...     _ = (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\\n1,296,5.0,1147880044\\n")
    ...     _ = (folder / "movies.csv").write_text("movieId,title,genres\\n296,Pulp Fiction (1994),Crime|Drama\\n")
    ...     log = load_movielens(folder)
    >>> log.items
       item_id         title  year          genres
    0      296  Pulp Fiction  1994  [Crime, Drama]
    """
    bad, repeats = BadLines(on_bad_lines), Repeats(on_repeats)
    folder = Path(folder)
    ratings, items, users = _reader(folder)(folder, bad)
    return make_log(ratings, items, users, bad.finish(), _NOTHING_KNOWN, repeats=repeats)


def _reader(folder):
    for files, (_, reader) in _LAYOUTS.items():
        if all((folder / name).is_file() for name in files):
            return reader
    wanted = "; ".join(f"{', '.join(files)} ({layout})" for files, (layout, _) in _LAYOUTS.items())
    raise ValueError(
        f"folder must hold the files of a MovieLens data set: {wanted}. {folder} lacks some of each. Pass the folder "
        "that the zip file holds, or use fetch_movielens."
    )


def _read_100k(folder, bad):
    ratings = _read_ratings(folder / "u.data", "\t", bad)
    items = _frame(read_rows(folder / "u.item", _parse_flagged_item, bad), _ITEM_COLUMNS)
    users = _frame(read_rows(folder / "u.user", _parse_user, bad), _USER_COLUMNS)
    return ratings, items, users


def _read_dat(folder, bad):
    ratings = _read_ratings(folder / "ratings.dat", "::", bad)
    has_users = (folder / "users.dat").is_file()
    encoding = "latin-1" if has_users else "utf-8"  # 10M, which has no users.dat, is in UTF-8
    movies = read_rows(folder / "movies.dat", lambda line: _parse_item(_split(line, "::", 3, encoding)), bad)
    items = _frame(movies, _ITEM_COLUMNS)
    users = _frame(read_rows(folder / "users.dat", _parse_coded_user, bad), _USER_COLUMNS) if has_users else None
    return ratings, items, users


def _read_csv(folder, bad):
    _check_header(folder / "ratings.csv", _RATINGS_HEADER)
    ratings = _read_ratings(folder / "ratings.csv", ",", bad, n_header_lines=1)
    items = read_rows(folder / "movies.csv", _parse_quoted_item, bad, n_header_lines=1)
    return ratings, _frame(items, _ITEM_COLUMNS), None


_LAYOUTS = {
    ("u.data", "u.item", "u.user"): ("100K", _read_100k),
    ("ratings.dat", "movies.dat"): ("1M and 10M", _read_dat),
    ("ratings.csv", "movies.csv"): ("20M and later", _read_csv),
}


def _check_header(path, wanted):
    with open(path, "rb") as stream:
        header = stream.readline(1000).strip()
    if header != wanted:
        raise ValueError(f"{path} must start with the line {wanted.decode()!r}, got {header!r:.100}.")


def _read_ratings(path, separator, bad, *, n_header_lines=0):
    """Read ratings all at once; line by line only where that fails, to leave out the lines that are bad."""
    try:
        with np.errstate(invalid="ignore"):  # of ids beyond int64, which pandas then refuses
            return _parse_ratings(path.read_bytes(), separator, n_header_lines)
    except (ValueError, OverflowError):
        good = read_rows(path, lambda line: _check_rating(line, separator), bad, n_header_lines=n_header_lines)
    content = b"".join(good)
    return _parse_ratings(content, separator, 0) if content else _frame((), _RATING_COLUMNS)


def _parse_ratings(content, separator, n_header_lines):
    if separator == "::":
        # A separator of one byte is read ten times faster; a tab that was there makes for a field too many.
        content, separator = content.replace(b"::", b"\t"), "\t"
    frame = pd.read_csv(
        io.BytesIO(content),
        sep=separator,
        header=None,
        skiprows=n_header_lines,
        names=list(_RATING_COLUMNS),
        dtype=_RATING_COLUMNS,
        quoting=csv.QUOTE_NONE,
        skip_blank_lines=False,
    )
    if not isinstance(frame.index, pd.RangeIndex) or not np.isfinite(frame["rating"]).all():
        raise ValueError("a field too many, or a rating that is missing")
    return frame


def _check_rating(line, separator):
    """Return the bytes of a line of ratings, or raise a ValueError that says what is wrong."""
    user, item, rating, time = _split(line, separator, 4, "ascii")
    check_integer_text("user", user)
    check_integer_text("item", item)
    check_number_text("rating", rating)
    check_integer_text("timestamp", time)
    return line if line.endswith(b"\n") else line + b"\n"


def _split(line, separator, n_fields, encoding="latin-1"):
    fields = line.decode(encoding).rstrip("\r\n").split(separator)
    if len(fields) != n_fields:
        raise ValueError(f"must have {n_fields} fields between {separator!r}, got {len(fields)}")
    return fields


def _frame(rows, dtypes):
    columns = list(zip(*rows, strict=True)) or [()] * len(dtypes)
    pairs = zip(dtypes.items(), columns, strict=True)
    return pd.DataFrame({name: pd.Series(values, dtype=dtype) for (name, dtype), values in pairs})


def _parse_flagged_item(line):
    item, title, date, _, _, _, *flags = _split(line, "|", 24)
    if set(flags) - {"0", "1"}:
        raise ValueError(f"flags of genres must be 0 or 1, got {'|'.join(flags)}")
    title, year = _title_and_year(title)
    if year is None and re.search(r"\d{4}$", date, re.ASCII):
        year = int(date[-4:])
    genres = [genre for genre, flag in zip(_GENRES, flags, strict=True) if flag == "1"]
    return check_integer_text("item", item), title, year, genres


def _parse_quoted_item(line):
    try:
        fields = next(csv.reader([line.decode("utf-8").rstrip("\r\n")], strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None
    if len(fields) != 3:
        raise ValueError(f"must have 3 fields, got {len(fields)}")
    return _parse_item(fields)


def _parse_item(fields):
    item, title, genres = fields
    title, year = _title_and_year(title)
    genres = [] if genres in ("", "(no genres listed)") else genres.split("|")
    return check_integer_text("item", item), title, year, genres


def _title_and_year(title):
    match = _YEAR.fullmatch(title)
    return (match[1], int(match[2])) if match else (title.strip(), None)


def _parse_user(line):
    user, age, gender, occupation, zip_code = _split(line, "|", 5)
    return check_integer_text("user", user), gender, check_integer_text("age", age), occupation, zip_code


def _parse_coded_user(line):
    user, gender, age, occupation, zip_code = _split(line, "::", 5)
    code = check_integer_text("occupation", occupation)
    if not 0 <= code < len(_OCCUPATIONS):
        raise ValueError(f"occupation must lie in [0, {len(_OCCUPATIONS) - 1}], got {code}")
    return check_integer_text("user", user), gender, check_integer_text("age", age), _OCCUPATIONS[code], zip_code
