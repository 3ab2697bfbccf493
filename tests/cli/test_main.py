import io as io_
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import StandardScaler

from semid import io
from semid.cli import main
from semid.cli._main import TOKENIZERS
from semid.metrics import tokenizer_report
from semid.tokenizers import ParallelKMeansTokenizer

SMALL = ["--tokenizer", "kmeans", "--n-codebooks", "2", "--codebook-size", "8", "--quiet"]


@pytest.fixture
def files(items, tmp_path, monkeypatch):
    """Embeddings as .npy and as parquet, in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", items.embeddings)
    frame = pd.DataFrame({"item_id": items.frame["item_id"], "embedding": list(items.embeddings)})
    frame.to_parquet("X.parquet", row_group_size=70)
    return frame


@pytest.mark.parametrize("source", ["X.npy", "X.parquet"])
def test_codes_are_those_of_the_estimator(files, items, source):
    assert main(["tokenize", source, "codes.parquet", *SMALL, "--batch-rows", "64"]) == 0
    codes = pd.read_parquet("codes.parquet")
    expected = ParallelKMeansTokenizer(2, 8, random_state=0).fit_transform(items.embeddings)
    np.testing.assert_array_equal(codes[["code0", "code1"]], expected)
    ids = np.arange(300) if source == "X.npy" else items.frame["item_id"]
    np.testing.assert_array_equal(codes["item_id"], ids)


def test_a_saved_tokenizer_gives_new_items_their_codes(files, items, capsys):
    assert main(["tokenize", "X.npy", "codes.parquet", *SMALL, "--save", "model"]) == 0
    np.save("new.npy", items.embeddings[:7])
    assert main(["tokenize", "new.npy", "new.parquet", "--model", "model", "--quiet"]) == 0
    np.testing.assert_array_equal(pd.read_parquet("new.parquet"), pd.read_parquet("codes.parquet")[:7])
    assert main(["info", "model"]) == 0
    assert "ParallelKMeansTokenizer" in capsys.readouterr().out


@pytest.mark.parametrize("quiet", [True, False])
def test_a_fit_shows_its_progress_on_a_terminal_alone(files, monkeypatch, quiet):
    terminal = io_.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    few = [option for option in SMALL if option != "--quiet"] + ["--quiet"] * quiet
    assert main(["tokenize", "X.npy", "codes.parquet", *few, "--save", "model"]) == 0
    assert ("k-means:" in terminal.getvalue()) == (not quiet)
    assert not io.load("model").verbose
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    terminal.truncate(0)
    assert main(["tokenize", "X.npy", "others.parquet", *few]) == 0
    assert "k-means:" not in terminal.getvalue()


def test_a_part_of_the_rows_is_enough_to_fit_on(files, items):
    assert main(["tokenize", "X.parquet", "codes.parquet", *SMALL, "--fit-rows", "100", "--batch-rows", "33"]) == 0
    rows = np.linspace(0, 299, num=100).astype(int)
    expected = ParallelKMeansTokenizer(2, 8, random_state=0).fit(items.embeddings[rows]).transform(items.embeddings)
    np.testing.assert_array_equal(pd.read_parquet("codes.parquet")[["code0", "code1"]], expected)


@pytest.mark.parametrize("embeddings", ["X.npy", "X.parquet", None])
def test_the_audit_is_the_report(files, items, capsys, embeddings):
    codes = np.zeros((300, 2), dtype=int)
    codes[:, 1] = np.arange(300) % 3
    order = np.arange(300) if embeddings == "X.npy" else np.arange(300)[::-1]
    ids = items.frame["item_id"].to_numpy()[order]
    io.write_mapping("codes.parquet", ids, codes)
    options = ["--embeddings", embeddings] if embeddings else []
    assert main(["audit", "codes.parquet", *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    X = None if embeddings is None else items.embeddings[order]
    expected = tokenizer_report(pd.DataFrame(codes, index=ids, columns=["code0", "code1"]), X)
    assert report["summary"] == {name: pytest.approx(value) for name, value in expected.summary.items()}
    assert report["codebooks"][0]["codes_used"] == 1
    assert main(["audit", "codes.parquet", *options]) == 0
    printed = capsys.readouterr().out
    assert printed == repr(expected) + "\n"
    assert ids[0] in printed  # of items that share their codes


def test_the_audit_reads_what_tokenize_wrote_under_any_name(files, capsys):
    files.rename(columns={"item_id": "sku", "embedding": "vec"})[::-1].to_parquet("S.parquet")
    names = ["--id-column", "sku", "--embedding-column", "vec"]
    assert main(["tokenize", "X.parquet", "codes.parquet", *SMALL]) == 0
    assert main(["tokenize", "S.parquet", "skus.parquet", *SMALL, *names]) == 0
    capsys.readouterr()
    assert main(["audit", "skus.parquet", "--embeddings", "S.parquet", *names, "--json"]) == 0
    overlap = json.loads(capsys.readouterr().out)["summary"]["neighbor_overlap"]
    assert main(["audit", "skus.parquet", "--embeddings", "X.npy", "--json"]) == 0  # in another order
    assert json.loads(capsys.readouterr().out)["summary"]["neighbor_overlap"] < overlap / 2


def test_the_audit_learns_the_sizes_of_codebooks_from_the_tokenizer(files, capsys):
    assert main(["tokenize", "X.npy", "codes.parquet", "--tokenizer", "kmeans", "--quiet", "--save", "model"]) == 0
    assert main(["audit", "codes.parquet", "--model", "model", "--json"]) == 0
    sizes = [row["codebook_size"] for row in json.loads(capsys.readouterr().out)["codebooks"]]
    assert sizes == io.load("model").codebook_sizes_
    assert len(set(sizes)) > 1


@pytest.mark.parametrize(("option", "sizes"), [("16", [16, 16]), ("8,32", [8, 32])])
def test_the_audit_is_told_the_sizes_of_codebooks(files, capsys, option, sizes):
    assert main(["tokenize", "X.npy", "codes.parquet", *SMALL]) == 0
    assert main(["audit", "codes.parquet", "--codebook-size", option, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["codebook_size"] for row in report["codebooks"]] == sizes
    assert not any("pass codebook_size" in text for text in report["advice"])


@pytest.mark.parametrize("kind", ["bytes", "int32", "uint64", "float64", "Int64"])
def test_the_audit_matches_ids_of_other_types(files, items, capsys, tmp_path, kind):
    ids = np.arange(300) * 7
    held = [f"{i}".encode() for i in ids] if kind == "bytes" else pd.array(ids, dtype=kind)
    pd.DataFrame({"item_id": held, "embedding": files["embedding"]})[::-1].to_parquet("X.parquet")
    codes = ParallelKMeansTokenizer(2, 8, random_state=0).fit_transform(items.embeddings)
    io.write_mapping("codes.json", ids, codes)
    assert main(["audit", "codes.json", "--embeddings", "X.parquet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert summary["neighbor_overlap"] == tokenizer_report(codes, items.embeddings).summary["neighbor_overlap"]


def test_the_audit_takes_the_column_that_it_is_told_for_ids(files, capsys):
    frame = pd.DataFrame({"number": np.arange(300), "shop_id": 1, "a": np.arange(300) % 3, "b": np.arange(300) % 7})
    frame.to_parquet("codes.parquet")
    assert main(["audit", "codes.parquet", "--json", "--id-column", "number"]) == 0
    assert len(json.loads(capsys.readouterr().out)["codebooks"]) == 2


@pytest.mark.filterwarnings("default")
def test_packed_bits_are_told_before_codes_are_learned_of_them(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    packed = np.packbits(rng.normal(size=(200, 16)) @ rng.normal(size=(16, 384)) > 0, axis=1)
    np.save("bits.npy", packed)
    pd.DataFrame({"item_id": range(200), "embedding": list(packed)}).to_parquet("bits.parquet")
    for source in ("bits.npy", "bits.parquet"):
        assert main(["tokenize", source, "codes.parquet", *SMALL, "--overwrite"]) == 0
        assert "semid: embeddings looks like packed bits, 8 features in each of 48" in capsys.readouterr().err
    with pytest.warns(UserWarning, match=r"X looks like packed bits, .* pass np\.unpackbits\(X, axis=1\)"):
        ParallelKMeansTokenizer(2, 8, random_state=0).fit(packed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenize", "no.npy", "c.parquet"], "no embeddings at 'no.npy'"),
        (["tokenize", "X.csv", "c.parquet"], "must be a .npy or a .parquet file, got 'X.csv'"),
        (["tokenize", "X.npy", "c.csv"], "codes must be a .parquet file, got 'c.csv'"),
        (["tokenize", "X.npy", "there.parquet"], "'there.parquet' is there already; pass --overwrite"),
        (["tokenize", "X.npy", "no/c.parquet"], "the folder of 'no/c.parquet' must be there"),
        (["tokenize", "X.npy", "c.parquet", "--batch-rows", "0"], "--batch-rows must be at least 1, got 0"),
        (["tokenize", "X.npy", "c.parquet", "--n-jobs", "-1"], "--n-jobs must be at least 1, got -1"),
        (["tokenize", "X.npy", "c.parquet", "--codebook-size", "many"], "an integer or 'graded', got 'many'"),
        (
            ["tokenize", "X.npy", "c.parquet", "--tokenizer", "vqvae", "--n-codebooks", "2"],
            "--n-codebooks must be left",
        ),
        (["tokenize", "X.npy", "c.parquet", "--model", "a", "--save", "b"], "--save must be left out with --model"),
        (["tokenize", "X.npy", "c.parquet", "--model", "a", "--seed", "0"], "--seed must be left out with --model"),
        (["tokenize", "X.npy", "c.parquet", "--model", "a", "--n-codebooks", "2"], "--n-codebooks must be left out"),
        (["tokenize", "X.npy", "c.parquet", "--model", "unfitted"], "'unfitted' is not fitted"),
        (["tokenize", "X.npy", "c.parquet", "--model", "scaler"], "'scaler' holds a StandardScaler"),
        (["tokenize", "X.npy", "c.parquet", "--save", "notes", "--overwrite"], "an artifact and nothing else"),
        (["tokenize", "X.npy", "folder.parquet", "--overwrite"], "'folder.parquet' is a folder"),
        (["tokenize", "X.parquet", "./X.parquet", "--overwrite"], "codes must not be the file of the embeddings"),
        (["tokenize", "ragged.parquet", "c.parquet", *SMALL], "lists of one length, 12, got one in row 1 of batch 0"),
        (["tokenize", "X.parquet", "c.parquet", "--id-column", "sku"], "must have the column 'sku'"),
        (["tokenize", "bad.npy", "c.parquet"], "a 2-D array of numbers, got shape (3,)"),
        (["tokenize", "X.npy", "c.parquet", "--n-codebooks", "0"], "n_codebooks must be at least 1, got 0"),
        (["tokenize", "twice.parquet", "c.parquet"], "column 'item_id' of embeddings must be unique, got 7 more than"),
        (["tokenize", "twice.parquet", "c.parquet", "--model", "fitted"], "must be unique, got 7 more than once"),
        (["tokenize", "unknown.parquet", "c.parquet"], "of embeddings must not be missing, got 1, first in row 1"),
        (["audit", "there.parquet", "--embeddings", "X.parquet"], "for example"),
        (["audit", "there.parquet", "--codebook-size", "many"], "or one for each codebook as in 16,64,256, got 'many'"),
        (["audit", "there.parquet", "--codebook-size", "8,8,8"], "one integer, or one for each of 2 codebooks, got"),
        (["audit", "there.parquet", "--codebook-size", "8", "--model", "unfitted"], "must be left out with --model"),
        (["audit", "there.parquet", "--embeddings", "twice.parquet"], "each id once, got '7' more than once"),
        (["audit", "there.parquet", "--embeddings", "ragged.parquet"], "lists of one length, 12"),
        (["audit", "there.parquet", "--model", "unfitted"], "'unfitted' is not fitted"),
        (["info", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_ends_with_one_and_the_reason(files, capsys, arguments, message):
    open("X.csv", "w").close()
    np.save("bad.npy", np.arange(3))
    io.write_mapping("there.parquet", ["?"], np.zeros((1, 2), dtype=int))
    io.save(ParallelKMeansTokenizer(), "unfitted")
    io.save(ParallelKMeansTokenizer(1, 2, random_state=0).fit([[0.0], [1.0]]), "fitted")
    io.save(StandardScaler().fit([[0.0]]), "scaler")
    for folder in ("notes", "folder.parquet"):
        os.mkdir(folder)
    open("notes/thesis.txt", "w").close()
    lists = [[0.0] * 12, [0.0] * 4, [0.0] * 8]
    pd.DataFrame({"item_id": range(3), "embedding": lists}).to_parquet("ragged.parquet")
    pd.DataFrame({"item_id": [7, 7], "embedding": lists[:1] * 2}).to_parquet("twice.parquet")
    pd.DataFrame({"item_id": ["a", None], "embedding": lists[:1] * 2}).to_parquet("unknown.parquet")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("semid: ")
    assert message in error
    assert not pd.io.common.file_exists("c.parquet")


def test_a_row_that_cannot_be_encoded_leaves_nothing_behind(files, tmp_path, capsys):
    files.loc[200, "embedding"] = None
    files.to_parquet("gap.parquet")
    assert main(["tokenize", "X.npy", "codes.parquet", *SMALL, "--save", "model"]) == 0
    before = sorted(tmp_path.iterdir())
    assert main(["tokenize", "gap.parquet", "new.parquet", "--model", "model", "--quiet"]) == 1
    assert "row 200" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_every_name_of_a_tokenizer_means_one():
    import semid.tokenizers
    from semid.tokenizers import presets

    for name in TOKENIZERS.values():
        assert hasattr(semid.tokenizers, name) or hasattr(presets, name)


def test_help_is_quick_and_worth_reading():
    code = "import sys, semid.cli; print('torch' in sys.modules); semid.cli.main(['tokenize', '--help'])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert out.startswith("False")
    for word in ("--fit-rows", "larger than the memory", "--model", "default: item_id"):
        assert word in " ".join(out.split())
    wrong = subprocess.run([sys.executable, "-m", "semid", "tokenise"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "invalid choice" in wrong.stderr


@pytest.mark.slow
def test_a_million_items_are_encoded_within_the_memory_and_the_time_that_they_need(tmp_path):
    """A million rows of 1024 from parquet: under 1.5 GB, and within 1.3 of the time of `transform` in memory."""

    def run(step):
        command = [sys.executable, str(Path(__file__).with_name("encode_a_million.py")), str(tmp_path), step]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    run("make")
    assert pq.ParquetFile(tmp_path / "X.parquet").metadata.num_rows == 1_000_000
    seconds, gigabytes, code = map(float, run("stream"))
    assert code == 0
    in_memory, is_equal = run("memory")
    sys.stdout.write(f"streamed {seconds:.1f} s, {gigabytes:.2f} GB; in memory {float(in_memory):.1f} s\n")
    assert is_equal == "True"
    assert gigabytes < 1.5
    assert seconds < 1.3 * float(in_memory)


@pytest.fixture
def traffic(files, items, rng):
    """A log and a table of items beside the codes of two tokenizers."""
    ids = items.frame["item_id"].to_numpy()
    taken = rng.integers(300, size=900)
    pd.DataFrame({"user_id": rng.integers(90, size=900), "item_id": ids[taken]}).to_csv("log.csv", index=False)
    table = pd.DataFrame({"item_id": ids, "title": [f"<mug> {n}" for n in range(300)], "kind": np.arange(300) % 3})
    table[::-1].to_parquet("items.parquet")
    table.rename(columns={"title": "name"}).to_csv("items.csv", index=False)
    codes = ParallelKMeansTokenizer(2, 8, random_state=0).fit_transform(items.embeddings)
    io.write_mapping("codes.parquet", ids, codes)
    io.write_mapping("old.json", ids, codes % 7)
    return ids, codes, pd.DataFrame({"user_id": pd.read_csv("log.csv")["user_id"], "item_id": ids[taken]})


def test_the_audit_knows_the_traffic_and_writes_a_page(traffic, items, capsys):
    ids, codes, log = traffic
    options = ["--embeddings", "X.parquet", "--interactions", "log.csv", "--items", "items.parquet"]
    assert main(["audit", "codes.parquet", *options, "--label-column", "kind", "--html", "page.html", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    mapping = pd.DataFrame(codes, index=ids, columns=["code0", "code1"])
    expected = tokenizer_report(mapping, items.embeddings, interactions=log, labels=np.arange(300) % 3)
    assert found["summary"] == {name: pytest.approx(value) for name, value in expected.summary.items()}
    assert found["verdict"] == expected.verdict
    assert found["baselines"]["random"]["co_click_auc"] == pytest.approx(expected.baselines["random"]["co_click_auc"])
    assert list(found["parts"]) == ["head", "middle", "tail"]
    page = Path("page.html").read_text()
    assert "Audit of codes.parquet" in page and "&lt;mug&gt; 7" in page


def test_the_audit_puts_two_files_side_by_side(traffic, capsys):
    options = ["--compare", "old.json", "--interactions", "log.csv", "--html", "both.html"]
    assert main(["audit", "codes.parquet", *options]) == 0
    printed = capsys.readouterr().out
    assert "old.json, for ranking" in printed and "Of 300 items that both have" in printed
    assert "<h3>old.json</h3>" in Path("both.html").read_text()
    assert main(["audit", "codes.parquet", *options, "--json", "--no-baselines"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["names"] == ["old.json", "codes.parquet"]
    assert len(found["churn"]["codes"]) == 2


@pytest.mark.parametrize("items_file", ["items.csv", "items.parquet"])
def test_titles_are_found_by_id_in_any_file_and_order(traffic, items, items_file, capsys):
    column = ["--title-column", "name"] if items_file == "items.csv" else []
    assert main(["audit", "codes.parquet", "--items", items_file, *column, "--no-baselines"]) == 0
    assert "such as '<mug> " in capsys.readouterr().out


def test_files_with_ids_as_numbers_and_as_text_are_compared_by_what_they_say(tmp_path, monkeypatch, rng, capsys):
    monkeypatch.chdir(tmp_path)
    codes = rng.integers(8, size=(60, 2))
    io.write_mapping("old.json", np.arange(60), codes)
    io.write_mapping("new.parquet", np.arange(60)[::-1], codes[::-1])
    pd.DataFrame({"user_id": rng.integers(9, size=90), "item_id": rng.integers(60, size=90)}).to_parquet("log.parquet")
    options = ["--compare", "old.json", "--interactions", "log.parquet", "--json"]
    assert main(["audit", "new.parquet", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["churn"] == {"items": 0.0, "codes": [0.0, 0.0]}
    assert found["figures"]["n_interactions"]["new.parquet"] == 90


def test_the_log_of_integers_is_matched_with_keys_of_json(items, capsys, tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    io.write_mapping("codes.json", np.arange(300), rng.integers(8, size=(300, 2)))
    pd.DataFrame({"user_id": rng.integers(9, size=90), "item_id": rng.integers(300, size=90)}).to_parquet("log.parquet")
    assert main(["audit", "codes.json", "--interactions", "log.parquet", "--purpose", "ranking", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["summary"]["n_interactions"] == 90
    assert list(found["verdict"]) == ["ranking"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--title-column", "title"], "--title-column must come with --items"),
        (["--items", "items.parquet", "--label-column", "colour"], "--label-column must be a column of --items, got"),
        (["--items", "items.parquet", "--id-column", "sku"], "--items must have the column 'sku'"),
        (["--interactions", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_the_audit_cannot_read_beside_codes_ends_with_one(traffic, capsys, arguments, message):
    assert main(["audit", "codes.parquet", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_embeddings_in_the_order_of_the_codes_are_those_of_the_same_items_beside_other_codes(traffic, items, capsys):
    ids, codes, _ = traffic
    io.write_mapping("turned.parquet", ids[::-1], codes[::-1])
    options = ["--embeddings", "X.npy", "--no-baselines", "--json"]
    assert main(["audit", "codes.parquet", "--compare", "turned.parquet", *options]) == 0
    overlap = json.loads(capsys.readouterr().out)["figures"]["neighbor_overlap"]
    assert overlap["turned.parquet"] == pytest.approx(overlap["codes.parquet"], abs=1e-12)
    io.write_mapping("longer.parquet", np.append(ids, "new"), np.append(codes, codes[:1], axis=0))
    assert main(["audit", "codes.parquet", "--compare", "longer.parquet", *options]) == 1
    assert "1 are not there, for example new. A .npy file is in the order of codes.parquet" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_told_before_the_work(traffic, monkeypatch, capsys):
    monkeypatch.setattr("semid.cli._audit.tokenizer_report", None)
    assert main(["audit", "codes.parquet", "--html", "nowhere/page.html"]) == 1
    assert "--html must be a file in a folder that is there, got 'nowhere/page.html'" in capsys.readouterr().err


@pytest.mark.parametrize("ids", [["x", "y"], [np.nan, np.nan]])
def test_items_of_another_catalogue_are_refused(traffic, ids, capsys):
    pd.DataFrame({"item_id": ids, "title": ["a", "b"]}).to_parquet("others.parquet")
    assert main(["audit", "codes.parquet", "--items", "others.parquet"]) == 1
    assert "--items must have items of the codes, whose ids are like" in capsys.readouterr().err


def test_items_may_be_called_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    io.write_mapping("codes.json", ["NA", "null"], [[1, 2], [1, 2]])
    pd.DataFrame({"item_id": ["NA", "null"], "title": ["a mug", "None"]}).to_csv("items.csv", index=False)
    assert main(["audit", "codes.json", "--items", "items.csv"]) == 0
    assert "such as 'a mug' (NA) and 'None' (null)" in " ".join(capsys.readouterr().out.split())
