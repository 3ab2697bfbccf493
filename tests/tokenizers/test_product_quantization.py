import numpy as np
import pytest

from semid.tokenizers import ProductQuantizationTokenizer


@pytest.mark.parametrize("rotation", ["opq", "pca_balanced", None])
def test_items_are_rebuilt_from_code_vectors_one_after_the_other_turned_back(items, rotation):
    tokenizer = ProductQuantizationTokenizer(5, 8, rotation=rotation, random_state=0)
    codes = tokenizer.fit_transform(items.embeddings)
    assert [book.shape[1] for book in tokenizer.codebooks_] == [5, 5, 5, 5, 4]
    rows = np.hstack([book[code] for book, code in zip(tokenizer.codebooks_, codes.T, strict=True)])
    np.testing.assert_allclose(tokenizer.inverse_transform(codes), rows @ tokenizer.rotation_.T, atol=1e-4)
    np.testing.assert_allclose(tokenizer.rotation_ @ tokenizer.rotation_.T, np.eye(24), atol=1e-5)


def test_the_last_r2_of_the_history_is_the_score(items):
    tokenizer = ProductQuantizationTokenizer(3, 16, random_state=0).fit(items.embeddings)
    np.testing.assert_allclose(tokenizer.history_["r2"][-1, -1], tokenizer.score(items.embeddings), atol=1e-4)
    assert (np.diff(tokenizer.history_["r2"][-1]) > 0).all()


def test_more_codebooks_than_features_are_told_of_and_have_one_code(rng):
    tokenizer = ProductQuantizationTokenizer(n_codebooks=4, codebook_size=5, random_state=0)
    with pytest.warns(UserWarning, match="n_codebooks=4 is more than the 3 features to share; the last 1 codes are 0"):
        codes = tokenizer.fit_transform(rng.normal(size=(50, 3)))
    assert tokenizer.codebook_sizes_ == [5, 5, 5, 1]
    assert not codes[:, 3].any()


def test_an_unknown_rotation_is_refused(items):
    with pytest.raises(ValueError, match="rotation must be one of 'opq', 'pca_balanced', None, got 'random'"):
        ProductQuantizationTokenizer(rotation="random").fit(items.embeddings)
