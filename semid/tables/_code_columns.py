"""Columns of codes that carry their code vectors, from the encoder that writes them to the click model that reads them.

A table goes through a ColumnTransformer on its way, which keeps the dtype of a column and drops everything else. So the
code vectors travel as the name of the categories of a pandas category column.
"""

import hashlib
import sys

import numpy as np
import pandas as pd

sys.modules.setdefault("semid._code_columns", sys.modules[__name__])  # as pickles of 0.1.0 call it


class CodeVectors:
    """The code vectors of one codebook, (codebook_size, dim) float32: an immutable handle, hashed by content."""

    def __init__(self, vectors):
        self.vectors = np.array(vectors, dtype=np.float32)
        self.vectors.flags.writeable = False
        self._digest = hashlib.sha256(repr(self.vectors.shape).encode() + self.vectors.tobytes()).hexdigest()

    def __eq__(self, other):
        return isinstance(other, CodeVectors) and self._digest == other._digest

    def __hash__(self):
        return hash(self._digest)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return CodeVectors, (self.vectors,)

    def __repr__(self):
        return f"CodeVectors{self.vectors.shape}"


def with_code_vectors(codes, vectors):
    """Return a column of codes, -1 for unknown items, as categories that carry the code vectors."""
    categories = pd.Index(np.arange(-1, len(vectors)), name=CodeVectors(vectors))
    return pd.Categorical.from_codes(np.asarray(codes) + 1, dtype=pd.CategoricalDtype(categories))


def code_vectors_of(column):
    """Return the code vectors that a column carries, or None."""
    if isinstance(column.dtype, pd.CategoricalDtype) and isinstance(column.cat.categories.name, CodeVectors):
        return column.cat.categories.name.vectors
    return None
