"""The nearest few rows of codes, against a search through all of them."""

import numpy as np
import pytest

from semid.tokenizers import ParallelKMeansTokenizer, ResidualKMeansTokenizer
from semid.tokenizers._candidates import nearest_codes

EVERY_ROW = np.stack(np.meshgrid(np.arange(6), np.arange(8), indexing="ij"), axis=-1).reshape(-1, 2)


def _all_errors(tokenizer, X):
    """Squared distance of each item to each of `EVERY_ROW`, in standardised units."""
    first, second = (book[code] for book, code in zip(tokenizer.codebooks_, EVERY_ROW.T, strict=True))
    X, scale = X.astype(np.float64)[:, None], tokenizer.state_["scale"]
    if isinstance(tokenizer, ResidualKMeansTokenizer):
        return np.square((X - first - second) / scale).sum(axis=2)
    return (np.square((X - first) / scale) + np.square((X - second) / scale)).sum(axis=2)


@pytest.mark.parametrize("kind", [ResidualKMeansTokenizer, ParallelKMeansTokenizer])
@pytest.mark.parametrize("n_candidates", [5, 48, 1000])
def test_candidates_are_the_best_of_all_rows(items, kind, n_candidates):
    X = items.embeddings[:100]
    tokenizer = kind(2, [6, 8], random_state=0).fit(X)
    codes, regrets = nearest_codes(tokenizer, X, n_candidates)
    assert codes.shape == (100, min(n_candidates, 48), 2)
    everything = _all_errors(tokenizer, X)
    numbers = codes @ [8, 1]
    errors = np.take_along_axis(everything, numbers, axis=1)
    np.testing.assert_allclose(regrets, errors - errors[:, :1], atol=1e-4)
    assert all(len(set(row)) == len(row) for row in numbers)
    assert (np.diff(errors, axis=1) >= -1e-6).all()
    found_best = errors - np.sort(everything, axis=1)[:, : errors.shape[1]]
    if n_candidates >= 48 or kind is ParallelKMeansTokenizer:
        np.testing.assert_allclose(found_best, 0, atol=1e-4)
    else:  # a chain is searched through its best prefixes
        assert (np.abs(found_best) < 1e-4).mean() > 0.9


def test_candidates_do_not_depend_on_the_batch(items):
    X = items.embeddings
    tokenizer = ResidualKMeansTokenizer(3, 8, random_state=0).fit(X)
    codes, regrets = nearest_codes(tokenizer, X, 16)
    for i in range(0, 300, 37):
        alone = nearest_codes(tokenizer, X[i : i + 1], 16)
        np.testing.assert_array_equal(alone[0][0], codes[i])
        np.testing.assert_allclose(alone[1][0], regrets[i], atol=1e-9)
