"""Embeddings in Arrow record batches."""

import numpy as np


class Place:
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


def placed(batches):
    """Yield each batch and its place in the stream."""
    n_before = 0
    for number, batch in enumerate(batches):
        yield batch, Place(number, n_before)
        n_before += len(batch)


def import_pyarrow():
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError("record batches need pyarrow: pip install semid[parquet].") from error
    return pa


def column_of(batch, parameter, name):
    if batch.schema.names.count(name) != 1:
        raise ValueError(f"{parameter} must name one column of each batch, got {name!r}; it has {batch.schema.names}.")
    return batch.column(name)


def is_null(array):
    return array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)


def embeddings_of(pa, batch, embedding, where):
    """Return the embeddings of a batch, (n_rows, n_features)."""
    if isinstance(embedding, str):
        X = _from_lists(pa, column_of(batch, "embedding", embedding), embedding, where)
    else:
        if not len(embedding):
            raise ValueError("embedding must name a column at least, got none.")
        X = np.column_stack([_numbers(pa, column_of(batch, "embedding", name), name) for name in embedding])
    where.refuse(~np.isfinite(X).all(axis=1), "embeddings must be finite, without missing numbers")
    return X


def _from_lists(pa, column, name, where):
    types = pa.types
    if isinstance(column, pa.ExtensionArray):  # a tensor is stored as a list
        column = column.storage
    kind = column.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise TypeError(f"column {name!r} must hold lists of numbers, got {kind}. Name numeric columns in a list.")
    where.refuse(is_null(column), f"column {name!r} must not have missing lists")
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    where.refuse(lengths != lengths[0], f"column {name!r} must hold lists of one length, {lengths[0]}")
    return _numbers(pa, column.flatten(), name, "lists of numbers").reshape(len(column), -1)


def _numbers(pa, column, name, what="numbers"):
    """Return a column of numbers, NaN where they are missing."""
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise TypeError(f"column {name!r} must hold {what}, got {kind}.")
    return column.to_numpy(zero_copy_only=False)
