"""Fits of recommenders that end early: killed, interrupted, refused."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from semid import NextItemRecommender
from semid.datasets import make_clicks, make_items
from semid.engine._sequence_training import SequenceNet

N_EPOCHS = 4


class Killed(BaseException):
    """Takes the place of a kill inside this process."""


@pytest.fixture(scope="module")
def log():
    frame = make_clicks(make_items(n_items=60, random_state=0), n_impressions=1_500, n_users=40, random_state=0).frame
    return frame[frame["click"] == 1]


def _recommender(**parameters):
    small = {"embedding_dim": 8, "n_layers": 1, "max_iter": N_EPOCHS, "batch_size": 8, "random_state": 0}
    return NextItemRecommender(**small | parameters)


def _stop_in(monkeypatch, step, error):
    """Let the training step of this number raise, once."""
    original, steps = SequenceNet.train_step, iter(range(10**6))

    def train_step(self, batch, **fit_params):
        if next(steps) == step:
            raise error
        return original(self, batch, **fit_params)

    monkeypatch.setattr(SequenceNet, "train_step", train_step)


@pytest.mark.parametrize("parameters", [{}, {"validation": None}, {"n_iter_no_change": 1, "learning_rate": 0.3}])
@pytest.mark.parametrize("step", [3, 12])
def test_a_killed_fit_goes_on_to_the_same_bits(parameters, step, log, tmp_path, monkeypatch):
    whole = _recommender(**parameters).fit(log)
    recommender = _recommender(**parameters, checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        _stop_in(patch, step, Killed())
        with pytest.raises(Killed):
            clone(recommender).fit(log)
    recommender.fit(log)
    assert list(tmp_path.iterdir()) == []
    for name, array in whole.state_.items():
        np.testing.assert_array_equal(recommender.state_[name], array)
    for name, values in whole.history_.items():
        np.testing.assert_array_equal(recommender.history_[name], values)


def test_a_checkpoint_of_another_fit_is_refused(log, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        _stop_in(patch, 12, Killed())
        with pytest.raises(Killed):
            _recommender(checkpoint_dir=tmp_path).fit(log)
    with pytest.raises(ValueError, match=r"checkpoint of another fit, .* differs in learning_rate"):
        _recommender(checkpoint_dir=tmp_path, learning_rate=0.01).fit(log)


def test_an_interrupted_fit_keeps_what_complete_epochs_have_learned(log, monkeypatch):
    with monkeypatch.context() as patch:
        _stop_in(patch, 13, KeyboardInterrupt())  # of 5 or 6 an epoch
        recommender = _recommender(validation=None)
        with pytest.warns(ConvergenceWarning, match="after 2 of 4 epochs"):
            recommender.fit(log)
    assert recommender.n_iter_ == 2
    with monkeypatch.context() as patch:
        _stop_in(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            recommender.fit(log)
    assert recommender.n_iter_ == 2


def test_a_fit_that_diverges_says_so(log):
    with pytest.raises(ValueError, match=r"training diverged in epoch 1: the loss is .* Pass a smaller learning_rate"):
        _recommender(learning_rate=1e30).fit(log)
