"""Downloads files: goes on where a download broke off, tries again, and keeps nothing that is not whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from semid.base._checks import check_integer, check_number
from semid.base._typing import StrPath

_BLOCK = 1 << 16
_TIMEOUT = 30  # seconds without a byte
_TRANSIENT = (URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
_WORTH_ANOTHER_TRY = (408, 429)  # of the answers below 500


def get_data_home(data_home: StrPath | None = None) -> Path:
    """Return the folder of downloaded data sets, and make it if there is none.

    Parameters
    ----------
    data_home : path or None, default None
        The folder. None stands for the environment variable ``SEMID_DATA``, or else ``~/semid_data``; ``~`` is your
        home folder.

    Returns
    -------
    folder : pathlib.Path

    Examples
    --------
    >>> import tempfile
    >>> from semid.datasets import get_data_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     get_data_home(folder + "/data").is_dir()
    True
    """
    if data_home is None:
        data_home = os.environ.get("SEMID_DATA") or Path("~", "semid_data")
    folder = Path(data_home).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def download(url, path, *, md5=None, download_if_missing=True, n_retries=3, delay=1.0, verbose=False):
    """Return `path`, downloaded from `url` if there is no such file.

    What has arrived is kept beside it as ``.part`` until all is there and the checksum is right. Without an `md5` the
    SHA-256 of the first download is written down beside the file, and later calls compare with it.
    """
    check_integer("n_retries", n_retries, 0)
    check_number("delay", delay, 0)
    if path.is_file():
        _check_existing(path, md5)
        return path
    if not download_if_missing:
        raise OSError(f"{path} is missing and download_if_missing=False. {_by_hand(url, path)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path, ".part")
    for attempt in range(n_retries + 1):
        try:
            _receive(url, part, md5, verbose)
            break
        except _TRANSIENT as error:
            if attempt == n_retries or not _may_pass(error):
                raise OSError(_failure(url, path, part, attempt + 1, error)) from error
        time.sleep(delay * 2**attempt)
    _accept(url, part, path, md5)
    return path


def _beside(path, ending):
    return path.with_name(path.name + ending)


def _by_hand(url, path):
    return f"Download {url} by other means, save it as {path}, and call again."


def _failure(url, path, part, n_attempts, error):
    size = part.stat().st_size if part.is_file() else 0
    kept = f" The {size} bytes that arrived are in {part}; the next call goes on from there." if size else ""
    times = "once" if n_attempts == 1 else f"{n_attempts} times"
    return f"could not download {url}, tried {times}: {error}.{kept} {_by_hand(url, path)}"


def _may_pass(error):
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in _WORTH_ANOTHER_TRY
    return not isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError)


def _receive(url, part, md5, verbose):
    """Add to `part` what it lacks of the file at `url`, or raise one of `_TRANSIENT`."""
    tag = _beside(part, ".tag")
    size = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"User-Agent": "semid", **_resume(size, tag, md5)})
    try:
        response = urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{size}":
            return  # all of it is there
        part.unlink(missing_ok=True)
        raise ConnectionError("the file at the server is shorter than what had arrived") from error
    with response:
        start = _start(response, part, size)
        if start == 0:
            part.write_bytes(b"")  # before the tag: at no time may it name another version than the bytes are of
            tag.write_text(_version(response))
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        _copy(response, part, start, total, verbose)
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection ended after {part.stat().st_size} of {total} bytes")


def _resume(size, tag, md5):
    """Return the headers that ask for what comes after `size` bytes, if one can tell that it is of the same file."""
    version = tag.read_text() if tag.is_file() else ""
    if not size or not (version or md5):
        return {}
    return {"Range": f"bytes={size}-", **({"If-Range": version} if version else {})}


def _version(response):
    """Return what names this version of the file in later requests, or nothing."""
    entity = response.headers.get("ETag", "")
    return entity if entity.startswith('"') else response.headers.get("Last-Modified", "")


def _start(response, part, size):
    """Return where in the file the answer starts: after the `size` bytes of `part`, or at 0."""
    if response.status != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != size:
        part.unlink(missing_ok=True)
        raise ConnectionError("the server sent another part of the file than was asked for")
    return int(match[1])


def _copy(response, part, start, total, verbose):
    with (
        open(part, "ab") as stream,
        tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.stem, disable=not verbose) as progress,
    ):
        while block := response.read(_BLOCK):
            stream.write(block)
            progress.update(len(block))


def _accept(url, part, path, md5):
    """Give the download its name, or delete it if it has not the checksum that is known of it."""
    tag, record = _beside(part, ".tag"), _beside(path, ".sha256")
    kind, expected = _known_checksum(record, md5)
    found = _digest(part, kind)
    if expected is None:
        record.write_text(found + "\n")
    elif found != expected:
        part.unlink()
        tag.unlink(missing_ok=True)
        raise OSError(
            f"the {kind} checksum of {url} must be {expected}, got {found}; the download is deleted. Call again; if it "
            f"stays so, the file has changed where it comes from{_to_accept(record, md5)}."
        )
    os.replace(part, path)
    tag.unlink(missing_ok=True)


def _check_existing(path, md5):
    """Raise unless a file has its checksum: the published one, or that of the first time it was seen."""
    record = _beside(path, ".sha256")
    kind, expected = _known_checksum(record, md5)
    found = _digest(path, kind)
    if expected is None:
        record.write_text(found + "\n")
    elif found != expected:
        raise OSError(
            f"the {kind} checksum of {path} must be {expected}, got {found}. Delete the file"
            f"{'' if md5 else f' and {record}'} to download it again."
        )


def _known_checksum(record, md5):
    """Return the kind of checksum, and the published one or that of the first time; None if there is neither."""
    if md5 is not None:
        return "md5", md5
    return "sha256", record.read_text().strip() if record.is_file() else None


def _to_accept(record, md5):
    return "" if md5 else f": delete {record} to accept it"


def _digest(path, kind):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
