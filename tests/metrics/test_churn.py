"""Shares of items that changed their codes, counted by hand."""

import pytest

from semid.metrics import code_churn


def test_shares_are_those_counted_by_hand():
    old = [[0, 0, 5], [1, 2, 5], [3, 2, 5], [4, 0, 5], [9, 9, 9]]
    new = [[0, 0, 5], [1, 3, 5], [0, 3, 5], [4, 1, 5], [9, 9, 9]]
    churn = code_churn(old, new)
    assert churn.items == 3 / 5
    assert churn.codes.tolist() == [1 / 5, 3 / 5, 0]


def test_nothing_changed_is_zero_and_everything_is_one():
    assert code_churn([[1, 2]], [[1, 2]]).items == 0
    assert code_churn([[1, 2]], [[0, 0]]).items == 1
    assert code_churn([[1, 2]], [[0, 0]]).codes.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ([[0]], [[0], [1]], r"old and new must have one shape \(n_items, n_codebooks\), got \(1, 1\) and \(2, 1\)"),
        ([[0.0]], [[0]], "codes must be integers"),
        ([[]], [[]], "not be empty"),
    ],
)
def test_codes_that_cannot_be_compared_are_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        code_churn(old, new)
