#!/usr/bin/env bash
# RecTools counts an item that a user clicked three times as three hits of one recommendation: Precision@1 is 3, NDCG@1 too.
#
# Expected: a recommended item is relevant or not, and no precision, F1 or NDCG is above 1; and a matrix "without
#   weights" holds ones, as its documentation says.
# Instead: a user's repeated clicks in the test are joined to the recommendation one by one. Precision, F1 and NDCG go
#   above 1, recall and MAP count the repeats on both sides of their fractions (2 of 3 for 1 of 2). The user-item matrix
#   without weights adds repeats up as well. No warning of it. Dropping repeats of user and item first mends both.
# Version: RecTools 0.19.0.
# Matters to: everybody whose log has repeats, as those of plays, views and purchases do, and who compares models by it.
# Seen on 2026-11-30:
#   item 1 clicked three times    precision@1 3.0, F1@1 1.5, NDCG@1 3.0, recall@1 1.0, MAP@1 1.0
#   the same without repeats      precision@1 1.0, F1@1 1.0, NDCG@1 1.0, recall@1 1.0, MAP@1 1.0
#   item 1 twice, item 9 once     precision@1 2.0, F1@1 1.0, NDCG@1 2.0, recall@1 0.667, MAP@1 0.667
#   the same without repeats      precision@1 1.0, F1@1 0.667, NDCG@1 1.0, recall@1 0.5, MAP@1 0.5
#   matrix without weights        [[3.0]], without repeats [[1.0]]
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


found = [scores(items) for items in ([1, 1, 1], [1], [1, 1, 9], [1, 9])]
titles = ["item 1 clicked three times", "the same without repeats", "item 1 twice, item 9 once", "the same without repeats"]
for title, values in zip(titles, found, strict=True):
    print(f"{title:29}", ", ".join(f"{name} {values[name]}" for name in metrics))

log = pd.DataFrame({"user_id": [7] * 3, "item_id": [1] * 3, "weight": 1.0, "datetime": pd.Timestamp("2026-01-01")})
matrix, of_distinct = (
    Dataset.construct(table).get_user_item_matrix(include_weights=False).toarray().tolist()
    for table in (log, log.drop_duplicates(["user_id", "item_id"]))
)
print(f"{'matrix without weights':29} {matrix}, without repeats {of_distinct}")

thrice, once, twice, both = ([values[name] for name in metrics] for values in found)
holds = thrice == [3, 1.5, 3, 1, 1] and once == [1, 1, 1, 1, 1] and twice == [2, 1, 2, 0.667, 0.667]
holds = holds and both == [1, 0.667, 1, 0.5, 0.5] and matrix == [[3]] and of_distinct == [[1]]
raise SystemExit(0 if holds else "RecTools counts repeats otherwise now")
PYTHON
