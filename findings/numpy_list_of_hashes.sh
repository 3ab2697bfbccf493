#!/usr/bin/env bash
# numpy makes floats of 64-bit hashes, depending on which of them are in the list.
#
# Expected: np.array of a list of integers below 2^64 is uint64, as pandas and polars make it.
# Instead: numpy takes int64 for an integer below 2^63 and uint64 for one above; a list with both, as any list of 64-bit
#   hashes has, becomes float64 and loses eleven bits of each. A list whose hashes all lie above 2^63 is uint64, so that
#   a test on one or two ids passes. np.isin(ids, list) and np.searchsorted convert their list in the same way.
#   np.array(list, dtype="uint64") is right.
# Version: numpy 2.4.6 (pandas 3.1.1 beside it).
# Matters to: item and user ids that are hashes (polars, duckdb and xxhash give uint64).
# Seen on 2026-11-29:
#   np.array of 1,000 hashes: float64 - values unchanged: 2
#   np.array of those above 2^63: uint64
#   pd.Series of all: uint64
#   np.isin([2^63, 2^63 + 1], [2^63 + 1, 7]): [True, True]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check numpy==2.4.6 pandas==3.1.1
"$work/venv/bin/python" - <<'PYTHON'
import hashlib

import numpy as np
import pandas as pd

hashes = [int.from_bytes(hashlib.blake2b(str(i).encode(), digest_size=8).digest()) for i in range(1000)]
high = [h for h in hashes if h >= 2**63]
array = np.array(hashes)
unchanged = sum(int(a) == h for a, h in zip(array, hashes))
print("np.array of 1,000 hashes:", array.dtype, "- values unchanged:", unchanged)
print("np.array of those above 2^63:", np.array(high).dtype)
print("pd.Series of all:", pd.Series(hashes).dtype)
ids = np.array([2**63, 2**63 + 1], dtype=np.uint64)
found = np.isin(ids, [2**63 + 1, 7])
print("np.isin([2^63, 2^63 + 1], [2^63 + 1, 7]):", found.tolist())

holds = array.dtype == np.float64 and np.array(high).dtype == np.uint64 and found.all()
raise SystemExit(0 if holds else "numpy keeps a list of hashes now")
PYTHON
