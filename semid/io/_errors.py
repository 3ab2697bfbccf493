"""What a damaged artifact raises."""


class ArtifactError(ValueError):
    """A folder is no artifact that `load` can restore: missing, damaged, of a newer format, or tampered with.

    The only exception that `load` raises for what it reads, so that one ``except`` is enough; and that `Generation`
    raises, for a generation of a catalogue.

    Examples
    --------
    >>> from semid.io import ArtifactError, load
    >>> try:
    ...     load("no-such-folder")
    ... except ArtifactError:
    ...     "fit anew"
    'fit anew'
    """
