"""The parameters that all click models share: how many, what left, what stands in its place, and what those that stayed
do."""

import pickle
from inspect import signature
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

import semid.ctr
from semid.base._removed import renewed
from semid.ctr import AutoIntClassifier, DCNv2Classifier, DeepFMClassifier, _fitting
from semid.ctr._holding_out import split_impressions

FIELDS = ["user_id", "item_id", "hour"]
MODELS = [getattr(semid.ctr, name) for name in semid.ctr.__all__ if name.endswith("Classifier")]
REMOVED = [(model, name) for model in MODELS for name in model._removed_parameters]
# Those of 0.1.0 that mattered to what comes after.
FORMER = {"early_stopping": "auto", "validation_fraction": 0.1, "embedding_l2": 1e-4, "weight_averaging": 0.99}


@pytest.mark.parametrize("model", MODELS)
def test_there_are_few_enough_to_know_them_all(model):
    assert len(signature(model).parameters) <= 26
    assert set(signature(model).parameters) == set(model().get_params())


@pytest.mark.parametrize(("model", "name"), REMOVED)
def test_what_left_says_what_to_write(model, name):
    said = f"{model.__name__} has no parameter {name} any more\\. [A-Za-z].*\\.$"
    with pytest.raises(TypeError, match=said):
        model(**{name: 1})
    with pytest.raises(ValueError, match=said):
        model().set_params(**{name: 1})
    assert name not in model().get_params()


def test_the_messages_are_those_of_the_model():
    with pytest.raises(
        TypeError, match=r"no parameter early_stopping any more\. Pass validation=None for early_stopping=F"
    ):
        DeepFMClassifier(early_stopping=False)
    with pytest.raises(TypeError, match=r"no parameter n_heads any more\. There are two."):
        AutoIntClassifier(n_heads=4)
    with pytest.raises(TypeError, match=r"no parameter structure any more\. The MLP is beside the cross network."):
        DCNv2Classifier(structure="stacked")
    with pytest.raises(TypeError, match="unexpected keyword argument 'structure'"):
        DeepFMClassifier(structure="stacked")


@pytest.mark.parametrize(
    ("former", "validation"),
    [
        ({}, "auto"),
        ({"validation_fraction": "auto"}, "auto"),
        ({"early_stopping": True}, 0.1),
        ({"early_stopping": True, "validation_fraction": "auto"}, 0.1),
        ({"early_stopping": True, "validation_fraction": 0.3}, 0.3),
        ({"validation_fraction": 0.3}, 0.3),
        ({"early_stopping": False, "validation_fraction": 0.3}, None),
        ({"early_stopping": False, "validation": "last"}, None),
        ({"validation": "random"}, "auto"),
        ({"validation": "last", "validation_fraction": 0.3}, "last"),
    ],
)
def test_what_a_former_model_held_out_is_what_it_holds_out_now(former, validation):
    model = renewed(DeepFMClassifier, FORMER | former)
    assert model == {"validation": validation, "forgetting": 1.0}


@pytest.mark.parametrize(("pace", "forgetting"), [("auto", 1.0), (0.9, 1.0), (0.45, 0.5), (0, 0.0)])
def test_the_pace_of_a_former_model_is_kept(pace, forgetting):
    assert renewed(DeepFMClassifier, FORMER | {"embedding_forgetting": pace})["forgetting"] == forgetting


def test_a_pickle_of_a_former_model_predicts_and_can_be_fitted_again(classifier, clicks):
    X, y = clicks[FIELDS], clicks["click"]
    expected = classifier.fit(X, y).predict_proba(X)
    former = clone(classifier).fit(X, y)
    del former.validation, former.forgetting
    vars(former).update(FORMER, hash_buckets=None, fusion_scope="codes", early_stopping=False)
    former._columns_as |= {"hash_buckets": None, "fusion_scope": "codes"}
    loaded = pickle.loads(pickle.dumps(former))
    assert loaded.get_params() == classifier.get_params() | {"validation": None}
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    np.testing.assert_array_equal(
        loaded.partial_fit(X, y).predict_proba(X), classifier.partial_fit(X, y).predict_proba(X)
    )
    assert "valid_auc" not in loaded.fit(X, y).history_


@pytest.mark.parametrize(
    ("validation", "n_rows", "n_held_out"),
    [
        ("auto", 1000, None),
        ("auto", 1001, 100),
        ("last", 50, 5),  # 4 of 45, and at least one of 5
        (0.3, 50, 16),  # 14 of 45 and 2 of 5
        (0.3, 2000, 600),
        (None, 2000, None),
    ],
)
def test_validation_says_what_is_held_out(validation, n_rows, n_held_out):
    y = (np.arange(n_rows) % 10 == 0).astype(int)
    model = SimpleNamespace(validation=validation)
    impressions = SimpleNamespace(part=lambda rows: np.arange(n_rows)[rows])
    train, held_out = split_impressions(model, impressions, y, None, np.random.RandomState(0))
    if n_held_out is None:
        assert (train, held_out) == (impressions, None)
        return
    assert sorted([*train, *held_out]) == list(range(n_rows))
    assert len(held_out) == n_held_out
    for label in (0, 1):
        of_label = np.flatnonzero(y == label)
        last = of_label[len(of_label) - (y[held_out] == label).sum() :]
        assert (held_out[y[held_out] == label].tolist() == last.tolist()) == (validation == "last")


def test_no_more_than_five_thousand_of_the_rarer_class_are_held_out():
    y = np.repeat([0, 1], [300_000, 100_000])
    impressions = SimpleNamespace(part=lambda rows: rows)
    _, held_out = split_impressions(SimpleNamespace(validation="auto"), impressions, y, None, np.random.RandomState(0))
    assert np.bincount(y[held_out]).tolist() == [15_000, 5_000]


@pytest.mark.parametrize("forgetting", [0.0, 0.5, 2.0])
def test_forgetting_is_a_factor_of_the_pace_of_embeddings_and_network(classifier, clicks, forgetting, monkeypatch):
    seen, train = [], _fitting.train_click_model

    def noted(module, train_part, held_out, options, *args):
        seen.append((options.embedding_forgetting, options.network_forgetting))
        return train(module, train_part, held_out, options, *args)

    monkeypatch.setattr(_fitting, "train_click_model", noted)
    classifier.set_params(forgetting=forgetting).fit(clicks[FIELDS], clicks["click"])
    classifier.partial_fit(clicks[FIELDS], clicks["click"])
    assert seen == [(0.9 * forgetting, 0.6 * forgetting), (0.0, 0.0)]


def test_an_epoch_that_forgets_nothing_is_a_partial_fit(classifier, clicks):
    X, y = clicks[FIELDS], clicks["click"]
    once = clone(classifier).set_params(forgetting=0.0, validation=None, max_iter=1).fit(X, y)
    np.testing.assert_array_equal(once.predict_proba(X), classifier.partial_fit(X, y).predict_proba(X))


def test_what_forgets_more_is_closer_to_zero(classifier, clicks):
    X, y = clicks[FIELDS], clicks["click"]
    sizes = []
    for forgetting in (0.0, 1.0, 3.0):
        state = clone(classifier).set_params(forgetting=forgetting, max_iter=3).fit(X, y).state_
        sizes.append([np.square(state[name][..., :4]).mean() for name in ("embedding.table", "body.mlp.0.weight")])
    assert (np.diff(sizes, axis=0) < 0).all()
