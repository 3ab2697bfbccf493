"""A word where a column is probably not what it is used as, and none where all is well."""

import warnings

import numpy as np
import pandas as pd
import pytest

from semid.ctr import FactorizationMachineClassifier
from semid.ctr._suspects import _are_names

N_ROWS = 2000


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _clicks(logit, rng):
    return (rng.random(N_ROWS) < 1 / (1 + np.exp(-np.asarray(logit, dtype=float)))).astype(int)


def _warnings(X, y, **parameters):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        FactorizationMachineClassifier(embedding_dim=2, max_iter=1, random_state=0, **parameters).fit(X, y)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("n_names", [12, 30, 200])
def test_names_as_floats_are_noticed_whatever_the_column_is_called(rng, n_names):
    category = rng.integers(n_names, size=N_ROWS)
    y = _clicks(np.where(rng.permutation(n_names)[category] % 2, 2, -2), rng)
    X = pd.DataFrame({"shelf": category.astype(float), "price": rng.lognormal(size=N_ROWS)})
    (message,) = _warnings(X, y)
    assert "columns ['shelf'] hold few whole numbers as floats" in message
    for said in (None, []):
        assert not _warnings(X, y, categorical_features=said)
    assert not _warnings(X, y, categorical_features=["shelf"])
    assert not _warnings(X.astype({"shelf": int}), y)


def test_a_polars_frame_that_passed_through_one_array_is_noticed(rng):
    pl = pytest.importorskip("polars")
    compose = pytest.importorskip("sklearn.compose")
    frame = pl.DataFrame({"category": rng.integers(12, size=N_ROWS), "price": rng.lognormal(size=N_ROWS)})
    y = _clicks(3 * (-1.0) ** frame["category"].to_numpy(), rng)
    fields = compose.ColumnTransformer([("fields", "passthrough", ["category", "price"])])
    X = fields.set_output(transform="pandas").fit_transform(frame)
    assert any("category" in message and "as floats" in message for message in _warnings(X, y))


def test_numbers_that_happen_to_be_whole_are_let_alone(rng):
    columns = {
        "rating": rng.integers(1, 6, size=N_ROWS),
        "age": rng.integers(18, 80, size=N_ROWS),
        "n_orders": rng.poisson(rng.lognormal(1, 1, size=N_ROWS)),
        "hour": rng.integers(24, size=N_ROWS),
        "flag": rng.integers(2, size=N_ROWS),
        "year": rng.integers(1990, 2020, size=N_ROWS),
        "gaps": np.where(rng.random(N_ROWS) < 0.2, np.nan, rng.integers(5, size=N_ROWS)),
    }
    X = pd.DataFrame(columns).astype(float)
    assert not _warnings(X, rng.integers(2, size=N_ROWS))
    for name in columns:
        standardised = (X[name] - X[name].mean()).fillna(0) / X[name].std()
        assert not _warnings(X[[name]], _clicks(2 * standardised, rng)), name
    assert not _warnings(X[["n_orders"]], _clicks(np.log1p(X["n_orders"]) - 1.5, rng))
    assert not _warnings(X[["hour"]], _clicks(2 * np.cos((X["hour"] - 20) / 24 * 2 * np.pi), rng))
    assert not _warnings(X[["age"]], _clicks(2 - ((X["age"] - 45) / 12) ** 2, rng))


HOURS = np.arange(24)


@pytest.mark.parametrize(
    ("rates", "n_rows"),
    [
        ([0.3, 0.1, 0.05, 0.1, 0.3], 20_000),  # stars, U
        ([0.2, 0.05, 0.05, 0.1, 0.4], 20_000),  # stars, J
        ([0.1, 0.2, 0.1], 2000),  # bands of age
        ([0.1, 0.1, 0.1, 0.1, 0.12, 0.2, 0.2], 200_000),  # days of the week
        (0.1 + 0.1 * np.exp(-(((HOURS - 8) / 2) ** 2)) + 0.15 * np.exp(-(((HOURS - 20) / 2) ** 2)), 20_000),
        (0.1 + sum(0.1 * np.exp(-(((HOURS - peak) / 1.5) ** 2)) for peak in (8, 13, 20)), 200_000),
        (0.05 + 0.3 * np.abs(np.linspace(-1, 1, 10)) ** 4, 50_000),
        (0.5 ** np.arange(1, 9), 50_000),
    ],
)
def test_rates_with_peaks_are_curves_and_not_those_of_names(rates, n_rows):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        numbers = rng.integers(len(rates), size=n_rows)
        assert not _are_names(
            pd.Series(numbers, dtype=float), (rng.random(n_rows) < np.take(rates, numbers)).astype(int)
        )


@pytest.mark.parametrize("texts", [["[12, 7]", "[3]", "[]"], ["[12 7]", "[3]"], ["('a', 'b')", "('b',)"]])
def test_lists_that_are_text_are_noticed(rng, texts):
    X = pd.DataFrame({"history": np.array(texts, dtype=object)[rng.integers(len(texts), size=N_ROWS)], "user": 1})
    y = rng.integers(2, size=N_ROWS)
    (message,) = _warnings(X, y)
    assert "column 'history' holds lists as text, such as" in message and "map(ast.literal_eval)" in message
    assert not _warnings(X.astype({"history": "category"}), y)


def test_text_with_brackets_is_no_list(rng):
    y = rng.integers(2, size=N_ROWS)
    for texts in (
        ["[Remix]", "[Live]"],
        ["(no genres listed)", "Drama, War"],
        ["a, b", "[1, 2]"],
        ["[]", "[]"],
        ["(S, slim)", "(36, 38)"],
    ):
        assert not _warnings(pd.DataFrame({"genre": [texts[n % 2] for n in range(N_ROWS)], "user": 1}), y)


def test_a_label_among_the_features_is_noticed(rng):
    y = rng.integers(2, size=N_ROWS)
    user = rng.integers(50, size=N_ROWS)
    seconds = np.where(y, rng.lognormal(size=N_ROWS), 0.0)
    rating = np.where(y, rng.integers(4, 6, size=N_ROWS), rng.integers(1, 4, size=N_ROWS))
    leaks = {
        "clicked": y,
        "action": np.where(y, "click", "skip"),
        "event": np.where(y, rng.choice(["click", "buy"], size=N_ROWS), "view"),
        "seconds": seconds,
        "score": y.astype(float),
        "rating": rating,
        "stars": rating.astype(float),
    }
    for name, values in leaks.items():
        (message,) = _warnings(pd.DataFrame({"user": user, name: values}), y)
        assert f"each of the columns ['{name}'] alone decides every label" in message
    clicked_at = pd.DataFrame({"user": user, "clicked_at": np.where(y, rng.normal(size=N_ROWS), np.nan)})
    assert "clicked_at (whether it is missing)" in _warnings(clicked_at, y)[0]


def test_fields_that_tell_much_are_let_alone(rng):
    user = rng.integers(50, size=N_ROWS)
    y = user % 2
    assert not _warnings(pd.DataFrame({"user": user}), y)
    almost = np.where(np.arange(N_ROWS) == 7, 1 - y, y)
    assert not _warnings(pd.DataFrame({"user": user, "almost": almost}), y)
    x = rng.normal(size=N_ROWS)
    assert not _warnings(pd.DataFrame({"x": x, "user": user}), (x > 0).astype(int))
    assert not _warnings(pd.DataFrame({"clicked": y[:60]}), y[:60])
