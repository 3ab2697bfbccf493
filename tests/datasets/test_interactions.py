import csv
import gzip

import numpy as np
import pandas as pd
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
