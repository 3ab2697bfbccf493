"""Reads the Amazon reviews that the McAuley Lab published in 2014, 2018 and 2023."""

from __future__ import annotations

import re
import sys
from array import array
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from semid.base._typing import StrPath
from semid.datasets._lines import BadLines, parse_record, read_rows, required_number, required_text
from semid.datasets._log_data import LogData, Repeats, make_log

_PRICE = re.compile(r"\s*\$?\s*(\d[\d,]*(?:\.\d*)?|\.\d+)\s*", re.ASCII)
_NOTHING_KNOWN = {"title": "", "brand": "", "description": "", "categories": []}


class _Keys(NamedTuple):
    user: str
    item: str
    rating: str
    time: str
    per_second: int
    title: str
    text: str


_OLD_KEYS = _Keys("reviewerID", "asin", "overall", "unixReviewTime", 1, "summary", "reviewText")
# Reviews of 2023 are of variants; the metadata describe the parent, which is what earlier years called asin.
_NEW_KEYS = _Keys("user_id", "parent_asin", "rating", "timestamp", 1000, "title", "text")


def load_amazon_reviews(
    reviews: StrPath,
    metadata: StrPath | None = None,
    *,
    review_text: bool = False,
    on_bad_lines: Literal["error", "warn"] = "error",
    on_repeats: Literal["keep", "warn", "drop"] = "keep",
) -> LogData:
    """Read Amazon reviews and the metadata of their items, in the formats published in 2014, 2018 and 2023.

    The files are one review or item per line, gzipped or not, and hold what they are published with: JSON, or, for the
    metadata of 2014, Python literals. The year is told from the keys. See Ni et al. (2019) for 2014 and 2018, and Hou
    et al. (2024, arXiv:2403.03952) for 2023.

    Parameters
    ----------
    reviews : path
        Such as ``reviews_Beauty_5.json.gz`` (2014), ``All_Beauty_5.json.gz`` (2018) or ``All_Beauty.jsonl.gz`` (2023).
    metadata : path or None, default None
        Such as ``meta_Beauty.json.gz``. Without it, of items only ``item_id`` is known.
    review_text : bool, default False
        Whether to keep the texts, which take most of the memory, as ``review_title`` and ``review_text``.
    on_bad_lines : {"error", "warn"}, default "error"
        What to do with a line that is no review or item: stop; or go on, list it in ``bad_lines``, and warn at the end.
        So too where a gzipped file is damaged: what is read up to there is kept.
    on_repeats : {"keep", "warn", "drop"}, default "keep"
        As in `load_movielens`.

    Returns
    -------
    log : LogData
        ``items`` has item_id (asin; of 2023, parent_asin), title, brand (of 2023, store), description (pieces joined by
        a space), categories (list of str, each once) and price (float). All items of the metadata are there, in their
        order, also without a review (`LogData.k_core` leaves these out), and then items with a review alone. What is
        not known is ``""``, ``[]`` or, for a price that is none or no single number, NaN: ready for a text encoder.
        Of several lines for an item the first counts; ``n_duplicates`` is the number of the others.
        ``interactions`` has user_id, item_id, rating (float) and timestamp (int64, seconds).

    Raises
    ------
    ValueError
        At the first bad line, unless `on_bad_lines` is ``"warn"``; names file, line and reason.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from semid.datasets import load_amazon_reviews
    >>> review = {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1370131200, "summary": "Good"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "reviews_Beauty_5.json"
    ...     _ = path.write_text(json.dumps(review))
    ...     log = load_amazon_reviews(path)
    >>> log.interactions
      user_id item_id  rating   timestamp
    0      A1      B1     5.0  1370131200
    """
    bad, repeats = BadLines(on_bad_lines), Repeats(on_repeats)
    interactions = _read_reviews(reviews, bad, review_text)
    items = _items_frame(() if metadata is None else read_rows(metadata, _parse_item, bad))
    return make_log(interactions, items, None, bad.finish(), _NOTHING_KNOWN, repeats=repeats)


def _read_reviews(path, bad, review_text):
    users, items = {}, {}
    user_codes, item_codes, ratings, times = array("i"), array("i"), array("d"), array("q")
    titles, texts = [], []
    for user, item, rating, time, title, text in read_rows(path, _parse_review, bad):
        user_codes.append(users.setdefault(user, len(users)))
        item_codes.append(items.setdefault(item, len(items)))
        ratings.append(rating)
        times.append(time)
        if review_text:
            titles.append(title)
            texts.append(text)
    columns = {
        "user_id": _decoded(users, user_codes),
        "item_id": _decoded(items, item_codes),
        "rating": np.array(ratings, dtype=np.float64),
        "timestamp": np.array(times, dtype=np.int64),
    }
    if review_text:
        columns |= {"review_title": pd.Series(titles, dtype=str), "review_text": pd.Series(texts, dtype=str)}
    return pd.DataFrame(columns)


def _decoded(names, codes):
    return pd.Series(list(names), dtype=str).take(np.array(codes, dtype=np.int64)).reset_index(drop=True)


def _parse_review(line):
    record = parse_record(line)
    keys = _NEW_KEYS if "parent_asin" in record or "user_id" in record else _OLD_KEYS
    return (
        required_text(record, keys.user),
        required_text(record, keys.item),
        float(required_number(record, keys.rating)),
        int(required_number(record, keys.time)) // keys.per_second,
        _text(record, keys.title),
        _text(record, keys.text),
    )


def _items_frame(rows):
    columns = ("item_id", "title", "brand", "description", "categories", "price")
    values = dict(zip(columns, zip(*rows, strict=True), strict=False)) or dict.fromkeys(columns, ())
    dtypes = {"categories": object, "price": "float64"}
    return pd.DataFrame({name: pd.Series(values[name], dtype=dtypes.get(name, str)) for name in columns})


def _parse_item(line):
    record = parse_record(line)
    is_new = "parent_asin" in record
    return (
        required_text(record, "parent_asin" if is_new else "asin"),
        _text(record, "title"),
        _text(record, "store" if is_new else "brand"),
        " ".join(_texts(record, "description")),
        list(dict.fromkeys(map(sys.intern, _texts(record, "category" if "category" in record else "categories")))),
        _price(record.get("price")),
    )


def _text(record, key):
    value = record.get(key)
    if value is None:
        return ""
    if type(value) is not str:
        raise ValueError(f"{key} must be a text, got {value!r:.50}")
    # Half a character, as JSON can hold, has no place in UTF-8.
    return value if value.isascii() else value.encode(errors="replace").decode()


def _texts(record, key):
    """Return the texts under a key as a flat list: there is one, or a list of them, or a list of such lists."""
    value = record.get(key)
    if isinstance(value, list):
        return [text for entry in value for text in _texts({key: entry}, key)]
    text = _text(record, key)
    return [text] if text else []


def _price(value):
    if value is None or value == "":
        return np.nan
    if type(value) in (float, int):
        return float(value)
    if type(value) is not str:
        raise ValueError(f"price must be a number or a text, got {value!r:.50}")
    match = _PRICE.fullmatch(value)
    return float(match[1].replace(",", "")) if match else np.nan
