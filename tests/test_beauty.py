"""What is promised on real data: Amazon Beauty titles, 12,101 x 384. Skipped where the data are not at hand."""

import runpy
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REAL_DATA

from semid.metrics import codebook_perplexity, codebook_redundancy, codebook_usage, collision_rate
from semid.tokenizers import MixtureOfCodesTokenizer, ResidualKMeansTokenizer, RQVAETokenizer, UniqueTokenizer

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
    codes = MixtureOfCodesTokenizer(projection_dim=None, max_iter=5, random_state=0).fit_transform(X)
    assert codebook_redundancy(codes) > 0.6


def test_learned_codes_of_three_codebooks_reconstruct_and_tell_apart(X):
    tokenizer = RQVAETokenizer(
        n_codebooks=3,
        latent_dim=64,
        max_iter=80,
        mixup=0.0,
        assignment="sinkhorn",
        separation_weight=7.0,
        random_state=0,
    )
    codes = tokenizer.fit_transform(X)
    assert tokenizer.score(X) >= 0.53
    assert 1 - collision_rate(codes) >= 0.965


def test_balanced_and_separated_codes_use_every_code_and_hardly_collide(X):
    tokenizer = RQVAETokenizer(
        n_codebooks=4,
        latent_dim=28,
        max_iter=80,
        mixup=0.0,
        assignment="sinkhorn",
        separation_weight=50.0,
        random_state=0,
    )
    codes = tokenizer.fit_transform(X)
    assert codebook_usage(codes, 256)[0] == 1.0
    assert codebook_perplexity(codes).min() > 200
    assert collision_rate(codes[:, :3]) <= 0.03
    assert collision_rate(codes) <= 0.005


def test_refined_codes_beat_local_search_and_stay_so_when_made_unique(X):
    refined = ResidualKMeansTokenizer(beam_size=16, n_refinements=50, random_state=0).fit(X)
    assert refined.score(X) >= 0.618
    assert 1 - collision_rate(refined.transform(X)) >= 0.840
    unique = UniqueTokenizer(refined).fit(X)
    assert unique.score(X) >= 0.60
    assert len(np.unique(unique.transform(X), axis=0)) == unique.report_.n_distinct


def test_new_items_are_reconstructed_nearly_as_well_as_fitted_ones(X):
    order = np.random.default_rng(0).permutation(len(X))
    new, seen = X[order[: len(X) // 5]], X[order[len(X) // 5 :]]
    for tokenizer in (RQVAETokenizer(random_state=0), MixtureOfCodesTokenizer(random_state=0)):
        tokenizer.fit(seen)
        assert tokenizer.score(seen) - tokenizer.score(new) < 0.05


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
    assert auc["k-means 7x, graded, gate"] >= 0.74
    assert results["seconds"].sum() < 600
