"""In one line each: are these codes any good for ranking, and for retrieval?"""

import math

from semid.metrics._baselines import PARALLEL, RANDOM, RESIDUAL

PURPOSES = ("ranking", "retrieval")
GRADES = ("Good", "Fair", "Poor", "Unknown")
_GOOD, _FAIR = 0.9, 0.5  # of what k-means gains over random codes
_UNIQUE, _NEARLY_UNIQUE = 0.01, 0.1  # collision rates of distinct items
_BEYOND_NOISE = 2  # standard errors
_SEEN = 0.05  # above an AUC of 0.5: what a log must be long enough to show, before nothing is said to be there


def verdict(figures, has_suffix, noise, purpose):
    """Return a sentence for each purpose, which begins with one of GRADES.

    `figures` are those of the mapping and of each baseline by its name, `noise` the standard errors of those that are
    of a sample, by name.
    """
    sentences = {"ranking": _for_ranking(figures, noise), "retrieval": _for_retrieval(figures, has_suffix, noise)}
    return {name: sentence for name, sentence in sentences.items() if purpose in (None, name)}


def _for_ranking(figures, noise):
    mapping = figures["mapping"]
    auc = mapping.get("co_click_auc")
    if auc is None:
        ask = (
            "pass interactions"
            if "n_interactions" not in mapping
            else "no user in the log has two items to compare: pass more interactions"
        )
        if "neighbor_overlap" in mapping:
            return (
                f"Unknown: {ask} to be told. Codes keep "
                f"{_beside(figures, 'neighbor_overlap', '{:.1%}', PARALLEL)} of the neighbours in X, which orders "
                "codes for click models less well."
            )
        return f"Unknown: {ask}, and X, to be told. Codes alone do not show it."
    about = (
        "by its codes alone, an item that a user took is told from one that others took with an AUC of "
        f"{_beside(figures, 'co_click_auc', '{:.3f}', PARALLEL)}."
    )
    doubt = _BEYOND_NOISE * noise["co_click_auc"]
    if auc - 0.5 < doubt:
        if doubt > _SEEN and figures.get(PARALLEL, {}).get("co_click_auc", 0) - 0.5 < doubt:
            return f"Unknown: {about} So few interactions do not tell it from chance."
        return f"Poor: {about}"
    grade = _grade(figures, "co_click_auc", PARALLEL, noise)
    return f"{grade}: {about}{_way_out(figures, PARALLEL) if grade == 'Unknown' else ''}"


def _for_retrieval(figures, has_suffix, noise):
    mapping = figures["mapping"]
    rate = mapping.get("collision_rate_of_distinct", mapping["collision_rate"])
    of_ids = "Good" if rate <= _UNIQUE else "Fair" if rate <= _NEARLY_UNIQUE else "Poor"
    about_ids = f"{rate:.1%} of the items add no ID of their own" if rate > 0 else "every item has an ID of its own"
    if has_suffix:
        of_ids = _worse(of_ids, "Fair")
        about_ids += ", with a last code that only counts"
    name = next((name for name in ("co_click_hit_rate", "neighbor_overlap") if name in mapping), None)
    if name is None:
        grade = "Unknown" if of_ids != "Poor" else "Poor"
        return f"{grade}: {about_ids}. Pass X, and interactions, to see whether similar items have similar IDs."
    what = {
        "co_click_hit_rate": "another item of the same user is among the {k} nearest by codes in {beside} of cases",
        "neighbor_overlap": "{beside} of the {k} nearest in X are nearest by codes",
    }[name]
    of_content = _grade(figures, name, RESIDUAL, noise)
    beside = _beside(figures, name, "{:.2%}", RESIDUAL)
    grade = _worse(of_ids, of_content) if of_content != "Unknown" or of_ids != "Poor" else "Poor"
    ask = _way_out(figures, RESIDUAL) if grade == "Unknown" else ""
    return f"{grade}: {about_ids}; {what.format(k=mapping['k'], beside=beside)}.{ask}"


def _grade(figures, name, best, noise):
    """Return how much of what k-means gains over random codes the mapping gains, in doubt the better grade."""
    if best not in figures or name not in figures[best]:
        return "Unknown"
    value, chance, reference = (figures[which][name] for which in ("mapping", RANDOM, best))
    if not all(map(math.isfinite, (value, chance, reference))):
        return "Unknown"
    doubt = _BEYOND_NOISE * noise.get(name, 0.0)
    if value - chance <= doubt:  # by luck, half of all random codes have more than others
        return "Poor" if reference - chance > doubt else "Unknown"
    share = (value - chance + doubt) / max(reference - chance, 1e-12)
    return "Good" if share >= _GOOD else "Fair" if share >= _FAIR else "Poor"


def _way_out(figures, best):
    """Return what would let a figure be graded."""
    if best in figures:
        return " Neither these codes nor k-means are told from chance here."
    has_X = "collision_rate_of_distinct" in figures["mapping"]
    asks = ["" if has_X else "pass X", "" if RANDOM in figures else "leave baselines on"]
    ask = " and ".join(filter(None, asks)) or "pass more rows of X"
    return f" {ask[0].upper()}{ask[1:]} to see what k-means of X has."


def _beside(figures, name, form, best):
    others = [(which, figures[which][name]) for which in (RANDOM, best) if name in figures.get(which, ())]
    words = ", ".join(f"{which} {form.format(value)}" for which, value in others)
    return form.format(figures["mapping"][name]) + (f" ({words})" if words else "")


def _worse(first, second):
    return max(first, second, key=GRADES.index)
