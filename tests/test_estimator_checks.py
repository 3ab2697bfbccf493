"""scikit-learn's own contract, for every public estimator, with no expected failure."""

import numpy as np
import pytest
import torch
from conftest import SMALL_TOKENIZERS, UNIQUE_TOKENIZERS
from sklearn.utils.estimator_checks import estimator_checks_generator

import semid
from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
)
from semid.ctr._base import BaseCTRClassifier
from semid.embedders import CoClickEmbedder
from semid.features import ClickHistory, HistoryEncoder, ItemTable, PrefixNGramEncoder, SemanticIDEncoder
from semid.recommend import NextItemRecommender
from semid.tokenizers import ResidualKMeansTokenizer

_SMALL = {"embedding_dim": 4, "max_iter": 20, "random_state": 0}
CLASSIFIERS = [
    AutoIntClassifier(hidden_layer_sizes=(16,), attention_dim=4, n_attention_layers=1, **_SMALL),
    DCNv2Classifier(hidden_layer_sizes=(16,), n_cross_layers=2, **_SMALL),
    DeepFMClassifier(hidden_layer_sizes=(16,), **_SMALL),
    DeepIMClassifier(hidden_layer_sizes=(16,), **_SMALL),
    DINClassifier(hidden_layer_sizes=(16,), **_SMALL),
    FactorizationMachineClassifier(**_SMALL),
    MLPCTRClassifier(hidden_layer_sizes=(16,), **_SMALL),
]
ENCODER = SemanticIDEncoder(
    ResidualKMeansTokenizer(codebook_size=8, random_state=0), items=ItemTable(np.arange(20), np.eye(20))
)
HISTORIES = HistoryEncoder(ClickHistory([0, 1, 2], [0, 1, 1]), user=0, item=0, time=None)
RECOMMENDER = NextItemRecommender(user=0, item=0, time=None, embedding_dim=4, n_layers=1, max_iter=2, random_state=0)
CO_CLICKS = CoClickEmbedder(4, hidden_dim=8, max_iter=2, random_state=0)
OTHERS = [ENCODER, CO_CLICKS, HISTORIES, PrefixNGramEncoder(), RECOMMENDER]
ESTIMATORS = [*SMALL_TOKENIZERS, *UNIQUE_TOKENIZERS, *CLASSIFIERS, *OTHERS]
READS_TEXT = {"TextEmbedder"}  # scikit-learn has no checks of those, as of its own vectorizers

# These compare to seven digits, and to nine behind the point: float32 cannot.
FLOAT64_CHECKS = ("check_sample_weight_equivalence_on_dense_data", "check_methods_sample_order_invariance")

# These subtract outputs, and histories are tuples: tests/features/test_history_encoder.py compares them.
SUBTRACTING_CHECKS = (
    "check_pipeline_consistency",
    "check_estimators_pickle",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_fit_idempotent",
)

# What a user is told about data such as these (more codes than items, ids that are not in the table, more clusters than
# distinct values) is tested elsewhere; here it would end a check.
EXPECTED_WARNINGS = [
    "ignore:codebook_size=.* is more than",
    "ignore:n_codebooks=.* is more than",
    "ignore:.* of the rows of column",
    "ignore:.*whole numbers as floats",
    "ignore:codebook .* has collapsed",
    "ignore:y is not read, and every row of X counts as a click",  # the checks pass labels to a recommender
]


def _cases():
    for estimator in ESTIMATORS:
        for instance, check in estimator_checks_generator(estimator):
            if estimator is HISTORIES and check.func.__name__ in SUBTRACTING_CHECKS:
                continue
            yield pytest.param(instance, check, id=f"{type(estimator).__name__}-{check.func.__name__}")


def test_every_public_estimator_is_checked():
    public = {name for name in semid.__all__ if hasattr(getattr(semid, name), "fit")}
    assert public - READS_TEXT == {type(estimator).__name__ for estimator in ESTIMATORS}


@pytest.mark.parametrize(("estimator", "check"), list(_cases()))
@pytest.mark.filterwarnings(*EXPECTED_WARNINGS)
def test_scikit_learn_check(estimator, check, monkeypatch):
    if check.func.__name__ in FLOAT64_CHECKS:
        monkeypatch.setattr(BaseCTRClassifier, "_dtype", torch.float64)
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator", [*(type(t)(random_state=0) for t in SMALL_TOKENIZERS), *(type(c)() for c in CLASSIFIERS)], ids=str
)
@pytest.mark.filterwarnings(*EXPECTED_WARNINGS)
def test_scikit_learn_checks_with_default_parameters(estimator, monkeypatch):
    for instance, check in estimator_checks_generator(estimator):
        with monkeypatch.context() as patch:
            if check.func.__name__ in FLOAT64_CHECKS:
                patch.setattr(BaseCTRClassifier, "_dtype", torch.float64)
            check(instance)
