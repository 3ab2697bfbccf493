"""Mappings of items to codes as files of several formats, and codes as tokens."""

import json
import string

import numpy as np
import pandas as pd
import pytest

from semid.io import from_tokens, read_mapping, to_tokens, write_mapping
from semid.io._files import replaced

CODES = np.array([[12, 7, 0], [3, 0, 255], [3, 1, 255]])


@pytest.mark.parametrize("ending", [".parquet", ".json", ".index.json"])
@pytest.mark.parametrize(
    "ids",
    [["mug", "cup", 'é\n"x"'], ["10", "9", "x"], np.array(["a", "b", "c"]), pd.Series(["a", "b", "c"], [5, 6, 7])],
    ids=["text", "digits", "array", "Series"],
)
def test_a_mapping_of_text_comes_back(ending, ids, tmp_path):
    write_mapping(tmp_path / f"items{ending}", ids, CODES)
    mapping = read_mapping(tmp_path / f"items{ending}")
    assert mapping.item_ids.tolist() == list(ids)
    np.testing.assert_array_equal(mapping.codes, CODES)
    assert mapping.codes.dtype == np.int64


def test_a_mapping_of_integers_comes_back_from_parquet_as_it_was_and_from_json_as_text(tmp_path):
    for ending in (".parquet", ".json"):
        write_mapping(tmp_path / f"items{ending}", [20, 3, 100], CODES)
    parquet, text = read_mapping(tmp_path / "items.parquet"), read_mapping(tmp_path / "items.json")
    assert parquet.item_ids.tolist() == [20, 3, 100]
    assert text.item_ids.tolist() == ["20", "3", "100"]
    np.testing.assert_array_equal(text.codes, CODES)


@pytest.mark.parametrize("ending", [".parquet", ".json", ".index.json"])
def test_shorter_ids_come_back(ending, tmp_path):
    codes = [[1, 2, 3], [4, -1, -1], [5, 6, -1]]
    write_mapping(tmp_path / f"items{ending}", ["a", "b", "c"], codes)
    np.testing.assert_array_equal(read_mapping(tmp_path / f"items{ending}").codes, codes)


def test_more_than_ten_codebooks_keep_their_order_in_parquet(tmp_path, rng):
    codes = rng.integers(100, size=(5, 30))
    write_mapping(tmp_path / "items.parquet", range(5), codes)
    np.testing.assert_array_equal(read_mapping(tmp_path / "items.parquet").codes, codes)
    assert list(pd.read_parquet(tmp_path / "items.parquet"))[:3] == ["item_id", "code0", "code1"]


def test_the_index_of_lc_rec_is_written_to_the_letter(tmp_path):
    write_mapping(tmp_path / "toys.index.json", [0, 1], [[12, 7], [0, 255]])
    assert json.loads((tmp_path / "toys.index.json").read_text()) == {
        "0": ["<a_12>", "<b_7>"],
        "1": ["<a_0>", "<b_255>"],
    }


def test_arrays_are_read_from_npy(tmp_path):
    np.save(tmp_path / "codes.npy", CODES)
    mapping = read_mapping(tmp_path / "codes.npy")
    np.testing.assert_array_equal(mapping.codes, CODES)
    assert mapping.item_ids.tolist() == [0, 1, 2]


def test_what_is_in_memory_is_read_too():
    frame = pd.DataFrame({"item_id": ["a", "b"], "code0": [1, 2]})
    assert read_mapping(frame).item_ids.tolist() == ["a", "b"]
    assert read_mapping([[1, 2]]).codes.tolist() == [[1, 2]]


def test_a_file_that_is_there_is_replaced_on_demand_only(tmp_path):
    path = tmp_path / "items.json"
    write_mapping(path, ["a"], [[1]])
    with pytest.raises(FileExistsError, match="Pass overwrite=True"):
        write_mapping(path, ["b"], [[2]])
    assert read_mapping(path).item_ids.tolist() == ["a"]
    write_mapping(path, ["b"], [[2]], overwrite=True)
    assert read_mapping(path).item_ids.tolist() == ["b"]


def test_a_write_that_breaks_off_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "items.parquet"
    write_mapping(path, ["a"], [[1]])

    def breaks_off(self, staged, **kwargs):
        staged.write_bytes(b"PAR1 half of i")
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", breaks_off)
    with pytest.raises(OSError, match="no space"):
        write_mapping(path, ["b"], [[2]], overwrite=True)
    assert read_mapping(path).item_ids.tolist() == ["a"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("ids", "codes", "message"),
    [
        (["a"], [[1], [2]], "one entry per row of codes, got 1 for 2 rows"),
        (["a", "a"], [[1], [2]], "must be unique, got 'a'"),
        (["a", None], [[1], [2]], "must not be missing, got 1, first in row 1"),
        (pd.Series([1, "1"], dtype=object), [[1], [2]], "unique as text"),
        (["a", "b"], [[1.5], [2]], "must be integers"),
        (["a", "b"], [[1], [-2]], "at least 0, or -1"),
        (["a", "b"], [[1, 2], [-1, -1]], r"got \[-1, -1\] in row 1. Leave out"),
        (["a", "b"], [[1, 2, 3], [1, -1, 3]], r"got \[1, -1, 3\] in row 1"),
        ([], np.empty((0, 2), dtype=int), "not be empty"),
        (["a"], [1], "shape"),
    ],
)
def test_what_is_no_mapping_is_not_written(ids, codes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_mapping(tmp_path / "items.json", ids, codes)
    assert list(tmp_path.iterdir()) == []


def test_other_endings_are_refused(tmp_path):
    for name in ("items.csv", "items.npy", "items"):
        with pytest.raises(ValueError, match="path must end in"):
            write_mapping(tmp_path / name, ["a"], [[1]])


BAD_FILES = {
    "half.json": b'{"0": ["<a_1>"',
    "list.json": b"[[1, 2]]",
    "empty.json": b"{}",
    "bytes.json": b"\xff\xfe\x00",
    "deep.json": b"[" * 100_000,
    "words.json": b'{"0": ["mug"]}',
    "letters.json": b'{"0": ["<a_1>"], "1": ["<b_1>"]}',
    "half.parquet": b"PAR1 half",
    "half.npy": b"\x93NUMPY\x01\x00",
    "empty.npy": b"",
    "pickle.npy": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_damaged_files_are_refused_by_name(name, tmp_path):
    (tmp_path / name).write_bytes(BAD_FILES[name])
    with pytest.raises(ValueError, match=f"no codes could be read from .*{name}"):
        read_mapping(tmp_path / name)


def test_objects_in_npy_are_not_unpickled(tmp_path):
    np.save(tmp_path / "codes.npy", np.array([[1, None]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"no codes could be read from .*codes.npy.*allow_pickle"):
        read_mapping(tmp_path / "codes.npy")


def test_repeated_ids_are_refused_on_reading():
    with pytest.raises(ValueError, match="must be unique, got 'a'"):
        read_mapping(pd.DataFrame({"item_id": ["a", "a"], "code0": [1, 2]}))


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_mapping(tmp_path / "items.json")


def test_tokens_come_back_for_any_number_of_codebooks(rng):
    for n_codebooks in (1, 2, 26, 27, 60, 703):
        codes = rng.integers(1000, size=(4, n_codebooks))
        np.testing.assert_array_equal(from_tokens(to_tokens(codes)), codes)


def test_letters_are_those_of_spreadsheet_columns():
    letters = [token[1:-3] for token in to_tokens(np.zeros((1, 704), dtype=int))[0]]
    singles = list(string.ascii_lowercase)
    pairs = [a + b for a in singles for b in singles]
    assert letters == [*singles, *pairs, "aaa", "aab"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([["<b_7>", "<a_12>"]], r"tokens of item 0 must be those of the codebooks in turn, \['<a_7>', '<b_12>'\]"),
        ([["<a_1>"], ["<b_1>"]], "must have tokens <a_...> at position 0"),
        ([["<a_01>"]], "in turn"),
        ([["<A_1>"]], "in turn"),
        ([["<a_1>", "text"]], "got 'text'"),
        ([[1, 2]], "in turn"),
        (["<a_1>"], "must be a list of tokens"),
        ([[]], "must be a list of tokens"),
        ([], "must not be empty"),
    ],
)
def test_what_are_no_tokens_is_refused(tokens, message):
    with pytest.raises(ValueError, match=message):
        from_tokens(tokens)


def test_items_without_codes_have_no_tokens_and_are_refused():
    with pytest.raises(ValueError, match=r"row 1\. Leave out items without codes"):
        to_tokens([[1, 2], [-1, -1]])


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_while_another_is_written_stays(has_links, tmp_path, monkeypatch):
    if not has_links:
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    path = tmp_path / "codes.json"
    with pytest.raises(FileExistsError, match="Pass overwrite=True"), replaced(path, overwrite=False) as staged:
        staged.write_text("ours")
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with replaced(path, overwrite=False) as staged:
        staged.write_text("ours")
    assert path.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [path]
