"""Logs, catalogues and questions as people really have them: what is missing, ties, other kinds of ids, new items."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from semid import ItemTable, NextItemRecommender, SemanticIDEncoder
from semid.base._live_module import build_seeded
from semid.engine._sequence_training import SequenceNet
from semid.nn._next_item import NextItemModule
from semid.recommend import _recommending
from semid.recommend._catalogue import shares_among_equals
from semid.recommend._fitting import known_log
from semid.recommend._recommending import _sorted_best
from semid.tokenizers import ParallelKMeansTokenizer, RandomTokenizer, ResidualKMeansTokenizer

SMALL = {"embedding_dim": 8, "n_layers": 1, "max_iter": 2, "batch_size": 32, "random_state": 0}


@pytest.fixture
def log(rng):
    """600 clicks of 40 users on 30 items, and no two at a time."""
    return pd.DataFrame(
        {
            "user_id": rng.integers(40, size=600),
            "item_id": rng.integers(30, size=600),
            "timestamp": rng.permutation(600),
        }
    )


def _codes(rng, n_items, tokenizer=None):
    tokenizer = tokenizer or ParallelKMeansTokenizer(2, 4, random_state=0)
    return SemanticIDEncoder(tokenizer, items=ItemTable(np.arange(n_items), rng.normal(size=(n_items, 4))))


KINDS_OF_IDS = {
    "int8": "int8",
    "uint64": "uint64",
    "nullable": "Int64",
    "float": float,
    "objects": object,
    "category": "category",
    "Arrow": "int64[pyarrow]",
}
KINDS_OF_TEXT = {"str": str, "string": "string", "Arrow text": "string[pyarrow]"}


@pytest.mark.parametrize("kind", [*KINDS_OF_IDS, *KINDS_OF_TEXT])
def test_ids_of_every_kind_are_the_same_ids(kind, log):
    expected = NextItemRecommender(**SMALL).fit(log)
    dtype = (KINDS_OF_IDS | KINDS_OF_TEXT)[kind]
    other = log.astype({"user_id": dtype, "item_id": dtype})
    model = NextItemRecommender(**SMALL).fit(other)
    assert [int(item) for item in model.items_] == expected.items_.tolist()
    history = other["item_id"][:3].tolist()
    found = model.recommend([history])
    np.testing.assert_array_equal(found.scores, expected.recommend([log["item_id"][:3].tolist()]).scores)
    assert model.score(other[-90:]) == expected.score(log[-90:])
    assert len(model.partial_fit(other[-90:]).items_) == len(expected.items_)


@pytest.mark.parametrize("kind", ["dates", "zoned", "objects", "category", "nullable", "seconds"])
def test_times_of_every_kind_are_the_same_order(kind, log):
    dates = pd.to_datetime(log["timestamp"], unit="D")
    times = {
        "dates": dates,
        "zoned": dates.dt.tz_localize("Europe/Berlin"),
        "objects": dates.dt.date,
        "category": log["timestamp"].astype("category"),
        "nullable": log["timestamp"].astype("Int64"),
        "seconds": dates.astype("datetime64[s]"),
    }
    other = log.assign(timestamp=times[kind])
    models = [NextItemRecommender(**SMALL).fit(frame[:-90]) for frame in (log, other)]
    assert models[0].score(log[-90:]) == models[1].score(other[-90:])


@pytest.mark.parametrize("missing", ["user_id", "item_id", "timestamp"])
def test_a_row_in_which_something_is_missing_is_no_click(missing, log, rng):
    holes = log.astype("Int64")
    holes.loc[holes.index % 5 == 0, missing] = pd.NA
    codes = _codes(rng, 30)
    models = [NextItemRecommender(codes, **SMALL).fit(frame) for frame in (holes[:400], holes[:400].dropna())]
    assert models[0].clicks_.sum() == models[1].clicks_.sum() == 320
    assert models[0].score(holes[400:]) == models[1].score(holes[400:].dropna())


def test_a_user_whose_only_row_has_no_item_is_asked_nothing(log):
    model = NextItemRecommender(**SMALL).fit(log)
    item = model.items_[3]
    later = pd.DataFrame(
        {"user_id": [1, 2], "item_id": pd.array([pd.NA, item], dtype="Int64"), "timestamp": [900, 901]}
    )
    assert known_log(model, later).targets.tolist() == [3]
    for ask in (model.score, lambda frame: NextItemRecommender(**SMALL).fit(log, eval_set=frame)):
        with pytest.raises(
            ValueError, match=r"must hold a click with a user, an item and a time, got none in n_samples=1"
        ):
            ask(later[:1])


def test_users_of_another_kind_are_said_to_be(log):
    model = NextItemRecommender(**SMALL).fit(log)
    with pytest.warns(UserWarning, match="no value of column 'user_id' is known: ids like"):
        model.score(log[-90:].astype({"user_id": str}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(log[-90:].assign(user_id=lambda frame: frame["user_id"] + 1000))  # merely new


def test_rows_that_are_no_clicks_are_warned_of(log):
    impressions = log.assign(click=np.arange(600) % 4 == 0)
    with pytest.warns(UserWarning, match=r"also the 75% of them whose 'click' is 0. Pass X\[X\['click'\] == 1\]"):
        NextItemRecommender(head="popularity").fit(impressions)
    NextItemRecommender(head="popularity").fit(impressions[impressions["click"]])
    NextItemRecommender(head="popularity").fit(log.assign(label=np.arange(600) % 3))


def test_of_equal_scores_the_first_items_come_first(rng):
    scores = rng.integers(4, size=(50, 300)).astype(np.float32)
    scores[0] = -np.inf
    for n in (1, 7, 100, 300):
        rows, values = _sorted_best(scores, n)
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


@pytest.mark.parametrize("head", ["parallel", "residual"])
def test_who_has_seen_everything_is_recommended_nothing(head, log, rng):
    model = NextItemRecommender(_codes(rng, 30), head, **SMALL).fit(log)
    found = model.recommend([list(range(30)), list(range(28))], n=4)
    assert np.isneginf(found.scores[0]).all()
    assert set(found.items[1, :2]) == {28, 29}
    assert np.isneginf(found.scores[1, 2:]).all()


def test_the_beam_of_a_history_does_not_depend_on_the_others(log, rng):
    tokenizer = ResidualKMeansTokenizer(3, 5, random_state=0)
    model = NextItemRecommender(_codes(rng, 200, tokenizer), "residual", **SMALL).fit(log)
    histories = [[1, 2, 3], [], *[rng.integers(200, size=size).tolist() for size in (1, 9, 70)]]
    together = model.recommend(histories, n=5, beam_size=5)
    for row, history in enumerate(histories):
        alone = model.recommend([history], n=5, beam_size=5)
        np.testing.assert_array_equal(alone.items[0], together.items[row])
        np.testing.assert_allclose(alone.scores[0], together.scores[row], rtol=1e-5)


@pytest.mark.parametrize("head", ["parallel", "residual"])
def test_histories_a_few_at_a_time_are_answered_as_all_at_once(head, log, rng, monkeypatch):
    tokenizer = ResidualKMeansTokenizer(2, 4, random_state=0)
    model = NextItemRecommender(_codes(rng, 30, tokenizer), head, **SMALL).fit(log)
    histories = [*[rng.integers(30, size=size).tolist() for size in range(12)], []]
    expected = model.score_items(histories), *model.recommend(histories, n=3, beam_size=2)
    monkeypatch.setattr(_recommending, "_SCORES_AT_ONCE", 70)
    monkeypatch.setattr(_recommending, "_SEARCHED_AT_ONCE", 70)
    for few, many in zip(
        (model.score_items(histories), *model.recommend(histories, n=3, beam_size=2)), expected, strict=True
    ):
        np.testing.assert_allclose(few, many, rtol=1e-5)


def test_clicks_on_items_that_were_not_counted_yet_are_learned(log, rng):
    """More targets are new, or were met in eval_set alone, than there are items that were clicked in the fit."""
    few = log[log["item_id"] < 4]
    codes = _codes(rng, 4)
    model = NextItemRecommender(codes, **SMALL)
    with pytest.warns(UserWarning, match="not in the (catalogue|item table)"):
        model.fit(log[:450])
    model.add_items(ItemTable(np.arange(30), np.vstack([codes.items.embeddings, rng.normal(size=(26, 4))])))
    assert np.isfinite(model.partial_fit(log[450:]).history_["train_loss"]).all()
    model = NextItemRecommender(_codes(rng, 30), **SMALL).fit(few, eval_set=log[300:500])
    assert np.isfinite(model.partial_fit(log[500:]).history_["train_loss"]).all()


def test_a_target_that_is_no_rival_takes_nothing_from_those_that_are(rng):
    codes = torch.as_tensor(rng.integers(4, size=(20, 2)))
    options = {
        "dim": 8,
        "n_layers": 1,
        "n_heads": 1,
        "fusion": "concat",
        "has_own": False,
        "max_length": 5,
        "dropout": 0.0,
    }
    module = build_seeded(
        lambda: NextItemModule(codes, [4, 4], torch.zeros(20), torch.arange(3), **options).requires_grad_(False), seed=0
    )
    items = torch.arange(8)[None, 2:]  # whose targets are 3 to 7; all of 0 to 2 stand for themselves
    h = module(items[:, :-1])[0]
    logits = h @ module.items(torch.arange(8)).T
    expected = torch.nn.functional.cross_entropy(logits, items[0, 1:])
    assert float(module.loss(items, torch.ones_like(items, dtype=torch.bool))) == pytest.approx(
        float(expected), rel=1e-5
    )


@pytest.mark.parametrize("n_sizes", [2, 300])
def test_shares_are_those_of_a_loop(n_sizes, rng):
    codes, clicks = rng.integers(n_sizes, size=(200, 3)), rng.integers(9, size=200)
    totals = {}
    for row, n in zip(codes.tolist(), clicks, strict=True):
        totals[tuple(row)] = totals.get(tuple(row), 0) + n + 1
    expected = [np.log((n + 1) / totals[tuple(row)]) for row, n in zip(codes.tolist(), clicks, strict=True)]
    np.testing.assert_allclose(shares_among_equals(codes, clicks), expected, rtol=1e-5, atol=1e-6)


def test_rows_of_one_hash_are_told_apart(monkeypatch):
    class Ones:
        def integers(self, *args, **options):
            return np.zeros(2, dtype=np.uint64)  # multiplied by one: (0, 1) and (1, 0) meet

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Ones())
    codes = np.array([[0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(shares_among_equals(codes, np.zeros(3)), np.log([0.5, 1, 0.5]), atol=1e-6)


def test_a_killed_fit_does_not_go_on_with_other_codes(log, rng, tmp_path, monkeypatch):
    original, steps = SequenceNet.train_step, iter(range(10**6))

    def train_step(self, batch, **fit_params):
        if next(steps) == 6:
            raise KeyboardInterrupt
        return original(self, batch, **fit_params)

    tokenizer = RandomTokenizer(n_codebooks=2, codebook_size=4)  # of other codes each time
    model = NextItemRecommender(_codes(rng, 30, tokenizer), checkpoint_dir=tmp_path, **SMALL | {"max_iter": 5})
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="epochs"):
        patch.setattr(SequenceNet, "train_step", train_step)
        model.fit(log)
    with pytest.raises(ValueError, match=r"checkpoint of another fit, .* differs in data"):
        model.fit(log)


def test_exclude_seen_is_true_or_false(log):
    with pytest.raises(ValueError, match="exclude_seen must be one of True, False, got 'no'"):
        NextItemRecommender(**SMALL).fit(log).recommend([[1]], exclude_seen="no")


def test_a_table_of_few_features_has_a_code_of_each(log, rng):
    table = ItemTable(np.arange(30), rng.normal(size=(30, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NextItemRecommender(table, **SMALL).fit(log).codes_.shape == (30, 4)


def test_a_warning_of_items_without_codes_names_the_column_of_the_log(log, rng):
    with pytest.warns(UserWarning, match="rows of column 'asin'|items of the log are not in the catalogue"):
        NextItemRecommender(_codes(rng, 10), item="asin", **SMALL).fit(log.rename(columns={"item_id": "asin"}))


def test_a_table_of_texts_alone_is_refused(log):
    texts = ItemTable(np.arange(2), texts=pd.DataFrame({"title": ["a mug", "a pan"]}))
    with pytest.raises(ValueError, match=r"codes must be a table of embeddings, got one of texts in \['title'\]"):
        NextItemRecommender(texts).fit(log)
