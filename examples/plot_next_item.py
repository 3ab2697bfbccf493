"""
What comes next
===============

After three items, which one? A recommender reads a history whose items are embedded by their codes, and scores every
item of the catalogue. The list has what it recommends after three clicks of one user, with titles, beside what the same
model makes of the bare ids; the picture has how often the next item is among the first ten.

::

    python examples/plot_next_item.py
"""

# %%
# A log of walks
# --------------
# Who looks at one thing looks at a thing like it: each made user walks through the catalogue, from an item to one of
# the ten whose texts are most alike. The last click is what is to be found, the one before it says when to stop. A
# tenth of the items is new: the training has no click on them.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from semid import ItemTable, NextItemRecommender, SemanticIDEncoder
from semid.datasets import leave_last_out, make_items
from semid.tokenizers import ProductQuantizationTokenizer

rng = np.random.default_rng(0)
made = make_items(n_items=300, random_state=0)
ids = made.frame["item_id"].to_numpy()
units = made.embeddings / np.linalg.norm(made.embeddings, axis=1, keepdims=True)
alike = np.argsort(-units @ units.T, axis=1)[:, 1:11]
walks = [rng.integers(300, size=500)]
for _ in range(7):
    walks.append(alike[walks[-1], rng.integers(10, size=500)])
log = pd.DataFrame(
    {
        "user_id": np.tile(np.arange(500), 8),
        "item_id": ids[np.concatenate(walks)],
        "timestamp": np.repeat(range(8), 500),
    }
)
part = leave_last_out(log)
new = set(rng.choice(ids, 30, replace=False))
is_new = log["item_id"].isin(new).to_numpy()
past = log[(part == "train") & ~is_new]
validation = log[(part == "validation") & ~is_new]
test = log[part == "test"]

# %%
# Three recommenders
# ------------------
# The same class: by codes, by ids alone, and by popularity, which is the least that the others must beat.
table = ItemTable(made.frame["item_id"], made.embeddings)
codes = SemanticIDEncoder(ProductQuantizationTokenizer(8, 32, random_state=0), items=table)
settings = {"embedding_dim": 32, "max_iter": 30, "random_state": 0}
models = {
    "codes": NextItemRecommender(codes, **settings),
    "ids": NextItemRecommender(**settings),
    "popularity": NextItemRecommender(head="popularity", **settings),
}
found, users = {}, test["user_id"]
for name, model in models.items():
    model.fit(past, eval_set=validation)
    found[name] = model.recommend(model.log_.before(users), n=10).items

# %%
# What is recommended after three items
# -------------------------------------
titles = made.frame.set_index("item_id")["title"]
history = models["codes"].log_.before(users[:1], max_length=3)[0]
lists = {"clicked": history}
for name in ("codes", "ids"):
    lists[f"recommended by {name}"] = models[name].recommend([history], n=5).items[0]
for heading, items in lists.items():
    print(heading, *(f"    {titles[item]}" for item in items), sep="\n")

# %%
# How often it is found
# ---------------------
targets = test["item_id"].to_numpy()
groups = {"known items": ~test["item_id"].isin(new).to_numpy(), "new items": test["item_id"].isin(new).to_numpy()}
recall = {
    name: [(best[rows] == targets[rows, None]).any(axis=1).mean() for rows in groups.values()]
    for name, best in found.items()
}
for name, values in recall.items():
    print(f"{name:<11}", "  ".join(f"{group} {value:.3f}" for group, value in zip(groups, values, strict=True)))

fig, bars = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for n, (name, values) in enumerate(recall.items()):
    bars.bar(np.arange(len(groups)) + 0.25 * (n - 1), values, width=0.25, label=name)
bars.set_xticks(np.arange(len(groups)), groups)
bars.set_ylabel("Recall@10")
bars.grid(axis="y", alpha=0.3)
bars.legend()
plt.show()
