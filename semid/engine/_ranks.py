"""Processes that share one fit, as torchrun starts them: each computes some shares of every batch.

Every process holds the whole model, draws the same random numbers and goes through the same batches. What its shares of
a batch come to is gathered, gradients are added up, and the rest is computed everywhere from the same numbers, so that
all learn the same.

What a fit comes to depends on the number of shares, since that is the order of summation, and not on how many processes
compute them: sums are taken in the order of the shares, in one process as in several.

Letters: B rows of a batch, b of a share, S shares, W processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from numbers import Integral

import torch
import torch.distributed as dist


class OneShare:
    """A fit of this process alone, with whole batches."""

    rank, size, n_shares = 0, 1, 1

    def shares_of(self, rows):
        return [rows]

    def gather(self, shares, n_rows):
        return shares[0]

    def backward(self, loss, parameters):
        loss.backward()

    def copy_from_first(self, tensors):
        pass

    def on_first(self, function):
        return function()

    def check_same(self, facts):
        pass


class SharedFit:
    """The processes of the default group of `torch.distributed`: all call the same methods in the same order.

    Attributes
    ----------
    rank : int
        The number of this process, from 0.
    size : int
        How many there are, W.
    n_shares : int
        In how many shares a batch is computed, S, a multiple of W.
    """

    def __init__(self, rank, size, n_shares):
        self.rank, self.size, self.n_shares = rank, size, n_shares
        n_own = n_shares // size
        self._own = slice(rank * n_own, (rank + 1) * n_own)
        self._own_shares = self._rows = None  # what `gather` has put together, until `backward`

    def shares_of(self, rows):
        """Return those shares (b, ...) of a batch (B, ...) that are this rank's to compute."""
        return rows.tensor_split(self.n_shares)[self._own]

    def own_shares(self):
        """Return the numbers of the shares that are this rank's to compute."""
        return range(self._own.start, self._own.stop)

    @torch.no_grad()
    def sum_over_shares(self, own):
        """Return the sum of what all shares have come to, (P,), in their order, from that of each own share."""
        return self._sum_over_shares(torch.stack(own))

    def gather(self, shares, n_rows):
        """Return tensors (B,) or (B, D) of a whole batch of `n_rows` from those of each own share, (b,) or (b, D).

        They are leaves: `backward` takes their gradient on to the shares.
        """
        own = [torch.cat([_as_column(tensor) for tensor in tensors], dim=1) for tensors in shares]
        rows = self._rows_of_all(torch.cat([share.detach() for share in own]), n_rows)
        if own[0].requires_grad:
            self._own_shares, self._rows = own, rows.requires_grad_()
        parts = rows.split([_as_column(tensor).shape[1] for tensor in shares[0]], dim=1)
        return [part[:, 0] if tensor.ndim == 1 else part for part, tensor in zip(parts, shares[0], strict=True)]

    def backward(self, loss, parameters):
        """Set the gradients of the `parameters`, the same on all ranks, each of which has computed the same `loss`."""
        loss.backward()
        of_shares = self._rows.grad.tensor_split(self.n_shares)[self._own]
        gradients = [
            torch.autograd.grad(share, parameters, gradient, allow_unused=True)
            for share, gradient in zip(self._own_shares, of_shares, strict=True)
        ]  # None where a parameter takes no part, in all shares alike
        self._own_shares = self._rows = None
        total = self._sum_over_shares(torch.stack([_flat(tensors) for tensors in gradients]))
        used = [parameter for parameter, gradient in zip(parameters, gradients[0], strict=True) if gradient is not None]
        for parameter, part in zip(used, total.split([parameter.numel() for parameter in used]), strict=True):
            # In the layout of the parameter, which need not be contiguous: fused optimizers go through memory as it is.
            parameter.grad = torch.empty_like(parameter).copy_(part.view_as(parameter))

    @torch.no_grad()
    def copy_from_first(self, tensors):
        """Overwrite the `tensors` by those of rank 0, so that unlike processors cannot drift apart."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def on_first(self, function):
        """Return, or raise, everywhere what ``function()`` does on rank 0, the only one to call it."""
        if self.size == 1:
            return function()
        outcome = [None, None]
        if self.rank == 0:
            try:
                outcome[0] = function()
            except Exception as error:  # the others wait, and must hear of it, whatever it is
                outcome[1] = error
        dist.broadcast_object_list(outcome, src=0, device=torch.device("cpu"))
        result, failure = outcome
        if failure is not None:
            raise failure
        return result

    def check_same(self, facts):
        """Raise ValueError everywhere unless `facts`, texts by name, are equal on all ranks."""
        if self.size == 1:
            return
        of_ranks = [None] * self.size
        dist.all_gather_object(of_ranks, facts)
        names = [name for name in facts if len({facts_of_rank[name] for facts_of_rank in of_ranks}) > 1]
        if names:
            raise ValueError(
                f"all {self.size} processes of a shared fit must be given the same, got different "
                f"{', '.join(names)}. Each takes its shares of the batches by itself: pass all data and the same "
                "parameters to every one."
            )

    def _rows_of_all(self, own, n_rows):
        """Return the rows of a batch (B, D) from those of the own shares."""
        if self.size == 1:
            return own
        of_shares = [len(share) for share in torch.empty(n_rows, 0).tensor_split(self.n_shares)]
        n_own = self.n_shares // self.size
        sizes = [sum(of_shares[first : first + n_own]) for first in range(0, self.n_shares, n_own)]
        padded = own.new_zeros(max(sizes), own.shape[1])  # all ranks must send as much
        padded[: len(own)] = own
        of_ranks = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(of_ranks, padded)
        return torch.cat([rows[:size] for rows, size in zip(of_ranks, sizes, strict=True)])

    def _sum_over_shares(self, own):
        """Return the sum (P,) of the gradients of all shares, in their order, from those of the own ones, (S / W, P).

        Each rank adds up a piece of the gradient, and hands it to all: less is sent than if each had all gradients.
        """
        if self.size == 1:
            return _sum_in_order(own)
        n_own, n_parameters = own.shape
        width = -(-n_parameters // self.size)
        pieces = torch.nn.functional.pad(own, (0, width * self.size - n_parameters))
        pieces = pieces.view(n_own, self.size, width).transpose(0, 1).contiguous()  # (W, S / W, width), [w] for rank w
        received = torch.empty_like(pieces)
        dist.all_to_all_single(received, pieces)
        sums = [torch.empty_like(received[0, 0]) for _ in range(self.size)]
        dist.all_gather(sums, _sum_in_order(received.view(self.n_shares, width)))
        return torch.cat(sums)[:n_parameters]


def _as_column(tensor):
    return tensor[:, None] if tensor.ndim == 1 else tensor


def _flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors if tensor is not None])


def _sum_in_order(rows):
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total


_CURRENT: ContextVar[SharedFit | OneShare] = ContextVar("semid_shares")


def current_ranks():
    """Return who shares the fits of this thread: `SharedFit` in a block of `distributed_fit`, else `OneShare`."""
    return _CURRENT.get(None) or OneShare()


@contextlib.contextmanager
def distributed_fit(n_shares: int | None = None) -> Iterator[SharedFit | OneShare]:
    """Let the processes that torchrun has started share every fit of a learned tokenizer or click model in this block.

    All of them run the same program with the same data and parameters. Each computes its shares of every batch, of one
    `batch_size` in all, and holds the same estimator in the end. A program that torchrun has not started fits by
    itself.

    The group of processes is that of `torch.distributed`, started here unless there is one: NCCL between GPUs, one per
    process, gloo between CPUs. With `checkpoint_dir`, a folder that all see, rank 0 writes.

    Parameters
    ----------
    n_shares : int, default None
        In how many shares each batch is computed, a multiple of the number of processes. None is one per process. The
        same number, on like processors with as many threads each, gives the same estimator, to the last bit, on one
        process as on many. Another number is another order of summation; over a long training, rounding makes of that
        another fit of the same quality, as another number of threads does.

    Yields
    ------
    ranks : object
        ``ranks.rank`` is the number of this process, ``ranks.size`` how many there are.

    Raises
    ------
    TypeError, ValueError
        If `n_shares` is not such a number. In `fit`, if the processes were not given the same data and parameters.

    Notes
    -----
    A process that fails makes torchrun end the others. A fit that one process calls alone waits for the others, until
    the time limit of the group. Threads that are started in the block fit by themselves. Ctrl-C ends a fit of several
    processes without a result.

    Examples
    --------
    In a file ``fit.py``, for ``torchrun --nproc-per-node=2 fit.py``:

    >>> from semid.datasets import make_items
    >>> from semid.tokenizers import RQVAETokenizer, distributed_fit
    >>> X = make_items(n_items=300, random_state=0).embeddings  # yours: np.load("embeddings.npy", mmap_mode="r")
    >>> with distributed_fit() as ranks:
    ...     tokenizer = RQVAETokenizer(codebook_size=16, max_iter=2, random_state=0).fit(X)
    >>> ranks.rank, ranks.size  # save the tokenizer where the rank is 0
    (0, 1)
    """
    starts = not _is_in_group() and {"RANK", "WORLD_SIZE"} <= os.environ.keys()
    if starts:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group()
    try:
        ranks = _ranks(n_shares)
        token = _CURRENT.set(ranks)
        try:
            yield ranks
        finally:
            _CURRENT.reset(token)
    finally:
        if starts:
            dist.destroy_process_group()


def _ranks(n_shares):
    rank, size = (dist.get_rank(), dist.get_world_size()) if _is_in_group() else (0, 1)
    if n_shares is None:
        n_shares = size
    if isinstance(n_shares, bool) or not isinstance(n_shares, Integral):
        raise TypeError(f"n_shares must be an int or None, got {n_shares!r}.")
    if n_shares < 1 or n_shares % size:
        raise ValueError(
            f"n_shares must be a positive multiple of the number of processes, {size}, got {n_shares}. Pass "
            "n_shares=None for one share per process."
        )
    return OneShare() if n_shares == 1 else SharedFit(rank, size, int(n_shares))


def _is_in_group():
    return dist.is_available() and dist.is_initialized()
