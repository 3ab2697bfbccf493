"""Fitted estimators as folders without pickle and as ONNX files, mappings as files, and codes of Arrow streams."""

from semid.io._artifact import load, save
from semid.io._batches import encode_batches
from semid.io._errors import ArtifactError
from semid.io._mapping import from_tokens, read_mapping, to_tokens, write_mapping
from semid.io._onnx import encode_for_onnx, to_onnx
from semid.io._prefix_table import CodeLogitsProcessor, CodeVocabulary, add_code_tokens, prefix_table
from semid.tables._prefixes import PrefixTable

__all__ = [
    "ArtifactError",
    "CodeLogitsProcessor",
    "CodeVocabulary",
    "PrefixTable",
    "add_code_tokens",
    "encode_batches",
    "encode_for_onnx",
    "from_tokens",
    "load",
    "prefix_table",
    "read_mapping",
    "save",
    "to_onnx",
    "to_tokens",
    "write_mapping",
]
