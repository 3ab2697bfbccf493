"""The Python blocks of a Markdown page, in order, each with the output below it.

They are what the pages' pictures are made of, and what the tests run.
"""

import re
from typing import NamedTuple

NOT_RUN = "<!-- not run -->"  # on the line before a block: too heavy, or a picture of what not to do
_FENCE = re.compile(
    rf"^(?P<skip>{re.escape(NOT_RUN)}\n)?(?P<fence>```+)(?:python|\{{run\}})\n(?P<body>.*?)^(?P=fence)$"
    r"(?:\n+(?:\{[^}\n]*\}\n)?```text\n(?P<output>.*?)^```$)?",
    flags=re.DOTALL | re.MULTILINE,
)
_OPTIONS = re.compile(r"\A(?::[\w-]+:.*\n)*\n?")


class CodeBlock(NamedTuple):
    line: int  # of the opening fence, from 1
    code: str
    output: str | None  # what the page shows that it prints


def python_blocks(text):
    """Return the blocks of a page that run: fences of ``python`` and of the directive ``{run}``."""
    return [
        CodeBlock(
            text.count("\n", 0, match.start("fence")) + 1,
            _OPTIONS.sub("", match["body"], count=1),
            match["output"],
        )
        for match in _FENCE.finditer(text)
        if match["skip"] is None
    ]
