import pickle
import warnings

import joblib
import pytest
from sklearn.base import clone

import semid.base._versioned
from semid.exceptions import VersionWarning
from semid.tokenizers import ResidualKMeansTokenizer


@pytest.fixture
def estimators(tokenizer, encoder, classifier, clicks):
    X = clicks[["user_id", "item_id"]]
    return [encoder.fit(clicks[["item_id"]]), encoder.tokenizer_, classifier.fit(X[:200], clicks["click"][:200])]


def test_pickles_of_this_version_load_in_silence(estimators):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for estimator in estimators:
            loaded = pickle.loads(pickle.dumps(estimator))
            assert loaded.__getstate__().keys() == estimator.__getstate__().keys()


def test_pickles_of_another_version_load_with_a_warning(estimators, monkeypatch):
    for estimator in estimators:
        monkeypatch.setattr(semid.base._versioned, "__version__", "0.0.7")
        pickled = pickle.dumps(estimator)
        monkeypatch.undo()
        with pytest.warns(VersionWarning, match=r"was pickled by semid 0\.0\.7, and this is .*semid\.io\.save"):
            assert type(pickle.loads(pickled)) is type(estimator)


def test_what_a_cache_keeps_is_that_of_one_version(monkeypatch):
    tokenizer = ResidualKMeansTokenizer(random_state=0)
    before = joblib.hash(tokenizer)
    assert joblib.hash(clone(tokenizer)) == before
    monkeypatch.setattr(semid.base._versioned, "__version__", "0.0.7")
    assert joblib.hash(tokenizer) != before


def test_pickles_find_modules_under_their_names_of_0_1_0(estimators):
    for estimator in estimators:
        pickled = pickle.dumps(estimator, protocol=2)  # in which names are lines
        assert b"semid.base._live_module" in pickled
        former = pickled.replace(b"semid.base._live_module", b"semid._state")
        assert type(pickle.loads(former)) is type(estimator)
