"""New codes in old labels: as many kept as can be, and nothing else changed."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from semid.metrics import code_churn
from semid.tokenizers import (
    FSQTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    UniqueTokenizer,
    align_codes,
)


@pytest.mark.parametrize("weighted", [False, True])
def test_as_many_items_keep_their_codes_as_any_relabelling_lets(rng, weighted):
    old, new = rng.integers(5, size=(60, 2)), rng.integers(5, size=(60, 2))
    weights = rng.uniform(size=60) if weighted else np.ones(60)
    aligned = align_codes(old, new, sample_weight=weights if weighted else None)
    for n in range(2):
        best = max((weights * (np.array(labels)[new[:, n]] == old[:, n])).sum() for labels in permutations(range(5)))
        np.testing.assert_allclose((weights * (aligned[:, n] == old[:, n])).sum(), best)


def test_who_shares_a_code_with_whom_stays_as_it_was(rng):
    old, new = rng.integers(9, size=(200, 3)), rng.integers(9, size=(200, 3))
    aligned = align_codes(old, new)
    for before, after in zip(new.T, aligned.T, strict=True):
        np.testing.assert_array_equal(before[:, None] == before, after[:, None] == after)


def test_a_mere_relabelling_is_undone(rng):
    old = rng.integers(256, size=(5_000, 2))
    np.testing.assert_array_equal(
        align_codes(old, np.stack([rng.permutation(256)[column] for column in old.T], 1)), old
    )


def test_labels_stay_below_the_codebook_sizes():
    old, new = [[7], [7], [1], [0]], [[0], [0], [1], [2]]
    assert align_codes(old, new).ravel().tolist() == [7, 7, 1, 0]
    aligned = align_codes(old, new, codebook_sizes=[3])
    assert aligned.ravel().tolist() == [2, 2, 1, 0]


@pytest.mark.parametrize(
    ("old", "new", "options", "message"),
    [
        ([[0, 1]], [[0]], {}, r"one shape \(n_items, n_codebooks\) and not be empty, got \(1, 2\) and \(1, 1\)"),
        ([0], [0], {}, r"got \(1,\) and \(1,\)"),
        ([[]], [[]], {}, r"not be empty, got \(1, 0\)"),
        ([[-1]], [[0]], {}, "got -1 in row 0"),
        ([[0.5]], [[0]], {}, "codes must be integers, got an array of float64"),
        ([[0]], [[3]], {"codebook_sizes": [3]}, r"codebook 0 must lie in \[0, 3\), got 3 in row 0"),
        ([[0]], [[0]], {"sample_weight": [1, 2]}, "sample_weight must have one entry per row"),
    ],
)
def test_what_cannot_be_aligned_is_refused(old, new, options, message):
    with pytest.raises(ValueError, match=message):
        align_codes(old, new, **options)


def test_a_tokenizer_is_aligned_with_codes_of_another_fit(tokenizer, items):
    if isinstance(tokenizer, RandomTokenizer | FSQTokenizer):
        pytest.skip("has no places to change")
    X = items.embeddings
    old = tokenizer.fit_transform(X)
    new = tokenizer.set_params(random_state=1).fit_transform(X)
    reconstruction, books = tokenizer.inverse_transform(new), tokenizer.codebooks_
    assert tokenizer.align_to(X, old) is tokenizer
    codes = tokenizer.transform(X)
    np.testing.assert_array_equal(codes, align_codes(old, new, codebook_sizes=tokenizer.codebook_sizes_))
    assert (code_churn(old, codes).codes <= code_churn(old, new).codes).all()
    np.testing.assert_allclose(tokenizer.inverse_transform(codes), reconstruction, rtol=1e-5, atol=1e-5)
    for before, after in zip(books, tokenizer.codebooks_, strict=True):
        np.testing.assert_array_equal(np.sort(after, axis=0), np.sort(before, axis=0))


def test_codes_beyond_a_smaller_codebook_match_nothing(items):
    old = ResidualKMeansTokenizer(2, 16, random_state=0).fit_transform(items.embeddings)
    tokenizer = ResidualKMeansTokenizer(2, 8, random_state=0).fit(items.embeddings)
    new = tokenizer.transform(items.embeddings)
    aligned = tokenizer.align_to(items.embeddings, old).transform(items.embeddings)
    assert aligned.max() == 7
    for n in range(2):
        table = np.array([[((new[:, n] == k) & (old[:, n] == label)).sum() for label in range(8)] for k in range(8)])
        assert (aligned[:, n] == old[:, n]).sum() == table[linear_sum_assignment(table, maximize=True)].sum()


def test_items_of_weight_decide(items):
    X = items.embeddings
    old = ParallelKMeansTokenizer(1, 8, random_state=0).fit_transform(X)
    tokenizer = ParallelKMeansTokenizer(1, 8, random_state=1).fit(X)
    weights = np.where(np.arange(300) < 8, 1000, 1)
    kept = tokenizer.align_to(X, old, sample_weight=weights).transform(X) == old
    shares = [(kept[:, 0] * weights).sum(), (tokenizer.align_to(X, old).transform(X) == old)[:, 0] @ weights]
    assert shares[0] >= shares[1]


def test_random_codes_cannot_be_aligned(items):
    tokenizer = RandomTokenizer(2, 8, random_state=0).fit(items.embeddings)
    with pytest.raises(TypeError, match=r"its codes are hashes .* Relabel an array of codes with align_codes"):
        tokenizer.align_to(items.embeddings, tokenizer.transform(items.embeddings))


@pytest.mark.parametrize("width", [1, 3])
def test_old_codes_of_another_shape_are_refused(items, width):
    tokenizer = MultiEmbeddingTokenizer(2, 4, hidden_layer_sizes=(), latent_dim=2, max_iter=1).fit(items.embeddings)
    with pytest.raises(ValueError, match=rf"of the shape \(300, 2\), got \(300, {width}\)"):
        tokenizer.align_to(items.embeddings, np.zeros((300, width), dtype=int))


@pytest.mark.parametrize("sizes", [4, ["a"], [4, 4], [2.5]])
def test_sizes_of_another_form_are_refused(sizes):
    with pytest.raises(ValueError, match="codebook_sizes must have an integer per codebook, 1 of them"):
        align_codes([[0], [1]], [[1], [0]], codebook_sizes=sizes)


@pytest.mark.parametrize("strategy", ["reassign", "suffix"])
def test_unique_codes_are_aligned_and_stay_those_of_the_same_items(items, strategy):
    X, later = items.embeddings[:250], items.embeddings[250:]
    old = UniqueTokenizer(ResidualKMeansTokenizer(2, 20, random_state=0), strategy).fit_transform(X)
    tokenizer = UniqueTokenizer(ResidualKMeansTokenizer(2, 20, random_state=1), strategy, suffix_size=64).fit(X)
    new, reconstruction = tokenizer.transform(X), tokenizer.inverse_transform(tokenizer.transform(X))
    assert tokenizer.align_to(X, old) is tokenizer
    codes = tokenizer.transform(X)
    aligned = align_codes(old, new, codebook_sizes=np.maximum(tokenizer.codebook_sizes_, 1 + old.max(axis=0)))
    np.testing.assert_array_equal(codes[:, :2], aligned[:, :2])
    np.testing.assert_array_equal(codes[:, 2:], new[:, 2:])  # a suffix says nothing that could be kept
    np.testing.assert_allclose(tokenizer.inverse_transform(codes), reconstruction, rtol=1e-5, atol=1e-5)
    tokenizer.partial_fit(later)
    np.testing.assert_array_equal(tokenizer.transform(X), codes)
    assert len(np.unique(tokenizer.codes_, axis=0)) == 300


def test_unique_copied_codes_are_aligned_by_their_one_codebook(items):
    X = items.embeddings
    inner = MultiEmbeddingTokenizer(2, 8, hidden_layer_sizes=(), latent_dim=4, max_iter=2, random_state=0)
    old = UniqueTokenizer(inner, "suffix", suffix_size=64).fit_transform(X)
    tokenizer = UniqueTokenizer(inner.set_params(random_state=1), "suffix", suffix_size=64).fit(X)
    codes = tokenizer.align_to(X, old).transform(X)
    np.testing.assert_array_equal(codes[:, :2], tokenizer.tokenizer_.transform(X))
    assert code_churn(old[:, :2], codes[:, :2]).items < 0.9


@pytest.mark.parametrize("inner", [RandomTokenizer(2, 8, random_state=0)])
def test_unique_codes_over_codes_without_labels_cannot_be_aligned(items, inner):
    tokenizer = UniqueTokenizer(inner, "suffix").fit(items.embeddings)
    before = tokenizer.codes_
    with pytest.raises(TypeError, match="cannot be aligned"):
        tokenizer.align_to(items.embeddings, tokenizer.transform(items.embeddings))
    assert tokenizer.codes_ is before
