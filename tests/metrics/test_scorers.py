"""Scorers in real searches, beside the metrics they are made of."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semid.metrics import (
    NeighborOverlapScorer,
    R2MinusCollisionsScorer,
    R2Scorer,
    collision_rate,
    neighbor_overlap,
    reconstruction_r2,
)
from semid.tokenizers import RandomTokenizer, ResidualKMeansTokenizer

SCORERS = [
    R2Scorer(),
    NeighborOverlapScorer(k=5),
    NeighborOverlapScorer(of="codes", k=5),
    R2MinusCollisionsScorer(penalty=0.5),
]


@pytest.fixture
def kmeans(items):
    return ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0).fit(items.embeddings)


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_a_search_over_the_number_of_codebooks_ends_at_the_best_score(scorer, items):
    tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0)
    search = GridSearchCV(tokenizer, {"n_codebooks": [1, 2, 4]}, scoring=scorer, cv=3, error_score="raise")
    search.fit(items.embeddings)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_index_ == scores.argmax()
    assert scores[0] < scores[1]
    if scorer != NeighborOverlapScorer(of="codes", k=5):  # to which the last residual says as much as the first
        assert search.best_params_["n_codebooks"] == 4
    assert scorer(search.best_estimator_, items.embeddings) > 0
    assert clone(search).scoring == scorer == pickle.loads(pickle.dumps(scorer))


def test_several_scorers_go_together_by_name(items):
    scoring = {"r2": R2Scorer(), "neighbors": NeighborOverlapScorer(k=5)}
    tokenizer = ResidualKMeansTokenizer(codebook_size=8, random_state=0)
    search = GridSearchCV(tokenizer, {"n_codebooks": [1, 2]}, scoring=scoring, refit="neighbors", cv=2)
    search.fit(items.embeddings)
    assert {"mean_test_r2", "mean_test_neighbors"} <= set(search.cv_results_)


def test_scores_are_those_of_the_metrics(kmeans, items):
    X = np.append(items.embeddings, items.embeddings[:50], axis=0)
    codes = kmeans.transform(X)
    reconstruction = kmeans.inverse_transform(codes)
    r2 = reconstruction_r2(X, reconstruction)
    assert R2Scorer()(kmeans, X) == r2 == kmeans.score(X)
    expected = r2 - 0.5 * collision_rate(codes, X)
    assert R2MinusCollisionsScorer(penalty=0.5)(kmeans, X) == pytest.approx(expected)
    expected = neighbor_overlap(X, reconstruction, k=5, random_state=0)
    assert NeighborOverlapScorer(k=5)(kmeans, X) == expected
    expected = neighbor_overlap(X, codes, k=5, random_state=0)
    assert NeighborOverlapScorer(of="codes", k=5)(kmeans, X) == expected


def test_of_a_pipeline_the_units_are_those_of_its_input(items):
    X = items.embeddings * np.linspace(1, 100, items.embeddings.shape[1], dtype=np.float32)
    model = make_pipeline(StandardScaler(), ResidualKMeansTokenizer(codebook_size=8, random_state=0)).fit(X)
    reconstruction = model.inverse_transform(model.transform(X))
    assert R2Scorer()(model, X) == reconstruction_r2(X, reconstruction) != model.score(X)


def test_random_codes_collide_least_and_score_worst(kmeans, items):
    random = RandomTokenizer(n_codebooks=2, codebook_size=8, random_state=0).fit(items.embeddings)
    collisions = [collision_rate(tokenizer.transform(items.embeddings)) for tokenizer in (kmeans, random)]
    assert collisions[1] <= collisions[0]
    for scorer in SCORERS:
        assert scorer(kmeans, items.embeddings) > scorer(random, items.embeddings)


def test_scorers_show_their_parameters_and_refuse_wrong_ones(kmeans, items):
    assert repr(R2MinusCollisionsScorer()) == "R2MinusCollisionsScorer(penalty=1.0)"
    with pytest.raises(ValueError, match="of must be one of 'reconstruction', 'codes', got 'latent'"):
        NeighborOverlapScorer(of="latent")(kmeans, items.embeddings)
    with pytest.raises(ValueError, match=r"penalty must lie in \[0.0, inf\), got -1"):
        R2MinusCollisionsScorer(penalty=-1)(kmeans, items.embeddings)
