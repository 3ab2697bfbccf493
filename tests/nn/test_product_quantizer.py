import pytest
import torch

from semid.nn._product_quantizer import ProductQuantizer, deal_components, learn_rotation

B, D, K = 40, 10, 6


def _z(n=B, dim=D, seed=1):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def _correlated(n=600, dim=12):
    return _z(n, dim) @ _z(dim, dim, seed=2)


def _filled(rotation="opq", n_codebooks=3):
    quantizer = ProductQuantizer([K] * n_codebooks, D, rotation=rotation)
    with torch.no_grad():
        for n, codebook in enumerate(quantizer.codebooks):
            codebook.code_vectors.copy_(_z(K, codebook.code_vectors.shape[1], seed=5 + n))
        if rotation:
            quantizer.rotation.copy_(torch.linalg.qr(_z(D, D, seed=3)).Q)
    return quantizer


def _learn(z, rotation, sizes=(16, 16, 16)):
    quantizer = ProductQuantizer(sizes, z.shape[1], rotation=rotation)
    quantizer.initialize(z, torch.ones(len(z)), torch.Generator().manual_seed(0), max_iter=20)
    return quantizer


def _error(quantizer, z):
    return (quantizer.decode(quantizer.encode(z, 0.0).codes) - z).square().sum()


@pytest.mark.parametrize("rotation", [None, "opq"])
def test_codes_and_decoding_match_the_naive_loop(rotation):
    quantizer, z = _filled(rotation), _z()
    codes = quantizer.encode(z, 1e-6).codes
    turned = z @ quantizer.rotation if rotation else z
    rebuilt = torch.zeros(B, D)
    for row in range(B):
        start = 0
        for n, width in enumerate((4, 3, 3)):  # 10 coordinates cut as numpy.array_split does
            part = turned[row, start : start + width]
            distances = [float((part - e).square().sum()) for e in quantizer.codebooks[n].code_vectors]
            assert codes[row, n] == distances.index(min(distances))
            rebuilt[row, start : start + width] = quantizer.codebooks[n].code_vectors[codes[row, n]]
            start += width
    if rotation:
        rebuilt = rebuilt @ torch.linalg.inv(quantizer.rotation)
    torch.testing.assert_close(quantizer.decode(codes), rebuilt, rtol=1e-4, atol=1e-5)


def test_codes_equal_those_of_faiss_with_the_same_codebooks():
    faiss = pytest.importorskip("faiss")
    z = _z(500, 12)
    theirs = faiss.ProductQuantizer(12, 3, 4)
    theirs.train(z.numpy())
    quantizer = ProductQuantizer([16] * 3, 12)
    centers = torch.from_numpy(faiss.vector_to_array(theirs.centroids).reshape(3, 16, 4))
    with torch.no_grad():
        for codebook, center in zip(quantizer.codebooks, centers, strict=True):
            codebook.code_vectors.copy_(center)
    packed = torch.from_numpy(theirs.compute_codes(z.numpy())).long()  # two codes of four bits to a byte
    expected = torch.stack([packed[:, 0] % 16, packed[:, 0] // 16, packed[:, 1] % 16], 1)
    assert torch.equal(quantizer.encode(z, 1e-6).codes, expected)


@pytest.mark.parametrize("rotation", ["pca_balanced", "opq"])
@pytest.mark.parametrize("dim", [12, 150])
def test_rotations_are_orthogonal(rotation, dim):
    learned = _learn(_correlated(dim=dim), rotation).rotation
    torch.testing.assert_close(learned @ learned.T, torch.eye(dim), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dim", [12, 150])  # all components are leading ones, and not
def test_the_optimized_rotation_is_no_worse_than_the_others_on_correlated_data(dim):
    z = _correlated(dim=dim)
    errors = {rotation: _error(_learn(z, rotation), z) for rotation in (None, "pca_balanced", "opq")}
    assert errors["opq"] < 0.99 * errors[None]
    assert errors["opq"] < errors["pca_balanced"]


def test_weights_count_as_repetitions_in_the_rotation():
    z = _correlated(200)
    weights = torch.arange(200) % 3 + 1
    sizes, generator = (8, 8), torch.Generator()
    weighted, _ = learn_rotation(z, weights.float(), sizes, generator, 0)
    repeated, _ = learn_rotation(z.repeat_interleave(weights, 0), torch.ones(int(weights.sum())), sizes, generator, 0)
    torch.testing.assert_close((weighted.T @ repeated).abs(), torch.eye(12), rtol=0, atol=1e-3)


def test_components_are_dealt_to_blocks_of_the_right_widths_worth_the_same():
    variances = torch.tensor([100.0, 90.0, 10.0, 9.0, 1.0, 0.9, 0.5])
    first, second = deal_components(variances, [256, 256])
    assert (len(first), len(second)) == (4, 3)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(7))
    logs = variances.clamp(min=1.0).log()
    assert abs(logs[first].sum() - logs[second].sum()) < 0.5


def test_the_last_inertia_is_the_error_that_is_left():
    z = _correlated()
    quantizer = ProductQuantizer([16] * 3, 12, rotation="opq")
    results = quantizer.initialize(z, torch.ones(len(z)), torch.Generator().manual_seed(0), max_iter=20)
    assert results[-1].inertias[-1] == pytest.approx(float(_error(quantizer, z)), rel=1e-4)


def test_a_block_that_is_rounding_noise_of_the_rotation_has_no_certain_codes():
    z = torch.zeros(B, D)
    z[:, 0] = _z(B, 1)[:, 0]
    quantizer = _filled()
    with torch.no_grad():
        quantizer.rotation.copy_(torch.eye(D))
        quantizer.codebooks[2].code_vectors.mul_(1e-7)
    assert not quantizer.encode(z + 1e-8 * _z(), 3e-5).certain.any()


def test_a_block_without_coordinates_has_one_code():
    quantizer = ProductQuantizer([K, K, 1], 2)
    z = _z(B, 2)
    quantizer.initialize(z, torch.ones(B), torch.Generator().manual_seed(0), max_iter=5)
    codes = quantizer.encode(z, 1e-6).codes
    assert not codes[:, 2].any()
    assert quantizer.decode(codes).shape == z.shape
