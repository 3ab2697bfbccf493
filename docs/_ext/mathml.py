"""Formulas as MathML, made by the build: no script, no font and no other host when a page is read."""

from docutils import nodes
from latex2mathml.converter import convert


def inline_formula(translator, node):
    translator.body.append(convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def displayed_formula(translator, node):
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline_formula, None), block_renderers=(displayed_formula, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
