"""
New items without another fit
=============================

An item that appears today has no click, and its id says nothing. Its text does: the tokenizer that was fitted on
yesterday's catalogue gives it codes, and the click model knows what those codes are worth from other items. The picture
has the AUC on known and on new items, before and after these get their codes.

::

    python examples/plot_cold_items.py
"""

# %%
# A log in which items appear
# ---------------------------
# Two fifths of the items appear in the course of thirty days. Models are fitted on what was there, and what was
# clicked, in the first twenty; items that appear later are new to them.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline

from semid import DeepFMClassifier, ItemTable, SemanticIDEncoder, TextEmbedder
from semid.datasets import make_clicks, make_items
from semid.tokenizers import presets

items = make_items(n_items=1000, zipf_exponent=0.6, new_item_share=0.4, random_state=0)
clicks = make_clicks(items, n_impressions=60_000, n_users=120, random_state=0).frame
start = clicks["timestamp"].min()
is_past = clicks["timestamp"] < start + 20 * 86_400
past, future = clicks[is_past], clicks[~is_past]
is_known = items.frame["first_seen"] < 20 / 30
texts = items.frame["title"] + ". " + items.frame["description"]
yesterday = ItemTable(items.frame["item_id"][is_known], texts=texts[is_known])
today = ItemTable(items.frame["item_id"], texts=texts)

# %%
# Fitted yesterday
# ----------------
fields = ["user_id", "item_id", "hour", "rank"]
tokenizer = make_pipeline(TextEmbedder(), presets.ranking(random_state=0))
features = ColumnTransformer(
    [
        ("codes", SemanticIDEncoder(tokenizer, items=yesterday, user="user_id"), ["item_id", "user_id"]),
        ("fields", "passthrough", fields),
    ],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
with_codes = Pipeline([("features", features), ("ctr", DeepFMClassifier(random_state=0))])
with_codes.fit(past[fields], past["click"])
without = DeepFMClassifier(random_state=0).fit(past[fields], past["click"])

# %%
# Codes for what is new
# ---------------------
# Nothing is fitted again: new items get codes, all others keep theirs.
encoder = with_codes["features"].named_transformers_["codes"]
before = with_codes.predict_proba(future[fields])[:, 1]
encoder.add_items(today)
after = with_codes.predict_proba(future[fields])[:, 1]
is_new = ~future["item_id"].isin(yesterday.ids).to_numpy()
scores = {
    "ids alone": without.predict_proba(future[fields])[:, 1],
    "codes, before add_items": before,
    "codes, after add_items": after,
}
aucs = {
    name: [roc_auc_score(future["click"][rows], p[rows]) for rows in (~is_new, is_new)] for name, p in scores.items()
}
print(
    f"{'test AUC':<26}{'known items':>12}{'new items':>12}   ({is_new.mean():.0%} of the impressions are of new items)"
)
for name, (known, new) in aucs.items():
    print(f"{name:<26}{known:>12.3f}{new:>12.3f}")

# %%
# A picture
# ---------
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
places = np.arange(len(aucs))[::-1]
for offset, part, color in ((0.18, 0, "0.6"), (-0.18, 1, "tab:blue")):
    values = [auc[part] for auc in aucs.values()]
    axes.barh(places + offset, np.array(values) - 0.5, height=0.34, left=0.5, color=color, label=("known", "new")[part])
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.3f}", (value, place + offset), xytext=(4, 0), textcoords="offset points", va="center")
axes.set_yticks(places, list(aucs))
axes.set_xlabel("test AUC of the last ten days (0.5 is chance)")
axes.set_title("With codes, new items are ranked without another fit")
axes.margins(x=0.12)
axes.legend(title="items", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
axes.spines[["top", "right"]].set_visible(False)
plt.show()
