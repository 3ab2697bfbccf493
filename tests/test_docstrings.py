"""What the docstrings of the public names hold: numpydoc's rules, examples that run, shapes, and what is raised."""

import ast
import doctest
import inspect
import textwrap
from functools import cache

import pytest
from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate
from public_api import FUNCTIONS, MEMBERS, NAMES

import semid

LEFT_OUT = {
    "ES01": "a docstring is as long as there is something to say; many functions are said in one line",
    "EX01": "methods are shown in the example of their class; functions and classes are checked below",
    "RT02": "what is returned has a name here, as in scikit-learn: 'codes : ndarray of shape ...'",
    "RT03": "the first line says what is returned, and beside its name stand type, shape and range",
    "SA01": "names in the text are links already; a section of them is for what is easily overlooked",
}
# What these raise is the same for every estimator, and for every seed.
CHECKS_OF_ALL = {"check_is_fitted", "check_input_features", "check_random_state"}
NEED_THE_NETWORK = {"semid.datasets.fetch_amazon_reviews", "semid.datasets.fetch_movielens"}


def test_every_name_of_the_package_is_among_those_checked():
    checked = {name.rsplit(".", 1)[1] for name in NAMES}
    assert set(semid.__all__) - {"__version__"} <= checked
    assert "semid.tokenizers.RQVAETokenizer.align_to" in MEMBERS
    assert "semid.tokenizers.RQVAETokenizer.set_params" not in MEMBERS  # scikit-learn's


@cache
def _errors(name):
    return dict(validate(name)["errors"])


@pytest.mark.parametrize("name", [*NAMES, *MEMBERS])
def test_public_docstrings_pass_the_checks_of_numpydoc(name):
    assert {code: text for code, text in _errors(name).items() if code not in LEFT_OUT} == {}


def test_no_check_is_left_out_in_vain():
    assert {code for name in [*NAMES, *MEMBERS] for code in _errors(name)} == set(LEFT_OUT)


@pytest.mark.parametrize("name", NAMES)
def test_public_functions_and_classes_have_an_example_that_runs(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(NAMES[name]))
    assert examples
    is_skipped = any(example.options.get(doctest.SKIP) for example in examples)
    assert is_skipped == (name in NEED_THE_NETWORK)


@pytest.mark.parametrize("name", [*NAMES, *MEMBERS])
def test_arrays_are_documented_with_their_shape(name):
    sections = NumpyDocString(inspect.getdoc(NAMES.get(name) or MEMBERS[name]))
    documented = [entry for section in ("Parameters", "Returns") for entry in sections[section]]
    arrays = [entry for entry in documented if "array-like" in entry.type or entry.type.startswith("ndarray")]
    assert [entry.name for entry in arrays if " of shape (" not in entry.type and " of str" not in entry.type] == []


@pytest.mark.parametrize("function", FUNCTIONS, ids=FUNCTIONS.get)
def test_what_raises_says_what_and_when(function):
    if _raises(function):
        assert "Raises\n------" in inspect.getdoc(function)


def _raises(function):
    """Whether the body raises, or calls a check of arguments."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))
    called = [getattr(node.func, "id", getattr(node.func, "attr", "")) for node in nodes if isinstance(node, ast.Call)]
    checks = [name for name in called if name.lstrip("_").startswith("check_") and name not in CHECKS_OF_ALL]
    return bool(checks) or any(isinstance(node, ast.Raise) for node in nodes)
