"""Transformers from item embeddings (n_items, n_features) to integer codes (n_items, n_codebooks)."""

from semid.base._graded import graded_sizes
from semid.engine._ranks import distributed_fit
from semid.tokenizers._alignment import align_codes
from semid.tokenizers._candidates import CodeCandidates
from semid.tokenizers._fsq import FSQTokenizer
from semid.tokenizers._mixture_of_codes import MixtureOfCodesTokenizer
from semid.tokenizers._multi_embedding import MultiEmbeddingTokenizer
from semid.tokenizers._parallel_kmeans import ParallelKMeansTokenizer
from semid.tokenizers._product_quantization import ProductQuantizationTokenizer
from semid.tokenizers._random import RandomTokenizer
from semid.tokenizers._residual_kmeans import ResidualKMeansTokenizer
from semid.tokenizers._rqvae import RQVAETokenizer
from semid.tokenizers._unique import UniqueTokenizer
from semid.tokenizers._vqvae import VQVAETokenizer

__all__ = [
    "CodeCandidates",
    "FSQTokenizer",
    "MixtureOfCodesTokenizer",
    "MultiEmbeddingTokenizer",
    "ParallelKMeansTokenizer",
    "ProductQuantizationTokenizer",
    "RQVAETokenizer",
    "RandomTokenizer",
    "ResidualKMeansTokenizer",
    "UniqueTokenizer",
    "VQVAETokenizer",
    "align_codes",
    "distributed_fit",
    "graded_sizes",
]
