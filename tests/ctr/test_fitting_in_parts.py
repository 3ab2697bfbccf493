"""Click models on files: the fit of a table in memory, in memory that does not grow with the files."""

import os
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from skorch.callbacks import Callback

from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
    _fitting_in_parts,
)
from semid.engine import _stored_impressions
from semid.engine._impressions import Impressions
from semid.engine._ranks import SharedFit
from semid.engine._stored_impressions import StoredImpressions, order_of_pass
from semid.tables import _in_parts

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, parquet  # noqa: E402

MODELS = [
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
]
FIELDS = ["user_id", "item_id", "hour"]


@pytest.fixture(scope="module")
def log():
    """2,000 impressions with columns of every kind, labels and weights."""
    rng, n = np.random.default_rng(0), 2000
    users = rng.integers(60, size=n)
    columns = {
        "user": users,
        "brand": rng.choice(["a", "b", None], size=n),
        "price": rng.normal(size=n),
        "rating": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
        "tags": [rng.integers(9, size=rng.integers(4)).tolist() for _ in range(n)],
        "item_code0": rng.integers(5, size=n),
        "item_code1": rng.integers(5, size=n),
        **{f"v{i}": rng.normal(size=n).astype(np.float32) for i in range(8)},
        "click": np.where(rng.random(n) < 0.2 + 0.4 * (users % 2), "yes", "no"),
        "weight": rng.integers(4, size=n) / 2,
    }
    return pd.DataFrame(columns)


@pytest.fixture
def path(log, tmp_path):
    for name, rows in (("a", slice(0, 700)), ("b", slice(700, None))):
        parquet.write_table(pa.Table.from_pandas(log[rows]), tmp_path / f"{name}.parquet", row_group_size=300)
    return tmp_path


@pytest.fixture
def model():
    return DeepFMClassifier(embedding_dim=4, hidden_layer_sizes=(8,), max_iter=2, random_state=0)


@pytest.fixture
def scratch(tmp_path_factory, monkeypatch):
    """The folder of temporary files, empty."""
    folder = tmp_path_factory.mktemp("scratch")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _of(log):
    return log.drop(columns=["click", "weight"]), log["click"], log["weight"]


def _assert_same(model, other):
    assert model.state_.keys() == other.state_.keys()
    for name, array in model.state_.items():
        np.testing.assert_array_equal(array, other.state_[name], err_msg=name)
    assert model.calibration_ == other.calibration_
    for name, values in model.history_.items():
        np.testing.assert_array_equal(values, other.history_[name], err_msg=name)
    assert model.classes_.tolist() == other.classes_.tolist()


@pytest.mark.parametrize("kind", MODELS)
def test_a_fit_on_files_is_that_of_the_table_in_memory(kind, log, path):
    model = kind(embedding_dim=4, max_iter=2, random_state=0)
    in_memory, on_files = clone(model).fit(*_of(log)), clone(model).fit(path, "click", "weight")
    _assert_same(in_memory, on_files)
    X, *_ = _of(log)
    np.testing.assert_array_equal(on_files.predict_proba(X), in_memory.predict_proba(X))
    np.testing.assert_array_equal(on_files.feature_names_in_, X.columns)


@pytest.mark.parametrize(
    "parameters",
    [
        {"validation": None},
        {"validation": 0.2},
        {"validation": "last", "min_frequency": 20},
        {"class_weight": "balanced"},
        {"class_weight": {"yes": 3, "no": 0.7}},
        {"batch_size": 30, "vector_features": ["price", "v3"], "categorical_features": ["user", "brand"]},
    ],
)
def test_it_is_with_other_parameters_too(model, log, path, parameters):
    model.set_params(**parameters)
    weight = None if parameters.get("class_weight") == "balanced" else "weight"
    X, y, sample_weight = _of(log)
    if parameters.get("categorical_features"):
        X = X.drop(columns="tags")
    columns = [*X.columns, "click", *([weight] if weight else [])]
    batches = pa.Table.from_pandas(log[columns]).to_batches(max_chunksize=170)
    _assert_same(clone(model).fit(X, y, sample_weight if weight else None), clone(model).fit(batches, "click", weight))


def test_it_is_of_data_sets_that_are_filtered(model, log, path):
    of_folder = dataset.dataset(str(path), format="parquet")
    chosen = log["user"] < 40
    _assert_same(
        clone(model).fit(*_of(log[chosen])),
        clone(model).fit(of_folder.filter(dataset.field("user") < 40), "click", "weight"),
    )


def test_columns_seen_in_many_parts_are_learned_as_from_all_at_once(model, log, path, monkeypatch):
    monkeypatch.setattr(_in_parts, "PART_ROWS", 64)
    model.set_params(min_frequency=15, max_iter=1)
    in_memory, on_files = clone(model).fit(*_of(log)).encoder_, clone(model).fit(path, "click", "weight").encoder_
    for vocabulary, other in zip(in_memory.vocabularies_, on_files.vocabularies_, strict=True):
        assert vocabulary.tolist() == other.tolist()
        assert vocabulary.dtype == other.dtype
    for name in ("means_", "scales_", "ranges_"):
        np.testing.assert_allclose(getattr(on_files, name), getattr(in_memory, name), rtol=1e-12, atol=1e-13)
    assert on_files.indicated_ == in_memory.indicated_


def test_a_list_is_one_though_the_first_rows_have_none(model, log, tmp_path, monkeypatch):
    monkeypatch.setattr(_in_parts, "PART_ROWS", 100)
    log = log.assign(tags=log["tags"].where(log.index >= 250, None), numbers=log["price"].where(log.index >= 250))
    log.to_parquet(tmp_path / "log.parquet")
    fitted = model.fit(tmp_path, "click", "weight")
    assert fitted.encoder_.lists_ == [4]
    assert [fitted.encoder_.names_[p] for p in fitted.encoder_.numeric_] == ["price", "rating", "numbers"]
    assert fitted.encoder_.indicated_ == [1, 2]


def test_a_fit_in_many_blocks_is_that_in_memory_in_the_same_order(model, log, path, monkeypatch):
    monkeypatch.setattr(_in_parts, "PART_ROWS", 150)
    monkeypatch.setattr(_stored_impressions, "CHUNK_BYTES", 4000)
    monkeypatch.setattr(_stored_impressions, "BLOCK_BYTES", 20_000)
    n_blocks, sizes = [], []
    complete = StoredImpressions.complete
    monkeypatch.setattr(StoredImpressions, "complete", lambda s: sizes.append(s._bytes_per_row) or complete(s))
    log = log.drop(columns=[name for name in log if name.startswith(("v", "price", "rating"))])  # moments are rounded
    log["weight"] = 1.0
    on_files = clone(model).fit(pa.Table.from_pandas(log).to_batches(), "click", "weight")

    def in_that_order(impressions, batch_size, generator=None, n_shares=1):
        if generator is None:
            yield from one_pass(impressions, batch_size)
            return
        blocks = list(order_of_pass(len(impressions), batch_size, sizes[0], generator))
        n_blocks.append(len(blocks))
        for rows in blocks:
            yield from impressions.batches(rows, batch_size)

    one_pass = Impressions.one_pass
    monkeypatch.setattr(Impressions, "one_pass", in_that_order)
    _assert_same(clone(model).fit(*_of(log)), on_files)
    assert min(n_blocks) > 2


def test_parts_of_other_sizes_predict_as_the_table_in_memory(model, log, path, monkeypatch):
    X, y, _ = _of(log)
    fitted = model.fit(X, y)
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(fitted.predict_proba(path), expected)
    monkeypatch.setattr(_in_parts, "PART_ROWS", 300)
    np.testing.assert_allclose(fitted.predict_proba(path), expected, rtol=1e-5)
    np.testing.assert_array_equal(fitted.predict(pa.Table.from_pandas(log).to_batches(77)), fitted.predict(X))


def test_an_eval_set_in_memory_stops_a_fit_on_files(model, log, path):
    X, y, weight = _of(log)
    held_out = (X[:500], y[:500], weight[:500])
    _assert_same(
        clone(model).fit(X, y, weight, eval_set=held_out),
        clone(model).fit(path, "click", "weight", eval_set=held_out),
    )


class Fails(Callback):
    def __init__(self, error):
        self.error = error

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            raise self.error


def _open_files(folder):
    """How many files of a folder this process has open, those without a name too."""
    links = (os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return sum(link.startswith(str(folder)) for link in links)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="asks Linux for the files that are open")
def test_the_scratch_files_have_no_name_that_a_killed_process_could_leave(model, path, scratch):
    seen = []

    class Sees(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append((_open_files(scratch), list(scratch.iterdir())))

    model.set_params(callbacks=[Sees()]).fit(path, "click", "weight")
    ((n_open, names),) = seen
    assert n_open >= 5
    assert n_open <= 8  # however many columns: some systems allow a process no more than 256
    assert not names
    assert _open_files(scratch) == 0


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_the_scratch_files_are_closed_after_an_error(model, path, scratch, error):
    model.set_params(callbacks=[Fails(error)])
    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError):
            model.fit(path, "click", "weight")
        assert not hasattr(model, "state_")
    else:
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(path, "click", "weight")
    assert not list(scratch.iterdir())
    if os.path.isdir("/proc/self/fd"):
        assert _open_files(scratch) == 0


def test_a_fit_on_files_that_failed_goes_on_at_its_checkpoint(model, path, tmp_path_factory):
    uninterrupted = clone(model).set_params(max_iter=4).fit(path, "click", "weight")
    folder = tmp_path_factory.mktemp("checkpoints")
    killed = clone(model).set_params(max_iter=4, checkpoint_dir=folder)
    epochs = []

    class Kills(Callback):
        def on_epoch_begin(self, net, **kwargs):
            epochs.append(len(net.history))
            if epochs == [1, 2, 3]:
                raise RuntimeError("killed")

    killed.set_params(callbacks=[Kills()])
    with pytest.raises(RuntimeError, match="killed"):
        killed.fit(path, "click", "weight")
    _assert_same(uninterrupted, killed.fit(path, "click", "weight"))
    assert epochs == [1, 2, 3, 3, 4]


@pytest.fixture
def no_files(monkeypatch):
    """An error if a temporary file is opened."""

    def fail(*args, **kwargs):
        raise AssertionError("a temporary file was opened")

    monkeypatch.setattr(_stored_impressions.tempfile, "TemporaryFile", fail)


def test_a_folder_without_room_is_told_before_anything_is_written(model, path, no_files, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"must have room for .* GB of encoded impressions, got 0.0 GB in .*TMPDIR"):
        model.fit(path, "click", "weight")


def test_processes_of_one_machine_that_share_a_fit_need_room_for_each(monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    _fitting_in_parts._check_room(900)  # which no other process shares
    monkeypatch.setattr(_fitting_in_parts, "current_ranks", lambda: SharedFit(0, 4, 4))
    _fitting_in_parts._check_room(250)
    with pytest.raises(OSError, match=r"of encoded impressions in each of 4 processes"):
        _fitting_in_parts._check_room(251)


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (None, {"y": None}, TypeError, r"y must be the name of a column of X .* got a NoneType"),
        (None, {"y": np.zeros(2000)}, TypeError, r"y must be the name of a column of X .* got a ndarray"),
        (None, {"y": "clicks"}, ValueError, r"y must name a column of X, got 'clicks'; it has \['user', 'brand'"),
        (None, {"sample_weight": "weights"}, ValueError, r"sample_weight must name a column of X, got 'weights'"),
        (None, {"sample_weight": np.ones(2000)}, TypeError, r"sample_weight must be the name of a column"),
        (None, {"sample_weight": "click"}, ValueError, r"sample_weight must be another column than y, got 'click'"),
        ({"click": "no"}, {}, ValueError, r"y must hold two classes, got one class: 'no'"),
        ({"click": ["a", "b", "c", "d"] * 500}, {}, ValueError, "Only binary classification is supported"),
        ({"click": np.linspace(0, 1, 2000)}, {}, ValueError, "Unknown label type: continuous"),
        ({"click": ["no", None] * 1000}, {}, ValueError, r"Input y contains NaN or None: 1000 of 2000 labels"),
        ({"weight": -1.0}, {}, ValueError, r"sample_weight must be finite and not negative, got -1.0"),
        ({"weight": 0.0}, {}, ValueError, r"sample_weight must not be zero for every row"),
        ({"weight": "heavy"}, {}, ValueError, r"sample_weight must"),
        ({"day": pd.Timestamp("2020-01-01")}, {}, ValueError, r"column 'day' holds dates"),
        ({"price": np.inf}, {}, ValueError, r"contains infinity .* in the numeric column 'price'"),
    ],
)
def test_what_is_wrong_is_named(model, log, no_files, change, arguments, error, message):
    batches = pa.Table.from_pandas(log.assign(**(change or {}))).to_batches()
    with pytest.raises(error, match=message):
        model.fit(**{"X": batches, "y": "click", "sample_weight": "weight", **arguments})
    assert not hasattr(model, "classes_")


def test_labels_of_one_class_but_for_rows_without_weight_are_refused(model, log):
    batches = pa.Table.from_pandas(log.assign(weight=(log["click"] == "no").astype(float))).to_batches()
    with pytest.raises(ValueError, match=r"two classes among the rows of positive weight, got one class: 'no'"):
        model.fit(batches, "click", "weight")


def test_a_table_in_memory_with_the_name_of_its_labels_is_told_the_way_out(model, log):
    with pytest.raises(TypeError, match=r"got a DataFrame; a table in memory is passed with its labels as an array"):
        model.fit(log, "click")


def test_batches_that_do_not_come_again_are_refused(model, log):
    batches = pa.Table.from_pandas(log).to_batches()
    with pytest.raises(TypeError, match=r"got a list_iterator, which can be read once"):
        model.fit(iter(batches), "click")

    class Exhausted:
        """Gives more rows from the second time on that they are gone through."""

        n_passes = 0

        def __iter__(self):
            yield from batches
            self.n_passes += 1
            if self.n_passes > 1:
                yield from batches

    with pytest.raises(ValueError, match=r"X must give the same rows each time .* got 2000 rows and then 4000"):
        model.fit(Exhausted(), "click", "weight")


def test_labels_that_are_others_the_next_time_are_refused(model, log):
    class Changing:
        n_passes = 0

        def __iter__(self):
            clicks = np.arange(len(log)) % 2 - int(self.n_passes > 0)
            yield pa.RecordBatch.from_pandas(log.assign(click=clicks))
            self.n_passes += 1

    with pytest.raises(ValueError, match=r"the same rows each time .* got labels \[0, 1\] and then \[-1, 0\]"):
        model.fit(Changing(), "click", "weight")


def test_a_fit_does_not_go_on_with_files(model, log, path):
    fitted = model.set_params(warm_start=True).fit(path, "click", "weight")
    with pytest.raises(ValueError, match=r"warm_start must be False where X is read in parts"):
        fitted.fit(path, "click", "weight")
    with pytest.raises(TypeError, match=r"eval_set must be a table in memory and its labels, got a PosixPath"):
        clone(model).fit(path, "click", "weight", eval_set=(path, "click"))


def test_files_without_a_column_of_the_fit_are_not_scored(model, log, path):
    fitted = model.fit(path, "click", "weight")
    with pytest.raises(ValueError, match=r"X must have the columns of fit, got none called \['user', 'tags'\]"):
        fitted.predict_proba(pa.Table.from_pandas(log.drop(columns=["user", "tags"])).to_batches())
    on_array = clone(model).fit(log[["price", "rating"]].to_numpy(), log["click"])
    with pytest.raises(ValueError, match=r"whose columns had no names in fit"):
        on_array.predict_proba(path)


MEASURED = """
    import resource, sys, time
    import numpy as np, torch
    import pyarrow as pa
    from pyarrow import parquet
    from semid.ctr import MLPCTRClassifier, _column_learner, _fitting
    from semid.engine import _stored_impressions
    from semid.tables import _in_parts

    torch.set_num_threads(1)
    folder, n_groups, of_group, n_columns, bound = sys.argv[1], *map(int, sys.argv[2:])

    def write(name, n_groups, of_group):
        rng, writer = np.random.default_rng(0), None
        for _ in range(n_groups):
            columns = {f"c{i}": rng.integers(1000, size=of_group) for i in range(n_columns)}
            click = rng.random(of_group) < 0.2 + 0.3 * (columns["c0"] % 2)
            table = pa.table({**columns, "click": click.astype(np.int8)})
            writer = writer or parquet.ParquetWriter(f"{folder}/{name}", table.schema)
            writer.write_table(table)
        writer.close()

    if bound < 100:  # MB, which the blocks of real fits would not leave room for
        _in_parts.PART_ROWS = _stored_impressions._PART_ROWS = _fitting._READ_ROWS = 10_000
        _stored_impressions.BLOCK_BYTES, _column_learner._LEAST_WAITING = 2**21, 5000
    model = MLPCTRClassifier(
        embedding_dim=2, hidden_layer_sizes=(8,), max_iter=1, batch_size=8192, validation=None, random_state=0
    )
    write("small.parquet", 2, 20_000)
    model.fit(f"{folder}/small.parquet", "click")  # what is imported and kept is so before
    write("large.parquet", n_groups, of_group)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    model.fit(f"{folder}/large.parquet", "click")
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{added:.1f} MB added, {time.perf_counter() - start:.0f} s")
    assert added < bound, added
"""


def _measure(folder, *arguments, timeout):
    program = folder / "measure.py"
    program.write_text(textwrap.dedent(MEASURED))
    command = [sys.executable, program, folder, *arguments]
    finished = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout, check=False)
    print(finished.stdout)
    assert finished.returncode == 0, finished.stderr


def test_memory_does_not_grow_with_the_file(tmp_path):
    # 240,000 x 20 columns: 38 MB as a table, and 21 MB encoded.
    _measure(tmp_path, 12, 20_000, 20, 10, timeout=250)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_million_impressions_fit_in_a_gigabyte(tmp_path):
    # 1.6 GB as a table, and 0.9 GB encoded, of which a block of 128 MiB is read at a time.
    _measure(tmp_path, 20, 500_000, 20, 1000, timeout=3500)
