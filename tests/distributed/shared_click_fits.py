"""A program for torchrun: fits click models on all ranks, and writes what each rank has.

torchrun --nproc-per-node=2 shared_click_fits.py folder
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.pipeline import make_pipeline

from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
)
from semid.datasets import make_clicks, make_items
from semid.features import HistoryEncoder, ItemTable, SemanticIDEncoder
from semid.tokenizers import RQVAETokenizer, distributed_fit

_SMALL = {"embedding_dim": 4, "hidden_layer_sizes": (8,), "max_iter": 3, "batch_size": 100}
items = make_items(n_items=120, n_features=12, random_state=0)
clicks = make_clicks(items, n_impressions=1503, n_users=40, random_state=0).frame
rng = np.random.default_rng(0)
X = clicks[["user_id", "item_id", "hour"]].assign(
    tags=[rng.integers(9, size=rng.integers(4)).tolist() for _ in range(len(clicks))],
    price=rng.normal(size=len(clicks)),
    item_code0=pd.factorize(clicks["item_id"])[0] % 5,
    item_code1=pd.factorize(clicks["item_id"])[0] % 7,
    **{f"v{i}": rng.normal(size=len(clicks)).astype(np.float32) for i in range(8)},
)
y, weights = clicks["click"], rng.integers(1, 4, size=len(clicks)).astype(float)


def fits():
    """Yield the name of each case and its click model, fitted, and what it predicts for."""
    yield "DeepFM", DeepFMClassifier(**_SMALL, random_state=0).fit(X, y), X
    last = DeepFMClassifier(**_SMALL, random_state=0, validation=0.2, dropout=0.2).fit(X, y, weights)
    yield "DeepFM, dropout, weights, a last epoch", last, X
    yield "DCNv2, all rows", DCNv2Classifier(**_SMALL, random_state=0, validation=None, n_embedding_sets=2).fit(X, y), X
    yield "AutoInt, attention", AutoIntClassifier(**_SMALL, random_state=0, fusion="attention").fit(X, y), X
    machine = FactorizationMachineClassifier(embedding_dim=4, max_iter=2, batch_size=100, random_state=0)
    yield "factorization machine, twice", machine.fit(X[:900], y[:900]).partial_fit(X[900:], y[900:]), X
    yield "DeepFM, seed drawn", DeepFMClassifier(**_SMALL).fit(X, y), X
    histories = HistoryEncoder(max_length=5).set_output(transform="pandas")
    with_histories = X.join(histories.fit_transform(clicks[["user_id", "item_id", "timestamp"]], y))
    yield "DIN", DINClassifier(**_SMALL, random_state=0).fit(with_histories, y), with_histories
    table = ItemTable(items.frame["item_id"], items.embeddings)
    tokenizer = RQVAETokenizer(n_codebooks=2, codebook_size=8, max_iter=2, random_state=0)
    codes = SemanticIDEncoder(tokenizer, items=table).set_output(transform="pandas")
    pipeline = make_pipeline(codes, DeepFMClassifier(**_SMALL, random_state=0))
    yield "pipeline", pipeline.fit(X[["item_id"]], y), X[["item_id"]]
    with tempfile.TemporaryDirectory() as folder:
        pd.DataFrame(X.assign(click=y)).to_parquet(f"{folder}/log.parquet")
        yield "DeepFM, files", DeepFMClassifier(**_SMALL, random_state=0).fit(folder, "click"), X


def main(folder, n_shares=None):
    torch.set_num_threads(1)
    learned = {}
    with distributed_fit(n_shares and int(n_shares)) as ranks:
        for name, model, table in fits():
            learned[f"{name}: probabilities"] = model.predict_proba(table)
            classifier = model[-1] if hasattr(model, "steps") else model
            learned |= {f"{name}: {part}": array for part, array in classifier.state_.items()}
    np.savez(Path(folder) / f"{ranks.size}_{ranks.n_shares}_{ranks.rank}.npz", **learned)


if __name__ == "__main__":
    main(*sys.argv[1:])
