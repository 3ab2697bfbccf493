import csv
import gzip
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semid.datasets import load_interactions


def _write(path, *lines):
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


LOG = ["user_id,item_id,rating,timestamp,note", "7,B1,4.5,1000,ab", "8,B2,3,1001,", "7,0123,2,1002,c"]


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv"])
def test_a_csv_file_equals_the_naive_reading(tmp_path, name):
    separator = "\t" if ".tsv" in name else ","
    log = load_interactions(_write(tmp_path / name, *(line.replace(",", separator) for line in LOG)))
    rows = list(csv.DictReader(LOG))
    assert log.interactions["user_id"].tolist() == [int(row["user_id"]) for row in rows]
    assert log.interactions["item_id"].tolist() == [row["item_id"] for row in rows]
    assert log.interactions["rating"].tolist() == [float(row["rating"]) for row in rows]
    assert log.interactions["timestamp"].tolist() == [int(row["timestamp"]) for row in rows]
    assert log.interactions["note"].fillna("").tolist() == [row["note"] for row in rows]
    assert log.users["user_id"].tolist() == [7, 8]
    assert log.items["item_id"].tolist() == ["B1", "B2", "0123"]
    assert len(log.bad_lines) == 0


def test_ids_are_integers_only_where_nothing_is_lost(tmp_path):
    path = _write(tmp_path / "log.csv", "user_id,item_id", "1,01", "2,1", "-3,2", "9999999999,NA")
    log = load_interactions(path)
    assert log.interactions["user_id"].tolist() == [1, 2, -3, 9999999999]
    assert log.interactions["item_id"].tolist() == ["01", "1", "2", "NA"]


def test_columns_are_renamed_and_times_cut_to_seconds(tmp_path):
    path = _write(tmp_path / "log.csv", "when,who,what,stars", "1999,a,x,1", "-1,b,y,2", "2000.5,c,z,3")
    names = {"user": "who", "item": "what", "rating": "stars", "timestamp": "when"}
    log = load_interactions(path, **names, timestamp_unit="ms").interactions
    assert list(log.columns) == ["timestamp", "user_id", "item_id", "rating"]
    assert log["timestamp"].tolist() == [1, -1, 2]
    assert log["timestamp"].dtype == np.int64


def test_a_csv_file_without_names_is_given_them(tmp_path):
    path = _write(tmp_path / "ratings_Beauty.csv", "A1,0205616461,5.0,1369699200", "A2,B1,3.0,1355443200")
    log = load_interactions(path, columns=["user_id", "item_id", "rating", "timestamp"])
    assert log.interactions.to_numpy(object).tolist() == [
        ["A1", "0205616461", 5.0, 1369699200],
        ["A2", "B1", 3.0, 1355443200],
    ]


DAMAGES = {
    "9,B1,4,1000": "must have 5 fields, got 4",
    "9,B1,4,1000,x,y": "must have 5 fields, got 6",
    ",B1,4,1000,x": "user_id is missing",
    "9,,4,1000,x": "item_id is missing",
    "9,B1,many,1000,x": "rating must be a number, got 'many'",
    "9,B1,inf,1000,x": "rating must be a number, got 'inf'",
    "9,B1,,1000,x": "rating is missing",
    "9,B1,4,1e99,x": "timestamp must be a number, got '1e99'",
    "9,B1,4,99999999999999999999,x": "timestamp must be a number, got '9999",
    "9,B1,True,1000,x": "rating must be a number, got 'True'",
    "9,B1,4,10\r00,x": "not CSV: new-line character",
    "9,B1,4,2020-01-01,x": "timestamp must be a number, got '2020-01-01'",
    "9,B1,4,1000,x\xff": "not text in utf-8",
    '"9,B1,4,1000,x': "not CSV: unexpected end of data",
    "": "the line is empty",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_each_damaged_line_is_named_and_the_others_stay(tmp_path, damage, name):
    lines = [LOG[0], LOG[1], damage, LOG[2], damage, LOG[3]]
    content = "".join(line + "\n" for line in lines).encode("latin-1")
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=rf"{name}, line 3: {DAMAGES[damage]}"):
        load_interactions(path)
    with pytest.warns(UserWarning, match=rf"left out 2 bad line.*line 3: {DAMAGES[damage]}"):
        log = load_interactions(path, on_bad_lines="warn")
    assert log.bad_lines["line"].tolist() == [3, 5]
    whole = load_interactions(_write(tmp_path / "whole.csv", *LOG))
    pd.testing.assert_frame_equal(log.interactions, whole.interactions)


def test_damaged_gzip_keeps_what_came_before(tmp_path):
    lines = [f"{n},B{n % 7},3,{n},x" for n in range(20_000)]
    path = _write(tmp_path / "log.csv.gz", LOG[0], *lines)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"line \d+: file ends at line \d+: Compressed file ended"):
        load_interactions(path)
    with pytest.warns(UserWarning, match="left out 1 bad"):
        log = load_interactions(path, on_bad_lines="warn")
    assert log.bad_lines["line"].tolist() == [len(log.interactions) + 2]
    assert len(log.interactions) > 10_000


def test_text_that_spans_lines_is_read_while_all_is_well(tmp_path):
    path = _write(tmp_path / "log.csv", "user_id,item_id,note", '1,a,"two', 'lines"', "2,b,one")
    assert load_interactions(path).interactions["note"].tolist() == ["two\nlines", "one"]


def test_every_line_may_be_bad(tmp_path):
    with pytest.warns(UserWarning, match="left out 2 bad"):
        log = load_interactions(_write(tmp_path / "log.csv", LOG[0], "a,b", "c,d"), on_bad_lines="warn")
    assert list(log.interactions.columns) == LOG[0].split(",")
    assert len(log.interactions) == len(log.items) == 0


@pytest.fixture
def recbole(tmp_path):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    _write(
        folder / "ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        "196\t242\t3\t881250949",
        "186\t302\t3\t891717742",
    )
    _write(
        folder / "ml-100k.item",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tvector:float_seq",
        "242\tKolya\t1996\tComedy\t0.5 1",
        '302\tL.A. "Confidential\t\tCrime Film-Noir Mystery Thriller\t',
        "1\tToy Story\t1995\t\t2",
    )
    _write(folder / "ml-100k.user", "user_id:token\tage:token\tgender:token", "196\t49\tM", "186\t39\tF")
    return folder


def test_recbole_folders_have_items_and_users(recbole):
    for path in (recbole, recbole / "ml-100k.inter"):
        log = load_interactions(path)
        assert log.interactions.to_numpy(object).tolist() == [
            ["196", "242", 3.0, 881250949],
            ["186", "302", 3.0, 891717742],
        ]
        assert log.items.to_dict("list") == {
            "item_id": ["242", "302", "1"],
            "movie_title": [["Kolya"], ["L.A.", '"Confidential'], ["Toy", "Story"]],
            "release_year": ["1996", "", "1995"],
            "class": [["Comedy"], ["Crime", "Film-Noir", "Mystery", "Thriller"], []],
            "vector": [[0.5, 1.0], [], [2.0]],
        }
        assert log.users["age"].tolist() == ["49", "39"]


def test_damaged_recbole_lines_are_named(recbole):
    path = recbole / "ml-100k.inter"
    _write(path, path.read_text().rstrip("\n"), "1\t2\t3")
    with pytest.raises(ValueError, match=r"ml-100k\.inter, line 4: must have 4 fields, got 3"):
        load_interactions(recbole)
    _write(recbole / "ml-100k.inter", "user_id\titem_id", "1\t2")
    with pytest.raises(ValueError, match=r"each column of .* must be <name>:<type> with a type token, float"):
        load_interactions(recbole)
    _write(recbole / "other.inter", "user_id:token\titem_id:token")
    with pytest.raises(ValueError, match=r"a folder with one \.inter file, got .* with 2"):
        load_interactions(recbole)


@pytest.mark.parametrize("unit", ["s", "ms", "ns", "UTC"])
def test_parquet_has_dates_or_numbers(tmp_path, unit):
    seconds = [0, 1369699200, 1355443200]
    dates = pd.Series(pd.to_datetime(seconds, unit="s"))
    dates = (
        dates.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        if unit == "UTC"
        else dates.astype(f"datetime64[{unit}]")
    )
    frame = pd.DataFrame({"user_id": ["a", "b", "a"], "asin": [1, 2, 2], "timestamp": dates, "rating": [1, 2, 3]})
    frame.to_parquet(tmp_path / "log.parquet")
    log = load_interactions(tmp_path / "log.parquet", item="asin").interactions
    assert log["timestamp"].tolist() == seconds
    assert log["item_id"].tolist() == [1, 2, 2]
    assert log["rating"].dtype == np.float64


def test_parquet_rows_that_lack_something_are_named(tmp_path):
    path = tmp_path / "log.parquet"
    frame = pd.DataFrame({"user_id": ["a", None, "c"], "item_id": [1, 2, 3], "rating": [1.0, 2.0, np.inf]})
    frame.to_parquet(path)
    with pytest.raises(ValueError, match=r"log.parquet, line 2: user_id must be there, got (None|nan)"):
        load_interactions(path)
    with pytest.warns(UserWarning, match="left out 2 bad"):
        log = load_interactions(path, on_bad_lines="warn")
    assert log.interactions["user_id"].tolist() == ["a"]
    assert log.bad_lines["line"].tolist() == [2, 3]
    frame.assign(rating="good").to_parquet(path)
    with pytest.raises(ValueError, match=r"column .rating. of .* must hold numbers, got"):
        load_interactions(path, on_bad_lines="warn")


def test_items_and_users_can_come_from_other_files(tmp_path):
    log = _write(tmp_path / "log.csv", "user_id,sku", "1,a", "2,b", "3,c")
    items = _write(tmp_path / "items.csv", "sku,title", "b,Bread", "a,Apple", "b,Bun")
    pd.DataFrame({"user_id": [2, 1], "age": [30, 40]}).to_parquet(tmp_path / "users.parquet")
    log = load_interactions(log, items=items, users=tmp_path / "users.parquet", item="sku")
    assert log.items.astype(object).fillna("-").to_numpy().tolist() == [["b", "Bread"], ["a", "Apple"], ["c", "-"]]
    assert log.users["user_id"].tolist() == [2, 1, 3]
    assert log.n_duplicates == 1


def test_ids_of_two_types_are_refused(tmp_path):
    log, items = _write(tmp_path / "log.csv", "user_id,item_id", "1,7"), tmp_path / "items.csv"
    _write(items, "item_id,title", "07,Seven")
    with pytest.raises(ValueError, match="item_id must be of one type, got int64 in the interactions and"):
        load_interactions(log, items=items)


def test_missing_columns_and_unknown_files_are_named(tmp_path):
    path = _write(tmp_path / "log.csv", "uid,item_id,stars", "1,a,5")
    with pytest.raises(ValueError, match=r"must have the column 'user_id', got \['uid', .*Name it with user="):
        load_interactions(path)
    with pytest.raises(ValueError, match=r"rating must name a column of .*, got 'score' among"):
        load_interactions(path, user="uid", rating="score")
    with pytest.raises(ValueError, match="timestamp_unit must be one of 's', 'ms', 'us', 'ns', got 'h'"):
        load_interactions(path, user="uid", timestamp_unit="h")
    with pytest.raises(ValueError, match=r"path must end in \.parquet, \.csv"):
        load_interactions(_write(tmp_path / "log.xlsx", "x"))
    with pytest.raises(ValueError, match="must start with a line of column names, got an empty line"):
        load_interactions(_write(tmp_path / "empty.csv"))
    twice = _write(tmp_path / "twice.csv", "user_id,uid,item_id", "1,2,3")
    with pytest.raises(ValueError, match="must have one column 'user_id'"):
        load_interactions(twice, user="uid")
    with pytest.raises(FileNotFoundError):
        load_interactions(tmp_path / "none.csv")


# Ids


def test_ids_of_a_csv_file_are_text_in_every_file_as_soon_as_one_is(tmp_path):
    log = _write(tmp_path / "log.csv", "user_id,item_id", "1,0205616461", "2,1234567890", "2,7")
    items = _write(tmp_path / "items.csv", "item_id,title", "1234567890,Book", "B00AAA,Cup", "7,Pen")
    read = load_interactions(log, items=items)
    assert read.interactions["item_id"].tolist() == ["0205616461", "1234567890", "7"]
    assert read.items["item_id"].tolist() == ["1234567890", "B00AAA", "7", "0205616461"]
    assert read.items["title"].fillna("").tolist() == ["Book", "Cup", "Pen", ""]
    assert read.users["user_id"].tolist() == [1, 2]  # which no file has as text


def test_ids_of_digits_in_the_log_meet_text_ids_of_a_described_item(tmp_path):
    log = _write(tmp_path / "log.csv", "user_id,item_id", "1,7", "2,8")
    items = _write(tmp_path / "items.csv", "item_id,title", "8,Pen", "B00AAA,Cup")
    read = load_interactions(log, items=items)
    assert read.interactions["item_id"].tolist() == ["7", "8"]
    assert read.items["item_id"].tolist() == ["8", "B00AAA", "7"]
    assert read.items["title"].fillna("").tolist() == ["Pen", "Cup", ""]


def test_files_that_are_read_one_by_one_meet_with_text_ids(tmp_path):
    train = _write(tmp_path / "train.csv", "user_id,item_id", "1,a", "2,b")
    test = _write(tmp_path / "test.csv", "user_id,item_id", "1,a", "guest,b")
    users = [load_interactions(path, text_ids=True).interactions["user_id"] for path in (train, test)]
    assert [column.tolist() for column in users] == [["1", "2"], ["1", "guest"]]
    assert load_interactions(train).interactions["user_id"].tolist() == [1, 2]


@pytest.mark.parametrize("dtype", ["Int64", "UInt64", "int64[pyarrow]"])
def test_a_missing_id_does_not_merge_those_beyond_two_to_the_53(tmp_path, dtype):
    users = pd.Series([2**53, 2**53 + 1, None], dtype=dtype)
    pd.DataFrame({"user_id": users, "item_id": ["a", "b", "c"]}).to_parquet(tmp_path / "log.parquet")
    with pytest.warns(UserWarning, match="line 3: user_id must be there"):
        log = load_interactions(tmp_path / "log.parquet", on_bad_lines="warn")
    assert log.interactions["user_id"].tolist() == log.users["user_id"].tolist() == [2**53, 2**53 + 1]
    assert log.interactions["user_id"].dtype == ("uint64" if dtype == "UInt64" else "int64")


def test_a_missing_time_does_not_round_the_others(tmp_path):
    times = pd.Series([2**53 + 1, None, 5], dtype="Int64")
    frame = pd.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "timestamp": times})
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.warns(UserWarning, match="line 2: timestamp must be a number, got <NA>"):
        log = load_interactions(tmp_path / "log.parquet", on_bad_lines="warn")
    assert log.interactions["timestamp"].tolist() == [2**53 + 1, 5]


def test_ids_of_int64_and_uint64_meet_beyond_two_to_the_53(tmp_path):
    ids = np.arange(2**60, 2**60 + 6)
    pd.DataFrame({"user_id": 1, "item_id": ids}).to_parquet(tmp_path / "log.parquet")
    pd.DataFrame({"item_id": ids[3:].astype("uint64"), "n": [3, 4, 5]}).to_parquet(tmp_path / "items.parquet")
    log = load_interactions(tmp_path / "log.parquet", items=tmp_path / "items.parquet")
    assert log.items["item_id"].tolist() == [*ids[3:], *ids[:3]]
    assert log.items["n"].fillna(-1).tolist() == [3, 4, 5, -1, -1, -1]


def test_integer_ids_that_were_written_as_floats_beyond_two_to_the_53_are_told(tmp_path):
    pd.DataFrame({"user_id": [1, 2], "item_id": [2.0**60, 3.0]}).to_parquet(tmp_path / "log.parquet")
    with pytest.warns(
        UserWarning, match=r"column 'item_id' of .* must be integers or text, got float64 beyond 2\*\*53"
    ):
        load_interactions(tmp_path / "log.parquet")


# Other columns


def test_attributes_keep_their_type_where_an_item_is_not_described(tmp_path):
    log = _write(tmp_path / "log.csv", "user_id,item_id", "1,a", "1,b", "2,c")
    lines = ["item_id,category,is_new,price,name", "a,3,True,0.5,x", "b,4,False,1,y"]
    attributes = {"category": "Int64", "is_new": "boolean", "price": "float64"}
    for kind in ("csv", "parquet"):
        path = _write(tmp_path / "items.csv", *lines)
        if kind == "parquet":
            path = tmp_path / "items.parquet"
            pd.read_csv(tmp_path / "items.csv").to_parquet(path)
        items = load_interactions(log, items=path).items
        assert items["item_id"].tolist() == ["a", "b", "c"]
        assert {name: str(items[name].dtype) for name in attributes} == attributes
        assert items["category"].fillna(-1).tolist() == [3, 4, -1]
        assert items["is_new"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_attributes_keep_their_type_where_one_is_missing(tmp_path, kind):
    log = _write(tmp_path / "log.csv", "user_id,item_id", "1,a", "1,b")
    path = _write(tmp_path / "items.csv", "item_id,n,flag", f"a,{2**53 + 1},True", "b,,")
    if kind == "parquet":
        path = tmp_path / "items.parquet"
        flags = pd.array([True, None], dtype="boolean")
        numbers = pd.array([2**53 + 1, None], dtype="Int64")
        pq.write_table(pa.table({"item_id": ["a", "b"], "n": numbers, "flag": flags}), path)
    items = load_interactions(log, items=path).items
    assert [str(items[name].dtype) for name in ("n", "flag")] == ["Int64", "boolean"]
    assert items["n"][0] == 2**53 + 1


def test_what_is_written_stays_apart_in_every_column_of_text(tmp_path):
    rows = ["1,a,NA,01234,1", "2,b,US,1234,0.5", "3,c,,9,NA"]
    path = _write(tmp_path / "log.csv", "user_id,item_id,country,zip,price", *rows)
    log = load_interactions(path).interactions
    assert log["country"].fillna("-").tolist() == ["NA", "US", "-"]
    assert log["zip"].tolist() == ["01234", "1234", "9"]
    assert log["price"].fillna(-1).tolist() == [1.0, 0.5, -1.0]


def test_integers_in_lists_stay_integers_where_some_are_missing(tmp_path):
    lists = [[2**53 + 1, None], None, [2**53]]
    for kind in (pa.list_(pa.int64()), pa.large_list(pa.uint64())):
        table = {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "history": pa.array(lists, kind)}
        pq.write_table(pa.table(table), tmp_path / "log.parquet")
        assert load_interactions(tmp_path / "log.parquet").interactions["history"].tolist() == lists


def test_decimals_of_parquet_files_are_numbers(tmp_path):
    ids = pa.array([2**60, 2**60 + 1, 3], pa.decimal128(20, 0))
    prices = pa.array([Decimal("1.50"), None, Decimal("2.25")], pa.decimal128(10, 2))
    table = {"user_id": [1, 2, 3], "item_id": ids, "price": prices, "rating": prices.fill_null(Decimal(3))}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    log = load_interactions(tmp_path / "log.parquet").interactions
    assert log["item_id"].tolist() == [2**60, 2**60 + 1, 3]
    assert log["price"].fillna(-1).tolist() == [1.5, -1, 2.25]
    assert log["rating"].tolist() == [1.5, 3.0, 2.25]


# Lines


@pytest.mark.parametrize("names", ["user_id,item_id", "item_id,user_id,note", "user_id,item_id,rating,timestamp"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_header_line_again_in_the_middle_is_no_interaction(tmp_path, names, bom):
    width = names.count(",") + 1
    lines = [names, *(",".join(map(str, range(n, n + width))) for n in range(2))]
    path = _write(tmp_path / "log.csv", *lines, bom + names, *lines[1:])
    with pytest.raises(ValueError, match=r"log.csv, line 4: the line holds the names of the columns, not their values"):
        load_interactions(path)
    with pytest.warns(UserWarning, match="left out 1 bad"):
        log = load_interactions(path, on_bad_lines="warn")
    once = load_interactions(_write(tmp_path / "once.csv", *lines, *lines[1:]))
    pd.testing.assert_frame_equal(log.interactions, once.interactions)


def test_a_header_line_where_names_were_passed_is_no_interaction(tmp_path):
    path = _write(tmp_path / "log.csv", "user_id,item_id", "1,a")
    with pytest.raises(ValueError, match="line 1: the line holds the names of the columns"):
        load_interactions(path, columns=["user_id", "item_id"])


def test_recbole_numbers_are_read_whatever_type_they_are_declared_as(recbole):
    lines = ["user_id:token\titem_id:token\trating:token\ttimestamp:token", "196\t242\t3\t881250949", "1\t2\t4.5\t7"]
    _write(recbole / "ml-100k.inter", *lines)
    log = load_interactions(recbole).interactions
    assert log["rating"].tolist() == [3.0, 4.5]
    assert log["timestamp"].tolist() == [881250949, 7]
    _write(recbole / "ml-100k.inter", *lines, "1\t2\tgood\t8")
    with pytest.raises(ValueError, match=r"ml-100k.inter, line 4: rating must be a number, got 'good'"):
        load_interactions(recbole)


def test_text_in_a_recbole_column_of_numbers_is_named(recbole):
    _write(recbole / "ml-100k.item", "item_id:token\tprice:float", "242\t1.5", "302\t", "1\tcheap")
    with pytest.raises(ValueError, match=r"ml-100k.item, line 4: price must be numbers between spaces, got 'cheap'"):
        load_interactions(recbole)


def test_recbole_ids_stay_text_whatever_type_they_are_declared_as(recbole):
    _write(recbole / "ml-100k.inter", "user_id:float\titem_id:token_seq", "196\t242")
    assert load_interactions(recbole).interactions.to_numpy(object).tolist() == [["196", "242"]]


# Parquet


def test_ids_that_were_the_index_of_a_frame_are_read(tmp_path):
    frame = pd.DataFrame({"user_id": [5, 6, 7], "item_id": ["a", "b", "a"], "rating": [1, 2, 3]})
    expected = frame[["item_id", "user_id", "rating"]].astype({"rating": float})
    for index in (["user_id"], ["user_id", "item_id"]):
        frame.set_index(index).to_parquet(tmp_path / "log.parquet")
        log = load_interactions(tmp_path / "log.parquet").interactions
        pd.testing.assert_frame_equal(log[list(expected)], expected)
    numbered = frame.drop(columns="user_id").set_axis(pd.RangeIndex(5, 8, name="user_id"))
    numbered.to_parquet(tmp_path / "log.parquet")
    log = load_interactions(tmp_path / "log.parquet").interactions
    pd.testing.assert_frame_equal(log[list(expected)], expected)
    frame[::-1].to_parquet(tmp_path / "log.parquet")  # an index without a name is none
    assert list(load_interactions(tmp_path / "log.parquet").interactions) == ["user_id", "item_id", "rating"]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_days_are_times(tmp_path, kind):
    days = [date(1970, 1, 2), None, date(2024, 2, 29)]
    table = {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "day": pa.array(days, kind)}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    with pytest.warns(UserWarning, match="line 2: timestamp must be a number"):
        log = load_interactions(tmp_path / "log.parquet", timestamp="day", on_bad_lines="warn")
    assert log.interactions["timestamp"].tolist() == [86_400, 1_709_164_800]


def test_times_as_text_are_refused_with_the_way_out(tmp_path):
    frame = pd.DataFrame({"user_id": [1], "item_id": [1], "timestamp": ["2024-02-29"]})
    frame.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(ValueError, match=r"must hold numbers, got .*\. Make dates of text with pd\.to_datetime"):
        load_interactions(tmp_path / "log.parquet")


@pytest.mark.parametrize("name", ["parts", "log.parquet"])
def test_a_folder_of_part_files_is_one_log(tmp_path, name):
    frame = pd.DataFrame({"user_id": range(6), "item_id": list("abcabc")})
    (tmp_path / name).mkdir()
    for part in range(3):
        frame[2 * part : 2 * part + 2].to_parquet(tmp_path / name / f"part-{part:05}.parquet")
    (tmp_path / name / "_SUCCESS").touch()
    log = load_interactions(tmp_path / name, items=tmp_path / name)
    pd.testing.assert_frame_equal(log.interactions, frame, check_dtype=False)
    assert log.items["item_id"].tolist() == ["a", "b", "c"]


def test_columns_of_arrow_types_of_pandas_are_read_back(tmp_path):
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "tags": [["x"], ["y", "z"]]})
    kinds = {"user_id": "int64[pyarrow]", "tags": pd.ArrowDtype(pa.list_(pa.string()))}
    frame.astype(kinds).to_parquet(tmp_path / "log.parquet")
    log = load_interactions(tmp_path / "log.parquet").interactions
    assert log["user_id"].dtype == np.int64
    assert [list(tags) for tags in log["tags"]] == [["x"], ["y", "z"]]


# Repeats


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_interactions_that_equal_an_earlier_one_are_counted_told_or_left_out(tmp_path, kind):
    rows = [(1, "a", 5, "x"), (1, "a", 5, "y"), (1, "a", 5, "x"), (2, "a", 5, "x"), (1, "a", 5, "x"), (1, "b", 5, "x")]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "note"])
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.assign(note=[[note, note] for note in frame["note"]]).to_parquet(path)  # lists, which have no hash
    kept = load_interactions(path)
    assert (len(kept.interactions), kept.n_repeats) == (6, len(rows) - len(set(rows))) == (6, 2)
    with pytest.warns(UserWarning, match=r"2 of 6 interactions equal an earlier one .* of user 1 and item 'a'"):
        load_interactions(path, on_repeats="warn")
    dropped = load_interactions(path, on_repeats="drop")
    assert dropped.n_repeats == dropped.k_core(1).n_repeats == 2
    pd.testing.assert_frame_equal(dropped.interactions, kept.interactions.iloc[[0, 1, 3, 5]].reset_index(drop=True))
    with pytest.raises(ValueError, match="on_repeats must be one of 'keep', 'warn', 'drop', got 'no'"):
        load_interactions(path, on_repeats="no")
