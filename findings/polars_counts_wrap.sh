#!/usr/bin/env bash
# polars counts in uint32, and arithmetic on counts wraps.
#
# Expected: the change of an item's clicks is negative when there are fewer, and the number of (click, skip) pairs, the
#   denominator of AUC, is what Python's integers make of it.
# Instead: len, value_counts, the sum of booleans and rank("ordinal") are uint32; differences and products stay uint32
#   and wrap without an error. From 2^32 pairs on (70,000 clicks and 70,000 skips) an AUC written in expressions is wrong.
# Version: polars 2.1.0.
# Matters to: counts as features ("clicks this week minus last week"), and metrics computed where the log is.
# Seen on 2026-11-29:
#   clicks now minus before: [('a', 4294967294), ('b', 1)] UInt32
#   pairs: 1410065408 of 10000000000
#   AUC of a perfect order: 10.138
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check polars==2.1.0
"$work/venv/bin/python" - <<'PYTHON'
import polars as pl

last_week = pl.DataFrame({"item_id": ["a", "a", "a", "b"]}).group_by("item_id").len("before")
this_week = pl.DataFrame({"item_id": ["a", "b", "b"]}).group_by("item_id").len("now")
change = last_week.join(this_week, on="item_id").sort("item_id").select("item_id", pl.col("now") - pl.col("before"))
print("clicks now minus before:", change.rows(), change.schema["now"])

n = 100_000
log = pl.DataFrame({"score": range(2 * n), "click": [False] * n + [True] * n})  # every click above every skip
clicks, skips = pl.col("click").sum(), (~pl.col("click")).sum()
ranks = pl.col("score").rank("average").filter(pl.col("click")).sum()
auc = log.select((ranks - clicks * (clicks + 1) / 2) / (clicks * skips)).item()
print("pairs:", log.select(clicks * skips).item(), "of", n * n)
print("AUC of a perfect order:", round(auc, 3))

gone = change.rows()[0] == ("a", -2) or auc == 1
raise SystemExit("polars does not wrap any more" if gone else 0)
PYTHON
