"""Tables, labels and weights of any kind: click probabilities, or an error that helps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from strategies import TABLE_CONTAINERS, cases, columns, odd_arrays, odd_tables, outcome, plain_table, run, state_of

from semid import ctr
from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
)

_SMALL = {"embedding_dim": 2, "max_iter": 1, "random_state": 0}
CLASSIFIERS = [
    AutoIntClassifier(hidden_layer_sizes=(4,), attention_dim=2, n_attention_layers=1, **_SMALL),
    DCNv2Classifier(hidden_layer_sizes=(4,), n_cross_layers=1, **_SMALL),
    DeepFMClassifier(hidden_layer_sizes=(4,), **_SMALL),
    DeepIMClassifier(hidden_layer_sizes=(4,), **_SMALL),
    FactorizationMachineClassifier(**_SMALL),
    MLPCTRClassifier(hidden_layer_sizes=(4,), min_frequency=2, **_SMALL),
    DINClassifier(hidden_layer_sizes=(4,), **_SMALL),
]
N_ROWS = 9
ORDINARY = plain_table(N_ROWS, np.random.default_rng(0))
Y = np.arange(N_ROWS) % 2

every_classifier = pytest.mark.parametrize("classifier", CLASSIFIERS, ids=lambda classifier: type(classifier).__name__)


def check_probabilities(probabilities, n_rows):
    assert probabilities.shape == (n_rows, 2) and probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def n_rows_of(X):
    """The number of rows, None for what has none."""
    if hasattr(X, "shape"):
        return X.shape[0] if X.shape else None
    return len(X) if hasattr(X, "__len__") else None


def test_every_click_model_is_tried():
    assert {type(classifier).__name__ for classifier in CLASSIFIERS} == {
        name for name in ctr.__all__ if name.endswith("Classifier")
    }


@cases(quick=2, long=80)
@every_classifier
def test_a_fit_ends_in_probabilities_or_in_an_error_that_helps(classifier, profile):
    @given(odd_tables())
    def case(X):
        estimator = clone(classifier)
        n_rows = n_rows_of(X)
        y = np.arange(N_ROWS if n_rows is None else n_rows) % 2
        fitted, error = outcome(estimator.fit, X, y)
        if error is not None:
            assert not [name for name in vars(estimator) if name.endswith("_")]
            return
        probabilities = outcome(fitted.predict_proba, X).value
        check_probabilities(probabilities, len(y))
        assert set(fitted.predict(X)) <= {0, 1}
        outcome(fitted.partial_fit, X, y)
        check_probabilities(fitted.predict_proba(X), len(y))

    run(profile, case, repr(classifier))


@cases(quick=2, long=30)
@every_classifier
def test_an_equal_table_gets_equal_probabilities_however_it_is_held(classifier, profile):
    @given(st.sampled_from(sorted(TABLE_CONTAINERS)), st.integers(0, 99))
    def case(kind, seed):
        table = plain_table(N_ROWS, np.random.default_rng(seed))
        held = TABLE_CONTAINERS[kind](table)
        expected = clone(classifier).fit(table, Y)
        fitted = outcome(clone(classifier).fit, held, Y).value
        for container in (table, held):
            np.testing.assert_array_equal(fitted.predict_proba(container), expected.predict_proba(container))
        np.testing.assert_array_equal(expected.predict_proba(held), expected.predict_proba(table))

    run(profile, case, repr(classifier))


@cases(quick=2, long=40)
@every_classifier
def test_what_is_passed_to_predict_leaves_a_fitted_model_as_it_is(classifier, profile):
    fitted = clone(classifier).fit(ORDINARY, Y)
    probabilities, state = fitted.predict_proba(ORDINARY), state_of(fitted)

    @given(odd_tables(), st.sampled_from(list(ORDINARY)), columns(N_ROWS))
    def case(X, name, column):
        for table in (X, ORDINARY.assign(**{name: column[1]})):
            others = outcome(fitted.predict_proba, table).value
            if others is not None:
                check_probabilities(others, len(others))
            outcome(fitted.representation, table)
        assert state_of(fitted) == state
        np.testing.assert_array_equal(fitted.predict_proba(ORDINARY), probabilities)

    run(profile, case, repr(classifier))


@cases(quick=6, long=200)
def test_labels_of_any_kind_are_learned_or_refused(profile):
    @given(st.one_of(columns(N_ROWS).map(lambda drawn: drawn[1]), odd_arrays()), st.booleans())
    def case(y, in_series):
        classifier = clone(CLASSIFIERS[4])
        labels = pd.Series(y) if in_series and len(getattr(y, "shape", ())) == 1 else y
        fitted, error = outcome(classifier.fit, ORDINARY, labels)
        if error is None:
            assert set(fitted.predict(ORDINARY)) <= set(fitted.classes_)
            check_probabilities(fitted.predict_proba(ORDINARY), N_ROWS)
        outcome(clone(CLASSIFIERS[4]).partial_fit, ORDINARY, labels, classes=[0, 1])
        outcome(clone(CLASSIFIERS[4]).partial_fit, ORDINARY, Y, classes=labels)

    run(profile, case)


@cases(quick=6, long=150)
def test_weights_of_any_kind_are_used_or_refused(profile):
    @given(st.one_of(columns(N_ROWS).map(lambda drawn: drawn[1]), odd_arrays()))
    def case(weights):
        fitted = clone(CLASSIFIERS[4]).fit(ORDINARY, Y)
        state = state_of(fitted)
        if outcome(fitted.fit, ORDINARY, Y, sample_weight=weights).error is not None:
            assert state_of(fitted) == state
        check_probabilities(fitted.predict_proba(ORDINARY), N_ROWS)
        eval_set = (ORDINARY, Y, weights)
        outcome(clone(CLASSIFIERS[4]).set_params(validation=0.1).fit, ORDINARY, Y, eval_set=eval_set)

    run(profile, case)


@cases(quick=6, long=150)
def test_columns_may_be_named_in_any_way_or_are_refused(profile):
    """``categorical_features`` and the like, of any kind."""
    values = st.one_of(
        odd_arrays(), st.lists(st.sampled_from(["user_id", "price", 0, -1, 7, 1.0, None, True, ("a",)]), max_size=5)
    )
    parameters = st.sampled_from(["categorical_features", "code_features", "vector_features", "validation"])

    @given(parameters, values)
    def case(parameter, value):
        fitted, error = outcome(clone(CLASSIFIERS[4]).set_params(**{parameter: value}).fit, ORDINARY, Y)
        if error is None:
            check_probabilities(fitted.predict_proba(ORDINARY), N_ROWS)
        outcome(clone(CLASSIFIERS[4]).fit(ORDINARY, Y).representation, ORDINARY, columns=value)

    run(profile, case)
