"""Codes as other projects publish them, in files of the same structure: docs/formats.md has a row for each."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semid.cli import main
from semid.io import read_mapping, to_tokens, write_mapping
from semid.metrics import tokenizer_report
from semid.tokenizers import ResidualKMeansTokenizer

CODES = np.array([[3, 9, 1], [3, 9, 0], [0, 9, 1], [7, 2, 1]])
LISTS = CODES.tolist()
ASINS = ["B07H5", "0399217", "B00X9", "A1"]
TOKENS = ["".join(row) for row in to_tokens(CODES)]


def _reads(source, ids, codes=CODES):
    mapping = read_mapping(source)
    assert mapping.item_ids.tolist() == list(ids)
    np.testing.assert_array_equal(mapping.codes, codes)
    assert mapping.codes.dtype == np.int64


# A column that holds all codes of an item


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint8()])
@pytest.mark.parametrize("wrap", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 3)])
def test_a_column_of_lists_is_the_codes(kind, wrap, tmp_path):
    table = pa.table({"item_id": [10, 2, 3, 40], "codes": pa.array(LISTS, type=wrap(kind)), "price": [1, 2, 3, 900]})
    pq.write_table(table, tmp_path / "codes.parquet")
    for source in (table, tmp_path / "codes.parquet", pl.from_arrow(table), table.to_pandas()):
        _reads(source, [10, 2, 3, 40])


@pytest.mark.parametrize("ids", [[338077, 882534, 5, 6], ["x", "y", "z", "w"]])
def test_lists_beside_a_pid_are_the_codes_and_the_pid_is_the_ids(ids, tmp_path, capsys):
    frame = pd.DataFrame({"pid": ids, "sid": LISTS})
    frame.to_parquet(tmp_path / "map.parquet")
    for source in (frame, tmp_path / "map.parquet", pl.DataFrame({"pid": ids, "sid": LISTS})):
        _reads(source, ids)
    assert tokenizer_report(frame[["pid"]].assign(sid=[[1, 2]] * 4)).summary["collision_rate"] == 0.75
    assert main(["audit", str(tmp_path / "map.parquet"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["codebooks"]) == 3


@pytest.mark.parametrize(
    "texts",
    [
        ["-".join(map(str, row)) for row in LISTS],
        [",".join(map(str, row)) for row in LISTS],
        [str(row) for row in LISTS],
        [str(np.array(row)) for row in LISTS],
        TOKENS,
        [" ".join(row) for row in to_tokens(CODES)],
        [json.dumps(row) for row in to_tokens(CODES)],
        [f"<s_a_{a}><s_b_{b}><s_c_{c}>" for a, b, c in LISTS],
        [f"<|sid_begin|><s_a_{a}><s_b_{b}><s_c_{c}><|sid_end|>" for a, b, c in LISTS],
        ["".join(f"<item_L{n}_C{code}>" for n, code in enumerate(row)) for row in LISTS],
        ["".join(f"<|{n}_{code}|>" for n, code in enumerate(row)) for row in LISTS],
    ],
    ids=["dashes", "commas", "list", "numpy", "tokens", "spaced", "json", "s_a", "marks", "item_L0_C1", "bars"],
)
def test_codes_that_are_text_are_read_from_columns_dicts_files_and_lists(texts, tmp_path):
    frame = pd.DataFrame({"asin": ASINS, "title": ["a b", "c d", "e", "f"], "semantic_id": texts})
    frame.to_parquet(tmp_path / "map.parquet")
    by_item = dict(zip(ASINS, texts, strict=True))
    (tmp_path / "map.json").write_text(json.dumps(by_item))
    for source in (frame, tmp_path / "map.parquet", by_item, tmp_path / "map.json", pd.Series(texts, index=ASINS)):
        _reads(source, ASINS)
    for source in (texts, np.array(texts), pd.Series(texts)):
        _reads(source, range(4))


def test_tokens_of_any_name_are_read_from_lists(tmp_path):
    rows = [[f"<s_a_{a}>", f"<s_b_{b}>", f"<s_c_{c}>"] for a, b, c in LISTS]
    _reads(dict(zip(ASINS, rows, strict=True)), ASINS)
    with pytest.raises(ValueError, match=r"must have tokens <s_b_\.\.\.> at position 1, as items before have"):
        read_mapping({"a": rows[0], "b": [rows[1][0], rows[1][2]]})


def test_suffixes_that_only_some_items_have_end_the_others_with_minus_one():
    expected = [[7, 7, -1], [7, 7, 1], [0, 3, -1]]
    for texts in (
        ["7-7", "7-7-1", "0-3"],
        ["<a_7><b_7>", "<a_7><b_7><c_1>", "<a_0><b_3>"],
        [[7, 7], [7, 7, 1], [0, 3]],
    ):
        _reads(pd.DataFrame({"asin": list("abc"), "sid": texts}), "abc", expected)


def test_items_without_codes_have_none():
    _reads(pl.DataFrame({"item_id": [1, 2, 3], "codes": [[4, 5], None, [6, 7]]}), [1, 2, 3], [[4, 5], [-1, -1], [6, 7]])
    _reads(pd.DataFrame({"item_id": [1, 2], "sid": ["4-5", None]}), [1, 2], [[4, 5], [-1, -1]])


def test_lists_that_are_no_codes_are_left_alone():
    frame = pd.DataFrame(
        {
            "item_id": ASINS,
            "embedding": [[0.5, 1.5]] * 4,
            "categories": [["Toys", "Games"]] * 4,
            "history": [[1, 2, 3]] * 4,
            "date": ["2024-01-15"] * 4,
            "codes": LISTS,
        }
    )
    _reads(frame, ASINS)
    _reads(frame.drop(columns="codes").assign(history=LISTS), ASINS)  # whatever their name, if they alone could be it
    with pytest.raises(ValueError, match=r"codes must have integer columns, .* or one of lists named codes, got"):
        read_mapping(frame.drop(columns=["codes", "history"]))
    _reads(frame.assign(sid=["-".join(map(str, row)) for row in LISTS]), ASINS)  # the same codes
    with pytest.raises(
        ValueError, match=r"codes must be one set of columns, got \['sid'\] and \['codes'\], which differ"
    ):
        read_mapping(frame.assign(sid=["0-0-0"] * 4)[["item_id", "sid", "codes"]])


def test_lists_that_could_be_ids_of_other_items_are_no_codes():
    ids = np.arange(40)
    related = np.column_stack([ids[::-1], ids % 5, ids % 3])
    cluster = ids % 3
    _reads(pd.DataFrame({"item_id": ids, "cluster": cluster, "related": related.tolist()}), ids, cluster[:, None])
    lengths = [row[1 : 2 + i % 2] for i, row in enumerate(related.tolist())]
    _reads(pd.DataFrame({"item_id": ids, "cluster": cluster, "tags": lengths}), ids, cluster[:, None])
    with pytest.raises(ValueError, match=r"codes must have integer columns, .* or one of lists named codes"):
        read_mapping(pd.DataFrame({"item_id": ids, "related": related.tolist()}))


def test_lists_of_any_name_beside_integers_are_asked_about():
    frame = pd.DataFrame({"item_id": ASINS, "cluster": [1, 2, 1, 2], "tags": LISTS})
    with pytest.raises(ValueError, match=r"got the lists 'tags' and the integers 'cluster', .* Call that of the codes"):
        read_mapping(frame)
    _reads(frame.rename(columns={"tags": "codes"}), ASINS)
    _reads(frame.rename(columns={"cluster": "codes"}).drop(columns="tags"), ASINS, [[1], [2], [1], [2]])
    _reads(frame.assign(tags=TOKENS), ASINS)  # which nothing else is
    _reads(frame.drop(columns="item_id").assign(cluster=[338077, 882534, 5, 6]), [338077, 882534, 5, 6])


# Integer columns


@pytest.mark.parametrize("name", ["code", "semantic_id", "sid", "cluster_code"])
def test_integers_called_codes_are_the_codes_alone(name):
    ids = np.arange(40) * 7
    frame = pd.DataFrame({"item_id": ids, "year": 1990 + ids % 5, name: ids % 3})
    _reads(frame, ids, (ids % 3)[:, None])
    _reads(frame.rename(columns={name: "cluster"}), ids, frame[["year", name]].to_numpy())
    with pytest.raises(ValueError, match=f"codes must not be ids, got the integer column '{name}'"):
        read_mapping(frame.assign(**{name: ids}))


@pytest.mark.parametrize(
    "names",
    [
        ["sid_0", "sid_1", "sid_2"],
        ["sid1", "sid2", "sid3"],
        ["semantic_id_0", "semantic_id_1", "semantic_id_2"],
        ["level_1", "level_2", "level_3"],
        ["c0", "c1", "c2"],
        ["codebook[0]", "codebook[1]", "codebook[2]"],
        [0, 1, 2],
        ["a", "b", "c"],
        ["sid_a", "sid_b", "sid_c"],
    ],
)
def test_one_numbered_family_of_columns_is_the_codes_whatever_is_beside_it(names, tmp_path):
    frame = pd.DataFrame(CODES[:, ::-1], columns=names[::-1])
    frame = frame.assign(popularity=[900, 7, 7, 1], item_id=ASINS, year=[1999, 2001, 1999, 1999])
    _reads(frame, ASINS)
    frame.columns = frame.columns.astype(str)
    frame.to_parquet(tmp_path / "map.parquet")
    _reads(tmp_path / "map.parquet", ASINS)


def test_codes_of_shorter_ids_that_pandas_made_floats_are_codes():
    frame = pd.DataFrame({"item_id": [1, 2], "sid_0": [4, 6], "sid_1": [5.0, np.nan], "count": [8, 9]})
    _reads(frame, [1, 2], [[4, 5], [6, -1]])


def test_two_families_of_columns_are_asked_about():
    frame = pd.DataFrame({"l_0": [1, 2], "l_1": [3, 4], "cat_0": [5, 6], "cat_1": [7, 8]})
    with pytest.raises(ValueError, match=r"one set of columns, got \['l_0', 'l_1'\] and \['cat_0', 'cat_1'\], which"):
        read_mapping(frame)
    _reads(frame.rename(columns={"l_0": "sid_0", "l_1": "sid_1"}), [0, 1], [[1, 3], [2, 4]])


@pytest.mark.parametrize("numbers", [np.arange(40) + 338_077, np.arange(40), 2**31 + np.arange(40) % 20])
def test_an_integer_column_that_looks_like_ids_is_no_codebook(numbers):
    codes = pd.DataFrame({"coarse": np.arange(40) % 3, "fine": np.arange(40) % 7})
    _reads(codes, range(40), codes.to_numpy())
    frame = codes.assign(number=numbers)
    with pytest.raises(ValueError, match=r"codes must not be ids, got the integer column 'number', .* call it item_id"):
        read_mapping(frame)
    with pytest.raises(ValueError, match="codes must not be ids, got the integer column 'number'"):
        tokenizer_report(frame[["number"]].assign(title="a mug"))
    report = tokenizer_report(frame.rename(columns={"number": "pid"}))
    assert report.summary["n_codebooks"] == 2


def test_two_items_are_enough_to_know_large_ids():
    with pytest.raises(ValueError, match="codes must not be ids"):
        tokenizer_report(pd.DataFrame({"title": ["a", "b"], "number": [338077, 882534]}))


def test_ids_in_a_column_of_an_array_are_no_codebook():
    codes = np.column_stack([np.arange(40) + 2**33, np.arange(40) % 3, np.arange(40) % 7])
    with pytest.raises(ValueError, match="codes must not be ids, got numbers up to 8589934631 in column 0"):
        read_mapping(codes)


# Ids


@pytest.mark.parametrize(
    "name", ["asin", "parent_asin", "itemId", "item_id:token", "iid", "sku", "item", "uuid", "slug"]
)
def test_ids_are_those_of_their_column_whatever_its_name(name, tmp_path):
    frame = pd.DataFrame(
        {name: ASINS, "title": ["a mug", "a cup", "cup", "mug"], "code0": CODES[:, 0], "code1": CODES[:, 1]}
    )
    frame.to_parquet(tmp_path / "map.parquet")
    for source in (
        frame,
        tmp_path / "map.parquet",
        pl.DataFrame(frame),
        frame.sample(frac=1, random_state=0).sort_index(),
    ):
        _reads(source, ASINS, CODES[:, :2])


def test_integer_ids_of_any_name_are_ids(rng):
    ids = 2**53 + 1 + rng.permutation(40)
    frame = pd.DataFrame({"number": ids, "code0": np.arange(40) % 3, "views": np.arange(40) % 9})
    for source in (frame, pl.DataFrame(frame), frame.astype({"number": "Int64"}), frame.set_index("number")):
        _reads(source, ids, (np.arange(40) % 3)[:, None])


@pytest.mark.parametrize("name", ["product_code", "item_code", "upc_code", "article_code", "sid"])
@pytest.mark.parametrize("codes", [["sid_0", "sid_1"], ["code0", "code1"]])
def test_ids_that_are_called_codes_are_ids_beside_the_codes(name, codes, tmp_path):
    numbers = 108_775 + np.arange(40)[::-1]
    frame = pd.DataFrame({name: numbers, codes[0]: np.arange(40) % 3, codes[1]: np.arange(40) % 7})
    for ids in (numbers, [f"0{number}" for number in numbers]):
        frame[name] = ids
        frame.to_parquet(tmp_path / "map.parquet")
        for source in (frame, pl.DataFrame(frame), tmp_path / "map.parquet"):
            _reads(source, ids, frame[codes].to_numpy())
        _reads(frame[:3], list(ids)[:3], frame[codes].to_numpy()[:3])


def test_what_could_be_ids_under_the_name_of_codes_is_asked_about():
    frame = pd.DataFrame({"product_code": [3, 1, 2], "sid_0": [1, 1, 2], "sid_1": [5, 6, 6]})
    with pytest.raises(ValueError, match="ids, got 'product_code', which is called codes and different in every row"):
        read_mapping(frame)
    _reads(frame.rename(columns={"product_code": "item_id"}), [3, 1, 2], [[1, 5], [1, 6], [2, 6]])
    _reads(frame.assign(product_code=1), [0, 1, 2], [[1, 5], [1, 6], [2, 6]])
    texts = frame.drop(columns="product_code").assign(sid=["1-5", "1-6", "2-6"])
    _reads(texts.rename(columns={"sid_0": "code0", "sid_1": "code1"}), range(3), [[1, 5], [1, 6], [2, 6]])


def test_what_is_called_item_id_goes_before_other_ids_and_those_before_other_indexes(tmp_path):
    frame = pd.DataFrame({"image_id": np.arange(4)[::-1], "code0": CODES[:, 0], "code1": CODES[:, 1]})
    named = pd.Index(ASINS, name="item_id")
    sources = {
        "index": (frame.set_index(named), ASINS),
        "its own": (frame.set_index(named).rename_axis("itemId"), ASINS),
        "column": (frame.assign(item_id=ASINS).set_index("image_id"), ASINS),
        "asin": (frame.drop(columns="image_id").assign(asin=ASINS).rename_axis("row"), ASINS),
        "other": (frame.assign(image_id=7).set_index(named.rename("film")), ASINS),
        "repeated": (frame.assign(brand_id=7, asin=ASINS).drop(columns="image_id"), ASINS),
        "unnamed": (frame.drop(columns="image_id").set_index(named.rename(None)), ASINS),
        "numbers": (frame.drop(columns="image_id").set_axis(pd.Index([5, 3, 2, 9], name="number")), [5, 3, 2, 9]),
    }
    for name, (source, ids) in sources.items():
        _reads(source, ids, CODES[:, :2])
        source.to_parquet(tmp_path / f"{name}.parquet")
        _reads(tmp_path / f"{name}.parquet", ids, CODES[:, :2])


def test_two_columns_that_are_called_ids_are_asked_about(tmp_path):
    frame = pd.DataFrame({"image_id": np.arange(4)[::-1], "asin": ASINS, "code0": CODES[:, 0], "code1": CODES[:, 1]})
    frame.set_index("asin").to_parquet(tmp_path / "map.parquet")
    for source in (frame, frame.set_index("asin"), tmp_path / "map.parquet"):
        with pytest.raises(ValueError, match=r"one column of ids, got \['(image_id|asin)', '(image_id|asin)'\], each"):
            read_mapping(source)
    for repeated in (0, None):
        _reads(frame.assign(image_id=[0, 1, 2, repeated]), ASINS, CODES[:, :2])
    with pytest.raises(ValueError, match="item_ids must be unique"):
        read_mapping(frame.assign(asin="a").drop(columns="image_id"))


def test_columns_of_lists_are_no_ids_whatever_their_name():
    frame = pd.DataFrame({"related_ids": [[1], [2], [3], [4]], "code0": CODES[:, 0], "code1": CODES[:, 1]})
    _reads(frame, range(4), CODES[:, :2])


# Files


def test_what_pandas_writes_and_does_not_read_is_read(tmp_path, capsys):
    kind = pd.ArrowDtype(pa.list_(pa.int64()))
    frame = pd.DataFrame({"number": [9, 8, 7, 6], "codes": pd.Series(LISTS, dtype=kind)})
    frame.to_parquet(tmp_path / "map.parquet")
    _reads(tmp_path / "map.parquet", range(4))
    _reads(frame, range(4))
    frame.rename(columns={"number": "pid"}).to_parquet(tmp_path / "map.parquet")
    _reads(tmp_path / "map.parquet", [9, 8, 7, 6])
    for name in ("pid", "film"):
        for index in (False, True):
            named = frame.rename(columns={"number": name})
            (named.set_index(name) if index else named).to_parquet(tmp_path / "map.parquet")
            assert main(["audit", str(tmp_path / "map.parquet"), "--json", "--id-column", name]) == 0
            assert len(json.loads(capsys.readouterr().out)["codebooks"]) == 3


def test_integers_beside_missing_ones_keep_their_digits(tmp_path):
    codes = pd.array([2**53 + 1, None, 2**53 + 2], dtype="Int64")
    frame = pd.DataFrame({"item_id": ["a", "b", "c"], "code0": [1, 2, 3], "code1": codes})
    expected = [[1, 2**53 + 1], [2, -1], [3, 2**53 + 2]]
    frame.to_parquet(tmp_path / "map.parquet")
    _reads(tmp_path / "map.parquet", ["a", "b", "c"], expected)
    frame[["code0", "code1"]].set_axis([0, 1], axis=1).set_axis(["a", "b", "c"]).to_parquet(tmp_path / "map.parquet")
    _reads(tmp_path / "map.parquet", ["a", "b", "c"], expected)


def test_several_columns_that_could_be_the_ids_are_asked_about():
    frame = pd.DataFrame({"first": list("abcd"), "second": list("wxyz"), "code0": CODES[:, 0]})
    with pytest.raises(
        ValueError, match=r"one column of ids, got \['first', 'second'\], each of which could be it\. Call that"
    ):
        read_mapping(frame)
    _reads(frame.rename(columns={"second": "sku"}), "wxyz", CODES[:, :1])


def test_ids_that_parquet_holds_as_bytes_are_text(tmp_path):
    table = pa.table({"item_id": pa.array([b"i1", "é".encode()], pa.binary()), "code0": [1, 2]})
    pq.write_table(table, tmp_path / "map.parquet")
    _reads(tmp_path / "map.parquet", ["i1", "é"], [[1], [2]])


def _files_of_others(folder, ids, codes):
    """The same codes in files as several projects publish them."""
    lists, tokens = codes.tolist(), to_tokens(codes)
    (folder / "lc_rec.index.json").write_text(json.dumps(dict(zip(map(str, ids), tokens, strict=True))))
    pd.DataFrame({"pid": ids, "sid": lists}).to_parquet(folder / "open_one_rec.parquet")
    pl.DataFrame({"item_id": ids, "codes": lists, "popularity": 7}).write_parquet(folder / "torch_easy_rec.parquet")
    texts = ["-".join(map(str, row)) for row in lists]
    pd.DataFrame({"asin": ids, "semantic_id": texts}).to_parquet(folder / "semantic_id.parquet")
    texts = ["".join(f"<item_L{n}_C{code}>" for n, code in enumerate(row)) for row in lists]
    (folder / "rectokens.json").write_text(json.dumps(dict(zip(map(str, ids), texts, strict=True))))
    frame = pd.DataFrame(codes, columns=[f"sid_{n}" for n in range(codes.shape[1])])
    frame.assign(itemId=ids, year=1999, popularity=1 + np.arange(len(ids)) // 2).to_parquet(folder / "columns.parquet")


def test_the_audit_of_files_of_others_is_that_of_their_codes(items, tmp_path, capsys, rng):
    codes = ResidualKMeansTokenizer(3, 8, random_state=0).fit_transform(items.embeddings)
    ids = rng.permutation(1_000_000)[:300]
    _files_of_others(tmp_path, ids, codes)
    np.save(tmp_path / "X.npy", items.embeddings)
    order = rng.permutation(300)
    embeddings = pd.DataFrame({"item_id": ids[order], "embedding": list(items.embeddings[order])})
    embeddings.to_parquet(tmp_path / "X.parquet")
    expected = tokenizer_report(codes, items.embeddings, codebook_size=8)
    files = sorted(path for path in tmp_path.iterdir() if path.stem != "X")
    assert len(files) == 6
    for path in files:
        _reads(path, ids.astype(str) if path.suffix == ".json" else ids, codes)
        for X in ("X.npy", "X.parquet"):
            options = ["--embeddings", str(tmp_path / X), "--codebook-size", "8", "--json"]
            assert main(["audit", str(path), *options]) == 0
            report = json.loads(capsys.readouterr().out)
            assert report["summary"] == {name: pytest.approx(value) for name, value in expected.summary.items()}
            assert [text.split(" such as ")[0] for text in report["advice"]] == [
                text.split(" such as ")[0] for text in expected.advice
            ]
        shuffled = tokenizer_report(path, items.embeddings[order], codebook_size=8).advice[0]
        assert shuffled.startswith("The codes know nothing of X")
        assert "The ids are numbers that do not ascend" in shuffled


def test_files_of_other_kinds_are_read_by_pandas_and_passed(tmp_path):
    pd.DataFrame({"item_id": ASINS, "codes": [",".join(map(str, row)) for row in LISTS]}).to_csv(tmp_path / "map.csv")
    with pytest.raises(
        ValueError, match=r"must end in \.json, \.npy, \.parquet, got .*Read other files yourself, and pass"
    ):
        read_mapping(tmp_path / "map.csv")
    _reads(pd.read_csv(tmp_path / "map.csv", dtype={"item_id": str}), ASINS)


@pytest.mark.parametrize("name", ["asin", "item_id", "key", "number"])
def test_what_tokenize_writes_under_any_name_of_the_ids_is_read_by_it(items, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = np.arange(300)[::-1] * 7
    pd.DataFrame({name: ids, "embedding": list(items.embeddings)}).to_parquet("X.parquet")
    options = ["--tokenizer", "residual-kmeans", "--n-codebooks", "2", "--codebook-size", "8", "--quiet"]
    assert main(["tokenize", "X.parquet", "codes.parquet", "--id-column", name, *options]) == 0
    expected = ResidualKMeansTokenizer(2, 8, random_state=0).fit_transform(items.embeddings)
    _reads("codes.parquet", ids, expected)


# JSON and dicts


def test_json_comes_in_the_order_of_the_file_and_the_report_sees_it(items, tmp_path, rng):
    order = rng.permutation(300)
    X = items.embeddings[order]
    codes = ResidualKMeansTokenizer(3, 8, random_state=0).fit_transform(X)
    for ending in (".json", ".index.json", ".parquet"):
        write_mapping(tmp_path / f"map{ending}", order, codes)
        _reads(tmp_path / f"map{ending}", order if ending == ".parquet" else order.astype(str), codes)
        report = tokenizer_report(tmp_path / f"map{ending}", X)
        assert report.summary["neighbor_overlap"] == tokenizer_report(codes, X).summary["neighbor_overlap"]
    _reads({int(i): row for i, row in zip(order, codes, strict=True)}, order, codes)


def test_a_repeated_key_of_json_is_refused(tmp_path):
    (tmp_path / "map.json").write_text('{"a": [1, 2], "b": [3, 4], "a": [5, 6]}')
    for read in (read_mapping, tokenizer_report):
        with pytest.raises(ValueError, match=r"map\.json.*item_ids must be unique, got 'a' more than once"):
            read(tmp_path / "map.json")


def test_json_with_the_mark_of_its_encoding_is_read(tmp_path):
    (tmp_path / "map.json").write_bytes(b"\xef\xbb\xbf" + b'{"a": [1, 2]}')
    _reads(tmp_path / "map.json", ["a"], [[1, 2]])


def test_a_dict_of_columns_is_a_table():
    _reads({"item_id": ["x", "y"], "code0": [1, 2], "code1": [3, 4]}, ["x", "y"], [[1, 3], [2, 4]])
    _reads({"item_id": ["x", "y"], "codes": [[1, 3], [2, 4]]}, ["x", "y"], [[1, 3], [2, 4]])


def test_keys_that_only_look_alike_stay_apart():
    _reads({1: [5], "1": [6]}, [1, "1"], [[5], [6]])
    _reads({2**63: [5], 2**63 - 1: [6]}, [2**63, 2**63 - 1], [[5], [6]])


@pytest.mark.parametrize("row", [{"0": 1, "1": 2}, {1, 2}, None, "12", "B-1", "1.5,2", 7, [[1], [2]], [True, False]])
def test_what_is_no_row_of_codes_is_refused(row):
    with pytest.raises(ValueError, match="codes of item 'a' must be"):
        read_mapping({"a": row})


# What write_mapping takes for ids


@pytest.mark.parametrize("ending", [".parquet", ".json", ".index.json"])
@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        ([b"i1", "é".encode()], ["i1", "é"]),
        (np.array([b"i1", b"i2"]), ["i1", "i2"]),
        (np.array([2**63, 2**63 + 1], dtype=np.uint64), [str(2**63), str(2**63 + 1)]),
        (pd.array([2**53, 2**53 + 1], dtype="Int64"), [str(2**53), str(2**53 + 1)]),
        (np.array([7.0, 8.0]), ["7", "8"]),
        (pd.Categorical(["b", "a"]), ["b", "a"]),
        (pl.Series(["b", "a"]), ["b", "a"]),
    ],
    ids=["bytes", "fixed bytes", "uint64", "Int64", "whole floats", "categories", "polars"],
)
def test_ids_of_many_types_come_back_alike(ids, texts, ending, tmp_path):
    write_mapping(tmp_path / f"map{ending}", ids, [[1, 2], [3, 4]])
    item_ids = read_mapping(tmp_path / f"map{ending}").item_ids.tolist()
    assert [str(int(i)) if isinstance(i, float) else str(i) for i in item_ids] == texts


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "item_ids must be text or integers, got "),
        (np.array([1, 2], dtype="datetime64[ns]"), "item_ids must be text or integers, got "),
        ([b"\xff\xfe", b"\x00\xff"], r"item_ids must be text or integers, got b'\\xff\\xfe', bytes that are no UTF-8"),
        ([0.5, 1.5], "item_ids must be text or integers, got 0.5"),
        ([True, False], "item_ids must be text or integers, got True"),
    ],
)
def test_ids_that_are_neither_text_nor_integers_are_no_keys_of_json(ids, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        write_mapping(tmp_path / "map.json", ids, [[1, 2], [3, 4]])
    assert list(tmp_path.iterdir()) == []


def test_an_id_as_text_and_as_bytes_is_one_id(tmp_path):
    with pytest.raises(ValueError, match="item_ids must be unique, got 'a' more than once"):
        write_mapping(tmp_path / "map.parquet", ["a", b"a"], [[1], [2]])
