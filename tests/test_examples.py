"""Examples that are scripts from top to bottom: what their texts claim holds for what they compute."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from semid.ctr import DeepFMClassifier
from semid.datasets import expected_auc, make_clicks, make_items
from semid.embedders._lsa import LSA
from semid.features import ItemTable, SemanticIDEncoder
from semid.tokenizers import presets

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    yield lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    plt.close("all")


def test_every_example_has_a_test():
    tests = [Path(__file__), Path(__file__).with_name("test_quickstart.py")]
    text = "".join(path.read_text() for path in tests)
    assert [path.stem for path in EXAMPLES.glob("*.py") if path.stem not in text] == []


@pytest.mark.slow
def test_from_texts_to_clicks_each_text_is_read_once(run, monkeypatch):
    fitted = []
    original = LSA.fit
    monkeypatch.setattr(LSA, "fit", lambda self, texts: (fitted.append(len(texts)), original(self, texts))[1])
    names = run("plot_texts_to_clicks")
    assert names["without"] < names["with_codes"] < names["ceiling"]
    assert len(names["results"]) == 6
    assert len(fitted) == 1


@pytest.mark.slow
def test_new_items_are_scored_by_their_codes_without_another_fit(run):
    known, new = range(2)
    aucs = run("plot_cold_items")["aucs"]
    assert aucs["codes, after add_items"][new] > aucs["ids alone"][new] + 0.08
    assert aucs["codes, after add_items"][known] == aucs["codes, before add_items"][known]


@pytest.mark.slow
def test_users_that_the_model_never_met_are_known_by_their_clicks(run):
    aucs = {name: np.array(of_groups) for name, of_groups in run("plot_histories")["aucs"].items()}
    for name in ("histories, mean", "histories, attention"):
        assert (aucs[name][1:] > aucs["no histories"][1:] + 0.03).all()


@pytest.mark.slow
def test_a_path_down_the_tree_says_more_and_more_of_the_product(run):
    names = run("plot_code_tree")
    shares, by_chance = np.array(names["purities"]).T
    np.testing.assert_allclose(shares, [0.21, 0.34, 0.56], atol=0.02)
    assert (shares > 3 * by_chance).all()
    first, later = np.split(names["code_nmi"](names["codes"], names["category"]), [1])
    assert first > 0.5 > 5 * later.max()
    shelves = {branch.label for branch in names["display"].branches[0]}
    assert len(shelves) == 7  # of 8 categories; fountain pens and the rest of the office are two first codes
    labels = [text.get_text() for text in names["display"].text_]
    assert "0: garden (358)" in labels
    assert "0-0: body lotion (85)" in labels


@pytest.mark.slow
def test_codes_that_differ_lift_the_auc_and_copies_do_not(run):
    names = run("plot_scaling_codes")
    means = names["means"]
    gain = means["auc"].xs(7, level="n_codebooks") - means["auc"].xs(1, level="n_codebooks")
    assert gain["MoC"] > 0.01
    assert gain["RQ-VAE"] > 0.01
    assert gain["Multi-Embedding"] < 0.005
    assert means.loc[("RQ-VAE", 3), "auc"] > means.loc[("MoC", 3), "auc"]  # as its text admits
    assert means["auc"].max() < names["ceiling"]
    nmi = means["nmi"].xs(7, level="n_codebooks")
    assert nmi["Multi-Embedding"] == pytest.approx(1)
    assert nmi.drop("Multi-Embedding").max() < 0.25
    error = means["reconstruction_error"]
    assert error["Multi-Embedding"].nunique() == 1
    assert error["MoC"][7] < 0.5 * error["MoC"][1]


@pytest.mark.slow
def test_three_codes_are_within_the_noise_of_the_best_and_beat_item_ids(run):
    names = run("plot_choose_n_codebooks")
    results, chosen = names["results"], names["chosen"]
    assert chosen["n_codebooks"] == 3
    assert names["search"].best_params_ == {"features__codes__tokenizer__n_codebooks": 3}
    assert chosen["mean_test_score"] > names["without"].mean() + 0.02
    assert results["mean_test_score"].max() > chosen["mean_test_score"] > results["mean_test_score"][0]
    assert (names["n_models"], names["n_tokenizers"]) == (21, 5)


@pytest.mark.slow
def test_no_tokenizer_wins_everywhere_and_random_codes_are_among_the_best_three_times(run):
    figures = run("plot_compare_tokenizers")["figures"].round(2)
    best = figures.max().where(~figures.columns.isin(["redundancy", "collisions"]), figures.min())
    is_best = figures == best
    assert is_best.loc["random"].sum() == 3
    assert not is_best.all(axis=1).any()
    assert is_best["R² of new items"].idxmax() == "RQ-VAE"
    assert is_best["neighbours kept"].idxmax() == "the same, no projections"
    assert figures.loc["Mixture-of-Codes", "R² of new items"] > figures.loc["parallel k-means", "R² of new items"] + 0.1


@pytest.mark.slow
def test_the_audit_finds_both_faults_and_the_advice_mends_them(run):
    names = run("plot_audit_mapping")
    uneven, suffix = names["report"].advice
    assert uneven.startswith("Codebook 0 uses 4 of 64 codes")
    assert suffix.startswith("The last codebook only tells apart items whose other codes are equal: 81.3%")
    assert names["report_of_ours"].advice == []
    assert names["report_of_ours"].summary["collision_rate"] == 0
    assert names["report_of_ours"].summary["n_codebooks"] == names["report"].summary["n_codebooks"] - 1


@pytest.mark.slow
def test_a_prefix_tree_leads_to_items_alone_and_new_items_move_no_old_ones(run):
    names = run("plot_unique_ids")
    assert names["hits"] == 1
    assert names["free_hits"] == pytest.approx(1500 / 20**3, abs=0.05)
    assert names["changed"] == 0
    assert len(np.unique(names["all_codes"], axis=0)) == 2000
    assert 0.2 < names["after"].share_moved < 0.4
    rows = {tuple(row) for row in names["to_tokens"](names["all_codes"])}
    assert {
        (*prefix, token) for prefix, valid in names["tree_of_all"].items() for token in valid if len(prefix) == 2
    } == rows


@pytest.mark.slow
def test_the_main_job_goes_97_percent_of_the_way_to_the_best_possible_auc():
    items = make_items(n_items=1000, random_state=0)
    clicks = make_clicks(items, n_impressions=1_000_000, n_users=300, random_state=0)
    train, test = clicks.frame[:800_000], clicks.frame[800_000:]
    table = ItemTable(items.frame["item_id"], items.embeddings)
    encoder = SemanticIDEncoder(presets.ranking(random_state=0), items=table, user="user_id")
    fields = ["user_id", "item_id", "hour", "rank"]
    features = ColumnTransformer(
        [("codes", encoder, ["item_id", "user_id"]), ("fields", "passthrough", fields)], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    model = Pipeline([("features", features), ("ctr", DeepFMClassifier(fusion="gate", random_state=0))])
    model.fit(train[fields], train["click"])
    auc = roc_auc_score(test["click"], model.predict_proba(test[fields])[:, 1])
    best = expected_auc(clicks.click_probability[800_000:])
    assert (auc - 0.5) / (best - 0.5) > 0.97


@pytest.mark.slow
def test_new_items_are_recommended_by_their_codes_alone(run):
    names = run("plot_next_item")
    known, new = range(2)
    recall = names["recall"]
    assert recall["codes"][new] > 0.2
    assert recall["ids"][new] == recall["popularity"][new] == 0
    assert min(recall["codes"][known], recall["ids"][known]) > 2 * recall["popularity"][known]


@pytest.mark.slow
def test_a_catalogue_that_is_never_fitted_again_describes_new_items_worse_and_old_labels_halve_the_churn(run):
    names = run("plot_catalogue_year")
    assert names["fits_quarterly"][-1] > names["fits_never"][-1] + 0.2
    months = names["moved_outside"] > 0
    assert months.sum() == 3
    assert (names["moved"][months] < 0.7 * names["moved_outside"][months]).all()


@pytest.mark.slow
def test_codes_are_judged_by_co_clicks_and_not_by_collisions(run):
    names = run("plot_audit_traffic")
    aucs, collisions = names["aucs"], names["collisions"]
    assert max(aucs, key=aucs.get) == "co-click codes"
    assert collisions["co-click codes"] > 0.3 > 0.01 > collisions["random"]
    assert (
        max(aucs["random"], aucs["rows in another order"])
        < 0.51
        < min(aucs["residual k-means"], aucs["parallel k-means"])
    )
    assert "Poor" in str(names["report"])
