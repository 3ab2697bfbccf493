"""Sequences of items as tensors which stay where they are, and batches of them.

Letters: E entries of all sequences, S sequences, B of them in a batch, L length of its longest.
"""

from typing import NamedTuple

import numpy as np
import torch

_SORTED_BATCHES = 50  # whose sequences are sorted by length before they are cut into batches


class SequenceBatch(NamedTuple):
    items: torch.Tensor  # (B, L) int64, 0 behind the end of a sequence
    is_there: torch.Tensor  # (B, L) bool


class Sequences:
    """Ranges of one array of items, each a sequence."""

    def __init__(self, entries, starts, stops, device):
        self.entries = torch.as_tensor(np.ascontiguousarray(entries), dtype=torch.int64, device=device)
        self.starts = torch.as_tensor(np.ascontiguousarray(starts), dtype=torch.int64, device=device)
        self.lengths = torch.as_tensor(np.ascontiguousarray(stops - starts), dtype=torch.int64, device=device)

    def __len__(self):
        return len(self.starts)

    def tensors(self):
        """Yield all that the batches are made of."""
        yield from (self.entries, self.starts, self.lengths)

    def batch(self, rows):
        """Return the sequences `rows`, a tensor of positions, side by side, as a `SequenceBatch`."""
        lengths = self.lengths[rows]
        places = torch.arange(int(lengths.max()), device=rows.device)
        is_there = places < lengths[:, None]
        return SequenceBatch(self.entries[((self.starts[rows][:, None] + places) * is_there)] * is_there, is_there)


class SequenceBatches:
    """Iterates over sequences in random order, such that those of a batch are of about one length.

    Takes the place of the DataLoader in skorch. Without a generator, in the order that they have.
    """

    def __init__(self, dataset, batch_size, generator=None):
        self.dataset, self.batch_size, self.generator = dataset, batch_size, generator

    def __iter__(self):
        n = len(self.dataset)
        if self.generator is None:
            parts = torch.arange(n).split(self.batch_size)
        else:
            order, lengths = torch.randperm(n, generator=self.generator), self.dataset.lengths.cpu()
            chunks = order.split(self.batch_size * _SORTED_BATCHES)
            chunks = [chunk[lengths[chunk].argsort(stable=True)] for chunk in chunks]
            parts = [part for chunk in chunks for part in chunk.split(self.batch_size)]
            parts = [parts[i] for i in torch.randperm(len(parts), generator=self.generator).tolist()]
        for part in parts:
            yield self.dataset.batch(part.to(self.dataset.starts.device))


def windows(starts, stops, max_length):
    """Return the bounds of windows of up to `max_length` + 1 entries, so that each entry but a first is a target once.

    Cut from the end: the last window of a sequence is full, and each begins with what was the last target of the one
    before it. A sequence of less than two entries has no target and no window.
    """
    lengths = stops - starts
    n_windows = np.where(lengths < 2, 0, -(-(lengths - 1) // max_length))
    owners = np.repeat(np.arange(len(starts)), n_windows)
    from_last = np.arange(len(owners)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    ends = stops[owners] - from_last * max_length
    return np.maximum(starts[owners], ends - max_length - 1), ends
