"""The GPU benchmark, on so few items and without a GPU, and its counts against what torch counts."""

import json
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from semid.nn import _row_sparse

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The script, imported as python does when it is run, and forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("gpu")
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- gpu: begin -->\nold\n<!-- gpu: end -->\nafter\n")
    return path


@pytest.fixture
def arguments(tmp_path, page):
    files = ["--results", str(tmp_path / "results.jsonl"), "--output", str(page)]
    return [str(tmp_path / "data"), "--small", "--device", "cpu", "--threads", "1", *files]


class BytesMoved(TorchDispatchMode):
    """Counts the bytes of what operators read and write; views cost nothing."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        if not operator.is_view and operator.overloadpacket.__name__ != "detach":
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(tensor.nbytes for tensor in tensors)
        return result


@pytest.mark.slow
def test_the_whole_script_runs_and_a_second_run_measures_what_has_changed(gpu, arguments, page, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "version", lambda: "semid 1")
    assert gpu.main(arguments) == 0
    results = (tmp_path / "results.jsonl").read_text()
    records = [json.loads(line) for line in results.splitlines()]
    assert [record["part"] for record in records if "error" in record] == []
    assert {record["part"] for record in records} == set(gpu.PARTS)
    assert all(record["equal"] == 1 for record in records if record["part"] == "codes")

    text = page.read_text()
    assert text.startswith("before\n<!-- gpu: begin -->\n")
    assert "figures that say nothing but that the script runs" in text
    assert all(f"\n| {record['name']} |" in text for record in records if record["part"] != "limits")
    assert gpu.main(arguments) == 0
    assert (tmp_path / "results.jsonl").read_text() == results

    monkeypatch.setattr(gpu, "version", lambda: "semid 2")
    gpu.main([*arguments, "--only", "limits"])
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == len(records) + 1


def test_without_a_gpu_it_says_so_and_fails(gpu, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["folder"]) == 1
    assert "needs a GPU, and torch finds none here" in capsys.readouterr().err
    assert not Path("folder").exists()
    with pytest.raises(SystemExit):
        gpu.main(["folder", "--device", "cpu"])
    assert "--device cpu must go with --small" in capsys.readouterr().err


def test_what_should_not_be_is_said_and_fails_the_run(gpu, arguments, page, monkeypatch):
    def raises(card, sizes):
        raise RuntimeError("out of memory\nand a long explanation")

    monkeypatch.setattr(gpu, "measure_limits", raises)
    wrong = {"items": 9, "equal": 0.9, "ties": 0, "in_doubt": 0, "beyond": 1, "largest_lead": 0.1}
    monkeypatch.setattr(
        gpu, "compare_codes", lambda *args: wrong | {"rows_per_second": 1.0, "rows_per_second_cpu": 1.0}
    )
    waits = {"waits_per_step": 2.0, "places": ["_training.py:7 (2)"], "counted": True}
    monkeypatch.setattr(gpu, "count_waits", lambda *args: waits)
    held = {"before": 0, "after": 2**21, "with_module": 2**21, "without_search": 0}
    monkeypatch.setattr(gpu, "measure_leftovers", lambda *args: held)
    assert gpu.main([*arguments, "--only", "limits", "codes", "waits", "memory"]) == 1
    said = page.read_text().splitlines()
    assert "- limits: RuntimeError: out of memory" in said
    assert "- RQ-VAE: only 90.0000% of the items have the codes of the CPU." in said
    assert "- RQ-VAE: a step waits for the card, in _training.py:7 (2)." in said
    assert "- DCNv2: 2,097,152 bytes stay on the card after GridSearchCV." in said


@pytest.mark.parametrize("name", ["RQ-VAE", "MoC"])
def test_the_work_of_a_tokenizer_is_what_torch_counts(gpu, rng, name):
    sizes = gpu.SMALL._replace(architecture={"hidden_layer_sizes": (48, 24), "latent_dim": 8, "codebook_size": 16})
    tokenizer = gpu.tokenizers(gpu.Card("cpu"), sizes, max_iter=1)[name].set_params(batch_size=256)
    X = rng.standard_normal((2 * 256, 200), dtype=np.float32)
    operations, moved = _counted_in_an_epoch(gpu, lambda: tokenizer.fit(X))
    work = gpu.work_of_tokenizer(tokenizer, is_resident=True)
    assert operations / 2 == work.operations
    assert work.bytes < moved / 2 < 1.6 * work.bytes  # what an estimate of the least may be off
    assert work.copied == 0
    assert gpu.work_of_tokenizer(tokenizer, is_resident=False).copied == 256 * 200 * 4


def test_the_work_of_dcnv2_is_what_torch_counts(gpu, monkeypatch):
    as_on_a_card = _row_sparse._distinct_without_waiting
    monkeypatch.setattr(_row_sparse, "distinct_rows_of", lambda table: as_on_a_card)
    X, y = gpu.impressions(2 * 1024, n_ids=500)
    model = gpu.click_model(gpu.Card("cpu"), batch_size=1024, max_iter=1)
    operations, moved = _counted_in_an_epoch(gpu, lambda: model.fit(X, y))
    work = gpu.work_of_dcnv2(model, 1024)
    assert operations / 2 == pytest.approx(work.operations, rel=0.01)  # torch leaves the last layer out
    assert work.bytes < moved / 2 < 1.6 * work.bytes


def _counted_in_an_epoch(gpu, fit):
    """Return the operations of matrix products and the bytes moved in the epoch of ``fit()``, as torch counts."""
    flops, moved = FlopCounterMode(display=False), BytesMoved()
    for counter in (flops, moved):
        with gpu.around_epochs(lambda counter=counter: counter):
            fit()
    return flops.get_total_flops(), moved.bytes


@pytest.mark.parametrize("name", ["RQ-VAE", "MoC", "residual k-means"])
def test_a_code_that_differs_is_explained_by_its_lead(gpu, rng, name):
    X = rng.standard_normal((60, 16)).astype(np.float32)
    tokenizer = gpu.tokenizers(gpu.Card("cpu"), gpu.SMALL)[name].fit(X)
    codes = tokenizer.transform(X)
    others = codes.copy()
    others[:, 1:] = 1 - codes[:, 1:].clip(max=1)  # another code from the second codebook on
    leads = gpu.leads_where_codes_differ(tokenizer, X, codes, others)

    module = tokenizer._live.get(tokenizer._build_module, tokenizer.state_, torch.device("cpu"), torch.float64)
    first, second, *_ = (codebook.code_vectors for codebook in module.quantizer.codebooks)
    for x, code, lead in zip(torch.from_numpy(X), codes, leads, strict=True):
        z = module.encoder(module.standardize(x.double()[None]))
        z = module.quantizer.down[1](z) if name == "MoC" else z - first[code[0]]
        nearest, next_one = (second - z).square().sum(1).sort().values[:2] / 2
        expected = (next_one - nearest) / (z.square().sum() + second.square().sum(1).max())
        assert lead == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def test_impressions_have_every_id_and_follow_zipf(gpu):
    X, y = gpu.impressions(40_000, n_ids=1_000)
    again, _ = gpu.impressions(40_000, n_ids=1_000)
    assert X.equals(again)
    for column in X:
        counts = np.bincount(X[column], minlength=100)
        assert len(counts) == 100
        assert counts.min() > 0
        # The rank r has log((r + 1) / r) / log(101) of the draws, but for one of each at the start.
        expected = (len(X) - 100) * np.log(np.arange(2, 102) / np.arange(1, 101)) / np.log(101) + 1
        assert np.abs(counts - expected).max() < 6 * np.sqrt(expected.max())
    assert set(y) == {0, 1}


def test_waits_are_read_from_what_torch_warns_of(gpu, monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with gpu.Card("cuda").waits() as places:
        for _ in range(2):
            warnings.warn("called a synchronizing CUDA operation (Triggered internally at ...)", stacklevel=1)
        warnings.warn("something else", stacklevel=1)
    assert list(places.values()) == [2]
    assert all(place.startswith("test_benchmarks_gpu.py:") for place in places)
    assert modes == ["warn", "default"]


def test_waits_of_a_step_are_those_that_grow_with_the_steps(gpu, monkeypatch):
    n_steps = []
    fit_of_steps = gpu._fit_of_steps

    def few_steps(card, sizes, name, n):
        n_steps.append(n)
        return fit_of_steps(card, sizes, name, 1)

    @contextmanager
    def waits(card):
        yield Counter({"_training.py:1": 3, "_training.py:9": 2 * n_steps[-1]})

    monkeypatch.setattr(gpu, "_fit_of_steps", few_steps)
    monkeypatch.setattr(gpu.Card, "waits", waits)
    figures = gpu.count_waits(gpu.Card("cpu"), gpu.SMALL, "RQ-VAE")
    assert figures["waits_per_step"] == 2
    assert figures["places"] == ["_training.py:9 (2)"]
