"""One text per row, from one or several columns of it."""

from string import Formatter

import numpy as np
import pandas as pd

from semid._tables import split_columns


def join_columns(X, template):
    """Return one text per row of the table `X`, in an object array.

    Parameters
    ----------
    X : DataFrame or ndarray of shape (n_rows, n_columns)
    template : str or None
        Names of columns in braces, ``"{title}. {brand}"``; None for all columns, with ". " between them.

    Raises
    ------
    ValueError
        If a row has no text at all, or the template names a column that there is not.
    TypeError
        If there is one column, and it holds something else than text.
    """
    names, columns = split_columns(X)
    columns = [column.astype(object).to_numpy() for column in columns]
    missing = [pd.isna(column) for column in columns]
    if len(columns) == 1 and template is None:
        _check_is_text(columns[0][~missing[0]], names[0])
    pieces = [("", n) for n in range(len(names))] if template is None else _parse(template, names)
    used = {n for _, n in pieces if n is not None}
    _check_has_text(np.all([missing[n] for n in used], axis=0))
    texts = {n: _as_texts(columns[n], missing[n]) for n in used}
    if template is None:
        return _array(". ".join(filter(None, row)) for row in zip(*texts.values(), strict=True))
    return _array(
        "".join(literal + ("" if n is None else texts[n][row]) for literal, n in pieces) for row in range(len(X))
    )


def _parse(template, names):
    """Return the pieces of `template`: a literal, and the position of the column after it, or None at the end."""
    try:
        pieces = [(literal, field) for literal, field, _, _ in Formatter().parse(template)]
    except (ValueError, TypeError) as error:
        raise ValueError(f"template must be text with names of columns in braces, got {template!r}.") from error
    names = list(map(str, names))
    fields = [field for _, field in pieces if field is not None]
    for field in fields:
        if field not in names:
            raise ValueError(f"template must name columns of X, got {field!r}; X has {names}.")
    if not fields:
        raise ValueError(f"template must name at least one column in braces, got {template!r}; X has {names}.")
    return [(literal, None if field is None else names.index(field)) for literal, field in pieces]


def _check_is_text(values, name):
    wrong = [value for value in values if not isinstance(value, str | list | tuple | np.ndarray)]
    if wrong:
        raise TypeError(
            f"column {name!r} must hold text, got {wrong[0]!r} ({type(wrong[0]).__name__}). Convert it with "
            "X.astype(str), or name it in a template beside a column of text."
        )


def _check_has_text(is_missing):
    if is_missing.any():
        raise ValueError(
            f"X must have a text in every row, got {is_missing.sum()} rows without, first row {is_missing.argmax()}. "
            'Drop them, or give them the empty text: X.fillna("").'
        )


def _as_texts(column, missing):
    """Return the cells of a column as text: lists joined by spaces, missing ones empty."""
    return ["" if gone else _as_text(value) for value, gone in zip(column, missing, strict=True)]


def _as_text(value):
    return " ".join(map(str, value)) if isinstance(value, list | tuple | np.ndarray) else str(value)


def _array(texts):
    texts = list(texts)
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
