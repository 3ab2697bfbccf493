"""What codes are worth: functions of arrays, without torch."""

from semid.metrics._churn import CodeChurn, code_churn
from semid.metrics._codes import (
    codebook_perplexity,
    codebook_redundancy,
    codebook_usage,
    collision_rate,
    reconstruction_r2,
)

__all__ = [
    "CodeChurn",
    "code_churn",
    "codebook_perplexity",
    "codebook_redundancy",
    "codebook_usage",
    "collision_rate",
    "reconstruction_r2",
]
