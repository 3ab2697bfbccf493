"""Latent semantic analysis: counts of words and of groups of letters, in a few dimensions."""

import numpy as np
from scipy.sparse import hstack
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import TfidfVectorizer

_MAX_COUNTS = 30_000  # of words and their pairs, and as many of groups of letters: the most frequent
_MANY = 1000  # texts, of which a word must be in two to say that they are alike


class LSA:
    """Projection of TF-IDF counts on their leading right singular vectors (Deerwester et al., 1990, from memory).

    Words with their pairs, and groups of letters, weigh alike. Fitted on each distinct text once, in order of the
    alphabet, so that neither repetition nor order of the rows matters.
    """

    def __init__(self, n_components):
        self.n_components = n_components

    def fit(self, texts):
        """Learn from a sorted array of distinct texts; keep fewer components where the counts have fewer."""
        grammar = {
            "sublinear_tf": True,
            "strip_accents": "unicode",
            "min_df": 1 if len(texts) < _MANY else 2,
            "max_features": _MAX_COUNTS,
            "dtype": np.float32,
        }
        self.vectorizers_ = [
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", **grammar),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **grammar),
        ]
        try:
            counts = hstack([vectorizer.fit_transform(texts) for vectorizer in self.vectorizers_], format="csr")
        except ValueError as error:
            raise ValueError(f"X must have words in it, got {len(texts)} texts like {texts[-1]!r:.60}.") from error
        n_components = min(self.n_components, *(n - 1 for n in counts.shape))
        if n_components < 1:
            raise ValueError(f"X must have at least two different texts to fit 'lsa' on, got {len(texts)}.")
        start = np.random.RandomState(0).uniform(-1, 1, size=min(counts.shape)).astype(np.float32)
        _, sizes, components = svds(counts, k=n_components, v0=start)
        components = components[np.argsort(-sizes)]
        # The sign of a singular vector is arbitrary: its largest entry shall be positive, on every machine.
        largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
        self.components_ = (components * np.sign(largest)[:, None]).T.astype(np.float32)  # (n_counts, n_components)
        return self

    def encode(self, texts):
        """Return an embedding per text, (n_texts, n_components) float32; that of a text of unknown words is zero."""
        counts = hstack([vectorizer.transform(texts) for vectorizer in self.vectorizers_], format="csr")
        return np.asarray(counts @ self.components_, dtype=np.float32)
