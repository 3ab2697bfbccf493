"""Tables that are read a part at a time: parquet files, pyarrow data sets, and record batches that come again."""

import os
import sys
from collections.abc import Iterator
from functools import partial
from os import fspath
from pathlib import Path
from typing import Any

import pandas as pd

from semid.tables._frames import from_arrow
from semid.tables._parquet import UNNAMED_INDEX
from semid.tables._vectors import is_list

PART_ROWS = 131_072  # of a table, read and looked at together
_TAKEN = "a path of parquet files, a pyarrow.dataset.Dataset, or an iterable of pyarrow.RecordBatch"


def is_read_in_parts(X: Any) -> bool:
    """Return whether `X` is a table for `TableInParts`: a path, a data set of pyarrow, or batches that come again."""
    if isinstance(X, str | os.PathLike):
        return True
    if "pyarrow" not in sys.modules or any(map(partial(hasattr, X), ("__arrow_c_stream__", "__array__", "shape"))):
        return False
    return _is_dataset(X) or (_comes_again(X) and _is_batch(next(iter(X), None)))


class TableInParts:
    """A table that may be larger than memory, as DataFrames of `PART_ROWS` rows in an order that is always the same.

    Parameters
    ----------
    name : str
        Of the argument, for errors.
    X : str, path-like, pyarrow.dataset.Dataset, or iterable of pyarrow.RecordBatch
        A parquet file or a folder of them, in the order of their paths (``part-10`` before ``part-2``), of the same
        columns and types, but that integers may be narrower or a column empty in some. An iterable must begin anew,
        with the same rows, each time it is iterated over.

    Attributes
    ----------
    names : list of str
        Columns, without an index of pandas that has no name.
    lists : set of str
        Those that hold lists.
    histories : list of str
        Those that were written as histories, and are read as lists.

    Raises
    ------
    TypeError, ValueError
        If `X` is none of these, or has no columns.
    """

    def __init__(self, name: str, X: Any) -> None:
        self.name = name
        self._pa = _import_pyarrow(name, X)
        self._source = _as_dataset(name, X) if isinstance(X, str | os.PathLike) else X
        self._schema = self._read_schema()
        self.histories = _written_as_histories(self._source, self._schema)
        names = list(self._schema.names)
        self.names = [column for column in names if not UNNAMED_INDEX.fullmatch(column)]
        twice = sorted({column for column in names if names.count(column) > 1})
        if twice:
            raise ValueError(f"{name} must have columns of different names, got {twice} more than once.")
        self.lists = {column for column in self.names if is_list(self._pa, self._schema.field(column).type)}

    def check_column(self, parameter: str, column: Any) -> None:
        """Raise unless `column` is the name of a column."""
        if not isinstance(column, str):
            raise TypeError(
                f"{parameter} must be the name of a column of {self.name} where {self.name} is read in parts, got a "
                f"{type(column).__name__}. Pass {parameter}='...', or a table in memory as {self.name}."
            )
        if column not in self.names:
            raise ValueError(f"{parameter} must name a column of {self.name}, got {column!r}; it has {self.names}.")

    def frames(self, columns: list[str]) -> Iterator[pd.DataFrame]:
        """Yield these columns as DataFrames of `PART_ROWS` rows, but for the last."""
        waiting, n_waiting = [], 0
        for batch in self._batches(columns):
            waiting.append(batch)
            n_waiting += len(batch)
            while n_waiting >= PART_ROWS:
                table = self._pa.Table.from_batches(waiting)
                yield from_arrow(self.name, table.slice(0, PART_ROWS))
                waiting, n_waiting = table.slice(PART_ROWS).to_batches(), n_waiting - PART_ROWS
        if n_waiting:
            yield from_arrow(self.name, self._pa.Table.from_batches(waiting))

    def _read_schema(self):
        if _is_dataset(self._source):
            return self._source.schema
        first = next(iter(self._source), None) if _comes_again(self._source) else None
        if not _is_batch(first):
            raise TypeError(f"{self.name} must be {_TAKEN} that can be gone through again, got {self._described()}.")
        return first.schema

    def _described(self):
        kind = type(self._source).__name__
        if hasattr(self._source, "__next__") or kind == "RecordBatchReader":
            return f"a {kind}, which can be read once: pass a list, or an object whose __iter__ begins anew"
        return f"a {kind}; a table in memory is passed with its labels as an array, such as (X.drop(columns=y), X[y])"

    def _batches(self, columns):
        if _is_dataset(self._source):
            yield from _batches_of_dataset(self._source, columns)
            return
        for number, batch in enumerate(self._source):
            if not _is_batch(batch) or batch.schema.names != self._schema.names:
                got = batch.schema.names if _is_batch(batch) else type(batch).__name__
                raise ValueError(
                    f"{self.name} must be batches of the same columns, {self._schema.names}, got {got} as number "
                    f"{number}."
                )
            wanted = self._pa.schema([self._schema.field(column) for column in columns])
            batch = batch.select(columns)
            yield batch if batch.schema.equals(wanted) else self._cast(batch, wanted, number)

    def _cast(self, batch, wanted, number):
        try:
            return batch.cast(wanted)
        except (ValueError, NotImplementedError) as error:  # what pyarrow raises is one of these
            raise ValueError(
                f"{self.name} must be batches of the same types, got others as number {number}, pyarrow says: {error}"
            ) from error


def _batches_of_dataset(dataset, columns):
    """Yield the record batches of a data set, a row group at a time: a scan of all keeps what it has read."""
    at_once = {"columns": columns, "batch_size": PART_ROWS, "batch_readahead": 1, "fragment_readahead": 1}
    try:
        fragments = list(dataset.get_fragments())
    except ValueError:  # of a data set with a filter
        yield from dataset.to_batches(**at_once)
        return
    for fragment in fragments:
        pieces = fragment.split_by_row_group() if hasattr(fragment, "split_by_row_group") else [fragment]
        for piece in pieces:
            yield from piece.to_batches(schema=dataset.schema, **at_once)


def _written_as_histories(source, schema):
    """Return the columns that pandas, by its own note in a schema, has written from a column of histories."""
    try:
        fragment = next(iter(source.get_fragments()), None) if _is_dataset(source) else None
    except ValueError:  # of a data set with a filter
        fragment = None
    columns = (getattr(fragment, "physical_schema", schema).pandas_metadata or {}).get("columns", ())
    return [column.get("field_name") for column in columns if str(column.get("numpy_type")).startswith("history")]


def _as_dataset(name, path):
    from pyarrow import dataset

    if not os.path.exists(path):
        raise FileNotFoundError(f"{name} must be a parquet file or a folder of them, got {fspath(path)!r}: not there.")
    try:
        opened = dataset.dataset(fspath(path), format="parquet")
        schemas = [(fragment.path, fragment.physical_schema) for fragment in opened.get_fragments()]
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise ValueError(
            f"{name} must be a parquet file or a folder of them, got {fspath(path)!r}, pyarrow says: {error}"
        ) from error
    if not schemas:
        raise ValueError(f"{name} must be a parquet file or a folder of them, got {fspath(path)!r}: an empty folder.")
    # A folder `day=3` on the way to a single file is no column of it.
    of_folders = _folder_columns(fspath(path), opened.files) if os.path.isdir(path) else []
    schema = _common_schema(name, schemas, of_folders)
    if not of_folders:
        return dataset.dataset(fspath(path), schema=schema, format="parquet")
    found = dataset.dataset(fspath(path), format="parquet", partitioning="hive").schema
    for column in of_folders:
        schema = schema.append(found.field(column))
    return dataset.dataset(fspath(path), schema=schema, format="parquet", partitioning="hive")


def _folder_columns(base, files):
    """Return the names of the folders `<column>=<value>` between a base and its files."""
    folders = [part for file in files for part in Path(os.path.relpath(file, base)).parts[:-1] if "=" in part]
    return list(dict.fromkeys(part.split("=")[0] for part in folders))


def _common_schema(name, schemas, of_folders):
    """Return the columns of all files, each of a type that holds those of every file, or raise where there is none."""
    import pyarrow as pa

    first_path, first = schemas[0]
    types = {field.name: field.type for field in first}
    for path, schema in schemas:
        twice = sorted(set(schema.names) & set(of_folders))
        if twice:
            raise ValueError(
                f"{name} must have each column once, got {twice[0]!r} in {path!r} and as a name of folders."
            )
        if set(schema.names) != set(types):
            odd = sorted(set(schema.names) ^ set(types))
            raise ValueError(
                f"{name} must be files of the same columns, got {odd[0]!r} in one of {first_path!r} and {path!r} "
                "alone. Write them with one schema."
            )
        for field in schema:
            common = _common_type(pa, types[field.name], field.type)
            if common is None:
                raise ValueError(
                    f"{name} must be files of the same types, got {field.name!r} as {types[field.name]} in "
                    f"{first_path!r} or one of those after it, and as {field.type} in {path!r}. Write them with one "
                    "schema."
                )
            types[field.name] = common
    return pa.schema([(column, types[column]) for column in first.names])


def _common_type(pa, one, other):
    """Return a type that holds the values of both without another reading of them, None if there is none."""
    if one.equals(other) or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    values = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (one, other)]
    if values[0].equals(values[1]):
        return values[0]
    is_signed, is_float, is_text = (
        all(map(test, values))
        for test in (
            pa.types.is_signed_integer,
            pa.types.is_floating,
            lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
        )
    )
    if is_signed:
        return pa.int64()
    if is_float:
        return pa.float64()
    return pa.large_string() if is_text else None


def _is_dataset(X):
    module = sys.modules.get("pyarrow.dataset")
    return module is not None and isinstance(X, module.Dataset)


def _is_batch(X):
    return "pyarrow" in sys.modules and isinstance(X, sys.modules["pyarrow"].RecordBatch)


def _comes_again(X):
    if not hasattr(X, "__iter__") or hasattr(X, "__next__") or isinstance(X, str | bytes | dict):
        return False
    return iter(X) is not iter(X)  # an object that hands out one iterator, again and again, gives its rows once


def _import_pyarrow(name, X):
    try:
        import pyarrow as pa
        import pyarrow.dataset
    except ImportError as error:
        raise ImportError(
            f"{name} is a {type(X).__name__}; reading it needs pyarrow: pip install semid[parquet]."
        ) from error
    return pa
