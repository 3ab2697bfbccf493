#!/usr/bin/env bash
# gensim gives an integer item that it does not know the vector of whichever item has that position.
#
# Expected: an item that min_count left out is a KeyError, and `item in model.wv` is False, as they are for text.
# Instead: a key that is an int and not in the vocabulary is taken for a *position* in it. Item 4 without a vector gets
#   that of the fifth most frequent item, `4 in model.wv` is True, and similarity and most_similar go on from there.
# Version: gensim 4.4.0.
# Matters to: item2vec on histories of integer ids; rare and new items with small ids get vectors of popular ones.
# Seen on 2026-11-29:
#   vocabulary: [60, 50, 40, 10, 30, 20]
#   4 in wv: True - its vector is that of item 30 - True
#   similarity(4, that item): 1.0
#   with text ids: '4' in wv: False
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check gensim==4.4.0 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from gensim.models import Word2Vec

rng = np.random.default_rng(0)
histories = [rng.choice([10, 20, 30, 40, 50, 60], 8).tolist() for _ in range(50)] + [[10, 4]]  # item 4: one click
wv = Word2Vec(histories, vector_size=4, min_count=2, workers=1, seed=0, epochs=1).wv
texts = Word2Vec([[str(i) for i in h] for h in histories], vector_size=4, min_count=2, workers=1, seed=0, epochs=1).wv

print("vocabulary:", wv.index_to_key)
print("4 in wv:", 4 in wv, "- its vector is that of item", wv.index_to_key[4], "-", bool((wv[4] == wv[wv.index_to_key[4]]).all()))
print("similarity(4, that item):", round(float(wv.similarity(4, wv.index_to_key[4])), 3))
print("with text ids: '4' in wv:", "4" in texts)

holds = 4 not in wv.key_to_index and 4 in wv and (wv[4] == wv[wv.index_to_key[4]]).all() and "4" not in texts
raise SystemExit(0 if holds else "gensim does not take ids for positions any more")
PYTHON
