"""
How many codes per item?
========================

A grid search over the whole Pipeline, from ids to click probabilities, asks the data how many codes an item should
have. The picture is its validation curve, with the spread over the folds and the number that is enough.
"""

# %%
# A Pipeline with a number to choose
# ----------------------------------
# `SemanticIDEncoder` replaces item ids by the codes that its tokenizer learns from the catalogue. With ``memory``, a
# tokenizer is fitted once for each setting, however many folds and click models follow. Users and codes are all that
# the click model sees here.
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline

from semid import DeepFMClassifier, ItemTable, RQVAETokenizer, SemanticIDEncoder
from semid.datasets import make_clicks, make_items
from semid.plots import ScalingDisplay

items = make_items(n_items=1000, random_state=0)
clicks = make_clicks(items, n_impressions=30_000, n_users=100, random_state=0).frame
table = ItemTable(items.frame["item_id"], items.embeddings)
tokenizer = RQVAETokenizer(codebook_size=32, hidden_layer_sizes=(64,), max_iter=20, random_state=0)
classifier = DeepFMClassifier(
    hidden_layer_sizes=(64,), batch_size=1024, max_iter=7, learning_rate=0.015, validation=None, random_state=0
)

memory = tempfile.mkdtemp()  # yours: a folder that stays
features = ColumnTransformer(
    [("codes", SemanticIDEncoder(tokenizer, table, memory=memory), ["item_id"]), ("user", "passthrough", ["user_id"])],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
model = Pipeline([("features", features), ("ctr", classifier)])

# %%
# Best, or enough?
# ----------------
# The highest mean is often a tie. ``refit`` takes a rule of your own: here, the fewest codes that fall behind the best
# mean by no more than one standard error. Folds differ in how hard they are, so the rule looks at differences within
# folds.


def fewest_codes(results):
    """Return the position of the smallest n_codebooks that is within one standard error of the best."""
    scores = np.array([results[f"split{fold}_test_score"] for fold in range(splits.n_splits)])  # (n_splits, n_settings)
    behind = scores[:, results["mean_test_score"].argmax()][:, None] - scores
    standard_error = behind.std(axis=0, ddof=1) / np.sqrt(splits.n_splits)
    return int(np.argmax(behind.mean(axis=0) <= standard_error))  # the first: settings are in increasing order


splits = TimeSeriesSplit(4, test_size=5000)
grid = {"features__codes__tokenizer__n_codebooks": [1, 2, 3, 5, 7]}
search = GridSearchCV(model, grid, scoring="roc_auc", cv=splits, refit=fewest_codes).fit(clicks, clicks["click"])
results = pd.DataFrame(search.cv_results_).rename(columns=lambda name: name.split("__")[-1])
print(results.filter(regex="n_codebooks|split|mean_test").to_string(index=False, float_format="%.3f"))

n_models = len(results) * splits.n_splits + 1
n_tokenizers = len(list(Path(memory).rglob("output.pkl")))
print(f"{n_models} click models were fitted, and {n_tokenizers} tokenizers")

# %%
# Seven codes have the highest mean, but not in every fold: three are behind by less than one standard error of the
# difference. The same click model with the item id in the place of codes is the line to beat.
without = cross_val_score(classifier, clicks[["user_id", "item_id"]], clicks["click"], scoring="roc_auc", cv=splits)
chosen = results.loc[search.best_index_]
print(f"chosen: {chosen['n_codebooks']} codes, AUC {chosen['mean_test_score']:.3f}; item ids {without.mean():.3f}")

# %%
# The validation curve
# --------------------
# Error bars are wide, since later folds have more clicks to learn from and score higher for every number of codes; thin
# lines, one for each fold, show what is left when that is taken away: the step from one code to three.
figure, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
for fold in range(splits.n_splits):
    ax.plot(results["n_codebooks"], results[f"split{fold}_test_score"], color="0.75", linewidth=1, zorder=1)
display = ScalingDisplay.from_cv_results(search.cv_results_, y_label="test AUC", baseline=without.mean())
display.baseline_label = "item id instead"
display.plot(ax)
ax.plot(chosen["n_codebooks"], chosen["mean_test_score"], "o", markersize=13, fillstyle="none", color="black")
ax.set_ylim(top=0.776)
ax.legend(loc="upper left", ncols=2, frameon=False)
ax.set_title("Three codes are enough, and beat the item id")
plt.show()
