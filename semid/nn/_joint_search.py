"""The best codes of a row over all codebooks of a quantizer.

Letters: B rows, W beam size, N codebooks.
"""

import torch

from semid.nn._beam_search import Beam, beam_search
from semid.nn._shared_beam_search import shared_beam_search

_BEAM_NUMBERS = 2**21  # costs held at once, so that they stay near the cache


class JointSearch:
    """A search with all that does not depend on the rows computed once, for code vectors that stay as they are.

    Parameters
    ----------
    codebooks : list of Codebook
    blocks_of : callable
        From rows z (B, D) to a list of tensors of B rows, what costs are computed of.
    costs_of : callable
        From such a list to `SumCosts` or `SeparableCosts`.
    n_copies : int, default 1
        How often the one code of a row is given.
    """

    def __init__(self, codebooks, blocks_of, costs_of, n_copies=1):
        self.codebooks, self.blocks_of, self.costs_of, self.n_copies = codebooks, blocks_of, costs_of, n_copies
        self._reach = sum(codebook.largest_norm() for codebook in codebooks)
        self._largest = max(map(len, codebooks))

    def with_copies(self, n_copies):
        return JointSearch(self.codebooks, self.blocks_of, self.costs_of, n_copies)

    def beam(self, z, beam_size, tolerance, n_numbers=_BEAM_NUMBERS):
        """Return the best codes of `z` (B, D) that a beam search finds, nearest first; see `Beam`.

        `tolerance` is a share of the squared norms. Holds the costs of about `n_numbers` beginnings at once.
        """
        blocks, doubt = self.blocks_of(z), tolerance * (z.square().sum(1) + self._reach)
        beams, n_rows = [], max(1, n_numbers // (beam_size * self._largest))
        for *some, doubt_of_some in zip(*(block.split(n_rows) for block in (*blocks, doubt)), strict=True):
            beams.append(beam_search(self.costs_of(some), len(self.codebooks), beam_size, doubt_of_some))
        codes, scores, certain = map(torch.cat, zip(*beams, strict=True))
        return Beam(codes.repeat(1, 1, self.n_copies), scores, certain)

    def shared_beam(self, z, beam_size, tolerance):
        """Return the same as `SharedBeams` for rows that lie close together, or None; see `shared_beam_search`."""
        costs = self.costs_of(self.blocks_of(z))
        beams = shared_beam_search(costs, beam_size, tolerance * (z.square().sum(1) + self._reach))
        return beams and beams._replace(beginnings=beams.beginnings.repeat(1, self.n_copies))
