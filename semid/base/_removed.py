"""Parameters that a class no longer has: a word where somebody passes one, and none where an old file holds one."""

import functools
from collections.abc import Iterable, Mapping
from inspect import Parameter, signature
from typing import Any, ClassVar

from sklearn.base import BaseEstimator


class RemovedParameters:
    """Mixin: ``_removed_parameters`` has, for each parameter that a version before had, what to write in its place.

    The constructor and `set_params` say it. What a former version has pickled or saved is renewed by `renewed`.
    """

    _removed_parameters: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the constructor of a class that has removed parameters say so; its signature stays as it is."""
        super().__init_subclass__(**kwargs)
        if cls._removed_parameters and not hasattr(cls.__init__, "_knows_removed"):
            cls.__init__ = _knowing_removed(cls.__init__)  # type: ignore[method-assign]

    @functools.wraps(BaseEstimator.set_params)
    def set_params(self, **params: Any) -> Any:
        message = _message(type(self), params)
        if message is not None:
            raise ValueError(message)
        return super().set_params(**params)  # type: ignore[misc]

    @classmethod
    def _in_place_of_removed(cls, former: dict[str, Any]) -> dict[str, Any]:
        """Return attributes of today for those of a `former` version, by name; a subclass says what corresponds."""
        return {}


def renewed(kind: type, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the `attributes` of an instance of `kind`, by whichever version, without parameters that are removed.

    Their counterparts of today, where `kind` knows some, take their place.
    """
    removed = getattr(kind, "_removed_parameters", {})
    if not removed.keys() & attributes.keys():
        return attributes
    kept = {name: value for name, value in attributes.items() if name not in removed}
    return kept | kind._in_place_of_removed(attributes)  # type: ignore[attr-defined]


def defaults(kind: type) -> dict[str, Any]:
    """Return the parameters of `kind` that have a default, with it."""
    every = signature(kind.__init__).parameters.values()  # type: ignore[misc]
    return {parameter.name: parameter.default for parameter in every if parameter.default is not Parameter.empty}


def _knowing_removed(init):
    @functools.wraps(init)  # signatures are read from there
    def knowing(self, *args, **kwargs):
        message = _message(type(self), kwargs)
        if message is not None:
            raise TypeError(message)
        init(self, *args, **kwargs)

    knowing._knows_removed = True
    return knowing


def _message(kind: type[RemovedParameters], names: Iterable[str]) -> str | None:
    """Return what to write in the place of the first of `names` that is a removed parameter, None without one."""
    for name in names:
        if name in kind._removed_parameters:
            return f"{kind.__name__} has no parameter {name} any more. {kind._removed_parameters[name]}"
    return None
