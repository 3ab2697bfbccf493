from itertools import combinations

import pytest
import torch

from semid.nn._fields import FieldEmbedding
from semid.nn._fusions import FUSIONS, FieldFusion
from semid.nn._interactions import factorization_machine


def test_factorization_machine_equals_the_sum_over_pairs():
    e = torch.randn(4, 5, 3)
    naive = sum((e[:, f] * e[:, g]).sum(1) for f, g in combinations(range(5), 2))
    torch.testing.assert_close(factorization_machine(e), naive)


def test_field_embedding_equals_a_table_per_field():
    fields = FieldEmbedding([4, 3], 2, dim=5, init_std=1.0)
    categories = torch.tensor([[3, 0], [2, 2]])
    numbers = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    e = fields(categories, numbers)
    tables = [fields.table[:4], fields.table[4:]]
    for row in range(2):
        for field in range(2):
            torch.testing.assert_close(e[row, field], tables[field][categories[row, field]])
            torch.testing.assert_close(e[row, 2 + field], numbers[row, field] * fields.numeric[field])


def test_missing_and_unknown_values_start_at_zero():
    fields = FieldEmbedding([4, 3], 0, dim=5, init_std=1.0)
    assert not fields(torch.tensor([[0, 1], [1, 0]]), torch.empty(2, 0)).any()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_starts_as_the_identity(fusion):
    e = torch.randn(4, 6, 3)
    torch.testing.assert_close(FieldFusion(fusion, [slice(1, 4), slice(4, 6)], 3, rank=2)(e), e)


@pytest.mark.parametrize("fusion", ["gate", "residual"])
def test_a_fusion_changes_the_fields_of_its_group_alone(fusion):
    fusion = FieldFusion(fusion, [slice(1, 4)], 3, rank=2)
    torch.nn.init.normal_(fusion.fusions[0].up.weight)
    e = torch.randn(4, 6, 3)
    changed = (fusion(e) != e).any(2).any(0)
    assert changed.tolist() == [False, True, True, True, False, False]


def test_gate_and_residual_equal_their_formulas():
    e = torch.randn(4, 3, 2)
    for name in ("gate", "residual"):
        fusion = FUSIONS[name](3, 2, 5)
        torch.nn.init.normal_(fusion.up.weight)
        hidden = e.flatten(1) @ fusion.down.weight.T + fusion.down.bias
        hidden = torch.relu(hidden) if name == "gate" else torch.nn.functional.gelu(hidden)
        mixed = (hidden @ fusion.up.weight.T + fusion.up.bias).reshape(4, 3, 2)
        expected = 2 * e / (1 + torch.exp(-mixed)) if name == "gate" else e + mixed
        torch.testing.assert_close(fusion(e), expected)
