"""Pickles that know which version of the package wrote them."""

from semid import __version__
from semid.base._checks import warn
from semid.base._documentation_link import DocumentationLink
from semid.base._removed import RemovedParameters, defaults, renewed
from semid.exceptions import VersionWarning


class Versioned(DocumentationLink, RemovedParameters):
    """Mixin: a pickle has the version of semid, and one of another version is loaded with a `VersionWarning`.

    Parameters that the class had then and has no more are dropped, those that are new have their defaults.
    """

    def __getstate__(self):
        return {**super().__getstate__(), "_semid_version": __version__}

    def __setstate__(self, state):
        version = state.get("_semid_version", "unknown")
        if version != __version__:
            warn(
                f"{type(self).__name__} was pickled by semid {version}, and this is {__version__}: it may fail or give "
                "other results. Fit it again, or load it where it was made and use semid.io.save, whose files later "
                "versions read.",
                VersionWarning,
            )
        state = renewed(type(self), {name: value for name, value in state.items() if name != "_semid_version"})
        super().__setstate__(defaults(type(self)) | state)
