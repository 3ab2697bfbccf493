"""The catalogue as one immutable object: ids, and embeddings or texts, row by row."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from os.path import abspath
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from semid.base._checks import as_array, check_single_values, warn
from semid.base._typing import StrPath
from semid.tables._columns import LOST_DIGITS, check_whole_characters, has_lost_digits
from semid.tables._frames import check_has_type, from_arrow, read_npy
from semid.tables._parquet import frame_of, read_parquet
from semid.tables._vectors import numbers_of_arrow, plain_array, stacked_vectors

_STAMP_TICK = 2_000_000_000  # ns that the clock of a file system may be coarse


class ItemTable:
    """Ids and embeddings, or ids and texts, of all items, to be handed to a `SemanticIDEncoder`.

    Immutable, and therefore never copied: `sklearn.base.clone` and `copy.deepcopy` return the object itself, so that a
    grid search does not multiply the catalogue. An array that others can write to is copied once, here. Given a path,
    the embeddings are memory-mapped, and pickles hold the path instead of the data: a model with such a table is small,
    and predicts where the file is not at hand; only another `fit` needs it.

    Parameters
    ----------
    ids : array-like of shape (n_items,)
        One id per item, text or integers; unique and not missing.
    embeddings : array-like of shape (n_items, n_features), or path of a ``.npy`` file, default None
        Row i belongs to ``ids[i]``; if both are pandas objects, their indexes must be equal. float16, float32 or
        float64, or a column that holds one array per item. None if there are texts.
    texts : Series or DataFrame, or array-like of str of shape (n_items,), default None
        Columns of text in the place of embeddings, for a tokenizer that begins with `semid.embedders.TextEmbedder`.
        With a Series or DataFrame, the same about the index.

    Attributes
    ----------
    ids : ndarray of shape (n_items,)
    embeddings : ndarray of shape (n_items, n_features)
        Read-only, a memory map if given as a path. A table of texts has none.
    content : ndarray of shape (n_items, n_features), or DataFrame of shape (n_items, n_columns)
        What a tokenizer is fitted on: the embeddings, or the texts (a new DataFrame each time).
    fingerprint : str
        Digest of ids and content: equal content, equal fingerprint, in every process.

    Raises
    ------
    ValueError
        If the ids are not unique, are missing, or do not match the content in number, if the embeddings are not a 2-D
        array of finite numbers, or if there are both embeddings and texts, or neither.

    Examples
    --------
    >>> import numpy as np
    >>> from semid.features import ItemTable
    >>> ItemTable(["a", "b", "c"], np.eye(3))
    ItemTable(3 items, 3 features)
    >>> ItemTable(["a", "b"], texts=["red mug", "blue mug"])
    ItemTable(2 items, texts in text)
    """

    def __init__(
        self,
        ids: ArrayLike,
        embeddings: ArrayLike | StrPath | None = None,
        *,
        texts: pd.Series | pd.DataFrame | ArrayLike | None = None,
    ) -> None:
        if (embeddings is None) == (texts is None):
            got = "neither" if texts is None else "both"
            raise ValueError(f"a table must have either embeddings or texts, got {got}.")
        _check_same_index(ids, "embeddings", embeddings)
        _check_same_index(ids, "texts", texts)
        self._path = abspath(embeddings) if isinstance(embeddings, str | PathLike) else None
        self._ids = _frozen(_check_ids(ids))
        self._fingerprint: str | None = None
        self._stamp = _stamp(self._path)
        self._columns: list[str] | None = None
        if texts is not None:
            self._columns, self._embeddings = _as_texts(texts, self._ids)
        else:
            self._embeddings = _open_embeddings(self._path) if self._path else _frozen(_as_array(embeddings))
            _check_embeddings(self._embeddings, self._ids)
        self._shape = self._embeddings.shape

    @classmethod
    def from_parquet(
        cls, path: StrPath, *, id_column: str = "item_id", embedding_columns: str | Sequence[str] = "embedding"
    ) -> Self:
        """Read ids and embeddings from a parquet file (needs pyarrow, the extra ``parquet``).

        Parameters
        ----------
        path : str or path-like
            The file, or a folder of such files.
        id_column : str, default "item_id"
            Column of the ids, also if it was the index of a pandas frame.
        embedding_columns : str or list of str, default "embedding"
            One column that holds a list of numbers per item, a tensor of one axis, as Ray makes of numpy arrays, or a
            vector of Spark ML; or the columns of the single features.

        Returns
        -------
        table : ItemTable

        Raises
        ------
        TypeError
            If a column holds no numbers.
        ValueError
            If a column is not there, or its lists differ in length, and whatever the class refuses.
        """
        wanted = [embedding_columns] if isinstance(embedding_columns, str) else list(embedding_columns)
        table = read_parquet(path, [id_column, *wanted])
        if not len(table):
            raise ValueError(f"{fspath(path)} must have a row at least, got none.")
        ids = frame_of(path, table.select([id_column]))[id_column]
        if has_lost_digits(ids):
            warn(LOST_DIGITS.format(name=f"column {id_column!r} of {fspath(path)}", dtype=ids.dtype))
        return cls(ids, _embeddings_of(path, table, embedding_columns))

    @property
    def ids(self) -> np.ndarray:
        """Ids of the items, (n_items,)."""
        return self._ids

    @property
    def content(self) -> np.ndarray | pd.DataFrame:
        """What a tokenizer is fitted on: the embeddings, or the texts as a new DataFrame."""
        return (
            self.embeddings
            if self._columns is None
            else pd.DataFrame(self._embeddings, columns=self._columns, copy=True)
        )

    @property
    def embeddings(self) -> np.ndarray:
        """Embeddings of the items, (n_items, n_features), read-only.

        Raises
        ------
        AttributeError
            If the table is one of texts.
        ValueError
            If the file they are in has changed its shape.
        """
        if self._columns is not None:
            raise AttributeError(f"this table has texts in {', '.join(self._columns)}, not embeddings; see content.")
        stamp = _stamp(self._path)
        if self._embeddings is None or (stamp is not None and stamp != self._stamp):
            embeddings = _open_embeddings(self._path)
            if embeddings.shape != self._shape:
                raise ValueError(
                    f"embeddings at {self._path!r} must have the shape {self._shape} they had, got {embeddings.shape}."
                )
            if self._embeddings is not None:
                _check_embeddings(embeddings, self._ids)
            self._embeddings, self._stamp, self._fingerprint = embeddings, stamp, None
        return self._embeddings

    @property
    def fingerprint(self) -> str:
        """Digest of ids and content, the same in every process; of a path, that of the file as it is now."""
        content = self.embeddings if self._columns is None else self._embeddings
        fingerprint = self._fingerprint or self._digest(content)
        self._fingerprint = None if _may_change_unseen(self._stamp) else fingerprint
        return fingerprint

    def _digest(self, content):
        digest = hashlib.sha256(f"{self._shape} {content.dtype.str} {self._columns or ''}".rstrip().encode())
        digest.update("\x1f".join(map(str, self._ids)).encode())
        for start in range(0, len(self), 65_536):
            rows = content[start : start + 65_536]
            as_bytes = np.ascontiguousarray(rows).data if self._columns is None else repr(rows.tolist()).encode()
            digest.update(as_bytes)
        return digest.hexdigest()

    def __len__(self):
        return len(self._ids)

    def __repr__(self):
        content = f"{self._shape[1]} features" if self._columns is None else f"texts in {', '.join(self._columns)}"
        return f"ItemTable({len(self)} items, {content})"

    def __sklearn_clone__(self):
        return self

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _restore, (self._ids, self._path or self._embeddings, self._shape, self._columns)


def _embeddings_of(path, table, columns):
    """Return the embeddings in the columns of an Arrow table, (n_rows, n_features)."""
    import pyarrow as pa

    if isinstance(columns, str):
        name = f"column {columns!r} of {fspath(path)}"
        return stacked_vectors(pa, name, table.column(columns), table.schema.field(columns))
    numbers = [numbers_of_arrow(pa, f"column {name!r} of {fspath(path)}", table.column(name)) for name in columns]
    return np.column_stack(numbers)


def _restore(ids, embeddings, shape, columns=None):
    """A pickled table again, without the checks it has passed; a path is opened when the embeddings are asked for."""
    table = object.__new__(ItemTable)
    is_path = isinstance(embeddings, str)
    table._path = embeddings if is_path else None
    table._ids = _frozen(ids)
    table._embeddings = None if is_path else _frozen(embeddings)
    table._shape, table._fingerprint, table._columns, table._stamp = shape, None, columns, None
    return table


def _stamp(path):
    """Return what tells a file from the one that was there before, None for no path or no file."""
    try:
        about = os.stat(path) if path else None
    except OSError:
        return None
    return about and (about.st_mtime_ns, about.st_size, about.st_ino)


def _may_change_unseen(stamp):
    """Return whether a file is so new that another writing could leave it with the same stamp."""
    return stamp is not None and time.time_ns() - stamp[0] < _STAMP_TICK


def _open_embeddings(path):
    try:
        return read_npy(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no embeddings at {path!r}; pass the path of a .npy file or an array.") from error
    except ValueError as error:
        raise ValueError(f"embeddings must be a .npy file of numbers, {path!r} is {error}") from error


def _check_ids(ids):
    ndim = ids.ndim if hasattr(ids, "ndim") else as_array("ids", ids).ndim
    if isinstance(ids, str) or ndim != 1 or len(ids) == 0:
        raise ValueError(f"ids must be a non-empty list of ids, one per item, got {type(ids).__name__}: {ids!r:.80}.")
    column = _as_series(ids)
    if column.isna().any():
        raise ValueError(
            f"ids must not be missing, got {column.isna().sum()} missing, first in row {column.isna().argmax()}."
        )
    check_single_values("ids", column)
    repeated = column[column.duplicated()]
    if len(repeated):
        raise ValueError(
            f"ids must be unique, got {len(repeated)} repeated, for example {repeated.tolist()[0]!r}. "
            "Drop the repeated items, and the same rows of the embeddings."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    return column.to_numpy()


def _as_series(ids):
    """Return ids as a Series, or raise for text that no Series of text can hold."""
    if isinstance(ids, pd.Series) and ids.dtype != object:
        return ids
    if hasattr(ids, "to_pylist"):  # of pyarrow, whose values pandas would keep as pyarrow's
        return pd.Series(ids.to_pylist())
    check_whole_characters("ids", ids)
    return ids if isinstance(ids, pd.Series) else pd.Series(ids)


def _check_embeddings(embeddings, ids):
    if embeddings.ndim != 2 or embeddings.dtype.kind not in "fiu":
        raise ValueError(
            f"embeddings must be a 2-D array of numbers, got shape {embeddings.shape} of {embeddings.dtype}."
        )
    if len(embeddings) != len(ids):
        raise ValueError(
            f"ids and embeddings must have as many rows, got {len(ids)} ids and {len(embeddings)} embeddings."
        )
    for start in range(0, len(embeddings), 65_536):
        finite = np.isfinite(embeddings[start : start + 65_536]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise ValueError(
                f"embeddings must be finite, row {row} (id {ids[row : row + 1].tolist()[0]!r}) holds NaN or infinity."
            )


def _as_texts(texts, ids):
    """Return the names of the columns and a read-only array of their values, one row per item."""
    if isinstance(texts, pd.Series):
        texts = texts.to_frame(name="text" if texts.name is None else texts.name)
    elif isinstance(texts, Mapping):
        texts = pd.DataFrame(texts)
    elif not isinstance(texts, pd.DataFrame) and hasattr(texts, "__arrow_c_stream__") and hasattr(texts, "columns"):
        texts = from_arrow("texts", texts)
    elif not isinstance(texts, pd.DataFrame):
        texts = texts.to_pylist() if hasattr(texts, "to_pylist") else texts
        if isinstance(texts, str) or not hasattr(texts, "__iter__"):
            raise ValueError(f"texts must be a list of texts or a table of them, got {texts!r:.80}.")
        texts = pd.DataFrame({"text": pd.Series(list(texts), dtype=object)})
    if not all(isinstance(column, str) for column in texts.columns) or texts.columns.has_duplicates:
        raise ValueError(f"texts must have columns with names of their own, got {list(texts.columns)}.")
    if len(texts) != len(ids):
        raise ValueError(f"ids and texts must have as many rows, got {len(ids)} ids and {len(texts)} texts.")
    is_empty = texts.isna().all(axis=1).to_numpy()
    if is_empty.any():
        raise ValueError(
            f"texts must be there for every item, got none for {is_empty.sum()} of them, first "
            f"{ids[is_empty.argmax()]!s}. Pass texts.fillna('')."
        )
    values = texts.to_numpy(dtype=object, copy=True)
    values.flags.writeable = False
    return list(texts.columns), values


def _check_same_index(ids, name, content):
    both_pandas = isinstance(ids, pd.Series) and isinstance(content, pd.DataFrame | pd.Series)
    if both_pandas and not ids.index.equals(content.index):
        raise ValueError(
            f"ids and {name} must have the same index, got different ones, and row i of the one belongs to row i of "
            "the other. Align them, or pass .to_numpy() of both if their rows correspond."
        )


def _as_array(embeddings):
    """Return an array; a column that holds one array per item is stacked."""
    try:
        array = plain_array(embeddings)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "embeddings must be a 2-D array of numbers, got rows of different lengths or kinds."
        ) from error
    try:
        check_has_type(array)
    except ValueError as error:
        raise ValueError(f"embeddings must be a 2-D array of numbers, got {error}") from error
    return array


def _frozen(array):
    """Return `array` itself if nobody can write to it, else a read-only copy."""
    owner = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
            break
        owner = owner.base
    return array
