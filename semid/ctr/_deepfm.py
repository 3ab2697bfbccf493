"""DeepFM (Guo et al., 2017, "DeepFM: A factorization-machine based neural network for CTR prediction", IJCAI).

Letters: B impressions, F fields, d width of an embedding.
"""

from __future__ import annotations

from torch import nn

from semid.ctr._base import BaseCTRClassifier
from semid.nn._interactions import FactorizationMachine
from semid.nn._mlp import HalvedMLP, LogitHead


class DeepFM(nn.Module):
    """Σ_{f<g} <e_f, e_g> + MLP([e_1, ..., e_F]).

    Shape: (B, F, d) → (B,)
    """

    def __init__(self, n_fields, dim, hidden_layer_sizes, dropout):
        super().__init__()
        sizes = (n_fields * dim, *hidden_layer_sizes)
        self.pairs = FactorizationMachine(n_fields, dim)
        self.mlp = HalvedMLP(sizes, dropout)
        self.head = LogitHead(sizes[-1])

    def forward(self, e):
        return self.pairs(e).sum(1) + self.head(self.mlp(e.flatten(1)))


class DeepFMClassifier(BaseCTRClassifier):
    """Click model: first-order weights, a factorization machine and an MLP, summed.

    Logit = b + Σ_f w_f[x_f] + Σ_{f<g} <e_f, e_g> + MLP([e_1, ..., e_F]), with first-order weights w of their own.

    Guo et al., 2017, IJCAI ("DeepFM", equations 1 to 4, from memory).

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
    >>> from semid.ctr import DeepFMClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = DeepFMClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _has_first_order = True

    def _body(self, n_fields, architecture):
        sizes, dropout = architecture["hidden_layer_sizes"], architecture["dropout"]
        return DeepFM(n_fields, architecture["embedding_dim"], sizes, dropout)

    def _interaction(self, n_fields, architecture):
        return FactorizationMachine(n_fields, architecture["embedding_dim"])
