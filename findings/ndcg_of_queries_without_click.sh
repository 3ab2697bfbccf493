#!/usr/bin/env bash
# A query without a click has NDCG and MAP 1 in XGBoost and LightGBM.
#
# Expected: a query (user, session) without any click says nothing about the ranking: it counts 0 or is left out.
# Instead: it counts 1. Where a share q of the queries has no click, NDCG is q + (1 - q) * NDCG of the others: a model
#   that ranks every click last looks good on a log of rare clicks. XGBoost has metrics with a minus, "ndcg@1-", that
#   count 0; LightGBM has no such option. Its own precision ("pre@1") counts 0.
# Version: xgboost 3.2.0 (xgboost-cpu), lightgbm 4.7.0, numpy 2.4.6.
# Matters to: rankers compared with figures of other libraries (scikit-learn and torchmetrics count 0), and early
#   stopping on NDCG across logs with another share of clicks.
# Seen on 2026-11-29:
#   xgboost:  {'ndcg@1': 0.5, 'ndcg@1-': 0.0, 'map@1': 0.5, 'pre@1': 0.0}
#   lightgbm: {'ndcg@1': np.float64(0.5), 'map@1': np.float64(0.5)}
#   of the five queries with a click, none has it at rank 1
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check xgboost-cpu==3.2.0 lightgbm==4.7.0 numpy==2.4.6 scipy==1.17.1
"$work/venv/bin/python" - <<'PYTHON'
import lightgbm
import numpy as np
import xgboost

# Ten queries of four items; five without a click. The one feature ranks each click of the test log last.
x = np.tile([4.0, 3.0, 2.0, 1.0], 10)[:, None]
train_clicks = np.tile([1, 0, 0, 0], 10)
test_clicks = np.concatenate([np.zeros(20), np.tile([0, 0, 0, 1], 5)])
groups = [4] * 10

figures = {}
train, test = xgboost.DMatrix(x, train_clicks), xgboost.DMatrix(x, test_clicks)
train.set_group(groups)
test.set_group(groups)
metrics = ["ndcg@1", "ndcg@1-", "map@1", "pre@1"]
options = {"objective": "rank:ndcg", "eval_metric": metrics, "nthread": 1}
xgboost.train(options, train, 1, evals=[(test, "test")], evals_result=figures, verbose_eval=False)
by_xgboost = {name: values[0] for name, values in figures["test"].items()}
print("xgboost: ", by_xgboost)

figures = {}
train = lightgbm.Dataset(x, train_clicks, group=groups)
test = lightgbm.Dataset(x, test_clicks, group=groups, reference=train)
options = {"objective": "lambdarank", "metric": ["ndcg", "map"], "eval_at": [1], "num_threads": 1, "verbose": -1}
options |= {"min_data_in_leaf": 1, "min_data_in_bin": 1}
lightgbm.train(options, train, 1, valid_sets=[test], callbacks=[lightgbm.record_evaluation(figures)])
by_lightgbm = {name: values[0] for name, values in figures["valid_0"].items()}
print("lightgbm:", by_lightgbm)
print("of the five queries with a click, none has it at rank 1")

holds = by_xgboost["ndcg@1"] == by_xgboost["map@1"] == by_lightgbm["ndcg@1"] == by_lightgbm["map@1"] == 0.5
raise SystemExit(0 if holds and by_xgboost["ndcg@1-"] == 0 else "a query without a click counts otherwise now")
PYTHON
