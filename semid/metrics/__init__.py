"""What codes, representations and predicted clicks are worth: functions of arrays, without torch."""

from semid.metrics._churn import CodeChurn, code_churn
from semid.metrics._clicks import GroupAUC, expected_calibration_error, gauc_score, normalized_entropy
from semid.metrics._codes import (
    code_nmi,
    codebook_gini,
    codebook_perplexity,
    codebook_redundancy,
    codebook_usage,
    collision_rate,
    prefix_collision_rates,
    reconstruction_r2,
    redundancy_matrix,
)
from semid.metrics._report import TokenizerReport, tokenizer_report
from semid.metrics._representations import (
    discriminability,
    effective_rank,
    information_abundance,
    neighbor_overlap,
    singular_spectrum,
)
from semid.metrics._scorers import NeighborOverlapScorer, R2MinusCollisionsScorer, R2Scorer

__all__ = [
    "CodeChurn",
    "GroupAUC",
    "NeighborOverlapScorer",
    "R2MinusCollisionsScorer",
    "R2Scorer",
    "TokenizerReport",
    "code_churn",
    "code_nmi",
    "codebook_gini",
    "codebook_perplexity",
    "codebook_redundancy",
    "codebook_usage",
    "collision_rate",
    "discriminability",
    "effective_rank",
    "expected_calibration_error",
    "gauc_score",
    "information_abundance",
    "neighbor_overlap",
    "normalized_entropy",
    "prefix_collision_rates",
    "reconstruction_r2",
    "redundancy_matrix",
    "singular_spectrum",
    "tokenizer_report",
]
