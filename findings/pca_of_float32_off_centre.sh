#!/usr/bin/env bash
# PCA's default solver loses the small directions of float32 embeddings that are not centred.
#
# Expected: PCA centres the data first, so a constant added to a coordinate changes nothing but `mean_`.
# Instead: with at least ten rows per column (and at most 1,000 columns) svd_solver="auto" takes "covariance_eigh", which
#   subtracts n * mean * mean' from X'X in the input's own precision. In float32, one coordinate with a large mean leaves
#   rounding errors larger than the variances. svd_solver="full" centres first; so does float64.
# Version: scikit-learn 1.9.1, numpy 2.4.6.
# Matters to: PCA before k-means or a product quantizer on raw hidden states of language models, which have a few
#   coordinates with means in the hundreds beside hundreds with a deviation near 1.
# Seen on 2026-11-29:
#   auto (covariance_eigh): largest variances [86.37  1.62  1.49]
#   full (full): largest variances [1.   0.92 0.88]
#   share of the right 4-dimensional space: auto 0.28, full 1.00
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from sklearn.decomposition import PCA

rng = np.random.default_rng(0)
X = (rng.normal(size=(20_000, 32)) * np.linspace(1, 0.01, 32)).astype(np.float32)
X += 1000  # exact to 6e-5 in float32: the deviations .01 to 1 are all there

for solver in ("auto", "full"):
    pca = PCA(svd_solver=solver).fit(X)
    print(f"{solver:4} ({pca._fit_svd_solver}): largest variances {np.round(pca.explained_variance_[:3], 2)}")
auto, full = PCA(4).fit(X), PCA(4, svd_solver="full").fit(X)
right = PCA(4, svd_solver="full").fit(X.astype(np.float64))
same = [np.linalg.norm(pca.components_ @ right.components_.T) ** 2 / 4 for pca in (auto, full)]
print(f"share of the right 4-dimensional space: auto {same[0]:.2f}, full {same[1]:.2f}")

holds = auto.explained_variance_[0] > 2 and full.explained_variance_[0] < 1.1
raise SystemExit(0 if holds else "PCA's default solver centres float32 now")
PYTHON
