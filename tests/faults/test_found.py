"""What the random cases have found so far, each by its name."""

import io
import json
import warnings
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import as_of_0_1_0
from strategies import plain_table

from semid.cli import main
from semid.ctr import FactorizationMachineClassifier
from semid.datasets import load_interactions, load_movielens
from semid.features import ItemTable, PrefixNGramEncoder, SemanticIDEncoder, interaction_embeddings
from semid.io import from_tokens, read_mapping, write_mapping
from semid.metrics import (
    code_nmi,
    codebook_gini,
    collision_rate,
    gauc_score,
    neighbor_overlap,
    normalized_entropy,
    reconstruction_r2,
    tokenizer_report,
)
from semid.tokenizers import (
    FSQTokenizer,
    ProductQuantizationTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    align_codes,
)

EMBEDDINGS = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
TABLE, Y = plain_table(9, np.random.default_rng(0)), np.arange(9) % 2
TOKENIZER = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=3, random_state=0)
MODEL = FactorizationMachineClassifier(embedding_dim=2, max_iter=1, random_state=0)
RAGGED = [[0, 1], [1]]


# Tokenizers


def test_infinities_of_both_signs_are_refused_without_a_warning():
    with pytest.raises(ValueError, match="infinity"):
        TOKENIZER.fit([[1e300, -1e300], [0, 1]])


@pytest.mark.parametrize("tokenizer", [FSQTokenizer, ProductQuantizationTokenizer, RQVAETokenizer])
def test_embeddings_whose_spread_float32_cannot_hold_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"X must not be spread by more than 1e\+37, .* Divide the embeddings"):
        tokenizer(n_codebooks=2, codebook_size=4).fit(EMBEDDINGS * np.float32(1e38))


def test_codes_in_any_table_are_turned_back_and_ragged_ones_refused():
    tokenizer = TOKENIZER.fit(EMBEDDINGS)
    codes = tokenizer.transform(EMBEDDINGS)
    expected = tokenizer.inverse_transform(codes)
    for held in (pl.DataFrame(codes), pd.DataFrame(codes, dtype="Int64"), pa.table(dict(enumerate_names(codes)))):
        np.testing.assert_array_equal(tokenizer.inverse_transform(held), expected)
    with pytest.raises(
        ValueError, match="codes must be an array, got a list that is none: do its rows have one length"
    ):
        tokenizer.inverse_transform(RAGGED)


def enumerate_names(codes):
    return ((f"code{n}", column) for n, column in enumerate(codes.T))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("popularity", r"sample_weight must hold numbers, got an array of <U10"),
        (["a"] * 9, "sample_weight must hold numbers, got an array of <U1"),
        ([date(2020, 1, 1)] * 9, "sample_weight must hold numbers, got others among them"),
        (np.ones(9) + 1j, "sample_weight must hold numbers, got an array of complex128"),
        ({"a": 1}, "sample_weight must hold numbers, got dict"),
        (RAGGED, "sample_weight must be an array"),
        (pd.array([1] * 8 + [None], dtype="Int64"), "sample_weight must be finite and not negative, got nan"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        TOKENIZER.fit(EMBEDDINGS, sample_weight=weights)


def test_codes_too_large_to_be_aligned_are_refused():
    with pytest.raises(ValueError, match="codes must be less than 32768, got a codebook of 2147483649 to be aligned"):
        align_codes([[2**31], [0]], [[0], [1]])
    with pytest.raises(ValueError, match="new must be an array"):
        align_codes([[0, 1], [1, 1]], RAGGED)


# Click models


def test_a_column_alone_is_refused_as_a_table():
    for column in (TABLE["price"], pl.Series([1.0] * 9), pa.chunked_array([[1.0] * 9])):
        with pytest.raises(ValueError, match=r"one column alone|2-dimensional container"):
            MODEL.fit(column, Y)


def test_values_that_no_vocabulary_can_hold_are_shown():
    structs = pd.array([{"a": 1}] * 9, dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())])))
    with pytest.raises(TypeError, match=r"a string or a number in column 'odd', got {'a': 1}"):
        MODEL.fit(TABLE.assign(odd=structs), Y)


def test_complex_numbers_do_not_lose_half_of_themselves():
    complex_column = TABLE.assign(price=TABLE["price"] + 1j)
    with pytest.raises(ValueError, match="column 'price' is not among categorical_features and must hold numbers"):
        FactorizationMachineClassifier(categorical_features=["user_id"]).fit(complex_column, Y)
    with pytest.raises(TypeError, match="codes must be numbers"):
        PrefixNGramEncoder().fit(complex_column[["price"]])


@pytest.mark.parametrize("classes", [[None, 1], [0, pd.NA], [[0, 1], None], RAGGED])
def test_classes_that_cannot_be_sorted_are_refused(classes):
    with pytest.raises((TypeError, ValueError), match="classes must"):
        FactorizationMachineClassifier(max_iter=1).partial_fit(TABLE, Y, classes=classes)


def test_infinite_labels_are_refused_without_a_warning():
    with pytest.raises(ValueError, match="infinity"):
        MODEL.fit(TABLE, np.where(Y, np.inf, -np.inf))


def test_a_number_is_no_list_of_columns():
    with pytest.raises(TypeError, match="vector_features must be 'auto', None, or a list of columns"):
        FactorizationMachineClassifier(vector_features=np.array(1)).fit(TABLE, Y)


# Features


def test_ids_of_float16_find_their_items():
    ids = np.arange(9, dtype=np.float16)
    encoder = SemanticIDEncoder(TOKENIZER, ItemTable(ids, EMBEDDINGS)).fit(pd.DataFrame({"item_id": ids}))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"item_id": ids})), encoder.codes_)


@pytest.mark.parametrize("ids", [pd.Series([[1, 2]] * 9), pd.Series([{"a": 1}] * 9)])
def test_ids_that_are_lists_are_refused(ids, tmp_path):
    held = pd.Series(pd.array(ids.tolist(), dtype=pd.ArrowDtype(pa.array(ids.tolist()).type)))
    for given in (ids, held):
        with pytest.raises(TypeError, match="ids must hold text or numbers"):
            ItemTable(given, EMBEDDINGS)
        with pytest.raises(TypeError, match="item_ids must hold text or numbers"):
            write_mapping(tmp_path / "codes.json", given, np.zeros((9, 2), dtype=int))
        with pytest.raises(TypeError, match="must hold text or numbers"):
            interaction_embeddings(pd.DataFrame({"user_id": given, "item_id": given}), given, n_components=1)


def test_texts_that_are_none_are_refused():
    with pytest.raises(ValueError, match="texts must be a list of texts or a table of them"):
        ItemTable(range(9), texts=object())


def test_where_everyone_met_everything_there_is_nothing_but_popularity():
    log = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["a", "b", "a", "b"]})
    vectors = interaction_embeddings(log, ["a", "b", "new"], n_components=1, random_state=0)
    np.testing.assert_array_equal(vectors, [[0], [0], [np.nan]])


# Metrics


def test_r2_does_not_depend_on_the_scale():
    X = EMBEDDINGS.astype(np.float64)
    for scale in (2.0**-1000, 2.0**1000):
        assert reconstruction_r2(X * scale, (X + 0.1) * scale) == reconstruction_r2(X, X + 0.1)


def test_neighbours_do_not_depend_on_the_scale():
    noisy = EMBEDDINGS + np.random.default_rng(1).normal(size=EMBEDDINGS.shape).astype(np.float32)
    expected = neighbor_overlap(EMBEDDINGS, noisy, k=2, random_state=0)
    for scale in (2.0**-120, 2.0**120):  # squares leave the range of float32
        scaled = (EMBEDDINGS * np.float32(scale), noisy * np.float32(scale))
        assert neighbor_overlap(*scaled, k=2, random_state=0) == expected < 1


def test_embeddings_of_no_numbers_are_refused_by_r2():
    for X in (["a"], [], {"a": 1}, RAGGED, [[np.nan]]):
        with pytest.raises(ValueError, match="X must"):
            reconstruction_r2(X, X)


def test_the_largest_codebooks_have_a_gini_coefficient():
    assert codebook_gini([[0], [2**61]], 2**62) == pytest.approx(1)
    assert tokenizer_report([[0, 1], [2**50, 0]]).summary["collision_rate"] == 0


@pytest.mark.parametrize("metric", [collision_rate, code_nmi, tokenizer_report])
def test_codes_of_several_lengths_are_refused(metric):
    with pytest.raises(ValueError, match=r"codes (must be an array|given as lists must have one length)"):
        metric(RAGGED, [0, 1])


def test_labels_are_told_apart_whatever_they_are():
    codes = [[0], [0], [1], [1]]
    assert code_nmi(codes, [np.inf, np.inf, -np.inf, -np.inf]) == 1
    with pytest.raises(ValueError, match="y must not be missing, got 1 missing of 4"):
        code_nmi(codes, [0, 0, 1, np.nan])
    with pytest.raises(TypeError, match="groups must hold text or numbers"):
        gauc_score([0, 1], [0.1, 0.9], pd.Series([[1], [2]]).to_numpy())


def test_missing_clicks_are_refused():
    with pytest.raises(ValueError, match=r"y_true must hold clicks, 0 or 1, got np\.float64"):
        normalized_entropy(pd.array([0, 1, None], dtype="boolean"), [0.1, 0.5, 0.9])


# Readers


@pytest.mark.parametrize("tokens", [None, True, 7, {"0": ["<a_1>"]}, "<a_1>"])
def test_what_are_no_tokens_is_refused(tokens):
    with pytest.raises(TypeError, match="tokens must be a list of lists of tokens"):
        from_tokens(tokens)


@pytest.mark.parametrize("content", [b"", b"{", b'{"0": [1]', b"\xff", b"\x93NUMPY\x01\x00v\x00{'descr"])
@pytest.mark.parametrize("name", ["codes.json", "codes.npy", "codes.parquet"])
def test_damaged_files_of_codes_are_refused_by_name(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    for read in (read_mapping, tokenizer_report):
        with pytest.raises(ValueError, match=f"no codes could be read from .*{name}"):
            read(tmp_path / name)
    assert main(["audit", str(tmp_path / name)]) == 1


def test_dates_are_no_codes():
    for dates in (pd.date_range("2020", periods=2), pd.Series(pd.date_range("2020", periods=2)).astype(object)):
        with pytest.raises(ValueError, match="codes in column 'code0' must be integers"):
            read_mapping(pd.DataFrame({"code0": dates}))


@pytest.mark.parametrize("code", [2**63, 2**70, 1e300])
def test_codes_that_int64_cannot_hold_do_not_become_others(code):
    with pytest.raises(ValueError, match=r"codes .*must be"):
        read_mapping(pd.DataFrame({"code0": [0, code]}))
    with pytest.raises(ValueError, match=r"codes .*must be"):
        read_mapping({"a": [0], "b": [int(code)]})
    with pytest.raises(ValueError, match=r"codes .*must be"):
        read_mapping({"a": ["<a_0>"], "b": [f"<a_{int(code)}>"]})
    with pytest.raises(ValueError, match=r"codes .*must be"):
        read_mapping(np.array([[0], [2**63]], dtype=np.uint64))


def test_an_arrow_table_of_pandas_with_lists_is_read_as_a_mapping():
    ids = pd.array([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    table = pa.Table.from_pandas(pd.DataFrame({"tags": ids, "code0": [1, 2]}))
    assert read_mapping(table).codes.tolist() == [[1], [2]]


@pytest.mark.parametrize("column", [[1.0] * 9, [{"a": 1}] * 9, ["a"] * 9, [None] * 9, [["a"]] * 9])
def test_the_command_refuses_columns_that_are_no_lists_of_numbers(column, tmp_path, capsys):
    path = tmp_path / "embeddings.parquet"
    pd.DataFrame({"item_id": range(9), "embedding": column}).to_parquet(path)
    assert main(["tokenize", str(path), str(tmp_path / "codes.parquet"), "--quiet"]) == 1
    assert "column 'embedding' must hold lists of numbers" in capsys.readouterr().err


def test_the_command_refuses_damaged_and_zipped_embeddings(tmp_path, capsys):
    path = tmp_path / "embeddings.npy"
    zipped = io.BytesIO()
    np.savez(zipped, EMBEDDINGS)
    for content in (b"", zipped.getvalue(), b"\x93NUMPY\x01\x00v\x00{'descr"):
        path.write_bytes(content)
        assert main(["tokenize", str(path), str(tmp_path / "codes.parquet"), "--quiet"]) == 1
        assert "embeddings must be a .npy file of numbers" in capsys.readouterr().err
        with pytest.raises(ValueError, match=r"embeddings must be a \.npy file of numbers"):
            ItemTable(range(9), path)


@pytest.mark.parametrize("header", [b"user_id,it\xffem_id\n", b"user_id,item_id\rx\n"])
def test_damaged_names_of_columns_are_shown(header, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(header + b"1,a\n")
    with pytest.raises(ValueError, match=r"log\.csv must (start with a line of column names|have the column)"):
        load_interactions(path)


def test_a_damaged_parquet_log_is_refused_by_name(tmp_path):
    path = tmp_path / "log.parquet"
    pd.DataFrame({"user_id": [1], "item_id": [2]}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"log\.parquet must be a parquet file that is whole"):
        load_interactions(path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("user_id", [[1], [2]], "column 'user_id' of .* must hold text or numbers, got"),
        ("rating", pd.date_range("2020", periods=2), "column 'rating' of .* must hold numbers, got datetime64"),
    ],
)
def test_columns_of_a_parquet_log_hold_what_their_names_say(name, values, message, tmp_path):
    path = tmp_path / "log.parquet"
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "rating": [1.0, 2.0]})
    frame.assign(**{name: values}).to_parquet(path)
    with pytest.raises((ValueError, TypeError), match=message):
        load_interactions(path)


def test_a_bad_number_in_a_list_of_numbers_is_a_bad_line(tmp_path):
    (tmp_path / "log.inter").write_text("user_id:token\titem_id:token\n1\ta\n2\tb\n")
    (tmp_path / "log.item").write_text("item_id:token\tv:float_seq\na\t1 2\nb\t3 x\n")
    with pytest.raises(ValueError, match=r"log\.item, line 3: v must be numbers between spaces, got '3 x'"):
        load_interactions(tmp_path / "log.inter")
    with pytest.warns(UserWarning, match="left out 1 bad line"):
        log = load_interactions(tmp_path / "log.inter", on_bad_lines="warn")
    assert log.items["v"].tolist()[0] == [1.0, 2.0] and log.bad_lines["line"].tolist() == [3]


def test_ids_beyond_int64_are_a_bad_line_without_a_warning_of_numpy(tmp_path):
    for name, content in (("u.data", "1\t2\t5\t9\n1e999\t2\t5\t9\n"), ("u.item", ""), ("u.user", "")):
        (tmp_path / name).write_text(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(ValueError, match="line 2: user must be an integer, got '1e999'"):
            load_movielens(tmp_path)


def test_json_of_codes_keeps_ids_that_are_not_ascii(tmp_path):
    (tmp_path / "codes.json").write_text(json.dumps({"日本": [1, 2], "ü": [0, 3]}), encoding="utf-8")
    assert read_mapping(tmp_path / "codes.json").item_ids.tolist() == ["日本", "ü"]


@pytest.mark.parametrize("dtype", [">f4", ">i8", "float16", "longdouble"])
def test_the_command_reads_numbers_of_any_layout(dtype, tmp_path):
    path = tmp_path / "embeddings.npy"
    np.save(path, np.arange(36).reshape(9, 4).astype(dtype))
    options = ["--tokenizer", "residual-kmeans", "--codebook-size", "3", "--quiet"]
    assert main(["tokenize", str(path), str(tmp_path / "codes.parquet"), *options]) == 0
    assert len(read_mapping(tmp_path / "codes.parquet").codes) == 9


def test_labels_and_columns_of_no_kind_are_refused():
    with pytest.raises(ValueError, match="y must be an array"):
        MODEL.fit(TABLE, RAGGED)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        MODEL.fit(TABLE, np.arange(9) * 1e299)
    with pytest.raises(TypeError, match="columns must be None or a list of columns"):
        FactorizationMachineClassifier(max_iter=1).fit(TABLE, Y).representation(TABLE, columns=np.array(1))
    with pytest.raises(ValueError, match="other must be an array"):
        neighbor_overlap(EMBEDDINGS, RAGGED)


def test_rows_of_several_lengths_or_kinds_are_no_embeddings():
    with pytest.raises(ValueError, match="inhomogeneous"):
        TOKENIZER.fit(RAGGED)
    mixed = pd.Series([np.array(["2020"], dtype="datetime64[s]"), np.array([1.0])], dtype=object)
    with pytest.raises(ValueError, match="rows of different lengths or kinds"):
        ItemTable(range(2), mixed)


def test_ids_of_bytes_find_their_items():
    ids = np.array([b"a", b"b", b"c"])
    encoder = SemanticIDEncoder(TOKENIZER, ItemTable(ids.astype(object), EMBEDDINGS[:3])).fit(ids[:, None])
    np.testing.assert_array_equal(encoder.transform(ids[:, None]), encoder.codes_)


def test_arrow_floats_named_like_ids_are_looked_at():
    table = TABLE.assign(item_id=pd.array(np.linspace(0, 1, 9), dtype="double[pyarrow]"))
    assert np.isfinite(MODEL.fit(table, Y).predict_proba(table)).all()


def test_bytes_that_are_no_text_are_hashed():
    table = TABLE.assign(user_id=[b"a", b"b\xff", b"c"] * 3)
    model = as_of_0_1_0(FactorizationMachineClassifier(max_iter=1, random_state=0), table, Y, buckets={"user_id": 5})
    assert np.isfinite(model.predict_proba(table)).all()
    table["user_id"] = [b"ann", b"bob", b"eve"] * 3  # those that are text have the bucket of their text
    as_text = table.assign(user_id=table["user_id"].str.decode("ascii"))
    np.testing.assert_array_equal(model.predict_proba(table), model.predict_proba(as_text))
