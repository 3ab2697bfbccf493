"""Fits of processes that torchrun starts: the codes and click models of one process, and errors that reach them all."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from semid.datasets import make_items
from semid.io import load

pytestmark = pytest.mark.distributed

SHARED_FITS = Path(__file__).with_name("shared_fits.py")
SHARED_CLICK_FITS = Path(__file__).with_name("shared_click_fits.py")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
DRAWN = "VQ-VAE, seeds drawn"  # by rank 0: the same on all ranks, another one in every run


def _run(program, *arguments, n_processes=2, folder=None):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command = [sys.executable, *(launcher if n_processes > 1 else ()), str(program), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=250, check=False, env=environment, cwd=folder
    )


def _codes(folder, n_processes, n_shares, program=SHARED_FITS):
    """Return the codes of each rank, or what its click models have learned, by case."""
    finished = _run(program, folder, n_shares, n_processes=n_processes)
    assert finished.returncode == 0, finished.stderr
    return [dict(np.load(folder / f"{n_processes}_{n_shares}_{rank}.npz")) for rank in range(n_processes)]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    return _codes(tmp_path_factory.mktemp("two"), 2, 2)


def test_both_ranks_have_the_same_codes(of_two):
    for name, codes in of_two[0].items():
        np.testing.assert_array_equal(codes, of_two[1][name], err_msg=name)


@pytest.mark.parametrize(("n_processes", "n_shares"), [(1, 2), (2, 4), (4, 4)])
def test_codes_do_not_depend_on_how_many_processes_compute_the_shares(tmp_path, of_two, n_processes, n_shares):
    expected = of_two[0] if n_shares == 2 else _codes(tmp_path, 1, n_shares)[0]
    for codes_of_rank in _codes(tmp_path, n_processes, n_shares):
        for name in expected.keys() - {DRAWN}:
            np.testing.assert_array_equal(codes_of_rank[name], expected[name], err_msg=name)


def test_codes_are_those_of_a_plain_fit(tmp_path, of_two):
    plain = _codes(tmp_path, 1, 1)[0]
    same = {name: (plain[name] == of_two[0][name]).all(axis=1).mean() for name in plain.keys() - {DRAWN}}
    # Another order of summation; over so few epochs it moves next to nothing.
    assert min(same.values()) > 0.98, same


@pytest.fixture(scope="module")
def click_models_of_two(tmp_path_factory):
    return _codes(tmp_path_factory.mktemp("clicks"), 2, 2, SHARED_CLICK_FITS)


def test_both_ranks_have_the_same_click_models(click_models_of_two):
    assert {name.split(":")[0] for name in click_models_of_two[0]} >= {"DeepFM", "DIN", "pipeline", "DeepFM, files"}
    for name, array in click_models_of_two[0].items():
        np.testing.assert_array_equal(array, click_models_of_two[1][name], err_msg=name)


@pytest.mark.parametrize(("n_processes", "n_shares"), [(1, 2), (2, 4)])
def test_click_models_do_not_depend_on_how_many_processes_compute_the_shares(
    tmp_path, click_models_of_two, n_processes, n_shares
):
    expected = click_models_of_two[0] if n_shares == 2 else _codes(tmp_path, 1, n_shares, SHARED_CLICK_FITS)[0]
    for of_rank in _codes(tmp_path, n_processes, n_shares, SHARED_CLICK_FITS):
        for name, array in expected.items():
            if "seed drawn" not in name:
                np.testing.assert_array_equal(of_rank[name], array, err_msg=name)


def test_click_models_are_those_of_a_plain_fit(tmp_path, click_models_of_two):
    plain = _codes(tmp_path, 1, 1, SHARED_CLICK_FITS)[0]
    for name, array in plain.items():
        if name.endswith("probabilities") and "drawn" not in name and "dropout" not in name:  # of other masks
            np.testing.assert_allclose(click_models_of_two[0][name], array, atol=2e-3, err_msg=name)


def _program(path, body):
    start = """
        import os, sys
        import numpy as np
        import torch
        from semid.datasets import make_items
        from semid.tokenizers import RQVAETokenizer, distributed_fit

        torch.set_num_threads(1)
        X = make_items(n_items=300, n_features=16, random_state=0).embeddings
        tokenizer = RQVAETokenizer(codebook_size=8, max_iter=4, random_state=0)
    """
    path.write_text(textwrap.dedent(start) + textwrap.dedent(body))
    return path


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("X = X[ranks.rank:]", "data"),
        ("X = X + ranks.rank", "data"),
        ("tokenizer.set_params(max_iter=4 + ranks.rank)", "max_iter"),
    ],
)
def test_ranks_that_were_not_given_the_same_all_say_so(tmp_path, change, named):
    body = f"""
        with distributed_fit() as ranks:
            {change}
            try:
                tokenizer.fit(X)
            except ValueError as error:
                open(os.path.join(sys.argv[1], f"error{{ranks.rank}}"), "w").write(str(error))
    """
    finished = _run(_program(tmp_path / "program.py", body), tmp_path)
    assert finished.returncode == 0, finished.stderr
    for rank in range(2):
        message = (tmp_path / f"error{rank}").read_text()
        assert message.startswith("all 2 processes of a shared fit must be given the same, got different")
        assert named in message


def test_a_folder_that_cannot_be_written_to_is_reported_by_all_ranks(tmp_path):
    (tmp_path / "file").touch()
    body = """
        with distributed_fit() as ranks:
            try:
                tokenizer.set_params(checkpoint_dir=os.path.join(sys.argv[1], "file", "folder")).fit(X)
            except OSError as error:
                open(os.path.join(sys.argv[1], f"error{ranks.rank}"), "w").write(str(error))
    """
    finished = _run(_program(tmp_path / "program.py", body), tmp_path)
    assert finished.returncode == 0, finished.stderr
    for rank in range(2):
        assert "checkpoint_dir must be a folder with room for" in (tmp_path / f"error{rank}").read_text()


def test_a_killed_fit_goes_on_with_the_same_codes_on_another_number_of_processes(tmp_path):
    body = """
        import signal
        from semid.engine._checkpoints import Checkpoint

        class Killing(Checkpoint):
            def save(self, export):
                super().save(export)
                if export()["progress"]["records"][1:]:
                    os.kill(os.getpid(), signal.SIGKILL)

        if len(sys.argv) == 3:
            import semid.tokenizers._autoencoder
            semid.tokenizers._autoencoder.Checkpoint = Killing
        with distributed_fit(n_shares=2) as ranks:
            if len(sys.argv) > 1:
                tokenizer.set_params(checkpoint_dir=sys.argv[1])
            tokenizer.fit(X)
        if ranks.rank == 0:
            np.save("codes.npy", tokenizer.transform(X))
    """
    program = _program(tmp_path / "program.py", body.replace('"codes.npy"', repr(str(tmp_path / "codes.npy"))))
    assert _run(program, n_processes=1).returncode == 0
    uninterrupted = np.load(tmp_path / "codes.npy")
    (tmp_path / "codes.npy").unlink()

    assert _run(program, tmp_path / "checkpoints", "kill").returncode != 0
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1
    finished = _run(program, tmp_path / "checkpoints", n_processes=1)
    assert finished.returncode == 0, finished.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), uninterrupted)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_program_of_the_page_on_scale_runs(tmp_path):
    section = PAGE.read_text(encoding="utf-8").split("## Fitting under torchrun")[1]
    (tmp_path / "fit.py").write_text(re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)[1])
    X = make_items(n_items=400, n_features=8, random_state=0).embeddings
    np.save(tmp_path / "embeddings.npy", X)
    finished = _run("fit.py", folder=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert load(tmp_path / "tokenizer").score(X) > 0.5


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_have_the_same_codes(tmp_path):
    of_ranks = _codes(tmp_path, 2, 2)  # device="auto" is a GPU of its own for each rank
    for name, codes in of_ranks[0].items():
        np.testing.assert_array_equal(codes, of_ranks[1][name], err_msg=name)
