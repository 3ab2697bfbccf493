from itertools import chain, combinations

import numpy as np
import pytest
import torch

from semid.nn._fields import (
    FieldEmbedding,
    FieldShapes,
    TouchedRows,
    VectorAdapter,
    VectorField,
    field_visits,
    grown_table,
    with_lists,
)
from semid.nn._fusions import FUSIONS, FieldFusion
from semid.nn._interactions import FactorizationMachine, InteractionMachine, LowRankCrossNetwork
from semid.nn._mlp import LogitHead


def test_factorization_machine_equals_the_sum_over_pairs():
    e = torch.randn(4, 5, 3)
    naive = sum(e[:, f] * e[:, g] for f, g in combinations(range(5), 2))
    torch.testing.assert_close(FactorizationMachine(5, 3)(e), naive)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_interaction_machine_equals_the_sum_over_all_subsets_of_fields(order):
    e = torch.randn(4, 7, 3, dtype=torch.float64)
    naive = [sum(e[:, list(subset)].prod(1) for subset in combinations(range(7), size)) for size in range(1, order + 1)]
    torch.testing.assert_close(InteractionMachine(7, 3, order)(e), torch.cat(naive, dim=1))


def test_each_low_rank_expert_is_initialised_on_its_own():
    # As one stack, xavier takes the experts for inputs, and the branch does nothing at first.
    layer = LowRankCrossNetwork(8, 16, 1, rank=32, n_experts=4).layers[0]
    for expert in layer.down:
        torch.testing.assert_close(expert.std().item(), (2 / (128 + 32)) ** 0.5, rtol=0.1, atol=0)
    assert LowRankCrossNetwork(2, 3, 2, rank=2, n_experts=2)(torch.randn(1, 2, 3)).shape == (1, 6)


def test_the_head_takes_parts_as_if_they_were_side_by_side():
    head, parts = LogitHead(5), (torch.randn(4, 2), torch.randn(4, 3))
    torch.testing.assert_close(head(*parts), torch.cat(parts, dim=1) @ head.weight[0])


def _fields():
    shapes = FieldShapes((4, 3), (5, 6), 2, (VectorField(3, 2),))
    return shapes, FieldEmbedding(shapes, 5, init_std=1.0, adapter_width=7, adapter_norm="rms")


def _column(lists):
    """Return lists of categories as (entries, offsets, which), with others between that no impression has."""
    lists = [[3], *lists, [2, 2]]
    offsets = np.cumsum([0, *map(len, lists)])
    return torch.tensor(list(chain(*lists))), torch.tensor(offsets), torch.arange(1, len(lists) - 1)


def test_field_embedding_equals_a_table_per_field():
    shapes, fields = _fields()
    # Two categories, a list of up to three entries, another.
    categories = torch.tensor([[3, 0], [2, 2]])
    tags = _column([[2, 3], [0]])
    history = _column([[5], [2, 2, 4]])
    categories = with_lists(categories, [tags, history], torch.arange(2), [3, 4])
    numbers = torch.tensor([[0.5, -1.0, 1.0, 2.0, 3.0], [2.0, 0.0, 0.0, -1.0, 1.0]])
    e = fields(categories, numbers)
    assert e.shape == (2, shapes.n_fields, 5)
    tables = fields.table.split([4, 3, 5, 6])
    for row in range(2):
        for field in range(2):
            torch.testing.assert_close(e[row, field], tables[field][categories.alone[row, field]])
            torch.testing.assert_close(e[row, 4 + field], numbers[row, field] * fields.numeric[field])
        adapter, hidden = fields.adapters[0], fields.adapters[0].hidden[0]
        units = hidden.weight @ numbers[row, 2:] + hidden.bias
        adapted = adapter.out.weight @ torch.relu(units / (units.square().mean() + 1e-6).sqrt())
        torch.testing.assert_close(e[row, 6:].flatten(), adapted + adapter.out.bias)
    torch.testing.assert_close(e[0, 2], (tables[2][2] + tables[2][3]) / 2)
    torch.testing.assert_close(e[0, 3], tables[3][5])
    torch.testing.assert_close(e[1, 2], tables[2][0])  # an empty list is a missing value
    torch.testing.assert_close(e[1, 3], (2 * tables[3][2] + tables[3][4]) / 3)

    rows, places = torch.unique(fields.rows(categories), return_inverse=True)
    torch.testing.assert_close(fields(categories, numbers, TouchedRows(fields.table[rows], places)), e)


def test_an_adapter_without_hidden_units_is_one_linear_map():
    adapter, x = VectorAdapter(VectorField(3, 2), 5, 0, None), torch.randn(4, 3)
    torch.testing.assert_close(adapter(x).flatten(1), x @ adapter.out.weight.T + adapter.out.bias)


def test_an_adapter_does_not_mind_how_long_a_vector_is():
    adapter, x = VectorAdapter(VectorField(3, 2), 5, 4, "rms"), torch.randn(4, 3)
    with torch.no_grad():
        adapter.hidden[0].bias.zero_()
    torch.testing.assert_close(adapter(200 * x), adapter(x), rtol=1e-4, atol=1e-4)


def test_an_adapter_of_0_1_0_does_not_divide_by_the_size_of_its_hidden_units():
    adapter, x = VectorAdapter(VectorField(3, 2), 5, 4, None), torch.randn(4, 3)
    hidden = torch.relu(x @ adapter.hidden[0].weight.T + adapter.hidden[0].bias)
    torch.testing.assert_close(adapter(x).flatten(1), hidden @ adapter.out.weight.T + adapter.out.bias)


def test_missing_and_unknown_values_start_at_zero():
    fields = FieldEmbedding(FieldShapes((4, 3)), 5, init_std=1.0, adapter_width=1, adapter_norm="rms")
    assert not fields(torch.tensor([[0, 1], [1, 0]]), torch.empty(2, 0)).any()
    assert fields(torch.tensor([[3, 2]]), torch.empty(1, 0)).all()


def test_a_grown_table_keeps_what_was_there():
    small, large = FieldShapes((3,), (4,)), FieldShapes((5,), (4,))
    before, after = (FieldEmbedding(shapes, 2, 1.0, 1, None) for shapes in (small, large))
    grown = grown_table(before.table.detach(), small, after)
    torch.testing.assert_close(grown[:3], before.table.detach()[:3])
    torch.testing.assert_close(grown[3:5], after.table.detach()[3:5])
    torch.testing.assert_close(grown[5:], before.table.detach()[3:])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_starts_as_the_identity(fusion):
    e = torch.randn(4, 6, 3)
    torch.testing.assert_close(FieldFusion(fusion, [slice(1, 4), slice(4, 6)], 3, rank=2)(e), e)


def test_attention_with_a_query_starts_as_the_identity_too():
    e = torch.randn(4, 6, 3)
    torch.testing.assert_close(FieldFusion("attention", [slice(1, 4)], 3, rank=2, query=0)(e), e)


@pytest.mark.parametrize("fusion", sorted(set(FUSIONS) - {"concat"}))
def test_a_fusion_changes_the_fields_of_its_group_alone(fusion):
    fusion = FieldFusion(fusion, [slice(1, 4)], 3, rank=2)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    e = torch.randn(4, 6, 3)
    changed = (fusion(e) != e).any(2).any(0)
    assert changed.tolist() == [False, True, True, True, False, False]


def _random(name, n_codes=3, dim=2, rank=5):
    fusion = FUSIONS[name](n_codes, dim, rank)
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    return fusion


def test_pooling_fusions_equal_their_formula():
    e = torch.randn(4, 3, 2)
    for name, pooled in (("sum", e[:, 0] + e[:, 1] + e[:, 2]), ("mean", (e[:, 0] + e[:, 1] + e[:, 2]) / 3)):
        fusion = _random(name)
        for n in range(3):
            torch.testing.assert_close(fusion(e)[:, n], e[:, n] + fusion.share[n] * (pooled - e[:, n]))


@pytest.mark.parametrize(
    ("name", "activation"),
    [("gate", torch.relu), ("residual", torch.nn.functional.gelu), ("mlp", torch.relu)],
)
def test_bottleneck_fusions_equal_their_formula(name, activation):
    fusion, e = _random(name), torch.randn(4, 3, 2)
    hidden = activation(e.flatten(1) @ fusion.down.weight.T + fusion.down.bias)
    mixed = (hidden @ fusion.up.weight.T + fusion.up.bias).reshape(4, 3, 2)
    torch.testing.assert_close(fusion(e), 2 * e / (1 + torch.exp(-mixed)) if name == "gate" else e + mixed)


def test_squeeze_and_excitation_equals_its_formula():
    fusion, e = _random("se"), torch.randn(4, 3, 2)
    for row in range(4):
        z = torch.stack([e[row, n].mean() for n in range(3)])
        scale = fusion.up.weight @ torch.relu(fusion.down.weight @ z + fusion.down.bias) + fusion.up.bias
        torch.testing.assert_close(fusion(e)[row], e[row] * (2 / (1 + torch.exp(-scale)))[:, None])


def test_attention_equals_its_formula():
    fusion, e = _random("attention"), torch.randn(4, 3, 2)
    for row in range(4):
        q, k, v = (e[row] @ project.weight.T for project in (fusion.query, fusion.key, fusion.value))
        for n in range(3):
            shares = torch.stack([(q[n] @ k[m] / 5**0.5).exp() for m in range(3)])
            attended = sum(share * v[m] for m, share in enumerate(shares / shares.sum()))
            torch.testing.assert_close(fusion(e)[row, n], e[row, n] + fusion.up(attended))


def test_attention_with_a_query_equals_its_formula():
    fields, e = FieldFusion("attention", [slice(1, 4)], 2, rank=5, query=0), torch.randn(4, 4, 2)
    for parameter in fields.parameters():
        torch.nn.init.normal_(parameter)
    fusion = fields.fusions[0]
    for row in range(4):
        q = fusion.query(e[row, 0])
        shares = torch.stack([(q @ fusion.key(e[row, n]) / 5**0.5).exp() for n in range(1, 4)])
        expected = e[row, 1:] * 3 * (shares / shares.sum())[:, None]
        torch.testing.assert_close(fields(e)[row, 1:], expected)
        torch.testing.assert_close(fields(e)[row, 0], e[row, 0])


def test_lists_end_to_end_have_values_and_gradients_of_padded_ones():
    rng = np.random.default_rng(0)
    _, fields = _fields()
    fields = fields.double()
    lists = [[rng.integers(1, size, size=n).tolist() or [0] for n in rng.integers(0, 7, size=9)] for size in (5, 6)]
    alone = torch.tensor(rng.integers(0, 3, size=(9, 2)))
    numbers = torch.tensor(rng.normal(size=(9, 5)))
    columns, sizes = [_column(column) for column in lists], [sum(map(len, column)) for column in lists]
    categories = with_lists(alone, columns, torch.arange(9), sizes)

    padded = torch.tensor([[row + [0] * (7 - len(row)) for row in column] for column in lists])  # (L, B, 7)
    is_entry = padded > 0
    is_entry[:, :, 0] |= ~is_entry.any(2)
    table = fields.table.detach().clone().requires_grad_()
    each = table[padded + fields.first_rows[2:, None, None]] * is_entry[..., None]
    expected = (each.sum(2) / is_entry.sum(2, keepdim=True)).transpose(0, 1)
    expected.square().sum().backward()

    values, places = torch.unique(fields.rows(categories), return_inverse=True)
    touched = TouchedRows(fields.table.detach()[values].requires_grad_(), places)
    for rows in (None, touched):
        of_lists = fields(categories, numbers, rows)[:, 2:4]
        torch.testing.assert_close(of_lists, expected)
        of_lists.square().sum().backward()
    torch.testing.assert_close(fields.table.grad, table.grad)
    torch.testing.assert_close(touched.values.grad, table.grad[values])


def test_each_entry_of_a_list_is_a_visit_and_no_other_is():
    _, fields = _fields()
    categories = with_lists(
        torch.tensor([[3, 0], [2, 2]]), [_column([[2, 3], [0]]), _column([[5], [2, 2, 4]])], torch.arange(2), [3, 4]
    )
    rows, weights = field_visits(fields, categories, torch.tensor([1.0, 10.0]))
    visits = torch.bincount(rows.flatten(), weights, minlength=len(fields.table))
    assert visits.tolist() == [0, 0, 10, 1, 1, 0, 10, 10, 0, 1, 1, 0, 0, 0, 20, 0, 10, 1]
