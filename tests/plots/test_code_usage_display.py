import numpy as np
import pytest

from semid.metrics import codebook_perplexity
from semid.plots import CodeUsageDisplay
from semid.tokenizers import ResidualKMeansTokenizer

CODES = np.random.default_rng(1).integers([3, 9, 9], size=(80, 3))


def test_counts_are_those_of_a_naive_loop():
    display = CodeUsageDisplay.from_codes(CODES, codebook_size=[4, 9, 12])
    for n, size in enumerate([4, 9, 12]):
        expected = sorted((sum(code == c for code in CODES[:, n]) for c in range(size)), reverse=True)
        np.testing.assert_array_equal(display.counts[n], expected)
    np.testing.assert_allclose(display.perplexity, codebook_perplexity(CODES))


def test_lines_are_the_counts_of_codes_in_use():
    display = CodeUsageDisplay.from_codes(CODES, codebook_size=12)
    ax = display.plot(linewidth=2).ax_
    for line, count in zip(display.lines_, display.counts, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), count[count > 0])
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, (count > 0).sum() + 1))
        assert line.get_linewidth() == 2
    assert ax.get_legend().get_texts()[0].get_text() == f"code0: 3 of 12 used, perplexity {display.perplexity[0]:.0f}"


def test_without_sizes_the_share_in_use_is_left_open():
    display = CodeUsageDisplay.from_codes([[0], [5], [5]])
    np.testing.assert_array_equal(display.counts[0], [2, 1])
    assert display.plot().ax_.get_legend().get_texts()[0].get_text() == "code0: 2 used, perplexity 2"


def test_a_tokenizer_knows_its_sizes(items):
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=[4, 8], max_iter=2, random_state=0)
    tokenizer.fit(items.embeddings)
    display = CodeUsageDisplay.from_estimator(tokenizer, items.embeddings[:3])
    assert [len(count) for count in display.counts] == [4, 8]
    assert [count.sum() for count in display.counts] == [3, 3]


def test_the_legend_of_many_codebooks_names_some():
    codes = np.random.default_rng(0).integers(4, size=(50, 32))
    display = CodeUsageDisplay.from_codes(codes, 4).plot()
    assert len(display.lines_) == 32
    names = [text.get_text().split(":")[0] for text in display.ax_.get_legend().get_texts()]
    assert len(names) == 8 and names[0] == "code0" and names[-1] == "code31"


def test_codes_beyond_the_codebook_are_refused():
    with pytest.raises(ValueError, match=r"codes of codebook 1 must lie in \[0, 4\), got"):
        CodeUsageDisplay.from_codes(CODES, 4)
    with pytest.raises(ValueError, match=r"one for each of the 3 codebooks, got \[4, 9\]"):
        CodeUsageDisplay.from_codes(CODES, [4, 9])
