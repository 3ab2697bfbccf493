import numpy as np
import torch
from sklearn.cluster import KMeans

from semid.nn._kmeans import kmeans, nearest, seed_centers


def _blobs(n=400, n_clusters=6, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(scale=10, size=(n_clusters, dim))
    return torch.tensor(centers[rng.integers(n_clusters, size=n)] + rng.normal(size=(n, dim)), dtype=torch.float32)


def test_nearest_equals_the_naive_loop():
    x, centers = torch.randn(50, 7), torch.randn(9, 7)
    labels, distances = nearest(x, centers)
    for row, label, distance in zip(x, labels, distances, strict=True):
        naive = torch.stack([(row - center).square().sum() for center in centers])
        assert label == naive.argmin()
        torch.testing.assert_close(distance, naive.min(), rtol=1e-4, atol=1e-4)


def test_kmeans_equals_scikit_learn_from_the_same_start():
    x, weights = _blobs(), torch.rand(400) + 0.1
    start = seed_centers(x, weights, 6, torch.Generator().manual_seed(0))
    result = kmeans(x, weights, 6, max_iter=50, generator=torch.Generator().manual_seed(0), tolerance=0.0)
    oracle = KMeans(6, init=start.numpy(), n_init=1, max_iter=50, tol=0.0).fit(x.numpy(), sample_weight=weights.numpy())
    np.testing.assert_allclose(result.centers.numpy(), oracle.cluster_centers_, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(result.labels.numpy(), oracle.labels_)
    np.testing.assert_allclose(result.inertias[-1], oracle.inertia_, rtol=1e-4)


def test_inertia_never_rises():
    result = kmeans(_blobs(), torch.ones(400), 20, max_iter=30, generator=torch.Generator().manual_seed(1), tolerance=0)
    assert (np.diff(result.inertias) <= 1e-3).all()


def test_seeds_are_distinct_rows_and_spread_over_all_clusters():
    x = _blobs(n_clusters=6)
    centers = seed_centers(x, torch.ones(400), 30, torch.Generator().manual_seed(0))
    assert len(centers.unique(dim=0)) == 30
    truth = KMeans(6, n_init=5, random_state=0).fit(x.numpy())
    assert set(truth.predict(centers.numpy())) == set(range(6))


def test_a_row_of_weight_two_is_a_row_listed_twice():
    # Lloyd's iterations alone: the seeding draws by row and is made equal by merging rows before it.
    x = _blobs(n=60)
    weights = torch.randint(1, 4, (60,), generator=torch.Generator().manual_seed(0)).float()
    weighted = kmeans(x, weights, 6, max_iter=20, generator=torch.Generator().manual_seed(0))
    repeated = x.repeat_interleave(weights.long(), dim=0)
    oracle = KMeans(6, init=weighted.centers.numpy(), n_init=1, max_iter=50, tol=0.0).fit(repeated.numpy())
    np.testing.assert_allclose(weighted.inertias[-1], oracle.inertia_, rtol=1e-3)


def test_an_empty_cluster_moves_to_the_farthest_row():
    x = torch.tensor([[0.0], [0.1], [0.2], [50.0]])
    result = kmeans(x, torch.ones(4), 4, max_iter=10, generator=torch.Generator().manual_seed(0))
    assert sorted(result.labels.tolist()) == [0, 1, 2, 3]


def test_equal_rows_leave_codes_unused_without_nan():
    result = kmeans(torch.ones(5, 3), torch.ones(5), 2, max_iter=5, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(result.centers).all()
    assert result.inertias[-1] == 0
