"""Warnings of this package, for those who want to turn them into errors or silence them."""


class CollapseWarning(UserWarning):
    """A learned codebook uses few of its codes: the others cost memory and say nothing."""


class VersionWarning(UserWarning):
    """A pickle was written by another version of semid."""
