"""Parameters that are worth searching, and what a search gets of them."""

from typing import Annotated

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV

from semid.base._search_space import Float, HasSearchSpace, Integer, Options
from semid.tokenizers import MixtureOfCodesTokenizer, RandomTokenizer, ResidualKMeansTokenizer, RQVAETokenizer


class Model(HasSearchSpace):
    def __init__(
        self,
        depth: Annotated[int, Integer(2, 4)] = 2,
        rate: Annotated[float, Float(1e-3, 1e-1, log=True)] = 1e-2,
        share: Annotated[float, "of the whole", Float(0.2, 0.6)] = 0.5,
        kind: Annotated[str | None, Options(("a", None))] = "a",
        width: int = 8,
    ) -> None: ...


class Heir(Model):
    """Has the constructor of its parent."""


@pytest.mark.parametrize("kind", [Model, Heir])
def test_distributions_are_those_that_the_annotations_say(kind):
    space = kind.search_space()
    assert list(space) == ["depth", "rate", "share", "kind"]
    drawn = {name: space[name].rvs(20_000, random_state=0) for name in ("depth", "rate", "share")}
    assert np.unique(drawn["depth"]).tolist() == [2, 3, 4]
    assert stats.kstest(np.log(drawn["rate"]), stats.uniform(np.log(1e-3), np.log(100)).cdf).pvalue > 0.01
    assert stats.kstest(drawn["share"], stats.uniform(0.2, 0.4).cdf).pvalue > 0.01
    assert space["kind"] == ["a", None]


def test_a_tokenizer_without_anything_to_search_has_an_empty_space():
    assert RandomTokenizer.search_space() == {}


@pytest.mark.filterwarnings("ignore:codebook .* collapsed", "ignore:codebook_size=.* is more than")
@pytest.mark.parametrize(
    "tokenizer",
    [
        RQVAETokenizer(hidden_layer_sizes=(8,), max_iter=1),
        MixtureOfCodesTokenizer(hidden_layer_sizes=(8,), max_iter=1),
        ResidualKMeansTokenizer(max_iter=1),
    ],
)
def test_a_search_takes_the_space_as_it_is(tokenizer, items):
    space = tokenizer.search_space()
    assert space.keys() <= tokenizer.get_params().keys()
    search = RandomizedSearchCV(tokenizer, space, n_iter=4, cv=2, random_state=0, error_score="raise")
    search.fit(items.embeddings)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_projections_that_are_searched_fit_into_the_latents_that_are():
    space = MixtureOfCodesTokenizer.search_space()
    for parameters in ParameterSampler(space, 200, random_state=0):
        width = parameters["projection_dim"]
        assert width in ("auto", None) or width <= parameters["latent_dim"]
