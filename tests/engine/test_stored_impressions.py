"""Impressions in files: what those in memory are, part by part, and the order of a pass over them."""

import errno
import io

import numpy as np
import pytest
import torch

from semid.ctr._encoding import EncodedImpressions, EncodedLists
from semid.engine import _stored_impressions
from semid.engine._impressions import Batches, Impressions
from semid.engine._stored_impressions import StoredImpressions, order_of_pass, rows_per_chunk

N = 1000


def _encoded(rng, n=N):
    lengths = rng.integers(1, 4, size=20)
    offsets = np.append(0, np.cumsum(lengths))
    lists = EncodedLists(
        rng.integers(9, size=offsets[-1]).astype(np.int32), offsets, rng.integers(20, size=n).astype(np.int32)
    )
    categories = rng.integers(7, size=(n, 3)).astype(np.int32)
    return EncodedImpressions(categories, [lists], rng.normal(size=(n, 2)).astype(np.float32))


def _rows_of(encoded, rows):
    ((entries, offsets, which),) = encoded.lists
    lists = [EncodedLists(entries, offsets, which[rows])]
    return EncodedImpressions(encoded.categories[rows], lists, encoded.numbers[rows])


@pytest.fixture
def both(monkeypatch):
    """The same impressions in memory and in files, of small chunks, blocks and parts."""
    monkeypatch.setattr(_stored_impressions, "CHUNK_BYTES", 1500)
    monkeypatch.setattr(_stored_impressions, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(_stored_impressions, "_PART_ROWS", 130)
    monkeypatch.setattr(_stored_impressions, "_SCANNED_ROWS", 70)
    rng = np.random.default_rng(0)
    encoded, y, weights = _encoded(rng), rng.integers(2, size=N), rng.uniform(0.5, 2, size=N)
    with StoredImpressions(3, 1, 2, torch.device("cpu"), torch.float32) as stored:
        for rows in np.split(np.arange(N), [1, 300, 999]):
            stored.append(_rows_of(encoded, rows), y[rows], weights[rows])
        yield Impressions(encoded, y, weights, "cpu", torch.float32), stored.complete()


def _flat(batch):
    categories, numbers, y, weights = batch
    return [*categories, numbers, y, weights]


@pytest.mark.parametrize("share", [1.0, 0.6, 0.01])
def test_a_pass_in_order_has_the_batches_of_a_table_in_memory(both, share):
    mask = np.random.default_rng(1).random(N) < share
    in_memory, stored = (impressions.part(mask) for impressions in both)
    assert len(stored) == len(in_memory) == mask.sum()
    batches = [list(Batches(impressions, 7)) for impressions in (in_memory, stored)]
    for expected, batch in zip(*batches, strict=True):
        for tensor, other in zip(_flat(expected), _flat(batch), strict=True):
            torch.testing.assert_close(other, tensor, rtol=1e-7, atol=0)


@pytest.mark.parametrize("is_part", [False, True])
def test_a_pass_at_random_has_the_order_that_is_documented(both, is_part):
    in_memory, stored = both
    if is_part:
        mask = np.random.default_rng(1).random(N) < 0.6
        in_memory, stored = in_memory.part(mask), stored.part(mask)
    order = list(order_of_pass(len(stored), 16, stored._bytes_per_row, torch.Generator().manual_seed(3)))
    assert len(order) > 2
    np.testing.assert_array_equal(np.sort(torch.cat(order)), np.arange(len(stored)))
    assert (torch.cat(order).diff() < 0).float().mean() > 0.4

    expected = [batch for block in order for batch in in_memory.batches(block, 16)]
    batches = list(Batches(stored, 16, torch.Generator().manual_seed(3)))
    assert sum(len(batch[2]) < 16 for batch in batches) <= 1
    for batch, other in zip(expected, batches, strict=True):
        for tensor, read in zip(_flat(batch), _flat(other), strict=True):
            torch.testing.assert_close(read, tensor, rtol=1e-7, atol=0)


def test_what_fits_in_a_block_is_shuffled_as_in_memory(both, monkeypatch):
    monkeypatch.setattr(_stored_impressions, "BLOCK_BYTES", 10**6)
    for batch, other in zip(*(Batches(i, 64, torch.Generator().manual_seed(0)) for i in both), strict=True):
        torch.testing.assert_close(other[1], batch[1], rtol=0, atol=0)


def test_chunks_are_whole_batches():
    for batch_size in (1, 64, 2048, 10**6):
        assert rows_per_chunk(batch_size, 88.0) % batch_size == 0


@pytest.mark.parametrize("field", [0, 2, 3])
def test_the_entries_of_parts_are_those_of_all(both, field):
    mask = np.random.default_rng(1).random(N) < 0.5
    in_memory, stored = (impressions.part(mask) for impressions in both)
    expected, parts = in_memory.entries(field), [part.entries(field) for part in stored.parts]
    assert len(parts) == 4
    assert torch.equal(torch.cat([part.categories for part in parts]), expected.categories)
    assert torch.equal(torch.cat([part.shares for part in parts]), expected.shares)
    n_before = np.cumsum([0, *(len(part.labels_and_weights()[0]) for part in stored.parts)])
    owners = [part.impressions + n for part, n in zip(parts, n_before, strict=False)]
    assert torch.equal(torch.cat(owners), expected.impressions)


def test_weights_are_one_on_average_in_every_part(both):
    in_memory, stored = both
    assert stored.weight_scale == pytest.approx(in_memory.weight_scale, rel=1e-12)
    assert stored.least_weight() == pytest.approx(in_memory.least_weight(), rel=1e-12)
    mask = np.arange(N) < 100
    np.testing.assert_allclose(stored.part(mask).weight_scale, in_memory.part(mask).weight_scale, rtol=1e-12)
    assert stored.part(mask).first(10).weight_scale == stored.part(mask).weight_scale


def test_tensors_are_kept_by_number(both):
    kept = both[1].kept_by_part()
    kept[0], kept[3] = torch.arange(3.0), torch.ones(2, dtype=torch.float64)
    kept[0] = kept[0] + 1
    assert kept[0].tolist() == [1, 2, 3]
    assert kept[3].dtype == torch.float64


class _Disk:
    """A file of a full or slow disk: takes so many bytes in all, and so many at once."""

    def __init__(self, room, at_once):
        self._file, self._room, self._at_once = io.BytesIO(), room, at_once

    def seek(self, offset):
        self._file.seek(offset)

    def write(self, data):
        data = bytes(data[: min(self._at_once, self._room - self._file.tell())])
        if not data:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)

    def readinto(self, buffer):
        return self._file.readinto(buffer[: self._at_once])


def test_rows_are_whole_where_the_system_takes_them_in_pieces():
    rows = _stored_impressions._Rows(_Disk(10**6, at_once=1001), np.int64, 3)
    array = np.arange(3000).reshape(1000, 3)
    rows.append(array[:400])
    rows.append(array[400:])
    np.testing.assert_array_equal(rows.read(slice(0, 1000)), array)
    np.testing.assert_array_equal(rows.read(slice(399, 402)), array[399:402])


def test_a_disk_that_is_full_and_a_file_that_was_cut_are_told():
    rows = _stored_impressions._Rows(_Disk(10_000, at_once=4096), np.int32)
    rows.append(np.arange(2250))
    with pytest.raises(OSError, match="No space left"):
        rows.append(np.arange(500))
    with pytest.raises(OSError, match="it has been cut"):
        rows.read(slice(0, 2600))


@pytest.mark.parametrize("n_columns", [0, 1, 5])
def test_columns_of_blocks_are_those_of_the_whole(n_columns):
    array = np.random.default_rng(0).integers(100, size=(500, n_columns)).astype(np.int32)
    columns = _stored_impressions._Columns(_stored_impressions._Rows(_Disk(10**6, 999), np.int32), n_columns)
    for block in np.split(array, [0, 1, 200, 200, 499]):
        columns.append(block)
    for first, stop in [(0, 500), (0, 0), (0, 1), (1, 200), (150, 499), (199, 201), (499, 500), (500, 500)]:
        for n in range(n_columns):
            np.testing.assert_array_equal(columns.read(n, slice(first, stop)), array[first:stop, n])
