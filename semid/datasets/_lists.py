"""Lists that a text file holds as text."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from itertools import pairwise

import pandas as pd
from numpy.typing import ArrayLike

from semid.tables._columns import ids_from_text

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_ENTRY = {tokenize.STRING, tokenize.NUMBER, tokenize.NAME}


def parse_lists(column: ArrayLike, separator: str | None = None) -> pd.Series:
    """Return the lists that a column of text holds, as a CSV file has them.

    Parameters
    ----------
    column : array-like of shape (n_rows,)
        Text, such as ``"[1, 2]"`` as Python, JSON or NumPy print it, or ``"1|2"``; missing values and empty text are
        empty lists.
    separator : str or None, default None
        What stands between entries, ``"|"`` or ``" "`` for example. None where each list is printed in brackets.

    Returns
    -------
    lists : Series of list, of shape (n_rows,)
        With the index of `column`. Entries are what brackets say; between separators they are integers if each entry of
        the column is written as one (``"007"`` is not), else text.

    Raises
    ------
    TypeError
        If a value is no text.
    ValueError
        If `separator` is empty, or None and a text is no list in brackets.

    Examples
    --------
    >>> from semid.datasets import parse_lists
    >>> parse_lists(["1|2", "", "3"], separator="|").tolist()
    [[1, 2], [], [3]]
    >>> parse_lists(["['a', 'b']", None]).tolist()
    [['a', 'b'], []]
    """
    printed = column if isinstance(column, pd.Series) else pd.Series(column, dtype=object)
    if separator is not None and (not isinstance(separator, str) or not separator):
        raise ValueError(f"separator must be text between the entries, such as '|', or None, got {separator!r}.")
    texts = printed.astype(object).where(printed.notna(), "")
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise TypeError(f"column must hold text, got {wrong!r:.80}. What is a list already need not be parsed.")
    lists = texts.map(_printed_list) if separator is None else _separated(texts, separator)
    return pd.Series(lists, index=printed.index, name=printed.name, dtype=object)


def _separated(texts, separator):
    parts = [[part.strip() for part in text.split(separator)] for text in texts]
    parts = [[part for part in of_row if part] for of_row in parts]
    entries = iter(ids_from_text(pd.Series([part for of_row in parts for part in of_row], dtype=object)).tolist())
    return [[next(entries) for _ in of_row] for of_row in parts]


def _printed_list(text):
    text = text.strip()
    if not text:
        return []
    if _BRACKETS.get(text[0]) != text[-1]:
        raise ValueError(
            f"column must hold lists in brackets without a separator, got {text!r:.80}. Pass what stands between its "
            "entries, separator='|' for example."
        )
    for parse in (json.loads, lambda text: ast.literal_eval(_with_commas(text))):
        try:
            entries = list(parse(text))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError):
            continue
        if not any(isinstance(entry, list | tuple | set | dict) for entry in entries):
            return entries
    raise ValueError(f"column must hold lists as Python, JSON or NumPy print them, got {text!r:.80}.")


def _with_commas(text):
    """Return a printed list with commas between entries, which NumPy leaves out and Python would join texts without."""
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.string.strip()]
    parts = [tokens[0].string]
    for before, token in pairwise(tokens):
        begins = token.type in _ENTRY or token.string in "+-"
        parts.append(f", {token.string}" if before.type in _ENTRY and begins else token.string)
    return " ".join(parts)
