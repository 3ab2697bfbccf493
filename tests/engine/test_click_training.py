from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, roc_auc_score
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from skorch.history import History

from semid.ctr._encoding import EncodedImpressions, EncodedLists
from semid.engine._click_net import LEAST_GAIN, StopWhenNoBetter, TrainingEnds, WeightAverage
from semid.engine._click_training import NetOptions, _visits, train_click_model
from semid.engine._impressions import Batches, Impressions
from semid.nn._click_rates import click_rates
from semid.nn._fields import FieldEmbedding, FieldShapes
from semid.nn._mlp import SeededDropout

OPTIONS = NetOptions(
    max_iter=3,
    batch_size=16,
    learning_rate=0.01,
    embedding_forgetting=0.0,
    network_forgetting=0.0,
    weight_averaging=0.9,
    n_iter_no_change=2,
    callbacks=(),
    verbose=False,
)


class NoEmbedding(torch.nn.Module):
    """A table that no field looks into."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(1, 1), requires_grad=False)
        self.first_rows = torch.zeros(0, dtype=torch.int64)

    def rows(self, categories):
        return categories


class Logistic(torch.nn.Module):
    n_first_order = 0

    def __init__(self):
        super().__init__()
        self.embedding = NoEmbedding()
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.bias = torch.nn.Parameter(torch.zeros(()))

    def forward(self, categories, numbers):
        return numbers @ self.weight + self.bias


def _impressions(n=50, seed=0):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 2))
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-numbers[:, 0]))).astype(float)
    encoded = EncodedImpressions(np.zeros((n, 0), dtype=np.int32), [], numbers)
    return Impressions(encoded, y, rng.uniform(0.5, 2, size=n), "cpu", torch.float64)


def _hand_written_training(data, options, seed):
    """The same training as a plain loop."""
    module = Logistic().double()
    optimizer = torch.optim.Adam(module.parameters(), lr=options.learning_rate)
    generator, steps = torch.Generator().manual_seed(seed), 0
    average = [p.detach().clone() for p in module.parameters()]
    losses = []
    for _ in range(options.max_iter):
        total = 0.0
        for rows in torch.randperm(len(data), generator=generator).split(options.batch_size):
            p = torch.sigmoid(module(None, data.numbers[rows]))
            y, w = data.y[rows], data.weights[rows] / data.weights.mean()
            loss = -(w * (y * p.log() + (1 - y) * (1 - p).log())).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay = min(options.weight_averaging, steps / (steps + 10))
            steps += 1
            average = [decay * a + (1 - decay) * p.detach() for a, p in zip(average, module.parameters(), strict=True)]
            total += loss.item() * len(rows)
        losses.append(total / len(data))
    return average, losses


def test_training_equals_a_hand_written_loop():
    data = _impressions()
    generator = torch.Generator().manual_seed(3)
    module, history, calibration = train_click_model(Logistic().double(), data, None, OPTIONS, generator)
    assert calibration == (1.0, 0.0)
    average, losses = _hand_written_training(data, OPTIONS, 3)
    for ours, theirs in zip(module.parameters(), average, strict=True):
        torch.testing.assert_close(ours, theirs)
    np.testing.assert_allclose(history["train_loss"], losses)


class Users(torch.nn.Module):
    """A first-order weight and an embedding of each user, multiplied by a matrix."""

    n_first_order = 1

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embedding = FieldEmbedding(
                FieldShapes((6,)), width=3, init_std=0.5, adapter_width=1, adapter_norm="rms"
            )
            self.matrix = torch.nn.Parameter(torch.randn(2, 1))

    def forward(self, categories, numbers, touched=None):
        e = self.embedding(categories, numbers, touched)[:, 0]
        return (e[:, :2] @ self.matrix)[:, 0] + e[:, 2]


def _hand_written_training_of_users(data, options):
    """Of batches that are all the data: each step meets all rows but those for missing and unknown users."""
    module = Users().double()
    table, matrix = module.embedding.table.detach().clone(), module.matrix.detach().clone()
    users, n = data.categories[:, 0].long(), len(data)
    weights = data.weights / data.weights.mean()
    visits = torch.zeros(6, dtype=torch.float64).index_add_(0, users, weights)
    forgetting = options.embedding_forgetting / (100 * (visits / n).clamp(min=1e-7) ** 0.25)
    (of_users,) = click_rates(data.parts, [6])[1]
    has_prior = options.embedding_forgetting > 0  # in its place, of first-order weights
    prior = of_users.precision * weights.min() / visits / n * has_prior
    own = visits / (visits + n / 3000)
    v, of_field, visits_of_field = torch.zeros(6, 2).double(), torch.zeros(2).double(), 0.0
    m, s = torch.zeros(2, 1).double(), torch.zeros(2, 1).double()
    average, losses = [table.clone(), matrix.clone()], []
    for t in range(1, options.max_iter + 1):
        e = table[users]
        logits = (e[:, :2] @ matrix)[:, 0] + e[:, 2]
        losses.append((weights * torch.nn.functional.softplus(torch.where(data.y == 1, -logits, logits))).mean().item())
        slope = weights * (torch.sigmoid(logits) - data.y) / n
        gradient = (
            torch.zeros(6, 3).double().index_add_(0, users, slope[:, None] * torch.cat([matrix.T, torch.ones(1, 1)], 1))
        )
        of_matrix = (slope[:, None] * e[:, :2]).sum(0)[:, None]
        for row in range(2, 6):
            gradient[row, 2] += prior[row] * visits[row] * table[row, 2]
        squares = torch.stack([gradient[:, :2].square().mean(1), gradient[:, 2].square()], dim=1)
        v = 0.999 * v + 0.001 * squares
        of_field = 0.99 * of_field + 0.01 * squares.sum(0)
        visits_of_field = 0.99 * visits_of_field + 0.01 * weights.sum()
        for row in range(2, 6):
            expected = visits[row] * of_field / visits_of_field
            length = (own[row] * v[row] / (1 - 0.999**t) + (1 - own[row]) * expected).sqrt() + 1e-8
            table[row, :2] = (
                torch.exp(-forgetting[row]) * table[row, :2] - options.learning_rate * gradient[row, :2] / length[0]
            )
            table[row, 2] -= options.learning_rate * gradient[row, 2] / length[1]
        m, s = 0.9 * m + 0.1 * of_matrix, 0.999 * s + 0.001 * of_matrix.square()
        matrix = matrix - options.learning_rate * m / (1 - 0.9**t) / ((s / (1 - 0.999**t)).sqrt() + 1e-8)
        matrix = matrix * np.exp(-options.network_forgetting / 10)
        decay = min(options.weight_averaging, (t - 1) / (t - 1 + 10))
        average = [decay * a + (1 - decay) * now for a, now in zip(average, (table, matrix), strict=True)]
    return average, losses


@pytest.mark.parametrize("pace", [0.0, 0.9])
def test_training_of_embeddings_equals_a_hand_written_loop(pace):
    rng = np.random.default_rng(0)
    users = np.tile([[2], [3], [4], [4], [5]], (12, 1)).astype(np.int32)
    y = (rng.uniform(size=60) < 0.1 * users[:, 0]).astype(float)
    encoded = EncodedImpressions(users, [], np.zeros((60, 0)))
    data = Impressions(encoded, y, rng.uniform(0.5, 2, size=60), "cpu", torch.float64)
    options = OPTIONS._replace(batch_size=60, max_iter=20, embedding_forgetting=pace, network_forgetting=pace)
    (table, matrix), losses = _hand_written_training_of_users(data, options)
    trained = train_click_model(Users().double(), data, None, options, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(trained.history["train_loss"], losses)
    torch.testing.assert_close(trained.module.embedding.table, table)
    torch.testing.assert_close(trained.module.matrix, matrix)


def test_the_bias_is_at_the_base_rate_of_rare_clicks():
    # Seen before: L2 drew it to zero, and the mean prediction for 0.1 % of clicks was half as high again.
    n = 50_000
    y = (np.arange(n) % 1000 == 0).astype(float)
    encoded = EncodedImpressions(np.zeros((n, 0), dtype=np.int32), [], np.zeros((n, 2)))
    data = Impressions(encoded, y, np.ones(n), "cpu", torch.float64)
    module = Logistic().double()
    torch.nn.init.constant_(module.bias, np.log(0.001 / 0.999))
    options = OPTIONS._replace(batch_size=2048, max_iter=10, network_forgetting=10.0, weight_averaging=0.99)
    module = train_click_model(module, data, None, options, torch.Generator().manual_seed(0)).module
    np.testing.assert_allclose(torch.sigmoid(module.bias).item(), 0.001, rtol=0.15)


class WithStatistics(Logistic):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.register_buffer("not_of_the_state", torch.zeros(2), persistent=False)

    def forward(self, categories, numbers):
        return super().forward(categories, self.norm(numbers))


def test_the_average_has_the_statistics_of_what_it_averages():
    module, data = WithStatistics().double(), _impressions()
    trained = train_click_model(module, data, None, OPTIONS, torch.Generator().manual_seed(0)).module
    assert (trained.norm.running_mean != 0).all()
    for name, buffer in trained.norm.named_buffers():
        torch.testing.assert_close(buffer, module.norm.get_buffer(name))
    assert len(WeightAverage(module, 0.9).buffers) == 3
    assert not WeightAverage(Logistic(), 0.9).buffers


class Interrupts(Callback):
    def __init__(self, method, epoch=2):
        setattr(self, method, self._interrupt)
        self.epoch = epoch

    def _interrupt(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise KeyboardInterrupt


def _with_callbacks(*callbacks, held_out=None, **options):
    options = OPTIONS._replace(callbacks=callbacks, **options)
    return train_click_model(Logistic().double(), _impressions(), held_out, options, torch.Generator().manual_seed(0))


def test_a_callback_ends_training_at_the_end_of_an_epoch():
    history = _with_callbacks(EarlyStopping("train_loss", patience=1, threshold=0.9), max_iter=9).history
    assert len(history["train_loss"]) == 2
    assert len(_with_callbacks(Interrupts("on_epoch_end"), max_iter=9).history["train_loss"]) == 2


@pytest.mark.parametrize("method", ["on_batch_begin", "on_batch_end", "on_epoch_begin"])
def test_an_interruption_at_any_other_time_is_the_users(method):
    with pytest.raises(KeyboardInterrupt):
        _with_callbacks(Interrupts(method, epoch=1))


@pytest.mark.parametrize("method", ["on_batch_begin", "on_batch_end", "on_epoch_begin"])
def test_what_the_user_interrupts_is_the_model_of_the_complete_epochs(method):
    with pytest.warns(ConvergenceWarning, match=r"interrupted.* after 3 of 5 epochs"):
        interrupted = _with_callbacks(Interrupts(method, epoch=4), max_iter=5)
    whole = _with_callbacks(max_iter=3)
    np.testing.assert_array_equal(interrupted.history["train_loss"], whole.history["train_loss"])
    for ours, theirs in zip(interrupted.module.parameters(), whole.module.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_best_epoch_is_kept_even_if_it_is_the_one_that_a_callback_ended():
    held_out = _impressions(seed=1)
    module, history, _ = _with_callbacks(Interrupts("on_epoch_end"), held_out=held_out, batch_size=8, max_iter=9)
    assert len(history["valid_auc"]) == 1 + np.argmax(history["valid_auc"]) == 2
    logits = module(held_out.categories, held_out.numbers).numpy()
    auc = roc_auc_score(held_out.y.numpy(), logits, sample_weight=held_out.weights.numpy())
    np.testing.assert_allclose(auc, history["valid_auc"][1])


class SeesHistory(Callback):
    rows: ClassVar = []

    def on_epoch_end(self, net, **kwargs):
        self.rows.append({name: net.history[-1, name] for name in ("valid_auc", "valid_auc_best", "train_loss_best")})


def test_the_history_says_which_epochs_were_the_best_so_far(tmp_path):
    SeesHistory.rows.clear()
    held_out = _impressions(seed=1)
    checkpoint = Checkpoint(monitor="valid_auc_best", dirname=str(tmp_path))
    _with_callbacks(SeesHistory(), checkpoint, held_out=held_out, max_iter=6, n_iter_no_change=9)
    aucs = [row["valid_auc"] for row in SeesHistory.rows]
    assert [row["valid_auc_best"] for row in SeesHistory.rows] == [
        auc > max(aucs[:n], default=-1) for n, auc in enumerate(aucs)
    ]
    assert SeesHistory.rows[0]["train_loss_best"] is True
    assert (tmp_path / "params.pt").exists()


def test_training_ends_when_the_held_out_auc_has_not_risen_for_some_epochs():
    aucs = _with_callbacks(held_out=_impressions(seed=1), max_iter=50, n_iter_no_change=3).history["valid_auc"]
    assert len(aucs) == np.argmax(aucs) + 1 + 3


def test_held_out_auc_is_over_all_rows_and_weighted():
    # Seen in public zoos: the mean of the AUCs of the batches.
    train, held_out = _impressions(), _impressions(seed=1)
    options = OPTIONS._replace(max_iter=1, batch_size=7)
    module, history, _ = train_click_model(Logistic().double(), train, held_out, options, torch.Generator())
    logits = module(held_out.categories, held_out.numbers).numpy()
    y, weights = held_out.y.numpy(), held_out.weights.numpy()
    assert history["valid_auc"][0] == roc_auc_score(y, logits, sample_weight=weights)
    expected = log_loss(y, 1 / (1 + np.exp(-logits)), sample_weight=weights)
    np.testing.assert_allclose(history["valid_loss"][0], expected)


def test_batches_hold_every_row_once_and_in_a_new_order_each_time():
    data = _impressions()
    batches = Batches(data, 16, torch.Generator().manual_seed(0))
    epochs = [torch.cat([numbers for _, numbers, _, _ in batches]) for _ in range(2)]
    assert [len(y) for _, _, y, _ in batches] == [16, 16, 16, 2]
    for epoch in epochs:
        assert sorted(epoch[:, 0].tolist()) == sorted(data.numbers[:, 0].tolist())
    assert not torch.equal(*epochs)


def test_no_averaging_keeps_the_last_weights():
    module = Logistic()
    average = WeightAverage(module, 0.0)
    torch.nn.init.constant_(module.weight, 3.0)
    average.update()
    assert average.module.weight.tolist() == [3.0, 3.0]


def test_seeded_dropout_drops_its_share_and_keeps_the_mean():
    dropout = SeededDropout(0.3).train()
    dropout.generator = torch.Generator().manual_seed(0)
    x = dropout(torch.ones(100_000))
    assert abs((x == 0).float().mean() - 0.3) < 0.01
    torch.testing.assert_close(x[x > 0].unique(), torch.tensor([1 / 0.7]))
    assert torch.equal(dropout.eval()(x), x)


def test_the_entries_of_a_field_say_whose_they_are_and_what_share_they_have():
    lists = EncodedLists(np.array([2, 3, 4, 0, 5]), np.array([0, 3, 4, 5]), np.array([2, 0, 1, 0], dtype=np.int32))
    encoded = EncodedImpressions(np.array([[7], [8], [9], [7]], dtype=np.int32), [lists], np.zeros((4, 0)))
    part = Impressions(encoded, np.zeros(4), np.ones(4), "cpu", torch.float64).part(np.array([3, 0, 2]))
    alone, of_lists = part.entries(0), part.entries(1)
    assert [column.tolist() for column in alone] == [[7, 7, 9], [0, 1, 2], [1, 1, 1]]
    assert of_lists.categories.tolist() == [2, 3, 4, 5, 0]  # of [2, 3, 4], [5] and an empty one
    assert of_lists.impressions.tolist() == [0, 0, 0, 1, 2]
    np.testing.assert_allclose(of_lists.shares, [1 / 3, 1 / 3, 1 / 3, 1, 1])


@pytest.mark.parametrize(("reached", "n_epochs"), [(0.7 + 2 * LEAST_GAIN, 1 + 2), (0.7 + LEAST_GAIN / 2, 1 + 3 * 2)])
def test_a_model_no_better_than_click_rates_is_given_three_times_as_long(reached, n_epochs):
    net = SimpleNamespace(history=History(), rates_auc=0.7)
    stop = StopWhenNoBetter(patience=2)
    for epoch in range(n_epochs):
        net.history.new_epoch()
        net.history.record("valid_auc", reached)
        net.history.record("valid_auc_best", epoch == 0)
        if epoch < n_epochs - 1:
            stop.on_epoch_end(net)
    with pytest.raises(TrainingEnds):
        stop.on_epoch_end(net)


def test_visits_count_entries_by_weights_of_one_on_average():
    lists = EncodedLists(np.array([2, 3, 2, 0]), np.array([0, 2, 3, 4]), np.array([0, 1, 2], dtype=np.int32))
    encoded = EncodedImpressions(np.array([[2], [3], [2]], dtype=np.int32), [lists], np.zeros((3, 0)))
    embedding = SimpleNamespace(first_rows=torch.tensor([0, 4]), table=torch.empty(8, 1))
    visits = _visits(embedding, Impressions(encoded, np.zeros(3), np.array([2.0, 4.0, 6.0]), "cpu", torch.float64))
    assert visits.tolist() == [0, 0, 0.5 + 1.5, 1, 1.5, 0, 0.5 + 1, 0.5]
