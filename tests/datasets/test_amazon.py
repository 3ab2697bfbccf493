import ast
import gzip
import json
import warnings

import numpy as np
import pytest

from semid.datasets import load_amazon_reviews

# The samples that are published with each collection, texts shortened.
REVIEW_2014 = {
    "reviewerID": "A2SUAM1J3GNN3B",
    "asin": "0000013714",
    "reviewerName": "J. McDonald",
    "helpful": [2, 3],
    "reviewText": "I bought this for my husband who plays the piano.",
    "overall": 5.0,
    "summary": "Heavenly Highway Hymns",
    "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}
REVIEW_2018 = {
    "overall": 4.0,
    "vote": "5",
    "verified": True,
    "reviewTime": "01 1, 2018",
    "reviewerID": "AUI6WTTT0QZYS",
    "asin": "5120053084",
    "style": {"Size:": "Large", "Color:": "Charcoal"},
    "reviewerName": "Abbey",
    "reviewText": "I now have 4 of the 5 available colors of this shirt... ",
    "summary": "Comfy, flattering, discreet--highly recommended!",
    "unixReviewTime": 1514764800,
    "image": ["https://images-na.ssl-images-amazon.com/images/I/71eG75FTJJL._SY88.jpg"],
}
REVIEW_2023 = {
    "rating": 5.0,
    "title": "Such a lovely scent but not overpowering.",
    "text": "This spray is really nice. ❤",
    "images": [],
    "asin": "B00YQ6X8EO",
    "parent_asin": "B00YQ6X8EP",
    "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
    "timestamp": 1588687728923,
    "helpful_vote": 0,
    "verified_purchase": True,
}
ITEM_2014 = {
    "asin": "0000013714",
    "title": 'Girls\' "Ballet" Tutu',
    "price": 3.17,
    "imUrl": "http://ecx.images-amazon.com/images/I/51fAmVkTbyL._SY300_.jpg",
    "related": {"also_bought": ["B00JHONN1S", "B002BZX8Z6"], "bought_together": ["B002BZX8Z6"]},
    "salesRank": {"Toys & Games": 211836},
    "brand": "Coxlures",
    "categories": [["Sports & Outdoors", "Other Sports", "Dance"], ["Sports & Outdoors", "Girls"]],
    "description": "A tutu.\nPink.",
}
ITEM_2018 = {
    "asin": "5120053084",
    "title": "Girls Ballet Tutu Zebra Hot Pink",
    "feature": ["Botiquecutie Trademark exclusive Brand"],
    "description": ["This tutu is great for dress up play.", "Fits 2 to 6."],
    "price": "$1,203.17",
    "image": ["http://images-amazon.com/images/P/0000031852.jpg"],
    "also_buy": ["B00JHONN1S"],
    "brand": "Coxlures",
    "category": ["Sports & Outdoors", "Other Sports", "Dance"],
}
ITEM_2023 = {
    "main_category": "All Beauty",
    "title": "Howard LC0008 Leather Conditioner",
    "average_rating": 4.8,
    "rating_number": 10,
    "features": ["Easy to use"],
    "description": [],
    "price": None,
    "images": [],
    "videos": [],
    "store": "Howard Products",
    "categories": ["Beauty & Personal Care", "Skin Care"],
    "details": {"Package Dimensions": "7.1 x 5.5 x 3 inches; 2.38 Pounds", "UPC": "617390882781"},
    "parent_asin": "B00YQ6X8EP",
    "bought_together": None,
}
YEARS = {
    2014: (REVIEW_2014, ITEM_2014, "reviewerID", "asin", "overall", "unixReviewTime", 1),
    2018: (REVIEW_2018, ITEM_2018, "reviewerID", "asin", "overall", "unixReviewTime", 1),
    2023: (REVIEW_2023, ITEM_2023, "user_id", "parent_asin", "rating", "timestamp", 1000),
}


def _lines(records, year=None):
    return [(repr if year == 2014 else json.dumps)(record) for record in records]


def _write(path, lines):
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def files(tmp_path):
    """The sample of a year, as it is published."""

    def write(year):
        review, item, *_ = YEARS[year]
        reviews = _write(tmp_path / f"reviews{year}.json.gz", _lines([review]))
        return reviews, _write(tmp_path / f"meta{year}.json.gz", _lines([item], year))

    return write


@pytest.mark.parametrize("year", YEARS)
def test_the_published_samples_come_out_alike(files, year):
    review, item, *_ = YEARS[year]
    log = load_amazon_reviews(*files(year), review_text=True)
    old = year < 2023
    assert log.interactions.to_dict("list") == {
        "user_id": [review["reviewerID" if old else "user_id"]],
        "item_id": [review["asin" if old else "parent_asin"]],
        "rating": [review["overall" if old else "rating"]],
        "timestamp": [{2014: 1252800000, 2018: 1514764800, 2023: 1588687728}[year]],
        "review_title": [review["summary" if old else "title"]],
        "review_text": [review["reviewText" if old else "text"]],
    }
    (row,) = log.items.to_dict("records")
    price = row.pop("price")
    assert row == {
        "item_id": item["asin" if old else "parent_asin"],
        "title": item["title"],
        "brand": item["brand" if old else "store"],
        "description": {
            2014: "A tutu.\nPink.",
            2018: "This tutu is great for dress up play. Fits 2 to 6.",
            2023: "",
        }[year],
        "categories": {
            2014: ["Sports & Outdoors", "Other Sports", "Dance", "Girls"],
            2018: ["Sports & Outdoors", "Other Sports", "Dance"],
            2023: ["Beauty & Personal Care", "Skin Care"],
        }[year],
    }
    np.testing.assert_equal(price, {2014: 3.17, 2018: 1203.17, 2023: np.nan}[year])
    assert log.interactions["timestamp"].dtype == np.int64
    assert len(log.bad_lines) == 0


@pytest.mark.parametrize("year", YEARS)
def test_many_reviews_equal_the_naive_loop(tmp_path, rng, year):
    review, _, user, item, rating, time, per_second = YEARS[year]
    records = [
        {
            **review,
            user: f"A{rng.integers(20)}",
            item: f"B{rng.integers(10)}",
            rating: float(rng.integers(1, 6)),
            time: int(rng.integers(10**9)) * per_second + int(rng.integers(per_second)),
        }
        for _ in range(300)
    ]
    log = load_amazon_reviews(_write(tmp_path / "reviews.json", _lines(records)))
    expected = [[record[user], record[item], record[rating], record[time] // per_second] for record in records]
    assert log.interactions.to_numpy(object).tolist() == expected
    assert log.users["user_id"].tolist() == list(dict.fromkeys(row[0] for row in expected))
    assert log.items["item_id"].tolist() == list(dict.fromkeys(row[1] for row in expected))
    assert list(log.interactions.columns) == ["user_id", "item_id", "rating", "timestamp"]


def test_items_are_those_of_the_metadata_and_then_those_of_reviews_alone(tmp_path):
    reviews = _lines([{**REVIEW_2014, "asin": asin} for asin in ("B3", "B9", "B1", "B9")])
    metadata = _lines(
        [{"asin": "B1", "title": "One"}, {"asin": "B2"}, {"asin": "B3"}, {"asin": "B1", "title": "Again"}], 2014
    )
    log = load_amazon_reviews(_write(tmp_path / "reviews.json", reviews), _write(tmp_path / "meta.json", metadata))
    assert log.items["item_id"].tolist() == ["B1", "B2", "B3", "B9"]
    assert log.items["title"].tolist() == ["One", "", "", ""]
    assert log.items["description"].tolist() == log.items["brand"].tolist() == [""] * 4
    assert log.items["categories"].tolist() == [[]] * 4
    assert log.items["price"].isna().all()
    assert log.n_duplicates == 1
    core = log.k_core(1)
    assert core.items["item_id"].tolist() == ["B1", "B3", "B9"]
    assert core.items.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("$12.99", 12.99),
        ("$1,299.00", 1299.0),
        (" 7 ", 7.0),
        ("", np.nan),
        ("$3.99 - $7.99", np.nan),
        (".a-box-inner{background-color:#fff}", np.nan),
        (5, 5.0),
        (None, np.nan),
    ],
)
def test_prices_are_numbers_or_missing(tmp_path, price, expected):
    reviews = _write(tmp_path / "reviews.json", _lines([REVIEW_2018]))
    metadata = _write(tmp_path / "meta.json", _lines([{**ITEM_2018, "price": price}]))
    np.testing.assert_equal(load_amazon_reviews(reviews, metadata).items["price"].iloc[0], expected)


def test_halves_of_characters_do_not_stop_a_table(tmp_path):
    lines = [json.dumps(REVIEW_2023).replace("lovely", "\\ud83d"), json.dumps({**REVIEW_2023, "user_id": "A\ud83d"})]
    with pytest.warns(UserWarning, match="line 2: not text in utf-8"):
        log = load_amazon_reviews(_write(tmp_path / "reviews.json", lines), review_text=True, on_bad_lines="warn")
    assert log.interactions["review_title"].tolist() == ["Such a ? scent but not overpowering."]


DAMAGED_REVIEWS = {
    json.dumps(REVIEW_2014)[:-30]: "not JSON: ",
    json.dumps({**REVIEW_2014, "overall": "abc"}): "overall must be a number, got 'abc'",
    json.dumps({**REVIEW_2014, "overall": True}): "overall must be a number, got True",
    json.dumps({**REVIEW_2014, "overall": float("nan")}): "overall must be a number, got nan",
    json.dumps({**REVIEW_2014, "unixReviewTime": None}): "unixReviewTime must be a number, got None",
    json.dumps({**REVIEW_2014, "unixReviewTime": 10**30}): "unixReviewTime must be a number, got 1000",
    json.dumps({**REVIEW_2014, "asin": ""}): "asin must be a text, got ''",
    json.dumps({**REVIEW_2014, "asin": 7}): "asin must be a text, got 7",
    json.dumps({**REVIEW_2014, "summary": 7}): "summary must be a text, got 7",
    json.dumps({key: value for key, value in REVIEW_2014.items() if key != "reviewerID"}): "reviewerID is missing",
    json.dumps({key: value for key, value in REVIEW_2023.items() if key != "parent_asin"}): "parent_asin is missing",
    json.dumps({key: value for key, value in REVIEW_2023.items() if key != "timestamp"}): "timestamp is missing",
    json.dumps([1, 2]): "must be an object with keys, got list",
    "[" * 100_000: "not JSON: nested too deeply",
    "": "the line is empty",
    "<html>": "not JSON: Expecting value at character 1",
    "{'asin': __import__('os').getcwd()}": "not a Python literal",
    "{'asin': 'B1'": "not a Python literal",
}


@pytest.mark.parametrize("damage", DAMAGED_REVIEWS, ids=list(DAMAGED_REVIEWS.values()))
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_each_damaged_review_is_named_and_the_others_stay(tmp_path, damage, suffix):
    good = json.dumps(REVIEW_2014)
    path = _write(tmp_path / f"reviews{suffix}", [good, damage, good, good, damage, good, "", ""])
    reason = DAMAGED_REVIEWS[damage]
    with pytest.raises(ValueError, match=rf"line 2: {reason}.*Good lines before it: 1.*on_bad_lines='warn'"):
        load_amazon_reviews(path)
    with pytest.warns(UserWarning, match=f"left out 2 bad.* all listed in bad_lines: {path}, line 2: {reason}"):
        log = load_amazon_reviews(path, on_bad_lines="warn")
    assert len(log.interactions) == 4
    assert log.bad_lines["line"].tolist() == [2, 5]
    assert log.bad_lines["reason"].str.startswith(reason).all()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (repr(ITEM_2014)[:-3], "not a Python literal"),
        (json.dumps({**ITEM_2018, "title": ["x"]}), r"title must be a text, got \['x'\]"),
        (json.dumps({**ITEM_2018, "description": {"a": 1}}), "description must be a text"),
        (json.dumps({**ITEM_2018, "category": [1]}), "category must be a text, got 1"),
        (json.dumps({**ITEM_2018, "price": [1]}), "price must be a number or a text"),
        (json.dumps({"title": "Nameless"}), "asin is missing"),
    ],
)
def test_each_damaged_item_is_named(tmp_path, damage, reason):
    reviews = _write(tmp_path / "reviews.json", _lines([REVIEW_2014]))
    metadata = _write(tmp_path / "meta.json", [repr(ITEM_2014), damage])
    with pytest.raises(ValueError, match=f"meta.json, line 2: {reason}"):
        load_amazon_reviews(reviews, metadata)
    with pytest.warns(UserWarning, match=f"left out 1 bad line.*meta.json, line 2: {reason}"):
        log = load_amazon_reviews(reviews, metadata, on_bad_lines="warn")
    assert len(log.items) == 1
    assert log.bad_lines["file"].tolist() == [str(metadata)]


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path):
    path = tmp_path / "reviews.json"
    path.write_bytes(b"\xff{}\n" + json.dumps(REVIEW_2014).encode())
    with pytest.raises(ValueError, match="line 1: not text in utf-8: invalid start byte"):
        load_amazon_reviews(path)


def test_the_warning_is_one_and_short_however_many_lines_are_bad(tmp_path):
    path = _write(tmp_path / "reviews.json", [json.dumps(REVIEW_2014), *["{"] * 1000])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        log = load_amazon_reviews(path, on_bad_lines="warn")
    (warning,) = caught
    assert str(warning.message).count("line ") == 5
    assert warning.filename == __file__
    assert log.bad_lines["line"].tolist() == list(range(2, 1002))


def test_escapes_in_python_literals_are_quiet(tmp_path):
    reviews = _write(tmp_path / "reviews.json", _lines([REVIEW_2014]))
    metadata = _write(tmp_path / "meta.json", [r"{'asin': 'B1', 'title': '\d\u00e9'}"])
    assert load_amazon_reviews(reviews, metadata).items["title"].iloc[0] == ast.literal_eval(r"'\\dé'")


@pytest.fixture
def compressed(rng):
    lines = [json.dumps({**REVIEW_2014, "reviewText": rng.bytes(300).hex()}) for _ in range(2000)]
    return gzip.compress("".join(line + "\n" for line in lines).encode())


@pytest.mark.parametrize(
    ("harm", "reason", "n_least"),
    [
        (lambda content: content[: len(content) // 2], "Compressed file ended before", 900),
        (lambda content: content[:-5], "Compressed file ended before", 1999),
        (lambda content: content[:-8] + b"\0\0\0\0" + content[-4:], "CRC check failed", 1999),
        (lambda content: content[:200_000] + b"\xff" * 500 + content[200_500:], "", 300),
        (lambda content: content + b"not gzip", "Not a gzipped file", 1999),
    ],
    ids=["half", "without end", "checksum", "overwritten", "followed"],
)
def test_damaged_gzip_keeps_what_came_before_and_says_so(tmp_path, compressed, harm, reason, n_least):
    path = tmp_path / "reviews.json.gz"
    path.write_bytes(harm(compressed))
    with pytest.raises(ValueError, match=rf"reviews\.json\.gz, line \d+: (file ends at line \d+: .*{reason}|not )"):
        load_amazon_reviews(path)
    with pytest.warns(UserWarning, match="left out"):
        log = load_amazon_reviews(path, on_bad_lines="warn")
    assert len(log.interactions) >= n_least
    last = log.bad_lines.iloc[-1]
    assert last["reason"].startswith(f"file ends at line {last['line']}: ")
    assert len(log.interactions) + len(log.bad_lines) == last["line"]


def test_an_empty_file_is_an_empty_log(tmp_path):
    (tmp_path / "reviews.json").write_bytes(b"")
    log = load_amazon_reviews(tmp_path / "reviews.json", tmp_path / "reviews.json")
    assert [len(table) for table in log[:4]] == [0, 0, 0, 0]
    assert len(log.k_core().interactions) == 0
