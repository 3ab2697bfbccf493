#!/usr/bin/env bash
# nanopq's fit sets the seed of numpy's global generator: what a program draws after it is the same in every repetition.
#
# Expected: `fit(X, seed=123)` has a generator of its own, or leaves the global one as it was.
# Instead: it calls `np.random.seed(seed)`, and its default is a number. Two experiments with seeds 1 and 2 draw the same
#   negatives, splits and noise once each has fitted a quantizer, so that a deviation "over seeds" is too small.
#   scikit-learn with `random_state=None` draws from that generator too. Give all else a generator of its own.
# Version: nanopq 0.2.2.
# Matters to: benchmarks that fit product quantization among other things, with `np.random.seed` at their beginning.
# Seen on 2026-11-30:
#   draws of seeds 1 and 2, no fit before    0.417, 0.436
#   draws of seeds 1 and 2, after a fit      0.015, 0.015
#   the same train_test_split(100 rows)      after a fit: True, without one: False
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  nanopq==0.2.2 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$work/venv/bin/python" - <<'PYTHON'
import nanopq
import numpy as np
from sklearn.model_selection import train_test_split

X = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)


def experiment(seed, *, fits):
    np.random.seed(seed)
    if fits:
        nanopq.PQ(M=2, Ks=16, verbose=False).fit(X)
    draw = round(float(np.random.rand()), 3)
    return draw, train_test_split(np.arange(100))[1].tolist()


(plain1, split1), (plain2, split2) = (experiment(seed, fits=False) for seed in (1, 2))
(draw1, part1), (draw2, part2) = (experiment(seed, fits=True) for seed in (1, 2))
print(f"{'draws of seeds 1 and 2, no fit before':40} {plain1}, {plain2}")
print(f"{'draws of seeds 1 and 2, after a fit':40} {draw1}, {draw2}")
print(f"{'the same train_test_split(100 rows)':40} after a fit: {part1 == part2}, without one: {split1 == split2}")

holds = draw1 == draw2 and part1 == part2 and plain1 != plain2 and split1 != split2
raise SystemExit(0 if holds else "nanopq leaves numpy's generator alone now")
PYTHON
