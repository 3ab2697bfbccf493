"""A catalogue of codes: look-ups both ways against walks through all items, and what each write leaves as it was."""

import json
import os
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semid.embedders import TextEmbedder
from semid.io import ArtifactError, Catalogue, Generation, load, read_mapping
from semid.io._prefixes import (
    find_numbers,
    find_prefixes,
    is_sorted,
    prefix_tables,
    row_numbers,
    sorting_order,
)
from semid.metrics import code_churn
from semid.tokenizers import FSQTokenizer, ParallelKMeansTokenizer, ResidualKMeansTokenizer, UniqueTokenizer

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


def _by_id(generation):
    return dict(zip(generation.item_ids.tolist(), map(tuple, generation.codes.tolist()), strict=True))


def _items_of(mapping, prefix):
    prefix = tuple(code for code in prefix if code >= 0)
    return {item for item, codes in mapping.items() if codes[: len(prefix)] == prefix}


# Look-ups


def test_ids_lead_to_their_codes_and_codes_to_all_their_ids(catalogue, ids, X):
    generation = catalogue.open()
    codes = clone(KMEANS).fit(X[:250]).transform(X[:250])
    assert_array_equal(generation.codes_of(ids[:250]), codes)
    assert_array_equal(generation.codes_of([ids[3], "nobody", ids[299]]), [codes[3], [-1] * 3, [-1] * 3])
    mapping = dict(zip(ids[:250], map(tuple, codes.tolist()), strict=True))
    asked = [[*codes[7]], [*codes[7][:2], -1], [codes[7][0], -1, -1], [7, 7, 7], [3, 0, -1]]
    for prefix, found in zip(asked, generation.items_of(asked), strict=True):
        assert set(found.tolist()) == _items_of(mapping, prefix)
    starts, stops = generation.rows_of(codes[:, :1])
    assert all((generation.codes[a:b, 0] == c).all() for a, b, c in zip(starts, stops, codes[:, 0], strict=True))


@pytest.mark.parametrize("n_codebooks", [1, 2, 4])
def test_prefixes_are_found_where_a_walk_finds_them(rng, n_codebooks):
    codes = rng.integers(4, size=(200, n_codebooks))
    for n in range(1, n_codebooks):  # some IDs end early
        codes[rng.random(200) < 0.2, n:] = -1
    codes = codes[sorting_order(codes)]
    assert codes.tolist() == sorted(codes.tolist())
    assert is_sorted(codes)
    assert not is_sorted(codes[::-1])
    asked = rng.integers(-1, 6, size=(300, n_codebooks))
    asked[:, 0] = np.abs(asked[:, 0])
    asked[np.cumsum(asked == -1, axis=1) > 0] = -1
    by_number = find_numbers(row_numbers(codes, [4] * n_codebooks), asked, [4] * n_codebooks)
    for starts, stops in (find_prefixes(codes, asked), by_number):
        for prefix, start, stop in zip(asked.tolist(), starts, stops, strict=True):
            given = [code for code in prefix if code >= 0]
            rows = [i for i, row in enumerate(codes.tolist()) if row[: len(given)] == given]
            assert list(range(start, stop)) == rows
    for length, table in enumerate(prefix_tables(codes), start=1):
        distinct = sorted({tuple(row[:length]) for row in codes.tolist() if row[length - 1] >= 0})
        assert list(map(tuple, table.codes.tolist())) == distinct
        assert_array_equal(np.stack(find_prefixes(codes, table.codes)), [table.starts, table.stops])


def test_codes_that_int64_cannot_number_are_found_as_well(tmp_path, rng):
    codes = rng.integers(2, size=(50, 12)) * 255
    sizes = [256] * 12
    assert row_numbers(codes, sizes) is None
    generation = Catalogue.build(tmp_path / "c", np.arange(50), codes=codes, codebook_sizes=sizes).open()
    for item, found in enumerate(generation.items_of(codes)):
        assert item in found
        assert (codes[found] == codes[item]).all()
    assert (
        sorted(generation.items_of(codes[:1, :2])[0]) == np.flatnonzero((codes[:, :2] == codes[0, :2]).all(1)).tolist()
    )


def test_whoever_has_parquet_and_json_alone_reads_the_same(catalogue):
    generation, folder = catalogue.open(), catalogue.folder / "generation-000001"
    frame = pd.read_parquet(folder / "items.parquet")
    assert_array_equal(frame["item_id"], generation.item_ids)
    assert_array_equal(frame[["code0", "code1", "code2"]], generation.codes)
    for length in (1, 2, 3):
        table = pd.read_parquet(folder / f"prefixes{length}.parquet")
        pd.testing.assert_frame_equal(table, generation.prefixes(length))
        for row in table.to_numpy().tolist():
            part = frame[row[-2] : row[-1]].to_numpy()[:, 1 : length + 1]
            assert (part == row[:-2]).all()
    manifest = json.loads((folder / "manifest.json").read_text())["manifest"]
    assert manifest["level_offsets"] == [0, 8, 16] == generation.level_offsets.tolist()
    assert manifest["vocabulary_size"] == 24 == generation.vocabulary_size
    assert manifest["changes"] == {"added": 250, "moved": 0, "gone": 0, "kept": 0}
    assert_array_equal(read_mapping(folder / "items.parquet").codes, generation.codes)
    assert load(folder / "tokenizer").codebook_sizes_ == [8, 8, 8]


def test_the_tokenizer_that_comes_back_gives_the_same_codes(catalogue, ids, X):
    generation = catalogue.open()
    assert_array_equal(generation.tokenizer().transform(X[:250]), generation.codes_of(ids[:250]))


@pytest.mark.parametrize("kind", ["int64", "uint8", "str", "Int64"])
def test_ids_of_any_kind_are_found(tmp_path, kind):
    ids = pd.Series(np.arange(100)).astype(kind)
    codes = np.arange(100)[:, None] // 3
    generation = Catalogue.build(tmp_path / "c", ids, codes=codes).open()
    assert_array_equal(generation.codes_of(ids), codes)
    assert_array_equal(generation.codes_of(list(ids)[:2]), codes[:2])


def test_ids_of_another_kind_are_told(tmp_path):
    generation = Catalogue.build(tmp_path / "c", [1, 2, 3], codes=[[1], [2], [3]]).open()
    with pytest.warns(UserWarning, match="Text and numbers are never equal"):
        assert generation.codes_of(["1", "2"]).tolist() == [[-1], [-1]]


def test_shorter_ids_come_before_those_that_begin_with_them(tmp_path):
    codes = [[1, 2, 3], [1, -1, -1], [1, 2, -1], [0, 2, -1]]
    generation = Catalogue.build(tmp_path / "c", ["a", "b", "c", "d"], codes=codes).open()
    assert generation.item_ids.tolist() == ["d", "b", "c", "a"]
    assert [ids.tolist() for ids in generation.items_of([[1, 2, -1], [1, -1, -1]])] == [["c", "a"], ["b", "c", "a"]]
    assert generation.prefixes(2).to_numpy().tolist() == [[0, 2, 0, 1], [1, 2, 2, 4]]
    assert generation.codebook_sizes == [2, 3, 4]


# Appending


def test_append_moves_no_id_and_gives_new_ones_the_codes_of_the_tokenizer(catalogue, ids, X):
    before = catalogue.open()
    after = catalogue.append(ids, X)  # the whole shop, of which 250 are known
    assert after.number == 2
    assert after.parent == 1
    assert_array_equal(after.codes_of(ids[:250]), before.codes_of(ids[:250]))
    assert_array_equal(after.codes_of(ids[250:]), before.tokenizer().transform(X[250:]))
    assert after.about["changes"] == {"added": 50, "moved": 0, "gone": 0, "kept": 250}
    assert after.about["churn"] == {"items": 0.0, "codes": [0.0, 0.0, 0.0]}
    assert sorted(after.changes["item_id"]) == ids[250:].tolist()
    assert set(after.changes["change"]) == {"added"}
    assert Generation(before.folder).item_ids.tolist() == before.item_ids.tolist()


def test_an_append_that_is_repeated_changes_nothing(catalogue, ids, X):
    catalogue.append(ids[250:], X[250:])
    assert catalogue.append(ids[250:], X[250:] + 1).number == 2
    assert catalogue.generations == [1, 2]


def test_the_tokenizer_is_on_the_disk_once_as_long_as_it_is_the_same(catalogue, ids, X):
    catalogue.append(ids[250:], X[250:])
    (arrays,) = (catalogue.folder / "generation-000002" / "tokenizer").glob("arrays-*")
    assert arrays.stat().st_nlink == 2
    catalogue.open(2).verify()


@pytest.mark.parametrize("strategy", ["reassign", "suffix"])
@pytest.mark.parametrize("capacity", [1, 2])
@pytest.mark.parametrize("scaled", [False, True])
def test_appended_items_get_codes_that_are_free(tmp_path, ids, X, strategy, capacity, scaled):
    tokenizer = UniqueTokenizer(clone(KMEANS).set_params(n_codebooks=2, codebook_size=20), strategy, capacity=capacity)
    tokenizer = make_pipeline(StandardScaler(), tokenizer) if scaled else tokenizer
    catalogue = Catalogue.build(tmp_path / "c", ids[:200], X[:200], tokenizer=tokenizer)
    before = catalogue.open()
    for start in (200, 250):
        catalogue.append(ids[start : start + 50], X[start : start + 50])
    after = catalogue.open()
    assert after.number == 3
    assert_array_equal(after.codes_of(ids[:200]), before.codes_of(ids[:200]))
    assert np.unique(after.codes, axis=0, return_counts=True)[1].max() <= capacity
    assert_array_equal(after.tokenizer().transform(X), after.codes_of(ids))
    after.verify()


def test_texts_are_items_as_well(tmp_path):
    texts = pd.DataFrame(
        {"title": [f"{c} {t}" for c in ["red", "blue", "green"] for t in ["mug", "pan", "lid", "jug"]]}
    )
    tokenizer = make_pipeline(TextEmbedder(n_components=3), ParallelKMeansTokenizer(2, 3, random_state=0))
    catalogue = Catalogue.build(tmp_path / "c", np.arange(12), texts, tokenizer=tokenizer)
    after = catalogue.append([20, 3], texts.iloc[[0, 1]])
    assert_array_equal(after.codes_of([20]), after.codes_of([0]))
    assert len(after) == 13


def test_codes_of_any_origin_are_appended(tmp_path):
    catalogue = Catalogue.build(tmp_path / "c", ["a", "b"], codes=[[0, 1], [2, 0]], codebook_sizes=[4, 4])
    after = catalogue.append(["b", "c"], codes=[[3, 3], [3, -1]])
    assert after.codes_of(["a", "b", "c"]).tolist() == [[0, 1], [2, 0], [3, -1]]
    assert not after.has_tokenizer
    with pytest.raises(ValueError, match="built of codes alone"):
        after.tokenizer()


# Refitting


@pytest.mark.parametrize(
    "tokenizer",
    [None, KMEANS, ParallelKMeansTokenizer(3, 8, random_state=1), make_pipeline(StandardScaler(), KMEANS)],
    ids=["the same", "k-means", "fitted", "pipeline"],
)
def test_a_refit_is_in_the_old_labels_and_says_how_many_moved(catalogue, ids, X, rng, tokenizer):
    popularity = rng.exponential(size=270)
    old = catalogue.open()
    given = tokenizer if not isinstance(tokenizer, ParallelKMeansTokenizer) else clone(tokenizer).fit(X)
    new = catalogue.refit(ids[30:], X[30:], tokenizer=given, popularity=popularity)
    fresh = clone(KMEANS if tokenizer is None else tokenizer)
    fresh.fit(X if isinstance(tokenizer, ParallelKMeansTokenizer) else X[30:])
    last, Z = (fresh, X) if tokenizer is None or not hasattr(fresh, "steps") else (fresh[-1], fresh[0].transform(X))
    last.align_to(Z[30:250], old.codes_of(ids[30:250]), popularity[:220])
    assert_array_equal(new.codes_of(ids[30:]), fresh.transform(X[30:]))
    assert new.about["aligned"]
    was, now = old.codes_of(ids[30:250]), new.codes_of(ids[30:250])
    churn, traffic = code_churn(was, now), new.about["traffic_churn"]
    assert new.about["churn"]["items"] == pytest.approx(churn.items)
    assert new.about["churn"]["codes"] == pytest.approx(churn.codes)
    weights = popularity[:220] / popularity[:220].sum()
    assert traffic["items"] == pytest.approx(weights[(was != now).any(axis=1)].sum())
    assert traffic["codes"] == pytest.approx([weights[was[:, n] != now[:, n]].sum() for n in range(3)])
    kept = round(220 * (1 - churn.items))
    assert new.about["changes"] == {"added": 50, "moved": 220 - kept, "gone": 30, "kept": kept}
    assert_array_equal(new.tokenizer().transform(X[30:]), new.codes_of(ids[30:]))
    if given is not None and given is not KMEANS and not hasattr(given, "steps"):
        assert_array_equal(given.transform(X), clone(given).fit(X).transform(X))  # not relabelled itself


def test_unique_codes_keep_their_labels_where_nothing_has_changed(tmp_path, ids, X):
    tokenizer = UniqueTokenizer(clone(KMEANS).set_params(n_codebooks=2, codebook_size=32))
    catalogue = Catalogue.build(tmp_path / "c", ids, X, tokenizer=tokenizer)
    shuffled = tokenizer.set_params(tokenizer__random_state=7)
    new = catalogue.refit(ids, X, tokenizer=shuffled)
    alone = code_churn(catalogue.open(1).codes_of(ids), clone(shuffled).fit(X).transform(X))
    assert new.about["churn"]["codes"][0] < alone.codes[0] - 0.2
    assert np.unique(new.codes, axis=0).shape[0] == 300
    assert_array_equal(new.tokenizer().transform(X), new.codes_of(ids))


def test_what_cannot_be_aligned_is_written_as_it_is(catalogue, ids, X):
    fsq = FSQTokenizer(n_codebooks=3, codebook_size=8, hidden_layer_sizes=(16,), max_iter=2, random_state=0)
    assert not catalogue.refit(ids, X, tokenizer=fsq).about["aligned"]
    other = catalogue.refit(ids, X, tokenizer=clone(KMEANS).set_params(n_codebooks=2))
    assert not other.about["aligned"]
    assert other.codebook_sizes == [8, 8]
    assert other.about["churn"]["codes"][2] == 1.0  # the codebook that is no more


# Differences, going back, removing


def test_the_difference_is_that_of_two_dicts(catalogue, ids, X):
    catalogue.append(ids[250:280], X[250:280])
    catalogue.refit(ids[20:], X[20:], tokenizer=clone(KMEANS).set_params(random_state=3))
    for old, new in [(1, 2), (2, 3), (1, 3), (3, 1)]:
        before, after = _by_id(catalogue.open(old)), _by_id(catalogue.open(new))
        diff = catalogue.diff(old, new)
        expected = dict.fromkeys(after.keys() - before.keys(), "added")
        expected |= dict.fromkeys(before.keys() - after.keys(), "gone")
        expected |= {item: "moved" for item in before.keys() & after.keys() if before[item] != after[item]}
        assert dict(zip(diff.changes["item_id"], diff.changes["change"], strict=True)) == expected
        assert diff.n_kept == len(before.keys() & after.keys()) - diff.n_moved
        for row in diff.changes.itertuples(index=False):
            nobody = (-1, -1, -1)
            assert tuple(row[2:5]) == before.get(row.item_id, nobody)
            assert tuple(row[5:8]) == after.get(row.item_id, nobody)
    pd.testing.assert_frame_equal(catalogue.open(3).changes, catalogue.diff(2, 3).changes, check_dtype=False)


def test_a_rollback_is_a_new_generation_of_the_old_codes(catalogue, ids, X):
    catalogue.append(ids[250:], X[250:])
    catalogue.refit(ids, X, tokenizer=clone(KMEANS).set_params(random_state=3))
    back = catalogue.rollback(1)
    assert back.number == 4
    assert back.about["restores"] == 1
    assert _by_id(back) == _by_id(catalogue.open(1))
    assert back.about["changes"]["gone"] == 50
    assert_array_equal(back.tokenizer().transform(X[:250]), back.codes_of(ids[:250]))
    back.verify()
    assert catalogue.append(ids[250:], X[250:]).number == 5


def test_the_oldest_are_removed_and_whoever_reads_them_goes_on(catalogue, ids, X):
    first = catalogue.open()
    for n in range(250, 253):
        catalogue.append(ids[n : n + 1], X[n : n + 1])
    assert catalogue.prune(2) == [1, 2]
    assert catalogue.generations == [3, 4]
    assert catalogue.prune(5) == []
    assert first.codes_of(ids[:1]).min() >= 0
    with pytest.raises(ArtifactError, match=r"changes\.parquet"):
        _ = first.changes
    catalogue.open().verify()
    assert catalogue.append(ids[253:254], X[253:254]).number == 5


# One writer, many readers


def test_of_two_writers_the_second_is_told_to_wait(catalogue, ids, X, monkeypatch):
    started, go_on = threading.Event(), threading.Event()
    publish = Catalogue._publish_appended

    def slow(*args):
        started.set()
        go_on.wait(10)
        return publish(*args)

    monkeypatch.setattr(Catalogue, "_publish_appended", slow)
    thread = threading.Thread(target=catalogue.append, args=(ids[250:], X[250:]))
    thread.start()
    started.wait(10)
    try:
        with pytest.raises(BlockingIOError, match="one writer at a time"):
            catalogue.append(ids[250:], X[250:])
        assert catalogue.open().number == 1
    finally:
        go_on.set()
        thread.join()
    assert catalogue.open().number == 2


def test_a_system_without_locks_and_links_has_catalogues_too(catalogue, ids, X, monkeypatch):
    def no_links(*_):
        raise OSError("no links here")

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(os, "link", no_links)
    after = catalogue.append(ids[250:], X[250:])
    after.verify()
    assert_array_equal(after.tokenizer().transform(X), after.codes_of(ids))


def test_where_there_are_no_locks_the_later_of_two_writers_fails(catalogue, ids, X):
    parent = catalogue.open()
    catalogue.append(ids[250:], X[250:])
    with pytest.raises(FileExistsError, match="another process has written it meanwhile"):
        catalogue._publish_appended(parent, ids[250:], parent.tokenizer().transform(X[250:]), None)
    assert [path.name for path in catalogue.folder.iterdir() if path.name.startswith(".gen")] == []


@pytest.mark.parametrize("seed", [0, 1])
def test_whatever_is_written_after_one_another_a_dict_says_the_same(tmp_path, seed):
    rng = np.random.default_rng(seed)

    def some_items(n_items):
        ids = rng.choice(60, size=n_items, replace=False)
        codes = rng.integers(3, size=(n_items, 3))
        codes[rng.random(n_items) < 0.3, 2] = -1
        return ids, codes

    def as_dict(ids, codes):
        return dict(zip(ids.tolist(), map(tuple, codes.tolist()), strict=True))

    ids, codes = some_items(20)
    catalogue = Catalogue.build(tmp_path / "c", ids, codes=codes, codebook_sizes=[3, 3, 3])
    models = {1: as_dict(ids, codes)}
    for _ in range(15):
        last = max(models)
        ids, codes = some_items(int(rng.integers(1, 30)))
        kind = rng.choice(["append", "refit", "rollback"], p=[0.5, 0.3, 0.2]) if last > 1 else "refit"
        if kind == "append":
            after = catalogue.append(ids, codes=codes)
            expected = as_dict(ids, codes) | models[last]
        elif kind == "refit":
            after = catalogue.refit(ids, codes=codes, codebook_sizes=[3, 3, 3])
            expected = as_dict(ids, codes)
        else:
            after = catalogue.rollback(1 + int(rng.integers(last - 1)))
            expected = models[after.about["restores"]]
        assert after.number == last + (expected != models[last] or kind != "append")
        models[after.number] = expected
    for number, expected in models.items():
        generation = catalogue.open(number)
        assert _by_id(generation) == expected
        asked = rng.integers(3, size=(20, 3))
        asked[:10, 2] = -1
        for prefix, found in zip(asked, generation.items_of(asked), strict=True):
            assert set(found.tolist()) == _items_of(expected, prefix)
