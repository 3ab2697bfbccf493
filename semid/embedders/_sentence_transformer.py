"""Models of sentence-transformers: imported when one is asked for, loaded once per process."""

import hashlib
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

_loaded: dict = {}  # ModelKey → model
_lock = threading.Lock()  # also while a model reads: tokenizers refuse two threads at once (huggingface/tokenizers#537)


class ModelKey(NamedTuple):
    """What makes one loaded model another than the next."""

    model: str
    revision: str | None
    device: str
    dtype: str
    backend: str
    fingerprint: str  # of the files of a model on the disk, which may change


def encode(key, texts, *, prompt, batch_size, verbose):
    """Return the vectors of `texts`, (n_texts, dim) float32, not scaled to unit length.

    Batches are of texts of like length: sentence-transformers sorts them, and puts the results back in order.
    """
    with _lock:
        vectors = _load(key).encode(
            list(texts),
            prompt=prompt,
            batch_size=batch_size,
            show_progress_bar=verbose,
            convert_to_numpy=True,
            normalize_embeddings=False,
        )
    return np.asarray(vectors, dtype=np.float32)


def fingerprint(model):
    """Return what tells a model on the disk from another of the same name, nothing for one of a hub."""
    folder = Path(model)
    if not folder.exists():
        return ""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def pick_device(device):
    """Return the name of the torch device meant by `device`; ``"auto"`` is CUDA, else Apple's MPS, else the CPU."""
    import torch

    from semid.base._live_module import resolve_device

    has_mps = torch.backends.mps.is_available()
    if has_mps and (device == "mps" or (device == "auto" and not torch.cuda.is_available())):
        return "mps"
    return str(resolve_device(device))


def check_installed(backend):
    """Raise unless the packages for `backend` are there. Importing them takes seconds, and is left for later."""
    if find_spec("sentence_transformers") is None:
        raise ImportError(
            'model other than "lsa" needs sentence-transformers: pip install "semid[text]", or pass model="lsa".'
        )
    if backend == "onnx" and find_spec("optimum") is None:
        raise ImportError(
            'backend="onnx" needs optimum: pip install "sentence-transformers[onnx]", or pass backend="torch".'
        )


def _load(key):
    if key not in _loaded:
        for old in [other for other in _loaded if other._replace(fingerprint=key.fingerprint) == key]:
            del _loaded[old]
        _loaded[key] = _open(key)
    return _loaded[key]


@contextmanager
def _without_bars():
    """Keep transformers from showing a bar for every model that is loaded."""
    from transformers.utils import logging

    is_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if is_enabled:
            logging.enable_progress_bar()


def _open(key):
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        with _without_bars():
            model = SentenceTransformer(key.model, device=key.device, revision=key.revision, backend=key.backend)
    except ImportError as error:
        raise ImportError(f"backend={key.backend!r} needs more packages: {error}") from error
    except (OSError, ValueError) as error:
        raise OSError(
            f'model must be "lsa", the name of a sentence-transformers model, or the path of one; {key.model!r} cannot '
            "be loaded. Without a network, save it to a folder elsewhere, "
            f"SentenceTransformer(name).save_pretrained(folder), and pass model=folder. The reason given: {error}"
        ) from error
    return model.to(getattr(torch, key.dtype)) if key.backend == "torch" else model
