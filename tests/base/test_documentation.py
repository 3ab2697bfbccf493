"""Docstrings that are put together: shared parts are in place, and say the defaults that the signature has."""

import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString

from semid import tokenizers
from semid.base._documentation import fill_in

KINDS = [kind for name in tokenizers.__all__ if hasattr(kind := getattr(tokenizers, name), "fit")]


def test_parts_take_the_place_of_their_names():
    class Kind:
        """What it is.

        Parameters
        ----------
        {width}
        kind : {"a", "b"}, default "a"
            Stays.
        """

        def __init__(self, width=3, kind="a"): ...

    fill_in(Kind, {"width": "    width : int, default {default:width}\n        Of all.\n", "height": "not asked for"})
    assert Kind.__doc__.split("\n") == [
        "What it is.",
        "",
        "Parameters",
        "----------",
        "width : int, default 3",
        "    Of all.",
        'kind : {"a", "b"}, default "a"',
        "    Stays.",
        "",
    ]


def test_a_class_without_a_docstring_stays_without():
    class Kind: ...

    fill_in(Kind, {"width": "text"})
    assert Kind.__doc__ is None


@pytest.mark.parametrize("kind", KINDS)
def test_documented_defaults_are_those_of_the_signature(kind):
    assert re.findall(r"\{[a-z_: ]+\}", kind.__doc__) == []
    documented = {entry.name: entry.type for entry in NumpyDocString(inspect.getdoc(kind))["Parameters"]}
    parameters = inspect.signature(kind).parameters
    assert list(documented) == list(parameters)
    for name, parameter in parameters.items():
        if parameter.default is not parameter.empty:
            assert documented[name].rpartition("default ")[2].replace('"', "'") == repr(parameter.default)


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_say_what_they_cost_and_whether_going_on_is_exact(kind):
    notes = " ".join(NumpyDocString(inspect.getdoc(kind))["Notes"])
    cost, going_on = notes.split("Cost: ")[1].split("Going on: ")
    assert all(re.search(rf"O\([^.;]* {word}|{word}[^.;]* O\(", cost) for word in ("time", "memory"))
    assert "bound" in cost
    assert re.search("exact|approximate|another fit", going_on)
