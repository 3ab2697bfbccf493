"""The directive ``{run}``: a block of Python that the build runs, with what it prints and draws below it.

    ```{run}
    :alt: how the picture reads to those who cannot see it

    CodeUsageDisplay.from_codes(codes).plot()
    ```

The ``python`` blocks above it on the page have run before it, in the same namespace and a temporary folder, as a reader
would type them. If nothing is drawn, the value of a last line that is an expression is shown, as in a notebook; what is
written to stderr is not. With ``:beside:`` code and picture stand side by side where there is room; with
``:hide-code:`` the code is left out, and with ``:wrap:`` long printed lines break.
"""

import ast
import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import ClassVar

import matplotlib
import matplotlib.pyplot as plt
from code_blocks import python_blocks
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

_FOLDER = "_pictures"
_DPI = 180  # of the files; a picture is as wide as matplotlib says, at 96 to the inch


class Page:
    """The namespace of one page, and the blocks of it that have run."""

    def __init__(self, path):
        self.path, self.namespace, self.n_run = path, {"__name__": "__main__"}, 0
        self.blocks = python_blocks(Path(path).read_text(encoding="utf-8"))
        self.folder = tempfile.TemporaryDirectory()

    def run_up_to(self, line):
        """Run the blocks up to the one whose fence is in `line`; return what that one prints, and its value."""
        printed, value = "", None
        while self.n_run < len(self.blocks) and self.blocks[self.n_run].line <= line:
            plt.close("all")
            printed, value = self._run(self.blocks[self.n_run])
            self.n_run += 1
        return printed, value

    def _run(self, block):
        try:
            *statements, last = ast.parse("\n" * block.line + block.code).body
            with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.chdir(self.folder.name):
                exec(compile(ast.Module(statements, []), self.path, "exec"), self.namespace)
                if isinstance(last, ast.Expr):
                    value = eval(compile(ast.Expression(last.value), self.path, "eval"), self.namespace)
                else:
                    value = exec(compile(ast.Module([last], []), self.path, "exec"), self.namespace)
        except Exception as error:
            raise ExtensionError(f"the code at {self.path}:{block.line} fails: {error!r}", error) from error
        return output.getvalue(), value


class Run(SphinxDirective):
    has_content = True
    option_spec: ClassVar = {
        "alt": directives.unchanged,
        "beside": directives.flag,
        "hide-code": directives.flag,
        "wrap": directives.flag,
    }

    def run(self):
        page = self.env.temp_data.get("run_code_page")
        if page is None:
            page = self.env.temp_data["run_code_page"] = Page(self.env.doc2path(self.env.docname))
        printed, value = page.run_up_to(self.lineno)

        output = nodes.container(classes=["run-output"])
        if printed:
            output += nodes.literal_block(printed, printed, language="text")
        pictures = self._pictures(page.n_run)
        output += pictures
        if not pictures and value is not None:
            output += _shown(value)

        block = nodes.container(
            classes=["run", *(f"run-{name}" for name in ("beside", "wrap") if name in self.options)]
        )
        if "hide-code" not in self.options:
            code = "\n".join(self.content)
            block += nodes.literal_block(code, code, language="python")
        if output.children:
            block += output
        return [block]

    def _pictures(self, number):
        """Save the open figures under the source folder and return a node for each."""
        pictures = []
        folder = Path(self.env.srcdir, _FOLDER)
        for n, figure_number in enumerate(plt.get_fignums()):
            figure = plt.figure(figure_number)
            name = f"{self.env.docname.replace('/', '_')}_{number}_{n}.png"
            folder.mkdir(exist_ok=True)
            figure.savefig(folder / name, dpi=_DPI, bbox_inches="tight")
            with open(folder / name, "rb") as file:
                file.seek(16)  # the width, in a PNG
                width = int.from_bytes(file.read(4), "big") * 96 // _DPI
            alt = self.options.get("alt", "What the code above draws")
            pictures.append(nodes.image(uri=f"/{_FOLDER}/{name}", alt=alt, width=f"{width}px"))
        plt.close("all")
        return pictures


def _shown(value):
    """Return a value as a notebook would show it."""
    if hasattr(value, "_repr_html_"):
        html = f'<div class="run-value">{value._repr_html_()}</div>'
        return nodes.raw(html, html, format="html")
    return nodes.literal_block(repr(value), repr(value), language="text")


def setup(app):
    matplotlib.use("Agg")
    os.environ.setdefault("TQDM_DISABLE", "1")
    app.add_directive("run", Run)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
