"""No windows, and no figures left open."""

import matplotlib
import pytest


@pytest.fixture(autouse=True)
def figures_are_closed():
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
