"""The recommender as an estimator: what it learns, recommends, scores and keeps."""

import copy

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from semid import ItemTable, NextItemRecommender, SemanticIDEncoder
from semid.datasets import leave_last_out, make_clicks, make_items
from semid.features import ClickHistory
from semid.io import load, save
from semid.recommend._recommending import ndcg
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    ProductQuantizationTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
)

SMALL = {"embedding_dim": 8, "n_layers": 1, "max_iter": 2, "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def made():
    return make_items(n_items=120, random_state=0)


@pytest.fixture(scope="module")
def table(made):
    return ItemTable(made.frame["item_id"], made.embeddings)


@pytest.fixture(scope="module")
def log(made):
    frame = make_clicks(made, n_impressions=3_000, n_users=60, random_state=0).frame
    return frame.loc[frame["click"] == 1, ["user_id", "item_id", "timestamp"]].sort_values("timestamp")


def _encoder(table, tokenizer=None, **options):
    tokenizer = tokenizer or ResidualKMeansTokenizer(n_codebooks=2, codebook_size=6, random_state=0)
    return SemanticIDEncoder(tokenizer, items=table, **options)


def _recommenders(table):
    return {
        "ids": NextItemRecommender(**SMALL),
        "popularity": NextItemRecommender(head="popularity", **SMALL),
        "parallel": NextItemRecommender(_encoder(table), **SMALL),
        "own": NextItemRecommender(_encoder(table), own_embedding=True, fusion="gate", **SMALL),
        "residual": NextItemRecommender(_encoder(table), "residual", **SMALL),
    }


KINDS = ("ids", "popularity", "parallel", "own", "residual")


@pytest.fixture(scope="module")
def fitted(table, log):
    return {name: model.fit(log) for name, model in _recommenders(table).items()}


def _order(n_users, n_items, rng):
    """A log in which each item is followed by the next one, round and round."""
    starts = rng.integers(n_items, size=n_users)
    items = (starts[:, None] + np.arange(8)) % n_items
    users, times = np.repeat(np.arange(n_users), 8), np.tile(np.arange(8), n_users)
    return pd.DataFrame({"user_id": users, "item_id": items.ravel(), "timestamp": times})


@pytest.mark.parametrize("head", ["parallel", "residual"])
def test_an_order_of_items_is_learned(head, rng):
    n_items = 12
    codes = _encoder(
        ItemTable(np.arange(n_items), rng.normal(size=(n_items, 4))),
        RandomTokenizer(n_codebooks=3, codebook_size=4, random_state=0),
    )
    settings = {"embedding_dim": 32, "learning_rate": 0.02, "max_iter": 25, "validation": None, "random_state": 0}
    model = NextItemRecommender(codes, head, batch_size=32, **settings).fit(_order(100, n_items, rng))
    found = model.recommend([[i, i + 1, i + 2] for i in range(8)], n=1).items
    assert (found[:, 0] == np.arange(3, 11)).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_recommendations_are_the_highest_scores_without_what_was_seen(kind, fitted, log):
    model = fitted[kind]
    histories = [*[group.tolist() for _, group in log.groupby("user_id")["item_id"]][:20], [], ["gone"]]
    scores = model.score_items(histories)
    beam_size = len(model.items_)
    for exclude_seen in (True, False):
        found = model.recommend(histories, n=4, exclude_seen=exclude_seen, beam_size=beam_size)
        for history, row, items, values in zip(histories, scores.copy(), *found, strict=True):
            if exclude_seen:
                row[np.isin(model.items_, history)] = -np.inf
            np.testing.assert_allclose(values, np.sort(row)[::-1][:4], rtol=1e-4, atol=1e-4)
            of_items = row[[model.items_.tolist().index(item) for item in items]]
            np.testing.assert_allclose(of_items, values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_logarithms_of_probabilities(kind, fitted):
    scores = fitted[kind].score_items([[fitted[kind].items_[0]], []])
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):  # a caller's, of no concern here
        np.testing.assert_array_equal(fitted[kind].score_items([[fitted[kind].items_[0]], []]), scores)


def test_items_of_the_same_codes_share_their_probability_by_clicks(fitted):
    model = fitted["parallel"]
    scores = model.score_items([model.items_[:3].tolist()])[0]
    groups = {}
    for row, codes in enumerate(model.codes_.tolist()):
        groups.setdefault(tuple(codes), []).append(row)
    shared = [rows for rows in groups.values() if len(rows) > 1]
    assert shared
    for rows in shared:
        share = (model.clicks_[rows] + 1) / (model.clicks_[rows] + 1).sum()
        np.testing.assert_allclose(np.exp(scores[rows] - np.logaddexp.reduce(scores[rows])), share, rtol=1e-4)


def test_popularity_is_what_was_clicked_most(fitted, log):
    model = fitted["popularity"]
    counts = log["item_id"].value_counts()
    np.testing.assert_array_equal(model.clicks_, counts.reindex(model.items_).to_numpy())
    assert counts[model.recommend([[]], n=1).items[0, 0]] == counts.max()


@pytest.mark.parametrize("head", ["parallel", "residual"])
def test_ten_thousand_generated_items_are_all_in_the_catalogue_and_different(head, fitted, rng):
    model = fitted[head]
    histories = [
        model.items_[rng.integers(len(model.items_), size=length)].tolist() for length in rng.integers(1, 9, 500)
    ]
    found = model.recommend(histories, n=20)
    assert found.items.size == 10_000
    assert np.isfinite(found.scores).all()
    assert np.isin(found.items, model.items_).all()
    assert all(
        len(set(row)) == 20 and not set(row) & set(seen) for row, seen in zip(found.items, histories, strict=True)
    )


def test_where_nothing_is_left_to_recommend_the_score_says_so(table, log):
    few = log[log["item_id"].isin(log["item_id"].unique()[:5])]
    for model in (NextItemRecommender(**SMALL), NextItemRecommender(_encoder(table), "residual", **SMALL)):
        model.fit(few)
        left = model.recommend([model.items_[1:].tolist()], n=len(model.items_))
        assert np.isfinite(left.scores[0]).tolist() == [True] + [False] * (len(model.items_) - 1)
        assert left.items[0, 0] == model.items_[0]


def _naive_score(model, known, X):
    """NDCG@10 by a loop over users: the last click of each in X, after all clicks before it."""
    gains = []
    for user, own in X.sort_values("timestamp", kind="stable").groupby("user_id"):
        before = known[(known["user_id"] == user) & (known["timestamp"] < own["timestamp"].iloc[0])]
        history = [*before.sort_values("timestamp", kind="stable")["item_id"], *own["item_id"][:-1]]
        found = model.recommend([history], n=10).items[0].tolist()
        target = own["item_id"].iloc[-1]
        gains.append(1 / np.log2(found.index(target) + 2) if target in found else 0.0)
    return np.mean(gains)


@pytest.mark.parametrize("kind", KINDS)
def test_score_is_ndcg_over_users_after_what_the_model_knows(kind, fitted, log, table):
    past, later = log[:-150], log[-150:]
    model = clone(fitted[kind]).fit(past)
    assert model.score(later) == pytest.approx(_naive_score(model, past, later), abs=1e-6)
    # Rows that it has seen are no history of theirs.
    assert model.score(past) == pytest.approx(_naive_score(model, past, past), abs=1e-6)


def test_ndcg_is_one_over_the_logarithm_of_the_place():
    best = np.array([[3, 1, 2], [3, 1, 2], [3, 1, 2], [3, 1, 2]])
    assert ndcg(best, np.array([3, 2, 9, -1])) == pytest.approx((1 + 0.5) / 4)


def test_later_clicks_stop_the_fit_are_not_learned_from_and_known_afterwards(log):
    split = leave_last_out(log)
    past, later = log[split == "train"], log[split == "validation"]
    model = NextItemRecommender(**SMALL | {"max_iter": 30, "n_iter_no_change": 2}).fit(past, eval_set=later)
    assert len(model.history_["valid_ndcg"]) == model.n_iter_ < 30
    assert model.clicks_.sum() == len(past)
    assert len(model.log_) == len(past) + len(later)
    without = NextItemRecommender(
        **SMALL | {"max_iter": int(np.argmax(model.history_["valid_ndcg"])) + 1}, validation=None
    )
    state = without.fit(past).state_
    for name, array in model.state_.items():
        np.testing.assert_array_equal(array, state[name])


def test_popularity_is_the_yardstick_of_a_fit_and_knows_nothing_of_what_is_held_out(log):
    split = leave_last_out(log)
    past, later = log[split == "train"], log[split == "validation"]
    model = NextItemRecommender(**SMALL).fit(past, eval_set=later)
    popular = NextItemRecommender(head="popularity", **SMALL, validation=None).fit(past)
    np.testing.assert_allclose(model.history_["popularity_ndcg"], [popular.score(later)] * model.n_iter_)
    held_out = NextItemRecommender(**SMALL, validation=1.0 - 1e-9).fit(log)  # the last click of each user
    last = log.groupby("user_id").tail(1)
    popular.fit(log.drop(index=last.index))
    np.testing.assert_allclose(held_out.history_["popularity_ndcg"], [popular.score(last)] * held_out.n_iter_)


def test_a_fit_that_recommends_no_better_than_popularity_says_so():
    # Clicks without any order, and a few items that half of them are on.
    rng = np.random.default_rng(0)
    items = np.where(rng.random(2000) < 0.5, rng.integers(5, size=2000), rng.integers(200, size=2000))
    log = pd.DataFrame({"user_id": rng.integers(250, size=2000), "item_id": items, "timestamp": np.arange(2000)})
    model = NextItemRecommender(embedding_dim=8, n_layers=1, max_iter=9, n_iter_no_change=1, random_state=0)
    model.set_params(validation=0.5, learning_rate=1e-6)
    with pytest.warns(
        ConvergenceWarning,
        match=r"of 1\d\d users with .* popularity alone with .* per user, or longer",
    ):
        model.fit(log)
    assert model.history_["valid_ndcg"].max() < model.history_["popularity_ndcg"][0]
    model.set_params(n_iter_no_change=9).fit(log)  # too few epochs to be judged
    with pytest.warns(UserWarning, match="not in the catalogue"):  # clicks that nothing could hit
        model.set_params(n_iter_no_change=1).fit(log, eval_set=log.assign(item_id=-1))
    assert model.history_["popularity_ndcg"][0] == 0


def test_what_is_held_out_is_the_last_click_of_a_share_of_users(log, monkeypatch):
    from semid.recommend import _fitting

    seen = []
    monkeypatch.setattr(_fitting, "_score", lambda ranker, held_out: seen.append(held_out) or 0.0)
    model = NextItemRecommender(**SMALL, validation=0.5).fit(log)
    ordered = [group.tolist() for _, group in log.sort_values("timestamp").groupby("user_id")["item_id"]]
    histories = {tuple(items[:-1]): items[-1] for items in ordered if len(items) > 2}
    assert len(seen[0].targets) == round(0.5 * len(histories))
    offsets = seen[0].histories.offsets
    for row, target in enumerate(seen[0].targets):
        items = model.items_[seen[0].histories.entries[offsets[row] : offsets[row + 1]]]
        assert histories[tuple(items)] == model.items_[target]


def test_an_item_that_nobody_clicked_is_recommended_by_its_codes(made, log, table):
    # Tell apart by content alone: the model has never met half of the items.
    known = set(made.frame["item_id"][:60])
    model = NextItemRecommender(_encoder(table), **SMALL).fit(log[log["item_id"].isin(known)])
    found = model.recommend([[item] for item in sorted(known)], n=20)
    assert set(found.items.ravel()) - known
    assert len(model.items_) == 120


def test_new_items_get_codes_and_are_recommended(made, log):
    ids, X = made.frame["item_id"], made.embeddings
    for own in (False, True):
        model = NextItemRecommender(_encoder(ItemTable(ids[:100], X[:100])), own_embedding=own, **SMALL)
        model.fit(log[log["item_id"].isin(ids[:100])])
        before = model.score_items([ids[:3].tolist()])
        model.add_items(ItemTable(ids[100:], X[100:]))
        assert model.items_.tolist() == ids.tolist()
        after = model.score_items([ids[:3].tolist()])
        assert after.shape == (1, 120)
        is_alone = ~(model.codes_[:100, None] == model.codes_[None, 100:]).all(axis=2).any(axis=1)
        difference = (after[0, :100] - before[0])[is_alone]  # what the new ones take is taken of all alike
        np.testing.assert_allclose(difference, difference[0], atol=1e-5)
        assert difference[0] < 0
    with pytest.raises(ValueError, match="codes must not be None"):
        NextItemRecommender(**SMALL).fit(log).add_items(ItemTable(ids, X))


def test_partial_fit_learns_later_clicks_and_new_ids(log, rng):
    past, later = log[:-200], log[-200:]
    model = NextItemRecommender(**SMALL).fit(past)
    ids, state = model.items_, model.state_
    model.partial_fit(later)
    assert model.items_[: len(ids)].tolist() == ids.tolist()
    assert set(model.items_) == set(log["item_id"])
    assert len(model.log_) == len(log)
    assert model.clicks_.sum() == len(log)
    assert not np.array_equal(model.state_["items.table"][: len(ids)], state["items.table"])
    first = NextItemRecommender(**SMALL).partial_fit(past)
    assert first.n_iter_ == 1
    with pytest.raises(ValueError, match=r"embedding_dim must stay 8, as in the first fit, got 4; call fit"):
        first.set_params(embedding_dim=4).partial_fit(later)


def test_partial_fit_on_more_of_an_order_learns_it(rng):
    settings = {"embedding_dim": 32, "learning_rate": 0.02, "max_iter": 1, "validation": None, "random_state": 0}
    model = NextItemRecommender(batch_size=32, **settings)
    for part in range(25):
        frame = _order(50, 10, rng)
        frame["user_id"] += 1000 * part
        model.partial_fit(frame)
    found = model.recommend([[i, i + 1] for i in range(6)], n=1).items
    assert (found[:, 0] == np.arange(2, 8)).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits_and_copies_are_equal(kind, fitted, log, tmp_path):
    model = fitted[kind]
    again = clone(model).fit(log)
    histories = [model.items_[:4].tolist(), []]
    for other in (again, copy.deepcopy(model), joblib.load(joblib.dump(model, tmp_path / "model")[0])):
        np.testing.assert_array_equal(other.score_items(histories), model.score_items(histories))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_recommender_recommends_and_goes_on_alike(kind, fitted, log, tmp_path):
    model = copy.deepcopy(fitted[kind])
    restored = load(save(model, tmp_path / "model"))
    histories = [model.items_[:4].tolist(), []]
    np.testing.assert_array_equal(restored.score_items(histories), model.score_items(histories))
    assert restored.score(log[-60:]) == model.score(log[-60:])
    model.partial_fit(log[-60:])
    restored.partial_fit(log[-60:])
    np.testing.assert_array_equal(restored.score_items(histories), model.score_items(histories))


def test_a_search_over_codebooks_by_time(table, log):
    codes = _encoder(table, ProductQuantizationTokenizer(codebook_size=4, rotation=None, random_state=0))
    search = GridSearchCV(
        NextItemRecommender(codes, **SMALL), {"codes__tokenizer__n_codebooks": [1, 3]}, cv=TimeSeriesSplit(2)
    ).fit(log)
    assert search.best_estimator_.codes_.shape == (120, search.best_params_["codes__tokenizer__n_codebooks"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_codes_are_aligned_with_the_clicks_of_the_fit_alone(table, log):
    tokenizer = MixtureOfCodesTokenizer(
        2, 4, hidden_layer_sizes=(8,), latent_dim=4, max_iter=20, batch_size=32, alignment_weight=1.0, random_state=0
    )
    model = NextItemRecommender(_encoder(table, tokenizer, user="user_id"), **SMALL).fit(log)
    assert not np.array_equal(model.codes_, NextItemRecommender(_encoder(table, tokenizer), **SMALL).fit(log).codes_)
    labelled = pd.concat([log, log[:1]])
    encoder = _encoder(table, clone(tokenizer), user="user_id")
    encoder.fit(labelled[["item_id", "user_id"]], np.append(np.ones(len(log)), 0))
    np.testing.assert_array_equal(model.codes_, encoder.codes_)


def test_a_history_may_be_a_column_of_a_log_of_lists_or_of_a_series(fitted, log):
    model = fitted["parallel"]
    users = log["user_id"].unique()[:5]
    column = ClickHistory.from_frame(log).before(users)
    expected = model.recommend([list(history) for history in column]).items
    for histories in (column, pd.Series(column), pd.Series([list(history) for history in column])):
        np.testing.assert_array_equal(model.recommend(histories).items, expected)


def test_only_the_last_items_are_read_and_all_are_left_out(fitted, log):
    model = clone(fitted["parallel"]).set_params(max_length=3).fit(log)
    items = model.items_[:12].tolist()
    np.testing.assert_array_equal(model.score_items([items]), model.score_items([items[-3:]]))
    assert not set(model.recommend([items], n=20).items[0]) & set(items)


def test_a_table_alone_has_sixteen_codes(table, log):
    model = NextItemRecommender(table, **SMALL).fit(log)
    assert model.codes_.shape == (120, 16)


def test_rows_may_come_in_any_order_and_from_polars(fitted, log):
    pl = pytest.importorskip("polars")
    model = fitted["ids"]
    histories = [model.items_[:4].tolist()]
    shuffled = clone(model).fit(log.sort_values(["user_id", "timestamp"]).reset_index(drop=True))
    assert set(shuffled.items_) == set(model.items_)
    other = clone(model).fit(pl.from_pandas(log))
    np.testing.assert_array_equal(other.score_items(histories), model.score_items(histories))


def test_a_fit_that_fails_leaves_the_recommender_as_it_was(fitted, log):
    model = copy.deepcopy(fitted["parallel"])
    before = dict(vars(model))
    with pytest.raises(ValueError, match="two clicks on items of the catalogue"):
        model.fit(log.drop_duplicates("user_id"))
    assert vars(model) == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"head": "serial"}, "head must be one of 'parallel', 'residual', 'popularity', got 'serial'"),
        ({"codes": "ids"}, "codes must be a SemanticIDEncoder, an ItemTable or None for ids alone, got str"),
        ({"embedding_dim": 70}, "embedding_dim must be a multiple of 32, the width"),
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"fusion": "sum up"}, "fusion must be one of"),
        ({"own_embedding": "yes"}, "own_embedding must be one of True, False"),
        ({"max_length": 0}, "max_length must be at least 1"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1"),
        ({"validation": 1.5}, "validation must lie in"),
        ({"item": "asin"}, "item must name columns of X, or give their positions, got 'asin'"),
        ({"checkpoint_dir": "there", "random_state": None}, "random_state must be an int with checkpoint_dir"),
    ],
)
def test_parameters_that_are_wrong_are_named(parameters, message, log):
    with pytest.raises((ValueError, TypeError), match=message):
        NextItemRecommender(**SMALL | parameters).fit(log)


def test_questions_that_are_wrong_are_answered_with_an_error(fitted):
    model = fitted["ids"]
    with pytest.raises(ValueError, match=r"n must be at most \d+, the number of items, got 999"):
        model.recommend([[]], n=999)
    with pytest.raises(TypeError, match="histories must be lists of item ids"):
        model.recommend(["item00001"])
    with pytest.raises(TypeError, match="histories must be a list of lists"):
        model.recommend("item00001")
    with pytest.raises(ValueError, match="beam_size must be at least 1"):
        model.recommend([[]], beam_size=0)


def test_ids_of_another_kind_are_said_to_be(fitted):
    with pytest.warns(UserWarning, match="100% of the items of the histories are not in the catalogue"):
        fitted["ids"].recommend([[1, 2, 3]])
