"""Encoded impressions as tensors which stay where they are, and batches of them."""

import copy
from itertools import islice

import numpy as np
import torch
from torch.utils.data import Dataset

from semid.nn._click_rates import FieldEntries
from semid.nn._fields import CategoriesWithHistories, entries_of_lists, lengths_of_lists, with_lists
from semid.nn._histories import HistoryColumn, batch_history


class Impressions(Dataset):
    """Encoded impressions as tensors on one device; a part of them shares the tensors of the whole."""

    def __init__(self, encoded, y, weights, device, dtype):
        self.categories = torch.as_tensor(encoded.categories, device=device)  # (n, C) int32
        self.lists = [tuple(torch.as_tensor(array, device=device) for array in column) for column in encoded.lists]
        self.histories = [HistoryColumn(*(_tensor(a, device) for a in column)) for column in encoded.histories]
        self.numbers = torch.as_tensor(encoded.numbers, dtype=dtype, device=device)  # (n, M + vector columns)
        self.y = torch.as_tensor(y, dtype=dtype, device=device)  # (n,)
        self.weights = torch.as_tensor(weights, dtype=dtype, device=device)  # (n,)
        self.rows = None  # of a part
        self.weight_scale = 1 / self.weights.double().mean().item()

    @property
    def device(self):
        return self.y.device

    @property
    def parts(self):
        """What a pass in order goes through, one after another: here all at once."""
        return [self]

    def part(self, rows):
        """Return the impressions of `rows` alone, an array of positions or a mask."""
        part = copy.copy(self)
        rows = np.asarray(rows)
        part.rows = torch.as_tensor(np.flatnonzero(rows) if rows.dtype == bool else rows, device=self.y.device)
        part.weight_scale = 1 / self.weights[part.rows].double().mean().item()
        return part

    def first(self, n_rows):
        """Return the first `n_rows` impressions, with weights on the scale of all."""
        part = copy.copy(self)
        rows = torch.arange(len(self), device=self.y.device) if self.rows is None else self.rows
        part.rows = rows[:n_rows]
        return part

    def entries(self, field):
        """Return the `FieldEntries` of a categorical field or, behind those, of a list."""
        rows = torch.arange(len(self.y), device=self.y.device) if self.rows is None else self.rows
        n_categorical = self.categories.shape[1]
        if field < n_categorical:
            categories = self.categories[rows, field].long()
            impressions = torch.arange(len(rows), device=rows.device)
            return FieldEntries(categories, impressions, torch.ones_like(categories, dtype=torch.float64))
        entries, impressions, lengths = entries_of_lists(self.lists[field - n_categorical], rows)
        return FieldEntries(entries, impressions, 1 / lengths.double()[impressions])

    def labels_and_weights(self):
        """Return labels, and weights as they were given."""
        rows = slice(None) if self.rows is None else self.rows
        return self.y[rows], self.weights[rows]

    def least_weight(self):
        """Return the smallest weight of an impression, where they are 1 on average."""
        return self.labels_and_weights()[1].min().item() * self.weight_scale

    def kept_by_part(self):
        """Return where something may be kept for each of `parts`, by its number."""
        return {}

    def tensors(self):
        """Yield all that the batches are made of."""
        yield from (self.categories, self.numbers, self.y, self.weights)
        for column in (*self.lists, *self.histories):
            yield from column
        if self.rows is not None:
            yield self.rows

    def __len__(self):
        return len(self.y) if self.rows is None else len(self.rows)

    def __getitem__(self, rows):
        """Return categories, with those of lists and histories, numbers, labels, and weights of mean 1."""
        (batch,) = self.batches(rows, max(1, len(rows)))
        return batch

    def one_pass(self, batch_size, generator=None, n_shares=1):
        """Yield all impressions once, `batch_size` at a time: in order, or in one that a `generator` draws."""
        order = torch.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator)
        yield from self.batches(order.to(self.y.device), batch_size, n_shares)

    def batches(self, rows, batch_size, n_shares=1):
        """Yield what `rows`, a tensor of positions, have, `batch_size` of them at a time.

        With several shares each is a list of so many, of which some may be empty.
        """
        rows = rows if self.rows is None else self.rows[rows]
        parts = rows.split(batch_size)
        if n_shares == 1:
            yield from self._pieces(rows, parts)
            return
        pieces = self._pieces(rows, [share for part in parts for share in part.tensor_split(n_shares)])
        while shares := list(islice(pieces, n_shares)):
            yield shares

    def _pieces(self, rows, parts):
        """Yield what each of the `parts` of `rows` has."""
        n_of_lists = _entries_per_part([lengths_of_lists(column, rows) for column in self.lists], parts)
        n_of_histories = _entries_per_part([column.lengths(rows) for column in self.histories], parts)
        for part in parts:
            categories = self.categories[part]
            categories = with_lists(categories, self.lists, part, next(n_of_lists)) if self.lists else categories.long()
            if self.histories:
                batch = zip(self.histories, next(n_of_histories), strict=True)
                categories = CategoriesWithHistories(categories, tuple(batch_history(c, part, n) for c, n in batch))
            yield categories, self.numbers[part], self.y[part], self.weights[part] * self.weight_scale


class Batches:
    """Iterates over a dataset in slices; takes the place of the DataLoader in skorch."""

    def __init__(self, dataset, batch_size, generator=None, n_shares=1):
        self.dataset, self.batch_size, self.generator, self.n_shares = dataset, batch_size, generator, n_shares

    def __iter__(self):
        yield from self.dataset.one_pass(self.batch_size, self.generator, self.n_shares)


def _entries_per_part(columns, parts):
    """Yield how many entries each part has of each column, of `lengths` (n,) per row, read from the device at once."""
    sizes = [len(part) for part in parts]
    sums = [torch.stack([part.sum() for part in lengths.split(sizes)]).tolist() for lengths in columns]
    yield from zip(*sums, strict=True)


def _tensor(array, device):
    """Return a tensor of an array; of one that is read backwards, or that nobody may write, as a log's, a copy."""
    array = np.ascontiguousarray(array)  # torch takes neither
    return torch.as_tensor(array if array.flags.writeable else array.copy(), device=device)
