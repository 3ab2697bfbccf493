"""Semantic IDs for recommendation, as scikit-learn estimators.

Texts become embeddings (``semid.embedders``), embeddings become a few integer codes per item (``semid.tokenizers``),
the codes become fields of impressions (``semid.features``), and click models learn an embedding per code
(``semid.ctr``). Everything between the stages is a numpy array or a DataFrame. ``semid.metrics`` says what codes are
worth, ``semid.plots`` shows it, ``semid.datasets`` reads and makes data to try it on.

The public names below are imported on first use, so that ``import semid`` does not load torch.
"""

import importlib

__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "AutoIntClassifier": "ctr",
    "DCNv2Classifier": "ctr",
    "DeepFMClassifier": "ctr",
    "DeepIMClassifier": "ctr",
    "FSQTokenizer": "tokenizers",
    "FactorizationMachineClassifier": "ctr",
    "ItemTable": "features",
    "MLPCTRClassifier": "ctr",
    "MixtureOfCodesTokenizer": "tokenizers",
    "MultiEmbeddingTokenizer": "tokenizers",
    "ParallelKMeansTokenizer": "tokenizers",
    "PrefixNGramEncoder": "features",
    "ProductQuantizationTokenizer": "tokenizers",
    "RQVAETokenizer": "tokenizers",
    "RandomTokenizer": "tokenizers",
    "ResidualKMeansTokenizer": "tokenizers",
    "SemanticIDEncoder": "features",
    "TextEmbedder": "embedders",
    "UniqueTokenizer": "tokenizers",
    "VQVAETokenizer": "tokenizers",
}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"semid.{_MODULE_OF[name]}"), name)
    if name in {"ctr", "datasets", "embedders", "exceptions", "features", "io", "metrics", "plots", "tokenizers"}:
        return importlib.import_module(f"semid.{name}")
    raise AttributeError(f"module 'semid' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
