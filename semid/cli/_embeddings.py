"""Embeddings in a file, read in pieces."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from semid._checks import warn_of_packed_bits
from semid._tables import read_npy
from semid.io._arrow import embeddings_of, placed


class Columns(NamedTuple):
    """Names of the columns of a parquet file."""

    id: str
    embedding: str


class EmbeddingFile:
    """Record batches of ids and embeddings of a ``.npy`` or ``.parquet`` file, in its order.

    Items of a ``.npy`` file have their positions for ids.
    """

    def __init__(self, path, columns):
        self.path, self.columns = Path(path), columns
        if not self.path.is_file():
            raise FileNotFoundError(f"no embeddings at {str(path)!r}.")
        if self.path.suffix == ".npy":
            self._array = _opened(self.path)
            if self._array.ndim != 2 or self._array.dtype.kind not in "fiu":
                raise ValueError(
                    f"embeddings must be a 2-D array of numbers, got shape {self._array.shape} of {self._array.dtype} "
                    f"in {str(path)!r}."
                )
            self.n_rows = len(self._array)
        elif self.path.suffix == ".parquet":
            # Not buffered ahead: one copy less of every column chunk, and a fifth of the reading.
            self._parquet = _pyarrow_parquet().ParquetFile(self.path, pre_buffer=False)
            missing = [name for name in columns if name not in self._parquet.schema_arrow.names]
            if missing:
                raise ValueError(
                    f"{path} must have the column {missing[0]!r}, got {self._parquet.schema_arrow.names}; name yours "
                    "with --id-column and --embedding-column."
                )
            self.n_rows = self._parquet.metadata.num_rows
        else:
            raise ValueError(f"embeddings must be a .npy or a .parquet file, got {str(path)!r}.")
        if self.n_rows == 0:
            raise ValueError(f"embeddings must have a row at least, there is none in {str(path)!r}.")

    @property
    def id_type(self):
        """The Arrow type of the ids."""
        import pyarrow as pa

        is_array = self.path.suffix == ".npy"
        return pa.int64() if is_array else self._parquet.schema_arrow.field(self.columns.id).type

    def ids(self):
        """Return the ids of all rows, (n_rows,)."""
        if self.path.suffix == ".npy":
            return np.arange(self.n_rows)
        column = self._parquet.read(columns=[self.columns.id]).column(0)
        return column.to_pandas(integer_object_nulls=True).to_numpy()  # integers beside nulls do not become floats

    def batches(self, n_rows):
        """Yield record batches of at most `n_rows` rows."""
        if self.path.suffix == ".parquet":
            # One group after the other: a reader of all of them holds what it has read, and threads read ahead.
            for group in range(self._parquet.num_row_groups):
                yield from self._parquet.iter_batches(
                    n_rows, row_groups=[group], columns=list(self.columns), use_threads=False
                )
            return
        for start in range(0, self.n_rows, n_rows):
            yield self._batch(start, self._array[start : start + n_rows])

    def sample(self, n_rows, batch_rows):
        """Return `n_rows` embeddings spread evenly over the file, in its order; all of them if there are fewer."""
        wanted = np.unique(np.linspace(0, self.n_rows - 1, num=min(n_rows, self.n_rows)).astype(np.int64))
        if self.path.suffix == ".npy":
            X = np.asarray(self._array[wanted])
            warn_of_packed_bits("embeddings", X)
            return X.astype(np.float32)
        import pyarrow as pa

        parts, start = [], 0
        for batch, where in placed(self.batches(batch_rows)):
            first, last = np.searchsorted(wanted, [start, start + len(batch)])
            if first < last:
                X = embeddings_of(pa, batch, self.columns.embedding, where)
                parts.append(X[wanted[first:last] - start].astype(np.float32))
                if len(parts) == 1:
                    warn_of_packed_bits("embeddings", X)
            start += len(batch)
        widths = sorted({part.shape[1] for part in parts})
        if len(widths) > 1:
            raise ValueError(
                f"column {self.columns.embedding!r} must hold lists of one length, got {widths[0]} and {widths[-1]}."
            )
        return np.concatenate(parts)

    def _batch(self, start, rows):
        import pyarrow as pa

        kind = rows.dtype.newbyteorder("=") if rows.dtype.itemsize <= 8 else np.float64  # Arrow has no others
        values = pa.array(np.ascontiguousarray(rows, dtype=kind).reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
        ids = pa.array(np.arange(start, start + len(rows)))
        return pa.RecordBatch.from_arrays([ids, embedding], names=list(self.columns))


def _opened(path):
    try:
        return read_npy(path, mmap_mode="r")
    except ValueError as error:
        raise ValueError(f"embeddings must be a .npy file of numbers, {str(path)!r} is {error}") from error


def _pyarrow_parquet():
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("parquet files need pyarrow: pip install semid[parquet].") from error
    return pyarrow.parquet
