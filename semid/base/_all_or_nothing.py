"""Fits that leave nothing half-written, and that others may predict beside."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

_Fit = TypeVar("_Fit", bound=Callable[..., Any])
_Estimator = TypeVar("_Estimator")


def all_or_nothing(fit: _Fit) -> _Fit:
    """Decorate a `fit` that happens to a copy, whose attributes the estimator takes over when it is done.

    One that fails or is interrupted leaves the estimator as it was before. Meanwhile other threads see the old one: all
    attributes change in one step, since no other thread of Python runs within an update of a dict.
    """

    @functools.wraps(fit)
    def guarded(self, *args, **kwargs):
        fitted = snapshot(self)
        before = dict(vars(fitted))
        result = fit(fitted, *args, **kwargs)
        after = vars(fitted)
        # What others have set meanwhile, parameters say, stays.
        vars(self).update({name: value for name, value in after.items() if before.get(name, self) is not value})
        for name in before.keys() - after.keys():
            vars(self).pop(name, None)
        return self if result is fitted else result

    return cast(_Fit, guarded)


def snapshot(estimator: _Estimator) -> _Estimator:
    """Return an estimator with the attributes that `estimator` has now, whatever becomes of that one.

    The copy is shallow, and of ``__dict__`` alone: not that of pickles and of `copy.copy`, which leave out caches.
    """
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    return twin


def on_snapshot(method: _Fit) -> _Fit:
    """Decorate a method that reads several attributes, all of which must be of one fit."""

    @functools.wraps(method)
    def consistent(self, *args, **kwargs):
        return method(snapshot(self), *args, **kwargs)

    return cast(_Fit, consistent)
