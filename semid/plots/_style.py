"""What all pictures share: matplotlib on first use, one size, colours that colour-blind readers tell apart."""

from collections.abc import Mapping

import numpy as np
from sklearn.isotonic import isotonic_regression

# Okabe & Ito's palette, from memory, without its yellow, which white paper swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "0.45"
SMALL = 8  # points, for legends and for text inside a picture

_FIGURE_SIZE = (6, 4)  # inches


def pyplot():
    """Return ``matplotlib.pyplot``, or say what to install."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('plot() needs matplotlib: pip install "semid[plots]".') from error
    return plt


def axes_for(ax):
    """Return `ax`, or the axes of a new figure on which labels are never clipped."""
    plt = pyplot()
    return plt.subplots(figsize=_FIGURE_SIZE, layout="constrained")[1] if ax is None else ax


def line_styles(n_lines):
    """Return color and dashes for each of `n_lines` lines of different things; dashes tell apart those of one color."""
    dashes = ("-", "--", ":", "-.")
    return [
        {"color": COLORS[i % len(COLORS)], "linestyle": dashes[i // len(COLORS) % len(dashes)]} for i in range(n_lines)
    ]


def ordered_colors(n_colors):
    """Return `n_colors` colors from dark to light, for things that have an order, such as codebooks."""
    pyplot()
    from matplotlib import colormaps

    # Up to where viridis is still seen as a thin line on white.
    return [colormaps["viridis"](0.85 * i / max(n_colors - 1, 1)) for i in range(n_colors)]


def tidy(ax):
    """Take away the frame where it bounds nothing."""
    ax.spines[["top", "right"]].set_visible(False)


def spread(wanted, distance, end):
    """Return places for the middles of labels of height `distance`, near those `wanted` and in their increasing order.

    The labels lie within [0, end] and, where there is room, not on one another.
    """
    if len(wanted) == 0:
        return wanted
    # Of places less their rank times the distance only the order is left to keep: isotonic regression.
    distance = min(distance, end / len(wanted))
    ranks = distance * (np.arange(len(wanted)) + 0.5)
    return ranks + isotonic_regression(wanted - ranks, y_min=0, y_max=end - distance * len(wanted))


def by_name(parameter, value):
    """Return a dict of one or several things by name, from a mapping or from the thing alone."""
    if not isinstance(value, Mapping):
        return {type(value).__name__: value}
    if not value:
        raise ValueError(f"{parameter} must hold at least one entry, got an empty dict.")
    return {str(name): entry for name, entry in value.items()}
