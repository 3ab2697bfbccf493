"""Parquet files as Arrow tables and DataFrames.

A parquet file says what its columns are, and is believed: integers stay integers where some are missing.
"""

import json
import re
from os import fspath

import numpy as np
import pandas as pd

from semid.tables._frames import NULLABLE, without_views
from semid.tables._vectors import is_list

UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
_INDEX = b"semid.index"  # in the metadata of a table, the names of the columns that were the index


def read_parquet(path, columns=None):
    """Return what a parquet file, or a folder of such files, holds as an Arrow table; of a pandas index, the column.

    Raise a ValueError for a file that is none, and for a column that is not there.
    """
    table, known = _read(path, columns)
    for name in columns or ():
        if table.schema.names.count(name) != 1:
            known = list(dict.fromkeys([*known, *table.schema.names]))
            raise ValueError(f"{fspath(path)} must have one column {name!r}, got {known}.")
    return table


def read_indexed(path):
    """Return what a parquet file holds as a DataFrame, with the index of the one that was written, if there was."""
    table, _ = _read(path, None, with_unnamed=True)
    frame = frame_of(path, table)
    names = (table.schema.metadata or {}).get(_INDEX)
    if names is None or frame.columns.has_duplicates:
        return frame
    frame = frame.set_index(json.loads(names))
    return frame.rename_axis([None if UNNAMED_INDEX.fullmatch(name) else name for name in frame.index.names])


def _read(path, columns, *, with_unnamed=False):
    """Return the table of a file, and the names of all columns in it."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow: pip install semid[parquet].") from error
    try:
        dataset = parquet.ParquetDataset(path)
        names = [name for name in columns or () if dataset.schema.names.count(name)] if columns else None
        table = _with_index(pa, dataset.read(columns=names, use_pandas_metadata=False), with_unnamed)
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, NotImplementedError, OSError, KeyError) as error:
        raise ValueError(f"{path} must be a parquet file that is whole, pyarrow says: {error}") from error
    return table, dataset.schema.names


def _with_index(pa, table, with_unnamed):
    """Return a table whose pandas index, where it has a name or is wanted without one, is a column as any other.

    Types of pandas that are Arrow's own are left to the file: pandas does not read its own name for a list of them.
    """
    about = table.schema.pandas_metadata
    if not about:
        return table
    names = []
    for index in about.get("index_columns", ()):
        if isinstance(index, str):
            if index not in table.schema.names:
                continue
            if UNNAMED_INDEX.fullmatch(index) and not with_unnamed:
                table = table.drop_columns([index])
                continue
            names.append(index)
        elif index.get("name") is not None and index["name"] not in table.schema.names:
            numbers = np.arange(index["start"], index["stop"], index["step"], dtype=np.int64)
            if len(numbers) == len(table):
                table = table.append_column(index["name"], pa.array(numbers))
                names.append(index["name"])
    known = [column for column in about["columns"] if not str(column["numpy_type"]).endswith("[pyarrow]")]
    # An index without a name keeps that of its column, and all names are text, or pandas makes NaN and numbers of them.
    known = [column for column in known if column["name"] == column.get("field_name", column["name"])]
    about = json.dumps(about | {"index_columns": [], "column_indexes": [], "columns": known}).encode()
    metadata = {**(table.schema.metadata or {}), b"pandas": about}
    return table.replace_schema_metadata(metadata | ({_INDEX: json.dumps(names).encode()} if names else {}))


def frame_of(path, table, times=()):
    """Return the table of a file as a DataFrame: integers stay integers, decimals are numbers, days in `times` times.

    Raise a ValueError for what pandas cannot hold.
    """
    import pyarrow as pa

    try:
        for position, field in enumerate(table.schema):
            column = _plain(pa, table.column(position), is_time=field.name in times)
            table = table.set_column(position, field.name, column)
        frame = table.to_pandas()
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
        raise ValueError(f"{path} must have columns that pandas can hold, pyarrow says: {error}") from error
    if frame.columns.has_duplicates:
        return frame  # which the caller refuses
    kinds = {getattr(pa, name)(): dtype for name, dtype in NULLABLE.items()}
    for field, column in zip(table.schema, table.columns, strict=True):
        if column.null_count and field.type in kinds:
            frame[field.name] = column.to_pandas(types_mapper=kinds.get).array
        elif is_list(pa, field.type) and pa.types.is_integer(field.type.value_type) and _has_gaps(column):
            frame[field.name] = pd.Series(column.to_pylist(), dtype=object)
    return frame


def _has_gaps(column):
    return any(chunk.flatten().null_count for chunk in column.chunks)


def _plain(pa, column, *, is_time):
    """Return a column without the types of Arrow that pandas holds as objects, or not at all."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and is_list(pa, kind.storage_type):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], type=kind.storage_type)
    if pa.types.is_decimal(kind):
        return _from_decimals(pa, column)
    if is_time and pa.types.is_date(kind):
        return column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
    return column.cast(without_views(pa, kind))


def _from_decimals(pa, column):
    for wanted in [pa.int64(), pa.uint64()] if column.type.scale <= 0 else [pa.float64()]:
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:
            continue
    return column
