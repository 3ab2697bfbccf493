"""The best few rows of codes of an item, not only the best one.

Letters: B items, C candidates, K codes in a codebook, N codebooks.
"""

import numpy as np
import torch

from semid._state import resolve_device
from semid.nn._quantizers import ResidualQuantizer

_BLOCK_ELEMENTS = 2**19  # distances held at once


def gives_candidates(tokenizer):
    """Return whether the codes of `tokenizer` are the nearest in some space, so that a second nearest exists."""
    return bool(getattr(tokenizer, "_codes_are_nearest", False))


def nearest_codes(tokenizer, X, n_candidates):
    """Return the `n_candidates` best rows of codes of each item and their squared distances, best first.

    A beam search in float64: codebook by codebook, the best prefixes are kept. Exact for codebooks side by side; of a
    residual chain, it finds what can be reached through `n_candidates` prefixes. Fewer come back where fewer exist.

    Returns
    -------
    codes : ndarray of shape (n_items, n_candidates, n_codebooks), int64
    errors : ndarray of shape (n_items, n_candidates), float64
        Squared distance in the space of the quantizer; for codebooks side by side, summed over them.
    """
    device = resolve_device(tokenizer.device)
    module = tokenizer._live.get(tokenizer._build_module, tokenizer.state_, device, torch.float64)
    n_candidates = min(n_candidates, int(np.prod(tokenizer.codebook_sizes_, dtype=float)))
    rows_at_once = max(1, _BLOCK_ELEMENTS // (n_candidates * max(tokenizer.codebook_sizes_)))
    codes = np.empty((len(X), n_candidates, len(tokenizer.codebook_sizes_)), dtype=np.int64)
    errors = np.empty((len(X), n_candidates))
    for start in range(0, len(X), rows_at_once):
        rows = slice(start, start + rows_at_once)
        with torch.inference_mode():
            x = torch.tensor(X[rows], dtype=torch.float64, device=device)
            z = module.encoder(module.standardize(x))
            codes[rows], errors[rows] = _beam_search(module.quantizer, z, n_candidates)
    return codes, errors


def _beam_search(quantizer, z, n_candidates):
    books = [book.code_vectors for book in quantizer.codebooks]
    is_chain = isinstance(quantizer, ResidualQuantizer)
    inputs = [z] * len(books) if is_chain else [down(z) for down in quantizer.down]
    codes = np.empty((len(z), 1, 0), dtype=np.int64)
    errors = sum(x.square().sum(1) for x in (inputs[:1] if is_chain else inputs)).cpu().numpy()[:, None]
    for n, (x, book) in enumerate(zip(inputs, books, strict=True)):
        # ‖x - Σ e - e_k‖² = ‖x - Σ e‖² + ‖e_k‖² - 2 x·e_k + 2 Σ e·e_k, the last sum over the prefix of a chain.
        steps = (book.square().sum(1) - 2 * x @ book.T).cpu().numpy()  # (B, K)
        totals = errors[:, :, None] + steps[:, None]  # (B, C, K)
        for m in range(n if is_chain else 0):
            totals += (2 * books[m] @ book.T).cpu().numpy()[codes[:, :, m]]
        codes, errors = _keep_best(codes, totals, n_candidates)
    return codes, errors.clip(min=0)


def _keep_best(prefixes, totals, n_candidates):
    """Extend `prefixes` (B, C, n) by the code of the smallest of `totals` (B, C, K), `n_candidates` times."""
    n_items, n_prefixes, n_codes = totals.shape
    n_kept = min(n_candidates, n_prefixes * n_codes)
    # Compared in float32, ties by position: what float64 would decide by its rounding depends on the batch.
    keys = totals.astype(np.float32)
    # The least totals of disjoint groups of prefixes are different totals: none above the n-th of them is wanted.
    n_groups = min(n_prefixes, -(-2 * n_kept // n_codes))
    least = np.concatenate([keys[:, start::n_groups].min(axis=1) for start in range(n_groups)], axis=1)
    bound = np.partition(least, n_kept - 1, axis=1)[:, n_kept - 1]
    item, place = np.divmod(np.flatnonzero(keys <= bound[:, None, None]), n_prefixes * n_codes)
    parent, code = np.divmod(place, n_codes)
    order = np.lexsort((keys[item, parent, code], item))
    rank = np.arange(len(item)) - np.searchsorted(item, np.arange(n_items))[item]
    item, parent, code = (column[order[rank < n_kept]] for column in (item, parent, code))
    extended = np.concatenate([prefixes[item, parent], code[:, None]], axis=1)
    return extended.reshape(n_items, n_kept, -1), totals[item, parent, code].reshape(n_items, n_kept)
