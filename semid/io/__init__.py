"""Fitted estimators as folders without pickle and as ONNX files, codes as catalogues, files and Arrow streams."""

from semid.io._artifact import load, save
from semid.io._batches import encode_batches
from semid.io._catalogue import Catalogue
from semid.io._catalogue_changes import CatalogueDiff
from semid.io._errors import ArtifactError
from semid.io._generation import Generation
from semid.io._hub import export_generation, pull_generation, push_generation
from semid.io._mapping import from_tokens, read_mapping, to_tokens, write_mapping
from semid.io._onnx import encode_for_onnx, to_onnx
from semid.io._prefix_table import CodeLogitsProcessor, CodeVocabulary, add_code_tokens, prefix_table
from semid.tables._prefixes import PrefixTable

__all__ = [
    "ArtifactError",
    "Catalogue",
    "CatalogueDiff",
    "CodeLogitsProcessor",
    "CodeVocabulary",
    "Generation",
    "PrefixTable",
    "add_code_tokens",
    "encode_batches",
    "encode_for_onnx",
    "export_generation",
    "from_tokens",
    "load",
    "prefix_table",
    "pull_generation",
    "push_generation",
    "read_mapping",
    "save",
    "to_onnx",
    "to_tokens",
    "write_mapping",
]
