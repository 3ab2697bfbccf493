"""
A year of a catalogue
=====================

A shop sells two kinds of things in January and eight in December. Codes that were learned in January describe what came
later worse and worse; codebooks that are fitted anew describe it, and move the IDs that others have stored. The picture
has both prices: of never fitting again, and of fitting again with and without the old labels.

::

    python examples/plot_catalogue_year.py
"""

# %%
# What is sold when
# -----------------
# Two categories are there from the start; the others come one after the other, and every month brings new items of all.
import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone

from semid import ResidualKMeansTokenizer
from semid.datasets import make_items
from semid.io import Catalogue
from semid.metrics import code_churn, reconstruction_r2

items = make_items(n_items=2_000, random_state=0)
_, place = np.unique(items.frame["category"], return_inverse=True)
rng = np.random.default_rng(0)
since = rng.uniform(np.where(place < 2, -12.0, 1.4 * place - 1.4), 12.0).clip(min=0)  # month of the first sale
order = np.argsort(since)
ids, X, since = items.frame["item_id"].to_numpy()[order], items.embeddings[order], since[order]
n_sold = np.searchsorted(since, np.arange(1, 13))
print("items at the end of each month:", n_sold)


# %%
# Two habits, and a third
# -----------------------
# `append` gives codes to what is new and moves nothing. `refit` fits the codebooks anew and writes them in the old
# labels, as far as can be. A fit outside of a catalogue numbers its codes as it likes.
def year(refits):
    """Return for each month the R² of new items, and how many known ones a refit gave another first code."""
    kmeans = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=32, random_state=0)
    catalogue = Catalogue.build(tempfile.mkdtemp(), ids[: n_sold[0]], X[: n_sold[0]], tokenizer=kmeans)
    fits, moved, moved_outside = [], np.zeros(11), np.zeros(11)
    for month in range(11):
        known, n = slice(n_sold[month]), n_sold[month + 1]
        before = catalogue.open().codes_of(ids[known])
        after = catalogue.append(ids[:n], X[:n])
        new = slice(n_sold[month], n)
        fits.append(reconstruction_r2(X[new], after.tokenizer().inverse_transform(after.codes_of(ids[new]))))
        if month in refits:
            after = catalogue.refit(ids[:n], X[:n])
            outside = clone(kmeans).fit(X[:n]).transform(X[known])
            moved[month] = code_churn(before, after.codes_of(ids[known])).codes[0]
            moved_outside[month] = code_churn(before, outside).codes[0]
    return fits, moved, moved_outside


fits_never, _, _ = year(())
fits_quarterly, moved, moved_outside = year((2, 5, 8))
print(f"R² of the new items of December: never refit {fits_never[-1]:.2f}, each quarter {fits_quarterly[-1]:.2f}")
print(f"first codes moved by three refits: {moved.sum() / 3:.0%} each, outside {moved_outside.sum() / 3:.0%}")

# %%
# Both prices
# -----------
months = np.arange(2, 13)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
left.plot(months, fits_never, color="#999999", marker="s", label="never refit")
left.plot(months, fits_quarterly, color="#0072B2", marker="o", label="refit each quarter")
right.bar(months - 0.2, moved_outside, width=0.4, color="#D55E00", label="a fit outside, labels as they come")
right.bar(months + 0.2, moved, width=0.4, color="#0072B2", label="refit, in the old labels")
left.set(xlabel="month", ylabel="R² of the month's new items", title="how well codes describe what is new")
right.set(
    xlabel="month", ylabel="known items with another first code", title="how many stored IDs move", ylim=(0, 1.25)
)
for ax in (left, right):
    ax.set_xticks(months)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
plt.show()
