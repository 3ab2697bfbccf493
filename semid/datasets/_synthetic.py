"""A made catalogue and made clicks, from known probabilities."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from semid._checks import check_integer, check_number

# Each kind of product belongs to a category; titles and embeddings follow both.
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
_STYLES = [
    "small",
    "large",
    "classic",
    "modern",
    "light",
    "sturdy",
    "colourful",
    "plain",
    "premium",
    "everyday",
]
_BRANDS = [
    "Alder",
    "Birk",
    "Cedro",
    "Dorn",
    "Elm & Sons",
    "Fjell",
    "Ginko",
    "Hazel",
    "Ibis",
    "Juno",
    "Kauri",
    "Lind",
]
_N_FACTORS = 16
_INDIVIDUALITY = 0.3  # weight of a user's own taste beside that of their group


class ItemData(NamedTuple):
    """A catalogue, see `make_items`."""

    frame: pd.DataFrame  # item_id, title, category, brand, popularity; one row per item
    embeddings: np.ndarray  # (n_items, n_features) float32, row i belongs to row i of frame
    factors: np.ndarray  # (n_items, 16) float64, the hidden properties behind embeddings and clicks


class ClickData(NamedTuple):
    """An impression log, see `make_clicks`."""

    frame: pd.DataFrame  # user_id, item_id, hour, click; one row per impression, in order of time
    click_probability: np.ndarray  # (n_impressions,) float64, from which the clicks were drawn
    bayes_auc: float  # expected ROC AUC of the click probabilities themselves: no model can expect more


def make_items(n_items=1000, n_features=64, *, zipf_exponent=1.0, noise=0.5, random_state=None):
    """Make a catalogue: items with titles, text-like embeddings and Zipf popularity.

    An item is of one of 40 kinds in 8 categories, and has a style, a brand and something of its own; hidden factors sum
    these up, titles tell all but the last, and embeddings are a noisy linear view of the factors.

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
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    items : ItemData
        A NamedTuple of ``frame`` (columns item_id, title, category, brand, popularity), ``embeddings`` (n_items,
        n_features) float32, and ``factors`` (n_items, 16).

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> items = make_items(n_items=3, random_state=0)
    >>> list(items.frame.columns)
    ['item_id', 'title', 'category', 'brand', 'popularity']
    >>> items.embeddings.shape
    (3, 64)
    """
    check_integer("n_items", n_items, 2)
    check_integer("n_features", n_features, 1)
    check_number("zipf_exponent", zipf_exponent, 0)
    check_number("noise", noise, 0)
    rng = check_random_state(random_state)

    categories = list(_KINDS)
    kinds = [(category, kind) for category in categories for kind in _KINDS[category]]
    category_factors = rng.normal(size=(len(categories), _N_FACTORS))
    kind_factors = rng.normal(size=(len(kinds), _N_FACTORS))
    style_factors = rng.normal(size=(len(_STYLES), _N_FACTORS))

    kind = rng.randint(len(kinds), size=n_items)
    style = rng.randint(len(_STYLES), size=n_items)
    brand = rng.randint(len(_BRANDS), size=n_items)
    category = kind // len(_KINDS[categories[0]])
    own = rng.normal(size=(n_items, _N_FACTORS))
    factors = 0.6 * category_factors[category] + 0.6 * kind_factors[kind] + 0.35 * style_factors[style] + 0.35 * own

    view = rng.normal(size=(_N_FACTORS, n_features)) / np.sqrt(_N_FACTORS)
    embeddings = factors @ view + noise * rng.normal(size=(n_items, n_features))
    popularity = rng.permutation(np.arange(1, n_items + 1, dtype=float)) ** -zipf_exponent
    frame = pd.DataFrame(
        {
            "item_id": [f"item{i:05d}" for i in range(n_items)],
            "title": [f"{_BRANDS[b]} {_STYLES[s]} {kinds[k][1]}" for b, s, k in zip(brand, style, kind, strict=True)],
            "category": [categories[c] for c in category],
            "brand": [_BRANDS[b] for b in brand],
            "popularity": popularity / popularity.sum(),
        }
    )
    return ItemData(frame, embeddings.astype(np.float32), factors)


def make_clicks(items, n_impressions=50_000, n_users=1000, *, n_tastes=8, affinity=1.5, random_state=None):
    """Make an impression log whose click probabilities are known.

    Items are shown in proportion to their popularity; the log-odds of a click are the user's taste for the item's
    factors, the item's own appeal, and the hour of the day. A user's taste is that of one of a few groups, with
    something of their own.

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
    random_state : int, RandomState instance or None, default None
        Seed.

    Returns
    -------
    clicks : ClickData
        A NamedTuple of ``frame`` (columns user_id, item_id, hour, click), ``click_probability`` per row, and
        ``bayes_auc``, the expected AUC of the probabilities themselves (`expected_auc`); for some of the rows, pass
        their probabilities to `expected_auc`.

    Examples
    --------
    >>> from semid.datasets import make_clicks, make_items
    >>> clicks = make_clicks(make_items(random_state=0), n_impressions=1000, random_state=0)
    >>> list(clicks.frame.columns)
    ['user_id', 'item_id', 'hour', 'click']
    >>> 0.5 < clicks.bayes_auc < 1.0
    True
    """
    if not isinstance(items, ItemData):
        raise TypeError(f"items must come from make_items, got {type(items).__name__}.")
    check_integer("n_impressions", n_impressions, 2)
    check_integer("n_users", n_users, 1)
    check_integer("n_tastes", n_tastes, 1)
    check_number("affinity", affinity, 0)
    rng = check_random_state(random_state)

    n_items = len(items.frame)
    shared = rng.normal(size=(n_tastes, _N_FACTORS))[rng.randint(n_tastes, size=n_users)]
    own = rng.normal(size=(n_users, _N_FACTORS))
    tastes = np.sqrt(1 - _INDIVIDUALITY**2) * shared + _INDIVIDUALITY * own
    appeal = 0.5 * rng.normal(size=n_items)
    hour_effect = 0.3 * np.sin(2 * np.pi * np.arange(24) / 24)
    user = rng.randint(n_users, size=n_impressions)
    item = rng.choice(n_items, size=n_impressions, p=items.frame["popularity"])
    hour = rng.randint(24, size=n_impressions)

    taste = np.einsum("nf,nf->n", tastes[user], items.factors[item])
    spread = np.linalg.norm(items.factors, axis=1).mean()
    probability = expit(affinity * taste / spread + appeal[item] + hour_effect[hour] - 0.5)
    frame = pd.DataFrame(
        {
            "user_id": user,
            "item_id": items.frame["item_id"].to_numpy()[item],
            "hour": hour,
            "click": (rng.uniform(size=n_impressions) < probability).astype(np.int64),
        }
    )
    return ClickData(frame, probability, expected_auc(probability))


def expected_auc(click_probability):
    """Return the ROC AUC that ranking by the true click probabilities is expected to have.

    ``Σ_{i≠j} p_i (1 - p_j) [p_i > p_j] / Σ_{i≠j} p_i (1 - p_j)``, ties counting half: the share of pairs ranked right
    among the expected pairs of a click and no click. In n log n, by ranks.

    Parameters
    ----------
    click_probability : array-like of shape (n_impressions,), float in [0, 1]

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
