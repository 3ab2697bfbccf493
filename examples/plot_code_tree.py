"""
Codes of items as a tree
========================

Residual codes go from coarse to fine: items with the same first code are alike, those with the same first two are more
so. The picture shows the first two codes of a made catalogue as boxes within boxes, as high as their number of items,
each named by its most frequent category or product.
"""

# %%
# Three codes per item
# --------------------
# Residual k-means: the first code is an item's cluster, the second the cluster of what the first left over, and so on.
# It sees the embeddings alone, neither titles nor categories.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from semid.datasets import make_items
from semid.metrics import code_nmi
from semid.plots import CodeTreeDisplay
from semid.tokenizers import ResidualKMeansTokenizer

items = make_items(n_items=2000, random_state=0)
tokenizer = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=[8, 5, 5], random_state=0)
codes = tokenizer.fit_transform(items.embeddings)
print(pd.DataFrame(codes, index=items.frame["title"], columns=["code0", "code1", "code2"]).head())

# %%
# What do the codes know?
# -----------------------
# A title is brand, style, material and product. The first code says about half of what there is to say of the category
# and of the product. The later ones say little by themselves: the same second code means another thing under another
# first.
category = items.frame["category"].to_numpy()
titles = zip(items.frame["brand"], items.frame["title"], strict=True)
product = np.array([title.removeprefix(brand).split(maxsplit=2)[2] for brand, title in titles])
print("NMI with the category", code_nmi(codes, category).round(2))
print("NMI with the product ", code_nmi(codes, product).round(2))


# %%
# Along the tree, they say more and more. There are 40 products: how common is the most frequent one among items that
# share their codes? Small groups agree by chance as well, which shuffled codes show.
def purity(codes):
    """Return the share of items whose product is the most frequent of those with the same codes."""
    groups = pd.Series(product).groupby(list(codes.T))
    return groups.agg(lambda group: group.value_counts().iloc[0]).sum() / len(codes)


shuffled = np.random.default_rng(0).permutation(codes)
purities = [(purity(codes[:, :n]), purity(shuffled[:, :n])) for n in (1, 2, 3)]
for n, (share, by_chance) in enumerate(purities, start=1):
    print(f"{n} equal codes: {share:.0%} have the most frequent product, {by_chance:.0%} by chance")

# %%
# The tree
# --------
# Siblings are sorted by size. Most boxes on the left are a category, most on the right a product of it. Body lotions
# and tennis rackets in the garden are where embeddings, which hold more than the product, disagree with the shelves.
figure, axes = plt.subplots(figsize=(7, 7), layout="constrained")
display = CodeTreeDisplay.from_codes(codes, np.column_stack([category, product]), max_depth=2)
display.plot(axes, label_level=1, n_labels=40)
axes.set_title("A first code is a shelf, the second a product on it")
plt.show()
