"""Finite scalar quantization in an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import log, prod
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from semid.base._checks import check_codebook_sizes, check_integer
from semid.base._live_module import resolve_device
from semid.base._typing import RandomState, StrPath
from semid.nn._finite_scalar_quantizer import FiniteScalarQuantizer
from semid.tokenizers._annotations import (
    CodebookSize,
    LearningRate,
    Mixup,
    NCodebooks,
    SeparationWeight,
)
from semid.tokenizers._autoencoder import STOPPING_PARAMETERS, BaseAutoencoderTokenizer

_MOST_LEVELS = 16
_TYPICAL_LEVELS = 6  # of a scalar in the paper's table of recommended levels, which this number reproduces

_CODEBOOK_LOSSES = ("codebook_loss", "commitment_loss")


class FSQTokenizer(BaseAutoencoderTokenizer):
    """Codes without codebooks to learn: each scalar of an autoencoder's latent is rounded to a few levels.

    Finite scalar quantization (Mentzer et al., 2023, arXiv:2309.15505, from memory), with the autoencoder and the start
    of `RQVAETokenizer`. A code counts through the levels of a few scalars: with levels 8, 8 and 4, scalars at levels 2,
    0 and 3 make the code (2·8 + 0)·4 + 3. Nearly every code is in use by construction, and there is no commitment loss
    to weigh; in return the latent is narrow (9 scalars for 3 codes of 256), and less of the embedding is kept than by
    the learned codebooks of `RQVAETokenizer`. The first code starts with the largest principal components.

    Parameters
    ----------
    n_codebooks : int, default 4
        Number of codes per item.
    {codebook_size}
    levels : "auto" or sequence of int, default "auto"
        Levels of the scalars of each code; their product is `codebook_size`. ``"auto"`` factorises each size into
        levels from 2 to 16, as even as can be and about six, as the paper recommends: 256 = 8·8·4, 240 = 8·6·5,
        1000 = 8·5·5·5. A size with a prime factor above 16 has no levels and is refused; those of ``"graded"`` move to
        the nearest that have some.
    {hidden}
    {terms}
    {training}

    Attributes
    ----------
    codebooks_ : list of ndarray of shape (codebook_size, number of scalars), float32
        The grid of points that the codes of each codebook stand for, in the latent space.
    codebook_sizes_ : list of int
        Number of codes per codebook. With ``levels="auto"``, none is larger than the number of distinct items.
    levels_ : list of tuple of int
        Levels of the scalars of each code.
    history_ : dict of ndarray
        Per epoch: ``loss`` and ``reconstruction_loss``, which are one here (of standardised embeddings, means over
        items), ``r2``, ``usage`` and ``perplexity`` (n_epochs, n_codebooks), the share and the effective number of
        codes met; with `validation` also ``validation_r2``. All but the last are as met in training, of
        embeddings that `mixup` has moved: `score` has the R² of the items themselves.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    state_ : dict of ndarray
        The fitted weights by name.

    See Also
    --------
    RQVAETokenizer : Learned codebooks from coarse to fine around the same autoencoder.

    Notes
    -----
    {cost without codebooks}

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import FSQTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> tokenizer = FSQTokenizer(n_codebooks=3, codebook_size=30, hidden_layer_sizes=(32,), max_iter=5, random_state=0)
    >>> tokenizer.fit_transform(items.embeddings).shape
    (500, 3)
    >>> tokenizer.levels_
    [(6, 5), (6, 5), (6, 5)]
    """

    _architecture_parameters = ("codebook_size", "levels", "hidden_layer_sizes")
    _codes_are_nearest = False  # a code is a cell of a grid
    _removed_parameters = STOPPING_PARAMETERS
    # What the training asks of codebooks that learn, and there are none.
    codebook_update = "gradient"
    commitment_weight = 0.0
    assignment = "nearest"

    def __init__(
        self,
        n_codebooks: NCodebooks = 4,
        codebook_size: CodebookSize = 256,
        *,
        levels: Sequence[int] | Literal["auto"] = "auto",
        hidden_layer_sizes: Sequence[int] = (512, 256, 128),
        separation_weight: SeparationWeight = 0.0,
        alignment_weight: float = 0.1,
        max_iter: int = 30,
        batch_size: int = 512,
        learning_rate: LearningRate = 3e-3,
        mixup: Mixup = 0.4,
        validation: float | None = None,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint_dir: StrPath | None = None,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_codebooks = n_codebooks
        self.codebook_size = codebook_size
        self.levels = levels
        self.hidden_layer_sizes = hidden_layer_sizes
        self.separation_weight = separation_weight
        self.alignment_weight = alignment_weight
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.mixup = mixup
        self.validation = validation
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @property
    def levels_(self) -> list[tuple[int, ...]]:
        """Levels of the scalars of each code: list of tuple of int."""
        check_is_fitted(self)
        return self._levels()

    @property
    def codebooks_(self) -> list[np.ndarray]:
        """Grid of each codebook: list of ndarray of shape (codebook_size, number of scalars)."""
        check_is_fitted(self)
        module = self._live.get(self._build_module, self.state_, resolve_device(self.device))
        return [grid.cpu().numpy() for grid in module.quantizer.grids()]

    def align_to(self, X: ArrayLike, codes: ArrayLike, sample_weight: ArrayLike | None = None) -> NoReturn:
        """Raise TypeError: a code is its place in a grid. Relabel the codes themselves, with `align_codes`.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Not read.
        codes : array-like of shape (n_items, n_codebooks)
            Not read.
        sample_weight : array-like of shape (n_items,), default None
            Not read.

        Raises
        ------
        TypeError
            Always.
        """
        self._relabel([])

    def _relabel(self, labels: list[np.ndarray]) -> NoReturn:
        raise TypeError("FSQTokenizer has no code vectors to relabel. Pass its codes to align_codes instead.")

    def _check_latent(self):
        _check_levels(self.levels)

    def _codebook_sizes_for(self, n_distinct):
        wanted = check_codebook_sizes(self.codebook_size, self._n_codebooks(), n_distinct)
        levels = _check_levels(self.levels)
        if levels is not None:
            for size in wanted:
                _check_product(levels, size)
            return wanted
        if not isinstance(self.codebook_size, str):
            for size in wanted:
                _check_factorisable(size)
        return [_nearest_factorisable(max(size, 2), -1) for size in super()._codebook_sizes_for(n_distinct)]

    def _levels(self):
        given = _check_levels(self._architecture["levels"])
        return [given or factorise(size) for size in self.codebook_sizes_]

    def _remedy_of_collapse(self):
        return "Pass a smaller learning_rate or a smaller codebook_size."

    def _latent_width(self):
        return sum(map(len, self._levels()))

    def _build_quantizer(self, dim):
        return FiniteScalarQuantizer(self._levels())

    def _learn(self, module, catalogue, generator, **options):
        super()._learn(module, catalogue, generator, **options)
        self.history_ = {key: values for key, values in self.history_.items() if key not in _CODEBOOK_LOSSES}


def _check_levels(levels):
    """Return `levels` as a tuple of ints, None for "auto"."""
    if isinstance(levels, str) and levels == "auto":
        return None
    if isinstance(levels, str) or not hasattr(levels, "__iter__"):
        raise TypeError(f"levels must be 'auto' or a sequence of integers, got {levels!r}.")
    levels = tuple(check_integer("each of levels", level, 2) for level in levels)
    if not levels:
        raise ValueError("levels must have at least one entry, got none.")
    return levels


def _check_product(levels, size):
    if prod(levels) != size:
        raise ValueError(
            f"levels must multiply to codebook_size={size}, got {levels}, which multiply to {prod(levels)}. "
            f'Pass codebook_size={prod(levels)}, or levels="auto".'
        )


def _check_factorisable(size):
    if not _is_factorisable(size):
        raise ValueError(
            f"codebook_size must be a product of levels from 2 to {_MOST_LEVELS}, got {size}. The nearest sizes that "
            f"are: {_nearest_factorisable(size, -1)} and {_nearest_factorisable(size, 1)}."
        )


@cache
def factorise(size):
    """Return the levels, largest first, whose product is `size`: about six each, and as even as can be."""
    n_scalars = log(size, _TYPICAL_LEVELS)
    return min(_factorisations(size, _MOST_LEVELS), key=lambda levels: (abs(len(levels) - n_scalars), sum(levels)))


def _is_factorisable(size):
    return next(_factorisations(size, _MOST_LEVELS), None) is not None


def _nearest_factorisable(size, step):
    while not _is_factorisable(size):
        size += step
    return size


def _factorisations(size, largest):
    """Yield all falling sequences of ints from 2 to `largest` whose product is `size`."""
    if size == 1:
        yield ()
    for level in range(min(size, largest), 1, -1):
        if size % level == 0:
            for rest in _factorisations(size // level, level):
                yield (level, *rest)
