"""Columns of a table → integer categories and standardised numbers, as a click model takes them."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from pandas.api import types

from semid.ctr._values import DistinctValues, distinct_lists, distinct_values, holds_lists, numeric_column
from semid.nn._fields import FIRST_CATEGORY, MISSING, UNKNOWN, FieldShapes, HistoryShape, VectorField
from semid.tables._frames import find_column, find_columns, split_columns
from semid.tables._histories import is_history
from semid.tables._ids import find_ids, id_index, warn_of_other_kind

# Standard deviations to which numbers are clipped where no range is known, as in models of version 0.1.0: beyond,
# float32 has no digits left for the interactions of what is multiplied by such a number.
_LARGEST_DEVIATION = 1e3
_CODE_COLUMN = re.compile(r"(?:(?P<prefix>.*)_)?code\d+")
_VECTOR_COLUMN = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)")
_LEAST_VECTOR = 8  # numbered float columns that are taken for a vector


class EncodedLists(NamedTuple):
    """A column of lists: the distinct ones, and which of them each impression has."""

    entries: np.ndarray  # (n_entries,) int32, list after list; MISSING stands for an empty one
    offsets: np.ndarray  # (n_distinct + 1,) int64, where each list begins, and the last ends
    which: np.ndarray  # (n,) int32

    def padded(self, longest=None):
        """Return the list of each impression, (n, longest) int64, MISSING after its end."""
        lengths = np.diff(self.offsets)[self.which]
        longest = lengths.max(initial=1) if longest is None else longest
        padded = np.full((len(lengths), longest), MISSING, dtype=np.int64)
        owners = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        padded[owners, places] = self.entries[self.offsets[self.which][owners] + places]
        return padded


class EncodedHistories(NamedTuple):
    """A column of histories: slices of one sequence of items, and what is known of these."""

    entries: np.ndarray  # (n_entries,) int32, item of each
    categories: np.ndarray  # (n_items, K) int32; MISSING where a field does not know the item
    starts: np.ndarray  # (n,) int64
    stops: np.ndarray  # (n,) int64


class EncodedImpressions(NamedTuple):
    categories: np.ndarray  # (n, C) int32; 0 missing, 1 unknown, 2.. the categories met in fit
    lists: list[EncodedLists]
    numbers: np.ndarray  # (n, M + vector columns) float32
    histories: Sequence[EncodedHistories] = ()


class ImpressionEncoder:
    """Learns the vocabulary of each categorical column and the mean and scale of each numeric one.

    Categorical fields come first, those of codes last among them, group by group, so that a group is a slice; then
    lists, numeric columns, whether a numeric column is missing (for those that were in `fit`), and vectors.

    Parameters
    ----------
    categorical_features : "auto", None, or list of column names or positions, or boolean mask
    code_features : "auto", None, or list of column names or positions, or boolean mask
    vector_features : "auto", None, or list of column names or positions, or boolean mask
    min_frequency : int
        Categories met less often share the row of unknown values.
    vector_fields : int
        Fields that are made of each vector.

    Attributes
    ----------
    vocabularies_ : list of ndarray or int
        Categories of each categorical field and list, in field order; an int for that many hash buckets,
        in models of 0.1.0.
    code_groups_ : list of slice
        The fields of each item's codes.
    means_, scales_ : ndarray of shape (plain numeric + vector columns,)
    ranges_ : ndarray of shape (2, plain numeric + vector columns) or None
        Lowest and highest numbers met in training; None for models of version 0.1.0.
    histories_ : list of tuple (int, list of int, list of int)
        Position of each column of histories, the fields of the candidate whose tables it shares, and which of its
        codes are in each of these, -1 for the ids. Fields of histories are the last.
    """

    ranges_: np.ndarray | None = None
    histories_: tuple = ()

    def __init__(self, categorical_features, code_features, vector_features, min_frequency, vector_fields):
        self.categorical_features = categorical_features
        self.code_features = code_features
        self.vector_features = vector_features
        self.min_frequency = min_frequency
        self.vector_fields = vector_fields

    def fit_encode(self, X, sample_weight):
        """Learn from the table `X` and return its `EncodedImpressions`."""
        names, columns = split_columns(X)
        self.assign(names, columns)
        return self._encode(columns, learn=True, sample_weight=sample_weight)

    def assign(self, names, columns, lists=()):
        """Decide what becomes of columns, which may go on; those of `lists` hold lists, whatever is seen of them."""
        self.names_ = names
        self._assign_columns(names, columns, lists)
        self.vocabularies_ = [None for _ in (*self.categorical_, *self.lists_)]
        self._indexes = {}

    def extend_encode(self, X):
        """Add the categories of `X` that are frequent in it behind those already known; return `X` encoded."""
        _, columns = split_columns(X)
        self.vocabularies_ = list(self.vocabularies_)
        self._indexes = {}
        return self._encode(columns, learn=True)

    def encode(self, X):
        """Return the table `X` as `EncodedImpressions`."""
        _, columns = split_columns(X)
        return self._encode(columns, learn=False)

    def field_of(self, parameter, column):
        """Return the categorical field that a column, given by name or position, has become."""
        position = find_column(parameter, column, self.names_)
        if position not in self.categorical_:
            raise ValueError(
                f"{parameter} must be a categorical column, got {column!r}, which is used as a number or a list. "
                "Name it in categorical_features."
            )
        return self.categorical_.index(position)

    @property
    def shapes(self):
        """The `FieldShapes` of what has been learned."""
        sizes = [
            FIRST_CATEGORY + (len(vocabulary) if isinstance(vocabulary, np.ndarray) else vocabulary)
            for vocabulary in self.vocabularies_
        ]
        n_categorical = len(self.categorical_)
        n_numeric = len(self.numeric_) + len(self.indicated_)
        vectors = tuple(VectorField(len(vector), self.vector_fields) for vector in self.vectors_)
        histories = tuple(HistoryShape(tuple(fields)) for _, fields, _ in self.histories_)
        return FieldShapes(tuple(sizes[:n_categorical]), tuple(sizes[n_categorical:]), n_numeric, vectors, histories)

    def __getstate__(self):
        return {**self.__dict__, "_indexes": {}}

    def _assign_columns(self, names, columns, known_lists):
        """Decide what each column is: `categorical_`, `lists_`, `numeric_` or one of `vectors_`."""
        code_groups = self._find_code_groups(names)
        coded = {position for group in code_groups for position in group}
        of_histories = {p for p, column in enumerate(columns) if is_history(column)}
        categorical = (self._find_categorical(names, columns) | coded) - of_histories
        with_lists = {p for p in categorical if names[p] in known_lists or holds_lists(columns[p])}
        lists = next((names[p] for p in sorted(coded & with_lists)), None)
        if lists is not None:
            why = "is named in" if self.code_features != "auto" else "is one by its name, <prefix>_code<n> or code<n>:"
            raise TypeError(
                f"column {lists!r} holds lists, and codes must be single values. It {why} code_features; rename the "
                "column or leave it out there (code_features=None says that there are no codes), and it is a field of "
                "lists."
            )
        of_lists = (categorical - coded) & with_lists
        plain = sorted(categorical - coded - of_lists)
        self.categorical_ = [*plain, *(p for group in code_groups for p in group)]
        ends = np.cumsum([len(plain), *map(len, code_groups)])
        self.code_groups_ = [slice(int(a), int(b)) for a, b in pairwise(ends)]

        self.histories_ = [(p, *self._fields_of_items(names, columns[p])) for p in sorted(of_histories)]
        self.histories_ = [(p, fields, codes) for p, fields, codes in self.histories_ if fields]
        # Without a candidate to share tables with, a history is a list.
        self.lists_ = sorted(of_lists | of_histories - {p for p, *_ in self.histories_})
        self.vectors_ = self._find_vectors(names, columns, categorical)
        in_vector = {position for vector in self.vectors_ for position in vector}
        self.numeric_ = [p for p in range(len(columns)) if p not in categorical | in_vector | of_histories]

    def _encode(self, columns, *, learn, sample_weight=None):
        n_rows, n_categorical = len(columns[0]), len(self.categorical_)
        categories = np.empty((n_rows, n_categorical), dtype=np.int32)
        for field, position in enumerate(self.categorical_):
            entries = distinct_values(columns[position], self.names_[position])
            categories[:, field] = self._categories(field, entries, learn)
        lists = []
        for field, position in enumerate(self.lists_, start=n_categorical):
            bags = flat_lists(columns[position], self.names_[position])
            lists.append(self._encoded_lists(field, *bags, learn))
        histories = [self._encoded_history(columns[p], self.names_[p], *of_items) for p, *of_items in self.histories_]
        return EncodedImpressions(categories, lists, self._numbers(columns, learn, sample_weight), histories)

    def _categories(self, field, entries, learn):
        """Return the category of each row, int32, from its `DistinctValues`."""
        if learn and not isinstance(self.vocabularies_[field], int):
            positions = entries.positions[entries.positions >= 0]
            self.learn_vocabulary(field, entries.values, np.bincount(positions, minlength=len(entries.values)))
        # One more entry for the missing: their position -1 is the last.
        lookup = np.append(self._look_up(field, entries.values), np.int32(MISSING))
        return lookup[entries.positions]

    def learn_vocabulary(self, field, values, counts):
        """Add those of distinct `values` that are frequent enough to the vocabulary of a field."""
        frequent = values[counts >= self.min_frequency]
        known = self.vocabularies_[field]
        if known is not None:
            is_new = find_ids(self._index(field), frequent) < 0
            if is_new.all():
                warn_of_other_kind(self.name_of(field), self._index(field), frequent, "the model")
            frequent = frequent[is_new]
        with suppress(TypeError):  # values of several types have no order; that of their appearance will do
            frequent = frequent.sort_values()
        new = frequent.to_numpy(dtype=frequent.dtype if types.is_integer_dtype(frequent.dtype) else object)
        self.vocabularies_[field] = new if known is None else _appended(known, new)
        self._indexes.pop(field, None)

    def _look_up(self, field, values):
        """Return the category of each of several distinct values."""
        vocabulary = self.vocabularies_[field]
        if isinstance(vocabulary, int):
            return (FIRST_CATEGORY + _stable_hash(values) % np.uint64(vocabulary)).astype(np.int32)
        found = find_ids(self._index(field), values) + FIRST_CATEGORY
        is_unknown = found < FIRST_CATEGORY
        if is_unknown.all():
            warn_of_other_kind(self.name_of(field), self._index(field), values, "the model")
        found[is_unknown] = UNKNOWN
        return found.astype(np.int32)

    def name_of(self, field):
        return self.names_[(*self.categorical_, *self.lists_)[field]]

    def _index(self, field):
        """The vocabulary as an Index, whose hash table is built once and not pickled."""
        if field not in self._indexes:
            self._indexes[field] = id_index(self.vocabularies_[field])
        return self._indexes[field]

    def _encoded_lists(self, field, which, lengths, values, learn):
        """Return the `EncodedLists` of distinct lists of these `lengths`, whose entries end to end are `values`."""
        if learn and not isinstance(self.vocabularies_[field], int):
            self.learn_vocabulary(field, values.values, counts_in_lists(which, lengths, values))
        # Not padded: one long list would make all others as long.
        kept = values.positions >= 0
        n_kept = np.bincount(np.repeat(np.arange(len(lengths)), lengths)[kept], minlength=len(lengths))
        offsets = np.append(0, np.cumsum(np.maximum(n_kept, 1)))
        entries = np.full(offsets[-1], MISSING, dtype=np.int32)
        entries[np.repeat(n_kept > 0, np.diff(offsets))] = self._look_up(field, values.values)[values.positions[kept]]
        return EncodedLists(entries, offsets, which)

    def _fields_of_items(self, names, column):
        """Return the fields of the candidate that a column of histories has as well, and which of its codes they are.

        The ids are -1 of them.
        """
        item, array = column.dtype.item, column.array
        fields = {names[p]: field for field, p in enumerate(self.categorical_)}
        wanted = {item: -1} if array.has_ids and item is not None else {}
        wanted |= {name: n for n, name in enumerate(array.columns_of_codes())}
        shared = [(fields[name], n) for name, n in wanted.items() if name in fields]
        if not shared and not array.has_ids:
            raise ValueError(
                f"histories of codes alone must stand beside the codes of a candidate, got {column.name!r} and no "
                f"columns {item}_code0, {item}_code1, .... Pass these as well, or keep the ids of the histories."
            )
        return [field for field, _ in shared], [n for _, n in shared]

    def _encoded_history(self, column, name, fields, codes):
        """Return the `EncodedHistories` of a column. Nothing is learned of it: its items are those of candidates."""
        n_codes = max(codes) + 1
        if not is_history(column):
            raise TypeError(
                f"column {name!r} must hold histories, as in fit, got {column.dtype}. Pass it through the encoders "
                "that made the column of fit."
            )
        array = column.array
        if n_codes and (array.codes is None or array.codes.shape[1] < n_codes):
            n_given = 0 if array.codes is None else array.codes.shape[1]
            raise ValueError(
                f"column {name!r} must hold histories with {n_codes} codes, as in fit, got {n_given}. Pass it through "
                "the SemanticIDEncoder of fit."
            )
        items, entries, starts, stops = _used_items(array)
        categories = np.empty((len(items), len(fields)), dtype=np.int32)
        for k, (field, n) in enumerate(zip(fields, codes, strict=True)):
            values = distinct_values(pd.Series(array.items[items] if n < 0 else array.codes[items, n]), name)
            if n >= 0:
                values = values._replace(positions=np.where(array.codes[items, n] < 0, -1, values.positions))
            found = np.append(self._look_up(field, values.values), np.int32(MISSING))[values.positions]
            categories[:, k] = np.where(found == UNKNOWN, MISSING, found)
        return EncodedHistories(entries, categories, starts, stops)

    def _numbers(self, columns, learn, sample_weight):
        """Return standardised columns; what is missing is 0, the mean.

        A number that is not near what was met in training is a slip, a code for missing ones as a rule. As it is, its
        products with other fields would be all that float32 has digits for, and a probability the noise of rounding.
        """
        positions = [*self.numeric_, *(p for vector in self.vectors_ for p in vector)]
        is_first = sample_weight is not None
        if is_first:
            self.means_, self.scales_ = np.zeros(len(positions)), np.ones(len(positions))
            missing = [bool(columns[p].isna().any()) for p in self.numeric_]
            self.indicated_ = [m for m, has in enumerate(missing) if has]
        ranges = np.zeros((2, len(positions))) if is_first else self.ranges_
        if learn and ranges is not None:
            self.ranges_ = ranges.copy()
        n_plain, n_indicated = len(self.numeric_), len(self.indicated_)
        numbers = np.empty((len(columns[0]), len(positions) + n_indicated), dtype=np.float32)
        for m, position in enumerate(positions):
            values = numeric_column(columns[position], self.names_[position])
            is_missing = np.isnan(values)
            if is_first:
                self.means_[m], self.scales_[m] = _weighted_moments(values, sample_weight)
                self.ranges_[:, m] = _range(values, self.means_[m])
            elif ranges is not None:
                values = values.clip(*_widened(*ranges[:, m], self.scales_[m]))
                if learn:
                    lowest, highest = _range(values, self.means_[m])
                    self.ranges_[:, m] = min(lowest, ranges[0, m]), max(highest, ranges[1, m])
            deviations = (values - self.means_[m]) / self.scales_[m]
            if self.ranges_ is None:
                deviations = deviations.clip(-_LARGEST_DEVIATION, _LARGEST_DEVIATION)
            numbers[:, m + n_indicated * (m >= n_plain)] = np.where(is_missing, 0.0, deviations)
            if m in self.indicated_:
                numbers[:, n_plain + self.indicated_.index(m)] = is_missing
        return numbers

    def _find_categorical(self, names, columns):
        if isinstance(self.categorical_features, str):
            if self.categorical_features != "auto":
                raise ValueError(
                    "categorical_features must be 'auto', None, or a list of columns, "
                    f"got {self.categorical_features!r}."
                )
            return {p for p, column in enumerate(columns) if not types.is_float_dtype(column.dtype)}
        return set(find_columns("categorical_features", self.categorical_features, names))

    def _find_code_groups(self, names):
        if not isinstance(self.code_features, str):
            group = find_columns("code_features", self.code_features, names)
            return [group] if group else []
        if self.code_features != "auto":
            raise ValueError(f"code_features must be 'auto', None, or a list of columns, got {self.code_features!r}.")
        return list(_numbered_columns(_CODE_COLUMN, names).values())

    def _find_vectors(self, names, columns, categorical):
        if not isinstance(self.vector_features, str):
            vector = find_columns("vector_features", self.vector_features, names)
            taken = [names[p] for p in vector if p in categorical]
            if taken:
                raise ValueError(f"vector_features must be numbers, got {taken}, which are categories.")
            return [vector] if vector else []
        if self.vector_features != "auto":
            raise ValueError(
                f"vector_features must be 'auto', None, or a list of columns, got {self.vector_features!r}."
            )
        groups = _numbered_columns(_VECTOR_COLUMN, names)
        return [
            group
            for prefix, group in groups.items()
            if len(group) >= _LEAST_VECTOR
            and not categorical.intersection(group)
            and [names[p] for p in group] == [f"{prefix}{n}" for n in range(len(group))]
        ]


def flat_lists(column, name):
    """Return which of several lists each row has, the lengths of these, and the `DistinctValues` of their entries."""
    if is_history(column):
        entries, offsets = column.array.gathered()
        items = distinct_values(pd.Series(column.array.items), name)
        values = DistinctValues(items.positions[entries], items.values)
        return np.arange(len(column), dtype=np.int32), np.diff(offsets), values
    which, bags = distinct_lists(column, name)
    lengths = np.array([len(bag) for bag in bags], dtype=np.int64)
    flat = pd.Series([entry for bag in bags for entry in bag], dtype=object)
    return which, lengths, distinct_values(flat, name)


def counts_in_lists(which, lengths, values):
    """Return in how many places of impressions, not of distinct lists, each of the distinct values stands."""
    weights = np.repeat(np.bincount(which, minlength=len(lengths)), lengths)
    is_there = values.positions >= 0
    return np.bincount(values.positions[is_there], weights[is_there], minlength=len(values.values))


def _used_items(array):
    """Return the positions of items of a `HistoryArray`, its entries as numbers of these, and where histories lie.

    A few impressions of a long log cost what their own histories cost.
    """
    if array.lengths.sum() >= len(array.entries):
        return np.arange(len(array.items)), array.entries, array.starts, array.stops
    entries, offsets = array.gathered()
    items, entries = np.unique(entries, return_inverse=True)
    return items, entries.astype(np.int32), offsets[:-1], offsets[1:]


def _numbered_columns(pattern, names):
    """Return the positions of the columns that match, by prefix."""
    groups = {}
    for position, name in enumerate(names):
        match = pattern.fullmatch(name) if isinstance(name, str) else None
        if match:
            groups.setdefault(match["prefix"], []).append(position)
    return groups


def _stable_hash(values):
    """Return 64 bits for each value, the same in every process; a number has the hash of its text."""
    if values.dtype == object:
        texts = (v.decode(errors="backslashreplace") if isinstance(v, bytes) else v for v in values)
        values = pd.Index(texts, dtype=object)
    return pd.util.hash_array(values.astype(str).to_numpy(dtype=object), categorize=False)


def _appended(known, new):
    return np.concatenate([known, new.astype(known.dtype if known.dtype == new.dtype else object)])


def _weighted_moments(values, weights):
    """Weighted mean and standard deviation of what is not missing; a constant column has itself and 1."""
    present = ~np.isnan(values)
    if not present.all():
        values, weights = values[present], weights[present]
    if not len(values) or values.min() == values.max():
        return (values[0] if len(values) else 0.0), 1.0
    shares = weights / weights.sum()
    mean = shares @ values
    scale = np.sqrt(shares @ np.square(values - mean))
    return mean, scale if scale > 0 else 1.0


def _range(values, if_none):
    """Return the lowest and the highest number, `if_none` where all are missing."""
    values = values[~np.isnan(values)]
    return (values.min(), values.max()) if len(values) else (if_none, if_none)


def _widened(lowest, highest, scale):
    """Return the bounds of numbers that are near those of a range: as far beyond as it is wide, or `scale`."""
    margin = max(highest - lowest, scale)
    return lowest - margin, highest + margin
