"""Codes as the Displays take them."""

from typing import Any

import numpy as np

from semid.base._checks import check_codes


def check_code_table(codes: Any, codebook_size: Any = None) -> tuple[np.ndarray, list[int]]:
    """Return `codes` as int64 of shape (n_items, n_codebooks) and one size per codebook, from the codes if None."""
    table = codes.to_numpy() if hasattr(codes, "to_numpy") else np.asarray(codes)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"codes must have shape (n_items, n_codebooks) and not be empty, got {table.shape}.")
    if codebook_size is None:
        codebook_size = np.maximum(table, 0).max(axis=0) + 1 if table.dtype.kind in "iuf" else [1]
    elif np.ndim(codebook_size) > 0 and len(codebook_size) != table.shape[1]:
        raise ValueError(
            f"codebook_size must be one integer, or one for each of the {table.shape[1]} codebooks, "
            f"got {list(codebook_size)}."
        )
    sizes = [int(size) for size in np.broadcast_to(codebook_size, table.shape[1])]
    return check_codes(codes, sizes), sizes
