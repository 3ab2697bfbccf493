"""Examples that are scripts from top to bottom, and the promise they make of the main job."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
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
    return lambda name: runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


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
