"""Click models: classifiers over tables of fields, with embeddings for codes."""

from semid.ctr._deepfm import DeepFMClassifier

__all__ = ["DeepFMClassifier"]
