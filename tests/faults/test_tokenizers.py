"""Embeddings of any kind: codes in their range, or an error that helps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from strategies import cases, exact_dtypes, layouts, matrices, odd_arrays, outcome, run, state_of

from semid import tokenizers
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    VQVAETokenizer,
)

_SIZES = {"n_codebooks": 2, "codebook_size": 3, "random_state": 0}
_NETWORK = {"hidden_layer_sizes": (4,), "max_iter": 2}
TOKENIZERS = [
    FSQTokenizer(n_codebooks=2, codebook_size=4, random_state=0, **_NETWORK),
    MixtureOfCodesTokenizer(latent_dim=4, **_SIZES, **_NETWORK),
    MultiEmbeddingTokenizer(latent_dim=2, **_SIZES, **_NETWORK),
    ParallelKMeansTokenizer(max_iter=2, **_SIZES),
    ProductQuantizationTokenizer(max_iter=2, **_SIZES),
    RQVAETokenizer(latent_dim=2, **_SIZES, **_NETWORK),
    RandomTokenizer(**_SIZES),
    ResidualKMeansTokenizer(max_iter=2, **_SIZES),
    VQVAETokenizer(codebook_size=3, latent_dim=2, random_state=0, **_NETWORK),
    UniqueTokenizer(ResidualKMeansTokenizer(n_codebooks=3, codebook_size=4, max_iter=2, random_state=0)),
    UniqueTokenizer(RQVAETokenizer(latent_dim=2, **_SIZES, **_NETWORK), strategy="suffix"),
]
ORDINARY = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)

every_tokenizer = pytest.mark.parametrize(
    "tokenizer", TOKENIZERS, ids=lambda tokenizer: repr(tokenizer).split("(m")[0][:40]
)


def check_codes(tokenizer, codes, n_rows):
    assert isinstance(codes, np.ndarray) and codes.dtype == np.int64
    assert codes.shape == (n_rows, len(tokenizer.codebook_sizes_))
    assert (codes >= 0).all() and (codes < tokenizer.codebook_sizes_).all()


def test_every_tokenizer_is_tried():
    public = {name for name in tokenizers.__all__ if hasattr(getattr(tokenizers, name), "fit")}
    assert {type(tokenizer).__name__ for tokenizer in TOKENIZERS} == public


@cases(quick=2, long=60)
@every_tokenizer
def test_a_fit_ends_in_codes_or_in_an_error_that_helps(tokenizer, profile):
    @given(odd_arrays() | matrices())
    def case(X):
        estimator = clone(tokenizer)
        fitted, error = outcome(estimator.fit, X)
        if error is not None:
            assert not [name for name in vars(estimator) if name.endswith("_")]
            return
        codes = outcome(fitted.transform, X).value
        check_codes(fitted, codes, len(codes))
        reconstruction = outcome(fitted.inverse_transform, codes).value
        assert reconstruction.dtype == np.float32 and np.isfinite(reconstruction).all()
        assert reconstruction.shape == (len(codes), fitted.n_features_in_)
        assert all(np.isfinite(vectors).all() for vectors in fitted.codebooks_)
        assert np.isfinite(outcome(fitted.score, X).value)

    run(profile, case, repr(tokenizer))


@cases(quick=1, long=30)
@every_tokenizer
def test_equal_content_gets_equal_codes_however_it_is_held(tokenizer, profile):
    @given(matrices(), layouts(), st.data())
    def case(X, layout, data):
        X = X.clip(-3e38, 3e38).astype(np.float32)
        held = layout(X.astype(data.draw(exact_dtypes(X))))
        expected, error = outcome(clone(tokenizer).fit_transform, X)
        codes, error_of_held = outcome(clone(tokenizer).fit_transform, held)
        assert (error is None) == (error_of_held is None)
        np.testing.assert_array_equal(codes, expected)

    run(profile, case, repr(tokenizer))


@cases(quick=1, long=30)
@every_tokenizer
def test_what_is_passed_to_transform_leaves_a_fitted_tokenizer_as_it_is(tokenizer, profile):
    fitted = clone(tokenizer).fit(ORDINARY)
    codes, state = fitted.transform(ORDINARY), state_of(fitted)

    @given(odd_arrays() | matrices(n_columns=st.just(5)))
    def case(X):
        others, _ = outcome(fitted.transform, X)
        if others is not None:
            check_codes(fitted, others, len(others))
        outcome(fitted.score, X)
        outcome(fitted.inverse_transform, X)
        assert state_of(fitted) == state
        np.testing.assert_array_equal(fitted.transform(ORDINARY), codes)

    run(profile, case, repr(tokenizer))


@cases(quick=1, long=20)
@every_tokenizer
def test_a_fit_that_fails_leaves_the_tokenizer_as_it_was(tokenizer, profile):
    @given(odd_arrays(), odd_arrays())
    def case(X, weights):
        fitted = clone(tokenizer).fit(ORDINARY)
        state = state_of(fitted)
        for arguments in ((X, None), (ORDINARY, weights)):
            if outcome(fitted.fit, arguments[0], sample_weight=arguments[1]).error is not None:
                assert state_of(fitted) == state
            else:
                fitted = clone(tokenizer).fit(ORDINARY)

    run(profile, case, repr(tokenizer))


@cases(quick=2, long=60)
def test_old_codes_of_any_kind_are_aligned_to_or_refused(profile):
    tokenizer = ResidualKMeansTokenizer(max_iter=2, **_SIZES).fit(ORDINARY)
    codes = tokenizer.transform(ORDINARY)

    @given(odd_arrays())
    def case(old):
        fitted = clone(tokenizer).fit(ORDINARY)
        if outcome(fitted.align_to, ORDINARY, old).error is not None:
            np.testing.assert_array_equal(fitted.transform(ORDINARY), codes)
        outcome(tokenizers.align_codes, codes, old)
        outcome(tokenizers.align_codes, old, old)

    run(profile, case)


@cases(quick=2, long=60)
def test_new_items_of_any_kind_are_placed_or_refused(profile):
    tokenizer = clone(TOKENIZERS[-2]).fit(ORDINARY)
    codes = tokenizer.transform(ORDINARY)

    @given(odd_arrays() | matrices(n_columns=st.just(5)))
    def case(X):
        placed = clone(TOKENIZERS[-2]).fit(ORDINARY)
        outcome(placed.partial_fit, X)
        np.testing.assert_array_equal(placed.transform(ORDINARY), codes)

    run(profile, case)
