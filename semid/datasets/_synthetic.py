"""A made catalogue and made clicks, from known probabilities."""

from __future__ import annotations

from itertools import cycle
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from semid.base._checks import check_integer, check_number
from semid.base._typing import RandomState

# The grammar: a product is of a kind, and has a style, a material, an occasion and a brand. Its texts say all of these.
_KINDS = {
    "kitchen": ["kettle", "frying pan", "bread knife", "mug", "colander"],
    "garden": ["watering can", "pruning shears", "flower pot", "rake", "bird feeder"],
    "office": ["desk lamp", "notebook", "fountain pen", "stapler", "paper tray"],
    "sport": ["yoga mat", "dumbbell", "jump rope", "tennis racket", "water bottle"],
    "toys": ["wooden train", "puzzle", "plush bear", "marble run", "kite"],
    "care": ["hand cream", "shampoo", "face mask", "lip balm", "body lotion"],
    "music": ["ukulele", "guitar strings", "metronome", "harmonica", "music stand"],
    "travel": ["suitcase", "neck pillow", "packing cubes", "passport case", "travel plug"],
}
_STYLES = ["small", "large", "classic", "modern", "light", "sturdy", "colourful", "plain", "premium", "everyday"]
_MATERIALS = ["bamboo", "cotton", "copper", "cork", "glass", "linen", "recycled", "steel"]
_OCCASIONS = ["beginners", "birthdays", "families", "long weekends", "professionals", "small flats"]
_BRANDS = ["Alder", "Birk", "Cedro", "Dorn", "Elm & Sons", "Fjell", "Ginko", "Hazel", "Ibis", "Juno", "Kauri", "Lind"]
_DESCRIPTIONS = [
    "A {style} {kind} with {material} parts, made for {occasion}.",
    "Made for {occasion}: {style} {material} design from our {category} range.",
    "Our {category} team's choice for {occasion}. Style: {style}. Material: {material}.",
]
_N_FACTORS = 16
_INDIVIDUALITY = 0.2  # weight of a user's own taste beside that of their group
_N_RANKS = 10  # places in the list that a user sees
_DAYS = 30
_START = 1_700_000_000 // 86_400 * 86_400  # seconds; the midnight before 14 November 2023, 22:13 UTC


class ItemData(NamedTuple):
    """A catalogue, as `make_items` returns it.

    Parameters
    ----------
    frame : DataFrame
        One row per item: ``item_id``, ``title``, ``description``, ``category``, ``brand``, ``popularity`` and
        ``first_seen``.
    embeddings : ndarray of shape (n_items, n_features), float32
        Row i belongs to row i of `frame`.
    factors : ndarray of shape (n_items, 16), float64
        The hidden properties behind texts, embeddings and clicks.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> frame, embeddings, factors = make_items(n_items=100, random_state=0)
    >>> len(frame), embeddings.shape, factors.shape
    (100, (100, 64), (100, 16))
    """

    frame: pd.DataFrame
    embeddings: np.ndarray
    factors: np.ndarray


class ClickData(NamedTuple):
    """An impression log, as `make_clicks` returns it.

    Parameters
    ----------
    frame : DataFrame
        One row per impression, in order of time: ``user_id``, ``item_id``, ``timestamp``, ``hour``, ``rank`` and
        ``click``.
    click_probability : ndarray of shape (n_impressions,), float64
        What the clicks were drawn from.
    bayes_auc : float
        Expected ROC AUC of the click probabilities themselves: no model can expect more.

    Examples
    --------
    >>> from semid.datasets import expected_auc, make_clicks, make_items
    >>> clicks = make_clicks(make_items(random_state=0), n_impressions=500, random_state=0)
    >>> clicks.bayes_auc == expected_auc(clicks.click_probability)
    True
    """

    frame: pd.DataFrame
    click_probability: np.ndarray
    bayes_auc: float


def make_items(
    n_items: int = 1000,
    n_features: int = 64,
    *,
    zipf_exponent: float = 1.0,
    noise: float = 0.5,
    new_item_share: float = 0.2,
    random_state: RandomState | None = None,
) -> ItemData:
    """Make a catalogue: items with texts, text-like embeddings, Zipf popularity and a day on which they appear.

    An item is of one of 40 kinds in 8 categories, and has a style, a material, an occasion, a brand and something of
    its own. Hidden factors sum these up; title and description tell all but the last, and embeddings are a noisy linear
    view of the factors. So texts explain what users like, whether read by `semid.embedders.TextEmbedder` or taken from
    the embeddings.

    Parameters
    ----------
    n_items : int, default 1000
        Number of items.
    n_features : int, default 64
        Width of the embeddings.
    zipf_exponent : float, default 1.0
        Popularity of the r-th most popular item is proportional to ``r ** -zipf_exponent``.
    noise : float, default 0.5
        Standard deviation of the embedding's noise, where the factors' part has 1.
    new_item_share : float in [0, 1), default 0.2
        Share of the items that are not there from the start, but appear in the course of the log.
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    items : ItemData
        A NamedTuple of ``frame`` (columns item_id, title, description, category, brand, popularity and first_seen, the
        share of the log after which the item appears), ``embeddings`` (n_items, n_features) float32, and ``factors``
        (n_items, 16).

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> items = make_items(n_items=3, random_state=0)
    >>> items.frame["title"].tolist()
    ['Kauri plain linen kettle', 'Birk everyday copper mug', 'Ginko modern glass mug']
    >>> items.embeddings.shape
    (3, 64)
    """
    check_integer("n_items", n_items, 2)
    check_integer("n_features", n_features, 1)
    check_number("zipf_exponent", zipf_exponent, 0)
    check_number("noise", noise, 0)
    check_number("new_item_share", new_item_share, 0, 1, open_maximum=True)
    rng = check_random_state(random_state)

    products, factors = _make_products(n_items, rng)
    view = rng.normal(size=(_N_FACTORS, n_features)) / np.sqrt(_N_FACTORS)
    embeddings = factors @ view + noise * rng.normal(size=(n_items, n_features))
    popularity = rng.permutation(np.arange(1, n_items + 1, dtype=float)) ** -zipf_exponent
    first_seen = np.zeros(n_items)
    late = rng.permutation(n_items)[: int(new_item_share * n_items)]
    first_seen[late] = rng.uniform(size=len(late))
    frame = pd.DataFrame(
        {
            "item_id": [f"item{i:05d}" for i in range(n_items)],
            "title": ["{brand} {style} {material} {kind}".format(**product) for product in products],
            "description": [text.format(**p) for text, p in zip(cycle(_DESCRIPTIONS), products, strict=False)],
            "category": [product["category"] for product in products],
            "brand": [product["brand"] for product in products],
            "popularity": popularity / popularity.sum(),
            "first_seen": first_seen,
        }
    )
    return ItemData(frame, embeddings.astype(np.float32), factors)


def _make_products(n_items, rng):
    """Draw what each item is, as words, and the factors (n_items, 16) that sum it up."""
    categories = list(_KINDS)
    kinds = [(category, kind) for category in categories for kind in _KINDS[category]]
    words = {
        "category": (categories, 0.6),
        "kind": (kinds, 0.55),
        "style": (_STYLES, 0.3),
        "material": (_MATERIALS, 0.3),
        "occasion": (_OCCASIONS, 0.25),
        "brand": (_BRANDS, 0.25),
    }
    drawn = {name: rng.randint(len(choices), size=n_items) for name, (choices, _) in words.items()}
    drawn["category"] = drawn["kind"] // len(_KINDS[categories[0]])
    factors = 0.25 * rng.normal(size=(n_items, _N_FACTORS))
    for name, (choices, weight) in words.items():
        factors += weight * rng.normal(size=(len(choices), _N_FACTORS))[drawn[name]]
    products = [
        {name: words[name][0][choice] for name, choice in zip(drawn, row, strict=True)}
        for row in zip(*drawn.values(), strict=True)
    ]
    return [{**product, "kind": product["kind"][1]} for product in products], factors


def make_clicks(
    items: ItemData,
    n_impressions: int = 50_000,
    n_users: int = 1000,
    *,
    n_tastes: int = 8,
    affinity: float = 1.5,
    rank_effect: float = 0.3,
    random_state: RandomState | None = None,
) -> ClickData:
    """Make an impression log whose click probabilities are known.

    Of the items that have appeared, one is shown in proportion to its popularity, at a rank in a list. The log-odds of
    a click are the user's taste for the item's factors, the item's own appeal, the hour of the day, and the rank: what
    stands lower is clicked less. A user's taste is that of one of a few groups, with something of their own.

    Parameters
    ----------
    items : ItemData
        From `make_items`.
    n_impressions : int, default 50000
        Number of rows.
    n_users : int, default 1000
        Number of users; each is as likely as another.
    n_tastes : int, default 8
        Number of groups of users of like taste.
    affinity : float, default 1.5
        Weight of the taste in the log-odds, about the standard deviation of its part.
    rank_effect : float, default 0.3
        Log-odds of a click at rank r are lower by ``rank_effect * log(r)``; ranks are drawn evenly from 1 to 10.
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    clicks : ClickData
        A NamedTuple of ``frame`` (columns user_id, item_id, timestamp, hour, rank, click; thirty days, in order),
        ``click_probability`` per row, and ``bayes_auc``, the expected AUC of the probabilities themselves
        (`expected_auc`); for some of the rows, pass their probabilities to `expected_auc`.

    Raises
    ------
    TypeError
        If `items` does not come from `make_items`.
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> from semid.datasets import make_clicks, make_items
    >>> clicks = make_clicks(make_items(random_state=0), n_impressions=1000, random_state=0)
    >>> list(clicks.frame.columns)
    ['user_id', 'item_id', 'timestamp', 'hour', 'rank', 'click']
    >>> 0.5 < clicks.bayes_auc < 1.0
    True
    """
    if not isinstance(items, ItemData):
        raise TypeError(f"items must come from make_items, got {type(items).__name__}.")
    check_integer("n_impressions", n_impressions, 2)
    check_integer("n_users", n_users, 1)
    check_integer("n_tastes", n_tastes, 1)
    check_number("affinity", affinity, 0)
    check_number("rank_effect", rank_effect, 0)
    rng = check_random_state(random_state)

    shared = rng.normal(size=(n_tastes, _N_FACTORS))[rng.randint(n_tastes, size=n_users)]
    own = rng.normal(size=(n_users, _N_FACTORS))
    tastes = np.sqrt(1 - _INDIVIDUALITY**2) * shared + _INDIVIDUALITY * own
    appeal = 0.3 * rng.normal(size=len(items.frame))
    hour_effect = 0.3 * np.sin(2 * np.pi * np.arange(24) / 24)

    time = np.sort(rng.uniform(size=n_impressions))  # as a share of the log
    timestamp = _START + (time * _DAYS * 86_400).astype(np.int64)
    hour = timestamp // 3600 % 24
    user = rng.randint(n_users, size=n_impressions)
    item = _shown(items.frame, time, rng)
    rank = rng.randint(1, _N_RANKS + 1, size=n_impressions)

    taste = np.einsum("nf,nf->n", tastes[user], items.factors[item])
    spread = np.linalg.norm(items.factors, axis=1).mean()
    logit = affinity * taste / spread + appeal[item] + hour_effect[hour] - rank_effect * np.log(rank)
    probability = expit(logit)
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": items.frame["item_id"].to_numpy()[item],
            "timestamp": timestamp,
            "hour": hour,
            "rank": rank,
            "click": (rng.uniform(size=n_impressions) < probability).astype(np.int64),
        }
    )
    return ClickData(frame, probability, expected_auc(probability))


def _shown(frame, time, rng):
    """Draw an item for each point in `time` by popularity, among those that have appeared by then."""
    order = np.argsort(frame["first_seen"].to_numpy(), kind="stable")
    n_there = np.searchsorted(frame["first_seen"].to_numpy()[order], time, side="right")
    mass = np.cumsum(frame["popularity"].to_numpy()[order])
    drawn = np.searchsorted(mass, rng.uniform(size=len(time)) * mass[n_there - 1], side="right")
    return order[np.minimum(drawn, n_there - 1)]


def expected_auc(click_probability: ArrayLike) -> float:
    """Return the ROC AUC that ranking by the true click probabilities is expected to have.

    ``Σ_{i≠j} p_i (1 - p_j) [p_i > p_j] / Σ_{i≠j} p_i (1 - p_j)``, ties counting half: the share of pairs ranked right
    among the expected pairs of a click and no click. In n log n, by ranks.

    Parameters
    ----------
    click_probability : array-like of shape (n_impressions,), float in [0, 1]
        True probability of a click in each impression.

    Returns
    -------
    auc : float in [0.5, 1], NaN where no pair can be expected

    Examples
    --------
    >>> from semid.datasets import expected_auc
    >>> expected_auc([0.0, 0.0, 1.0])
    1.0
    >>> round(expected_auc([0.3, 0.3, 0.3]), 6)
    0.5
    """
    p = np.sort(np.asarray(click_probability, dtype=np.float64))
    quiet = np.concatenate([[0.0], np.cumsum(1 - p)])
    first, last = rankdata(p, method="min").astype(int) - 1, rankdata(p, method="max").astype(int)
    ranked_right = p @ (quiet[first] + (quiet[last] - quiet[first] - (1 - p)) / 2)
    pairs = p.sum() * (1 - p).sum() - p @ (1 - p)
    return float(ranked_right / pairs) if pairs > 0 else float("nan")
