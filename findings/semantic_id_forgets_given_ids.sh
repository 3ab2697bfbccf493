#!/usr/bin/env bash
# semantic-id: an engine that was saved and loaded hands out IDs a second time.
#
# Expected: a loaded engine goes on where the saved one stopped; unique_ids never gives two items one ID.
# Instead: the default store of collisions lives in memory and is not among the saved files. After load the count starts
#   anew: the first new item whose codes are taken gets the very ID of an item of yesterday, without a word.
#   SQLiteCollisionStore is saved and goes on.
# Version: semantic-id 0.2.5, torch 2.13.0, numpy 2.4.6.
# Matters to: catalogues to which items are added after a restart.
# Seen on 2026-11-29:
#   40 items, distinct IDs: 40
#   new IDs, same engine:   ['0-3-4', '0-0-4', '1-0-3', '1-2-1', '0-3-5'] - taken: 0
#   new IDs, loaded engine: ['0-3', '0-0', '1-0', '1-2', '0-3-1'] - taken: 5
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check semantic-id==0.2.5 torch==2.13.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import tempfile

import numpy as np
import torch
from semantic_id import RQKMeans, SemanticIdEngine

torch.set_num_threads(1)
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
engine = SemanticIdEngine(RQKMeans(n_levels=2, n_clusters=4, random_state=0)).fit(X)
yesterday = engine.unique_ids(X)
print("40 items, distinct IDs:", len(set(yesterday)))
new = X[:5] + 1e-4  # five new items, close to five old ones
with tempfile.TemporaryDirectory() as folder:
    engine.save(folder)
    loaded = SemanticIdEngine.load(folder).unique_ids(new)
going_on = engine.unique_ids(new)
print("new IDs, same engine:  ", going_on, "- taken:", len(set(going_on) & set(yesterday)))
print("new IDs, loaded engine:", loaded, "- taken:", len(set(loaded) & set(yesterday)))

holds = not set(going_on) & set(yesterday) and len(set(loaded) & set(yesterday)) > 0
raise SystemExit(0 if holds else "a loaded engine knows the IDs it has given now")
PYTHON
