"""The softmax over a whole catalogue, a few targets at a time.

Letters: T targets, I items, d width.
"""

import torch

_TARGETS_AT_ONCE = 128  # whose logits of some 10,000 items stay in the cache from the product to the gradient


class _CrossEntropy(torch.autograd.Function):
    """Computes the gradient with the loss, since logits (T, I) that wait for it cost more than all else."""

    @staticmethod
    def forward(ctx, h, weights, bias, targets):
        of_h, of_weights, of_bias = torch.empty_like(h), torch.zeros_like(weights), torch.zeros_like(bias)
        loss = h.new_zeros(())
        for start in range(0, len(h), _TARGETS_AT_ONCE):
            part, chosen = h[start : start + _TARGETS_AT_ONCE], targets[start : start + _TARGETS_AT_ONCE, None]
            logits = torch.addmm(bias, part, weights.T)
            loss -= logits.gather(1, chosen).sum()
            # Exponentials are taken once, in place: they are half of what is not a product.
            largest = logits.amax(1, keepdim=True)
            gradient = logits.sub_(largest).exp_()
            sums = gradient.sum(1, keepdim=True)
            loss += (largest + sums.log()).sum()
            gradient /= sums
            gradient.scatter_add_(1, chosen, gradient.new_full(chosen.shape, -1.0))
            torch.mm(gradient, weights, out=of_h[start : start + _TARGETS_AT_ONCE])
            of_weights.addmm_(gradient.T, part)
            of_bias += gradient.sum(0)
        ctx.save_for_backward(of_h / len(h), of_weights / len(h), of_bias / len(h))
        return loss / len(h)

    @staticmethod
    def backward(ctx, of_loss):
        return *(gradient * of_loss for gradient in ctx.saved_tensors), None


def catalogue_cross_entropy(h, weights, bias, targets):
    """Return the mean of -log softmax(h Wᵀ + b)[target].

    Shape: h (T, d), weights (I, d), bias (I,), targets (T,) int64 → ()
    """
    return _CrossEntropy.apply(h, weights, bias, targets)
