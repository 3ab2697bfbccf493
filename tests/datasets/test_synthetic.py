import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from semid.datasets import expected_auc, make_clicks, make_items


def test_same_seed_same_data():
    first, second = (make_items(50, random_state=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.frame, second.frame)
    np.testing.assert_array_equal(first.embeddings, second.embeddings)
    clicks = [make_clicks(first, 100, random_state=1).frame for _ in range(2)]
    pd.testing.assert_frame_equal(*clicks)


def test_expected_auc_equals_the_naive_loop(rng):
    p = rng.uniform(size=30).round(1)  # with ties
    right = pairs = 0.0
    for i in range(30):
        for j in range(30):
            if i != j:
                pair = p[i] * (1 - p[j])
                pairs += pair
                right += pair * ((p[i] > p[j]) + 0.5 * (p[i] == p[j]))
    assert expected_auc(p) == pytest.approx(right / pairs)
    assert np.isnan(expected_auc([1.0, 1.0]))


def test_the_bayes_auc_is_what_the_probabilities_reach_and_nothing_beats_it():
    items = make_items(500, random_state=0)
    clicks = make_clicks(items, 50_000, random_state=0)
    reached = roc_auc_score(clicks.frame["click"], clicks.click_probability)
    assert abs(reached - clicks.bayes_auc) < 0.01
    assert 0.7 < clicks.bayes_auc < 0.95


def test_popularity_is_zipf_and_drives_the_impressions():
    items = make_items(100, zipf_exponent=1.0, random_state=0)
    ranked = np.sort(items.frame["popularity"])[::-1]
    np.testing.assert_allclose(ranked[0] / ranked[9], 10.0)
    shown = make_clicks(items, 20_000, random_state=0).frame["item_id"].value_counts(normalize=True)
    top = items.frame.set_index("item_id")["popularity"].idxmax()
    assert shown.idxmax() == top


def test_items_of_one_kind_are_neighbours():
    items = make_items(400, random_state=0)
    X = items.embeddings - items.embeddings.mean(axis=0)
    similarity = X @ X.T
    np.fill_diagonal(similarity, -np.inf)
    category = items.frame["category"].to_numpy()
    assert (category[similarity.argmax(axis=1)] == category).mean() > 0.6  # 1 / 8 by chance


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="n_items must be at least 2, got 1"):
        make_items(1)
    with pytest.raises(TypeError, match="items must come from make_items, got DataFrame"):
        make_clicks(pd.DataFrame())
