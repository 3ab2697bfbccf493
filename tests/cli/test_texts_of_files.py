"""Texts on the command line: the codes are those of `TextEmbedder` and the tokenizer, from each kind of file."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from semid import io
from semid.cli import main
from semid.embedders import TextEmbedder
from semid.tokenizers import ParallelKMeansTokenizer

SMALL = ["--tokenizer", "kmeans", "--n-codebooks", "2", "--codebook-size", "4", "--quiet"]
COLOURS, THINGS = ["red", "blue", "green", "grey"], ["mug", "pan", "lid", "jug", "cup"]


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """The same items in the current folder as JSON lines, CSV, zipped CSV and parquet."""
    monkeypatch.chdir(tmp_path)
    titles = [f'{colour} "{thing}", new' for colour in COLOURS for thing in THINGS]
    brands = [None if n % 3 == 0 else f"brand {n % 5}" for n in range(20)]
    frame = pd.DataFrame({"item_id": [f"i{n}" for n in range(20)], "title": titles, "brand": brands, "price": 1.5})
    frame.to_parquet("items.parquet")
    frame.to_csv("items.csv", index=False)
    frame.to_csv("items.tsv", index=False, sep="\t")
    frame.to_csv("items.csv.gz", index=False)
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in frame.to_dict("records")]
    with open("items.jsonl", "w") as file:
        file.write("\n".join(lines) + "\n")
    with gzip.open("items.jsonl.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    return frame


def _expected(frame, **parameters):
    tokenizer = make_pipeline(TextEmbedder(**parameters), ParallelKMeansTokenizer(2, 4, random_state=0))
    return tokenizer.fit_transform(frame)


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "csv.gz", "jsonl", "jsonl.gz"])
def test_codes_of_texts_are_those_of_the_pipeline(texts, ending):
    command = ["tokenize", f"items.{ending}", "codes.parquet", "--text-columns", "title,brand", "--batch-rows", "7"]
    assert main([*command, *SMALL]) == 0
    codes = pd.read_parquet("codes.parquet")
    assert codes["item_id"].tolist() == texts["item_id"].tolist()
    np.testing.assert_array_equal(codes[["code0", "code1"]], _expected(texts[["title", "brand"]]))


def test_a_saved_pipeline_knows_its_columns_and_tells_its_codebooks_and_version(texts, capsys):
    command = ["tokenize", "items.csv", "codes.parquet", "--text-columns", "title,price", *SMALL]
    assert main([*command, "--template", "{title} for {price}", "--save", "model"]) == 0
    assert main(["tokenize", "items.jsonl", "again.parquet", "--model", "model", "--quiet"]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet("again.parquet"), pd.read_parquet("codes.parquet"))
    assert main(["info", "model"]) == 0
    told = capsys.readouterr().out
    for words in ("Pipeline(", "TextEmbedder", "codebooks: [4, 4]", "written with: semid "):
        assert words in told


def test_integers_of_a_csv_are_ids_and_text_with_zeros_is_not(texts):
    for ids, kind in ((np.arange(20), "int64"), ([f"{n:02d}" for n in range(20)], "str")):
        texts.assign(item_id=ids).to_csv("items.csv", index=False)
        command = ["tokenize", "items.csv", "codes.parquet", "--text-columns", "title", *SMALL, "--overwrite"]
        assert main(command) == 0
        assert pd.read_parquet("codes.parquet")["item_id"].tolist() == list(ids), kind


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["items.csv"], "name their columns: --text-columns title,brand"),
        (["items.csv", "--text-columns", "name"], "must have the column 'name', got ['item_id', 'title'"),
        (["items.jsonl", "--text-columns", "name"], "must have the column 'name'"),
        (["items.parquet", "--text-columns", "name"], "must have one column 'name'"),
        (["items.csv", "--text-columns", "title,,"], "names with commas between, got 'title,,'"),
        (["items.csv", "--text-columns", "title,title"], "each column once"),
        (["items.csv", "--text-columns", "title", "--id-column", "sku"], "must have the column 'sku'"),
        (["items.txt", "--text-columns", "title"], "texts must be in a .parquet, .csv"),
        (["no.csv", "--text-columns", "title"], "no texts at 'no.csv'"),
        (["empty.jsonl", "--text-columns", "title"], "must have a row at least"),
        (["broken.jsonl", "--text-columns", "title"], "line 2: not JSON"),
        (["mixed.jsonl", "--text-columns", "title"], "all text or all integers"),
        (
            ["items.csv", "--text-columns", "price,title", "--embedder", "lsa", "--model", "m"],
            "--embedder must be left",
        ),
        (["X.npy", "--template", "{a}"], "--template must be left out without --text-columns"),
    ],
)
def test_files_that_hold_no_texts_are_refused(texts, capsys, arguments, message):
    open("items.txt", "w").close()
    open("empty.jsonl", "w").close()
    np.save("X.npy", np.eye(4))
    with open("broken.jsonl", "w") as file:
        file.write('{"item_id": 1, "title": "a"}\n{"item_id": 2\n')
    with open("mixed.jsonl", "w") as file:
        file.write('{"item_id": 1, "title": "a mug"}\n{"item_id": "x", "title": "b mug"}\n')
    assert main(["tokenize", arguments[0], "codes.parquet", *arguments[1:], "--quiet"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "on_bad_lines" not in error


def test_texts_make_a_catalogue(texts, capsys):
    command = ["catalogue", "build", "toys", "items.jsonl", "--text-columns", "title", *SMALL[:-1]]
    assert main(command) == 0
    texts.assign(item_id=[f"n{n}" for n in range(20)]).to_csv("new.csv", index=False)
    assert main(["catalogue", "append", "toys", "new.csv"]) == 0
    assert "generation 2: 40 items, 20 added" in capsys.readouterr().out
    after = io.Catalogue("toys").open()
    np.testing.assert_array_equal(after.codes_of(["n3", "n7"]), after.codes_of(["i3", "i7"]))
