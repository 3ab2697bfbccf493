import csv
import re

import numpy as np
import pandas as pd
import pytest

from semid.datasets import load_movielens

U_ITEM = [
    "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0",
    "2|Cité des enfants perdus, La (1995)|01-Jan-1995||http://us.imdb.com/x|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0|0",
    "3|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0",
    "4|Land Before Time III|12-Mar-1996|||0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|1",
]  # fmt: skip
GENRES_100K = [["Animation", "Children's", "Comedy"], ["Adventure", "Sci-Fi"], [], ["Animation", "Western"]]
U_USER = ["1|24|M|technician|85711", "2|53|F|other|T8H1N"]
MOVIES_DAT = [
    "1::Toy Story (1995)::Animation|Children's|Comedy",
    "2::Misérables, Les (1995)::Drama|Musical",
    "3::Untitled::(no genres listed)",
]
USERS_DAT = ["1::F::1::10::48067", "2::M::56::16::70072", "3::M::25::0::02460-1234"]
MOVIES_CSV = [
    "1,Toy Story (1995),Adventure|Animation|Children|Comedy|Fantasy",
    '2,"American President, The (1995)",Comedy|Drama|Romance',
    '3,"""Great Performances"" Cats (1998)",Musical',
    "4,Fawlty Towers (1975-1979),Comedy",
    "5,Nameless,(no genres listed)",
]


def _ratings(rng, n=200, n_users=2, n_items=5, half_stars=False):
    stars = rng.integers(1, 11, size=n) / 2 if half_stars else rng.integers(1, 6, size=n)
    users, items, times = rng.integers(1, n_users + 1, n), rng.integers(1, n_items + 1, n), rng.integers(10**9, size=n)
    return list(zip(users.tolist(), items.tolist(), stars.tolist(), times.tolist(), strict=True))


def _write(path, lines, encoding="utf-8", end="\n"):
    path.write_bytes("".join(line + end for line in lines).encode(encoding))


def write_100k(folder, ratings):
    _write(folder / "u.data", ["\t".join(map(str, row)) for row in ratings])
    _write(folder / "u.item", U_ITEM, "latin-1")
    _write(folder / "u.user", U_USER)
    (folder / "u.genre").write_text("unknown|0\nAction|1\n\n")


def write_1m(folder, ratings):
    _write(folder / "ratings.dat", ["::".join(map(str, row)) for row in ratings])
    _write(folder / "movies.dat", MOVIES_DAT, "latin-1")
    _write(folder / "users.dat", USERS_DAT)


def write_10m(folder, ratings):
    _write(folder / "ratings.dat", ["::".join(map(str, row)) for row in ratings])
    _write(folder / "movies.dat", MOVIES_DAT, "utf-8")


def write_25m(folder, ratings, end="\n"):
    _write(
        folder / "ratings.csv", ["userId,movieId,rating,timestamp", *(",".join(map(str, r)) for r in ratings)], end=end
    )
    _write(folder / "movies.csv", ["movieId,title,genres", *MOVIES_CSV], end=end)


WRITERS = [write_100k, write_1m, write_10m, write_25m]
RATINGS_FILE = {"write_100k": "u.data", "write_25m": "ratings.csv"}


@pytest.mark.parametrize("write", WRITERS)
def test_ratings_of_each_layout_are_those_written(tmp_path, rng, write):
    ratings = _ratings(rng, half_stars=write in (write_10m, write_25m))
    write(tmp_path, ratings)
    log = load_movielens(tmp_path)
    expected = pd.DataFrame(ratings, columns=["user_id", "item_id", "rating", "timestamp"]).astype({"rating": float})
    pd.testing.assert_frame_equal(log.interactions, expected)
    assert set(log.items["item_id"]) == set(range(1, len(log.items) + 1))
    assert len(log.bad_lines) == log.n_duplicates == 0


def test_100k_has_films_and_users(tmp_path, rng):
    write_100k(tmp_path, _ratings(rng, n_items=4))
    log = load_movielens(tmp_path)
    assert log.items["title"].tolist() == [
        "Toy Story",
        "Cité des enfants perdus, La",
        "unknown",
        "Land Before Time III",
    ]
    assert log.items["year"].tolist() == [1995, 1995, pd.NA, 1996]
    assert log.items["genres"].tolist() == GENRES_100K
    assert log.users.to_dict("list") == {
        "user_id": [1, 2],
        "gender": ["M", "F"],
        "age": [24, 53],
        "occupation": ["technician", "other"],
        "zip_code": ["85711", "T8H1N"],
    }


def test_1m_and_10m_differ_in_encoding_and_users(tmp_path, rng):
    for write, users in ((write_1m, [1, 2, 3]), (write_10m, [1, 2])):
        folder = tmp_path / write.__name__
        folder.mkdir()
        write(folder, _ratings(rng, n_items=3))
        log = load_movielens(folder)
        assert log.items["title"].tolist() == ["Toy Story", "Misérables, Les", "Untitled"]
        assert log.items["genres"].tolist() == [["Animation", "Children's", "Comedy"], ["Drama", "Musical"], []]
        assert sorted(log.users["user_id"]) == users
    users = load_movielens(tmp_path / "write_1m").users
    assert users["occupation"].tolist() == ["K-12 student", "self-employed", "other"]
    assert users["zip_code"].tolist() == ["48067", "70072", "02460-1234"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_25m_has_quoted_titles(tmp_path, rng, end):
    write_25m(tmp_path, _ratings(rng), end)
    log = load_movielens(tmp_path)
    with open(tmp_path / "movies.csv", newline="", encoding="utf-8") as stream:
        expected = list(csv.DictReader(stream))
    titles = [re.sub(r" \([\d-]+\)$", "", row["title"]) for row in expected]
    assert log.items["title"].tolist() == titles
    assert log.items["year"].tolist() == [1995, 1995, 1998, 1975, pd.NA]
    assert log.items["genres"].tolist() == [
        [genre for genre in row["genres"].split("|") if genre != "(no genres listed)"] for row in expected
    ]
    assert list(log.users.columns) == ["user_id"]


def test_films_of_ratings_alone_have_a_row(tmp_path):
    write_25m(tmp_path, [(7, 99, 3.0, 10), (7, 1, 3.0, 11)])
    items = load_movielens(tmp_path).items
    assert items["item_id"].tolist() == [1, 2, 3, 4, 5, 99]
    assert items.iloc[-1].tolist() == [99, "", pd.NA, []]
    assert load_movielens(tmp_path).k_core(1).items["item_id"].tolist() == [1, 99]


DAMAGES = {
    "x{s}1{s}3{s}10": "user must be an integer, got 'x'",
    "1{s}1.5{s}3{s}10": "item must be an integer, got '1.5'",
    "1{s}1{s}three{s}10": "rating must be a number, got 'three'",
    "1{s}1{s}{s}10": "rating is missing",
    "1{s}1{s}nan{s}10": "rating must be a number, got 'nan'",
    "1{s}1{s}3": "must have 4 fields between .*, got 3",
    "1{s}1{s}3{s}10{s}9": "must have 4 fields between .*, got 5",
    "": "the line is empty",
    "1{s}1{s}3{s}1\xe90": "not text in ascii",
    "1{s}99999999999999999999{s}3{s}10": "item must be an integer",
    "1{s}1{s}3{s}12-05-1998": "timestamp must be an integer",
    '1{s}1{s}"3{s}10': "rating must be a number",
}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_rating_is_named_and_the_others_stay(tmp_path, rng, write, damage):
    ratings = _ratings(rng, n=30)
    write(tmp_path, ratings)
    path = tmp_path / RATINGS_FILE.get(write.__name__, "ratings.dat")
    lines = path.read_bytes().splitlines(keepends=True)
    separator = {"u.data": "\t", "ratings.dat": "::", "ratings.csv": ","}[path.name]
    for place in (20, 4):
        lines.insert(place, damage.replace("{s}", separator).encode("latin-1") + b"\n")
    path.write_bytes(b"".join(lines))

    with pytest.raises(ValueError, match=rf"{path.name}, line 5: {DAMAGES[damage]}.*on_bad_lines='warn'"):
        load_movielens(tmp_path)
    with pytest.warns(UserWarning, match=rf"left out 2 bad line.*{path.name}, line 5: {DAMAGES[damage]}"):
        log = load_movielens(tmp_path, on_bad_lines="warn")
    assert log.bad_lines["line"].tolist() == [5, 22]
    assert log.bad_lines["file"].tolist() == [str(path)] * 2
    np.testing.assert_array_equal(log.interactions.to_numpy(float), np.array(ratings, dtype=float))


@pytest.mark.parametrize(
    ("write", "name", "line", "reason"),
    [
        (write_100k, "u.item", "9|Short (1990)|||", "must have 24 fields"),
        (write_100k, "u.item", U_ITEM[0][:-1] + "2", "flags of genres must be 0 or 1"),
        (write_100k, "u.user", "9|old|M|writer|12345", "age must be an integer, got 'old'"),
        (write_1m, "users.dat", "9::M::25::21::12345", r"occupation must lie in \[0, 20\], got 21"),
        (write_1m, "movies.dat", "9::A::B::C", "must have 3 fields"),
        (write_25m, "movies.csv", '9,"Open (1990),Drama', "not CSV"),
        (write_25m, "movies.csv", "9,Comma, the (1990),Drama", "must have 3 fields, got 4"),
    ],
)
def test_a_damaged_description_is_named(tmp_path, rng, write, name, line, reason):
    write(tmp_path, _ratings(rng))
    with open(tmp_path / name, "a", encoding="latin-1") as stream:
        stream.write(line + "\n")
    number = len((tmp_path / name).read_bytes().splitlines())
    with pytest.raises(ValueError, match=f"{name}, line {number}: {reason}"):
        load_movielens(tmp_path)


def test_every_line_may_be_bad(tmp_path):
    write_100k(tmp_path, ["abcd", "efgh"])
    with pytest.warns(UserWarning, match="left out 2 bad line"):
        log = load_movielens(tmp_path, on_bad_lines="warn")
    assert log.interactions.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64"]
    assert len(log.interactions) == 0
    assert len(log.items) == 4


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "u.data").write_text("")
    with pytest.raises(ValueError, match=r"u\.data, u\.item, u\.user \(100K\); .* lacks some of each.*fetch_movielens"):
        load_movielens(tmp_path)
    write_25m(tmp_path, [])
    (tmp_path / "ratings.csv").write_text("1,296,5.0,1147880044\n")
    with pytest.raises(ValueError, match="must start with the line 'userId,movieId,rating,timestamp'"):
        load_movielens(tmp_path)
    with pytest.raises(ValueError, match="on_bad_lines must be one of 'error', 'warn', got 'skip'"):
        load_movielens(tmp_path, on_bad_lines="skip")
