"""Row-sparse optimizers against dense loops over every row and every step."""

import numpy as np
import pytest
import torch

from semid.nn import _row_sparse
from semid.nn._row_sparse import LazyAdam, Visits, forgetting_rates

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
        monkeypatch.setattr(_row_sparse, "distinct_rows_of", lambda table: _row_sparse._distinct_without_waiting)


def _lazy(table, batches, l2, decay, settle_at=()):
    parameter = torch.nn.Parameter(table.clone())
    average = None if decay is None else table.clone()
    optimizer = LazyAdam(parameter, {"lr": LR, "weight_decay": l2}, average)
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
                step = LR / ((v[row] / (1 - 0.999**t)).sqrt() + 1e-8)
                table[row] -= step * g
                rate[row] = l2 * step
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
    values, average = _lazy(table, batches, l2, 0.9, settle_at)
    expected, expected_average = _dense_adam(table, batches, l2, 0.9)
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


@pytest.mark.parametrize("n_rows", [20, 100_000])
def test_distinct_rows_are_those_of_sorting_however_long_the_table_is(n_rows):
    rng, distinct_rows = np.random.default_rng(0), _row_sparse.DistinctByMarks(n_rows)
    for shape in [(5, 3), (40, 1), (0, 2)]:
        rows = torch.as_tensor(rng.integers(n_rows, size=shape))
        expected, places = torch.unique(rows, return_inverse=True)
        found = distinct_rows(rows)
        torch.testing.assert_close(found.rows, expected)
        torch.testing.assert_close(found.places, places)


def test_distinct_rows_are_found_without_waiting():
    rows = torch.as_tensor(np.random.default_rng(0).integers(20, size=(5, 3)))
    expected, places = torch.unique(rows, return_inverse=True)
    found = _row_sparse._distinct_without_waiting(rows)
    n = len(expected)
    torch.testing.assert_close(found.rows[:n], expected)
    torch.testing.assert_close(found.places, places)
    assert found.rows[n:].tolist() == [expected[-1]] * (15 - n)
    assert found.slots.tolist() == [*range(n), *[n - 1] * (15 - n)]


@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("settle_at", [(), (3, 4, 20)])
@pytest.mark.usefixtures("either_way")
def test_rows_that_forget_equal_a_dense_walk_with_first_order_weights_of_their_own(l2, settle_at):
    torch.manual_seed(0)
    table, batches, forgetting, decay = torch.randn(N_ROWS, WIDTH, dtype=torch.float64), _batches(40), 0.03, 0.9
    parameter, lazy_average = torch.nn.Parameter(table.clone()), table.clone()
    group = {"lr": LR, "weight_decay": l2}
    optimizer = LazyAdam(parameter, group, lazy_average, forgetting=forgetting, n_first_order=1)
    for step, rows in enumerate(batches):
        touched = optimizer.open(rows)
        (touched.values[touched.places] - _targets(rows)).square().sum().backward()
        optimizer.close(decay)
        if step in settle_at:
            optimizer.settle(chunk=5)
    optimizer.settle()

    expected, average = table.clone(), table.clone()
    groups = (slice(0, WIDTH - 1), slice(WIDTH - 1, WIDTH))
    v, rate = torch.zeros(2, N_ROWS, 2, dtype=torch.float64)
    has_been_touched = torch.zeros(N_ROWS, dtype=bool)
    for t, rows in enumerate(batches, start=1):
        gradient, is_touched = _gradients(expected, rows)
        has_been_touched |= is_touched
        v *= 0.999
        for row in has_been_touched.nonzero()[:, 0]:
            for g, columns in enumerate(groups):
                if is_touched[row]:
                    slope = gradient[row, columns] + l2 * expected[row, columns]
                    v[row, g] += 0.001 * slope.square().mean()
                    step = LR / ((v[row, g] / (1 - 0.999**t)).sqrt() + 1e-8)
                    expected[row, columns] = expected[row, columns] * np.exp(-forgetting) - step * slope
                    rate[row, g] = step * l2
                else:
                    expected[row, columns] *= torch.exp(-forgetting - rate[row, g])
        average = decay * average + (1 - decay) * expected
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(lazy_average, average, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("either_way")
def test_second_moments_are_drawn_to_what_is_expected_of_a_row():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    first_rows = torch.tensor([0, 4])  # two fields, of 4 and 8 rows
    batches = [torch.as_tensor(np.stack([rng.integers(4, size=5), rng.integers(4, 12, size=5)], 1)) for _ in range(30)]
    weights = torch.as_tensor(rng.uniform(0.5, 2, size=(30, 5)))
    table = torch.randn(N_ROWS, WIDTH, dtype=torch.float64)
    per_step = torch.linspace(0.1, 2, N_ROWS, dtype=torch.float64)[:, None]
    parameter = torch.nn.Parameter(table.clone())
    visits = Visits(per_step, first_rows, n_drawn=0.7)
    optimizer = LazyAdam(parameter, {"lr": LR, "weight_decay": 0.0}, forgetting=0.02, visits=visits)
    for rows, weight in zip(batches, weights, strict=True):
        touched = optimizer.open(rows, weight)
        (touched.values[touched.places.flatten()] - _targets(rows.flatten())).square().sum().backward()
        optimizer.close(0.0)
    optimizer.settle()

    expected, v = table.clone(), torch.zeros(N_ROWS, dtype=torch.float64)
    squares, seen = torch.zeros(2, 2, dtype=torch.float64)
    met = torch.zeros(N_ROWS, dtype=bool)
    for t, (rows, weight) in enumerate(zip(batches, weights, strict=True), start=1):
        gradient, is_touched = _gradients(expected, rows.flatten())
        met |= is_touched
        mean_squares = gradient.square().mean(1)
        v = 0.999 * v + 0.001 * mean_squares
        for field, members in enumerate((range(4), range(4, 12))):
            squares[field] = 0.99 * squares[field] + 0.01 * sum(mean_squares[row] for row in members)
            seen[field] = 0.99 * seen[field] + 0.01 * weight.sum()
        for row in met.nonzero()[:, 0]:
            expected[row] *= np.exp(-0.02)
            if is_touched[row]:
                field, p = int(row >= 4), per_step[row, 0]
                of_field = p * squares[field] / seen[field]
                drawn = (p * v[row] / (1 - 0.999**t) + 0.7 * of_field) / (p + 0.7)
                expected[row] -= LR * gradient[row] / (drawn.sqrt() + 1e-8)
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("l2", [0.0, 1e-3])
@pytest.mark.parametrize("forgetting", [0.02, torch.full((N_ROWS, 1), 0.02, dtype=torch.float64)])
@pytest.mark.usefixtures("either_way")
def test_each_visit_carries_its_share_of_the_prior_of_first_order_weights(l2, forgetting):
    torch.manual_seed(0)
    batches, decay = [torch.stack([rows % 4, 4 + rows % 8], dim=1) for rows in _batches(40)], 0.9
    table = torch.randn(N_ROWS, WIDTH, dtype=torch.float64)
    per_step, prior = torch.linspace(0.1, 2, 2 * N_ROWS, dtype=torch.float64).reshape(2, N_ROWS, 1)
    parameter, lazy_average = torch.nn.Parameter(table.clone()), table.clone()
    visits = Visits(per_step, torch.tensor([0, 4]), 0.0, prior)  # second moments are the rows' own
    optimizer = LazyAdam(parameter, {"lr": LR, "weight_decay": l2}, lazy_average, forgetting, 1, visits)
    for rows in batches:
        touched = optimizer.open(rows, torch.ones(len(rows), dtype=torch.float64))
        (touched.values[touched.places.flatten()] - _targets(rows.flatten())).square().sum().backward()
        optimizer.close(decay)
    optimizer.settle()

    expected, average = table.clone(), table.clone()
    v, rate = torch.zeros(2, N_ROWS, 2, dtype=torch.float64)
    met = torch.zeros(N_ROWS, dtype=torch.bool)
    for t, rows in enumerate(batches, start=1):
        gradient, is_touched = _gradients(expected, rows.flatten())
        met |= is_touched
        v *= 0.999
        for row in met.nonzero()[:, 0]:
            slope = gradient[row] + l2 * expected[row]
            slope[-1] += prior[row, 0] * (rows == row).sum() * expected[row, -1]
            expected[row, :-1] *= np.exp(-0.02)
            for g, columns in enumerate((slice(0, -1), slice(-1, None))):
                if is_touched[row]:
                    v[row, g] += 0.001 * slope[columns].square().mean()
                    step = LR / ((v[row, g] / (1 - 0.999**t)).sqrt() + 1e-8)
                    expected[row, columns] -= step * slope[columns]
                    rate[row, g] = step * l2
                else:
                    expected[row, columns] *= torch.exp(-rate[row, g])
        average = decay * average + (1 - decay) * expected
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(lazy_average, average, rtol=1e-9, atol=1e-12)


def test_rare_rows_forget_faster_than_frequent_ones():
    rates = forgetting_rates(torch.tensor([0.0016, 0.0256, 0.0]), n_steps=100, pace=0.8)
    torch.testing.assert_close(rates[:2, 0], torch.tensor([0.008 / 10 / 0.2, 0.008 / 10 / 0.4]))
    assert rates[0] < rates[2] < 1
    parameter = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = LazyAdam(parameter, {"lr": 0.0, "weight_decay": 0.0}, forgetting=rates)
    optimizer.open(torch.arange(3)).values.sum().backward()
    optimizer.close(0.0)
    torch.testing.assert_close(parameter.detach(), torch.exp(-rates).expand(3, 2))
