"""Tables read part by part: the rows of a table in memory, whatever they come in."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from semid.tables import _in_parts
from semid.tables._in_parts import TableInParts, is_read_in_parts

pa = pytest.importorskip("pyarrow")
from pyarrow import dataset, parquet  # noqa: E402


@pytest.fixture
def log():
    return pd.DataFrame(
        {"user": np.arange(25) % 7, "price": np.linspace(0, 1, 25), "tags": [[1, 2], [], None, [3], [4]] * 5}
    )


class BatchesAgain:
    """An iterable that is no list, and begins anew each time."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def _sources(log, folder):
    table = pa.Table.from_pandas(log)
    (folder / "day=1").mkdir()
    for name, part in (("b", table.slice(9)), ("a", table.slice(0, 9))):
        parquet.write_table(part, folder / f"{name}.parquet", row_group_size=4)
    parquet.write_table(table, folder / "day=1" / "all.parquet")
    batches = table.to_batches(max_chunksize=6)
    return {
        "file": str(folder / "day=1" / "all.parquet"),
        "path": folder / "day=1",
        "files": dataset.dataset([str(folder / "a.parquet"), str(folder / "b.parquet")]),
        "filtered": dataset.dataset(table).filter(dataset.field("price") >= 0),
        "in memory": dataset.dataset(table),
        "batches": batches,
        "again": BatchesAgain(batches),
    }


@pytest.mark.parametrize("part_rows", [5, 8, 25, 100])
def test_parts_are_the_rows_in_order_and_of_one_size(log, tmp_path, monkeypatch, part_rows):
    monkeypatch.setattr(_in_parts, "PART_ROWS", part_rows)
    for name, source in _sources(log, tmp_path).items():
        assert is_read_in_parts(source), name
        table = TableInParts("X", source)
        for _ in range(2):
            frames = list(table.frames(["price", "user"]))
            assert [len(frame) for frame in frames[:-1]] == [part_rows] * (len(frames) - 1)
            read = pd.concat(frames, ignore_index=True)
            assert_frame_equal(read, log[["price", "user"]], check_dtype=False, obj=name)
        assert table.lists == {"tags"}


def test_the_folders_of_a_hive_are_columns(log, tmp_path):
    _sources(log, tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.parquet").unlink()
    table = TableInParts("X", tmp_path)
    assert table.names == ["user", "price", "tags", "day"]
    (frame,) = table.frames(["day"])
    assert frame["day"].tolist() == [1] * 25


def test_an_index_without_a_name_is_no_column(log, tmp_path):
    log.sample(frac=1, random_state=0).to_parquet(tmp_path / "log.parquet")
    assert "__index_level_0__" in parquet.read_schema(tmp_path / "log.parquet").names
    assert TableInParts("X", tmp_path / "log.parquet").names == ["user", "price", "tags"]


def test_integers_beside_what_is_missing_stay_integers():
    batches = [
        pa.record_batch({"user": pa.array([2**53 + 1, 1])}),
        pa.record_batch({"user": pa.array([None, 2], pa.int64())}),
    ]
    (frame,) = TableInParts("X", batches).frames(["user"])
    assert frame["user"].tolist() == [2**53 + 1, 1, pd.NA, 2]


@pytest.mark.parametrize(
    "X", [[[1, 2], [3, 4]], np.zeros((2, 2)), pd.DataFrame({"a": [1]}), pa.table({"a": [1]}), None, {}, 3]
)
def test_tables_in_memory_are_not_read_in_parts(X):
    assert not is_read_in_parts(X)


def test_what_can_be_read_once_is_refused_and_told_the_way_out():
    batch = pa.record_batch({"a": [1]})
    for once in (iter([batch]), pa.RecordBatchReader.from_batches(batch.schema, [batch])):
        with pytest.raises(
            TypeError, match=r"X must be .* can be gone through again, got a .*, which can be read once: pass"
        ):
            TableInParts("X", once)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"X must be a parquet file or a folder of them, got .*: not there"):
        TableInParts("X", tmp_path / "none.parquet")
    with pytest.raises(ValueError, match=r"X must be a parquet file or a folder of them, got .*: an empty folder"):
        TableInParts("X", tmp_path)
    (tmp_path / "text.parquet").write_text("user,click")
    with pytest.raises(ValueError, match=r"X must be a parquet file or a folder of them, got .*, pyarrow says"):
        TableInParts("X", tmp_path / "text.parquet")
    with pytest.raises(TypeError, match=r"got a DataFrame; a table in memory is passed with its labels as an array"):
        TableInParts("X", pd.DataFrame({"a": [1]}))
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ValueError, match=r"columns of different names, got \['a'\] more than once"):
        TableInParts("X", [twice])


def test_batches_of_other_columns_or_types_are_refused():
    first = pa.record_batch({"a": pa.array([1, 2])})
    with pytest.raises(ValueError, match=r"batches of the same columns, \['a'\], got \['b'\] as number 1"):
        list(TableInParts("X", [first, pa.record_batch({"b": [1]})]).frames(["a"]))
    with pytest.raises(ValueError, match=r"batches of the same types, got others as number 1, pyarrow says"):
        list(TableInParts("X", [first, pa.record_batch({"a": ["x"]})]).frames(["a"]))
    (frame,) = TableInParts("X", [first, pa.record_batch({"a": pa.array([3], pa.int8())})]).frames(["a"])
    assert frame["a"].tolist() == [1, 2, 3]


def test_a_folder_on_the_way_to_a_file_is_no_column_of_it(tmp_path):
    path = tmp_path / "u=3" / "a.parquet"
    path.parent.mkdir()
    parquet.write_table(pa.table({"u": [1, 2, 5], "x": [0.1, 0.2, 0.3]}), path)
    (frame,) = TableInParts("X", path).frames(["u", "x"])
    assert frame["u"].tolist() == [1, 2, 5]
    with pytest.raises(ValueError, match=r"each column once, got 'u' in .*a.parquet' and as a name of folders"):
        TableInParts("X", tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "values"),
    [
        (pa.array([1, 2], pa.int32()), pa.array([2**40], pa.int64()), [1, 2, 2**40]),
        (pa.array([None, None]), pa.array(["a"]), [None, None, "a"]),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), ["a", "b"]),
        (pa.array([0.5], pa.float32()), pa.array([0.1]), [0.5, 0.1]),
    ],
)
def test_files_whose_types_one_type_can_hold_are_read_as_that(one, other, values, tmp_path):
    for order in (("a", "b"), ("b", "a")):
        for name, column in zip(order, (one, other), strict=True):
            parquet.write_table(pa.table({"u": column}), tmp_path / f"{name}.parquet")
        found = pd.concat(TableInParts("X", tmp_path).frames(["u"]))["u"]
        expected = values if order[0] == "a" else [*values[len(one) :], *values[: len(one)]]
        assert [None if pd.isna(value) else value for value in found] == expected


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"u": [1]}, {"u": ["007"]}, r"got 'u' as int64 in .*a.parquet' .* and as string in .*b.parquet'"),
        ({"u": [1]}, {"u": [0.5]}, "got 'u' as int64 in"),
        ({"u": [True]}, {"u": [2]}, "got 'u' as bool in"),
        ({"u": [1]}, {"u": [1], "v": [2]}, "files of the same columns, got 'v' in one of"),
        ({"u": [1], "v": [2]}, {"u": [1]}, "files of the same columns, got 'v' in one of"),
    ],
)
def test_files_of_other_columns_or_types_are_refused(one, other, message, tmp_path):
    for name, columns in (("a", one), ("b", other)):
        parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=message):
        TableInParts("X", tmp_path)


def test_an_object_that_hands_out_one_iterator_is_refused():
    class Once:
        def __init__(self):
            self.batches = iter([pa.record_batch({"u": [1]})])

        def __iter__(self):
            return self.batches

    assert not is_read_in_parts(Once())
    with pytest.raises(TypeError, match="that can be gone through again"):
        TableInParts("X", Once())
