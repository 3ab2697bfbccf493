"""Codes of a stream of Arrow record batches, for catalogues that no memory holds and for Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import starmap
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator

from semid.base._checks import check_integer
from semid.base._threads import in_threads
from semid.io._arrow import column_of, embeddings_of, import_pyarrow, is_null, placed

if TYPE_CHECKING:
    import pyarrow as pa


def encode_batches(
    tokenizer: BaseEstimator,
    batches: Iterable[pa.RecordBatch],
    *,
    embedding: str | Sequence[str] = "embedding",
    id: str = "item_id",
    n_jobs: int | None = None,
) -> Iterator[pa.RecordBatch]:
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
        One column of lists of numbers, of fixed size or not, of tensors of one axis, as Ray makes of numpy arrays, or
        of vectors of Spark ML; or the columns of the single features.
    id : str, default "item_id"
        Column of the ids, of any type.
    n_jobs : int or None, default None
        Threads that encode, each a batch of its own on one core, while the next batches are read; -1: one for each
        core. None: the batches one after the other, each on the cores that torch has. Codes, their order and what comes
        before an error are the same. While the stream is open, torch has one core in each thread that begins with it.

    Yields
    ------
    codes : pyarrow.RecordBatch
        The id column as it is, and ``code0``, ``code1``, ..., int64. Codes are those of `transform`.

    Raises
    ------
    TypeError
        If `batches` yields something else, a column is not of numbers, or `n_jobs` is no integer.
    ValueError
        If a column is not there, or an id or a number is missing or not finite; the message names the row. If `n_jobs`
        is neither -1 nor positive.

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
    pa = import_pyarrow()
    if n_jobs is not None and n_jobs != -1:
        check_integer("n_jobs", n_jobs, 1)
    names = [str(name) for name in tokenizer.get_feature_names_out()]

    def encoded(batch, where):
        ids = column_of(batch, "id", id)
        where.refuse(is_null(ids), f"column {id!r} must not have missing ids")
        codes = np.empty((0, len(names)), dtype=np.int64)
        if len(batch):
            X = embeddings_of(pa, batch, embedding, where)
            codes = np.asarray(tokenizer.transform(_named(tokenizer, X, embedding)), dtype=np.int64)
        columns = [pa.array(np.ascontiguousarray(column)) for column in codes.T]
        return pa.RecordBatch.from_arrays([ids, *columns], names=[id, *names])

    config = get_config()

    def encoded_in_thread(batch, where):
        with config_context(**config):  # which is that of each thread alone
            return encoded(batch, where)

    calls = placed(_record_batches(pa, batches))
    if n_jobs is None:
        yield from starmap(encoded, calls)
    else:
        yield from in_threads(encoded_in_thread, calls, joblib.cpu_count() if n_jobs == -1 else n_jobs)


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


def _named(tokenizer, X, embedding):
    """Return `X` with names of columns if the tokenizer was fitted with some: those of the batch, or those of fit."""
    fitted = getattr(tokenizer, "feature_names_in_", None)
    if fitted is None:
        return X
    if X.shape[1] != len(fitted):
        raise ValueError(f"embedding must have {len(fitted)} features, as X in fit, got {X.shape[1]} in {embedding!r}.")
    return pd.DataFrame(X, columns=fitted if isinstance(embedding, str) else list(embedding))
