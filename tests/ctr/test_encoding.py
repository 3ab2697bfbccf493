import copy
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from semid.ctr._encoding import ImpressionEncoder
from semid.nn._fields import FIRST_CATEGORY, UNKNOWN


def _encoder(categorical="auto", code="auto", min_frequency=1, vector="auto", vector_fields=1):
    return ImpressionEncoder(categorical, code, vector, min_frequency, vector_fields)


def _frame():
    return pd.DataFrame(
        {
            "user": [7, 7, 9, 11],
            "brand": ["b", None, "a", "b"],
            "price": [1.0, 2.0, 3.0, 6.0],
            "new": [True, False, True, True],
            "kind": pd.Categorical(["x", "y", "x", None]),
        }
    )


def test_auto_takes_all_but_float_columns_as_categories():
    encoder = _encoder()
    encoded = encoder.fit_encode(_frame(), np.ones(4))
    assert [encoder.names_[p] for p in encoder.categorical_] == ["user", "brand", "new", "kind"]
    assert encoder.shapes.vocabulary_sizes == (2 + 3, 2 + 2, 2 + 2, 2 + 2)
    # 0 missing, 1 unknown, 2.. sorted categories
    assert encoded.categories.T.tolist() == [[2, 2, 3, 4], [3, 0, 2, 3], [3, 2, 3, 3], [2, 3, 2, 0]]


def test_numbers_are_standardised_with_weights():
    weights = np.array([1.0, 1.0, 0.5, 2.0])
    encoder = _encoder()
    encoded = encoder.fit_encode(_frame(), weights)
    mean = np.average([1, 2, 3, 6], weights=weights)
    std = np.sqrt(np.average((np.array([1, 2, 3, 6]) - mean) ** 2, weights=weights))
    np.testing.assert_allclose(encoded.numbers[:, 0], (np.array([1, 2, 3, 6]) - mean) / std, rtol=1e-6)


def test_values_unseen_in_fit_are_unknown_and_missing_ones_missing():
    encoder = _encoder()
    encoder.fit_encode(_frame(), np.ones(4))
    new = _frame().assign(user=[7, 8, 9, 10], brand=["c", None, "a", "b"])
    assert encoder.encode(new).categories[:, :2].T.tolist() == [[2, 1, 3, 1], [1, 0, 2, 3]]


def test_rare_categories_are_unknown():
    encoder = _encoder(min_frequency=2)
    encoded = encoder.fit_encode(_frame(), np.ones(4))
    assert encoded.categories[:, 0].tolist() == [2, 2, 1, 1]


def test_code_columns_form_one_group_per_prefix_at_the_end():
    X = pd.DataFrame({"a_code0": [1, 2], "user": [3, 4], "b_code0": [5, 6], "a_code1": [7, 8], "b_code1": [0, 1]})
    encoder = _encoder()
    encoder.fit_encode(X, np.ones(2))
    assert [encoder.names_[p] for p in encoder.categorical_] == [
        "user",
        "a_code0",
        "a_code1",
        "b_code0",
        "b_code1",
    ]
    assert encoder.code_groups_ == [slice(1, 3), slice(3, 5)]


def test_code_columns_are_categories_even_as_floats():
    X = pd.DataFrame({"item_id_code0": [1.0, 2.0, -1.0], "price": [0.1, 0.2, 0.3]})
    encoder = _encoder()
    encoded = encoder.fit_encode(X, np.ones(3))
    assert encoded.categories[:, 0].tolist() == [3, 4, 2]
    assert encoded.numbers.shape == (3, 1)


@pytest.mark.parametrize("categorical", [[0, "u"], ["u", 0], [True, True, False], np.array([True, True, False])])
def test_columns_are_named_by_position_name_or_mask(categorical):
    X = pd.DataFrame({"c": [1.0, 2.0], "u": [3, 4], "p": [0.5, 0.6]})
    encoder = _encoder(categorical=categorical)
    encoder.fit_encode(X, np.ones(2))
    assert [encoder.names_[p] for p in encoder.categorical_] == ["c", "u"]
    assert encoder.numeric_ == [2]


def test_arrays_integers_are_categories_floats_are_numbers_objects_are_looked_into():
    assert _encoder().fit_encode(np.array([[1, 2], [3, 4]]), np.ones(2)).categories.shape == (2, 2)
    assert _encoder().fit_encode(np.array([[1.0, 2], [3, 4]]), np.ones(2)).numbers.shape == (2, 2)
    mixed = _encoder().fit_encode(np.array([["a", 2.5], ["b", 3.5]], dtype=object), np.ones(2))
    assert mixed.categories.shape == mixed.numbers.shape == (2, 1)


def test_large_integer_ids_stay_apart():
    ids = np.array([2**53, 2**53 + 1, 2**24, 2**24 + 1])
    encoded = _encoder().fit_encode(pd.DataFrame({"id": ids}), np.ones(4))
    assert sorted(encoded.categories[:, 0]) == [2, 3, 4, 5]


def test_nullable_and_arrow_columns():
    X = pd.DataFrame(
        {
            "u": pd.array([1, None, 3], dtype="Int64"),
            "s": pd.array(["a", None, "b"], dtype="string"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "f": pd.array([1.0, 2.0, 3.0], dtype="Float64"),
        }
    )
    encoded = _encoder().fit_encode(X, np.ones(3))
    assert encoded.categories.T.tolist() == [[2, 0, 3], [2, 0, 3], [3, 0, 2]]
    assert encoded.numbers.shape == (3, 1)


@pytest.mark.parametrize(
    ("column", "categorical", "error", "message"),
    [
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), "auto", ValueError, r"'x' holds dates; .*dt.hour"),
        (
            [0.5, np.inf],
            "auto",
            ValueError,
            "contains infinity or a value too large for float32 in the numeric column 'x'",
        ),
        (
            [0.5, 1.0],
            ["x"],
            ValueError,
            "'x' is categorical and must hold whole numbers, text or categories, got 0.5",
        ),
        (["a", "b"], None, ValueError, "'x' is not among categorical_features and must hold numbers"),
        (
            [{"a": 1}, {"b": 2}],
            "auto",
            TypeError,
            r"argument must be a string or a number in column 'x', got {'a': 1}",
        ),
        (
            [1, 2],
            ["y"],
            ValueError,
            r"categorical_features must name columns of X, or give their positions, got 'y'; X has \['x'\]",
        ),
        ([1, 2], [3], ValueError, "categorical_features must name columns of X, or give their positions, got 3"),
        ([1, 2], [True, False], ValueError, "mask must have one entry per column, got 2 for 1"),
        ([1, 2], "all", ValueError, "categorical_features must be 'auto', None, or a list"),
    ],
)
def test_bad_columns_are_refused(column, categorical, error, message):
    with pytest.raises(error, match=message):
        _encoder(categorical=categorical).fit_encode(pd.DataFrame({"x": column}), np.ones(2))


def test_constant_numbers_are_zero_and_their_neighbours_finite():
    for value in (1.5, 3.3, 0.1):
        encoder = _encoder()
        encoded = encoder.fit_encode(pd.DataFrame({"x": np.full(200, value)}), np.ones(200))
        assert not encoded.numbers.any()
        assert encoder.scales_ == [1.0]


def test_booleans_of_any_dtype_are_one_category():
    encoder = _encoder()
    fitted = encoder.fit_encode(pd.DataFrame({"x": [True, False, None]}), np.ones(3)).categories[:, 0]
    assert fitted.tolist() == [3, 2, 0]
    for dtype in (bool, "boolean", object):
        again = encoder.encode(pd.DataFrame({"x": pd.Series([True, False, True]).astype(dtype)})).categories[:, 0]
        assert again.tolist() == [3, 2, 3]
    numpy_booleans = pd.Series([np.bool_(True), np.bool_(False)], dtype=object)
    assert encoder.encode(pd.DataFrame({"x": numpy_booleans})).categories[:, 0].tolist() == [3, 2]


def test_integer_categories_with_missing_values():
    X = pd.DataFrame({"x": pd.Categorical([10, None, 30])})
    encoder = _encoder()
    assert encoder.fit_encode(X, np.ones(3)).categories[:, 0].tolist() == [2, 0, 3]
    assert encoder.encode(pd.DataFrame({"x": [30, 10, 20]})).categories[:, 0].tolist() == [3, 2, 1]


def test_numbers_far_out_stay_finite():
    encoder = _encoder()
    encoder.fit_encode(pd.DataFrame({"x": [0.0, 1e-9]}), np.ones(2))
    assert np.isfinite(encoder.encode(pd.DataFrame({"x": [1e38]})).numbers).all()
    with pytest.raises(ValueError, match="too large for float32 in the numeric column 'x'"):
        encoder.encode(pd.DataFrame({"x": [1e200]}))


def test_columns_named_twice_or_not_in_a_list_are_refused():
    X = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    with pytest.raises(ValueError, match="code_features must name each column once"):
        _encoder(code=["a", "a"]).fit_encode(X, np.ones(2))
    with pytest.raises(TypeError, match="categorical_features must be 'auto', None, or a list of columns, got 0"):
        _encoder(categorical=0).fit_encode(X, np.ones(2))


def test_a_column_that_only_looks_like_codes_says_what_to_do():
    X = pd.DataFrame({"postal_code1": [0.5, 1.5]})
    with pytest.raises(ValueError, match="are codes unless code_features says otherwise"):
        _encoder().fit_encode(X, np.ones(2))
    assert _encoder(code=None).fit_encode(X, np.ones(2)).numbers.shape == (2, 1)


def test_a_missing_number_is_the_mean_and_says_so_in_a_field_of_its_own():
    encoder = _encoder()
    X = pd.DataFrame({"x": [1.0, np.nan, 3.0], "z": [1.0, 2.0, 3.0]})
    numbers = encoder.fit_encode(X, np.ones(3)).numbers
    assert encoder.shapes.n_numeric == 3
    np.testing.assert_allclose(numbers[:, 0], [-1, 0, 1], rtol=1e-6)
    assert numbers[:, 2].tolist() == [0, 1, 0]
    # A column that was complete in fit has no such field, and may have gaps later.
    again = encoder.encode(pd.DataFrame({"x": [2.0], "z": [np.nan]})).numbers
    np.testing.assert_allclose(again, [[0, 0, 0]], atol=1e-7)


def test_lists_are_fields_of_several_categories():
    lists = [["a", "b"], [], None, ["b", "c", "b"], ["a", "b"]]
    encoder = _encoder()
    encoded = encoder.fit_encode(pd.DataFrame({"genres": lists, "x": [1, 2, 3, 4, 5]}), np.ones(5))
    assert encoder.shapes.vocabulary_sizes == (7,)
    assert encoder.shapes.list_vocabulary_sizes == (5,)
    assert encoded.lists[0].padded().tolist() == [[2, 3, 0], [0, 0, 0], [0, 0, 0], [3, 4, 3], [2, 3, 0]]
    later = encoder.encode(pd.DataFrame({"genres": [["z", "c"], ("a",)], "x": [1, 2]})).lists[0]
    assert later.padded().tolist() == [[1, 4], [2, 0]]
    with pytest.raises(TypeError, match="column 'genres' must hold lists, as in fit, got 'a' in row 0"):
        encoder.encode(pd.DataFrame({"genres": ["a"], "x": [1]}))


def test_entries_of_lists_are_counted_per_impression():
    lists = [["a", "b"], ["a", "c"], ["a", "b"]]
    encoder = _encoder(min_frequency=2)
    encoder.fit_encode(pd.DataFrame({"tags": lists}), np.ones(3))
    assert encoder.vocabularies_[0].tolist() == ["a", "b"]


def test_float_columns_numbered_from_zero_are_a_vector():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 9)), columns=[*(f"emb_{n}" for n in range(8)), "price"])
    encoder = _encoder(vector_fields=2)
    numbers = encoder.fit_encode(X, np.ones(20)).numbers
    assert encoder.shapes.n_numeric == 1
    assert encoder.shapes.vectors == ((8, 2),)
    assert encoder.shapes.n_fields == 3
    np.testing.assert_allclose(numbers[:, 0], (X["price"] - X["price"].mean()) / X["price"].std(ddof=0), rtol=1e-5)
    np.testing.assert_allclose(numbers[:, 3], (X["emb_2"] - X["emb_2"].mean()) / X["emb_2"].std(ddof=0), rtol=1e-5)
    assert _fitted(X, vector=None).shapes.vectors == ()
    assert _fitted(X, vector=["emb_0", "price"]).shapes.vectors == ((2, 1),)
    criteo = X.rename(columns={f"emb_{n}": f"I{n + 1}" for n in range(8)})
    assert _fitted(criteo).shapes.n_numeric == 9
    with pytest.raises(ValueError, match=r"vector_features must be numbers, got \['user'\]"):
        _fitted(X.assign(user=1), vector=["emb_0", "user"])


def _fitted(X, **parameters):
    encoder = _encoder(**parameters)
    encoder.fit_encode(X, np.ones(len(X)))
    return encoder


def _objects(*values):
    return pd.Series(values, dtype=object)


COLUMNS = {
    "text": pd.Series(["1", "01", "x", "1e0", None, "1"]),
    "object text of digits": _objects("1", "01", "2", "1.0", None),
    "object text": _objects("1", "x", "True", None),
    "text and numbers": _objects(1, "1", 2, "2", 1.0, True, None),
    "object integers": _objects(1, 2, None, 2**70),
    "object whole floats": _objects(1.0, 2.0, None),
    "object booleans": _objects(True, False, None),
    "integers": pd.Series([3, 1, 2]),
    "unsigned": pd.Series([2**63 + 1, 1, 2**53 + 1], dtype=np.uint64),
    "nullable integers": pd.Series([3, 1, None], dtype="Int64"),
    "booleans": pd.Series([True, False]),
    "category of text": pd.Series(["1", "01", None], dtype="category"),
    "category of integers": pd.Series([10, 30, None]).astype("Int64").astype("category"),
    "category of fractions": pd.Series([0.5, 1.0, 1.5, None], dtype="category"),
    "category of both": _objects(1, "1", 0.5).astype("category"),
    "intervals": pd.Series(pd.cut([1, 5, 9], 3)),
    "lists of text": _objects(["1", "x"], ["2"], ["1"], ["01"], None, []),
    "lists of both": _objects([1, "1"], [2.0], ["2"], [True]),
}


@pytest.mark.parametrize("n_buckets", [None, 10_000])
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_row_alone_is_read_as_in_its_table(kind, n_buckets):
    X = pd.DataFrame({"x": COLUMNS[kind], "other": 0.5})
    encoder = _encoder()
    fitted = encoder.fit_encode(X, np.ones(len(X)))
    if n_buckets is not None:  # as a model of 0.1.0 may have
        encoder.vocabularies_ = [n_buckets]
        fitted = encoder.encode(X)
    for row in range(len(X)):
        alone = encoder.encode(X[row : row + 1])
        if fitted.lists:
            entries, expected = alone.lists[0].padded()[0], fitted.lists[0].padded()[row]
            assert [e for e in entries if e] == [e for e in expected if e]
        else:
            assert alone.categories.tolist() == fitted.categories[row : row + 1].tolist()
            # 0 for a missing value alone, 1 for none at all.
            assert (alone.categories > 0).all() == X["x"].notna()[row]
            assert (alone.categories != 1).all()


@pytest.mark.parametrize(
    ("values", "n_categories"),
    [(("01", "1"), 2), (("1e5", "100000"), 2), ((1, "1", 2), 3), ((1, 1.0, True, "1"), 2), ((b"a", "a"), 2)],
    ids=str,
)
def test_text_stays_text_and_equal_numbers_are_one(values, n_categories):
    for column in (_objects(*values), _objects(*([value] for value in values))):
        encoder = _fitted(pd.DataFrame({"x": column}))
        assert len(encoder.vocabularies_[0]) == n_categories


def test_text_is_the_same_in_every_dtype_and_so_are_integers():
    text = pd.Series(["7", "x", "07"])
    numbers = pd.Series([7, 8, 2**53 + 1])
    same = {
        "text": [text, text.astype(object), text.astype("category"), text.astype("string")],
        "numbers": [numbers, numbers.astype(object), numbers.astype("Int64"), numbers.astype(np.uint64)],
    }
    for kind, columns in same.items():
        for fitted in columns:
            encoder = _encoder()
            expected = encoder.fit_encode(pd.DataFrame({"x": fitted}), np.ones(3)).categories
            for column in columns:
                np.testing.assert_array_equal(encoder.encode(pd.DataFrame({"x": column})).categories, expected, kind)
            as_floats = encoder.encode(pd.DataFrame({"x": [7.0]})) if kind == "numbers" else None
            assert as_floats is None or as_floats.categories.item() == expected[0, 0]


def test_numbers_in_an_array_of_objects_are_numbers():
    X = np.array([[1, 0.5, "1"], [2, 1.5, "2"], [3, 2.5, "x"]], dtype=object)
    encoder = _encoder()
    expected = encoder.fit_encode(X, np.ones(3))
    assert [vocabulary.tolist() for vocabulary in encoder.vocabularies_] == [[1, 2, 3], ["1", "2", "x"]]
    for row in range(3):
        alone = encoder.encode(X[row : row + 1])
        np.testing.assert_array_equal(alone.categories[0], expected.categories[row])
        np.testing.assert_array_equal(alone.numbers[0], expected.numbers[row])


DATES = {
    "timestamps": pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"])),
    "with a zone": pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"], utc=True)),
    "category": pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"])).astype("category"),
    "dates": _objects(date(2020, 1, 1), date(2021, 1, 1)),
    "object timestamps": _objects(pd.Timestamp("2020-01-01"), None),
    "periods": pd.Series(pd.period_range("2020", "2021", freq="Y")),
    "durations": pd.Series(pd.to_timedelta([1, 2], unit="h")),
    "object durations": _objects(timedelta(hours=1), timedelta(hours=2)),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_refused_wherever_they_are(kind):
    X = pd.DataFrame({"when": DATES[kind], "user": [1, 2]})
    message = "column 'when' holds (dates; .*dt.hour|durations; .*total_seconds)"
    for categorical in ("auto", None, ["user"], ["user", "when"]):
        with pytest.raises(ValueError, match=message):
            _encoder(categorical=categorical).fit_encode(X, np.ones(2))
    for fitted in ([1, 2], [0.5, 1.5], ["a", "b"]):
        with pytest.raises(ValueError, match=message):
            _fitted(X.assign(when=fitted)).encode(X)


def test_dates_of_polars_are_refused():
    polars = pytest.importorskip("polars")
    from semid.ctr import DeepFMClassifier

    X = polars.DataFrame({"when": [date(2020, 1, 1), date(2021, 1, 1)], "user": [1, 2]})
    with pytest.raises(ValueError, match="column 'when' holds dates"):
        DeepFMClassifier().fit(X, [0, 1])


def test_arrow_lists_are_lists():
    pa = pytest.importorskip("pyarrow")
    lists = [["a", "b"], [], None, ["b"]]
    expected = _encoder().fit_encode(pd.DataFrame({"x": _objects(*lists)}), np.ones(4)).lists[0]
    for kind in (pa.list_(pa.string()), pa.large_list(pa.string())):
        X = pd.DataFrame({"x": pd.array(lists, dtype=pd.ArrowDtype(kind))})
        encoded = _encoder().fit_encode(X, np.ones(4)).lists[0]
        assert encoded.padded().tolist() == expected.padded().tolist()


@pytest.mark.parametrize("value", [["a"], ("a",), np.array(["a"])], ids=["list", "tuple", "array"])
def test_lists_where_there_were_none_are_refused(value):
    # None at all in the first batch of a partial_fit, or single values.
    for first in ([None, None], ["a", "b"]):
        encoder = _fitted(pd.DataFrame({"tags": _objects(*first), "user": [1, 2]}))
        later = pd.DataFrame({"tags": _objects(None, value), "user": [1, 2]})
        with pytest.raises(TypeError, match=r"column 'tags' must hold single values, got the list .*in the first fit"):
            encoder.extend_encode(later)


def test_lists_of_lists_are_refused():
    for nested in ([["a"]], [("a",)]):
        X = pd.DataFrame({"tags": _objects(nested, ["b"])})
        with pytest.raises(TypeError, match=r"column 'tags' must hold .*[Ff]latten"):
            _encoder().fit_encode(X, np.ones(2))


def test_categories_may_be_fractions():
    sizes = pd.Series([0.5, 1.0, 1.5, 0.5]).astype("category")
    encoder = _encoder()
    encoded = encoder.fit_encode(pd.DataFrame({"x": sizes}), np.ones(4))
    assert encoded.categories[:, 0].tolist() == [2, 3, 4, 2]
    assert encoder.encode(pd.DataFrame({"x": [1, 2]})).categories[:, 0].tolist() == [3, 1]


def test_decimals_say_what_to_do():
    X = pd.DataFrame({"price": _objects(Decimal("1.5"), Decimal("2"))})
    with pytest.raises(TypeError, match=r"column 'price' must hold numbers or text, got decimals. .*astype\(float\)"):
        _encoder().fit_encode(X, np.ones(2))
    np.testing.assert_allclose(_encoder().fit_encode(X.astype(float), np.ones(2)).numbers[:, 0], [-1, 1])


def test_hashed_categories_of_former_models_need_no_vocabulary_and_do_not_depend_on_the_dtype():
    encoder = _fitted(pd.DataFrame({"user": ["7", "8"], "item": [1, 2]}))
    encoder.vocabularies_[0] = 1000  # as a model of 0.1.0 may have
    assert encoder.shapes.vocabulary_sizes == (1002, 4)
    as_text = encoder.encode(pd.DataFrame({"user": ["7", "none such"], "item": [1, 2]})).categories[:, 0]
    as_numbers = encoder.encode(pd.DataFrame({"user": [7.0, np.nan], "item": [1, 2]})).categories[:, 0]
    assert as_text[0] == as_numbers[0] >= 2
    assert as_text[1] >= 2
    assert as_numbers[1] == 0
    encoder.extend_encode(pd.DataFrame({"user": ["9"], "item": [3]}))
    assert encoder.shapes.vocabulary_sizes == (1002, 5)


def test_more_categories_never_move_those_that_are_known():
    encoder = _fitted(pd.DataFrame({"x": ["b", "d"], "n": [10, 30]}))
    encoded = encoder.extend_encode(pd.DataFrame({"x": ["a", "d", "b", None], "n": [20, 10, 30, 20]}))
    assert encoder.vocabularies_[0].tolist() == ["b", "d", "a"]
    assert encoder.vocabularies_[1].tolist() == [10, 30, 20]
    assert encoded.categories.tolist() == [[4, 4], [3, 2], [2, 3], [0, 4]]


def test_ids_past_32_bits_and_past_float32_stay_apart():
    big = np.array([2**63 + 1, 2**63 + 2, 2**53 + 1, 2**53], dtype=np.uint64)
    categories = _encoder().fit_encode(pd.DataFrame({"id": big}), np.ones(4)).categories[:, 0]
    assert len(set(categories.tolist())) == 4
    floats = pd.DataFrame({"id": np.array([16777216.0, 16777217.0])})
    assert len(set(_encoder(categorical=["id"]).fit_encode(floats, np.ones(2)).categories[:, 0].tolist())) == 2


def test_polars_tables_are_read_with_integers_as_integers():
    polars = pytest.importorskip("polars")
    from semid.ctr import DeepFMClassifier

    X = {"user": [2**53 + 1, 2**53, None] * 20, "brand": ["a", None, "b"] * 20, "tags": [["x"], [], None] * 20}
    y = [0, 1] * 30
    model = DeepFMClassifier(max_iter=1, random_state=0).fit(polars.DataFrame(X), y)
    assert model.encoder_.vocabularies_[0].tolist() == [2**53, 2**53 + 1]
    as_pandas = pd.DataFrame({**X, "user": pd.array(X["user"], dtype="Int64")})
    np.testing.assert_array_equal(model.predict_proba(polars.DataFrame(X)), model.predict_proba(as_pandas))


def test_a_long_list_is_kept_at_its_own_length_alone():
    lists = [[n % 7, n % 5] for n in range(3000)]
    lists[1000] = list(range(20_000))
    X = pd.DataFrame({"history": _objects(*lists, *lists[1000:1001] * 500)})
    encoded = _encoder().fit_encode(X, np.ones(3500))
    assert sum(array.nbytes for array in encoded.lists[0]) < 200_000
    again = encoded.lists[0]._replace(which=encoded.lists[0].which[[0, 999, 1001]])
    assert (again.padded() - FIRST_CATEGORY).tolist() == [lists[0], lists[999], lists[1001]]


def test_entries_that_are_missing_are_none_of_a_list():
    X = pd.DataFrame({"tags": _objects(["a", None, "b"], [None], [], ["b", np.nan])})
    encoded = _encoder().fit_encode(X, np.ones(4))
    assert encoded.lists[0].padded().tolist() == [[2, 3], [0, 0], [0, 0], [3, 0]]


def test_numbers_far_from_those_of_training_count_as_the_nearest_that_are_not():
    prices = pd.DataFrame({"price": [10.0, 20.0, 60.0], "same": 5.0})
    encoder = _encoder()
    encoder.fit_encode(prices, np.ones(3))
    asked = pd.DataFrame({"price": [9_999_999.0, 110.0, 90.0, -30.0, -1e38, np.nan], "same": [5, 1e9, 6, 4, -1e9, 5.5]})
    mean, scale = prices["price"].mean(), prices["price"].std(ddof=0)
    near = [110.0, 110.0, 90.0, -30.0, -40.0, mean]
    expected = np.transpose([(np.array(near) - mean) / scale, [0, 1, 1, -1, -1, 0.5]])
    np.testing.assert_allclose(encoder.encode(asked).numbers, expected, rtol=1e-6)


def test_what_more_training_has_met_is_near():
    encoder = _encoder()
    encoder.fit_encode(pd.DataFrame({"price": [10.0, 20.0]}), np.ones(2))
    encoder.extend_encode(pd.DataFrame({"price": [30.0, 9_999_999.0]}))
    numbers = encoder.encode(pd.DataFrame({"price": [50.0, 51.0]})).numbers
    np.testing.assert_allclose(numbers[:, 0], [7.0, 7.0])  # of 10 to 30, as wide again


def test_lists_under_the_name_of_codes_are_refused():
    X = pd.DataFrame({"history_code0": _objects(["a"], ["b", "a"]), "user": [1, 2]})
    with pytest.raises(TypeError, match="column 'history_code0' holds lists, and codes must be single values"):
        _encoder().fit_encode(X, np.ones(2))
    assert _fitted(X, code=None).shapes.list_vocabulary_sizes == (4,)


@pytest.mark.parametrize("vocabulary", [list(range(1000)), [f"i{n}" for n in range(1000)], [*range(999), "guest"]])
def test_a_request_for_a_new_value_looks_at_no_other(vocabulary, rows_looked_at):
    encoder = _encoder()
    encoder.fit_encode(pd.DataFrame({"item_id": pd.Series(vocabulary, dtype=object)}), np.ones(1000))
    encoder.encode(pd.DataFrame({"item_id": ["i0"]}))
    rows_looked_at.clear()
    for new in ("new", 5000):
        assert encoder.encode(pd.DataFrame({"item_id": [new]})).categories.tolist() == [[UNKNOWN]]
    assert max(rows_looked_at) == 1


def test_values_of_the_other_kind_are_told_of():
    X = pd.DataFrame({"user_id": [1, 2, 3, 1], "item_id": list("abca"), "tags": [[1], [2, 3], [], [1]]})
    encoder = _encoder()
    encoder.fit_encode(X, np.ones(4))
    with pytest.warns(UserWarning, match="no value of column 'user_id' is known: ids like '1', where the model has"):
        encoder.encode(X.astype({"user_id": str}))
    with pytest.warns(UserWarning, match="no value of column 'tags' is known: ids like '1'"):
        encoder.encode(X.assign(tags=[["1"], ["2"], [], []]))
    with pytest.warns(UserWarning, match="no value of column 'user_id' is known"):
        copy.deepcopy(encoder).extend_encode(X.astype({"user_id": str}))
    # New values of either kind, values of both kinds, and missing ones are nothing to warn of.
    encoder.encode(X[:1].assign(user_id="guest"))
    encoder.encode(X[:1].assign(user_id="4"))
    encoder.encode(X[:1].assign(item_id=7))
    encoder.encode(X.assign(user_id=[7, 8, 9, 10]))
    encoder.encode(X.assign(user_id=pd.Series([7, "guest", "1", None], dtype=object)))
    encoder.encode(X.assign(user_id=pd.Series([None] * 4, dtype="Int64")))
