#!/usr/bin/env bash
# datasets: one missing id makes float32 of the whole column in numpy format.
#
# Expected: with_format("numpy") gives int64 as int64; with a null among them at worst float64, as pandas does.
# Instead: a slice that holds a null is float32. Ids above 2^24 = 16,777,216 merge with their neighbours; a slice without a
#   null is int64, so that the same id has two values in two batches. to_pandas() gives float64, to_list() and the
#   Arrow table are right.
# Version: datasets 5.2.0, numpy 2.4.6.
# Matters to: logs in which some rows have no item or no user, read batch by batch to look up embeddings or codes.
# Seen on 2026-11-29:
#   written:           [16777216, 16777217, 16777218, None]
#   rows 0 to 2:       [16777216, 16777217, 16777218] int64
#   rows 0 to 3:       [16777216.0, 16777216.0, 16777218.0, nan] float32
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check datasets==5.2.0 numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from datasets import Dataset

ids = [16_777_216, 16_777_217, 16_777_218, None]
clicks = Dataset.from_dict({"item_id": ids}).with_format("numpy")
whole, three = clicks[:4]["item_id"], clicks[:3]["item_id"]
print("written:          ", ids)
print("rows 0 to 2:      ", three.tolist(), three.dtype)
print("rows 0 to 3:      ", whole.tolist(), whole.dtype)

holds = whole.dtype == np.float32 and three.dtype == np.int64 and len(set(whole[:3].tolist())) == 2
raise SystemExit(0 if holds else "ids beside a null keep their digits now")
PYTHON
