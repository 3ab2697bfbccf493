"""A thousand fits in one process: what a worker that fits all day keeps of them."""

import gc
import os
import threading

import numpy as np
import pytest
from sklearn.base import clone
from strategies import plain_table
from test_click_models import CLASSIFIERS
from test_tokenizers import TOKENIZERS

from semid.embedders import TextEmbedder
from semid.features import ItemTable, SemanticIDEncoder
from semid.tokenizers import ResidualKMeansTokenizer

N_CYCLES, N_WARM_UP, EVERY = 54, 6, 3  # cycles over all estimators
MEGABYTE = 2**20
# Of the operating system: glibc gives pages back when it likes to.
TOLERATED_GROWTH = 20 * MEGABYTE
TOLERATED_SLOPE = 10_000  # bytes per fit
TOLERATED_OBJECTS = 500

ROWS = 60
EMBEDDINGS = np.random.default_rng(0).normal(size=(ROWS, 8)).astype(np.float32)
TABLE, Y = plain_table(ROWS, np.random.default_rng(0)), np.arange(ROWS) % 2
IDS = [f"item {n}" for n in range(ROWS)]
TEXTS = [f"mug {n}" for n in range(ROWS)]


def _fits():
    """One after the other: a fit and what follows it, of every estimator."""
    encoder = SemanticIDEncoder(ResidualKMeansTokenizer(codebook_size=4, random_state=0), ItemTable(IDS, EMBEDDINGS))
    return [
        *(lambda t=tokenizer: clone(t).fit(EMBEDDINGS).transform(EMBEDDINGS) for tokenizer in TOKENIZERS),
        *(lambda c=classifier: clone(c).fit(TABLE, Y).predict_proba(TABLE) for classifier in CLASSIFIERS),
        lambda: clone(encoder).fit(np.array(IDS, dtype=object)[:, None]),
        lambda: TextEmbedder(n_components=4).fit_transform(TEXTS),
    ]


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the memory of the process from /proc")
def test_a_thousand_fits_leave_nothing_behind():
    fits = _fits()
    assert N_CYCLES * len(fits) >= 1_000
    rows = []
    for n in range(N_CYCLES + 1):
        if n % EVERY == 0:
            gc.collect()
            n_files, n_threads = len(os.listdir("/proc/self/fd")), threading.active_count()
            rows.append((n * len(fits), _resident(), len(gc.get_objects()), n_files, n_threads))
        for fit in fits:
            fit()
    told = "\n".join(
        f"{n:5d} fits {resident / MEGABYTE:8.1f} MB {objects:8d} objects {files} files {threads} threads"
        for n, resident, objects, files, threads in rows
    )
    n, resident, objects, files, threads = np.array(rows[N_WARM_UP // EVERY :]).T
    slope = np.polyfit(n, resident, 1)[0]
    print(f"{slope:.0f} bytes per fit\n{told}")  # shown with -s
    assert resident[-1] - resident[0] < TOLERATED_GROWTH, told
    assert slope < TOLERATED_SLOPE, told
    # Their number goes up and down, as caches of weak references are cleared now and then.
    half = len(objects) // 2
    assert objects[half:].max() - objects[:half].max() < TOLERATED_OBJECTS, told
    assert files[-1] == files[0], told
    assert threads[-1] == threads[0], told
