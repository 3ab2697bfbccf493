"""The public names of semid, with the methods and properties of its classes, for tests that go through all of them."""

import inspect

from semid import cli, ctr, datasets, embedders, exceptions, features, io, metrics, plots, recommend, tokenizers
from semid.tokenizers import presets

MODULES = (cli, ctr, datasets, embedders, features, io, metrics, plots, recommend, tokenizers, presets)


def _is_own(thing):
    return getattr(thing, "__module__", "").split(".")[0] == "semid"


def _public_names():
    names = {f"{module.__name__}.{name}": getattr(module, name) for module in MODULES for name in module.__all__}
    warnings = {f"semid.exceptions.{name}": thing for name, thing in vars(exceptions).items() if _is_own(thing)}
    return names | warnings


def _members(name, thing):
    """Public methods and properties of a class, without what it inherits from other libraries."""
    for member in dir(thing) if inspect.isclass(thing) else ():
        value = inspect.getattr_static(thing, member)
        is_member = isinstance(value, property) or inspect.isfunction(getattr(value, "__func__", value))
        owner = next((kind for kind in thing.__mro__ if member in vars(kind)), None)
        if is_member and not member.startswith("_") and _is_own(owner) and _is_own(_function(value)):
            yield f"{name}.{member}", value


def _function(value):
    """The function behind a method, a property, a class method or a decorated function."""
    return inspect.unwrap(value.fget if isinstance(value, property) else getattr(value, "__func__", value))


NAMES = _public_names()
MEMBERS = {member: value for name, thing in NAMES.items() for member, value in _members(name, thing)}
# Each function once, whichever classes inherit it.
FUNCTIONS = {_function(value): name for name, value in (NAMES | MEMBERS).items() if not inspect.isclass(value)}
