"""Who gets which place, when several want the same: an assignment of small total cost."""

import numpy as np

PATIENCE = 100  # bids after which a place has cost a bidder its whole list, at the least
_MAX_ROUNDS = 2_000
_FEW = 16  # candidates that an item looks at, of more
_BLOCK_NUMBERS = 2**18


def assign(costs, places, outside_costs, capacities=1, patience=PATIENCE):
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
    places : ndarray of shape (n_items, n_candidates), int
        The place that each candidate is: a number from 0 on.
    outside_costs : ndarray of shape (n_items,), float
        What going elsewhere costs, infinity for an item that has nowhere else to go.
    capacities : int or ndarray of shape (n_places,), default 1
        For how many items each place has room.
    patience : int or ndarray of shape (n_items,), default 100
        Into how many raises each item cuts its largest cost: the more, the nearer the total to its least, and the more
        bids.

    Returns
    -------
    choices : ndarray of shape (n_items,), int64
        Position in the item's candidates, -1 for none. Ties go to the earlier item.
    """
    seats = _seats(places, capacities)
    offers = _Offers(costs, places)
    steps = _largest_costs(costs) / patience
    choices = np.full(len(costs), -1)
    bidders = np.arange(len(costs))
    for _ in range(_MAX_ROUNDS):
        if len(bidders) == 0:
            break
        best, choice, second = offers.two_cheapest(bidders, seats.prices)
        stays = (best <= outside_costs[bidders]) & np.isfinite(best)
        bidders, best, choice, second = bidders[stays], best[stays], choice[stays], second[stays]
        wanted = offers.places[bidders, choice]
        margin = np.minimum(second, outside_costs[bidders]) - best
        margin[np.isinf(margin)] = 0.0  # nothing else to compare with
        wins, outbid = seats.take(wanted, bidders, seats.prices[wanted] + margin + steps[bidders])
        choices[bidders[wins]], choices[outbid] = choice[wins], -1
        bidders = np.sort(np.concatenate([bidders[~wins], outbid]))
    return choices


def _seats(places, capacities):
    n_places = int(places.max(initial=-1)) + 1
    room = np.maximum(np.broadcast_to(capacities, n_places), 1)
    if (room == 1).all():
        return _SingleSeats(n_places)
    # No place holds more items than ask for it.
    return _Seats(np.maximum(np.minimum(room, np.bincount(places.ravel(), minlength=n_places)), 1))


class _Offers:
    """What each item can choose from, of which it looks at the few cheapest until their prices have risen past another.

    Prices never fall, so what was not among the cheapest once costs no less than it did then.
    """

    def __init__(self, costs, places):
        self.costs, self.places = costs, places
        n_items, n_candidates = costs.shape
        self._n_few = _FEW if n_candidates >= 2 * _FEW else 0  # 0: there is little to save
        self._few = np.zeros((n_items, self._n_few), dtype=np.int32)  # in increasing order, for ties
        self._few_costs = np.zeros((n_items, self._n_few))
        self._few_places = np.zeros((n_items, self._n_few), dtype=np.int64)
        self._others = np.full(n_items, -np.inf)  # what all others cost at least

    def two_cheapest(self, items, prices):
        """Return for each of `items` the least of cost and price, its position, the first of equals, and the next."""
        if not self._n_few:
            return _two_cheapest(self.costs[items] + prices[self.places[items]])
        best, choice, second = _two_cheapest(self._few_costs[items] + prices[self._few_places[items]])
        choice = self._few[items, choice].astype(np.int64)
        others = self._others[items]
        left = np.flatnonzero((second >= others) & (others < np.inf))
        n_rows = _BLOCK_NUMBERS // self.costs.shape[1] + 1
        for start in range(0, len(left), n_rows):
            some = left[start : start + n_rows]
            best[some], choice[some], second[some] = self._look_at_all(items[some], prices)
        return best, choice, second

    def _look_at_all(self, items, prices):
        totals = self.costs[items] + prices[self.places[items]]
        in_order = np.argpartition(totals, self._n_few, axis=1)
        self._others[items] = totals[np.arange(len(items)), in_order[:, self._n_few]]
        few = np.sort(in_order[:, : self._n_few], axis=1)
        self._few[items] = few
        self._few_costs[items] = self.costs[items[:, None], few]
        self._few_places[items] = self.places[items[:, None], few]
        return _two_cheapest(totals)


class _SingleSeats:
    """`_Seats` of places for one item each, without sorting."""

    def __init__(self, n_places):
        self.prices = np.zeros(n_places)
        self._owners = np.full(n_places, -1)
        self._highest = np.zeros(n_places)
        self._first = np.empty(n_places, dtype=np.int64)

    def take(self, wanted, bidders, bids):
        self._highest[wanted] = self.prices[wanted]
        np.maximum.at(self._highest, wanted, bids)
        highest = np.flatnonzero((bids == self._highest[wanted]) & (bids > self.prices[wanted]))
        # Of assignments to one place the last one stands: backwards, that of the earliest bidder.
        self._first[wanted[highest][::-1]] = highest[::-1]
        winners = highest[self._first[wanted[highest]] == highest]
        taken = wanted[winners]
        outbid = self._owners[taken]
        self._owners[taken], self.prices[taken] = bidders[winners], bids[winners]
        wins = np.zeros(len(bidders), dtype=bool)
        wins[winners] = True
        return wins, outbid[outbid >= 0]


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


def _largest_costs(costs):
    """What the least raise of each item is a share of."""
    largest = costs.max(axis=1, where=np.isfinite(costs), initial=0.0)
    return np.maximum(largest, 1e-30)


def _two_cheapest(costs):
    """Return the least of each row, its position, and the second least."""
    rows, choice = np.arange(len(costs)), costs.argmin(axis=1)
    best = costs[rows, choice]
    costs[rows, choice] = np.inf
    return best, choice, costs.min(axis=1)
