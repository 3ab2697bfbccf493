"""The command `semid`: codes for a file of items, the report over codes, a catalogue of them, what a folder holds."""

from semid.cli._main import main

__all__ = ["main"]
