#!/usr/bin/env bash
# pandas.read_json makes numbers of ids that the file has as text, chunk by chunk.
#
# Expected: JSON has types. "0007123456" is text in the file and text in the frame.
# Instead: dtype=True, the default, turns a column of text into numbers where all of it parses: leading zeros are lost,
#   "1e5" is 100000. With chunksize every chunk decides for itself, so the same id is 7123456 in one chunk and
#   "0007123456" in the next. dtype=False or engine="pyarrow" keep text.
# Version: pandas 3.1.1.
# Matters to: reviews and item metadata as JSON lines (Amazon's ids of books are ISBNs), joined with ids of other files.
# Seen on 2026-11-29:
#   in chunks of two: [[7123456, 1234567], ['B00AAA1111', '0007123456']]
#   first two alone:  [7123456, 1234567]
#   dtype=False:      ['0007123456', '0001234567', 'B00AAA1111', '0007123456']
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pandas==3.1.1
"$work/venv/bin/python" - <<'PYTHON'
import io

import pandas as pd

ids = ["0007123456", "0001234567", "B00AAA1111", "0007123456"]
lines = "".join(f'{{"asin": "{asin}"}}\n' for asin in ids)
chunks = [chunk["asin"].tolist() for chunk in pd.read_json(io.StringIO(lines), lines=True, chunksize=2)]
print("in chunks of two:", chunks)
print("first two alone: ", pd.read_json(io.StringIO("".join(lines.splitlines(True)[:2])), lines=True)["asin"].tolist())
print("dtype=False:     ", pd.read_json(io.StringIO(lines), lines=True, dtype=False)["asin"].tolist())

holds = chunks == [[7123456, 1234567], ["B00AAA1111", "0007123456"]]
raise SystemExit(0 if holds else "read_json keeps text now")
PYTHON
