"""Uses that a type checker must take, and what it must know of them; checked by tests/test_typing.py, never run."""

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

import semid
from semid import (
    DeepFMClassifier,
    ItemTable,
    NextItemRecommender,
    RQVAETokenizer,
    SemanticIDEncoder,
    TextEmbedder,
    UniqueTokenizer,
)
from semid.datasets import ClickData, ItemData, LogData, fetch_movielens, make_clicks, make_items
from semid.io import load, prefix_table, read_mapping, save, to_onnx
from semid.metrics import CodeChurn, GroupAUC, code_churn, collision_rate, gauc_score, tokenizer_report
from semid.plots import CodeUsageDisplay, SpectrumDisplay
from semid.recommend import Recommendations
from semid.tokenizers import align_codes, distributed_fit, graded_sizes, presets


def tokenizers(X: np.ndarray, popularity: list[float]) -> None:
    tokenizer = RQVAETokenizer(
        n_codebooks=4,
        codebook_size=[256, 128, 64, 32],
        hidden_layer_sizes=(32,),
        assignment="sinkhorn",
        checkpoint_dir=Path("here"),
        random_state=np.random.RandomState(0),
    )
    assert_type(tokenizer.fit(X, sample_weight=popularity), RQVAETokenizer)
    assert_type(tokenizer.partial_fit(X), RQVAETokenizer)
    assert_type(tokenizer.transform(X.tolist()), np.ndarray)
    assert_type(tokenizer.inverse_transform([[0, 1, 2, 3]]), np.ndarray)
    assert_type(tokenizer.score(X), float)
    assert_type(tokenizer.codebook_sizes_, list[int])
    assert_type(tokenizer.codebooks_, list[np.ndarray])
    assert_type(presets.tiger(max_iter=3), RQVAETokenizer)
    assert_type(UniqueTokenizer(tokenizer, "suffix", suffix_size=16).fit(X), UniqueTokenizer)
    assert_type(align_codes([[0], [1]], tokenizer.transform(X)), np.ndarray)
    assert_type(graded_sizes(7), list[int])
    with distributed_fit() as ranks:
        save(tokenizer, f"model{ranks.rank}")


def tables(ids: list[str], X: np.ndarray, y: ArrayLike) -> None:
    table = ItemTable(ids, "embeddings.npy")
    assert_type(table.ids, np.ndarray)
    encoder = SemanticIDEncoder(semid.ParallelKMeansTokenizer(), items=table, user="user_id")
    assert_type(encoder.fit([["item0", 1]], y), SemanticIDEncoder)
    assert_type(TextEmbedder(n_components=8).fit_transform(["red mug", "blue mug"]), np.ndarray)
    model = DeepFMClassifier(fusion="gate", validation="last", categorical_features=["user_id", 3])
    assert_type(model.fit(X, y, eval_set=(X, y)), DeepFMClassifier)
    assert_type(model.predict_proba(X), np.ndarray)


def recommenders(log: pd.DataFrame, encoder: SemanticIDEncoder, table: ItemTable) -> None:
    model = NextItemRecommender(encoder, "residual", time=None, batch_size=64, validation=None, random_state=0)
    assert_type(model.fit(log, eval_set=log), NextItemRecommender)
    assert_type(NextItemRecommender(table, own_embedding=True).partial_fit(log.to_numpy()), NextItemRecommender)
    assert_type(model.add_items(table), NextItemRecommender)
    found = model.recommend([["mug", "pan"], []], n=3, exclude_seen=False, beam_size=10)
    assert_type(found, Recommendations)
    items, scores = found
    assert_type(items, np.ndarray)
    assert_type(scores, np.ndarray)
    assert_type(model.score_items(model.log_.before(["ann"])), np.ndarray)
    assert_type(model.score(log), float)
    assert_type(model.codebook_sizes_, list[int])
    assert_type(model.history_["train_loss"], np.ndarray)
    assert_type(prefix_table(model.codes_, model.codebook_sizes_).allowed([[0]]), np.ndarray)
    to_onnx(model, Path("model.onnx"))


def functions(codes: np.ndarray) -> None:
    items = make_items(n_items=10)
    assert_type(items, ItemData)
    assert_type(make_clicks(items), ClickData)
    assert_type(fetch_movielens("1m", data_home=Path("here")), LogData)
    assert_type(collision_rate(codes, X=None), float)
    assert_type(code_churn(codes, codes), CodeChurn)
    assert_type(gauc_score([0, 1], [0.1, 0.2], ["a", "a"]), GroupAUC)
    assert_type(tokenizer_report("codes.json", codebook_size=[4, 4]).advice, list)
    assert_type(read_mapping({"mug": [1, 2]}).codes, np.ndarray)
    assert_type(CodeUsageDisplay.from_codes(codes).plot(linewidth=2), CodeUsageDisplay)
    assert_type(SpectrumDisplay.from_representations({"items": items.embeddings}), SpectrumDisplay)
    load(save(TextEmbedder(), Path("here"))).transform(["a mug"])
