"""What a column of a file is, against a naive reading of its values."""

import numpy as np
import pandas as pd
import pytest

from semid.tables._columns import from_text, has_lost_digits, shared_ids

BIG = 2**53


def read(*texts):
    column = from_text(pd.Series([text or np.nan for text in texts], dtype=str))
    return str(column.dtype).replace("object", "str"), column.astype(object).where(column.notna(), None).tolist()


@pytest.mark.parametrize(
    ("texts", "dtype", "values"),
    [
        (["1", "-2", "0"], "int64", [1, -2, 0]),
        (["1", "", "3"], "Int64", [1, None, 3]),
        (["1", "NA", "3"], "Int64", [1, None, 3]),
        ([str(BIG), str(BIG + 1), ""], "Int64", [BIG, BIG + 1, None]),
        ([str(2**64 - 1), "1"], "uint64", [2**64 - 1, 1]),
        ([str(2**64), "1"], "str", [str(2**64), "1"]),
        (["0.5", "1", "1e3", "-inf", ""], "float64", [0.5, 1.0, 1000.0, -np.inf, None]),
        (["0.5", str(BIG + 1)], "str", ["0.5", str(BIG + 1)]),
        (["0.5", str(BIG)], "float64", [0.5, BIG]),
        (["0.5", "-" + "9" * 5000], "str", ["0.5", "-" + "9" * 5000]),
        (["1", "9" * 5000], "str", ["1", "9" * 5000]),
        ([str(-(2**63)), "1"], "int64", [-(2**63), 1]),
        (["1e400", "0.5"], "str", ["1e400", "0.5"]),
        (["1e300", "-Infinity"], "float64", [1e300, -np.inf]),
        (["+49123", "49123"], "str", ["+49123", "49123"]),
        (["+0.5", "1"], "str", ["+0.5", "1"]),
        (["1.10", "1.1", "1e+2"], "float64", [1.1, 1.1, 100.0]),
        ([" 1", "2 "], "int64", [1, 2]),
        (["\u0661", "1"], "str", ["\u0661", "1"]),
        (["1\n", "1"], "str", ["1\n", "1"]),
        (["True", "false"], "bool", [True, False]),
        (["True", "", "False"], "boolean", [True, None, False]),
        (["01234", "1234"], "str", ["01234", "1234"]),
        (["US", "NA", "", "null"], "str", ["US", "NA", None, "null"]),
        (["NA", "NA"], "str", ["NA", "NA"]),
        (["1", "x"], "str", ["1", "x"]),
        (["True", "1"], "str", ["True", "1"]),
        (["", ""], "float64", [None, None]),
    ],
)
def test_text_becomes_a_number_only_where_its_value_is_kept(texts, dtype, values):
    assert read(*texts) == (dtype, values)


def shared(*columns, are_open=None, **options):
    series = [column if isinstance(column, pd.Series) else pd.Series(column) for column in columns]
    return shared_ids("item_id", series, are_open or [False] * len(series), **options)


def matches(columns, found):
    """Return whether rows meet exactly where their ids, written as text, do."""
    written = [[str(value) for value in column] for column in columns]
    expected = [value in set(written[1]) for value in written[0]]
    return found[0].isin(found[1]).tolist() == expected


@pytest.mark.parametrize(
    ("columns", "are_open", "kind"),
    [
        ([["1", "2"], ["2", "3"]], [True, True], "int64"),
        ([["1", "2"], ["2", "B00"]], [True, True], "text"),
        ([["1", "02"], ["1", "2"]], [True, True], "text"),
        ([["1", "2"], [2, 3]], [True, False], "int64"),
        ([["1", "guest"], [1, 3]], [True, False], "text"),
        ([["1", "2"], ["2", "x"]], [True, False], "text"),
        ([[1, 2], ["2", "x"]], [False, False], "text"),
        ([[2**60, 2**60 + 1], pd.Series([2**60 + 1], dtype="uint64")], None, "int64"),
        ([[1, 2], pd.Series([2**64 - 1, 2], dtype="uint64")], None, "uint64"),
        ([[-1, 2], pd.Series([2**64 - 1, 2], dtype="uint64")], None, "object"),
        ([pd.Series([1, 2], dtype="Int64"), [2, 3]], None, "int64"),
        ([["a", "b"], pd.Series(["b", "c"], dtype="category")], None, "text"),
        ([["1", "x"], pd.Series([1, 2], dtype="category")], None, "text"),
    ],
)
def test_ids_of_two_files_meet_as_they_do_when_both_are_written_as_text(columns, are_open, kind):
    found = shared(*columns, are_open=are_open)
    assert matches(columns, found)
    for column in found:
        assert kind == "text" or str(column.dtype) == kind


def test_text_that_bytes_and_floats_hold_meets_text():
    assert shared(["a", "b"], [b"b", b"c"])[0].isin(["b"]).any()
    texts = shared(["7", "x"], [7.0, 8.0])
    assert texts[1].tolist() == ["7", "8"]
    assert [ids.dtype for ids in shared([7, 8], [7.0, 9.0])] == [np.int64, np.int64]


def test_ids_that_are_text_in_one_file_and_integers_in_the_other_are_refused_where_none_meets():
    with pytest.raises(ValueError, match="item_id must be of one type, got int64 in the interactions and "):
        shared(["7"], ["07"], are_open=[True, True])
    with pytest.raises(ValueError, match=r"item_id must be of one type, got .* and float64 where they are described"):
        shared(["7", "x"], [0.5, 7.0])


def test_text_ids_are_text_in_every_file():
    found = shared(["1", "2"], [2, 3], are_open=[True, False], text_ids=True)
    assert [ids.tolist() for ids in found] == [["1", "2"], ["2", "3"]]
    with pytest.raises(ValueError, match="item_id must be text or integers to become text, got float64"):
        shared([0.5], text_ids=True)


def test_digits_are_lost_in_floats_beyond_two_to_the_53():
    assert has_lost_digits(pd.Series([1.0, 2.0**53 + 2]))
    assert not has_lost_digits(pd.Series([1.0, np.nan, 2.0**53]))
    assert not has_lost_digits(pd.Series([2**60]))
