"""Is my semantic ID any good? One call over a mapping from items to codes, whoever made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from textwrap import fill

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from semid.base._checks import as_array, check_integer
from semid.base._typing import RandomState, StrPath
from semid.metrics._arrays import check_no_ids, check_rows, check_sizes, distinct_rows, one_size_each, rescaled
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
from semid.metrics._findings import ITEMS_PER_NEIGHBOR, Audit, findings
from semid.metrics._mapping import read_mapping
from semid.metrics._mapping_columns import LEAST_EVIDENCE
from semid.metrics._mapping_rows import NO_CODE
from semid.metrics._representations import neighbor_overlap, neighbor_overlap_and_chance

_WIDTH = 100  # of the printed findings


@dataclass(frozen=True, eq=False, repr=False)
class TokenizerReport:
    """What `tokenizer_report` returns: prints as text, shows as a table in a notebook.

    Parameters
    ----------
    table : DataFrame
        One row per codebook.
    summary : dict
        Figures of the mapping as a whole, by name.
    advice : list of str
        Findings: the number, why it matters, what to do. Empty for a map in good order.

    Examples
    --------
    >>> from semid.metrics import tokenizer_report
    >>> report = tokenizer_report([[0, 1], [1, 0], [0, 0], [1, 1]])
    >>> report.summary["collision_rate"], report.advice
    (0.0, [])
    """

    table: pd.DataFrame
    summary: dict
    advice: list

    def __repr__(self):
        width = max(map(len, self.summary))
        return "\n".join(
            [
                *(f"{name:<{width}}  {_as_text(value)}" for name, value in self.summary.items()),
                "",
                self.table.to_string(float_format="{:.3f}".format),
                "",
                *([_numbered(n, text) for n, text in enumerate(self.advice, start=1)] or ["No findings."]),
            ]
        )

    def _repr_html_(self):
        summary = pd.Series({name: _as_text(value) for name, value in self.summary.items()}, name="value").to_frame()
        advice = "".join(f"<li>{escape(text)}</li>" for text in self.advice)
        return (
            f"{summary.to_html()}{self.table.to_html(float_format='{:.3f}'.format)}"
            f"{f'<ol>{advice}</ol>' if advice else '<p>No findings.</p>'}"
        )


def tokenizer_report(
    codes: StrPath | Mapping | pd.DataFrame | ArrayLike,
    X: ArrayLike | None = None,
    *,
    reconstruction: ArrayLike | None = None,
    codebook_size: int | ArrayLike | None = None,
    y: ArrayLike | None = None,
    k: int = 10,
    random_state: RandomState | None = 0,
) -> TokenizerReport:
    """Return how good a mapping from items to codes is, what is wrong with it, and what to do.

    For codes of any origin. The collision rate hides most of what goes wrong: codebooks that are hardly used, a last
    codebook that was made to tell items apart, codebooks that repeat each other, codes that belong to other items.

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
    y : array-like of shape (n_items,), default None
        Labels of the items, for example categories. Adds the NMI of each codebook with them.
    k : int, default 10
        Number of neighbours of `neighbor_overlap`.
    random_state : int, RandomState instance or None, default 0
        Seed of the sample of items whose neighbours are compared, and of the shuffled codes that give the redundancy
        by chance.

    Returns
    -------
    report : TokenizerReport
        ``table``, one row per codebook: ``codes_used``, ``codebook_size``, ``usage``, ``perplexity``, ``gini``,
        ``redundancy`` (mean NMI with the other codebooks), ``redundancy_by_chance`` (of the same codes, shuffled over
        the items), ``prefix_collision_rate`` (of the codes up to this one), ``nmi_with_y``.
        ``summary``: ``n_items``, ``n_codebooks``, ``collision_rate``, ``n_items_without_embedding`` (if there are
        any), ``collision_rate_of_distinct`` (among the items
        of distinct embeddings), ``prefix_collision_rate`` (without the last codebook), ``redundancy``,
        ``redundancy_by_chance``, ``neighbor_overlap`` (of the codes, by Hamming distance),
        ``neighbor_overlap_by_chance`` (of the same codes in any order of the items),
        ``neighbor_overlap_of_reconstruction``, ``r2``; each where it can be had.
        ``advice``: the findings.

    Raises
    ------
    ValueError
        If no codes can be read from `codes`, or if `X`, `reconstruction` or `y` do not have one row per item.
    FileNotFoundError
        If `codes` is the path of no file.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.metrics import tokenizer_report
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> X = make_items(n_items=500, random_state=0).embeddings
    >>> tokenizer = ResidualKMeansTokenizer(n_codebooks=4, codebook_size=16, random_state=0)
    >>> report = tokenizer_report(tokenizer.fit_transform(X), X)
    >>> report.table["codes_used"].tolist()
    [16, 16, 16, 16]
    >>> public = {"0": ["<a_12>", "<b_7>"], "1": ["<a_12>", "<b_7>"], "2": ["<a_3>", "<b_0>"]}
    >>> print(tokenizer_report(public, codebook_size=256).advice[0][:55])
    Collisions: 1 of 3 items add no row of codes (33.33%).
    """
    item_ids, codes = read_mapping(codes)
    items = _Items(len(codes), X, reconstruction)
    k = min(check_integer("k", k, 1), len(items.rows) - 1)
    random_state = check_random_state(random_state)
    audit = _audit(item_ids, codes, items, codebook_size, k, random_state)
    return TokenizerReport(_table(audit, y), _summary(audit, items, k, random_state), list(findings(audit)))


class _Items:
    """The items that have embeddings, all without `X`: where they are, their rows of `X` and of the reconstruction."""

    def __init__(self, n_items, X, reconstruction):
        self.rows, self.X, self.reconstruction = np.arange(n_items), None, None
        if X is not None:
            check_no_ids("X", X)
            X = as_array("X", X)
            if X.ndim == 2 and X.dtype.kind == "f" and len(X) == n_items:
                self.rows = np.flatnonzero(~np.isnan(X).all(axis=1))
            is_left = 0 < len(self.rows) < n_items
            self.X = check_rows("X", X[self.rows] if is_left else X, len(self.rows) if is_left else n_items)
        elif reconstruction is not None:
            raise ValueError("reconstruction must come with the embeddings it is compared with, got X=None.")
        if reconstruction is not None:
            reconstruction = as_array("reconstruction", reconstruction)
            is_left = reconstruction.ndim == 2 and len(reconstruction) == n_items
            rows = reconstruction[self.rows] if is_left else reconstruction
            self.reconstruction = check_rows("reconstruction", rows, len(self.rows) if is_left else n_items)


def _audit(item_ids, codes, items, codebook_size, k, random_state):
    lengths = (codes != NO_CODE).sum(axis=1)
    # To have no code is a code as well, of the codebooks where that happens.
    shifts = (codes == NO_CODE).any(axis=0).astype(np.int64)
    starts = _starts(codes) if codebook_size is None else np.zeros(codes.shape[1], dtype=np.int64)
    codes = codes - np.where(codes == NO_CODE, 0, starts)
    sizes = 1 + codes.max(axis=0) if codebook_size is None else one_size_each(codebook_size, codes.shape[1])
    codes, sizes = codes + shifts, sizes + shifts
    check_sizes(codes, sizes)
    is_first = np.ones(len(codes), dtype=bool)
    if items.X is not None:
        is_first[:] = False
        is_first[items.rows[distinct_rows(items.X)[0]]] = True
    redundancy_by_chance = redundancy_matrix(_shuffled(codes, random_state))
    overlap = chance = None
    if items.X is not None and k > 0:
        overlap, chance = neighbor_overlap_and_chance(items.X, codes[items.rows], k, 2000, random_state)
    return Audit(
        item_ids=item_ids,
        codes=codes,
        starts=starts,
        lengths=lengths,
        is_first=is_first,
        has_embeddings=items.X is not None,
        sizes=sizes,
        sizes_are_known=codebook_size is not None,
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
    )


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


def _table(audit, y):
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
    if y is not None:
        columns["nmi_with_y"] = code_nmi(audit.codes, y)
    return pd.DataFrame(columns, index=pd.RangeIndex(len(audit.sizes), name="codebook"))


def _summary(audit, items, k, random_state):
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
    return summary


def _mean_of_others(matrix):
    """Return the mean of each row without the diagonal, which holds ones; NaN where there is nothing else."""
    n = len(matrix)
    return (matrix.sum(axis=1) - 1) / (n - 1) if n > 1 else np.full(1, np.nan)


def _as_text(value):
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _numbered(n, text):
    return fill(f"{n}. {text}", _WIDTH, subsequent_indent="   ", break_long_words=False)
