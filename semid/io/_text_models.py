"""The text model `LSA` as its parts, and back: terms and weights in the place of scikit-learn's private state."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

_KEPT = ("analyzer", "max_features", "min_df", "ngram_range", "strip_accents", "sublinear_tf", "token_pattern")
_ANALYZERS = ("word", "char_wb")
_TOKEN_PATTERNS = (r"\w+", TfidfVectorizer().token_pattern)  # a regular expression of others could run for ever
_LONGEST_GRAM = 16


def parts_of_lsa(lsa):
    """Return the components of `lsa` and, for each of its vectorizers, its parameters, terms and weights."""
    vectorizers = [
        {
            "parameters": {name: getattr(vectorizer, name) for name in _KEPT},
            "terms": vectorizer.get_feature_names_out(),
            "weights": vectorizer.idf_,
        }
        for vectorizer in lsa.vectorizers_
    ]
    return {"n_components": lsa.n_components, "components": lsa.components_, "vectorizers": vectorizers}


def lsa_of_parts(kind, parts):
    """Return the `LSA`, of the class `kind`, that has these `parts`.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    lsa = kind(parts["n_components"])
    lsa.vectorizers_ = [_vectorizer(**vectorizer) for vectorizer in parts["vectorizers"]]
    lsa.components_ = components = parts["components"]
    n_terms = sum(len(vectorizer.vocabulary_) for vectorizer in lsa.vectorizers_)
    if components.dtype != np.float32 or components.ndim != 2 or len(components) != n_terms:
        raise ValueError(f"components must be float32, a row for each of {n_terms} terms, got {components.shape}.")
    if not np.isfinite(components).all():
        raise ValueError("components must be finite.")
    return lsa


def _vectorizer(parameters, terms, weights):
    _check(parameters)
    vectorizer = TfidfVectorizer(**parameters, dtype=np.float32)
    vectorizer.vocabulary_ = {str(term): n for n, term in enumerate(terms.tolist())}
    if not len(vectorizer.vocabulary_) == len(terms) == len(weights) or not np.isfinite(weights).all():
        raise ValueError(f"terms must be different and have a weight each, got {len(terms)} and {len(weights)}.")
    vectorizer.idf_ = weights.astype(np.float32)
    return vectorizer


def _check(parameters):
    shortest, longest = parameters["ngram_range"]
    if (
        set(parameters) != set(_KEPT)
        or parameters["analyzer"] not in _ANALYZERS
        or parameters["token_pattern"] not in _TOKEN_PATTERNS
        or not 1 <= shortest <= longest <= _LONGEST_GRAM
    ):
        raise ValueError(f"a vectorizer must be one of those of TextEmbedder, got {parameters!r:.300}.")
