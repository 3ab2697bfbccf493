"""Fits that end early: what a kill costs, what Ctrl-C leaves, and what a folder is refused for."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from conftest import SMALL_TOKENIZERS
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, LRScheduler

from semid.ctr import DCNv2Classifier, DeepFMClassifier
from semid.datasets import make_clicks, make_items
from semid.engine._autoencoder_training import Training
from semid.engine._checkpoints import Checkpoint, as_plain, digest, plain_entries
from semid.engine._click_net import ClickNet
from semid.tokenizers import MixtureOfCodesTokenizer, RQVAETokenizer

FIELDS = ["user_id", "item_id", "hour"]
N_EPOCHS = 4
STEPS = {Training: "_train_step", ClickNet: "train_step"}
RQVAE = RQVAETokenizer(
    codebook_size=8, latent_dim=6, hidden_layer_sizes=(16,), max_iter=N_EPOCHS, batch_size=64, random_state=0
)
LEARNED = [
    clone(tokenizer).set_params(max_iter=N_EPOCHS, batch_size=64)
    for tokenizer in SMALL_TOKENIZERS
    if "checkpoint_dir" in tokenizer.get_params()
]
VARIANTS = [
    clone(RQVAE).set_params(codebook_update="gradient", assignment="sinkhorn"),
    clone(RQVAE).set_params(separation_weight=1.0, mixup=0.0),
    clone(RQVAE).set_params(validation=0.1, n_iter_no_change=2, learning_rate=0.02, max_iter=12),
    MixtureOfCodesTokenizer(
        3, 8, latent_dim=6, hidden_layer_sizes=(16,), max_iter=N_EPOCHS, batch_size=64, projection_dim=None,
        random_state=0,
    ),
]  # fmt: skip
SMALL = {"embedding_dim": 4, "hidden_layer_sizes": (8,), "max_iter": N_EPOCHS, "batch_size": 512, "random_state": 0}
CLASSIFIERS = [
    DeepFMClassifier(**SMALL),
    DeepFMClassifier(forgetting=0.0, validation=None, **SMALL),
    DeepFMClassifier(dropout=0.3, validation=None, **SMALL),
    DeepFMClassifier(callbacks=[LRScheduler("StepLR", step_size=3, gamma=0.3)], **SMALL),
    DeepFMClassifier(validation=0.1, n_iter_no_change=9, learning_rate=0.02, **SMALL),  # best in an early epoch
    DCNv2Classifier(validation=None, **SMALL),
]
ESTIMATORS = [*LEARNED, *VARIANTS, *CLASSIFIERS]


class Killed(BaseException):
    """Takes the place of a kill inside this process."""


@pytest.fixture
def data_of(items, clicks):
    """What each estimator is fitted on."""
    alignment = np.random.default_rng(0).standard_normal((300, 3))

    def data(estimator):
        if hasattr(estimator, "predict"):
            return {"X": clicks[FIELDS], "y": clicks["click"]}
        return {"X": items.embeddings, "alignment": alignment}

    return data


@contextmanager
def stopped_in_step(n, error=Killed):
    """Within it, the training raises in the place of its step n, counted from 0."""
    steps = iter(range(n))

    def stopping(function):
        def step(*args, **kwargs):
            if next(steps, None) is None:
                raise error
            return function(*args, **kwargs)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS.items():
            patch.setattr(owner, name, stopping(getattr(owner, name)))
        yield


def _killed_in_step(n, estimator, data, error=Killed):
    with stopped_in_step(n, error), pytest.raises(error):
        estimator.fit(**data)
    return estimator


def _assert_same(estimator, other, X):
    """To the last bit: what is predicted, the weights, and the history."""
    for name in ("transform", "predict_proba"):
        if hasattr(estimator, name):
            np.testing.assert_array_equal(getattr(estimator, name)(X), getattr(other, name)(X))
    for attribute in ("state_", "history_"):
        ours, theirs = getattr(estimator, attribute), getattr(other, attribute)
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    assert estimator.n_iter_ == other.n_iter_


def _steps_per_epoch(estimator):
    return 8 if hasattr(estimator, "predict") else 5


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: str(e)[:60])
def test_a_killed_fit_goes_on_to_the_same_result(estimator, data_of, tmp_path):
    data = data_of(estimator)
    whole = clone(estimator).fit(**data)
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path)
    first = 2 * _steps_per_epoch(estimator) + 2  # in the third epoch
    _killed_in_step(first, estimator, data)
    (file,) = tmp_path.iterdir()
    assert file.name == f"{type(estimator).__name__}.checkpoint.pt"
    _killed_in_step(_steps_per_epoch(estimator) + 3, clone(estimator), data)  # in the fourth
    resumed = clone(estimator).fit(**data)
    _assert_same(resumed, whole, data["X"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_only_the_epochs_that_are_missing_are_run(estimator, data_of, tmp_path):
    data, n = data_of(estimator), _steps_per_epoch(estimator)
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path)
    _killed_in_step(3 * n + 1, estimator, data)
    # One epoch of four, and where a part was held out a last one over all impressions.
    left = n if not (is_classifier(estimator) and estimator.validation) else 2 * n + 2
    with stopped_in_step(left):
        estimator.fit(**data)


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_a_fit_killed_before_its_first_epoch_starts_anew(estimator, data_of, tmp_path):
    data = data_of(estimator)
    whole = clone(estimator).fit(**data)
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path)
    _assert_same(_killed_in_step(2, estimator, data).fit(**data), whole, data["X"])


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0], CLASSIFIERS[-1]], ids=lambda e: str(e)[:40])
def test_a_fit_killed_after_its_last_epoch_has_nothing_left_to_do(estimator, data_of, tmp_path):
    data = data_of(estimator)
    whole = clone(estimator).fit(**data)
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoint, "finish", lambda self: (_ for _ in ()).throw(Killed))
        estimator.fit(**data)
    assert list(tmp_path.iterdir())
    _assert_same(estimator.fit(**data), whole, data["X"])


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0], CLASSIFIERS[1]], ids=lambda e: str(e)[:60])
def test_a_warm_start_goes_on_as_well(estimator, data_of, tmp_path):
    data, n = data_of(estimator), _steps_per_epoch(estimator)
    former = clone(estimator).set_params(warm_start=True).fit(**data)
    joblib.dump(former, tmp_path / "former.joblib")
    whole = former.fit(**data)
    folder = tmp_path / "checkpoints"
    interrupted = joblib.load(tmp_path / "former.joblib").set_params(checkpoint_dir=folder)
    _killed_in_step(2 * n + 1, interrupted, data)
    resumed = joblib.load(tmp_path / "former.joblib").set_params(checkpoint_dir=str(folder)).fit(**data)
    _assert_same(resumed, whole, data["X"])
    with pytest.raises(ValueError, match=r"checkpoint_dir must hold no checkpoint of another fit"):
        _killed_in_step(2 * n + 1, interrupted, data).set_params(warm_start=False).fit(**data)


# Run in a process of its own: fits what lies in a file, and may kill itself while its state is being written.
CHILD = """
import os, signal, sys
import joblib, torch
from sklearn.base import clone
torch.set_num_threads(1)
estimator, data = joblib.load(sys.argv[1])
n_saves = int(sys.argv[2])
save, n_saved = torch.save, 0
def dying_save(content, file):
    global n_saved
    n_saved += 1
    if n_saved == n_saves:
        file.write(b"half of it")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(content, file)
torch.save = dying_save
clone(estimator).set_params(checkpoint_dir=None, max_iter=1).fit(**data)  # what is slow once only is over then
sys.stdout.write("ready"); sys.stdout.flush()
estimator.fit(**data)
"""


def _child(path, n_saves=-1):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(path), str(n_saves)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout.read(5) == b"ready"
    return process


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_a_process_killed_while_it_writes_leaves_the_state_before(estimator, data_of, tmp_path):
    data, folder = data_of(estimator), tmp_path / "checkpoints"
    estimator = clone(estimator).set_params(checkpoint_dir=folder)
    joblib.dump((estimator, data), tmp_path / "fit.joblib")
    with _child(tmp_path / "fit.joblib", n_saves=3) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert (folder / f"{type(estimator).__name__}.checkpoint.part").read_bytes() == b"half of it"
    saved = torch.load(folder / f"{type(estimator).__name__}.checkpoint.pt", weights_only=True)["state"]
    n_epochs = len(saved["history"] if "history" in saved else saved["progress"]["records"])
    assert n_epochs == 2
    whole = clone(estimator).set_params(checkpoint_dir=None).fit(**data)
    _assert_same(estimator.fit(**data), whole, data["X"])
    assert not list(folder.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["tokenizer", "click model"])
def test_kill_9_at_twenty_random_moments_costs_nothing_but_time(kind, items, tmp_path):
    # Of some seconds: what a new process needs before its first epoch is to be a small part.
    if kind == "tokenizer":
        estimator, data = RQVAETokenizer(3, 64, max_iter=30, random_state=0), {"X": make_items(4000).embeddings}
    else:
        clicks = make_clicks(items, n_impressions=40_000, n_users=1000, random_state=0).frame
        estimator = DeepFMClassifier(max_iter=12, validation=None, random_state=0)
        data = {"X": clicks[FIELDS], "y": clicks["click"]}
    clone(estimator).set_params(max_iter=1).fit(**data)  # what is slow once only is over then, as in the child
    start = time.perf_counter()
    whole = clone(estimator).fit(**data)
    duration = time.perf_counter() - start
    rng, n_resumed = np.random.default_rng(0), 0
    for trial in range(20):
        folder = tmp_path / str(trial)
        estimator.set_params(checkpoint_dir=folder)
        joblib.dump((estimator, data), tmp_path / "fit.joblib")
        with _child(tmp_path / "fit.joblib") as process:
            time.sleep(rng.uniform(0, 1.1 * duration))
            process.kill()
        n_resumed += any(folder.glob("*.pt"))
        _assert_same(clone(estimator).fit(**data), whole, data["X"])
        assert not list(folder.iterdir())
    assert n_resumed >= 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.02}, r"differs in learning_rate \(0.001 there, 0.02 here\)\. Repeat that fit"),
        ({"latent_dim": 5}, r"latent_dim \(6 there, 5 here\); starting weights\. .* delete the file\."),
        ({"random_state": 1}, r"random_state \(0 there, 1 here\)"),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused(changes, message, data_of, tmp_path):
    tokenizer = clone(RQVAE).set_params(checkpoint_dir=tmp_path)
    data = data_of(tokenizer)
    _killed_in_step(6, tokenizer, data)
    (before,) = (file.read_bytes() for file in tmp_path.iterdir())
    with pytest.raises(ValueError, match=message):
        clone(tokenizer).set_params(**changes).fit(**data)
    with pytest.raises(ValueError, match=r"differs in data"):
        clone(tokenizer).fit(data["X"][:299])
    (after,) = (file.read_bytes() for file in tmp_path.iterdir())
    assert after == before


def test_what_changes_nothing_may_differ(data_of, tmp_path):
    tokenizer = clone(RQVAE).set_params(checkpoint_dir=tmp_path)
    data = data_of(tokenizer)
    whole = clone(RQVAE).fit(**data)
    _killed_in_step(6, tokenizer, data)
    order = np.random.default_rng(0).permutation(300)
    shuffled = {name: array[order] for name, array in data.items()}
    resumed = clone(tokenizer).set_params(verbose=True, device="cpu", checkpoint_dir=str(tmp_path)).fit(**shuffled)
    np.testing.assert_array_equal(resumed.transform(data["X"]), whole.transform(data["X"]))


def test_other_impressions_are_another_fit(clicks, data_of, tmp_path):
    model = clone(CLASSIFIERS[0]).set_params(checkpoint_dir=tmp_path)
    data = data_of(model)
    _killed_in_step(9, model, data)
    with pytest.raises(ValueError, match="differs in data"):
        clone(model).fit(data["X"], 1 - data["y"])
    with pytest.raises(ValueError, match="differs in data"):
        clone(model).fit(**data, eval_set=(data["X"][:100], data["y"][:100]))


def test_a_tokenizer_and_a_classifier_share_a_folder(data_of, tmp_path):
    tokenizer, model = (clone(e).set_params(checkpoint_dir=tmp_path) for e in (RQVAE, CLASSIFIERS[0]))
    _killed_in_step(9, model, data_of(model))
    tokenizer.fit(**data_of(tokenizer))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_only_an_int_is_a_seed_to_go_on_with(estimator, random_state, data_of, tmp_path):
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path, random_state=random_state)
    with pytest.raises(ValueError, match=r"random_state must be an int with checkpoint_dir, got .* Pass"):
        estimator.fit(**data_of(estimator))
    with pytest.raises(TypeError, match="checkpoint_dir must be a str, a path-like or None, got 3"):
        estimator.set_params(checkpoint_dir=3).fit(**data_of(estimator))


def _full_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_a_full_disk_is_reported_before_training(estimator, data_of, tmp_path, monkeypatch):
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path)
    monkeypatch.setattr(os, "fsync", _full_disk)
    with (
        stopped_in_step(0),
        pytest.raises(OSError, match=r"room for .* MB, got .*No space left.* Pass another folder") as e,
    ):
        estimator.fit(**data_of(estimator))
    assert e.value.errno == errno.ENOSPC
    assert not hasattr(estimator, "state_")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_reported_before_training(data_of, tmp_path):
    (tmp_path / "file").write_text("")
    tokenizer = clone(RQVAE).set_params(checkpoint_dir=tmp_path / "file" / "folder")
    with stopped_in_step(0), pytest.raises(NotADirectoryError, match="checkpoint_dir must be a folder"):
        tokenizer.fit(**data_of(tokenizer))


def test_the_probe_takes_as_much_room_as_old_and_new_state_will(data_of, tmp_path, monkeypatch):
    sizes = []
    write = Checkpoint._write

    def measured(self, function):
        write(self, function)
        sizes.append(self._part.stat().st_size)

    monkeypatch.setattr(Checkpoint, "_write", measured)
    wide = clone(RQVAE).set_params(hidden_layer_sizes=(512, 512), checkpoint_dir=tmp_path, max_iter=2)
    model = DeepFMClassifier(hidden_layer_sizes=(512, 512), max_iter=2, random_state=0, checkpoint_dir=tmp_path)
    for estimator in (wide, model):
        sizes.clear()
        estimator.fit(**data_of(estimator))
        probe, *states = sizes
        assert 0.9 * 2 * max(states) < probe < 1.5 * 2 * max(states) + 2**20


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_a_disk_that_fills_up_in_training_costs_no_epoch(estimator, data_of, tmp_path, monkeypatch):
    data = data_of(estimator)
    whole = clone(estimator).fit(**data)
    monkeypatch.setattr(torch, "save", _full_disk)
    with pytest.warns(UserWarning, match=r"could not be written to .*No space left.* The training goes on"):
        fitted = clone(estimator).set_params(checkpoint_dir=tmp_path).fit(**data)
    _assert_same(fitted, whole, data["X"])
    assert not list(tmp_path.iterdir())


def _truncate(content):
    return content[: len(content) // 2]


def _flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda content: b""])
def test_a_damaged_checkpoint_is_put_aside_with_a_warning(damage, data_of, tmp_path):
    tokenizer = clone(RQVAE).set_params(checkpoint_dir=tmp_path)
    data = data_of(tokenizer)
    whole = clone(RQVAE).fit(**data)
    _killed_in_step(6, tokenizer, data)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=r"is damaged \(.*the fit starts from the beginning"):
        _assert_same(tokenizer.fit(**data), whole, data["X"])
    assert [path.name for path in tmp_path.iterdir()] == ["RQVAETokenizer.checkpoint.damaged"]


@pytest.mark.parametrize("estimator", [RQVAE, VARIANTS[2]], ids=["last epoch", "best epoch"])
def test_ctrl_c_leaves_a_tokenizer_of_the_complete_epochs(estimator, data_of):
    data = data_of(estimator)
    whole = clone(estimator).fit(**data)
    fitted = clone(estimator)
    with stopped_in_step(12, KeyboardInterrupt), pytest.warns(ConvergenceWarning, match=r"after 2 of \d+ epochs"):
        fitted.fit(**data)
    assert fitted.n_iter_ == 2
    for key, values in fitted.history_.items():
        np.testing.assert_array_equal(values, whole.history_[key][:2])
    assert np.isfinite(fitted.inverse_transform(fitted.transform(data["X"]))).all()


@pytest.mark.parametrize("validation", [None, 0.1])
def test_ctrl_c_leaves_the_classifier_of_the_complete_epochs(validation, data_of):
    model = clone(CLASSIFIERS[0]).set_params(validation=validation)
    data = data_of(model)
    with stopped_in_step(19, KeyboardInterrupt), pytest.warns(ConvergenceWarning, match="after 2 of 4 epochs"):
        interrupted = clone(model).fit(**data)
    complete = model.set_params(max_iter=2).fit(**data)
    if validation:  # the last epoch, over all impressions, is not run then
        np.testing.assert_array_equal(interrupted.history_["valid_auc"], complete.history_["valid_auc"])
    else:
        _assert_same(interrupted, complete, data["X"])


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_ctrl_c_before_the_end_of_the_first_epoch_leaves_the_former_model(estimator, data_of):
    data = data_of(estimator)
    former = clone(estimator).fit(**data)
    before = vars(former).copy()
    _killed_in_step(2, former.set_params(learning_rate=0.05), data, KeyboardInterrupt)
    assert {**before, "learning_rate": 0.05} == vars(former)


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[0]], ids=lambda e: type(e).__name__)
def test_a_fit_that_was_interrupted_by_hand_goes_on_as_well(estimator, data_of, tmp_path):
    data = data_of(estimator)
    whole = clone(estimator).fit(**data)
    estimator = clone(estimator).set_params(checkpoint_dir=tmp_path)
    with stopped_in_step(19, KeyboardInterrupt), pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator.fit(**data)
    assert estimator.n_iter_ < N_EPOCHS
    _assert_same(estimator.fit(**data), whole, data["X"])


class Raises(Callback):
    epoch = None

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise RuntimeError("out of luck")


class Gathering(Callback):
    """Hands out what it has seen, being its own copy."""

    def __init__(self, threshold=1):
        self.threshold = threshold
        self.seen = []

    def __deepcopy__(self, memo):
        return self

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(len(net.history))


def test_a_callback_that_gathers_goes_on_in_the_same_process(data_of, tmp_path):
    gathering = Gathering()
    model = clone(CLASSIFIERS[1]).set_params(checkpoint_dir=tmp_path, callbacks=[gathering])
    with stopped_in_step(20), pytest.raises(Killed):
        model.fit(**data_of(model))
    assert gathering.seen
    model.set_params(callbacks=[gathering]).fit(**data_of(model))
    assert model.n_iter_ <= N_EPOCHS


def test_the_checkpoint_of_another_callback_is_refused(data_of, tmp_path):
    model = clone(CLASSIFIERS[4]).set_params(checkpoint_dir=tmp_path)
    with stopped_in_step(20), pytest.raises(Killed):
        model.fit(**data_of(model))
    model.set_params(callbacks=[LRScheduler("StepLR", step_size=100, gamma=0.3)])
    with pytest.raises(ValueError, match=r"differs in callbacks"):
        model.fit(**data_of(model))


def test_a_callback_that_fails_costs_no_more_than_its_epoch(data_of, tmp_path, monkeypatch):
    model = clone(CLASSIFIERS[0]).set_params(callbacks=[Raises()])
    data = data_of(model)
    whole = clone(model).fit(**data)
    model.set_params(checkpoint_dir=tmp_path)
    monkeypatch.setattr(Raises, "epoch", 3)
    with pytest.raises(RuntimeError, match="out of luck"):
        model.fit(**data)
    monkeypatch.setattr(Raises, "epoch", None)
    _assert_same(model.fit(**data), whole, data["X"])


@pytest.mark.parametrize("estimator", [RQVAE, CLASSIFIERS[1]], ids=lambda e: type(e).__name__)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_fit_that_diverges_leaves_no_checkpoint(estimator, data_of, tmp_path):
    model = clone(estimator).set_params(learning_rate=1e30, checkpoint_dir=tmp_path, max_iter=50)
    with pytest.raises(ValueError, match="training diverged"):
        model.fit(**data_of(model))
    assert not list(tmp_path.iterdir())


def test_partial_fit_reads_no_checkpoint(data_of, tmp_path):
    for estimator in (RQVAE, CLASSIFIERS[0]):
        estimator = clone(estimator).set_params(checkpoint_dir=tmp_path / "folder")
        estimator.partial_fit(**data_of(estimator))
    assert not (tmp_path / "folder").exists()


def test_equal_content_has_equal_digests_and_other_content_others():
    x = np.arange(6.0)
    assert digest([x, x]) == digest([torch.arange(6.0, dtype=torch.float64), x[::1]])
    others = [[x], [x, x + 1], [x.reshape(2, 3), x], [x.astype(np.float32), x], [x[::-1], x]]
    assert len({digest(arrays) for arrays in ([x, x], *others)}) == 1 + len(others)


def test_what_a_checkpoint_cannot_hold_is_refused():
    plain = as_plain({"a": [np.float64(1), (None, "b")]})
    assert plain == {"a": [1.0, (None, "b")]}
    assert type(plain["a"][0]) is float
    assert plain_entries({"a": 1, "b": print, "c": [print]}) == {"a": 1}
    assert as_plain(np.arange(3)).tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="function is not plain"):
        as_plain([lambda: None])
