"""What the tests of bad input draw from, and what they hold against it.

A case is an input that a user might pass by accident. It must end in what is documented, or in a ValueError or
TypeError that somebody wrote on purpose (`outcome`); for the path of no file, in a FileNotFoundError.
"""

import dis
import tempfile
import warnings
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

import semid

_SEMID = str(Path(semid.__file__).parent)
_COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

# Words of numpy, torch and Python that say nothing to somebody who has passed a wrong table.
INTERNALS = (
    *("shape mismatch", "mat1 and mat2", "index out of range", "out of bounds", "cannot reshape", "ufunc"),
    *("could not be broadcast", "could not broadcast", "zero-size array", "inhomogeneous", "unhashable"),
    *("has no attribute", "not subscriptable", "not iterable", "unsupported operand", "expected scalar type"),
    *("size of tensor", "invalid literal", "not supported between", "has no len()", "ambiguous", "NoneType' object"),
)


def cases(quick, long):
    """Parametrize a test by `profile`: a few cases that are always the same, and as a slow test many random ones.

    hypothesis prints what reproduces a failure of either.
    """
    few = settings(max_examples=quick, derandomize=True, **_COMMON)
    many = settings(max_examples=long, derandomize=False, print_blob=True, **_COMMON)
    slow = [pytest.mark.slow, pytest.mark.timeout(900)]
    return pytest.mark.parametrize(
        "profile", [pytest.param(few, id="quick"), pytest.param(many, id="long", marks=slow)]
    )


def run(profile, case, name=""):
    """Run a `given` function under `profile`; a quick one of another `name` sees other cases."""
    if profile.derandomize:
        case = seed(crc32(f"{case.__qualname__} {name}".encode()))(case)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pandas.io.formats")  # of float16, when a case that fails is printed
        profile(case)()


class Outcome(NamedTuple):
    value: object  # None if it was refused
    error: Exception | None


def outcome(call, *arguments, **options):
    """Return what a call returned, or the error with which it refused its input on purpose.

    Anything else, and a warning that is not one of ours or of scikit-learn, is a failure.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module="pandas.io.formats")  # of float16, when an error shows a table
        try:
            result = Outcome(call(*arguments, **options), None)
        except (ValueError, TypeError, FileNotFoundError) as error:
            if not is_helpful(error):
                raise
            result = Outcome(None, error)
    for warning in caught:
        is_ours = issubclass(warning.category, UserWarning) and len(str(warning.message).split()) > 4
        assert is_ours, f"leaked {warning.category.__name__}: {warning.message} ({warning.filename}:{warning.lineno})"
    return result


def is_helpful(error):
    """Return whether an error was raised on purpose, to tell a user what is wrong with the input.

    That is: by a ``raise`` of this package or by scikit-learn's validation, in more than three words, none of which are
    `INTERNALS` where they are our words.
    """
    frames = _frames(error)
    last = max((n for n, file in enumerate(frames) if file.startswith(_SEMID)), default=-1)
    after = frames[last + 1 :]
    if after:
        return any(part in after[0] for part in ("sklearn/utils/", "sklearn/base.py", "sklearn/externals/"))
    message = str(error)
    return _is_raised(error) and len(message.split()) > 3 and not any(words in message for words in INTERNALS)


def _is_raised(error):
    """Return whether the innermost Python statement was a ``raise``, and not a call of numpy or an operation."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _frames(error):
    """Return the files of the calls that led to an error, the innermost last."""
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_code.co_filename)
        traceback = traceback.tb_next
    return frames


def state_of(estimator):
    """Return a digest of all that an estimator has learned."""
    return joblib.hash({name: value for name, value in vars(estimator).items() if name.endswith("_")})


# Arrays


DTYPES = (
    *(np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32),
    *(
        np.uint64,
        np.bool_,
        object,
        np.str_,
        np.complex64,
        np.complex128,
        "datetime64[s]",
        "timedelta64[s]",
        np.longdouble,
    ),
)
MAGNITUDES = (1.0, 1.0, 1e-300, 1e-40, 1e-30, 1e-5, 1e4, 1e19, 1e30, 3e38, 1e300)


_FEW_ROWS, _FEW_COLUMNS = st.integers(2, 12), st.integers(1, 6)


def rngs():
    """Generators: what they draw need not shrink."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def matrices(draw, n_rows=_FEW_ROWS, n_columns=_FEW_COLUMNS):
    """Float64 arrays of two axes whose numbers are finite, alike or not, of any magnitude."""
    rng = draw(rngs())
    shape = draw(n_rows), draw(n_columns)
    X = rng.normal(size=shape)
    kind = draw(st.sampled_from(["normal", "integers", "constant", "constant columns", "duplicates", "outlier", "far"]))
    if kind == "integers":
        X = rng.integers(-5, 6, size=shape).astype(np.float64)
    elif kind == "constant":
        X[:] = rng.normal()
    elif kind == "constant columns":
        X[:, : shape[1] // 2 + 1] = -1.0
    elif kind == "duplicates":
        X = X[rng.integers(0, max(1, shape[0] // 3), size=shape[0])] if shape[0] else X
    elif kind == "outlier" and X.size:
        X.flat[rng.integers(X.size)] = 1e6
    elif kind == "far":
        X += 1e7
    return X * draw(st.sampled_from(MAGNITUDES))


@st.composite
def odd_arrays(draw):
    """Arrays of any shape, dtype and content, and things that are no array at all."""
    X = draw(matrices(st.sampled_from([0, 1, 2, 3, 9]), st.sampled_from([0, 1, 2, 5])))
    X = X.copy()
    flaw = draw(st.sampled_from([None, None, np.nan, np.inf, -np.inf]))
    if flaw is not None and X.size:
        X.flat[draw(st.integers(0, X.size - 1))] = flaw
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = X.astype(draw(st.sampled_from(DTYPES)))
    if X.dtype == object and X.size:
        X.flat[0] = draw(st.sampled_from([1, None, pd.NA, "text", [1, 2], Decimal("0.5"), 2**70, datetime(2020, 1, 1)]))
    shape = draw(st.sampled_from(["2-D", "2-D", "2-D", "2-D", "1-D", "3-D", "0-D"]))
    if shape == "1-D":
        X = X.ravel()
    elif shape == "3-D":
        X = X[:, :, None]
    elif shape == "0-D" and X.size:
        X = X.ravel()[0]
    return draw(st.sampled_from(CONTAINERS + NO_ARRAYS))(X)


class ArrayOnly:
    """Speaks ``__array__`` and nothing else."""

    def __init__(self, X):
        self._X = X

    def __array__(self, dtype=None, copy=None):
        return np.array(self._X, dtype=dtype)


class ArrowOnly:
    """Speaks the Arrow stream protocol and nothing else."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def _as_frame(X):
    if np.ndim(X) > 2:
        return X
    return pd.DataFrame(X, index=np.arange(len(X))[::-1] // 2) if np.ndim(X) == 2 else pd.Series(np.atleast_1d(X))


def _named_columns(X):
    return {f"f{n}": list(column) for n, column in enumerate(np.asarray(X).T)} if np.ndim(X) == 2 else {"f0": [0.5]}


def same(X):
    return X


def fortran(X):
    return np.asfortranarray(X)


def strided(X):
    return np.repeat(np.asarray(X), 2, axis=0)[::2] if np.ndim(X) else np.asarray(X)


def reversed_twice(X):
    return np.asarray(X)[::-1].copy()[::-1] if np.ndim(X) else np.asarray(X)


def read_only(X):
    X = np.array(X)
    X.flags.writeable = False
    return X


def swapped_bytes(X):
    X = np.asarray(X)
    return X.astype(X.dtype.newbyteorder()) if X.dtype.kind in "fiu" and X.dtype.itemsize <= 8 else X


def memory_mapped(X):
    X = np.asarray(X)
    if X.size == 0 or X.dtype == object:
        return X
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, X)
        file.flush()
        return np.load(file.name, mmap_mode="r")


def lists(X):
    return np.asarray(X).tolist()


def tuples(X):
    return tuple(map(tuple, X)) if np.ndim(X) == 2 else tuple(np.atleast_1d(X))


def array_only(X):
    return ArrayOnly(X)


def frame(X):
    return _as_frame(X)


def named_frame(X):
    return pd.DataFrame(X, columns=[f"größe {n}" for n in range(X.shape[1])]) if np.ndim(X) == 2 else _as_frame(X)


def sparse(X):
    dtype = np.asarray(X).dtype
    return scipy.sparse.csr_matrix(X) if np.ndim(X) == 2 and dtype.kind in "fiub" and dtype != np.float16 else X


def masked(X):
    return np.ma.masked_array(X, mask=np.zeros(np.shape(X), dtype=bool))


def ragged(X):
    rows = lists(X)
    return [*rows[:-1], [1.0]] if isinstance(rows, list) and rows and isinstance(rows[0], list) else rows


def nothing(X):
    return None


def a_text(X):
    return "embeddings.npy"


def a_dict(X):
    return _named_columns(X)


def an_object(X):
    return object()


def an_iterator(X):
    return iter(np.atleast_1d(np.asarray(X, dtype=object)))


def polars_frame(X):
    return pl.DataFrame(_named_columns(np.asarray(X).astype(str)))


# Of the same content; the rest may well be refused.
LAYOUTS = (same, fortran, strided, reversed_twice, read_only, swapped_bytes, memory_mapped, lists, tuples, frame)
CONTAINERS = (*LAYOUTS, same, same, array_only, named_frame, sparse, masked)
NO_ARRAYS = (ragged, nothing, a_text, a_dict, an_object, an_iterator, polars_frame)


def layouts():
    """Functions that hold the content of an array in another way."""
    return st.sampled_from([*LAYOUTS, array_only, named_frame])


def exact_dtypes(X):
    """The dtypes other than its own that hold the numbers of float32 `X` without rounding."""
    dtypes = []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in (np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, object):
            there = X.astype(dtype)
            if np.array_equal(there.astype(np.float64), X.astype(np.float64)):
                dtypes.append(dtype)
    return st.sampled_from(dtypes)


# Columns and tables


COLUMNS = {
    "text": lambda rng, n: rng.choice(["a", "bb", "ü", "", "日本", "7", "007"], n).astype(object),
    "integers": lambda rng, n: rng.integers(-3, 9, n),
    "large integers": lambda rng, n: rng.integers(0, 2, n).astype(np.uint64) + np.uint64(2**63),
    "python integers": lambda rng, n: np.array([2**70 + int(i) for i in rng.integers(0, 3, n)] + [0], dtype=object)[:n],
    "floats": lambda rng, n: rng.normal(size=n),
    "float16": lambda rng, n: rng.normal(size=n).astype(np.float16),
    "whole floats": lambda rng, n: rng.integers(0, 5, n).astype(float),
    "huge floats": lambda rng, n: rng.normal(size=n) * 1e30,
    "too huge floats": lambda rng, n: rng.normal(size=n) * 1e300,
    "tiny floats": lambda rng, n: rng.normal(size=n) * 1e-300,
    "infinite floats": lambda rng, n: np.where(rng.random(n) < 0.5, np.inf, -np.inf),
    "missing floats": lambda rng, n: np.full(n, np.nan),
    "some missing floats": lambda rng, n: np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n)),
    "booleans": lambda rng, n: rng.random(n) < 0.5,
    "nothing": lambda rng, n: np.full(n, None, dtype=object),
    "constant": lambda rng, n: np.full(n, "one"),
    "mixed": lambda rng, n: rng.permutation(np.array(["a", 1, 2.0, None, True, b"x", np.nan, pd.NA] * n, dtype=object))[
        :n
    ],
    "fractions as objects": lambda rng, n: np.array([0.5 + i for i in range(n)] + ["x"], dtype=object)[:n],
    "bytes": lambda rng, n: np.array([b"a", b"b\xff"] * n, dtype=object)[:n],
    "decimals": lambda rng, n: np.array([Decimal("1.5")] * n + [0], dtype=object)[:n],
    "complex": lambda rng, n: rng.normal(size=n) + 1j,
    "dates": lambda rng, n: np.array(["2020-01-01", "2021-01-01"] * n, dtype="datetime64[s]")[:n],
    "python dates": lambda rng, n: np.array([date(2020, 1, 1)] * n + [0], dtype=object)[:n],
    "durations": lambda rng, n: rng.integers(0, 9, n).astype("timedelta64[s]"),
    "zoned dates": lambda rng, n: pd.date_range("2020", periods=n, tz="UTC"),
    "periods": lambda rng, n: pd.period_range("2020", periods=n, freq="D"),
    "intervals": lambda rng, n: pd.cut(rng.normal(size=n), [-99, 0, 99]),
    "categories": lambda rng, n: pd.Categorical(rng.choice(["x", "y"], n), categories=["z", "y", "x"]),
    "missing categories": lambda rng, n: pd.Categorical([None] * n, categories=["x"]),
    "float categories": lambda rng, n: pd.Categorical(rng.choice([0.5, 1.5], n)),
    "date categories": lambda rng, n: pd.Categorical(pd.date_range("2020", periods=n)),
    "Int64": lambda rng, n: pd.array([None if i == 0 else int(i) for i in rng.integers(0, 3, n)], dtype="Int64"),
    "Float64": lambda rng, n: pd.array([None if i == 0 else i / 2 for i in rng.integers(0, 3, n)], dtype="Float64"),
    "boolean": lambda rng, n: pd.array([None if i == 0 else i == 1 for i in rng.integers(0, 3, n)], dtype="boolean"),
    "string": lambda rng, n: pd.array([None if i == 0 else "abc"[i] for i in rng.integers(0, 3, n)], dtype="string"),
    "arrow integers": lambda rng, n: pd.array(rng.integers(0, 9, n), dtype="int64[pyarrow]"),
    "arrow floats": lambda rng, n: pd.array([None, *rng.normal(size=n)][:n], dtype="double[pyarrow]"),
    "arrow text": lambda rng, n: pd.array(
        [None, *"abcdefghijklmnopqrstuvw"][:n] + ["x"] * (n - 24), dtype="string[pyarrow]"
    ),
    "arrow booleans": lambda rng, n: pd.array([None, *(rng.random(n) < 0.5).tolist()][:n], dtype="bool[pyarrow]"),
    "arrow dates": lambda rng, n: pd.array(pd.date_range("2020", periods=n), dtype="timestamp[ns][pyarrow]"),
    "arrow lists": lambda rng, n: pd.array([[1, 2], []] * n, dtype=pd.ArrowDtype(pa.list_(pa.int64())))[:n],
    "arrow structs": lambda rng, n: pd.array([{"a": 1}] * n, dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())]))),
    "arrow decimals": lambda rng, n: pd.array([Decimal("1.5")] * n, dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
    "sparse": lambda rng, n: pd.arrays.SparseArray(rng.integers(0, 2, n).astype(float)),
    "lists": lambda rng, n: pd.Series([["a", "b"], ["a"], []] * n, dtype=object).iloc[:n].to_numpy(),
    "some lists": lambda rng, n: pd.Series([[1, 2], None, "a", 3] * n, dtype=object).iloc[:n].to_numpy(),
    "nested lists": lambda rng, n: pd.Series([[[1], [2]]] * n, dtype=object).to_numpy(),
    "lists of missing": lambda rng, n: pd.Series([["a", None, np.nan]] * n, dtype=object).to_numpy(),
    "sets": lambda rng, n: pd.Series([{1, 2}] * n, dtype=object).to_numpy(),
    "dicts": lambda rng, n: pd.Series([{"a": 1}] * n, dtype=object).to_numpy(),
    "arrays": lambda rng, n: pd.Series([np.arange(2.0)] * n, dtype=object).to_numpy(),
    "objects": lambda rng, n: pd.Series([object() for _ in range(n)], dtype=object).to_numpy(),
}


def columns(n):
    """A name of a kind of column, and `n` values of it."""
    return st.tuples(st.sampled_from(sorted(COLUMNS)), rngs()).map(
        lambda drawn: (drawn[0], COLUMNS[drawn[0]](drawn[1], n))
    )


INDEXES = {
    "range": lambda n: pd.RangeIndex(n),
    "reversed": lambda n: pd.Index(range(n)[::-1]),
    "duplicated": lambda n: pd.Index([7] * n),
    "pairs": lambda n: pd.MultiIndex.from_arrays([[1] * n, range(n)]),
    "dates": lambda n: pd.date_range("2020", periods=n)[::-1],
    "text": lambda n: pd.Index([f"row {i % 2}" for i in range(n)]),
    "missing": lambda n: pd.Index([np.nan] * n),
}
NAMES = ("user_id", "item_id", "item_id_code0", "item_id_code1", "emb_0", "emb_1", "größe", "", " ", "code7", "price")


def indexes(n):
    return st.sampled_from(sorted(INDEXES)).map(lambda kind: INDEXES[kind](n))


@st.composite
def tables(draw, n):
    """DataFrames of `n` rows, with columns, names and an index of any kind."""
    n_columns = draw(st.integers(1, 4))
    names = draw(st.permutations(NAMES))[:n_columns]
    table = pd.DataFrame({name: draw(columns(n))[1] for name in names}, index=pd.RangeIndex(n))
    table.index = draw(indexes(n))
    renamed = draw(st.sampled_from(["as it is", "as it is", "as it is", "numbers", "the same", "pairs", "mixed"]))
    if renamed == "numbers":
        table.columns = range(n_columns)
    elif renamed == "the same":
        table.columns = ["same"] * n_columns
    elif renamed == "pairs":
        table.columns = pd.MultiIndex.from_tuples([("a", name) for name in names])
    elif renamed == "mixed":
        table.columns = [0, *names[1:]]
    return table


def plain_table(n, rng):
    """A table of n rows as click models like it, which every kind of frame can hold."""
    return pd.DataFrame(
        {
            "user_id": rng.choice(["ann", "bob", "eve", "日本"], n),
            "item_id_code0": rng.integers(0, 3, n),
            "item_id_code1": rng.integers(-1, 3, n),
            "price": rng.normal(size=n),
            "is_new": rng.random(n) < 0.5,
        }
    )


def _with_index(kind):
    return lambda table: table.set_axis(INDEXES[kind](len(table)))


TABLE_CONTAINERS = {
    **{f"index: {kind}": _with_index(kind) for kind in INDEXES},
    "nullable": lambda table: table.convert_dtypes(),
    "arrow-backed": lambda table: table.convert_dtypes(dtype_backend="pyarrow"),
    "categories": lambda table: table.astype({"user_id": "category"}),
    "object columns": lambda table: table.astype({"user_id": object, "item_id_code0": object, "is_new": object}),
    "small integers": lambda table: table.astype({"item_id_code0": np.int8, "item_id_code1": np.int16}),
    "polars": pl.from_pandas,
    "arrow": lambda table: pa.Table.from_pandas(table, preserve_index=False),
    "arrow stream only": lambda table: ArrowOnly(pa.Table.from_pandas(table, preserve_index=False)),
    "chunks": lambda table: pa.concat_tables(
        [pa.Table.from_pandas(t, preserve_index=False) for t in (table[:3], table[3:])]
    ),
    "blocks": lambda table: pd.concat([table[["user_id"]], table.drop(columns="user_id")], axis=1),
}


@st.composite
def odd_tables(draw, n=9):
    """Tables in any container, and what is no table."""
    container = draw(st.sampled_from([same, same, same, same, "polars", "arrow", "arrow only", "array", "rows"]))
    table = draw(tables(draw(st.sampled_from([0, 1, 2, n, n, n]))))
    if container == same:
        return table
    if container == "array":
        return draw(odd_arrays())
    if container == "rows":
        return table.to_numpy(dtype=object).tolist()
    table = table.set_axis([str(name) for name in table.columns], axis=1)
    table = table.loc[:, ~table.columns.duplicated()].reset_index(drop=True)
    try:
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        return {"polars": pl.from_arrow, "arrow": same, "arrow only": ArrowOnly}[container](arrow)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, OverflowError):  # they have no such column
        return table
