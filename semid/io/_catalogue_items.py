"""Items as a caller hands them over: ids, and what becomes codes."""

from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from semid.io import _tokenizer_steps as steps
from semid.io._mapping import _checked_codes, checked_ids
from semid.tables._ids import find_ids, id_index, like_those, of_other_kind, warn_of_other_order


class Given(NamedTuple):
    """Items as a caller gave them, and the tokenizer that their codes are of, if any."""

    item_ids: np.ndarray
    codes: np.ndarray
    codebook_sizes: list[int]
    tokenizer: Any
    aligned: bool


def one_of(X, codes):
    """Return the one of the two that is given, or raise."""
    if (X is None) == (codes is None):
        got = "neither" if X is None else "both"
        raise ValueError(f"items must come with either X, which the tokenizer encodes, or codes, got {got}.")
    return codes if X is None else X


def given_items(item_ids, X, tokenizer, codes, codebook_sizes, parent, popularity):
    """Check items, and encode them by the tokenizer, in the labels of the generation `parent` where there is one."""
    content = one_of(X, codes)
    ids = checked_ids("item_ids", item_ids, _n_rows(content))
    if parent is None:  # else `ids_for` has looked
        _warn_of_other_order(ids, X=X, codes=codes)
    if codes is not None:
        if tokenizer is not None:
            raise ValueError("tokenizer must be left out with codes: pass X, which it encodes.")
        codes = _checked_codes(codes)
        return Given(ids, codes, _sizes_of(codebook_sizes, codes), None, False)
    if tokenizer is None:
        raise ValueError("tokenizer must be given with X. Pass codes=... of any origin without one.")
    if codebook_sizes is not None:
        raise ValueError("codebook_sizes must be left out with X: the tokenizer knows them.")
    steps.check_tokenizer(tokenizer)
    tokenizer = steps.fitted_on(tokenizer, X)
    tokenizer, _ = steps.with_places_for(tokenizer, X)
    aligned = False
    if parent is not None:
        places = find_ids(parent._index, ids)
        known = np.flatnonzero(places >= 0)
        tokenizer, aligned = steps.in_labels_of(
            tokenizer,
            steps.some_rows(X, known),
            parent.codes[places[known]],
            None if popularity is None else popularity[known],
        )
    sizes = list(steps.last_step(tokenizer).codebook_sizes_)
    return Given(ids, steps.codes_of(tokenizer, X), sizes, tokenizer, aligned)


def _n_rows(content):
    return content.shape[0] if hasattr(content, "shape") else len(content)


def ids_for(parent, item_ids, X, codes, popularity=None):
    """Return ids that are whole, and of the kind that the generation has."""
    ids = checked_ids("item_ids", item_ids, _n_rows(one_of(X, codes)))
    _warn_of_other_order(ids, X=X, codes=codes, popularity=popularity)
    if len(parent) and len(ids) and of_other_kind(parent.item_ids, ids):
        raise TypeError(
            f"item_ids must be of the kind that the catalogue has, got {like_those(ids, parent.item_ids, 'it')}. Pass "
            "them in that type."
        )
    if len(parent) and isinstance(parent.item_ids[0], str):
        odd = next((value for value in ids.tolist() if not isinstance(value, str)), None)
        if odd is not None:
            raise TypeError(f"item_ids must be text, as those of the catalogue are, got {odd!r}.")
    if parent.item_ids.dtype.kind in "iu" and len(ids) and id_index(ids).dtype.kind not in "iu":
        odd = next((value for value in ids.tolist() if not _is_whole(value)), ids[0])
        raise TypeError(f"item_ids must be whole numbers, as those of the catalogue are, got {odd!r}.")
    return ids


def _warn_of_other_order(ids, **rows):
    for name, values in rows.items():
        warn_of_other_order(name, values, ids)


def _is_whole(value):
    return isinstance(value, Real) and float(value).is_integer()


def _sizes_of(codebook_sizes, codes):
    if codebook_sizes is None:
        return [int(size) for size in np.maximum(codes.max(axis=0) + 1, 1)]
    sizes = np.asarray(codebook_sizes)
    if sizes.shape != (codes.shape[1],) or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        raise ValueError(
            f"codebook_sizes must be a positive integer for each of {codes.shape[1]} codebooks, got "
            f"{codebook_sizes!r:.80}."
        )
    check_below(codes, sizes.tolist())
    return sizes.tolist()


def check_below(codes, sizes):
    if codes.shape[1] > len(sizes):
        raise ValueError(f"codes must have at most {len(sizes)} columns, one per codebook, got {codes.shape[1]}.")
    is_beyond = codes >= sizes[: codes.shape[1]]
    if is_beyond.any():
        row, n = np.argwhere(is_beyond)[0]
        raise ValueError(
            f"codes of codebook {n} must be below its size, {sizes[n]}, got {codes[row, n]} in row {row}. A larger "
            "codebook needs a refit, with codebook_sizes."
        )
