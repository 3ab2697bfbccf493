"""Figure 4 of the Mixture-of-Codes paper: do all dimensions of a representation carry signal?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from semid.metrics import effective_rank, information_abundance, singular_spectrum
from semid.plots._line_display import LineDisplay
from semid.plots._style import SMALL, by_name, line_styles, tidy

_ROUNDING = 1e-6  # share of the largest singular value that float32 cannot tell from 0
_MARGIN = 1.5  # factor


class SpectrumDisplay(LineDisplay):
    """Singular values of representations, from large to small, on a logarithmic axis.

    The higher and flatter, the more dimensions carry signal ("dimension robustness", Definition 3.2 and Figure 4 of
    Zhang et al., 2024, arXiv:2410.09560v1); a line that falls steeply is a representation that has collapsed.

    Parameters
    ----------
    spectra : dict of str to ndarray of shape (n_dimensions,)
        Singular values of each representation in decreasing order.
    information_abundance : dict of str to float
        ``Σσ / max σ`` of each representation; see `semid.metrics.information_abundance`.
    effective_rank : dict of str to float
        See `semid.metrics.effective_rank`.
    normalize : bool, default False
        Whether the spectra are shares of their largest value, which the axis then says.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The line of each representation.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from semid.plots import SpectrumDisplay
    >>> display = SpectrumDisplay.from_representations({"flat": np.diag([2.0, 2.0]), "steep": np.diag([4.0, 1.0])})
    >>> display.spectra["steep"]
    array([4., 1.])
    >>> display.information_abundance["steep"]
    1.25
    """

    def __init__(
        self,
        spectra: dict[str, np.ndarray],
        information_abundance: dict[str, float],
        effective_rank: dict[str, float],
        *,
        normalize: bool = False,
    ) -> None:
        self.spectra = spectra
        self.information_abundance = information_abundance
        self.effective_rank = effective_rank
        self.normalize = normalize

    @classmethod
    def from_representations(
        cls, representations: ArrayLike | Mapping[str, ArrayLike], *, center: bool = False, normalize: bool = False
    ) -> Self:
        """Compute the spectra of arrays.

        Parameters
        ----------
        representations : dict of str to array-like of shape (n_rows, n_dimensions), or one such array
            Representations by name, of items or of impressions.
        center : bool, default False
            Whether to take the mean of each dimension away before.
        normalize : bool, default False
            Whether to divide each spectrum by its largest value, to compare representations of different norms.

        Returns
        -------
        display : SpectrumDisplay
        """
        is_mapping = isinstance(representations, Mapping)
        arrays = by_name("representations", representations if is_mapping else {"representation": representations})
        spectra = {name: singular_spectrum(array, center=center) for name, array in arrays.items()}
        # A diagonal matrix has its diagonal as spectrum: no second decomposition of many rows.
        diagonals = {name: np.diag(spectrum) for name, spectrum in spectra.items()}
        return cls(
            {name: spectrum / spectrum[0] if normalize else spectrum for name, spectrum in spectra.items()},
            {name: information_abundance(diagonal) for name, diagonal in diagonals.items()},
            {name: effective_rank(diagonal) for name, diagonal in diagonals.items()},
            normalize=normalize,
        )

    @classmethod
    def from_estimator(
        cls,
        classifier: BaseEstimator | Mapping[str, BaseEstimator],
        X: pd.DataFrame | ArrayLike,
        *,
        center: bool = False,
        normalize: bool = False,
    ) -> Self:
        """Compute the spectra of what fitted click models make of impressions: ``classifier.representation(X)``.

        Parameters
        ----------
        classifier : click model, Pipeline that ends in one, or dict of str to such
            Fitted.
        X : DataFrame or array-like of shape (n_impressions, n_columns)
            Impressions; a few thousand suffice.
        center : bool, default False
            Whether to take the mean of each dimension away before.
        normalize : bool, default False
            Whether to divide each spectrum by its largest value.

        Returns
        -------
        display : SpectrumDisplay

        Raises
        ------
        TypeError
            If a classifier has no ``representation``.
        """
        classifiers = by_name("classifier", classifier)
        if isinstance(classifier, Pipeline):
            classifiers = by_name("classifier", {type(classifier[-1]).__name__: classifier})
        representations = {name: _representation(model, X) for name, model in classifiers.items()}
        return cls.from_representations(representations, center=center, normalize=normalize)

    def _draw(self, ax, options):
        self.lines_ = {}
        for style, (name, spectrum) in zip(line_styles(len(self.spectra)), self.spectra.items(), strict=True):
            label = f"{name}: {self.information_abundance[name]:.1f} / {self.effective_rank[name]:.1f}"
            dimensions = np.arange(1, len(spectrum) + 1)
            (self.lines_[name],) = ax.plot(dimensions, spectrum, **{"label": label, **style, **options})
        ax.set_yscale("log")
        ax.set_ylim(_limits(self.spectra.values()))
        ax.set_xlabel("dimension, by singular value")
        ax.set_ylabel("singular value / largest" if self.normalize else "singular value")
        title = "information abundance / effective rank"
        ax.legend(title=title, alignment="left", frameon=False, fontsize=SMALL, title_fontsize=SMALL)
        tidy(ax)


def _limits(spectra):
    """Return the ends of an axis for all singular values but those that are rounding, which would dwarf the others."""
    values = np.concatenate([spectrum[spectrum > _ROUNDING * spectrum[0]] for spectrum in spectra])
    return values.min() / _MARGIN, values.max() * _MARGIN


def _representation(model, X):
    if isinstance(model, Pipeline):
        X, model = model[:-1].transform(X) if len(model) > 1 else X, model[-1]
    if not hasattr(model, "representation"):
        raise TypeError(
            f"classifier must have a method representation(X), as the models of semid.ctr, got {model!r}. "
            "Pass the arrays themselves to SpectrumDisplay.from_representations."
        )
    return model.representation(X)
