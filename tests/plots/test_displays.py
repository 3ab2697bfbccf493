"""What all Displays have in common."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from semid.plots import (
    CalibrationByCodeDisplay,
    CodebookRedundancyDisplay,
    CodeTreeDisplay,
    CodeUsageDisplay,
    HistoryDisplay,
    ReconstructionDisplay,
    ScalingDisplay,
    SpectrumDisplay,
)
from semid.plots._curves import curve_of
from semid.plots._style import spread

CODES = np.random.default_rng(0).integers(6, size=(200, 3))
DISPLAYS = [
    CalibrationByCodeDisplay.from_predictions(CODES[:, 0] % 2, CODES[:, 1] / 6, CODES[:, 2]),
    CodeTreeDisplay.from_codes(CODES, labels=[f"item {i}" for i in range(200)]),
    CodeUsageDisplay.from_codes(CODES, 6),
    CodebookRedundancyDisplay.from_codes(CODES, random_state=0),
    HistoryDisplay({"loss": [0.5, 0.3], "r2": [0.4, 0.6], "perplexity": [[200, 150], [220, 170]]}),
    ReconstructionDisplay.from_values({"a": ([1, 2, 3], [0.5, 0.3, 0.2]), "b": ([1, 2, 3], [[0.5, 0.4]] * 3)}),
    ScalingDisplay({"a": curve_of("a", [1, 2], [[0.7, 0.71], [0.73, 0.74]])}),
    SpectrumDisplay.from_representations({"a": CODES * 1.0, "b": CODES[:, :2] + 0.5}),
]


def _python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout


def test_without_matplotlib_data_are_computed_and_plot_says_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
from semid.plots import CodeUsageDisplay
display = CodeUsageDisplay.from_codes([[0], [1]])
print(len(display.counts))
try:
    display.plot()
except ImportError as error:
    print(error)
"""
    assert _python(code).splitlines() == ["1", 'plot() needs matplotlib: pip install "semid[plots]".']


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: type(display).__name__)
def test_plot_draws_on_new_axes_or_on_those_given_and_returns_itself(display):
    assert display.plot() is display
    assert display.figure_.axes[0] is display.ax_
    assert display.figure_.get_size_inches().tolist() == [6, 4]
    figure, (left, right) = plt.subplots(1, 2)
    display.plot(right)
    assert display.ax_ is right and display.figure_ is figure
    assert not left.has_data()


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: type(display).__name__)
def test_nothing_is_clipped_at_six_by_four_inches(display):
    figure = display.plot().figure_
    figure.canvas.draw()
    needed = figure.get_tightbbox()
    assert needed.x0 >= -0.01 and needed.y0 >= -0.01
    assert needed.x1 <= 6.01 and needed.y1 <= 4.01


def test_labels_are_spread_no_further_than_they_must():
    np.testing.assert_allclose(spread(np.array([1.0, 5.0]), 1, 10), [1, 5])  # room enough
    np.testing.assert_allclose(spread(np.array([4.0, 4.0, 4.0]), 1, 10), [3, 4, 5])  # around the place they want
    np.testing.assert_allclose(spread(np.array([0.0, 0.0]), 1, 10), [0.5, 1.5])  # within the ends
    np.testing.assert_allclose(spread(np.array([9.9, 10.0]), 1, 10), [8.5, 9.5])
    np.testing.assert_allclose(spread(np.array([5.0, 5.0]), 20, 10), [2.5, 7.5])  # no room: evenly
    assert len(spread(np.array([]), 1, 10)) == 0


@pytest.mark.parametrize("make", [CodeTreeDisplay.from_codes, CodeUsageDisplay.from_codes])
@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros(3, dtype=int), r"codes must have shape \(n_items, n_codebooks\) and not be empty, got \(3,\)"),
        (np.zeros((0, 2), dtype=int), "not be empty"),
        ([[0.5, 1.0]], "codes must be integers, got an array of float64"),
        ([["a", "b"]], "codes must hold numbers, got an array of <U1"),
        ([[0, -1], [0, 1]], r"codes of codebook 1 must lie in \[0, 2\), got -1 in row 0"),
    ],
)
def test_bad_codes_are_refused(make, codes, message):
    with pytest.raises(ValueError, match=message):
        make(codes)
