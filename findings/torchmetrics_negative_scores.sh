#!/usr/bin/env bash
# torchmetrics' MRR, MAP, recall and precision take a score of 0 or less for "not retrieved"; NDCG and hit rate do not.
#
# Expected: a ranking metric depends on the order of the scores. Subtracting a constant changes nothing.
# Instead: reciprocal rank, average precision, recall and precision leave out every document with a score <= 0. Logits,
#   dot products and log-probabilities of clicks are mostly negative: MRR is 0 where NDCG and the hit rate of the same
#   scores are as they should be. No warning. A sigmoid before the metric mends it.
# Version: torchmetrics 1.9.0, torch 2.13.0.
# Matters to: click models and two-tower models whose logits go into RetrievalMRR or RetrievalRecall as they are.
# Seen on 2026-11-29:
#   MRR          of logits 0.0, of probabilities 0.5
#   MAP          of logits 0.0, of probabilities 0.5
#   recall@2     of logits 0.0, of probabilities 1.0
#   precision@2  of logits 0.0, of probabilities 0.5
#   NDCG         of logits 0.631, of probabilities 0.631
#   hit rate@2   of logits 1.0, of probabilities 1.0
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import torch
from torchmetrics.retrieval import (
    RetrievalHitRate,
    RetrievalMAP,
    RetrievalMRR,
    RetrievalNormalizedDCG,
    RetrievalPrecision,
    RetrievalRecall,
)

logits = torch.tensor([-1.0, -2.0, -3.0, -4.0])  # the click is second
click, query = torch.tensor([0, 1, 0, 0]), torch.zeros(4, dtype=torch.long)
metrics = {
    "MRR": RetrievalMRR(),
    "MAP": RetrievalMAP(),
    "recall@2": RetrievalRecall(top_k=2),
    "precision@2": RetrievalPrecision(top_k=2),
    "NDCG": RetrievalNormalizedDCG(),
    "hit rate@2": RetrievalHitRate(top_k=2),
}
values = {}
for name, metric in metrics.items():
    values[name] = [round(metric(scores, click, indexes=query).item(), 3) for scores in (logits, logits.sigmoid())]
    print(f"{name:12} of logits {values[name][0]}, of probabilities {values[name][1]}")

holds = all(values[name][0] == 0 < values[name][1] for name in ("MRR", "MAP", "recall@2", "precision@2"))
holds = holds and values["NDCG"][0] == values["NDCG"][1]
raise SystemExit(0 if holds else "torchmetrics ranks negative scores now")
PYTHON
