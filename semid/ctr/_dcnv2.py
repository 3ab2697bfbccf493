"""DCNv2 (Wang et al., 2021, "DCN V2: Improved deep & cross network and practical lessons for web-scale learning to rank
systems", WWW, arXiv:2008.13535)."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from semid.base._checks import check_integer
from semid.base._typing import Columns, RandomState, StrPath
from semid.ctr._base import BaseCTRClassifier
from semid.nn._click_module import InteractionHead
from semid.nn._interactions import CrossNetwork, LowRankCrossNetwork
from semid.nn._mlp import HalvedMLP, LogitHead


class StackedDCNv2(nn.Module):
    """Linear(MLP(cross network(x0))), in models of 0.1.0 alone.

    Shape: (B, F, d) → (B,)
    """

    def __init__(self, cross, hidden_layer_sizes, dropout):
        super().__init__()
        sizes = (cross.width, *hidden_layer_sizes)
        self.cross = cross
        self.mlp = HalvedMLP(sizes, dropout)
        self.head = LogitHead(sizes[-1])

    def forward(self, e):
        return self.head(self.mlp(self.cross(e)))


class DCNv2Classifier(BaseCTRClassifier):
    """Click model: a cross network of bounded-degree products of embeddings, beside an MLP.

    x_{l+1} = x0 ⊙ (W x_l + b) + x_l; logit = Linear(x_L ‖ MLP(x0)). With `low_rank`, W is a gated mixture of
    low-rank experts, x_{l+1} = Σ_i softmax_i(g_i·x_l) [x0 ⊙ (U_i tanh(C_i tanh(V_iᵀ x_l)) + b)] + x_l.

    Wang et al., 2021, arXiv:2008.13535 (equations 1 to 5, from memory).

    {columns}

    Parameters
    ----------
    {inputs}
    n_cross_layers : int, default 3
        Layers of the cross network; L of them reach products of L + 1 fields.
    low_rank : int or None, default None
        Rank of four experts per layer; None for full matrices.
    {training}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from semid.ctr import DCNv2Classifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = DCNv2Classifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _architecture_parameters = (
        *BaseCTRClassifier._architecture_parameters,
        "n_cross_layers",
        "low_rank",
    )
    _architecture_constants = MappingProxyType(
        {**BaseCTRClassifier._architecture_constants, "n_experts": 4, "structure": "parallel"}
    )
    _removed_parameters = MappingProxyType(
        {
            **BaseCTRClassifier._removed_parameters,
            "n_experts": "There are four.",
            "structure": "The MLP is beside the cross network.",
        }
    )

    def __init__(
        self,
        embedding_dim: int = 16,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        fusion: str | type = "gate",
        *,
        n_embedding_sets: int = 1,
        history_pooling: Literal["mean", "attention"] = "attention",
        categorical_features: Columns = "auto",
        code_features: Columns = "auto",
        vector_features: Columns = "auto",
        vector_fields: int = 1,
        min_frequency: int = 1,
        dropout: float = 0.0,
        n_cross_layers: int = 3,
        low_rank: int | None = None,
        max_iter: int = 30,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 0.006,
        forgetting: float = 1.0,
        class_weight: dict | Literal["balanced"] | None = None,
        validation: float | Literal["auto", "last"] | None = "auto",
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint_dir: StrPath | None = None,
        callbacks: Sequence[Any] = (),
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            embedding_dim=embedding_dim,
            hidden_layer_sizes=hidden_layer_sizes,
            fusion=fusion,
            n_embedding_sets=n_embedding_sets,
            history_pooling=history_pooling,
            categorical_features=categorical_features,
            code_features=code_features,
            vector_features=vector_features,
            vector_fields=vector_fields,
            min_frequency=min_frequency,
            dropout=dropout,
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate=learning_rate,
            forgetting=forgetting,
            class_weight=class_weight,
            validation=validation,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            checkpoint_dir=checkpoint_dir,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_cross_layers = n_cross_layers
        self.low_rank = low_rank

    def _body(self, n_fields, architecture):
        cross = self._interaction(n_fields, architecture)
        sizes, dropout = architecture["hidden_layer_sizes"], architecture["dropout"]
        if architecture["structure"] == "stacked":
            return StackedDCNv2(cross, sizes, dropout)
        return InteractionHead(cross, cross.width, sizes, dropout)

    def _interaction(self, n_fields, architecture):
        dim, n_layers = architecture["embedding_dim"], architecture["n_cross_layers"]
        if architecture["low_rank"] is None:
            return CrossNetwork(n_fields, dim, n_layers)
        return LowRankCrossNetwork(n_fields, dim, n_layers, architecture["low_rank"], architecture["n_experts"])

    def _check_parameters(self):
        super()._check_parameters()
        check_integer("n_cross_layers", self.n_cross_layers, 1)
        if self.low_rank is not None:
            check_integer("low_rank", self.low_rank, 1)
