"""What a log of interactions says of the items, as vectors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import LinearOperator, svds
from sklearn.utils import check_random_state

from semid.base._checks import check_integer, check_single_values
from semid.base._typing import RandomState
from semid.features._labels import is_click
from semid.tables._frames import as_index, check_has_columns
from semid.tables._ids import factorize_ids, find_ids, id_index, like_those, of_other_kind

_ALIGNMENT_DIM = 64  # of what clicks say of an item, if there are enough users and items


def interaction_embeddings(
    interactions: pd.DataFrame,
    item_ids: ArrayLike,
    *,
    n_components: int = 64,
    user: str = "user_id",
    item: str = "item_id",
    random_state: RandomState | None = None,
) -> np.ndarray:
    """Return a vector per item from who interacted with it: items of the same users lie close together.

    A second view of the catalogue beside its texts, for ``fit(X, alignment=...)`` of the learned tokenizers. A spectral
    embedding of the bipartite graph of users and items: with M the 0/1 matrix of interactions and D its degrees, the
    leading singular vectors of ``D_u^-½ M D_i^-½`` beside that of popularity, times their singular values, each
    item's divided by ``√d_i`` (Dhillon, 2001, "Co-clustering documents and words using bipartite spectral graph
    partitioning", from memory).

    Pass the interactions of the training rows alone: those of the test would tell what is to be predicted.

    Parameters
    ----------
    interactions : DataFrame
        One row per positive interaction; repeated ones count once.
    item_ids : array-like of shape (n_items,)
        Ids of the catalogue, in the order that the result shall have.
    n_components : int, default 64
        Width of the vectors.
    user, item : str, default "user_id" and "item_id"
        Columns of the user and of the item.
    random_state : int, RandomState instance or None, default None
        Seed of the decomposition.

    Returns
    -------
    embeddings : ndarray of shape (n_items, n_components), float32
        Rows of NaN for items without an interaction.

    Raises
    ------
    ValueError
        If a column is missing, an item of the interactions is not among `item_ids`, or there are not more than
        `n_components` users and items with interactions.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.features import interaction_embeddings
    >>> log = pd.DataFrame({"user_id": [1, 1, 2, 2, 3, 3], "item_id": ["a", "b", "a", "b", "c", "d"]})
    >>> vectors = interaction_embeddings(log, ["a", "b", "c", "d", "new"], n_components=1, random_state=0)
    >>> bool(abs(vectors[0] - vectors[1]) < 1e-5), bool(abs(vectors[0] - vectors[2]) > 0.1)
    (True, True)
    >>> vectors[4]
    array([nan], dtype=float32)
    """
    n_components = check_integer("n_components", n_components, 1)
    matrix = interaction_matrix(interactions, item_ids, user=user, item=item).T.tocsr().astype(np.float64)
    user_degrees, item_degrees = (np.asarray(matrix.sum(axis=axis)).ravel() for axis in (1, 0))
    n_known = int(np.count_nonzero(item_degrees))
    if n_components >= min(len(user_degrees), n_known):
        raise ValueError(
            "n_components must be less than the number of users and of items with interactions, "
            f"got {n_components} for {len(user_degrees)} users and {n_known} items."
        )
    with np.errstate(divide="ignore"):
        item_scales = np.where(item_degrees > 0, item_degrees**-0.5, 0.0)
    normalized = diags_array(user_degrees**-0.5) @ matrix @ diags_array(item_scales)
    popularity = np.sqrt(user_degrees / matrix.nnz), np.sqrt(item_degrees / matrix.nnz)
    start = check_random_state(random_state).uniform(-1, 1, size=min(matrix.shape))
    embeddings = np.zeros((matrix.shape[1], n_components))
    if normalized.power(2).sum() > 1 + 1e-9:  # else everyone met everything, and there is popularity alone
        _, values, vectors = svds(_without(normalized, *popularity), n_components, v0=start)
        embeddings = (vectors[::-1].T * values[::-1]) * item_scales[:, None]
    embeddings[item_degrees == 0] = np.nan
    return embeddings.astype(np.float32)


def interaction_matrix(
    interactions: pd.DataFrame, item_ids: ArrayLike, *, user: str = "user_id", item: str = "item_id"
) -> csr_array:
    """Return who interacted with what, a row per item and a column per user.

    For ``fit(X, interactions=...)`` of `CoClickEmbedder`. Pass the interactions of the training rows alone: those of
    the test would tell what is to be predicted.

    Parameters
    ----------
    interactions : DataFrame
        One row per positive interaction; repeated ones count once.
    item_ids : array-like of shape (n_items,)
        Ids of the catalogue, in the order that the result shall have.
    user, item : str, default "user_id" and "item_id"
        Columns of the user and of the item.

    Returns
    -------
    matrix : csr_array of shape (n_items, n_users), bool
        Users in the order in which they first appear.

    Raises
    ------
    ValueError
        If a column is missing, or an item of the interactions is not among `item_ids`.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.features import interaction_matrix
    >>> log = pd.DataFrame({"user_id": [7, 7, 8], "item_id": ["a", "b", "a"]})
    >>> interaction_matrix(log, ["a", "b", "new"]).toarray().astype(int)
    array([[1, 1],
           [1, 0],
           [0, 0]])
    """
    users, items, catalogue = _positions(interactions, item_ids, user, item)
    shape = (len(catalogue), users.max(initial=-1) + 1)
    return csr_array((np.ones(len(users), dtype=bool), (items, users)), shape=shape)


def alignment_of_clicks(log, item_ids):
    """Return the `interaction_embeddings` of a catalogue from a `log_of_clicks`, as wide as it allows."""
    n_components = min(_ALIGNMENT_DIM, log["user"].nunique() - 1, log["item"].nunique() - 1)
    return interaction_embeddings(log, item_ids, n_components=n_components, user="user", item="item", random_state=0)


def log_of_clicks(users, items, y, item_ids, user):
    """Return the impressions that were clicked, of users and items that are known: columns ``user`` and ``item``.

    Parameters
    ----------
    users : Series of shape (n_impressions,)
    items : Index of shape (n_impressions,)
    y : ndarray of shape (n_impressions,)
        Labels of two kinds.
    item_ids : ndarray of shape (n_items,)
    user : str or int
        Name of the users' column, for errors.

    Raises
    ------
    ValueError
        If `y` does not say which rows are clicks, no item is in the catalogue, or fewer than two users or items remain.
    """
    check_single_values(f"column {user!r}", users)
    clicked = is_click(y, f"with user={user!r}")
    is_known = find_ids(id_index(item_ids), items) >= 0
    if not is_known.any():
        raise ValueError(
            f"user={user!r} must go with ids of the item table, got {like_those(items, item_ids, 'the table')}. "
            "Is it the right column, and of the same type?"
        )
    log = pd.DataFrame({"user": users, "item": items})[clicked & is_known & users.notna().to_numpy()]
    if min(log["user"].nunique(), log["item"].nunique()) < 2:
        raise ValueError(
            "user must name a column of at least two users who clicked at least two known items, "
            f"got {user!r} with {log['user'].nunique()} and {log['item'].nunique()}."
        )
    return log


def _without(matrix, left, right):
    """Return ``matrix - left rightᵀ`` as an operator.

    To leave the first singular vectors out afterwards would not do: where users and items fall into circles that do not
    meet, several have the first singular value, and popularity may be a mixture of them.
    """
    return LinearOperator(
        matrix.shape,
        matvec=lambda x: matrix @ x.ravel() - left * (right @ x.ravel()),
        rmatvec=lambda y: matrix.T @ y.ravel() - right * (left @ y.ravel()),
        dtype=np.float64,
    )


def _positions(interactions, item_ids, user, item):
    """Return for each interaction the number of its user and the place of its item, and the catalogue as an Index."""
    check_has_columns("interactions", interactions, user=user, item=item)
    catalogue = as_index(item_ids if hasattr(item_ids, "dtype") else pd.Series(item_ids, dtype=object))
    for name, column in (("item_ids", pd.Series(catalogue)), *((c, interactions[c]) for c in (user, item))):
        check_single_values(name, column)
    if catalogue.hasnans:
        raise ValueError(f"item_ids must not be missing, got {catalogue.isna().sum()} missing.")
    index = id_index(catalogue)
    if not index.is_unique:
        raise ValueError(f"item_ids must be unique, got {catalogue[index.duplicated()][0]!r} more than once.")
    items = find_ids(index, interactions[item])
    if (items < 0).any():
        unknown = interactions[item][items < 0]
        cause = f": {like_those(unknown, index, 'item_ids')}" if of_other_kind(index, unknown) else ""
        raise ValueError(
            f"item_ids must hold every item of the interactions, {unknown.tolist()[0]!r} is not among them{cause}."
        )
    users, _ = factorize_ids(interactions[user])
    if (users < 0).any():
        raise ValueError(f"column {user!r} must not be missing, got {(users < 0).sum()} missing.")
    return users, items, catalogue
