import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from semid.features import ItemTable


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
