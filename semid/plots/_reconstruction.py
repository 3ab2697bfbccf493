"""Figure 1 of the Mixture-of-Codes paper: how much of the embeddings do more codes bring back?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from semid.base._checks import check_integer, check_option
from semid.metrics import reconstruction_r2
from semid.plots._curves import Curve, check_curves, curve_of, draw_curves, draw_legend, repeats
from semid.plots._line_display import LineDisplay
from semid.plots._style import by_name

_WORDS = {"1 - r2": "reconstruction error, 1 - R²", "mse": "reconstruction error, mean squared per feature"}


class ReconstructionDisplay(LineDisplay):
    """Reconstruction error of embeddings against the number of codes per item.

    Figure 1 of Zhang et al., 2024, arXiv:2410.09560v1. The less is left over, the more of the embeddings the codes
    hold; it does not say whether that helps a click model.

    Parameters
    ----------
    curves : dict of str to Curve
        Error of each tokenizer over the number of codes.
    measure : {"1 - r2", "mse"}, default "1 - r2"
        What the errors are: the share of the variance left over (see `semid.metrics.reconstruction_r2`), or the mean
        squared error per feature.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The line of each tokenizer.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.plots import ReconstructionDisplay
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> X = make_items(n_items=300, random_state=0).embeddings
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=16, random_state=0)
    >>> display = ReconstructionDisplay.from_estimator(tokenizer, X, n_codebooks=(1, 2, 3))
    >>> display.curves["ResidualKMeansTokenizer"].x
    array([1., 2., 3.])
    >>> bool(display.curves["ResidualKMeansTokenizer"].mean[2] < 0.5)
    True
    """

    def __init__(self, curves: dict[str, Curve], *, measure: Literal["1 - r2", "mse"] = "1 - r2") -> None:
        self.curves = check_curves(curves)
        self.measure = check_option("measure", measure, tuple(_WORDS))

    @classmethod
    def from_estimator(
        cls,
        tokenizer: BaseEstimator | Mapping[str, BaseEstimator],
        X: ArrayLike,
        *,
        n_codebooks: Sequence[int] = (1, 2, 3, 7),
        random_states: Sequence[int] | None = None,
        X_test: ArrayLike | None = None,
        measure: Literal["1 - r2", "mse"] = "1 - r2",
    ) -> Self:
        """Fit a clone for each number of codebooks and measure its reconstruction.

        Parameters
        ----------
        tokenizer : estimator, or dict of str to estimator
            Tokenizers with a parameter ``n_codebooks``; not fitted themselves.
        X : array-like of shape (n_items, n_features)
            Embeddings to fit on.
        n_codebooks : sequence of int, default (1, 2, 3, 7)
            Numbers of codebooks.
        random_states : sequence of int, default None
            Seeds, one fit for each; None for one fit with the tokenizer's own ``random_state``.
        X_test : array-like of shape (n_items, n_features), default None
            Embeddings to measure on; None for `X`.
        measure : {"1 - r2", "mse"}, default "1 - r2"
            The error; see the class.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        ValueError
            If `n_codebooks` or `random_states` is empty, `measure` unknown, and whatever the tokenizer raises.
        """
        check_option("measure", measure, tuple(_WORDS))
        n_codebooks = _check_numbers(n_codebooks)
        seeds = [{}] if random_states is None else [{"random_state": seed} for seed in random_states]
        if not seeds:
            raise ValueError("random_states must hold at least one seed, got none; pass None for the tokenizer's own.")
        X_test = X if X_test is None else X_test

        def error(template, n, seed):
            fitted = clone(template).set_params(n_codebooks=n, **seed).fit(X)
            return _error(X_test, fitted.inverse_transform(fitted.transform(X_test)), measure)

        return cls.from_values(
            {
                name: (n_codebooks, [[error(template, n, seed) for seed in seeds] for n in n_codebooks])
                for name, template in by_name("tokenizer", tokenizer).items()
            },
            measure=measure,
        )

    @classmethod
    def from_first_codes(
        cls,
        tokenizer: BaseEstimator | Mapping[str, BaseEstimator],
        X: ArrayLike,
        *,
        n_codebooks: Sequence[int] | None = None,
        measure: Literal["1 - r2", "mse"] = "1 - r2",
    ) -> Self:
        """Decode the first code, the first two codes and so on of fitted tokenizers: one fit, all scales.

        For residual codes this is what each level adds. Other codes are learned to be read together, and the first few
        may do worse than as many that were learned for themselves.

        Parameters
        ----------
        tokenizer : estimator, or dict of str to estimator
            Fitted tokenizers whose ``inverse_transform`` takes the first few columns of codes.
        X : array-like of shape (n_items, n_features)
            Embeddings to measure on.
        n_codebooks : sequence of int, default None
            Numbers of codes; None for each from one to all.
        measure : {"1 - r2", "mse"}, default "1 - r2"
            The error; see the class.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        NotFittedError
            If a tokenizer is not fitted.
        ValueError
            If `n_codebooks` is more than a tokenizer has, or `measure` is unknown.
        """
        check_option("measure", measure, tuple(_WORDS))
        values = {}
        for name, fitted in by_name("tokenizer", tokenizer).items():
            check_is_fitted(fitted)
            codes = fitted.transform(X)
            numbers = _check_numbers(range(1, codes.shape[1] + 1) if n_codebooks is None else n_codebooks)
            if max(numbers) > codes.shape[1]:
                raise ValueError(f"n_codebooks must be at most the {codes.shape[1]} of {name}, got {max(numbers)}.")
            values[name] = numbers, [_error(X, fitted.inverse_transform(codes[:, :n]), measure) for n in numbers]
        return cls.from_values(values, measure=measure)

    @classmethod
    def from_values(
        cls, values: Mapping[str, tuple[ArrayLike, ArrayLike]], *, measure: Literal["1 - r2", "mse"] = "1 - r2"
    ) -> Self:
        """Take errors that were measured elsewhere.

        Parameters
        ----------
        values : dict of str to tuple (n_codes, errors)
            Per name, the numbers of codes (n_scales,) and the errors (n_scales,) or (n_scales, n_seeds).
        measure : {"1 - r2", "mse"}, default "1 - r2"
            What the errors are; see the class.

        Returns
        -------
        display : ReconstructionDisplay

        Raises
        ------
        ValueError
            If numbers and errors differ in length, or an error is not finite.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"values must be a dict of name to (n_codes, errors), got {type(values).__name__}.")
        curves = {}
        for name, pair in by_name("values", values).items():
            if len(pair) != 2:
                raise ValueError(f"values[{name!r}] must be a pair (n_codes, errors), got {len(pair)} entries.")
            curves[name] = curve_of(f"values[{name!r}]", *pair)
        return cls(curves, measure=measure)

    def _draw(self, ax, options):
        self.lines_ = draw_curves(ax, self.curves, options)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("codes per item")
        ax.set_ylabel("\n".join(filter(None, [_WORDS[self.measure], repeats(self.curves.values(), "seeds")])))
        draw_legend(ax, len(self.curves))


def _check_numbers(n_codebooks):
    numbers = [check_integer("each of n_codebooks", n, 1) for n in n_codebooks]
    if not numbers:
        raise ValueError("n_codebooks must hold at least one number, got none.")
    return numbers


def _error(X, reconstruction, measure):
    if measure == "mse":
        return float(np.square(np.asarray(X, dtype=np.float64) - reconstruction).mean())
    return 1 - reconstruction_r2(X, reconstruction)
