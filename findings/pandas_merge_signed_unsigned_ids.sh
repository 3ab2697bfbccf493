#!/usr/bin/env bash
# pandas: ids of int64 merged with the same ids of uint64 match too many rows, or the right ones, by the order of rows.
#
# Expected: `merge` on 64-bit ids finds the equal ones, or refuses a mix of signed and unsigned integers.
# Instead: where one side is not sorted, the keys are compared as float64: ids beyond 2**53 that round to the same double
#   are all one key, and every such row matches every other. Where both sides are sorted the result is right, as it is
#   from `join` on indices; so a test on sorted tables passes and the shuffled log of production multiplies. No warning.
#   One dtype on both sides, by `astype("uint64")`, mends it.
# Version: pandas 3.1.1.
# Matters to: everybody whose item ids are hashes of 64 bits: xxhash and duckdb's hash() are unsigned, parquet files and
#   databases that know no unsigned integers have them signed.
# Seen on 2026-11-30:
#   both sorted      3 rows, 3 of them right
#   left shuffled    9 rows, 3 of them right
#   join on indices  3 rows, 3 of them right
#   one dtype        3 rows, 3 of them right
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
"$work/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import pandas as pd

ids = 2**60 + 7 * np.arange(1, 4)
clicks = pd.DataFrame({"id": ids.astype("int64"), "of_click": [1, 2, 3]})
items = pd.DataFrame({"id": ids.astype("uint64"), "of_item": [1, 2, 3]})
shuffled = clicks.iloc[[2, 0, 1]]

found = {
    "both sorted": clicks.merge(items, on="id"),
    "left shuffled": shuffled.merge(items, on="id"),
    "join on indices": shuffled.set_index("id").join(items.set_index("id")),
    "one dtype": shuffled.astype({"id": "uint64"}).merge(items, on="id"),
}
for title, table in found.items():
    print(f"{title:16} {len(table)} rows, {int((table['of_click'] == table['of_item']).sum())} of them right")

holds = [len(table) for table in found.values()] == [3, 9, 3, 3]
raise SystemExit(0 if holds else "pandas merges signed with unsigned ids otherwise now")
PYTHON
