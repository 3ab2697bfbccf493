"""Matrix products of half the bits: wherever they prove which of many vectors is the nearest, and in training.

A bfloat16 product costs half of a float32 one or less where the processor has instructions for it, and is off by a
share of the norms that is known. For nearly all rows the nearest vector leads the next by more, and is proven; the few
others are for the caller to look at in float32. So what is found does not depend on the processor. What is trained
does, and did before: each kind of processor adds float32 products up in an order of its own.

Letters: B rows, K vectors, D their width.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

# Below these the passes over (B, K) scores take as long as the product. Measured with AVX-512 BF16, one thread.
_LEAST_ROWS, _LEAST_WIDTH, _LEAST_VECTORS = 512, 128, 64
# A step of layers of 256 and 128 units takes .55 to .8 of the time from here on, and more than before with 64 rows.
_LEAST_TRAINED_ROWS, _LEAST_TRAINED_WIDTH = 256, 64
_BLOCK = 4_096  # rows whose scores are held at once
_EPSILON = 2**-8  # bfloat16 has 8 bits: a rounded number is off by at most half of this share
_TINY = 1e-30  # what flushed denormals may add up to


class Proven(NamedTuple):
    labels: Tensor  # (B,) int64, of the nearest vector where it is proven
    is_proven: Tensor  # (B,) bool


def can_prove(x, n_vectors):
    """Return whether `proven_nearest` is worth while for rows like `x` (B, D)."""
    is_large = len(x) >= _LEAST_ROWS and x.shape[1] >= _LEAST_WIDTH and n_vectors >= _LEAST_VECTORS
    return is_large and _is_plain(x) and _is_fast()


@functools.cache
def _is_fast():
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return torch.backends.mkldnn.is_available() and bool(
        capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    )


def half_products(x, is_wanted=True):
    """Return a context in which layers that rows like `x` (B, D) pass multiply in bfloat16, if that is faster."""
    is_large = len(x) >= _LEAST_TRAINED_ROWS and x.shape[1] >= _LEAST_TRAINED_WIDTH
    return torch.autocast("cpu", torch.bfloat16, enabled=is_wanted and is_large and _is_plain(x) and _is_fast())


def _is_plain(x):
    return x.device.type == "cpu" and x.dtype == torch.float32


def proven_nearest(x, norms, vectors, offsets, margins=None):
    """Return the label of the smallest of ``offsets - x @ vectors.T`` in each row, where it is proven.

    Proven is it if no other score can be within the margin of it. With x̃ and ṽ rounded to bfloat16, u = 2⁻⁹ the unit
    roundoff, ``|x·v - x̃·ṽ| <= u |x| |v| + (1 + u) |x| |v - ṽ|`` by Cauchy and Schwarz; summing D products in float32
    adds ``D 2⁻²⁴ |x| |v|``, and rounding the sum to bfloat16 a share u of it. Twice the latter two are allowed for.

    Parameters
    ----------
    x : Tensor of shape (B, D), float32
    norms : Tensor of shape (B,)
        Lengths of the rows.
    vectors : Tensor of shape (K, D), float32
    offsets : Tensor of shape (K,)
    margins : Tensor of shape (B,) or None

    Returns
    -------
    proven : Proven
    """
    halves = vectors.bfloat16()
    lengths, errors = (torch.linalg.vector_norm(v, dim=1) for v in (vectors, vectors - halves))
    shares = (_EPSILON / 2 + x.shape[1] * 2**-23) * lengths + (1 + _EPSILON) * errors  # (K,), of a row's length
    labels, is_proven = [], []
    for start in range(0, len(x), _BLOCK):
        rows = x[start : start + _BLOCK]
        errors = norms[start : start + _BLOCK].max() * shares  # (K,), of the longest row
        products = (rows.bfloat16() @ halves.T).float()
        rounding = _EPSILON * torch.maximum(products.amax(1), -products.amin(1))  # (B,)
        least = (offsets - errors) - products  # (B, K), less than the scores but for `rounding`
        label, first, second = _two_smallest(least)
        most = first + 2 * errors[label]
        gap = second - most - 2 * rounding - _TINY
        labels.append(label)
        is_proven.append(gap > (0.0 if margins is None else margins[start : start + _BLOCK]))
    return Proven(torch.cat(labels), torch.cat(is_proven))


def _two_smallest(scores):
    """Return the place of the smallest of each row (B, K), and the two smallest; overwrites `scores`."""
    labels = torch.from_numpy(scores.numpy().argmin(1))  # several times as fast as torch's
    first = scores.gather(1, labels[:, None])
    scores.scatter_(1, labels[:, None], torch.inf)
    return labels, first.squeeze(1), scores.amin(1)
