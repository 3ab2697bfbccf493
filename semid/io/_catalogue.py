"""A catalogue of codes: a folder of generations, each whole, none of which ever changes.

On the disk, for whoever reads it with numpy, parquet and JSON alone::

    toys/
    ├── generation-000001/       what `build` wrote
    ├── generation-000002/       the newest folder of such a name is the catalogue as it is now
    │   ├── items.parquet        item_id, code0, code1, ..., int64, sorted by codes; -1 after the end of a shorter ID
    │   ├── prefixes1.parquet    code0, start, stop: the items that begin with it are rows start to stop of items
    │   ├── prefixes2.parquet    code0, code1, start, stop; and so on, up to the full rows of codes
    │   ├── changes.parquet      item_id, change ("added", "moved", "gone"), old_code0, ..., code0, ... since the parent
    │   ├── tokenizer/           the artefact of `semid.io.save`, if the codes are those of a tokenizer
    │   └── manifest.json        {"sha256": ..., "manifest": {...}}
    └── .writing                 locked by who writes

The manifest has the number of the generation (``generation``), what made it (``made_by``: build, append, refit or
rollback, with the number that it ``restores``), when (``created``), its ``parent`` (number, and digest of that
manifest), ``n_items``, ``codebook_sizes``, ``level_offsets`` and ``vocabulary_size`` (the token of code c of codebook
n, in a vocabulary that all codebooks share, is ``level_offsets[n] + c``), ``changes`` (numbers of items), ``churn`` and
``traffic_churn`` (shares of items and of each codebook), ``aligned`` (whether a refit has the labels of its parent),
and ``files``: size and SHA-256 of each.

A generation is written under a hidden name, its manifest last, synced, and renamed: that one step publishes it. A
writer that is killed before leaves the catalogue as it was, and what it has begun is cleared away by the next one.
Readers read a generation whole, so that nothing which is written later concerns them. Going back is going on: a
rollback is a new generation with the files of an old one, and numbers only grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from os import fspath
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from semid.base._typing import StrPath
from semid.io import _tokenizer_steps as steps
from semid.io._arrow import import_pyarrow
from semid.io._catalogue_changes import CatalogueDiff, check_popularity, counts, difference, popularity_of
from semid.io._catalogue_items import check_below, given_items, ids_for
from semid.io._errors import ArtifactError
from semid.io._files import sync_folder
from semid.io._generation import ITEMS, TOKENIZER, Generation, damaged, read_manifest
from semid.io._generation_files import Content, check_new, folder_of, numbers_in, publish, withdraw, writing
from semid.io._mapping import _checked_codes
from semid.tables._ids import concat_ids, find_ids


class Catalogue:
    """Codes in production: a folder of generations, of which readers take the newest and writers add the next.

    A published ID never moves but by `refit` or `rollback`: `append` gives codes to new items alone. A reader that has
    opened a generation is not concerned by what is written later, and a writer that is killed leaves the folder as it
    was. The files are parquet, JSON and the artefact of `save`, laid out as the source of this module says.

    Parameters
    ----------
    folder : str or path-like
        Where `build` has written to.

    Attributes
    ----------
    folder : Path

    Raises
    ------
    FileNotFoundError
        If there is no catalogue in `folder`.

    Notes
    -----
    Letters: n items, N codebooks. Each write costs O(N n log n) time for the order of the rows, and the tokenizer's
    time for the new items; a generation takes its own room on the disk, but for the tokenizer, which is shared as long
    as it is the same. Two items whose embeddings are equal have equal codes, under `UniqueTokenizer` as well.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.datasets import make_items
    >>> from semid.io import Catalogue
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> items = make_items(n_items=500, random_state=0)
    >>> ids, X = items.frame["item_id"].to_numpy(), items.embeddings
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=16, random_state=0)
    >>> with TemporaryDirectory() as there:
    ...     catalogue = Catalogue.build(Path(there) / "toys", ids[:400], X[:400], tokenizer=tokenizer)
    ...     monday = catalogue.open()
    ...     tuesday = catalogue.append(ids[400:], X[400:])
    ...     diff = catalogue.diff(1, 2)
    >>> bool((tuesday.codes_of(ids[:400]) == monday.codes_of(ids[:400])).all())
    True
    >>> diff.n_added, diff.n_moved, diff.n_gone
    (100, 0, 0)
    """

    def __init__(self, folder: StrPath) -> None:
        self.folder = Path(folder).absolute()
        if not self.folder.is_dir() or not numbers_in(self.folder):
            is_there = "holds none" if self.folder.is_dir() else "is not there"
            raise FileNotFoundError(
                f"folder must be a catalogue, {fspath(folder)!r} {is_there}. Make one with Catalogue.build."
            )

    def __repr__(self) -> str:
        return f"Catalogue({fspath(self.folder)!r}, generations {self.generations})"

    @classmethod
    def build(
        cls,
        folder: StrPath,
        item_ids: ArrayLike,
        X: Any = None,
        *,
        tokenizer: BaseEstimator | None = None,
        codes: ArrayLike | None = None,
        codebook_sizes: ArrayLike | None = None,
    ) -> Self:
        """Write the first generation of a catalogue, of a tokenizer and what it encodes, or of codes.

        Parameters
        ----------
        folder : str or path-like
            Where to; its parent must exist. It must not hold a catalogue already.
        item_ids : array-like of shape (n_items,)
            One id per item, text or integers; unique and not missing.
        X : array-like of shape (n_items, n_features), default None
            What the tokenizer takes: embeddings, or texts where it is a Pipeline that begins with `TextEmbedder`.
        tokenizer : estimator, default None
            Tokenizer, or Pipeline that ends in one; fitted on `X` unless it has been. It stays as it is.
        codes : array-like of shape (n_items, n_codebooks), int, default None
            Codes of any origin, in the place of `X` and `tokenizer`; -1 after the end of a shorter ID.
        codebook_sizes : array-like of shape (n_codebooks,), int, default None
            Number of codes of each codebook, with `codes`. None for one more than the largest code; what is appended
            later must lie below.

        Returns
        -------
        catalogue : Catalogue

        Raises
        ------
        FileExistsError
            If there is a catalogue, or a folder that holds something else.
        FileNotFoundError
            If there is no folder to put `folder` in.
        ValueError, TypeError
            If ids are repeated, missing or of another number, if there are both `X` and `codes` or neither, and what
            the tokenizer raises.
        """
        import_pyarrow()
        folder = Path(folder).absolute()
        check_new(folder)
        given = given_items(item_ids, X, tokenizer, codes, codebook_sizes, None, None)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)  # a generation that is on the disk is nowhere if its catalogue is not
        with writing(folder):
            check_new(folder)
            nothing = given.item_ids[:0], given.codes[:0]
            diff = difference(nothing, (given.item_ids, given.codes))
            about = {"made_by": "build", "parent": None, **counts(diff), "aligned": False}
            publish(folder, 1, _content(given, diff, about))
        return cls(folder)

    @property
    def generations(self) -> list[int]:
        """Numbers of the generations that are there, in increasing order: list of int."""
        return numbers_in(self.folder)

    def open(self, generation: int | None = None) -> Generation:
        """Read a generation.

        Parameters
        ----------
        generation : int or None, default None
            Its number; None for the newest.

        Returns
        -------
        generation : Generation

        Raises
        ------
        ValueError
            If there is no such generation.
        ArtifactError
            If it is damaged, or has another number than its folder.
        """
        number = self._number(generation)
        folder = folder_of(self.folder, number)
        try:
            found = Generation(folder)
            if found.number != number:  # the next one would get the number after that
                raise damaged(folder, ValueError(f"{folder.name} must hold generation {number}, got {found.number}."))
            return found
        except ArtifactError:
            if generation is not None or folder.is_dir():
                raise
            return self.open()  # it was removed since its number was read, and a newer one is there

    def append(self, item_ids: ArrayLike, X: Any = None, *, codes: ArrayLike | None = None) -> Generation:
        """Write a generation that has new items beside all those of the newest, whose codes stay what they are.

        Ids that are there already keep their codes, whatever is given for them: the whole list of a shop may be passed
        every night, and a call that has been repeated changes nothing. New items get codes by the tokenizer of the
        generation; of `UniqueTokenizer`, codes that are free.

        Parameters
        ----------
        item_ids : array-like of shape (n_items,)
            Ids, of the kind that the catalogue has.
        X : array-like of shape (n_items, n_features), default None
            What the tokenizer takes.
        codes : array-like of shape (n_items, n_codebooks), int, default None
            Codes of any origin in the place of `X`. A `UniqueTokenizer` in the catalogue does not know of them.

        Returns
        -------
        generation : Generation
            The new one; the newest where no id was new.

        Raises
        ------
        BlockingIOError
            If another process is writing.
        ValueError, TypeError
            If ids are repeated, missing, of another kind or number, if there are both `X` and `codes` or neither, if
            codes are beyond the codebooks, and what the tokenizer raises.
        """
        with writing(self.folder):
            parent = self.open()
            ids = ids_for(parent, item_ids, X, codes)
            if not len(ids):
                return parent
            new = np.flatnonzero(find_ids(parent._index, ids) < 0)
            if codes is not None:
                codes = _checked_codes(codes)
                check_below(codes, parent.codebook_sizes)
            if not len(new):
                return parent
            tokenizer, is_other = None, False
            if codes is None:
                rows = steps.some_rows(X, new)
                tokenizer, is_other = steps.with_places_for(parent.tokenizer(), rows)
                new_codes = steps.codes_of(tokenizer, rows)
            else:
                new_codes = codes[new]
            return self._publish_appended(parent, ids[new], new_codes, tokenizer if is_other else None)

    def refit(
        self,
        item_ids: ArrayLike,
        X: Any = None,
        *,
        tokenizer: BaseEstimator | None = None,
        codes: ArrayLike | None = None,
        codebook_sizes: ArrayLike | None = None,
        popularity: ArrayLike | None = None,
    ) -> Generation:
        """Write a generation of all items anew, in the labels of the newest where that is possible.

        Labels of a fit are arbitrary; those of the new one are chosen such that as many items as possible, by
        popularity, have the codes they had before (``align_to`` of the tokenizer). Items that are not given are gone.
        Nobody else can write meanwhile: pass a fitted tokenizer where a fit takes long.
        How many moved is in ``about["churn"]`` of the generation, and in ``about["traffic_churn"]`` with `popularity`.

        Parameters
        ----------
        item_ids : array-like of shape (n_items,)
            One id per item, of the kind that the catalogue has; unique and not missing.
        X : array-like of shape (n_items, n_features), default None
            What the tokenizer takes.
        tokenizer : estimator, default None
            Tokenizer, or Pipeline that ends in one; fitted on `X` unless it has been. It stays as it is. None for a
            clone of the one that is there, fitted on `X` alone: pass a fitted one where that took ``alignment``.
        codes : array-like of shape (n_items, n_codebooks), int, default None
            Codes in the place of `X` and `tokenizer`, written as they are: see `align_codes`.
        codebook_sizes : array-like of shape (n_codebooks,), int, default None
            Number of codes of each codebook, with `codes`. None for one more than the largest code.
        popularity : array-like of shape (n_items,), default None
            Clicks, sales or the like of each item, in their order: the index of a Series is not looked at. None weights
            all alike.

        Returns
        -------
        generation : Generation

        Raises
        ------
        BlockingIOError
            If another process is writing.
        ValueError, TypeError
            As of `build`; and if `popularity` is negative, not finite or of another number.
        """
        with writing(self.folder):
            parent = self.open()
            ids = ids_for(parent, item_ids, X, codes, popularity)
            traffic = check_popularity(popularity, len(ids))
            if codes is None and tokenizer is None:
                tokenizer = clone(parent.tokenizer())
            given = given_items(ids, X, tokenizer, codes, codebook_sizes, parent, traffic)
            diff = difference((parent.item_ids, parent.codes), (given.item_ids, given.codes), traffic)
            about = {"made_by": "refit", **_parent_of(parent), **counts(diff), "aligned": given.aligned}
            return Generation(publish(self.folder, parent.number + 1, _content(given, diff, about)))

    def rollback(self, generation: int) -> Generation:
        """Write a generation that is an old one again: the same items, codes and tokenizer, under a new number.

        Items that were appended since are gone, and moved ones have their old codes back; ``changes`` lists both.

        Parameters
        ----------
        generation : int
            Number of the one to restore.

        Returns
        -------
        generation : Generation

        Raises
        ------
        BlockingIOError
            If another process is writing.
        ValueError
            If there is no such generation, or if it is the newest.
        ArtifactError
            If it is damaged.
        """
        with writing(self.folder):
            parent, restored = self.open(), self.open(generation)
            if restored.number == parent.number:
                raise ValueError(f"generation must be an older one than the newest, {parent.number}, got {generation}.")
            restored.verify()
            diff = self._difference(parent, restored, None)
            about = {"made_by": "rollback", "restores": restored.number, **_parent_of(parent), **counts(diff)}
            content = Content(
                restored.item_ids,
                restored.codes,
                restored.codebook_sizes,
                None,
                diff.changes,
                restored.folder,
                (ITEMS, "prefixes", f"{TOKENIZER}/"),
                {**about, "aligned": False},
            )
            return Generation(publish(self.folder, parent.number + 1, content))

    def diff(self, old: int, new: int | None = None, *, popularity: pd.Series | Mapping | None = None) -> CatalogueDiff:
        """Return what became of each item from one generation to another.

        Parameters
        ----------
        old : int
            Number of the generation before.
        new : int or None, default None
            Number of the one after; None for the newest.
        popularity : Series or dict, default None
            Clicks, sales or the like by item id, 0 for items that are not in it. For the churn of traffic.

        Returns
        -------
        diff : CatalogueDiff

        Raises
        ------
        ValueError
            If there is no such generation, or if `popularity` is negative or not finite.
        """
        return self._difference(self.open(old), self.open(new), popularity)

    def prune(self, keep: int) -> list[int]:
        """Remove the oldest generations from the disk; whoever has opened one goes on with what was read.

        Parameters
        ----------
        keep : int
            How many of the newest stay, at least 1.

        Returns
        -------
        removed : list of int
            Their numbers.

        Raises
        ------
        BlockingIOError
            If another process is writing.
        ValueError
            If `keep` is not a positive integer.
        """
        if isinstance(keep, bool) or not isinstance(keep, int | np.integer) or keep < 1:
            raise ValueError(f"keep must be an integer of at least 1, got {keep!r}: the newest generation stays.")
        with writing(self.folder):
            removed = self.generations[:-keep]
            for number in removed:
                withdraw(self.folder, number)
        return removed

    def _number(self, generation):
        numbers = self.generations
        if generation is None:
            return numbers[-1]
        try:
            number = index(generation)
        except TypeError:
            number = None
        if number not in numbers:
            raise ValueError(f"generation must be one of {numbers}, got {generation!r}.")
        return number

    def _difference(self, old, new, popularity):
        traffic = popularity_of(new.item_ids, popularity)
        return difference((old.item_ids, old.codes), (new.item_ids, new.codes), traffic)

    def _publish_appended(self, parent, new_ids, new_codes, tokenizer):
        """Write the generation after `parent`, with its tokenizer unless there is another one."""
        width = parent.codes.shape[1]
        if new_codes.shape[1] < width:
            new_codes = np.pad(new_codes, ((0, 0), (0, width - new_codes.shape[1])), constant_values=-1)
        ids = concat_ids(parent.item_ids, new_ids).to_numpy()
        codes = np.concatenate([parent.codes, new_codes])
        diff = difference((parent.item_ids[:0], parent.codes[:0]), (new_ids, new_codes))
        churn = {"items": 0.0, "codes": [0.0] * width}
        about = {"made_by": "append", **_parent_of(parent), **counts(diff), "churn": churn}
        about["changes"]["kept"] = len(parent)
        kept = () if tokenizer is not None else (f"{TOKENIZER}/",)
        content = Content(
            ids,
            codes,
            parent.codebook_sizes,
            tokenizer,
            diff.changes,
            parent.folder,
            kept,
            {**about, "aligned": False},
        )
        return Generation(publish(self.folder, parent.number + 1, content))


def _parent_of(generation):
    return {"parent": {"generation": generation.number, "sha256": read_manifest(generation.folder)[1]}}


def _content(given, diff, about):
    """Return the content of a generation that takes nothing over."""
    return Content(given.item_ids, given.codes, given.codebook_sizes, given.tokenizer, diff.changes, None, (), about)
