"""`semid info`: what a saved folder holds."""

import json
import sys
from pathlib import Path

from sklearn.pipeline import Pipeline

from semid.io import load
from semid.io._artifact import MANIFEST
from semid.io._generation_files import numbers_in


def info(options):
    """Load the folder, which checks it, and print what it holds: an estimator, or a catalogue."""
    folder = Path(options.folder)
    if folder.is_dir() and numbers_in(folder):
        from semid.cli._catalogue import info_of

        lines = info_of(folder)
    else:
        lines = _of_artifact(folder)
    sys.stdout.write("\n".join(lines) + "\n")


def _of_artifact(folder):
    """Return lines about an estimator; of a Pipeline, those of the tokenizer that it ends in."""
    estimator = load(folder)
    last = estimator[-1] if isinstance(estimator, Pipeline) and len(estimator) else estimator
    lines = [repr(estimator)]
    if hasattr(last, "codebook_sizes_"):
        lines.append(f"codebooks: {last.codebook_sizes_}")
    if hasattr(estimator, "n_features_in_"):
        lines.append(f"features: {estimator.n_features_in_}")
    written_with = json.loads((folder / MANIFEST).read_bytes())["manifest"]["written_with"]
    lines.append("written with: " + ", ".join(f"{name} {version}" for name, version in written_with.items()))
    return lines
