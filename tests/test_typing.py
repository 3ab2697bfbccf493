"""The annotations: all public signatures have them, they say what the package does, and an editor finds the names."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from public_api import FUNCTIONS, NAMES

import semid

ROOT = Path(__file__).parents[1]
SAMPLES = Path(__file__).parent / "typing"
INITS = {
    vars(thing)["__init__"]: f"{name}.__init__"
    for name, thing in NAMES.items()
    if inspect.isclass(thing) and inspect.isfunction(vars(thing).get("__init__"))
}
SIGNATURES = FUNCTIONS | INITS


@pytest.mark.parametrize("function", SIGNATURES, ids=SIGNATURES.get)
def test_public_signatures_are_annotated(function):
    signature = inspect.signature(function)
    own = [parameter for parameter in signature.parameters.values() if parameter.name not in ("self", "cls")]
    missing = [parameter.name for parameter in own if parameter.annotation is parameter.empty]
    assert missing == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("function", SIGNATURES, ids=SIGNATURES.get)
def test_help_shows_annotations_as_they_are_written(function):
    # Evaluated, ArrayLike alone is 400 characters of names that no user knows.
    signature = inspect.signature(function)
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    evaluated = [a for a in [*annotations, signature.return_annotation] if a not in (inspect.Parameter.empty, None)]
    assert [annotation for annotation in evaluated if not isinstance(annotation, str)] == []


def test_type_checkers_are_told_the_names_that_are_found_on_first_use():
    tree = ast.parse(Path(semid.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    told = {name.asname: (line.module, name.name) for line in block.body for name in line.names}
    modules = {name for name, (module, _) in told.items() if module == "semid"}
    assert {name: module for name, (module, _) in told.items() if name not in modules} == {
        name: f"semid.{module}" for name, module in semid._MODULE_OF.items()
    }
    assert all(alias == name for alias, (_, name) in told.items())
    assert all(inspect.ismodule(getattr(semid, name)) for name in modules)
    assert set(semid._MODULE_OF.values()) <= modules


def test_the_package_says_that_it_is_typed():
    assert Path(semid.__file__).with_name("py.typed").is_file()


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """What mypy finds, as (path, line, code), in the package and in the samples."""
    command = [sys.executable, "-m", "mypy", "semid", "tests/typing", "--no-error-summary", "--hide-error-context"]
    cache = tmp_path_factory.mktemp("mypy")
    run = subprocess.run([*command, "--cache-dir", cache], cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert run.stderr == ""
    found = re.findall(r"^(.+?):(\d+): error: .*\[([a-z-]+)\]$", run.stdout, flags=re.MULTILINE)
    return sorted((path, int(line), code) for path, line, code in found)


@pytest.mark.slow
def test_mypy_finds_nothing_in_the_package(errors):
    assert [error for error in errors if error[0].startswith("semid")] == []


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["right.py", "wrong.py"])
def test_mypy_finds_the_marked_mistakes_and_no_others(errors, sample):
    lines = (SAMPLES / sample).read_text(encoding="utf-8").splitlines()
    marks = [(n, mark[1]) for n, line in enumerate(lines, start=1) if (mark := re.search(r"# E: ([a-z-]+)$", line))]
    assert [error[1:] for error in errors if error[0] == f"tests/typing/{sample}"] == marks
    assert bool(marks) == (sample == "wrong.py")
