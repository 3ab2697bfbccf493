"""One text per row, from one or several columns of it."""

from string import Formatter

import numpy as np
import pandas as pd

from semid.tables._frames import split_columns

_LISTS = list | tuple | np.ndarray


def as_table(X, *, named):
    """Return `X` as a table: texts in a list, an array or a Series become its one column.

    With `named`, the column has the name that a Series has. Lists are not made arrays, all of whose entries would be
    as wide as the longest text.
    """
    if isinstance(X, str):
        raise ValueError(f"X must be a list of texts or a table of them, got the one text {X!r:.60}.")
    if isinstance(X, list | tuple) and any(isinstance(row, _LISTS) for row in X):
        return _as_rows(X)
    if not isinstance(X, list | tuple) and len(getattr(X, "shape", ())) != 1:
        return X
    name = getattr(X, "name", None) if named else None
    values = X.to_list() if hasattr(X, "to_list") else list(X)
    return pd.DataFrame({0 if name is None else name: pd.Series(values, dtype=object)})


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
        If there is no template, and a column holds something else than text.
    """
    names, columns = split_columns(X)
    columns = [column.astype(object).to_numpy() for column in columns]
    missing = [pd.isna(column) for column in columns]
    if template is None:
        for name, column, gone in zip(names, columns, missing, strict=True):
            _check_is_text(column[~gone], name)
    pieces = [("", n) for n in range(len(names))] if template is None else _parse(template, names)
    used = {n for _, n in pieces if n is not None}
    _check_has_text(np.all([missing[n] for n in used], axis=0))
    texts = {n: _as_texts(columns[n], missing[n]) for n in used}
    if template is None:
        return _array(". ".join(filter(None, row)) for row in zip(*texts.values(), strict=True))
    return _array(
        "".join(literal + ("" if n is None else texts[n][row]) for literal, n in pieces) for row in range(len(X))
    )


def _as_rows(X):
    lengths = [len(row) if isinstance(row, _LISTS) else None for row in X]
    if len(set(lengths)) > 1:
        row = next(n for n, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"X given as a list of rows must have as many texts in each, got {X[0]!r:.60} and in row {row} "
            f"{X[row]!r:.60}. For one column of lists of words, pass a Series."
        )
    return pd.DataFrame(list(map(list, X)), dtype=object)


def _parse(template, names):
    """Return the pieces of `template`: a literal, and the position of the column after it, or None at the end."""
    try:
        pieces = list(Formatter().parse(template))
    except (ValueError, TypeError) as error:
        raise ValueError(f"template must be text with names of columns in braces, got {template!r}.") from error
    if any(spec or conversion for _, _, spec, conversion in pieces):
        raise ValueError(
            f"template must have nothing but names of columns in braces, got {template!r}. Format the column instead."
        )
    names = list(map(str, names))
    fields = [field for _, field, _, _ in pieces if field is not None]
    for field in fields:
        if field not in names:
            raise ValueError(f"template must name columns of X, got {field!r}; X has {names}.")
    if not fields:
        raise ValueError(f"template must name at least one column in braces, got {template!r}; X has {names}.")
    return [(literal, None if field is None else names.index(field)) for literal, field, _, _ in pieces]


def _check_is_text(values, name):
    wrong = next((value for value in values if not isinstance(value, str | _LISTS)), None)
    if wrong is not None:
        raise TypeError(
            f"column {name!r} must hold text, got {wrong!r} ({type(wrong).__name__}). Leave it out, convert it with "
            "X.astype(str), or name it in a template, where numbers become text."
        )


def _check_has_text(is_missing):
    if is_missing.any():
        raise ValueError(
            f"X must have a text in every row, got none in {is_missing.sum()} of {len(is_missing)}, first in row "
            f'{is_missing.argmax()}. Drop them, or give them the empty text: X.fillna("").'
        )


def _as_texts(column, missing):
    """Return the cells of a column as text, missing ones empty."""
    return ["" if gone else _as_text(value) for value, gone in zip(column, missing, strict=True)]


def _as_text(value):
    """Return a cell as text: a list joined by spaces without what is missing in it, a whole float as an integer."""
    if isinstance(value, _LISTS):
        return " ".join(_as_text(entry) for entry in value if not (pd.api.types.is_scalar(entry) and pd.isna(entry)))
    if isinstance(value, float | np.floating):
        return str(value).removesuffix(".0")  # integers are floats in a column where one is missing
    return str(value)


def _array(texts):
    texts = list(texts)
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array
