"""Generations that are damaged, or made to do harm: one kind of error, and nothing else is touched."""

import hashlib
import json
import shutil

import pandas as pd
import pytest

from semid.io import ArtifactError, Catalogue
from semid.io._sealed import sealed
from semid.tokenizers import ResidualKMeansTokenizer


@pytest.fixture
def catalogue(tmp_path, items):
    ids, tokenizer = items.frame["item_id"], ResidualKMeansTokenizer(3, 8, random_state=0)
    return Catalogue.build(tmp_path / "toys", ids, items.embeddings, tokenizer=tokenizer)


def _resealed(folder, change):
    """Change the manifest, and give it the checksum that belongs to it."""
    manifest = json.loads((folder / "manifest.json").read_bytes())["manifest"]
    change(manifest)
    (folder / "manifest.json").write_bytes(sealed(manifest))


def _forge(folder, frame):
    """Write other items, with the size and the checksum that belong to them."""
    frame.to_parquet(folder / "items.parquet", index=False)
    content = (folder / "items.parquet").read_bytes()
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    _resealed(folder, lambda manifest: manifest["files"].update({"items.parquet": entry}))


@pytest.mark.parametrize("name", ["manifest.json", "items.parquet"])
@pytest.mark.parametrize("how", ["cut", "flipped", "gone", "link", "folder"])
def test_damage_is_one_kind_of_error(catalogue, name, how):
    path = catalogue.folder / "generation-000001" / name
    content = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        path.write_bytes(content[:200] + bytes([content[200] ^ 4]) + content[201:])
    elif how == "link":
        (path.parent / "elsewhere").write_bytes(content)
        path.symlink_to(path.parent / "elsewhere")
    elif how == "folder":
        path.mkdir()
    with pytest.raises(ArtifactError, match="no generation of a catalogue could be read from"):
        catalogue.open()


@pytest.mark.parametrize("name", ["prefixes2.parquet", "changes.parquet", "tokenizer/manifest.json"])
def test_what_is_not_read_is_compared_on_demand_and_not_gone_back_to(catalogue, items, name):
    generation = catalogue.open()
    generation.verify()
    catalogue.append(["new"], items.embeddings[:1])
    path = generation.folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=f"{name} must have the size and the checksum"):
        generation.verify()
    with pytest.raises(ArtifactError, match=f"{name} must have the size and the checksum"):
        catalogue.rollback(1)
    assert catalogue.generations == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(version=2, written_with={"semid": "9.0"}), "must be of version 1, got 2"),
        (lambda manifest: manifest.update(format="other"), "must be of the format 'semid-catalogue'"),
        (lambda manifest: manifest.pop("files"), "must have 'files'"),
        (lambda manifest: manifest.update(n_items=9), "of 9 items"),
        (lambda manifest: manifest.update(codebook_sizes=[8, 8]), r"must have item_id, code0, code1 of"),
        (lambda manifest: manifest.update(codebook_sizes=[8, 8, 2]), "must lie below the codebook sizes"),
        (lambda manifest: manifest.update(codebook_sizes=None), "could be read"),
        (lambda manifest: manifest["files"].update({"items.parquet": {"size": 10, "sha256": "0"}}), "at most 10 bytes"),
        (lambda manifest: manifest.pop("created"), "must have 'created'"),
        (
            lambda manifest: manifest.update(changes=3),
            "changes of manifest.json must be what a catalogue writes, got 3",
        ),
        (lambda manifest: manifest.update(parent="x"), "parent of manifest.json must be"),
        (lambda manifest: manifest.update(generation="1"), "generation of manifest.json must be"),
        (lambda manifest: manifest.update(codebook_sizes=[8.5, 8, 8]), "codebook_sizes of manifest.json must be"),
        (lambda manifest: manifest.update(codebook_sizes=[10**400, 8, 8]), "codebook_sizes of manifest.json must be"),
        (lambda manifest: manifest.update(files={"items.parquet": 1}), "files of manifest.json must be"),
        (lambda manifest: manifest.update(generation=9), "generation-000001 must hold generation 1, got 9"),
    ],
    ids=range(16),
)
def test_manifests_that_are_none_are_refused(catalogue, change, message):
    _resealed(catalogue.folder / "generation-000001", change)
    with pytest.raises(ArtifactError, match=message):
        catalogue.open()


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/b/c", "..\\secret", "tokenizer/../../secret", "tokenizer/..", "", "c:secret"],
)
def test_no_file_but_the_own_is_opened(catalogue, name):
    entry = {"size": 10**9, "sha256": "0"}
    _resealed(catalogue.folder / "generation-000001", lambda manifest: manifest["files"].update({name: entry}))
    with pytest.raises(ArtifactError, match="must be in the folder of the generation"):
        catalogue.open()
    with pytest.raises(ArtifactError, match="must be in the folder of the generation"):
        catalogue.append(["new"], codes=[[0, 0, 0]])  # takes the files of the tokenizer over
    assert sorted(path.name for path in catalogue.folder.iterdir()) == [".writing", "generation-000001"]


def test_a_copy_under_another_number_is_not_gone_on_from(catalogue):
    catalogue.append(["new"], codes=[[0, 0, 0]])
    shutil.copytree(catalogue.folder / "generation-000001", catalogue.folder / "generation-000007")
    with pytest.raises(ArtifactError, match="generation-000007 must hold generation 7, got 1"):
        catalogue.append(["newer"], codes=[[0, 0, 0]])
    assert catalogue.generations == [1, 2, 7]


def test_a_number_with_more_zeros_than_are_written_is_none(catalogue):
    (catalogue.folder / "generation-0000007").mkdir()
    assert catalogue.generations == [1]
    assert catalogue.open().number == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame[::-1], "must be in increasing order"),
        (lambda frame: frame.assign(code1=frame["code1"].astype("float64")), "codes of int64"),
        (lambda frame: frame.assign(code0=frame["code0"] - 1), "must lie below"),
        (lambda frame: frame.assign(item_id=None), "must have an id"),
        (lambda frame: frame.drop(columns="code2"), "must have item_id, code0, code1, code2"),
    ],
    ids=range(5),
)
def test_items_that_do_not_hold_together_are_refused(catalogue, change, message):
    folder = catalogue.folder / "generation-000001"
    _forge(folder, change(pd.read_parquet(folder / "items.parquet")))
    with pytest.raises(ArtifactError, match=message):
        catalogue.open()


def test_items_that_are_there_twice_are_found_as_ids_are_looked_up(catalogue):
    folder = catalogue.folder / "generation-000001"
    _forge(folder, pd.read_parquet(folder / "items.parquet").assign(item_id="a"))
    with pytest.raises(ArtifactError, match="must have each item once"):
        catalogue.open().codes_of(["a"])
