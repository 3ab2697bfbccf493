"""Every constructor parameter changes something: nothing is accepted and then ignored."""

import numpy as np
import pytest
from conftest import SMALL_TOKENIZERS, UNIQUE_TOKENIZERS
from sklearn.base import clone

# Parameter → the values to compare, and what else must be set for it to matter.
_LEARNED = {
    "latent_dim": ((4, 6), {}),
    "hidden_layer_sizes": (((16,), (8, 8)), {}),
    "codebook_update": (("ema", "gradient"), {}),
    "assignment": (("nearest", "sinkhorn"), {"max_iter": 8, "batch_size": 32}),
    "commitment_weight": ((0.1, 1.0), {}),
    "separation_weight": ((0.0, 5.0), {}),
    "alignment_weight": ((0.1, 2.0), {}),
    "batch_size": ((64, 512), {}),
    "learning_rate": ((1e-3, 1e-2), {}),
    "mixup": ((0.0, 0.5), {}),
    "validation": ((None, 0.4), {}),
    "n_iter_no_change": ((1, 50), {"validation": 0.1, "max_iter": 30, "learning_rate": 0.1, "batch_size": 32}),
    "warm_start": ((False, True), {}),
    "projection_dim": ((2, None), {}),
    "levels": (((2, 4), (8,)), {}),
}
_OTHERS = {
    "n_codebooks": ((2, 3), {"codebook_size": 8}),
    "codebook_size": ((4, 8), {}),
    "max_iter": ((1, 4), {}),
    "beam_size": ((1, 8), {}),
    "n_refinements": ((0, 3), {"beam_size": 8}),
    "rotation": (("opq", None), {}),
    "random_state": ((0, 1), {}),
    "strategy": (("reassign", "suffix"), {}),
    "suffix_size": ((64, 128), {"strategy": "suffix"}),
    "capacity": ((1, 2), {}),
}
CASES = _LEARNED | _OTHERS
# Tested where they act: on a machine with a GPU, on what is printed, after a kill, and by the tokenizer inside.
_ELSEWHERE = {"device", "verbose", "tokenizer", "checkpoint_dir"}


def _parameters():
    for tokenizer in (*SMALL_TOKENIZERS, *UNIQUE_TOKENIZERS[:1]):
        for name in tokenizer.get_params(deep=False):
            if name not in _ELSEWHERE:
                yield pytest.param(tokenizer, name, id=f"{type(tokenizer).__name__}-{name}")


def _outcome(tokenizer, X, alignment):
    """Everything a fit leaves behind that a user can see: codes, reconstruction, sizes; twice for a warm start."""
    options = {"alignment": alignment} if "alignment_weight" in tokenizer.get_params() else {}
    codes = tokenizer.fit(X, **options).fit(X, **options).transform(X)
    return codes, tokenizer.inverse_transform(codes), tokenizer.codebook_sizes_


@pytest.mark.parametrize(("tokenizer", "name"), list(_parameters()))
def test_every_parameter_changes_something(tokenizer, name, items, rng):
    assert name in CASES, f"say in CASES how {name} is to be tested"
    (first, second), setting = CASES[name]
    alignment = rng.standard_normal((300, 3))
    outcomes = []
    for value in (first, second):
        changed = clone(tokenizer).set_params(**setting | {name: value})
        outcomes.append(_outcome(changed, items.embeddings, alignment))
    (codes, x, sizes), (other_codes, other_x, other_sizes) = outcomes
    same = sizes == other_sizes and np.array_equal(codes, other_codes) and np.array_equal(x, other_x)
    assert not same, f"{name}={first!r} and {name}={second!r} give the same tokenizer"


def test_verbose_shows_progress_and_silence_is_the_default(tokenizer, items, capsys):
    tokenizer.fit(items.embeddings)
    assert capsys.readouterr().err == ""
    if "verbose" in tokenizer.get_params():
        tokenizer.set_params(verbose=True).fit(items.embeddings)
        assert "it" in capsys.readouterr().err
