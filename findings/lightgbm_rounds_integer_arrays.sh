#!/usr/bin/env bash
# LightGBM rounds numpy arrays of integers to float32, and DataFrames of the same integers it does not.
#
# Expected: a model gives the same predictions for a DataFrame and for its values; an int64 keeps its digits as a number,
#   and as a category.
# Instead: an array that is neither float32 nor float64 becomes float32, without a word. Unix seconds are told apart in
#   steps of 128, and ids from 2^24 on share categories with their neighbours. A DataFrame of the same columns is read as
#   float64 and stays exact, so that a model fitted on one and asked with the other's values is wrong near its splits.
# Version: lightgbm 4.7.0, with numpy 2.4.6 and pandas 3.1.1.
# Matters to: gradient boosting on logs with times or large ids, above all where training has a DataFrame and serving an
#   array. Instead: X.astype(float) for times, consecutive numbers from 0 for ids.
# Seen on 2026-11-29:
#   predictions that differ from the DataFrame's: int64 array 42, float64 array 0 of 20000
#   the step of float32 at 1700000000 is 128.0
#   clicks of the items 0 to 7: [0.11 0.89 0.11 0.89 0.11 0.89 0.11 0.89]
#   clicks of the items 16777216 to 16777223: [0.5  0.5  0.12 0.62 0.62 0.62 0.12 0.87]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
    lightgbm==4.7.0 numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import lightgbm as lgb
import numpy as np
import pandas as pd

times = 1_700_000_000 + np.arange(20_000)  # unix seconds, an impression each
frame = pd.DataFrame({"time": times})
clicks = (times < times[10_007]).astype(int)  # until a campaign ended
model = lgb.LGBMClassifier(n_estimators=10, max_bin=20_001, min_data_in_bin=1, verbose=-1).fit(frame, clicks)
expected = model.predict(frame)
assert (expected == clicks).all()
differ = {
    name: int((model.predict(X) != expected).sum())
    for name, X in {"int64 array": frame.to_numpy(), "float64 array": frame.to_numpy(dtype=float)}.items()
}
print("predictions that differ from the DataFrame's:", ", ".join(f"{k} {v}" for k, v in differ.items()), "of", len(times))
step = np.spacing(np.float32(times[0]))
print("the step of float32 at", times[0], "is", step)

items = np.random.default_rng(0).integers(8, size=4_000)
liked = (np.random.default_rng(1).random(4_000) < np.where(items % 2, 0.95, 0.05)).astype(int)
settings = {"n_estimators": 20, "max_cat_to_onehot": 1, "min_child_samples": 1, "verbose": -1}
found = {}
for first in (0, 2**24):  # the same eight items, by small numbers and by large ones
    ids = (first + items)[:, None]
    fitted = lgb.LGBMClassifier(**settings).fit(ids, liked, categorical_feature=[0])
    found[first] = fitted.predict_proba(first + np.arange(8)[:, None])[:, 1].round(2)
    print(f"clicks of the items {first} to {first + 7}:", found[first])

is_there = differ["int64 array"] > 0 and differ["float64 array"] == 0 and len(set(found[2**24])) > 2
raise SystemExit(0 if is_there else "LightGBM does not round arrays of integers any more")
PYTHON
