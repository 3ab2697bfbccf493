"""Embeddings in a file, read in pieces."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from semid.base._checks import warn_of_packed_bits
from semid.io import encode_batches
from semid.io._arrow import embeddings_of, placed
from semid.tables._frames import read_npy


class Columns(NamedTuple):
    """Names of the columns of a parquet file."""

    id: str
    embedding: str


class EmbeddingFile:
    """Record batches of ids and embeddings of a ``.npy`` or ``.parquet`` file, or a folder of these, in its order.

    Items of a ``.npy`` file have their positions for ids. The files of a folder follow one another by name.
    """

    def __init__(self, path, columns):
        self.path, self.columns = Path(path), columns
        self._parts = []
        if not self.path.exists():
            raise FileNotFoundError(f"no embeddings at {str(path)!r}.")
        if self.path.is_file() and self.path.suffix == ".npy":
            self._array = _opened(self.path)
            if self._array.ndim != 2 or self._array.dtype.kind not in "fiu":
                raise ValueError(
                    f"embeddings must be a 2-D array of numbers, got shape {self._array.shape} of {self._array.dtype} "
                    f"in {str(path)!r}."
                )
            self.n_rows = len(self._array)
        elif self.path.is_dir() or self.path.suffix == ".parquet":
            # Not buffered ahead: one copy less of every column chunk, and a fifth of the reading.
            for part in _part_files(self.path):
                self._parts.append(_pyarrow_parquet().ParquetFile(part, pre_buffer=False))
                _check_part(part, self._parts[-1], columns, self.id_type)
            self.n_rows = sum(part.metadata.num_rows for part in self._parts)
        else:
            raise ValueError(f"embeddings must be a .npy or a .parquet file, got {str(path)!r}.")
        if self.n_rows == 0:
            raise ValueError(f"embeddings must have a row at least, there is none in {str(path)!r}.")

    @property
    def id_type(self):
        """The Arrow type of the ids."""
        import pyarrow as pa

        if not self._parts:
            return pa.int64()
        schema = self._parts[0].schema_arrow
        return schema.field(self.columns.id).type if self.columns.id in schema.names else pa.null()

    def ids(self):
        """Return the ids of all rows, (n_rows,)."""
        if not self._parts:
            return np.arange(self.n_rows)
        columns = [part.read(columns=[self.columns.id]).column(0) for part in self._parts]
        # Integers beside nulls do not become floats.
        return np.concatenate([column.to_pandas(integer_object_nulls=True).to_numpy() for column in columns])

    def batches(self, n_rows):
        """Yield record batches of at most `n_rows` rows."""
        if self._parts:
            # One group after the other: a reader of all of them holds what it has read, and threads read ahead.
            for part in self._parts:
                for group in range(part.num_row_groups):
                    yield from part.iter_batches(
                        n_rows, row_groups=[group], columns=list(self.columns), use_threads=False
                    )
            return
        for start in range(0, self.n_rows, n_rows):
            yield self._batch(start, self._array[start : start + n_rows])

    def column(self, name):
        """Return another column of the file, (n_rows,)."""
        if not self._parts:
            raise ValueError(f"{str(self.path)!r} must be a .parquet file to have a column {name!r}.")
        missing = [part for part in self._parts if name not in part.schema_arrow.names]
        if missing:
            raise ValueError(f"{str(self.path)!r} must have the column {name!r}, got {missing[0].schema_arrow.names}.")
        return np.concatenate([part.read(columns=[name]).column(0).to_pandas().to_numpy() for part in self._parts])

    def encoded(self, tokenizer, id_column, batch_rows, n_jobs):
        """Yield a record batch of ids and codes for `batch_rows` items after the other, `n_jobs` of them at once."""
        return encode_batches(
            tokenizer, self.batches(batch_rows), embedding=self.columns.embedding, id=id_column, n_jobs=n_jobs
        )

    def sample(self, n_rows, batch_rows):
        """Return `n_rows` embeddings spread evenly over the file, in its order; all of them if there are fewer."""
        wanted = np.unique(np.linspace(0, self.n_rows - 1, num=min(n_rows, self.n_rows)).astype(np.int64))
        if not self._parts:
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


def _part_files(path):
    """Return the file, or those of a folder in the order of `ItemTable.from_parquet`."""
    parts = [Path(part) for part in _pyarrow_parquet().ParquetDataset(path).files] if path.is_dir() else [path]
    if not parts:
        raise ValueError(f"embeddings must be a file, or a folder of .parquet files, got {str(path)!r} with none.")
    return parts


def _check_part(path, file, columns, id_type):
    schema = file.schema_arrow
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise ValueError(
            f"{path} must have the column {missing[0]!r}, got {schema.names}; name yours with --id-column and "
            "--embedding-column."
        )
    if schema.field(columns.id).type != id_type:
        raise ValueError(
            f"{path} must have ids of the type of the first file, {id_type}, got {schema.field(columns.id).type} in "
            f"{columns.id!r}."
        )


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
