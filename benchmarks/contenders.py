"""Who takes part: one line per contender.

A line has the name in the tables, the package whose version counts, and how to build it from the number of codes, the
codebook size and a seed. A contender whose package or class is not there is left out.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from machine import installed_version
from peers import (
    FaissLocalSearchQuantizer,
    FaissOPQ,
    FaissResidualQuantizer,
    NanoPQ,
    Ours,
    QuantizedMLPPeer,
    RecTokensKMeans,
    RecTokensRQVAE,
    SemanticIDKMeans,
    SemanticIDRQVAE,
)
from recipes import parallel_fsq, residual_fsq, residual_vq

import semid.tokenizers

_MODULES = {"faiss-cpu": "faiss"}  # where a package is not imported by its own name


class Contender(NamedTuple):
    name: str
    package: str
    build: Callable  # (n_codebooks, codebook_size, seed) → an object with the interface of `peers`
    takes: Callable  # (n_codebooks, n_features) → whether it can be asked for that

    @property
    def is_ours(self):
        return self.package == "semid"

    def is_installed(self):
        module = _MODULES.get(self.package, self.package.replace("-", "_"))
        return find_spec(module) is not None

    def version(self):
        """Return what its results stand for: the version, of our package the sources as well."""
        return f"{self.package} {installed_version(self.package)}" + (f" {_sources()}" if self.is_ours else "")


def ours(class_name, label="", **parameters):
    """Return a contender of our own at its defaults but for `parameters`, None where there is no such class."""

    def build(n_codebooks, codebook_size, seed):
        return Ours(_tokenizer(class_name, n_codebooks, codebook_size, seed, parameters))

    return _contender_of_ours(class_name, label, build)


def unique(class_name, label="", **parameters):
    """Return our tokenizer with colliding items moved to other codes, None where there is no such class."""

    def build(n_codebooks, codebook_size, seed):
        tokenizer = _tokenizer(class_name, n_codebooks, codebook_size, seed, parameters)
        return Ours(semid.tokenizers.UniqueTokenizer(tokenizer, strategy="reassign"))

    label += ", unique"
    return _contender_of_ours(class_name, label, build) if hasattr(semid.tokenizers, "UniqueTokenizer") else None


def _contender_of_ours(class_name, label, build):
    is_there = hasattr(semid.tokenizers, class_name)
    return Contender(class_name + label, "semid", build, any_number) if is_there else None


def _tokenizer(class_name, n_codebooks, codebook_size, seed, parameters):
    """Build one of our tokenizers with `parameters`, and of the other settings those that it has."""
    tokenizer = getattr(semid.tokenizers, class_name)(**parameters)
    settings = {"n_codebooks": n_codebooks, "codebook_size": codebook_size, "random_state": seed} | parameters
    return tokenizer.set_params(**{name: value for name, value in settings.items() if name in tokenizer.get_params()})


def any_number(n_codebooks, n_features):
    return True


def divisors(n_codebooks, n_features):
    return n_features % n_codebooks == 0


def peer(name, package, adapter, *, takes=any_number, **parameters):
    """Return a contender of another project: an `adapter` from `peers` with `parameters`."""
    return Contender(name, package, partial(adapter, **parameters), takes)


REFINED = {"beam_size": 16, "n_refinements": 50}

CONTENDERS = [
    ours("ResidualKMeansTokenizer"),
    ours("ResidualKMeansTokenizer", ", beam 8", beam_size=8),
    ours("ResidualKMeansTokenizer", ", refined", **REFINED),
    ours("RQVAETokenizer"),
    ours("MixtureOfCodesTokenizer"),
    ours("ParallelKMeansTokenizer"),
    ours("ParallelKMeansTokenizer", ", graded sizes", codebook_size="graded"),
    ours("ProductQuantizationTokenizer"),
    ours("FSQTokenizer"),
    unique("ResidualKMeansTokenizer"),
    unique("ResidualKMeansTokenizer", ", refined", **REFINED),
    unique("RQVAETokenizer"),
    ours("MultiEmbeddingTokenizer"),
    ours("VQVAETokenizer", ", one code"),
    ours("RandomTokenizer"),
    peer("faiss RQ, beam 1", "faiss-cpu", FaissResidualQuantizer, beam=1),
    peer("faiss RQ, beam 5", "faiss-cpu", FaissResidualQuantizer, beam=5),
    peer("faiss RQ, beam 1, plain k-means", "faiss-cpu", FaissResidualQuantizer, beam=1, train_type="default"),
    peer("faiss RQ, beam 5, plain k-means", "faiss-cpu", FaissResidualQuantizer, beam=5, train_type="default"),
    peer("faiss LSQ", "faiss-cpu", FaissLocalSearchQuantizer),
    peer("faiss OPQ", "faiss-cpu", FaissOPQ),
    peer("nanopq PQ", "nanopq", NanoPQ, takes=divisors),
    peer("nanopq OPQ", "nanopq", NanoPQ, takes=divisors, rotate=True),
    peer("semantic-id RQ-KMeans", "semantic-id", SemanticIDKMeans),
    peer("semantic-id RQ-VAE", "semantic-id", SemanticIDRQVAE),
    peer("semantic-id RQ-VAE, last epoch", "semantic-id", SemanticIDRQVAE, keep_last=True),
    peer("rectokens RQ-KMeans", "rectokens", RecTokensKMeans),
    peer("rectokens RQ-VAE", "rectokens", RecTokensRQVAE),
    peer("vector-quantize-pytorch ResidualVQ", "vector-quantize-pytorch", QuantizedMLPPeer, quantizer=residual_vq),
    peer("vector-quantize-pytorch ResidualFSQ", "vector-quantize-pytorch", QuantizedMLPPeer, quantizer=residual_fsq),
    peer("vector-quantize-pytorch FSQ", "vector-quantize-pytorch", QuantizedMLPPeer, quantizer=parallel_fsq),
]
CONTENDERS = {contender.name: contender for contender in CONTENDERS if contender and contender.is_installed()}


def _sources():
    """Return a short hash of our package's sources, so that figures of other code are not taken for these."""
    folder = Path(semid.__file__).parent
    return sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()[:8]
