"""The link in an estimator's diagram: to its page of the documentation, once the package says where that is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


class DocumentationLink:
    """Mixin: scikit-learn's diagram in a notebook has a link to the page of the class.

    The address is that of "Documentation" under ``[project.urls]`` of pyproject.toml; without one there is no link.
    """

    @property
    def _doc_link_module(self):
        return "" if documentation_address() is None else "semid"

    @property
    def _doc_link_template(self):
        return f"{documentation_address()}/api/generated/{{estimator_module}}.{{estimator_name}}.html"


@cache
def documentation_address() -> str | None:
    """Return where the pages are, without a slash at its end, None if the package does not say."""
    try:
        entries = metadata("semid").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a checkout
        return None
    addresses = dict(entry.split(", ", 1) for entry in entries if ", " in entry)
    return addresses["Documentation"].rstrip("/") if "Documentation" in addresses else None
