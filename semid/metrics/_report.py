"""What an audit of a mapping returns: figures, findings and a verdict, to print, to show and to write as a page."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import numpy as np
import pandas as pd

from semid.base._typing import StrPath
from semid.metrics._churn import CodeChurn, code_churn
from semid.metrics._findings import item_name
from semid.metrics._popularity import shares_codes
from semid.tables._ids import find_ids, id_index

_WIDTH = 100  # of printed text
_WIDEST_TABLE = 120


class ReportItems(NamedTuple):
    """The items of a report, for its page: what they are called, and their codes as the mapping has them."""

    ids: np.ndarray  # (n_items,)
    codes: np.ndarray  # (n_items, n_codebooks)
    sizes: np.ndarray  # (n_codebooks,)
    sizes_are_known: bool
    titles: list[str] | None
    labels: np.ndarray | None  # (n_items,)
    popularity: np.ndarray | None  # (n_items,)

    def name(self, row):
        """Return what an item is called: its title beside its id, or its id alone."""
        return item_name(self.ids, self.titles, row)

    def most_popular_of_shared(self, codes):
        """Return the names of the two most popular items that share their codes with one another, None without any."""
        if self.popularity is None:
            return None
        shared = np.flatnonzero(shares_codes(codes))
        if len(shared) == 0:
            return None
        first = shared[np.argmax(self.popularity[shared])]
        same = shared[(codes[shared] == codes[first]).all(axis=1)]
        same = same[same != first]
        return self.name(first), self.name(same[np.argmax(self.popularity[same])])


@dataclass(frozen=True, eq=False, repr=False)
class TokenizerReport:
    """What `tokenizer_report` returns: prints as text, shows as tables in a notebook, and is written as a page.

    Parameters
    ----------
    table : DataFrame
        One row per codebook.
    summary : dict
        Figures of the mapping as a whole, by name.
    advice : list of str
        Findings: the number, why it matters, what to do. Empty for a map in good order.
    verdict : dict of str or None, default None
        A sentence for ``"ranking"`` and one for ``"retrieval"``, which begin with Good, Fair, Poor or Unknown: Good has
        nine tenths or more of what k-means of the same sizes gains over random codes, Fair half of it. For retrieval,
        also 1 % of collisions at most, and 10 %. Unknown where there is no k-means to compare with, or neither it nor
        the mapping is beyond the noise of chance.
    baselines : DataFrame or None, default None
        Figures by name, of the ``mapping`` and of codes that it has to be better than.
    parts : DataFrame or None, default None
        Figures of the items of ``head``, ``middle`` and ``tail``, which have a third of the interactions each.
    items : ReportItems or None, default None
        The items, for the page.

    Examples
    --------
    >>> from semid.metrics import tokenizer_report
    >>> report = tokenizer_report([[0, 1], [1, 0], [0, 0], [1, 1]])
    >>> report.summary["collision_rate"], report.advice
    (0.0, [])
    >>> report.verdict["ranking"]
    'Unknown: pass interactions, and X, to be told. Codes alone do not show it.'
    """

    table: pd.DataFrame
    summary: dict
    advice: list
    verdict: dict | None = None
    baselines: pd.DataFrame | None = None
    parts: pd.DataFrame | None = None
    items: ReportItems | None = None

    def __repr__(self):
        return "\n".join(
            [
                *(_folded(f"For {purpose}: {sentence}") for purpose, sentence in (self.verdict or {}).items()),
                *([""] if self.verdict else []),
                _summary_table(self).to_string(header=self.baselines is not None),
                "",
                self.table.to_string(float_format="{:.3f}".format, line_width=_WIDEST_TABLE),
                "",
                *([self.parts.to_string(float_format="{:.3f}".format), ""] if self.parts is not None else []),
                *([_folded(f"{n}. {text}") for n, text in enumerate(self.advice, start=1)] or ["No findings."]),
            ]
        )

    def _repr_html_(self):
        verdicts = "".join(f"<p><b>For {name}</b>: {escape(text)}</p>" for name, text in (self.verdict or {}).items())
        tables = [_summary_table(self).to_html(), self.table.to_html(float_format="{:.3f}".format)]
        tables += [] if self.parts is None else [self.parts.to_html(float_format="{:.3f}".format)]
        advice = "".join(f"<li>{escape(text)}</li>" for text in self.advice)
        return f"{verdicts}{''.join(tables)}{f'<ol>{advice}</ol>' if advice else '<p>No findings.</p>'}"

    def to_html(self, path: StrPath, *, name: str = "") -> None:
        """Write the report as a page: one file that needs no network, with pictures, examples and a search for items.

        The page holds the verdict, findings and figures of the report, pictures of its codes, items by their first
        codes with their titles, and as many items to search for as 2 MB hold, the most popular first. It needs
        matplotlib (the extra ``plots``).

        Parameters
        ----------
        path : str or path-like
            The file; one that is there is replaced.
        name : str, default ""
            What the mapping is called in the title of the page.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        OSError
            If `path` is a folder, or in one that is not there.
        ValueError
            If the report was not made by `tokenizer_report`, and has no items.
        """
        from semid.plots._page import page_of_report  # the one import upwards, of a method that few call

        check_place(path)
        write_whole(path, page_of_report(self, name))

    def compare(self, other: TokenizerReport, names: tuple[str, str] = ("this", "other")) -> ReportComparison:
        """Return this report and another one side by side, with the churn where they are of the same items.

        Parameters
        ----------
        other : TokenizerReport
            The report to put beside this one.
        names : tuple of two str, default ("this", "other")
            What the two are called.

        Returns
        -------
        comparison : ReportComparison

        Raises
        ------
        TypeError
            If `other` is no report.
        ValueError
            If there are not two different names.
        """
        if not isinstance(other, TokenizerReport):
            raise TypeError(f"other must be a TokenizerReport, got {type(other).__name__}.")
        first, second = _two_names(names)
        return ReportComparison((first, second), (self, other))


@dataclass(frozen=True, eq=False, repr=False)
class ReportComparison:
    """Two reports side by side: prints as a table, shows as one in a notebook, and is written as a page.

    Parameters
    ----------
    names : tuple of two str
        What the mappings are called.
    reports : tuple of two TokenizerReport
        Their reports.

    Attributes
    ----------
    table : DataFrame
        Figures by name, one column for each mapping, and the ``difference``, the second less the first.
    churn : CodeChurn or None
        What share of the items that both have changed their codes; None where they have none in common or differ in the
        number of codebooks.
    n_common : int
        Number of items that both have.

    Examples
    --------
    >>> from semid.metrics import tokenizer_report
    >>> first, second = tokenizer_report([[0, 1], [1, 0]]), tokenizer_report([[0, 1], [0, 1]])
    >>> comparison = first.compare(second, names=("old", "new"))
    >>> comparison.table.loc["collision_rate"].to_dict()
    {'old': 0.0, 'new': 0.5, 'difference': 0.5}
    >>> comparison.churn.items
    0.5
    """

    names: tuple[str, str]
    reports: tuple[TokenizerReport, TokenizerReport]

    @property
    def table(self) -> pd.DataFrame:
        """Figures of both."""
        first, second = (report.summary for report in self.reports)
        figures = list(dict(first) | dict(second))
        columns = {
            name: [of.get(figure, np.nan) for figure in figures]
            for name, of in zip(self.names, (first, second), strict=True)
        }
        table = pd.DataFrame(columns, index=figures, dtype=float)
        return table.assign(difference=table[self.names[1]] - table[self.names[0]])

    @property
    def n_common(self) -> int:
        """Number of items that both have."""
        return len(self._common()[0])

    @property
    def churn(self) -> CodeChurn | None:
        """What share of their common items changed their codes."""
        first, second = self._common()
        if len(first) == 0 or first.shape[1] != second.shape[1]:
            return None
        return code_churn(first, second)

    def _common(self):
        """Return the codes of the items that both have, in one order."""
        first, second = (report.items for report in self.reports)
        if first is None or second is None:
            return np.empty((0, 0), dtype=int), np.empty((0, 0), dtype=int)
        rows = find_ids(id_index(second.ids), first.ids)
        return first.codes[rows >= 0], second.codes[rows[rows >= 0]]

    def __repr__(self):
        lines = []
        for name, report in zip(self.names, self.reports, strict=True):
            lines += [_folded(f"{name}, for {purpose}: {text}") for purpose, text in (report.verdict or {}).items()]
        text = _plain(self.table).to_string()
        return "\n".join([*lines, "", text, *(["", self._about_churn()] if self._about_churn() else [])])

    def _repr_html_(self):
        return f"{_plain(self.table).to_html()}<p>{escape(self._about_churn())}</p>"

    def _about_churn(self):
        churn = self.churn
        if churn is None:
            return ""
        codes = ", ".join(f"{share:.1%}" for share in churn.codes)
        return (
            f"Of {self.n_common:,} items that both have, {churn.items:.1%} changed their codes ({codes} by codebook)."
        )

    def to_html(self, path: StrPath) -> None:
        """Write both reports side by side as a page: one file that needs no network.

        Parameters
        ----------
        path : str or path-like
            The file; one that is there is replaced.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        OSError
            If `path` is a folder, or in one that is not there.
        ValueError
            If a report was not made by `tokenizer_report`, and has no items.
        """
        from semid.plots._page import page_of_comparison  # as above

        check_place(path)
        write_whole(path, page_of_comparison(self))


def _two_names(names):
    names = tuple(names)
    if len(names) != 2 or not all(isinstance(name, str) and name for name in names) or names[0] == names[1]:
        raise ValueError(f"names must be two different texts, got {names!r}.")
    if "difference" in names:
        raise ValueError("names must not be 'difference', which a column of the comparison is called.")
    return names


def check_place(path: StrPath) -> None:
    """Raise unless a file can be put at `path`."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f"path must be that of a file, got the folder {os.fspath(path)!r}. Name a file in it.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"path must be in a folder that exists, got {os.fspath(path)!r}. Create that first.")


def write_whole(path: StrPath, text: str) -> None:
    """Write a file that is whole or not there."""
    path = os.fspath(path)
    part = f"{path}.part"
    try:
        # Half an emoji, which a title may be cut to, is no UTF-8.
        with open(part, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def as_text(value: float) -> str:
    """Return a figure as it is printed: whole numbers with commas, others with four digits."""
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return "" if np.isnan(value) else f"{value:.4f}"


def _summary_table(report):
    table = pd.DataFrame({"": {name: as_text(value) for name, value in report.summary.items()}})
    if report.baselines is not None:
        table.columns = ["mapping"]
        for name in report.baselines.columns.drop("mapping"):
            table[name] = report.baselines[name].map(as_text).reindex(table.index, fill_value="")
    return table


def _plain(table):
    counts = Counter(name for name in table.index if table.loc[name].dropna().map(float.is_integer).all())
    rows = {
        name: [f"{v:,.0f}" if name in counts and v == v else as_text(v) for v in row]
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=table.columns)


def _folded(text):
    return fill(text, _WIDTH, subsequent_indent="   ", break_long_words=False)
