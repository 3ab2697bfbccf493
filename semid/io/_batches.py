"""Codes of a stream of Arrow record batches, for catalogues that no memory holds and for Spark."""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    import pyarrow as pa


def encode_batches(
    tokenizer: BaseEstimator,
    batches: "Iterable[pa.RecordBatch]",
    *,
    embedding: str | Sequence[str] = "embedding",
    id: str = "item_id",
    n_jobs: int | None = None,
) -> "Iterator[pa.RecordBatch]":
    """Yield a record batch of ids and codes for each record batch of ids and embeddings.

    One batch is in memory at a time, or two for each of `n_jobs`. In Spark, with `functools.partial`, a function for
    ``mapInArrow``: ``df.mapInArrow(partial(encode_batches, tokenizer), "item_id string, code0 bigint, code1 bigint")``.

    Parameters
    ----------
    tokenizer : estimator
        Fitted tokenizer, or a Pipeline that ends in one.
    batches : iterable of pyarrow.RecordBatch
        Such as ``table.to_batches()`` or a ``RecordBatchReader``. Of a parquet file larger than memory,
        ``ParquetFile(path).iter_batches(row_groups=[n])`` of one group after the other: over several, pyarrow keeps
        what it has read.
    embedding : str or list of str, default "embedding"
        One column of lists of numbers, of fixed size or not, or of tensors, as Ray makes of numpy arrays; or the
        columns of the single features.
    id : str, default "item_id"
        Column of the ids, of any type.
    n_jobs : int or None, default None
        Threads that encode, each a batch of its own on one core, while the next batches are read; -1: one for each
        core. None: the batches one after the other, each on the cores that torch has. Codes and their order are the
        same.

    Yields
    ------
    codes : pyarrow.RecordBatch
        The id column as it is, and ``code0``, ``code1``, ..., int64. Codes are those of `transform`.

    Raises
    ------
    TypeError
        If `batches` yields something else, or a column is not of numbers.
    ValueError
        If a column is not there, or an id or a number is missing or not finite; the message names the row.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from semid.datasets import make_items
    >>> from semid.io import encode_batches
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=16, random_state=0).fit(items.embeddings)
    >>> table = pa.table({"item_id": items.frame["item_id"], "embedding": list(items.embeddings)})
    >>> codes = pa.Table.from_batches(encode_batches(tokenizer, table.to_batches(max_chunksize=200)))
    >>> codes.column_names, codes.num_rows
    (['item_id', 'code0', 'code1', 'code2'], 500)
    """
    pa = _pyarrow()
    names = [str(name) for name in tokenizer.get_feature_names_out()]

    def encoded(batch, where):
        ids = _column(batch, "id", id)
        where.refuse(_is_null(ids), f"column {id!r} must not have missing ids")
        codes = np.empty((0, len(names)), dtype=np.int64)
        if len(batch):
            X = _embeddings(pa, batch, embedding, where)
            codes = np.asarray(tokenizer.transform(_named(tokenizer, X, embedding)), dtype=np.int64)
        columns = [pa.array(np.ascontiguousarray(column)) for column in codes.T]
        return pa.RecordBatch.from_arrays([ids, *columns], names=[id, *names])

    placed = _placed(_record_batches(pa, batches))
    n_threads = joblib.effective_n_jobs(n_jobs)
    yield from starmap(encoded, placed) if n_threads == 1 else _in_threads(encoded, placed, n_threads)


def _placed(batches):
    """Yield each batch and its place in the stream."""
    n_before = 0
    for number, batch in enumerate(batches):
        yield batch, _Place(number, n_before)
        n_before += len(batch)


def _in_threads(function, arguments, n_threads):
    """Yield the results of `function` in the order of `arguments`, of which as many again as threads wait, read."""
    waiting = deque()
    with _one_core_each() as start, ThreadPoolExecutor(n_threads, initializer=start) as pool:
        try:
            for each in arguments:
                waiting.append(pool.submit(function, *each))
                if len(waiting) == 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _one_core_each():
    """Let torch use one core in each thread that calls what is yielded, and afterwards as many as before.

    Threads that share a matrix product wait for the slowest of them, which here also reads and copies.
    """
    torch = sys.modules.get("torch")  # not there: the tokenizer computes without it
    if torch is None:
        yield None
        return
    n_cores = torch.get_num_threads()
    try:
        yield partial(torch.set_num_threads, 1)
    finally:
        torch.set_num_threads(n_cores)


class _Place:
    """Where in the stream a batch is, for errors."""

    def __init__(self, number, n_before):
        self._number, self._n_before = number, n_before

    def refuse(self, is_wrong, rule):
        """Raise ValueError of `rule` for the first row where `is_wrong`."""
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise ValueError(
                f"{rule}, got one in row {row} of batch {self._number}, row {self._n_before + row} of all. Filter such "
                "rows out first."
            )


def _pyarrow():
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("record batches need pyarrow: pip install semid[parquet].") from error
    return pa


def _record_batches(pa, batches):
    """Yield the batches, or raise for what is iterable and yields something else."""
    if isinstance(batches, pa.Table | pa.RecordBatch):
        raise TypeError(
            f"batches must be an iterable of record batches, got a {type(batches).__name__}. Pass table.to_batches(), "
            "or [batch]."
        )
    for batch in batches:
        if not isinstance(batch, pa.RecordBatch):
            raise TypeError(f"batches must yield record batches, got {type(batch).__name__}.")
        yield batch


def _column(batch, parameter, name):
    if batch.schema.names.count(name) != 1:
        raise ValueError(f"{parameter} must name one column of each batch, got {name!r}; it has {batch.schema.names}.")
    return batch.column(name)


def _is_null(array):
    return array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)


def _embeddings(pa, batch, embedding, where):
    """Return the embeddings of a batch, (n_rows, n_features)."""
    if isinstance(embedding, str):
        X = _from_lists(pa, _column(batch, "embedding", embedding), embedding, where)
    else:
        X = np.column_stack([_numbers(pa, _column(batch, "embedding", name), name) for name in embedding])
    where.refuse(~np.isfinite(X).all(axis=1), "embeddings must be finite, without missing numbers")
    return X


def _from_lists(pa, column, name, where):
    types = pa.types
    if isinstance(column, pa.ExtensionArray):  # a tensor is stored as a list
        column = column.storage
    kind = column.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise TypeError(f"column {name!r} must hold lists of numbers, got {kind}. Name numeric columns in a list.")
    where.refuse(_is_null(column), f"column {name!r} must not have missing lists")
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    where.refuse(lengths != lengths[0], f"column {name!r} must hold lists of one length, {lengths[0]}")
    return _numbers(pa, column.flatten(), name).reshape(len(column), -1)


def _numbers(pa, column, name):
    """Return a column of numbers, NaN where they are missing."""
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise TypeError(f"column {name!r} must hold numbers, got {kind}.")
    return column.to_numpy(zero_copy_only=False)


def _named(tokenizer, X, embedding):
    """Return `X` with names of columns if the tokenizer was fitted with some: those of the batch, or those of fit."""
    fitted = getattr(tokenizer, "feature_names_in_", None)
    if fitted is None:
        return X
    return pd.DataFrame(X, columns=fitted if isinstance(embedding, str) else list(embedding))
