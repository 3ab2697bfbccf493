"""One fitted estimator in many threads at once: what one thread gets."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from strategies import plain_table
from test_click_models import CLASSIFIERS
from test_tokenizers import TOKENIZERS

from semid.embedders import TextEmbedder
from semid.features import ItemTable, PrefixNGramEncoder, SemanticIDEncoder
from semid.tokenizers import ResidualKMeansTokenizer

N_THREADS, N_ROUNDS = 8, 5
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(40, 5)).astype(np.float32)
TABLE, Y = plain_table(40, RNG), np.arange(40) % 2
IDS = [f"item {n}" for n in range(40)]
LOG = pd.DataFrame({"item_id": RNG.permutation(IDS), "price": RNG.normal(size=40)})
TEXTS = [f"{colour} {thing}" for colour in ("red", "blue", "green", "grey") for thing in ("mug", "pan", "lamp", "bowl")]


def _pipeline(classifier):
    encoder = SemanticIDEncoder(ResidualKMeansTokenizer(codebook_size=3, random_state=0), ItemTable(IDS, EMBEDDINGS))
    columns = ColumnTransformer([("codes", encoder, ["item_id"])], remainder="passthrough")
    return make_pipeline(columns.set_output(transform="pandas"), clone(classifier))


CASES = [
    *((tokenizer, "transform", (EMBEDDINGS,)) for tokenizer in TOKENIZERS),
    *((classifier, "predict_proba", (TABLE, Y)) for classifier in CLASSIFIERS),
    (_pipeline(CLASSIFIERS[0]), "predict_proba", (LOG, Y)),
    (TextEmbedder(n_components=4), "transform", (TEXTS,)),
    (PrefixNGramEncoder(), "transform", (TABLE[["item_id_code0", "item_id_code1"]],)),
]


@pytest.mark.parametrize(("estimator", "method", "data"), CASES, ids=lambda value: type(value).__name__)
def test_eight_threads_that_begin_at_once_get_what_one_gets(estimator, method, data):
    fitted = clone(estimator).fit(*data)
    expected = getattr(fitted, method)(data[0])
    pickled = pickle.dumps(fitted)
    with ThreadPoolExecutor(N_THREADS) as threads:
        for _ in range(N_ROUNDS):
            # A restored estimator has no torch module yet: all threads ask for it at once.
            restored, barrier = pickle.loads(pickled), Barrier(N_THREADS)

            def answer(_, restored=restored, barrier=barrier):
                barrier.wait()
                return getattr(restored, method)(data[0])

            for answered in threads.map(answer, range(N_THREADS)):
                np.testing.assert_array_equal(answered, expected)


def test_threads_with_rows_of_their_own_do_not_get_those_of_others():
    classifier = clone(CLASSIFIERS[2]).fit(TABLE, Y)
    expected = classifier.predict_proba(TABLE)
    restored, barrier = pickle.loads(pickle.dumps(classifier)), Barrier(N_THREADS)

    def answer(first):
        barrier.wait()
        return [restored.predict_proba(TABLE[first:]) for _ in range(5)]

    with ThreadPoolExecutor(N_THREADS) as threads:
        for first, answers in enumerate(threads.map(answer, range(N_THREADS))):
            for answered in answers:
                np.testing.assert_allclose(answered, expected[first:], atol=1e-6)
