"""What every click model is around its own formula: field embeddings, fusion, first-order weights, bias.

Letters: B impressions, F fields, d width of an embedding, S embedding sets.
"""

import torch
from torch import nn

from semid.nn._fields import FieldEmbedding
from semid.nn._fusions import FieldFusion
from semid.nn._histories import POOLINGS
from semid.nn._mlp import HalvedMLP, LogitHead


class ClickModule(nn.Module):
    """logit = bias + Σ_f w_f[x_f] + body(fused embeddings), the first-order weights w where `has_first_order`.

    All embedding sets and the first-order weights are columns of one table. The fusion comes right after the lookup,
    before everything that `body` does; each set has its own. An item of a history is embedded and fused as the
    candidate is, and a history is pooled to fields of their own, the last ones, without first-order weights: those say
    how popular the other items are.

    Shape: categories (B, C) int64, `CategoriesWithLists` or `CategoriesWithHistories`, numbers (B, M + vector columns)
    → (B,)
    """

    def __init__(
        self,
        shapes,
        body,
        *,
        base_logit,
        embedding_dim,
        embedding_init_std,
        has_first_order,
        n_embedding_sets,
        fusion,
        fusion_groups,
        fusion_rank,
        fusion_query,
        adapter_width,
        adapter_norm,
        history_pooling="mean",
    ):
        super().__init__()
        self.n_sets, self.dim, self.n_first_order = n_embedding_sets, embedding_dim, int(has_first_order)
        self.bias = nn.Parameter(torch.tensor(base_logit))
        width = n_embedding_sets * embedding_dim + self.n_first_order
        self.embedding = FieldEmbedding(shapes, width, embedding_init_std, adapter_width, adapter_norm)
        self.fusions = nn.ModuleList(
            FieldFusion(fusion, fusion_groups, embedding_dim, fusion_rank, fusion_query)
            for _ in range(n_embedding_sets)
        )
        self.histories = shapes.histories
        for n, history in enumerate(shapes.histories):
            self.register_buffer(f"fields_of_items{n}", torch.tensor(history.fields), persistent=False)
        self.poolings = nn.ModuleList(
            nn.ModuleList(POOLINGS[history_pooling](len(h.fields), embedding_dim) for h in shapes.histories)
            for _ in range(n_embedding_sets if shapes.histories else 0)
        )
        self.body = body
        if has_first_order:
            with torch.no_grad():
                self.embedding.table[:, -1] = 0.0
                self.embedding.numeric[:, -1] = 0.0

    def forward(self, categories, numbers, touched=None):
        sets, first_order = self.embed(categories, numbers, touched)
        return self.bias + first_order + self.body(*sets)

    def embed(self, categories, numbers, touched=None):
        """Return the fused embeddings of each set, (B, F, d), and the sum of first-order weights, (B,)."""
        e = self.embedding(categories, numbers, touched)  # (B, F, S·d [+ 1])
        *sets, first_order = e.split([self.dim] * self.n_sets + [e.shape[2] - self.n_sets * self.dim], dim=2)
        first_order = first_order.sum((1, 2))
        if not self.histories:
            return [fusion(e_s) for fusion, e_s in zip(self.fusions, sets, strict=True)], first_order
        items = self.embedding.items(categories, touched)
        of_sets = zip(sets, self.fusions, self.poolings, strict=True)
        return [self._with_histories(n, *of_set, items, categories) for n, of_set in enumerate(of_sets)], first_order

    def _with_histories(self, n_set, e, fusion, poolings, items, categories):
        """Return the fused embeddings of one set, and behind them what becomes of the histories."""
        columns = slice(n_set * self.dim, (n_set + 1) * self.dim)
        e = fusion(e)
        parts = [e]
        for n, (pooling, history) in enumerate(zip(poolings, categories.histories, strict=True)):
            query = e.index_select(1, getattr(self, f"fields_of_items{n}"))
            of_items = fusion.of_items(items[n][:, :, columns], self.histories[n].fields)
            parts.append(pooling(query, of_items, history))
        return torch.cat(parts, dim=1)


class InteractionHead(nn.Module):
    """Linear(interaction(e)) + Linear(MLP(x0)), as one linear map of the two side by side.

    Shape: (B, F, d) → (B,)
    """

    def __init__(self, interaction, width, hidden_layer_sizes, dropout):
        super().__init__()
        self.interaction = interaction
        self.mlp = HalvedMLP((width, *hidden_layer_sizes), dropout)
        self.head = LogitHead(interaction.width + (width, *hidden_layer_sizes)[-1])

    def forward(self, e):
        return self.head(self.interaction(e), self.mlp(e.flatten(1)))


class MultiEmbedding(nn.Module):
    """Several embedding sets: head(MLP(mean over sets s of ReLU(W_s [interaction_s(e_s) ‖ x0_s]))).

    A set has tables, interaction and first layer of its own; the non-linearity before the mean is what keeps several
    sets from being one wide one (Guo et al., 2024, "On the embedding collapse when scaling up recommendation models",
    arXiv:2310.04400, section 5, from memory; written for models that the paper does not draw as well).

    Shape: one (B, F, d) per set → (B,)
    """

    def __init__(self, interactions, width, hidden_layer_sizes, dropout):
        super().__init__()
        first = hidden_layer_sizes[0]
        self.interactions = nn.ModuleList(interactions)
        self.first_layers = nn.ModuleList(
            HalvedMLP((interaction.width + width, first), dropout) for interaction in interactions
        )
        self.mlp = HalvedMLP(hidden_layer_sizes, dropout)
        self.head = LogitHead(hidden_layer_sizes[-1])

    def forward(self, *sets):
        hidden = [
            layer(torch.cat([interaction(e), e.flatten(1)], dim=1))
            for interaction, layer, e in zip(self.interactions, self.first_layers, sets, strict=True)
        ]
        return self.head(self.mlp(sum(hidden) / len(hidden)))
