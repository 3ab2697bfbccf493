"""AutoInt+ (Song et al., 2019, "AutoInt: Automatic feature interaction learning via self-attentive neural networks",
CIKM, arXiv:1810.11921)."""

from collections.abc import Sequence
from typing import Any, Literal

from semid._checks import check_integer
from semid._typing import Columns, RandomState, StrPath
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
        Width of their output, all heads together.
    n_heads : int, default 2
        Attentions side by side; must divide `attention_dim`.
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
        "n_heads",
    )

    def __init__(
        self,
        embedding_dim: int = 16,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        fusion: str | type = "gate",
        *,
        fusion_scope: Literal["codes", "all"] = "codes",
        fusion_rank: int = 32,
        fusion_query: str | int | None = None,
        n_embedding_sets: int = 1,
        history_pooling: Literal["mean", "attention"] = "mean",
        categorical_features: Columns = "auto",
        code_features: Columns = "auto",
        vector_features: Columns = "auto",
        vector_fields: int = 1,
        adapter_width: int = 64,
        min_frequency: int = 1,
        hash_buckets: int | dict | None = None,
        dropout: float = 0.0,
        n_attention_layers: int = 3,
        attention_dim: int = 32,
        n_heads: int = 2,
        embedding_init_std: float = 0.05,
        code_embedding_init: Literal["random", "codebooks"] = "random",
        embedding_optimizer: Literal["lazy_adam", "rowwise_adagrad", "dense_adam"] = "lazy_adam",
        max_iter: int = 30,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 0.006,
        embedding_learning_rate: float | None = None,
        l2: float = 0.0,
        embedding_l2: float = 0.0,
        embedding_forgetting: float | Literal["auto"] = "auto",
        network_forgetting: float = 0.6,
        max_gradient_norm: float | None = None,
        weight_averaging: float | Literal["auto"] = "auto",
        class_weight: dict | Literal["balanced"] | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float | Literal["auto"] = "auto",
        validation: Literal["random", "last"] = "random",
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
            fusion_scope=fusion_scope,
            fusion_rank=fusion_rank,
            fusion_query=fusion_query,
            n_embedding_sets=n_embedding_sets,
            history_pooling=history_pooling,
            categorical_features=categorical_features,
            code_features=code_features,
            vector_features=vector_features,
            vector_fields=vector_fields,
            adapter_width=adapter_width,
            min_frequency=min_frequency,
            hash_buckets=hash_buckets,
            dropout=dropout,
            embedding_init_std=embedding_init_std,
            code_embedding_init=code_embedding_init,
            embedding_optimizer=embedding_optimizer,
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate=learning_rate,
            embedding_learning_rate=embedding_learning_rate,
            l2=l2,
            embedding_l2=embedding_l2,
            embedding_forgetting=embedding_forgetting,
            network_forgetting=network_forgetting,
            max_gradient_norm=max_gradient_norm,
            weight_averaging=weight_averaging,
            class_weight=class_weight,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
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
        self.n_heads = n_heads

    def _body(self, n_fields, architecture):
        width = n_fields * architecture["embedding_dim"]
        interaction = self._interaction(n_fields, architecture)
        return InteractionHead(interaction, width, architecture["hidden_layer_sizes"], architecture["dropout"])

    def _interaction(self, n_fields, architecture):
        names = ("n_attention_layers", "attention_dim", "n_heads")
        return SelfAttention(n_fields, architecture["embedding_dim"], *(architecture[name] for name in names))

    def _check_parameters(self):
        super()._check_parameters()
        check_integer("n_attention_layers", self.n_attention_layers, 1)
        check_integer("attention_dim", self.attention_dim, 1)
        check_integer("n_heads", self.n_heads, 1)
        if self.attention_dim % self.n_heads:
            raise ValueError(f"n_heads must divide attention_dim, got {self.n_heads} and {self.attention_dim}.")
