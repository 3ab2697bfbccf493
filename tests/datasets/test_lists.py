"""Lists in text, as files of logs hold them."""

import json

import numpy as np
import pandas as pd
import pytest

from semid.datasets import parse_lists


@pytest.mark.parametrize("lists", [[[1, 2], [], [3]], [["a, b", "c d"], ["null"], []], [[1.5, None], ["x", 2], []]])
@pytest.mark.parametrize(
    "write", [str, json.dumps, lambda entries: str(tuple(entries))], ids=["Python", "JSON", "tuple"]
)
def test_what_was_printed_is_read(lists, write):
    assert parse_lists([write(entries) for entries in lists]).tolist() == lists


def test_what_numpy_printed_is_read():
    arrays = [np.array([1, 22, 333]), np.array([]), np.arange(40)]
    assert parse_lists([str(array) for array in arrays]).tolist() == [array.tolist() for array in arrays]
    assert parse_lists([str(np.array(["a", "b c"]))]).tolist() == [["a", "b c"]]
    assert parse_lists([str(np.array([-1, 2, -3])), """["a' 'b" 'c']"""]).tolist() == [[-1, 2, -3], ["a' 'b", "c"]]


@pytest.mark.parametrize(
    ("texts", "separator", "expected"),
    [
        (["1|2", "3", ""], "|", [[1, 2], [3], []]),
        (["1 | 2|", None, float("nan")], "|", [[1, 2], [], []]),
        (["a  b", " c "], " ", [["a", "b"], ["c"]]),
        (["1,007"], ",", [["1", "007"]]),
        (["1::2", "x"], "::", [["1", "2"], ["x"]]),
    ],
)
def test_separated_entries_are_integers_if_all_are_written_as_such(texts, separator, expected):
    assert parse_lists(texts, separator).tolist() == expected


def test_index_name_and_arrow_text_are_kept():
    column = pd.Series(["[1]", None], index=[7, 3], name="seen", dtype="string")
    lists = parse_lists(column)
    assert lists.name == "seen" and lists.to_dict() == {7: [1], 3: []}


@pytest.mark.parametrize(
    ("column", "separator", "error", "message"),
    [
        (["1|2"], None, ValueError, r"lists in brackets without a separator, got '1\|2'. Pass what stands between"),
        (["[1, [2]]"], None, ValueError, "as Python, JSON or NumPy print them"),
        (["[f(1)]"], None, ValueError, "as Python, JSON or NumPy print them"),
        ([[1, 2]], None, TypeError, r"column must hold text, got \[1, 2\]"),
        (["1"], "", ValueError, "separator must be text between the entries, such as '|', or None, got ''"),
    ],
)
def test_what_is_no_list_is_refused(column, separator, error, message):
    with pytest.raises(error, match=message):
        parse_lists(column, separator)
