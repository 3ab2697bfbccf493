"""Docstrings whose shared parts are written once."""

import re
from collections.abc import Mapping
from inspect import cleandoc
from textwrap import dedent

from semid.base._removed import defaults


def fill_in(kind: type, parts: Mapping[str, str]) -> None:
    """Replace each ``{name}`` in the docstring of a class by the part of that name.

    ``{default:parameter}``, also within a part, is the default of that parameter.
    """
    if kind.__doc__ is None:
        return
    doc = cleandoc(kind.__doc__)  # as Python itself does from 3.13 on
    for name, text in parts.items():
        doc = doc.replace(f"{{{name}}}", dedent(text).rstrip())
    doc = re.sub(r"\{default:(\w+)\}", lambda match: repr(defaults(kind)[match[1]]), doc)
    kind.__doc__ = doc + "\n"
