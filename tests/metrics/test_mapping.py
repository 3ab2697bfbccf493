"""Mappings as files and objects of several projects, read into the same codes."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

from semid.metrics._mapping import read_mapping
from semid.tokenizers import RandomTokenizer

CODES = np.array([[12, 7, 3], [12, 0, 255], [5, 7, 3]])
TOKENS = [["<a_12>", "<b_7>", "<c_3>"], ["<a_12>", "<b_0>", "<c_255>"], ["<a_5>", "<b_7>", "<c_3>"]]


def _write_index(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_an_index_file_is_read_in_its_order(tmp_path):
    path = _write_index(tmp_path / "Beauty.index.json", {"10": TOKENS[0], "2": TOKENS[1], "0": TOKENS[2]})
    for source in (path, str(path)):
        items = read_mapping(source)
        assert items.item_ids.tolist() == ["10", "2", "0"]
        np.testing.assert_array_equal(items.codes, CODES)
        assert items.codes.dtype == np.int64


def test_a_dict_of_integers_keeps_the_order_of_its_names():
    items = read_mapping({"kettle": [12, 7, 3], "apron": (12, 0, 255), "mug": np.array([5, 7, 3])})
    assert items.item_ids.tolist() == ["kettle", "apron", "mug"]
    np.testing.assert_array_equal(items.codes, CODES)


def test_shorter_ids_end_in_minus_one():
    items = read_mapping({0: ["<a_1>", "<b_2>"], 1: ["<a_1>", "<b_2>", "<c_0>"], 2: ["<a_4>", "<b_2>"]})
    np.testing.assert_array_equal(items.codes, [[1, 2, -1], [1, 2, 0], [4, 2, -1]])


def test_arrays_lists_and_npy_files_are_read_alike(tmp_path):
    np.save(tmp_path / "codes.npy", CODES.astype(np.int16))
    for source in (CODES, CODES.tolist(), CODES.astype(np.uint8), tmp_path / "codes.npy", np.array(TOKENS)):
        items = read_mapping(source)
        np.testing.assert_array_equal(items.codes, CODES)
        assert items.item_ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "names", [["code0", "code1", "code2"], ["sid_code0", "sid_code1", "sid_code2"], ["a", "b", "c"]]
)
def test_the_columns_of_codes_are_found_in_parquet_files(names, tmp_path):
    frame = pd.DataFrame(CODES, columns=names).assign(item_id=[7, 8, 9], price=[1.5, 2.5, 3.5])
    frame.to_parquet(tmp_path / "codes.parquet")
    for source in (frame, tmp_path / "codes.parquet", pl.DataFrame(frame)):
        items = read_mapping(source)
        assert items.item_ids.tolist() == [7, 8, 9]
        np.testing.assert_array_equal(items.codes, CODES)


def test_code_columns_are_ordered_by_number_and_others_ignored():
    frame = pd.DataFrame({f"code{n}": [n, n + 1] for n in (10, 2, 0)} | {"year": [1999, 2001]}, index=["x", "y"])
    items = read_mapping(frame)
    assert items.codes.tolist() == [[0, 2, 10], [1, 3, 11]]
    assert items.item_ids.tolist() == ["x", "y"]


def test_categories_and_floats_of_whole_numbers_are_codes_and_missing_ones_none():
    frame = pd.DataFrame(
        {
            "code0": pd.Categorical([3, 1], categories=[1, 2, 3]),
            "code1": [2.0, np.nan],
            "code2": pd.array([None, 4], dtype="Int64"),
        }
    )
    assert read_mapping(frame).codes.tolist() == [[3, 2, -1], [1, -1, 4]]


def test_codes_of_the_encoder_are_read_from_its_columns(encoder, table):
    encoder.set_output(transform="pandas").fit(pd.DataFrame({"item_id": table.ids}))
    frame = encoder.transform(pd.DataFrame({"item_id": [*table.ids[:5], "gone"]}))
    expected = encoder.tokenizer_.transform(table.embeddings[:5])
    assert read_mapping(frame).codes.tolist() == [*expected.tolist(), [-1, -1]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"3": ["<a_1>", "b7"]}, "codes of item '3' must be integers or tokens like \"<a_12>\", got 'b7'"),
        ({"3": ["<a_1>", 1.5]}, "codes of item '3' must be integers or tokens like"),
        ({"3": []}, r"codes of item '3' must be a list of tokens or integers, got \[\]"),
        ({"3": "<a_1>"}, "codes of item '3' must be a list of tokens or integers, got '<a_1>'"),
        ({"0": ["<a_1>", "<b_1>"], "1": ["<b_1>"]}, "codes of item '1' must have tokens <a_...> at position 0"),
        ({}, "codes must not be empty, got a mapping without items"),
        ([[0, 1], [0]], "codes given as lists must have one length. For IDs of different lengths pass a dict"),
        (np.zeros((3, 2)), "codes must be integers, got an array of float64"),
        (np.zeros(3, dtype=int), r"codes must have shape \(n_items, n_codebooks\)"),
        (np.array(3), r"codes must have shape \(n_items, n_codebooks\)"),
        ([[0, -2]], "codes must be at least 0, or -1 for no code, got -2"),
        (
            pd.DataFrame({"title": ["a"], "price": [1.5]}),
            "codes must have integer columns, .*, got 'title' of .*, 'price'",
        ),
        (pd.DataFrame({"item_id": [1, 2]}), "codes must have integer columns, or columns named code0"),
        (pd.DataFrame({"a_code0": [1], "b_code0": [2]}), r"columns of one set, got the prefixes \['a', 'b'\]"),
        (pd.DataFrame({"code0": ["<a_1>"]}), "codes in column 'code0' must be integers"),
        (pd.DataFrame({"code0": [0.5]}), "codes in column 'code0' must be whole numbers"),
        ("codes.txt", "codes given as a path must end in .json, .npy, .parquet, got 'codes.txt'"),
    ],
)
def test_what_is_no_mapping_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        read_mapping(source)


def test_files_that_are_missing_or_hold_something_else_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"codes must be the path of a file that exists, got '.*nothing.npy'"):
        read_mapping(tmp_path / "nothing.npy")
    with pytest.raises(ValueError, match=r"codes in a JSON file must be an object like .*, got a list in"):
        read_mapping(_write_index(tmp_path / "list.json", TOKENS))


def test_an_estimator_is_no_mapping():
    with pytest.raises(TypeError, match=r"got the estimator RandomTokenizer. Pass its codes: transform\(X\)"):
        read_mapping(RandomTokenizer())


def test_ids_are_those_of_the_items():
    frame = pd.DataFrame({"shop_id": [5, 6], "item_id": ["a", "b"], "code0": [0, 1]})
    assert read_mapping(frame).item_ids.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match=r"one column of ids, got \['shop_id', 'film_id'\]"):
        read_mapping(frame.rename(columns={"item_id": "film_id"}))


@pytest.mark.parametrize("rows", [[["<a_1>"], [1]], [[1], ["<a_1>"]]])
def test_tokens_beside_integers_are_refused(rows):
    with pytest.raises(ValueError, match=r"codes of item 'y' must have (integers|tokens <a_\.\.\.>) at position 0"):
        read_mapping(dict(zip("xy", rows, strict=True)))
