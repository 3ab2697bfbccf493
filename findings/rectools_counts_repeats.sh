#!/usr/bin/env bash
# RecTools counts a click that the log has twice as two hits of one recommendation: Precision@1 is 3, NDCG@1 too.
#
# Expected: a recommended item is relevant or not, and no precision, F1 or NDCG is above 1; and a matrix "without
#   weights" holds ones, as its documentation says.
# Instead: a user's repeated clicks in the test are joined to the recommendation one by one. Precision, F1 and NDCG go
#   above 1, recall counts the repeats on both sides of its fraction (2 of 3 for 1 of 2); MAP, MRR and the hit rate do
#   not mind. The user-item matrix without weights adds repeats up as well. No warning. Dropping repeats of user and
#   item before `calc_metrics` and before `Dataset.construct` mends both.
# Version: RecTools 0.19.0.
# Matters to: everybody whose log has repeats, as those of plays, views and purchases do, and who compares models by it.
# Seen on 2026-11-30:
#   item 1 clicked three times    precision@1 3.0, F1@1 1.5, NDCG@1 3.0, recall@1 1.0, MAP@1 1.0
#   the same without repeats      precision@1 1.0, F1@1 1.0, NDCG@1 1.0, recall@1 1.0, MAP@1 1.0
#   item 1 twice, item 9 once     recall@1 0.667 for 0.5
#   matrix without weights        [[3.0]]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  rectools==0.19.0 numpy==1.26.4 pandas==2.3.3
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import pandas as pd
from rectools.dataset import Dataset
from rectools.metrics import MAP, NDCG, F1Beta, Precision, Recall, calc_metrics

metrics = {"precision@1": Precision(1), "F1@1": F1Beta(1), "NDCG@1": NDCG(1), "recall@1": Recall(1), "MAP@1": MAP(1)}
recommended = pd.DataFrame({"user_id": [7], "item_id": [1], "rank": [1]})


def scores(items):
    clicks = pd.DataFrame({"user_id": 7, "item_id": items})
    return {name: round(float(value), 3) for name, value in calc_metrics(metrics, recommended, clicks).items()}


repeated, once = scores([1, 1, 1]), scores([1])
for title, found in {"item 1 clicked three times": repeated, "the same without repeats": once}.items():
    print(f"{title:29}", ", ".join(f"{name} {found[name]}" for name in metrics))
recall, right = scores([1, 1, 9])["recall@1"], scores([1, 9])["recall@1"]
print(f"{'item 1 twice, item 9 once':29} recall@1 {recall} for {right}")

log = pd.DataFrame({"user_id": [7] * 3, "item_id": [1] * 3, "weight": 1.0, "datetime": pd.Timestamp("2026-01-01")})
matrix = Dataset.construct(log).get_user_item_matrix(include_weights=False).toarray().tolist()
print(f"{'matrix without weights':29} {matrix}")

holds = repeated["precision@1"] == repeated["NDCG@1"] == 3 and repeated["F1@1"] == 1.5 and set(once.values()) == {1.0}
holds = holds and (recall, right) == (0.667, 0.5) and matrix == [[3.0]]
raise SystemExit(0 if holds else "RecTools counts repeats otherwise now")
PYTHON
