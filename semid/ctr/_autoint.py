"""AutoInt+ (Song et al., 2019, "AutoInt: Automatic feature interaction learning via self-attentive neural networks",
CIKM, arXiv:1810.11921)."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Literal

from semid.base._checks import check_integer
from semid.base._typing import Columns, RandomState, StrPath
from semid.ctr._base import BaseCTRClassifier
from semid.nn._click_module import InteractionHead
from semid.nn._interactions import SelfAttention


class AutoIntClassifier(BaseCTRClassifier):
    """Click model: self-attention over the fields beside an MLP (AutoInt+).

    Logit = b + <w, layers of ReLU(softmax(QKᵀ / √d_h) V + residual)> + MLP([e_1, ..., e_F]).

    Song et al., 2019, arXiv:1810.11921 (equations 5 to 10, from memory). Of the variants in use this is the paper's,
    with the scale 1 / √d_h of its authors' code: the residual is projected only where widths differ, there is no layer
    norm, and no wide part.

    {columns}

    Parameters
    ----------
    {inputs}
    n_attention_layers : int, default 3
        Layers of self-attention.
    attention_dim : int, default 32
        Width of their output, of two heads together: an even number.
    {training}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from semid.ctr import AutoIntClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = AutoIntClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _architecture_parameters = (
        *BaseCTRClassifier._architecture_parameters,
        "n_attention_layers",
        "attention_dim",
    )
    _architecture_constants = MappingProxyType({**BaseCTRClassifier._architecture_constants, "n_heads": 2})
    _removed_parameters = MappingProxyType({**BaseCTRClassifier._removed_parameters, "n_heads": "There are two."})

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
        n_attention_layers: int = 3,
        attention_dim: int = 32,
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
        self.n_attention_layers = n_attention_layers
        self.attention_dim = attention_dim

    def _body(self, n_fields, architecture):
        width = n_fields * architecture["embedding_dim"]
        interaction = self._interaction(n_fields, architecture)
        return InteractionHead(interaction, width, architecture["hidden_layer_sizes"], architecture["dropout"])

    def _interaction(self, n_fields, architecture):
        if architecture["attention_dim"] % architecture["n_heads"]:
            raise ValueError(f"attention_dim must be even, for two heads, got {architecture['attention_dim']}.")
        names = ("n_attention_layers", "attention_dim", "n_heads")
        return SelfAttention(n_fields, architecture["embedding_dim"], *(architecture[name] for name in names))

    def _check_parameters(self):
        super()._check_parameters()
        check_integer("n_attention_layers", self.n_attention_layers, 1)
        check_integer("attention_dim", self.attention_dim, 1)  # which one head of 0.1.0 can have
