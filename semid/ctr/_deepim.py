"""DeepIM (Yu et al., 2020, "Deep Interaction Machine: A simple but effective model for high-order feature
interactions", CIKM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from semid.base._checks import check_integer
from semid.base._typing import Columns, RandomState, StrPath
from semid.ctr._base import BaseCTRClassifier
from semid.nn._click_module import InteractionHead
from semid.nn._interactions import InteractionMachine

_HIGHEST_ORDER = 5  # Newton's identities lose digits beyond


class DeepIMClassifier(BaseCTRClassifier):
    """Click model: products of up to `interaction_order` fields, weighted per dimension, beside an MLP.

    Logit = b + Σ_k <w_k, Σ over subsets of k fields of the product of their embeddings> + MLP([e_1, ..., e_F]), the
    sums over subsets by Newton's identities.

    Yu et al., 2020, CIKM ("Deep Interaction Machine", from memory).

    {columns}

    Parameters
    ----------
    {inputs}
    interaction_order : int, default 4
        Fields in a product, from 1 to 5.
    {training}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from semid.ctr import DeepIMClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = DeepIMClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _architecture_parameters = (*BaseCTRClassifier._architecture_parameters, "interaction_order")

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
        interaction_order: int = 4,
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
        self.interaction_order = interaction_order

    def _body(self, n_fields, architecture):
        width = n_fields * architecture["embedding_dim"]
        interaction = self._interaction(n_fields, architecture)
        return InteractionHead(interaction, width, architecture["hidden_layer_sizes"], architecture["dropout"])

    def _interaction(self, n_fields, architecture):
        return InteractionMachine(n_fields, architecture["embedding_dim"], architecture["interaction_order"])

    def _check_parameters(self):
        super()._check_parameters()
        if check_integer("interaction_order", self.interaction_order, 1) > _HIGHEST_ORDER:
            raise ValueError(f"interaction_order must be at most {_HIGHEST_ORDER}, got {self.interaction_order}.")
