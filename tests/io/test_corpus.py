"""Artifacts that earlier versions saved give what they gave."""

import json
import shutil

import numpy as np
import pytest
from make_corpus import CORPUS, answer, question

import semid
from semid.io import Catalogue, load

VERSIONS = sorted(CORPUS.glob("v*"))
CATALOGUES = sorted(CORPUS.glob("catalogue-v*"))
EXPECTED = {path: json.loads((path / "expected.json").read_text(encoding="utf-8")) for path in VERSIONS}
CASES = [pytest.param(path, name, id=f"{path.name}-{name}") for path in VERSIONS for name in EXPECTED[path]["answers"]]


@pytest.mark.parametrize(("version", "name"), CASES)
def test_artifacts_of_earlier_versions_give_what_they_gave(version, name):
    got = np.array(answer(load(version / name), question(name, EXPECTED[version]["inputs"])))
    expected = np.array(EXPECTED[version]["answers"][name])
    floats = ("NextItem", "Classifier", "ClickPipeline", "HistoryPipeline", "Embedder")
    if any(part in name for part in floats):
        np.testing.assert_allclose(got, expected, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, expected)


def test_the_corpus_has_every_estimator():
    public = {name for name in semid.__all__ if hasattr(getattr(semid, name), "fit")}
    assert public <= EXPECTED[VERSIONS[-1]]["answers"].keys()


@pytest.mark.parametrize("folder", CATALOGUES, ids=lambda folder: folder.name)
def test_catalogues_of_earlier_versions_are_read_and_go_on(folder, tmp_path):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    catalogue = Catalogue(shutil.copytree(folder / "catalogue", tmp_path / "catalogue"))
    assert list(map(str, catalogue.generations)) == list(expected["codes"])
    for number, codes in expected["codes"].items():
        generation = catalogue.open(int(number))
        generation.verify()
        np.testing.assert_array_equal(generation.codes_of(expected["ids"]), codes)
    after = catalogue.append(["new"], np.zeros((1, 6)))
    np.testing.assert_array_equal(after.codes_of(expected["ids"]), codes)
    assert catalogue.rollback(1).number == 4
