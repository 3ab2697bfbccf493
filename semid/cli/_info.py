"""`semid info`: what a saved folder holds."""

import sys

from semid.io import load


def info(options):
    """Load the folder, which checks it, and print its class, its parameters and its codebooks."""
    estimator = load(options.folder)
    lines = [repr(estimator)]
    if hasattr(estimator, "codebook_sizes_"):
        lines.append(f"codebooks: {estimator.codebook_sizes_}")
    if hasattr(estimator, "n_features_in_"):
        lines.append(f"features: {estimator.n_features_in_}")
    sys.stdout.write("\n".join(lines) + "\n")
