"""Encoded impressions in files, of which a training holds a block at a time.

A pass at random goes through chunks of about a megabyte, each of neighbouring impressions, in an order of chance. As
many chunks as a block holds are read together and their impressions shuffled, so that a batch is of all chunks of its
block. Impressions that fit in one block are shuffled as those in memory are, to the same order.

The files have no names, where the system lets files be without: whatever ends the process, they are gone.

Letters: n impressions, C categorical fields, M numbers.
"""

import contextlib
import copy
import tempfile
from bisect import bisect_right
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from semid.engine._impressions import Impressions
from semid.nn._click_rates import FieldEntries
from semid.nn._fields import entries_of_lists

BLOCK_BYTES = 2**27  # shuffled at once
CHUNK_BYTES = 2**20  # read at once
_PART_ROWS = 2**18  # of which statistics are taken at once
_SCANNED_ROWS = 2**20  # of a mask


class _Encoded(NamedTuple):
    """As `Impressions` takes them."""

    categories: np.ndarray  # (n, C) int32
    lists: list[tuple]  # (entries, offsets, which) each
    numbers: np.ndarray  # (n, M) float32
    histories: tuple = ()


class StoredImpressions(Dataset):
    """What `Impressions` are, in temporary files: `append` writes them, and then they are read in parts.

    A context manager, which closes the files.

    Parameters
    ----------
    n_categorical, n_lists, n_numbers : int
    device : torch.device
        Where blocks are, not all of it.
    dtype : torch.dtype
    """

    def __init__(self, n_categorical, n_lists, n_numbers, device, dtype):
        self.device, self.dtype = device, dtype
        self._files = contextlib.ExitStack()
        numpy_dtype = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
        self._categories = _Columns(self._new_rows(np.int32), n_categorical)
        self._lists = [_Lists(self._new_rows(np.int32), self._new_rows(np.int64)) for _ in range(n_lists)]
        self._numbers = self._new_rows(np.float32, n_numbers)
        self._y, self._weights = self._new_rows(numpy_dtype), self._new_rows(numpy_dtype)
        self._is_in_part = None  # (n,) bool, of a part
        self._n_rows = 0

    def _new_rows(self, dtype, width=None):
        return _Rows(self._files.enter_context(tempfile.TemporaryFile(buffering=0)), dtype, width)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._files.close()

    def append(self, encoded, y, weights):
        """Write impressions behind those that are there; `complete` comes after the last."""
        self._categories.append(encoded.categories)
        for column, of_batch in zip(self._lists, encoded.lists, strict=True):
            column.append(*of_batch)
        self._numbers.append(encoded.numbers)
        self._y.append(y)
        self._weights.append(weights)
        self._n_rows += len(y)

    def complete(self):
        """Return the impressions, all of which have been written."""
        return self.part(None)

    def part(self, mask):
        """Return the impressions of a mask (n,) alone, which has a byte for each; of None, all."""
        part = copy.copy(self)
        part._is_in_part = mask
        total = sum(one.labels_and_weights()[1].double().sum() for one in part.parts)
        part.weight_scale = 1 / (total / len(part)).item()
        return part

    def first(self, n_rows):
        """Return the first `n_rows` impressions, in memory, with weights on the scale of all."""
        return self._read([self._spans(n_rows)[0]])

    @property
    def parts(self):
        return _Parts(self)

    def kept_by_part(self):
        return _KeptTensors(self._new_rows(np.float64))

    def least_weight(self):
        least = min(part.labels_and_weights()[1].min().item() for part in self.parts)
        return least * self.weight_scale

    def tensors(self):
        """Yield all that the batches are made of, in blocks."""
        for span in self._spans(_PART_ROWS):
            yield from self._read([span]).tensors()

    def one_pass(self, batch_size, generator=None, n_shares=1):
        """Yield all impressions once, `batch_size` at a time: in order, or as `order_of_pass` says."""
        spans = self._spans(rows_per_chunk(batch_size, self._bytes_per_row))
        for block in blocks_of_pass(len(spans), batch_size, self._bytes_per_row, generator):
            impressions = self._read([spans[number] for number in block])
            yield from impressions.one_pass(batch_size, generator, n_shares)
            del impressions  # before another block is read

    def __len__(self):
        return self._n_rows if self._is_in_part is None else int(self._is_in_part.sum())

    @property
    def _bytes_per_row(self):
        columns = (self._categories, *self._lists, self._numbers, self._y, self._weights)
        return sum(column.n_bytes for column in columns) / max(self._n_rows, 1)

    def _spans(self, n_rows):
        """Return slices of the files that hold `n_rows` impressions of this part each, but for the last."""
        if self._is_in_part is None:
            starts = [*range(0, self._n_rows, n_rows)]
        else:
            starts, n_before = [], 0
            for first in range(0, self._n_rows, _SCANNED_ROWS):
                rows = np.flatnonzero(self._is_in_part[first : first + _SCANNED_ROWS])
                starts += (first + rows[-n_before % n_rows :: n_rows]).tolist()
                n_before += len(rows)
        return [*map(slice, starts, [*starts[1:], self._n_rows])]

    def _kept(self, span):
        """Return which rows of a slice of the files are impressions of this part."""
        return slice(None) if self._is_in_part is None else np.flatnonzero(self._is_in_part[span])

    def _labels_and_weights(self, span):
        kept = self._kept(span)
        return tuple(torch.from_numpy(column.read(span)[kept]).to(self.device) for column in (self._y, self._weights))

    def _entries(self, span, field):
        """Return the `FieldEntries` of a field in a slice."""
        kept, n_categorical = self._kept(span), self._categories.n_columns
        if field < n_categorical:
            categories = torch.from_numpy(self._categories.read(field, span)[kept]).to(self.device).long()
            impressions = torch.arange(len(categories), device=self.device)
            return FieldEntries(categories, impressions, torch.ones_like(categories, dtype=torch.float64))
        column = [torch.from_numpy(a).to(self.device) for a in self._lists[field - n_categorical].read([(span, kept)])]
        rows = torch.arange(len(column[2]), device=self.device)
        entries, impressions, lengths = entries_of_lists(column, rows)
        return FieldEntries(entries, impressions, 1 / lengths.double()[impressions])

    def _read(self, spans):
        """Return the impressions of several slices of the files as `Impressions`, with weights on the scale of all."""
        spans = [(span, self._kept(span)) for span in spans]

        def together(read):
            return np.concatenate([read(span)[kept] for span, kept in spans])

        y = together(self._y.read)
        categories = np.empty((len(y), self._categories.n_columns), dtype=np.int32)
        for n in range(self._categories.n_columns):
            categories[:, n] = together(partial(self._categories.read, n))
        lists = [column.read(spans) for column in self._lists]
        encoded = _Encoded(categories, lists, together(self._numbers.read))
        impressions = Impressions(encoded, y, together(self._weights.read), self.device, self.dtype)
        impressions.weight_scale = self.weight_scale
        return impressions


def rows_per_chunk(batch_size, bytes_per_row):
    """Return how many impressions are read together: a multiple of the batch, about `CHUNK_BYTES`."""
    return batch_size * max(1, int(CHUNK_BYTES // (batch_size * bytes_per_row)))


def blocks_of_pass(n_chunks, batch_size, bytes_per_row, generator=None):
    """Yield the numbers of the chunks of each block: in order, one by one, or in an order that a `generator` draws.

    Chunks that fit in one block stay in order.
    """
    if generator is None:
        yield from ([number] for number in range(n_chunks))
        return
    n_at_once = max(1, int(BLOCK_BYTES // (rows_per_chunk(batch_size, bytes_per_row) * bytes_per_row)))
    order = range(n_chunks) if n_chunks <= n_at_once else torch.randperm(n_chunks, generator=generator).tolist()
    yield from (order[first : first + n_at_once] for first in range(0, n_chunks, n_at_once))


def order_of_pass(n_rows, batch_size, bytes_per_row, generator):
    """Yield the impressions of each block of a pass at random, as positions (b,), in the order of their batches."""
    chunks = torch.arange(n_rows).split(rows_per_chunk(batch_size, bytes_per_row))
    for block in blocks_of_pass(len(chunks), batch_size, bytes_per_row, generator):
        rows = torch.cat([chunks[number] for number in block])
        yield rows[torch.randperm(len(rows), generator=generator)]


class _Part:
    """Some neighbouring impressions, of which a field is read when it is asked for."""

    def __init__(self, impressions, span):
        self._impressions, self._span = impressions, span

    def entries(self, field):
        return self._impressions._entries(self._span, field)

    def labels_and_weights(self):
        return self._impressions._labels_and_weights(self._span)


class _Parts:
    """The parts of stored impressions, as often as they are gone through."""

    def __init__(self, impressions):
        self._impressions = impressions
        self._spans = impressions._spans(_PART_ROWS)

    def __iter__(self):
        return (_Part(self._impressions, span) for span in self._spans)


class _KeptTensors:
    """Tensors (n,) of float64 by number, in a file; each may be set again, to one of the same length."""

    def __init__(self, rows):
        self._rows, self._spans = rows, {}

    def __setitem__(self, number, tensor):
        if number not in self._spans:
            self._spans[number] = slice(len(self._rows), len(self._rows) + len(tensor))
        self._rows.write(tensor.cpu().numpy(), self._spans[number].start)
        self._device = tensor.device

    def __getitem__(self, number):
        return torch.from_numpy(self._rows.read(self._spans[number])).to(self._device)


class _Rows:
    """An array (n,) or (n, width) in a file without a buffer, written from its start and read in slices."""

    def __init__(self, file, dtype, width=None):
        self._file, self.dtype, self.width, self.n_bytes = file, np.dtype(dtype), width, 0

    def __len__(self):
        return self.n_bytes // self.dtype.itemsize  # of an array (n,), the only one that is asked

    def append(self, rows):
        self._write(rows, self.n_bytes)

    def write(self, rows, first):
        """Overwrite, or add, rows from the one of number `first` on, of an array (n,)."""
        self._write(rows, first * self.dtype.itemsize)

    def _write(self, rows, offset):
        # Not with tofile, which does not tell of the last bytes that had no room.
        left = memoryview(np.ascontiguousarray(rows, dtype=self.dtype)).cast("B") if rows.size else b""
        end = offset + len(left)
        self._file.seek(offset)
        while left:
            left = left[self._file.write(left) :]
        self.n_bytes = max(self.n_bytes, end)

    def read(self, span):
        shape = (span.stop - span.start, *(() if self.width is None else (self.width,)))
        rows = np.empty(shape, dtype=self.dtype)
        if rows.size:
            self._file.seek(span.start * rows[0].nbytes)
            left = memoryview(rows).cast("B")
            while left:
                n_read = self._file.readinto(left)
                if n_read == 0:
                    raise OSError(f"a temporary file must have {len(left)} bytes more than it has: it has been cut.")
                left = left[n_read:]
        return rows


class _Columns:
    """An array (n, C) in one file, whose columns are read one by one: what is written at once lies column by column."""

    def __init__(self, rows, n_columns):
        self._rows, self.n_columns = rows, n_columns
        self._starts = [0]  # of what was written at once, in rows of the array, and behind them n

    @property
    def n_bytes(self):
        return self._rows.n_bytes

    def append(self, block):
        self._rows.append(block.T)
        self._starts.append(self._starts[-1] + len(block))

    def read(self, column, span):
        """Return a slice of a column."""
        parts = [np.empty(0, dtype=self._rows.dtype)]
        for number in range(bisect_right(self._starts, span.start) - 1, len(self._starts) - 1):
            first, stop = self._starts[number : number + 2]
            if first >= span.stop:
                break
            begin = first * self.n_columns + column * (stop - first) - first  # where row 0 would be
            parts.append(self._rows.read(slice(begin + max(first, span.start), begin + min(stop, span.stop))))
        return np.concatenate(parts)


class _Lists:
    """A column of lists in two files: entries end to end, and where each list ends."""

    def __init__(self, entries, stops):
        self._entries, self._stops = entries, stops
        self._n_entries = 0

    @property
    def n_bytes(self):
        return self._entries.n_bytes + self._stops.n_bytes

    def append(self, entries, offsets, which):
        lengths = np.diff(offsets)[which]
        stops = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(offsets[which] - (stops - lengths), lengths)
        self._entries.append(entries[places])
        self._stops.append(self._n_entries + stops)
        self._n_entries += len(places)

    def read(self, spans):
        """Return entries, offsets and which list each row has, of the rows that are `kept` of each slice."""
        all_entries, all_lengths = [], []
        for span, kept in spans:
            before = self._stops.read(slice(span.start - 1, span.start)) if span.start else np.zeros(1, dtype=np.int64)
            offsets = np.append(before, self._stops.read(span))
            entries, lengths = self._entries.read(slice(offsets[0], offsets[-1])), np.diff(offsets)
            if not isinstance(kept, slice):
                is_kept = np.zeros(len(lengths), dtype=bool)
                is_kept[kept] = True
                entries, lengths = entries[np.repeat(is_kept, lengths)], lengths[kept]
            all_entries.append(entries)
            all_lengths.append(lengths)
        lengths = np.concatenate(all_lengths)
        return np.concatenate(all_entries), np.append(0, np.cumsum(lengths)), np.arange(len(lengths), dtype=np.int32)
