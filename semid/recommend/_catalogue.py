"""The items that can be recommended: their ids, their codes, and how often each was clicked."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from semid.base._checks import warn
from semid.features import ItemTable, SemanticIDEncoder
from semid.tables._ids import concat_ids, find_ids, id_index, like_those, of_other_kind
from semid.tokenizers import ProductQuantizationTokenizer

_ITEMS_PER_CODE = 8  # of a small table
_CODES_OF_A_TABLE = 16  # or as many as it has features
_TOLERATED_UNKNOWN = 0.5  # share of clicks on items without codes that nothing is said of


class Catalogue(NamedTuple):
    encoder: SemanticIDEncoder | None  # None where an item's only code is its own number
    ids: np.ndarray  # (I,)
    codes: np.ndarray  # (I, N) int64
    codebook_sizes: list[int]


def check_codes_parameter(codes: Any) -> None:
    """Raise unless `codes` is what a recommender can have codes from."""
    if codes is not None and not isinstance(codes, ItemTable | SemanticIDEncoder):
        raise TypeError(
            f"codes must be a SemanticIDEncoder, an ItemTable or None for ids alone, got {type(codes).__name__}; pass "
            "codes=SemanticIDEncoder(tokenizer, items=ItemTable(ids, embeddings))."
        )
    if isinstance(codes, ItemTable) and isinstance(codes.content, pd.DataFrame):
        raise ValueError(
            f"codes must be a table of embeddings, got one of texts in {list(codes.content)}. Pass a SemanticIDEncoder "
            "whose tokenizer is a pipeline of a TextEmbedder and a tokenizer."
        )


def learn_catalogue(codes, users, items, seed):
    """Return the `Catalogue`: all items of an item table, or those that were clicked."""
    if codes is None:
        ids = pd.unique(items.dropna())
        ids = id_index(pd.Index(ids)).to_numpy()
        return Catalogue(None, ids, np.arange(len(ids))[:, None], [len(ids)])
    if isinstance(codes, ItemTable):
        size = int(np.clip(len(codes) // _ITEMS_PER_CODE, 2, 256))
        n_codebooks = min(_CODES_OF_A_TABLE, codes.content.shape[1])
        codes = SemanticIDEncoder(ProductQuantizationTokenizer(n_codebooks, size, random_state=seed), items=codes)
    encoder = _fitted(clone(codes), users, items)
    return Catalogue(encoder, encoder.ids_, encoder.codes_, sizes_of(encoder))


def sizes_of(encoder):
    """Return the sizes of the codebooks of a fitted encoder."""
    tokenizer = encoder.tokenizer_
    tokenizer = tokenizer.steps[-1][1] if hasattr(tokenizer, "steps") else tokenizer
    sizes = getattr(tokenizer, "codebook_sizes_", None)
    return [int(size) for size in (encoder.codes_.max(axis=0) + 1 if sizes is None else sizes)]


def _fitted(encoder, users, items):
    is_named = isinstance(items.name, str) and items.name != "user"
    rows = pd.DataFrame({items.name if is_named else "item": items.reset_index(drop=True)})
    if encoder.user is None:
        return encoder.fit(rows)
    encoder.set_params(user="user")
    rows["user"] = users.reset_index(drop=True)
    # It learns from impressions that were clicked and not. Here all were: the first row once more, as one that was not.
    labels = np.append(np.ones(len(rows), dtype=int), 0)
    return encoder.fit(pd.concat([rows, rows[:1]], ignore_index=True), labels)


def positions_in(known, ids, what):
    """Return the row of each id in the catalogue, an `id_index`, -1 where it is not there; warn if most are not."""
    rows = find_ids(known, ids)
    if len(rows) and (rows < 0).mean() > _TOLERATED_UNKNOWN:
        unknown = pd.Series(ids)[rows < 0]
        cause = f": {like_those(unknown, known, 'the catalogue')}" if of_other_kind(known, unknown) else ""
        warn(f"{(rows < 0).mean():.0%} of the items of {what} are not in the catalogue, and are left out{cause}.")
    return rows


def with_new_ids(ids, new):
    """Return the ids of a catalogue with those of `new` that it has not, in the order in which they come."""
    new = pd.Index(pd.unique(pd.Series(new).dropna()))
    new = new[find_ids(id_index(ids), new) < 0]
    return concat_ids(pd.Series(ids), pd.Series(new)).to_numpy() if len(new) else ids


def shares_among_equals(codes, clicks):
    """Return log((clicks + 1) / those of all items with the very same codes), (I,) float32: 0 for unique codes."""
    groups = _groups_of_equal_rows(codes)
    weights = clicks + 1.0
    return np.log(weights / np.bincount(groups, weights=weights)[groups]).astype(np.float32)


def shares_of_all(clicks):
    """Return log((clicks + 1) / those of all items), (I,) float32: what is probable where nothing is known."""
    return np.log((clicks + 1) / (clicks.sum() + len(clicks))).astype(np.float32)


def _groups_of_equal_rows(codes):
    """Return the number of the distinct row that each row of `codes` is, (I,)."""
    multipliers = np.random.default_rng(0).integers(2**62, size=codes.shape[1], dtype=np.uint64) * 2 + 1
    hashes = np.zeros(len(codes), dtype=np.uint64)
    for column, multiplier in zip(codes.T, multipliers, strict=True):
        hashes = (hashes ^ (hashes >> np.uint64(31)) ^ column.astype(np.uint64)) * multiplier
    _, firsts, groups = np.unique(hashes, return_index=True, return_inverse=True)
    if len(firsts) < len(codes) and not all(np.array_equal(column, column[firsts][groups]) for column in codes.T):
        return np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)  # two rows of one hash
    return groups
