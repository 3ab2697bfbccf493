#!/usr/bin/env bash
# duckdb: ids of int64 and uint64 in one query come out as doubles.
#
# Expected: the union of a BIGINT and a UBIGINT column keeps whole numbers, as it does inside duckdb.
# Instead: their common type is HUGEINT, which neither pandas nor parquet has: .df() gives float64 and COPY TO parquet
#   writes DOUBLE. Ids above 2^53 merge. COALESCE, CASE and lists of both do the same, and so does sum() of integers: counts
#   of clicks arrive as floats. Cast to BIGINT or UBIGINT before leaving duckdb; .arrow() keeps a decimal.
# Version: duckdb 2.0.1, pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6.
# Matters to: logs whose ids are hashes (duckdb's hash() is UBIGINT) put together with ids from elsewhere.
# Seen on 2026-11-29:
#   in duckdb:  [(9007199254740993, 'HUGEINT'), (9007199254740992, 'HUGEINT')]
#   in pandas:  float64 - 1 distinct
#   in parquet: double - 1 distinct
#   sum of clicks in pandas: float64
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import tempfile

import duckdb
import pyarrow.parquet as pq

ids = "SELECT 9007199254740993::BIGINT AS item_id UNION ALL SELECT 9007199254740992::UBIGINT"
inside = duckdb.sql(f"SELECT DISTINCT item_id, typeof(item_id) FROM ({ids})").fetchall()
frame = duckdb.sql(ids).df()
with tempfile.TemporaryDirectory() as folder:
    duckdb.sql(f"COPY ({ids}) TO '{folder}/ids.parquet'")
    table = pq.read_table(f"{folder}/ids.parquet")
print("in duckdb: ", inside)
print("in pandas: ", frame["item_id"].dtype, "-", frame["item_id"].nunique(), "distinct")
print("in parquet:", table.schema.field("item_id").type, "-", len(table["item_id"].unique()), "distinct")
print("sum of clicks in pandas:", duckdb.sql("SELECT sum(click) s FROM range(3) t(click)").df()["s"].dtype)

holds = len(inside) == 2 and frame["item_id"].nunique() == 1 and len(table["item_id"].unique()) == 1
raise SystemExit(0 if holds else "ids of both types leave duckdb whole now")
PYTHON
