"""The factorization machine (Rendle, 2010, "Factorization machines", ICDM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from semid.base._typing import Columns, RandomState, StrPath
from semid.ctr._base import BaseCTRClassifier
from semid.nn._interactions import FactorizationMachine


class PairSum(nn.Module):
    """Σ_{f<g} <e_f, e_g>.

    Shape: (B, F, d) → (B,)
    """

    def __init__(self, n_fields, dim):
        super().__init__()
        self.pairs = FactorizationMachine(n_fields, dim)

    def forward(self, e):
        return self.pairs(e).sum(1)


class FactorizationMachineClassifier(BaseCTRClassifier):
    """Click model: first-order weights and inner products of pairs of fields; a baseline without a network.

    Logit = b + Σ_f w_f[x_f] + Σ_{f<g} <e_f, e_g>.

    Rendle, 2010, ICDM ("Factorization machines", equation 1, from memory).

    {columns}

    Parameters
    ----------
    {inputs without network}
    {training}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from semid.ctr import FactorizationMachineClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = FactorizationMachineClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _has_first_order = True

    def __init__(
        self,
        embedding_dim: int = 16,
        fusion: str | type = "gate",
        *,
        history_pooling: Literal["mean", "attention"] = "attention",
        categorical_features: Columns = "auto",
        code_features: Columns = "auto",
        vector_features: Columns = "auto",
        vector_fields: int = 1,
        min_frequency: int = 1,
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
            hidden_layer_sizes=(),
            fusion=fusion,
            history_pooling=history_pooling,
            n_embedding_sets=1,
            categorical_features=categorical_features,
            code_features=code_features,
            vector_features=vector_features,
            vector_fields=vector_fields,
            min_frequency=min_frequency,
            dropout=0.0,
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

    def _body(self, n_fields, architecture):
        return PairSum(n_fields, architecture["embedding_dim"])
