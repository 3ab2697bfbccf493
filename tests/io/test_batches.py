"""Codes of a stream of record batches: those of `transform`, one batch at a time."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semid.io import encode_batches
from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

NAMES = ["item_id", "code0", "code1"]


@pytest.fixture(scope="module")
def fitted(items):
    return ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0).fit(items.embeddings)


def _lists(X, kind):
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(X).ravel()), X.shape[1])
    make = pa.large_list if kind == "large" else pa.list_
    return pa.array([row.tolist() for row in X], type=make(pa.from_numpy_dtype(X.dtype)))


def _table(items, kind="fixed", dtype=np.float32):
    return pa.table(
        {"item_id": items.frame["item_id"].tolist(), "embedding": _lists(items.embeddings.astype(dtype), kind)}
    )


def _codes(batches):
    table = pa.Table.from_batches(list(batches))
    return np.column_stack([table[name].to_numpy() for name in table.column_names[1:]])


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 300])
def test_codes_of_lists_are_those_of_transform(fitted, items, kind, dtype, size):
    batches = _table(items, kind, dtype).to_batches(max_chunksize=size)
    result = list(encode_batches(fitted, batches))
    assert [batch.num_rows for batch in result] == [batch.num_rows for batch in batches]
    assert result[0].schema == pa.schema([("item_id", pa.string()), ("code0", pa.int64()), ("code1", pa.int64())])
    np.testing.assert_array_equal(_codes(result), fitted.transform(items.embeddings))
    assert pa.Table.from_batches(result)["item_id"].to_pylist() == items.frame["item_id"].tolist()


def _tensors(X):
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(X))


def test_codes_of_tensors_are_those_of_transform(fitted, items):
    batch = pa.RecordBatch.from_arrays(
        [pa.array(items.frame["item_id"].tolist()), _tensors(items.embeddings)], ["item_id", "embedding"]
    )
    batches = [batch.slice(0, 70), batch.slice(70)]
    np.testing.assert_array_equal(_codes(encode_batches(fitted, batches)), fitted.transform(items.embeddings))


def test_missing_tensors_are_refused_by_their_row(fitted, items):
    tensors = _tensors(items.embeddings[:3])
    tensors = pa.ExtensionArray.from_storage(tensors.type, tensors.storage.take(pa.array([0, None, 2])))
    batch = pa.RecordBatch.from_arrays([pa.array([1, 2, 3]), tensors], ["item_id", "embedding"])
    with pytest.raises(ValueError, match="missing lists, got one in row 1 of batch 0"):
        list(encode_batches(fitted, [batch]))


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
def test_sliced_batches_are_read_where_they_begin(fitted, items, kind):
    batch = _table(items, kind).to_batches()[0].slice(100, 50)
    np.testing.assert_array_equal(_codes(encode_batches(fitted, [batch])), fitted.transform(items.embeddings[100:150]))


def test_codes_of_numeric_columns_are_those_of_transform(fitted, items):
    names = [f"e{i}" for i in range(24)]
    frame = pd.DataFrame(items.embeddings, columns=names).assign(sku=np.arange(300))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    codes = encode_batches(fitted, table.to_batches(max_chunksize=64), embedding=names, id="sku")
    np.testing.assert_array_equal(_codes(codes), fitted.transform(items.embeddings))


@pytest.mark.parametrize("as_lists", [True, False])
def test_tokenizers_fitted_on_named_columns_take_both(items, as_lists):
    names = [f"e{i}" for i in range(24)]
    frame = pd.DataFrame(items.embeddings, columns=names)
    tokenizer = make_pipeline(StandardScaler(), ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0))
    expected = tokenizer.fit(frame).transform(frame)
    table = _table(items) if as_lists else pa.Table.from_pandas(frame.assign(item_id=np.arange(300)))
    codes = encode_batches(tokenizer, table.to_batches(), embedding="embedding" if as_lists else names)
    np.testing.assert_array_equal(_codes(codes), expected)


def test_outputs_as_pandas_are_codes_all_the_same(items):
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0).set_output(transform="pandas")
    expected = tokenizer.fit_transform(items.embeddings).to_numpy()
    np.testing.assert_array_equal(_codes(encode_batches(tokenizer, _table(items).to_batches())), expected)


def test_batches_are_read_one_at_a_time(fitted, items):
    read = []

    def source():
        for batch in _table(items).to_batches(max_chunksize=100):
            read.append(batch)
            yield batch

    stream = encode_batches(fitted, source())
    assert len(read) == 0
    next(stream)
    assert len(read) == 1
    assert len(list(stream)) == 2


class _Recording(BaseEstimator):
    """Codes of another tokenizer, later ones sooner; keeps on how many cores torch computed."""

    def __init__(self, tokenizer, n_cores):
        self.tokenizer, self.n_cores = tokenizer, n_cores

    def get_feature_names_out(self):
        return self.tokenizer.get_feature_names_out()

    def transform(self, X):
        self.n_cores.append(torch.get_num_threads())
        time.sleep(0.01 / len(self.n_cores))
        return self.tokenizer.transform(X)


@pytest.mark.parametrize("n_jobs", [1, 2, 5, -1])
@pytest.mark.parametrize("size", [1, 7, 300])
def test_jobs_change_neither_codes_nor_their_order(items, n_jobs, size):
    tokenizer = RQVAETokenizer(n_codebooks=2, codebook_size=8, hidden_layer_sizes=(8,), max_iter=1, random_state=0)
    tokenizer.fit(items.embeddings)
    torch.set_num_threads(2)
    n_cores = []
    batches = _table(items).to_batches(max_chunksize=size)
    result = list(encode_batches(_Recording(tokenizer, n_cores), batches, n_jobs=n_jobs))
    assert [batch.num_rows for batch in result] == [batch.num_rows for batch in batches]
    np.testing.assert_array_equal(_codes(result), tokenizer.transform(items.embeddings))
    assert pa.Table.from_batches(result)["item_id"].to_pylist() == items.frame["item_id"].tolist()
    assert set(n_cores) == {1}
    assert torch.get_num_threads() == 2
    assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == 2


def test_jobs_read_as_far_ahead_as_there_are_two_batches_for_each(fitted, items):
    read = []

    def source():
        for batch in _table(items).to_batches(max_chunksize=10):
            read.append(batch)
            yield batch

    stream = encode_batches(fitted, source(), n_jobs=2)
    next(stream)
    assert len(read) == 4
    stream.close()
    assert len(read) == 4


def test_the_last_of_several_streams_gives_the_cores_back(fitted, items):
    torch.set_num_threads(2)
    batches = _table(items).to_batches(max_chunksize=50)
    first, second = (encode_batches(fitted, batches, n_jobs=2) for _ in range(2))
    next(first)
    ThreadPoolExecutor(1).submit(next, second).result()
    first.close()
    assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == 1
    list(second)
    assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == 2


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_errors_come_after_the_batches_before_them(fitted, items, n_jobs):
    stream = encode_batches(fitted, _with(items, 5, embedding=lambda _: None), n_jobs=n_jobs)
    assert next(stream).num_rows == 4
    with pytest.raises(ValueError, match=r"missing lists, got one in row 1 of batch 1, row 5 of all"):
        next(stream)

    def broken():
        yield from _table(items).to_batches(max_chunksize=100)
        raise OSError("the disk is gone")

    stream = encode_batches(fitted, broken(), n_jobs=n_jobs)
    assert [next(stream).num_rows for _ in range(3)] == [100, 100, 100]
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


@pytest.mark.parametrize(
    ("n_jobs", "error", "message"),
    [
        (0, ValueError, "n_jobs must be at least 1, got 0"),
        (-2, ValueError, "n_jobs must be at least 1, got -2"),
        (2.25, TypeError, "n_jobs must be an integer, got 2.25"),
        ("2", TypeError, "n_jobs must be an integer, got '2'"),
    ],
)
def test_wrong_numbers_of_jobs_are_refused(fitted, items, n_jobs, error, message):
    with pytest.raises(error, match=message):
        list(encode_batches(fitted, _table(items).to_batches(), n_jobs=n_jobs))


def test_jobs_are_those_of_the_call_alone(fitted, items):
    read = []
    batches = (read.append(batch) or batch for batch in _table(items).to_batches(max_chunksize=50))
    with joblib.parallel_config(backend="threading", n_jobs=4):
        next(encode_batches(fitted, batches))
    assert len(read) == 1


def test_lists_of_another_width_than_the_names_of_fit_are_refused(items):
    frame = pd.DataFrame(items.embeddings[:, :4], columns=list("abcd"))
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0).fit(frame)
    with pytest.raises(ValueError, match="embedding must have 4 features, as X in fit, got 24 in 'embedding'"):
        list(encode_batches(tokenizer, _table(items).to_batches()))
    with pytest.raises(ValueError, match="embedding must name a column at least"):
        list(encode_batches(tokenizer, _table(items).to_batches(), embedding=[]))


def test_it_is_a_function_for_map_in_arrow(fitted, items):
    function = partial(encode_batches, fitted, embedding="embedding", id="item_id")
    reader = pa.RecordBatchReader.from_batches(_table(items).schema, _table(items).to_batches())
    assert pa.Table.from_batches(function(reader)).column_names == NAMES


def test_empty_batches_stay_in_the_stream(fitted, items):
    empty = _table(items).to_batches()[0].slice(0, 0)
    (result,) = encode_batches(fitted, [empty])
    assert (result.num_rows, result.schema.names) == (0, NAMES)
    assert list(encode_batches(fitted, [])) == []


def test_ids_of_a_dictionary_pass_through(fitted, items):
    table = _table(items)
    table = table.set_column(0, "item_id", table["item_id"].dictionary_encode())
    (batch,) = encode_batches(fitted, table.to_batches())
    assert pa.types.is_dictionary(batch.schema.field("item_id").type)


def _with(items, row, **columns):
    table = _table(items, "list").slice(0, 10)
    for name, value in columns.items():
        values = table[name].to_pylist()
        values[row] = value(values[row])
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, type=table.schema.field(name).type))
    return table.to_batches(max_chunksize=4)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item_id": lambda _: None}, "column 'item_id' must not have missing ids"),
        ({"embedding": lambda _: None}, "column 'embedding' must not have missing lists"),
        ({"embedding": lambda x: [None, *x[1:]]}, "embeddings must be finite, without missing numbers"),
        ({"embedding": lambda x: [float("nan"), *x[1:]]}, "embeddings must be finite"),
        ({"embedding": lambda x: [float("inf"), *x[1:]]}, "embeddings must be finite"),
        ({"embedding": lambda x: x[1:]}, "lists of one length, 24"),
    ],
)
def test_what_is_missing_is_refused_by_its_row(fitted, items, columns, message):
    with pytest.raises(ValueError, match=f"{message}.*got one in row 1 of batch 1, row 5 of all"):
        list(encode_batches(fitted, _with(items, 5, **columns)))


def test_missing_numbers_in_columns_are_refused_by_their_row(fitted):
    names = [f"e{i}" for i in range(24)]
    columns = {name: [1.0, 2.0, None if name == "e7" else 3.0] for name in names}
    batch = pa.RecordBatch.from_pydict({"item_id": [1, 2, 3], **columns})
    with pytest.raises(ValueError, match="without missing numbers, got one in row 2 of batch 0"):
        list(encode_batches(fitted, [batch], embedding=names))


def test_fixed_lists_with_missing_rows_or_numbers_are_refused_by_their_row(fitted):
    kind = pa.list_(pa.float32(), 24)
    ids = pa.array([1, 2, 3])
    for wrong, message in ((None, "missing lists"), ([None] * 24, "missing numbers")):
        column = pa.array([[0.0] * 24, wrong, [0.0] * 24], type=kind)
        with pytest.raises(ValueError, match=f"{message}, got one in row 1 of batch 0"):
            list(encode_batches(fitted, [pa.RecordBatch.from_arrays([ids, column], ["item_id", "embedding"])]))


def test_embeddings_of_another_width_are_refused(fitted):
    batch = pa.RecordBatch.from_pydict({"item_id": [1], "embedding": [[1.0, 2.0]]})
    with pytest.raises(ValueError, match="expecting 24 features"):
        list(encode_batches(fitted, [batch]))


@pytest.mark.parametrize(
    ("batches", "options", "error", "message"),
    [
        (lambda table: table, {}, TypeError, r"got a Table. Pass table.to_batches\(\)"),
        (lambda table: table.to_batches()[0], {}, TypeError, "got a RecordBatch"),
        (lambda table: [table], {}, TypeError, "must yield record batches, got Table"),
        (lambda table: [table.to_pandas()], {}, TypeError, "must yield record batches, got DataFrame"),
        (lambda table: table.to_batches(), {"id": "sku"}, ValueError, r"id must name one column .*'sku'.*'item_id'"),
        (lambda table: table.to_batches(), {"embedding": "x"}, ValueError, "embedding must name one column"),
        (
            lambda table: table.to_batches(),
            {"embedding": "item_id"},
            TypeError,
            "must hold lists of numbers",
        ),
        (lambda table: table.to_batches(), {"embedding": ["item_id"]}, TypeError, "must hold numbers, got string"),
    ],
)
def test_what_are_no_batches_is_refused(fitted, items, batches, options, error, message):
    with pytest.raises(error, match=message):
        list(encode_batches(fitted, batches(_table(items)), **options))


def test_pyarrow_is_imported_on_use():
    code = "import sys; sys.modules['pyarrow'] = None; import semid.io; print(list(semid.io.__all__)[:1])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "['ArtifactError']", result.stderr


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_the_configuration_of_scikit_learn_reaches_every_job(items, n_jobs):
    frame = pd.DataFrame(items.embeddings, columns=[f"e{n}" for n in range(24)])
    with config_context(transform_output="pandas"):
        model = make_pipeline(StandardScaler(), ResidualKMeansTokenizer(2, 8, random_state=0)).fit(frame)
        batches = _table(items).to_batches(max_chunksize=100)
        expected = model.transform(frame).to_numpy()
        np.testing.assert_array_equal(_codes(encode_batches(model, batches, n_jobs=n_jobs)), expected)
