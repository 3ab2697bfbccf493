import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import coo_array, coo_matrix, csr_array

from semid import io
from semid.ctr import DeepFMClassifier
from semid.embedders import CoClickEmbedder
from semid.engine._co_clicks import CoClicks
from semid.features import ItemTable, SemanticIDEncoder, interaction_matrix
from semid.nn._co_click_encoder import ByteDropout, co_click_loss
from semid.tokenizers import ResidualKMeansTokenizer, presets

SMALL = {"n_components": 8, "content_weight": 0, "hidden_dim": 32, "max_iter": 3, "batch_size": 64, "random_state": 0}


@pytest.fixture
def X(rng):
    return rng.standard_normal((40, 6)).astype(np.float32)


@pytest.fixture
def clicks(rng):
    """Forty items and thirty users; three items that nobody clicked, three users of one click."""
    matrix = rng.random((40, 30)) < 0.15
    matrix[:3] = False
    matrix[:, :3] = False
    matrix[5:8, :3] = np.eye(3)
    return csr_array(matrix)


def _dense(co_clicks):
    """The clicks that it kept, (n_items, n_users): of users of two items and more."""
    dense = np.zeros((len(co_clicks.x), len(co_clicks.sizes)), dtype=bool)
    dense[co_clicks.items, co_clicks.users] = True
    return dense


def test_users_of_two_items_and_more_are_kept(X, clicks):
    dense = clicks.toarray()
    kept = _dense(CoClicks(torch.from_numpy(X), clicks))
    assert sorted(map(tuple, kept.T)) == sorted(map(tuple, dense[:, dense.sum(axis=0) > 1].T))


def test_what_lies_beside_an_item_is_that_of_a_naive_loop(X, clicks):
    co_clicks = CoClicks(torch.from_numpy(X), clicks)
    dense = _dense(co_clicks)
    items, users = np.nonzero(dense)
    for without, found in (
        (None, co_clicks.beside(torch.from_numpy(items))),
        (users, co_clicks.beside(torch.from_numpy(items), torch.from_numpy(users))),
    ):
        for row, item in enumerate(items):
            others = [
                X[other]
                for user in np.flatnonzero(dense[item])
                if without is None or user != without[row]
                for other in np.flatnonzero(dense[:, user])
                if other != item
            ]
            expected = [*(np.sum(others, axis=0) if others else np.zeros(6)) / (len(others) + 3), np.log1p(len(others))]
            np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_items_of_a_pair_are_different_ones_of_one_user_and_all_others_are_alike_likely(X, clicks):
    co_clicks = CoClicks(torch.from_numpy(X), clicks)
    dense = _dense(co_clicks)
    left, right, users = (part.numpy() for part in co_clicks.draw(60_000, torch.Generator().manual_seed(0)))
    assert (left != right).all()
    assert dense[left, users].all()
    assert dense[right, users].all()
    sizes = dense.sum(axis=0)
    expected = np.zeros((40, 40))
    for user in np.flatnonzero(sizes > 1):
        own = np.flatnonzero(dense[:, user])
        expected[np.ix_(own, own)] += (1 - np.eye(len(own))) / (len(own) - 1)
    found = np.zeros((40, 40))
    np.add.at(found, (left, right), 1)
    np.testing.assert_allclose(found / 60_000, expected / expected.sum(), atol=0.002)


def test_the_loss_is_that_of_a_naive_loop(rng):
    left, right = (torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((7, 4)))) for _ in range(2))
    items, log_shares = torch.tensor([3, 1, 3, 2, 0, 1, 5]), torch.from_numpy(rng.standard_normal(7))
    losses = []
    for i in range(7):
        logits = {j: left[i] @ right[j] / 0.2 - log_shares[j] for j in range(7) if j == i or items[j] != items[i]}
        losses.append(torch.logsumexp(torch.stack(list(logits.values())), 0) - logits[i])
    torch.testing.assert_close(co_click_loss(left, right, items, log_shares, 0.2), torch.stack(losses).mean())


def test_dropout_keeps_its_share_and_the_mean():
    dropout = ByteDropout(0.2)
    dropout.generator = torch.Generator().manual_seed(0)
    x = dropout(torch.ones(1001, 333))
    torch.testing.assert_close(x.unique(), torch.tensor([0.0, 256 / 205]))
    assert (x > 0).float().mean() == pytest.approx(205 / 256, abs=0.002)
    assert x.mean() == pytest.approx(1, abs=0.003)
    torch.testing.assert_close(dropout.eval()(x), x)
    assert ByteDropout(0.0)(x) is x
    assert ByteDropout(0.999).n_kept == 1


def _made_market(rng, n_items=300, n_users=400):
    """Items of two tastes; embeddings tell the taste in one direction of ten, clicks by who clicks."""
    taste = np.arange(n_items) % 2
    X = rng.standard_normal((n_items, 10)).astype(np.float32)
    X[:, 0] = 2 * taste - 1
    likes = rng.integers(2, size=n_users)
    matrix = (rng.random((n_items, n_users)) < 0.05) & (taste[:, None] == likes)
    matrix[:60] = False  # new
    return X, matrix, taste


def test_vectors_follow_clicks_those_of_new_items_too(rng):
    X, matrix, taste = _made_market(rng)
    embedder = CoClickEmbedder(8, content_weight=0, hidden_dim=64, max_iter=20, random_state=0)
    Z = embedder.fit_transform(X, interactions=matrix)
    same = taste[:, None] == taste

    def contrast(vectors, rows):
        similarities, alike = vectors[rows] @ vectors.T, same[rows]
        return similarities[alike].mean() - similarities[~alike].mean()

    blind = CoClickEmbedder(8, content_weight=0, hidden_dim=64, max_iter=20, random_state=0).fit_transform(X)
    clicked, new = np.arange(60, 300), np.arange(60)
    assert contrast(Z, clicked) > contrast(blind, clicked) + 0.1
    assert contrast(Z, new) > contrast(blind, new) + 0.1
    assert embedder.history_["loss"][-1] < embedder.history_["loss"][0]


def test_items_of_fit_keep_their_clicks_and_others_have_none(X, clicks):
    embedder = CoClickEmbedder(**SMALL).fit(X, interactions=clicks)
    Z = embedder.transform(X)
    np.testing.assert_array_equal(Z, CoClickEmbedder(**SMALL).fit_transform(X, interactions=clicks))
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(embedder.transform(X[7:9]), Z[7:9])
    n_beside = clicks @ (clicks.sum(axis=0) - 1)
    assert len(embedder.clicked_hashes_) == (n_beside > 0).sum() < 40
    # Almost the same embedding, but farther off than rounding explains, is another item: no clicks.
    as_new = embedder.transform(X + np.float32(4e-5))
    assert np.abs(as_new - Z)[n_beside == 0].max() < 1e-3
    assert np.abs(as_new - Z)[n_beside > 0].max(axis=1).min() > 1e-3


def test_content_stands_beside_the_vector(X, clicks):
    vectors = CoClickEmbedder(**SMALL).fit_transform(X, interactions=clicks)
    embedder = CoClickEmbedder(**SMALL | {"content_weight": 0.5}).fit(X, interactions=clicks)
    both = embedder.transform(X)
    np.testing.assert_array_equal(both[:, :8], vectors)
    centred = X - X.mean(axis=0)
    expected = 0.5 * centred / np.sqrt(np.square(centred).sum(axis=1).mean())
    np.testing.assert_allclose(both[:, 8:], expected, atol=1e-6)
    assert both.dtype == np.float32
    assert len(embedder.get_feature_names_out()) == 8 + 6


def test_neither_order_nor_repetition_of_items_matters(X, clicks, rng):
    Z = CoClickEmbedder(**SMALL).fit(X, interactions=clicks).transform(X)
    order = rng.permutation(40)
    moved = CoClickEmbedder(**SMALL).fit(X[order], interactions=clicks[order])
    np.testing.assert_array_equal(moved.transform(X), Z)
    # One item in two rows, each with a part of the users.
    dense = clicks.toarray()
    half = dense.copy()
    half[:, :15] = False
    rest = dense & ~half
    twice = CoClickEmbedder(**SMALL).fit(np.vstack([X, X]), interactions=np.vstack([half, rest]))
    np.testing.assert_array_equal(twice.transform(X), Z)


def test_neither_users_of_one_click_nor_the_order_of_users_matter(X, clicks, rng):
    Z = CoClickEmbedder(**SMALL).fit_transform(X, interactions=clicks)
    dense = clicks.toarray()[:, rng.permutation(30)]
    once = np.zeros((40, 5000), dtype=bool)
    once[rng.integers(2, size=5000) * 7, np.arange(5000)] = True  # two popular items
    many = CoClickEmbedder(**SMALL).fit_transform(X, interactions=np.hstack([once, dense]))
    np.testing.assert_array_equal(many, Z)


def test_the_matrix_that_is_given_stays_as_it_is(X, clicks):
    matrix = csr_array(clicks.astype(float))
    matrix.data[::3] = 0
    before = [array.copy() for array in (matrix.data, matrix.indices, matrix.indptr)]
    CoClickEmbedder(**SMALL).fit(X, interactions=matrix)
    for array, former in zip((matrix.data, matrix.indices, matrix.indptr), before, strict=True):
        np.testing.assert_array_equal(array, former)


@pytest.mark.parametrize("kind", [np.asarray, coo_matrix, lambda dense: csr_array(dense.astype(float) * 3)])
def test_what_is_not_zero_is_a_click(kind, X, clicks):
    Z = CoClickEmbedder(**SMALL).fit_transform(X, interactions=clicks)
    np.testing.assert_array_equal(CoClickEmbedder(**SMALL).fit_transform(X, interactions=kind(clicks.toarray())), Z)


def test_without_pairs_of_clicks_items_are_told_apart_by_themselves(X):
    alone = CoClickEmbedder(**SMALL).fit_transform(X)
    with pytest.warns(UserWarning, match="no user who clicked two items"):
        lonely = CoClickEmbedder(**SMALL).fit_transform(X, interactions=np.eye(40)[:, :20])
    np.testing.assert_array_equal(lonely, alone)
    assert (alone @ alone.T - np.eye(40)).max() < 0.999


def test_the_matrix_of_a_log_is_that_of_a_loop(rng):
    log = pd.DataFrame({"u": rng.choice(["x", "y", "z"], 30), "i": rng.integers(5, size=30)})
    matrix = interaction_matrix(log, [4, 3, 2, 1, 0, 9], user="u", item="i")
    assert matrix.dtype == bool
    users = list(dict.fromkeys(log["u"]))
    for row, item in enumerate([4, 3, 2, 1, 0, 9]):
        for column, user in enumerate(users):
            assert matrix[row, column] == ((log["i"] == item) & (log["u"] == user)).any()


def _encoder(table, **parameters):
    tokenizer = presets.co_clicks(3, codebook_size=4, **SMALL)
    return SemanticIDEncoder(tokenizer, table, user="user", **parameters).set_output(transform="pandas")


def test_the_encoder_of_ids_passes_the_clicks_of_its_rows_alone(X, clicks, tmp_path):
    items, users = (np.tile(part, 2) for part in clicks.nonzero())
    y = np.repeat([1, 0], len(items) // 2)
    items[y == 0] = (items[y == 0] + 1) % 40  # what is shown and not clicked teaches nothing
    rows, table = pd.DataFrame({"user": users, "item": items}), ItemTable(np.arange(40), X)
    encoder = _encoder(table).fit(rows, y)
    tokenizer = presets.co_clicks(3, codebook_size=4, **SMALL)
    matrix = interaction_matrix(rows[y == 1], np.arange(40), user="user", item="item")
    np.testing.assert_array_equal(encoder.codes_, tokenizer.fit_transform(X, embedder__interactions=matrix))
    np.testing.assert_array_equal(_encoder(table, memory=str(tmp_path)).fit(rows, y).codes_, encoder.codes_)
    np.testing.assert_array_equal(_encoder(table, memory=str(tmp_path)).fit(rows, y).codes_, encoder.codes_)
    fewer = _encoder(table, memory=str(tmp_path)).fit(rows[::2], y[::2])
    assert not np.array_equal(fewer.codes_, encoder.codes_)
    new = encoder.add_items(ItemTable([99], X[:1] + 5)).transform(pd.DataFrame({"user": [0], "item": [99]}))
    np.testing.assert_array_equal(new, encoder.tokenizer_.transform(X[:1] + 5))
    DeepFMClassifier(max_iter=1, random_state=0).fit(encoder.transform(rows), y)


def test_it_is_saved_with_what_it_knows(X, clicks, tmp_path):
    embedder = CoClickEmbedder(**SMALL).fit(X, interactions=clicks)
    io.save(embedder, tmp_path / "embedder.semid")
    joblib.dump(embedder, tmp_path / "embedder.joblib")
    for loaded in (io.load(tmp_path / "embedder.semid"), joblib.load(tmp_path / "embedder.joblib")):
        np.testing.assert_array_equal(loaded.transform(X), embedder.transform(X))
    assert embedder.get_feature_names_out().tolist() == [f"emb_{n}" for n in range(8)]


def test_bad_input_is_refused_before_any_work(X, clicks):
    for parameters, error, message in (
        ({"n_components": 0}, ValueError, "n_components must be at least 1"),
        ({"dropout": 1.0}, ValueError, r"dropout must lie in \[0, 1\)"),
        ({"temperature": 0}, ValueError, "temperature must lie in"),
        ({"batch_size": 1}, ValueError, "batch_size must be at least 2"),
        ({"batch_size": "big"}, TypeError, "batch_size must be an integer"),
        ({"device": "abacus"}, ValueError, "device must be"),
    ):
        with pytest.raises(error, match=message):
            CoClickEmbedder(**SMALL | parameters).fit(X, interactions=clicks)
    with pytest.raises(ValueError, match=r"a row for each item of X, got 30 and 40\. Rows are items"):
        CoClickEmbedder(**SMALL).fit(X, interactions=clicks.T)
    with pytest.raises(TypeError, match=r"a matrix of numbers.*interaction_matrix"):
        CoClickEmbedder(**SMALL).fit(X, interactions=pd.DataFrame({"user_id": ["a"], "item_id": ["b"]}))
    with pytest.raises(ValueError, match=r"interactions must have no NaN, got 1044\. Where nobody clicked is 0"):
        CoClickEmbedder(**SMALL).fit(X, interactions=np.where(clicks.toarray(), 1.0, np.nan))
    with pytest.raises(TypeError, match=r"interactions must be a matrix of numbers.*of shape \(40,\)"):
        CoClickEmbedder(**SMALL).fit(X, interactions=coo_array(np.ones(40)))
    with pytest.raises(ValueError, match=r"training diverged in epoch 1.*smaller learning_rate"):
        CoClickEmbedder(**SMALL | {"learning_rate": 1e30}).fit(X, interactions=clicks)


def test_codes_of_clicks_without_clicks_are_warned_of(X):
    encoder = SemanticIDEncoder(presets.co_clicks(2, codebook_size=4, **SMALL), ItemTable(np.arange(40), X))
    with pytest.warns(UserWarning, match="CoClickEmbedder learns from clicks, and user=None passes it none"):
        encoder.fit(pd.DataFrame({"item": [1, 2]}))


def test_a_tokenizer_that_takes_no_clicks_is_told_so(X):
    encoder = SemanticIDEncoder(ResidualKMeansTokenizer(2, 4), ItemTable(np.arange(40), X), user="user")
    rows = pd.DataFrame({"user": [0, 1], "item": [1, 2]})
    with pytest.raises(ValueError, match=r"user must be None for ResidualKMeansTokenizer.*presets.co_clicks"):
        encoder.fit(rows, [1, 0])
