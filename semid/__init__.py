"""Semantic IDs for recommendation, as scikit-learn estimators.

Texts become embeddings (``semid.embedders``), embeddings become a few integer codes per item (``semid.tokenizers``),
the codes become fields of impressions (``semid.features``), and click models learn an embedding per code
(``semid.ctr``), or recommend the next item by them (``semid.recommend``). Everything between the stages is a numpy
array or a DataFrame. ``semid.metrics`` says what codes are worth, ``semid.plots`` shows it, ``semid.datasets`` reads
and makes data to try it on.

The public names below are imported on first use, so that ``import semid`` does not load torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers and editors
    from semid import ctr as ctr
    from semid import datasets as datasets
    from semid import embedders as embedders
    from semid import exceptions as exceptions
    from semid import features as features
    from semid import io as io
    from semid import metrics as metrics
    from semid import plots as plots
    from semid import recommend as recommend
    from semid import tokenizers as tokenizers
    from semid.ctr import AutoIntClassifier as AutoIntClassifier
    from semid.ctr import DCNv2Classifier as DCNv2Classifier
    from semid.ctr import DeepFMClassifier as DeepFMClassifier
    from semid.ctr import DeepIMClassifier as DeepIMClassifier
    from semid.ctr import DINClassifier as DINClassifier
    from semid.ctr import FactorizationMachineClassifier as FactorizationMachineClassifier
    from semid.ctr import MLPCTRClassifier as MLPCTRClassifier
    from semid.embedders import CoClickEmbedder as CoClickEmbedder
    from semid.embedders import TextEmbedder as TextEmbedder
    from semid.features import ClickHistory as ClickHistory
    from semid.features import HistoryEncoder as HistoryEncoder
    from semid.features import ItemTable as ItemTable
    from semid.features import PrefixNGramEncoder as PrefixNGramEncoder
    from semid.features import SemanticIDEncoder as SemanticIDEncoder
    from semid.recommend import NextItemRecommender as NextItemRecommender
    from semid.tokenizers import FSQTokenizer as FSQTokenizer
    from semid.tokenizers import MixtureOfCodesTokenizer as MixtureOfCodesTokenizer
    from semid.tokenizers import MultiEmbeddingTokenizer as MultiEmbeddingTokenizer
    from semid.tokenizers import ParallelKMeansTokenizer as ParallelKMeansTokenizer
    from semid.tokenizers import ProductQuantizationTokenizer as ProductQuantizationTokenizer
    from semid.tokenizers import RandomTokenizer as RandomTokenizer
    from semid.tokenizers import ResidualKMeansTokenizer as ResidualKMeansTokenizer
    from semid.tokenizers import RQVAETokenizer as RQVAETokenizer
    from semid.tokenizers import UniqueTokenizer as UniqueTokenizer
    from semid.tokenizers import VQVAETokenizer as VQVAETokenizer

__version__ = "0.2.0"

_MODULE_OF = {
    "AutoIntClassifier": "ctr",
    "ClickHistory": "features",
    "CoClickEmbedder": "embedders",
    "DCNv2Classifier": "ctr",
    "DINClassifier": "ctr",
    "DeepFMClassifier": "ctr",
    "DeepIMClassifier": "ctr",
    "FSQTokenizer": "tokenizers",
    "FactorizationMachineClassifier": "ctr",
    "HistoryEncoder": "features",
    "ItemTable": "features",
    "MLPCTRClassifier": "ctr",
    "MixtureOfCodesTokenizer": "tokenizers",
    "MultiEmbeddingTokenizer": "tokenizers",
    "NextItemRecommender": "recommend",
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

_MODULES = {
    "ctr", "datasets", "embedders", "exceptions", "features", "io", "metrics", "plots", "recommend", "tokenizers",
}  # fmt: skip

__all__ = ["__version__", *_MODULE_OF]


if not TYPE_CHECKING:  # a checker that saw it would take any name for one of semid's

    def __getattr__(name):
        if name in _MODULE_OF:
            return getattr(importlib.import_module(f"semid.{_MODULE_OF[name]}"), name)
        if name in _MODULES:
            return importlib.import_module(f"semid.{name}")
        raise AttributeError(f"module 'semid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
