"""Mistakes that a type checker must see, with the code of each error; checked by tests/test_typing.py, never run."""

import numpy as np

import semid
from semid import DeepFMClassifier, NextItemRecommender, RandomTokenizer, RQVAETokenizer, SemanticIDEncoder
from semid.datasets import fetch_movielens, make_clicks, make_items
from semid.metrics import collision_rate, gauc_score
from semid.plots import CodeUsageDisplay
from semid.tokenizers import graded_sizes


def misspelled(X: np.ndarray) -> None:
    semid.RQVAETokeniser()  # E: attr-defined
    semid.metrics.collisions(X)  # E: attr-defined
    RQVAETokenizer(n_codebook=3)  # E: call-arg
    RQVAETokenizer(assignment="balanced")  # E: arg-type
    DeepFMClassifier(validation="random")  # E: arg-type
    NextItemRecommender(head="serial")  # E: arg-type
    fetch_movielens("100K")  # E: arg-type
    make_items(1000, seed=0)  # E: call-arg


def of_another_type(X: np.ndarray) -> None:
    RQVAETokenizer(codebook_size="large")  # E: arg-type
    RQVAETokenizer(hidden_layer_sizes=0.5)  # E: arg-type
    RQVAETokenizer(checkpoint_dir=True)  # E: arg-type
    make_clicks(X)  # E: arg-type
    NextItemRecommender(X)  # E: arg-type
    SemanticIDEncoder(RQVAETokenizer(), items=X)  # E: arg-type
    RQVAETokenizer(random_state=np.random.default_rng(0))  # E: arg-type
    collision_rate(X).mean()  # E: attr-defined
    RQVAETokenizer().transform(X).fit(X)  # E: attr-defined
    graded_sizes(7).mean()  # E: attr-defined


def in_another_place(X: np.ndarray) -> None:
    RQVAETokenizer(3, 256, 40)  # E: call-arg
    gauc_score([0, 1], [0.1, 0.2])  # E: call-arg
    CodeUsageDisplay.from_codes(X, 4, True)  # E: call-arg
    DeepFMClassifier().fit(X)  # E: call-arg
    NextItemRecommender().recommend([["mug"]], 3, True)  # E: call-arg


def never_returns(X: np.ndarray) -> str:
    RandomTokenizer().align_to(X, X)
    return 0  # no error: the line before raises
