"""No training step may make the host wait for a GPU: counted without one, on a card that is only pretended.

A GPU is fed ahead of time. An operator whose answer the host must have before it can go on, such as the number of
distinct values, empties the queue, and so does a copy from or to memory that is not pinned. `PretendedCard` runs the
package's own loops on tensors that say they are elsewhere (on torch's device "meta") while they compute on the CPU, and
notes each operator that would wait. What waits once a fit or once an epoch is no matter: only what grows with the
number of steps counts.
"""

import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import GradientNormClipping
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

import semid
from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
    _holding_out,
    _parameters,
    _predicting,
)
from semid.ctr import _base as ctr_base
from semid.engine import _autoencoder_training, _catalogue, _click_net, _click_training
from semid.nn._fusions import FUSIONS
from semid.nn._losses import alignment_loss
from semid.tables._histories import HistoryArray
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    VQVAETokenizer,
    _autoencoder,
    _candidates,
)
from semid.tokenizers import _base as tokenizers_base

CARD, HOST = torch.device("meta"), torch.device("cpu")
PACKAGE = Path(semid.__file__).parent

N_ROWS, BATCH = 96, 16
SMALL_MODEL = {"embedding_dim": 4, "hidden_layer_sizes": (8,), "validation": None}
SIZES_OF_FIELDS = {"user": 9, "item_code0": 4, "item_code1": 4, "item_code2": 4}
MODELS = [
    AutoIntClassifier(attention_dim=4, **SMALL_MODEL),
    DCNv2Classifier(**SMALL_MODEL),
    DeepFMClassifier(**SMALL_MODEL),
    DeepIMClassifier(**SMALL_MODEL),
    FactorizationMachineClassifier(embedding_dim=4, validation=None),
    MLPCTRClassifier(**SMALL_MODEL),
]
SMALL_TOKENIZER = {"codebook_size": 4, "latent_dim": 4, "hidden_layer_sizes": (8,)}
TOKENIZERS = [
    FSQTokenizer(n_codebooks=2, codebook_size=4, hidden_layer_sizes=(8,)),
    MixtureOfCodesTokenizer(n_codebooks=2, **SMALL_TOKENIZER),
    MultiEmbeddingTokenizer(n_codebooks=2, **SMALL_TOKENIZER),
    RQVAETokenizer(n_codebooks=2, **SMALL_TOKENIZER),
    VQVAETokenizer(**SMALL_TOKENIZER),
]
TOKENIZER_OPTIONS = [
    {"mixup": 0.3},
    {"mixup": 0.0, "assignment": "sinkhorn", "separation_weight": 0.1, "alignment_weight": 0.1},
    {"codebook_update": "gradient"},
    {"projection_dim": None},
]

# Of a catalogue that does not fit: a batch is known when it is due, and is read then.
READING = {("copy from the card", "engine/_catalogue.py"), ("copy to the card", "engine/_catalogue.py")}

# On CUDA each of these reads a number back, mostly to know how large its result is.
_READS_BACK = {
    "_local_scalar_dense",  # item, float, int, bool, tolist
    "nonzero",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "unique_dim_consecutive",
    "masked_select",
    "bincount",
    "equal",
}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # which bring indices to the card themselves
_TAKES_BOTH = {"_to_copy", "copy_", *_INDEXING}


class Wait(NamedTuple):
    """An operator that makes the host wait, and the line of the package that it came from."""

    operator: str
    file: str
    line: str


class OnCard(torch.Tensor):
    """A tensor that says it is on the card; what it holds is on the CPU."""

    @staticmethod
    def __new__(cls, held):
        strides, offset = held.stride(), held.storage_offset()
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=strides, storage_offset=offset, dtype=held.dtype, device=CARD
        )

    def __init__(self, held):
        self.held = held

    def tolist(self):  # which torch has not for subclasses
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        raise RuntimeError(f"{operator} must run under PretendedCard.")


class PretendedCard(TorchDispatchMode):
    """Runs operators as if a second device existed; `waits` are those for which its host would wait."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = operator.overloadpacket.__name__
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
        on_card = [tensor for tensor in tensors if isinstance(tensor, OnCard)]
        device = kwargs.get("device")
        is_on_card = bool(on_card) if device is None else torch.device(device) == CARD
        if on_card or is_on_card:
            _refuse_what_a_card_refuses(operator, name, kwargs, tensors, is_on_card)
            reason = _why_the_host_waits(name, args, kwargs, tensors, on_card, is_on_card)
            if reason:
                self.waits.append(Wait(reason, *_place()))
        args, kwargs = tree_map_only(OnCard, lambda tensor: tensor.held, (args, kwargs))
        result = operator(*args, **kwargs | ({"device": HOST} if device is not None else {}))
        if not is_on_card:
            return result
        known = {id(tensor.held): tensor for tensor in on_card}  # an operator in place returns what it was given
        return tree_map_only(torch.Tensor, lambda held: known[id(held)] if id(held) in known else OnCard(held), result)


def _refuse_what_a_card_refuses(operator, name, kwargs, tensors, is_on_card):
    """Raise, as CUDA does, if an operator mixes what is on the card with arrays, or a generator, of the host."""
    if any(tensor.device == CARD and not isinstance(tensor, OnCard) for tensor in tensors):
        raise RuntimeError(f"{operator}: torch made a tensor on 'meta' that lacks its data; see the fixture `card`")
    if name not in _TAKES_BOTH and any(tensor.ndim and not isinstance(tensor, OnCard) for tensor in tensors):
        raise RuntimeError(f"{operator}: expected all tensors to be on the same device, got some on the card, some not")
    if is_on_card and kwargs.get("generator") is not None and name != "bernoulli_":  # that of dropout: see `card`
        raise RuntimeError(f"{operator}: expected a generator on the card")


def _why_the_host_waits(name, args, kwargs, tensors, on_card, is_on_card):
    """Return the name of an operator that would make the host wait, None for any other."""
    if name in _READS_BACK or name.startswith("_linalg"):
        return name
    if name == "repeat_interleave":
        return None if kwargs.get("output_size") is not None else name
    if name == "_to_copy":
        if bool(on_card) == is_on_card or (kwargs.get("non_blocking") and hasattr(tensors[0], "is_pinned_here")):
            return None
        return "copy to the card" if is_on_card else "copy from the card"
    if name == "copy_" and len(on_card) == 1:
        return "copy to the card" if isinstance(args[0], OnCard) else "copy from the card"
    if name in _INDEXING:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            return f"{name} with a mask"
        if not all(isinstance(index, OnCard) for index in indices):
            return "copy to the card"
    return None


def _place():
    """Return the file and the text of the innermost line of the package that is being run."""
    for frame in reversed(traceback.extract_stack()):
        if PACKAGE in Path(frame.filename).parents:
            return Path(frame.filename).relative_to(PACKAGE).as_posix(), frame.line
    return "", ""


def _pinned(tensor):
    pinned = tensor.clone()
    pinned.is_pinned_here = True
    return pinned


@pytest.fixture
def card(monkeypatch):
    """The pretended card, on which estimators train; ``card.epochs`` are the waits of their epochs."""
    card = PretendedCard()
    card.epochs = []
    for module in (tokenizers_base, _autoencoder, _candidates, ctr_base, _holding_out, _parameters, _predicting):
        monkeypatch.setattr(module, "resolve_device", lambda device: CARD)

    # What a card has and "meta" has not: fused optimizers, generators, tensors made of data, views without gradients.
    optimizer = import_module("torch.optim.optimizer")
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])
    seed_dropout, tensor = _click_training._seed_dropout, torch.tensor
    monkeypatch.setattr(
        _click_training, "_seed_dropout", lambda module, generator, device: seed_dropout(module, generator, HOST)
    )
    monkeypatch.setattr(torch, "tensor", lambda data, device=HOST, **options: tensor(data, **options).to(device))
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    monkeypatch.setattr(torch.Tensor, "pin_memory", _pinned)

    def recorded(run_epoch):
        def run(*args, **kwargs):
            card.waits.clear()
            result = run_epoch(*args, **kwargs)
            card.epochs.append(Counter(card.waits))
            return result

        return run

    for owner, name in ((_autoencoder_training.Training, "run_epoch"), (_click_net.ClickNet, "run_single_epoch")):
        monkeypatch.setattr(owner, name, recorded(getattr(owner, name)))
    return card


@pytest.fixture
def impressions(rng):
    """A table with all kinds of fields, and labels."""
    X = pd.DataFrame({name: rng.integers(size, size=N_ROWS) for name, size in SIZES_OF_FIELDS.items()})
    X["price"] = np.where(rng.uniform(size=N_ROWS) < 0.1, np.nan, rng.standard_normal(N_ROWS))
    X["genres"] = [list(rng.integers(5, size=rng.integers(4))) for _ in range(N_ROWS)]
    X["genres"].iloc[0].append(1)
    X = X.join(pd.DataFrame(rng.standard_normal((N_ROWS, 8)), columns=[f"vector{n}" for n in range(8)]))
    return X, rng.integers(2, size=N_ROWS)


def waits_per_step(card, estimator, *data, **options):
    """Return the waits of which an epoch has more with twice the batches."""
    epochs = []
    for n_rows in (N_ROWS // 2, N_ROWS):
        card.epochs.clear()
        with card:
            fitted = clone(estimator).set_params(max_iter=1, batch_size=BATCH, random_state=0)
            fitted.fit(*(part[:n_rows] for part in data), **{name: part[:n_rows] for name, part in options.items()})
        epochs.append(card.epochs[0])
    assert sum(epochs[1].values()) > 0, "the end of an epoch reads the losses back"
    return set(epochs[1] - epochs[0])


class Asking(nn.Module):
    """A fusion that asks the card for a number in every step."""

    def __init__(self, n_codes, dim, rank):
        super().__init__()

    def forward(self, e):
        return e * float(e.detach().square().mean() >= 0)


def test_an_operator_counts_where_it_reads_the_card_and_nowhere_else():
    x = torch.arange(6.0)
    with PretendedCard() as card:
        on_card = x.to(CARD)
        for work in (
            lambda: on_card.sum().item(),
            lambda: on_card.nonzero(),
            lambda: on_card[on_card > 2],
            lambda: on_card.unique(),
            lambda: on_card.cpu(),
            lambda: x.to(CARD),
            lambda: x.to(CARD, non_blocking=True),
            lambda: on_card[torch.tensor([1, 2])],
            lambda: torch.repeat_interleave(on_card.long()),
        ):
            card.waits.clear()
            work()
            assert card.waits
        card.waits.clear()
        assert on_card.device == CARD
        torch.where(on_card > 2, on_card, 0.0).sort().values.cumsum(0).index_add_(0, on_card.long(), on_card)
        _pinned(x).to(CARD, non_blocking=True)
        x.sum().item()
        x[x > 2].unique()
    assert card.waits == []


def test_the_pretended_card_computes_what_the_cpu_does_and_refuses_to_mix_the_two():
    x, y = torch.randn(3, 4), torch.randn(4, 2)
    with PretendedCard():
        parameter = x.to(CARD).requires_grad_()
        product = parameter @ y.to(CARD)
        product.square().sum().backward()
        gradient = parameter.grad.cpu()
        with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
            parameter @ y
        with pytest.raises(RuntimeError, match="expected a generator on the card"):
            torch.randn(3, generator=torch.Generator(), device=CARD)
    torch.testing.assert_close(product.held, x @ y)
    torch.testing.assert_close(gradient, 2 * x @ y @ y.T)


def test_a_step_that_asks_for_a_number_is_found_out(card, impressions):
    model = DeepFMClassifier(fusion=Asking, **SMALL_MODEL)
    (found,) = waits_per_step(card, model, *impressions)
    assert found.operator == "_local_scalar_dense"
    assert found.file == "nn/_fusions.py"  # where the package calls it


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_no_step_of_a_click_model_makes_the_host_wait(card, impressions, model):
    assert waits_per_step(card, model, *impressions) == set()


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_no_step_over_histories_makes_the_host_wait(card, impressions, pooling):
    X, y = impressions
    starts = np.arange(N_ROWS) % 7
    entries, codes = np.arange(12) % 5, np.arange(15).reshape(5, 3) % 4
    stops = starts + np.arange(N_ROWS) % 4
    X = X.assign(history=HistoryArray(entries, np.arange(5), starts, stops, codes=codes, item="item"))
    assert waits_per_step(card, DeepFMClassifier(history_pooling=pooling, **SMALL_MODEL), X, y) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        *({"fusion": fusion} for fusion in FUSIONS),
        {"n_embedding_sets": 2},
        {"low_rank": 2},
        {"dropout": 0.2},
        {"forgetting": 0.0},
        {"callbacks": [GradientNormClipping(1.0)]},
        {"class_weight": "balanced"},
    ],
    ids=str,
)
def test_no_option_of_a_click_model_makes_the_host_wait_in_a_step(card, impressions, parameters):
    model = DCNv2Classifier(**SMALL_MODEL).set_params(**parameters)
    assert waits_per_step(card, model, *impressions) == set()


@pytest.mark.parametrize("parameters", TOKENIZER_OPTIONS, ids=str)
@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: type(tokenizer).__name__)
def test_no_step_of_a_tokenizer_makes_the_host_wait(card, rng, tokenizer, parameters):
    found = waits_per_step(card, _with(tokenizer, parameters), _embeddings(rng), alignment=_alignment(rng))
    assert found == set()


def test_a_catalogue_larger_than_the_card_is_read_in_every_step(card, rng, monkeypatch):
    monkeypatch.setattr(_catalogue, "RESIDENT_NUMBERS", 100)
    found = waits_per_step(card, TOKENIZERS[-1], _embeddings(rng))
    assert {(wait.operator, wait.file) for wait in found} == READING


def _on_both(card, monkeypatch, work):
    """Return what ``work()`` gives on the card and on the CPU."""
    with card:
        on_card = work()
    monkeypatch.undo()
    return on_card, work()


@pytest.mark.slow
@pytest.mark.parametrize("parameters", TOKENIZER_OPTIONS[1:3], ids=str)
@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: type(tokenizer).__name__)
def test_a_tokenizer_learns_on_a_card_what_it_learns_on_the_cpu(card, rng, monkeypatch, tokenizer, parameters):
    X, alignment = _embeddings(rng), _alignment(rng)

    def work():
        fitted = _with(tokenizer, parameters).set_params(max_iter=2, batch_size=BATCH, random_state=0)
        fitted.fit(X, alignment=alignment).partial_fit(X)
        codes = fitted.transform(X)
        return codes, fitted.inverse_transform(codes)

    on_card, on_cpu = _on_both(card, monkeypatch, work)
    for ours, expected in zip(on_card, on_cpu, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "tokenizer",
    [
        ParallelKMeansTokenizer(n_codebooks=2, codebook_size=4, random_state=0),
        ProductQuantizationTokenizer(n_codebooks=2, codebook_size=4, random_state=0),
        ResidualKMeansTokenizer(n_codebooks=2, codebook_size=4, beam_size=2, n_refinements=2, random_state=0),
        UniqueTokenizer(ResidualKMeansTokenizer(n_codebooks=2, codebook_size=16, random_state=0)),
    ],
    ids=lambda tokenizer: type(tokenizer).__name__,
)
def test_a_tokenizer_without_gradients_learns_on_a_card_what_it_learns_on_the_cpu(card, rng, monkeypatch, tokenizer):
    X = _embeddings(rng)
    on_card, on_cpu = _on_both(card, monkeypatch, lambda: clone(tokenizer).fit(X).transform(X))
    np.testing.assert_array_equal(on_card, on_cpu)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_click_model_learns_on_a_card_what_it_learns_on_the_cpu(card, impressions, monkeypatch, model):
    X, y = impressions

    def work():
        fitted = clone(model).set_params(validation=0.1, max_iter=2, batch_size=BATCH, random_state=0)
        fitted.fit(X, y).partial_fit(X, y)
        return fitted.predict_proba(X)

    on_card, on_cpu = _on_both(card, monkeypatch, work)
    np.testing.assert_allclose(on_card, on_cpu, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_known", [0, 1, 4, 5])
def test_alignment_on_a_card_leaves_out_the_same_rows(n_known):
    quantized, other = torch.randn(5, 4), torch.randn(5, 4)
    other[n_known:] = torch.nan
    quantized.requires_grad_()
    expected = alignment_loss(quantized, other)
    (expected_gradient,) = torch.autograd.grad(expected, quantized)
    with PretendedCard():
        on_card = quantized.detach().to(CARD).requires_grad_()
        loss = alignment_loss(on_card, other.to(CARD))
        loss.backward()
    torch.testing.assert_close(loss.held, expected.detach())
    torch.testing.assert_close(on_card.grad.held, expected_gradient)


def _with(tokenizer, parameters):
    """Return `tokenizer` with those of the `parameters` that it has."""
    names = tokenizer.get_params()
    return clone(tokenizer).set_params(**{name: value for name, value in parameters.items() if name in names})


def _embeddings(rng):
    return rng.standard_normal((N_ROWS, 12), dtype=np.float32)


def _alignment(rng):
    """Second embeddings, of two items of three."""
    alignment = rng.standard_normal((N_ROWS, 4), dtype=np.float32)
    alignment[::3] = np.nan
    return alignment
