"""Fetches the public data sets: downloads, checks, unpacks and loads them."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

from semid.base._checks import check_option
from semid.base._typing import StrPath
from semid.datasets._amazon import load_amazon_reviews
from semid.datasets._download import download, get_data_home
from semid.datasets._log_data import LogData
from semid.datasets._movielens import load_movielens


class _Archive(NamedTuple):
    folder: str  # inside the zip file
    md5: str  # as GroupLens publishes it, in the file of this name and .md5


_MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens"
_MOVIELENS = {
    "100k": _Archive("ml-100k", "0e33842e24a9c977be4e0107933c0723"),
    "1m": _Archive("ml-1m", "c4d9eecfca2ab87c1945afe126590906"),
    "10m": _Archive("ml-10M100K", "ce571fd55effeba0271552578f2648bd"),
    "20m": _Archive("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    "25m": _Archive("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    "32m": _Archive("ml-32m", "d472be332d4daa821edc399621853b57"),
}
_AMAZON_URL = "https://mcauleylab.ucsd.edu/public_datasets/data"
_AMAZON = {
    (2014, "5core"): "amazon/categoryFiles/reviews_{category}_5.json.gz",
    (2014, "all"): "amazon/categoryFiles/reviews_{category}.json.gz",
    (2014, "metadata"): "amazon/categoryFiles/meta_{category}.json.gz",
    (2018, "5core"): "amazon_v2/categoryFilesSmall/{category}_5.json.gz",
    (2018, "all"): "amazon_v2/categoryFiles/{category}.json.gz",
    (2018, "metadata"): "amazon_v2/metaFiles2/meta_{category}.json.gz",
    (2023, "all"): "amazon_2023/raw/review_categories/{category}.jsonl.gz",
    (2023, "metadata"): "amazon_2023/raw/meta_categories/meta_{category}.jsonl.gz",
}


def fetch_movielens(
    version: Literal["100k", "1m", "10m", "20m", "25m", "32m"] = "100k",
    *,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    verbose: bool = False,
    on_bad_lines: Literal["error", "warn"] = "error",
    on_repeats: Literal["keep", "warn", "drop"] = "keep",
) -> LogData:
    """Download a MovieLens data set, unless it is there, and load it.

    The zip file must have the md5 checksum that GroupLens publishes. It is kept, and unpacked beside it. A download
    that broke off goes on where it stopped. The README of each data set states GroupLens's conditions of use.

    Parameters
    ----------
    version : {"100k", "1m", "10m", "20m", "25m", "32m"}, default "100k"
        Which data set, by its number of ratings.
    data_home : path or None, default None
        Folder of downloaded data sets, see `get_data_home`; this one is in ``movielens``.
    download_if_missing : bool, default True
        Whether to download what is not there, rather than raise.
    n_retries : int, default 3
        How often to try again after a broken connection, a timeout or an error of the server.
    delay : float, default 1.0
        Seconds before the first new try; twice as long before each further one.
    verbose : bool, default False
        Whether to show the progress of the download.
    on_bad_lines : {"error", "warn"}, default "error"
        As in `load_movielens`.
    on_repeats : {"keep", "warn", "drop"}, default "keep"
        As in `load_movielens`.

    Returns
    -------
    log : LogData
        As from `load_movielens`.

    Raises
    ------
    OSError
        If the download is not possible or its checksum is wrong; says where to put the file instead.

    Examples
    --------
    >>> from semid.datasets import fetch_movielens
    >>> log = fetch_movielens("100k")  # doctest: +SKIP
    >>> len(log.interactions)  # doctest: +SKIP
    100000
    """
    check_option("version", version, tuple(_MOVIELENS))
    archive = _MOVIELENS[version]
    home = get_data_home(data_home) / "movielens"
    folder = home / archive.folder
    if not folder.is_dir():
        name = f"ml-{version}.zip"
        zip_path = download(
            f"{_MOVIELENS_URL}/{name}",
            home / name,
            md5=archive.md5,
            download_if_missing=download_if_missing,
            n_retries=n_retries,
            delay=delay,
            verbose=verbose,
        )
        _unpack(zip_path, folder)
    return load_movielens(folder, on_bad_lines=on_bad_lines, on_repeats=on_repeats)


def fetch_amazon_reviews(
    category: str,
    *,
    year: Literal[2014, 2018, 2023] = 2014,
    subset: Literal["5core", "all"] = "5core",
    metadata: bool = True,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    verbose: bool = False,
    review_text: bool = False,
    on_bad_lines: Literal["error", "warn"] = "error",
    on_repeats: Literal["keep", "warn", "drop"] = "keep",
) -> LogData:
    """Download the Amazon reviews of a category, unless they are there, and load them.

    No checksums of these files are published. The SHA-256 of the first download is written down beside each file, and
    later calls compare with it: that tells a file that has changed since, not one that was wrong from the start. A
    download that broke off goes on where it stopped.

    Parameters
    ----------
    category : str
        As in the name of the file: ``"Beauty"``, ``"Toys_and_Games"`` (2014), ``"All_Beauty"`` (2018 and 2023).
    year : {2014, 2018, 2023}, default 2014
        Which collection.
    subset : {"5core", "all"}, default "5core"
        The reviews as published of users and items with at least 5 each, which there are for 2014 and 2018; or all of
        them, of which `LogData.k_core` makes a core.
    metadata : bool, default True
        Whether to fetch what is known of the items as well. The file is of all items, and may be large.
    data_home : path or None, default None
        Folder of downloaded data sets, see `get_data_home`; these are in ``amazon``.
    download_if_missing : bool, default True
        As in `fetch_movielens`.
    n_retries : int, default 3
        As in `fetch_movielens`.
    delay : float, default 1.0
        As in `fetch_movielens`.
    verbose : bool, default False
        Whether to show the progress of the downloads.
    review_text : bool, default False
        As in `load_amazon_reviews`.
    on_bad_lines : {"error", "warn"}, default "error"
        As in `load_amazon_reviews`.
    on_repeats : {"keep", "warn", "drop"}, default "keep"
        As in `load_amazon_reviews`.

    Returns
    -------
    log : LogData
        As from `load_amazon_reviews`.

    Raises
    ------
    OSError
        If a download is not possible or a file has changed; says where to put the file instead.

    Examples
    --------
    >>> from semid.datasets import fetch_amazon_reviews
    >>> log = fetch_amazon_reviews("Beauty")  # doctest: +SKIP
    >>> len(log.interactions)  # doctest: +SKIP
    198502
    """
    check_option("year", year, (2014, 2018, 2023))
    check_option("subset", subset, ("5core", "all"))
    if (year, subset) not in _AMAZON:
        raise ValueError(f"subset must be 'all' for year={year}, got {subset!r}. Make a core with .k_core(5).")
    if not isinstance(category, str) or not re.fullmatch(r"[A-Za-z0-9_&]+", category):
        raise ValueError(f"category must be as in the name of the file, such as 'Toys_and_Games', got {category!r}.")
    home = get_data_home(data_home) / "amazon" / str(year)
    options = {
        "download_if_missing": download_if_missing,
        "n_retries": n_retries,
        "delay": delay,
        "verbose": verbose,
    }
    paths = [
        _download_into(home, f"{_AMAZON_URL}/{_AMAZON[year, kind]}".format(category=category), options)
        for kind in ([subset, "metadata"] if metadata else [subset])
    ]
    return load_amazon_reviews(*paths, review_text=review_text, on_bad_lines=on_bad_lines, on_repeats=on_repeats)


def _download_into(home, url, options):
    return download(url, home / url.rpartition("/")[2], **options)


def _unpack(zip_path, folder):
    """Unpack a zip file beside itself, all or nothing."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    try:
        with zipfile.ZipFile(zip_path) as archive:
            archive.extractall(temporary)  # leaves out what would lead elsewhere, such as ".."
        if not (temporary / folder.name).is_dir():
            raise OSError(
                f"{zip_path} must hold the folder {folder.name}, it does not. Delete the file to download anew."
            )
        (temporary / folder.name).rename(folder)
    finally:
        shutil.rmtree(temporary)
