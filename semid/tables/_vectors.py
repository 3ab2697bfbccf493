"""Columns that hold a vector per row, of Arrow, Spark, torch or objects, as one array (n_rows, n_features)."""

import json

import numpy as np
import pandas as pd

_SPARK_VECTOR = {"type", "size", "indices", "values"}
_READ_AS_VECTORS = "lists of one length, a list around one such list, tensors of one axis, vectors of Spark ML"


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
    if not len(column) or not (is_list(pa, column.type) or isinstance(column.type, pa.BaseExtensionType)):
        return X
    return stacked_vectors(pa, "embeddings", column, None)


def stacked_vectors(pa, name, column, field):
    """Return the vectors of a chunked array, (n_rows, n_features)."""
    parts = [vectors(pa, name, chunk, field, WholeColumn()) for chunk in column.chunks if len(chunk)]
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise ValueError(f"{name} must hold lists of one length, got lengths from {widths[0]} to {widths[-1]}.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
    if not is_spark and not is_list(pa, column.type):
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
    while isinstance(values.type, pa.BaseExtensionType) or is_list(pa, values.type):
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


def is_list(pa, kind):
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
