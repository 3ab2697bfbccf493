"""Training a table of embeddings at a cost that depends on the batch and not on the number of rows.

Letters: R rows of the table, U rows that a batch touches, w width, G groups of columns, t number of a step, n steps
since a row was touched.
"""

import math
from typing import NamedTuple

import torch

from semid.nn._fields import TouchedRows

_EPSILON = 1e-8  # Adam's
_BETA2 = 0.999  # Adam's decay of second moments
_LEAST_SHARE = 1e-7
_SCANNED_ROWS = 25  # per entry of a batch, that are scanned in less time than the entries are sorted
_FIELD_BETA = 0.99  # decay of the squares of a whole field, which many rows agree on


class Visits(NamedTuple):
    """How often an epoch meets each row, and in which field it is."""

    per_step: torch.Tensor  # (R, 1), by weight of impressions
    first_rows: torch.Tensor  # (F,) row at which each field begins
    n_drawn: float  # visits per step at which a row's own second moment counts as much as that of its field
    prior: torch.Tensor | None = None  # (R, 1), pull of each visit on first-order weights


class LazyAdam:
    """Adam without momentum and with one second moment per row and group of columns, which touches the rows of a batch.

    What a dense optimizer does to a row in the steps that do not need it, it does in closed form when the row is needed
    again: its second moment decays, forgetting and L2 draw it to zero, its average follows. For a row of gradient g,
    with mean square <g²> over a group of columns:

    - touched in step t: v ← β2 v + (1 - β2) <g²>,  e ← exp(-f) e - lr g / (√v̂ + ε), with l2·e a part of g;
    - at rest: v ← β2 v,  e ← exp(-f - k) e, with k = lr l2 / (√v̂_s + ε) as at the last touch, in step s.

    v̂ is v / (1 - β2^t). Where it is known how often an epoch meets each row, p times per step, it is drawn towards
    what is to be expected of the row, p m, with m the mean square per visit of all rows of its field:

        v̂ = (p v / (1 - β2^t) + p₀ p m) / (p + p₀)

    First-order weights w may have a Gaussian prior, in `visits`, in the place of forgetting. Each visit carries its
    share of it: in batches of B, and with n visits of a row in an epoch, a prior of precision λ adds λ w / (n B) to the
    gradient of a visit.

    A second moment of few visits knows their labels: a row whose impressions were all skipped has a small one, and long
    steps, and an impression that comes again meets a row that gives its label away. What is expected of a row does not.

    Forgetting keeps its pace whatever the gradient, so that an embedding always grows where there is something to
    learn. L2 does not: the smaller the embeddings are, the smaller are the gradients, which are products with the
    embeddings of other fields, and the stronger is the pull of l2·e in the normalised step. docs/design.md has the
    figures. Lazy optimizers as they are known leave rows at rest alone.

    Parameters
    ----------
    table : Parameter of shape (R, w)
    group : dict
        The table's ``lr`` and ``weight_decay`` are read from it at every step, so that a scheduler may change them.
    average : Tensor of shape (R, w) or None
        Where to keep the exponential moving average of the table over steps.
    forgetting : Tensor of shape (R, 1) or float
        Rate f of each row, per step.
    n_first_order : int
        Columns at the end of the table that hold first-order weights, whose gradients are larger than those of
        embeddings: a group of their own.
    visits : Visits or None
    """

    def __init__(self, table, group, average=None, forgetting=0.0, n_first_order=0, visits=None):
        self.table, self.group, self.average = table.data, group, average
        self.forgetting, self.visits = forgetting, visits
        width = table.shape[1]
        self.widths = [width - n_first_order, n_first_order] if 0 < n_first_order < width else [width]  # of G groups
        self.second_moments = table.new_zeros(len(table), len(self.widths))
        self.resting_rates = torch.zeros_like(self.second_moments)  # 0 for a row that is as it was initialised
        # As long as there was no L2: all columns at one rate, or those that have a prior not at all.
        self.rests_evenly = True
        self.has_prior = visits is not None and visits.prior is not None
        self.n_forgetting = self.widths[0] if self.has_prior else width
        self.last_steps = torch.zeros(len(table), 1, dtype=torch.int32, device=table.device)
        self.t = 0
        # Sums over steps of the logarithm of the average's decay: up to now, and up to the last touch of each row.
        self.log_decay = 0.0
        self.last_log_decays = torch.zeros(len(table), 1, dtype=torch.float64, device=table.device)
        # Moving averages, of squares of the gradients of each field, (F, G), and behind them of its visits.
        n_fields = 1 if visits is None else len(visits.first_rows)
        self.field_moments = table.new_zeros(n_fields, len(self.widths) + 1)
        self._distinct = distinct_rows_of(table)

    def open(self, rows, weights=None):
        """Return the rows of a batch (int64, any shape) as `TouchedRows`, brought up to date, for a forward pass.

        With `visits`, rows are (B, C), and `weights` those of the impressions, (B,).
        """
        self.rows, places, self.slots = self._distinct(rows)
        self.values, self.moments, self.averages = self._caught_up(self.rows)
        self.counts = None
        if self.visits is not None:
            amounts = weights[:, None].expand(rows.shape).flatten()
            self.counts = weights.new_zeros(len(self.rows)).index_add_(0, places.flatten(), amounts)[:, None]
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
        if self.group["weight_decay"]:
            self.rests_evenly = False
            gradient = gradient.add_(values, alpha=self.group["weight_decay"])
        if self.has_prior:
            counts = self.counts if self.slots is None else self.counts.index_select(0, self.slots)
            pull = self.visits.prior.index_select(0, self.rows) * counts
            gradient[:, self.widths[0] :].addcmul_(pull, values[:, self.widths[0] :])
        squares = self._mean_squares(gradient)
        moments = self.moments * _BETA2 + squares * (1 - _BETA2)
        step = self.group["lr"] / (self._normaliser(moments, squares) + _EPSILON)  # (U, G)
        forgetting = self.forgetting
        if isinstance(forgetting, torch.Tensor):
            forgetting = forgetting.index_select(0, self.rows)
            values[:, : self.n_forgetting].mul_(torch.exp(-forgetting))
        elif forgetting:
            values[:, : self.n_forgetting].mul_(math.exp(-forgetting))
        values.addcmul_(gradient, self._by_column(step), value=-1.0)
        self.table.index_copy_(0, self.rows, values)
        self.second_moments.index_copy_(0, self.rows, moments)
        rates = step * self.group["weight_decay"]
        rates[:, : 1 if self.has_prior else None].add_(forgetting)
        self.resting_rates.index_copy_(0, self.rows, rates)
        self._mark(self.rows)
        if self.average is not None:
            self.average.index_copy_(0, self.rows, self.averages.lerp_(values, 1 - decay))
        del self.values, self.moments, self.averages, self.rows, self.slots, self.counts

    def _normaliser(self, moments, squares):
        """Return √v̂ of the rows of the batch, (U, G)."""
        moments = moments / (1 - _BETA2**self.t)
        if self.visits is None:
            return moments.sqrt()
        per_step = self.visits.per_step.index_select(0, self.rows)
        fields = torch.bucketize(self.rows, self.visits.first_rows, right=True) - 1
        is_row = (self.counts > 0).to(squares.dtype)  # not one that repeats another
        seen = torch.zeros_like(self.field_moments)
        seen.index_add_(0, fields, torch.cat([squares * is_row, self.counts.to(squares.dtype)], dim=1))
        self.field_moments.lerp_(seen, 1 - _FIELD_BETA)
        per_visit = self.field_moments[:, :-1] / self.field_moments[:, -1:].clamp(min=1e-30)
        expected = per_step * per_visit.index_select(0, fields)
        own = per_step / (per_step + self.visits.n_drawn)
        return torch.lerp(expected, moments, own).sqrt()

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
        rates = self.resting_rates.index_select(0, rows).double()  # (U, G)
        if self.rests_evenly:
            rates = rates[:, :1]
        n = (self.t - self.last_steps.index_select(0, rows)).double()  # (U, 1)
        left, averages = torch.exp(-rates * n), None
        first_order_alone = self.has_prior and self.rests_evenly  # stays as it is
        if self.average is not None:
            averages = self.average.index_select(0, rows)
            log_decay = self.log_decay - self.last_log_decays.index_select(0, rows)
            kept, shares = _resting_average(rates, n, log_decay)
            if first_order_alone:
                shares = torch.cat([shares, 1 - kept], dim=1)
            averages.mul_(kept.to(values.dtype)).addcmul_(values, self._by_column(shares.to(values.dtype)))
        if first_order_alone:
            values[:, : self.n_forgetting].mul_(left.to(values.dtype))
        else:
            values.mul_(self._by_column(left.to(values.dtype)))
        return values, moments * (_BETA2**n).to(moments.dtype), averages

    def _mean_squares(self, gradient):
        means = [part.square().mean(1, keepdim=True) for part in gradient.split(self.widths, dim=1)]
        return torch.cat(means, dim=1)

    def _by_column(self, amounts):
        """Return `amounts` of groups of columns, (U, G), of each column, (U, w); those of all together as they are."""
        if amounts.shape[1] == 1:
            return amounts
        parts = [part.expand(-1, width) for part, width in zip(amounts.split(1, dim=1), self.widths, strict=True)]
        return torch.cat(parts, dim=1)


def forgetting_rates(shares, n_steps, pace):
    """Return how fast rows forget, per step, (R, 1): f = pace / (100 √n_steps shares^¼).

    An embedding that remembers an impression until it comes again gives its label away, and the network learns to trust
    embeddings that know the answer. The rarer a category is, the more of its embedding is due to each impression.
    Exponents and pace are fitted, to epochs of 50 to 1,500 steps (docs/design.md).

    Parameters
    ----------
    shares : Tensor of shape (R,)
        Of all impressions, by weight, those that meet the row.
    n_steps : int
        Of an epoch.
    pace : float
    """
    return (pace / (100 * math.sqrt(n_steps) * shares.clamp(min=_LEAST_SHARE) ** 0.25))[:, None]


class DistinctRows(NamedTuple):
    """The rows that a batch touches, each to be brought up to date and written once."""

    rows: torch.Tensor  # (U,) int64, ascending
    places: torch.Tensor  # place among `rows` of each entry of the batch
    slots: torch.Tensor | None  # whose gradient a row takes, where it is not its own


def distinct_rows_of(table):
    """Return what gives the `DistinctRows` of a tensor of rows of `table`."""
    return DistinctByMarks(len(table)) if table.device.type == "cpu" else _distinct_without_waiting


class DistinctByMarks:
    """Finds distinct rows by marks on all rows of the table, or by sorting where the table is far longer."""

    def __init__(self, n_rows):
        self.is_met = torch.zeros(n_rows, dtype=torch.bool)
        self.numbers = torch.empty(n_rows, dtype=torch.int64)  # of the rows that are met; of others anything

    def __call__(self, rows):
        if len(self.is_met) > _SCANNED_ROWS * rows.numel():
            return DistinctRows(*torch.unique(rows, return_inverse=True), None)
        entries = rows.flatten()
        self.is_met.index_fill_(0, entries, True)
        distinct = self.is_met.nonzero().flatten()
        self.is_met.index_fill_(0, distinct, False)
        self.numbers.index_copy_(0, distinct, torch.arange(len(distinct)))
        return DistinctRows(distinct, self.numbers.index_select(0, entries).view(rows.shape), None)


def _distinct_without_waiting(rows):
    """Return `DistinctRows` whose number does not depend on the data: as many as the batch has entries.

    A GPU that has to tell how many rows are distinct makes the host wait for all it was given to do. Here what is left
    over repeats the last row, with its gradient, and so writes what is written there anyway.
    """
    if not rows.numel():
        return DistinctRows(rows.flatten(), rows, rows.flatten())
    ordered, order, numbers = numbered(rows.flatten())
    places = torch.empty_like(order).scatter_(0, order, numbers).view(rows.shape)
    distinct = padded_distinct(ordered, numbers)
    slots = torch.arange(len(ordered), device=rows.device).minimum(numbers[-1])
    return DistinctRows(distinct, places, slots)


def numbered(entries):
    """Return the entries (E,) in order, what brings them there, and the place of each of them among the distinct."""
    ordered, order = entries.sort(stable=True)
    is_new = torch.ones_like(ordered, dtype=torch.bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered, order, is_new.cumsum(0) - 1


def padded_distinct(ordered, numbers):
    """Return the distinct ones of entries that are `numbered`, as many as entries: the last one again at the end."""
    return ordered[-1:].repeat(len(ordered)).scatter_(0, numbers, ordered)


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
