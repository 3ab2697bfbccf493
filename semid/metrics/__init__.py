"""What codes are worth: functions of arrays, without torch."""

from semid.metrics._codes import (
    codebook_perplexity,
    codebook_redundancy,
    codebook_usage,
    collision_rate,
    reconstruction_r2,
)

__all__ = [
    "codebook_perplexity",
    "codebook_redundancy",
    "codebook_usage",
    "collision_rate",
    "reconstruction_r2",
]
