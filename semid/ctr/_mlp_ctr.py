"""An MLP over the embeddings of the fields, without an interaction of its own: the deep part of the others alone."""

from __future__ import annotations

import torch
from torch import nn

from semid.ctr._base import BaseCTRClassifier
from semid.nn._mlp import HalvedMLP, LogitHead


class EmbeddingMLP(nn.Module):
    """MLP([e_1, ..., e_F]).

    Shape: (B, F, d) → (B,)
    """

    def __init__(self, n_fields, dim, hidden_layer_sizes, dropout):
        super().__init__()
        sizes = (n_fields * dim, *hidden_layer_sizes)
        self.mlp = HalvedMLP(sizes, dropout)
        self.head = LogitHead(sizes[-1])

    def forward(self, e):
        return self.head(self.mlp(e.flatten(1)))


class NoInteraction(nn.Module):
    """Nothing: each embedding set has its first layer alone.

    Shape: (B, F, d) → (B, 0)
    """

    width = 0

    def forward(self, e):
        return torch.empty(len(e), 0, dtype=e.dtype, device=e.device)


class MLPCTRClassifier(BaseCTRClassifier):
    """Click model: an MLP over the embeddings of the fields, nothing else; a baseline for the others.

    Logit = b + MLP([e_1, ..., e_F]).

    {columns}

    Parameters
    ----------
    {inputs}
    {training}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from semid.ctr import MLPCTRClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = MLPCTRClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    def _body(self, n_fields, architecture):
        sizes, dropout = architecture["hidden_layer_sizes"], architecture["dropout"]
        return EmbeddingMLP(n_fields, architecture["embedding_dim"], sizes, dropout)

    def _interaction(self, n_fields, architecture):
        return NoInteraction()
