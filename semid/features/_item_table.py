"""The catalogue as one immutable object: ids and embeddings, row by row."""

import hashlib
from os import PathLike, fspath

import numpy as np
import pandas as pd


class ItemTable:
    """Ids and embeddings of all items, to be handed to a `SemanticIDEncoder`.

    Immutable, and therefore never copied: `sklearn.base.clone` and `copy.deepcopy` return the object itself, so that a
    grid search does not multiply the catalogue. Given a path, the embeddings are memory-mapped, and pickles hold the
    path instead of the data.

    Parameters
    ----------
    ids : array-like of shape (n_items,)
        One id per item, text or integers; unique and not missing.
    embeddings : array-like of shape (n_items, n_features), or path of a ``.npy`` file
        Row i belongs to ``ids[i]``. float16, float32 or float64.

    Attributes
    ----------
    ids : ndarray of shape (n_items,)
    embeddings : ndarray of shape (n_items, n_features)
        Read-only, a memory map if given as a path.
    fingerprint : str
        Digest of ids and embeddings: equal content, equal fingerprint, in every process.

    Raises
    ------
    ValueError
        If the ids are not unique, are missing, or do not match the embeddings in number, or if the embeddings are not a
        2-D array of finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from semid.features import ItemTable
    >>> ItemTable(["a", "b", "c"], np.eye(3))
    ItemTable(3 items, 3 features)
    """

    def __init__(self, ids, embeddings):
        self._path = fspath(embeddings) if isinstance(embeddings, str | PathLike) else None
        self._ids = _read_only(_check_ids(ids))
        self._embeddings = _open_embeddings(self._path) if self._path else _read_only(np.asarray(embeddings))
        self._fingerprint = None
        _check_embeddings(self._embeddings, self._ids)

    @classmethod
    def from_parquet(cls, path, *, id_column="item_id", embedding_columns="embedding"):
        """Read ids and embeddings from a parquet file (needs pyarrow: ``pip install semid[parquet]``).

        Parameters
        ----------
        path : str or path-like
            The file.
        id_column : str, default "item_id"
            Column of the ids.
        embedding_columns : str or list of str, default "embedding"
            One column that holds a list of numbers per item, or the columns of the single features.

        Returns
        -------
        table : ItemTable
        """
        wanted = [embedding_columns] if isinstance(embedding_columns, str) else list(embedding_columns)
        frame = pd.read_parquet(path, columns=[id_column, *wanted])
        if isinstance(embedding_columns, str):
            lengths = frame[embedding_columns].map(len, na_action="ignore")
            if lengths.isna().any() or lengths.min() < lengths.max():
                raise ValueError(
                    f"column {embedding_columns!r} of {fspath(path)} must hold lists of one length, "
                    f"got lengths from {lengths.min()} to {lengths.max()} and {lengths.isna().sum()} missing."
                )
            return cls(frame[id_column], np.stack(frame[embedding_columns]))
        return cls(frame[id_column], frame[wanted].to_numpy())

    @property
    def ids(self):
        return self._ids

    @property
    def embeddings(self):
        return self._embeddings

    @property
    def fingerprint(self):
        if self._fingerprint is None:
            digest = hashlib.sha256(f"{self._embeddings.shape} {self._embeddings.dtype.str}".encode())
            digest.update("\x1f".join(map(str, self._ids)).encode())
            for start in range(0, len(self), 65_536):
                digest.update(np.ascontiguousarray(self._embeddings[start : start + 65_536]))
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def __len__(self):
        return len(self._ids)

    def __repr__(self):
        return f"ItemTable({len(self)} items, {self._embeddings.shape[1]} features)"

    def __sklearn_clone__(self):
        return self

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _restore, (self._ids, self._path or self._embeddings, self._fingerprint)


def _restore(ids, embeddings, fingerprint):
    """A pickled table again, without reading all of it for the checks it has passed."""
    table = object.__new__(ItemTable)
    table._path = embeddings if isinstance(embeddings, str) else None
    table._ids = _read_only(ids)
    table._embeddings = _open_embeddings(embeddings) if table._path else _read_only(embeddings)
    table._fingerprint = fingerprint
    if len(table._ids) != len(table._embeddings):
        raise ValueError(
            f"embeddings at {embeddings!r} must have the {len(ids)} rows they had, got {len(table._embeddings)}."
        )
    return table


def _open_embeddings(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no embeddings at {path!r}; pass the path of a .npy file or an array.") from error
    except ValueError as error:
        raise ValueError(f"embeddings must be a .npy file of numbers, {path!r} is not: {error}") from error


def _check_ids(ids):
    column = pd.Series(ids) if not isinstance(ids, pd.Series) else ids
    if np.ndim(column.to_numpy()) != 1 or column.empty:
        raise ValueError(f"ids must be a non-empty list of ids, got {ids!r}.")
    if column.isna().any():
        raise ValueError(
            f"ids must not be missing, got {column.isna().sum()} missing, first in row {column.isna().argmax()}."
        )
    repeated = column[column.duplicated()]
    if len(repeated):
        raise ValueError(
            f"ids must be unique, got {len(repeated)} repeated, for example {repeated.tolist()[0]!r}. "
            "Drop the repeated items, and the same rows of the embeddings."
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    return column.to_numpy()


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


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view
