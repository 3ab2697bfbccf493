"""Terms that a quantized autoencoder may learn from beside reconstruction. One function per term.

Letters: B rows of a batch, D width of the latent, A width of a second embedding.
"""

import torch
from torch.nn import functional as F

MARGIN = 2.0  # squared distance that colliding items are pushed to, in mean squared quantization errors
TEMPERATURE = 0.1  # of the contrastive term; smaller looks harder at the nearest wrong items


def separation_loss(z, quantized, groups):
    """Push apart latents of items that shared all codes when last seen: a hinge on their squared distance.

    Parameters
    ----------
    z, quantized : Tensor of shape (B, D)
    groups : Tensor of shape (B,), int64
        Equal for items that shared their codes; equal ones lie next to each other.

    Returns
    -------
    loss : scalar Tensor
        ``Σ max(0, 2 - |z_i - z_j|² / mean|z - quantized|²) / B`` over neighbours i, j = i + 1 of one group.
    """
    collide = groups[1:] == groups[:-1]
    error = (z - quantized).detach().square().sum(1).mean()
    distances = (z[1:] - z[:-1]).square().sum(1) / error.clamp(min=1e-12)
    return torch.where(collide, F.relu(MARGIN - distances), 0.0).sum() / len(z)


def alignment_loss(quantized, other):
    """Tell each item's second embedding from those of the other items of the batch, by its quantized latent.

    The contrastive term of LETTER (Wang et al., 2024, arXiv:2405.07314, from memory): cross-entropy of cosine
    similarities over the batch. Rows of `other` with NaN, items without a second embedding, take no part.

    Parameters
    ----------
    quantized : Tensor of shape (B, A)
        Quantized latents, mapped to the width of the second embedding.
    other : Tensor of shape (B, A)

    Returns
    -------
    loss : scalar Tensor
    """
    known = other.isfinite().all(1)  # (B,)
    if known.device.type == "cpu":
        quantized, other, known = quantized[known], other[known], known[known]
    # On a GPU, rows that take no part keep their places and weigh nothing: to leave them out, the host would have to
    # wait until it is known how many there are.
    other = F.normalize(torch.where(known[:, None], other, 0.0), dim=1)
    offsets = torch.where(known, 0.0, torch.finfo(other.dtype).min)
    similarities = torch.addmm(offsets, F.normalize(quantized, dim=1), other.T, alpha=1 / TEMPERATURE)  # (B, B)
    losses = F.cross_entropy(similarities, torch.arange(len(known), device=known.device), reduction="none")
    return torch.where(known, losses, 0.0).sum() / known.sum().clamp(min=1)
