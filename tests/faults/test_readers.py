"""Files and streams of any content: what is documented, or an error that helps."""

import json
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases, columns, indexes, is_helpful, odd_arrays, outcome, run

from semid.cli import main
from semid.datasets import load_amazon_reviews, load_interactions, load_movielens
from semid.io import ArtifactError, encode_batches, from_tokens, load, read_mapping, save, to_tokens, write_mapping
from semid.metrics import tokenizer_report
from semid.tokenizers import ResidualKMeansTokenizer

N_ROWS = 9
EMBEDDINGS = np.random.default_rng(0).normal(size=(N_ROWS, 3)).astype(np.float32)
TOKENIZER = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=3, max_iter=2, random_state=0).fit(EMBEDDINGS)

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(0, 3),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["<a_1>", "<b_2>", "<a_99999999999999999999>", "<a_-1>", "A1", "5.0", "<ä_1>"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)
CODE_LISTS = st.lists(st.integers(-2, 5) | st.sampled_from(["<a_1>", "<b_2>", "<a_0>"]) | VALUES, max_size=3)


def command(arguments):
    """Return how the command ends, where its warnings are no errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return main(arguments)


@contextmanager
def a_file(name, content):
    """A path of that name which holds `content`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


def save_array(path, content):
    """Save what is an array to numpy; return whether it is one."""
    try:
        np.save(path, np.asarray(content))
    except ValueError:  # rows of several lengths
        return False
    return True


@st.composite
def damaged(draw, content):
    """Bytes of a file with something cut off, put in, or changed."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["cut", "insert", "change", "repeat", "remove"]))
        odd = draw(
            st.sampled_from(
                [b"\x00", b"\xff", b"\n", b"\r", b",", b"\t", b'"', b"NaN", b"1e999", b"-1", b"\xef\xbb\xbf", b"::"]
            )
        )
        if kind == "cut":
            del content[place:]
        elif kind == "insert":
            content[place:place] = odd
        elif kind == "change":
            content[place : place + 1] = odd
        elif kind == "repeat":
            content[place:place] = content[place : place + 20]
        else:
            del content[place : place + draw(st.integers(1, 9))]
    return bytes(content)


def check_mapping(mapping):
    assert mapping.codes.dtype == np.int64 and mapping.codes.ndim == 2 and mapping.codes.size
    assert mapping.codes.min() >= -1
    assert len(mapping.item_ids) == len(mapping.codes) and pd.Series(mapping.item_ids).is_unique


def check_log(log):
    for table, name in ((log.items, "item_id"), (log.users, "user_id")):
        assert table[name].is_unique and log.interactions[name].isin(table[name]).all()
        assert not log.interactions[name].isna().any()
    if "rating" in log.interactions:
        assert np.isfinite(log.interactions["rating"]).all()
    if "timestamp" in log.interactions:
        assert log.interactions["timestamp"].dtype == np.int64


# Mappings


@cases(quick=6, long=250)
def test_dicts_and_lists_of_any_codes_are_read_or_refused(profile):
    keys = st.text(max_size=3) | st.integers(-1, 12).map(str) | st.integers(-1, 3)

    @given(st.one_of(st.dictionaries(keys, CODE_LISTS, max_size=4), st.lists(CODE_LISTS, max_size=4), VALUES))
    def case(content):
        mapping, error = outcome(read_mapping, content)
        if error is None:
            check_mapping(mapping)
        codes, error = outcome(from_tokens, content)
        if error is None:
            assert to_tokens(codes) == [list(row) for row in content]
        outcome(tokenizer_report, content)

    run(profile, case)


@cases(quick=6, long=250)
def test_json_files_of_any_content_are_read_or_refused(profile):
    good = json.dumps({"0": ["<a_1>", "<b_0>"], "1": ["<a_0>", "<b_2>"], "x": [1, 2]}).encode()

    @given(
        st.one_of(
            damaged(good),
            st.dictionaries(st.text(max_size=3), CODE_LISTS, max_size=3).map(lambda d: json.dumps(d).encode()),
        )
    )
    def case(content):
        with a_file("codes.index.json", content) as path:
            mapping, error = outcome(read_mapping, path)
            if error is None:
                check_mapping(mapping)
                written = path.with_name("again.json")
                if outcome(write_mapping, written, *mapping).error is None:
                    codes = read_mapping(written).codes
                    n_codebooks = codes.shape[1]  # without those in which no item has a code
                    np.testing.assert_array_equal(codes, mapping.codes[:, :n_codebooks])
                    assert (mapping.codes[:, n_codebooks:] == -1).all()
            outcome(tokenizer_report, path)
            assert command(["audit", str(path)]) in (0, 1)

    run(profile, case)


@cases(quick=4, long=150)
def test_npy_files_of_any_content_are_read_or_refused(profile):
    with tempfile.TemporaryFile() as file:
        np.save(file, np.arange(6).reshape(3, 2))
        file.seek(0)
        good = file.read()

    @given(st.one_of(damaged(good), odd_arrays()))
    def case(content):
        with a_file("codes.npy", content if isinstance(content, bytes) else b"") as path:
            if not isinstance(content, bytes):
                save_array(path, content)
            mapping, error = outcome(read_mapping, path)
            if error is None:
                check_mapping(mapping)
            outcome(tokenizer_report, path)
            assert command(["audit", str(path)]) in (0, 1)
            written = path.with_name("codes.parquet")
            assert command(
                ["tokenize", str(path), str(written), "--tokenizer", "kmeans", "--n-codebooks", "2", "--quiet"]
            ) in (0, 1)

    run(profile, case)


@cases(quick=4, long=150)
def test_parquet_files_of_any_columns_are_read_or_refused(profile):
    @given(columns(N_ROWS), columns(N_ROWS), columns(N_ROWS), indexes(N_ROWS))
    def case(ids, codes, embeddings, index):
        table = pd.DataFrame({"item_id": ids[1], "code0": codes[1], "embedding": embeddings[1]})
        table.index = index
        with tempfile.TemporaryDirectory() as folder:
            path, written = Path(folder) / "table.parquet", Path(folder) / "codes.parquet"
            try:
                table.to_parquet(path)
            except (pa.ArrowException, NotImplementedError, ValueError, TypeError, OverflowError):
                return  # parquet has no such column
            mapping, error = outcome(read_mapping, path)
            if error is None:
                check_mapping(mapping)
            outcome(tokenizer_report, path)
            assert command(["audit", str(path), "--embeddings", str(path)]) in (0, 1)
            assert command(["tokenize", str(path), str(written), "--tokenizer", "kmeans", "--quiet"]) in (0, 1)
            options = {"item": "item_id", "user": "code0", "rating": "embedding"}
            log, error = outcome(load_interactions, path, on_bad_lines="warn", **options)
            if error is None:
                check_log(log)

    run(profile, case)


NAMES = [
    "item_id",
    "asin",
    "pid",
    "key",
    "codes",
    "sid",
    "semantic_id",
    "sid_0",
    "sid_1",
    "l_1",
    "l_2",
    "0",
    "1",
    "a",
    "b",
]
TEXTS = st.sampled_from(
    ["3-9", "3,9,1", "<a_1><b_2>", "<|sid_begin|><s_a_1>", "12", "", "a mug", "<a_1>x", "-1", "[1, 2]"]
)


@cases(quick=6, long=250)
def test_tables_of_any_columns_are_read_or_refused(profile):
    of_codes = st.lists(CODE_LISTS | TEXTS | st.none(), min_size=N_ROWS, max_size=N_ROWS).map(pd.Series)
    kinds = columns(N_ROWS).map(lambda drawn: drawn[1]) | of_codes

    @given(st.dictionaries(st.sampled_from(NAMES), kinds, min_size=1, max_size=5), indexes(N_ROWS))
    def case(held, index):
        table = pd.DataFrame({name: pd.Series(values).reset_index(drop=True) for name, values in held.items()})
        table.index = index
        mapping, error = outcome(read_mapping, table)
        if error is None:
            check_mapping(mapping)
        outcome(tokenizer_report, table)

    run(profile, case)


@cases(quick=4, long=100)
def test_damaged_parquet_files_are_read_or_refused(profile):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "good.parquet"
        frame = pd.DataFrame(
            {"item_id": ["a", "b"], "user_id": [1, 2], "code0": [0, 1], "embedding": [[0.5, 1.0], [1.5, 2.0]]}
        )
        frame.to_parquet(path)
        good = path.read_bytes()

    @given(damaged(good))
    def case(content):
        with a_file("codes.parquet", content) as path:
            outcome(read_mapping, path)
            outcome(load_interactions, path)
            written = str(path.with_name("written.parquet"))
            assert command(["tokenize", str(path), written, "--tokenizer", "kmeans", "--quiet"]) in (0, 1)
            assert command(["audit", str(path), "--embeddings", str(path)]) in (0, 1)

    run(profile, case)


@cases(quick=4, long=150)
def test_frames_of_any_kind_are_read_as_mappings_or_refused(profile):
    @given(columns(N_ROWS), columns(N_ROWS), indexes(N_ROWS), st.sampled_from(["pandas", "polars", "arrow"]))
    def case(ids, codes, index, kind):
        frame = pd.DataFrame({"item_id": ids[1], "code0": codes[1]})
        frame.index = index
        if kind != "pandas":
            try:
                frame = pa.Table.from_pandas(frame, preserve_index=False)
                frame = pl.from_arrow(frame) if kind == "polars" else frame
            except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, OverflowError):
                return
        mapping, error = outcome(read_mapping, frame)
        if error is None:
            check_mapping(mapping)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("codes.json", "codes.index.json", "codes.parquet"):
                path = Path(folder) / name
                if outcome(write_mapping, path, ids[1], TOKENIZER.transform(EMBEDDINGS)).error is None:
                    np.testing.assert_array_equal(read_mapping(path).codes.shape, (N_ROWS, 2))
                else:
                    assert not path.exists()

    run(profile, case)


# Streams


@cases(quick=4, long=150)
def test_record_batches_of_any_columns_are_encoded_or_refused(profile):
    @given(columns(N_ROWS), columns(N_ROWS), st.booleans())
    def case(ids, embeddings, single):
        values = list(EMBEDDINGS) if single else embeddings[1]
        frame = pd.DataFrame({"item_id": ids[1], "embedding": values, "other": embeddings[1]})
        try:
            batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
        except (pa.ArrowException, TypeError, OverflowError):
            return
        for names in ("embedding", ["other", "other", "other"], ["other"], "item_id"):
            coded, error = outcome(lambda names=names: list(encode_batches(TOKENIZER, [batch, batch], embedding=names)))
            if error is None:
                codes = np.column_stack([coded[1].column(f"code{n}") for n in range(2)])
                assert codes.dtype == np.int64 and codes.min() >= 0 and codes.max() < 3
        outcome(lambda: list(encode_batches(TOKENIZER, embeddings[1])))

    run(profile, case)


# Saved estimators


@cases(quick=3, long=150)
def test_a_damaged_folder_is_loaded_as_it_was_or_refused(profile):
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there) / "model"
        save(TOKENIZER, folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}

    @given(st.data())
    def case(data):
        name = data.draw(st.sampled_from(sorted(files)))
        with tempfile.TemporaryDirectory() as there:
            folder = Path(there) / "model"
            folder.mkdir()
            for file, content in files.items():
                (folder / file).write_bytes(content)
            (folder / name).write_bytes(data.draw(damaged(files[name])))
            try:
                loaded = load(folder)
            except ArtifactError as error:
                assert is_helpful(error)
            else:
                np.testing.assert_array_equal(loaded.transform(EMBEDDINGS), TOKENIZER.transform(EMBEDDINGS))
            assert command(["info", str(folder)]) in (0, 1)
            (folder / name).unlink()
            assert command(["info", str(folder)]) == 1

    run(profile, case)


# Logs

CSV = b"user_id,item_id,rating,timestamp\n7,B1,5.0,1000\n8,B2,3.5,2000\nann,B1,1,3000\n"
REVIEW = json.dumps({"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1370131200, "summary": "Ü"})
META = json.dumps({"asin": "B1", "title": "Mug", "categories": [["a", "b"]], "price": 1.5, "description": "x"})


@cases(quick=4, long=250)
@pytest.mark.parametrize("on_bad_lines", ["error", "warn"])
def test_damaged_csv_files_are_read_or_refused(on_bad_lines, profile):
    @given(damaged(CSV), st.sampled_from(["log.csv", "log.tsv", "log.csv.gz"]))
    def case(content, name):
        with a_file(name, content) as path:
            log, error = outcome(load_interactions, path, on_bad_lines=on_bad_lines)
            if error is None:
                check_log(log)

    run(profile, case, on_bad_lines)


@cases(quick=4, long=150)
def test_damaged_atomic_files_are_read_or_refused(profile):
    good = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\ta\t5\t1000\n2\tb\t3\t2000\n"

    @given(damaged(good), damaged(b"item_id:token\ttags:token_seq\tv:float_seq\na\tx y\t1 2\nb\tz\t3\n"))
    def case(log, items):
        with a_file("log.inter", log) as path:
            path.with_suffix(".item").write_bytes(items)
            read, error = outcome(load_interactions, path, on_bad_lines="warn")
            if error is None:
                check_log(read)

    run(profile, case)


@cases(quick=4, long=250)
@pytest.mark.parametrize("on_bad_lines", ["error", "warn"])
def test_reviews_of_any_content_are_read_or_refused(on_bad_lines, profile):
    keys = ["reviewerID", "asin", "overall", "unixReviewTime", "summary", "reviewText", "title", "price", "categories"]
    records = st.dictionaries(st.sampled_from(keys), VALUES, max_size=9).map(lambda record: json.dumps(record).encode())
    changed = st.tuples(st.sampled_from(keys), VALUES)

    def with_one(base):
        return changed.map(lambda pair: json.dumps({**json.loads(base), pair[0]: pair[1]}).encode())

    lines = st.one_of(records, with_one(REVIEW), with_one(META), damaged(REVIEW.encode()), damaged(META.encode()))

    @given(st.lists(lines, min_size=1, max_size=3), st.lists(lines, max_size=3))
    def case(reviews, items):
        with a_file("reviews.json", b"\n".join([REVIEW.encode(), *reviews])) as path:
            metadata = path.with_name("meta.json")
            metadata.write_bytes(b"\n".join([META.encode(), *items]))
            log, error = outcome(load_amazon_reviews, path, metadata, review_text=True, on_bad_lines=on_bad_lines)
            if error is None:
                check_log(log)

    run(profile, case, on_bad_lines)


MOVIELENS = {
    "100K": {
        "u.data": b"1\t2\t5\t881250949\n2\t2\t3\t881250950\n",
        "u.item": b"2|Toy Story (1995)|01-Jan-1995||http://x|" + b"|".join([b"0"] * 18 + [b"1"]) + b"\n",
        "u.user": b"1|24|M|technician|85711\n2|53|F|other|94043\n",
    },
    "1M": {
        "ratings.dat": b"1::1193::5::978300760\n2::661::3::978302109\n",
        "movies.dat": b"1193::One Flew (1975)::Drama\n661::James (1996)::Children's|Musical\n",
        "users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
    },
    "25M": {
        "ratings.csv": b"userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n",
        "movies.csv": b'movieId,title,genres\n296,Pulp Fiction (1994),Crime|Drama\n306,"Three, Red (1994)",Drama\n',
    },
}


@cases(quick=2, long=120)
@pytest.mark.parametrize("layout", sorted(MOVIELENS))
def test_damaged_movielens_folders_are_read_or_refused(layout, profile):
    @given(st.data(), st.sampled_from(["error", "warn"]))
    def case(data, on_bad_lines):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in MOVIELENS[layout].items():
                (Path(folder) / name).write_bytes(data.draw(st.just(content) | damaged(content)))
            log, error = outcome(load_movielens, folder, on_bad_lines=on_bad_lines)
            if error is None:
                check_log(log)

    run(profile, case, layout)


# The command line


@cases(quick=3, long=60)
def test_the_command_ends_with_codes_or_with_one_line_that_says_why_not(profile, capsys):
    @given(odd_arrays())
    def case(X):
        with tempfile.TemporaryDirectory() as folder:
            path, written = Path(folder) / "embeddings.npy", Path(folder) / "codes.parquet"
            if not save_array(path, X):
                return
            code = command(
                ["tokenize", str(path), str(written), "--tokenizer", "kmeans", "--codebook-size", "3", "--quiet"]
            )
            told = capsys.readouterr().err
            assert (code, written.exists()) in ((0, True), (1, False))
            assert code == 0 or (told.startswith("semid: ") and len(told.split()) > 4)
            if code == 0:
                check_mapping(read_mapping(written))
                assert command(["audit", str(written), "--embeddings", str(path)]) == 0
            assert not shutil.os.listdir(folder) or not [
                name for name in shutil.os.listdir(folder) if name.startswith(".")
            ]

    run(profile, case)


# Logs


INTEGERS = st.sampled_from([0, 1, 7, -3, 2**53, 2**53 + 1, 2**60, 2**60 + 1])
TEXTS = INTEGERS.map(str) | st.sampled_from(["007", "B00AAA", "guest", "NA", "9.0"])


@st.composite
def files_of_ids(draw):
    """Ids, and what writes a file of them and of other columns: text or parquet, of text or of integers."""
    are_texts = draw(st.booleans())
    ids = draw(st.lists(TEXTS if are_texts else INTEGERS, min_size=1, max_size=6))
    dtypes = ["str"] if are_texts else ["int64", "Int64", "int64[pyarrow]", "category"]
    if not are_texts and min(ids) >= 0:
        dtypes += ["uint64", "UInt64"]
    dtype = draw(st.sampled_from(dtypes))

    def write(path, name, **others):
        frame = pd.DataFrame({name: pd.Series(ids, dtype=dtype), **others})
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        return path

    return ids, draw(st.sampled_from(["csv", "parquet"])), write


@cases(quick=60, long=2000)
def test_ids_of_two_files_meet_as_in_a_dict_of_text(profile):
    @given(files_of_ids(), files_of_ids(), st.booleans())
    def case(log, items, text_ids):
        (ids, log_kind, write_log), (known, items_kind, write_items) = log, items
        with tempfile.TemporaryDirectory() as folder:
            path = write_log(Path(folder) / f"log.{log_kind}", "item_id", user_id=1)
            described = write_items(Path(folder) / f"items.{items_kind}", "item_id", row=range(len(known)))
            read, error = outcome(load_interactions, path, items=described, text_ids=text_ids)
        rows = {str(name): row for row, name in reversed(list(enumerate(known)))}
        if error is not None:
            assert "must be of one type" in str(error)
            assert not set(map(str, ids)) & set(rows)
            return
        check_log(read)
        found = read.interactions.merge(read.items, on="item_id", how="left")["row"]
        assert read.interactions["item_id"].astype(str).tolist() == list(map(str, ids))
        assert found.fillna(-1).tolist() == [rows.get(str(name), -1) for name in ids]
        assert read.items["item_id"].astype(str).tolist() == list(dict.fromkeys(map(str, [*known, *ids])))

    run(profile, case)
