"""What codes say of who takes what: a user's items share codes, if the codes are of use to a recommender."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from semid.base._checks import as_array, check_integer, check_single_values
from semid.base._typing import RandomState
from semid.metrics._arrays import check_codes, check_labels
from semid.metrics._representations import distances_between, expected_hits, parts_of_queries
from semid.tables._ids import factorize_ids

_LONGEST_HISTORY = 50  # other items of a user that are looked at, drawn at random
_EVERYONE = 0.5  # weight of what everyone takes beside what the user takes, in `co_click_auc`
_ROUNDS = 32  # of drawing items that a user has not; who has nearly all is left out
_AT_ONCE = 4096  # interactions


class CoClickRates(NamedTuple):
    """What `co_click_rates` returns, each of shape (n_codebooks,), NaN where no user has two items.

    Parameters
    ----------
    prefix : ndarray of shape (n_codebooks,), float
        Share of a user's other items that have the same codes up to this one.
    prefix_by_chance : ndarray of shape (n_codebooks,), float
        The same of two items that are drawn by popularity.
    code : ndarray of shape (n_codebooks,), float
        Share of a user's other items that have the same code of this codebook.
    code_by_chance : ndarray of shape (n_codebooks,), float
        The same of two items that are drawn by popularity.

    Examples
    --------
    >>> from semid.metrics import co_click_rates
    >>> rates = co_click_rates([[0, 0], [0, 1], [1, 0], [1, 1]], ["ann", "ann", "bob", "bob"], [0, 1, 2, 3])
    >>> rates.prefix.tolist(), rates.prefix_by_chance.round(2).tolist()
    ([1.0, 0.0], [0.33, 0.0])
    """

    prefix: np.ndarray
    prefix_by_chance: np.ndarray
    code: np.ndarray
    code_by_chance: np.ndarray


def co_click_rates(codes: ArrayLike, users: ArrayLike, items: ArrayLike) -> CoClickRates:
    """Return how often two items of one user share codes, and how often two items share them by chance.

    Of a random interaction, the share of the user's other items that have the same prefix of codes, and the share that
    has the same code::

        prefix = Σ_u Σ_g n_ug (n_ug - 1) / (n_u - 1) / Σ_u n_u
        prefix_by_chance = (Σ_g p_g² - Σ_i p_i²) / (1 - Σ_i p_i²)

    with ``n_ug`` the number of items of user u in group g (the items of one prefix, or one code), ``n_u`` their number
    in all, and ``p`` the share of the interactions that is with an item, or with a group. Chance is two interactions of
    different items drawn from the log, so that what is popular is no merit of the codes: random codes have a ratio
    of 1. Users with one item count in neither. In closed form, over all interactions: nothing is drawn. The recall of
    co-occurrence neighbours in a prefix of SIDInspector (arXiv:2606.10375) asks the same of the most frequent pairs.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    users : array-like of shape (n_interactions,)
        User of each interaction.
    items : array-like of shape (n_interactions,), int
        Row of `codes` of the item of each interaction. Repeated interactions count once.

    Returns
    -------
    rates : CoClickRates
        ``prefix``, ``prefix_by_chance``, ``code`` and ``code_by_chance``, with values in [0, 1].

    Raises
    ------
    ValueError
        If `codes` are not integers, or an interaction has no user, or an item that is no row of `codes`.

    Examples
    --------
    >>> from semid.metrics import co_click_rates
    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> users = ["ann", "ann", "bob", "bob", "eve", "eve"]
    >>> rates = co_click_rates(codes, users, [0, 1, 2, 3, 0, 2])
    >>> rates.prefix.round(2).tolist()  # of the first codes, two of three users have the same twice
    [0.67, 0.0]
    >>> rates.prefix_by_chance.round(2).tolist()
    [0.31, 0.0]
    """
    codes = check_codes(codes)
    return rates_of_pairs(codes, UserItems.of(users, items, len(codes)))


def co_click_auc(
    codes: ArrayLike,
    users: ArrayLike,
    items: ArrayLike,
    *,
    among: ArrayLike | None = None,
    n_pairs: int = 20_000,
    random_state: RandomState | None = None,
) -> float:
    """Return how well codes alone tell an item that a user took from one that others took.

    An item i of user u, and an item j that u has not, drawn by popularity, are scored by the codes of u's other items::

        s(u, i) = Σ_n log(1/2 + 1/2 · q_un(c_in) / p_n(c_in)),    AUC = P(s(u, i) > s(u, j)) + 1/2 P(s(u, i) = s(u, j))

    with ``q_un(c)`` the share of u's other items (at most 50, at random) that have code c of codebook n, and ``p_n(c)``
    the share of all interactions that are with such an item. 0.5 for random codes, and for codes that only say what is
    popular. Item i is none of those that its score looks at: the figure is of an item that nobody has met yet, whose
    codes are all that is known. A click model of one step, without anything to fit; its form, a mixture of a user's
    and everyone's frequencies, is that of language models (Jelinek & Mercer, from memory), its use for codes this
    project's own. The :doc:`guide to the report </guide/report>` compares it with the AUC of click models.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of each item.
    users : array-like of shape (n_interactions,)
        User of each interaction.
    items : array-like of shape (n_interactions,), int
        Row of `codes` of the item of each interaction. Repeated interactions count once.
    among : array-like of shape (n_items,), bool, default None
        Items that i and j are of, such as the rare ones; None for all. The user's other items may be any.
    n_pairs : int, default 20000
        Number of pairs (i, j), drawn at random; the standard error is at most ``0.5 / sqrt(n_pairs)``, or that of the
        number of interactions, if they are fewer.
    random_state : int, RandomState instance or None, default None
        Seed of the draw.

    Returns
    -------
    auc : float in [0, 1]
        NaN if no user has two items, one of them among those asked for.

    Raises
    ------
    ValueError
        If `codes` are not integers, or an interaction has no user, or an item that is no row of `codes`.

    Examples
    --------
    >>> from semid.metrics import co_click_auc
    >>> users, items = ["ann", "ann", "bob", "bob"], [0, 1, 2, 3]
    >>> co_click_auc([[0], [0], [1], [1]], users, items, random_state=0)
    1.0
    >>> co_click_auc([[0], [0], [0], [0]], users, items, random_state=0)
    0.5
    """
    codes = check_codes(codes)
    pairs = UserItems.of(users, items, len(codes))
    among = np.ones(len(codes), dtype=bool) if among is None else as_array("among", among)
    if among.shape != (len(codes),) or among.dtype != bool:
        raise ValueError(f"among must have shape ({len(codes)},) and be boolean, got {among.shape} of {among.dtype}.")
    n_pairs = check_integer("n_pairs", n_pairs, 1)
    contests = Contests.draw(pairs, among, n_pairs, check_random_state(random_state))
    return contests.auc(codes)


def co_click_hit_rate(
    representation: ArrayLike,
    users: ArrayLike,
    items: ArrayLike,
    *,
    k: int = 10,
    n_queries: int = 2000,
    random_state: RandomState | None = None,
) -> float:
    """Return how often another item of the same user is among the k nearest of an item.

    ``mean P(j ∈ N(i))`` over interactions (u, i), drawn at random, and another item j of u; ``N(i)`` are the k nearest
    of i, itself not among them, and P the chance to be one of them where distances are equal. FORGE (arXiv:2509.20904)
    calls such a rate of semantic IDs the embedding hit rate (after its abstract; the formula is this project's own).

    Parameters
    ----------
    representation : array-like of shape (n_items, n_columns)
        Codes (integers from -1 up), compared by Hamming distance, or floats, such as embeddings or what codes are
        decoded to, compared by Euclidean distance.
    users : array-like of shape (n_interactions,)
        User of each interaction.
    items : array-like of shape (n_interactions,), int
        Row of `representation` of the item of each interaction. Repeated interactions count once.
    k : int, default 10
        Number of neighbours.
    n_queries : int, default 2000
        Number of interactions that are looked at. The time is proportional to ``n_queries · n_items``.
    random_state : int, RandomState instance or None, default None
        Seed of the draw.

    Returns
    -------
    rate : float in [0, 1]
        NaN if no user has two items.

    Raises
    ------
    ValueError
        If `k` is not below the number of items, an interaction has no user, or an item that is no row.

    Examples
    --------
    >>> from semid.metrics import co_click_hit_rate
    >>> users, items = ["ann", "ann", "bob", "bob"], [0, 1, 2, 3]
    >>> co_click_hit_rate([[0.0], [0.1], [5.0], [5.1]], users, items, k=1, random_state=0)
    1.0
    >>> co_click_hit_rate([[0], [0], [0], [0]], users, items, k=1, random_state=0)  # any of three others
    0.3333333333333333
    """
    array = as_array("representation", representation)
    if array.ndim != 2:
        raise ValueError(f"representation must be 2-D, one row per item, got shape {array.shape}.")
    pairs = UserItems.of(users, items, len(array))
    k, n_queries = check_integer("k", k, 1), check_integer("n_queries", n_queries, 1)
    if k >= len(array):
        raise ValueError(f"k must be less than the number of items, got {k} for {len(array)} items.")
    queries = Partners.draw(pairs, n_queries, check_random_state(random_state))
    return hit_rates(representation, queries, k)[0]


class UserItems(NamedTuple):
    """The distinct pairs of user and item of a log, user by user, the items of each in an order of chance."""

    users: np.ndarray  # (n_pairs,), ascending numbers
    items: np.ndarray  # (n_pairs,), rows of the mapping
    starts: np.ndarray  # (n_pairs,), where those of the same user begin
    counts: np.ndarray  # (n_pairs,), how many they are
    n_items: int  # in the mapping

    @classmethod
    def of(cls, users, items, n_items):
        """Return those of arrays as the public functions take them."""
        items = as_array("items", items)
        users = check_labels("users", users, len(items) if items.ndim else 0)
        check_single_values("users", pd.Series(users))
        if items.dtype.kind not in "iu" or items.ndim != 1:
            raise ValueError(f"items must be rows, integers of one axis, got {items.dtype} of shape {items.shape}.")
        if len(items) and (items.min() < 0 or items.max() >= n_items):
            raise ValueError(f"items must be rows below {n_items}, got {items.min()} to {items.max()}.")
        numbers, _ = factorize_ids(users)
        if (numbers < 0).any():
            raise ValueError(f"users must not be missing, got {np.count_nonzero(numbers < 0)} missing.")
        return cls.of_numbers(numbers, items.astype(np.int64), n_items)  # uint64 beside int64 would be float64

    @classmethod
    def of_numbers(cls, users, items, n_items):
        """Return those of numbered users, with -1 for none, and rows of items."""
        keys = np.unique(users.astype(np.int64) * n_items + items)  # n_users · n_items is far below 2^63
        users, items = np.divmod(keys, n_items)
        # Within a user, any few that follow one another are a random sample.
        order = np.lexsort((np.random.default_rng(0).permutation(len(keys)), users))
        items = items[order]
        is_first = np.append(True, users[1:] != users[:-1]) if len(users) else np.zeros(0, dtype=bool)
        starts = np.flatnonzero(is_first)
        counts = np.diff(np.append(starts, len(users)))
        return cls(users, items, np.repeat(starts, counts), np.repeat(counts, counts), n_items)

    @property
    def with_others(self):
        """Those of users with two items or more."""
        kept = self.counts > 1
        users, items = self.users[kept], self.items[kept]
        starts = np.flatnonzero(np.append(True, users[1:] != users[:-1])) if len(users) else np.zeros(0, dtype=int)
        counts = np.diff(np.append(starts, len(users)))
        return UserItems(users, items, np.repeat(starts, counts), self.counts[kept], self.n_items)


def rates_of_pairs(codes, pairs):
    """Return the `co_click_rates` of a `UserItems`."""
    pairs = pairs.with_others
    n_codebooks = codes.shape[1]
    if len(pairs.users) == 0:
        return CoClickRates(*np.full((4, n_codebooks), np.nan))
    weights = np.bincount(pairs.items, minlength=len(codes)) / len(pairs.items)
    prefixes, rates = np.zeros(len(codes), dtype=np.int64), np.empty((4, n_codebooks))
    for n, column in enumerate(codes.T):
        column = np.unique(column, return_inverse=True)[1]
        prefixes = np.unique(prefixes * (column.max() + 1) + column, return_inverse=True)[1]
        for row, groups in ((0, prefixes), (2, column)):
            rates[row, n] = _shared(groups, pairs)
            rates[row + 1, n] = _shared_by_chance(groups, weights)
    return CoClickRates(*rates)


def _shared(groups, pairs):
    """Return the share of a user's other items in the group of an item, on average over the interactions."""
    keys = pairs.users * (groups.max() + 1) + groups[pairs.items]
    keys.sort()
    is_first = np.append(True, keys[1:] != keys[:-1])
    n_same = np.diff(np.append(np.flatnonzero(is_first), len(keys)))  # of each user in each group
    # Sorted by user first, so that counts per user are those of the pairs in their own order.
    n_others = pairs.counts[np.flatnonzero(is_first)] - 1
    return float((n_same * (n_same - 1) / n_others).sum() / len(keys))


def _shared_by_chance(groups, weights):
    of_items = np.square(weights)
    # Group by group, so that those of one item leave nothing, not even by rounding.
    same = np.square(np.bincount(groups, weights)) - np.bincount(groups, of_items)
    return float(same.sum() / (1 - of_items.sum())) if of_items.sum() < 1 else np.nan


class Contests(NamedTuple):
    """Pairs of an item that a user took and one that others took, with other items of the user."""

    taken: np.ndarray  # (n_contests,), rows
    others: np.ndarray  # (n_contests,), rows
    histories: np.ndarray  # (n_contests, length), rows, -1 after the end
    popularity: np.ndarray  # (n_items,), number of users of each item
    n_interactions: int  # that are behind them: of a short log, fewer than pairs

    @classmethod
    def draw(cls, pairs, among, n_contests, rng):
        popularity = np.bincount(pairs.items, minlength=pairs.n_items)
        candidates = np.flatnonzero((pairs.counts > 1) & among[pairs.items])
        pool = pairs.items[among[pairs.items]]
        chosen = rng.permutation(candidates)[:n_contests] if len(candidates) > n_contests else candidates
        n_interactions = len(chosen)
        if 0 < len(chosen) < n_contests:  # a short log: each several times, against several others
            chosen = np.tile(chosen, -(-n_contests // len(chosen)))[:n_contests]
        others = _draw_untouched(pairs, pairs.users[chosen], pool, rng)
        chosen, others = chosen[others >= 0], others[others >= 0]
        return cls(pairs.items[chosen], others, _histories(pairs, chosen), popularity, n_interactions)

    @property
    def noise(self):
        """Standard error of the AUC, at most: pairs of one interaction are won or lost together."""
        return 0.5 / np.sqrt(self.n_interactions)

    def auc(self, codes):
        if len(self.taken) == 0:
            return float("nan")
        wins = 0.0
        for some in np.array_split(np.arange(len(self.taken)), -(-len(self.taken) // _AT_ONCE)):
            difference = self._scores(codes, self.taken[some], some) - self._scores(codes, self.others[some], some)
            # Of equal codes the scores are equal but for the order of their sums.
            wins += np.count_nonzero(difference > 1e-9) + np.count_nonzero(np.abs(difference) <= 1e-9) / 2
        return float(wins / len(self.taken))

    def _scores(self, codes, asked, some):
        histories = self.histories[some]
        is_there = histories >= 0
        lengths, scores = is_there.sum(axis=1), np.zeros(len(asked))
        for column in codes.T:
            column = np.unique(column, return_inverse=True)[1]
            everyone = np.bincount(column, self.popularity) / self.popularity.sum()
            own = ((column[histories] == column[asked, None]) & is_there).sum(axis=1) / lengths
            scores += np.log(_EVERYONE + (1 - _EVERYONE) * own / everyone[column[asked]])
        return scores


def _histories(pairs, chosen):
    """Return other items of the user of each pair, (n_chosen, length), -1 after the end of shorter ones."""
    n_others = np.minimum(pairs.counts[chosen] - 1, _LONGEST_HISTORY)
    steps = 1 + np.arange(n_others.max(initial=0))
    places = chosen - pairs.starts[chosen]
    around = pairs.starts[chosen, None] + (places[:, None] + steps) % pairs.counts[chosen, None]
    return np.where(steps <= n_others[:, None], pairs.items[around], -1)


def _draw_untouched(pairs, users, pool, rng):
    """Return an item of the pool for each user that the user has not, -1 where none was found."""
    keys = np.sort(pairs.users * pairs.n_items + pairs.items)
    drawn = np.full(len(users), -1, dtype=np.int64)
    open_ = np.arange(len(users))
    for _ in range(_ROUNDS):
        if len(open_) == 0 or len(pool) == 0:
            break
        items = pool[rng.randint(len(pool), size=len(open_))]
        wanted = users[open_] * pairs.n_items + items
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        is_new = keys[places] != wanted
        drawn[open_[is_new]] = items[is_new]
        open_ = open_[~is_new]
    return drawn


class Partners(NamedTuple):
    """Items, another item of the same user for each, and one drawn by popularity."""

    queries: np.ndarray  # (n_queries,), rows
    partners: np.ndarray  # (n_queries,), rows
    strangers: np.ndarray  # (n_queries,), rows

    @classmethod
    def draw(cls, pairs, n_queries, rng):
        candidates = np.flatnonzero(pairs.counts > 1)
        chosen = rng.permutation(candidates)[:n_queries]
        counts, starts = pairs.counts[chosen], pairs.starts[chosen]
        steps = 1 + rng.randint(np.maximum(counts - 1, 1), size=len(chosen)) if len(chosen) else chosen
        partners = pairs.items[starts + (chosen - starts + steps) % counts]
        strangers = _draw_untouched(pairs, pairs.users[chosen], pairs.items, rng) if len(chosen) else partners
        return cls(pairs.items[chosen], partners, strangers)


def hit_rates(representation, partners, k):
    """Return the rates of a user's own item and of any popular one, NaN without pairs."""
    distances_from = distances_between("representation", representation)
    if len(partners.queries) == 0:
        return float("nan"), float("nan")
    hits = np.zeros(2)
    is_drawn = partners.strangers >= 0
    for some in parts_of_queries(len(partners.queries), len(representation)):
        distances = distances_from(partners.queries[some])
        hits[0] += expected_hits(distances, partners.partners[some], k).sum()
        strangers = np.where(is_drawn[some], partners.strangers[some], partners.queries[some])
        hits[1] += (expected_hits(distances, strangers, k) * is_drawn[some]).sum()
    return float(hits[0] / len(is_drawn)), float(hits[1] / is_drawn.sum()) if is_drawn.any() else float("nan")
