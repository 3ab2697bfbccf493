"""Which rows of a log were clicked, as far as their labels say it."""

import numpy as np
import pandas as pd

_CLICKS_KNOWN = ({"no", "yes"}, {"false", "true"}, {"0", "1"})  # texts of which all know which one is the click


def is_click(y, reason):
    """Return which labels of `y` are those of a click, or raise where nothing says it; `reason` is why it must."""
    is_missing = pd.isna(y)
    labels = np.unique(y[~is_missing])
    if is_missing.any() and len(labels) < 3:
        raise ValueError(
            f"y must not be missing {reason}, got {np.count_nonzero(is_missing)} missing of {len(y)} labels. Drop "
            "these rows, or fill in what is known of them."
        )
    if len(labels) != 2:
        way_out = "label_clicks makes clicks of ratings"
        if len(labels) < 2:
            way_out = "Take more rows or a stratified split: in this part of a log all rows are alike"
        raise ValueError(
            f"y must have two kinds of labels {reason}, no click and click, got {len(labels)}: "
            f"{labels[:5].tolist()}. {way_out}."
        )
    first, last = labels.tolist()
    if isinstance(last, str | bytes) and {str(first).lower(), str(last).lower()} not in _CLICKS_KNOWN:
        raise ValueError(
            f"y must say which label is the click {reason}, by 0 and 1 or False and True, got "
            f"{first!r} and {last!r}. Pass y == {first!r} or y == {last!r}."
        )
    return y == labels[-1]
