"""`semid catalogue`: each action does what the method of `Catalogue` does."""

import json

import numpy as np
import pandas as pd
import pytest

from semid import io
from semid.cli import main
from semid.io import Catalogue
from semid.tokenizers import ResidualKMeansTokenizer

SMALL = ["--tokenizer", "residual-kmeans", "--n-codebooks", "2", "--codebook-size", "8"]


@pytest.fixture
def frame(items, tmp_path, monkeypatch):
    """Items in the current folder: the first 200, and all of them."""
    monkeypatch.chdir(tmp_path)
    clicks = np.random.default_rng(0).integers(100, size=300)
    frame = pd.DataFrame({"item_id": items.frame["item_id"], "embedding": list(items.embeddings), "clicks": clicks})
    frame[:200].to_parquet("some.parquet")
    frame.to_parquet("all.parquet")
    return frame


def _told(capsys, *arguments):
    capsys.readouterr()
    assert main(["catalogue", *arguments]) == 0
    return capsys.readouterr().out


def test_a_year_on_the_command_line(frame, items, capsys):
    ids, X = frame["item_id"].to_numpy(), items.embeddings
    assert (
        _told(capsys, "build", "toys", "some.parquet", *SMALL)
        == "generation 1: 200 items, 200 added, 0 moved, 0 gone, 0 kept\n"
    )
    tokenizer = ResidualKMeansTokenizer(2, 8, random_state=0).fit(X[:200])
    toys = Catalogue("toys")
    np.testing.assert_array_equal(toys.open().codes_of(ids[:200]), tokenizer.transform(X[:200]))

    assert "generation 2: 300 items, 100 added, 0 moved" in _told(capsys, "append", "toys", "all.parquet")
    told = _told(capsys, "refit", "toys", "all.parquet", "--popularity-column", "clicks", "--seed", "3", *SMALL)
    third = toys.open()
    churn, traffic = third.about["churn"]["items"], third.about["traffic_churn"]["items"]
    assert f"churn {churn:.3f} of the items; churn {traffic:.3f} of the traffic" in told
    own = ResidualKMeansTokenizer(2, 8, random_state=3).fit(X)
    own.align_to(X, toys.open(2).codes_of(ids), frame["clicks"])
    np.testing.assert_array_equal(third.codes_of(ids), own.transform(X))

    codes = third.codes_of(ids[:1])[0].tolist()
    assert json.loads(_told(capsys, "look-up", "toys", "--ids", ids[0], "nobody")) == {ids[0]: codes, "nobody": None}
    prefix = str(codes[0])
    found = json.loads(_told(capsys, "look-up", "toys", "--codes", ",".join(map(str, codes)), prefix))
    assert found[prefix] == third.items_of([[codes[0], -1]])[0].tolist()
    assert ids[0] in found[",".join(map(str, codes))]
    first = json.loads(_told(capsys, "look-up", "toys", "--ids", ids[250], "--generation", "1"))
    assert first == {ids[250]: None}

    diff = toys.diff(2, 3)
    assert f"from generation 2 to 3: 0 added, {diff.n_moved} moved, 0 gone" in _told(capsys, "diff", "toys")
    told = json.loads(_told(capsys, "diff", "toys", "1", "3", "--json"))
    assert told["added"] == 100
    assert len(told["changes"]) == len(toys.diff(1, 3).changes)
    assert "generation 4: 200 items" in _told(capsys, "rollback", "toys", "1")
    assert main(["info", "toys"]) == 0
    told = capsys.readouterr().out
    for words in ("generations: [1, 2, 3, 4]", "codebooks: [8, 8]", "ResidualKMeansTokenizer(", "written with: semid"):
        assert words in told


def test_a_saved_tokenizer_is_used_as_it_is_and_a_refit_without_options_fits_it_anew(frame, items, capsys):
    tokenizer = ResidualKMeansTokenizer(2, 8, random_state=5).fit(items.embeddings)
    io.save(tokenizer, "model")
    _told(capsys, "build", "toys", "some.parquet", "--model", "model")
    ids = frame["item_id"].to_numpy()
    np.testing.assert_array_equal(
        Catalogue("toys").open().codes_of(ids[:200]), tokenizer.transform(items.embeddings[:200])
    )
    _told(capsys, "refit", "toys", "some.parquet")
    assert Catalogue("toys").open().tokenizer().get_params()["random_state"] == 5
    assert Catalogue("toys").open().about["aligned"]


def test_codes_of_any_project_make_a_catalogue(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    io.write_mapping("codes.index.json", ["1", "2"], [[3, 1], [0, 2]])
    io.write_mapping("more.json", ["2", "7"], [[0, 2], [1, 1]])
    assert "2 items" in _told(capsys, "build", "toys", "codes.index.json", "--codes")
    assert "generation 2: 3 items, 1 added" in _told(capsys, "append", "toys", "more.json", "--codes")
    assert "generation 3: 2 items, 0 added, 0 moved, 1 gone" in _told(capsys, "refit", "toys", "more.json", "--codes")
    assert json.loads(_told(capsys, "look-up", "toys", "--codes", "1,1")) == {"1,1": ["7"]}
    main(["info", "toys"])
    assert "tokenizer" not in capsys.readouterr().out


def test_ids_that_are_integers_are_typed_as_such(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Catalogue.build("toys", [10, 20], codes=[[1], [0]])
    assert json.loads(_told(capsys, "look-up", "toys", "--ids", "20", "30")) == {"20": [0], "30": None}


def test_an_append_of_nothing_new_says_so(frame, capsys):
    _told(capsys, "build", "toys", "some.parquet", *SMALL)
    told = _told(capsys, "append", "toys", "some.parquet")
    assert told == "nothing new: generation 1 of 200 items is the newest\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "toys", "some.parquet", *SMALL], "must not hold a catalogue"),
        (["build", "new", "some.parquet", "--codes", "--seed", "1"], "--seed must be left out with --codes"),
        (["build", "new", "some.parquet", "--model", "m", "--seed", "1"], "--seed must be left out with --model"),
        (["append", "nowhere", "some.parquet"], "'nowhere' is not there"),
        (["append", "coded", "some.parquet"], "built of codes alone"),
        (["refit", "toys", "all.parquet", "--popularity-column", "sales"], "must have the column 'sales'"),
        (["look-up", "toys", "--codes", "1;2"], "as in 3,9,1, got '1;2'"),
        (["look-up", "toys", "--codes", "1,2,3"], "up to 2"),
        (["look-up", "coded", "--ids", "x"], "--ids must be integers"),
        (["look-up", "toys", "--ids", "x", "--generation", "9"], "must be one of [1], got 9"),
        (["diff", "toys"], "must have one before it"),
        (["rollback", "toys", "1"], "an older one than the newest"),
        (["append", "toys", "all.parquet", "--batch-rows", "0"], "--batch-rows must be at least 1"),
        (["refit", "toys", "all.parquet", "--seed", "1"], "--seed must come with --tokenizer"),
        (["refit", "coded", "c.json", "--codes", "--popularity-column", "n"], "--popularity-column must be left out"),
    ],
)
def test_what_cannot_be_done_ends_with_one_and_the_reason(frame, items, capsys, arguments, message):
    ids = frame["item_id"].to_numpy()
    tokenizer = ResidualKMeansTokenizer(2, 8, random_state=0).fit(items.embeddings)
    Catalogue.build("toys", ids[:200], items.embeddings[:200], tokenizer=tokenizer)
    Catalogue.build("coded", [1], codes=[[1]])
    assert main(["catalogue", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert Catalogue("toys").generations == [1]
