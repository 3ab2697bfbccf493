"""The package as a whole: what importing it costs, and what it says of itself."""

import inspect
import subprocess
import sys

import pytest

import semid
from semid import ctr, datasets, embedders, features, io, metrics, plots, recommend, tokenizers

STAGES = (ctr, datasets, embedders, features, io, metrics, plots, recommend, tokenizers)
PUBLIC = [getattr(module, name) for module in STAGES for name in module.__all__ if name != "ArtifactError"]


def _python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout


def test_importing_the_package_loads_nothing_heavy():
    loaded = _python("import semid, sys; print(sorted({'torch', 'sklearn', 'pandas', 'numpy'} & set(sys.modules)))")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("module", ["metrics", "plots", "datasets", "features", "embedders", "io"])
def test_stages_without_learning_load_no_torch(module):
    assert _python(f"import semid.{module}, sys; print('torch' in sys.modules)").strip() == "False"


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
