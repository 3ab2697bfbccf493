"""Starting the embeddings of codes from their code vectors."""

import numpy as np
import torch

from semid.nn._fields import FIRST_CATEGORY
from semid.tables._code_columns import code_vectors_of
from semid.tables._frames import split_columns


def start_from_code_vectors(embedding, encoder, X, width):
    """Set the rows of `embedding` for codes to the principal components of the code vectors that `X` carries.

    The first `width` columns are set, the components scaled as one so that their standard deviation is that of the
    random start; where there are fewer components than columns, the others stay random.

    Raises
    ------
    ValueError
        If no code column carries its code vectors, or one that does is hashed.
    """
    _, columns = split_columns(X)
    n_started = 0
    for group in encoder.code_groups_:
        for field in range(group.start, group.stop):
            vectors = code_vectors_of(columns[encoder.categorical_[field]])
            if vectors is None:
                continue
            n_started += 1
            codes = encoder.vocabularies_[field]
            if isinstance(codes, int):
                raise ValueError(
                    "code_embedding_init='codebooks' must have codes with a vocabulary, got hash_buckets for column "
                    f"{encoder.names_[encoder.categorical_[field]]!r}. Leave it out of hash_buckets."
                )
            known = np.flatnonzero((codes >= 0) & (codes < len(vectors)))
            components = _components(vectors, width)[codes[known]]
            rows = int(embedding.first_rows[field]) + FIRST_CATEGORY + known
            _start_rows(embedding.table, rows, components, width)
    if not n_started:
        raise ValueError(
            "code_embedding_init='codebooks' must have code columns that carry their code vectors: pass "
            "SemanticIDEncoder(..., code_vectors=True) with set_output(transform='pandas')."
        )


def _start_rows(table, rows, components, width):
    """Set `rows` to `components`, as widely spread as the random start; where all are alike, leave them random."""
    if not components.size or not components.std():
        return
    with torch.no_grad():
        scale = table[:, :width].std() / components.std()
        table[rows, : components.shape[1]] = torch.as_tensor(components) * scale


def _components(vectors, width):
    """Return the coordinates of code vectors along their leading principal components, (codebook_size, ≤ width)."""
    centred = vectors - vectors.mean(axis=0)
    u, singular_values, _ = np.linalg.svd(centred, full_matrices=False)
    return (u * singular_values)[:, :width]
