"""What a column of a file is: an id, a number, a time, text, a list or a vector. All that reads files asks here.

A text file does not say what its columns are: text becomes a number only where its value is kept, and ids of
several files become integers only where those of all can. A parquet file says it, and is believed: integers stay
integers where some are missing.
"""

import json
import re
from os import fspath

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype, is_object_dtype

from semid.tables._frames import NULLABLE, without_views

MISSING_NUMBERS = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>")  # beside the empty text
_BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
# No zero before other digits, and no plus: 01234 is a name, +49123 dials. For pandas, which may ask Arrow: no flags.
_INTEGER = r"(?: *-?(?:0|[1-9][0-9]{0,19}) *)"  # 20 digits, as uint64 has at most
_EXPONENT, _INFINITY = r"(?:[eE][+-]?[0-9]+)", r"[iI][nN][fF](?:[iI][nN][iI][tT][yY])?"
_FLOAT = rf"(?: *-?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}?|{_INFINITY}) *)"
_EXACT = 2**53  # integers up to here are floats as well
_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
_INDEX = b"semid.index"  # in the metadata of a table, the names of the columns that were the index
_SPARK_VECTOR = {"type", "size", "indices", "values"}
_READ_AS_VECTORS = "lists of one length, a list around one such list, tensors of one axis, vectors of Spark ML"


# Text


def from_text(column):
    """Return a Series of text as numbers or booleans if each value is written as one, else as it is.

    Empty text is missing (NaN in `column`), and among numbers `MISSING_NUMBERS` are. Text stays where a value starts
    with a plus or with a zero before other digits, is finite but beyond float64, or is an integer that the others'
    type does not hold. How a number is written is not kept: 1.10 and 1.1 are one, 1e5 is 100000.0, and decimals are
    rounded to float64.
    """
    is_missing = (column.isna() | column.isin(MISSING_NUMBERS)).to_numpy(dtype=bool)
    texts = column[~is_missing]
    if not len(texts):
        return column.astype("float64") if column.isna().all() else column
    values = _numbers(texts)
    if values is None:
        return column
    places = np.where(is_missing, -1, np.cumsum(~is_missing) - 1)
    return pd.Series(pd.array(values).take(places, allow_fill=True), index=column.index).astype(
        _plain_type(values.dtype, is_missing.any())
    )


def _numbers(texts):
    """Return an array of what a Series of text says, or None unless each is a number, or each a boolean."""
    if texts.isin(list(_BOOLEANS)).all():
        return np.array([_BOOLEANS[text] for text in _as_list(texts)])
    if texts.str.fullmatch(_INTEGER).all():
        return _integers(list(map(int, _as_list(texts))))
    if not texts.str.fullmatch(_FLOAT).all():
        return None
    values = np.array(list(map(float, _as_list(texts))))
    loses = any(map(_loses_digits, texts[np.abs(values) >= _EXACT]))
    return None if loses else values


def _loses_digits(text):
    """Return whether a number, in text of one of 2**53 or beyond, is an integer beyond it, or finite but no float64."""
    digits = text.strip().removeprefix("-")
    if digits.isdigit():
        return len(digits) > len(str(_EXACT)) or int(digits) > _EXACT
    return np.isinf(float(digits)) and not digits.lower().startswith("inf")


def _as_list(texts):
    # Text in Arrow is ten times slower to walk through.
    return np.asarray(texts, dtype=object).tolist()


def _integers(values):
    """Return Python's ints as int64, or else uint64, or None where neither holds them."""
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(values, dtype=dtype)
        except OverflowError:
            continue
    return None


def _plain_type(dtype, has_missing):
    if dtype.kind == "f" or not has_missing:
        return dtype
    return nullable_type(dtype)


def nullable_type(dtype):
    """Return the type of pandas in which integers or booleans of a numpy dtype can be missing; other dtypes as is."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "iub":
        return dtype
    return "boolean" if dtype.kind == "b" else dtype.name.replace("int", "Int").replace("u", "U")


# Ids


def ids_from_text(column):
    """Return ids as int64 if each is written as Python writes an integer: 007 and 7 stay two."""
    codes, names = pd.factorize(column)
    names = _as_list(names)
    try:
        integers = np.array([int(name) for name in names], dtype=np.int64)
    except (ValueError, OverflowError):
        return column
    if any(str(integer) != name for integer, name in zip(integers, names, strict=True)):
        return column
    return pd.Series(integers[codes], index=column.index)


def shared_ids(name, columns, are_open, *, text_ids=False):
    """Return ids of several files, none missing, in one type: integers if all can be, else text if any is text.

    `are_open` says which columns are of text files, where it is open whether digits are text or an integer. Raise
    where text is all that two columns have in common, and none of their values.
    """
    own = [ids_from_text(ids) if is_open else _whole(ids) for ids, is_open in zip(columns, are_open, strict=True)]
    kinds = {_kind(ids) for ids in own if len(ids)}
    if not text_ids and "text" not in kinds:
        integers = own if kinds == {"integer"} or len(kinds) < 2 else [_as_integers(ids) for ids in own]
        are_integers = all(_kind(ids) == "integer" for ids in integers if len(ids))
        return _in_one_integer_type(integers) if are_integers else own
    if not text_ids and kinds == {"text"}:
        return own
    try:
        texts = [ids if is_open else _as_text(name, ids) for ids, is_open in zip(own, are_open, strict=True)]
    except ValueError:
        if text_ids:
            raise
        _refuse_types(name, own)
    texts = [ids if is_open else text for ids, text, is_open in zip(columns, texts, are_open, strict=True)]
    if not text_ids and len(kinds) > 1 and not texts[0].isin(texts[1]).any():
        _refuse_types(name, own)
    return texts


def _refuse_types(name, columns):
    raise ValueError(
        f"{name} must be of one type, got {columns[0].dtype} in the interactions and {columns[1].dtype} where they "
        "are described. Write the ids alike in both files."
    )


def _kind(ids):
    """Return "text", "integer", or what else ids are."""
    dtype = ids.dtype.categories.dtype if isinstance(ids.dtype, pd.CategoricalDtype) else ids.dtype
    if is_integer_dtype(dtype):
        return "integer"
    if not is_object_dtype(dtype):
        return "text" if pd.api.types.is_string_dtype(dtype) else str(dtype)
    kind = pd.api.types.infer_dtype(ids, skipna=False)
    return "text" if kind == "string" else kind


def _as_text(name, ids):
    """Return integers, or bytes of text, as text, or raise."""
    codes, values = pd.factorize(_as_integers(ids))
    if _kind(values.to_series()) not in ("integer", "text", "bytes", "categorical"):
        raise ValueError(f"{name} must be text or integers to become text, got {ids.dtype}.")
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    return pd.Series(texts, dtype=str).take(codes).set_axis(ids.index)


def _as_integers(ids):
    """Return floats that are whole, as integers become where one was missing, as integers."""
    is_float = isinstance(ids.dtype, np.dtype) and ids.dtype.kind == "f"
    return ids.astype(np.int64) if is_float and ((ids % 1 == 0) & (ids.abs() <= _EXACT)).all() else ids


def _whole(ids):
    """Return integers of pandas' nullable type, none of which is missing, as numpy's."""
    if isinstance(ids.dtype, pd.api.extensions.ExtensionDtype) and is_integer_dtype(ids):
        return ids.astype(getattr(ids.dtype, "numpy_dtype", np.int64))
    return ids


def _in_one_integer_type(columns):
    """Return columns of integers as they are, or in one type where pandas would compare them as floats."""
    if not any(ids.dtype == np.uint64 for ids in columns) or all(ids.dtype == np.uint64 for ids in columns):
        return columns
    largest = max(int(ids.max()) for ids in columns if len(ids))
    smallest = min(int(ids.min()) for ids in columns if len(ids))
    common = np.int64 if largest < 2**63 else np.uint64 if smallest >= 0 else object
    return [ids.astype(common) for ids in columns]


def check_whole_characters(name, values):
    """Raise for text with half a character, as cut JSON holds, which has no place in UTF-8 or Arrow."""
    for value in values:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"{name} must be text of whole characters, got {value!r:.80}, which has half of one, as JSON that "
                    "was cut. Leave it out, or pass text.encode(errors='replace').decode()."
                ) from None


def has_lost_digits(column):
    """Return whether a column of ids is of floats beyond 2**53, of which neighbours are one."""
    return is_numeric_dtype(column) and column.dtype.kind == "f" and bool((np.abs(column) > _EXACT).any())


LOST_DIGITS = (
    "{name} must be integers or text, got {dtype} beyond 2**53, where ids that differ have become one before this file "
    "was written (duckdb writes HUGEINT so). Write them as BIGINT, UBIGINT or text."
)


# Arrow


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
    return frame.rename_axis([None if _UNNAMED_INDEX.fullmatch(name) else name for name in frame.index.names])


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
            if _UNNAMED_INDEX.fullmatch(index) and not with_unnamed:
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
        elif _is_list(pa, field.type) and pa.types.is_integer(field.type.value_type) and _has_gaps(column):
            frame[field.name] = pd.Series(column.to_pylist(), dtype=object)
    return frame


def _has_gaps(column):
    return any(chunk.flatten().null_count for chunk in column.chunks)


def _plain(pa, column, *, is_time):
    """Return a column without the types of Arrow that pandas holds as objects, or not at all."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and _is_list(pa, kind.storage_type):
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


def _is_list(pa, kind):
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


class WholeColumn:
    """The place of a column that is read at once, for errors."""

    def refuse(self, is_wrong, rule):
        """Raise ValueError of `rule` if any row is wrong."""
        if is_wrong.any():
            raise ValueError(f"{rule}, got {is_wrong.sum()}, first in row {is_wrong.argmax()}.")

    def refuse_lengths(self, name, lengths):
        """Raise ValueError unless all rows have as many numbers, at least two."""
        if lengths.min() < lengths.max() or lengths.min() < 2:
            raise ValueError(
                f"{name} must hold lists of one length, at least 2, got lengths from {lengths.min():g} to "
                f"{lengths.max():g}."
            )


def vectors(pa, name, column, field, where):
    """Return an Arrow array of a vector per row as numpy, (n_rows, n_features).

    `field` is that of the schema, which knows the axes of tensors whose type is not registered; `where` refuses rows.
    """
    kind = column.type
    _check_axes(name, _axes(pa, kind, field))
    if isinstance(kind, pa.BaseExtensionType):
        column = column.storage
    is_spark = pa.types.is_struct(column.type) and {field.name for field in column.type} == _SPARK_VECTOR
    if not is_spark and not _is_list(pa, column.type):
        raise TypeError(
            f"{name} must hold lists of numbers, got {kind}. Read are {_READ_AS_VECTORS}; or name numeric columns in a "
            f"list.{_way_out(pa, kind)}"
        )
    where.refuse(column.is_null().to_numpy(zero_copy_only=False), f"{name} must not have missing lists")
    if is_spark:
        return _spark_vectors(name, column, where)
    lengths, values = _flat(pa, name, column)
    where.refuse_lengths(name, lengths)
    return numbers_of_arrow(pa, name, values, "lists of numbers").reshape(len(column), -1)


def _flat(pa, name, column):
    """Return the number of numbers in each list, and all numbers one after the other."""
    lengths, values = column.value_lengths().to_numpy(zero_copy_only=False), column.flatten()
    while isinstance(values.type, pa.BaseExtensionType) or _is_list(pa, values.type):
        if isinstance(values.type, pa.BaseExtensionType):
            _check_axes(name, _axes(pa, values.type, None))
            values = values.storage
            continue
        if values.null_count:
            raise ValueError(f"{name} must not have missing lists in its lists, got {values.null_count}.")
        inner = values.value_lengths().to_numpy(zero_copy_only=False)
        if (lengths == 1).all():
            lengths = inner
        elif (inner != 1).any():
            _check_axes(name, (int(lengths.max()), int(inner.max())))
            raise ValueError(f"{name} must hold lists of one length, got lists of lists of several.")
        values = values.flatten()
    return lengths, values


def _axes(pa, kind, field):
    """Return the shape of the tensors of a type, or of a field whose type is not registered, or None."""
    shape = getattr(kind, "shape", None) if isinstance(kind, pa.BaseExtensionType) else None
    if shape is None and field is not None and field.metadata:
        try:
            about = json.loads(field.metadata.get(b"ARROW:extension:metadata", b"null"))
        except ValueError:
            about = None
        shape = about.get("shape") if isinstance(about, dict) else about
    is_shape = isinstance(shape, list | tuple) and all(isinstance(length, int) for length in shape)
    return tuple(shape) if is_shape else None


def _check_axes(name, shape):
    if shape is not None and sum(length > 1 for length in shape) > 1:
        raise ValueError(
            f"{name} must hold one vector per item, got tensors of shape {shape}. Make one axis of theirs before they "
            "are written: X.reshape(len(X), -1), or a mean over one."
        )


def _way_out(pa, kind):
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return " Bytes do not say which numbers they are: np.frombuffer reads them."
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return " Lists that are written as text are read with json.loads."
    return ""


def _spark_vectors(name, column, where):
    """Return the vectors of Spark ML: of type 1 dense, of type 0 sparse."""
    is_sparse = column.field("type").to_numpy(zero_copy_only=False) == 0
    values, indices = column.field("values"), column.field("indices")
    n_values = values.value_lengths().to_numpy(zero_copy_only=False)
    sizes = np.where(is_sparse, column.field("size").to_numpy(zero_copy_only=False), n_values)
    n_indices = indices.value_lengths().to_numpy(zero_copy_only=False)
    where.refuse(is_sparse & (n_indices != n_values), f"{name} must hold vectors with as many indices as values")
    where.refuse_lengths(name, sizes.astype(np.int64))
    X = np.zeros((len(column), int(sizes[0])))
    rows = np.repeat(np.arange(len(column)), n_values)
    positions = np.arange(len(rows)) - np.repeat(np.cumsum(n_values) - n_values, n_values)
    positions[is_sparse[rows]] = indices.flatten().to_numpy(zero_copy_only=False)
    is_outside = np.zeros(len(column), dtype=bool)
    is_outside[rows[(positions < 0) | (positions >= X.shape[1])]] = True
    where.refuse(is_outside, f"{name} must hold vectors with indices below their size")
    X[rows, positions] = values.flatten().to_numpy(zero_copy_only=False)
    return X


def numbers_of_arrow(pa, name, column, what="numbers"):
    """Return an Arrow array of numbers as numpy, NaN where they are missing."""
    kind = column.type
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        raise TypeError(f"{name} must hold {what}, got {kind}.")
    return column.to_numpy(zero_copy_only=False)


# Arrays


def plain_array(X):
    """Return embeddings as anybody holds them, a frame, tensor, Arrow or object column, as a numpy array."""
    if isinstance(X, pd.DataFrame):
        return np.asarray(X) if all(isinstance(dtype, np.dtype) for dtype in X.dtypes) else _from_nullable(X)
    if not isinstance(X, np.ndarray):
        X = from_tensor(X) if type(X).__module__.partition(".")[0] == "torch" else _from_arrow_column(X)
    array = np.asarray(X)
    if array.dtype == object and array.ndim == 1 and len(array):
        array = np.stack(array)
    # What ml_dtypes adds to numpy, bfloat16 and float8, has exact float32; raw bytes have no type to begin with.
    if array.dtype.kind == "V" and array.dtype.type is not np.void:
        array = array.astype(np.float32)
    return array


def _from_nullable(frame):
    columns = []
    for _, column in frame.items():
        dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
        if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
            dtype = np.dtype(np.float64) if column.isna().any() and dtype.kind != "f" else dtype
            columns.append(column.to_numpy(dtype=dtype, na_value=np.nan if dtype.kind == "f" else 0))
        else:
            columns.append(column.to_numpy(dtype=object))
    return np.column_stack(columns)


def from_tensor(tensor):
    """Return a tensor of torch, on any device, as a numpy array of the same numbers."""
    tensor = tensor.detach().cpu()
    # numpy has no type for torch's bfloat16 and float8; float32 holds them exactly.
    is_known = str(tensor.dtype) in ("torch.float16", "torch.float32", "torch.float64")
    return tensor.numpy() if is_known or not tensor.is_floating_point() else tensor.float().numpy()


def _from_arrow_column(X):
    """Return a column of vectors of polars or pyarrow as an array, anything else as it is."""
    if isinstance(X, pd.Series) or not hasattr(X, "__arrow_c_stream__") or hasattr(X, "columns"):
        return X
    try:
        import pyarrow as pa
    except ImportError:
        return X
    column = pa.chunked_array(X)
    if not len(column) or not (_is_list(pa, column.type) or isinstance(column.type, pa.BaseExtensionType)):
        return X
    return stacked_vectors(pa, "embeddings", column, None)


def stacked_vectors(pa, name, column, field):
    """Return the vectors of a chunked array, (n_rows, n_features)."""
    parts = [vectors(pa, name, chunk, field, WholeColumn()) for chunk in column.chunks if len(chunk)]
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(f"{name} must hold lists of one length, got lengths from {widths[0]} to {widths[-1]}.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
