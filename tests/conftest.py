"""Small data, one thread and no figures left open, for all tests."""

import os
from pathlib import Path

# Before numpy and torch, and for the processes that tests start: threads of BLAS that wait for one another cost more
# than they bring on data as small as these, and most where other work is on the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # before scipy: without it scikit-learn skips a check in silence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from pandas.api import types
from sklearn.base import clone

from semid.base._live_module import LiveModule, build_seeded, export_state
from semid.ctr import DeepFMClassifier
from semid.datasets import make_clicks, make_items
from semid.features import ItemTable, SemanticIDEncoder
from semid.tokenizers import (
    FSQTokenizer,
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    VQVAETokenizer,
)

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_AUTOENCODER = {
    "codebook_size": 8,
    "hidden_layer_sizes": (16,),
    "latent_dim": 6,
    "max_iter": 3,
    "random_state": 0,
}
SMALL_TOKENIZERS = [
    FSQTokenizer(n_codebooks=3, codebook_size=8, hidden_layer_sizes=(16,), max_iter=3, random_state=0),
    MixtureOfCodesTokenizer(n_codebooks=3, **_AUTOENCODER),
    MultiEmbeddingTokenizer(n_codebooks=3, **_AUTOENCODER),
    ParallelKMeansTokenizer(n_codebooks=3, codebook_size=[2, 4, 8], random_state=0),
    ProductQuantizationTokenizer(n_codebooks=3, codebook_size=8, random_state=0),
    RQVAETokenizer(n_codebooks=3, **_AUTOENCODER),
    RandomTokenizer(n_codebooks=3, codebook_size=8, random_state=0),
    ResidualKMeansTokenizer(n_codebooks=3, codebook_size=8, random_state=0),
    VQVAETokenizer(**_AUTOENCODER),
]
UNIQUE_TOKENIZERS = [
    UniqueTokenizer(ResidualKMeansTokenizer(n_codebooks=3, codebook_size=8, random_state=0)),
    UniqueTokenizer(RandomTokenizer(n_codebooks=2, codebook_size=8, random_state=0), strategy="suffix"),
]


matplotlib.use("Agg")  # no windows
torch.set_num_threads(1)  # for fixtures of whole modules as well


def as_of_0_1_0(classifier, X, y, *, fusion_query=None, buckets=None, **architecture):
    """Return a click model, of random weights, that is built as 0.1.0 could build it and no later version does."""
    fitted = clone(classifier).fit(X, y)
    encoder, names = fitted.encoder_, [fitted.encoder_.names_[p] for p in fitted.encoder_.categorical_]
    names += [encoder.names_[p] for p in encoder.lists_]
    for column, n_buckets in (buckets or {}).items():
        encoder.vocabularies_[names.index(column)] = n_buckets
    fitted.fields_ = fitted.fields_._replace(shapes=encoder.shapes, fusion_query=fusion_query)
    assert fitted._architecture.keys() >= architecture.keys()
    of_then = {name: value for name, value in fitted._architecture.items() if name not in fitted._later_architecture}
    fitted._architecture = of_then | architecture
    fitted.set_params(**{name: value for name, value in architecture.items() if name in fitted.get_params()})
    fitted.state_ = export_state(build_seeded(fitted._build_module, seed=0))
    fitted._live = LiveModule()
    return fitted


@pytest.fixture(autouse=True)
def one_torch_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def figures_are_closed():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def items():
    return make_items(n_items=300, n_features=24, random_state=0)


@pytest.fixture(scope="session")
def clicks(items):
    return make_clicks(items, n_impressions=4000, n_users=100, random_state=0).frame


@pytest.fixture(scope="session")
def table(items):
    return ItemTable(items.frame["item_id"], items.embeddings)


@pytest.fixture(params=SMALL_TOKENIZERS, ids=lambda tokenizer: type(tokenizer).__name__)
def tokenizer(request):
    """Each tokenizer in turn, small and not fitted."""
    from sklearn.base import clone

    return clone(request.param)


@pytest.fixture
def classifier():
    return DeepFMClassifier(embedding_dim=4, hidden_layer_sizes=(8,), max_iter=2, random_state=0)


@pytest.fixture
def encoder(table):
    return SemanticIDEncoder(ResidualKMeansTokenizer(n_codebooks=2, codebook_size=8, random_state=0), items=table)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def rows_looked_at(monkeypatch):
    """The number of rows of each Index that is cast, and of each whose kind is inferred, in the order of the calls."""
    rows = []
    cast, infer = pd.Index.astype, types.infer_dtype
    monkeypatch.setattr(
        pd.Index, "astype", lambda index, *args, **kw: rows.append(len(index)) or cast(index, *args, **kw)
    )
    monkeypatch.setattr(types, "infer_dtype", lambda values, **kw: rows.append(len(values)) or infer(values, **kw))
    return rows
