"""Random damages of artifacts, as disks, networks and strangers do them."""

import copy
import hashlib
import json
import shutil

import numpy as np
import safetensors.numpy

from semid.io._artifact import MANIFEST, sealed

_ODD_VALUES = (
    None, True, False, -1, 0, 1, 2, 3, 257, 2**16, 2**31, 2**40, 2**63 - 1, 2**64, 10**30, -(2**63), 0.5, 1e308, "",
    "x", "../x",
    "/etc/passwd", "cuda:0", "__class__", [], [[]], {}, [0] * 1000, ["x"],
    {"type": "float", "value": "nan"}, {"type": "float", "value": "inf"}, {"type": "tuple", "items": []},
    {"type": "tuple", "items": [10**12]}, {"type": "dict", "items": []}, {"type": "bytes", "base64": "AAAA"},
    {"type": "slice", "items": [0, 10**9, None]}, {"type": "slice", "items": [-5, None, None]}, {"type": "NA"},
    {"type": "scalar", "dtype": "int64", "value": 7},
    {"type": "estimator", "class": "os.system", "parameters": {}, "fitted": {}},
    {"type": "estimator", "class": "PCA", "parameters": {}, "fitted": {}},
    {"type": "object", "class": "LiveModule", "state": {}}, {"type": "object", "class": "ItemTable", "state": {}},
    {"type": "record", "class": "VectorField", "values": {"n_columns": 10**9, "n_fields": 10**9}},
)  # fmt: skip


def read(folder):
    """Return the manifest and the arrays of an artifact that is whole."""
    content = json.loads((folder / MANIFEST).read_bytes())["manifest"]
    (name,) = content["files"]
    return content, safetensors.numpy.load((folder / name).read_bytes())


def write(folder, manifest, content):
    """Write an artifact of this manifest and these bytes of arrays, with checksums that are right."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    digest = hashlib.sha256(content).hexdigest()
    name = f"arrays-{digest[:16]}.safetensors"
    (folder / name).write_bytes(content)
    manifest["files"] = {name: {"size": len(content), "sha256": digest}}
    (folder / MANIFEST).write_bytes(sealed(manifest))


def corrupt(source, other, folder, rng):
    """Write a copy of `source` whose bytes are damaged, or whose files are of `other`; return what was done."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    path = folder / str(rng.choice(sorted(path.name for path in folder.iterdir())))
    content = bytearray(path.read_bytes())
    kind = str(rng.choice(["flip", "flip", "flip", "cut", "grow", "empty", "missing", "swapped"]))
    place = int(rng.integers(len(content)))
    if kind == "flip":
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del content[place:]
    elif kind == "grow":
        content += bytes(1 + place % 7)
    elif kind == "empty":
        content.clear()
    elif kind == "swapped":
        pattern = MANIFEST if path.name == MANIFEST else "arrays-*"
        content = next(other.glob(pattern)).read_bytes()
    path.unlink()
    if kind != "missing":
        path.write_bytes(content)
    return f"{kind} {path.name} at {place}"


def tamper(source, folder, rng):
    """Write a copy of `source` with another manifest, or other arrays, and right checksums; return what was done."""
    manifest, arrays = read(source)
    n_changes = int(rng.integers(1, 3))
    done = [_change_array(arrays, rng) if rng.random() < 0.4 else _change_node(manifest, rng) for _ in range(n_changes)]
    write(folder, manifest, safetensors.numpy.save(arrays))
    return "; ".join(done)


def _change_array(arrays, rng):
    if not arrays:
        return "no arrays"
    name = str(rng.choice(sorted(arrays)))
    array = arrays[name]
    changes = {
        "dropped": lambda: None,
        "float64": lambda: array.astype(np.float64),
        "int8": lambda: array.astype(np.int8),
        "flat": lambda: array.reshape(-1),
        "shorter": lambda: array[: len(array) // 2] if array.ndim else array,
        "longer": lambda: np.concatenate([array, array]) if array.ndim else array.reshape(1),
        "turned": lambda: np.ascontiguousarray(array.T),
        "backwards": lambda: np.ascontiguousarray(array[::-1]) if array.ndim else array,
        "huge": lambda: np.full_like(array, 120 if array.dtype.kind == "b" else np.iinfo(np.int8).max) * 10,
        "negative": lambda: np.zeros_like(array) - np.ones_like(array) if array.dtype.kind != "b" else array,
        "nan": lambda: np.full(array.shape, np.nan, dtype=np.float32),
        "random": lambda: np.frombuffer(rng.bytes(array.nbytes), dtype=np.uint8).view(array.dtype).reshape(array.shape),
        "zeros": lambda: np.zeros_like(array),
        "empty": lambda: array.reshape(-1)[:0],
    }
    kind = str(rng.choice(sorted(changes)))
    with np.errstate(all="ignore"):
        changed = changes[kind]()
    if changed is None:
        del arrays[name]
    else:
        arrays[name] = np.asarray(changed, order="C")
    return f"{name} {kind}"


def _change_node(manifest, rng):
    places = [place for place in _places(manifest, ()) if place[0] != "files"]
    place = places[int(rng.integers(len(places)))]
    parent = _at(manifest, place[:-1])
    kind = str(rng.choice(["deleted", "odd", "odd", "other", "moved", "added"]))
    if kind == "deleted":
        del parent[place[-1]]
    elif kind == "odd":
        parent[place[-1]] = copy.deepcopy(_ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))])
        kind = f"is {parent[place[-1]]!r:.60}"
    elif kind == "other":
        other = places[int(rng.integers(len(places)))]
        parent[place[-1]] = copy.deepcopy(_at(manifest, other))
        kind = f"is {other}"
    elif kind == "moved" and type(parent[place[-1]]) in (int, float):
        parent[place[-1]] += int(rng.choice([-1000, -1, 1, 1000]))
    elif isinstance(parent, list):
        parent.insert(place[-1], copy.deepcopy(parent[place[-1]]))
    else:
        parent[str(rng.choice(["transform", "__class__", "state_", "n_features_in_", "x"]))] = copy.deepcopy(
            parent[place[-1]]
        )
    return f"{'/'.join(map(str, place))} {kind}"


def _places(node, place):
    """Yield the path of every value in `node` but itself."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, entry in entries:
        yield (*place, key)
        yield from _places(entry, (*place, key))


def _at(node, place):
    for key in place:
        node = node[key]
    return node
