"""The next item of a user: a transformer over histories of codes, which scores every item of the catalogue exactly."""

from semid.recommend._next_item import NextItemRecommender
from semid.recommend._recommending import Recommendations

__all__ = ["NextItemRecommender", "Recommendations"]
