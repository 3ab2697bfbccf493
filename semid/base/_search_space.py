"""Values of a parameter that are worth trying, said where the parameter is declared."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from scipy import stats


class Integer(NamedTuple):
    """All integers from `low` to `high`, both included, alike."""

    low: int
    high: int

    def distribution(self) -> Any:
        return stats.randint(self.low, self.high + 1)


class Float(NamedTuple):
    """Numbers from `low` to `high`: alike, or, with `log`, their logarithms alike."""

    low: float
    high: float
    log: bool = False

    def distribution(self) -> Any:
        return stats.loguniform(self.low, self.high) if self.log else stats.uniform(self.low, self.high - self.low)


class Options(NamedTuple):
    """These values, alike."""

    values: tuple

    def distribution(self) -> Any:
        return list(self.values)


class HasSearchSpace:
    """Mixin: constructor parameters annotated as ``Annotated[int, Integer(2, 8)]`` are those worth searching."""

    @classmethod
    def search_space(cls) -> dict[str, Any]:
        """Return the parameters that are worth searching, each with a distribution of values to try.

        They come from experience with a few catalogues, to begin a search from, and are no bounds.

        Returns
        -------
        space : dict
            What `sklearn.model_selection.RandomizedSearchCV` takes as ``param_distributions``: by name a list of
            values, or a distribution of scipy.
        """
        hints = get_type_hints(vars(_owner(cls))["__init__"], include_extras=True)
        spaces = {name: _space_of(hint) for name, hint in hints.items()}
        return {name: space.distribution() for name, space in spaces.items() if space is not None}


def _owner(kind):
    return next(parent for parent in kind.__mro__ if "__init__" in vars(parent))


def _space_of(hint):
    """Return the space in an annotation, None if there is none."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, Integer | Float | Options)), None)
