#!/usr/bin/env bash
# duckdb reads a folder of parquet files by the types of the first file, and rounds the rest to them.
#
# Expected: files of one folder whose column is an integer here and a double there are read as double, or refused
#   (pyarrow and polars refuse them: "Float value 2.500000 was truncated", "data type mismatch").
# Instead: the first file's type holds for all. Where the first day's prices happen to be whole numbers, all later ones
#   lose their decimals without a word; doubles in later files become floats if the first has floats.
#   read_parquet(..., union_by_name=true) takes the wider type.
# Version: duckdb 2.0.1, pandas 3.1.1, pyarrow 26.0.1.
# Matters to: logs and embeddings written day by day; pandas writes int64 for a day without decimals or nulls.
# Seen on 2026-11-29:
#   written: 10, 20 and 2.5, 0.99
#   duckdb:  [(10, 'BIGINT'), (20, 'BIGINT'), (2, 'BIGINT'), (1, 'BIGINT')]
#   union_by_name: [(10.0,), (20.0,), (2.5,), (0.99,)]
#   pandas:  ArrowInvalid: Float value 2.500000 was truncated converting to int64
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1 pandas==3.1.1 pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
import tempfile

import duckdb
import pandas as pd

with tempfile.TemporaryDirectory() as folder:
    pd.DataFrame({"price": [10, 20]}).to_parquet(f"{folder}/day1.parquet")
    pd.DataFrame({"price": [2.5, 0.99]}).to_parquet(f"{folder}/day2.parquet")
    read = duckdb.sql(f"SELECT price, typeof(price) FROM '{folder}/*.parquet'").fetchall()
    by_name = duckdb.sql(f"SELECT price FROM read_parquet('{folder}/*.parquet', union_by_name=true)").fetchall()
    try:
        refused = pd.read_parquet(folder)
    except Exception as error:
        refused = f"{type(error).__name__}: {error}"
print("written: 10, 20 and 2.5, 0.99")
print("duckdb: ", read)
print("union_by_name:", by_name)
print("pandas: ", refused)

holds = [price for price, _ in read] == [10, 20, 2, 1]
raise SystemExit(0 if holds else "duckdb does not round later files any more")
PYTHON
