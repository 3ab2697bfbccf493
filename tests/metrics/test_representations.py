"""Spectra by closed forms and by NumPy, neighbours by naive loops over all ways to break ties."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

from semid.metrics import (
    discriminability,
    effective_rank,
    information_abundance,
    neighbor_overlap,
    reconstruction_r2,
    singular_spectrum,
)
from semid.metrics._representations import neighbor_overlap_and_chance


def _matrix_of_spectrum(spectrum, rng):
    left = np.linalg.qr(rng.normal(size=(40, len(spectrum))))[0]
    right = np.linalg.qr(rng.normal(size=(len(spectrum), len(spectrum))))[0]
    return left * spectrum @ right.T


def test_the_spectrum_is_the_one_the_matrix_was_made_of(rng):
    spectrum = np.array([5.0, 2.0, 1.0, 1e-9])
    matrix = _matrix_of_spectrum(spectrum, rng)
    np.testing.assert_allclose(singular_spectrum(matrix), spectrum, rtol=1e-4)  # 1e-9: a Gram matrix would say 0
    np.testing.assert_allclose(singular_spectrum(matrix, normalize=True), spectrum / 5, rtol=1e-4)


def test_the_spectrum_is_numpys_centered_or_not_wide_or_tall(rng):
    for shape in ((30, 5), (5, 30)):
        X = rng.normal(size=shape).astype(np.float32) + 3
        np.testing.assert_allclose(singular_spectrum(X), np.linalg.svd(X.astype(float))[1])
        centered = np.linalg.svd(X - X.astype(float).mean(axis=0))[1]
        np.testing.assert_allclose(singular_spectrum(X, center=True), centered, atol=1e-12)


def test_abundance_and_effective_rank_by_their_formulas(rng):
    spectrum = np.array([4.0, 2.0, 1.0, 1.0])
    matrix = _matrix_of_spectrum(spectrum, rng)
    assert information_abundance(matrix) == pytest.approx(8 / 4)
    # Shares 1/2, 1/4, 1/8, 1/8: an entropy of 7/4 bits.
    assert effective_rank(matrix) == pytest.approx(2**1.75)


@pytest.mark.parametrize("summary", [information_abundance, effective_rank])
def test_summaries_end_at_one_direction_and_at_full_rank(summary, rng):
    assert summary(np.outer(rng.normal(size=20), rng.normal(size=4))) == pytest.approx(1)
    assert summary(_matrix_of_spectrum(np.full(6, 3.0), rng)) == pytest.approx(6)
    with pytest.raises(ValueError, match="representation must not be zero everywhere"):
        summary(np.zeros((3, 2)))


def test_a_representation_that_is_no_matrix_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"representation must be 2-D, .*, got shape \(3,\)"):
        singular_spectrum(np.ones(3))
    with pytest.raises(ValueError, match="representation must hold neither NaN nor infinity"):
        singular_spectrum([[1.0, np.inf]])


def test_discriminability_is_the_nmi_of_mini_batch_clusters(rng):
    X, y = rng.normal(size=(300, 4)), rng.integers(2, size=300)
    clusters = MiniBatchKMeans(20, random_state=3).fit_predict(X)
    expected = normalized_mutual_info_score(y, clusters)
    assert discriminability(X, y, n_clusters=20, random_state=3) == pytest.approx(expected)


def test_discriminability_ends_at_labels_that_are_clusters_and_at_none(rng):
    y = rng.integers(3, size=300)
    X = 100 * np.eye(3)[y] + rng.normal(size=(300, 3))
    assert discriminability(X, y, n_clusters=3, random_state=0) == pytest.approx(1)
    assert discriminability(X, np.zeros(300), n_clusters=3, random_state=0) == 0
    # Two even labels and K even clusters that split them: the bound of the docstring.
    y = np.repeat([0, 1], 200)
    X = np.repeat(np.arange(8.0) * 100, 50)[:, None]
    bound = 2 * np.log(2) / (np.log(2) + np.log(8))
    assert discriminability(X, y, n_clusters=8, random_state=1) == pytest.approx(bound)


def test_discriminability_refuses_more_clusters_than_rows():
    with pytest.raises(ValueError, match="n_clusters must be at most the number of rows, got 50 for 3"):
        discriminability(np.eye(3), [0, 1, 0])
    with pytest.raises(ValueError, match=r"y must have shape \(3,\)"):
        discriminability(np.eye(3), [0, 1], n_clusters=2)


def test_neighbors_kept_are_those_of_scikit_learn(rng):
    X = rng.normal(size=(80, 5))
    other = X + 0.7 * rng.normal(size=X.shape)
    pair = [NearestNeighbors(n_neighbors=4).fit(Z).kneighbors(return_distance=False) for Z in (X, other)]
    expected = np.mean([len(np.intersect1d(a, b)) / 4 for a, b in zip(*pair, strict=True)])
    assert neighbor_overlap(X, other, k=4) == pytest.approx(expected)
    assert neighbor_overlap(X.astype(np.float32), other.astype(np.float32), k=4) == pytest.approx(expected)


def _overlap_over_all_tie_breaks(X, distances, k):
    """The definition, item by item, averaged over every choice among the neighbours that tie in `distances`."""
    overlaps = []
    for i in range(len(X)):
        others = [j for j in range(len(X)) if j != i]
        to_x = {j: np.square(X[i] - X[j]).sum() for j in others}
        near = {j for j in others if to_x[j] <= sorted(to_x.values())[k - 1]}
        kth = sorted(distances[i][j] for j in others)[k - 1]
        nearer = {j for j in others if distances[i][j] < kth}
        tied = [j for j in others if distances[i][j] == kth]
        choices = [nearer | set(some) for some in combinations(tied, k - len(nearer))]
        overlaps.append(np.mean([len(near & choice) / k for choice in choices]))
    return np.mean(overlaps)


def test_ties_between_codes_are_broken_fairly(rng):
    X, codes = rng.normal(size=(14, 3)), rng.integers(3, size=(14, 2))
    hamming = (codes[:, None] != codes[None]).sum(axis=2)
    for k in (1, 3, 13):
        assert neighbor_overlap(X, codes, k=k) == pytest.approx(_overlap_over_all_tie_breaks(X, hamming, k))


def test_ties_between_equal_rows_are_broken_fairly_whatever_the_order_of_the_items(rng):
    points = rng.normal(size=(5, 30)).astype(np.float32)
    which, X = rng.integers(5, size=14), rng.normal(size=(14, 3))
    distances = np.square(points[which][:, None] - points[which][None]).sum(axis=2)
    expected = _overlap_over_all_tie_breaks(X, distances, 3)
    order = rng.permutation(14)
    assert neighbor_overlap(X, points[which], k=3) == pytest.approx(expected)
    assert neighbor_overlap(X[order], points[which][order], k=3) == pytest.approx(expected)


def test_a_representation_keeps_its_own_neighbors_duplicates_or_not(rng):
    X = rng.integers(3, size=(60, 3)).astype(np.float32)
    assert neighbor_overlap(X, X, k=7) == pytest.approx(1)
    assert neighbor_overlap(X, 5 - 2 * X, k=7) == pytest.approx(1)


def test_codes_without_content_keep_what_chance_keeps(rng):
    X = rng.normal(size=(400, 6))
    assert neighbor_overlap(X, rng.integers(4, size=(400, 3)), k=20) == pytest.approx(20 / 399, abs=0.01)
    assert neighbor_overlap(X, np.zeros((400, 2), dtype=int), k=20) == pytest.approx(20 / 399)


def test_a_sample_of_queries_is_seeded_and_chunks_change_nothing(rng, monkeypatch):
    X, codes = rng.normal(size=(200, 4)), rng.integers(4, size=(200, 3))
    whole = neighbor_overlap(X, codes, n_queries=50, random_state=1)
    assert whole == neighbor_overlap(X, codes, n_queries=50, random_state=1)
    assert whole != neighbor_overlap(X, codes, n_queries=50, random_state=2)
    monkeypatch.setattr("semid.metrics._representations._DISTANCES_AT_ONCE", 700)
    assert whole == pytest.approx(neighbor_overlap(X, codes, n_queries=50, random_state=1))


@pytest.mark.parametrize(
    ("other", "k", "message"),
    [
        (np.eye(3), 3, "k must be less than the number of items, got 3 for 3 items"),
        (np.eye(4), 1, "other must have one row for each of the 3 items, got 4"),
        (np.eye(4, dtype=int), 1, r"other must be 2-D, one row for each of the 3 items, got shape \(4, 4\)"),
        (np.eye(3), 0, "k must be at least 1, got 0"),
    ],
)
def test_neighbors_that_cannot_be_compared_are_refused(other, k, message):
    with pytest.raises(ValueError, match=message):
        neighbor_overlap(np.eye(3), other, k=k)


def test_integers_below_minus_one_are_embeddings_and_no_codes(rng):
    X = rng.normal(size=(200, 48))
    int8 = np.clip(X * 40, -128, 127).astype(np.int8)
    assert int8.min() < -1
    as_float = neighbor_overlap(X, int8.astype(np.float32))
    assert neighbor_overlap(X, int8) == pytest.approx(as_float, rel=1e-12)  # sums of the same terms, in any order
    assert as_float > 0.7
    codes = int8.astype(np.int16) % 4 - (rng.random(size=int8.shape) < 0.1)  # -1 for no code
    shifted = neighbor_overlap(X, codes.astype(np.int64) + 1)
    assert neighbor_overlap(X, codes) == pytest.approx(shifted, rel=1e-12)


@pytest.mark.parametrize("n_equal", [0, 30, 100, 150])
def test_chance_counts_the_neighbours_that_tie(n_equal, rng):
    X = rng.normal(size=(200, 4))
    X[:n_equal] = 0
    codes = rng.integers(4, size=(200, 2))
    _, chance = neighbor_overlap_and_chance(X, codes, 5, 200, None)
    shuffled = [neighbor_overlap(X, rng.permutation(codes), k=5) for _ in range(200)]
    assert chance == pytest.approx(np.mean(shuffled), rel=0.02)
    if n_equal == 0:
        assert chance == 5 / 199


@pytest.mark.parametrize("offset", [0, 1000, 10_000])
def test_neighbours_within_clusters_that_lie_far_apart_are_those_of_float64(offset, rng):
    X = rng.normal(size=(400, 8)).astype(np.float32)
    X[:200] += np.float32(offset)
    other = X + 0.3 * rng.normal(size=X.shape).astype(np.float32)
    distances = [((Y[:, None].astype(np.float64) - Y) ** 2).sum(axis=2) for Y in (X, other)]
    nearest = [np.argsort(d + np.diag(np.full(400, np.inf)), axis=1)[:, :10] for d in distances]
    expected = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*nearest, strict=True)])
    assert neighbor_overlap(X, other) == pytest.approx(expected, abs=1e-3)


def _quantized(X, dtype):
    low, high = X.min(axis=0), X.max(axis=0)
    return ((X - low) / (high - low) * 255 - (128 if dtype == np.int8 else 0)).astype(dtype)


def test_bytes_that_are_equally_frequent_are_not_taken_for_packed_bits(rng):
    X = rng.normal(size=(500, 16)) @ rng.normal(size=(16, 64))
    ranks = X.argsort(axis=0).argsort(axis=0) * 256 // len(X)
    several_times = np.repeat(ranks[:100], 5, axis=0)
    for quantized in (ranks, several_times, rng.integers(256, size=(500, 64))):
        for held in (quantized.astype(np.uint8), (quantized - 128).astype(np.int8)):
            assert reconstruction_r2(held, held) == 1


def test_packed_bits_are_told_and_quantized_embeddings_are_not(rng):
    X = rng.normal(size=(200, 16)) @ rng.normal(size=(16, 384)) + 0.3 * rng.normal(size=384)
    packed = np.packbits(X > 0, axis=1)
    with pytest.warns(UserWarning, match=r"X looks like packed bits, 8 features in each of 48 .* np\.unpackbits\(X,"):
        neighbor_overlap(packed, X)
    signed = (packed.astype(np.int16) - 128).astype(np.int8)
    with pytest.warns(
        UserWarning, match=r"np\.unpackbits\(\(X\.astype\(np\.int16\) \+ 128\)\.astype\(np\.uint8\), axis=1"
    ):
        neighbor_overlap(signed, X)
    np.testing.assert_array_equal(np.unpackbits((signed.astype(np.int16) + 128).astype(np.uint8), axis=1), X > 0)
    for dtype in (np.uint8, np.int8):
        assert reconstruction_r2(_quantized(X, dtype), _quantized(X, dtype)) == 1
    assert reconstruction_r2(np.unpackbits(packed, axis=1), np.unpackbits(packed, axis=1)) == 1
    assert reconstruction_r2(rng.poisson(3, size=(200, 48)).astype(np.uint8), np.zeros((200, 48))) < 0
