#!/usr/bin/env bash
# A fifth of identical vectors makes an HNSW index lose the other items.
#
# Expected: an approximate index finds an item that is asked for with its own vector. Items that share one vector (no
#   text: all zeros) crowd one another, and nobody else.
# Instead: the duplicates fill each other's lists of neighbours, the graph falls apart around them, and most *other*
#   items are not found by their own vector any more: recall@1 of distinct items falls from 1.00 to between .16 and .46 with L2.
#   Nothing warns. One vector per group of duplicates, or unit vectors with the zero rows left out, is right.
# Version: faiss-cpu 1.15.1, usearch 2.26.6, numpy 2.4.6.
# Matters to: neighbours of items in catalogues where many have no text, one placeholder title or one placeholder image.
# Seen on 2026-11-29:
#   by_faiss: distinct items that find themselves: 1.00 alone, 0.16 beside 2,000 zero rows
#   by_usearch: distinct items that find themselves: 1.00 alone, 0.46 beside 2,000 zero rows
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check faiss-cpu==1.15.1 usearch==2.26.6 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import faiss
import numpy as np
from usearch.index import Index

faiss.omp_set_num_threads(1)
rng = np.random.default_rng(0)
X = rng.normal(size=(10_000, 16)).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)
X[rng.permutation(len(X))[:2000]] = 0
distinct = X.any(axis=1)


def by_faiss(vectors):
    index = faiss.IndexHNSWFlat(16, 16)
    index.hnsw.efSearch = 50
    index.add(vectors)
    return index.search(vectors, 1)[1][:, 0]


def by_usearch(vectors):
    index = Index(ndim=16, metric="l2sq", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=1)
    return np.asarray(index.search(vectors, 1, threads=1).keys).ravel()


holds = True
for search in (by_faiss, by_usearch):
    with_zeros = (search(X) == np.arange(len(X)))[distinct].mean()
    alone = (search(X[distinct]) == np.arange(distinct.sum())).mean()
    print(f"{search.__name__}: distinct items that find themselves: {alone:.2f} alone, {with_zeros:.2f} beside 2,000 zero rows")
    holds = holds and alone > 0.95 and with_zeros < 0.7
raise SystemExit(0 if holds else "HNSW keeps the other items now")
PYTHON
