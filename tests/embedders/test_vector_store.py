"""Vectors kept on the disk: none lost, none twice encoded."""

import os
import stat

import joblib
import numpy as np
import pytest

from semid.embedders._vector_store import VectorStore


def _vectors(texts):
    return np.array([[len(text), text.count("a")] for text in texts], dtype=np.float32)


def _store(folder, texts):
    VectorStore(folder).encode(texts, _vectors)


def _refuse(texts):
    raise AssertionError(f"{texts} are encoded again")


def test_only_new_texts_are_encoded(tmp_path):
    read = []
    store = VectorStore(tmp_path)
    for texts in (["bag", "cab"], ["cab", "hedge", "bag"], ["hedge", "", "\ud800"]):
        vectors = store.encode(texts, lambda new: (read.extend(new), _vectors(new))[1])
        np.testing.assert_array_equal(vectors, _vectors(texts))
    assert read == ["bag", "cab", "hedge", "", "\ud800"]


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    texts = [f"text {n}" for n in range(40)]
    joblib.Parallel(2)(joblib.delayed(_store)(tmp_path, texts[start : start + 10]) for start in (0, 5, 10, 20, 30))
    np.testing.assert_array_equal(VectorStore(tmp_path).encode(texts, _refuse), _vectors(texts))
    assert not list(tmp_path.glob("*.part"))


def _cut(path):
    path.write_bytes(path.read_bytes()[:50])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-600] ^= 1
    path.write_bytes(data)


def _shorten(path):
    with np.load(path) as file:
        digests, vectors = file["digests"], file["vectors"]
    np.savez(path, digests=digests, vectors=vectors[:-1])


def _flatten(path):
    with np.load(path) as file:
        digests, vectors = file["digests"], file["vectors"]
    np.savez(path, digests=digests, vectors=vectors[:, 0])


@pytest.mark.parametrize("damage", [_cut, _flip, _shorten, _flatten, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_told_of_and_its_texts_are_encoded_again(tmp_path, damage):
    texts = [f"text {n}" for n in range(40)]
    _store(tmp_path, texts[:20])
    (path,) = tmp_path.glob("*.npz")
    _store(tmp_path, texts[20:])
    damage(path)
    read = []
    with pytest.warns(UserWarning, match=f"{path.name} cannot be read and are left out"):
        vectors = VectorStore(tmp_path).encode(texts, lambda new: (read.extend(new), _vectors(new))[1])
    np.testing.assert_array_equal(vectors, _vectors(texts))
    assert read == texts[:20]
    # The new file has the texts of the damaged one, and so its name.
    np.testing.assert_array_equal(VectorStore(tmp_path).encode(texts, _refuse), _vectors(texts))


def test_a_failure_leaves_no_file_behind(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        _store(tmp_path, ["bag"])
    assert not list(tmp_path.iterdir())


def test_files_may_be_read_by_those_whom_the_umask_lets(tmp_path):
    _store(tmp_path, ["bag"])
    (path,) = tmp_path.glob("*.npz")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
