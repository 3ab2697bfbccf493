"""Who gets which place, when several want the same: an assignment of small total cost."""

import numpy as np

_BIDS_TO_LEAVE = 100  # bids after which a place has cost a bidder its whole list, at the least
_MAX_ROUNDS = 2_000


def assign(costs, places, outside_costs):
    """Return which candidate each item gets, such that no place is given twice and the total cost is near its least.

    The auction algorithm (Bertsekas, 1988, "The auction algorithm: a distributed relaxation method for the assignment
    problem", from memory): items without a place bid for the one that is cheapest to them, cost and price together,
    and raise its price by what the second cheapest is worse, and a little. All bid at once, round by round. An item
    leaves with nothing when even its cheapest costs more than `outside_costs`.

    Parameters
    ----------
    costs : ndarray of shape (n_items, n_candidates), float
        Cost of each candidate, infinity for one that cannot be had.
    places : ndarray of shape (n_items, n_candidates)
        The place that each candidate is.
    outside_costs : ndarray of shape (n_items,), float
        What going elsewhere costs, infinity for an item that has nowhere else to go.

    Returns
    -------
    choices : ndarray of shape (n_items,), int64
        Position in the item's candidates, -1 for none. Ties go to the earlier item.
    """
    names, places = np.unique(places, return_inverse=True)
    places = places.reshape(costs.shape)
    steps = _bidding_steps(costs)
    prices = np.zeros(len(names))
    owners = np.full(len(names), -1)
    choices = np.full(len(costs), -1)
    bidders = np.arange(len(costs))
    for _ in range(_MAX_ROUNDS):
        if len(bidders) == 0:
            break
        best, choice, second = _two_cheapest(costs[bidders] + prices[places[bidders]])
        stays = (best <= outside_costs[bidders]) & np.isfinite(best)
        bidders, best, choice, second = bidders[stays], best[stays], choice[stays], second[stays]
        wanted = places[bidders, choice]
        margin = np.minimum(second, outside_costs[bidders]) - best
        margin[np.isinf(margin)] = 0.0  # nothing else to compare with
        bids = prices[wanted] + margin + steps[bidders]
        wins = _highest(wanted, bids)
        won, winners = wanted[wins], bidders[wins]
        outbid = owners[won][owners[won] >= 0]
        owners[won], prices[won] = winners, bids[wins]
        choices[winners], choices[outbid] = choice[wins], -1
        bidders = np.sort(np.concatenate([np.delete(bidders, wins), outbid]))
    return choices


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


def _highest(places, bids):
    """Return the positions of the highest bid for each place; of equal ones the first."""
    order = np.lexsort((-bids, places))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = places[order][1:] != places[order][:-1]
    return order[is_first]
