"""Logs to learn from, public and made up with a known best answer, and the splits that recommendation needs."""

from semid.datasets._amazon import load_amazon_reviews
from semid.datasets._download import get_data_home
from semid.datasets._fetch import fetch_amazon_reviews, fetch_movielens
from semid.datasets._interactions import load_interactions
from semid.datasets._labels import label_clicks
from semid.datasets._lists import parse_lists
from semid.datasets._log_data import LogData
from semid.datasets._movielens import load_movielens
from semid.datasets._negatives import add_negatives, sample_negatives
from semid.datasets._splits import k_core, leave_last_out, split_by_time
from semid.datasets._synthetic import ClickData, ItemData, expected_auc, make_clicks, make_items

__all__ = [
    "ClickData",
    "ItemData",
    "LogData",
    "add_negatives",
    "expected_auc",
    "fetch_amazon_reviews",
    "fetch_movielens",
    "get_data_home",
    "k_core",
    "label_clicks",
    "leave_last_out",
    "load_amazon_reviews",
    "load_interactions",
    "load_movielens",
    "make_clicks",
    "make_items",
    "parse_lists",
    "sample_negatives",
    "split_by_time",
]
