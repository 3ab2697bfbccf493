"""Work in blocks on all cores: every row once, in order, and torch's threads as they were."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from semid.base._threads import on_all_cores
from semid.datasets import make_items
from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_rows", [0, 1, 7, 1023, 1024, 5000, 8193])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_every_row_comes_once_and_in_order(n_rows, n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        seen = on_all_cores(lambda rows: (torch.get_num_threads(), np.arange(n_rows)[rows]), n_rows, 700, CPU)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert np.concatenate([rows for _, rows in seen]).tolist() == list(range(n_rows))
    assert max(len(rows) for _, rows in seen) <= 700
    if n_threads > 1 and n_rows >= 1024:
        assert {n for n, _ in seen} == {1}
        assert len(seen) % min(n_threads, n_rows // 512) == 0


def test_an_error_in_a_block_is_raised_and_the_threads_come_back(two_threads):
    def fail(rows):
        if rows.start > 0:
            raise ValueError("block two")

    with pytest.raises(ValueError, match="block two"):
        on_all_cores(fail, 5000, 1000, CPU)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("tokenizer_class", [ResidualKMeansTokenizer, RQVAETokenizer])
def test_codes_are_the_same_on_one_core_and_on_several(two_threads, tokenizer_class):
    X = make_items(n_items=3_000, n_features=32, random_state=0).embeddings
    tokenizer = tokenizer_class(3, 16, max_iter=2, device="cpu", random_state=0).fit(X)
    by_two = tokenizer.transform(X)
    assert torch.get_num_threads() == 2
    with ThreadPoolExecutor(3) as pool:  # as in a server
        found = list(pool.map(tokenizer.transform, [X] * 3))
    read_only = X.copy()
    read_only.flags.writeable = False
    found.append(tokenizer.transform(read_only))
    torch.set_num_threads(1)
    found.append(tokenizer.transform(X))
    for codes in found:
        np.testing.assert_array_equal(codes, by_two)
