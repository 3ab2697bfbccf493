"""Displays as SVG inside a page: no file of their own, no fixed size, and text in the page's colour."""

import io
import re
from typing import NamedTuple

import numpy as np

from semid.metrics import prefix_collision_rates
from semid.plots._code_tree import CodeTreeDisplay
from semid.plots._code_usage import CodeUsageDisplay
from semid.plots._redundancy import CodebookRedundancyDisplay
from semid.plots._style import pyplot

_DOTS = 150  # an inch, where a picture has an image
_SIZE = (4.6, 3.5)  # inches: at the width of a phone, text is as large as on paper
_INK = "#010203"  # stands for the colour of the page's text, and is like no other
_MOST_BRANCHES = 20_000  # of the last level of a tree, which are slivers long before
_MOST_BOXES = 300  # of a tree, beyond which they are points of an image instead of shapes
_DEPTH = 3  # levels of a tree
_MOST_NAMES = 5  # codebooks that can be named side by side
_ROOT = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', re.DOTALL)
_NUMBERS = re.compile(r' (?:d|x|y|x1|x2|y1|y2|width|height|transform|points)="[^"]*"')


class Picture(NamedTuple):
    """A picture of a page."""

    title: str
    caption: str
    alt: str
    svg: str  # an element, in which matplotlib has escaped what is text


def pictures_of(items, parts, *, prefix="", redundancy=True):
    """Return the pictures of a mapping; the ids in them begin with `prefix`, so that one page may hold several."""
    codes = items.codes + (items.codes < 0).any(axis=0)  # to have no code is code 0
    sizes = items.sizes if items.sizes_are_known else None
    usage = CodeUsageDisplay.from_codes(codes, sizes)
    pictures = [
        Picture(
            "How evenly codes are used",
            "Items of each code, from the most frequent code to the rarest. Flat lines are good; a line that falls "
            "steeply is a codebook on few of whose codes most items crowd.",
            f"Lines of {len(usage.counts)} codebooks; perplexity "
            + ", ".join(f"{perplexity:.0f}" for perplexity in usage.perplexity)
            + ".",
            svg_of(usage, f"{prefix}usage"),
        )
    ]
    tree = CodeTreeDisplay.from_codes(codes, max_depth=_depth(codes))
    pictures.append(
        Picture(
            "The first codes as a tree",
            "Each box is the items of one code, within the box of the code before it; its height is their number.",
            f"{len(tree.branches[0])} first codes; the largest has {tree.branches[0][0].n_items:,} of "
            f"{tree.n_items:,} items.",
            svg_of(tree, f"{prefix}tree"),
        )
    )
    if redundancy and codes.shape[1] > 1:
        display = CodebookRedundancyDisplay.from_codes(codes, random_state=0)
        pictures.append(
            Picture(
                "What codebooks have in common",
                "Normalised mutual information of each two codebooks: 1 are copies, and chance is not 0.",
                f"A map of {codes.shape[1]} by {codes.shape[1]} codebooks, with a mean of "
                f"{_mean_of_pairs(display.redundancy):.2f}.",
                svg_of(display, f"{prefix}redundancy"),
            )
        )
    return pictures


def svg_of(display, name, **options):
    """Return the picture of a Display as an ``<svg>`` element, whose ids begin with `name`."""
    plt = pyplot()
    colors = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "legend.labelcolor")
    style = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10} | dict.fromkeys(colors, _INK)
    with plt.rc_context(style):
        figure, ax = plt.subplots(figsize=_SIZE, layout="constrained")
        try:
            display.plot(ax, **options)
            if isinstance(display, CodeTreeDisplay):
                _prepare_tree(display)
            if isinstance(display, CodebookRedundancyDisplay) and len(display.redundancy) > _MOST_NAMES:
                ax.tick_params(axis="x", labelrotation=90)
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", dpi=_DOTS, transparent=True, metadata={"Date": None, "Creator": None})
        finally:
            plt.close(figure)
    return _inline(buffer.getvalue(), name)


def _prepare_tree(display):
    """Text inside boxes stands on their colour, whatever that of the page; thousands of boxes are one image."""
    for text in display.text_:
        if text.get_clip_on():
            text.set_color("black")
    if sum(map(len, display.branches)) > _MOST_BOXES:
        for boxes in display.boxes_:
            boxes.set_rasterized(True)


def _inline(text, name):
    """Return the element without the head of a file, a size, and ids that two pictures have alike."""
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = _ROOT.sub(
        r'<svg viewBox="\1" aria-hidden="true" focusable="false" '
        r'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">',
        text,
        count=1,
    )
    text = text.replace('id="', f'id="{name}-').replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    text = _NUMBERS.sub(lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), text)  # of a hundredth of a point
    text = re.sub(r"\s*\n\s*", "\n", text).replace(_INK, "currentColor")
    return text


def _depth(codes):
    """Return how many levels of a tree to draw: one at least."""
    n_branches = len(codes) * (1 - prefix_collision_rates(codes[:, :_DEPTH]))
    return max(1, int(np.count_nonzero(n_branches.round() <= _MOST_BRANCHES)))


def _mean_of_pairs(matrix):
    return float(matrix[np.triu_indices(len(matrix), k=1)].mean())
