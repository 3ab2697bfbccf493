"""Fitted estimators as folders without pickle, mappings of items to codes as files, and codes in Arrow streams."""

from semid.io._artifact import load, save
from semid.io._batches import encode_batches
from semid.io._errors import ArtifactError
from semid.io._mapping import from_tokens, read_mapping, to_tokens, write_mapping

__all__ = [
    "ArtifactError",
    "encode_batches",
    "from_tokens",
    "load",
    "read_mapping",
    "save",
    "to_tokens",
    "write_mapping",
]
