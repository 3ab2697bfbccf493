#!/usr/bin/env bash
# duckdb ranks the item without a text as the most similar one.
#
# Expected: the cosine similarity with a zero vector is 0 or NULL, and neither comes first in ORDER BY ... DESC.
# Instead: it is NaN, and NaN is the largest of all numbers: first in ORDER BY ... DESC LIMIT k, the answer of max,
#   arg_max and max_by; `WHERE similarity > .9` lets it through. array_cosine_distance has NaN last, where it is right.
# Version: duckdb 2.0.1.
# Matters to: embeddings in which items without a text (or users without a history) have a vector of zeros.
# Seen on 2026-11-29:
#   ORDER BY similarity DESC: [('no text', nan), ('same', 1.0), ('near', 0.9938837289810181)]
#   arg_max: no text
#   similarity > .999: [('same',), ('no text',)]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1
"$work/venv/bin/python" - <<'PYTHON'
import duckdb

duckdb.sql("""CREATE TABLE items AS SELECT * FROM (VALUES
    ('same', [1, 0]::FLOAT[2]), ('near', [.9, .1]::FLOAT[2]), ('no text', [0, 0]::FLOAT[2])) t(item, vector)""")
similarity = "array_cosine_similarity(vector, [1, 0]::FLOAT[2])"
ranking = duckdb.sql(f"SELECT item, {similarity} s FROM items ORDER BY s DESC").fetchall()
best = duckdb.sql(f"SELECT arg_max(item, {similarity}) FROM items").fetchall()[0][0]
kept = duckdb.sql(f"SELECT item FROM items WHERE {similarity} > .999").fetchall()
print("ORDER BY similarity DESC:", ranking)
print("arg_max:", best)
print("similarity > .999:", kept)

holds = ranking[0][0] == "no text" and best == "no text" and ("no text",) in kept
raise SystemExit(0 if holds else "duckdb does not rank the zero vector first any more")
PYTHON
