import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semid.ctr import DeepFMClassifier
from semid.features import ItemTable, SemanticIDEncoder
from semid.plots import HistoryDisplay
from semid.recommend import NextItemRecommender
from semid.tokenizers import RandomTokenizer, ResidualKMeansTokenizer, RQVAETokenizer, UniqueTokenizer


@pytest.fixture
def rq_vae():
    return RQVAETokenizer(
        n_codebooks=2,
        codebook_size=8,
        hidden_layer_sizes=(16,),
        latent_dim=6,
        max_iter=4,
        validation=0.1,
        n_iter_no_change=4,
        random_state=0,
    )


def test_a_tokenizers_history_is_drawn_entry_by_entry(rq_vae, items):
    history = rq_vae.fit(items.embeddings).history_
    display = HistoryDisplay.from_estimator(rq_vae)
    assert display.panels == ["loss", "R²", "perplexity"]
    lines = display.plot(linewidth=3).lines_
    assert lines.keys() == history.keys() - {"usage"}  # perplexity says more
    for name, its_lines in lines.items():
        columns = history[name].reshape(len(history[name]), -1).T
        for line, column in zip(its_lines, columns, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), column)
            np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 1 + len(column)))
            assert line.get_linewidth() == 3
    assert [ax.get_ylabel() for ax in display.axes_.values()] == display.panels
    assert [ax.get_xlabel() for ax in display.axes_.values()] == ["", "", "epoch"]
    assert _legend(display, "R²") == ["training", "validation"]
    assert _legend(display, "perplexity") == ["code0", "code1"]


def test_a_click_models_history_is_log_loss_and_auc(clicks):
    model = DeepFMClassifier(embedding_dim=4, hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    history = model.fit(clicks[["user_id", "item_id"]], clicks["click"]).history_
    display = HistoryDisplay.from_estimator(model).plot()
    assert list(display.axes_) == ["loss", "AUC"]
    for name in ("train_loss", "valid_loss", "valid_auc"):
        np.testing.assert_array_equal(display.lines_[name][0].get_ydata(), history[name])
    assert _legend(display, "loss") == ["training", "validation"]
    model.set_params(validation=None).fit(clicks[["user_id", "item_id"]], clicks["click"])
    assert HistoryDisplay.from_estimator(model).panels == ["loss"]


def test_a_recommenders_history_is_its_loss_and_ndcg_beside_that_of_popularity():
    rng = np.random.default_rng(0)
    log = pd.DataFrame({"user_id": np.repeat(np.arange(20), 5), "item_id": rng.integers(10, size=100)})
    model = NextItemRecommender(time=None, embedding_dim=8, n_layers=1, max_iter=3, random_state=0).fit(log)
    display = HistoryDisplay.from_estimator(model).plot()
    assert list(display.axes_) == ["loss", "NDCG@10"]
    assert _legend(display, "NDCG@10") == ["validation", "popularity alone"]
    np.testing.assert_array_equal(display.lines_["valid_ndcg"][0].get_ydata(), model.history_["valid_ndcg"])


def test_refinements_follow_the_iterations_of_k_means(items):
    tokenizer = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, n_refinements=3, random_state=0)
    history = tokenizer.fit(items.embeddings).history_
    display = HistoryDisplay.from_estimator(tokenizer).plot()
    assert display.panels == ["loss", "R²", "usage"]
    (line,) = display.lines_["refinement_r2"]
    np.testing.assert_array_equal(line.get_ydata(), history["refinement_r2"])
    np.testing.assert_array_equal(line.get_xdata(), len(history["r2"]) + np.array([1, 2, 3]))
    assert len({ax.get_xlim() for ax in display.axes_.values()}) == 1
    assert display.axes_["usage"].get_xlabel() == "iteration of k-means"


def test_the_tokenizer_inside_others_is_found(rq_vae, items):
    ids = items.frame[["item_id"]]
    encoder = SemanticIDEncoder(rq_vae, items=ItemTable(items.frame["item_id"], items.embeddings)).fit(ids)
    for estimator in (
        make_pipeline(StandardScaler(), rq_vae).fit(items.embeddings),
        UniqueTokenizer(rq_vae, strategy="suffix").fit(items.embeddings),
        encoder,
    ):
        assert len(HistoryDisplay.from_estimator(estimator).history["validation_r2"]) == 4
    np.testing.assert_array_equal(
        HistoryDisplay.from_estimator(encoder).history["r2"], encoder.tokenizer_.history_["r2"]
    )


def test_losses_far_apart_are_drawn_logarithmically_and_gaps_stay_gaps():
    display = HistoryDisplay({"loss": [1.0, 0.02], "r2": [0.1, 0.5], "validation_r2": [np.nan, 0.4]}).plot()
    assert display.axes_["loss"].get_yscale() == "log"
    assert display.axes_["R²"].get_yscale() == "linear"
    assert np.isnan(display.lines_["validation_r2"][0].get_ydata()[0])
    assert HistoryDisplay({"loss": [1.0, 0.0]}).plot().axes_["loss"].get_yscale() == "linear"


def test_of_many_codebooks_the_legend_names_some():
    display = HistoryDisplay({"perplexity": np.arange(20.0).reshape(2, 10)}).plot()
    assert len(display.lines_["perplexity"]) == 10
    assert _legend(display, "perplexity") == ["code0", "code3", "code6", "code9"]


def test_panels_take_the_place_of_the_axes_they_are_given():
    figure = plt.figure()
    place = figure.add_axes((0.5, 0.2, 0.4, 0.6))
    display = HistoryDisplay({"loss": [1.0, 0.5], "r2": [0.1, 0.5]}).plot(place)
    figure.canvas.draw()
    outer = place.get_window_extent()
    loss, r2 = (ax.get_window_extent() for ax in display.axes_.values())
    assert r2.y0 == pytest.approx(outer.y0) and r2.y1 < loss.y0 and loss.y1 <= outer.y1
    for panel in (loss, r2):
        np.testing.assert_allclose([panel.x0, panel.x1], [outer.x0, outer.x1])


def test_what_has_no_history_is_refused(items):
    with pytest.raises(TypeError, match=r"estimator must keep a history_, .* got RandomTokenizer"):
        HistoryDisplay.from_estimator(RandomTokenizer(codebook_size=8, random_state=0).fit(items.embeddings))
    with pytest.raises(ValueError, match="not fitted"):
        HistoryDisplay.from_estimator(RQVAETokenizer())
    with pytest.raises(TypeError, match="history must be a dict of name to array, got list"):
        HistoryDisplay([1, 2])
    with pytest.raises(ValueError, match=r"history must have one of \['loss', .* got \['auc'\]"):
        HistoryDisplay({"auc": [0.5]})
    with pytest.raises(ValueError, match=r"got \(1, 1, 1\) as 'r2'"):
        HistoryDisplay({"r2": [[[0.5]]]})


def _legend(display, panel):
    return [text.get_text() for text in display.axes_[panel].get_legend().get_texts()]


def test_noise_is_not_scaled_to_the_panel():
    noise = np.linspace(0, 1e-4, 5)
    history = {"train_loss": 0.69 + noise, "valid_auc": 0.5008 + noise, "rates_auc": np.full(5, 0.5009)}
    display = HistoryDisplay(history).plot()
    low, high = display.axes_["AUC"].get_ylim()
    assert low < 0.5 < high
    assert high - low >= 0.02 - 1e-9
    low, high = display.axes_["loss"].get_ylim()
    assert high - low > 0.006
    assert low < 0.69 < high
    for panel, entry in (("R²", "r2"), ("perplexity", "perplexity")):
        low, high = HistoryDisplay({entry: 0.4 + noise}).plot().axes_[panel].get_ylim()
        assert high - low > 30 * 1e-4
        assert low < 0.4 < high


def test_what_moves_fills_the_panel():
    auc = np.linspace(0.6, 0.75, 5)
    low, high = HistoryDisplay({"r2": auc}).plot().axes_["R²"].get_ylim()
    assert 0.55 < low < 0.6 < 0.75 < high < 0.8
