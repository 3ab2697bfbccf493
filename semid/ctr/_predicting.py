"""From a table to what the trained module makes of it, a part of the impressions at a time."""

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from semid.base._live_module import prediction_mode, resolve_device
from semid.engine._impressions import Impressions
from semid.tables._frames import check_table
from semid.tables._in_parts import TableInParts, is_read_in_parts

_PREDICT_ROWS = 131_072  # impressions encoded at once, and scored
_WITH_HISTORIES = 4_096  # scored at once: their histories have many times as many entries


def streamed(model, X, compute):
    """Return ``compute(module, categories, numbers)`` for all impressions, a part of them at a time."""
    check_is_fitted(model)
    device = resolve_device(model.device)
    module = model._live.get(model._build_module, model.state_, device, model._dtype)
    results = []
    for rows in _parts_of(model, X):
        encoded = model.encoder_.encode(rows)
        n_rows = len(encoded.categories)
        part = Impressions(encoded, np.zeros(n_rows), np.ones(n_rows), device, model._dtype)
        n_at_once = _WITH_HISTORIES if model.encoder_.histories_ else _PREDICT_ROWS
        with prediction_mode(device):
            for batch in torch.arange(n_rows, device=device).split(n_at_once):
                categories, numbers, _, _ = part[batch]
                results.append(compute(module, categories, numbers).cpu().numpy())
    return np.concatenate(results)


def _parts_of(model, X):
    """Yield tables of some rows of `X` each, with the columns of the fit."""
    if not is_read_in_parts(X):
        X = check_table(model, X, reset=False)
        for start in range(0, len(X), _PREDICT_ROWS):
            rows = slice(start, start + _PREDICT_ROWS)
            yield X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]
        return
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise ValueError(
            "X must be a table in memory for a model whose columns had no names in fit, since those of a table that is "
            f"read in parts are found by name, got a {type(X).__name__}."
        )
    table = TableInParts("X", X)
    missing = [name for name in names if name not in table.names]
    if missing:
        raise ValueError(f"X must have the columns of fit, got none called {missing}; it has {table.names}.")
    n_rows = 0
    for frame in table.frames([*names]):
        n_rows += len(frame)
        yield frame
    if n_rows == 0:
        raise ValueError("X must have at least one row, got none.")


def represented_fields(model, columns):
    """Return the fields of `columns`, or of all codes for None."""
    if columns is None:
        fields = [f for group in model.encoder_.code_groups_ for f in range(group.start, group.stop)]
    elif isinstance(columns, str) or not hasattr(columns, "__iter__") or getattr(columns, "ndim", 1) == 0:
        raise TypeError(f"columns must be None or a list of columns, got {columns!r}; pass [{columns!r}].")
    else:
        fields = [model.encoder_.field_of("columns", column) for column in columns]
    if not fields:
        got = "None for a model without codes" if columns is None else "none"
        raise ValueError(
            f"columns must name columns to represent, got {got}; name the item id, or add codes with SemanticIDEncoder."
        )
    return fields
