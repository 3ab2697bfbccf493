"""Parameters that a class no longer has, as somebody passes them and as old files hold them."""

import inspect
import pickle
from typing import ClassVar

import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted, validate_data

from semid.base._removed import defaults, renewed
from semid.base._versioned import Versioned


class Smoother(Versioned, TransformerMixin, BaseEstimator):
    """What `Smoother` of a version before was, with ``validation`` in the place of ``early_stopping`` and a share."""

    _removed_parameters: ClassVar = {
        "early_stopping": "Use validation=None in the place of early_stopping=False.",
        "speed": "It had no effect: leave it out.",
    }

    def __init__(self, width=1, *, validation=None):
        self.width = width
        self.validation = validation

    @classmethod
    def _in_place_of_removed(cls, former):
        return {"validation": 0.1 if former.get("early_stopping") else None}

    def fit(self, X, y=None):
        self._validate_X(X, reset=True)
        return self

    def transform(self, X):
        return self._validate_X(X, reset=False)

    def _validate_X(self, X, reset):
        if not reset:
            check_is_fitted(self)
        return validate_data(self, X, reset=reset)


class Narrower(Smoother):
    _removed_parameters: ClassVar = {**Smoother._removed_parameters, "depth": "Use width."}


class Elder(Versioned, BaseEstimator):
    """A class that has lost nothing."""

    def __init__(self, width=1):
        self.width = width


def test_the_constructor_says_what_to_write():
    said = "Smoother has no parameter early_stopping any more. Use validation=None in the place of early_stopping=False"
    with pytest.raises(TypeError, match=said):
        Smoother(3, early_stopping=False)
    with pytest.raises(TypeError, match=r"Narrower has no parameter depth any more\. Use width\."):
        Narrower(depth=1)


def test_parameters_that_never_were_are_those_of_python():
    with pytest.raises(TypeError, match="unexpected keyword argument 'earl'"):
        Smoother(earl=1)
    with pytest.raises(ValueError, match="Invalid parameter 'earl'"):
        Smoother().set_params(earl=1)


def test_set_params_says_it_from_outside_as_well():
    with pytest.raises(ValueError, match=r"Smoother has no parameter speed any more\. It had no effect"):
        Smoother().set_params(width=2, speed=3)
    with pytest.raises(ValueError, match="Smoother has no parameter speed any more"):
        make_pipeline(Smoother()).set_params(smoother__speed=1)
    search = GridSearchCV(Smoother(), {"speed": [1]}, scoring=lambda *_: 0.0, error_score="raise", cv=2)
    with pytest.raises(ValueError, match="Smoother has no parameter speed any more"):
        search.fit([[0.0], [1.0], [2.0], [3.0]])


def test_set_params_sets_the_others_and_returns_the_estimator():
    estimator = Smoother()
    assert estimator.set_params(width=5, validation=0.2) is estimator
    assert estimator.get_params() == {"width": 5, "validation": 0.2}
    assert clone(estimator).get_params() == estimator.get_params()


def test_the_signature_stays_that_of_the_constructor():
    for kind in (Smoother, Narrower):
        assert list(inspect.signature(kind).parameters) == ["width", "validation"]
        assert kind._get_param_names() == ["validation", "width"]
        assert defaults(kind) == {"width": 1, "validation": None}


def test_a_class_that_has_lost_nothing_keeps_its_constructor():
    assert not hasattr(Elder.__init__, "__wrapped__")
    assert Narrower.__init__ is Smoother.__init__  # wrapped once


def test_scikit_learn_sees_nothing_odd():
    check_estimator(Smoother())


def test_what_an_old_pickle_holds_is_what_it_is_called_today():
    estimator = Smoother(4)
    vars(estimator).update(early_stopping=True, speed=2, n_features_in_=7)
    del estimator.validation
    loaded = pickle.loads(pickle.dumps(estimator))
    assert vars(loaded) == {"width": 4, "validation": 0.1, "n_features_in_": 7}
    estimator.early_stopping = False
    assert pickle.loads(pickle.dumps(estimator)).validation is None


def test_a_parameter_that_a_pickle_lacks_has_its_default():
    estimator = Smoother(4)
    del estimator.validation
    assert pickle.loads(pickle.dumps(estimator)).get_params() == {"width": 4, "validation": None}


def test_attributes_of_today_are_renewed_into_themselves():
    attributes = {"width": 2, "validation": 0.3}
    assert renewed(Smoother, attributes) == attributes
    assert renewed(GridSearchCV, {"speed": 1}) == {"speed": 1}
