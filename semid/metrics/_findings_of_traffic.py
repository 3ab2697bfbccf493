"""Sentences about what a log of interactions says of a mapping."""

from semid.metrics._baselines import PARALLEL, RANDOM

_UNKNOWN = 0.01  # share of the interactions
_COLLIDING = 0.05  # share of the interactions that is with items which share their codes
_BEYOND_NOISE = 3  # standard errors
_SEEN = 0.1  # above an AUC of 0.5: what a log must be long enough to show, where no k-means shows that it is
_LESS = 0.9  # of what k-means gains over random codes


def findings_of_traffic(figures, traffic, named, purpose):
    """Return the sentences that apply, the gravest first; `named` are two items that share their codes, or None."""
    return [
        *_about_unknown_items(traffic),
        *_about_users(figures, traffic),
        *(_about_shared_traffic(figures, named) if purpose != "ranking" else ()),
    ]


def _about_unknown_items(traffic):
    if traffic.n_unknown:
        n = traffic.n_interactions + traffic.n_unknown
        if traffic.n_unknown > _UNKNOWN * n:
            yield (
                f"{traffic.n_unknown:,} of {n:,} interactions ({traffic.n_unknown / n:.1%}) are with items that have "
                "no codes here, or of no user. They are left out; if the items are new, give them codes with transform."
            )


def _about_users(figures, traffic):
    auc = figures["mapping"].get("co_click_auc")
    if auc is None:
        return
    noise = _BEYOND_NOISE * traffic.noise(figures["mapping"])["co_click_auc"]
    best = figures.get(PARALLEL, {}).get("co_click_auc")
    if auc < 0.5 + noise and (noise < _SEEN if best is None else best > 0.5 + noise):
        others = [(name, figures[name]["co_click_auc"]) for name in (RANDOM, PARALLEL) if name in figures]
        words = ", ".join(f"{name} {other:.3f}" for name, other in others)
        yield (
            "The codes know nothing of what users take: by them, an item that a user took is told from one that others "
            f"took with an AUC of {auc:.3f}{f' ({words})' if words else ''}. Check that the ids of the mapping are "
            "those of the log; if they are, these codes help no click model."
        )
    elif best is not None and auc - 0.5 < _LESS * (best - 0.5) and best - auc > noise:
        yield (
            "Plain k-means of X, of the same sizes side by side, tells more of what users take: AUC "
            f"{best:.3f} against {auc:.3f}. For ranking, take ParallelKMeansTokenizer or presets.ranking(), best "
            "aligned with clicks (SemanticIDEncoder(..., user='user_id'))."
        )


def _about_shared_traffic(figures, named):
    mapping = figures["mapping"]
    share, ratio = mapping.get("shared_traffic", 0), mapping.get("popularity_of_shared", 0)
    if share >= _COLLIDING and named is not None:
        yield (
            f"{share:.1%} of the interactions are with items that share all their codes, which are {ratio:.1f} times "
            f"as popular as the mean item; the most popular such are {named[0]} and {named[1]}. For retrieval, "
            "UniqueTokenizer gives each item codes of its own; for ranking, keep the item id as a field beside them."
        )
