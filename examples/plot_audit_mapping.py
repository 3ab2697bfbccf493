"""
Auditing somebody else's semantic IDs
=====================================

A mapping from items to codes arrives as a file, with a collision rate of zero and no word on the rest:
`tokenizer_report` says what is wrong with it and what to do. The picture shows how a first level that is hardly used,
and a last one that only repairs collisions, look beside codes without either fault.
"""

# %%
# The file
# --------
# An ``.index.json`` as LC-Rec, LETTER and MiniOneRec write it: a list of tokens for each item. This one is made to
# have two faults that public files have: a first level that collapsed to four codes of 64, and a fourth token that
# counts the items whose other tokens are equal.
import json
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt

from semid.datasets import make_items
from semid.io import read_mapping
from semid.metrics import tokenizer_report
from semid.plots import CodeUsageDisplay
from semid.tokenizers import ResidualKMeansTokenizer, UniqueTokenizer

X = make_items(n_items=3000, random_state=0).embeddings
collapsed = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=[4, 64, 64], random_state=0)
seen, tokens = Counter(), {}
for item, (a, b, c) in enumerate(collapsed.fit_transform(X).tolist()):
    tokens[item] = [f"<a_{16 * a}>", f"<b_{b}>", f"<c_{c}>", f"<d_{seen[a, b, c]}>"]
    seen[a, b, c] += 1
path = Path(tempfile.mkdtemp()) / "theirs.index.json"
path.write_text(json.dumps(tokens))
print(path.read_text()[:95], "...")

# %%
# The report
# ----------
# All it takes is the file; the size of the codebooks and the embeddings, row i for item i, make it say more. In a
# shell, ``semid audit theirs.index.json --embeddings embeddings.npy`` prints such a report.
report = tokenizer_report(path, X, codebook_size=64)
print(report)

# %%
# The advice, taken
# -----------------
# Without a collapse, three levels of 64 have room for 262,144 items. `UniqueTokenizer` moves the few that still collide
# to free codes nearby; no token is spent on counting.
ours = UniqueTokenizer(ResidualKMeansTokenizer(n_codebooks=3, codebook_size=64, random_state=0)).fit(X)
codes = ours.transform(X)
report_of_ours = tokenizer_report(codes, X, codebook_size=ours.codebook_sizes_)
print(report_of_ours.advice)
print(f"items moved: {ours.report_.n_moved} of {ours.report_.n_distinct}")
for name, summary in (("theirs", report.summary), ("ours", report_of_ours.summary)):
    print(f"{name}: neighbours kept {summary['neighbor_overlap']:.2f} by {summary['n_codebooks']} codes")

# %%
# Beside each other
# -----------------
# Left, their first level ends after four codes of 500 items and more, and most items have the same last code. In the
# middle, all levels are used alike. Right, what a model meets that reads code by code, such as a beam search: two of
# our codes tell more items apart than two of theirs, and the third tells all, without a code that knows nothing of the
# item.
figure, axes = plt.subplots(1, 3, figsize=(11, 4.4), layout="constrained")
CodeUsageDisplay.from_codes(read_mapping(path).codes, codebook_size=64).plot(axes[0])
CodeUsageDisplay.from_codes(codes, codebook_size=64).plot(axes[1])
axes[0].set_title("theirs: first and last codes are crowded")
axes[1].set_title("ours: codes are used alike")
axes[1].sharey(axes[0])
for ax in axes[:2]:
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16))
for name, table, color, marker in (
    ("theirs", report.table, "#D55E00", "s"),
    ("ours", report_of_ours.table, "#0072B2", "o"),
):
    axes[2].plot(table.index + 1, table["prefix_collision_rate"], color=color, marker=marker, label=name)
axes[2].set_xticks([1, 2, 3, 4])
axes[2].set_xlabel("codes read, from the first")
axes[2].set_ylabel("collision rate")
axes[2].set_title("ours need no fourth code")
axes[2].legend(frameon=False)
axes[2].spines[["top", "right"]].set_visible(False)
plt.show()
