"""Vectors of texts on the disk, so that no text is encoded twice."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from semid._checks import warn


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
                with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                    digests, vectors = file["digests"].tolist(), file["vectors"]
                rows = zip(digests, vectors, strict=True)
            except Exception as error:  # a damaged zip raises a dozen kinds of error
                warn(f"vectors in {path} cannot be read and are left out, their texts are encoded again: {error!r}")
                continue
            found.update((digest, vector) for digest, vector in rows if digest in wanted)
        return found

    def _write(self, digests, vectors):
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".part", delete=False) as file:
            np.savez(file, digests=np.array(digests), vectors=np.asarray(vectors, dtype=np.float32))
            file.flush()
            os.fsync(file.fileno())
        name = hashlib.sha256("".join(digests).encode()).hexdigest()[:32]
        os.replace(file.name, self.folder / f"{name}.npz")


def _digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
