import hashlib
import socket

import pytest
from file_server import FileServer

from semid.datasets import get_data_home
from semid.datasets._download import download

CONTENT = bytes(range(256)) * 2000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def _download(server, path, **options):
    return download(f"{server.url}/file.zip", path, **{"md5": MD5, "delay": 0.0, **options})


def test_a_file_arrives_whole_and_nothing_else_stays(tmp_path):
    with FileServer({"/file.zip": CONTENT}) as server:
        path = _download(server, tmp_path / "new" / "file.zip")
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["file.zip"]


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_download_that_is_cut_off_goes_on_where_it_stopped(tmp_path, md5):
    with FileServer({"/file.zip": CONTENT}, [("cut", 200_000), ("cut", 100_000)]) as server:
        path = _download(server, tmp_path / "file.zip", md5=md5)
    assert path.read_bytes() == CONTENT
    assert [request["range"] for request in server.requests] == [None, "bytes=200000-", "bytes=300000-"]
    assert sum(request["sent"] for request in server.requests) == len(CONTENT)


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(tmp_path):
    path = tmp_path / "file.zip"
    with FileServer({"/file.zip": CONTENT}, [("cut", 200_000)]) as server:
        with pytest.raises(
            OSError, match=r"tried once: the connection ended after 200000 of 512000 bytes\. The 200000"
        ):
            _download(server, path, n_retries=0)
        assert not path.exists()
        _download(server, path, n_retries=0)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1]["range"] == "bytes=200000-"


@pytest.mark.parametrize("plan", [[("cut", 5000), "ignore range"], [("cut", 5000)]])
def test_a_server_without_ranges_or_with_a_newer_file_is_read_from_the_start(tmp_path, plan):
    with FileServer({"/file.zip": CONTENT}, plan) as server:
        if len(plan) == 1:
            with pytest.raises(OSError, match="tried once"):
                _download(server, tmp_path / "file.zip", md5=None, n_retries=0)
            server.etag, server.files["/file.zip"] = '"v2"', CONTENT[::-1]
        path = _download(server, tmp_path / "file.zip", md5=None)
    assert path.read_bytes() == server.files["/file.zip"]
    assert server.requests[-1]["range"] == "bytes=5000-"
    assert server.requests[-1]["sent"] == len(CONTENT)


def test_a_part_of_a_version_that_nothing_names_is_not_built_upon(tmp_path):
    with FileServer({"/file.zip": CONTENT}, [("cut", 5000)], etag=None) as server:
        path = _download(server, tmp_path / "file.zip", md5=None)
    assert path.read_bytes() == CONTENT
    assert [request["range"] for request in server.requests] == [None, None]


@pytest.mark.parametrize("arrived", [CONTENT, CONTENT + b"more"])
def test_a_part_that_is_all_or_more_is_told_from_a_cut(tmp_path, arrived):
    (tmp_path / "file.zip.part").write_bytes(arrived)
    with FileServer({"/file.zip": CONTENT}) as server:
        assert _download(server, tmp_path / "file.zip").read_bytes() == CONTENT
    assert len(server.requests) == (1 if arrived == CONTENT else 2)


def test_a_wrong_checksum_deletes_the_download_and_names_both(tmp_path):
    found = hashlib.md5(b"other").hexdigest()
    with (
        FileServer({"/file.zip": b"other"}) as server,
        pytest.raises(OSError, match=f"the md5 checksum of {server.url}/file.zip must be {MD5}, got {found}"),
    ):
        _download(server, tmp_path / "file.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_exist_is_asked_for_once(tmp_path):
    with FileServer({}) as server, pytest.raises(OSError, match=r"tried once: HTTP Error 404.*save it as .*file\.zip"):
        _download(server, tmp_path / "file.zip")
    assert len(server.requests) == 1


def test_errors_of_the_server_are_waited_out(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("semid.datasets._download.time.sleep", waits.append)
    with FileServer({"/file.zip": CONTENT}, [500, 503]) as server:
        assert _download(server, tmp_path / "file.zip", delay=0.5).read_bytes() == CONTENT
    assert waits == [0.5, 1.0]
    with FileServer({"/file.zip": CONTENT}, [500] * 9) as server, pytest.raises(OSError, match="tried 3 times"):
        _download(server, tmp_path / "other.zip", n_retries=2)
    assert len(server.requests) == 3


def test_offline_says_which_file_to_put_where(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file.zip"
    with pytest.raises(
        OSError, match=rf"could not download {url}, tried 2 times: .*[Rr]efused.* save it as {tmp_path}"
    ):
        download(url, tmp_path / "file.zip", n_retries=1, delay=0.0)
    with pytest.raises(OSError, match=rf"download_if_missing=False. Download {url} by other means"):
        download(url, tmp_path / "file.zip", download_if_missing=False)


def test_a_file_that_is_there_is_checked_and_not_downloaded(tmp_path):
    path = tmp_path / "file.zip"
    path.write_bytes(CONTENT)
    with FileServer({}) as server:
        assert _download(server, path) == path
        path.write_bytes(b"changed")
        with pytest.raises(OSError, match=f"the md5 checksum of {path} must be {MD5}, got .* Delete the file"):
            _download(server, path)
    assert server.requests == []


def test_without_a_published_checksum_the_first_download_is_the_measure(tmp_path):
    path = tmp_path / "file.zip"
    with FileServer({"/file.zip": CONTENT}) as server:
        _download(server, path, md5=None)
        _download(server, path, md5=None)
    record = tmp_path / "file.zip.sha256"
    assert record.read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(OSError, match=rf"the sha256 checksum of {path} must be .* Delete the file and {record}"):
        _download(server, path, md5=None)


def test_a_file_that_changed_at_the_server_is_not_taken_for_the_first_one(tmp_path):
    path = tmp_path / "file.zip"
    record = tmp_path / "file.zip.sha256"
    with FileServer({"/file.zip": CONTENT}) as server:
        _download(server, path, md5=None)
    path.unlink()
    with FileServer({"/file.zip": CONTENT[::-1]}) as server:
        with pytest.raises(OSError, match=rf"the sha256 checksum of .* the download is deleted.* delete {record} to"):
            _download(server, path, md5=None)
        assert list(tmp_path.iterdir()) == [record]
        record.unlink()
        _download(server, path, md5=None)
    assert path.read_bytes() == CONTENT[::-1]


def test_progress_is_shown_where_it_is_asked_for(tmp_path, capsys):
    with FileServer({"/file.zip": CONTENT}) as server:
        _download(server, tmp_path / "quiet.zip")
        assert capsys.readouterr() == ("", "")
        _download(server, tmp_path / "loud.zip", verbose=True)
    out, err = capsys.readouterr()
    assert not out
    assert "loud.zip" in err
    assert "100%" in err


def test_the_data_home_is_the_argument_or_the_environment_or_beside_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMID_DATA", str(tmp_path / "env"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert get_data_home(tmp_path / "given") == tmp_path / "given"
    assert get_data_home() == tmp_path / "env"
    monkeypatch.delenv("SEMID_DATA")
    assert get_data_home() == tmp_path / "home" / "semid_data"
    assert get_data_home("~/other") == tmp_path / "home" / "other"
    assert (tmp_path / "home" / "other").is_dir()
