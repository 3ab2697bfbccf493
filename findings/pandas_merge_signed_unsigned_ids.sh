#!/usr/bin/env bash
# pandas: close 64-bit ids of int64 and of uint64 match one another in a merge, or not, by order and repeats.
#
# Expected: `merge` finds the equal ids, or refuses a mix of signed and unsigned integers.
# Instead: the keys become float64. Ids beyond 2**53 that are closer than their doubles, 256 apart at 2**60, are all one
#   key, and each such row matches each other one. Where both sides are sorted and one has no repeats the right rows are
#   found. So a sorted sample passes and the log multiplies. No warning. `join` on indices, or one dtype on both sides by
#   `astype("uint64")`, is right.
# Version: pandas 3.1.1.
# Matters to: ids made of a time or a shard and a counter, as Snowflake's are, signed in one table and unsigned in another.
#   Random hashes are too far apart to meet.
# Seen on 2026-11-30:
#   sorted, no repeats               3 rows for 3
#   sorted, repeats on one side      6 rows for 6
#   sorted, repeats on both         36 rows for 12
#   not sorted                       9 rows for 3
#   not sorted, join on indices      3 rows for 3
#   not sorted, one dtype            3 rows for 3
#   random ids, not sorted        1000 rows for 1000
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
"$work/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import pandas as pd

ids = 2**60 + 7 * np.arange(3)
random_ids = np.random.default_rng(0).integers(2**62, size=1000)


def tables(ids, order, times=1):
    """A log and a catalogue whose rows of one id have one name."""
    names = np.arange(len(ids))
    log = pd.DataFrame({"id": ids.astype("int64"), "in_log": names}).iloc[np.repeat(order, times)]
    return log, pd.DataFrame({"id": ids.astype("uint64"), "in_catalogue": names})  # each once


ascending, shuffled = [0, 1, 2], [2, 0, 1]
log, catalogue = tables(ids, shuffled)
twice, once = tables(ids, ascending, times=2)
found = {
    "sorted, no repeats": (3, pd.merge(*tables(ids, ascending), on="id")),
    "sorted, repeats on one side": (6, twice.merge(once, on="id")),
    "sorted, repeats on both": (12, twice.merge(once.loc[[0, 0, 1, 1, 2, 2]], on="id")),
    "not sorted": (3, log.merge(catalogue, on="id")),
    "not sorted, join on indices": (3, log.set_index("id").join(catalogue.set_index("id"))),
    "not sorted, one dtype": (3, log.astype({"id": "uint64"}).merge(catalogue, on="id")),
    "random ids, not sorted": (1000, pd.merge(*tables(random_ids, np.arange(1000)), on="id")),
}
for title, (n_right, table) in found.items():
    print(f"{title:28} {len(table):5} rows for {n_right}")

n_rows = [len(table) for _, table in found.values()]
are_right = [(table["in_log"] == table["in_catalogue"]).all() for _, table in found.values()]
holds = n_rows == [3, 6, 36, 9, 3, 3, 1000] and are_right == [True, True, False, False, True, True, True]
raise SystemExit(0 if holds else "pandas merges signed with unsigned ids otherwise now")
PYTHON
