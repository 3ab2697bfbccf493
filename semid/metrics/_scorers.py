"""Scorers of tokenizers, for the `scoring` of `GridSearchCV`: a fitted estimator and embeddings in, a number out.

An estimator is anything with `transform` to codes and `inverse_transform` back: a tokenizer, or a Pipeline that ends in
one. All are greater for the better, can be pickled, and compared.

None is the collision rate alone, and none should be: random codes collide least. A search for few collisions finds the
tokenizer that ignores the items; a public RQ-VAE that keeps its epoch of fewest collisions keeps the untrained first
one. Collisions may only be a price, beside a score that falls when codes lose the content.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from semid.base._checks import check_number, check_option
from semid.metrics._codes import collision_rate, reconstruction_r2
from semid.metrics._representations import neighbor_overlap


@dataclass(frozen=True)
class R2Scorer:
    """Scores by `reconstruction_r2`: the share of the embeddings' variance that their codes keep.

    What a tokenizer's own `score` says; of a Pipeline, in the units of what goes into it rather than of its last step.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from semid.datasets import make_items
    >>> from semid.metrics import R2Scorer
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=300, random_state=0)
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0)
    >>> search = GridSearchCV(tokenizer, {"n_codebooks": [1, 2, 3]}, scoring=R2Scorer(), cv=3).fit(items.embeddings)
    >>> search.best_params_
    {'n_codebooks': 3}
    """

    def __call__(self, estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the R² of the reconstruction of `X` by the fitted `estimator`; `y` is ignored."""
        return reconstruction_r2(X, estimator.inverse_transform(estimator.transform(X)))


@dataclass(frozen=True)
class NeighborOverlapScorer:
    """Scores by `neighbor_overlap`: the share of the items' nearest neighbours that their codes keep.

    Between the items that are scored, hence on a fold between those of the fold: compare scores on folds of one size.

    Parameters
    ----------
    of : {"reconstruction", "codes"}, default "reconstruction"
        Where neighbours are looked for: among the embeddings that codes stand for, or among the codes themselves by
        Hamming distance, as a model sees them that knows no code vectors. All codes count alike there, the last of a
        residual chain as much as the first, so that more of them can score lower.
    k : int, default 10
        Number of neighbours.
    n_queries : int, default 2000
        Number of items whose neighbours are compared.
    random_state : int, default 0
        Seed of the sample of items: one sample for all candidates of a search.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from semid.datasets import make_items
    >>> from semid.metrics import NeighborOverlapScorer
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=300, random_state=0)
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0)
    >>> search = GridSearchCV(tokenizer, {"n_codebooks": [1, 3]}, scoring=NeighborOverlapScorer(k=5), cv=3)
    >>> search.fit(items.embeddings).best_params_
    {'n_codebooks': 3}
    """

    of: str = "reconstruction"
    k: int = 10
    n_queries: int = 2000
    random_state: int = 0

    def __call__(self, estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the overlap for the rows of `X` and the fitted `estimator`; `y` is ignored."""
        check_option("of", self.of, ("reconstruction", "codes"))
        other = np.asarray(estimator.transform(X))
        if self.of == "reconstruction":
            other = estimator.inverse_transform(other)
        return neighbor_overlap(X, other, k=self.k, n_queries=self.n_queries, random_state=self.random_state)


@dataclass(frozen=True)
class R2MinusCollisionsScorer:
    """Scores by ``R² - penalty · collision_rate(codes, X)``: codes that keep the content and tell items apart.

    Collisions alone are no score, random codes have fewest: the R² is what keeps a search from them. Items of equal
    embeddings do not count as collisions, see `collision_rate`. A fold has fewer items than the catalogue and therefore
    fewer collisions; to score what will be used, fit and score on all items, which is sound as long as there are many
    items per code::

        everything = np.arange(len(X))
        GridSearchCV(tokenizer, grid, scoring=R2MinusCollisionsScorer(), cv=[(everything, everything)])

    Parameters
    ----------
    penalty : float, default 1.0
        What a collision rate of 1 costs, in R²; not negative.

    Examples
    --------
    >>> from semid.datasets import make_items
    >>> from semid.metrics import R2MinusCollisionsScorer
    >>> from semid.tokenizers import RandomTokenizer, ResidualKMeansTokenizer
    >>> X = make_items(n_items=300, random_state=0).embeddings
    >>> score = R2MinusCollisionsScorer()
    >>> kmeans = ResidualKMeansTokenizer(codebook_size=8, random_state=0).fit(X)
    >>> score(kmeans, X) > score(RandomTokenizer(codebook_size=8, random_state=0).fit(X), X)
    True
    """

    penalty: float = 1.0

    def __call__(self, estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Return the score of the fitted `estimator` for the rows of `X`; `y` is ignored."""
        check_number("penalty", self.penalty)
        codes = np.asarray(estimator.transform(X))
        r2 = reconstruction_r2(X, estimator.inverse_transform(codes))
        return r2 - self.penalty * collision_rate(codes, X)
