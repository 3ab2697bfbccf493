"""Columns of histories: ranges of a shared sequence, beside lists of Python as the oracle."""

import inspect
import pickle
from itertools import pairwise

import joblib
import numpy as np
import pandas as pd
import pytest
from pandas.tests.extension import base

from semid.tables._histories import UNKNOWN_CODE, HistoryArray, HistoryDtype, is_history

LISTS = [["a", "b"], [], ["c", "a", "b"], None, ["b", "b", None, "d"], ["a"]]
TUPLES = [("a", "b"), (), ("c", "a", "b"), (), ("b", "b", "d"), ("a",)]


@pytest.fixture
def histories():
    return HistoryArray._from_sequence(LISTS, dtype=HistoryDtype("item_id"))


@pytest.fixture
def coded(histories):
    codes = np.arange(2 * len(histories.items)).reshape(-1, 2)
    return histories.with_codes(codes, "item_id")


def _codes_of(histories):
    """The codes of each history, entry after entry, by way of its items."""
    of_item = dict(zip(histories.items.tolist(), histories.codes.tolist(), strict=True))
    return [[of_item[item] for item in history] for history in histories]


def test_histories_are_the_lists_they_are_made_of(histories):
    assert list(histories) == TUPLES
    assert histories.dtype == HistoryDtype("item_id") == "history[item_id]" != "history"
    assert histories.lengths.tolist() == [2, 0, 3, 0, 3, 1]
    assert not histories.isna().any()
    assert is_history(pd.Series(histories)) and not is_history(pd.Series([1]))
    assert repr(pd.Series(histories)).startswith("0       [a, b]\n1           []\n")


def test_ids_are_one_whatever_type_they_are_written_in():
    histories = HistoryArray._from_sequence([[7, 7.0, np.int8(7)], np.array([7, 8])])
    assert histories.items.dtype == np.int64 and histories.items.tolist() == [7, 8]
    assert list(HistoryArray._from_sequence([["7"], [7]])) == [("7",), (7,)]
    assert list(HistoryArray._from_sequence([[2**53, 2**53 + 1, None]])) == [(2**53, 2**53 + 1)]


def test_what_is_no_flat_list_of_ids_is_refused():
    with pytest.raises(TypeError, match=r"must be lists of item ids, got '\[1, 2\]' in row 1"):
        HistoryArray._from_sequence([[1, 2], "[1, 2]"])
    with pytest.raises(TypeError, match=r"flat lists of item ids, got \[1, 2\] in one"):
        HistoryArray._from_sequence([[[1, 2]]])


def test_slices_share_the_sequence_and_take_what_lists_take(histories):
    for key in (slice(1, 5, 2), slice(None, None, -1), np.array([5, 0, 0]), np.array([True, False] * 3)):
        cut = histories[key]
        expected = np.empty(6, dtype=object)
        expected[:] = TUPLES
        assert list(cut) == list(expected[key])
        assert cut.entries is histories.entries and cut.items is histories.items
    assert histories[-2] == ("b", "b", "d")
    assert list(histories.take([2, -1])) == [TUPLES[2], TUPLES[-1]]
    assert list(histories.take([2, -1], allow_fill=True)) == [TUPLES[2], ()]
    assert list(histories.take([-1, 0], allow_fill=True, fill_value=("z",))) == [("z",), TUPLES[0]]


def test_gathered_and_compacted_histories_are_the_same(histories):
    overlapping = HistoryArray([2, 0, 1, 1, 3], list("abcd"), [0, 1, 4, 2], [3, 3, 4, 2])
    for some in (histories, histories[2:5], histories[[2, 2, 0]], histories[:0], overlapping):
        entries, offsets = some.gathered()
        ids = some.items[entries].tolist()
        assert [tuple(ids[a:b]) for a, b in pairwise(offsets)] == list(some)
        compacted = some.compacted()
        assert list(compacted) == list(some)
        assert set(compacted.items) == {item for history in some for item in history}
    assert len(overlapping.compacted().entries) == 3


def test_a_pickle_of_a_slice_holds_no_more_than_the_slice():
    long = HistoryArray(np.arange(100_000), np.arange(100_000), np.arange(99_990), np.arange(99_990) + 10)
    cut = long[[5, 99_980]].with_codes(np.arange(200_000).reshape(-1, 2), "item_id").without_ids()
    again = pickle.loads(pickle.dumps(cut))
    assert len(pickle.dumps(cut)) < 2_000
    assert list(again) == list(cut) and _codes_of(again) == _codes_of(cut)
    assert again.item == "item_id" and not again.has_ids
    assert joblib.hash(again) == joblib.hash(cut)


def test_histories_of_several_logs_meet_by_their_ids(coded):
    other = HistoryArray._from_sequence([["d", "z"], [], ["a"]], dtype=coded.dtype)
    codes = np.array([[9, 9] if item == "z" else [0, 0] for item in other.items])
    of_item = dict(zip(coded.items, coded.codes, strict=True))
    codes = np.array([of_item.get(item, [9, 9]) for item in other.items])
    other = other.with_codes(codes, "item_id")
    nothing = HistoryArray._from_sequence([[], None], dtype=coded.dtype)

    both = HistoryArray._concat_same_type([coded[2:], other, nothing, coded[:2], other[::-1]])
    assert list(both) == [*TUPLES[2:], ("d", "z"), (), ("a",), (), (), *TUPLES[:2], ("a",), (), ("d", "z")]
    assert _codes_of(both) == [[list(of_item.get(i, [9, 9])) for i in history] for history in both]
    assert sorted(both.items) == ["a", "b", "c", "d", "z"]
    assert len(both.entries) == len(coded.entries) + len(other.entries)


def test_slices_of_one_log_are_put_together_without_a_copy_of_it(coded):
    both = HistoryArray._concat_same_type([coded[3:], coded[:3]])
    assert both.entries is coded.entries
    assert list(both) == TUPLES[3:] + TUPLES[:3]


def test_codes_of_an_item_are_those_that_any_log_knows_and_never_of_two_encoders(coded):
    unknown = coded.with_codes(np.full_like(coded.codes, UNKNOWN_CODE), "item_id")
    for parts in ([unknown, coded], [coded, unknown]):
        assert _codes_of(HistoryArray._concat_same_type(parts))[:6] == _codes_of(coded)
    with pytest.raises(ValueError, match=r"from one encoder, got \[0, 1\] and \[1, 2\] for item 'a'"):
        HistoryArray._concat_same_type([coded, coded.with_codes(coded.codes + 1, "item_id")])
    with pytest.raises(ValueError, match="of the same fields, got 0 codes and ids beside 2 codes and ids"):
        HistoryArray._concat_same_type([coded, HistoryArray._from_sequence(LISTS, dtype=coded.dtype)])
    with pytest.raises(ValueError, match="2 codes without ids beside 2 codes and ids"):
        HistoryArray._concat_same_type([coded, coded.copy().without_ids().with_codes(coded.codes + 0, "item_id")])


def test_codes_must_be_of_the_items(histories):
    with pytest.raises(ValueError, match=r"a row for each of the 4 items, got shape \(3, 2\)"):
        histories.with_codes(np.zeros((3, 2)), "item_id")
    with pytest.raises(ValueError, match=r"of one length, got shapes \(2,\) and \(1,\)"):
        HistoryArray([0], ["a"], [0, 1], [1])


def test_equality_is_that_of_tuples(histories, rng):
    assert (histories == ("a", "b")).tolist() == [history == ("a", "b") for history in TUPLES]
    pool = [tuple(rng.integers(0, 3, rng.integers(0, 4)).tolist()) for _ in range(300)]
    some, others = pool[:150], pool[150:]
    equal = HistoryArray._from_sequence(some) == HistoryArray._from_sequence(others)
    assert equal.tolist() == [a == b for a, b in zip(some, others, strict=True)]
    assert 0 < equal.sum() < 150
    with pytest.raises(ValueError, match="as many, got 6 and 2"):
        histories == [(), ()]  # noqa: B015


def test_histories_go_through_arrow_and_parquet(coded, tmp_path):
    pa = pytest.importorskip("pyarrow")
    assert pa.array(coded).to_pylist() == list(map(list, TUPLES))
    pd.DataFrame({"history": coded}).to_parquet(tmp_path / "log.parquet")
    again = pd.read_parquet(tmp_path / "log.parquet")["history"]
    assert again.dtype == coded.dtype and again.tolist() == TUPLES


@pytest.mark.parametrize("kind", ["list_", "large_list"])
def test_arrow_lists_are_read_without_python_objects(kind):
    pa = pytest.importorskip("pyarrow")
    array = pa.array([[2**60, 5], None, [], [5, None, 6]], type=getattr(pa, kind)(pa.int64()))
    for column in (array, array.slice(0), pd.Series(array, dtype=pd.ArrowDtype(array.type)), pa.chunked_array([array])):
        histories = HistoryArray._from_sequence(column)
        assert list(histories) == [(2**60, 5), (), (), (5, 6)]
        assert histories.items.dtype == np.int64
    assert list(HistoryArray._from_sequence(array.slice(2))) == [(), (5, 6)]
    assert list(HistoryArray._from_sequence(pa.nulls(2))) == [(), ()]


N_ROWS = 100 if "== 100" in inspect.getsource(base.BaseInterfaceTests.test_len) else 10  # of this version of pandas
_IS_PANDAS_2 = pd.__version__.startswith("2.")


# What pandas demands of any extension array, where a history can comply: none is missing, and a tuple is a value.


@pytest.fixture
def dtype():
    return HistoryDtype("item_id")


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    lists = [["a", "b"], ["b"], *(rng.choice(list("abcd"), rng.integers(0, 5)).tolist() for _ in range(N_ROWS - 2))]
    return HistoryArray._from_sequence(lists, dtype=HistoryDtype("item_id"))


@pytest.fixture
def na_value():
    return np.nan


class TestDtype(base.BaseDtypeTests):
    test_infer_dtype = None  # of values with a missing one


class TestInterface(base.BaseInterfaceTests):
    test_contains = test_isna_extension_array = None  # of missing values
    if _IS_PANDAS_2:  # wants a view, where later ones take the error that numpy asks for
        test_array_interface_copy = None


class TestConstructors(base.BaseConstructorsTests):
    # A tuple is a scalar here, and several values to pandas.
    test_series_constructor_scalar_with_index = test_from_dtype = None


class TestCasting(base.BaseCastingTests):
    test_astype_object_series = test_astype_object_frame = None  # of missing values


def test_histories_are_read_only(histories):
    with pytest.raises(TypeError, match="read-only"):
        histories[0] = ("a",)
