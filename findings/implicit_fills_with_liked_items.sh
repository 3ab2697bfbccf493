#!/usr/bin/env bash
# implicit recommends items that the user has had, with filter_already_liked_items=True.
#
# Expected: fewer than N items (or a marked end) where fewer than N are left.
# Instead: always N items. After the last new one come items of the user's own history with a score of -3.4e38.
#   Precision and coverage computed on the ids count them; a "hit" can be a training item.
# Version: implicit 0.7.3, scipy 1.17.1, numpy 2.4.6.
# Matters to: heavy users, small catalogues, and `items=` with a short list of candidates.
# Seen on 2026-11-29:
#   items:          [18, 17, 19, 5, 4, 3]
#   had already:    [False, False, False, True, True, True]
#   lowest score:   -3.4028235e+38
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check implicit==0.7.3 scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

liked = np.random.default_rng(0).random((50, 20)) < 0.3
liked[0, :17], liked[0, 17:] = True, False  # user 0 has had 17 of the 20 items
clicks = csr_matrix(liked.astype(np.float32))
model = AlternatingLeastSquares(factors=4, random_state=0, num_threads=1)
model.fit(clicks, show_progress=False)
items, scores = model.recommend(0, clicks[0], N=6, filter_already_liked_items=True)
print("items:         ", items.tolist())
print("had already:   ", [bool(liked[0, item]) for item in items])
print("lowest score:  ", scores.min())

holds = len(items) == 6 and liked[0, items].sum() == 3
raise SystemExit(0 if holds else "implicit leaves liked items out now")
PYTHON
