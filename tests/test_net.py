import numpy as np
import torch
from sklearn.metrics import log_loss, roc_auc_score

from semid._net import Batches, Impressions, NetOptions, WeightAverage, train_click_model
from semid.ctr._encoding import EncodedImpressions
from semid.nn._mlp import SeededDropout

OPTIONS = NetOptions(
    max_iter=3,
    batch_size=16,
    learning_rate=0.01,
    embedding_learning_rate=0.01,
    l2=1e-3,
    embedding_l2=1e-3,
    embedding_optimizer="dense_adam",
    max_gradient_norm=None,
    weight_averaging=0.9,
    n_iter_no_change=2,
    callbacks=(),
    verbose=False,
)


class Logistic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Module()
        self.embedding.table = torch.nn.Parameter(torch.zeros(1, 1))
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
    optimizer = torch.optim.Adam(module.parameters(), lr=options.learning_rate, weight_decay=options.l2)
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
    average = WeightAverage(module, 0.0, but_table=False)
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
