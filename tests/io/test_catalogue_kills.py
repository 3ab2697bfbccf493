"""Writers that end at any moment: what they leave is the catalogue as it was, or as it was to be."""

import os
import shutil
import signal
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from catalogue_writer import SIZE, build, made, read_until_told, write_until_killed

from semid.io import Catalogue, _generation_files, save
from semid.io._generation import read_manifest
from semid.tokenizers import ResidualKMeansTokenizer


def _assert_whole(catalogue):
    """Every generation is what it was when it was written, and says of its parent what is so."""
    numbers = catalogue.generations
    for number in numbers:
        generation = catalogue.open(number)
        generation.verify()
        if number - 1 not in numbers:
            continue
        parent = catalogue.open(number - 1)
        assert generation.about["parent"] == {"generation": number - 1, "sha256": read_manifest(parent.folder)[1]}
        diff = catalogue.diff(number - 1, number)
        pd.testing.assert_frame_equal(generation.changes, diff.changes, check_dtype=False)
        if generation.about["made_by"] == "append":
            np.testing.assert_array_equal(generation.codes_of(parent.item_ids), parent.codes)
    return numbers


class Killed(BaseException):
    """Takes the place of a kill inside this process."""


STEPS = [
    (os, "rename"),
    (os, "link"),
    (_generation_files, "save"),
    (_generation_files, "write_codes"),
    (_generation_files, "sync_file"),
    (_generation_files, "sync_folder"),
    (pd.DataFrame, "to_parquet"),
    (Path, "mkdir"),
    (Path, "write_bytes"),
]


def _dying_in_step(patch, n, *, torn):
    """Let step n, counted from 0, raise in its place, or when it has written half; nothing is cleared away."""
    steps = iter(range(n))

    def dying(function):
        def step(*args, **kwargs):
            if next(steps, None) is None:
                path = next((arg for arg in args if isinstance(arg, Path)), None)
                if torn and function.__name__ in ("to_parquet", "write_codes", "_write_parquet", "write_bytes"):
                    function(*args, **kwargs)
                    os.truncate(path, path.stat().st_size // 2)
                raise Killed
            return function(*args, **kwargs)

        return step

    for owner, name in STEPS:
        patch.setattr(owner, name, dying(getattr(owner, name)))
    patch.setattr(shutil, "rmtree", lambda *_, **__: None)


@pytest.mark.parametrize("torn", [False, True], ids=["before a step", "half-way in it"])
def test_a_writer_that_dies_in_any_step_leaves_the_old_generation_whole(tmp_path, torn):
    folder = tmp_path / "catalogue"
    ids, codes = made(0, 60)
    catalogue = Catalogue.build(folder, ids[:40], codes=codes[:40], codebook_sizes=[SIZE] * 3)
    before = catalogue.open()
    for n in range(100):
        with pytest.MonkeyPatch.context() as patch:
            _dying_in_step(patch, n, torn=torn)
            try:
                catalogue.append(ids, codes=codes)
                break  # it has fewer steps than that
            except Killed:
                pass
        after = Catalogue(folder).open()
        assert (after.number == 1) == (len(after) == 40)
        _assert_whole(catalogue)
        if after.number == 2:  # published, and killed before anything else
            shutil.rmtree(after.folder)
    assert n > 8
    np.testing.assert_array_equal(catalogue.open().codes_of(ids[:40]), before.codes_of(ids[:40]))
    catalogue.refit(ids, codes=codes)  # and what was begun is gone
    left = sorted(path.name for path in folder.iterdir())
    assert left == [".writing", *(f"generation-{number:06d}" for number in (1, 2, 3))]


@pytest.fixture
def processes(monkeypatch):
    """Start processes in milliseconds, which have imported the package already."""
    paths = [os.fspath(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))  # the server looks nowhere else
    context = get_context("forkserver")
    context.set_forkserver_preload(["catalogue_writer", "semid.io._structure"])
    return context


@pytest.mark.slow
@pytest.mark.parametrize("with_tokenizer", [False, True], ids=["codes", "tokenizer"])
def test_kill_9_at_twenty_moments_leaves_a_whole_catalogue_under_a_reader(processes, tmp_path, rng, with_tokenizer):
    tokenizer = None
    if with_tokenizer:
        X = np.random.default_rng(1).normal(size=(500, 8)).astype(np.float32)
        tokenizer = save(ResidualKMeansTokenizer(3, SIZE, random_state=0).fit(X), tmp_path / "tokenizer")
    folder, done, failed = tmp_path / "catalogue", tmp_path / "done", tmp_path / "failed"
    catalogue = build(folder, tokenizer)
    reader = processes.Process(target=read_until_told, args=(folder, done, failed))
    reader.start()
    published, n_amid = [1], 0
    for seed in range(20):
        writer = processes.Process(target=write_until_killed, args=(folder, seed))
        writer.start()
        started, deadline = catalogue.generations[-1], time.monotonic() + 120
        while catalogue.generations[-1] == started and time.monotonic() < deadline:
            time.sleep(0.002)  # until it writes
        time.sleep(rng.uniform(0, 0.4))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        n_amid += any(path.name.startswith(".generation") for path in folder.iterdir())
        numbers = _assert_whole(catalogue)
        assert numbers[-1] > published[-1]
        published.append(numbers[-1])
    done.touch()
    reader.join(30)
    assert not failed.exists()
    assert reader.exitcode == 0
    seen = done.read_text()
    sys.stdout.write(f"{published[-1]} generations, {seen} of them read; {n_amid} of 20 kills while one was written\n")
    assert n_amid > 0
