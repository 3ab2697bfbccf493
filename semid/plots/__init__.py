"""Pictures of codes and of what click models make of them, as Displays in the manner of scikit-learn.

A Display holds data: its class methods compute them (``from_codes``, ``from_estimator``, ...) and ``plot(ax=None)``
draws them, sets ``ax_`` and ``figure_``, and returns the Display. Unlike scikit-learn's, the class methods do not draw,
so that the numbers can be had without matplotlib, which is imported by ``plot`` alone::

    CodeUsageDisplay.from_codes(codes).plot().figure_.savefig("usage.png")
"""

from semid.plots._calibration import CalibrationByCodeDisplay
from semid.plots._code_tree import Branch, CodeTreeDisplay
from semid.plots._code_usage import CodeUsageDisplay
from semid.plots._curves import Curve
from semid.plots._history import HistoryDisplay
from semid.plots._reconstruction import ReconstructionDisplay
from semid.plots._redundancy import CodebookRedundancyDisplay
from semid.plots._scaling import ScalingDisplay
from semid.plots._spectrum import SpectrumDisplay

__all__ = [
    "Branch",
    "CalibrationByCodeDisplay",
    "CodeTreeDisplay",
    "CodeUsageDisplay",
    "CodebookRedundancyDisplay",
    "Curve",
    "HistoryDisplay",
    "ReconstructionDisplay",
    "ScalingDisplay",
    "SpectrumDisplay",
]
