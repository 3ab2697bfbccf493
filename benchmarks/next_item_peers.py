"""Next-item recommenders of other projects, behind the calls that `next_item.py` makes of ours."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from semid.features import ClickHistory


class CornacSASRec:
    """SASRec of Cornac 3.0.1, its parameters as its own page tuned them for Beauty, but for the length of a history.

    Twenty items, where that page has 50: the median history has five, and an epoch takes a third of the time. The epoch
    of best Recall@20 on the last clicks but one is kept, of those that are validated, every fifth.
    """

    def __init__(self, seed, n_epochs=60):
        self.seed, self.n_epochs = seed, n_epochs

    def fit(self, train, eval_set):
        from cornac.eval_methods import NextItemEvaluation
        from cornac.models import SASRec

        parts = [self._sessions(part) for part in (train, pd.concat([train, eval_set]))]
        data = NextItemEvaluation.from_splits(parts[0], parts[1], parts[1], fmt="USIT", mode="last", seed=self.seed)
        self.model = SASRec(
            embedding_dim=128,
            loss="bce",
            learning_rate=5e-4,
            dropout=0.2,
            max_len=20,
            n_epochs=self.n_epochs,
            model_selection="best",
            val_eval_every=5,
            seed=self.seed,
        )
        self.model.fit(data.train_set, data.val_set)
        self.items_ = np.array(list(data.train_set.iid_map), dtype=object)
        everything = pd.concat([train, eval_set]).sort_values(["user_id", "position"])
        self.log_ = ClickHistory(everything["user_id"], everything["item_id"], everything["position"])
        self.history_, self.n_iter_ = {}, self.n_epochs
        return self

    def score_items(self, histories):
        """Return a score of each of `items_` for each history, (n_histories, n_items)."""
        position = pd.Index(self.items_)
        return np.array([self.model.score(0, list(position.get_indexer(list(history)))) for history in histories])

    def recommend(self, histories, n, exclude_seen):
        """Return the `n` best items of each history, as the attribute ``items`` of what our recommender returns."""
        position = pd.Index(self.items_)
        best = []
        for history in histories:
            seen = list(position.get_indexer(list(history)))
            scores = self.model.score(0, seen)[: len(self.items_)].copy()
            if exclude_seen:
                scores[seen] = -np.inf
            best.append(self.items_[np.argsort(-scores, kind="stable")[:n]])
        return SimpleNamespace(items=np.array(best))

    @staticmethod
    def _sessions(rows):
        """Each user's clicks as one session: rows of user, session, item and time."""
        rows = rows.sort_values(["user_id", "position"])
        return list(zip(rows["user_id"], rows["user_id"], rows["item_id"], rows["position"], strict=True))
