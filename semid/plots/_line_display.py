"""What the Displays of lines share: `plot`, around the drawing of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from semid.plots._style import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LineDisplay(ABC):
    """A Display whose picture is lines."""

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default None
            Where to draw; None for a new figure.
        **kwargs : dict
            Passed to ``Axes.plot`` for every line, to ``Axes.errorbar`` where lines have error bars.

        Returns
        -------
        self : Display
        """
        ax = axes_for(ax)
        self._draw(ax, kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    @abstractmethod
    def _draw(self, ax, options):
        """Draw on `ax` with the options of `plot`, and keep what is drawn."""
