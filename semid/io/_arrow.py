"""Embeddings in Arrow record batches."""

import numpy as np

from semid.tables._vectors import numbers_of_arrow, vectors


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

    def refuse_lengths(self, name, lengths):
        """Raise ValueError for the first row that has not as many numbers as the first of all."""
        self.refuse(lengths != lengths[0], f"{name} must hold lists of one length, {lengths[0]}")


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
        column = column_of(batch, "embedding", embedding)
        X = vectors(pa, f"column {embedding!r}", column, batch.schema.field(embedding), where)
    else:
        if not len(embedding):
            raise ValueError("embedding must name a column at least, got none.")
        columns = [(name, column_of(batch, "embedding", name)) for name in embedding]
        X = np.column_stack([numbers_of_arrow(pa, f"column {name!r}", column) for name, column in columns])
    where.refuse(~np.isfinite(X).all(axis=1), "embeddings must be finite, without missing numbers")
    return X
