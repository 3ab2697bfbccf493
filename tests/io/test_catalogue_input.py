"""What a catalogue refuses, before anything is written, and what it says."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from semid.io import Catalogue
from semid.tokenizers import ResidualKMeansTokenizer

KMEANS = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=8, random_state=0)


@pytest.fixture
def ids(items):
    return items.frame["item_id"].to_numpy()


@pytest.fixture
def X(items):
    return items.embeddings


@pytest.fixture
def catalogue(tmp_path, ids, X):
    """250 of 300 items, with k-means codes."""
    return Catalogue.build(tmp_path / "toys", ids[:250], X[:250], tokenizer=KMEANS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"item_ids": ["a", "a"], "codes": [[1], [2]]}, ValueError, "item_ids must be unique, got 'a'"),
        ({"item_ids": ["a", None], "codes": [[1], [2]]}, ValueError, "must not be missing"),
        ({"item_ids": ["a"], "codes": [[1], [2]]}, ValueError, "one entry per row"),
        ({"item_ids": ["a", "b"]}, ValueError, "either X, .* or codes, got neither"),
        ({"item_ids": ["a"], "codes": [[1]], "X": [[1.0]]}, ValueError, "got both"),
        ({"item_ids": ["a"], "X": [[1.0]]}, ValueError, "tokenizer must be given with X"),
        ({"item_ids": ["a"], "codes": [[1]], "tokenizer": KMEANS}, ValueError, "must be left out with codes"),
        ({"item_ids": ["a"], "codes": [[1.5]]}, ValueError, "integers"),
        ({"item_ids": ["a"], "codes": [[-1, 2]]}, ValueError, "missing but at the end"),
        ({"item_ids": ["a"], "codes": [[5]], "codebook_sizes": [5]}, ValueError, "codebook 0 must be below its size"),
        ({"item_ids": ["a"], "codes": [[5]], "codebook_sizes": [5, 5]}, ValueError, "for each of 1 codebooks"),
        ({"item_ids": ["a"], "X": [[1.0]], "tokenizer": StandardScaler()}, TypeError, "tokenizer must be a tokenizer"),
        ({"item_ids": ["a"], "X": [[1.0]], "tokenizer": KMEANS, "codebook_sizes": [1]}, ValueError, "tokenizer knows"),
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_catalogue_is_refused_before_anything_is_written(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        Catalogue.build(tmp_path / "c", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_something_else_are_refused(tmp_path, catalogue):
    with pytest.raises(FileExistsError, match="must not hold a catalogue"):
        Catalogue.build(catalogue.folder, ["a"], codes=[[1]])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="must be empty"):
        Catalogue.build(tmp_path / "notes", ["a"], codes=[[1]])
    with pytest.raises(FileExistsError, match="must not be a file"):
        Catalogue.build(tmp_path / "notes" / "thesis.txt", ["a"], codes=[[1]])
    with pytest.raises(FileNotFoundError, match="in a folder that exists"):
        Catalogue.build(tmp_path / "no" / "c", ["a"], codes=[[1]])
    for folder in ("nowhere", "notes"):
        with pytest.raises(FileNotFoundError, match=r"Catalogue\.build"):
            Catalogue(tmp_path / folder)


def test_writes_that_make_no_sense_are_refused(catalogue, ids, X):
    for call, error, message in [
        (lambda: catalogue.append([7], X[:1]), TypeError, "ids like 7, where it has ids like"),
        (lambda: catalogue.append(["new"], codes=[[1, 2, 8]]), ValueError, "codebook 2 must be below its size, 8"),
        (lambda: catalogue.append(["new"], codes=[[1, 2, 3, 4]]), ValueError, "at most 3 columns"),
        (lambda: catalogue.append(["new"], X[:1, :3]), ValueError, "24 features"),
        (lambda: catalogue.refit(ids[:9], X[:9], popularity=[1.0]), ValueError, r"shape \(9,\)"),
        (lambda: catalogue.refit(ids[:2], X[:2], popularity=[1.0, -1]), ValueError, "not negative, got -1.0 in row 1"),
        (lambda: catalogue.rollback(1), ValueError, "older one than the newest, 1"),
        (lambda: catalogue.rollback(7), ValueError, r"must be one of \[1\], got 7"),
        (lambda: catalogue.open("1"), ValueError, "got '1'"),
        (lambda: catalogue.prune(0), ValueError, "keep must be an integer of at least 1"),
        (lambda: catalogue.diff(1, popularity=[1]), TypeError, "a Series or a dict by item id"),
    ]:
        with pytest.raises(error, match=message):
            call()
        assert catalogue.generations == [1]


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [
        ([1, 2, 3], r"shape \(n_asked, up to 3\), got \(3,\)"),
        ([[1, 2, 3, 4]], "up to 3"),
        ([[1.0]], "must be integers"),
        ([[1, -1, 2]], r"-1 at their end only, got \[1, -1, 2\] in row 0"),
        ([[-1, -1, -1]], "at their end only"),
        ([[1], [1, 2]], "rows have one length"),
    ],
)
def test_prefixes_that_are_none_are_refused(catalogue, prefixes, message):
    with pytest.raises(ValueError, match=message):
        catalogue.open().items_of(prefixes)


def test_ids_that_are_no_whole_numbers_do_not_join_those_that_are(tmp_path):
    catalogue = Catalogue.build(tmp_path / "c", [1, 2**60], codes=[[1], [2]])
    assert catalogue.append(np.array([7.0, 2.0**60]), codes=[[0], [0]]).item_ids.tolist() == [7, 1, 2**60]
    with pytest.raises(TypeError, match=r"must be whole numbers, as those of the catalogue are, got 2\.5"):
        catalogue.append([3, 2.5], codes=[[1], [1]])


def test_ids_that_are_text_beside_numbers_are_named_by_the_error(tmp_path):
    catalogue = Catalogue.build(tmp_path / "c", [1, 2], codes=[[1], [2]])
    for ids in ([3, "a"], ["a", 3]):
        with pytest.raises(TypeError, match="must be whole numbers, as those of the catalogue are, got 'a'"):
            catalogue.append(ids, codes=[[0], [0]])
    named = Catalogue.build(tmp_path / "named", ["a", "b"], codes=[[1], [2]])
    for ids in ([3, "c"], ["c", 3]):
        with pytest.raises(TypeError, match="must be text, as those of the catalogue are, got 3"):
            named.append(ids, codes=[[0], [0]])


@pytest.mark.parametrize("asked", ["ab", b"ab", 7, np.array(7)], ids=repr)
def test_a_single_id_is_not_taken_for_a_list_of_letters(tmp_path, asked):
    generation = Catalogue.build(tmp_path / "c", ["ab", "b"], codes=[[1], [2]]).open()
    with pytest.raises(TypeError, match=r"item_ids must be a list of ids, got .* pass \[item_id\]"):
        generation.codes_of(asked)


def test_nothing_is_appended_in_any_form(catalogue, X):
    for content in ({"X": X[:0]}, {"X": []}, {"codes": []}, {"codes": np.empty((0, 3), dtype=int)}):
        assert catalogue.append([], **content).number == 1


def test_popularity_of_ids_of_another_type_is_not_taken_for_none(tmp_path):
    catalogue = Catalogue.build(tmp_path / "c", [1, 2], codes=[[1], [2]])
    with pytest.raises(TypeError, match=r"popularity must have ids of the kind .* ids like '1', where it has ids like"):
        catalogue.diff(1, popularity={"1": 5})
    assert catalogue.diff(1, popularity={}).n_kept == 2


@pytest.mark.parametrize("size", [10, 2**40])
def test_codes_beyond_any_size_are_nobodys(tmp_path, size):
    catalogue = Catalogue.build(tmp_path / "c", ["a", "b"], codes=[[1, 2], [1, 3]], codebook_sizes=[size, size])
    most = np.iinfo(np.int64).max
    starts, stops = catalogue.open().rows_of([[1, most], [most, 0], [most, most], [1, -1]])
    np.testing.assert_array_equal(stops - starts, [0, 0, 0, 2])
    starts, stops = catalogue.open().rows_of(np.array([[1, 2**64 - 1], [1, 2]], dtype=np.uint64))  # no -1
    np.testing.assert_array_equal(stops - starts, [0, 1])
    starts, stops = catalogue.open().rows_of(np.array([[1, -1]], dtype=np.int8))
    np.testing.assert_array_equal(stops - starts, [2])


def test_lengths_of_prefixes_that_are_none_are_refused(catalogue):
    for length in (0, 4, "1"):
        with pytest.raises(ValueError, match="length must be an integer from 1 to 3"):
            catalogue.open().prefixes(length)


def test_a_generation_is_not_written_to(catalogue):
    generation = catalogue.open()
    for array in (generation.codes, generation.item_ids, generation.level_offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
