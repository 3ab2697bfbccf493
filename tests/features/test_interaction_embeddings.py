import numpy as np
import pandas as pd
import pytest

from semid.features import interaction_embeddings


@pytest.fixture
def log(rng):
    """Two circles of 30 users who like the items of their own circle, items 0 to 9 or 10 to 19; item 20 has none."""
    users = np.repeat(np.arange(60), 6)
    items = rng.integers(10, size=360) + 10 * (users >= 30)
    return pd.DataFrame({"user_id": users, "item_id": items})


def test_it_equals_the_dense_decomposition(log):
    embeddings = interaction_embeddings(log, np.arange(21), n_components=3, random_state=0)
    matrix = np.zeros((60, 20))
    for row in log.itertuples():
        matrix[row.user_id, row.item_id] = 1
    rows, columns = matrix.sum(1, keepdims=True), matrix.sum(0, keepdims=True)
    popularity = np.sqrt(rows * columns) / matrix.sum()
    _, values, vectors = np.linalg.svd(matrix / np.sqrt(rows) / np.sqrt(columns) - popularity)
    expected = vectors[:3].T * values[:3] / np.sqrt(columns.T)
    # Up to the sign of each component.
    np.testing.assert_allclose(np.abs(embeddings[:20]), np.abs(expected), rtol=1e-4, atol=1e-6)
    assert np.isnan(embeddings[20]).all()


def test_items_of_the_same_users_lie_together(log):
    x = interaction_embeddings(log, np.arange(20), n_components=1, random_state=0)
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    assert distances[:10, :10].mean() < 0.5 * distances[:10, 10:].mean()


def test_repeated_interactions_and_the_order_of_the_log_do_not_count(log):
    twice = pd.concat([log, log[::-1]])
    one, two = (interaction_embeddings(some, np.arange(20), n_components=2, random_state=0) for some in (log, twice))
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": 20}, "n_components must be less than .*, got 20 for 60 users and 20 items"),
        ({"user": "who"}, r"user must be a column of interactions, got 'who'; it has \['user_id', 'item_id'\]"),
        ({"item_ids": ["a", "a"]}, "item_ids must be unique, got 'a' more than once"),
        ({"item_ids": np.arange(5)}, "item_ids must hold every item of the interactions, [0-9]+ is not among them"),
    ],
)
def test_bad_input_is_named(log, change, message):
    with pytest.raises(ValueError, match=message):
        interaction_embeddings(log, **{"item_ids": np.arange(21), "n_components": 2, **change})


def test_a_log_must_be_a_table_without_gaps(log):
    with pytest.raises(TypeError, match="interactions must be a DataFrame, got list"):
        interaction_embeddings([1], [1])
    log["user_id"] = log["user_id"].where(log["user_id"] > 0)
    with pytest.raises(ValueError, match="column 'user_id' must not be missing, got 6 missing"):
        interaction_embeddings(log, np.arange(21), n_components=2)


@pytest.mark.parametrize("kind", ["uint64", "Int64", "uint64[pyarrow]", "category", object])
def test_items_beyond_2_53_stay_apart_in_any_dtype(kind, rng):
    ids = 2**60 + np.arange(9)
    log = pd.DataFrame({"user_id": rng.integers(6, size=60), "item_id": rng.choice(ids, 60)})
    expected = interaction_embeddings(log, ids, n_components=2, random_state=0)
    other = interaction_embeddings(log.astype({"item_id": kind}), ids, n_components=2, random_state=0)
    np.testing.assert_array_equal(other, expected)
    catalogue = pd.Series(ids).astype(kind)
    np.testing.assert_array_equal(interaction_embeddings(log, catalogue, n_components=2, random_state=0), expected)


def test_items_of_the_other_kind_are_named_as_such():
    log = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    with pytest.raises(ValueError, match="1 is not among them: ids like 1, where item_ids has ids like '1'"):
        interaction_embeddings(log, ["1", "2"], n_components=1)
    with pytest.raises(ValueError, match="item_ids must not be missing, got 1 missing"):
        interaction_embeddings(log, [1, 2, None], n_components=1)
