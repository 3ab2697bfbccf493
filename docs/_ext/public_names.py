"""Every public name of the package, from the ``__all__`` of its modules, and what follows from them.

- the API pages, written before Sphinx looks for sources: one per module and, by autosummary, one per name;
- links: `RQVAETokenizer` in a docstring, or in code font on a Markdown page, leads to its page without its module.
"""

import importlib
import inspect
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import semid

# In the order of the data. `semid.nn` and `semid.cli` have no names for users to import.
MODULES = [
    "semid.embedders",
    "semid.tokenizers",
    "semid.tokenizers.presets",
    "semid.features",
    "semid.ctr",
    "semid.recommend",
    "semid.metrics",
    "semid.plots",
    "semid.datasets",
    "semid.io",
    "semid.exceptions",
]
_TOP = [
    "# API reference",
    "",
    "All that is public, by module. Names that are imported from `semid` itself are the same objects:",
    "`from semid import RQVAETokenizer` is `from semid.tokenizers import RQVAETokenizer`.",
    "",
]


def names_of(module_name):
    """Return the public names of a module, those of its classes first."""
    module = importlib.import_module(module_name)
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if getattr(value, "__module__", None) == module_name
    ]
    return sorted(names, key=lambda name: (not inspect.isclass(getattr(module, name)), name.lower()))


def own_methods():
    """Return the public methods that this package documents, by the full name of their class."""
    classes = {full: _object(full) for full in set(full_names().values()) if inspect.isclass(_object(full))}
    return {
        full: [
            name
            for name, value in inspect.getmembers(cls, callable)
            if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith("semid.")
        ]
        for full, cls in classes.items()
    }


def _object(full_name):
    module_name, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module_name), name)


def write_pages(app, config):
    """Write a page for each module, with tables that autosummary fills and follows."""
    folder = Path(app.srcdir, "api")
    folder.mkdir(exist_ok=True)
    for module_name in MODULES:
        _write(folder / f"{module_name}.rst", _module_page(module_name))
    rows = [f"| [](<{name}.rst>) | {_first_sentence(name)} |" for name in MODULES]
    tree = ["```{toctree}", ":hidden:", "", *MODULES, "```"]
    _write(folder / "index.md", "\n".join([*_TOP, "| module | what it has |", "|---|---|", *rows, "", *tree, ""]))


def _module_page(module_name):
    module = importlib.import_module(module_name)
    names = names_of(module_name)
    classes = [name for name in names if inspect.isclass(getattr(module, name))]
    functions = [name for name in names if name not in classes]
    lines = [module_name, "=" * len(module_name), "", f".. automodule:: {module_name}", "   :no-members:", ""]
    lines += [f".. currentmodule:: {module_name}", ""]
    for title, members in (("Classes", classes), ("Functions", functions)):
        if members:
            table = [
                ".. autosummary::",
                "   :toctree: generated",
                "   :nosignatures:",
                "",
                *(f"   {m}" for m in members),
            ]
            lines += [title, "-" * len(title), "", *table, ""]
    return "\n".join(lines)


def _first_sentence(module_name):
    return inspect.getdoc(importlib.import_module(module_name)).split("\n\n")[0].replace("\n", " ").replace("``", "`")


def _write(path, text):
    """Write a file unless it has this text already, so that only what has changed is built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def full_names():
    """Return the full name of everything public, by its last part and by any shorter path to it."""
    found = {}
    for module_name in reversed(MODULES):  # the first one wins
        found[module_name] = module_name
        for name in names_of(module_name):
            full = f"{module_name}.{name}"
            for alias in (name, f"semid.{name}", full, full.removeprefix("semid."), f"presets.{name}"):
                found[alias] = full
    return found


class LinkPublicNames(SphinxTransform):
    """Turn public names in code font on a Markdown page into links."""

    default_priority = 500

    def apply(self):
        if not str(self.document.get("source", "")).endswith(".md"):
            return
        names = full_names()
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext().removesuffix("()")
            is_name = text in names and (text[0].isupper() or "_" in text or "." in text)
            if is_name and not isinstance(literal.parent, nodes.reference | addnodes.pending_xref | nodes.title):
                reference = addnodes.pending_xref(
                    "", reftype="obj", refdomain="py", reftarget=names[text], refexplicit=True, refwarn=False
                )
                reference["refdoc"] = self.env.docname
                literal.replace_self(reference)
                reference += literal


def resolve_short_name(app, env, node, contnode):
    """Find a public name that was written without its module, or by way of ``semid``."""
    if node.get("refdomain") != "py":
        return None
    target, _, method = node["reftarget"].removesuffix("()"), "", ""
    names = full_names()
    if target not in names and "." in target:
        target, _, method = target.rpartition(".")
    if target not in names:
        return None
    full = names[target] + (f".{method}" if method else "")
    if full == node["reftarget"]:
        return None
    domain = env.domains["py"]
    role = "mod" if full in MODULES else "obj"
    return domain.resolve_xref(env, node["refdoc"], app.builder, role, full, node, contnode)


def add_short_paths(app, env):
    """Let ``semid.RQVAETokenizer``, as the gallery has it, name what ``semid.tokenizers.RQVAETokenizer`` documents."""
    objects = env.domains["py"].objects
    for name in semid.__all__:
        full = full_names().get(name)
        if full in objects:
            objects[f"semid.{name}"] = objects[full]._replace(aliased=True)


def setup(app):
    app.connect("config-inited", write_pages)
    app.connect("missing-reference", resolve_short_name)
    app.connect("env-updated", add_short_paths)
    app.add_transform(LinkPublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
