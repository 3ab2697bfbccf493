"""
From texts to clicks in one Pipeline
====================================

Product texts in a table, impressions in another, and one `Pipeline` from ids to click probabilities: `TextEmbedder`
reads the texts, a tokenizer turns embeddings into codes, DeepFM learns from the codes. A grid search then asks how many
dimensions and how many codes it takes, and reads each text once; the picture has its scores.

::

    python examples/plot_texts_to_clicks.py
"""

# %%
# Data
# ----
# A made catalogue, whose texts explain what its users like, and a log of thirty days. The last fifth is the test. What
# the true click probabilities would score is known: no model can expect more.
import tempfile
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline, make_pipeline

from semid import DeepFMClassifier, ItemTable, SemanticIDEncoder, TextEmbedder
from semid.datasets import expected_auc, make_clicks, make_items
from semid.tokenizers import ParallelKMeansTokenizer, presets

items = make_items(n_items=1000, random_state=0)
clicks = make_clicks(items, n_impressions=30_000, n_users=100, random_state=0)
train, test = clicks.frame[:24_000], clicks.frame[24_000:]
ceiling = expected_auc(clicks.click_probability[24_000:])
print(items.frame[["item_id", "title", "description"]].head(3).to_string(index=False))

# %%
# One Pipeline
# ------------
# The table holds the texts themselves; embedder and tokenizer are fitted on it, the click model on impressions.
# ``model="lsa"``, the default, is offline; ``TextEmbedder("all-MiniLM-L6-v2")`` reads better (the extra ``text``, see
# :doc:`/install`).
fields = ["user_id", "item_id", "hour", "rank"]
memory = tempfile.mkdtemp()  # yours: a folder that stays
table = ItemTable(items.frame["item_id"], texts=items.frame[["title", "description"]])


def pipeline(reader, tokenizer, user=None):
    """Return the way from a table of impressions to click probabilities."""
    encoder = SemanticIDEncoder(make_pipeline(reader, tokenizer), items=table, user=user, memory=memory)
    columns = ["item_id"] if user is None else ["item_id", user]
    features = ColumnTransformer(
        [("codes", encoder, columns), ("fields", "passthrough", fields)], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    return Pipeline([("features", features), ("ctr", DeepFMClassifier(random_state=0))])


def score(model):
    """Return the test AUC of a model after a fit on the training rows."""
    model.fit(train[fields], train["click"])
    return roc_auc_score(test["click"], model.predict_proba(test[fields])[:, 1])


embedder = TextEmbedder(template="{title}. {description}", memory=memory)
without = score(DeepFMClassifier(random_state=0))
with_codes = score(pipeline(embedder, presets.ranking(random_state=0), user="user_id"))
print(f"test AUC {without:.3f} without codes, {with_codes:.3f} with codes of the texts, {ceiling:.3f} at best")

# %%
# Another reader
# --------------
# Whatever turns texts into numbers can be the first step: here an encoder of skrub (``pip install skrub``) for each of
# the two columns.
if find_spec("skrub"):
    import skrub

    encoders = skrub.ApplyToCols(skrub.StringEncoder(n_components=64, random_state=0))
    with_skrub = score(pipeline(encoders, presets.ranking(random_state=0), user="user_id"))
    print(f"test AUC {with_skrub:.3f} with codes of skrub's encodings")

# %%
# How many dimensions, how many codes?
# ------------------------------------
# Six settings and two splits by time are twelve fits of the pipeline, and one reading of the texts: vectors are kept in
# ``memory`` by text, and `truncate_dim` cuts what was read.
codes = "features__codes__tokenizer"
grid = {
    f"{codes}__textembedder__truncate_dim": [16, 64, 256],
    f"{codes}__parallelkmeanstokenizer__n_codebooks": [2, 7],
}
model = pipeline(embedder, ParallelKMeansTokenizer(random_state=0)).set_params(ctr__max_iter=5)
search = GridSearchCV(model, grid, scoring="roc_auc", cv=TimeSeriesSplit(2), refit=False)
search.fit(train[fields], train["click"])
results = pd.DataFrame(search.cv_results_).rename(columns=lambda name: name.split("__")[-1])
print(results[["truncate_dim", "n_codebooks", "mean_test_score"]].to_string(index=False, float_format="%.3f"))

# %%
# A picture of the search
# -----------------------
# One seed and two splits: differences of less than .01 are noise.
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for n_codebooks, rows in results.groupby("n_codebooks"):
    style = {2: "o-", 7: "s-"}[n_codebooks]
    axes.plot(np.arange(len(rows)), rows["mean_test_score"], style, label=f"{n_codebooks} codes")
axes.set_xticks(np.arange(3), [16, 64, 256])
axes.set_xlabel("dimensions of the embedding")
axes.set_ylabel("AUC, mean of two splits by time")
axes.set_title("AUC by dimensions and number of codes")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
