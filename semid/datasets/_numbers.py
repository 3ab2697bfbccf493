"""Numbers as text: what a strict reader takes, and why it does not."""

import re

_INTEGER = re.compile(r" *[+-]?\d{1,18} *", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*", re.ASCII)
_NUMBER = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})? *", re.ASCII)


def check_integer_text(name, text):
    """Return the int that is written in a text, or raise."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{name} must be an integer, got {text!r:.50}" if text else f"{name} is missing")
    return int(text)


def check_number_text(name, text):
    """Return the float below 2**63 that is written in a text, or raise."""
    if not _NUMBER.fullmatch(text) or abs(float(text)) >= 2**63:
        dates = ": dates are read of parquet files, which pandas makes of them" if _DATE.fullmatch(text) else ""
        raise ValueError(f"{name} must be a number, got {text!r:.50}{dates}" if text else f"{name} is missing")
    return float(text)
