"""Files that are there as a whole or not at all, and reads that follow no links."""

import os
import stat
import uuid
from contextlib import contextmanager
from pathlib import Path


def sync_file(path):
    """Return once what was written to `path` is on the disk."""
    _sync(path, os.O_RDWR)


def sync_folder(path):
    """Return once the names in the folder `path` are on the disk; Windows has no such call."""
    if os.name == "posix":
        _sync(path, os.O_RDONLY)


def _sync(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unused_beside(path):
    """Return a hidden path beside `path` that nothing has."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


@contextmanager
def replaced(path, *, overwrite):
    """Yield a path beside `path` to write to; on success it becomes `path`, on failure nothing is left of it."""
    path = Path(path)
    _check_absent(path, overwrite)
    staged = unused_beside(path)
    try:
        yield staged
        sync_file(staged)
        if overwrite:
            os.replace(staged, path)
        else:
            _put_new(staged, path)
        sync_folder(path.parent)
    finally:
        staged.unlink(missing_ok=True)


def _check_absent(path, overwrite=False):
    if path.exists() and not overwrite:
        raise FileExistsError(f"path must not exist, got {os.fspath(path)!r}. Pass overwrite=True to replace it.")


def _put_new(staged, path):
    """Give the file `staged` its name, unless somebody has taken it since the work began."""
    try:
        os.link(staged, path)
    except FileExistsError:
        _check_absent(path)
        raise
    except OSError:  # a file system without links: between these two lines nobody looks
        _check_absent(path)
        os.replace(staged, path)


def read_regular_file(path, largest):
    """Return the bytes of a file that is no link, pipe or device, and no larger than `largest` bytes.

    Raises
    ------
    ValueError
        If it is not such a file.
    FileNotFoundError
        If there is none.
    """
    # Not O_NOFOLLOW alone: opening a pipe would wait for ever.
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise ValueError(f"{path.name} must be a regular file, got a link, folder or device.")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise ValueError(f"{path.name} must have at most {largest} bytes, got {size}.")
        return file.read(size)
