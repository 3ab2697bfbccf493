"""
Users that the model never met
==============================

The id of a user who came today says nothing. What that user has clicked since does: a history holds items, whose
embeddings everybody's clicks have taught. The picture has the AUC on new users by the number of clicks that they have
made so far, with and without their histories.

::

    python examples/plot_histories.py
"""

# %%
# A log with new users
# --------------------
# A third of the users is kept from the click model. Their clicks are in the log from which histories are taken, as they
# are in use: a history holds what was clicked strictly before an impression.
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from semid import ClickHistory, DeepFMClassifier, HistoryEncoder, ItemTable, SemanticIDEncoder
from semid.datasets import make_clicks, make_items
from semid.tokenizers import presets

items = make_items(n_items=500, random_state=0)
table = ItemTable(items.frame["item_id"], items.embeddings)
impressions = make_clicks(items, n_impressions=40_000, n_users=400, random_state=0).frame
users = impressions["user_id"].drop_duplicates()
is_new = impressions["user_id"].isin(users.sample(130, random_state=0))
past, future = impressions[~is_new], impressions[is_new]
clicks = ClickHistory.from_frame(impressions[impressions["click"] == 1])


# %%
# Three models
# ------------
# The first step writes the column of histories, the second gives codes to the item and to those of its history.
def columns_of(*steps):
    fields = ("fields", "passthrough", ["user_id", "item_id", "hour"])
    return ColumnTransformer([*steps, fields], verbose_feature_names_out=False)


def click_model(pooling):
    steps, columns = [], ["item_id"]
    if pooling is not None:
        steps.append(("history", HistoryEncoder(clicks, max_length=50), ["user_id", "item_id", "timestamp"]))
        columns.append("history")
    encoder = SemanticIDEncoder(presets.ranking(max_iter=10, batch_size=128, random_state=0), items=table)
    return make_pipeline(
        columns_of(*steps),
        columns_of(("codes", encoder, columns)),  # the fields again: what it reads would not pass otherwise
        DeepFMClassifier(history_pooling=pooling or "mean", max_iter=8, random_state=0),
    ).set_output(transform="pandas")


models = {"no histories": None, "histories, mean": "mean", "histories, attention": "attention"}
scores = {
    name: click_model(pooling).fit(past, past["click"]).predict_proba(future)[:, 1] for name, pooling in models.items()
}

# %%
# By clicks so far
# ----------------
n_clicks = HistoryEncoder(clicks, max_length=50).fit(future).transform(future)["history"].array.lengths
bounds = [0, 3, 10, 20, 35, 51]
groups = [(n_clicks >= low) & (n_clicks < high) for low, high in pairwise(bounds)]
labels = ["0 to 2", "3 to 9", "10 to 19", "20 to 34", "35 or more"]
aucs = {name: [roc_auc_score(future["click"][rows], p[rows]) for rows in groups] for name, p in scores.items()}
for name, of_groups in aucs.items():
    print(f"{name:<22}", " ".join(f"{auc:.3f}" for auc in of_groups))

fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for (name, of_groups), marker in zip(aucs.items(), "os^", strict=True):
    ax.plot(np.arange(len(labels)), of_groups, marker=marker, label=name)
ax.set_xticks(np.arange(len(labels)), labels)
ax.set(xlabel="clicks of the user so far", ylabel="AUC on users the model never met")
ax.grid(axis="y", alpha=0.3)
ax.legend()
plt.show()
