"""Click models: classifiers over tables of fields, with embeddings for codes."""

from semid.ctr._autoint import AutoIntClassifier
from semid.ctr._dcnv2 import DCNv2Classifier
from semid.ctr._deepfm import DeepFMClassifier
from semid.ctr._deepim import DeepIMClassifier
from semid.ctr._din import DINClassifier
from semid.ctr._factorization_machine import FactorizationMachineClassifier
from semid.ctr._mlp_ctr import MLPCTRClassifier
from semid.ctr._worth import CodesWorth, codes_worth

__all__ = [
    "AutoIntClassifier",
    "CodesWorth",
    "DCNv2Classifier",
    "DINClassifier",
    "DeepFMClassifier",
    "DeepIMClassifier",
    "FactorizationMachineClassifier",
    "MLPCTRClassifier",
    "codes_worth",
]
