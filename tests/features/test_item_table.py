import copy
import json
import os
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.base import clone

from semid.features import ItemTable, SemanticIDEncoder
from semid.tokenizers import ResidualKMeansTokenizer


def test_clones_and_copies_are_the_table_itself(table):
    assert clone(table) is table
    assert copy.copy(table) is table
    assert copy.deepcopy(table) is table


def test_a_table_cannot_be_changed(table):
    for array in (table.ids, table.embeddings):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(AttributeError):
        table.ids = []


def test_a_path_is_memory_mapped_and_pickled_as_a_path(tmp_path):
    X = np.random.default_rng(0).normal(size=(1000, 50)).astype(np.float16)
    np.save(tmp_path / "X.npy", X)
    table = ItemTable(np.arange(1000), tmp_path / "X.npy")
    assert isinstance(table.embeddings, np.memmap)
    assert table.embeddings.dtype == np.float16
    pickled = pickle.dumps(table)
    assert len(pickled) < X.nbytes / 5
    np.testing.assert_array_equal(pickle.loads(pickled).embeddings, X)


def test_the_fingerprint_follows_the_content(items, tmp_path):
    ids, X = items.frame["item_id"], items.embeddings
    same = ItemTable(ids, X).fingerprint
    assert ItemTable(ids.tolist(), X.copy()).fingerprint == same
    assert ItemTable(ids[::-1], X).fingerprint != same
    assert ItemTable(ids, X + 1).fingerprint != same
    np.save(tmp_path / "X.npy", X)
    assert ItemTable(ids, tmp_path / "X.npy").fingerprint == same


def test_parquet_with_a_list_column_or_a_column_per_feature(items, tmp_path):
    ids, X = items.frame["item_id"], items.embeddings
    pd.DataFrame({"item_id": ids, "embedding": list(X)}).to_parquet(tmp_path / "lists.parquet")
    np.testing.assert_array_equal(ItemTable.from_parquet(tmp_path / "lists.parquet").embeddings, X)
    wide = pd.DataFrame(X).add_prefix("e").assign(sku=ids)
    wide.to_parquet(tmp_path / "wide.parquet")
    columns = [f"e{i}" for i in range(X.shape[1])]
    table = ItemTable.from_parquet(tmp_path / "wide.parquet", id_column="sku", embedding_columns=columns)
    np.testing.assert_array_equal(table.embeddings, X)
    np.testing.assert_array_equal(table.ids, ids)


def test_parquet_lists_of_several_lengths_are_refused(tmp_path):
    pd.DataFrame({"item_id": [1, 2], "embedding": [[1.0], [1.0, 2.0]]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="must hold lists of one length, at least 2, got lengths from 1 to 2"):
        ItemTable.from_parquet(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("ids", "embeddings", "message"),
    [
        (["a", "b", "a"], np.ones((3, 2)), "ids must be unique, got 1 repeated, for example 'a'"),
        (["a", None, "b"], np.ones((3, 2)), "ids must not be missing, got 1 missing, first in row 1"),
        (["a", "b"], np.ones((3, 2)), "as many rows, got 2 ids and 3 embeddings"),
        ([], np.ones((0, 2)), "non-empty list of ids"),
        (["a", "b"], np.ones(2), r"2-D array of numbers, got shape \(2,\)"),
        (["a", "b"], np.array([["x"], ["y"]]), "2-D array of numbers"),
        (["a", "b"], np.array([[1.0], [np.nan]]), r"row 1 \(id 'b'\) holds NaN or infinity"),
    ],
)
def test_bad_tables_are_refused(ids, embeddings, message):
    with pytest.raises(ValueError, match=message):
        ItemTable(ids, embeddings)


def test_bad_paths_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no embeddings at"):
        ItemTable(["a"], tmp_path / "nowhere.npy")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(ValueError, match=r"must be a \.npy file of numbers"):
        ItemTable(["a"], tmp_path / "text.npy")


def test_changing_the_array_afterwards_does_not_change_the_table(items):
    X = items.embeddings.copy()
    table = ItemTable(items.frame["item_id"], X)
    X[:] = 0
    np.testing.assert_array_equal(table.embeddings, items.embeddings)


def test_a_pickled_path_is_absolute_and_opened_only_on_demand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", np.eye(4))
    pickled = pickle.dumps(ItemTable(list("abcd"), "X.npy"))
    monkeypatch.chdir(tmp_path.parent)
    np.testing.assert_array_equal(pickle.loads(pickled).embeddings, np.eye(4))
    (tmp_path / "X.npy").unlink()
    table = pickle.loads(pickled)
    assert repr(table) == "ItemTable(4 items, 4 features)"
    with pytest.raises(FileNotFoundError, match="no embeddings at"):
        table.embeddings.sum()
    np.save(tmp_path / "X.npy", np.eye(5))
    with pytest.raises(ValueError, match=r"must have the shape \(4, 4\) they had, got \(5, 5\)"):
        table.embeddings.sum()


def test_odd_shapes_and_archives_are_refused(tmp_path):
    np.savez(tmp_path / "X.npz", a=np.eye(2), b=np.eye(2))
    with pytest.raises(ValueError, match="one array"):
        ItemTable(["a", "b"], tmp_path / "X.npz")
    with pytest.raises(ValueError, match="rows of different lengths"):
        ItemTable(["a", "b"], [[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="ids must be a non-empty list of ids"):
        ItemTable([["a"], ["b"]], np.eye(2))


def test_pandas_rows_that_do_not_belong_together_are_refused(items):
    ids, X = items.frame["item_id"], pd.DataFrame(items.embeddings)
    with pytest.raises(ValueError, match="ids and embeddings must have the same index"):
        ItemTable(ids, X.iloc[::-1])
    assert ItemTable(ids, X).fingerprint == ItemTable(ids, items.embeddings).fingerprint


def test_a_column_of_arrays_is_stacked(items):
    column = pd.Series(list(items.embeddings))
    np.testing.assert_array_equal(ItemTable(items.frame["item_id"], column).embeddings, items.embeddings)


def test_texts_are_content_that_cannot_be_changed_and_survive_pickles(items):
    frame = items.frame[["title", "brand"]]
    table = ItemTable(items.frame["item_id"], texts=frame)
    content = table.content
    content.iloc[0, 0] = "changed"
    for kept in (table, pickle.loads(pickle.dumps(table))):
        pd.testing.assert_frame_equal(kept.content, frame, check_dtype=False)
    assert repr(table) == "ItemTable(300 items, texts in title, brand)"
    with pytest.raises(AttributeError, match="texts in title, brand, not embeddings"):
        table.embeddings  # noqa: B018
    assert ItemTable(["a"], texts=["mug"]).content["text"].tolist() == ["mug"]
    assert ItemTable(["a"], texts=pd.Series(["mug"], name="title")).content["title"].tolist() == ["mug"]


def test_items_without_any_text_are_named():
    with pytest.raises(ValueError, match=r"got none for 1 of them, first b\. Pass texts.fillna"):
        ItemTable(["a", "b"], texts=pd.DataFrame({"title": ["mug", None], "brand": [None, None]}))


def test_the_fingerprint_of_texts_follows_the_texts_and_their_columns():
    ids, frame = ["a", "b"], pd.DataFrame({"title": ["red mug", "mug"], "tags": [["x"], ["x", "y"]]})
    same = ItemTable(ids, texts=frame).fingerprint
    assert ItemTable(ids, texts=frame.copy()).fingerprint == same
    assert ItemTable(ids, texts=frame.rename(columns={"title": "name"})).fingerprint != same
    assert ItemTable(ids, texts=frame.assign(title=["red", "mug mug"])).fingerprint != same


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "either embeddings or texts, got neither"),
        ({"embeddings": np.eye(2), "texts": ["a", "b"]}, "either embeddings or texts, got both"),
        ({"texts": ["a"]}, "as many rows, got 2 ids and 1 texts"),
        ({"texts": pd.DataFrame({0: ["a", "b"]})}, r"names of their own, got \[0\]"),
    ],
)
def test_texts_that_do_not_fit_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        ItemTable(["a", "b"], **content)


def test_texts_of_another_index_are_refused(items):
    with pytest.raises(ValueError, match="ids and texts must have the same index"):
        ItemTable(items.frame["item_id"], texts=items.frame["title"][::-1])


# Embeddings as others hold them

X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8  # which float16 and bfloat16 hold as well


@pytest.mark.parametrize(
    "embeddings",
    [
        pd.DataFrame(X),
        pd.DataFrame(X).astype("Float32"),
        pd.DataFrame(X).astype("float32[pyarrow]"),
        pd.DataFrame(X).astype({0: "Float32"}),
        pd.Series(list(X)),
        pd.Series(list(X)).astype(pd.ArrowDtype(pa.list_(pa.float32()))),
        pl.DataFrame(X),
        pl.Series(X),
        pl.Series(X.tolist(), dtype=pl.List(pl.Float32)),
        pa.table(pd.DataFrame(X).add_prefix("x")),
        pa.array(list(X)),
        pa.chunked_array([list(X[:1]), list(X[1:])]),
        torch.tensor(X),
        torch.tensor(X, requires_grad=True),
        torch.tensor(X, dtype=torch.bfloat16),
        torch.tensor(X).to(torch.float8_e4m3fn),
    ],
    ids=lambda embeddings: f"{type(embeddings).__module__}.{type(embeddings).__name__}",
)
def test_embeddings_are_what_numpy_makes_of_them_whoever_holds_them(embeddings):
    table = ItemTable(["a", "b", "c"], embeddings)
    assert table.embeddings.dtype == np.float32
    np.testing.assert_array_equal(table.embeddings, X)


def test_a_frame_with_a_missing_number_names_the_item():
    for dtype in ("Float32", "Int64", "float32[pyarrow]"):
        frame = pd.DataFrame({"a": [1, None], "b": [1, 2]}, dtype=dtype)
        with pytest.raises(ValueError, match=r"row 1 \(id 'y'\) holds NaN"):
            ItemTable(["x", "y"], frame)


def test_integers_of_a_nullable_frame_stay_integers():
    table = ItemTable(["x", "y"], pd.DataFrame({"a": [1, 2], "b": [2**53 + 1, 4]}, dtype="Int64"))
    assert table.embeddings.tolist() == [[1, 2**53 + 1], [2, 4]]


def test_bfloat16_of_ml_dtypes_is_read_and_the_file_that_forgot_it_is_explained(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = X.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(ItemTable(["a", "b", "c"], array).embeddings, X)
    np.save(tmp_path / "X.npy", array)
    for embeddings in (tmp_path / "X.npy", np.load(tmp_path / "X.npy")):
        with pytest.raises(ValueError, match=r"of \|V2, bytes without a type: numpy saves bfloat16 as .* X.astype"):
            ItemTable(["a", "b", "c"], embeddings)


# Ids and texts as others hold them


@pytest.mark.parametrize("ids", [pa.array, pa.chunked_array, pl.Series, np.array, pd.Series, list])
def test_ids_beyond_two_to_the_53_are_read_whoever_holds_them(ids):
    values = [2**60, 2**60 + 1, 7]
    table = ItemTable(ids([values]) if ids is pa.chunked_array else ids(values), X)
    assert table.ids.tolist() == values


@pytest.mark.parametrize("ids", [["a", "\ud83d"], pd.Series(["a", "\ud83d"], dtype=object), np.array(["a", "\ud83d"])])
def test_half_a_character_in_an_id_is_named(ids):
    with pytest.raises(ValueError, match=r"ids must be text of whole characters, got .*'\\ud83d'\)?, which has half"):
        ItemTable(ids, np.eye(2))


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table, dict, pd.DataFrame])
def test_texts_in_a_table_are_columns_whoever_holds_it(frame):
    columns = {"title": ["red mug", "mug", "cup"], "brand": ["x", None, "y"], "year": [1, 2, 3]}
    content = ItemTable(["a", "b", "c"], texts=frame(columns)).content
    assert list(content) == list(columns)
    assert content["title"].tolist() == columns["title"]
    assert content["brand"].isna().tolist() == [False, True, False]
    with pytest.raises(ValueError, match="as many rows, got 2 ids and 3 texts"):
        ItemTable(["a", "b"], texts=frame(columns))


@pytest.mark.parametrize("column", [pl.Series, pa.array, lambda texts: pa.chunked_array([texts])])
def test_texts_in_one_column_are_texts_whoever_holds_it(column):
    assert ItemTable(["a", "b"], texts=column(["mug", "cup"])).content["text"].tolist() == ["mug", "cup"]


# A file that is written anew


@pytest.mark.parametrize("in_place", [True, False])
def test_a_table_by_path_follows_its_file(tmp_path, in_place):
    path, ids = tmp_path / "X.npy", ["a", "b", "c"]
    np.save(path, X)
    table = ItemTable(ids, path)
    before = table.fingerprint
    assert before == ItemTable(ids, X).fingerprint == table.fingerprint
    np.save(path if in_place else tmp_path / "new.npy", X + 1)
    if not in_place:
        (tmp_path / "new.npy").replace(path)
    assert table.fingerprint == ItemTable(ids, X + 1).fingerprint != before
    np.testing.assert_array_equal(table.embeddings, X + 1)


def test_a_table_whose_file_is_written_anew_with_other_numbers_is_checked_again(tmp_path):
    np.save(tmp_path / "X.npy", X)
    table = ItemTable(["a", "b", "c"], tmp_path / "X.npy")
    os.utime(tmp_path / "X.npy", (0, 0))
    np.save(tmp_path / "X.npy", np.where(X == 0, np.nan, X))
    with pytest.raises(ValueError, match=r"row 0 \(id 'a'\) holds NaN"):
        table.embeddings.sum()


def test_an_old_file_is_hashed_once(tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", X)
    os.utime(tmp_path / "X.npy", (10**9, 10**9))
    table = ItemTable(["a", "b", "c"], tmp_path / "X.npy")
    before = table.fingerprint
    monkeypatch.setattr(ItemTable, "_digest", lambda *_: pytest.fail("hashed again"))
    assert table.fingerprint == before


def test_memory_does_not_give_the_codes_of_the_file_that_was_there_before(tmp_path):
    path, ids = tmp_path / "X.npy", [f"i{n}" for n in range(40)]
    old, new = np.random.default_rng(0).normal(size=(2, 40, 4)).astype(np.float32)
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=4, random_state=0)
    np.save(path, old)
    encoder = SemanticIDEncoder(tokenizer, items=ItemTable(ids, path), memory=str(tmp_path / "memory"))
    encoder.fit(np.array(ids).reshape(-1, 1))
    np.save(path, new)
    encoder.fit(np.array(ids).reshape(-1, 1))
    np.testing.assert_array_equal(encoder.codes_, clone(tokenizer).fit(new).transform(new))


# Parquet of other tools


def write(path, column, ids=("a", "b", "c")):
    pq.write_table(pa.table({"item_id": list(ids), "embedding": column}), path)
    return path


@pytest.mark.parametrize("index", ["item_id", "range"])
def test_ids_that_were_the_index_of_a_frame_are_read(tmp_path, index):
    frame = pd.DataFrame({"embedding": list(X)}, index=pd.Index(["a", "b", "c"], name="item_id"))
    frame = frame if index == "item_id" else frame.set_axis(pd.RangeIndex(5, 8, name="item_id"))
    frame.to_parquet(tmp_path / "x.parquet")
    table = ItemTable.from_parquet(tmp_path / "x.parquet")
    assert table.ids.tolist() == frame.index.tolist()
    np.testing.assert_array_equal(table.embeddings, X)


def test_a_column_that_is_not_there_is_named(tmp_path):
    pd.DataFrame({"asin": ["a"], "vector": [[1.0, 2.0]]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"must have one column 'item_id', got \['asin', 'vector'\]"):
        ItemTable.from_parquet(tmp_path / "x.parquet", embedding_columns="vector")


def test_a_folder_of_part_files_is_one_table(tmp_path):
    for n in range(3):
        write(tmp_path / f"part-{n:05}.parquet", pa.array([X[n].tolist()]), ids=["abc"[n]])
    (tmp_path / "_SUCCESS").touch()
    table = ItemTable.from_parquet(tmp_path)
    assert table.ids.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(table.embeddings, X)


SPARK = pa.struct(
    {"type": pa.int8(), "size": pa.int32(), "indices": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
)
DENSE = [{"type": 1, "size": None, "indices": None, "values": row.tolist()} for row in X]
SPARSE = {"type": 0, "size": 4, "indices": [1, 2, 3], "values": X[0, 1:].tolist()}
COLUMNS = {
    "lists": pa.array(X.tolist(), pa.list_(pa.float32())),
    "large lists": pa.array(X.tolist(), pa.large_list(pa.float32())),
    "lists of fixed size": pa.array(X.tolist(), pa.list_(pa.float32(), 4)),
    "lists of float16": pa.array(list(X.astype(np.float16)), pa.list_(pa.float16())),
    "lists of decimals": pa.array(
        [[Decimal(str(x)) for x in row] for row in X.tolist()], pa.list_(pa.decimal128(6, 3))
    ),
    "lists of one list": pa.array([[row] for row in X.tolist()]),
    "lists of lists of one": pa.array([[[x] for x in row] for row in X.tolist()]),
    "tensors": pa.FixedShapeTensorArray.from_numpy_ndarray(X),
    "tensors of two axes, one of which is 1": pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(3, 1, 4)),
    "dense vectors of Spark": pa.array(DENSE, SPARK),
    "sparse and dense vectors of Spark": pa.array([SPARSE, *DENSE[1:]], SPARK),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_vectors_is_read_in_each_of_its_forms(tmp_path, kind):
    table = ItemTable.from_parquet(write(tmp_path / "x.parquet", COLUMNS[kind]))
    np.testing.assert_array_equal(table.embeddings, X)
    batches = write(tmp_path / "x.parquet", pa.chunked_array([COLUMNS[kind].slice(0, 1), COLUMNS[kind].slice(1)]))
    np.testing.assert_array_equal(ItemTable.from_parquet(batches).embeddings, X)


@pytest.mark.parametrize("permutation", [None, [1, 0]])
def test_tensors_of_more_than_one_axis_are_refused(tmp_path, permutation):
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(3, 2, 2))
    if permutation:
        kind = pa.fixed_shape_tensor(pa.float32(), [2, 2], permutation=permutation)
        tensors = pa.ExtensionArray.from_storage(kind, tensors.storage)
    for column in (tensors, pa.array(X.reshape(3, 2, 2).tolist())):
        with pytest.raises(ValueError, match=r"'embedding' of .* must hold one vector per item, got tensors of shape"):
            ItemTable.from_parquet(write(tmp_path / "x.parquet", column))


def test_tensors_whose_type_is_not_known_here_keep_their_shape(tmp_path):
    about = {"ARROW:extension:name": "ray.data.arrow_tensor_v2", "ARROW:extension:metadata": "[2, 2]"}
    field = pa.field("embedding", pa.large_list(pa.float32()), metadata=about)
    schema = pa.schema([pa.field("item_id", pa.string()), field])
    table = pa.table([["a", "b", "c"], pa.array(X.tolist(), field.type)], schema=schema)
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"got tensors of shape \(2, 2\)"):
        ItemTable.from_parquet(tmp_path / "x.parquet")


class TensorType(pa.ExtensionType):
    """As Ray's: pandas gets elements of its own, which numpy does not know."""

    def __init__(self, shape):
        self.shape = shape
        super().__init__(pa.large_list(pa.float32()), "semid.tests.tensor")

    def __arrow_ext_serialize__(self):
        return json.dumps(self.shape).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls(tuple(json.loads(serialized)))

    def to_pandas_dtype(self):
        raise TypeError("only the library that wrote this makes pandas of it")


@pytest.fixture
def tensor_type():
    pa.register_extension_type(TensorType((4,)))
    yield TensorType
    pa.unregister_extension_type("semid.tests.tensor")


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 2)])
def test_tensors_of_a_library_that_is_imported_are_read_as_without_it(tmp_path, tensor_type, shape):
    storage = pa.array(X.tolist(), pa.large_list(pa.float32()))
    path = write(tmp_path / "x.parquet", pa.ExtensionArray.from_storage(tensor_type(shape), storage))
    if shape == (2, 2):
        with pytest.raises(ValueError, match=r"got tensors of shape \(2, 2\)"):
            ItemTable.from_parquet(path)
    else:
        np.testing.assert_array_equal(ItemTable.from_parquet(path).embeddings, X)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (pa.array([[1.0, 2.0], None, [1.0, 2.0]]), ValueError, "must not have missing lists, got 1, first in row 1"),
        (pa.array([[1.0]] * 3), ValueError, "must hold lists of one length, at least 2, got lengths from 1 to 1"),
        (pa.array([[[1.0, 2.0]], [None], [[1.0, 2.0]]]), ValueError, "must not have missing lists in its lists, got 1"),
        (pa.array(["[1, 2]"] * 3), TypeError, "lists of numbers, got string. Read are .* read with json.loads"),
        (pa.array([X[0].tobytes()] * 3), TypeError, "lists of numbers, got binary. Read are .* np.frombuffer reads"),
        (pa.array([["a", "b"]] * 3), TypeError, "must hold lists of numbers, got string"),
        (pa.array([{"x": 1.0}] * 3), TypeError, "lists of numbers, got struct<.*vectors of Spark ML; or name numeric"),
        (pa.array([{**SPARSE, "size": 3}] * 3, SPARK), ValueError, "must hold vectors with indices below their size"),
        (pa.array([SPARSE, {**SPARSE, "size": 5}, SPARSE], SPARK), ValueError, "one length, .* lengths from 4 to 5"),
        (pa.array([{**SPARSE, "indices": [1]}] * 3, SPARK), ValueError, "as many indices as values"),
        (pa.array([None, *DENSE[1:]], SPARK), ValueError, "must not have missing lists, got 1, first in row 0"),
    ],
)
def test_columns_that_are_no_vectors_are_explained(tmp_path, column, error, message):
    with pytest.raises(error, match=message):
        ItemTable.from_parquet(write(tmp_path / "x.parquet", column))


def test_columns_of_single_features_are_read_of_decimals_and_nulls_are_named(tmp_path):
    columns = {"x": pa.array([Decimal("0.5"), Decimal(1)], pa.decimal128(4, 2)), "y": pa.array([1, None])}
    pq.write_table(pa.table({"item_id": ["a", "b"], **columns}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"row 1 \(id 'b'\) holds NaN"):
        ItemTable.from_parquet(tmp_path / "x.parquet", embedding_columns=["x", "y"])


def test_ids_that_were_written_as_floats_beyond_two_to_the_53_are_told(tmp_path):
    path = write(tmp_path / "x.parquet", COLUMNS["lists"], ids=[2.0**60, 1.0, 2.0])
    with pytest.warns(UserWarning, match=r"must be integers or text, got float64 beyond 2\*\*53.*HUGEINT"):
        ItemTable.from_parquet(path)
