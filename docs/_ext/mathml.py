"""Formulas as MathML, made by the build: no script, no font and no other host when a page is read."""

import re

from docutils import nodes
from latex2mathml.converter import convert

_NAME = r"<mi>(?:cos|exp|log|max|min|tanh)</mi>"
_THIN = '<mspace width="0.167em" />'


def formula(latex, display):
    """Return a formula as MathML, with the thin spaces that TeX has around the name of a function."""
    mathml = convert(latex, display=display)
    mathml = re.sub(rf"(</m(?:i|n|sub|sup|row)>)(?={_NAME})", rf"\1{_THIN}", mathml)
    return re.sub(rf"({_NAME})(?=<m(?:i|n|sub|sup|row|frac)>)", rf"\1{_THIN}", mathml)


def inline_formula(translator, node):
    translator.body.append(formula(node.astext(), display="inline"))
    raise nodes.SkipNode


def displayed_formula(translator, node):
    translator.body.append(f'<div class="math">{formula(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline_formula, None), block_renderers=(displayed_formula, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
