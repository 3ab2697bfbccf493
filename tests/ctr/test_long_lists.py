"""One long list costs its own length, in memory and in time, and nobody else's."""

import subprocess
import sys

import pytest

FIT_AND_PREDICT = """
import resource, sys
import numpy as np, pandas as pd, torch
from semid.ctr import DeepFMClassifier

torch.set_num_threads(1)
n_rows, longest = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
history = list(rng.integers(20_000, size=(n_rows, 5)))
if longest:
    history[n_rows // 2] = rng.integers(20_000, size=longest)
X = pd.DataFrame({"user": rng.integers(5000, size=n_rows), "history": pd.Series(history, dtype=object)})
model = DeepFMClassifier(max_iter=1, random_state=0).fit(X, rng.integers(2, size=n_rows))
assert np.isfinite(model.predict_proba(X)).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _peak(n_rows, longest):
    command = [sys.executable, "-c", FIT_AND_PREDICT, str(n_rows), str(longest)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_a_list_of_10000_among_400000_of_five_needs_no_more_memory():
    assert _peak(400_000, 10_000) < 1.5 * _peak(400_000, 0)
