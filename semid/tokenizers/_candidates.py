"""The best few rows of codes of an item, not only the best one."""

import numpy as np
import torch

from semid.base._live_module import resolve_device

BLOCK = 512  # rows that are placed, decoded or asked for codes at once
_ENCODE_ROWS = 128
_BEAM_NUMBERS = 2**17  # costs in float64 held at once: 1 MB, of which a search has about ten copies
_FLOAT64_TIE = 1e-9  # wide enough for a step per place in a list of candidates to exceed rounding


def gives_candidates(tokenizer):
    """Return whether the codes of `tokenizer` are the nearest in some space, so that a second nearest exists."""
    return bool(getattr(tokenizer, "_codes_are_nearest", False))


def nearest_codes(tokenizer, X, n_candidates):
    """Return the `n_candidates` best rows of codes of each item and how much farther they are than the best.

    A beam search in float64, of which nothing depends on the other items. Exact for codebooks side by side; of a
    residual chain, it finds what can be reached through `n_candidates` beginnings. Fewer come back where fewer exist.

    Returns
    -------
    codes : ndarray of shape (n_items, n_candidates, n_codebooks), int64
        Best first.
    regrets : ndarray of shape (n_items, n_candidates), float64
        Squared distance in the space of the quantizer, less that of the best; for codebooks side by side, summed over
        them. Prices of a balanced codebook count as in `transform`.
    """
    device = resolve_device(tokenizer.device)
    module = tokenizer._live.get(tokenizer._build_module, tokenizer.state_, device, torch.float64)
    codes, regrets = [], []
    for start in range(0, len(X), _ENCODE_ROWS):
        x = torch.tensor(np.asarray(X[start : start + _ENCODE_ROWS]), dtype=torch.float64, device=device)
        with torch.inference_mode():
            z = module.encoder(module.standardize(x))
            beam = module.quantizer.candidates(z, n_candidates, _FLOAT64_TIE, n_numbers=_BEAM_NUMBERS)
        codes.append(beam.codes.cpu().numpy())
        regrets.append(2 * (beam.scores - beam.scores[:, :1]).cpu().numpy())
    return np.concatenate(codes), np.concatenate(regrets)
