"""A log of interactions beside a mapping: whose items they are, and the figures of codes that follow."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from semid.base._checks import check_single_values
from semid.metrics._co_clicks import Contests, Partners, UserItems, hit_rates, rates_of_pairs
from semid.metrics._popularity import PARTS, allocation_by_popularity, check_popularity, part_of_each, shares_codes
from semid.tables._frames import check_has_columns, from_arrow
from semid.tables._ids import factorize_ids, find_ids, id_index, like_those, of_other_kind

N_CONTESTS = 20_000
_LEAST_QUERIES, _MOST_QUERIES, _MOST_DISTANCES = 2_000, 10_000, 2**27  # of the hit rates
_MOST_PAIRS = 2_000_000  # interactions whose users are compared; of a longer log, those of some users


class Log(NamedTuple):
    """The interactions of items that have codes."""

    users: np.ndarray  # (n_interactions,), numbers
    items: np.ndarray  # (n_interactions,), rows of the mapping
    n_unknown: int  # interactions of other items, or of nobody


def read_log(interactions: Any, item_ids: np.ndarray, user: str, item: str) -> Log:
    """Return the interactions of a table, or raise unless it has both columns and items of the mapping in them."""
    if hasattr(interactions, "__arrow_c_stream__") and not isinstance(interactions, pd.DataFrame):
        interactions = from_arrow("interactions", interactions)
    check_has_columns("interactions", interactions, user=user, item=item)
    for column in (user, item):
        check_single_values(column, interactions[column])
    known = id_index(item_ids)
    rows = find_ids(known, interactions[item])
    if not (rows >= 0).any():
        asked = [value for value in interactions[item] if isinstance(value, str | bytes | Real) and not pd.isna(value)]
        cause = f": {like_those(asked[:1], known, 'the mapping')}" if asked else ", got no text and no number"
        hint = " Text and numbers are never equal." if asked and of_other_kind(known, asked[:1]) else ""
        raise ValueError(f"interactions must be of items of the mapping, and none is{cause}.{hint}")
    users, _ = factorize_ids(interactions[user])
    kept = (rows >= 0) & (users >= 0)
    if not kept.any():
        raise ValueError(
            f"interactions must have users, got none in {user!r} of the {np.count_nonzero(rows >= 0):,} rows with "
            "items of the mapping. Leave the log out, and pass popularity, where users are not known."
        )
    return Log(users[kept], rows[kept], int(len(kept) - kept.sum()))


def some_users(log, rng):
    """Return the interactions of users drawn at random, about as many as are compared; all of a shorter log."""
    if len(log.users) <= _MOST_PAIRS:
        return log
    n_users = int(log.users.max()) + 1
    is_drawn = rng.random_sample(n_users) < _MOST_PAIRS / len(log.users)
    kept = is_drawn[log.users]
    return Log(log.users[kept], log.items[kept], log.n_unknown)


class Traffic:
    """What is asked of every mapping of the same items: the same pairs of items, so that mappings can be compared."""

    def __init__(self, log, popularity, n_items, k, rng):
        self.n_items, self.k = n_items, k
        self.popularity = popularity
        self.n_interactions = self.n_unknown = None
        self.pairs = self.contests = self.partners = None
        if log is not None:
            self.n_interactions, self.n_unknown = len(log.users), log.n_unknown
            if popularity is None:
                self.popularity = np.bincount(log.items, minlength=n_items).astype(np.float64)
            some = some_users(log, rng)
            self.pairs = UserItems.of_numbers(some.users, some.items, n_items)
            everything = np.ones(n_items, dtype=bool)
            self.contests = Contests.draw(self.pairs, everything, N_CONTESTS, rng)
            n_queries = int(np.clip(_MOST_DISTANCES // n_items, _LEAST_QUERIES, _MOST_QUERIES))
            self.partners = Partners.draw(self.pairs, n_queries, rng)
        if self.popularity is not None:
            self.popularity = check_popularity(self.popularity, n_items)

    @property
    def has_pairs(self):
        """Whether any user has two items that were compared."""
        return self.contests is not None and len(self.contests.taken) > 0

    def noise(self, figures):
        """Return the standard errors of figures that are of a sample, at most, by name."""
        errors = {}
        if "co_click_auc" in figures:
            errors["co_click_auc"] = self.contests.noise
        if "co_click_hit_rate" in figures:
            rate = figures["co_click_hit_rate"]
            errors["co_click_hit_rate"] = np.sqrt(rate * (1 - rate) / len(self.partners.queries))
        return errors

    def figures(self, codes):
        """Return the figures of a mapping, by name."""
        figures = {}
        if self.popularity is not None:
            shares = shares_codes(codes)
            figures["shared_traffic"] = float(self.popularity[shares].sum() / self.popularity.sum())
            if shares.any():
                of_shared = self.popularity[shares].mean() / self.popularity.mean()
                figures["popularity_of_shared"] = float(of_shared)
        if self.has_pairs:
            rates = self.rates(codes)
            figures["co_click_auc"] = self.contests.auc(codes)
            figures["co_click_lift"] = _mean_ratio(rates.code, rates.code_by_chance)
            figures["co_click_lift_of_first"] = _mean_ratio(rates.code[:1], rates.code_by_chance[:1])
            if self.k > 0:
                figures["co_click_hit_rate"], figures["co_click_hit_rate_by_chance"] = self.hit_rate(codes)
        return figures

    def rates(self, codes):
        """Return the `co_click_rates` of a mapping."""
        return rates_of_pairs(codes, self.pairs)

    def hit_rate(self, representation):
        """Return the `co_click_hit_rate`, and that of items drawn by popularity."""
        return hit_rates(representation, self.partners, self.k)

    def parts(self, codes, rng):
        """Return what the mapping has of the head, the middle and the tail, or None without popularity."""
        if self.popularity is None:
            return None
        parts = allocation_by_popularity(codes, self.popularity)
        if self.has_pairs:
            part = part_of_each(self.popularity)
            aucs = [Contests.draw(self.pairs, part == n, N_CONTESTS // 2, rng).auc(codes) for n in range(len(PARTS))]
            parts["co_click_auc"] = aucs
        return parts


def _mean_ratio(shares, by_chance):
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = shares / by_chance
    return float(np.mean(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else float("nan")
