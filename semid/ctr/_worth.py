"""What a mapping from items to codes is worth to a click model: fits with and without it, on the same impressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state

from semid.base._checks import check_integer, check_single_values
from semid.base._typing import RandomState, StrPath
from semid.ctr._base import BaseCTRClassifier
from semid.ctr._deepfm import DeepFMClassifier
from semid.datasets import add_negatives, leave_last_out
from semid.datasets._frames import check_nothing_missing, check_sorts
from semid.metrics._mapping import read_mapping
from semid.tables._frames import check_has_columns
from semid.tables._ids import factorize_ids, find_ids, id_index, like_those, of_other_kind

_N_DRAWS = 100  # of users and fits, for the noise
_ARMS = ("popularity", "no codes", "codes")


@dataclass(frozen=True, repr=False)
class CodesWorth:
    """What `codes_worth` returns; prints as two tables.

    Parameters
    ----------
    table : DataFrame of shape (3, 2)
        AUC on the test of ``popularity``, of a click model with ``no codes``, and with ``codes``, the mean of all fits:
        columns ``auc``, over all items, and ``auc_cold``, over those with few training clicks.
    gain : DataFrame of shape (2, 4)
        What the codes add over ``no codes`` and over ``popularity``: ``auc`` and ``auc_cold``, and behind each its
        standard error over users and fits, ``auc_error`` and ``auc_cold_error``.
    n_fits : int
        Fits of each click model.
    n_cold : int
        Test impressions of cold items.

    Examples
    --------
    >>> import pandas as pd
    >>> from semid.ctr import CodesWorth
    >>> table = pd.DataFrame({"auc": [0.6, 0.7, 0.75]}, index=["popularity", "no codes", "codes"])
    >>> CodesWorth(table, pd.DataFrame({"auc": [0.05, 0.15]}, index=["no codes", "popularity"]), 1, 0).n_fits
    1
    """

    table: pd.DataFrame
    gain: pd.DataFrame
    n_fits: int
    n_cold: int

    def __repr__(self):
        return "\n".join(
            [
                self.table.to_string(float_format="{:.4f}".format),
                "",
                f"What codes add, with the standard error over users and {self.n_fits} fits:",
                self.gain.to_string(float_format="{:+.4f}".format),
            ]
        )


def codes_worth(
    codes: StrPath | Mapping | pd.DataFrame | ArrayLike,
    log: pd.DataFrame,
    *,
    model: BaseCTRClassifier | None = None,
    n_fits: int = 3,
    n_cold: int = 5,
    user: str = "user_id",
    item: str = "item_id",
    order: str | None = None,
    random_state: RandomState | None = 0,
) -> CodesWorth:
    """Return what codes add to a click model of users and items, over the same model without them, and popularity.

    Each user's last interaction is the test, the others are for training (users with fewer than three have none in
    the test), and each gets an item as its negative that the user never took, drawn uniformly. The model is fitted on
    user and item alone and on user, item and codes, `n_fits` times each with seeds of their own; popularity is the
    number of training clicks. Cold items have at most
    `n_cold` of these. The standard error is that of the mean difference, users and fits drawn anew a hundred times
    (bootstrap): fits alone say nothing of another test, users nothing of another seed.

    Codes that were aligned with clicks must not have seen the test: leave the last interactions out of their fit.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), DataFrame, dict, or path
        Codes of each item, as `tokenizer_report` takes them.
    log : DataFrame
        One row per interaction, all of them positive. Items without codes are left out.
    model : click model or None, default None
        Unfitted; None for `DeepFMClassifier` at its defaults.
    n_fits : int, default 3
        Fits of the model with codes, and as many without.
    n_cold : int, default 5
        Training clicks of a cold item, at most.
    user, item : str, default "user_id" and "item_id"
        Columns of the log.
    order : str or None, default None
        Column of the time; None if rows are in its order.
    random_state : int, RandomState instance or None, default 0
        Seed of negatives, fits and draws.

    Returns
    -------
    worth : CodesWorth

    Raises
    ------
    TypeError
        If `log` is no DataFrame.
    ValueError
        If the log lacks a column, has no item of the mapping, or no user with three interactions.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from semid import FactorizationMachineClassifier
    >>> from semid.ctr import codes_worth
    >>> rng = np.random.default_rng(0)
    >>> users = np.repeat(np.arange(300), 6)
    >>> log = pd.DataFrame({"user_id": users, "item_id": 4 * rng.integers(50, size=1800) + users % 4})
    >>> model = FactorizationMachineClassifier(max_iter=3)
    >>> worth = codes_worth(np.arange(200)[:, None] % 4, log, model=model, n_fits=1)
    >>> bool(worth.gain.loc["no codes", "auc"] > 0.05)
    True
    """
    item_ids, codes = read_mapping(codes)
    n_fits, n_cold = check_integer("n_fits", n_fits, 1), check_integer("n_cold", n_cold, 0)
    rng = check_random_state(random_state)
    train, test = _impressions(log, item_ids, user, item, order, rng)
    clicks = np.bincount(train["item"][train["click"] == 1], minlength=len(item_ids))
    columns = pd.DataFrame(codes, columns=[f"item_code{n}" for n in range(codes.shape[1])])
    arms: dict[str, list[Any]] = {"popularity": [clicks[test["item"]]], "no codes": [], "codes": []}
    for _ in range(n_fits):
        seed = int(rng.randint(2**31 - 1))
        for name in _ARMS[1:]:
            fitted = clone(DeepFMClassifier() if model is None else model).set_params(random_state=seed)
            fields = [_with(columns if name == "codes" else None, part) for part in (train, test)]
            arms[name].append(fitted.fit(fields[0], train["click"]).predict_proba(fields[1])[:, 1])
    is_cold = clicks[test["item"]] <= n_cold
    parts = {"auc": np.ones(len(test), dtype=bool), "auc_cold": is_cold}
    y, users = test["click"].to_numpy(), factorize_ids(test["user"])[0]
    table = pd.DataFrame(
        {name: [_mean_auc(y, arms[arm], rows * 1.0) for arm in _ARMS] for name, rows in parts.items()},
        index=list(_ARMS),
    )
    return CodesWorth(table, _gain(table, y, users, arms, parts, rng), n_fits, int(is_cold.sum()))


def _impressions(log, item_ids, user, item, order, rng):
    """Return the impressions of training and test, with columns user, item (a row of the mapping) and click."""
    wanted = {"user": user, "item": item} | ({} if order is None else {"order": order})
    check_has_columns("log", log, **wanted)
    for column in wanted.values():
        check_single_values(column, log[column])
    known = id_index(item_ids)
    rows = find_ids(known, log[item])
    users, _ = factorize_ids(log[user])
    kept = (rows >= 0) & (users >= 0)
    if not kept.any():
        asked = [] if (rows >= 0).any() else log[item].dropna().tolist()[:1]
        cause = f": {like_those(asked, known, 'the mapping')}" if asked else ""
        hint = " Text and numbers are never equal." if asked and of_other_kind(known, asked) else ""
        raise ValueError(
            f"log must have interactions of users with items of the mapping, got none among {len(log)} rows{cause}."
            f"{hint}"
        )
    if order is not None:
        check_nothing_missing(log[kept], order)
        check_sorts(log[kept], order, "log")
    time = np.arange(len(log)) if order is None else log[order].to_numpy()
    positives = pd.DataFrame({"user": users[kept], "item": rows[kept], "time": time[kept]})
    # The first in time is the one that counts, wherever its row is.
    is_copy = positives.sort_values("time", kind="stable").duplicated(["user", "item"])
    positives = positives[~is_copy.sort_index()]
    part = leave_last_out(positives, user="user", order="time", item="item")
    if not (part == "test").any():
        raise ValueError("log must have a user with three items or more, whose last is the test, got none.")
    # One draw for all, so that no negative is a positive of another part.
    seed = int(rng.randint(2**31 - 1))
    every = add_negatives(
        positives.assign(part=part), np.arange(len(item_ids)), user="user", item="item", random_state=seed
    )
    is_test = (every["part"] == "test").to_numpy()
    return every[~is_test].reset_index(drop=True), every[is_test].reset_index(drop=True)


def _with(columns, impressions):
    fields = pd.DataFrame({"user_id": impressions["user"], "item_id": impressions["item"]})
    if columns is None:
        return fields
    return pd.concat([fields, columns.iloc[fields["item_id"]].set_axis(fields.index)], axis=1)


def _mean_auc(y, scores, weights, fits=None):
    fits = range(len(scores)) if fits is None else fits
    rows = weights > 0
    if len(np.unique(y[rows])) < 2:
        return float("nan")
    of_fits = {
        fit: roc_auc_score(y[rows], scores[fit % len(scores)][rows], sample_weight=weights[rows]) for fit in set(fits)
    }
    return float(np.mean([of_fits[fit] for fit in fits]))


def _gain(table, y, users, arms, parts, rng):
    n_users, n_fits = users.max() + 1, len(arms["codes"])
    draws: dict[tuple[str, str], list[float]] = {(arm, part): [] for arm in _ARMS[:2] for part in parts}
    for _ in range(_N_DRAWS):
        weights = np.bincount(rng.randint(n_users, size=n_users), minlength=n_users)[users]
        fits = rng.randint(n_fits, size=n_fits).tolist()
        for part, rows in parts.items():
            of_codes = _mean_auc(y, arms["codes"], weights * rows, fits)
            for arm in _ARMS[:2]:
                draws[arm, part].append(of_codes - _mean_auc(y, arms[arm], weights * rows, fits))
    gain: dict[str, list[float]] = {}
    for part in parts:
        gain[part] = [table.loc["codes", part] - table.loc[arm, part] for arm in ("no codes", "popularity")]
        gain[f"{part}_error"] = [float(np.std(draws[arm, part])) for arm in ("no codes", "popularity")]
    return pd.DataFrame(gain, index=["no codes", "popularity"])
