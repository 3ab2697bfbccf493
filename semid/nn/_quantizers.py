"""Codebooks, alone, in a row (residual) and side by side (parallel).

Letters: B rows, D width of the latent, N codebooks, K codes in a codebook, d width of a code vector.

Two things that share a value but not a gradient have two names here: ``code_vectors`` is what the codebooks hold
(its gradient goes to them), ``straight_through`` is what a decoder sees (its gradient goes to the encoder, scale 1).
"""

from math import lcm
from typing import NamedTuple

import torch
from torch import Tensor, nn

from semid.nn._beam_search import SeparableCosts, SumCosts, products_of_code_vectors
from semid.nn._half_products import can_prove, proven_nearest
from semid.nn._joint_search import JointSearch
from semid.nn._kmeans import BLOCK, argmin, kmeans


class QuantizerOutput(NamedTuple):
    decoder_input: Tensor  # (B, D), straight-through: the gradient reaches z once, with scale 1
    quantized: Tensor  # (B, D), the latent that the codes stand for; with the same gradient
    codes: Tensor  # (B, N)
    codebook_loss: Tensor  # (B,), mean squared distance over a code vector, summed over codebooks; moves the codebooks
    commitment_loss: Tensor  # (B,), the same number; moves the encoder
    inputs: tuple[Tensor, ...]  # N tensors (B, d): what each codebook quantized


class CertainCodes(NamedTuple):
    codes: Tensor  # (B, N)
    certain: Tensor  # (B,) bool, False where rounding could have decided


class Codebook(nn.Module):
    """K code vectors of width d; quantizes a row to the nearest of them.

    A code may have a price that is added to half its squared distance, so that it is chosen less often: balanced
    training finds prices (see `update_prices`), elsewhere they are zero.

    Shape: (B, d) → codes (B,)
    """

    def __init__(self, size, dim, *, learnable=False):
        super().__init__()
        self.code_vectors = nn.Parameter(torch.zeros(size, dim), requires_grad=learnable)
        self.register_buffer("prices", torch.zeros(size))

    def __len__(self):
        return len(self.code_vectors)

    def forward(self, x):
        with torch.no_grad():
            return argmin(self.scores(x))

    def nearest(self, x, tolerance):
        """Return the codes of `x`, and where no other is within `tolerance` of |x|² plus the largest |e|².

        `tolerance` is a number, or a column (B, 1) of them. Code vectors closer to one another than that count as one:
        the first of them is the code.
        """
        norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        margins = tolerance * (norms.square() + self.largest_norm())  # (B, 1)
        if not can_prove(x, len(self)):
            return self._nearest(x, margins)
        codes, certain = proven_nearest(x, norms.squeeze(1), self.code_vectors, self.offsets(), margins.squeeze(1))
        others = certain.logical_not().nonzero().squeeze(1)
        if len(others):
            codes[others], certain[others] = self._nearest(x[others], margins[others])
        return codes, certain

    def _nearest(self, x, margins):
        scores = self.scores(x)
        within = scores <= scores.amin(1, keepdim=True) + margins
        return within.to(torch.uint8).argmax(1), within.sum(1) == 1

    @torch.no_grad()
    def initialize(self, x, weights, generator, max_iter, on_iteration=None):
        """Set the code vectors to the k-means centers of all of `x`; return the result."""
        result = kmeans(x, weights, len(self), max_iter=max_iter, generator=generator, on_iteration=on_iteration)
        self.code_vectors.copy_(result.centers)
        return result

    @torch.no_grad()
    def permute(self, order):
        """Give the code vector of code ``order[k]`` the code k."""
        self.code_vectors.copy_(self.code_vectors[order])
        self.prices.copy_(self.prices[order])

    def scores(self, x):
        """Half the squared distance to each code vector plus its price, less half of |x|²: (B, K)."""
        return torch.addmm(self.offsets(), x, self.code_vectors.T, alpha=-1)

    def offsets(self):
        return self.code_vectors.square().sum(1) / 2 + self.prices

    def largest_norm(self):
        return self.code_vectors.square().sum(1).max()


class ResidualQuantizer(nn.Module):
    """N codebooks in a row, each quantizing what the ones before it left over.

    Lee et al., 2022, arXiv:2203.01941, section 3.1 (from memory). The latent is approximated by the SUM of the
    code vectors. With a `beam_size` above 1, `encode` looks for the codes jointly.
    """

    def __init__(self, sizes, dim, *, learnable=False, beam_size=1):
        super().__init__()
        self.sizes = list(sizes)
        self.beam_size = beam_size
        self.codebooks = nn.ModuleList(Codebook(size, dim, learnable=learnable) for size in sizes)

    def forward(self, z):
        residual, total = z, 0.0
        codes, inputs, losses = [], [], []
        for codebook in self.codebooks:
            code = codebook(residual)
            code_vectors = codebook.code_vectors[code]
            losses.append(_losses(residual, code_vectors))
            codes.append(code)
            inputs.append(residual.detach())
            total = total + code_vectors.detach()
            # Detached, so that every level's commitment loss reaches the encoder.
            residual = residual - code_vectors.detach()
        codebook_loss, commitment_loss = map(sum, zip(*losses, strict=True))
        quantized = straight_through(z, total)
        return QuantizerOutput(
            quantized, quantized, torch.stack(codes, 1), codebook_loss, commitment_loss, tuple(inputs)
        )

    def encode(self, z, tolerance):
        if self.beam_size > 1:
            beam = self.joint_search().beam(z, self.beam_size, tolerance)
            return CertainCodes(beam.codes[:, 0], beam.certain)
        residual, codes, certain = z, [], torch.ones(len(z), dtype=torch.bool, device=z.device)
        for n, codebook in enumerate(self.codebooks):
            if n > 0:
                residual = residual - self.codebooks[n - 1].code_vectors.index_select(0, codes[-1])
            code, sure = codebook.nearest(residual, tolerance)
            codes.append(code)
            certain &= sure
        return CertainCodes(torch.stack(codes, 1), certain)

    def joint_search(self):
        """Return the `JointSearch` for the nearest sums of code vectors."""
        codebooks = [codebook.code_vectors for codebook in self.codebooks]
        prices = [codebook.prices for codebook in self.codebooks]
        gram = products_of_code_vectors(codebooks)
        return JointSearch(self.codebooks, lambda z: [z], lambda blocks: SumCosts(blocks[0], codebooks, prices, gram))

    def squared_norms(self, z):
        """Return the squared norms (B,) that the scores of `candidates` are less of: half of them."""
        return z.square().sum(1)

    def decode(self, codes):
        # Not strict: the first codes alone are a coarser reconstruction.
        return sum(book.code_vectors[code] for book, code in zip(self.codebooks, codes.T, strict=False))

    @torch.no_grad()
    def set_code_vectors(self, code_vectors):
        for codebook, vectors in zip(self.codebooks, code_vectors, strict=True):
            codebook.code_vectors.copy_(vectors)

    @torch.no_grad()
    def initialize(self, z, weights, generator, max_iter, on_iteration=None, *, overwrite=False):
        """K-means on all of `z`, level by level; returns one `KMeansResult` per codebook.

        With `overwrite`, `z` holds what is left over afterwards, and no copy of it is made.
        """
        residual, results = z if overwrite else z.clone(), []
        for codebook in self.codebooks:
            results.append(codebook.initialize(residual, weights, generator, max_iter, on_iteration))
            # Block by block and in place: a catalogue may fill most of the memory that a fit is allowed.
            for rows, labels in zip(residual.split(BLOCK), results[-1].labels.split(BLOCK), strict=True):
                rows -= codebook.code_vectors[labels]
        return results


class CopiedCodeQuantizer(ResidualQuantizer):
    """One codebook whose code is given `n_copies` times: the "Multi-Embedding" of arXiv:2410.09560v1."""

    def __init__(self, size, n_copies, dim, **options):
        super().__init__([size], dim, **options)
        self.n_copies = n_copies

    def encode(self, z, tolerance):
        codes, certain = super().encode(z, tolerance)
        return CertainCodes(codes.expand(-1, self.n_copies), certain)

    def joint_search(self):
        return super().joint_search().with_copies(self.n_copies)

    def decode(self, codes):
        return super().decode(codes[:, :1])


class ParallelQuantizer(nn.Module):
    """N independent codebooks side by side; the latent is approximated by the MEAN of their code vectors.

    The multi-codebook quantizer of Mixture-of-Codes (Zhang et al., 2024, arXiv:2410.09560v1). With a
    `projection_dim`, each codebook quantizes a linear projection of its own of the latent, and its code vectors are
    projected back before the mean; without, all of them quantize the latent itself. Without `average`, a decoder
    gets the N vectors side by side, (B, N, D).
    """

    def __init__(
        self,
        sizes,
        dim,
        *,
        projection_dim=None,
        learnable=False,
        average=True,
    ):
        super().__init__()
        self.sizes = list(sizes)
        self.average = average
        width = dim if projection_dim is None else projection_dim
        self.codebooks = nn.ModuleList(Codebook(size, width, learnable=learnable) for size in sizes)
        if projection_dim is None:
            self.down = self.up = nn.ModuleList(nn.Identity() for _ in sizes)
        else:
            self.down = nn.ModuleList(nn.Linear(dim, width, bias=False) for _ in sizes)
            self.up = nn.ModuleList(nn.Linear(width, dim, bias=False) for _ in sizes)
            self._deal_out_dimensions()

    @torch.no_grad()
    def _deal_out_dimensions(self):
        """Give each codebook every N-th dimension of the latent, as cards are dealt, again and again if they run out.

        Projections that start at random all find the same leading dimensions, and their codebooks become copies.
        """
        n_codebooks, (width, dim) = len(self.codebooks), self.down[0].weight.shape
        for n, (down, up) in enumerate(zip(self.down, self.up, strict=True)):
            cards = n + n_codebooks * torch.arange(width)
            # Where every N-th card comes back to the same dimension, go on with the next one: none is dealt twice.
            down.weight.copy_(torch.eye(dim)[(cards + cards // lcm(n_codebooks, dim)) % dim])
            up.weight.copy_(down.weight.T)

    def forward(self, z):
        codes, inputs, parts, losses = [], [], [], []
        for codebook, down, up in zip(self.codebooks, self.down, self.up, strict=True):
            x = down(z)
            code = codebook(x)
            code_vectors = codebook.code_vectors[code]
            losses.append(_losses(x, code_vectors))
            codes.append(code)
            inputs.append(x.detach())
            parts.append(up(straight_through(x, code_vectors.detach())))
        quantized = sum(parts) / len(parts)
        codebook_loss, commitment_loss = map(sum, zip(*losses, strict=True))
        return QuantizerOutput(
            quantized if self.average else torch.stack(parts, 1),
            quantized,
            torch.stack(codes, 1),
            codebook_loss,
            commitment_loss,
            tuple(inputs),
        )

    def encode(self, z, tolerance):
        pairs = [book.nearest(down(z), tolerance) for book, down in zip(self.codebooks, self.down, strict=True)]
        codes, certain = zip(*pairs, strict=True)
        return CertainCodes(torch.stack(codes, 1), torch.stack(certain).all(0))

    def joint_search(self):
        """Return the `JointSearch` for the codes of smallest total distance in the projections."""
        return separable_search(self.codebooks, lambda z: [down(z) for down in self.down])

    def squared_norms(self, z):
        """Return the squared norms (B,) of all projections, of which the scores of `candidates` lack half."""
        return sum(down(z).square().sum(1) for down in self.down)

    def decode(self, codes):
        # Not strict: the first codes alone are a coarser reconstruction.
        parts = zip(self.codebooks, self.up, codes.T, strict=False)
        parts = [up(book.code_vectors[code]) for book, up, code in parts]
        return sum(parts) / len(parts) if self.average else torch.stack(parts, 1)

    @torch.no_grad()
    def initialize(self, z, weights, generator, max_iter, on_iteration=None):
        """K-means of each projection of all of `z`, then the way back by least squares; one `KMeansResult` each."""
        results = [
            book.initialize(down(z), weights, generator, max_iter, on_iteration)
            for book, down in zip(self.codebooks, self.down, strict=True)
        ]
        if isinstance(self.up[0], nn.Linear):
            parts = [book.code_vectors[r.labels] for book, r in zip(self.codebooks, results, strict=True)]
            self._fit_way_back(torch.cat(parts, 1) / len(parts), z, weights)
        return results

    def _fit_way_back(self, parts, z, weights, ridge=1e-3):
        """Solve for the `up` projections that map the code vectors `parts` (n, N·d) best onto `z` (n, D)."""
        weighted = parts * weights[:, None]
        gram = weighted.T @ parts
        gram += ridge * gram.diagonal().mean().clamp(min=1e-30) * torch.eye(len(gram)).to(gram)
        solution = torch.linalg.solve(gram, weighted.T @ z)  # (N·d, D)
        for up, block in zip(self.up, solution.chunk(len(self.up)), strict=True):
            up.weight.copy_(block.T)


def separable_search(codebooks, blocks_of):
    """Return the `JointSearch` of codebooks side by side, each of which scores its own of ``blocks_of(z)``."""
    return JointSearch(
        codebooks,
        blocks_of,
        lambda blocks: SeparableCosts([book.scores(block) for book, block in zip(codebooks, blocks, strict=True)]),
    )


def _losses(x, code_vectors):
    """Return the codebook loss, which moves the code vectors, and the commitment loss, which moves `x`; both (B,)."""
    codebook_loss = (x.detach() - code_vectors).square().mean(1)
    commitment_loss = (x - code_vectors.detach()).square().mean(1)
    return codebook_loss, commitment_loss


def straight_through(z, code_vectors):
    """The value of `code_vectors` with the gradient of `z` (Bengio et al., 2013, arXiv:1308.3432)."""
    return z + (code_vectors - z).detach()
