"""The classes that an artifact may name. Nothing else is ever imported or built from a file."""

import importlib

import semid

# In the state of fitted estimators.
_PRIVATE = {
    "FieldShapes": "semid.nn._fields",
    "Fields": "semid.ctr._modules",
    "HistoryShape": "semid.nn._fields",
    "ImpressionEncoder": "semid.ctr._encoding",
    "LSA": "semid.embedders._lsa",
    "LiveModule": "semid.base._live_module",
    "PlacementReport": "semid.tokenizers._placement_report",
    "VectorField": "semid.nn._fields",
}
# What our estimators are composed with, of scikit-learn: classes whose state is numbers and names.
_SKLEARN = {
    "ColumnTransformer": "sklearn.compose",
    "FunctionTransformer": "sklearn.preprocessing",
    "MinMaxScaler": "sklearn.preprocessing",
    "Normalizer": "sklearn.preprocessing",
    "PCA": "sklearn.decomposition",
    "Pipeline": "sklearn.pipeline",
    "StandardScaler": "sklearn.preprocessing",
}
_PUBLIC = frozenset(semid.__all__) - {"__version__"}


def class_named(name):
    """Return the class that an artifact calls `name`.

    Raises
    ------
    ValueError
        If an artifact must not name such a class.
    """
    if isinstance(name, str) and name in _PUBLIC:
        return getattr(semid, name)
    module = {**_PRIVATE, **_SKLEARN}.get(name) if isinstance(name, str) else None
    if module is None:
        raise ValueError(
            f"class must be an estimator of semid, or one of {', '.join(_SKLEARN)}, got {name!r:.80}. "
            "A newer semid may know it."
        )
    return getattr(importlib.import_module(module), name)


def is_registered(kind):
    """Return whether `kind` is the very class that its name stands for here, not a subclass or a namesake."""
    name = kind.__name__
    return name in _PUBLIC.union(_PRIVATE, _SKLEARN) and class_named(name) is kind
