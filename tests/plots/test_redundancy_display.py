import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from semid.plots import CodebookRedundancyDisplay
from semid.tokenizers import ParallelKMeansTokenizer


@pytest.fixture
def codes(rng):
    first = rng.integers(8, size=400)
    return np.column_stack([first, (first + 3) % 8, rng.integers(8, size=400), first // 2])


def test_the_matrix_is_that_of_scikit_learn(codes):
    display = CodebookRedundancyDisplay.from_codes(codes, random_state=0)
    expected = [[normalized_mutual_info_score(a, b) for b in codes.T] for a in codes.T]
    np.testing.assert_allclose(display.redundancy, expected, atol=1e-12)


def test_chance_is_what_codebooks_that_are_independent_reach(rng):
    codes = rng.integers(20, size=(300, 6))
    display = CodebookRedundancyDisplay.from_codes(codes, random_state=0)
    mean = display.redundancy[~np.eye(6, dtype=bool)].mean()
    assert display.chance == pytest.approx(mean, rel=0.05)
    assert mean > 0.1


def test_image_and_numbers_are_the_matrix_without_its_diagonal(codes):
    display = CodebookRedundancyDisplay.from_codes(codes, random_state=0)
    ax = display.plot(cmap="Greens").ax_
    drawn = display.im_.get_array()
    off_diagonal = ~np.eye(4, dtype=bool)
    np.testing.assert_array_equal(drawn[off_diagonal], display.redundancy[off_diagonal])
    assert drawn.mask.diagonal().all()
    for i, j in zip(*np.nonzero(off_diagonal), strict=True):
        assert display.text_[i, j].get_text() == f"{display.redundancy[i, j]:.2f}"
        assert display.text_[i, j].get_position() == (j, i)
    assert display.text_[0, 0] is None
    assert display.im_.get_clim() == (0, 1)
    assert ax.get_title().endswith(f"by chance {display.chance:.2f}")
    assert CodebookRedundancyDisplay(display.redundancy).plot(include_values=False).text_ is None


def test_numbers_in_cells_give_way_when_there_are_too_many(rng):
    codes = rng.integers(4, size=(30, 17))
    assert CodebookRedundancyDisplay.from_codes(codes).plot().text_ is None


def test_a_tokenizer_gives_the_codes(items):
    tokenizer = ParallelKMeansTokenizer(n_codebooks=3, codebook_size=8, max_iter=2, random_state=0)
    codes = tokenizer.fit_transform(items.embeddings)
    ours = CodebookRedundancyDisplay.from_estimator(tokenizer, items.embeddings, random_state=0)
    np.testing.assert_array_equal(ours.redundancy, CodebookRedundancyDisplay.from_codes(codes).redundancy)


def test_one_codebook_is_refused():
    with pytest.raises(ValueError, match="codes must have at least 2 codebooks to compare, got 1"):
        CodebookRedundancyDisplay.from_codes([[0], [1]])
