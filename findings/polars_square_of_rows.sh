#!/usr/bin/env bash
# A frame of polars from a list of rows is transposed when there are as many rows as columns.
#
# Expected: pl.DataFrame(rows, schema=names) reads a list of rows the same way for every number of rows.
# Instead: for lists of numbers the orientation is guessed from the shape, and n rows of n numbers are taken for columns.
#   The warning (DataOrientationWarning) comes for the shapes that are read as rows; the transposed one is silent. The
#   same numbers as an array are read as rows. orient="row" is right for all.
# Version: polars 2.1.0, numpy 2.4.6.
# Matters to: embeddings from a service (JSON lists) put into a frame batch by batch: a batch of 384 texts at 384
#   dimensions, or three texts of three codes, is transposed; all other batches are right.
# Seen on 2026-11-29:
#   2 items of 3 codes: first row (0, 1, 2), from an array (0, 1, 2)
#   3 items of 3 codes: first row (0, 10, 20), from an array (0, 1, 2)
#   4 items of 3 codes: first row (0, 1, 2), from an array (0, 1, 2)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check polars==2.1.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import polars as pl

warnings.simplefilter("ignore")
names = ["code0", "code1", "code2"]
first = {}
for n in (2, 3, 4):
    codes = [[10 * item + level for level in range(3)] for item in range(n)]
    first[n] = pl.DataFrame(codes, schema=names).row(0)
    print(f"{n} items of 3 codes: first row {first[n]}, from an array {pl.DataFrame(np.array(codes), schema=names).row(0)}")

holds = first == {2: (0, 1, 2), 3: (0, 10, 20), 4: (0, 1, 2)}
raise SystemExit(0 if holds else "polars reads a square of rows as rows now")
PYTHON
