"""The report with a log of interactions: what codes are worth, beside random codes and k-means."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from semid.datasets import make_items
from semid.metrics import (
    TokenizerReport,
    co_click_auc,
    co_click_hit_rate,
    co_click_rates,
    prefix_purity,
    shared_traffic,
    tokenizer_report,
)
from semid.metrics._baselines import PARALLEL, RANDOM, RESIDUAL, baseline_codes
from semid.metrics._traffic import Log, some_users
from semid.tokenizers import ParallelKMeansTokenizer, ResidualKMeansTokenizer, UniqueTokenizer


@pytest.fixture(scope="module")
def catalogue():
    """400 items of eight kinds, and 300 users who take items of two kinds each."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(8, size=400)
    X = (rng.normal(size=(8, 16))[kinds] * 3 + rng.normal(size=(400, 16))).astype(np.float32)
    of_users = rng.integers(8, size=(300, 2))
    taken = [rng.choice(np.flatnonzero(np.isin(kinds, of_users[user])), 8) for user in range(300)]
    log = pd.DataFrame({"user_id": np.repeat(np.arange(300), 8), "item_id": np.concatenate(taken)})
    return X, kinds, log


@pytest.fixture(scope="module")
def codes(catalogue):
    return ResidualKMeansTokenizer(3, 16, random_state=0).fit_transform(catalogue[0])


def test_the_summary_holds_the_figures_of_the_metrics(catalogue, codes):
    X, kinds, log = catalogue
    report = tokenizer_report(codes, X, interactions=log, labels=kinds, codebook_size=16)
    users, items = log["user_id"], log["item_id"].to_numpy()
    summary, table = report.summary, report.table
    popularity = np.bincount(items, minlength=400)
    rates = co_click_rates(codes, users, items)
    np.testing.assert_allclose(table["co_click_lift"], rates.code / rates.code_by_chance)
    np.testing.assert_allclose(table["prefix_co_click_lift"], rates.prefix / rates.prefix_by_chance)
    np.testing.assert_allclose(table["prefix_purity"], prefix_purity(codes, kinds))
    assert summary["n_interactions"] == len(log)
    assert summary["shared_traffic"] == shared_traffic(codes, popularity)
    assert summary["co_click_lift_of_first"] == pytest.approx(table["co_click_lift"][0])
    assert summary["purity_of_first"] == pytest.approx(table["prefix_purity"][0])
    assert summary["purity_by_chance"] == pytest.approx(np.mean(kinds[:, None] == kinds[None]) - 1 / 400, abs=0.002)
    assert summary["co_click_auc"] == pytest.approx(co_click_auc(codes, users, items, random_state=1), abs=0.02)
    expected = [co_click_hit_rate(codes, users, items, random_state=seed) for seed in range(3)]
    assert summary["co_click_hit_rate"] == pytest.approx(np.mean(expected), abs=0.02)
    assert summary["co_click_hit_rate_by_chance"] == pytest.approx(10 / 399, abs=0.01)
    assert summary["table_rows"] == 48 and summary["table_bytes"] == 48 * 64
    assert summary["prefix_rows"] == sum(len(np.unique(codes[:, :n], axis=0)) for n in (1, 2, 3))
    json.dumps(summary)
    assert report.parts.index.tolist() == ["head", "middle", "tail"]
    assert (report.parts["co_click_auc"] > 0.7).all()


def test_codes_of_the_content_are_good_and_shuffled_ones_are_told(catalogue, codes, rng):
    X, _, log = catalogue
    side_by_side = ParallelKMeansTokenizer(3, 16, random_state=0).fit_transform(X)
    assert tokenizer_report(side_by_side, X, interactions=log).verdict["ranking"].startswith("Good: ")
    report = tokenizer_report(codes, X, interactions=log)
    assert report.verdict["ranking"].startswith("Fair: ")
    assert list(report.baselines) == ["mapping", RANDOM, RESIDUAL, PARALLEL]
    aucs = report.baselines.loc["co_click_auc"]
    assert aucs[RANDOM] == pytest.approx(0.5, abs=0.05)
    assert aucs["mapping"] > 0.7 and aucs[RESIDUAL] > 0.7 and aucs[PARALLEL] > 0.8

    shuffled = tokenizer_report(rng.permutation(codes), X, interactions=log)
    assert shuffled.verdict["ranking"].startswith("Poor: ")
    assert any(text.startswith("The codes know nothing of what users take") for text in shuffled.advice)
    assert any(f"{PARALLEL} 0." in text for text in shuffled.advice)


def test_a_first_code_alone_is_told_that_k_means_knows_more(catalogue, rng):
    X, kinds, log = catalogue
    blurred = np.column_stack([kinds // 4, rng.integers(8, size=(400, 2))])  # half of what there is, and noise
    advice = tokenizer_report(blurred, X, codebook_size=8, interactions=log).advice
    assert any(text.startswith("Plain k-means of X") and "ParallelKMeansTokenizer" in text for text in advice)


def test_the_verdict_for_retrieval_asks_for_an_id_of_each_item(catalogue, codes):
    X, _, log = catalogue
    unique = UniqueTokenizer(ResidualKMeansTokenizer(3, 16, random_state=0)).fit(X).transform(X)
    verdict = tokenizer_report(unique, X, interactions=log).verdict["retrieval"]
    assert "every item has an ID of its own; another item of the same user is among the 10 nearest" in verdict
    assert tokenizer_report(unique, X).verdict["retrieval"].startswith("Good: every item has an ID of its own; ")
    coarse = tokenizer_report(codes[:, :1], X, interactions=log).verdict["retrieval"]
    assert coarse.startswith("Poor: 96.0% of the items add no ID of their own")
    suffixed = UniqueTokenizer(ResidualKMeansTokenizer(2, 16, random_state=0), strategy="suffix").fit(X).transform(X)
    assert "with a last code that only counts" in tokenizer_report(suffixed, X).verdict["retrieval"]


def test_without_a_log_and_without_x_the_verdict_is_open(codes, catalogue):
    assert tokenizer_report(codes).verdict["ranking"].startswith("Unknown: pass interactions, and X")
    assert "of the neighbours in X" in tokenizer_report(codes, catalogue[0]).verdict["ranking"]
    alone = tokenizer_report(codes, interactions=catalogue[2]).verdict["ranking"]
    assert alone.startswith("Unknown: by its codes alone") and "Pass X to see" in alone


def test_codes_for_ranking_may_collide(catalogue):
    X, _, log = catalogue
    tokenizer = ParallelKMeansTokenizer(5, "graded", random_state=0).fit(X)
    codes, sizes = tokenizer.transform(X), tokenizer.codebook_sizes_
    report = tokenizer_report(codes, X, codebook_size=sizes, interactions=log, purpose="ranking")
    assert list(report.verdict) == ["ranking"]
    assert report.verdict["ranking"].startswith("Good")
    assert report.advice == []
    both = tokenizer_report(codes, X, codebook_size=sizes, interactions=log)
    assert any("add no row of codes" in text for text in both.advice)
    assert list(tokenizer_report(codes, purpose="retrieval").verdict) == ["retrieval"]


def test_traffic_on_shared_codes_is_told_with_the_titles_of_the_most_popular(codes):
    codes = codes.copy()
    codes[:5] = codes[0]
    popularity = np.ones(400)
    popularity[[2, 4]] = 500, 300
    titles = [f"item number {n}" for n in range(400)]
    advice = tokenizer_report(codes, popularity=popularity, titles=titles).advice
    (shared,) = [text for text in advice if "of the interactions are with items that share" in text]
    assert "the most popular such are 'item number 2' (2) and 'item number 4' (4)" in shared
    (collisions,) = [text for text in advice if text.startswith("Collisions")]
    assert "such as 'item number" in collisions


def test_interactions_of_items_without_codes_are_counted_and_those_of_nobody(catalogue, codes):
    log = catalogue[2].astype({"user_id": "Int64"})
    more = pd.DataFrame({"user_id": [1, None, 3], "item_id": [900, 5, 901]}).astype({"user_id": "Int64"})
    report = tokenizer_report(codes, interactions=pd.concat([log, *[more] * 30]))
    assert report.summary["n_interactions"] == len(log)
    begins = "90 of 2,490 interactions (3.6%) are with items that have no codes"
    assert any(text.startswith(begins) for text in report.advice)


def test_ids_of_the_log_are_those_of_the_mapping(catalogue, codes, rng):
    X, _, log = catalogue
    order = rng.permutation(400)
    names = np.array([f"B{n:03}" for n in range(400)])
    mapping = pd.DataFrame(codes[order], index=names[order]).add_prefix("code")
    named = log.assign(item_id=names[log["item_id"]]).rename(columns={"item_id": "asin", "user_id": "who"})
    summary = tokenizer_report(mapping, X[order], interactions=named, user="who", item="asin").summary
    expected = tokenizer_report(codes, X, interactions=log).summary
    assert summary["co_click_lift"] == pytest.approx(expected["co_click_lift"])
    assert summary["shared_traffic"] == expected["shared_traffic"]


def test_items_without_an_embedding_are_audited_for_traffic_too(catalogue, codes, rng):
    X, _, log = catalogue
    gaps = np.where(rng.random((400, 1)) < 0.2, np.nan, X)
    report = tokenizer_report(codes, gaps, interactions=log)
    assert report.summary["co_click_lift"] == pytest.approx(
        tokenizer_report(codes, interactions=log).summary["co_click_lift"]
    )
    assert report.baselines.loc["co_click_auc", PARALLEL] > 0.7
    assert "co_click_hit_rate_of_embeddings" not in report.summary


def test_baselines_have_the_sizes_and_are_left_out_on_request(catalogue, codes):
    X, _, log = catalogue
    of_names = baseline_codes(400, np.array([4, 7, 900]), X, np.arange(400), np.random.RandomState(0))
    for codes_of in of_names.values():
        assert codes_of.shape == (400, 3)
        assert (codes_of.max(axis=0) < [4, 7, 900]).all() and codes_of.min() == 0
    first = ParallelKMeansTokenizer(1, 4, random_state=0)
    centers = [X[of_names[PARALLEL][:, 0] == code].mean(axis=0) for code in range(4)]
    spread = np.square(X - np.array(centers)[of_names[PARALLEL][:, 0]]).sum()
    best = np.square(X - first.fit(X).inverse_transform(first.transform(X))).sum()
    assert spread < 1.3 * best
    report = tokenizer_report(codes, X, interactions=log, baselines=False)
    assert report.baselines is None
    assert "random" not in str(report)


def test_equal_embeddings_and_one_item_are_no_trouble_for_baselines():
    X = np.ones((60, 5), dtype=np.float32)
    codes = np.column_stack([np.arange(60) % 8, np.arange(60) // 8])
    assert PARALLEL in tokenizer_report(codes, X).baselines
    assert PARALLEL not in tokenizer_report([[3]], [[0.5, 0.1]]).baselines


def test_the_figures_of_before_do_not_depend_on_what_came_later(catalogue, codes):
    X, kinds, log = catalogue
    alone = tokenizer_report(codes, X, baselines=False)
    full = tokenizer_report(codes, X, interactions=log, labels=kinds)
    assert {name: full.summary[name] for name in alone.summary} == alone.summary
    pd.testing.assert_frame_equal(full.table[list(alone.table)], alone.table)


def test_a_long_log_is_cut_to_some_users_with_all_that_they_took(monkeypatch, catalogue):
    log = catalogue[2]
    users, items = log["user_id"].to_numpy(), log["item_id"].to_numpy()
    monkeypatch.setattr("semid.metrics._traffic._MOST_PAIRS", 600)
    some = some_users(Log(users, items, 0), np.random.RandomState(0))
    assert 300 < len(some.users) < 900
    assert set(np.bincount(some.users)) <= {0, 8}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"interactions": [[1, 2]]}, TypeError, "interactions must be a DataFrame, got list"),
        (
            {"interactions": pd.DataFrame({"user_id": [1]})},
            ValueError,
            "item must be a column of interactions, got 'item_id'",
        ),
        (
            {"interactions": pd.DataFrame({"user_id": [1], "item_id": ["7"]})},
            ValueError,
            "none is: ids like '7', where the mapping has ids like 0. Text and numbers are never equal",
        ),
        ({"interactions": pd.DataFrame({"user_id": [], "item_id": []})}, ValueError, "and none is, got no text and"),
        ({"popularity": [1, 2]}, ValueError, r"popularity must have shape \(4,\)"),
        ({"labels": [1, 2]}, ValueError, r"labels must have shape \(4,\)"),
        ({"titles": ["a"]}, ValueError, r"titles must have shape \(4,\)"),
        ({"purpose": "clicks"}, ValueError, "purpose must be one of None, 'ranking', 'retrieval', got 'clicks'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        tokenizer_report([[0, 1], [1, 2], [2, 3], [3, 0]], **arguments)


def test_items_without_a_label_are_left_out_of_what_is_said_of_labels(catalogue, codes):
    kinds = catalogue[1].astype(object)
    kinds[:100] = None
    report = tokenizer_report(codes, labels=kinds)
    expected = tokenizer_report(codes[100:], labels=kinds[100:])
    for name in ("nmi_with_labels", "prefix_purity"):
        np.testing.assert_allclose(report.table[name], expected.table[name])
    with pytest.raises(ValueError, match="labels must not be missing for all items"):
        tokenizer_report(codes, labels=np.full(400, None))
    with pytest.raises(TypeError, match="labels must hold text or numbers"):
        tokenizer_report(codes, labels=pd.Series([["a", "b"]] * 399 + [["c"]]))


def test_labels_under_their_former_name_are_taken_with_a_word():
    with pytest.warns(FutureWarning, match="y of tokenizer_report is called labels now"):
        report = tokenizer_report([[0], [1]], y=["a", "b"])
    assert "nmi_with_labels" in report.table


def test_polars_logs_are_read(catalogue, codes):
    pl = pytest.importorskip("polars")
    log = catalogue[2]
    expected = tokenizer_report(codes, interactions=log).summary
    assert tokenizer_report(codes, interactions=pl.from_pandas(log)).summary == expected


def test_two_reports_lie_side_by_side_with_their_churn(catalogue, codes, rng):
    X, _, log = catalogue
    order = rng.permutation(400)
    new = codes.copy()
    new[:40, 1] += 1
    first = tokenizer_report(pd.DataFrame(codes).add_prefix("code"), X, interactions=log)
    second = tokenizer_report(pd.DataFrame(new[order], index=order).add_prefix("code"), X[order])
    comparison = first.compare(second, names=("old", "new"))
    assert comparison.n_common == 400
    assert comparison.churn.items == pytest.approx(0.1)
    np.testing.assert_allclose(comparison.churn.codes, [0, 0.1, 0])
    table, rates = comparison.table, [report.summary["collision_rate"] for report in (first, second)]
    assert table.loc["collision_rate"].tolist() == [*rates, rates[1] - rates[0]]
    assert np.isnan(table.loc["co_click_auc", "new"])
    text = str(comparison)
    assert "Of 400 items that both have, 10.0% changed their codes (0.0%, 10.0%, 0.0% by codebook)." in text
    assert re.search(r"\nn_items +400 +400 +0\n", text)
    assert "difference" in comparison._repr_html_()
    assert first.compare(tokenizer_report(codes[:, :2])).churn is None
    with pytest.raises(TypeError, match="other must be a TokenizerReport, got ndarray"):
        first.compare(codes)
    with pytest.raises(ValueError, match="names must be two different texts"):
        first.compare(second, names=("a", "a"))
    by_hand = TokenizerReport(first.table, first.summary, first.advice)
    assert by_hand.compare(first).churn is None and by_hand.compare(first).n_common == 0


def test_the_report_of_a_hundred_items_in_a_notebook_has_verdict_figures_and_parts():
    items = make_items(n_items=100, random_state=0)
    codes = np.column_stack([np.arange(100) % 10, np.arange(100) // 10])
    html = tokenizer_report(codes, items.embeddings, popularity=np.arange(100))._repr_html_()
    for part in ("For ranking", "parallel k-means", "own_codes", "perplexity"):
        assert part in html


def test_of_a_log_too_short_to_tell_nothing_is_held_against_the_codes():
    log = pd.DataFrame({"user_id": ["ann", "ann", "bob", "bob"], "item_id": [0, 1, 2, 3]})
    report = tokenizer_report([[0], [0], [1], [1]], interactions=log)
    assert report.summary["co_click_auc"] == 1
    assert report.verdict["ranking"].startswith("Unknown: ")
    assert not any("know nothing of what users take" in text for text in report.advice)


def test_codes_of_which_a_long_log_knows_nothing_are_poor_without_x_too(catalogue, codes, rng):
    report = tokenizer_report(rng.permutation(codes), interactions=catalogue[2])
    assert report.verdict["ranking"].startswith("Poor: ")
    assert any(text.startswith("The codes know nothing of what users take") for text in report.advice)


@pytest.mark.parametrize("seed", [0, 3])
def test_random_codes_are_not_good_for_retrieval_by_luck(seed):
    rng = np.random.default_rng(seed)
    log = pd.DataFrame({"user_id": np.repeat(np.arange(300), 8), "item_id": rng.integers(400, size=2400)})
    codes = rng.permutation(4096)[:400, None] // [256, 16, 1] % 16
    for X in (rng.normal(size=(400, 8)), None):
        verdict = tokenizer_report(codes, X, interactions=log).verdict["retrieval"]
        assert verdict.startswith("Unknown: every item has an ID of its own")
    assert verdict.endswith("Pass X to see what k-means of X has.")


def test_what_is_there_is_not_asked_for(catalogue, codes):
    X, _, log = catalogue
    verdict = tokenizer_report(codes, X, interactions=log, baselines=False).verdict
    assert verdict["ranking"].endswith("Leave baselines on to see what k-means of X has.")
    assert (
        tokenizer_report(codes, interactions=log, baselines=False)
        .verdict["ranking"]
        .endswith("Pass X and leave baselines on to see what k-means of X has.")
    )
    alone = tokenizer_report(codes, X, interactions=log[::8]).verdict["ranking"]
    assert alone.startswith("Unknown: no user in the log has two items to compare")


def test_logs_without_users_and_with_a_column_twice_say_so(catalogue, codes):
    log = catalogue[2]
    with pytest.raises(ValueError, match="interactions must have users, got none in 'user_id' of the 2,400 rows"):
        tokenizer_report(codes, interactions=log.assign(user_id=np.nan))
    with pytest.raises(ValueError, match="user must be a column of interactions, got 'user_id' twice"):
        tokenizer_report(codes, interactions=pd.concat([log, log[["user_id"]]], axis=1))


def test_no_report_is_called_difference(codes):
    with pytest.raises(ValueError, match="names must not be 'difference'"):
        tokenizer_report(codes).compare(tokenizer_report(codes), names=("difference", "new"))
