"""Histories against a loop over all clicks, whatever the types of ids and times."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from semid.features import ClickHistory


def _before(clicks, user, time, max_length):
    """The last items of a user strictly before a time, by looking at each click of (user, item, time) in turn."""
    if any(pd.isna(value) for value in (user, time)):
        return ()
    whole = [click for click in clicks if not any(pd.isna(value) for value in click)]
    mine = sorted((click for click in whole if click[0] == user and click[2] < time), key=lambda click: click[2])
    return tuple(item for _, item, _ in mine)[-max_length:]


def _few(rng, n):
    """Columns with many ties, unknown users, and missing values."""
    users, items = rng.integers(0, 6, n).astype(object), rng.integers(0, 9, n).astype(object)
    times = rng.integers(0, 12, n).astype(object)
    for column in (users, items, times):
        column[rng.random(n) < 0.1] = None
    return list(users), list(items), list(times)


def _fractions(times):
    return [None if time is None else time + 0.5 * (time % 2) for time in times]


def _dates(times):
    return [None if time is None else pd.Timestamp("2024-03-30 12:00") + pd.Timedelta(hours=time) for time in times]


def _zoned(times):
    return [None if time is None else date.tz_localize("Europe/Berlin") for time, date in zip(times, _dates(times))]  # noqa: B905


TYPES = {
    "objects": (lambda ids: ids, lambda times: times),
    "Int64, large": (
        lambda ids: pd.array([None if i is None else 2**62 + i for i in ids], dtype="Int64"),
        lambda times: pd.array([None if t is None else 2**60 + t for t in times], dtype="Int64"),
    ),
    "text, floats": (
        lambda ids: pd.Series([None if i is None else f"u{i}" for i in ids], dtype="str"),
        lambda times: np.array(_fractions(times), dtype=float),
    ),
    "categories, dates": (
        lambda ids: pd.Series([None if i is None else f"u{i}" for i in ids], dtype="category"),
        lambda times: pd.Series(_dates(times)),
    ),
    "bytes, zoned dates": (
        lambda ids: [None if i is None else b"u%d" % i for i in ids],
        lambda times: pd.Series(_zoned(times)),
    ),
    "objects, dates as objects": (lambda ids: ids, lambda times: pd.Series(_dates(times), dtype=object)),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("max_length", [1, 3, 50])
def test_histories_are_those_of_the_loop_over_all_clicks(kind, max_length, rng):
    as_ids, as_times = TYPES[kind]
    users, items, times = _few(rng, 150)
    users, items, times = as_ids(users), as_ids(items), as_times(times)
    log = ClickHistory(users, items, times)
    asked_users, _, asked_times = _few(rng, 200)
    asked_users, asked_times = as_ids([9, *asked_users[1:]]), as_times(asked_times)

    clicks = list(zip(users, items, times, strict=True))
    expected = [_before(clicks, u, t, max_length) for u, t in zip(asked_users, asked_times, strict=True)]
    assert list(log.before(asked_users, asked_times, max_length=max_length)) == expected
    assert len({len(history) for history in expected}) > 1 and expected[0] == ()


@pytest.mark.parametrize("kind", TYPES)
def test_a_log_that_was_appended_to_is_that_of_all_its_clicks(kind, rng):
    as_ids, as_times = TYPES[kind]
    raw = _few(rng, 240)
    columns = [as_ids(raw[0]), as_ids(raw[1]), as_times(raw[2])]
    parts = [ClickHistory(*(column[:80] for column in columns))]
    for start in (80, 160):
        parts.append(parts[-1].append(*(column[start : start + 80] for column in columns)))
    whole = ClickHistory(*columns)
    asked = as_ids(raw[0]), as_times(list(rng.permutation(raw[2])))
    assert list(parts[2].before(*asked)) == list(whole.before(*asked))
    assert len(parts[2]) == len(whole) > len(parts[1]) > len(parts[0])
    assert list(parts[0].before(*asked)) == list(ClickHistory(*(column[:80] for column in columns)).before(*asked))


def test_clicks_without_times_are_in_their_order(rng):
    users, items, _ = _few(rng, 100)
    log = ClickHistory(users, items)
    grown = ClickHistory(users[:40], items[:40]).append(users[40:], items[40:])
    clicks = list(zip(users, items, range(100), strict=True))
    for one in (log, grown):
        assert list(one.before(range(7))) == [_before(clicks, user, 100, 50) for user in range(7)]
    with pytest.raises(ValueError, match="times must be None where the log has none"):
        log.before([1], [3])
    with pytest.raises(ValueError, match="got some where the log has none"):
        log.append([1], [3], [5])


def test_no_time_asks_for_all_clicks_so_far():
    log = ClickHistory([1, 2, 1], ["a", "b", "c"], [5, 6, 3])
    assert list(log.before([1, 3])) == [("c", "a"), ()]
    with pytest.raises(ValueError, match="got none where the log has some"):
        log.append([1], ["d"])


def test_whole_and_broken_times_are_compared_without_rounding():
    log = ClickHistory([1, 1], ["a", "b"], [2**60, 2**60 + 1])
    assert list(log.before([1, 1, 1], [2**60, 2**60 + 1, 2**60 + 2])) == [(), ("a",), ("a", "b")]
    assert list(log.before([1, 1, 1], [2.0**60, np.inf, -np.inf])) == [(), ("a", "b"), ()]
    small = ClickHistory([1, 1], ["a", "b"], [3, 4])
    assert list(small.before([1, 1, 1], [3.0, 3.5, 4.5])) == [(), ("a",), ("a", "b")]
    broken = small.append([1], ["c"], [3.5])
    assert list(broken.before([1, 1], [4, 5])) == [("a", "c"), ("a", "c", "b")]
    with pytest.raises(ValueError, match=r"whole numbers throughout, or below 2\*\*53, got 1152921504606846977"):
        log.append([1], ["c"], [0.5])


def test_dates_of_several_units_and_zones_are_one_time():
    date = pd.Timestamp("2024-05-01 12:00:00.000000001")
    log = ClickHistory([1], ["a"], [date])
    assert list(log.before([1, 1], pd.Series([date, date + pd.Timedelta(1, "ns")]))) == [(), ("a",)]
    assert list(log.before([1], np.array(["2024-05-01T12:00:01"], dtype="datetime64[s]"))) == [("a",)]
    zoned = ClickHistory([1], ["a"], pd.Series([pd.Timestamp("2024-05-01 12:00", tz="Europe/Berlin")]))
    at = pd.to_datetime(["2024-05-01 10:00", "2024-05-01 10:01"]).tz_localize("UTC")
    assert list(zoned.before([1, 1], at)) == [(), ("a",)]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-05-01"], r"numbers or dates, got '2024-05-01'. Pass pd.to_datetime"),
        ([pd.Timestamp("2024-05-01")], "times must be numbers, as in the log, got dates without a time zone"),
        ([pd.Timedelta(1, "s")], "must be numbers or dates, got Timedelta"),
    ],
)
def test_times_of_another_kind_are_refused(times, message):
    with pytest.raises(TypeError, match=message):
        ClickHistory([1], ["a"], [5]).before([1], times)


def test_what_is_no_log_is_refused():
    with pytest.raises(ValueError, match=r"of one length, got \[1, 2, 1\]"):
        ClickHistory([1], ["a", "b"], [5])
    with pytest.raises(TypeError, match=r"items must hold text or numbers, got \['a'\]"):
        ClickHistory([1], [["a"]], [5])
    log = ClickHistory([1], ["a"], [5])
    with pytest.raises(TypeError, match="items must be of the type that the log has, got ids like 7, where the log"):
        log.append([1], [7], [5])
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        log.before([1], [5], max_length=0)
    with pytest.raises(ValueError, match="of one length, got 1 and 2"):
        log.before([1], [5, 6])


def test_an_empty_log_has_empty_histories_and_can_grow():
    log = ClickHistory([], [], [])
    assert list(log.before(["ann"], [3])) == [()]
    assert list(log.append(["ann"], ["mug"], [1.5]).before(["ann", None], [3, 3])) == [("mug",), ()]
    assert list(log.before(["ann"], [pd.Timestamp("2024-05-01")])) == [()]
    assert list(log.append(["ann"], ["mug"], [pd.Timestamp("2024-05-01")]).before(["ann"])) == [("mug",)]
    some = ClickHistory([1], ["a"], [5])
    assert some.append([None], ["mug"], [1]) is some


def test_a_log_is_a_handle_that_nobody_changes():
    log = ClickHistory.from_frame(pd.DataFrame({"user_id": [1], "item_id": ["a"], "timestamp": [5]}))
    assert clone(log, safe=False) is log and deepcopy(log) is log
    again = pickle.loads(pickle.dumps(log))
    assert list(again.before([1], [6])) == [("a",)] and repr(again) == "ClickHistory(1 clicks, 1 users, 1 items)"
    histories = log.before([1], [6])
    for array in (log.items, histories.entries, histories.items):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]


def test_a_log_is_read_from_any_table():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"user": [1, 1], "item": ["a", "b"], "at": [7, 5]})
    log = ClickHistory.from_frame(frame, user="user", item="item", time="at")
    assert list(log.before([1], [8])) == [("b", "a")]
    assert list(ClickHistory.from_frame(frame, user=0, item=1, time=None).before([1])) == [("a", "b")]


def test_threads_look_up_while_others_append(rng):
    users, items, times = (rng.integers(0, high, 3000) for high in (50, 90, 1000))
    log = ClickHistory(users, items, times)
    expected = list(log.before(users, times))

    def work(number):
        grown = log.append([number], [5], [10_000])
        return list(log.before(users, times)) == expected and len(grown) == 3001

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))


def test_ten_thousand_histories_cost_no_memory_of_their_items(rng):
    users, items, times = (rng.integers(0, high, 20_000) for high in (10, 90, 10_000))
    log = ClickHistory(users, items, times)
    histories = log.before(users, times)
    assert histories.lengths.sum() > 900_000
    assert histories.entries is log.before(users[:1], times[:1]).entries
    assert len(histories.entries) == 20_000
