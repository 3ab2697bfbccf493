"""The package as a whole: what importing it costs, and what it says of itself."""

import inspect
import json
import subprocess
import sys

import pytest

import semid
from semid import ctr, datasets, embedders, features, io, metrics, plots, recommend, tokenizers

STAGES = (ctr, datasets, embedders, features, io, metrics, plots, recommend, tokenizers)
PUBLIC = [getattr(module, name) for module in STAGES for name in module.__all__ if name != "ArtifactError"]


def _python(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


LIGHT_STAGES = ("metrics", "plots", "datasets", "features", "embedders", "io")
IMPORT_ONE_AFTER_ANOTHER = """
import importlib, json, sys

loaded = {}
for module in sys.argv[1:]:
    importlib.import_module(module)  # each as if it were the first of ours
    loaded[module] = sorted(name for name in sys.modules if "." not in name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "semid"]:
        del sys.modules[name]
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded_after():
    """Names of all packages that are loaded once a module of ours and those before it are, by its name."""
    names = ["semid", *(f"semid.{stage}" for stage in LIGHT_STAGES)]
    return json.loads(_python(IMPORT_ONE_AFTER_ANOTHER, *names))


def test_importing_the_package_loads_nothing_heavy(loaded_after):
    assert not {"torch", "sklearn", "pandas", "numpy"} & set(loaded_after["semid"])


@pytest.mark.parametrize("stage", LIGHT_STAGES)
def test_stages_without_learning_load_no_torch(stage, loaded_after):
    heavy = {"torch", "skorch", "matplotlib", "sentence_transformers"}
    assert not heavy & set(loaded_after[f"semid.{stage}"])


def test_every_public_name_can_be_imported_and_listed():
    assert {name for name in semid.__all__ if getattr(semid, name) is None} == set()
    assert set(semid.__all__) <= set(dir(semid))
    assert semid.tokenizers is tokenizers
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        getattr(semid, "nonsense")  # noqa: B009


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_public_docstrings_document_each_parameter_with_its_real_default(thing):
    text = inspect.getdoc(thing)
    named_tuple = hasattr(thing, "_fields")
    if named_tuple:
        assert text
        return
    assert "Examples\n--------" in text
    for parameter in inspect.signature(thing).parameters.values():
        line = next(
            (line for line in text.splitlines() if line.split(" : ")[0].split(", ").count(parameter.name)),
            None,
        )
        assert line is not None, f"{parameter.name} is not documented"
        if parameter.default is not inspect.Parameter.empty and ", " not in line.split(" : ")[0]:
            documented = line.split(", default ")[1].strip()
            real = f'"{parameter.default}"' if isinstance(parameter.default, str) else repr(parameter.default)
            assert documented == real, parameter.name
