"""What became of each item from one generation of a catalogue to another."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid.base._checks import as_numbers
from semid.io._prefixes import sorting_order
from semid.metrics._churn import CodeChurn
from semid.metrics._mapping_rows import NO_CODE
from semid.tables._ids import concat_ids, find_ids, id_index, like_those, of_other_kind

ADDED, MOVED, GONE = "added", "moved", "gone"


class CatalogueDiff(NamedTuple):
    """What `Catalogue.diff` returns: what became of each item from one generation to another.

    Parameters
    ----------
    changes : DataFrame
        A row per item that is ``"added"``, ``"moved"`` to other codes, or ``"gone"`` (``change``), in this order and
        within it in that of the codes; ``item_id``, codes before, ``old_code0``, ..., and after, ``code0``, ..., -1
        where there are none.
    n_added : int
        Number of items that were not there before.
    n_moved : int
        Number of items that have other codes than before.
    n_gone : int
        Number of items that are there no more.
    n_kept : int
        Number of items whose codes are what they were.
    churn : CodeChurn
        Share of the items of both generations of which any code changed, and one of each codebook; NaN without any.
    traffic_churn : CodeChurn or None
        The same, of their popularity: the share of traffic whose items moved. None where no popularity was given.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.io import Catalogue
    >>> with TemporaryDirectory() as there:
    ...     catalogue = Catalogue.build(Path(there) / "toys", ["mug", "cup"], codes=[[1, 7], [3, 0]])
    ...     _ = catalogue.refit(["cup", "mug", "pan"], codes=[[3, 1], [1, 7], [2, 2]], popularity=[90, 10, 5])
    ...     diff = catalogue.diff(1, 2, popularity={"cup": 90, "mug": 10})
    >>> diff.n_added, diff.n_moved, diff.n_gone, diff.n_kept
    (1, 1, 0, 1)
    >>> diff.churn.items, diff.traffic_churn.items
    (0.5, 0.9)
    >>> diff.changes
      item_id change  old_code0  old_code1  code0  code1
    0     pan  added         -1         -1      2      2
    1     cup  moved          3          0      3      1
    """

    changes: pd.DataFrame
    n_added: int
    n_moved: int
    n_gone: int
    n_kept: int
    churn: CodeChurn
    traffic_churn: CodeChurn | None


def difference(old, new, popularity=None):
    """Return the `CatalogueDiff` of two pairs of ids and codes.

    Parameters
    ----------
    old, new : tuple of ndarray (n_items,) and ndarray (n_items, n_codebooks)
        Ids and codes before and after.
    popularity : ndarray of shape (n_items,), default None
        Of each of the new items.
    """
    (old_ids, old_codes), (new_ids, new_codes) = old, new
    places = find_ids(id_index(old_ids), new_ids)
    is_kept = places >= 0
    was, now = _same_width(old_codes[places[is_kept]], new_codes[is_kept])
    has_changed = was != now
    is_moved = has_changed.any(axis=1)
    is_gone = np.ones(len(old_ids), dtype=bool)
    is_gone[places[is_kept]] = False
    added, moved = np.flatnonzero(~is_kept), np.flatnonzero(is_kept)[is_moved]
    added, moved = _in_order(new_codes, added), _in_order(new_codes, moved)
    changes = _table(old, new, added, moved, places[moved], _in_order(old_codes, np.flatnonzero(is_gone)))
    weights = None if popularity is None else popularity[is_kept]
    return CatalogueDiff(
        changes=changes,
        n_added=len(added),
        n_moved=len(moved),
        n_gone=int(is_gone.sum()),
        n_kept=int(is_kept.sum()) - len(moved),
        churn=_churn(has_changed, None),
        traffic_churn=None if weights is None else _churn(has_changed, weights),
    )


def check_popularity(popularity: Any, n_items: int) -> np.ndarray | None:
    """Return one float64 per item, or None for None; raise unless they are finite and not negative."""
    return None if popularity is None else _checked_popularity(popularity, n_items)


def _checked_popularity(popularity: Any, n_items: int) -> np.ndarray:
    values = as_numbers("popularity", popularity).astype(np.float64)
    if values.shape != (n_items,):
        raise ValueError(f"popularity must have one entry per item, shape ({n_items},), got shape {values.shape}.")
    is_wrong = ~(np.isfinite(values) & (values >= 0))
    if is_wrong.any():
        raise ValueError(
            f"popularity must be finite and not negative, got {values[is_wrong][0]} in row {int(is_wrong.argmax())}. "
            "Items without traffic have 0."
        )
    return values


def popularity_of(ids: Any, popularity: pd.Series | Mapping | None) -> np.ndarray | None:
    """Return the popularity of each of `ids`, 0 for those that `popularity`, a Series or dict by id, does not have."""
    if popularity is None:
        return None
    if not isinstance(popularity, pd.Series | Mapping):
        raise TypeError(
            f"popularity must be a Series or a dict by item id, got {type(popularity).__name__}. Pass "
            "pd.Series(values, index=item_ids)."
        )
    series = pd.Series(popularity)
    if not series.index.is_unique:
        repeated = series.index[series.index.duplicated()][0]
        raise ValueError(f"popularity must have each item once, got {repeated!r} more than once. Sum it up first.")
    values = _checked_popularity(series.to_numpy(), len(series))
    if len(series) and len(ids) and of_other_kind(ids, series.index):
        raise TypeError(
            f"popularity must have ids of the kind that the catalogue has, got {like_those(series.index, ids, 'it')}. "
            "Pass them in that type."
        )
    places = find_ids(id_index(series.index), ids)
    return np.where(places >= 0, np.append(values, 0.0)[places], 0.0)


def counts(diff):
    """Return what the manifest says of the changes since the parent."""
    about = {"changes": {"added": diff.n_added, "moved": diff.n_moved, "gone": diff.n_gone, "kept": diff.n_kept}}
    for name, churn in (("churn", diff.churn), ("traffic_churn", diff.traffic_churn)):
        is_known = churn is not None and churn.items == churn.items  # NaN where no item is in both
        about[name] = {"items": churn.items, "codes": churn.codes.tolist()} if is_known else None
    return about


def _in_order(codes, rows):
    """Return the same rows in the order of their codes."""
    return rows[sorting_order(codes[rows])]


def _same_width(old, new):
    """Return both with as many codebooks; what one has not is NO_CODE."""
    width = max(old.shape[1], new.shape[1])
    return tuple(np.pad(codes, ((0, 0), (0, width - codes.shape[1])), constant_values=NO_CODE) for codes in (old, new))


def _churn(has_changed, weights):
    if weights is None:
        weights = np.ones(len(has_changed))
    total = weights.sum()
    if not total > 0:
        return CodeChurn(float("nan"), np.full(has_changed.shape[1], np.nan))
    return CodeChurn(float(weights @ has_changed.any(axis=1) / total), weights @ has_changed / total)


def _table(old, new, added, moved, moved_from, gone):
    (old_ids, old_codes), (new_ids, new_codes) = old, new
    n_added, n_gone = len(added), len(gone)
    before = np.concatenate([_no_codes(n_added, old_codes), old_codes[moved_from], old_codes[gone]])
    after = np.concatenate([new_codes[added], new_codes[moved], _no_codes(n_gone, new_codes)])
    ids = concat_ids(new_ids[np.concatenate([added, moved])], old_ids[gone])
    return pd.DataFrame(
        {
            "item_id": ids.to_numpy(),
            "change": np.repeat([ADDED, MOVED, GONE], [n_added, len(moved), n_gone]),
            **{f"old_code{n}": column for n, column in enumerate(before.T)},
            **{f"code{n}": column for n, column in enumerate(after.T)},
        }
    )


def _no_codes(n_items, codes):
    return np.full((n_items, codes.shape[1]), NO_CODE, dtype=np.int64)
