"""Is my semantic ID any good? One call over a mapping from items to codes, whoever made it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from semid.base._checks import check_integer, check_option, check_single_values, warn
from semid.base._typing import RandomState, StrPath
from semid.metrics._arrays import (
    as_table,
    check_labels,
    check_rows,
    check_sizes,
    distinct_rows,
    one_size_each,
    rescaled,
)
from semid.metrics._baselines import RANDOM, baseline_codes
from semid.metrics._codes import (
    code_nmi,
    codebook_gini,
    codebook_perplexity,
    codebook_usage,
    collision_rate,
    prefix_collision_rates,
    reconstruction_r2,
    redundancy_matrix,
)
from semid.metrics._findings import ITEMS_PER_NEIGHBOR, Audit, findings, has_a_suffix
from semid.metrics._findings_of_traffic import findings_of_traffic
from semid.metrics._mapping import read_mapping
from semid.metrics._mapping_columns import LEAST_EVIDENCE
from semid.metrics._mapping_rows import NO_CODE
from semid.metrics._popularity import prefix_purity, purity_by_chance
from semid.metrics._report import ReportItems, TokenizerReport
from semid.metrics._representations import neighbor_overlap, neighbor_overlaps
from semid.metrics._traffic import Traffic, read_log
from semid.metrics._verdict import PURPOSES, verdict
from semid.tables._ids import warn_of_other_order

_FLOAT32, _EMBEDDING_DIM = 4, 16  # bytes, and the width of an embedding in the click models' defaults


def tokenizer_report(
    codes: StrPath | Mapping | pd.DataFrame | ArrayLike,
    X: ArrayLike | None = None,
    *,
    reconstruction: ArrayLike | None = None,
    codebook_size: int | ArrayLike | None = None,
    interactions: pd.DataFrame | None = None,
    popularity: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    titles: ArrayLike | None = None,
    purpose: Literal["ranking", "retrieval"] | None = None,
    baselines: bool = True,
    user: str = "user_id",
    item: str = "item_id",
    k: int = 10,
    random_state: RandomState | None = 0,
    y: Any = None,
) -> TokenizerReport:
    """Return how good a mapping from items to codes is, what is wrong with it, and what to do.

    For codes of any origin. The collision rate hides most of what goes wrong: codebooks that are hardly used, a last
    codebook that was made to tell items apart, codebooks that repeat each other, codes that belong to other items. With
    a log of interactions it says what the codes are worth for the traffic there is.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), DataFrame, dict, or path
        Codes of each item, -1 where an item has fewer than others. Of a DataFrame, the columns ``code0``, ``code1``,
        ... or ``<name>_code0``, ..., if there are any, else one column of lists or one numbered set of columns; its
        ids name the items (`semid.io.read_mapping` says which columns are what). A dict has a list per item, of
        integers or of tokens like ``"<a_12>"``, or a text such as ``"3-9-1"``. Paths end in ``.npy``, ``.parquet`` (as
        a DataFrame), or ``.json`` (as a dict; the ``.index.json`` of LC-Rec, LETTER and MiniOneRec).
    X : array-like of shape (n_items, n_features), default None
        Embeddings, row by row the items of `codes`. Adds what the codes keep of them, and tells collisions from
        duplicates. Items with a row of NaN, as `interaction_embeddings` has for those that nobody met, are left out of
        both.
    reconstruction : array-like of shape (n_items, n_features), default None
        What the codes stand for, from `inverse_transform`. Needs `X`.
    codebook_size : int or array-like of shape (n_codebooks,), int, default None
        Number of codes in each codebook. None for its largest code + 1, which is too little where the last codes have
        no items: pass ``tokenizer.codebook_sizes_`` if you know them.
    interactions : DataFrame, default None
        One row per interaction, with a column of users and one of items: those of the training rows, or later ones, but
        none that a model is to be tested on. Adds what the codes say of who takes what, and, without `popularity`, how
        often each item is met. Items are matched by id; of an array, ids are positions.
    popularity : array-like of shape (n_items,), default None
        How often each item is met. None for its number of `interactions`.
    labels : array-like of shape (n_items,), default None
        Labels of the items, for example categories. Adds what prefixes and codebooks say of them. Items whose label is
        missing are left out of it.
    titles : array-like of shape (n_items,), default None
        A text for each item, to name it by: in findings, and on the page of `TokenizerReport.to_html`.
    purpose : {"ranking", "retrieval"} or None, default None
        What the codes are for. For ``"ranking"``, as fields of a click model, items may share all their codes, and
        nothing is said of it. None has both verdicts, and all findings.
    baselines : bool, default True
        Whether to have the figures of random codes and, with `X`, of k-means of the same sizes beside those of the
        mapping. They are computed on the same items, at the cost of the clusterings.
    user, item : str, default "user_id" and "item_id"
        Columns of `interactions`.
    k : int, default 10
        Number of neighbours of `neighbor_overlap` and `co_click_hit_rate`.
    random_state : int, RandomState instance or None, default 0
        Seed of all that is drawn: items and interactions that are compared, shuffled codes, baselines.
    y : None, default None
        The name of `labels` in version 0.1.0.

    Returns
    -------
    report : TokenizerReport
        ``table``, one row per codebook: ``codes_used``, ``codebook_size``, ``usage``, ``perplexity``, ``gini``,
        ``redundancy`` (mean NMI with the other codebooks), ``redundancy_by_chance`` (of the same codes, shuffled over
        the items), ``prefix_collision_rate`` (of the codes up to this one); with `labels` ``nmi_with_labels`` and
        ``prefix_purity``; with `interactions` ``co_click_lift`` and ``prefix_co_click_lift``, the `co_click_rates` of
        this code, and of the codes up to it, over chance.
        ``summary``: ``n_items``, ``n_codebooks``, ``collision_rate``, ``n_items_without_embedding`` (if there are
        any), ``collision_rate_of_distinct`` (among the items
        of distinct embeddings), ``prefix_collision_rate`` (without the last codebook), ``redundancy``,
        ``redundancy_by_chance``, ``neighbor_overlap`` (of the codes, by Hamming distance),
        ``neighbor_overlap_by_chance`` (of the same codes in any order of the items),
        ``neighbor_overlap_of_reconstruction``, ``r2``, ``purity_of_first`` and ``purity_by_chance``;
        ``n_interactions``, ``shared_traffic``,
        ``popularity_of_shared`` (mean popularity of items that share their codes, relative to that of all),
        ``co_click_auc``, ``co_click_lift`` (mean over the codebooks), ``co_click_lift_of_first``,
        ``co_click_hit_rate``, ``..._of_reconstruction``, ``..._of_embeddings`` and ``..._by_chance``;
        ``table_rows`` (codes of all codebooks),
        ``prefix_rows`` (prefixes in use, of all lengths), ``table_bytes`` (of the rows, as float32 of width 16); each
        where it can be had.
        ``baselines``, the same figures of random codes and k-means; ``parts``, those of popular and rare items
        (`allocation_by_popularity`, and `co_click_auc` among them); ``verdict``, a sentence for each purpose;
        ``advice``, the findings.

    Raises
    ------
    ValueError
        If no codes can be read from `codes`, if `X`, `reconstruction`, `labels`, `popularity` or `titles` do not have
        one row per item, or no interaction is of an item of the mapping.
    FileNotFoundError
        If `codes` is the path of no file.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.metrics import tokenizer_report
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = ResidualKMeansTokenizer(n_codebooks=4, codebook_size=16, random_state=0)
    >>> codes = tokenizer.fit_transform(items.embeddings)
    >>> report = tokenizer_report(codes, items.embeddings)
    >>> report.table["codes_used"].tolist()
    [16, 16, 16, 16]
    >>> public = {"0": ["<a_12>", "<b_7>"], "1": ["<a_12>", "<b_7>"], "2": ["<a_3>", "<b_0>"]}
    >>> print(tokenizer_report(public, codebook_size=256).advice[0][:55])
    Collisions: 1 of 3 items add no row of codes (33.33%).

    With a log, in which users take items of one category each, named by position:

    >>> import numpy as np
    >>> import pandas as pd
    >>> rng, category = np.random.default_rng(0), items.frame["category"].to_numpy()
    >>> taken = [rng.choice(np.flatnonzero(category == category[user]), 10) for user in range(200)]
    >>> log = pd.DataFrame({"user_id": np.repeat(np.arange(200), 10), "item_id": np.concatenate(taken)})
    >>> report = tokenizer_report(codes, items.embeddings, interactions=log)
    >>> report.baselines.loc["co_click_auc", ["mapping", "random"]].round(1).tolist()
    [0.8, 0.5]
    >>> print(report.verdict["ranking"].split(",")[0])
    Fair: by its codes alone
    """
    check_option("purpose", purpose, (None, *PURPOSES))
    if y is not None:
        warn("y of tokenizer_report is called labels now: pass labels=.", FutureWarning)
        labels = y
    item_ids, codes = read_mapping(codes)
    rows = {"X": X, "reconstruction": reconstruction, "popularity": popularity, "labels": labels, "titles": titles}
    for name, values in rows.items():
        warn_of_other_order(name, values, item_ids)
    items = _Items(len(codes), X, reconstruction)
    labels = None if labels is None else _labels(labels, len(codes))
    titles = None if titles is None else _texts(titles, len(codes))
    k = min(check_integer("k", k, 1), len(items.rows) - 1)
    random_state = check_random_state(random_state)
    rng = copy.deepcopy(random_state)  # of what came later: the figures of before stay what they were
    log = None if interactions is None else read_log(interactions, item_ids, user, item)
    traffic = Traffic(log, popularity, len(codes), k, rng)
    mapping = _Codes.of(codes, codebook_size)
    others = baseline_codes(len(codes), mapping.sizes, items.X, items.rows, rng) if baselines else {}
    audit, overlaps = _audit(item_ids, titles, mapping, items, list(others.values()), k, random_state)
    summary = _summary(audit, items, traffic, labels, k, random_state)
    figures = {"mapping": summary | {"k": k}}
    for (name, other), overlap in zip(others.items(), overlaps, strict=True):
        figures[name] = _figures(other, items, overlap, traffic, labels)
    about = ReportItems(item_ids, codes, audit.sizes, mapping.sizes_are_known, titles, labels, traffic.popularity)
    advice = [
        *findings(audit, purpose),
        *findings_of_traffic(figures, traffic, about.most_popular_of_shared(mapping.codes), purpose),
    ]
    return TokenizerReport(
        table=_table(audit, labels, traffic),
        summary=summary,
        advice=advice,
        verdict=verdict(figures, has_a_suffix(audit), traffic.noise(summary), purpose),
        baselines=_beside(figures) if others else None,
        parts=traffic.parts(audit.codes, rng),
        items=about,
    )


class _Codes(NamedTuple):
    """Codes of a mapping, each codebook from 0 on; to have none is a code too, of the codebooks where it happens."""

    codes: np.ndarray  # (n_items, n_codebooks)
    sizes: np.ndarray  # (n_codebooks,)
    starts: np.ndarray  # (n_codebooks,)
    lengths: np.ndarray  # (n_items,)
    sizes_are_known: bool

    @classmethod
    def of(cls, codes, codebook_size):
        lengths = (codes != NO_CODE).sum(axis=1)
        shifts = (codes == NO_CODE).any(axis=0).astype(np.int64)
        starts = _starts(codes) if codebook_size is None else np.zeros(codes.shape[1], dtype=np.int64)
        codes = codes - np.where(codes == NO_CODE, 0, starts)
        sizes = 1 + codes.max(axis=0) if codebook_size is None else one_size_each(codebook_size, codes.shape[1])
        codes, sizes = codes + shifts, sizes + shifts
        check_sizes(codes, sizes)
        return cls(codes, sizes, starts, lengths, codebook_size is not None)


class _Items:
    """The items that have embeddings, all without `X`: where they are, their rows of `X` and of the reconstruction."""

    def __init__(self, n_items, X, reconstruction):
        self.rows, self.X, self.reconstruction = np.arange(n_items), None, None
        if X is not None:
            X = as_table("X", X)
            if X.ndim == 2 and X.dtype.kind == "f" and len(X) == n_items:
                self.rows = np.flatnonzero(~np.isnan(X).all(axis=1))
            is_left = 0 < len(self.rows) < n_items
            self.X = check_rows("X", X[self.rows] if is_left else X, len(self.rows) if is_left else n_items)
        elif reconstruction is not None:
            raise ValueError("reconstruction must come with the embeddings it is compared with, got X=None.")
        if reconstruction is not None:
            reconstruction = as_table("reconstruction", reconstruction)
            is_left = reconstruction.ndim == 2 and len(reconstruction) == n_items
            rows = reconstruction[self.rows] if is_left else reconstruction
            self.reconstruction = check_rows("reconstruction", rows, len(self.rows) if is_left else n_items)


def _audit(item_ids, titles, mapping, items, others, k, random_state):
    """Return the figures that the findings read, and the neighbour overlap of each of `others`."""
    codes, sizes = mapping.codes, mapping.sizes
    is_first = np.ones(len(codes), dtype=bool)
    if items.X is not None:
        is_first[:] = False
        is_first[items.rows[distinct_rows(items.X)[0]]] = True
    redundancy_by_chance = redundancy_matrix(_shuffled(codes, random_state))
    overlap, overlaps, chance = None, [None] * len(others), None
    if items.X is not None and k > 0:
        every = [each[items.rows] for each in (codes, *others)]
        (overlap, *overlaps), chance = neighbor_overlaps(items.X, every, k, 2000, random_state)
    audit = Audit(
        item_ids=item_ids,
        codes=codes,
        starts=mapping.starts,
        lengths=mapping.lengths,
        is_first=is_first,
        has_embeddings=items.X is not None,
        sizes=sizes,
        sizes_are_known=mapping.sizes_are_known,
        usage=codebook_usage(codes, sizes),
        perplexity=codebook_perplexity(codes),
        prefix_collision_rates=prefix_collision_rates(codes),
        collision_rate=collision_rate(codes[is_first]),
        redundancy=redundancy_matrix(codes),
        redundancy_by_chance=redundancy_by_chance,
        neighbor_overlap=overlap,
        neighbor_overlap_by_chance=chance,
        is_evidence=k * ITEMS_PER_NEIGHBOR <= len(items.rows),
        norm_ratio=None if items.X is None else _norm_ratio(items.X),
        r2=None if items.reconstruction is None else reconstruction_r2(items.X, items.reconstruction),
        titles=titles,
    )
    return audit, overlaps


def _starts(codes):
    """Return where the codes of each codebook begin if they are numbered through, each after the one before, else 0."""
    n_codebooks = codes.shape[1]
    starts = np.array([min(column[column != NO_CODE], default=0) for column in codes.T])
    ends = codes.max(axis=0)
    is_through = len(codes) >= LEAST_EVIDENCE and n_codebooks > 1 and ends[0] > 0 and (starts[1:] > ends[:-1]).all()
    return np.append(0, starts[1:]) if is_through else np.zeros(n_codebooks, dtype=np.int64)


def _norm_ratio(X):
    """Return how many times as long the longest rows are as the shortest, without a twentieth of each, and zeros."""
    norms = np.linalg.norm(rescaled(X), axis=1)
    shortest, longest = np.quantile(norms[norms > 0], [0.05, 0.95]) if norms.any() else (1, 1)
    return float(longest / shortest)


def _shuffled(codes, random_state):
    """Return codes as frequent as before that know nothing of one another."""
    return np.column_stack([random_state.permutation(column) for column in codes.T])


def _table(audit, labels, traffic):
    columns = {
        "codes_used": (audit.usage * audit.sizes).round().astype(np.int64),
        "codebook_size": audit.sizes,
        "usage": audit.usage,
        "perplexity": audit.perplexity,
        "gini": codebook_gini(audit.codes, audit.sizes),
        "redundancy": _mean_of_others(audit.redundancy),
        "redundancy_by_chance": _mean_of_others(audit.redundancy_by_chance),
        "prefix_collision_rate": audit.prefix_collision_rates,
    }
    if labels is not None:
        known = ~pd.isna(labels)
        columns["nmi_with_labels"] = code_nmi(audit.codes[known], labels[known])
        columns["prefix_purity"] = prefix_purity(audit.codes, labels)
    if traffic.has_pairs:
        rates = traffic.rates(audit.codes)
        with np.errstate(divide="ignore", invalid="ignore"):
            columns["co_click_lift"] = rates.code / rates.code_by_chance
            columns["prefix_co_click_lift"] = rates.prefix / rates.prefix_by_chance
    return pd.DataFrame(columns, index=pd.RangeIndex(len(audit.sizes), name="codebook"))


def _summary(audit, items, traffic, labels, k, random_state):
    n_items, n_codebooks = audit.codes.shape
    summary = {
        "n_items": n_items,
        "n_codebooks": n_codebooks,
        "collision_rate": float(audit.prefix_collision_rates[-1]),
    }
    if len(items.rows) < n_items:
        summary["n_items_without_embedding"] = n_items - len(items.rows)
    if items.X is not None:
        summary["collision_rate_of_distinct"] = audit.collision_rate
    if n_codebooks > 1:
        summary["prefix_collision_rate"] = float(audit.prefix_collision_rates[-2])
        summary["redundancy"] = float(_mean_of_others(audit.redundancy).mean())
        summary["redundancy_by_chance"] = float(_mean_of_others(audit.redundancy_by_chance).mean())
    if audit.neighbor_overlap is not None:
        summary["neighbor_overlap"] = audit.neighbor_overlap
        summary["neighbor_overlap_by_chance"] = audit.neighbor_overlap_by_chance
        if items.reconstruction is not None:
            overlap = neighbor_overlap(items.X, items.reconstruction, k=k, random_state=random_state)
            summary["neighbor_overlap_of_reconstruction"] = overlap
    if audit.r2 is not None:
        summary["r2"] = audit.r2
    return summary | _of_labels(audit.codes, labels) | _of_traffic(audit.codes, items, traffic) | _of_tables(audit)


def _of_labels(codes, labels):
    if labels is None:
        return {}
    purity = prefix_purity(codes[:, :1], labels)[0]
    return {"purity_of_first": float(purity), "purity_by_chance": purity_by_chance(labels, len(codes))}


def _of_traffic(codes, items, traffic):
    figures = {} if traffic.n_interactions is None else {"n_interactions": traffic.n_interactions}
    figures |= traffic.figures(codes)
    if "co_click_hit_rate" in figures:
        for name, vectors in (("reconstruction", items.reconstruction), ("embeddings", items.X)):
            if vectors is not None and len(items.rows) == len(codes):
                figures[f"co_click_hit_rate_of_{name}"] = traffic.hit_rate(vectors)[0]
    return figures


def _of_tables(audit):
    """What it costs to have an embedding of each code, and of each prefix."""
    n_prefixes = len(audit.codes) * (1 - audit.prefix_collision_rates)
    n_rows = int(audit.sizes.sum())
    return {
        "table_rows": n_rows,
        "prefix_rows": int(n_prefixes.round().sum()),
        "table_bytes": n_rows * _EMBEDDING_DIM * _FLOAT32,
    }


def _figures(codes, items, overlap, traffic, labels):
    """Return the figures of a baseline, by the names that the summary has for them."""
    figures = {"collision_rate": collision_rate(codes)}
    if items.X is not None:
        first = items.rows[distinct_rows(items.X)[0]]
        figures["collision_rate_of_distinct"] = collision_rate(codes[first])
    if codes.shape[1] > 1:
        figures["prefix_collision_rate"] = collision_rate(codes[:, :-1])
        figures["redundancy"] = float(_mean_of_others(redundancy_matrix(codes)).mean())
    if overlap is not None:
        figures["neighbor_overlap"] = overlap
    of_labels = _of_labels(codes, labels)
    of_labels.pop("purity_by_chance", None)
    return figures | of_labels | traffic.figures(codes)


def _beside(figures):
    """Return the figures that the baselines have too, one column for each mapping."""
    names = [name for name in figures["mapping"] if name in figures[RANDOM]]
    return pd.DataFrame({which: {name: of.get(name, np.nan) for name in names} for which, of in figures.items()})


def _labels(labels, n_items):
    labels = check_labels("labels", labels, n_items)
    check_single_values("labels", pd.Series(labels))
    if pd.isna(labels).all():
        raise ValueError("labels must not be missing for all items. Leave them out, or look at the ids they go by.")
    return labels


def _texts(titles, n_items):
    """Return a text for each item on one line, empty where there is none."""
    titles = check_labels("titles", titles, n_items)
    is_missing = pd.isna(titles)
    return ["" if missing else " ".join(str(title).split()) for title, missing in zip(titles, is_missing, strict=True)]


def _mean_of_others(matrix):
    """Return the mean of each row without the diagonal, which holds ones; NaN where there is nothing else."""
    n = len(matrix)
    return (matrix.sum(axis=1) - 1) / (n - 1) if n > 1 else np.full(1, np.nan)
