"""Vectors of texts on the disk, so that no text is encoded twice."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import numpy as np

from semid.base._checks import warn


class VectorStore:
    """A folder of files, each with the digests of some texts and their vectors.

    A file is written once and under a name of its own, so that several processes may add at the same time: the worst
    that happens is that a text is there twice. A file that cannot be read is left out, with a warning.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def encode(self, texts, encode):
        """Return the vectors of `texts`, (n_texts, dim) float32; those that are not here come from `encode`."""
        digests = [_digest(text) for text in texts]
        known = self._read(set(digests))
        new = [n for n, digest in enumerate(digests) if digest not in known]
        if new:
            vectors = encode([texts[n] for n in new])
            self._write([digests[n] for n in new], vectors)
            known.update(zip((digests[n] for n in new), vectors, strict=True))
        return np.stack([known[digest] for digest in digests])

    def _read(self, wanted):
        """Return the vectors of the digests in `wanted` that are here."""
        found = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                found.update(_read_file(path, wanted))
            except Exception as error:  # a damaged zip raises a dozen kinds of error
                warn(f"vectors in {path} cannot be read and are left out, their texts are encoded again: {error!r}")
        return found

    def _write(self, digests, vectors):
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{uuid4().hex}.part"
        name = hashlib.sha256("".join(digests).encode()).hexdigest()[:32]
        try:
            with open(part, "xb") as file:
                np.savez(file, digests=np.array(digests), vectors=np.asarray(vectors, dtype=np.float32))
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.folder / f"{name}.npz")
        finally:
            part.unlink(missing_ok=True)


def _read_file(path, wanted):
    """Return the vectors in the file that `wanted` digests have; without one, its vectors are not read."""
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        digests = file["digests"].tolist()
        rows = [row for row, digest in enumerate(digests) if digest in wanted]
        vectors = file["vectors"] if rows else np.empty((len(digests), 0))
    if vectors.ndim != 2 or len(vectors) != len(digests):
        raise ValueError(f"{len(digests)} texts must have a vector each, got an array of shape {vectors.shape}")
    return {digests[row]: vectors[row] for row in rows}


def _digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
