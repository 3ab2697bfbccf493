"""Row-sparse optimizers against dense loops over every row and every step."""

import numpy as np
import pytest
import torch

from semid.nn import _row_sparse
from semid.nn._row_sparse import LazyAdam, RowwiseAdagrad

N_ROWS, WIDTH, LR = 12, 3, 0.05


def _batches(n_steps):
    """Rows of a few steps: row 0 in all, row 11 in none, row 10 in the first and the last alone."""
    rng = np.random.default_rng(0)
    batches = [np.concatenate([[0, 0], rng.integers(1, 9, size=3)]) for _ in range(n_steps)]
    batches[0][-1] = batches[-1][-1] = 10
    return [torch.as_tensor(batch) for batch in batches]


def _targets(rows):
    return torch.arange(len(rows) * WIDTH, dtype=torch.float64).reshape(len(rows), WIDTH).sin()


@pytest.fixture(params=["on the CPU", "without waiting for a GPU"])
def either_way(request, monkeypatch):
    """Both ways to find the distinct rows of a batch."""
    if request.param != "on the CPU":
        monkeypatch.setattr(_row_sparse, "_distinct", _row_sparse._distinct_without_waiting)


def _lazy(kind, table, batches, l2, decay, settle_at=()):
    parameter = torch.nn.Parameter(table.clone())
    average = None if decay is None else table.clone()
    optimizer = kind(parameter, {"lr": LR, "weight_decay": l2}, average)
    for step, rows in enumerate(batches):
        touched = optimizer.open(rows)
        (touched.values[touched.places] - _targets(rows)).square().sum().backward()
        optimizer.close(decay or 0.0)
        if step in settle_at:
            optimizer.settle(chunk=5)
    optimizer.settle()
    return parameter.detach(), average


def _gradients(table, rows):
    """Gradient of the same loss for every row of the table, and whether the row is touched."""
    gradient, is_touched = torch.zeros_like(table), torch.zeros(len(table), dtype=bool)
    for row, target in zip(rows.tolist(), _targets(rows), strict=True):
        gradient[row] += 2 * (table[row] - target)
        is_touched[row] = True
    return gradient, is_touched


def _dense_adam(table, batches, l2, decay):
    """The rule of LazyAdam's docstring, walked step by step over all rows."""
    table, average = table.clone(), table.clone()
    v, rate = torch.zeros(N_ROWS, dtype=torch.float64), torch.zeros(N_ROWS, dtype=torch.float64)
    for t, rows in enumerate(batches, start=1):
        gradient, is_touched = _gradients(table, rows)
        for row in range(N_ROWS):
            v[row] *= 0.999
            if is_touched[row]:
                g = gradient[row] + l2 * table[row]
                v[row] += 0.001 * g.square().mean()
                correction = (1 - 0.999**t) ** 0.5
                table[row] -= LR * correction * g / (v[row].sqrt() + 1e-8)
                rate[row] = LR * l2 * correction / (v[row].sqrt() + 1e-8)
            else:
                table[row] *= torch.exp(-rate[row])
        average = decay * average + (1 - decay) * table
    return table, average


@pytest.mark.parametrize("l2", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("settle_at", [(), (3, 4, 20)])
@pytest.mark.usefixtures("either_way")
def test_lazy_adam_equals_a_dense_walk_over_all_rows_and_steps(l2, settle_at):
    torch.manual_seed(0)
    table, batches = torch.randn(N_ROWS, WIDTH, dtype=torch.float64), _batches(40)
    values, average = _lazy(LazyAdam, table, batches, l2, 0.9, settle_at)
    expected, expected_average = _dense_adam(table, batches, l2, 0.9)
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(average, expected_average, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("either_way")
def test_rowwise_adagrad_equals_a_dense_loop():
    table, batches = torch.randn(N_ROWS, WIDTH, dtype=torch.float64), _batches(30)
    values, average = _lazy(RowwiseAdagrad, table, batches, 1e-2, 0.9)
    expected, v, expected_average = table.clone(), torch.zeros(N_ROWS, dtype=torch.float64), table.clone()
    for rows in batches:
        gradient, is_touched = _gradients(expected, rows)
        for row in is_touched.nonzero()[:, 0]:
            g = gradient[row] + 1e-2 * expected[row]
            v[row] += g.square().mean()
            expected[row] -= LR * g / (v[row].sqrt() + 1e-8)
        expected_average = 0.9 * expected_average + 0.1 * expected
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(average, expected_average, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("either_way")
def test_a_step_writes_the_rows_of_its_batch_alone():
    table = torch.randn(N_ROWS, WIDTH, dtype=torch.float64)
    parameter = torch.nn.Parameter(table.clone())
    optimizer = LazyAdam(parameter, {"lr": LR, "weight_decay": 0.1})
    for rows in _batches(3):
        before = parameter.detach().clone()
        touched = optimizer.open(rows)
        touched.values.square().sum().backward()
        optimizer.close(0.0)
        changed = (parameter.detach() != before).any(1).nonzero()[:, 0].tolist()
        assert changed == sorted(set(rows.tolist()))


def test_a_changed_learning_rate_acts():
    parameter = torch.nn.Parameter(torch.ones(4, 2))
    group = {"lr": LR, "weight_decay": 0.0}
    optimizer = LazyAdam(parameter, group)
    steps = []
    for lr in (LR, 0.0):
        group["lr"] = lr
        before = parameter.detach().clone()
        optimizer.open(torch.tensor([1])).values.sum().backward()
        optimizer.close(0.0)
        steps.append((parameter.detach() - before).abs().max().item())
    assert steps[0] > 0
    assert steps[1] == 0


def test_distinct_rows_are_found_without_waiting():
    rows = torch.as_tensor(np.random.default_rng(0).integers(20, size=(5, 3)))
    expected, places = torch.unique(rows, return_inverse=True)
    found = _row_sparse._distinct_without_waiting(rows)
    n = len(expected)
    torch.testing.assert_close(found.rows[:n], expected)
    torch.testing.assert_close(found.places, places)
    assert found.rows[n:].tolist() == [expected[-1]] * (15 - n)
    assert found.slots.tolist() == [*range(n), *[n - 1] * (15 - n)]
