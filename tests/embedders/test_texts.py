"""How rows of columns become texts."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest

from semid.embedders import TextEmbedder


def _texts(X, template=None):
    return TextEmbedder(template=template)._texts(X, reset=True).tolist()


def test_columns_are_joined_by_the_template():
    X = pd.DataFrame({"title": ["Mug", None], "tags": [["red", "big"], ["blue"]], "price": [2.5, np.nan]}, index=[7, 7])
    assert _texts(X, "{title} ({tags}) {price}!") == ["Mug (red big) 2.5!", " (blue) !"]
    assert _texts(X[["title", "tags"]]) == ["Mug. red big", "blue"]
    assert _texts(X["title"][:1], "{title}") == ["Mug"]
    assert _texts(["Mug"], "no {{braces}} {0}") == ["no {braces} Mug"]


def test_a_row_is_missing_only_where_all_its_named_columns_are():
    X = pd.DataFrame({"title": [None, "Pan"], "brand": ["Acme", None], "price": [1.0, 2.0]})
    assert _texts(X, "{title}/{brand}") == ["/Acme", "Pan/"]
    with pytest.raises(ValueError, match="none in 1 of 2, first in row 0"):
        _texts(X, "{title}")
    assert _texts(X.fillna({"title": ""}), "{title}") == ["", "Pan"]


def test_what_is_missing_in_a_list_leaves_no_word_behind():
    X = pd.Series([["red", None, "mug", np.nan], [], [["Beauty", "Hair"], [None, "Care"]]], dtype=object)
    assert _texts(X) == ["red mug", "", "Beauty Hair Care"]


def test_years_that_are_floats_for_a_missing_one_are_written_as_years():
    X = pd.DataFrame({"title": ["Heat", "Ran"], "year": [1995, None]})
    assert X["year"].dtype == np.float64
    assert _texts(X, "{title} {year}") == ["Heat 1995", "Ran "]
    assert _texts(X.astype({"year": "Int64"}), "{title} {year}") == ["Heat 1995", "Ran "]
    assert _texts(X.astype({"year": "float32"}), "{title} {year}") == ["Heat 1995", "Ran "]


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(["Mug", "Pan"], dtype="category"),
        pd.Series(["Mug", "Pan"], dtype="string"),
        pd.Index(["Mug", "Pan"]),
        ("Mug", "Pan"),
        np.array(["Mug", "Pan"]),
        [["Mug"], ["Pan"]],
        pl.Series("title", ["Mug", "Pan"]),
        pl.DataFrame({"title": ["Mug", "Pan"]}),
        pl.DataFrame({"title": [["Mug"], ["Pan"]]}),
        pl.Series("title", [["Mug"], ["Pan"]]),
    ],
    ids=lambda X: type(X).__module__ + "." + type(X).__name__,
)
def test_every_kind_of_column_is_read(X):
    assert _texts(X) == ["Mug", "Pan"]


def test_a_list_of_rows_is_a_table():
    assert _texts([["Mug", "Acme"], ["Pan", None]]) == ["Mug. Acme", "Pan"]


def test_a_template_knows_the_name_of_a_series_of_any_library():
    for series in (pd.Series(["Mug"], name="title"), pl.Series("title", ["Mug"])):
        assert _texts(series, "A {title}") == ["A Mug"]


def test_polars_tables_may_have_lists_and_missing_values():
    X = pl.DataFrame({"tags": [["red", None, "mug"], None], "year": [2015, 2016]})
    assert _texts(X, "{tags} {year}") == ["red mug 2015", " 2016"]


def test_one_long_text_does_not_make_all_of_them_long():
    # An array of text has entries as wide as the widest: 2.4 GB here.
    texts = ["mug"] * 3000 + ["b" * 200_000]
    tracemalloc.start()
    try:
        assert len(_texts(texts)) == 3001
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
