"""Histories in a batch, and what poolings make of them, against loops over impressions."""

import numpy as np
import pytest
import torch

from semid.nn import _entries
from semid.nn._entries import at_entries, entry_products, weighted_sums
from semid.nn._fields import (
    MISSING,
    CategoriesWithHistories,
    FieldEmbedding,
    FieldShapes,
    HistoryShape,
    TouchedRows,
    field_visits,
    with_lists,
)
from semid.nn._fusions import FieldFusion
from semid.nn._histories import (
    POOLINGS,
    HistoryColumn,
    InterestPooling,
    MeanPooling,
    TargetAttention,
    batch_history,
    softmax_of_each,
)


def _column(seed=0, n=9, n_items=7, n_fields=3):
    """Return histories of lengths 0 to 5, some of the same entries, of items that some fields do not know."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, 12, size=n)
    lengths = np.append([0, 0], rng.integers(0, 6, size=n - 2))
    return HistoryColumn(
        torch.tensor(rng.integers(n_items, size=20), dtype=torch.int32),
        torch.tensor(rng.integers(MISSING, 5, size=(n_items, n_fields)), dtype=torch.int32),
        torch.tensor(starts),
        torch.tensor(starts + lengths),
    )


def _categories_of(column, row):
    """Return the categories of the entries of one history, (n_entries, K)."""
    return column.categories[column.entries[column.starts[row] : column.stops[row]].long()]


def _batch(column, rows):
    return batch_history(column, torch.tensor(rows))


@pytest.mark.parametrize("rows", [[3, 0, 8, 3], [1], [0, 1]], ids=["several", "empty", "all empty"])
def test_a_batch_holds_the_entries_of_its_histories_and_each_item_once(rows):
    column = _column()
    history = _batch(column, rows)
    assert history.lengths.tolist() == [len(_categories_of(column, row)) for row in rows]
    for b, row in enumerate(rows):
        entries = history.entries[history.owners == b]
        assert torch.equal(history.categories[entries], _categories_of(column, row).long())
    used = {int(item) for row in rows for item in column.entries[column.starts[row] : column.stops[row]]}
    assert len(history.categories) == len(used)


def test_the_cost_of_a_batch_is_that_of_its_entries_however_long_another_history_is():
    column = _column()
    n_entries = 1_000_000
    entries = torch.cat([column.entries, torch.zeros(n_entries, dtype=torch.int32)])
    starts, stops = torch.cat([column.starts, torch.tensor([20])]), torch.cat([column.stops, torch.tensor([n_entries])])
    longer = column._replace(entries=entries, starts=starts, stops=stops)
    rows = torch.tensor([3, 4, 5])
    for mine, its in zip(batch_history(longer, rows), batch_history(column, rows), strict=True):
        assert torch.equal(mine, its)


def _naive_sums(items, history, weights):
    return torch.stack(
        [
            sum((w * items[i] for i, o, w in zip(history.entries, history.owners, weights, strict=True) if o == b))
            if n
            else torch.zeros_like(items[0])
            for b, n in enumerate(history.lengths.tolist())
        ]
    )


def test_weighted_sums_equal_the_loop_over_entries_and_so_do_their_gradients():
    history = _batch(_column(), [3, 0, 8, 5, 3])
    torch.manual_seed(0)
    items = torch.randn(len(history.categories), 2, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(history.entries), dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(5, 2, 3, dtype=torch.float64)
    sums = weighted_sums(items, history, weights)
    naive = _naive_sums(items, history, weights)
    torch.testing.assert_close(sums, naive)
    gradients = torch.autograd.grad((sums * upstream).sum(), (items, weights))
    expected = torch.autograd.grad((naive * upstream).sum(), (items, weights))
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("part", [2**19, 7], ids=["at once", "in parts"])
@pytest.mark.parametrize("rows", [[3, 0, 8, 5, 3], [0, 1]], ids=["several", "all empty"])
def test_entry_products_equal_the_loop_over_entries_and_so_do_their_gradients(part, rows, monkeypatch):
    monkeypatch.setattr(_entries, "_PART", part)
    history = _batch(_column(), rows)
    torch.manual_seed(0)
    queries = torch.randn(len(rows), 3, dtype=torch.float64, requires_grad=True)
    items = torch.randn(len(history.categories), 3, dtype=torch.float64, requires_grad=True)
    products = entry_products(queries, items, history)
    expected = [(queries[o] @ items[e]).detach().item() for o, e in zip(history.owners, history.entries, strict=True)]
    torch.testing.assert_close(products, torch.tensor(expected, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda q, k: entry_products(q, k, history), (queries, items))


def test_tables_at_entries_are_their_rows_and_gradients_add_up_over_the_entries_of_an_item():
    history = _batch(_column(), [3, 0, 8, 5, 3])
    torch.manual_seed(0)
    tables = [torch.randn(len(history.categories), w, dtype=torch.float64, requires_grad=True) for w in (2, 3)]
    for table, found in zip(tables, at_entries(history, *tables), strict=True):
        assert torch.equal(found, table[history.entries])
    assert torch.autograd.gradcheck(lambda *tables: at_entries(history, *tables), tables)


def test_mean_pooling_equals_the_mean_over_each_history_and_zero_for_an_empty_one():
    history = _batch(_column(), [3, 0, 8, 5, 3])
    items = torch.randn(len(history.categories), 2, 3)
    pooled = MeanPooling(2, 3)(torch.zeros(5, 2, 3), items, history)
    for b, n in enumerate(history.lengths.tolist()):
        of_b = items[history.entries[history.owners == b]]
        torch.testing.assert_close(pooled[b], of_b.mean(0) if n else torch.zeros(2, 3))


def test_attention_equals_the_softmax_over_each_history():
    history = _batch(_column(), [3, 0, 8, 5, 3])
    torch.manual_seed(1)
    attention = TargetAttention(2, 3).double()
    torch.nn.init.normal_(attention.scale, std=300.0)  # beyond what exp takes
    query, items = torch.randn(5, 2, 3).double(), torch.randn(len(history.categories), 2, 3).double()
    pooled = attention(query, items, history)
    for b, n in enumerate(history.lengths.tolist()):
        of_b = items[history.entries[history.owners == b]]
        scores = torch.einsum("kd,nkd,k->n", query[b], of_b, attention.scale)
        expected = torch.einsum("n,nkd->kd", scores.softmax(0), of_b) if n else torch.zeros(2, 3).double()
        torch.testing.assert_close(pooled[b], expected)


def test_the_gradient_of_attention_is_that_of_the_softmax():
    history = _batch(_column(), [3, 0, 8])
    scores = torch.randn(len(history.entries)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: softmax_of_each(scores, history), scores)


def test_interests_equal_the_unit_of_the_paper_asked_for_each_entry():
    history = _batch(_column(), [3, 0, 8, 5, 3])
    torch.manual_seed(1)
    attention = InterestPooling(2, 3).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    query, items = torch.randn(5, 2, 3).double(), torch.randn(len(history.categories), 2, 3).double()
    # W [q, k, q - k, q ∘ k] as the paper has it: the share of q - k is in what is made of q and of k.
    unit, w_difference = attention.unit, torch.randn(36, 6).double()
    w_query, w_item = unit.of_query.weight - w_difference, unit.of_item.weight + w_difference
    w = torch.cat([w_query, w_item, w_difference, unit.of_product.weight], dim=1)
    pooled = attention(query, items, history)
    for b in range(5):
        q, total = query[b].flatten(), torch.zeros(2, 3).double()
        for entry in history.entries[history.owners == b]:
            k = items[entry].flatten()
            hidden = w @ torch.cat([q, k, q - k, q * k]) + unit.of_query.bias
            hidden = torch.where(hidden > 0, hidden, hidden * unit.slope)
            score = unit.out.weight[0] @ hidden + unit.out.bias[0]
            total += items[entry] * score
        torch.testing.assert_close(pooled[b], total)


def test_attention_starts_as_the_mean():
    history = _batch(_column(), [3, 0, 8, 5, 3])
    query, items = torch.randn(5, 2, 3), torch.randn(len(history.categories), 2, 3)
    pooled, mean = (kind(2, 3)(query, items, history) for kind in (TargetAttention, MeanPooling))
    torch.testing.assert_close(pooled, mean)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_history_does_not_depend_on_the_batch_it_is_in(name):
    column, pooling = _column(), POOLINGS[name](3, 4).double()
    for parameter in pooling.parameters():
        torch.nn.init.normal_(parameter)
    query, table = torch.randn(9, 3, 4).double(), torch.randn(5, 4).double()

    def pooled(rows):
        history = _batch(column, rows)
        return pooling(query[rows], table[history.categories], history)

    torch.testing.assert_close(pooled([3, 5, 8]), pooled(list(range(9)))[[3, 5, 8]])


SHAPES = FieldShapes((6, 5, 5), (4,), histories=(HistoryShape((1, 2, 0)), HistoryShape((2,))))
ROWS = [3, 0, 8, 5, 3]


def _categories():
    """Return a batch with a column of lists and two of histories."""
    lists = torch.tensor([2, 3, 3]), torch.tensor([0, 1, 3]), torch.tensor([0, 1] * 5)
    alone = torch.tensor([[2, 3, 4], [5, 0, 1], [1, 2, 3], [0, 0, 0], [2, 2, 2]])
    own = with_lists(alone, [lists], torch.tensor(ROWS), [None])
    return CategoriesWithHistories(own, tuple(_batch(_column(seed, n_fields=n), ROWS) for seed, n in ((0, 3), (1, 1))))


def _opened(embedding, categories):
    """Return `TouchedRows` as an optimizer of rows makes them, whose values require gradients."""
    rows, places = torch.unique(embedding.rows(categories), return_inverse=True)
    return rows, TouchedRows(embedding.table.detach()[rows].requires_grad_(), places)


def test_items_have_the_rows_of_the_candidates_fields_and_zeros_where_one_is_not_known():
    embedding, categories = FieldEmbedding(SHAPES, 4, init_std=1.0, adapter_width=1, adapter_norm="rms"), _categories()
    for shape, history, items in zip(SHAPES.histories, categories.histories, embedding.items(categories), strict=True):
        for k, field in enumerate(shape.fields):
            table = embedding.table[embedding.first_rows[field] :]
            for item, category in zip(items[:, k], history.categories[:, k].tolist(), strict=True):
                torch.testing.assert_close(item, table[category] if category else torch.zeros(4))


def test_touched_rows_stand_for_the_table_with_lists_and_histories():
    embedding, categories = FieldEmbedding(SHAPES, 4, init_std=1.0, adapter_width=1, adapter_norm="rms"), _categories()
    rows, touched = _opened(embedding, categories)
    numbers = torch.empty(5, 0)

    def total(*touched):
        parts = [embedding(categories, numbers, *touched), *embedding.items(categories, *touched)]
        return torch.cat([part.flatten().square() for part in parts]).sum()

    torch.testing.assert_close(total(touched), total())
    (gradient,) = torch.autograd.grad(total(touched), touched.values)
    (expected,) = torch.autograd.grad(total(), embedding.table)
    torch.testing.assert_close(gradient, expected[rows])


def test_what_is_in_a_history_is_no_visit():
    embedding, categories = FieldEmbedding(SHAPES, 4, init_std=1.0, adapter_width=1, adapter_norm="rms"), _categories()
    weights = torch.arange(1.0, 6.0)
    rows, of_rows = field_visits(embedding, categories, weights)
    own_rows, of_own = field_visits(embedding, categories.own, weights)
    assert torch.equal(rows[: len(own_rows)], own_rows)
    assert torch.equal(of_rows, torch.cat([of_own, torch.zeros(len(rows) - len(own_rows))]))


def test_items_are_fused_as_candidates_are():
    fusion = FieldFusion("gate", [slice(1, 3), slice(3, 5)], 4, 2)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    candidates = torch.randn(6, 5, 4)
    fused = fusion(candidates)
    torch.testing.assert_close(fusion.of_items(candidates[:, [0, 3, 4]], (0, 3, 4)), fused[:, [0, 3, 4]])
    # Of the first group the items have one field alone.
    torch.testing.assert_close(fusion.of_items(candidates[:, [1, 3, 4]], (1, 3, 4))[:, 0], candidates[:, 1])
