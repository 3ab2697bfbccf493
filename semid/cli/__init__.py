"""The command `semid`: codes for a file of embeddings, the report over a file of codes, what a saved folder holds."""

from semid.cli._main import main

__all__ = ["main"]
