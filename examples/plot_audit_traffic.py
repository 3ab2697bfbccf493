"""
What codes are worth for your traffic
=====================================

A collision rate of zero says that codes tell items apart. Random numbers do that as well. Whether users take items
that share codes is in the log: `tokenizer_report` reads it, without a click model. The picture has six mappings of the
same catalogue, by either measure.

::

    python examples/plot_audit_traffic.py
"""

# %%
# Six mappings
# ------------
# One of them is right but for its rows: somebody sorted the items and not the embeddings.
import matplotlib.pyplot as plt
import numpy as np

from semid import ItemTable, ResidualKMeansTokenizer, SemanticIDEncoder
from semid.datasets import make_clicks, make_items
from semid.metrics import co_click_auc, collision_rate, tokenizer_report
from semid.tokenizers import ParallelKMeansTokenizer, ProductQuantizationTokenizer, RandomTokenizer, presets

items = make_items(n_items=1_000, random_state=0)
ids, X = items.frame["item_id"].to_numpy(), items.embeddings
log = make_clicks(items, n_impressions=60_000, n_users=400, affinity=4.0, random_state=0).frame
past, future = log[:40_000], log[40_000:]
clicks = future[future["click"] == 1].drop_duplicates(["user_id", "item_id"])  # codes of clicks have not seen these

encoder = SemanticIDEncoder(presets.co_clicks(5, random_state=0), items=ItemTable(ids, X), user="user_id")
residual = ResidualKMeansTokenizer(n_codebooks=5, codebook_size=32, random_state=0).fit_transform(X)
mappings = {
    "random": RandomTokenizer(5, 32, random_state=0).fit_transform(X),
    "rows in another order": residual[np.argsort(items.frame["title"].to_numpy())],
    "product quantization": ProductQuantizationTokenizer(5, 32, random_state=0).fit_transform(X),
    "residual k-means": residual,
    "parallel k-means": ParallelKMeansTokenizer(5, random_state=0).fit_transform(X),
    "co-click codes": encoder.fit(past[["item_id", "user_id"]], past["click"]).codes_,
}

# %%
# Two measures
# ------------
# `co_click_auc`: of two items, one that a user took and one that another user took, how often do codes point at the
# former, by what they share with the user's other items? Half the time, if they say nothing.
rows = dict(zip(ids, range(len(ids)), strict=True))
users, taken = clicks["user_id"].to_numpy(), clicks["item_id"].map(rows).to_numpy()
aucs = {name: co_click_auc(codes, users, taken, random_state=0) for name, codes in mappings.items()}
collisions = {name: collision_rate(codes) for name, codes in mappings.items()}
for name, auc in aucs.items():
    print(f"{name:<22} co-click AUC {auc:.3f}, collision rate {collisions[name]:.3f}")

# %%
# The report of the one that is wrong: it needs the codes, the ids and the log.
theirs = {item: codes.tolist() for item, codes in zip(ids, mappings["rows in another order"], strict=True)}
report = tokenizer_report(theirs, interactions=clicks, codebook_size=32, purpose="ranking")
print(report)

# %%
# By either measure
# -----------------
# The codes that collide most say most of what users take: what items share is what codes are for, beside the id.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True, layout="constrained")
left.barh(list(aucs), [auc - 0.5 for auc in aucs.values()], left=0.5, color="#0072B2")
right.barh(list(collisions), list(collisions.values()), color="#D55E00")
left.set(xlabel="co-click AUC (.5 is chance)", title="what users take together")
right.set(xlabel="collision rate", title="what is usually looked at")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
