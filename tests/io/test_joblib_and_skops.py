"""The other two ways to keep an estimator: joblib, which pickles, and skops, which asks whom to trust."""

import joblib
import numpy as np
import pytest
from make_corpus import answer, make_estimators, make_inputs, question
from sklearn.base import clone

from semid.ctr import DeepFMClassifier
from semid.tokenizers import MixtureOfCodesTokenizer, ResidualKMeansTokenizer, UniqueTokenizer

_STATE = "semid.base._live_module.LiveModule"
_KMEANS = "semid.tokenizers._residual_kmeans.ResidualKMeansTokenizer"
# What `skops.io.load` is to be told to trust: classes of this package and nothing else.
TRUSTED = {
    "RQVAETokenizer": [_STATE, "semid.tokenizers._rqvae.RQVAETokenizer"],
    "UniqueTokenizer": [
        _STATE,
        _KMEANS,
        "semid.tokenizers._placement_report.PlacementReport",
        "semid.tokenizers._unique.UniqueTokenizer",
    ],
    "SemanticIDEncoder": [
        _STATE,
        "semid.features._item_table.ItemTable",
        "semid.features._semantic_id_encoder.SemanticIDEncoder",
        _KMEANS,
    ],
    "DeepFMClassifier": [
        _STATE,
        "semid.ctr._modules.Fields",
        "semid.ctr._deepfm.DeepFMClassifier",
        "semid.ctr._encoding.ImpressionEncoder",
        "semid.nn._fields.FieldShapes",
    ],
}


@pytest.fixture(scope="module")
def inputs():
    return make_inputs()


@pytest.fixture(scope="module")
def estimators(inputs):
    return make_estimators(inputs)


@pytest.fixture(scope="module")
def large(items, clicks):
    """Estimators of the size that they have in use, hardly trained."""
    X, y = clicks.drop(columns=["click", "timestamp"]), clicks["click"]
    kmeans = ResidualKMeansTokenizer(codebook_size=256, max_iter=1, random_state=0)
    return {
        "MixtureOfCodesTokenizer": MixtureOfCodesTokenizer(max_iter=1, random_state=0).fit(items.embeddings),
        "ResidualKMeansTokenizer": kmeans.fit(items.embeddings),
        "DeepFMClassifier": DeepFMClassifier(max_iter=1, random_state=0).fit(X, y),
        "UniqueTokenizer": UniqueTokenizer(clone(kmeans)).fit(items.embeddings),
    }


def _table(estimator, items, clicks):
    return clicks[list(estimator.feature_names_in_)] if hasattr(estimator, "predict_proba") else items.embeddings


def _n_bytes_of_weights(estimator):
    if isinstance(estimator, UniqueTokenizer):
        arrays = (estimator.hashes_, estimator.codes_, estimator._taken, estimator.embeddings_)
        placed = sum(array.nbytes for array in arrays)
        return placed + _n_bytes_of_weights(estimator.tokenizer_)
    return sum(array.nbytes for array in estimator.state_.values())


def test_a_pickle_is_hardly_larger_than_its_weights(large, items, clicks, tmp_path):
    for name, estimator in large.items():
        answer(estimator, _table(estimator, items, clicks))  # builds the live module
        joblib.dump(estimator, tmp_path / name)
        assert (tmp_path / name).stat().st_size <= 1.3 * _n_bytes_of_weights(estimator), name


def test_memory_maps_are_read_when_needed_and_give_equal_codes(large, items, clicks, tmp_path):
    for name, estimator in large.items():
        X = _table(estimator, items, clicks)
        joblib.dump(estimator, tmp_path / name)
        mapped = joblib.load(tmp_path / name, mmap_mode="r")
        inner = getattr(mapped, "tokenizer_", mapped)
        sizes = {array.size: array for array in inner.state_.values()}
        assert isinstance(sizes[max(sizes)], np.memmap), name
        assert not sizes[max(sizes)].flags.writeable
        np.testing.assert_array_equal(answer(mapped, X), answer(estimator, X), err_msg=name)


def test_pickles_of_every_estimator_give_equal_answers(estimators, inputs, tmp_path):
    for name, estimator in estimators.items():
        joblib.dump(estimator, tmp_path / name)
        X = question(name, inputs)
        for mmap_mode in (None, "r"):
            restored = joblib.load(tmp_path / name, mmap_mode=mmap_mode)
            np.testing.assert_array_equal(answer(restored, X), answer(estimator, X), err_msg=name)


def test_skops_asks_to_trust_classes_of_this_package_only(estimators, inputs, tmp_path):
    skops_io = pytest.importorskip("skops.io")
    for name, estimator in estimators.items():
        path = tmp_path / name
        skops_io.dump(estimator, path)
        untrusted = skops_io.get_untrusted_types(file=path)
        # Of scikit-learn up to 1.8, skops does not know a list of its ColumnTransformer.
        assert all(kind.startswith("semid.") or kind.endswith("._RemainderColsList") for kind in untrusted), name
        X = question(name, inputs)
        np.testing.assert_array_equal(
            answer(skops_io.load(path, trusted=untrusted), X), answer(estimator, X), err_msg=name
        )


@pytest.mark.parametrize("name", TRUSTED)
def test_skops_needs_to_trust_exactly_these(name, estimators, tmp_path):
    skops_io = pytest.importorskip("skops.io")
    skops_io.dump(estimators[name], tmp_path / name)
    assert sorted(skops_io.get_untrusted_types(file=tmp_path / name)) == sorted(TRUSTED[name])
    with pytest.raises(TypeError, match="semid"):
        skops_io.load(tmp_path / name, trusted=TRUSTED[name][:-1])
    skops_io.load(tmp_path / name, trusted=TRUSTED[name])
