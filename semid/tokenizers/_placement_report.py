"""What it costs to give every item codes of its own."""

from typing import NamedTuple

import numpy as np

from semid.tokenizers._candidates import BLOCK


class PlacementReport(NamedTuple):
    """What it cost to give every item codes of its own; of the items that one call placed.

    Rows that are one item count as one, but in `n_items`. The regret of an item is what its squared error
    ``‖x - x̂‖²`` grew by against the codes of the inner tokenizer.
    """

    n_items: int  # rows of weight above 0 in that call, those placed before included
    n_distinct: int  # of them that are no item of an earlier row
    n_moved: int  # distinct items whose codes are not those of the inner tokenizer (suffix: not 0)
    share_moved: float  # n_moved / n_distinct
    mean_regret: float  # over the moved items, 0 without any; negative where they came out nearer
    max_regret: float  # over the moved items, 0 without any
    relative_regret: float  # summed regret, as a share of the summed squared error of the inner codes
    r2_before: float  # R² of the inner codes, over the distinct items
    r2_after: float  # R² of the unique codes


def report_of(tokenizer, rows, inner_codes, codes, n_items):
    """Return the report of items placed at `codes`, which may have a suffix, in the place of `inner_codes`.

    Parameters
    ----------
    tokenizer : estimator
        The fitted tokenizer of `inner_codes`.
    rows : ndarray of shape (n_distinct, n_features), float32
    inner_codes, codes : ndarray of shape (n_distinct, n_codebooks), int64
    n_items : int
    """
    n_codebooks = inner_codes.shape[1]
    has_moved = (codes != np.pad(inner_codes, ((0, 0), (0, codes.shape[1] - n_codebooks)))).any(axis=1)
    # A suffix says nothing of the embedding.
    is_elsewhere = (codes[:, :n_codebooks] != inner_codes).any(axis=1)
    mean = rows.mean(axis=0, dtype=np.float64)
    spread, before, after = (np.empty(len(rows)) for _ in range(3))
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        spread[some] = _squared_errors(rows[some], mean)
        before[some] = _squared_errors(rows[some], tokenizer.inverse_transform(inner_codes[some]))
        after[some] = before[some]
        moved = start + np.flatnonzero(is_elsewhere[some])
        if len(moved):
            after[moved] = _squared_errors(rows[moved], tokenizer.inverse_transform(codes[moved]))
    regrets = (after - before)[has_moved]
    total = before.sum()
    return PlacementReport(
        n_items=int(n_items),
        n_distinct=len(rows),
        n_moved=int(has_moved.sum()),
        share_moved=float(has_moved.mean()),
        mean_regret=float(regrets.mean()) if len(regrets) else 0.0,
        max_regret=float(regrets.max()) if len(regrets) else 0.0,
        relative_regret=float(regrets.sum() / total) if total > 0 else 0.0,
        r2_before=_r2(total, spread.sum()),
        r2_after=_r2(after.sum(), spread.sum()),
    )


def _squared_errors(X, reconstruction):
    return np.square(X.astype(np.float64) - reconstruction).sum(axis=1)


def _r2(error, variance):
    return float(1 - error / variance) if variance > 0 else float(error == 0)
