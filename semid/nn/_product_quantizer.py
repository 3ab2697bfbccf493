"""Product quantization: a codebook for each block of coordinates, after a rotation that suits the blocks.

Letters: B or n rows, D width of the latent, N codebooks.
"""

from math import log2

import torch
import torch.nn.functional as F
from torch import nn

from semid.nn._kmeans import kmeans
from semid.nn._quantizers import CertainCodes, Codebook, separable_search

# The rotation is learned on this many principal components first, where a round costs a fraction and finds the better
# optimum; a few rounds on all of them follow.
_LEADING = 128
_FULL_ROUNDS = 10


class ProductQuantizer(nn.Module):
    """N codebooks, each for a block of the rotated coordinates; the blocks are as equal as `torch.tensor_split` makes.

    Jégou, Douze & Schmid, 2011, "Product quantization for nearest neighbor search"; rotations of Ge, He, Ke & Sun,
    2013, "Optimized product quantization for approximate nearest neighbor search" (both from memory). `rotation` is
    None, ``"pca_balanced"`` (section 3.2: principal components dealt out so that blocks are worth the same) or
    ``"opq"`` (section 3.1: that start, then codebooks and rotation in turn).

    A block of width zero, where there are more codebooks than coordinates, has one code.

    Shape: (B, D) → codes (B, N)
    """

    def __init__(self, sizes, dim, *, rotation=None):
        super().__init__()
        self.rotation_kind = rotation
        self.sizes = list(sizes)
        self.widths = block_widths(dim, len(self.sizes))
        self.codebooks = nn.ModuleList(
            Codebook(size, width) for size, width in zip(self.sizes, self.widths, strict=True)
        )
        # x @ rotation are the rotated coordinates.
        self.register_buffer("rotation", None if rotation is None else torch.eye(dim))

    def encode(self, z, tolerance):
        norms = z.square().sum(1, keepdim=True).sqrt()
        pairs = []
        for codebook, block in zip(self.codebooks, self._blocks(z), strict=True):
            # A rotation rounds in proportion to the whole row, of which a block may be a tiny part.
            largest = codebook.code_vectors.square().sum(1).max().sqrt().clamp(min=1e-30)
            pairs.append(codebook.nearest(block, tolerance * (norms / largest).clamp(min=1)))
        codes, certain = zip(*pairs, strict=True)
        return CertainCodes(torch.stack(codes, 1), torch.stack(certain).all(0))

    def decode(self, codes):
        # Not strict: the first codes alone are a coarser reconstruction; the other blocks stay at their mean.
        parts = [book.code_vectors[code] for book, code in zip(self.codebooks, codes.T, strict=False)]
        parts = torch.cat(parts, 1)
        return self._rotate_back(F.pad(parts, (0, sum(self.widths) - parts.shape[1])))

    def joint_search(self):
        """Return the `JointSearch` for the codes of smallest total distance."""
        return separable_search(self.codebooks, self._blocks)

    def squared_norms(self, z):
        """Return the squared norms (B,) of all blocks, of which the scores of `candidates` lack half."""
        return sum(block.square().sum(1) for block in self._blocks(z))

    @torch.no_grad()
    def initialize(self, z, weights, generator, max_iter, on_iteration=None):
        """Learn the rotation, then k-means of each block of all of `z`; returns one `KMeansResult` per codebook.

        The inertias of a block count what the blocks before it left and all of those after it, as in a residual chain.
        """
        centers = [None] * len(self.sizes)
        if self.rotation_kind is not None:
            rotation, centers = learn_rotation(
                z, weights, self.sizes, generator, max_iter if self.rotation_kind == "opq" else 0
            )
            self.rotation.copy_(rotation)
        results, rest = [], _inertia(z, weights)
        for codebook, block, start in zip(self.codebooks, self._blocks(z), centers, strict=True):
            rest -= _inertia(block, weights)
            result = kmeans(
                block.contiguous(),
                weights,
                len(codebook),
                max_iter=max_iter,
                generator=generator,
                centers=start,
                on_iteration=_with_rest(on_iteration, rest),
            )
            codebook.code_vectors.copy_(result.centers)
            results.append(result._replace(inertias=[inertia + rest for inertia in result.inertias]))
            rest += result.inertias[-1]
        return results

    def _blocks(self, z):
        rotated = z if self.rotation is None else z @ self.rotation
        return rotated.split(self.widths, dim=1)

    def _rotate_back(self, rotated):
        return rotated if self.rotation is None else rotated @ self.rotation.T


def learn_rotation(z, weights, sizes, generator, n_rounds):
    """Return an orthogonal matrix (D, D) whose columns are the coordinates to cut into blocks, and centers to start at.

    Without rounds, these are the principal components of the centered rows `z` (n, D), dealt out to the blocks, and no
    centers; else what `optimize_rotation` makes of them.
    """
    variances, components = torch.linalg.eigh(z.T @ (z * (weights / weights.sum())[:, None]))
    variances, components = variances.flip(0), components.flip(1)
    n_leading = min(len(variances), max(_LEADING, len(sizes)))
    leading, others = components[:, :n_leading], components[:, n_leading:]
    rotation = torch.eye(n_leading).to(z)[:, torch.cat(deal_components(variances[:n_leading], sizes))]
    if n_rounds == 0:
        return _share_out(leading @ rotation, others, sizes), [None] * len(sizes)

    rotation, centers = optimize_rotation(z @ leading, weights, sizes, rotation, generator, n_rounds)
    if others.shape[1] == 0:
        return leading @ rotation, centers
    rotation = _share_out(leading @ rotation, others, sizes)
    widths = block_widths(len(rotation), len(sizes))
    centers = [F.pad(center, (0, width - center.shape[1])) for center, width in zip(centers, widths, strict=True)]
    return optimize_rotation(z, weights, sizes, rotation, generator, _FULL_ROUNDS, centers)


def _share_out(leading, others, sizes):
    """Lengthen the blocks of the columns `leading` by the columns `others`, in their order."""
    widths = block_widths(leading.shape[1], len(sizes))
    full_widths = block_widths(leading.shape[1] + others.shape[1], len(sizes))
    other_widths = [full - width for full, width in zip(full_widths, widths, strict=True)]
    pairs = zip(leading.split(widths, dim=1), others.split(other_widths, dim=1), strict=True)
    return torch.cat([torch.cat(pair, 1) for pair in pairs], 1)


def deal_components(variances, sizes):
    """Deal out principal components, largest variance first, to the block whose share is worth least per bit so far.

    A component is worth the logarithm of its variance over the distortion at which all codes together would run out of
    bits (reverse water-filling; Cover & Thomas, 2006, section 10.3.3); Ge et al. count all components above zero.
    Returns the indices of each block's components.
    """
    bits = [log2(max(size, 2)) for size in sizes]
    logs = variances.clamp(min=1e-12 * float(variances.max().clamp(min=1e-20))).log2()
    ranks = torch.arange(1, len(logs) + 1, device=logs.device)
    cost = (logs.cumsum(0) - ranks * logs) / 2  # bits that bring all larger variances down to each
    worth = (logs - logs[cost <= sum(bits)][-1]).clamp(min=0).tolist()

    blocks, totals = [[] for _ in sizes], [0.0] * len(sizes)
    widths = block_widths(len(worth), len(sizes))
    for component, value in enumerate(worth):
        free = [n for n, block in enumerate(blocks) if len(block) < widths[n]]
        n = min(free, key=lambda n: totals[n] / bits[n])
        blocks[n].append(component)
        totals[n] += value
    return [torch.tensor(block, dtype=torch.int64, device=variances.device) for block in blocks]


def optimize_rotation(z, weights, sizes, rotation, generator, n_rounds, centers=None):
    """Improve the `rotation` (D, D) of `z` (n, D) by rounds of a Lloyd iteration and the best rotation for its codes.

    The latter is orthogonal Procrustes: U Vᵀ of the singular value decomposition of zᵀ × code vectors. Returns the
    rotation and the centers of each block.
    """
    widths = block_widths(z.shape[1], len(sizes))
    weighted = (z * weights[:, None]).T
    centers = centers or [None] * len(sizes)
    for _ in range(n_rounds):
        blocks = (z @ rotation).split(widths, dim=1)
        results = [
            kmeans(block.contiguous(), weights, size, max_iter=1, generator=generator, centers=start)
            for block, size, start in zip(blocks, sizes, centers, strict=True)
        ]
        centers = [result.centers for result in results]
        u, _, vh = torch.linalg.svd(weighted @ torch.cat([result.centers[result.labels] for result in results], 1))
        rotation = u @ vh
    return rotation, centers


def block_widths(dim, n_blocks):
    """Return the widths of `dim` coordinates cut into `n_blocks`, the first ones wider by one where they must be."""
    return [len(block) for block in torch.arange(dim).tensor_split(n_blocks)]


def _with_rest(on_iteration, rest):
    """`on_iteration` told of the inertia of all blocks, where that of the others is `rest`."""
    return None if on_iteration is None else lambda inertia, usage: on_iteration(inertia + rest, usage)


def _inertia(x, weights):
    return float((x.double().square().sum(1) * weights.double()).sum())
