"""Who gets which place, when several want the same: an assignment of small total cost."""

import numpy as np

_BIDS_TO_LEAVE = 100  # bids after which a place has cost a bidder its whole list, at the least
_MAX_ROUNDS = 2_000


def assign(costs, places, outside_costs, capacities=1):
    """Return which candidate each item gets: no place is given too often, and the total cost is near its least.

    The auction algorithm (Bertsekas, 1988, "The auction algorithm: a distributed relaxation method for the assignment
    problem", from memory): items without a place bid for the one that is cheapest to them, cost and price together,
    and raise its price by what the second cheapest is worse, and a little. All bid at once, round by round. An item
    leaves with nothing when even its cheapest costs more than `outside_costs`. A place for several items goes to the
    highest bids, and its price is the lowest of these once it is full (Bertsekas & Castañon, 1989, "The auction
    algorithm for the transportation problem", from memory).

    Parameters
    ----------
    costs : ndarray of shape (n_items, n_candidates), float
        Cost of each candidate, infinity for one that cannot be had.
    places : ndarray of shape (n_items, n_candidates)
        The place that each candidate is.
    outside_costs : ndarray of shape (n_items,), float
        What going elsewhere costs, infinity for an item that has nowhere else to go.
    capacities : int or ndarray of shape (n_items, n_candidates), default 1
        For how many items each candidate has room, the same wherever it is the same place.

    Returns
    -------
    choices : ndarray of shape (n_items,), int64
        Position in the item's candidates, -1 for none. Ties go to the earlier item.
    """
    _, firsts, places, counts = np.unique(places, return_index=True, return_inverse=True, return_counts=True)
    places = places.reshape(costs.shape)
    # No place holds more items than ask for it.
    room = np.minimum(np.broadcast_to(capacities, costs.shape).ravel()[firsts], counts)
    seats = _Seats(np.maximum(room, 1))
    steps = _bidding_steps(costs)
    choices = np.full(len(costs), -1)
    bidders = np.arange(len(costs))
    for _ in range(_MAX_ROUNDS):
        if len(bidders) == 0:
            break
        best, choice, second = _two_cheapest(costs[bidders] + seats.prices[places[bidders]])
        stays = (best <= outside_costs[bidders]) & np.isfinite(best)
        bidders, best, choice, second = bidders[stays], best[stays], choice[stays], second[stays]
        wanted = places[bidders, choice]
        margin = np.minimum(second, outside_costs[bidders]) - best
        margin[np.isinf(margin)] = 0.0  # nothing else to compare with
        wins, outbid = seats.take(wanted, bidders, seats.prices[wanted] + margin + steps[bidders])
        choices[bidders[wins]], choices[outbid] = choice[wins], -1
        bidders = np.sort(np.concatenate([bidders[~wins], outbid]))
    return choices


class _Seats:
    """Who sits where, at what bid: `room` (P,) seats at each place, side by side in one array."""

    def __init__(self, room):
        self.room = room
        self.firsts = np.cumsum(room) - room
        self.prices = np.zeros(len(room))  # the lowest bid at each place, 0 while a seat is free
        self._owners = np.full(room.sum(), -1)
        self._bids = np.zeros(room.sum())

    def take(self, wanted, bidders, bids):
        """Give the seats of the places `wanted` to the highest bids, new and old ones; of equal ones to the earlier.

        Returns
        -------
        wins : ndarray of shape (n_bidders,), bool
            Whose bid is among them.
        outbid : ndarray
            Who sat there, and does no more.
        """
        asked = np.unique(wanted)
        room = self.room[asked]
        ranks = np.arange(room.sum()) - np.repeat(np.cumsum(room) - room, room)
        seats = np.repeat(self.firsts[asked], room) + ranks
        owners = np.concatenate([self._owners[seats], bidders])
        all_bids = np.concatenate([self._bids[seats], bids])
        at = np.concatenate([np.repeat(np.arange(len(asked)), room), np.searchsorted(asked, wanted)])
        order = np.lexsort((-all_bids, at))
        rank = np.arange(len(at)) - np.searchsorted(at[order], at[order])
        stays = np.empty(len(at), dtype=bool)
        stays[order] = rank < room[at[order]]
        kept = order[rank < room[at[order]]]
        self._owners[seats], self._bids[seats] = owners[kept], all_bids[kept]
        self.prices[asked] = self._bids[self.firsts[asked] + room - 1]
        left = owners[: len(seats)][~stays[: len(seats)]]
        return stays[len(seats) :], left[left >= 0]


def _bidding_steps(costs):
    """The least raise of each item: small against its costs, so that the total is near its least, but not tiny.

    Many items that want the same few places would bid against one another for long.
    """
    largest = np.where(np.isfinite(costs), costs, 0.0).max(axis=1)
    return np.maximum(largest, 1e-30) / _BIDS_TO_LEAVE


def _two_cheapest(costs):
    """Return the least of each row, its position, and the second least."""
    rows, choice = np.arange(len(costs)), costs.argmin(axis=1)
    best = costs[rows, choice]
    costs[rows, choice] = np.inf
    return best, choice, costs.min(axis=1)
