"""Values of estimators as JSON and arrays, and back, without pickle.

JSON has null, booleans, integers, finite floats, strings and lists; whatever else a value is, is an object with a
``"type"``. Arrays are kept aside, by name: of numbers as they are, of text and other objects as the bytes of JSON.
"""

import base64
import json
import re
from collections import UserList
from math import inf, isfinite, nan, prod

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from semid.base._removed import defaults, renewed
from semid.features._click_history import log_of_parts, parts_of_log
from semid.io._registry import class_named, is_registered
from semid.io._text_models import lsa_of_parts, parts_of_lsa

NUMERIC = frozenset(
    [
        "bool",
        "float16",
        "float32",
        "float64",
        *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    ]
)
_FLOATS = {"inf": inf, "-inf": -inf, "nan": nan}
_DEEPEST = 200  # a Pipeline within another takes five
_MOST_FIXED_WIDTH = 2**28  # bytes of an array of text of fixed width, whose longest entry all pay for
# Folders belong to a machine, and the path of one could make another machine write there, or unpickle what is there.
_NOT_KEPT = frozenset(["checkpoint_dir", "memory"])
_VERSIONS = ("_sklearn_version", "_semid_version")  # in the state that is pickled; the manifest has all versions


class Encoder:
    """From values to JSON; ``arrays`` collects the arrays by name."""

    def __init__(self):
        self.arrays = {}
        self._known = {}  # id of an array → the array, so that no other has its id, and its node

    def encode(self, value, path):
        """Return the JSON of `value`, which is at `path`, a tuple of names.

        Raises
        ------
        TypeError
            If `value` is not of a kind that artifacts hold.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind in _ENCODERS:
            return _ENCODERS[kind](self, value, path)
        if isinstance(value, np.generic):
            return self._scalar(value, path)
        if isinstance(value, UserList):  # the columns that are left over in a ColumnTransformer, up to scikit-learn 1.8
            return self._list(value.data, path)
        if is_registered(kind):
            return self._registered(value, path)
        raise _unsupported(value, path)

    def _float(self, value, path):
        return value if isfinite(value) else {"type": "float", "value": str(value)}

    def _list(self, value, path):
        return [self.encode(entry, (*path, str(i))) for i, entry in enumerate(value)]

    def _tuple(self, value, path):
        return {"type": "tuple", "items": self._list(value, path)}

    def _dict(self, value, path):
        pairs = [[self.encode(key, path), self.encode(entry, (*path, str(key)))] for key, entry in value.items()]
        return {"type": "dict", "items": pairs}

    def _slice(self, value, path):
        return {"type": "slice", "items": self._list([value.start, value.stop, value.step], path)}

    def _bytes(self, value, path):
        return {"type": "bytes", "base64": base64.b64encode(value).decode("ascii")}

    def _interval(self, value, path):
        return {"type": "interval", "items": self._list([value.left, value.right], path), "closed": value.closed}

    def _missing(self, value, path):
        return {"type": "NA"}

    def _scalar(self, value, path):
        if isinstance(value, np.str_ | np.bytes_):
            return self.encode(value.item(), path)
        if value.dtype.name not in NUMERIC:
            raise _unsupported(value, path)
        return {"type": "scalar", "dtype": value.dtype.name, "value": self.encode(value.item(), path)}

    def _array(self, value, path):
        if id(value) not in self._known:
            self._known[id(value)] = value, self._new_array(value, path)
        return self._known[id(value)][1]

    def _new_array(self, value, path):
        name = self._unused_name(path)
        if value.dtype.name in NUMERIC:
            self.arrays[name] = np.asarray(value, order="C")  # not ascontiguousarray, which adds a dimension to ()
            return {"type": "array", "name": name}
        if value.dtype.kind in "mM":
            self.arrays[name] = np.asarray(value, order="C").view(np.int64)
            return {"type": "times", "name": name, "dtype": value.dtype.str}
        if value.dtype.kind not in "OU" or (value.dtype.kind == "U" and value.nbytes > _MOST_FIXED_WIDTH):
            raise _unsupported(value, path)
        entries = self._list(value.ravel().tolist(), path)
        self.arrays[name] = np.frombuffer(json.dumps(entries, allow_nan=False).encode("ascii"), dtype=np.uint8)
        return {"type": "objects", "name": name, "shape": list(value.shape), "dtype": value.dtype.str}

    def _unused_name(self, path):
        name = wanted = re.sub(r"[^ -~]", "?", "/".join(path))
        while name in self.arrays:
            name = f"{wanted}#{len(self.arrays)}"
        return name

    def _registered(self, value, path):
        node = {"class": type(value).__name__}
        if isinstance(value, BaseEstimator):
            return {"type": "estimator", **node, **self._estimator(value, path)}
        if isinstance(value, tuple):
            return {"type": "record", **node, "values": self._named(value._asdict(), path)}
        if node["class"] == "ItemTable":
            return {"type": "items", "fingerprint": value.fingerprint, **self._named(_parts_of_table(value), path)}
        if node["class"] == "ClickHistory":
            return {"type": "log", **self._named(parts_of_log(value), path)}
        if node["class"] == "LSA":
            return {"type": "lsa", "parts": self.encode(parts_of_lsa(value), path)}
        state = value.__getstate__() if node["class"] == "ImpressionEncoder" else {}
        return {"type": "object", **node, "state": self._named(state, path)}

    def _estimator(self, value, path):
        state = {name: entry for name, entry in value.__getstate__().items() if name not in _VERSIONS}
        parameters = {name: state.pop(name, None) for name in value._get_param_names()}
        parameters |= dict.fromkeys(_NOT_KEPT & parameters.keys())
        return {"parameters": self._named(parameters, path), "fitted": self._named(state, path)}

    def _named(self, values, path):
        return {name: self.encode(value, (*path, name)) for name, value in values.items()}


_ENCODERS = {
    float: Encoder._float,
    list: Encoder._list,
    tuple: Encoder._tuple,
    dict: Encoder._dict,
    slice: Encoder._slice,
    bytes: Encoder._bytes,
    np.ndarray: Encoder._array,
    pd.Interval: Encoder._interval,
    type(pd.NA): Encoder._missing,
}


def _parts_of_table(table):
    if table._columns is None:
        return {"ids": table.ids, "embeddings": np.asarray(table.embeddings)}
    return {"ids": table.ids, "texts": table._embeddings, "columns": table._columns}


def _unsupported(value, path):
    kind = type(value)
    got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"{kind.__module__}.{kind.__qualname__}"
    where = "/".join(path) or "estimator"
    return TypeError(
        f"{where} must be an estimator of semid, a number, text, a list, a dict or an array, got {got}. Set it to such "
        "a value, or keep the estimator with joblib.dump or skops.io.dump."
    )


class Decoder:
    """From JSON and `arrays` back to values; `check` is called with each estimator that has been restored.

    Raises whatever the damage leads to: the caller makes one exception of all.
    """

    def __init__(self, arrays, check):
        self._arrays, self._check = arrays, check
        self._depth = 0
        self._objects = {}  # decoded once: a file that names an array a million times is not to cost a million arrays

    def decode(self, node):
        """Return the value that `node` stands for."""
        if node is None or type(node) in (bool, int, float, str):
            return node
        # Counted, since it depends on the version of Python how deep its stack lets a file go.
        if self._depth == _DEEPEST:
            raise ValueError(f"values must lie within at most {_DEEPEST} others.")
        self._depth += 1
        decoded = [self.decode(entry) for entry in node] if type(node) is list else _DECODERS[node["type"]](self, node)
        self._depth -= 1
        return decoded

    def _float(self, node):
        return _FLOATS[node["value"]]

    def _tuple(self, node):
        return tuple(self.decode(node["items"]))

    def _dict(self, node):
        return {self.decode(key): self.decode(entry) for key, entry in node["items"]}

    def _slice(self, node):
        bounds = self.decode(node["items"])
        if not all(bound is None or type(bound) in (int, str) for bound in bounds):
            raise ValueError(f"slice must have integers, names or nothing as bounds, got {bounds!r:.80}.")
        return slice(*bounds)

    def _bytes(self, node):
        return base64.b64decode(node["base64"], validate=True)

    def _interval(self, node):
        return pd.Interval(*self.decode(node["items"]), closed=node["closed"])

    def _missing(self, node):
        return pd.NA

    def _scalar(self, node):
        return np.dtype(_numeric(node["dtype"])).type(self.decode(node["value"]))

    def _array(self, node):
        return self._arrays[node["name"]]

    def _times(self, node):
        dtype = np.dtype(node["dtype"])
        if dtype.kind not in "mM":
            raise ValueError(f"dtype of times must be one of times, got {dtype}.")
        return self._arrays[node["name"]].view(dtype)

    def _array_of_objects(self, node):
        if node["name"] not in self._objects:
            self._objects[node["name"]] = self._new_array_of_objects(node)
        return self._objects[node["name"]]

    def _new_array_of_objects(self, node):
        dtype, shape = np.dtype(node["dtype"]), tuple(node["shape"])
        entries = self.decode(parse_json(self._arrays[node["name"]].tobytes()))
        if type(entries) is not list or dtype.kind not in "OU" or prod(shape) != len(entries):
            raise ValueError(f"array must be a list of {prod(shape)} objects, got {entries!r:.80} of {dtype}.")
        if dtype.kind == "U" and (dtype.itemsize * len(entries) > _MOST_FIXED_WIDTH or set(map(type, entries)) - {str}):
            raise ValueError(f"array of {dtype} must hold text, in {_MOST_FIXED_WIDTH} bytes at most.")
        array = np.empty(len(entries), dtype=dtype)
        for i, entry in enumerate(entries):  # not all at once: numpy would take lists apart
            array[i] = entry
        return array.reshape(shape)

    def _record(self, node):
        kind = class_named(node["class"])
        if not issubclass(kind, tuple):
            raise ValueError(f"class of a record must be one, got {kind.__name__}.")
        return kind(**self._named(node["values"]))

    def _items(self, node):
        parts = self._named({name: node[name] for name in ("ids", "embeddings", "texts", "columns") if name in node})
        if not all(isinstance(parts[name], np.ndarray) for name in parts.keys() - {"columns"}):
            raise ValueError("an item table must be made of arrays.")  # a text would be the path of a file
        if "texts" in parts:
            texts = pd.DataFrame(parts.pop("texts"), columns=parts.pop("columns"))
            return class_named("ItemTable")(**parts, texts=texts)
        parts["embeddings"].flags.writeable = False  # taken as it is, not copied
        return class_named("ItemTable")(**parts)

    def _log(self, node):
        names = ("users", "items", "firsts", "entries", "times", "kind")
        log = log_of_parts(self._named({name: node[name] for name in names if name in node}))
        self._check(log)
        return log

    def _lsa(self, node):
        return lsa_of_parts(class_named("LSA"), self.decode(node["parts"]))

    def _object(self, node):
        kind = class_named(node["class"])
        if node["class"] == "LiveModule":
            return kind()
        if node["class"] != "ImpressionEncoder":
            raise ValueError(f"class of an object must be one of those, got {kind.__name__}.")
        return self._built(kind, self._named(node["state"]))

    def _estimator(self, node):
        kind = class_named(node["class"])
        if not issubclass(kind, BaseEstimator):
            raise ValueError(f"class of an estimator must be one, got {kind.__name__}.")
        former, fitted = self._named(node["parameters"]), self._named(node["fitted"])
        known = {*former, *kind._get_param_names()}
        for name in fitted:
            if not name.isidentifier() or name.startswith("__") or name in known or hasattr(kind, name):
                raise ValueError(f"fitted attributes of {kind.__name__} must not be called {name!r:.80}.")
        attributes = renewed(kind, former | fitted)
        fitted = {name: attributes.pop(name) for name in fitted}
        return self._built(kind, _with_defaults(kind, attributes) | fitted)

    def _built(self, kind, attributes):
        instance = object.__new__(kind)
        vars(instance).update(attributes)
        self._check(instance)
        return instance

    def _named(self, nodes):
        return {name: self.decode(node) for name, node in nodes.items()}


_DECODERS = {
    "NA": Decoder._missing,
    "array": Decoder._array,
    "bytes": Decoder._bytes,
    "dict": Decoder._dict,
    "estimator": Decoder._estimator,
    "float": Decoder._float,
    "interval": Decoder._interval,
    "items": Decoder._items,
    "log": Decoder._log,
    "lsa": Decoder._lsa,
    "object": Decoder._object,
    "objects": Decoder._array_of_objects,
    "record": Decoder._record,
    "scalar": Decoder._scalar,
    "slice": Decoder._slice,
    "times": Decoder._times,
    "tuple": Decoder._tuple,
}


def parse_json(content):
    """Return the JSON in the bytes `content`; NaN and infinity, which JSON has not, are refused."""
    return json.loads(content, parse_constant=_refuse_constant)


def _refuse_constant(name):
    raise ValueError(f"JSON must hold finite numbers, got {name}.")


def _numeric(dtype):
    if dtype not in NUMERIC:
        raise ValueError(f"dtype must be one of numbers, got {dtype!r:.80}.")
    return dtype


def _with_defaults(kind, parameters):
    """Return `parameters` in full: those that `kind` has got since then have their defaults."""
    known = kind._get_param_names()
    unknown = parameters.keys() - set(known)
    if unknown:
        raise ValueError(f"{kind.__name__} has no parameters {sorted(unknown)}. A newer semid may have.")
    for name in sorted(_NOT_KEPT):
        if parameters.get(name) is not None:
            raise ValueError(f"{name} must be None in an artifact.")
    given = defaults(kind) | parameters
    lacking = [name for name in known if name not in given]
    if lacking:
        raise ValueError(f"{kind.__name__} must have the parameters {lacking}, got none.")
    return {name: given[name] for name in known}
