"""The graph of a recommender, run by onnxruntime, against the recommender."""

import numpy as np
import pytest

from semid import ItemTable, NextItemRecommender, SemanticIDEncoder
from semid.datasets import make_clicks, make_items
from semid.io import encode_for_onnx, to_onnx
from semid.tokenizers import ProductQuantizationTokenizer

onnxruntime = pytest.importorskip("onnxruntime")
SMALL = {"n_layers": 2, "max_iter": 1, "max_length": 6, "random_state": 0}
KINDS = {
    "ids": {"codes": None, "embedding_dim": 8},
    "heads": {"embedding_dim": 64},
    "own": {"own_embedding": True, "embedding_dim": 16, "fusion": "attention"},
    "gate": {"fusion": "gate", "embedding_dim": 8},
}


@pytest.fixture(scope="module")
def made():
    return make_items(n_items=90, random_state=0)


@pytest.fixture(scope="module")
def log(made):
    frame = make_clicks(made, n_impressions=2_000, n_users=40, random_state=0).frame
    return frame[frame["click"] == 1]


def _recommender(made, **parameters):
    tokenizer = ProductQuantizationTokenizer(3, 5, rotation=None, random_state=0)
    codes = SemanticIDEncoder(tokenizer, items=ItemTable(made.frame["item_id"], made.embeddings))
    return NextItemRecommender(**SMALL | {"codes": codes} | parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_gives_all_scores_of_histories_of_any_length(kind, made, log, tmp_path):
    model = _recommender(made, **KINDS[kind]).fit(log)
    to_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    ids = made.frame["item_id"].tolist()
    for histories in ([ids[:n] for n in range(12)], [["unknown", ids[3]]], [[]]):
        (scores,) = session.run(None, encode_for_onnx(model, histories))
        np.testing.assert_allclose(scores, model.score_items(histories), rtol=1e-4, atol=1e-4)


def test_what_pads_a_history_says_nothing(made, log, tmp_path):
    model = _recommender(made, embedding_dim=8).fit(log)
    to_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = {"histories": np.array([[5, 7, 0], [5, 7, 30]]), "history_lengths": np.array([2, 2])}
    (scores,) = session.run(None, inputs)
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[0], model.score_items([model.items_[[5, 7]]])[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", ["residual", "popularity"])
def test_other_heads_are_refused(head, made, log, tmp_path):
    model = _recommender(made, embedding_dim=8, head=head).fit(log)
    with pytest.raises(TypeError, match=f"head='parallel', got head='{head}'. Serve the estimator itself"):
        to_onnx(model, tmp_path / "model.onnx")
