"""Ids, codes, catalogues and texts of any kind: what is documented, or an error that helps."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from strategies import (
    cases,
    columns,
    indexes,
    layouts,
    matrices,
    odd_arrays,
    odd_tables,
    outcome,
    rngs,
    run,
    state_of,
)

from semid.embedders import TextEmbedder
from semid.features import ItemTable, PrefixNGramEncoder, SemanticIDEncoder, interaction_embeddings
from semid.tokenizers import ResidualKMeansTokenizer

N_ITEMS = 9
TOKENIZER = ResidualKMeansTokenizer(n_codebooks=2, codebook_size=3, max_iter=2, random_state=0)
EMBEDDINGS = np.random.default_rng(0).normal(size=(N_ITEMS, 4)).astype(np.float32)
IDS = np.array([f"item {n}" for n in range(N_ITEMS)], dtype=object)
TEXTS = ["red mug", "blue mug", "ein Stück Käse", "日本 茶", "red mug", "", "7", "small frying pan", "pan"]
ANY = st.one_of(columns(N_ITEMS).map(lambda drawn: drawn[1]), odd_arrays(), odd_tables(N_ITEMS))


def as_column(values, index):
    """A one-column table of `values`, an array or ExtensionArray."""
    return pd.DataFrame({"item_id": pd.Series(values).set_axis(index)})


@cases(quick=4, long=150)
def test_ids_of_any_kind_find_the_codes_of_their_items_or_are_refused(profile):
    @given(columns(N_ITEMS), indexes(N_ITEMS))
    def case(column, index):
        ids = pd.Series(column[1])
        table, error = outcome(ItemTable, ids[~ids.map(str).duplicated()], EMBEDDINGS[: ids.map(str).nunique()])
        if error is not None:
            return
        encoder, error = outcome(SemanticIDEncoder(TOKENIZER, items=table).fit, as_column(column[1], index))
        if error is not None:
            return
        codes = encoder.transform(as_column(column[1], index))
        assert codes.dtype == np.int64 and codes.shape == (N_ITEMS, 2)
        # The naive loop: the place of each id in the catalogue.
        places = [next((n for n, known in enumerate(table.ids) if known == item), None) for item in ids]
        expected = [[-1, -1] if place is None else encoder.codes_[place].tolist() for place in places]
        assert codes.tolist() == expected

    run(profile, case)


@cases(quick=4, long=150)
def test_what_is_passed_to_an_encoder_leaves_it_as_it_is(profile):
    table = ItemTable(IDS, EMBEDDINGS)
    encoder = SemanticIDEncoder(TOKENIZER, items=table).fit(as_column(IDS, pd.RangeIndex(N_ITEMS)))
    state = state_of(encoder)

    @given(ANY)
    def case(X):
        codes, error = outcome(encoder.transform, X)
        assert error is not None or (
            codes.dtype == np.int64 and codes.min(initial=0) >= -1 and codes.max(initial=0) < 3
        )
        outcome(clone(encoder).fit, X)
        assert state_of(encoder) == state

    run(profile, case)


@cases(quick=4, long=150)
def test_a_catalogue_of_any_kind_becomes_a_table_or_is_refused(profile):
    @given(ANY, ANY, st.booleans())
    def case(ids, content, is_text):
        for arguments in ((ids, EMBEDDINGS), (IDS, content), (ids, content)):
            options = {"texts": arguments[1]} if is_text else {"embeddings": arguments[1]}
            table, error = outcome(ItemTable, arguments[0], **options)
            if error is None:
                assert len(table) == len(table.ids) == len(table.content)
                assert len(outcome(getattr, table, "fingerprint").value) == 64
                outcome(SemanticIDEncoder(TOKENIZER, items=table).fit, as_column(IDS, pd.RangeIndex(N_ITEMS)))

    run(profile, case)


@cases(quick=4, long=60)
def test_equal_embeddings_make_equal_tables_however_they_are_held(profile):
    @given(matrices(n_rows=st.just(N_ITEMS)), layouts())
    def case(X, layout):
        X = X.clip(-3e38, 3e38).astype(np.float32)
        held = outcome(ItemTable, IDS, layout(X)).value
        np.testing.assert_array_equal(held.embeddings, X)
        before = held.fingerprint
        X += 1  # nobody writes to the table from outside
        assert ItemTable(IDS, held.embeddings).fingerprint == before

    run(profile, case)


@cases(quick=4, long=150)
def test_codes_of_any_kind_are_hashed_or_refused(profile):
    @given(ANY, st.sampled_from(["prefix", "pairs"]))
    def case(X, ngrams):
        encoder = PrefixNGramEncoder(ngrams, n_buckets=7)
        buckets, error = outcome(encoder.fit_transform, X)
        if error is None:
            assert buckets.dtype == np.int64 and buckets.min(initial=0) >= -1 and buckets.max(initial=0) < 7
            np.testing.assert_array_equal(encoder.transform(X), buckets)

    run(profile, case)


@cases(quick=4, long=100)
def test_texts_of_any_kind_are_embedded_or_refused(profile):
    embedder = TextEmbedder(n_components=2).fit(TEXTS)
    expected, state = embedder.transform(TEXTS), state_of(embedder)

    @given(st.one_of(ANY, st.lists(st.one_of(st.text(max_size=8), st.none()), max_size=5)), st.booleans())
    def case(X, has_template):
        template = "{item_id}" if has_template else None
        for attempt in (embedder.transform, clone(embedder).set_params(template=template).fit_transform):
            vectors, error = outcome(attempt, X)
            if error is None:
                assert vectors.dtype == np.float32 and np.isfinite(vectors).all()
                lengths = np.linalg.norm(vectors, axis=1)
                assert ((abs(lengths - 1) < 1e-5) | (lengths == 0)).all()
        assert state_of(embedder) == state
        np.testing.assert_array_equal(embedder.transform(TEXTS), expected)

    run(profile, case)


@cases(quick=4, long=100)
def test_interactions_of_any_kind_become_vectors_or_are_refused(profile):
    @given(columns(N_ITEMS), columns(N_ITEMS), indexes(N_ITEMS), st.integers(1, 3), rngs())
    def case(users, items, index, n_components, rng):
        # Who clicked what at random, with ids of any kind.
        chosen = rng.integers(0, N_ITEMS, size=(2, N_ITEMS))
        log = pd.DataFrame(
            {"user_id": pd.Series(users[1]).iloc[chosen[0]].array, "item_id": pd.Series(items[1]).iloc[chosen[1]].array}
        )
        log.index = index
        catalogue = pd.Series(items[1])
        catalogue = catalogue[~catalogue.map(str).duplicated()]
        vectors, error = outcome(interaction_embeddings, log, catalogue, n_components=n_components, random_state=0)
        if error is None:
            assert vectors.dtype == np.float32 and vectors.shape == (len(catalogue), n_components)
            has_clicks = np.isin(catalogue.map(str), log["item_id"].map(str))
            assert (np.isfinite(vectors).all(axis=1) == has_clicks).all()

    run(profile, case)
