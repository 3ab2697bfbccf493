"""Tables as users have them: pandas, polars and other Arrow tables, arrays; and the columns that a parameter means."""

from tokenize import TokenError
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

# Types of Arrow by name, and those of pandas in which their values stay what they are where some are missing.
NULLABLE = {
    "bool_": pd.BooleanDtype(),
    **{f"int{bits}": getattr(pd, f"Int{bits}Dtype")() for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": getattr(pd, f"UInt{bits}Dtype")() for bits in (8, 16, 32, 64)},
}


def check_table(estimator: Any, X: Any, *, reset: bool) -> pd.DataFrame | np.ndarray:
    """Return `X` as a DataFrame or a 2-D array of any dtype, after scikit-learn's checks of names and number.

    `reset` says whether these are learned (in `fit`) or compared with those of `fit`.
    """
    if not isinstance(X, pd.DataFrame) and hasattr(X, "__arrow_c_stream__"):
        X = from_arrow("X", X)
    if not isinstance(X, pd.DataFrame):
        X = check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator, input_name="X")
    elif X.shape[0] == 0 or X.shape[1] == 0:
        raise ValueError(f"X must have at least one row and one column, got shape {X.shape}.")
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return X


def as_index(ids: Any) -> pd.Index:
    """Return an array or Series of ids as an Index, of which pandas has none for float16 and fixed bytes."""
    if isinstance(ids.dtype, np.dtype) and (ids.dtype == np.float16 or ids.dtype.kind == "S"):
        ids = ids.astype(np.float32 if ids.dtype == np.float16 else object)
    return pd.Index(ids)


def split_columns(X: pd.DataFrame | np.ndarray, *, plain_lists: bool = True) -> tuple[list, list[pd.Series]]:
    """Return the names and the columns, as pandas Series, of a table or a 2-D array.

    Columns of Arrow's lists become objects with `plain_lists`, and stay what they are without.
    """
    if not isinstance(X, pd.DataFrame) and hasattr(X, "__arrow_c_stream__"):
        X = from_arrow("X", X)
    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(X)
        X = X.infer_objects()
    columns = [X.iloc[:, position] for position in range(X.shape[1])]
    return list(X.columns), [_plain_lists(column) for column in columns] if plain_lists else columns


def _plain_lists(column):
    """Return a column of Arrow's lists as objects, any other as it is."""
    is_list = isinstance(column.dtype, pd.ArrowDtype) and column.dtype.type is list
    return column.astype(object) if is_list else column


def find_columns(parameter, wanted, names):
    """Return the positions meant by a list of names or positions, or by a boolean mask; none for None."""
    if wanted is None:
        return []
    if isinstance(wanted, str) or not hasattr(wanted, "__iter__") or getattr(wanted, "ndim", 1) == 0:
        raise TypeError(f"{parameter} must be 'auto', None, or a list of columns, got {wanted!r}.")
    wanted = list(wanted)
    if wanted and all(isinstance(entry, bool | np.bool_) for entry in wanted):
        if len(wanted) != len(names):
            raise ValueError(
                f"{parameter} given as a mask must have one entry per column, got {len(wanted)} for {len(names)}."
            )
        return [position for position, entry in enumerate(wanted) if entry]
    positions = [find_column(parameter, entry, names) for entry in wanted]
    if len(set(positions)) < len(positions):
        raise ValueError(f"{parameter} must name each column once, got {wanted}.")
    return positions


def find_column(parameter, entry, names):
    """Return the position of the column that has the name or the position `entry`."""
    if isinstance(entry, str) and entry in names:
        if names.count(entry) > 1:
            raise ValueError(f"{parameter} must name one column of X, got {entry!r}, which {names.count(entry)} have.")
        return names.index(entry)
    if isinstance(entry, int | np.integer) and not isinstance(entry, bool) and -len(names) <= entry < len(names):
        return int(entry) % len(names)
    raise ValueError(f"{parameter} must name columns of X, or give their positions, got {entry!r}; X has {names}.")


def check_is_frame(name: str, table: Any) -> None:
    """Raise unless a table is a DataFrame of pandas."""
    if isinstance(table, pd.DataFrame):
        return
    if hasattr(table, "to_pandas"):
        kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
        raise TypeError(f"{name} must be a DataFrame of pandas, got a {kind}. Pass {name}.to_pandas().")
    raise TypeError(f"{name} must be a DataFrame, got {type(table).__name__}.")


def check_has_columns(name: str, table: Any, **columns: Any) -> None:
    """Raise unless a DataFrame has each of `columns`, parameter by parameter, and has it once."""
    check_is_frame(name, table)
    for parameter, column in columns.items():
        n_columns = list(table).count(column)
        if n_columns != 1:
            got = f"{column!r} twice" if n_columns else f"{column!r}"
            raise ValueError(
                f"{parameter} must be a column of {name}, got {got}; it has {list(table)}. Name yours by {parameter}=."
            )


def from_arrow(name, X):
    """Return an Arrow table (polars, duckdb, pyarrow) as a DataFrame whose integers stay integers."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise ImportError(
            f"{name} is a {type(X).__name__}; reading it needs pyarrow: pip install semid[parquet], or pass "
            f"{name}.to_pandas()."
        ) from error
    try:
        table = pa.table(X)
    except pa.ArrowException as error:
        raise ValueError(f"{name} must be a table of columns, got a {type(X).__name__}: one column alone.") from error
    table = table.cast(pa.schema([(field.name, without_views(pa, field.type)) for field in table.schema]))
    nullable = {getattr(pa, name)(): dtype for name, dtype in NULLABLE.items()}
    try:
        return table.to_pandas(types_mapper=nullable.get)
    except (TypeError, NotImplementedError, pa.ArrowException) as error:
        kinds = ", ".join(f"{field.name!r} of {field.type}" for field in table.schema)
        raise TypeError(f"{name} must have columns that pandas can hold, got {kinds:.500}.") from error


def without_views(pa, kind):
    """Return the Arrow type with plain text in the place of views, which pandas does not read inside lists."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(without_views(pa, kind.value_type))
    return kind


def read_npy(path, mmap_mode=None):
    """Return the array in a ``.npy`` file, or raise a ValueError that says why there is none."""
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TokenError) as error:  # what headers that are none end in
        raise ValueError(f"not a .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("not a .npy file of one array: it holds several")
    check_has_type(array)
    return array


def check_has_type(array):
    """Raise for an array of bytes without a type, which is what `np.save` makes of bfloat16 and float8."""
    if array.dtype.kind == "V" and array.dtype.names is None:
        raise ValueError(
            f"not of numbers, but of {array.dtype.str}, bytes without a type: numpy saves bfloat16 as |V2 and "
            "float8 as |V1, and forgets what they were. Save X.astype(np.float32)."
        )
