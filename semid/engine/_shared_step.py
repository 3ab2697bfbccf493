"""The gradients of a batch whose shares several processes compute.

All look up which rows of the table the batch touches; each goes forward and back through its own shares, and what is
exchanged are the gradients of these rows, not of the table, and those of the network.

Letters: S shares of a batch of B impressions, U rows of the table that it touches, w width of the table.
"""

import contextlib

import torch
import torch.nn.functional as F

from semid.nn._fields import TouchedRows, field_visits
from semid.nn._mlp import SeededDropout


def shared_gradients(module, table, shares, ranks, masks):
    """Set the gradients of a batch, the same on all ranks; return its loss and the rows of the table, `TouchedRows`.

    Parameters
    ----------
    module : ClickModule
    table : LazyAdam or None
        None for a table that is not trained.
    shares : list of tuple
        All S of them, as `Impressions.batches` gives them.
    ranks : SharedFit
    masks : torch.Generator
        Of dropout. It says what each share draws, whoever computes it.
    """
    touched, places = None, [None] * len(shares)
    if table is not None:
        visits = [field_visits(module.embedding, categories, weights) for categories, _, _, weights in shares]
        touched = table.open(*map(torch.cat, zip(*visits, strict=True)))
        places = touched.places.split([len(rows) for rows, _ in visits])
    parameters = [p for p in module.parameters() if p.requires_grad and p is not module.embedding.table]
    parameters += [] if touched is None else [touched.values]
    n_rows = sum(len(y) for *_, y, _ in shares)
    seed = int(torch.randint(2**40, (), generator=masks, device=masks.device))
    of_own = []
    for number in ranks.own_shares():
        with _masks_of_share(module, seed + number):
            rows = () if touched is None else (TouchedRows(touched.values, places[number]),)
            of_own.append(_loss_and_gradients(module, shares[number], rows, parameters, n_rows))
    loss, *gradients = ranks.sum_over_shares(of_own).split([1, *(p.numel() for p in parameters)])
    for parameter, gradient in zip(parameters, gradients, strict=True):
        # In the layout of the parameter: fused optimizers go through memory as it is.
        parameter.grad = torch.empty_like(parameter).copy_(gradient.view_as(parameter))
    return loss[0], touched


def _loss_and_gradients(module, share, rows, parameters, n_rows):
    """Return what a share adds to the loss and to the gradients of a batch of `n_rows`, end to end, (1 + P,)."""
    categories, numbers, y, weights = share
    if len(y) == 0:
        return torch.cat([y.new_zeros(1), *(torch.zeros_like(p).flatten() for p in parameters)])
    losses = F.binary_cross_entropy_with_logits(module(categories, numbers, *rows), y, reduction="none")
    loss = (losses * weights).sum() / n_rows
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([loss.detach()[None], *(gradient.flatten() for gradient in gradients)])


@contextlib.contextmanager
def _masks_of_share(module, seed):
    """Let the dropout layers of `module` draw from a generator of this share."""
    layers = [layer for layer in module.modules() if isinstance(layer, SeededDropout)]
    before = [layer.generator for layer in layers]
    if layers:
        generator = torch.Generator(before[0].device).manual_seed(seed)
        for layer in layers:
            layer.generator = generator
    try:
        yield
    finally:
        for layer, generator in zip(layers, before, strict=True):
            layer.generator = generator


def check_shareable(module):
    """Raise for a module that keeps statistics of the batches that it sees, of which each process sees a part."""
    names = [name for name, _ in module.named_buffers() if name in module.state_dict()]
    if names:
        raise ValueError(
            f"fusion must keep no statistics of batches in a shared fit, of which each process sees its shares alone, "
            f"got the buffers {names}. Fit outside of distributed_fit, or register them with persistent=False."
        )
