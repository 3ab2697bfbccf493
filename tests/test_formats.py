"""Each row of docs/formats.md, on a file that the library has just written, or one of the same structure."""

import datetime
import json
import warnings
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semid.cli import main
from semid.datasets import load_amazon_reviews, load_interactions, load_movielens
from semid.features import ItemTable
from semid.io import encode_batches
from semid.tokenizers import RandomTokenizer

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"
LOG = pd.DataFrame({"user_id": [1, 2, 2], "item_id": ["a", "b", "a"], "rating": [5, 3, 4], "timestamp": [10, 20, 30]})
X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
IDS = ["a", "b", "c"]
rows: dict = {"Logs, items and users": {}, "Embeddings": {}}


def of(section, kind):
    """Register a test as that of a row."""

    def register(test):
        assert kind not in rows[section]
        rows[section][kind] = test
        return test

    return register


def log_row(kind):
    return of("Logs, items and users", kind)


def embedding_row(kind):
    return of("Embeddings", kind)


def kinds_on_the_page(section):
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("section", rows)
def test_every_row_of_the_page_is_a_test_and_every_test_a_row(section):
    assert sorted(kinds_on_the_page(section)) == sorted(rows[section])


def same_log(log):
    expected = LOG.astype({"rating": "float64"})
    pd.testing.assert_frame_equal(log.interactions[list(LOG)], expected, check_dtype=False)
    assert log.interactions["timestamp"].dtype == np.int64
    assert log.users["user_id"].tolist() == [1, 2]
    return True


# Logs


@log_row("parquet")
def pandas_parquet(path):
    LOG.to_parquet(path / "log.parquet")
    assert same_log(load_interactions(path / "log.parquet"))


@log_row("parquet, ids in the index")
def pandas_index(path):
    LOG.set_index(["user_id", "item_id"]).to_parquet(path / "log.parquet")
    assert same_log(load_interactions(path / "log.parquet"))


@log_row("parquet, integers with missing values")
def integers_with_missing_values(path):
    users = [2**53, 2**53 + 1, None]
    LOG.assign(user_id=pd.array(users, "Int64"), n=pd.array([1, None, 2], "Int64")).to_parquet(path / "pandas.parquet")
    pl.DataFrame({"user_id": users, "item_id": IDS, "n": [1, None, 2]}).write_parquet(path / "polars.parquet")
    for name in ("pandas", "polars"):
        with pytest.warns(UserWarning, match="left out 1 bad"):
            log = load_interactions(path / f"{name}.parquet", on_bad_lines="warn").interactions
        assert log["user_id"].tolist() == users[:2]
        assert (log["user_id"].dtype, log["n"].dtype) == (np.int64, "Int64")


@log_row("parquet, Arrow's types in pandas")
def arrow_types_of_pandas(path):
    tags = pd.Series([["x"], [], ["y", "z"]], dtype=pd.ArrowDtype(pa.list_(pa.string())))
    LOG.astype({"user_id": "int64[pyarrow]"}).assign(tags=tags).to_parquet(path / "log.parquet")
    log = load_interactions(path / "log.parquet")
    assert same_log(log)
    assert [list(entry) for entry in log.interactions["tags"]] == [["x"], [], ["y", "z"]]


@log_row("parquet, dates")
def dates(path):
    days = [datetime.date(1970, 1, 2), datetime.date(2024, 2, 29), datetime.date(1969, 12, 31)]
    frame = pl.DataFrame({"user_id": [1, 2, 2], "item_id": IDS, "timestamp": days})
    frame.write_parquet(path / "days.parquet")
    frame.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC"))).write_parquet(path / "times.parquet")
    for name in ("days", "times"):
        log = load_interactions(path / f"{name}.parquet").interactions
        assert log["timestamp"].tolist() == [86_400, 1_709_164_800, -86_400]


@log_row("parquet, text of dates")
def text_of_dates(path):
    LOG.assign(timestamp="2024-02-29").to_parquet(path / "log.parquet")
    with pytest.raises(ValueError, match=r"'timestamp' of .* must hold numbers, .* pd\.to_datetime"):
        load_interactions(path / "log.parquet")


@log_row("parquet, decimals")
def decimals(path):
    ratings = pa.array([Decimal("5.0"), Decimal("3.0"), Decimal("4.0")], pa.decimal128(3, 1))
    users = pa.array([Decimal(1), Decimal(2), Decimal(2)], pa.decimal128(20, 0))
    table = pa.Table.from_pandas(LOG).set_column(0, "user_id", users).set_column(2, "rating", ratings)
    pq.write_table(table, path / "log.parquet")
    assert same_log(load_interactions(path / "log.parquet"))


@log_row("parquet, ids of 128 bits")
def huge_integers(path):
    LOG.assign(user_id=[2.0**100, 1.0, 1.0]).to_parquet(path / "log.parquet")
    with pytest.warns(UserWarning, match=r"'user_id' of .* float64 beyond 2\*\*53, .* HUGEINT"):
        load_interactions(path / "log.parquet")


@log_row("parquet, ids of int64 here and uint64 there")
def signed_and_unsigned(path):
    ids = np.arange(2**60, 2**60 + 3)
    LOG.assign(item_id=ids).to_parquet(path / "log.parquet")
    pl.DataFrame({"item_id": ids.astype("uint64")[::-1]}).write_parquet(path / "items.parquet")
    log = load_interactions(path / "log.parquet", items=path / "items.parquet")
    assert log.items["item_id"].tolist() == ids[::-1].tolist()


@log_row("parquet, a folder of part files")
def folder_of_logs(path):
    for n in range(3):
        LOG[n : n + 1].to_parquet(path / f"part-{n:05}-c000.snappy.parquet")
    (path / "_SUCCESS").touch()
    assert same_log(load_interactions(path))


@log_row("csv, tsv, also gzipped")
def csv(path):
    items = pd.DataFrame({"item_id": ["a", "b"], "country": ["NA", None], "zip": ["01234", "1234"], "n": [1, None]})
    items.astype({"n": "Int64"}).to_csv(path / "items.csv", index=False)
    for name, separator in [("log.csv", ","), ("log.tsv", "\t"), ("log.csv.gz", ",")]:
        LOG.to_csv(path / name, index=False, sep=separator)
        log = load_interactions(path / name, items=path / "items.csv")
        assert same_log(log)
        assert log.items["country"].fillna("").tolist() == ["NA", ""]
        assert log.items["zip"].tolist() == ["01234", "1234"]
        assert log.items["n"].dtype == "Int64"


@log_row("csv, booleans")
def csv_booleans(path):
    flags = [True, False, None]
    pl.DataFrame({"user_id": [1, 2, 2], "item_id": IDS, "flag": flags}).write_csv(path / "polars.csv")
    LOG.assign(flag=flags).to_csv(path / "pandas.csv", index=False)
    for name in ("polars", "pandas"):
        column = load_interactions(path / f"{name}.csv").interactions["flag"]
        assert column.dtype == "boolean"
        assert column[:2].tolist() == flags[:2]


@log_row("csv, a header again in the middle")
def header_again(path):
    text = LOG.to_csv(index=False)
    (path / "log.csv").write_text(text + text)
    with pytest.raises(ValueError, match=r"log\.csv, line 5: the line holds the names of the columns"):
        load_interactions(path / "log.csv")


@log_row("csv without a header")
def csv_without_a_header(path):
    LOG.to_csv(path / "log.csv", index=False, header=False)
    assert same_log(load_interactions(path / "log.csv", columns=list(LOG)))


@log_row("csv, exact duplicates")
def duplicates(path):
    pd.concat([LOG, LOG[1:]]).to_csv(path / "log.csv", index=False)
    assert load_interactions(path / "log.csv").n_repeats == 2
    log = load_interactions(path / "log.csv", on_repeats="drop")
    assert same_log(log)
    assert log.n_repeats == 2


@log_row("csv, ids of digits here and text there")
def digits_and_text(path):
    (path / "train.csv").write_text("user_id,item_id\n1,a\n2,b\n")
    (path / "test.csv").write_text("user_id,item_id\n1,a\nguest,b\n")
    for text_ids, expected in ((False, [1, 2]), (True, ["1", "2"])):
        log = load_interactions(path / "train.csv", text_ids=text_ids)
        assert log.users["user_id"].tolist() == expected
    assert load_interactions(path / "test.csv").users["user_id"].tolist() == ["1", "guest"]


@log_row("`.inter`, `.item`, `.user`")
def recbole(path):
    (path / "x.inter").write_text("user_id:token\titem_id:token\trating:float\n1\ta\t5\n2\tb\t3\n")
    (path / "x.item").write_text("item_id:token\tclass:token_seq\tv:float_seq\nb\tx y\t0.5 1\na\t\t2\n")
    (path / "x.user").write_text("user_id:token\tage:token\n1\t07\n2\t\n")
    log = load_interactions(path)
    assert log.users.to_dict("list") == {"user_id": ["1", "2"], "age": ["07", ""]}
    assert log.items.to_dict("list") == {"item_id": ["b", "a"], "class": [["x", "y"], []], "v": [[0.5, 1.0], [2.0]]}


@log_row("`.inter`, numbers declared as `token`")
def recbole_tokens(path):
    (path / "x.inter").write_text("user_id:token\titem_id:token\trating:token\ttimestamp:token\n1\ta\t5\t10\n")
    assert load_interactions(path).interactions.to_numpy(object).tolist() == [["1", "a", 5.0, 10]]


@log_row("Amazon reviews of 2014, 2018 and 2023")
def amazon(path):
    old = {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 10, "reviewText": "cut \ud83d"}
    new = {"user_id": "A1", "parent_asin": "B1", "rating": 5.0, "timestamp": 10_999, "text": "cut \ud83d"}
    for record in (old, new):
        (path / "reviews.json").write_text(json.dumps(record))
        log = load_amazon_reviews(path / "reviews.json", review_text=True).interactions
        assert log.to_numpy(object).tolist() == [["A1", "B1", 5.0, 10, "", "cut ?"]]
    (path / "meta.json").write_text("{'asin': 'B1', 'title': 'It\\'s', 'categories': [['x', 'y']]}")
    assert load_amazon_reviews(path / "reviews.json", path / "meta.json").items["title"].tolist() == ["It's"]
    (path / "reviews.json").write_text(json.dumps({**new, "user_id": "A\ud83d"}))
    with pytest.raises(ValueError, match=r"line 1: .* user_id has half a character, 'A\\ud83d'"):
        load_amazon_reviews(path / "reviews.json")


@log_row("MovieLens 100K to 32M")
def movielens(path):
    (path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,296,5.0,10\n1,7,4.0,20\n")
    (path / "movies.csv").write_text("movieId,title,genres\n296,Pulp Fiction (1994),Drama\n7,X,(no genres listed)\n")
    items = load_movielens(path).items
    assert items["genres"].tolist() == [["Drama"], []]
    assert (items["year"].dtype, items["year"].isna().tolist()) == ("Int64", [False, True])


# Embeddings


def small_tokenizer():
    return RandomTokenizer(n_codebooks=2, codebook_size=2, random_state=0).fit(X)


def same_embeddings(path, embedding="embedding", dtype=None):
    """Return whether all that reads the file finds ids and numbers in it."""
    table = ItemTable.from_parquet(path, embedding_columns=embedding)
    assert table.ids.tolist() == IDS
    np.testing.assert_array_equal(table.embeddings, X)
    assert dtype is None or table.embeddings.dtype == dtype
    tokenizer = small_tokenizer()
    file = pq.read_table(path)
    encoded = pa.Table.from_batches(encode_batches(tokenizer, file.to_batches(), embedding=embedding))
    np.testing.assert_array_equal(np.column_stack([encoded["code0"], encoded["code1"]]), tokenizer.transform(X))
    if isinstance(embedding, str):
        written = Path(path).parent / "codes" / "codes.parquet"
        written.parent.mkdir(exist_ok=True)
        arguments = ["tokenize", str(path), str(written), "--tokenizer", "kmeans", "--codebook-size", "2", "--quiet"]
        assert main([*arguments, "--overwrite"]) == 0
        assert pd.read_parquet(written)["item_id"].tolist() == IDS
    return True


def refused(path, error, message):
    with pytest.raises(error, match=message):
        ItemTable.from_parquet(path)
    batches = pq.read_table(path).to_batches()
    with pytest.raises(error, match=message):
        list(encode_batches(small_tokenizer(), batches))
    return main(["tokenize", str(path), str(path) + ".codes.parquet", "--quiet"]) == 1


def written(path, column):
    pq.write_table(pa.table({"item_id": IDS, "embedding": column}), path / "x.parquet")
    return path / "x.parquet"


@embedding_row("parquet, lists")
def lists(path):
    for dtype in (np.float32, np.float64):
        pd.DataFrame({"item_id": IDS, "embedding": list(X.astype(dtype))}).to_parquet(path / "x.parquet")
        assert same_embeddings(path / "x.parquet", dtype=dtype)


@embedding_row("parquet, lists of fixed size")
def lists_of_fixed_size(path):
    pl.DataFrame({"item_id": IDS, "embedding": X}).write_parquet(path / "x.parquet")
    assert same_embeddings(path / "x.parquet", dtype=np.float32)
    assert same_embeddings(written(path, pa.array(X.tolist(), pa.list_(pa.float32(), 4))))


@embedding_row("parquet, large lists")
def large_lists(path):
    frame = pl.DataFrame({"item_id": IDS, "embedding": X.tolist()}, schema_overrides={"embedding": pl.List(pl.Float32)})
    frame.write_parquet(path / "x.parquet")
    assert same_embeddings(path / "x.parquet", dtype=np.float32)


@embedding_row("parquet, float16")
def float16(path):
    pd.DataFrame({"item_id": IDS, "embedding": list(X.astype(np.float16))}).to_parquet(path / "x.parquet")
    assert same_embeddings(path / "x.parquet", dtype=np.float16)


@embedding_row("parquet, tensors of one axis")
def tensors(path):
    for shape in [(4,), (1, 4), (4, 1)]:
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(3, *shape))
        assert same_embeddings(written(path, column))


def ray_tensors(path, shape):
    about = {"ARROW:extension:name": "ray.data.arrow_tensor_v2", "ARROW:extension:metadata": json.dumps(shape)}
    field = pa.field("embedding", pa.large_list(pa.float32()), metadata=about)
    schema = pa.schema([pa.field("item_id", pa.string()), field])
    pq.write_table(pa.table([IDS, pa.array(X.tolist(), field.type)], schema=schema), path / "x.parquet")
    return path / "x.parquet"


@embedding_row("parquet, tensors of Ray")
def tensors_of_ray(path):
    # tests/features/test_item_table.py has the same where the library that wrote it is imported.
    assert same_embeddings(ray_tensors(path, [4]))


@embedding_row("parquet, tensors of several axes")
def tensors_of_several_axes(path):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(3, 2, 2))
    kind = pa.fixed_shape_tensor(pa.float32(), [2, 2], permutation=[1, 0])
    permuted = pa.ExtensionArray.from_storage(kind, column.storage)
    for case in (column, permuted, pa.array(X.reshape(3, 2, 2).tolist())):
        assert refused(written(path, case), ValueError, r"one vector per item, got tensors of shape \(2, 2\)")
    assert refused(ray_tensors(path, [2, 2]), ValueError, r"got tensors of shape \(2, 2\)")
    pl.DataFrame({"item_id": IDS, "embedding": X.reshape(3, 2, 2)}).write_parquet(path / "x.parquet")
    assert refused(path / "x.parquet", ValueError, r"got tensors of shape \(2, 2\)")


@embedding_row("parquet, lists of one list")
def lists_of_one_list(path):
    assert same_embeddings(written(path, pa.array([[row] for row in X.tolist()], pa.list_(pa.list_(pa.float32())))))


@embedding_row("parquet, vectors of Spark ML")
def spark_vectors(path):
    inner = {"indices": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
    kind = pa.struct({"type": pa.int8(), "size": pa.int32(), **inner})
    sparse = {"type": 0, "size": 4, "indices": [1, 2, 3], "values": X[0, 1:].tolist()}
    dense = [{"type": 1, "size": None, "indices": None, "values": row.tolist()} for row in X]
    for vectors in (dense, [sparse, *dense[1:]]):
        assert same_embeddings(written(path, pa.array(vectors, kind)), dtype=np.float64)


@embedding_row("parquet, a column per feature")
def a_column_per_feature(path):
    pd.DataFrame(X).add_prefix("x").assign(item_id=IDS).to_parquet(path / "x.parquet")
    assert same_embeddings(path / "x.parquet", embedding=[f"x{n}" for n in range(4)], dtype=np.float32)


@embedding_row("parquet, ids in the index")
def embeddings_index(path):
    pd.DataFrame({"embedding": list(X)}, index=pd.Index(IDS, name="item_id")).to_parquet(path / "x.parquet")
    assert same_embeddings(path / "x.parquet")


@embedding_row("parquet, bytes or text of lists")
def bytes_and_text(path):
    bytes_, texts = pa.array([row.tobytes() for row in X]), pa.array([str(row.tolist()) for row in X])
    assert refused(written(path, bytes_), TypeError, "must hold lists of numbers, got binary.*np.frombuffer")
    assert refused(written(path, texts), TypeError, "must hold lists of numbers, got string.*json.loads")


@embedding_row("parquet, a folder of part files")
def folder_of_embeddings(path):
    (path / "parts").mkdir()
    for n in range(3):
        frame = pd.DataFrame({"item_id": IDS[n : n + 1], "embedding": list(X[n : n + 1])})
        frame.to_parquet(path / "parts" / f"part-{n:05}.parquet")
    (path / "parts" / "_SUCCESS").touch()
    assert same_embeddings(path / "parts")


@embedding_row("`.npy`")
def npy(path):
    for array in (X, X.astype(">f8"), np.asfortranarray(X), X.astype(np.float16), (8 * X).astype(np.int16)):
        np.save(path / "x.npy", array)
        table = ItemTable(IDS, path / "x.npy")
        np.testing.assert_array_equal(table.embeddings, array)
        arguments = ["tokenize", str(path / "x.npy"), str(path / "codes.parquet"), "--tokenizer", "kmeans"]
        assert main([*arguments, "--codebook-size", "2", "--quiet", "--overwrite"]) == 0
    before = table.fingerprint
    np.save(path / "x.npy", (8 * X[::-1]).astype(np.int16))
    assert table.fingerprint != before
    np.testing.assert_array_equal(table.embeddings, 8 * X[::-1])


@embedding_row("`.npy` of bfloat16 or float8")
def npy_of_bfloat16(path):
    for name, dtype in [("bfloat16", "V2"), ("float8_e4m3fn", "V1")]:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        np.save(path / "x.npy", X.astype(getattr(ml_dtypes, name)))
        with pytest.raises(ValueError, match=rf"\|{dtype}, bytes without a type: numpy saves bfloat16 as \|V2 and"):
            ItemTable(IDS, path / "x.npy")
        assert main(["tokenize", str(path / "x.npy"), str(path / "codes.parquet"), "--quiet"]) == 1


@embedding_row("`.npz`")
def npz(path):
    np.savez(path / "x.npz", X=X)
    with pytest.raises(ValueError, match=r"not a \.npy file of one array: it holds several"):
        ItemTable(IDS, path / "x.npz")


@pytest.mark.parametrize(
    ("section", "kind"), [(section, kind) for section, tests in rows.items() for kind in tests], ids=lambda name: name
)
def test_the_row(section, kind, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pandas.io.formats")  # of float16, when a case that fails is printed
        rows[section][kind](tmp_path)
