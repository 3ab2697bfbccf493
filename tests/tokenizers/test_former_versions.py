"""Tokenizers of 0.1.0, whose artifacts hold parameters and parts of modules that later ones have not."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from semid.io import load, save
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    RQVAETokenizer,
    VQVAETokenizer,
)

CORPUS = Path(__file__).parents[1] / "io" / "corpus" / "v1"
REMOVED = ["MixtureOfCodesTokenizer-removed", "RQVAETokenizer-removed"]
LEARNED = [FSQTokenizer, MixtureOfCodesTokenizer, MultiEmbeddingTokenizer, RQVAETokenizer, VQVAETokenizer]


@pytest.fixture(scope="module")
def X():
    inputs = json.loads((CORPUS / "expected.json").read_text(encoding="utf-8"))["inputs"]
    return np.array(inputs["embeddings"], dtype=np.float32)


@pytest.mark.parametrize("kind", LEARNED)
def test_removed_parameters_say_what_to_write(kind):
    for name in kind._removed_parameters:
        with pytest.raises(TypeError, match=f"{kind.__name__} has no parameter {name} any more. .*[.]$"):
            kind(**{name: None})
        with pytest.raises(ValueError, match=f"{kind.__name__} has no parameter {name} any more"):
            kind().set_params(**{name: None})
    with pytest.raises(TypeError, match=r"validation=0\.1 in the place of early_stopping=True, validation=None"):
        kind(early_stopping=True)
    assert len(kind().get_params()) <= 20


@pytest.mark.parametrize("kind", LEARNED)
def test_no_parameter_is_both_removed_and_there(kind):
    assert kind._removed_parameters.keys() & kind().get_params().keys() == set()


def test_parameters_of_0_1_0_are_those_of_today_that_do_the_same():
    by_name = {name: load(CORPUS / name) for name in [*REMOVED, "MixtureOfCodesTokenizer-graded", "VQVAETokenizer"]}
    assert by_name["RQVAETokenizer-removed"].validation == 0.25
    assert by_name["RQVAETokenizer-removed"].codebook_update == "gradient"
    assert by_name["MixtureOfCodesTokenizer-removed"].projection_dim == 2
    assert by_name["MixtureOfCodesTokenizer-graded"].projection_dim is None
    assert by_name["VQVAETokenizer"].validation is None
    for tokenizer in by_name.values():
        assert clone(tokenizer).get_params() == tokenizer.get_params()


@pytest.mark.parametrize("name", REMOVED)
def test_a_tokenizer_of_0_1_0_is_fitted_anew_and_saved_as_one_of_today(name, X, tmp_path):
    tokenizer = load(CORPUS / name)
    save(tokenizer, tmp_path / "again")
    again = load(tmp_path / "again")
    codes = tokenizer.transform(X)
    np.testing.assert_array_equal(again.transform(X), codes)
    np.testing.assert_array_equal(again.inverse_transform(codes), tokenizer.inverse_transform(codes))
    fitted = clone(tokenizer).set_params(validation=None).fit(X)
    assert set(fitted._architecture) == set(type(fitted)._architecture_parameters)


@pytest.mark.parametrize("name", REMOVED)
def test_a_fit_that_would_go_on_from_vectors_beside_the_decoder_is_refused(name, X):
    tokenizer = load(CORPUS / name)
    codes = tokenizer.transform(X)
    for go_on in (tokenizer.partial_fit, tokenizer.set_params(warm_start=True).fit):
        with pytest.raises(ValueError, match=r"output_codebooks=True, of semid 0\.1\.0, must not be followed"):
            go_on(X)
    np.testing.assert_array_equal(tokenizer.transform(X), codes)


def test_a_tokenizer_without_such_vectors_goes_on(X):
    tokenizer = load(CORPUS / "RQVAETokenizer").set_params(warm_start=True)
    n_iter = tokenizer.n_iter_
    assert tokenizer.fit(X).partial_fit(X).n_iter_ == n_iter + tokenizer.max_iter + 1


def test_decoders_and_vectors_of_each_codebook_make_the_reconstruction(X):
    tokenizer = load(CORPUS / "MixtureOfCodesTokenizer-removed")
    codes, state = tokenizer.transform(X), tokenizer.state_
    expected = np.zeros_like(X)
    for n, code in enumerate(codes.T):
        z = tokenizer.codebooks_[n][code] @ state[f"quantizer.up.{n}.weight"].T
        linear, first, last = (f"decoder.decoders.{n}.{layer}" for layer in ("linear", "mlp.0.0", "mlp.1"))
        hidden = np.maximum(z @ state[f"{first}.weight"].T + state[f"{first}.bias"], 0)
        decoded = z @ state[f"{linear}.weight"].T + state[f"{linear}.bias"] + hidden @ state[f"{last}.weight"].T
        expected += decoded / len(codes.T) + state[f"output_codebooks.{n}"][code]
    expected = expected * state["scale"] + state["mean"]
    np.testing.assert_allclose(tokenizer.inverse_transform(codes), expected, atol=1e-5)


@pytest.mark.parametrize("name", REMOVED)
def test_aligned_labels_take_the_vectors_beside_the_decoder_along(name, X):
    tokenizer = load(CORPUS / name)
    reconstruction, codes = tokenizer.inverse_transform(tokenizer.transform(X)), tokenizer.transform(X)
    sizes = np.array(tokenizer.codebook_sizes_)
    np.testing.assert_array_equal(tokenizer.align_to(X, (codes + 1) % sizes).transform(X), (codes + 1) % sizes)
    np.testing.assert_allclose(tokenizer.inverse_transform((codes + 1) % sizes), reconstruction, atol=1e-6)
