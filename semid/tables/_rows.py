"""The distinct rows of a catalogue, in an order that depends on their content alone.

Fitting on them makes a tokenizer independent of the order of the items, and makes an item of weight 2 the same as an
item listed twice, to the last bit.
"""

import numpy as np

_BLOCK = 512


def row_hashes(X: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return a 64-bit hash of each row of float32 `X`, (n,) uint64; equal rows, equal hashes, on every machine.

    A multilinear hash of the 32-bit patterns with random odd multipliers, then the finalizer of MurmurHash3.
    """
    rng = np.random.default_rng(seed)
    multipliers = rng.integers(0, 2**64, size=X.shape[1] + 1, dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(X), dtype=np.uint64)
    for start in range(0, len(X), _BLOCK):
        block = np.ascontiguousarray(X[start : start + _BLOCK], dtype=np.float32) + np.float32(0)  # -0.0 → 0.0
        bits = block.view(np.uint32).astype(np.uint64)
        hashes[start : start + _BLOCK] = (bits * multipliers[1:]).sum(axis=1, dtype=np.uint64) + multipliers[0]
    return mix_bits(hashes)


def mix_bits(values):
    """Scramble uint64 `values` so that every input bit moves every output bit (MurmurHash3's 64-bit finalizer)."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def distinct_rows(X: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the distinct rows of `X` with positive weight are, (n_items,) int64, and their summed weights.

    The weights are float32, scaled to mean 1. Of equal rows, the first is named.
    """
    kept = np.flatnonzero(weights > 0)
    _, first, inverse = np.unique(row_hashes(X)[kept], return_index=True, return_inverse=True)
    totals = np.bincount(inverse, weights=weights[kept])
    return kept[first], (totals / totals.mean()).astype(np.float32)
