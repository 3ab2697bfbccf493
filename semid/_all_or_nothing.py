"""Fits that leave nothing half-written."""

import functools


def all_or_nothing(fit):
    """Decorate a `fit` that, when it fails or is interrupted, leaves the estimator as it was before."""

    @functools.wraps(fit)
    def guarded(self, *args, **kwargs):
        before = vars(self).copy()
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return guarded
