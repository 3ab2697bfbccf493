"""Artifacts that are damaged, of another time, or made to do harm: one exception, and nothing executed."""

import hashlib
import json
import os
import pickle
import re
import struct
import time

import damage
import numpy as np
import pytest
import safetensors.numpy
from make_corpus import CORPUS, answer, question
from sklearn.exceptions import NotFittedError

from semid import tokenizers
from semid.io import ArtifactError, load, save
from semid.io._artifact import MANIFEST, sealed

V1 = CORPUS / "v1"
EXPECTED = json.loads((V1 / "expected.json").read_text(encoding="utf-8"))
NAMES = sorted(EXPECTED["answers"])


# An estimator that wants other columns, another device or a model that is not there is whole, and says what it wants.
_SAYS_WHY = r"is expecting \d+ features|device='cuda|model must be"


def _outcome(folder, name):
    """Return "refused", "unfitted", or whether the estimator gives what `name` gave; other exceptions are failures."""
    try:
        estimator = load(folder)
    except ArtifactError:
        return "refused"
    try:
        got = np.array(answer(estimator, question(name, EXPECTED["inputs"])))
    except NotFittedError:
        return "unfitted"
    except (ValueError, OSError) as error:
        if not re.search(_SAYS_WHY, str(error)):
            raise
        return "refused"
    expected = np.array(EXPECTED["answers"][name])
    return "equal" if got.shape == expected.shape and np.allclose(got, expected, atol=1e-6) else "different"


def _check_damages(seeds, folder):
    """Artifacts of damaged bytes, or with files of others, are refused."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        name, other = rng.choice(NAMES, size=2).tolist()
        done = damage.corrupt(V1 / name, V1 / other, folder, rng)
        # Of two that have the same arrays, the manifests can be swapped: a whole artifact again.
        if _arrays_name(name) != _arrays_name(other):
            assert _outcome(folder, name) == "refused", f"seed {seed}: {name}, {done}"


def _arrays_name(name):
    return next((V1 / name).glob("arrays-*")).name


def _check_forgeries(seeds, folder):
    """With right checksums, an artifact is refused or can be used; either does not take long."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        name = str(rng.choice(NAMES))
        done = damage.tamper(V1 / name, folder, rng)
        start = time.perf_counter()
        try:
            _outcome(folder, name)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {name}, {done}") from error
        assert time.perf_counter() - start < 30, f"seed {seed}: {name}, {done}"


def test_random_damages_are_refused(tmp_path):
    _check_damages(range(150), tmp_path / "damaged")


@pytest.mark.filterwarnings("ignore:X .* feature names", "ignore::RuntimeWarning")
def test_random_forgeries_are_refused_or_can_be_used(tmp_path):
    _check_forgeries(range(150), tmp_path / "forged")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:X .* feature names", "ignore::RuntimeWarning")
def test_ten_thousand_damages_and_forgeries(tmp_path):
    _check_damages(range(1000, 6000), tmp_path / "damaged")
    _check_forgeries(range(1000, 6000), tmp_path / "forged")


def _flipped_everywhere(folder):
    for path in sorted(folder.iterdir()):
        for place in range(path.stat().st_size):
            yield path.name, place


def test_no_flipped_bit_of_a_whole_artifact_goes_unnoticed(tmp_path):
    folder = save(load(V1 / "PrefixNGramEncoder"), tmp_path / "artifact")
    for name, place in list(_flipped_everywhere(folder)):
        content = bytearray((folder / name).read_bytes())
        content[place] ^= 1 << place % 8
        (folder / name).write_bytes(content)
        with pytest.raises(ArtifactError):
            load(folder)
        content[place] ^= 1 << place % 8
        (folder / name).write_bytes(content)
    load(folder)


def _forged(tmp_path, name, change):
    """Return an artifact whose manifest and arrays `change` has changed, with checksums that are right."""
    manifest, arrays = damage.read(V1 / name)
    change(manifest, arrays)
    damage.write(tmp_path / "forged", manifest, safetensors.numpy.save(arrays))
    return tmp_path / "forged"


def _parameters(manifest):
    return manifest["estimator"]["parameters"]


def _fitted(manifest):
    return manifest["estimator"]["fitted"]


def _set_in_dict(node, key, value):
    node["items"] = [[name, value if name == key else entry] for name, entry in node["items"]]


def test_an_artifact_of_a_newer_format_says_what_to_do(tmp_path):
    def change(manifest, arrays):
        manifest["version"] = 2
        manifest["written_with"]["semid"] = "9.1"

    with pytest.raises(ArtifactError, match=r"version 1, got 2, written with semid '9\.1'.*Upgrade it: pip"):
        load(_forged(tmp_path, "RQVAETokenizer", change))


@pytest.mark.parametrize(
    "name", ["os.system", "system", "posix.system", "LogisticRegression", "__version__", "load", 3]
)
def test_classes_outside_the_list_are_refused(tmp_path, name):
    def change(manifest, arrays):
        manifest["estimator"]["class"] = name

    with pytest.raises(ArtifactError, match="class must be an estimator of semid"):
        load(_forged(tmp_path, "RQVAETokenizer", change))


@pytest.mark.parametrize("name", ["transform", "__class__", "__reduce__", "_build_module", "codebooks_", "a b"])
def test_attributes_that_shadow_the_class_are_refused(tmp_path, name):
    with pytest.raises(ArtifactError, match="must not be called"):
        load(_forged(tmp_path, "RQVAETokenizer", lambda manifest, _: _fitted(manifest).update({name: 1})))


BOMBS = {
    "wide layers": ("RQVAETokenizer", "hidden_layer_sizes", {"type": "tuple", "items": [10**9]}),
    "wider layers": ("RQVAETokenizer", "hidden_layer_sizes", {"type": "tuple", "items": [10**18]}),
    "a wide latent": ("MixtureOfCodesTokenizer", "latent_dim", 10**9),
    "a beam": ("ResidualKMeansTokenizer", "beam_size", 10**12),
    "many layers": ("AutoIntClassifier", "n_attention_layers", 10**9),
    "many cross layers": ("DCNv2Classifier", "n_cross_layers", 10**9),
    "many experts": ("DCNv2Classifier", "low_rank", 10**9),
    "many sets": ("FactorizationMachineClassifier", "n_embedding_sets", 10**9),
    "many orders": ("DeepIMClassifier", "interaction_order", 10**9),
    "wide embeddings": ("DeepFMClassifier", "embedding_dim", 10**12),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bomb", BOMBS)
def test_sizes_that_no_memory_holds_are_refused_at_once(tmp_path, bomb):
    name, key, value = BOMBS[bomb]
    with pytest.raises(ArtifactError):
        load(_forged(tmp_path, name, lambda manifest, _: _set_in_dict(_fitted(manifest)["_architecture"], key, value)))


@pytest.mark.parametrize("norm", ["layer", ["rms"], 1])
@pytest.mark.parametrize("name", ["DeepFMClassifier", "DeepFMClassifier-vectors"])
def test_an_adapter_with_a_norm_of_another_version_is_refused(tmp_path, name, norm):
    def change(manifest, arrays):
        _fitted(manifest)["_architecture"]["items"].append(["adapter_norm", norm])

    with pytest.raises(ArtifactError, match="adapter_norm must be one of None, 'rms'"):
        load(_forged(tmp_path, name, change))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["PrefixNGramEncoder", "SemanticIDEncoder", "RandomTokenizer", "EmbeddingPipeline"])
@pytest.mark.parametrize("n_features", [10**6, 10**12, 2**64, -1, 0, True, "3", None])
def test_widths_that_no_memory_holds_are_refused_at_once(tmp_path, name, n_features):
    def change(manifest, arrays):
        estimator = manifest["estimator"]
        if name == "EmbeddingPipeline":
            estimator = estimator["parameters"]["steps"][0]["items"][1]
        estimator["fitted"]["n_features_in_"] = n_features

    with pytest.raises(ArtifactError):
        load(_forged(tmp_path, name, change))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("depth", [500, 100_000])
def test_deep_nesting_is_refused(tmp_path, depth):
    folder = _forged(tmp_path, "RQVAETokenizer", lambda manifest, _: _parameters(manifest).update(verbose="DEEP"))
    body = (folder / MANIFEST).read_bytes().replace(b'"DEEP"', b"[" * depth + b"]" * depth)
    body = body[body.index(b"{", 1) : -2]
    with pytest.raises(ArtifactError):
        load(_with_body(folder, body))


def _with_body(folder, body):
    """Put the bytes `body` into the manifest, with its right checksum."""
    whole = sealed({})
    digest = hashlib.sha256(body).hexdigest().encode()
    (folder / MANIFEST).write_bytes(whole[:12] + digest + whole[76:91] + body + b"}\n")
    return folder


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"format": NaN}', b'{"format": "semid-artifact"}', b"{", b"\xff\xfe"]
)
def test_manifests_that_are_none_are_refused(tmp_path, body):
    folder = _forged(tmp_path, "RQVAETokenizer", lambda *_: None)
    with pytest.raises(ArtifactError):
        load(_with_body(folder, body))


@pytest.mark.parametrize(
    "name", ["../arrays", "/etc/passwd", "arrays-0000000000000000.safetensors/../x", "manifest.json", ""]
)
def test_no_file_but_the_own_is_opened(tmp_path, name):
    folder = _forged(tmp_path, "RQVAETokenizer", lambda *_: None)
    manifest = json.loads((folder / MANIFEST).read_bytes())["manifest"]
    manifest["files"] = {name: next(iter(manifest["files"].values()))}
    (folder / MANIFEST).write_bytes(sealed(manifest))
    with pytest.raises(ArtifactError, match="files must be named arrays-"):
        load(folder)


@pytest.mark.parametrize("which", ["manifest.json", "arrays-*"])
def test_links_and_pipes_are_not_opened(tmp_path, which):
    folder = _forged(tmp_path, "RQVAETokenizer", lambda *_: None)
    path = next(folder.glob(which))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="must be a regular file"):
        load(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ArtifactError, match="must be a regular file"):
        load(folder)


def _safetensors(header, body=b""):
    return struct.pack("<Q", len(header)) + header + body


HEADERS = {
    "longer than the file": struct.pack("<Q", 2**63) + b"{}",
    "of 200 MB": struct.pack("<Q", 200_000_000) + b"{}",
    "nested": _safetensors(b'{"a":' * 5000),
    "overflowing": _safetensors(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}', b"0000"),
    "empty and huge": _safetensors(b'{"a":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}'),
    "negative": _safetensors(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"0000"),
    "of a strange dtype": _safetensors(b'{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}', b"0000"),
    "none": b"",
}


@pytest.mark.parametrize("header", HEADERS)
def test_bad_headers_of_arrays_are_refused(tmp_path, header):
    manifest, _ = damage.read(V1 / "RQVAETokenizer")
    damage.write(tmp_path / "forged", manifest, HEADERS[header])
    with pytest.raises(ArtifactError):
        load(tmp_path / "forged")


def _set_in_grammar(manifest, name, value):
    parts = dict(_fitted(manifest)["_lsa"]["parts"]["items"])
    dict(parts["vectorizers"][0]["items"])["parameters"]["items"].append([name, value])


def _arrays_of(name, key, value):
    def change(manifest, arrays):
        arrays[key] = value(arrays[key])

    return name, change


CONTRADICTIONS = {
    "a codebook of another shape": (
        *_arrays_of("RQVAETokenizer", "state_/quantizer.codebooks.0.code_vectors", lambda a: a[:, :-1].copy()),
        "quantizer.codebooks.0.code_vectors",
    ),
    "a codebook of fewer codes": (
        *_arrays_of("RQVAETokenizer", "state_/quantizer.codebooks.0.code_vectors", lambda a: a[:-1].copy()),
        "quantizer.codebooks.0.code_vectors",
    ),
    "float64 weights": (*_arrays_of("RQVAETokenizer", "state_/mean", lambda a: a.astype(float)), "'mean' must be"),
    "weights that are NaN": (*_arrays_of("RQVAETokenizer", "state_/mean", lambda a: a * np.nan), "finite"),
    "codes beyond the codebook": (*_arrays_of("UniqueTokenizer", "codes_", lambda a: a + 100), r"must lie in \[0, 8\)"),
    "negative codes": (*_arrays_of("SemanticIDEncoder", "codes_", lambda a: a - 9), r"must lie in \[0, 4\)"),
    "codes of other items": (*_arrays_of("SemanticIDEncoder", "codes_", lambda a: a[1:].copy()), "must be 24 rows"),
    "hashes out of order": (*_arrays_of("UniqueTokenizer", "hashes_", lambda a: a[::-1].copy()), "increasing order"),
    "a smaller table": (*_arrays_of("DeepFMClassifier", "state_/embedding.table", lambda a: a[:-1].copy()), "table"),
    "a scale of zero": (*_arrays_of("DeepFMClassifier", "encoder_/scales_", lambda a: a * 0), "must be positive"),
    "a bad seed": (
        "RandomTokenizer",
        lambda manifest, _: _parameters(manifest).update(random_state=-1),
        "random_state",
    ),
    "a bad device": ("RandomTokenizer", lambda manifest, _: _parameters(manifest).update(device="meta"), "device"),
    "a bad rate": (
        "RQVAETokenizer",
        lambda manifest, _: _parameters(manifest).update(learning_rate={"type": "float", "value": "nan"}),
        "learning_rate must lie in",
    ),
    "an unknown parameter": (
        "RQVAETokenizer",
        lambda manifest, _: _parameters(manifest).update(n_gpus=3),
        "has no parameters .'n_gpus'.",
    ),
    "a cache on disk": (
        "SemanticIDEncoder",
        lambda manifest, _: _parameters(manifest).update(memory="/tmp/cache"),
        "memory must be None",
    ),
    "a folder to write to": (
        "RQVAETokenizer",
        lambda manifest, _: _parameters(manifest).update(checkpoint_dir="/tmp/checkpoints"),
        "checkpoint_dir must be None",
    ),
    "a path for embeddings": (
        "SemanticIDEncoder",
        lambda manifest, _: _parameters(manifest)["items"].update(embeddings="/etc/passwd"),
        "must be made of arrays",
    ),
    "a grammar of others": (
        "TextEmbedder",
        lambda manifest, _: _set_in_grammar(manifest, "token_pattern", "(a+)+$"),
        "must be one of those of TextEmbedder",
    ),
    "a grammar that reads files": (
        "TextEmbedder",
        lambda manifest, _: _set_in_grammar(manifest, "input", "filename"),
        "must be one of those of TextEmbedder",
    ),
    "a text model of other widths": (
        *_arrays_of("TextEmbedder", "_lsa/components", lambda a: a[1:].copy()),
        "a row for each",
    ),
    "clicked items of another order": (
        *_arrays_of("CoClickEmbedder", "clicked_hashes_", lambda a: a[::-1].copy()),
        "clicked_hashes_ must be ascending",
    ),
    "clicked items without vectors": (
        *_arrays_of("CoClickEmbedder", "clicked_embeddings_", lambda a: a[1:].copy()),
        "clicked_embeddings_ must be unit vectors, float32 of shape",
    ),
    "a mean of other features": (
        *_arrays_of("CoClickEmbedder", "mean_", lambda a: a[1:].copy()),
        "mean_ must be 6 finite numbers, float32",
    ),
    "no state": ("RQVAETokenizer", lambda manifest, _: _fitted(manifest).pop("state_"), "not fitted"),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_contradictions_are_refused_by_name(tmp_path, contradiction):
    name, change, message = CONTRADICTIONS[contradiction]
    with pytest.raises(ArtifactError, match=message):
        load(_forged(tmp_path, name, change))


def test_a_lack_of_files_is_refused_and_names_the_folder(tmp_path):
    with pytest.raises(ArtifactError, match="nowhere"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="file"):
        load(tmp_path / "file")


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    manifest, _ = damage.read(V1 / "RQVAETokenizer")
    damage.write(tmp_path / "forged", manifest, pickle.dumps(Bomb()))
    with pytest.raises(ArtifactError):
        load(tmp_path / "forged")
    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    damage.write(tmp_path / "forged", manifest, (tmp_path / "bomb.npy").read_bytes())
    with pytest.raises(ArtifactError):
        load(tmp_path / "forged")
    assert not (tmp_path / "executed").exists()


def test_what_fit_would_refuse_is_not_saved(tmp_path):
    tokenizer = tokenizers.RQVAETokenizer(max_iter=-1)
    with pytest.raises(ValueError, match="estimator must hold together to be saved: max_iter must be at least 1"):
        save(tokenizer, tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []
