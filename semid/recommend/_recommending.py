"""From histories to the items that come next: states, scores of all items or a beam, and the best n.

Letters: B histories, I items, n recommendations of each.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from semid.base._live_module import prediction_mode
from semid.nn._next_item import CodeTree, ResidualHead
from semid.nn._next_item_search import beam_search, parallel_scores, residual_scores
from semid.recommend._catalogue import shares_of_all
from semid.tables._histories import HistoryArray, HistoryDtype
from semid.tables._prefixes import PrefixTable

_HISTORIES_AT_ONCE = 256
_SCORES_AT_ONCE = 2**26  # numbers
_SEARCHED_AT_ONCE = 2**24  # numbers, each of which a search looks at several times


class Recommendations(NamedTuple):
    """What comes next for each history, best first.

    Parameters
    ----------
    items : ndarray of shape (n_histories, n)
        Ids.
    scores : ndarray of shape (n_histories, n), float32
        Log-probabilities of the items after the history; -inf where there was nothing left to recommend, and the id
        says nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from semid.recommend import Recommendations
    >>> found = Recommendations(np.array([["mug", "pan"]]), np.array([[-0.5, -1.5]], dtype=np.float32))
    >>> found.items[0, 0]
    np.str_('mug')
    """

    items: np.ndarray
    scores: np.ndarray


class Histories(NamedTuple):
    """Histories as rows of the catalogue, one after the other."""

    entries: np.ndarray  # (sum of lengths,) int64
    offsets: np.ndarray  # (B + 1,) int64

    def __len__(self):
        return len(self.offsets) - 1

    def part(self, start, stop):
        """Return those from `start` to before `stop`, or to the end."""
        offsets = self.offsets[start : stop + 1]
        return Histories(self.entries[offsets[0] : offsets[-1]], offsets - offsets[0])

    def of(self, rows):
        """Return those of `rows`, in their order."""
        return cut(self.entries, self.offsets[rows], self.offsets[rows + 1])

    @property
    def owners(self):
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


def cut(entries, starts, stops):
    """Return the `Histories` that are ranges of `entries`."""
    offsets = np.append(0, np.cumsum(stops - starts))
    return Histories(entries[np.repeat(starts - offsets[:-1], stops - starts) + np.arange(offsets[-1])], offsets)


class Ranker(NamedTuple):
    """All that turns histories into recommendations, for one module."""

    module: torch.nn.Module | None  # None where popularity alone decides
    device: torch.device
    max_length: int
    clicks: np.ndarray  # (I,)

    @property
    def has_tree(self):
        return isinstance(getattr(self.module, "head", None), ResidualHead)

    @property
    def n_nodes(self):
        """Number of different codes that items have, of a module with a tree."""
        return len(self.module.head.firsts) - 1


def as_histories(histories, positions):
    """Return `Histories` of lists of ids or a `HistoryArray`; `positions` gives rows of the catalogue for ids."""
    if isinstance(histories, str) or not hasattr(histories, "__iter__"):
        raise TypeError(f"histories must be a list of lists of item ids, got {histories!r:.80}.")
    if hasattr(histories, "columns"):
        raise TypeError(f"histories must be one column of lists, got a {type(histories).__name__}. Pass its column.")
    if not isinstance(getattr(histories, "dtype", None), HistoryDtype):
        histories = HistoryArray._from_sequence(histories if hasattr(histories, "dtype") else list(histories))
    column = getattr(histories, "array", histories)
    entries, offsets = column.gathered()
    rows = positions(column.items)[entries] if len(column.items) else np.empty(0, dtype=np.int64)
    is_known = rows >= 0
    return Histories(rows[is_known].astype(np.int64), np.append(0, np.cumsum(is_known))[offsets])


def code_tree(codes, codebook_sizes):
    """Return the `CodeTree` of a catalogue."""
    table = PrefixTable(codes, codebook_sizes)
    nodes = [table.nodes(codes[:, : n + 1]) for n in range(table.n_codebooks)]
    items, firsts = np.argsort(nodes[-1], kind="stable"), np.append(0, np.cumsum(np.bincount(nodes[-1])))
    arrays = [np.stack(nodes), items, firsts]
    return CodeTree([torch.as_tensor(keys) for keys in table.keys], *map(torch.as_tensor, arrays))


def states(ranker, histories):
    """Return the states of histories that are not empty, (b, d), and which these are."""
    lengths = np.minimum(np.diff(histories.offsets), ranker.max_length)
    rows = np.flatnonzero(lengths)
    places = np.arange(lengths.max(initial=1))
    starts = histories.offsets[1:] - lengths
    is_there = places < lengths[rows, None]
    items = histories.entries[(starts[rows, None] + places) * is_there] * is_there
    h = ranker.module(torch.from_numpy(items).to(ranker.device))
    return h[torch.arange(len(rows)), torch.from_numpy(lengths[rows] - 1)], rows


def scores_of_all(ranker, histories):
    """Return log p of all items, (B, I) float32."""
    size = _n_at_once(ranker)
    with prediction_mode(ranker.device):
        parts = [_scores(ranker, histories.part(i, i + size)) for i in range(0, len(histories), size)]
    return np.concatenate(parts) if parts else np.empty((0, len(ranker.clicks)), dtype=np.float32)


def _n_at_once(ranker):
    """Return of how many histories all items are scored at once: memory is bounded by it."""
    n_numbers, most = len(ranker.clicks), _SCORES_AT_ONCE
    if ranker.has_tree:  # states of all beginnings
        n_numbers, most = ranker.n_nodes * ranker.module.items.table.shape[1], _SEARCHED_AT_ONCE
    return int(np.clip(most // n_numbers, 1, _HISTORIES_AT_ONCE))


def _scores(ranker, histories):
    """Return log p of all items, (B, I) float32, for no more histories than fit into memory."""
    scores = np.tile(shares_of_all(ranker.clicks), (len(histories), 1))
    if ranker.module is None or not len(histories.entries):
        return scores
    h, rows = states(ranker, histories)
    module = ranker.module
    if ranker.has_tree:
        known = (residual_scores(module, h)[:, module.head.nodes[-1]] + module.shares).cpu().numpy()
    else:
        known = parallel_scores(module, h).cpu().numpy()
    if len(rows) == len(histories):
        return known
    scores[rows] = known
    return scores


def recommend(ranker, histories, n, *, exclude_seen, beam_size):
    """Return rows of the catalogue (B, n) and log p (B, n), best first."""
    if ranker.module is None:
        return _most_clicked(ranker, histories, n, exclude_seen)
    best = np.empty((len(histories), n), dtype=np.int64)
    values = np.empty((len(histories), n), dtype=np.float32)
    with prediction_mode(ranker.device):
        for rows, width in _searches(ranker, histories, n, exclude_seen, beam_size):
            if width is None:
                found = _best_of_all(ranker, histories.of(rows), n, exclude_seen)
            else:
                found = _best_of_beam(ranker, histories.of(rows), n, exclude_seen, width)
            best[rows], values[rows] = found
    return best, values


def _most_clicked(ranker, histories, n, exclude_seen):
    """Return the first n of one order for all, less what each history has: that comes last, at -inf."""
    shares = shares_of_all(ranker.clicks)
    order = np.argsort(-shares, kind="stable")
    best = np.empty((len(histories), n), dtype=np.int64)
    values = np.empty((len(histories), n), dtype=np.float32)
    for row, (start, stop) in enumerate(pairwise(histories.offsets)):
        seen = histories.entries[start:stop] if exclude_seen else []
        first = order[: n + len(seen)]
        is_seen = np.isin(first, seen)
        best[row] = np.append(first[~is_seen], np.sort(first[is_seen]))[:n]
        values[row] = np.where(np.arange(n) < np.count_nonzero(~is_seen), shares[best[row]], -np.inf)
    return best, values


def _searches(ranker, histories, n, exclude_seen, beam_size):
    """Yield histories to be answered at once, their rows, and how wide their beam is, None if all items are scored.

    A beam is wide enough for what is left out, and as wide whatever the other histories are: the next power of two.
    """
    lengths = np.diff(histories.offsets)
    widths = np.zeros(len(lengths), dtype=np.int64)
    if ranker.has_tree:
        n_seen = lengths if exclude_seen else np.zeros_like(lengths)
        widths = max(beam_size, n) + np.where(n_seen > 0, 2 ** np.ceil(np.log2(np.maximum(n_seen, 1))), 0).astype(int)
        widths[(lengths == 0) | (widths >= ranker.n_nodes)] = 0
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        size = _n_at_once(ranker)
        if width:
            n_codes = max(ranker.module.items.sizes)
            size = int(np.clip(_SEARCHED_AT_ONCE // (width * n_codes), 1, _HISTORIES_AT_ONCE))
        for start in range(0, len(rows), size):
            yield rows[start : start + size], int(width) or None


def _best_of_all(ranker, histories, n, exclude_seen):
    scores = _scores(ranker, histories)
    if exclude_seen:
        scores[histories.owners, histories.entries] = -np.inf
    return _sorted_best(scores, n)


def _sorted_best(scores, n):
    """Return the n highest of each row, of equal ones the first items first."""
    found = torch.from_numpy(scores).topk(n, dim=1, sorted=False)
    best = found.indices.numpy()
    least = found.values.numpy().min(axis=1, keepdims=True)
    is_least = scores == least
    # Where more are equal to the last than there is room for, torch takes any of them.
    for row in np.flatnonzero(np.count_nonzero(is_least, axis=1) > (found.values.numpy() == least).sum(axis=1)):
        above = best[row][scores[row, best[row]] > least[row]]
        best[row] = np.append(above, np.flatnonzero(is_least[row])[: n - len(above)])
    best.sort(axis=1)
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)


def _best_of_beam(ranker, histories, n, exclude_seen, width):
    """Return the best n of the items whose codes a beam of this width has found, for histories that are not empty."""
    h, rows = states(ranker, histories)
    found = beam_search(ranker.module, h, width)
    nodes, of_nodes = found.nodes.cpu().numpy(), found.scores.cpu().numpy()
    owners, items, scores = _items_of(ranker.module, rows, nodes, of_nodes)
    if exclude_seen:
        n_items = len(ranker.clicks)
        is_new = ~np.isin(owners * n_items + items, histories.owners * n_items + histories.entries)
        owners, items, scores = owners[is_new], items[is_new], scores[is_new]
    return _first_of_each(owners, items, scores, len(histories), n)


def _items_of(module, rows, nodes, scores):
    """Return the histories, items and scores of all items that have the codes of nodes (b, W), those of `rows`."""
    firsts, items_of_all, shares = (t.cpu().numpy() for t in (module.head.firsts, module.head.items, module.shares))
    counts = np.where(np.isneginf(scores), 0, np.diff(firsts)[nodes])
    flat = counts.ravel()
    places = np.arange(flat.sum()) + np.repeat(firsts[nodes].ravel() - (np.cumsum(flat) - flat), flat)
    items = items_of_all[places]
    return np.repeat(rows, counts.sum(axis=1)), items, np.repeat(scores.ravel(), flat) + shares[items]


def _first_of_each(owners, items, scores, n_owners, n):
    """Return the n items of highest score of each owner, (n_owners, n), and their scores, -inf where there are
    fewer."""
    order = np.lexsort((items, -scores, owners))
    owners, items, scores = owners[order], items[order], scores[order]
    places = np.arange(len(owners)) - np.searchsorted(owners, owners)
    kept = places < n
    best = np.zeros((n_owners, n), dtype=np.int64)
    values = np.full((n_owners, n), -np.inf, dtype=np.float32)
    best[owners[kept], places[kept]], values[owners[kept], places[kept]] = items[kept], scores[kept]
    return best, values


def ndcg(best, targets):
    """Return the mean of 1 / log2(place + 1) of each target among its recommendations `best` (B, n), 0 where it is
    not."""
    hits = best == targets[:, None]
    gains = hits / np.log2(np.arange(2, best.shape[1] + 2))
    return float(gains.sum(axis=1).mean())
