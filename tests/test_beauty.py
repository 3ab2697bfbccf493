"""What is promised on real data: Amazon Beauty titles, 12,101 x 384. Skipped where the data are not at hand."""

import runpy
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REAL_DATA

from semid.metrics import codebook_redundancy, codebook_usage, collision_rate
from semid.tokenizers import MixtureOfCodesTokenizer, RQVAETokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (REAL_DATA / "beauty_minilm.npy").exists(), reason="the data are not at hand"),
]


@pytest.fixture(autouse=True)
def all_torch_threads(one_torch_thread):
    torch.set_num_threads(2)


@pytest.fixture(scope="module")
def X():
    return np.load(REAL_DATA / "beauty_minilm.npy")


def test_mixture_of_codes_tells_items_apart_with_codebooks_that_differ(X):
    tokenizer = MixtureOfCodesTokenizer(n_codebooks=7, codebook_size=256, random_state=0)
    codes = tokenizer.fit_transform(X)
    assert 1 - collision_rate(codes) >= 0.985
    assert codebook_redundancy(codes) <= 0.36
    assert tokenizer.score(X) >= 0.50


def test_residual_codes_tell_items_apart(X):
    tokenizer = RQVAETokenizer(n_codebooks=7, codebook_size=256, random_state=0)
    codes = tokenizer.fit_transform(X)
    assert 1 - collision_rate(codes) >= 0.99
    assert codebook_usage(codes, 256).min() >= 0.98


def test_without_projections_the_codebooks_become_copies(X):
    codes = MixtureOfCodesTokenizer(projection=None, max_iter=5, random_state=0).fit_transform(X)
    assert codebook_redundancy(codes) > 0.6


def test_codes_lift_a_click_model_at_the_defaults():
    example = runpy.run_path(str(Path(__file__).resolve().parents[1] / "examples" / "plot_quickstart.py"))
    arguments = Namespace(
        items=REAL_DATA / "beauty_items.parquet",
        embeddings=REAL_DATA / "beauty_minilm.npy",
        interactions=REAL_DATA / "beauty_interactions.parquet",
        user="user_id",
        item="item_id",
        order="position",
        click="click",
        fields=[],
    )
    results = example["compare"](example["task_from_files"](arguments), example["arms"]()).set_index("model")
    auc = results["auc"]
    assert auc["no codes"] >= 0.665
    assert auc["MoC 7x, gate"] >= 0.71
    assert auc["MoC 7x, gate"] - auc["no codes"] >= 0.03
    assert auc["k-means 7x, graded sizes, gate"] >= 0.74
    assert results["seconds"].sum() < 600
