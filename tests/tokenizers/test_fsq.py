from math import prod

import numpy as np
import pytest

from semid.tokenizers import FSQTokenizer
from semid.tokenizers._fsq import factorise


def _small(**parameters):
    return FSQTokenizer(
        **{"n_codebooks": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, **parameters}
    )


@pytest.mark.parametrize(
    "levels", [(8, 6, 5), (8, 5, 5, 5), (7, 5, 5, 5, 5), (8, 8, 8, 6, 5), (8, 8, 8, 5, 5, 5), (8, 8, 4), (16,), (13,)]
)
def test_sizes_factorise_as_the_paper_recommends(levels):
    # All but the last three are the paper's table of recommended levels.
    size = prod(levels)
    assert factorise(size) == (levels if size != 16 else (4, 4))


def test_sizes_keep_their_products():
    for size in (2, 6, 22, 36, 100, 128, 512, 1024, 4096):
        assert prod(factorise(size)) == size


def test_levels_are_those_asked_for(items):
    tokenizer = _small(codebook_size=30, levels=(5, 3, 2)).fit(items.embeddings)
    assert tokenizer.levels_ == [(5, 3, 2)] * 2
    assert [grid.shape for grid in tokenizer.codebooks_] == [(30, 3)] * 2


def test_each_codebook_may_have_its_size(items):
    tokenizer = _small(codebook_size=[8, 30]).fit(items.embeddings)
    assert tokenizer.levels_ == [(8,), (6, 5)]
    assert tokenizer.transform(items.embeddings).max(axis=0).tolist() <= [7, 29]


def test_graded_and_cut_sizes_move_down_to_products_of_levels(items):
    assert _small(n_codebooks=3, codebook_size="graded").fit(items.embeddings).codebook_sizes_ == [16, 24, 36]
    with pytest.warns(UserWarning, match="codebook_size=64 is more than the 37 distinct items"):
        assert _small(codebook_size=64).fit(items.embeddings[:37]).codebook_sizes_ == [36, 36]


def test_the_history_has_no_losses_of_codebooks(items):
    assert set(_small(codebook_size=8).fit(items.embeddings).history_) == {
        "loss",
        "reconstruction_loss",
        "r2",
        "usage",
        "perplexity",
    }


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"codebook_size": 257}, ValueError, r"levels from 2 to 16, got 257. The nearest sizes .* are: 256 and 260"),
        ({"codebook_size": [8, 34]}, ValueError, "got 34. The nearest sizes that are: 33 and 35"),
        ({"levels": (8, 5, 5)}, ValueError, r"codebook_size=256, got \(8, 5, 5\), .* to 200. Pass codebook_size=200"),
        ({"levels": (256, 1)}, ValueError, "each of levels must be at least 2, got 1"),
        ({"levels": ()}, ValueError, "levels must have at least one entry"),
        ({"levels": "few"}, TypeError, "levels must be 'auto' or a sequence of integers, got 'few'"),
        ({"levels": 8}, TypeError, "levels must be 'auto' or a sequence of integers, got 8"),
        ({"levels": (8.0, 32)}, TypeError, "each of levels must be an integer, got 8.0"),
        ({"learning_rate": 0}, ValueError, r"learning_rate must lie in \(0, inf\), got 0"),
        ({"n_codebooks": 0}, ValueError, "n_codebooks must be at least 1, got 0"),
    ],
)
def test_bad_parameters_are_refused(items, parameters, error, message):
    with pytest.raises(error, match=message):
        _small(**parameters).fit(items.embeddings)


def test_codes_do_not_waver_at_the_borders_of_levels(items):
    tokenizer = _small(codebook_size=16, levels=(4, 4)).fit(items.embeddings)
    codes = tokenizer.transform(items.embeddings)
    one_by_one = np.vstack([tokenizer.transform(row[None]) for row in items.embeddings])
    np.testing.assert_array_equal(one_by_one, codes)
