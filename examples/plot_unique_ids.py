"""
Unique IDs for generative retrieval
===================================

A model that generates an item's codes token by token needs codes that no two items share, a list of the tokens that may
come next, and room for items that appear later. The picture shows the rows of codes under one first code, those of new
items in places that were free, and how many tokens are left to choose from at each step.
"""

# %%
# One row of codes for each item
# ------------------------------
# `UniqueTokenizer` fits any tokenizer and then moves items that share their codes, all but one, to free codes nearby.
from collections import defaultdict

import matplotlib.pyplot as plt
import numpy as np

from semid import ResidualKMeansTokenizer, UniqueTokenizer
from semid.datasets import make_items
from semid.io import to_tokens
from semid.metrics import code_churn, collision_rate

items = make_items(n_items=2000, random_state=0)
old, new = items.embeddings[:1500], items.embeddings[1500:]
inner = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=20, random_state=0)
tokenizer = UniqueTokenizer(inner).fit(old)
codes = tokenizer.transform(old)
before, report = tokenizer.tokenizer_.transform(old), tokenizer.report_
print(f"collision rate {collision_rate(before):.3f} before, {collision_rate(codes):.3f} after")
print(f"{report.share_moved:.0%} of the items moved; R² {report.r2_before:.3f} before, {report.r2_after:.3f} after")

# %%
# What may come next
# ------------------
# As tokens for a language model, the letter says which codebook. Most rows of codes belong to no item: the decoder may
# choose among those tokens alone that lead to one. That is a dictionary.
tokens = to_tokens(codes)
print(items.frame["title"][0], tokens[0])


def next_tokens(tokens):
    """Return the tokens that may follow each prefix of an item's tokens."""
    tree = defaultdict(set)
    for row in tokens:
        for n, token in enumerate(row):
            tree[tuple(row[:n])].add(token)
    return tree


def decode(score, tree):
    """Return the tokens of an item, the best-scored valid token at each step."""
    row = ()
    while row in tree:
        row += (max(sorted(tree[row]), key=score),)
    return row


tree = next_tokens(tokens)
print("valid first tokens:", len(tree[()]))
print("valid after", tokens[0][:1], len(tree[tuple(tokens[0][:1])]))
print("valid after", tokens[0][:2], sorted(tree[tuple(tokens[0][:2])]))

# %%
# A model that knows nothing, with random scores, hits an item with about one row in six without the dictionary, and
# always with it. For ``generate`` of the transformers library, ``prefix_allowed_tokens_fn`` is a look-up in it.
rng = np.random.default_rng(0)
known = set(map(tuple, tokens))
guesses = to_tokens(rng.integers(20, size=(1000, 3)))
decoded = [decode(lambda token: rng.random(), tree) for _ in range(1000)]
free_hits = np.mean([tuple(row) in known for row in guesses])
hits = np.mean([row in known for row in decoded])
print(f"rows that are an item: {free_hits:.0%} without the tree, {hits:.0%} with it")

# %%
# New items
# ---------
# `partial_fit` places what has appeared since. No old item moves, so that a model that learned their tokens stays
# right; the tree grows by the new rows. Of the new items, about three in ten find their codes taken, at little cost.
tokenizer.partial_fit(new)
new_codes = tokenizer.transform(new)
after = tokenizer.report_
all_codes = np.vstack([codes, new_codes])
changed = code_churn(codes, tokenizer.transform(old)).items
print(f"old items with other codes: {changed:.0%}; collision rate of all: {collision_rate(all_codes):.3f}")
print(f"{after.share_moved:.0%} of the new moved; R² {after.r2_before:.3f} before, {after.r2_after:.3f} after")
tree_of_all = next_tokens(to_tokens(all_codes))

# %%
# Where they went
# ---------------
# Left, the rows of codes under the most frequent first code; a dot is an item that had to move from where its embedding
# belongs. Right, how many of the 20 tokens are valid at each step, on average over the prefixes: here it is the third
# that a model would get wrong.
wanted = tokenizer.tokenizer_.transform(items.embeddings)
has_moved = (all_codes != wanted).any(axis=1)
is_new = np.arange(len(all_codes)) >= len(codes)
is_shown = all_codes[:, 0] == np.bincount(codes[:, 0]).argmax()
colors = {"old items": "#56B4E9", "new items": "#D55E00"}
figure, (ax, right) = plt.subplots(1, 2, figsize=(10, 4.8), width_ratios=[1.2, 1], layout="constrained")
for name, rows in (("old items", is_shown & ~is_new), ("new items", is_shown & is_new)):
    ax.plot(
        all_codes[rows, 2], all_codes[rows, 1], "s", markersize=11, color=colors[name], label=f"{rows.sum()} {name}"
    )
rows = is_shown & has_moved
ax.plot(all_codes[rows, 2], all_codes[rows, 1], "k.", markersize=5, label=f"{rows.sum()} of them moved")
ax.set_title("New items take places that are free")
ax.set_xlabel("third code")
ax.set_ylabel("second code")
ax.set_aspect("equal")
ax.set_xticks(range(0, 20, 5))
ax.set_yticks(range(0, 20, 5))
ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False, columnspacing=1)
ax.spines[:].set_visible(False)

steps = np.arange(3)
for offset, (name, branches) in zip((-0.2, 0.2), (("old items", tree), ("new items", tree_of_all)), strict=True):
    n_valid = [np.mean([len(valid) for prefix, valid in branches.items() if len(prefix) == n]) for n in steps]
    label = "old items" if branches is tree else "with the new ones"
    bars = right.bar(steps + offset, n_valid, width=0.4, color=colors[name], label=label)
    right.bar_label(bars, fmt="%.1f", padding=2)
right.set_xticks(steps, ["first", "second", "third"])
right.set_xlabel("token to generate")
right.set_ylabel("valid tokens, of 20")
right.set_ylim(0, 25)
right.set_title("Few third tokens lead to an item")
right.legend(frameon=False, loc="upper right", ncols=2)
right.spines[["top", "right"]].set_visible(False)
plt.show()
