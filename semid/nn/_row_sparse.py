"""Training a table of embeddings at a cost that depends on the batch and not on the number of rows.

Letters: R rows of the table, U rows that a batch touches, w width, t number of a step, n steps since a row was touched.
"""

import math
from typing import NamedTuple

import torch

from semid.nn._fields import TouchedRows

_EPSILON = 1e-8  # Adam's
_BETA2 = 0.999  # Adam's decay of second moments


class LazyAdam:
    """Adam without momentum and with one second moment per row, which touches only the rows of a batch.

    What a dense optimizer does to a row in the steps that do not need it, it does in closed form when the row is needed
    again: its second moment decays, L2 draws it to zero, its average follows. For a row of gradient g, mean square over
    the row <g²>:

    - touched in step t: v ← β2 v + (1 - β2) <g²>,  e ← e - lr √(1 - β2^t) g / (√v + ε), with l2·e as a part of g;
    - at rest: v ← β2 v,  e ← e exp(-k), with k = lr l2 √(1 - β2^s) / (√v_s + ε) as it was at the last touch, in step s.

    The pull to zero at rest is that of L2 inside Adam's normalised gradient, and as strong: a rarely met category fades
    within some dozen steps, a frequent one keeps what it has learned. On real logs this is worth more than any other
    setting (docs/design.md has the figures). Lazy optimizers as they are known leave rows at rest alone.

    Parameters
    ----------
    table : Parameter of shape (R, w)
    group : dict
        The table's ``lr`` and ``weight_decay`` are read from it at every step, so that a scheduler may change them.
    average : Tensor of shape (R, w) or None
        Where to keep the exponential moving average of the table over steps.
    """

    def __init__(self, table, group, average=None):
        self.table, self.group, self.average = table.data, group, average
        self.second_moments = table.new_zeros(len(table), 1)
        self.resting_rates = torch.zeros_like(self.second_moments)  # k; 0 for a row that is as it was initialised
        self.last_steps = torch.zeros(len(table), 1, dtype=torch.int32, device=table.device)
        self.t = 0
        # Sums over steps of the logarithm of the average's decay: up to now, and up to the last touch of each row.
        self.log_decay = 0.0
        self.last_log_decays = torch.zeros(len(table), 1, dtype=torch.float64, device=table.device)

    def open(self, rows):
        """Return the rows of a batch (int64, any shape) as `TouchedRows`, brought up to date, for a forward pass."""
        distinct = _distinct if rows.device.type == "cpu" else _distinct_without_waiting
        self.rows, places, self.slots = distinct(rows)
        self.values, self.moments, self.averages = self._caught_up(self.rows)
        self.values.requires_grad_()
        return TouchedRows(self.values, places)

    @torch.no_grad()
    def close(self, decay):
        """Step along the gradient of the rows that `open` returned; `decay` is that of the average."""
        self.t += 1
        self.log_decay += math.log(max(decay, 1e-30))
        values, gradient = self.values.detach(), self.values.grad
        if self.slots is not None:
            gradient = gradient.index_select(0, self.slots)
        gradient = gradient.add_(values, alpha=self.group["weight_decay"])
        moments = self._with_gradient(self.moments, gradient.square().mean(1, keepdim=True))
        step = self.group["lr"] * self._correction(self.t) / (moments.sqrt() + _EPSILON)
        values.addcmul_(gradient, step, value=-1.0)
        self.table.index_copy_(0, self.rows, values)
        self.second_moments.index_copy_(0, self.rows, moments)
        self.resting_rates.index_copy_(0, self.rows, self._resting_rate(step))
        self._mark(self.rows)
        if self.average is not None:
            self.average.index_copy_(0, self.rows, self.averages.lerp_(values, 1 - decay))
        del self.values, self.moments, self.averages, self.rows, self.slots

    @torch.no_grad()
    def settle(self, chunk=1_000_000):
        """Bring all rows, and their averages, up to date: before they are read elsewhere."""
        for rows in torch.arange(len(self.table), device=self.table.device).split(chunk):
            values, moments, averages = self._caught_up(rows)
            self.table[rows], self.second_moments[rows] = values, moments
            if averages is not None:
                self.average[rows] = averages
            self._mark(rows)

    def _mark(self, rows):
        self.last_steps.index_fill_(0, rows, self.t)
        self.last_log_decays.index_fill_(0, rows, self.log_decay)

    @torch.no_grad()
    def _caught_up(self, rows):
        """Return values, second moments and averages of `rows` as they are after the steps done so far."""
        values, moments = self.table.index_select(0, rows), self.second_moments.index_select(0, rows)
        rate = self.resting_rates.index_select(0, rows).double()  # (U, 1)
        n = (self.t - self.last_steps.index_select(0, rows)).double()
        averages = None
        if self.average is not None:
            averages = self.average.index_select(0, rows)
            log_decay = self.log_decay - self.last_log_decays.index_select(0, rows)
            kept, share = _resting_average(rate, n, log_decay)
            averages.mul_(kept.to(values.dtype)).addcmul_(values, share.to(values.dtype))
        return values.mul_(torch.exp(-rate * n).to(values.dtype)), self._rested(moments, n), averages

    def _resting_rate(self, step):
        return step * self.group["weight_decay"]

    def _rested(self, moments, n):
        return moments * (_BETA2**n).to(moments.dtype)

    def _with_gradient(self, moments, mean_square):
        return moments * _BETA2 + mean_square * (1 - _BETA2)

    def _correction(self, t):
        return math.sqrt(1 - _BETA2**t)


class RowwiseAdagrad(LazyAdam):
    """Adagrad with one sum of squares per row (Naumov et al., 2019, "DLRM", arXiv:1906.00091, from memory).

    v ← v + <g²>, e ← e - lr g / (√v + ε); rows at rest stay as they are, L2 acts on those that are touched.
    """

    def _resting_rate(self, step):
        return torch.zeros_like(step)

    def _rested(self, moments, n):
        return moments

    def _with_gradient(self, moments, mean_square):
        return moments + mean_square

    def _correction(self, t):
        return 1.0


class DistinctRows(NamedTuple):
    """The rows that a batch touches, each to be brought up to date and written once."""

    rows: torch.Tensor  # (U,) int64, ascending
    places: torch.Tensor  # place among `rows` of each entry of the batch
    slots: torch.Tensor | None  # whose gradient a row takes, where it is not its own


def _distinct(rows):
    return DistinctRows(*torch.unique(rows, return_inverse=True), None)


def _distinct_without_waiting(rows):
    """Return `DistinctRows` whose number does not depend on the data: as many as the batch has entries.

    A GPU that has to tell how many rows are distinct makes the host wait for all it was given to do. Here what is left
    over repeats the last row, with its gradient, and so writes what is written there anyway.
    """
    ordered, order = rows.flatten().sort()
    is_new = torch.ones_like(ordered, dtype=torch.bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    numbers = is_new.cumsum(0) - 1  # place of each ordered entry among the distinct
    places = torch.empty_like(order).scatter_(0, order, numbers).view(rows.shape)
    distinct = ordered[-1:].repeat(len(ordered)).scatter_(0, numbers, ordered)
    slots = torch.arange(len(ordered), device=rows.device).minimum(numbers[-1])
    return DistinctRows(distinct, places, slots)


def _resting_average(rate, n, log_decay):
    """Return what is left of an average after n steps, and the share of a value that fades from 1 by exp(-rate) a step.

    Exact where the average decays at a constant rate; else as if it did, at the geometric mean.
    """
    steps = n.clamp(min=1)
    kept, d, r = torch.exp(log_decay), torch.exp(log_decay / steps), torch.exp(-rate)
    # Σ_{s=1..n} d^(n-s) r^s, a geometric sum; where r and d are as good as equal, n d^n.
    apart = (r - d).abs() > 1e-9
    total = torch.where(apart, r * (r**n - kept) / torch.where(apart, r - d, 1.0), n * kept)
    return kept, (1 - d) * total
