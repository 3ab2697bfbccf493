"""Embeddings of the fields of an impression.

Letters: B impressions, C categorical fields, L lists of categories, E entries of all lists of a batch, M numeric
fields, F fields in all, w width of a table, U rows of it that a batch needs; I distinct items in a column of histories
of a batch, K fields of each.
"""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

MISSING, UNKNOWN = 0, 1  # rows at the start of each vocabulary
FIRST_CATEGORY = 2

# By the names that architectures have of them; without weights, so that a state is the same with either.
NORMS = {None: nn.Identity, "rms": partial(nn.RMSNorm, eps=1e-6, elementwise_affine=False)}


class VectorField(NamedTuple):
    """Float columns that belong together, such as the embedding of an item."""

    n_columns: int
    n_fields: int  # fields that the adapter makes of it


class HistoryShape(NamedTuple):
    """A column of histories, whose items have embeddings from the tables of the candidate's fields."""

    fields: tuple[int, ...]  # categorical fields of the candidate; each is one of the history as well


class FieldShapes(NamedTuple):
    """What a module must know of the data; fields come in this order, those of histories last."""

    vocabulary_sizes: tuple[int, ...]  # rows of each categorical field in the table, codes last
    list_vocabulary_sizes: tuple[int, ...] = ()  # and of each list of categories
    n_numeric: int = 0
    vectors: tuple[VectorField, ...] = ()
    histories: tuple[HistoryShape, ...] = ()

    @property
    def n_own_fields(self):
        """Fields of the impression itself."""
        vectors = sum(vector.n_fields for vector in self.vectors)
        return len(self.vocabulary_sizes) + len(self.list_vocabulary_sizes) + self.n_numeric + vectors

    @property
    def n_fields(self):
        return self.n_own_fields + sum(len(history.fields) for history in self.histories)


class CategoriesWithLists(NamedTuple):
    """The categories of a batch that has lists, end to end, so that a long list is no matter to the others.

    Lists come column by column, and in each impression by impression: list n is that of impression n % B. None is
    empty: MISSING stands alone in a list without entries.
    """

    alone: torch.Tensor  # (B, C) int64
    entries: torch.Tensor  # (E,) int64
    owners: torch.Tensor  # (E,) int64, the list of each entry
    lengths: torch.Tensor  # (L·B,) int64

    def cpu(self):
        return CategoriesWithLists(*(tensor.cpu() for tensor in self))


class BatchHistory(NamedTuple):
    """What a column of histories is in a batch: entries end to end, impression by impression, and the items in them."""

    categories: torch.Tensor  # (I, K) int64; MISSING where an item has nothing
    entries: torch.Tensor  # (E,) int64, the item of each entry, its place among the I
    owners: torch.Tensor  # (E,) int64, the impression of each entry, ascending
    lengths: torch.Tensor  # (B,) int64
    order: torch.Tensor  # (E,) int64, the entries item by item, for gradients
    starts: torch.Tensor  # (I,) int64, where each item's begin in that order


class CategoriesWithHistories(NamedTuple):
    """The categories of a batch that has histories."""

    own: torch.Tensor | CategoriesWithLists  # of the impressions themselves
    histories: tuple[BatchHistory, ...]

    def cpu(self):
        histories = tuple(BatchHistory(*(tensor.cpu() for tensor in history)) for history in self.histories)
        return CategoriesWithHistories(self.own.cpu(), histories)


class TouchedRows(NamedTuple):
    """The rows of a table that a batch needs, and where it needs them; stands for the table in a training step."""

    values: torch.Tensor  # (U, w), one row for each that is needed
    places: torch.Tensor  # row of `values` for each row that `FieldEmbedding.rows` returns, in its shape


def with_lists(alone, columns, rows, n_entries):
    """Return the `CategoriesWithLists` of the impressions `rows` (B,), whose `alone` are (B, C).

    `columns` are (entries, offsets, which) each, as in `EncodedLists`; `n_entries` says how many of them the
    impressions have, lest the host wait for a GPU to tell.
    """
    entries, owners, lengths = [], [], []
    for n, (column, n_its) in enumerate(zip(columns, n_entries, strict=True)):
        its_entries, impressions, its_lengths = entries_of_lists(column, rows, n_its)
        entries.append(its_entries)
        owners.append(impressions + n * len(rows))
        lengths.append(its_lengths)
    return CategoriesWithLists(alone.long(), *map(torch.cat, (entries, owners, lengths)))


def entries_of_lists(column, rows, n_entries=None):
    """Return the entries of a column's lists in `rows` (B,), end to end, whose they are, and the lengths (B,).

    `n_entries` is how many there are, where that is known.
    """
    entries, offsets, which = column
    lists = which[rows].long()
    lengths = offsets[lists + 1] - offsets[lists]
    impressions = torch.repeat_interleave(lengths, output_size=n_entries)
    # From the place among the entries of these impressions to that among the entries of all.
    shifts = offsets[lists] - (lengths.cumsum(0) - lengths)
    places = torch.arange(len(impressions), device=rows.device) + shifts[impressions]
    return entries[places].long(), impressions, lengths


def lengths_of_lists(column, rows):
    """Return how many entries the lists of a column have in `rows` (B,)."""
    _, offsets, which = column
    return offsets.diff()[which[rows].long()]


class FieldEmbedding(nn.Module):
    """An embedding per category, all in one table; for other fields, one per column that is multiplied by the value.

    A list of categories is the mean of its embeddings; a vector passes an MLP adapter. The rows for missing and unknown
    values start at zero: until something is learned for them they add nothing.

    Items of histories have the embeddings that they have as candidates; `items` returns them. Where one has none, in
    a field that does not know it, there are zeros.

    Shape: categories (B, C) int64, or `CategoriesWithLists`, numbers (B, M + vector columns) → (B, F, w)
    """

    def __init__(self, shapes, width, init_std, adapter_width, adapter_norm):
        super().__init__()
        self.n_histories = len(shapes.histories)
        self.n_categorical, self.n_lists = len(shapes.vocabulary_sizes), len(shapes.list_vocabulary_sizes)
        sizes = torch.tensor([0, *shapes.vocabulary_sizes, *shapes.list_vocabulary_sizes], dtype=torch.int64)
        # The row at which the vocabulary of each categorical field, and of each list, begins.
        self.register_buffer("first_rows", sizes.cumsum(0)[:-1], persistent=False)
        for n, history in enumerate(shapes.histories):
            self.register_buffer(f"first_rows_of_items{n}", self.first_rows[list(history.fields)], persistent=False)
        self.table = nn.Parameter(torch.empty(int(sizes.sum()), width).normal_(std=init_std))
        self.numeric = nn.Parameter(torch.empty(shapes.n_numeric, width).normal_(std=init_std))
        self.adapters = nn.ModuleList(
            VectorAdapter(vector, width, adapter_width, adapter_norm) for vector in shapes.vectors
        )
        self.widths = [shapes.n_numeric, *(vector.n_columns for vector in shapes.vectors)]
        with torch.no_grad():
            for reserved in (MISSING, UNKNOWN):
                self.table[self.first_rows + reserved] = 0.0

    def rows(self, categories):
        """Return the row of the table for each category, (B, C); with lists (B·C + E, 1), their entries last.

        With histories (rows of all these + I·K, 1), those of their items last.
        """
        if isinstance(categories, CategoriesWithHistories):
            own = self.rows(categories.own).flatten()
            return torch.cat([own, *(rows.flatten() for rows in self._item_rows(categories))])[:, None]
        if not self.n_lists:
            return categories + self.first_rows
        alone, of_lists = self._rows_apart(categories)
        return torch.cat([alone.flatten(), of_lists])[:, None]

    def items(self, categories, touched=None):
        """Return the embeddings of the distinct items of each column of histories, (I, K, w) each."""
        rows = self._item_rows(categories)
        if touched is None:
            embeddings = [F.embedding(part, self.table) for part in rows]
        else:
            sizes = [part.numel() for part in rows]
            places = touched.places[len(touched.places) - sum(sizes) :].flatten()
            parts = touched.values.index_select(0, places).split(sizes)
            embeddings = [e.view(*part.shape, -1) for e, part in zip(parts, rows, strict=True)]
        has_some = [(history.categories != MISSING)[:, :, None] for history in categories.histories]
        return [e * known.to(e.dtype) for e, known in zip(embeddings, has_some, strict=True)]

    def _item_rows(self, categories):
        first_rows = [getattr(self, f"first_rows_of_items{n}") for n in range(self.n_histories)]
        return [h.categories + first for h, first in zip(categories.histories, first_rows, strict=True)]

    def forward(self, categories, numbers, touched=None):
        if isinstance(categories, CategoriesWithHistories):
            categories = categories.own
        parts = self._with_lists(categories, touched) if self.n_lists else [self._looked_up(categories, touched)]
        numeric, *vectors = numbers.split(self.widths, dim=1)
        if len(self.numeric):
            parts.append(numeric[:, :, None] * self.numeric)
        parts += [adapter(vector) for adapter, vector in zip(self.adapters, vectors, strict=True)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def _rows_apart(self, categories):
        n_impressions, n = len(categories.alone), self.n_categorical
        of_lists = categories.entries + self.first_rows[n + categories.owners // n_impressions]
        return categories.alone + self.first_rows[:n], of_lists

    def _looked_up(self, categories, touched):
        if touched is None:
            return F.embedding(self.rows(categories), self.table)  # (B, C, w)
        # index_select: its gradient is three times as fast as that of F.embedding on the CPU.
        places = touched.places.flatten()[: categories.numel()]
        return touched.values.index_select(0, places).view(*categories.shape, self.table.shape[1])

    def _with_lists(self, categories, touched):
        """Return the embeddings of categories and those of lists, the mean of their entries', (B, L, w)."""
        alone, width = categories.alone, self.table.shape[1]
        if touched is None:
            rows, of_lists = self._rows_apart(categories)
            e = F.embedding(rows, self.table)
            starts = categories.lengths.cumsum(0) - categories.lengths
            lists = F.embedding_bag(of_lists, self.table, starts, mode="mean")  # no (E, w) is held
        else:
            sizes = [alone.numel(), len(categories.entries)]
            places = touched.places.flatten()[: sum(sizes)]
            e_alone, e_lists = touched.values.index_select(0, places).split(sizes)
            e = e_alone.view(*alone.shape, width)
            sums = e_lists.new_zeros(len(categories.lengths), width).index_add_(0, categories.owners, e_lists)
            lists = sums / categories.lengths[:, None]
        return [e, lists.view(self.n_lists, -1, width).transpose(0, 1)]


class VectorAdapter(nn.Module):
    """Linear → RMSNorm → ReLU → Linear from a vector, such as an item's embedding, to embeddings of one or more fields.

    A few vectors may be fifty times as long as most, and products of the fields that they become raise that to a power.
    With the norm the hidden units of every row have root mean square 1, however long it is; a vector of zeros speaks by
    the bias.

    Models of 0.1.0 have no norm; those without hidden units, of 0.1.0 as well, are one linear map.

    Shape: (B, n_columns) → (B, n_fields, w)
    """

    def __init__(self, vector, width, hidden_width, norm):
        super().__init__()
        self.n_fields = vector.n_fields
        self.hidden = nn.Sequential()
        if hidden_width:
            layers = nn.Linear(vector.n_columns, hidden_width), NORMS[norm](hidden_width), nn.ReLU(inplace=True)
            self.hidden.extend(layers)
        self.out = nn.Linear(hidden_width or vector.n_columns, vector.n_fields * width)

    def forward(self, x):
        return self.out(self.hidden(x)).unflatten(1, (self.n_fields, -1))


def field_visits(embedding, categories, weights):
    """Return `FieldEmbedding.rows`, and of `weights` of impressions, (B,), those of the first axis of it.

    What is in a history has been visited before: these rows weigh nothing.
    """
    rows = embedding.rows(categories)
    if not isinstance(categories, CategoriesWithHistories):
        return rows, _own_weights(categories, weights)
    own = categories.own
    of_own = _own_weights(own, weights)
    if not isinstance(own, CategoriesWithLists):
        of_own = of_own[:, None].expand(own.shape).flatten()
    return rows, torch.cat([of_own, of_own.new_zeros(len(rows) - len(of_own))])


def _own_weights(categories, weights):
    if isinstance(categories, CategoriesWithLists):
        of_alone = weights[:, None].expand(categories.alone.shape).flatten()
        return torch.cat([of_alone, weights[categories.owners % len(weights)]])
    return weights


def known_rows(shapes, embedding):
    """Return which rows of the table of `embedding` are those of a table that has `shapes`, in its order, (n_rows,)."""
    is_known = torch.zeros(len(embedding.table), dtype=torch.bool)
    sizes = (*shapes.vocabulary_sizes, *shapes.list_vocabulary_sizes)
    for first_row, size in zip(embedding.first_rows.tolist(), sizes, strict=True):
        is_known[first_row : first_row + size] = True
    return is_known


def grown_table(table, shapes, embedding):
    """Return the table of `embedding`, its first rows of each vocabulary taken from `table`, which has `shapes`."""
    grown = embedding.table.detach().clone()
    grown[known_rows(shapes, embedding)] = table
    return grown
