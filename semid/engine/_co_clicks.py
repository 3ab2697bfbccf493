"""Training on what users clicked together.

Letters: n items, u users, E clicks, B pairs of a batch, D features of an embedding.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from semid.nn._co_click_encoder import co_click_loss
from semid.tables._rows import mix_bits

_PRIOR = 3.0  # clicks of nobody in particular, on the mean item, that each item has beside its own
_BLANKED = 0.3  # share of items that are shown without their clicks
_WEIGHT_DECAY = 0.01
_BLOCK = 64  # columns of embeddings summed at once


class CoClickOptions(NamedTuple):
    max_iter: int  # epochs
    batch_size: int
    learning_rate: float  # the highest of the cycle
    temperature: float
    verbose: bool


class CoClicks:
    """Who clicked what: pairs of items of one user, and for each item the mean embedding of what lies beside it.

    Beside an item lie the other items of its users, as often as they are shared: with M (n, u) the clicks and x the
    embeddings, ``Σ_u M_iu Σ_{j ≠ i} M_ju x_j``, divided by their number and a prior. The item of a pair is seen without
    the user whom the pair is of, whose other click it would give away. Users of one click say nothing and are left out;
    the others are put into an order of their items, so that nothing depends on how they were numbered.

    Parameters
    ----------
    x : Tensor of shape (n, D)
        Embeddings, of mean zero.
    interactions : csr_array of shape (n, u), bool
    """

    def __init__(self, x, interactions):
        self.x = x
        by_user = _in_order(interactions.T.tocsr())
        sizes = np.diff(by_user.indptr).astype(np.int64)
        counts = np.bincount(by_user.indices, minlength=len(x))
        self.items = _tensor(by_user.indices, x.device)  # (E,), user by user
        self.users = _tensor(np.repeat(np.arange(len(sizes)), sizes), x.device)  # (E,)
        self.starts = _tensor(by_user.indptr[:-1], x.device)  # (u,)
        self.sizes = _tensor(sizes, x.device)  # (u,)
        self.counts = torch.from_numpy(counts.astype(np.float32)).to(x.device)  # (n,)
        self.n_beside = torch.from_numpy((by_user.T @ (sizes - 1.0)).astype(np.float32)).to(x.device)  # (n,)
        clicks = by_user.astype(np.float64)
        self.sums_of_users, self.sums_beside = x.new_zeros(len(sizes), x.shape[1]), torch.zeros_like(x)
        for column in range(0, x.shape[1], _BLOCK):
            block = slice(column, column + _BLOCK)
            # In float64: what an item has beside it is a small difference of large sums where it is popular.
            of_items = x[:, block].double().cpu().numpy()
            of_users = clicks @ of_items
            beside = clicks.T @ of_users - counts[:, None] * of_items
            self.sums_of_users[:, block] = torch.from_numpy(of_users).to(x)  # (u, D)
            self.sums_beside[:, block] = torch.from_numpy(beside).to(x)  # (n, D)

    @property
    def has_pairs(self):
        return len(self.items) > 0

    @property
    def n_drawn(self):
        """What an epoch has pairs of: clicks or, without any, items."""
        return len(self.items) or len(self.x)

    def draw(self, n_clicks, generator):
        """Return the items of random clicks, for each another item of the same user, and the users."""
        clicks = torch.randint(len(self.items), (n_clicks,), generator=generator).to(self.items.device)
        users = self.users[clicks]
        places = torch.rand(n_clicks, generator=generator, dtype=torch.float64).to(users.device) * (
            self.sizes[users] - 1
        )
        others = self.starts[users] + places.long()
        others = others + (others >= clicks)  # any of the user's but the click itself
        return self.items[clicks], self.items[others], users

    def beside(self, items, users=None):
        """Return what lies beside items, (B, D), and the logarithm of how much it is, without their `users`, (B, 1)."""
        sums, numbers = self.sums_beside[items], self.n_beside[items, None]
        if users is not None:
            sums = sums - (self.sums_of_users[users] - self.x[items])
            numbers = numbers - (self.sizes[users, None] - 1)
        return torch.cat([sums / (numbers + _PRIOR), torch.log1p(numbers.clamp(min=0))], dim=1)


def _in_order(by_user):
    """Return the users of two items and more, by their number of items and a hash of these."""
    sizes = np.diff(by_user.indptr)
    by_user = by_user[np.flatnonzero(sizes > 1)]
    by_user.sort_indices()
    sizes = np.diff(by_user.indptr)
    hashes = mix_bits(by_user.indices.astype(np.uint64) + np.uint64(1))
    sums = np.add.reduceat(hashes, by_user.indptr[:-1]) if len(sizes) else hashes
    return by_user[np.lexsort((sums, sizes))]


def _tensor(array, device):
    return torch.from_numpy(array.astype(np.int64)).to(device)


def train_co_click_encoder(module, co_clicks, options, generator):
    """Train `module` in place; return the mean loss of each epoch, (n_epochs,).

    Without pairs of clicks, items are told apart by themselves: the pair is one item under two dropouts (SimCSE, Gao et
    al., 2021, arXiv:2104.08821, from memory).
    """
    n_steps = max(1, co_clicks.n_drawn // options.batch_size)  # of an epoch
    module.dropout.generator = torch.Generator(co_clicks.x.device).manual_seed(generator.initial_seed())
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=options.max_iter * n_steps
    )
    # How often each is drawn on the right; of pairs of an item with itself all alike.
    log_shares = torch.log(co_clicks.counts.clamp(min=1)) if co_clicks.has_pairs else torch.zeros_like(co_clicks.counts)
    losses = []
    for _ in tqdm(range(options.max_iter), desc="epochs", disable=not options.verbose):
        total = torch.zeros((), device=co_clicks.x.device)
        for _ in range(n_steps):
            left, right, items = _vectors_of_pairs(module, co_clicks, options.batch_size, generator)
            loss = co_click_loss(left, right, items, log_shares[items], options.temperature)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        losses.append(total.item() / n_steps)
        if not math.isfinite(losses[-1]):
            raise ValueError(
                f"training diverged in epoch {len(losses)}: the loss is {losses[-1]} with "
                f"learning_rate={options.learning_rate} and temperature={options.temperature}. Pass a smaller "
                "learning_rate, or a larger temperature."
            )
    return np.array(losses)


def _vectors_of_pairs(module, co_clicks, batch_size, generator):
    """Return the vectors of the two items of each pair, and which items the second ones are."""
    x = co_clicks.x
    if co_clicks.has_pairs:
        left, right, users = co_clicks.draw(batch_size, generator)
        of_left, of_right = (
            module(x[items], _shown(co_clicks.beside(items, users), generator)) for items in (left, right)
        )
        return of_left, of_right, right
    items = torch.randperm(len(x), generator=generator)[:batch_size].to(x.device)
    return module(x[items]), module(x[items]), items


def _shown(beside, generator):
    """Return what lies beside items with that of some blanked, as it is for items without clicks."""
    is_shown = torch.rand(len(beside), 1, generator=generator) >= _BLANKED
    return beside * is_shown.to(beside)
