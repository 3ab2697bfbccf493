"""Data to try things on, with a known best answer, and the splits that recommendation needs."""

from semid.datasets._splits import leave_last_out, sample_negatives
from semid.datasets._synthetic import ClickData, ItemData, expected_auc, make_clicks, make_items

__all__ = [
    "ClickData",
    "ItemData",
    "expected_auc",
    "leave_last_out",
    "make_clicks",
    "make_items",
    "sample_negatives",
]
