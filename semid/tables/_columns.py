"""Which type a column of a text file has, and in which one the ids of several files meet.

A text file does not say what its columns are: text becomes a number only where its value is kept, and ids of
several files become integers only where those of all can.
"""

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype, is_object_dtype

MISSING_NUMBERS = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>")  # beside the empty text
_BOOLEANS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
# No zero before other digits, and no plus: 01234 is a name, +49123 dials. For pandas, which may ask Arrow: no flags.
_INTEGER = r"(?: *-?(?:0|[1-9][0-9]{0,19}) *)"  # 20 digits, as uint64 has at most
_EXPONENT, _INFINITY = r"(?:[eE][+-]?[0-9]+)", r"[iI][nN][fF](?:[iI][nN][iI][tT][yY])?"
_FLOAT = rf"(?: *-?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}?|{_INFINITY}) *)"
_EXACT = 2**53  # integers up to here are floats as well


# Numbers


def from_text(column):
    """Return a Series of text as numbers or booleans if each value is written as one, else as it is.

    Empty text is missing (NaN in `column`), and among numbers `MISSING_NUMBERS` are. Text stays where a value starts
    with a plus or with a zero before other digits, is finite but beyond float64, or is an integer that the others'
    type does not hold. How a number is written is not kept: 1.10 and 1.1 are one, 1e5 is 100000.0, and decimals are
    rounded to float64.
    """
    is_missing = (column.isna() | column.isin(MISSING_NUMBERS)).to_numpy(dtype=bool)
    texts = column[~is_missing]
    if not len(texts):
        return column.astype("float64") if column.isna().all() else column
    values = _numbers(texts)
    if values is None:
        return column
    places = np.where(is_missing, -1, np.cumsum(~is_missing) - 1)
    return pd.Series(pd.array(values).take(places, allow_fill=True), index=column.index).astype(
        _plain_type(values.dtype, is_missing.any())
    )


def _numbers(texts):
    """Return an array of what a Series of text says, or None unless each is a number, or each a boolean."""
    if texts.isin(list(_BOOLEANS)).all():
        return np.array([_BOOLEANS[text] for text in _as_list(texts)])
    if texts.str.fullmatch(_INTEGER).all():
        return _integers(list(map(int, _as_list(texts))))
    if not texts.str.fullmatch(_FLOAT).all():
        return None
    values = np.array(list(map(float, _as_list(texts))))
    loses = any(map(_loses_digits, texts[np.abs(values) >= _EXACT]))
    return None if loses else values


def _loses_digits(text):
    """Return whether a number, in text of one of 2**53 or beyond, is an integer beyond it, or finite but no float64."""
    digits = text.strip().removeprefix("-")
    if digits.isdigit():
        return len(digits) > len(str(_EXACT)) or int(digits) > _EXACT
    return np.isinf(float(digits)) and not digits.lower().startswith("inf")


def _as_list(texts):
    # Text in Arrow is ten times slower to walk through.
    return np.asarray(texts, dtype=object).tolist()


def _integers(values):
    """Return Python's ints as int64, or else uint64, or None where neither holds them."""
    for dtype in (np.int64, np.uint64):
        try:
            return np.array(values, dtype=dtype)
        except OverflowError:
            continue
    return None


def _plain_type(dtype, has_missing):
    if dtype.kind == "f" or not has_missing:
        return dtype
    return nullable_type(dtype)


def nullable_type(dtype):
    """Return the type of pandas in which integers or booleans of a numpy dtype can be missing; other dtypes as is."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "iub":
        return dtype
    return "boolean" if dtype.kind == "b" else dtype.name.replace("int", "Int").replace("u", "U")


# Ids


def ids_from_text(column):
    """Return ids as int64 if each is written as Python writes an integer: 007 and 7 stay two."""
    codes, names = pd.factorize(column)
    names = _as_list(names)
    try:
        integers = np.array([int(name) for name in names], dtype=np.int64)
    except (ValueError, OverflowError):
        return column
    if any(str(integer) != name for integer, name in zip(integers, names, strict=True)):
        return column
    return pd.Series(integers[codes], index=column.index)


def shared_ids(name, columns, are_open, *, text_ids=False):
    """Return ids of several files, none missing, in one type: integers if all can be, else text if any is text.

    `are_open` says which columns are of text files, where it is open whether digits are text or an integer. Raise
    where text is all that two columns have in common, and none of their values.
    """
    own = [ids_from_text(ids) if is_open else _whole(ids) for ids, is_open in zip(columns, are_open, strict=True)]
    kinds = {_kind(ids) for ids in own if len(ids)}
    if not text_ids and "text" not in kinds:
        integers = own if kinds == {"integer"} or len(kinds) < 2 else [_as_integers(ids) for ids in own]
        are_integers = all(_kind(ids) == "integer" for ids in integers if len(ids))
        return _in_one_integer_type(integers) if are_integers else own
    if not text_ids and kinds == {"text"}:
        return own
    try:
        texts = [ids if is_open else _as_text(name, ids) for ids, is_open in zip(own, are_open, strict=True)]
    except ValueError:
        if text_ids:
            raise
        _refuse_types(name, own)
    texts = [ids if is_open else text for ids, text, is_open in zip(columns, texts, are_open, strict=True)]
    if not text_ids and len(kinds) > 1 and not texts[0].isin(texts[1]).any():
        _refuse_types(name, own)
    return texts


def _refuse_types(name, columns):
    raise ValueError(
        f"{name} must be of one type, got {columns[0].dtype} in the interactions and {columns[1].dtype} where they "
        "are described. Write the ids alike in both files."
    )


def _kind(ids):
    """Return "text", "integer", or what else ids are."""
    dtype = ids.dtype.categories.dtype if isinstance(ids.dtype, pd.CategoricalDtype) else ids.dtype
    if is_integer_dtype(dtype):
        return "integer"
    if not is_object_dtype(dtype):
        return "text" if pd.api.types.is_string_dtype(dtype) else str(dtype)
    kind = pd.api.types.infer_dtype(ids, skipna=False)
    return "text" if kind == "string" else kind


def _as_text(name, ids):
    """Return integers, or bytes of text, as text, or raise."""
    codes, values = pd.factorize(_as_integers(ids))
    if _kind(values.to_series()) not in ("integer", "text", "bytes", "categorical"):
        raise ValueError(f"{name} must be text or integers to become text, got {ids.dtype}.")
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    return pd.Series(texts, dtype=str).take(codes).set_axis(ids.index)


def _as_integers(ids):
    """Return floats that are whole, as integers become where one was missing, as integers."""
    is_float = isinstance(ids.dtype, np.dtype) and ids.dtype.kind == "f"
    return ids.astype(np.int64) if is_float and ((ids % 1 == 0) & (ids.abs() <= _EXACT)).all() else ids


def _whole(ids):
    """Return integers of pandas' nullable type, none of which is missing, as numpy's."""
    if isinstance(ids.dtype, pd.api.extensions.ExtensionDtype) and is_integer_dtype(ids):
        return ids.astype(getattr(ids.dtype, "numpy_dtype", np.int64))
    return ids


def _in_one_integer_type(columns):
    """Return columns of integers as they are, or in one type where pandas would compare them as floats."""
    if not any(ids.dtype == np.uint64 for ids in columns) or all(ids.dtype == np.uint64 for ids in columns):
        return columns
    largest = max(int(ids.max()) for ids in columns if len(ids))
    smallest = min(int(ids.min()) for ids in columns if len(ids))
    common = np.int64 if largest < 2**63 else np.uint64 if smallest >= 0 else object
    return [ids.astype(common) for ids in columns]


def check_whole_characters(name, values):
    """Raise for text with half a character, as cut JSON holds, which has no place in UTF-8 or Arrow."""
    for value in values:
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"{name} must be text of whole characters, got {value!r:.80}, which has half of one, as JSON that "
                    "was cut. Leave it out, or pass text.encode(errors='replace').decode()."
                ) from None


def has_lost_digits(column):
    """Return whether a column of ids is of floats beyond 2**53, of which neighbours are one."""
    return is_numeric_dtype(column) and column.dtype.kind == "f" and bool((np.abs(column) > _EXACT).any())


LOST_DIGITS = (
    "{name} must be integers or text, got {dtype} beyond 2**53, where ids that differ have become one before this file "
    "was written (duckdb writes HUGEINT so). Write them as BIGINT, UBIGINT or text."
)
