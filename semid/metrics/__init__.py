"""What codes, representations and predicted clicks are worth: functions of arrays, without torch."""

from semid.metrics._churn import CodeChurn, code_churn
from semid.metrics._clicks import GroupAUC, expected_calibration_error, gauc_score, normalized_entropy
from semid.metrics._co_clicks import CoClickRates, co_click_auc, co_click_hit_rate, co_click_rates
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
from semid.metrics._popularity import allocation_by_popularity, prefix_purity, shared_traffic
from semid.metrics._report import ReportComparison, TokenizerReport
from semid.metrics._representations import (
    discriminability,
    effective_rank,
    information_abundance,
    neighbor_overlap,
    singular_spectrum,
)
from semid.metrics._scorers import NeighborOverlapScorer, R2MinusCollisionsScorer, R2Scorer
from semid.metrics._tokenizer_report import tokenizer_report

__all__ = [
    "CoClickRates",
    "CodeChurn",
    "GroupAUC",
    "NeighborOverlapScorer",
    "R2MinusCollisionsScorer",
    "R2Scorer",
    "ReportComparison",
    "TokenizerReport",
    "allocation_by_popularity",
    "co_click_auc",
    "co_click_hit_rate",
    "co_click_rates",
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
    "prefix_purity",
    "reconstruction_r2",
    "redundancy_matrix",
    "shared_traffic",
    "singular_spectrum",
    "tokenizer_report",
]
