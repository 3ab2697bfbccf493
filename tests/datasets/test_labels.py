import operator

import numpy as np
import pandas as pd
import pytest

from semid.datasets import label_clicks

OPERATORS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("number", ["3", "3.5", "-1", "+2.", ".5", "4e0"])
def test_each_operator_is_the_one_of_python(sign, number):
    values = [3, 3.5, -1, 4, 0.5, 2]
    expected = [int(OPERATORS[sign](value, float(number))) for value in values]
    for rule in (f"rating {sign} {number}", f"  rating{sign}{number} "):
        clicks = label_clicks(pd.DataFrame({"rating": values}), rule)
        assert clicks.tolist() == expected
        assert clicks.dtype == np.int64


def test_any_column_of_numbers_will_do():
    log = pd.DataFrame({"play time (s)": pd.array([10, 30], dtype="Int64"), "id": [2**53, 2**53 + 1]})
    assert label_clicks(log, "play time (s) >= 30").tolist() == [0, 1]
    assert label_clicks(log, f"id == {2**53 + 1}").tolist() == [0, 1]


@pytest.mark.parametrize(
    "rule",
    ["rating", "rating > three", "rating => 3", "> 3", "rating > 3 or True", "__import__('os')", "rating > 3 > 2", ""],
)
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(
        ValueError, match=r"rule must have the form '<column> <operator> <number>'|must have the column"
    ):
        label_clicks(pd.DataFrame({"rating": [1]}), rule)


def test_columns_that_cannot_be_compared_are_named():
    log = pd.DataFrame({"rating": [1.0, None], "title": ["a", "b"], "seen": [True, False]})
    with pytest.raises(ValueError, match=r"column 'rating' must not be missing, got 1 missing.*dropna"):
        label_clicks(log)
    with pytest.raises(TypeError, match="column 'title' of rule must hold numbers, got"):
        label_clicks(log, "title > 3")
    with pytest.raises(TypeError, match="column 'seen' of rule must hold numbers, got bool"):
        label_clicks(log, "seen > 0")
    with pytest.raises(ValueError, match="interactions must have the column 'stars'"):
        label_clicks(log, "stars > 3")
    with pytest.raises(TypeError, match="rule must be a str such as 'rating > 3', got 3"):
        label_clicks(log, 3)
