import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from semid.datasets import expected_auc, make_clicks, make_items
from semid.datasets._synthetic import _shown


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


def test_new_items_are_shown_from_the_day_on_which_they_appear():
    items = make_items(200, new_item_share=0.5, random_state=0)
    first_seen = items.frame.set_index("item_id")["first_seen"]
    assert (first_seen > 0).mean() == 0.5
    log = make_clicks(items, 20_000, random_state=0).frame
    share_of_log = (log["timestamp"] - log["timestamp"].min()) / (30 * 86_400)
    assert (share_of_log >= log["item_id"].map(first_seen) - 0.001).all()
    late = log[share_of_log > 0.9]
    assert late["item_id"].map(first_seen).gt(0.3).mean() > 0.1
    assert log["timestamp"].is_monotonic_increasing


def test_items_are_drawn_as_by_the_naive_loop(rng):
    frame = pd.DataFrame({"first_seen": [0.0, 0.5, 0.0, 0.7], "popularity": [0.1, 0.4, 0.2, 0.3]})
    time = np.sort(rng.uniform(size=500))
    drawn = _shown(frame, time, np.random.RandomState(1))
    for t, u, item in zip(time, np.random.RandomState(1).uniform(size=500), drawn, strict=True):
        there = frame[frame["first_seen"] <= t].sort_values("first_seen", kind="stable")
        mass = there["popularity"].cumsum() / there["popularity"].sum()
        assert item == there.index[(mass > u).argmax()]


def test_what_stands_lower_is_clicked_less():
    items = make_items(200, random_state=0)
    clicks = make_clicks(items, 50_000, affinity=0.0, rank_effect=1.0, random_state=0)
    by_rank = pd.Series(clicks.click_probability).groupby(clicks.frame["rank"].to_numpy()).mean()
    assert by_rank.index.tolist() == list(range(1, 11))
    assert by_rank.is_monotonic_decreasing
    flat = make_clicks(items, 1000, affinity=0.0, rank_effect=0.0, random_state=0)
    assert np.corrcoef(flat.frame["rank"], flat.click_probability)[0, 1] == pytest.approx(0, abs=0.1)


def test_texts_say_what_the_factors_sum_up():
    items = make_items(2000, random_state=0)
    frame = items.frame
    said = frame["title"] + " " + frame["description"]
    words = TfidfVectorizer(ngram_range=(1, 2)).fit_transform(said)
    explained = Ridge(alpha=0.1).fit(words[:1500], items.factors[:1500]).score(words[1500:], items.factors[1500:])
    assert explained > 0.85  # all but what is each item's own
    assert all(brand in title for brand, title in zip(frame["brand"], frame["title"], strict=True))
