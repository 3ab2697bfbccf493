"""DIN (Zhou et al., 2018, "Deep interest network for click-through rate prediction", KDD, arXiv:1706.06978)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from semid.base._typing import Columns, RandomState, StrPath
from semid.ctr._base import BaseCTRClassifier
from semid.ctr._mlp_ctr import EmbeddingMLP


class DINClassifier(BaseCTRClassifier):
    """Click model: an MLP over the fields and what the user's history says of the candidate (DIN).

    Logit = b + MLP([e_1, ..., e_F, Σ_i a(q, k_i) k_i]), with q the candidate's embeddings, k_i those of the history's
    items, codes and ids as far as both have them, and a(q, k) = <v, PReLU(W [q, k, q - k, q ∘ k])> + c, the local
    activation unit, with a hidden layer of 36.

    Zhou et al., 2018, KDD, arXiv:1706.06978 (section 4.3 and figure 2, from memory). As there, weights are not
    normalised by a softmax, so that the sum grows with what the user did of a kind. Other than there, the MLP has
    ReLUs: Dice depends on the other impressions of a batch, and weight 2 would not be an impression listed twice; and
    embeddings forget (`forgetting`) in the place of a mini-batch aware L2. Without a column of histories, as
    `HistoryEncoder` makes them, it is `MLPCTRClassifier`.

    {columns}

    Parameters
    ----------
    {inputs of din}
    {training}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from semid.ctr import DINClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = DINClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _poolings = ("interest",)

    def __init__(
        self,
        embedding_dim: int = 16,
        hidden_layer_sizes: Sequence[int] = (200, 80),
        fusion: str | type = "gate",
        *,
        categorical_features: Columns = "auto",
        code_features: Columns = "auto",
        vector_features: Columns = "auto",
        vector_fields: int = 1,
        min_frequency: int = 1,
        dropout: float = 0.0,
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
            n_embedding_sets=1,
            history_pooling="interest",
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

    def _body(self, n_fields, architecture):
        sizes, dropout = architecture["hidden_layer_sizes"], architecture["dropout"]
        return EmbeddingMLP(n_fields, architecture["embedding_dim"], sizes, dropout)
