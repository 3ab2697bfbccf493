"""Warnings of this package, for those who want to turn them into errors or silence them."""


class CollapseWarning(UserWarning):
    """A learned codebook uses few of its codes: the others cost memory and say nothing.

    Examples
    --------
    >>> import warnings
    >>> from semid.exceptions import CollapseWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", CollapseWarning)  # a fit in this block raises instead
    """


class DataLeakWarning(UserWarning):
    """The rows of a log would have told a model in training what it is tested on.

    Examples
    --------
    >>> import warnings
    >>> from semid.exceptions import DataLeakWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", DataLeakWarning)  # so that a split in this block raises instead
    """


class VersionWarning(UserWarning):
    """A pickle was written by another version of semid.

    Examples
    --------
    >>> import warnings
    >>> from semid.exceptions import VersionWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", VersionWarning)  # so that unpickling in this block raises instead
    """
