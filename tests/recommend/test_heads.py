"""Both heads, the transformer and the search against loops over items, codes and positions."""

import numpy as np
import pytest
import torch

from semid.base._live_module import build_seeded
from semid.engine._sequences import SequenceBatches, Sequences, windows
from semid.nn._causal_transformer import CausalTransformer
from semid.nn._next_item import HEADS, NextItemModule
from semid.nn._next_item_search import beam_search, look_up, parallel_scores, residual_scores
from semid.recommend._recommending import tree_of

SIZES, DIM = [3, 4, 2], 6


def _module(codes, head="parallel", **options):
    options = {"n_layers": 1, "n_heads": 2, "fusion": "concat", "has_own": False, "max_length": 5, "dropout": 0.0} | options
    module = build_seeded(lambda: NextItemModule(torch.as_tensor(codes), SIZES, head=head, dim=DIM, **options), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the start, where many weights are zero
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.eval().requires_grad_(False)


@pytest.fixture
def codes(rng):
    return np.column_stack([rng.integers(size, size=20) for size in SIZES])


@pytest.fixture
def h(rng):
    return torch.tensor(rng.normal(size=(4, DIM)), dtype=torch.float32)


def _naive_parallel(module, h, codes):
    """Return log p of each row of codes from one state, by loops."""
    head, table, first = module.head, module.items.table, 0
    logs = []
    for n, size in enumerate(SIZES):
        mixed = h + torch.nn.functional.silu(h @ head.mix[n])
        logits = [float(mixed @ table[first + k] + head.bias[first + k]) for k in range(size)]
        logs.append(np.array(logits) - np.log(np.exp(logits).sum()))
        first += size
    return [sum(logs[n][code] for n, code in enumerate(row)) for row in codes.tolist()]


def _naive_residual(module, h, codes):
    """Return log p of each row of codes from one state, code after code."""
    head, table = module.head, module.items.table
    first = np.cumsum([0, *SIZES])
    results = []
    for row in codes.tolist():
        before, total = torch.zeros(DIM), 0.0
        for n, code in enumerate(row):
            hidden = head.down[n](torch.nn.functional.gelu(head.up[n](torch.cat([h, before]))))
            state = head.norms[n](h + hidden)
            logits = (table[first[n] : first[n + 1]] @ state + head.bias[first[n] : first[n + 1]]).numpy()
            total += logits[code] - np.log(np.exp(logits).sum())
            if n + 1 < len(SIZES):
                before = before + head.chosen[first[n] + code]
        results.append(total)
    return results


NAIVE = {"parallel": _naive_parallel, "residual": _naive_residual}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_gives_codes_the_log_probability_of_the_loop(head, codes, h):
    module = _module(codes, head)
    for state in h:
        given = module.head(state.expand(len(codes), -1), module.items.table, torch.as_tensor(codes))
        np.testing.assert_allclose(given, NAIVE[head](module, state, codes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_all_combinations_of_codes_have_probabilities_that_sum_to_one(head, h):
    everything = np.array(np.meshgrid(*map(range, SIZES))).reshape(len(SIZES), -1).T
    module = _module(everything, head)
    given = module.head(h[0].expand(len(everything), -1), module.items.table, torch.as_tensor(everything))
    assert float(given.exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("n_histories", [1, 7, 8, 70])  # few are gathered, many are summed
def test_the_look_up_is_the_sum_over_codes(n_histories, codes, rng):
    log_p = torch.tensor(rng.normal(size=(n_histories, sum(SIZES))), dtype=torch.float32)
    rows = torch.as_tensor((codes + np.cumsum([0, *SIZES[:-1]])).T, dtype=torch.int32).contiguous()
    expected = [[sum(log_p[b, row] for row in rows[:, i].tolist()) for i in range(len(codes))] for b in range(n_histories)]
    np.testing.assert_allclose(look_up(log_p, rows), expected, rtol=1e-5, atol=1e-5)


def test_scores_of_all_items_are_those_of_the_loops(codes, h):
    module = _module(codes)
    given = parallel_scores(module.head, h, module.items.table, module.items.rows)
    np.testing.assert_allclose(given, [_naive_parallel(module, state, codes) for state in h], rtol=1e-4, atol=1e-5)
    module = _module(codes, "residual")
    tree = tree_of(codes, SIZES, torch.device("cpu"))
    nodes = residual_scores(module.head, h, module.items.table, tree.codes)
    distinct = np.unique(codes, axis=0)
    np.testing.assert_allclose(nodes, [_naive_residual(module, state, distinct) for state in h], rtol=1e-4, atol=1e-5)


def test_a_beam_as_wide_as_the_catalogue_finds_all_codes_in_the_order_of_exhaustive_scores(codes, h):
    module = _module(codes, "residual")
    tree = tree_of(codes, SIZES, torch.device("cpu"))
    found = beam_search(module.head, h, module.items.table, tree.codes, len(codes))
    scores = residual_scores(module.head, h, module.items.table, tree.codes)
    np.testing.assert_array_equal(found.nodes, scores.argsort(1, descending=True))
    np.testing.assert_allclose(found.scores, scores.sort(1, descending=True).values, rtol=1e-4)


def test_a_narrow_beam_has_exact_scores_and_finds_items_alone(codes, h):
    module = _module(codes, "residual")
    tree = tree_of(codes, SIZES, torch.device("cpu"))
    found = beam_search(module.head, h, module.items.table, tree.codes, 3)
    scores = residual_scores(module.head, h, module.items.table, tree.codes)
    assert found.nodes.shape == (4, 3)
    assert all(len(set(row)) == 3 for row in found.nodes.tolist())
    np.testing.assert_allclose(found.scores, scores.gather(1, found.nodes), rtol=1e-4)


def test_an_item_is_the_sum_of_its_code_embeddings_over_the_root_of_their_number(codes):
    module = _module(codes, has_own=True)
    first = np.cumsum([0, *SIZES[:-1]])
    for item, row in enumerate(codes):
        expected = sum(module.items.table[first[n] + code] for n, code in enumerate(row)) / np.sqrt(len(SIZES))
        np.testing.assert_allclose(module.items(torch.tensor([item]))[0], expected + module.items.own[item], rtol=1e-5)


def _naive_attention(block, x):
    """Return what each position attends to, by a loop over heads and positions."""
    length, dim = x.shape
    query, key, value = (block.query_key_value(x)[:, n * dim : (n + 1) * dim] for n in range(3))
    width, out = dim // block.n_heads, torch.zeros_like(x)
    for head in range(block.n_heads):
        part = slice(head * width, (head + 1) * width)
        for place in range(length):
            scores = torch.stack([query[place, part] @ key[j, part] / width**0.5 for j in range(place + 1)])
            out[place, part] = sum(w * value[j, part] for j, w in enumerate(scores.softmax(0)))
    return block.out(out)


def test_attention_is_that_of_the_loop(rng):
    block = build_seeded(lambda: CausalTransformer(6, 1, 2, 0.0, 5), seed=0).blocks[0]
    x = torch.tensor(rng.normal(size=(2, 5, 6)), dtype=torch.float32)
    with torch.no_grad():
        for sequence, attended in zip(x, block.attend(x), strict=True):
            torch.testing.assert_close(attended, _naive_attention(block, sequence))


def test_neither_later_items_nor_what_pads_a_sequence_change_an_earlier_state(codes, rng):
    module = _module(codes)
    items = torch.as_tensor(rng.integers(20, size=(3, 5)))
    states = module(items)
    for place in range(5):
        other = items.clone()
        other[:, place + 1 :] = torch.as_tensor(rng.integers(20, size=(3, 4 - place)))
        torch.testing.assert_close(module(other)[:, : place + 1], states[:, : place + 1])
        torch.testing.assert_close(module(items[:, : place + 1]), states[:, : place + 1])


@pytest.mark.parametrize("head", HEADS)
def test_the_loss_is_the_mean_over_targets_and_codebooks(head, codes, rng):
    module = _module(codes, head)
    sequences = [rng.integers(20, size=length) for length in (2, 5, 3)]
    losses = []
    for sequence in sequences:
        for place in range(1, len(sequence)):
            state = module(torch.as_tensor(sequence[None, :place]))[0, -1]
            losses += [-log_p / len(SIZES) for log_p in NAIVE[head](module, state, codes[sequence[place : place + 1]])]
    stops = np.cumsum([2, 5, 3])
    data = Sequences(np.concatenate(sequences), stops - [2, 5, 3], stops, torch.device("cpu"))
    batch = data.batch(torch.arange(3))
    assert float(module.loss(*batch)) == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_has_no_order_is_not_learned(codes):
    """Random sequences, new ones in each step: who sees the future has a loss of zero soon, others that of chance."""
    items = np.arange(8)[:, None]
    generator = torch.Generator().manual_seed(0)

    def build():
        return NextItemModule(
            torch.as_tensor(items), [8], head="parallel", dim=16, n_layers=2, n_heads=2, fusion="concat", has_own=False,
            max_length=6, dropout=0.0,
        )  # fmt: skip

    module = build_seeded(build, seed=0)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    losses = []
    for _ in range(150):
        batch = torch.randint(8, (64, 6), generator=generator)
        loss = module.loss(batch, torch.ones_like(batch, dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-50:]) > np.log(8) - 0.01


def test_windows_have_each_click_but_the_first_as_a_target_once(rng):
    lengths = np.append(rng.integers(30, size=20), [0, 1, 2, 5, 6, 7])
    stops = np.cumsum(lengths)
    starts = stops - lengths
    first, last = windows(starts, stops, 5)
    assert ((last - first >= 2) & (last - first <= 6)).all()
    targets = np.concatenate([np.arange(a + 1, b) for a, b in zip(first, last, strict=True)])
    expected = [place for a, b in zip(starts, stops, strict=True) for place in range(a + 1, b)]
    assert sorted(targets.tolist()) == expected


def test_batches_hold_every_sequence_once_and_pad_behind_it(rng):
    lengths = rng.integers(2, 7, size=23)
    stops = np.cumsum(lengths)
    data = Sequences(rng.integers(1, 9, size=stops[-1]), stops - lengths, stops, torch.device("cpu"))
    seen = []
    for items, is_there in SequenceBatches(data, 4, torch.Generator().manual_seed(0)):
        assert len(items) <= 4
        assert (items[~is_there] == 0).all()
        seen += [tuple(row[there].tolist()) for row, there in zip(items, is_there, strict=True)]
    entries = data.entries.tolist()
    assert sorted(seen) == sorted(tuple(entries[b - n : b]) for n, b in zip(lengths, stops, strict=True))
