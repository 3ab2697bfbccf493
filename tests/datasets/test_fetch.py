import gzip
import hashlib
import io
import json
import zipfile

import pytest
from file_server import FileServer
from test_movielens import write_100k

from semid.datasets import _fetch, fetch_amazon_reviews, fetch_movielens, load_movielens


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def archive(tmp_path, rng):
    """The bytes of a zip file as GroupLens packs it, with a member that leads elsewhere."""
    folder = tmp_path / "written"
    folder.mkdir()
    write_100k(folder, [(1, 2, 3, 10), (2, 1, 5, 11)])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"ml-100k/{path.name}")
        archive.writestr("../../escaped.txt", "outside")
    return stream.getvalue()


@pytest.fixture
def serve(monkeypatch, archive):
    def start(plan=(), content=archive):
        server = FileServer({"/ml-100k.zip": content}, plan)
        published = _fetch._Archive("ml-100k", hashlib.md5(archive).hexdigest())
        monkeypatch.setitem(_fetch._MOVIELENS, "100k", published)
        monkeypatch.setattr(_fetch, "_MOVIELENS_URL", server.url)
        return server

    return start


def test_movielens_is_downloaded_unpacked_and_loaded_once(tmp_path, serve):
    with serve() as server:
        log = fetch_movielens(data_home=tmp_path / "home")
        again = fetch_movielens(data_home=tmp_path / "home")
    assert len(server.requests) == 1
    assert log.interactions.equals(again.interactions)
    assert log.interactions.equals(load_movielens(tmp_path / "written").interactions)
    files = sorted(path.name for path in (tmp_path / "home" / "movielens").iterdir())
    assert files == ["ml-100k", "ml-100k.zip"]
    assert not list(tmp_path.rglob("escaped.txt"))


def test_movielens_goes_on_after_a_cut(tmp_path, serve):
    with serve([("cut", 700), 503]) as server:
        assert len(fetch_movielens(data_home=tmp_path / "home", delay=0.0).interactions) == 2
    assert [request["range"] for request in server.requests] == [None, "bytes=700-", "bytes=700-"]


def test_movielens_of_a_wrong_checksum_is_not_unpacked(tmp_path, serve):
    with serve(content=b"no zip") as server, pytest.raises(OSError, match=r"md5 checksum of .*ml-100k\.zip must be"):
        fetch_movielens(data_home=tmp_path / "home")
    assert len(server.requests) == 1
    assert list((tmp_path / "home" / "movielens").iterdir()) == []


def test_movielens_put_there_by_hand_is_used(tmp_path, serve, archive):
    with serve() as server:
        with pytest.raises(
            OSError, match=rf"Download {server.url}/ml-100k\.zip by other means, save it as (\S+ml-100k)"
        ):
            fetch_movielens(data_home=tmp_path, download_if_missing=False)
        (tmp_path / "movielens" / "ml-100k.zip").parent.mkdir(exist_ok=True)
        (tmp_path / "movielens" / "ml-100k.zip").write_bytes(archive)
        assert len(fetch_movielens(data_home=tmp_path, download_if_missing=False).interactions) == 2
    assert server.requests == []


def test_unknown_data_sets_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"version must be one of '100k', .*'32m', got '5m'"):
        fetch_movielens("5m", data_home=tmp_path)
    with pytest.raises(ValueError, match="year must be one of 2014, 2018, 2023, got 2020"):
        fetch_amazon_reviews("Beauty", year=2020, data_home=tmp_path)
    with pytest.raises(ValueError, match=r"subset must be 'all' for year=2023, got '5core'. Make a core with .k_core"):
        fetch_amazon_reviews("All_Beauty", year=2023, data_home=tmp_path)
    with pytest.raises(ValueError, match=r"category must be as in the name of the file.*got '\.\./x'"):
        fetch_amazon_reviews("../x", data_home=tmp_path)


@pytest.mark.parametrize(
    ("year", "subset", "reviews", "metadata"),
    [
        (2014, "5core", "amazon/categoryFiles/reviews_Beauty_5.json.gz", "amazon/categoryFiles/meta_Beauty.json.gz"),
        (2014, "all", "amazon/categoryFiles/reviews_Beauty.json.gz", "amazon/categoryFiles/meta_Beauty.json.gz"),
        (2018, "5core", "amazon_v2/categoryFilesSmall/Beauty_5.json.gz", "amazon_v2/metaFiles2/meta_Beauty.json.gz"),
        (2018, "all", "amazon_v2/categoryFiles/Beauty.json.gz", "amazon_v2/metaFiles2/meta_Beauty.json.gz"),
        (
            *(2023, "all", "amazon_2023/raw/review_categories/Beauty.jsonl.gz"),
            "amazon_2023/raw/meta_categories/meta_Beauty.jsonl.gz",
        ),
    ],
)
def test_amazon_reviews_come_from_the_published_addresses(tmp_path, monkeypatch, year, subset, reviews, metadata):
    new_keys = ("user_id", "parent_asin", "rating", "timestamp")
    old_keys = ("reviewerID", "asin", "overall", "unixReviewTime")
    keys = new_keys if year == 2023 else old_keys
    review = dict(zip(keys, ("A1", "B1", 5.0, 1370131200000 if year == 2023 else 1370131200), strict=True))
    item = {keys[1]: "B1", "title": "Soap"}
    files = {
        f"/{reviews}": gzip.compress(json.dumps(review).encode()),
        f"/{metadata}": gzip.compress((repr(item) if year == 2014 else json.dumps(item)).encode()),
    }
    with FileServer(files) as server:
        monkeypatch.setattr(_fetch, "_AMAZON_URL", server.url)
        log = fetch_amazon_reviews("Beauty", year=year, subset=subset, data_home=tmp_path)
        bare = fetch_amazon_reviews("Beauty", year=year, subset=subset, metadata=False, data_home=tmp_path)
    assert [request["path"] for request in server.requests] == list(files)
    assert log.interactions.iloc[0].tolist() == ["A1", "B1", 5.0, 1370131200]
    assert log.items["title"].tolist() == ["Soap"]
    assert bare.items["title"].tolist() == [""]
