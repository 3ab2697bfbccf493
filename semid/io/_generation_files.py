"""How a generation comes to be: written beside its place, manifest last, and put there in one step."""

import contextlib
import errno
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid.io._artifact import save
from semid.io._files import sync_file, sync_folder, unused_beside
from semid.io._generation import CHANGES, FORMAT, ITEMS, MANIFEST, TOKENIZER, VERSION, frame_of_prefixes, read_manifest
from semid.io._mapping import _write_parquet as write_codes
from semid.io._prefixes import prefix_tables, sorting_order
from semid.io._sealed import sealed, sha256_of, versions

LOCK = ".writing"
_NAME = re.compile(r"generation-([0-9]{6,})")
_LEFT_BEHIND = re.compile(r"\.generation-[0-9]{6,}\.[0-9a-f]{32}")


class Content(NamedTuple):
    """What a new generation holds."""

    item_ids: np.ndarray  # (n_items,)
    codes: np.ndarray  # (n_items, n_codebooks) int64
    codebook_sizes: list[int]
    tokenizer: Any  # the estimator that is to be saved, None for none or that of `kept`
    changes: pd.DataFrame
    kept: Path | None  # the generation from which files are taken over
    kept_names: tuple[str, ...]  # what of it: names of files, and of folders with a slash
    about: dict[str, Any]  # what else the manifest says


def folder_of(catalogue, number):
    return catalogue / f"generation-{number:06d}"


def numbers_in(catalogue):
    """Return the numbers of the generations in a folder, in increasing order."""
    names = {path.name for path in catalogue.iterdir()}
    numbers = sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)
    return [number for number in numbers if folder_of(catalogue, number).name in names]


def check_new(folder):
    """Raise unless a catalogue can be made in `folder`: it is not there, or empty but for what a killed build left."""
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"folder must be in a folder that exists, got {os.fspath(folder)!r}. Create that first."
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"folder must not be a file, got {os.fspath(folder)!r}. Pass another.")
    if numbers_in(folder):
        raise FileExistsError(
            f"folder must not hold a catalogue, got {os.fspath(folder)!r}. Go on from it with Catalogue(folder).append "
            "or refit, or pass another folder."
        )
    others = sorted(path.name for path in folder.iterdir() if path.name != LOCK and not path.name.startswith("."))
    if others:
        raise FileExistsError(f"folder must be empty, got {os.fspath(folder)!r} with {others[:3]}. Pass another.")


@contextlib.contextmanager
def writing(catalogue):
    """Hold the right to write to a catalogue, and clear away what writers that were killed have left behind.

    The kernel gives the lock back when a process ends, however it ends. Where there are no such locks, what a writer
    has begun stays, and of two that write at once the later one fails as it puts its generation in place.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(catalogue / LOCK, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):  # a file system without locks
                yield
                return
            raise BlockingIOError(
                error.errno,
                f"the catalogue must have one writer at a time, and another process is writing to "
                f"{os.fspath(catalogue)!r}. Call again when it is done",
            ) from error
        for path in catalogue.iterdir():
            if _LEFT_BEHIND.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile would hold it on


def publish(catalogue, number, content):
    """Write a generation beside its place, and give it its name when it is whole and on the disk; return the folder."""
    folder = folder_of(catalogue, number)
    staged = unused_beside(folder)
    staged.mkdir()
    try:
        _write(staged, number, content)
        try:
            os.rename(staged, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise FileExistsError(
                f"generation {number} must be new, another process has written it meanwhile. Call again, to go on "
                "from that one."
            ) from error
        sync_folder(catalogue)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def withdraw(catalogue, number):
    """Remove a generation: in one step from view, then from the disk."""
    folder = folder_of(catalogue, number)
    hidden = unused_beside(folder)
    os.rename(folder, hidden)
    sync_folder(catalogue)
    shutil.rmtree(hidden, ignore_errors=True)


def _write(staged, number, content):
    kept_files = _take_over(staged, content)
    if content.tokenizer is not None:
        save(content.tokenizer, staged / TOKENIZER)
    if ITEMS not in kept_files:
        _write_items(staged, content)
    content.changes.to_parquet(staged / CHANGES, index=False)
    names = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
    files = {name: kept_files.get(name) or _described(staged / name) for name in names}
    manifest = _manifest(number, content) | {"files": files}
    (staged / MANIFEST).write_bytes(sealed(manifest))
    for name in (CHANGES, MANIFEST):
        sync_file(staged / name)
    for folder in (staged / TOKENIZER, staged):
        if folder.is_dir():
            sync_folder(folder)


def _write_items(staged, content):
    order = sorting_order(content.codes)
    codes = content.codes[order]
    write_codes(staged / ITEMS, content.item_ids[order], codes)
    sync_file(staged / ITEMS)
    for length, table in enumerate(prefix_tables(codes), start=1):
        path = staged / f"prefixes{length}.parquet"
        frame_of_prefixes(table).to_parquet(path, index=False)
        sync_file(path)


def _take_over(staged, content):
    """Give files of the generation `kept` a second name here, or copy them; return their entries in its manifest."""
    if content.kept is None:
        return {}
    files = read_manifest(content.kept)[0]["files"]
    wanted = {name: entry for name, entry in files.items() if name.startswith(content.kept_names)}
    for name in wanted:
        path = staged / name
        path.parent.mkdir(exist_ok=True)
        try:
            os.link(content.kept / name, path)
        except OSError:  # a file system without links
            shutil.copyfile(content.kept / name, path)
            sync_file(path)
    return wanted


def _manifest(number, content):
    sizes = [int(size) for size in content.codebook_sizes]
    return {
        "format": FORMAT,
        "version": VERSION,
        "written_with": versions(),
        "generation": number,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "n_items": len(content.item_ids),
        "codebook_sizes": sizes,
        "level_offsets": np.cumsum([0, *sizes[:-1]]).tolist(),
        "vocabulary_size": sum(sizes),
        **content.about,
    }


def _described(path):
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}
