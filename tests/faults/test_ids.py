"""Ids that meet in two dtypes are joined as the keys of a dict are: by value, and to the last digit."""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin
from strategies import cases, run

from semid.ctr._encoding import ImpressionEncoder
from semid.datasets import add_negatives, k_core, leave_last_out, sample_negatives
from semid.features import ItemTable, SemanticIDEncoder
from semid.features._interaction_embeddings import _positions
from semid.tables._ids import concat_ids, factorize_ids, find_ids, id_index

pytestmark = pytest.mark.filterwarnings("ignore:no value of column", "ignore:.*of the rows of column")

# Neighbours that float64 takes for one another, on both sides of what int64 and uint64 hold; and text of the same.
NUMBERS = [0, 1, 7, -1, -(2**63), 2**53, 2**53 + 1, 2**60, 2**60 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
TEXTS = ["0", "7", "07", "7.0", str(2**60), str(2**60 + 1), "", "é", "None", "nan"]
BYTES = [b"0", b"7", b"i1"]
HUGE = [2**64, 2**70, -(2**63) - 1]
INTEGERS = (np.int64, np.uint64, np.int32, int)


class RowTokenizer(TransformerMixin, BaseEstimator):
    """Gives each item the number that its embedding is, so that no two share it."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X.astype(np.int64)


class Column(NamedTuple):
    """Ids as Python has them, None where missing, and the column that holds them."""

    plain: list
    held: pd.Series


def _holders(values):
    """Names of the dtypes that hold these values without loss."""
    present = [value for value in values if value is not None]
    has_missing = len(present) < len(values)
    kinds = ["object", "category"]
    if all(isinstance(value, str) for value in present):
        return [*kinds, "str", "string[pyarrow]", "large_string[pyarrow]", "polars"]
    if not all(isinstance(value, int) for value in present):
        return kinds
    kinds.append("integers of several types")
    if all(-(2**63) <= value < 2**63 for value in present):
        kinds += ["Int64", "int64[pyarrow]", "polars", *([] if has_missing else ["int64"])]
    if all(0 <= value < 2**64 for value in present):
        kinds += ["UInt64", "uint64[pyarrow]", "unsigned polars", *([] if has_missing else ["uint64"])]
    if all(abs(value) <= 2**53 for value in present):
        kinds.append("float64")
    return kinds


def _hold(values, kind, rng):
    if kind == "integers of several types":
        return pd.Series([_of_any_type(value, rng) for value in values], dtype=object)
    if "polars" in kind:
        dtype = pl.String if isinstance(values[0], str) else pl.UInt64 if "unsigned" in kind else pl.Int64
        dtype = dtype if any(value is not None for value in values) else pl.Int64
        return pl.Series(values, dtype=dtype).to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
    if kind == "float64":
        return pd.Series([np.nan if value is None else float(value) for value in values])
    held = pd.Series(values, dtype=object)
    return held if kind == "object" else held.astype(kind)


def _of_any_type(value, rng):
    fitting = [t for t in INTEGERS if value is not None and (t is int or np.iinfo(t).min <= value <= np.iinfo(t).max)]
    return value if value is None else fitting[rng.integers(len(fitting))](value)


POOLS = st.sampled_from([NUMBERS, NUMBERS, NUMBERS, TEXTS, BYTES, NUMBERS + TEXTS, NUMBERS + HUGE])


@st.composite
def columns(draw, pool, least=1, unique=False, may_miss=True):
    """A `Column` of ids of a pool, of which both sides of a join draw."""
    entries = st.sampled_from(pool if unique or not may_miss else [*pool, None])
    values = draw(st.lists(entries, min_size=least, max_size=10, unique=unique))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    kinds = [kind for kind in _holders(values) if not ("polars" in kind and values[0] is None)]
    return Column(values, _hold(values, draw(st.sampled_from(kinds)), rng))


@st.composite
def pairs(draw, least=2):
    """A catalogue of distinct ids, and ids asked for, which may be those of another pool."""
    pool = draw(POOLS)
    known = draw(columns(pool, least=least, unique=True))
    other = draw(st.sampled_from([pool, pool, pool, NUMBERS, TEXTS]))
    return known, draw(columns(other))


def _places(known, asked):
    place = {value: n for n, value in enumerate(known)}
    return [-1 if value is None else place.get(value, -1) for value in asked]


@cases(quick=40, long=2000)
def test_a_join_is_that_of_a_dict(profile):
    @given(pairs())
    def case(pair):
        known, asked = pair
        assert find_ids(id_index(known.held), asked.held).tolist() == _places(known.plain, asked.plain)
        joined = concat_ids(known.held, asked.held)
        assert [None if pd.isna(value) else value for value in joined] == [*known.plain, *asked.plain]
        numbers, names = factorize_ids(asked.held)
        distinct = list(dict.fromkeys(value for value in asked.plain if value is not None))
        assert numbers.tolist() == _places(distinct, asked.plain) and names.tolist() == distinct

    run(profile, case)


@pytest.mark.parametrize("asked", [["i7"], ["7"], [7], [np.uint64(7)], [7.0], [7, "i7", b"7", 0.5, 2**70, -1]])
@pytest.mark.parametrize(
    "kind", [object, "str", "string", "string[pyarrow]", "large_string[pyarrow]", "int64", "uint64"]
)
def test_ids_are_found_in_a_hash_table_that_is_built_once(kind, asked, rows_looked_at):
    plain = list(range(1000)) if "int64" in str(kind) else [f"i{n}" for n in range(1000)]
    known = id_index(pd.Series(plain, dtype=kind))
    holders = [object, "str", "string", "string[pyarrow]"] if all(isinstance(v, str) for v in asked) else [object]
    for holder in holders:
        rows_looked_at.clear()
        assert find_ids(known, pd.Series(asked, dtype=holder)).tolist() == _places(plain, asked)
        assert max(rows_looked_at, default=0) <= len(asked)


@pytest.mark.parametrize("value", [Decimal(7), Decimal("7.5"), Fraction(7), 7.0, np.inf, 2.0**63, True, b"7"])
def test_numbers_of_any_type_are_found_among_integers_as_in_a_dict(value):
    assert find_ids(id_index(np.arange(9)), pd.Series([value, "x"], dtype=object)).tolist() == _places(
        range(9), [value, "x"]
    )


@cases(quick=12, long=400)
def test_an_encoder_gives_each_id_the_codes_of_its_item_and_of_no_other(profile):
    @given(pairs(), st.data())
    def case(pair, data):
        known, asked = pair
        X = np.arange(len(known.plain), dtype=np.float32)[:, None]
        encoder = SemanticIDEncoder(RowTokenizer(), ItemTable(known.held, X))
        encoder.fit(asked.held.to_frame("item_id"))
        codes = encoder.transform(asked.held.to_frame("item_id"))
        assert codes[:, 0].tolist() == _places(known.plain, asked.plain)
        new = data.draw(columns(NUMBERS if isinstance(known.plain[0], int) else TEXTS, unique=True, may_miss=False))
        if {type(value) for value in known.plain} != {type(value) for value in new.plain}:
            return
        added = np.arange(100, 100 + len(new.plain), dtype=np.float32)[:, None]
        encoder.add_items(ItemTable(new.held, added))
        everything = dict(zip(new.plain, added[:, 0].astype(int).tolist(), strict=True))
        everything |= {value: n for n, value in enumerate(known.plain)}
        assert sorted(encoder.ids_.tolist(), key=str) == sorted(everything, key=str)
        again = encoder.transform(asked.held.to_frame("item_id"))
        assert again[:, 0].tolist() == [-1 if value is None else everything.get(value, -1) for value in asked.plain]

    run(profile, case)


@cases(quick=12, long=400)
def test_negatives_are_items_that_a_dict_of_sets_has_not(profile):
    @given(POOLS, st.data())
    def case(pool, data):
        catalogue = data.draw(columns(pool, least=3, unique=True))
        n = len(catalogue.plain)
        seen = data.draw(columns(catalogue.plain[:1] + catalogue.plain[1 : n - 2], may_miss=False))
        users = data.draw(columns(NUMBERS, least=len(seen.plain), may_miss=False))
        user = users.held[: len(seen.plain)].reset_index(drop=True)
        log = pd.DataFrame({"user_id": user, "item_id": seen.held})
        hidden = _hold(catalogue.plain[n - 2 : n - 1] * len(user), "object", None)
        exclude = pd.DataFrame({"user_id": user.astype(object), "item_id": hidden})
        touched = {}
        for who, what in zip(users.plain, seen.plain, strict=False):
            touched.setdefault(who, {catalogue.plain[n - 2]}).add(what)

        drawn = sample_negatives(log, catalogue.held, exclude=exclude, n_negatives=3, random_state=0)
        assert set(drawn["item_id"]) <= set(catalogue.plain)
        impressions = add_negatives(log, catalogue.held, exclude=exclude, n_negatives=3, random_state=0)
        for row, (what, click) in enumerate(zip(impressions["item_id"], impressions["click"], strict=True)):
            who = users.plain[row // 4]
            assert click == (row % 4 == 0)
            assert what == seen.plain[row // 4] if click else what in catalogue.plain and what not in touched[who]

    run(profile, case)


@cases(quick=12, long=400)
def test_interactions_belong_to_the_item_and_the_user_of_a_dict(profile):
    @given(POOLS, st.data())
    def case(pool, data):
        catalogue = data.draw(columns(pool, least=3, unique=True))
        items = data.draw(columns(catalogue.plain, least=6, may_miss=False))
        users = data.draw(columns(NUMBERS, least=len(items.plain), may_miss=False))
        log = pd.DataFrame({"user_id": users.held[: len(items.plain)], "item_id": items.held})
        places = _places(catalogue.plain, items.plain)
        numbers = _places(list(dict.fromkeys(users.plain)), users.plain)[: len(places)]
        found_users, found_items, _ = _positions(log, catalogue.held, "user_id", "item_id")
        assert found_items.tolist() == places and found_users.tolist() == numbers

    run(profile, case)


@cases(quick=12, long=400)
def test_a_click_model_knows_the_values_that_a_dict_knows(profile):
    @given(pairs(least=1))
    def case(pair):
        known, asked = pair
        encoder = ImpressionEncoder(["item_id"], None, None, 1, 1)
        met = encoder.fit_encode(known.held.to_frame("item_id"), np.ones(len(known.plain))).categories[:, 0]
        category = dict(zip(known.plain, met.tolist(), strict=True))
        assert len(set(category.values())) == len(category)
        found = encoder.encode(asked.held.to_frame("item_id")).categories[:, 0]
        assert found.tolist() == [0 if value is None else category.get(value, 1) for value in asked.plain]
        encoder.extend_encode(asked.held.to_frame("item_id"))
        again = encoder.encode(known.held.to_frame("item_id")).categories[:, 0]
        assert again.tolist() == met.tolist()

    run(profile, case)


@cases(quick=12, long=400)
def test_users_are_split_and_counted_as_by_a_dict(profile):
    @given(POOLS, st.data())
    def case(pool, data):
        users = data.draw(columns(pool, may_miss=False))
        numbers = _places(list(dict.fromkeys(users.plain)), users.plain)
        log = pd.DataFrame({"user_id": users.held, "item_id": range(len(numbers)), "timestamp": range(len(numbers))})
        plain = log.assign(user_id=numbers)
        assert leave_last_out(log).tolist() == leave_last_out(plain).tolist()
        same = log.assign(item_id=users.held)
        assert k_core(same, 2).index.tolist() == k_core(same.assign(user_id=numbers, item_id=numbers), 2).index.tolist()

    run(profile, case)
