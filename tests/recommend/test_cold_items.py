"""Items without a click, beside those that have an embedding of their own."""

import numpy as np
import pandas as pd
import pytest
import torch

from semid import ItemTable, NextItemRecommender, SemanticIDEncoder
from semid.nn._mlp import RowDropout
from semid.tokenizers import ProductQuantizationTokenizer

N_GROUPS = 5
COLD = np.arange(N_GROUPS) * (N_GROUPS + 1)  # one of each group


def _log(rng, n_users=300, length=6):
    """Who clicks an item of a group clicks others of it; item g · 5 + k is the k-th of group g, and k = g is cold."""
    groups = rng.integers(N_GROUPS, size=n_users)
    others = np.array([[k for k in range(N_GROUPS) if k != g] for g in range(N_GROUPS)])
    items = groups[:, None] * N_GROUPS + others[groups[:, None], rng.integers(N_GROUPS - 1, size=(n_users, length))]
    return pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_users), length),
            "item_id": items.ravel(),
            "timestamp": np.tile(np.arange(length), n_users),
        }
    )


def _codes():
    """Two codes: the group, and the place in it, which are met in other items as well."""
    of_items = np.stack(np.divmod(np.arange(N_GROUPS**2), N_GROUPS), axis=1).astype(np.float32)
    tokenizer = ProductQuantizationTokenizer(2, N_GROUPS, rotation=None, random_state=0)
    return SemanticIDEncoder(tokenizer, items=ItemTable(np.arange(N_GROUPS**2), of_items))


def _scores(rng, **parameters):
    """Return log p of all items after two clicks in each group, (group, group of the item, place in it)."""
    settings = {"embedding_dim": 16, "n_layers": 1, "learning_rate": 0.01, "max_iter": 15, "validation": None}
    model = NextItemRecommender(_codes(), random_state=0, **settings | parameters).fit(_log(rng))
    assert (model.clicks_ == 0).nonzero()[0].tolist() == COLD.tolist()
    histories = [[g * N_GROUPS + (g + 1) % N_GROUPS, g * N_GROUPS + (g + 2) % N_GROUPS] for g in range(N_GROUPS)]
    return model.score_items(histories).reshape((N_GROUPS,) * 3)


@pytest.mark.parametrize("own_embedding", [False, True])
def test_an_item_without_clicks_is_scored_on_the_scale_of_those_like_it(own_embedding, rng):
    """As an item of its group, less than e times behind the others, who were clicked, and before all other groups."""
    for g, scores in enumerate(_scores(rng, own_embedding=own_embedding)):
        others = np.delete(scores[g], g)
        assert scores[g, g] > others.mean() - 1
        assert scores[g, g] > np.delete(scores, g, axis=0).max() + 3


def test_row_dropout_leaves_rows_out_and_the_others_as_they_are():
    dropout = RowDropout(0.3)
    dropout.generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(1))
    kept = (dropout(x) == x).all(1)
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.03)
    dropout.generator.manual_seed(0)
    np.testing.assert_array_equal(dropout(x), torch.where(kept[:, None], x, torch.zeros(())))
    assert dropout.eval()(x) is x
