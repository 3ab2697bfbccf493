"""Generations as folders of their own, and on a hub, which is one on the loopback."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
from fake_hub import FakeHub
from sklearn.base import clone

from semid.io import ArtifactError, Catalogue, Generation, export_generation, pull_generation, push_generation
from semid.metrics import tokenizer_report
from semid.tokenizers import ResidualKMeansTokenizer

KMEANS = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0)


@pytest.fixture
def catalogue(tmp_path, items):
    """250 of 300 items, then all of them, fitted anew."""
    ids, X = items.frame["item_id"].to_numpy(), items.embeddings
    catalogue = Catalogue.build(tmp_path / "toys", ids[:250], X[:250], tokenizer=KMEANS)
    catalogue.refit(ids, X, tokenizer=clone(KMEANS).set_params(random_state=1), popularity=np.arange(300))
    return catalogue


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    pytest.importorskip("huggingface_hub", minversion="1.8")  # earlier ones publish at their own hub alone
    pytest.importorskip("huggingface_hub.utils").disable_progress_bars()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # this hub is on the machine itself
    with FakeHub() as hub:
        yield hub


def _assert_same(generation, other):
    np.testing.assert_array_equal(generation.item_ids, other.item_ids)
    np.testing.assert_array_equal(generation.codes, other.codes)
    assert generation.number == other.number
    pd.testing.assert_frame_equal(generation.changes, other.changes)


def test_what_is_exported_is_read_as_it_was_and_needs_nothing_else(catalogue, tmp_path, items):
    generation = catalogue.open()
    folder = export_generation(generation, tmp_path / "published")
    exported = Generation(folder)
    _assert_same(exported, generation)
    np.testing.assert_array_equal(
        exported.tokenizer().transform(items.embeddings), exported.codes_of(items.frame["item_id"])
    )
    exported.verify()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_generation_that_is_pruned_as_it_is_exported_is_one_kind_of_error(catalogue, tmp_path, monkeypatch):
    generation = catalogue.open(1)
    monkeypatch.setattr(type(generation), "verify", lambda self: catalogue.prune(1))
    with pytest.raises(ArtifactError, match="Open another generation"):
        export_generation(generation, tmp_path / "published")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["toys"]


def test_without_its_tokenizer_it_holds_codes_alone(catalogue, tmp_path):
    exported = Generation(export_generation(catalogue.open(), tmp_path / "published", tokenizer=False))
    _assert_same(exported, catalogue.open())
    assert not (tmp_path / "published" / "tokenizer").exists()
    exported.verify()
    with pytest.raises(ValueError, match="has no tokenizer"):
        exported.tokenizer()
    assert "it is not part of this folder" in (tmp_path / "published" / "README.md").read_text()


def test_the_card_says_how_the_codes_were_made_and_how_good_they_are(catalogue, tmp_path):
    generation = catalogue.open()
    card = (export_generation(generation, tmp_path / "published") / "README.md").read_text()
    head = card.split("---\n")[1]
    assert "library_name: semid" in head
    assert "size_categories:\n- n<1K" in head
    report = tokenizer_report(generation.codes, codebook_size=[8, 8])
    churn, traffic = (generation.about[name]["items"] for name in ("churn", "traffic_churn"))
    for words in (
        "# Semantic IDs of 300 items",
        repr(generation.tokenizer()),
        f"(collision rate) | {report.summary['collision_rate']:.4f} |",
        f"| 1 | 8 | {report.table['codes_used'].iloc[1]} | {report.table['perplexity'].iloc[1]:.1f} |",
        "It is the refit that followed generation 1: 50 added",
        f"{churn:.1%} of the items that were there before have other codes; they had {traffic:.1%} of the traffic",
        "with [0, 8] and 16 tokens in all",
    ):
        assert words in card


def test_the_code_on_the_card_runs(catalogue, tmp_path, monkeypatch):
    folder = export_generation(catalogue.open(), tmp_path / "published")
    first = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)[0]
    monkeypatch.chdir(folder)
    names = {}
    exec(first, names)
    row = names["prefixes"].iloc[3]
    assert set(names["items"][row["start"] : row["stop"]]["code0"]) == {row["code0"]}


def test_codes_of_any_origin_have_a_card(tmp_path):
    generation = Catalogue.build(tmp_path / "c", ["a", "b"], codes=[[1, 2], [0, -1]]).open()
    card = (export_generation(generation, tmp_path / "published") / "README.md").read_text()
    assert "how they were made is not known here" in card


def test_a_generation_goes_to_the_hub_and_comes_back(catalogue, tmp_path, hub):
    options = {"token": "hf_none", "endpoint": hub.url}
    url = push_generation(catalogue.open(1), "me/toys", **options)
    assert url == f"{hub.url}/datasets/me/toys/commit/{hub.sha}"
    assert hub.private
    assert hub.commits == ["Generation 1: 250 items"]
    _assert_same(pull_generation("me/toys", tmp_path / "first", **options), catalogue.open(1))
    first = {name for name in hub.files if name.startswith("tokenizer/arrays")}

    push_generation(catalogue.open(2), "me/toys", **options)
    assert len(hub.commits) == 2
    assert not first & hub.files.keys()  # nothing of the first is left
    pulled = pull_generation("me/toys", tmp_path / "first", **options)
    _assert_same(pulled, catalogue.open(2))
    assert pulled.tokenizer().get_params() == catalogue.open(2).tokenizer().get_params()
    assert hub.unknown == []


def test_what_else_a_repository_and_a_folder_hold_is_left_alone(catalogue, tmp_path, hub):
    options = {"token": "hf_none", "endpoint": hub.url}
    others = {"data/train.parquet": b"1", "clicks.parquet": b"2", "tokenizer/tokenizer.json": b"3", "a.py": b"4"}
    hub.files.update(others)
    push_generation(catalogue.open(1), "me/toys", **options)
    push_generation(catalogue.open(2), "me/toys", **options)
    assert {name: hub.files.get(name) for name in others} == others
    pull_generation("me/toys", tmp_path / "pulled", **options)
    assert not any((tmp_path / "pulled" / name).exists() for name in others)

    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("mine")
    for folder in (tmp_path / "project", catalogue.folder, tmp_path / "project" / "README.md"):
        with pytest.raises(FileExistsError, match="folder must"):
            pull_generation("me/toys", folder, **options)
    assert (tmp_path / "project" / "README.md").read_text() == "mine"
    assert catalogue.generations == [1, 2]


def test_what_comes_from_a_hub_is_checked(catalogue, tmp_path, hub):
    options = {"token": "hf_none", "endpoint": hub.url}
    push_generation(catalogue.open(), "me/toys", tokenizer=False, **options)
    content = bytearray(hub.files["prefixes1.parquet"])
    content[20] ^= 1
    hub.files["prefixes1.parquet"] = bytes(content)
    with pytest.raises(ArtifactError, match=r"prefixes1\.parquet must have the size and the checksum"):
        pull_generation("me/toys", tmp_path / "there", **options)


def test_what_cannot_be_published_is_refused(catalogue, tmp_path, monkeypatch):
    generation = catalogue.open()
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="folder must not exist"):
        export_generation(generation, tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="in a folder that exists"):
        export_generation(generation, tmp_path / "no" / "where")
    with pytest.raises(ValueError, match="repo_type must be"):
        push_generation(generation, "me/toys", repo_type="space")
    with pytest.raises(ValueError, match="repo_type must be"):
        pull_generation("me/toys", tmp_path / "x", repo_type="space")
    (generation.folder / "items.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"items\.parquet"):
        export_generation(generation, tmp_path / "damaged")
    assert not (tmp_path / "damaged").exists()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"semid\[hub\]"):
        push_generation(generation, "me/toys")
