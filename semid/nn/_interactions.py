"""Interactions between field embeddings.

Letters: B impressions, F fields, d width of an embedding.
"""


def factorization_machine(e):
    """Return the sum over all pairs of fields of the inner product of their embeddings.

    ½ Σ_k [(Σ_f e_fk)² - Σ_f e_fk²], linear in the number of fields (Rendle, 2010,
    "Factorization machines", from memory).

    Shape: (B, F, d) → (B,)
    """
    return 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
