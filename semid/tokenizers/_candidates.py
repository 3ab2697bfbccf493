"""The best few rows of codes of an item, not only the best one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from semid.base._all_or_nothing import on_snapshot
from semid.base._checks import check_integer
from semid.base._live_module import resolve_device

BLOCK = 512  # rows that are placed, decoded or asked for codes at once
_ENCODE_ROWS = 128
_BEAM_NUMBERS = 2**17  # costs in float64 held at once: 1 MB, of which a search has about ten copies
_FLOAT64_TIE = 1e-9  # wide enough for a step per place in a list of candidates to exceed rounding


class CodeCandidates(NamedTuple):
    """What `candidates` of a tokenizer returns: the nearest few rows of codes of each item.

    Parameters
    ----------
    codes : ndarray of shape (n_items, k, n_codebooks), int64
        Nearest first.
    distances : ndarray of shape (n_items, k), float64
        Squared distance of each from the item, where the tokenizer quantizes; see `candidates`.

    Examples
    --------
    >>> import numpy as np
    >>> from semid.tokenizers import ParallelKMeansTokenizer
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> tokenizer = ParallelKMeansTokenizer(n_codebooks=1, codebook_size=2, random_state=0).fit(X)
    >>> codes, distances = tokenizer.candidates(X, 2)
    >>> bool((codes[:, 0] == tokenizer.transform(X)).all()), distances.shape
    (True, (4, 2))
    """

    codes: np.ndarray
    distances: np.ndarray


def gives_candidates(tokenizer):
    """Return whether the codes of `tokenizer` are the nearest in some space, so that a second nearest exists."""
    return bool(getattr(tokenizer, "_codes_are_nearest", False))


class GivesCandidates:
    """Mixin: the nearest few codes of an item, of tokenizers whose codes are the nearest."""

    @available_if(gives_candidates)
    @on_snapshot
    def candidates(self: Any, X: ArrayLike, k: int) -> CodeCandidates:
        """Return the k nearest rows of codes of each item, for those who resolve collisions themselves.

        A beam search in float64. Exact for codebooks side by side, whose first candidate is what `transform` returns.
        Of a residual chain it finds what can be reached through k beginnings, or ``beam_size`` if that is more: its
        first candidate may be nearer than the codes of `transform`, which follows fewer.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings, of items seen in `fit` or new ones.
        k : int
            Number of candidates; fewer come back where there are fewer rows of codes.

        Returns
        -------
        candidates : CodeCandidates
            A named tuple: ``codes`` of shape (n_items, k, n_codebooks), int64, the nearest first, and ``distances`` of
            shape (n_items, k), float64, in increasing order: the squared distance between the item and the code vectors
            where the tokenizer quantizes (the latent, or standardised embeddings without an encoder), summed over
            codebooks side by side. Twice the prices of ``assignment="sinkhorn"`` are in it, as in `transform`.

        Raises
        ------
        NotFittedError
            If the tokenizer is not fitted.
        ValueError
            If `k` is not a positive integer, if `X` holds NaN or infinity, or is not as wide as in `fit`.
        """
        check_is_fitted(self)
        check_integer("k", k, 1)
        X = self._check_embeddings(X, reset=False)
        codes, distances = [], []
        for beam, squared_norms in NearestCodes(self).beams(X, max(k, self._architecture.get("beam_size", 1))):
            codes.append(beam.codes[:, :k].cpu().numpy())
            distances.append((squared_norms[:, None] + 2 * beam.scores[:, :k]).cpu().numpy())
        return CodeCandidates(np.concatenate(codes), np.concatenate(distances))


def nearest_codes(tokenizer, X, n_candidates):
    """Return what `NearestCodes` finds for each item alone."""
    return NearestCodes(tokenizer).of(X, n_candidates)


class NearestCodes:
    """Finds the best rows of codes of items of a fitted tokenizer, and how much farther they are than the best.

    A beam search in float64, of which nothing depends on the other items. Exact for codebooks side by side; of a
    residual chain, it finds what can be reached through `n_candidates` beginnings. Fewer come back where fewer exist.
    """

    def __init__(self, tokenizer):
        self._device = resolve_device(tokenizer.device)
        self._module = tokenizer._live.get(tokenizer._build_module, tokenizer.state_, self._device, torch.float64)
        with torch.inference_mode():
            self._search = self._module.quantizer.joint_search()

    @property
    def n_threads(self):
        """Number of threads that may search at once."""
        return torch.get_num_threads() if self._device.type == "cpu" else 1

    def of(self, X, n_candidates):
        """Look for those of each item alone.

        Returns
        -------
        codes : ndarray of shape (n_items, n_candidates, n_codebooks), int64
            Best first.
        regrets : ndarray of shape (n_items, n_candidates), float64
            Squared distance in the space of the quantizer, less that of the best; for codebooks side by side, summed
            over them. Prices of a balanced codebook count as in `transform`.
        """
        codes, regrets = [], []
        for beam, _ in self.beams(X, n_candidates):
            codes.append(beam.codes.cpu().numpy())
            regrets.append(_regrets(beam.scores))
        return np.concatenate(codes), np.concatenate(regrets)

    def of_close_items(self, X, n_candidates):
        """Look for those of items that lie close together at once, or return None where that would take no longer.

        Returns
        -------
        codes : ndarray of shape (n_different, n_codebooks), int64
            All that are a candidate of some item.
        numbers : ndarray of shape (n_items, n_candidates), int64
            Which of `codes` each item's are, best first.
        regrets : ndarray of shape (n_items, n_candidates), float64
            As of `of`.
        """
        with torch.inference_mode():
            found = self._search.shared_beam(self._latent(X), n_candidates, _FLOAT64_TIE)
        if found is None:
            return None
        return found.beginnings.cpu().numpy(), found.kept.cpu().numpy(), _regrets(found.scores)

    def beams(self, X, n_candidates):
        """Yield the `Beam` of some items after the other, and the squared norms (B,) of what is quantized of them."""
        for start in range(0, len(X), _ENCODE_ROWS):
            with torch.inference_mode():
                z = self._latent(X[start : start + _ENCODE_ROWS])
                beam = self._search.beam(z, n_candidates, _FLOAT64_TIE, n_numbers=_BEAM_NUMBERS)
                squared_norms = self._module.quantizer.squared_norms(z)
            yield beam, squared_norms

    def _latent(self, X):
        x = torch.tensor(np.asarray(X), dtype=torch.float64, device=self._device)
        return self._module.encoder(self._module.standardize(x))


def _regrets(scores):
    return 2 * (scores - scores[:, :1]).cpu().numpy()
