"""Interactions between field embeddings: modules from (B, F, d) to vectors, each with a ``width`` of its own.

Letters: B impressions, F fields, d width of an embedding, D = F·d, x0 = the embeddings side by side, (B, D).
"""

import torch
from torch import nn

from semid.nn._half_products import half_products


class FactorizationMachine(nn.Module):
    """½ [(Σ_f e_f)² - Σ_f e_f²] per dimension; its sum is that of the inner products of all pairs of fields.

    Linear in the number of fields (Rendle, 2010, "Factorization machines", from memory).

    Shape: (B, F, d) → (B, d)
    """

    def __init__(self, n_fields, dim):
        super().__init__()
        self.width = dim

    def forward(self, e):
        return 0.5 * (e.sum(1).square() - e.square().sum(1))


class InteractionMachine(nn.Module):
    """Elementary symmetric polynomials of orders 1 to `order` per dimension: Σ over subsets of fields of products.

    By Newton's identities from the power sums p_k = Σ_f e_f^k: k e_k = Σ_{i=1..k} (-1)^{i-1} e_{k-i} p_i, e_0 = 1
    (Yu et al., 2020, "Deep Interaction Machine: A simple but effective model for high-order feature interactions",
    CIKM, from memory).

    Shape: (B, F, d) → (B, order·d)
    """

    def __init__(self, n_fields, dim, order):
        super().__init__()
        self.order, self.width = order, order * dim

    def forward(self, e):
        powers, power_sums = e, [e.sum(1)]
        for _ in range(self.order - 1):
            powers = powers * e
            power_sums.append(powers.sum(1))
        polynomials = [1.0]
        for k in range(1, self.order + 1):
            terms = [(-1) ** (i - 1) * polynomials[k - i] * power_sums[i - 1] for i in range(1, k + 1)]
            polynomials.append(sum(terms) / k)
        return torch.cat(polynomials[1:], dim=1)


class CrossNetwork(nn.Module):
    """x_{l+1} = x0 ⊙ (W_l x_l + b_l) + x_l (Wang et al., 2021, "DCN V2", arXiv:2008.13535, equation 1, from memory).

    Shape: (B, F, d) → (B, D)
    """

    def __init__(self, n_fields, dim, n_layers):
        super().__init__()
        self.width = n_fields * dim
        self.layers = nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(n_layers))

    def forward(self, e):
        x0 = x = e.flatten(1)
        with half_products(x0, self.training):
            for layer in self.layers:
                x = torch.addcmul(x, x0, layer(x))
        return x


class LowRankCrossNetwork(nn.Module):
    """x_{l+1} = Σ_i softmax_i(g_i·x_l) [x0 ⊙ (U_i tanh(C_i tanh(V_iᵀ x_l)) + b)] + x_l, a mixture of low-rank experts.

    Wang et al., 2021, arXiv:2008.13535, equations 3 to 5, from memory; as there, a gate is shared by all layers.

    Shape: (B, F, d) → (B, D)
    """

    def __init__(self, n_fields, dim, n_layers, rank, n_experts):
        super().__init__()
        self.width = n_fields * dim
        self.gates = nn.Linear(self.width, n_experts, bias=False)
        self.layers = nn.ModuleList(LowRankCross(self.width, rank, n_experts) for _ in range(n_layers))

    def forward(self, e):
        x0 = x = e.flatten(1)
        with half_products(x0, self.training):
            for layer in self.layers:
                x = layer(x0, x, self.gates(x).to(x.dtype).softmax(1))
        return x


class LowRankCross(nn.Module):
    """One layer of a `LowRankCrossNetwork`.

    Shape: x0, x (B, D), shares (B, experts) → (B, D)
    """

    def __init__(self, width, rank, n_experts):
        super().__init__()
        self.down = nn.Parameter(torch.empty(n_experts, width, rank))  # V
        self.core = nn.Parameter(torch.empty(n_experts, rank, rank))  # C
        self.up = nn.Parameter(torch.empty(n_experts, rank, width))  # Uᵀ
        self.bias = nn.Parameter(torch.zeros(width))
        for stack in (self.down, self.core, self.up):
            for expert in stack:  # one by one: as a stack, xavier would take the experts for inputs
                nn.init.xavier_normal_(expert.data)

    def forward(self, x0, x, shares):
        low = torch.tanh(torch.tanh(x @ self.down) @ self.core)  # (experts, B, rank)
        mixed = torch.einsum("ibr,irw,bi->bw", low, self.up, shares)
        return x + x0 * (mixed + self.bias)


class SelfAttention(nn.Module):
    """Layers of ReLU(softmax(QKᵀ / √d_h) V + residual) over the fields, `n_heads` side by side.

    Song et al., 2019, "AutoInt", arXiv:1810.11921, equations 5 to 8, from memory, with the scale 1 / √d_h of its
    authors' code. The residual passes a projection where widths differ.

    Shape: (B, F, d) → (B, F·attention_dim)
    """

    def __init__(self, n_fields, dim, n_layers, attention_dim, n_heads):
        super().__init__()
        self.width = n_fields * attention_dim
        widths = [dim] + [attention_dim] * n_layers
        self.layers = nn.ModuleList(SelfAttentionLayer(widths[i], attention_dim, n_heads) for i in range(n_layers))

    def forward(self, e):
        for layer in self.layers:
            e = layer(e)
        return e.flatten(1)


class SelfAttentionLayer(nn.Module):
    """ReLU(softmax(QKᵀ / √d_h) V + residual), `n_heads` side by side.

    Shape: (B, F, dim) → (B, F, attention_dim)
    """

    def __init__(self, dim, attention_dim, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value = (nn.Linear(dim, attention_dim, bias=False) for _ in range(3))
        self.residual = nn.Identity() if dim == attention_dim else nn.Linear(dim, attention_dim, bias=False)

    def forward(self, e):
        query, key, value = (self._heads(project(e)) for project in (self.query, self.key, self.value))
        attended = nn.functional.scaled_dot_product_attention(query, key, value)  # (B, heads, F, d_h)
        return torch.relu(attended.transpose(1, 2).flatten(2) + self.residual(e))

    def _heads(self, x):
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)  # (B, heads, F, d_h)
