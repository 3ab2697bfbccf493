"""Both heads, the transformer and the search against loops over items, codes and positions."""

import numpy as np
import pytest
import torch

from semid.base._live_module import build_seeded
from semid.engine._sequences import SequenceBatches, Sequences, windows
from semid.nn._catalogue_softmax import catalogue_cross_entropy
from semid.nn._causal_transformer import CausalTransformer
from semid.nn._code_sums import sums_of_codes
from semid.nn._next_item import NextItemModule, ResidualHead
from semid.nn._next_item_search import beam_search, look_up, parallel_scores, residual_scores
from semid.recommend._catalogue import shares_among_equals
from semid.recommend._recommending import code_tree

SIZES, DIM = [3, 4, 2], 6
HEADS = ("parallel", "residual")


def _module(codes, head="parallel", **options):
    options = {
        "n_layers": 1,
        "n_heads": 2,
        "fusion": "concat",
        "has_own": False,
        "max_length": 5,
        "dropout": 0.0,
    } | options
    tree = code_tree(codes, SIZES) if head == "residual" else None
    shares = torch.as_tensor(shares_among_equals(codes, np.arange(len(codes))))
    module = build_seeded(
        lambda: NextItemModule(
            torch.as_tensor(codes), SIZES, shares, torch.arange(len(codes)), tree, dim=DIM, **options
        ),
        seed=0,
    )
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


def _log_softmax(logits):
    return np.array(logits) - np.log(np.exp(logits).sum())


def _naive_parallel(module, h, codes):
    """Return log p of each item after one state, item by item and code by code."""
    first, scores = np.cumsum([0, *SIZES[:-1]]), []
    for row, share in zip(codes.tolist(), module.shares.tolist(), strict=True):
        of_codes = [h @ module.items.table[f + c] + module.head.bias[f + c] for f, c in zip(first, row, strict=True)]
        scores.append(float(sum(of_codes)) / len(SIZES) ** 0.5 + share)
    if module.items.own is not None:
        scores = [score + float(h @ own) for score, own in zip(scores, module.items.own, strict=True)]
    return _log_softmax(scores)


def _naive_residual(module, h, codes):
    """Return log p of each item after one state, code after code, each among those that some item has there."""
    head, table, first = module.head, module.items.table, np.cumsum([0, *SIZES])
    results = []
    for row, share in zip(codes.tolist(), module.shares.tolist(), strict=True):
        before, total = torch.zeros(DIM), share
        for n, code in enumerate(row):
            hidden = head.down[n](torch.nn.functional.gelu(head.up[n](torch.cat([h, before]))))
            state = head.norms[n](h + hidden)
            there = sorted({other[n] for other in codes.tolist() if other[:n] == row[:n]})
            logits = [float(table[first[n] + k] @ state + head.bias[first[n] + k]) for k in there]
            total += _log_softmax(logits)[there.index(code)]
            if n + 1 < len(SIZES):
                before = before + head.chosen[first[n] + code]
        results.append(total)
    return results


NAIVE = {"parallel": _naive_parallel, "residual": _naive_residual}


def _scores(module, h):
    """Return log p of all items, (B, I), as the library has them."""
    if isinstance(module.head, ResidualHead):
        return residual_scores(module, h)[:, module.head.nodes[-1]] + module.shares
    return parallel_scores(module, h)


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_scores_of_all_items_are_those_of_the_loop_and_sum_to_one(head, has_own, codes, h):
    module = _module(codes, head, has_own=has_own)
    scores = _scores(module, h)
    np.testing.assert_allclose(scores, [NAIVE[head](module, state, codes) for state in h], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores.exp().sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("n_histories", [1, 7, 8, 70])  # few are gathered, many are summed
def test_the_look_up_is_the_sum_over_codes(n_histories, codes, rng):
    log_p = torch.tensor(rng.normal(size=(n_histories, sum(SIZES))), dtype=torch.float32)
    rows = torch.as_tensor((codes + np.cumsum([0, *SIZES[:-1]])).T, dtype=torch.int32).contiguous()
    expected = [
        [sum(log_p[b, row] for row in rows[:, i].tolist()) for i in range(len(codes))] for b in range(n_histories)
    ]
    np.testing.assert_allclose(look_up(log_p, rows), expected, rtol=1e-5, atol=1e-5)


def test_a_softmax_of_each_codebook_gives_items_the_same_order(codes, h):
    module = _module(codes)
    of_codes = module.head(h, module.items.table).split(SIZES, dim=1)
    log_p = torch.cat([part.log_softmax(1) for part in of_codes], dim=1)
    difference = look_up(log_p, module.items.rows) + module.shares - _scores(module, h)
    np.testing.assert_allclose(difference, difference[:, :1].expand(-1, len(codes)), atol=1e-5)


def test_a_beam_as_wide_as_the_catalogue_finds_all_codes_in_the_order_of_exhaustive_scores(codes, h):
    module = _module(codes, "residual")
    found = beam_search(module, h, len(codes))
    scores = residual_scores(module, h)
    np.testing.assert_array_equal(found.nodes, scores.argsort(1, descending=True))
    np.testing.assert_allclose(found.scores, scores.sort(1, descending=True).values, rtol=1e-4)


def test_a_narrow_beam_has_exact_scores_and_finds_different_items(codes, h):
    module = _module(codes, "residual")
    found = beam_search(module, h, 3)
    assert found.nodes.shape == (4, 3)
    assert all(len(set(row)) == 3 for row in found.nodes.tolist())
    np.testing.assert_allclose(found.scores, residual_scores(module, h).gather(1, found.nodes), rtol=1e-4)


def test_the_softmax_over_the_catalogue_has_the_gradients_of_torch(rng):
    tensors = [torch.tensor(rng.normal(size=size), dtype=torch.float64) for size in ((300, 5), (40, 5), (40,))]
    targets = torch.as_tensor(rng.integers(40, size=300))
    losses, gradients = [], []
    for loss_of in (catalogue_cross_entropy, lambda h, w, b, t: torch.nn.functional.cross_entropy(h @ w.T + b, t)):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        loss = loss_of(*leaves, targets)
        (3 * loss).backward()
        losses.append(float(loss.detach()))
        gradients.append([leaf.grad for leaf in leaves])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_sample_of_rivals_stands_for_all_on_average(codes, rng):
    """Of e to the loss, which is linear in the sum over the catalogue."""
    module = _module(codes)
    items = torch.tensor([[3, 7, 7], [1, 2, 9]])
    is_there = torch.ones_like(items, dtype=torch.bool)
    everything = module.loss(items, is_there, torch.arange(20))
    torch.testing.assert_close(everything, module.loss(items, is_there))
    one = items[:1, :2]
    odds = [
        module.loss(one, is_there[:1, :2], torch.as_tensor(rng.choice(20, 6, replace=False))).exp() for _ in range(3000)
    ]
    assert float(sum(odds) / len(odds)) == pytest.approx(float(module.loss(one, is_there[:1, :2]).exp()), rel=0.03)


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


@pytest.mark.parametrize("has_own", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_the_loss_is_the_mean_over_targets(head, has_own, codes, rng):
    module = _module(codes, head, has_own=has_own)
    sequences = [rng.integers(20, size=length) for length in (2, 5, 3)]
    losses = []
    for sequence in sequences:
        for place in range(1, len(sequence)):
            state = module(torch.as_tensor(sequence[None, :place]))[0, -1]
            losses.append(-NAIVE[head](module, state, codes)[sequence[place]])
    stops = np.cumsum([2, 5, 3])
    data = Sequences(np.concatenate(sequences), stops - [2, 5, 3], stops, torch.device("cpu"))
    assert float(module.loss(*data.batch(torch.arange(3)))) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_what_has_no_order_is_not_learned(head):
    """Random sequences, new ones in each step: who sees the future has a loss of zero soon, others that of chance."""
    codes = np.array([[a, b] for a in range(2) for b in range(4)])
    tree = code_tree(codes, [2, 4]) if head == "residual" else None
    options = {
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "fusion": "concat",
        "has_own": True,
        "max_length": 6,
        "dropout": 0.0,
    }
    module = build_seeded(
        lambda: NextItemModule(torch.as_tensor(codes), [2, 4], torch.zeros(8), torch.arange(8), tree, **options), seed=0
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
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


@pytest.mark.parametrize("n_items", [1, 50])
def test_sums_of_codes_and_their_gradients_are_those_of_a_loop(n_items, rng):
    rows = torch.as_tensor(rng.integers(9, size=(n_items, 4)), dtype=torch.int32)  # of 12, some of them twice
    gradients = []
    for sums_of in (sums_of_codes, lambda table, rows: torch.stack([table[row.long()].sum(0) for row in rows])):
        table = torch.tensor(np.random.default_rng(0).normal(size=(12, 3)), requires_grad=True)
        sums = sums_of(table, rows)
        (sums * torch.arange(3 * n_items).reshape(n_items, 3)).sum().backward()
        gradients.append((sums.detach(), table.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
