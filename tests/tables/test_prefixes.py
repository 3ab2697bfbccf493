"""The tree of codes against a dict of beginnings."""

from itertools import product

import numpy as np
import pytest

from semid.io import prefix_table


def _naive(codes):
    """Return for each beginning of codes which codes come next in any row."""
    following = {}
    for row in codes.tolist():
        for n in range(len(row)):
            following.setdefault(tuple(row[:n]), set()).add(row[n])
    return following


@pytest.mark.parametrize("sizes", [(4,), (3, 5), (2, 7, 3), (6, 1, 6, 2)])
def test_allowed_codes_are_those_of_the_items_with_that_beginning(sizes, rng):
    codes = np.column_stack([rng.integers(size, size=15) for size in sizes])
    table, following = prefix_table(codes, sizes), _naive(codes)
    for n in range(len(sizes)):
        prefixes = np.array(list(product(*map(range, sizes[:n]))), dtype=np.int64)
        allowed = table.allowed(prefixes)
        assert allowed.shape == (len(prefixes), sizes[n])
        for prefix, mask in zip(prefixes.tolist(), allowed, strict=True):
            assert set(np.flatnonzero(mask)) == following.get(tuple(prefix), set())


def test_items_are_the_rows_that_have_the_codes(rng):
    codes = rng.integers(3, size=(40, 3))
    asked = np.array(list(product(range(3), repeat=3)))
    for row, items in zip(asked, prefix_table(codes, [3, 3, 3]).items(asked), strict=True):
        np.testing.assert_array_equal(items, np.flatnonzero((codes == row).all(axis=1)))


def test_nodes_are_numbered_in_the_order_of_their_codes_and_unknown_ones_are_none(rng):
    codes = rng.integers(4, size=(30, 3))
    table = prefix_table(codes, [4, 4, 4])
    for n in range(1, 4):
        distinct = np.unique(codes[:, :n], axis=0)
        np.testing.assert_array_equal(table.nodes(distinct), np.arange(len(distinct)))
        assert table.n_nodes[n - 1] == len(distinct)
    assert table.nodes([[9, 0, 0], [-1, 0, 0], [0, -1, 0]]).tolist() == [-1, -1, -1]


def test_a_code_beyond_its_codebook_is_not_that_of_the_next_node():
    table = prefix_table([[0, 1], [1, 0]])
    assert table.nodes([[0, 2]]).tolist() == [-1]  # 0 · 2 + 2 is the key of 1, 0
    assert not table.allowed([[7]]).any()


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        ([0, 1], None, r"codes must have shape \(n_items, n_codebooks\)"),
        (np.empty((0, 2)), None, "not be empty"),
        ([[0, -1]], None, "must not be negative, got -1"),
        ([[0, 3]], [2, 3], r"codes of codebook 1 must lie in \[0, 3\), got 3"),
        ([[0, 0.5]], None, "codes must be integers"),
        ([[0, 2**62]], None, "codebook_sizes must be below"),
    ],
)
def test_codes_that_are_none_are_refused(codes, sizes, message):
    with pytest.raises(ValueError, match=message):
        prefix_table(codes, sizes)


def test_beginnings_that_are_none_are_refused():
    table = prefix_table([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"prefixes must have shape \(n_prefixes, n\) with n up to 2, got \(1, 3\)"):
        table.nodes([[0, 1, 2]])
    with pytest.raises(ValueError, match="less than 2 codes"):
        table.allowed([[0, 1]])
    with pytest.raises(ValueError, match="whole numbers"):
        table.allowed([[0.5]])
    with pytest.raises(ValueError, match="a column for each of 2 codebooks, got 1"):
        table.items([[0]])


def test_a_million_items_take_seconds_and_the_memory_that_is_said(rng):
    codes = rng.integers(256, size=(1_000_000, 4))
    table = prefix_table(codes)
    assert table.nbytes <= 8 * sum(table.n_nodes) + 16 * len(codes) + 8
    asked = codes[:1000]
    assert table.allowed(asked[:, :3])[np.arange(1000), asked[:, 3]].all()
