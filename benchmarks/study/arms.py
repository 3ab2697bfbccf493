"""What the study compares: what each arm adds to an impression beside its fields, and how its click model is built.

An arm is one row of `ARMS`. Its columns are a table with one row per item of the catalogue, joined on the item: columns
``item_code<n>`` are codes, columns ``item_vector_<n>`` are a vector. All arms share everything else.
"""

from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import Memory

from semid.embedders import CoClickEmbedder
from semid.features import interaction_embeddings, interaction_matrix
from semid.metrics import reconstruction_r2
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    MultiEmbeddingTokenizer,
    ParallelKMeansTokenizer,
    ProductQuantizationTokenizer,
    RandomTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    VQVAETokenizer,
    graded_sizes,
    presets,
)

EMBEDDING_DIM = 16
# Epochs, as many as an arm needs to rank as it does after long training. What knows nothing of an item but its id sits
# on a plateau where only what is popular is learned, and goes on learning long after; vectors, and codes of
# autoencoders and of parts of a vector, leave it later than codes of clusters; codes that follow the clicks gain for
# longer.
EPOCHS, LONGER, LONG = 6, 10, 16
INTERACTION_WEIGHT = 1.5  # of interaction embeddings beside the text's, both of unit variance

_memory = Memory(None)


def keep_codes_in(folder):
    """Keep fitted codes in `folder`, so that a tokenizer is fitted once for all models and settings."""
    global _memory
    _memory = Memory(folder, verbose=0)


class Arm(NamedTuple):
    label: str
    role: str  # "ours", "baseline" or "control"
    columns: Callable  # (data, n_codes, seed) → DataFrame of one row per item, or None
    parameters: Callable = lambda data, n_codes: {}  # of the click model
    n_epochs: int = EPOCHS
    without: tuple = ()  # fields that the click model is not given


class Reference(NamedTuple):
    """What ranks by the number of an item's clicks in training, without a model."""

    label: str
    sign: int


REFERENCES = {
    "popular": Reference("most clicks in training first", 1),
    "unpopular": Reference("fewest clicks in training first", -1),
}


def _nothing(data, n_codes, seed):
    return None


def _of_one_value(data):
    """Return the fields that are no lists, as codes must be."""
    return [field for field in data.fields if np.ndim(data.train[field].iloc[0]) == 0]


def _vector(X_of):
    def columns(data, n_codes, seed):
        X = X_of(data, n_codes, seed)
        return pd.DataFrame(X, columns=[f"item_vector_{n}" for n in range(X.shape[1])])

    return columns


def _text(data):
    return data.embeddings


def _codes(tokenizer_of, X_of=_text, alignment_of=None):
    """Return the columns of an arm whose codes are those of ``tokenizer_of(n_codes, seed)``."""

    def columns(data, n_codes, seed):
        fit = {} if alignment_of is None else {"alignment": alignment_of(data)}
        codes, r2 = _memory.cache(_fit_codes)(tokenizer_of(n_codes, seed), X_of(data), fit)
        return _as_columns(codes, r2)

    return columns


def _co_click_vectors(data, n_codes, seed):
    """What the `CoClickEmbedder` makes, (n_items, 64 + 384), fitted once for all numbers of codes."""
    clicks = data.train[data.train["click"] == 1]
    embedder = CoClickEmbedder(random_state=seed)
    return _memory.cache(_fit_vectors)(embedder, data.embeddings, interaction_matrix(clicks, data.item_ids))


def _fit_vectors(embedder, X, interactions):
    with short_products():
        return embedder.fit_transform(X, interactions=interactions)


@contextmanager
def short_products():
    """Products of matrices in bfloat16, where the processor has them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _co_click_codes(data, n_codes, seed):
    codes, r2 = _memory.cache(_fit_codes)(_graded_kmeans(n_codes, seed), _co_click_vectors(data, n_codes, seed), {})
    return _as_columns(codes, r2)


def _fit_codes(tokenizer, X, fit):
    """Return the codes of all items, and the R² of what they stand for."""
    codes = tokenizer.fit(X, **fit).transform(X)
    return codes, reconstruction_r2(X, tokenizer.inverse_transform(codes))


def _as_columns(codes, r2):
    columns = pd.DataFrame(codes, columns=[f"item_code{n}" for n in range(codes.shape[1])])
    columns.attrs["r2"] = r2
    return columns


def _repeated_kmeans(size, X_of=_text):
    def columns(data, n_codes, seed):
        one = _codes(lambda n, seed: ParallelKMeansTokenizer(1, size, random_state=seed), X_of)(data, 1, seed)
        return _as_columns(np.repeat(one.to_numpy(), n_codes, axis=1), one.attrs["r2"])

    return columns


def _shuffled(columns):
    def shuffled(data, n_codes, seed):
        order = np.random.default_rng(seed).permutation(len(data.item_ids))
        codes = columns(data, n_codes, seed)
        return _as_columns(codes.to_numpy()[order], np.nan)

    return shuffled


def _hashed_ids(data, n_codes, seed):
    """Ids put at random into as many rows as the graded codebooks have together: what else saves rows."""
    rows = np.random.default_rng(seed).integers(sum(graded_sizes(n_codes)), size=len(data.item_ids))
    return pd.DataFrame({"item_row": rows})


def _interactions(data):
    """Embeddings of the training clicks, (n_items, 64); NaN for items without any."""
    clicks = data.train[data.train["click"] == 1]
    return interaction_embeddings(clicks, data.item_ids, random_state=0)


def _text_and_interactions(data):
    """Embeddings of texts and training clicks side by side; an item without clicks has those its text predicts."""
    text, interactions = _unit(data.embeddings), _interactions(data)
    known = np.isfinite(interactions[:, 0])
    gram = text[known].T @ text[known] + 100 * np.eye(text.shape[1])
    predicted = text @ np.linalg.solve(gram, text[known].T @ interactions[known])
    filled = np.where(known[:, None], interactions, predicted)
    return np.hstack([text, INTERACTION_WEIGHT * _unit(filled)]).astype(np.float32)


def _side_by_side(*parts):
    """Return the columns of several arms, as one arm's."""

    def columns(data, n_codes, seed):
        frames = [part(data, n_codes, seed) for part in parts]
        both = pd.concat(frames, axis=1)
        both.attrs = frames[0].attrs
        return both

    return columns


def _unit(X):
    X = X - X.mean(axis=0)
    return X / np.sqrt(np.square(X).sum(axis=1).mean())


def _graded_kmeans(n, seed):
    return ParallelKMeansTokenizer(n, random_state=seed)


def _ranking(n, seed):
    return presets.ranking(n_codebooks=n, random_state=seed)


ARMS = {
    "none": Arm("no codes", "control", _nothing, n_epochs=LONG),
    "random": Arm(
        "random codes",
        "control",
        _codes(lambda n, seed: RandomTokenizer(n, "graded", random_state=seed)),
        n_epochs=LONG,
    ),
    "shuffled": Arm("codes shuffled over items", "control", _shuffled(_codes(_graded_kmeans)), n_epochs=LONG),
    "fusion": Arm(
        "no codes, fusion", "baseline", _nothing, lambda data, n: {"code_features": _of_one_value(data)}, LONG
    ),
    "wide": Arm(
        "no codes, embeddings as wide as all codes together",
        "baseline",
        _nothing,
        lambda data, n: {"embedding_dim": EMBEDDING_DIM * (len(data.fields) + n) // len(data.fields)},
        LONG,
    ),
    "sets": Arm("no codes, Multi-Embedding", "baseline", _nothing, lambda data, n: {"n_embedding_sets": n}, LONG),
    "adapter": Arm("embedding, MLP adapter", "baseline", _vector(lambda data, n, seed: _text(data)), n_epochs=LONGER),
    "adapters": Arm(
        "embedding, MLP adapter to n fields",
        "baseline",
        _vector(lambda data, n, seed: _text(data)),
        lambda data, n: {"vector_fields": n},
        LONGER,
    ),
    "adapters_joint": Arm(
        "embeddings of text and clicks, MLP adapter to n fields",
        "baseline",
        _vector(lambda data, n, seed: _text_and_interactions(data)),
        lambda data, n: {"vector_fields": n},
        LONGER,
    ),
    "single": Arm(
        "one code (VQ-VAE)", "baseline", _codes(lambda n, seed: VQVAETokenizer(random_state=seed)), n_epochs=LONGER
    ),
    "repeat_vq": Arm(
        "one code repeated (VQ-VAE, the paper's ME)",
        "baseline",
        _codes(lambda n, seed: MultiEmbeddingTokenizer(n, random_state=seed)),
        n_epochs=LONGER,
    ),
    "repeat_64": Arm("one code repeated (k-means, 64)", "baseline", _repeated_kmeans(64)),
    "repeat_256": Arm("one code repeated (k-means, 256)", "baseline", _repeated_kmeans(256)),
    "repeat_joint": Arm(
        "one code repeated (k-means, 256), text and clicks", "baseline", _repeated_kmeans(256, _text_and_interactions)
    ),
    "pq": Arm(
        "product quantization",
        "baseline",
        _codes(lambda n, seed: ProductQuantizationTokenizer(n, rotation="pca_balanced", random_state=seed)),
        n_epochs=LONGER,
    ),
    "opq": Arm(
        "optimized product quantization",
        "baseline",
        _codes(lambda n, seed: ProductQuantizationTokenizer(n, rotation="opq", random_state=seed)),
    ),
    "residual": Arm(
        "residual k-means", "baseline", _codes(lambda n, seed: ResidualKMeansTokenizer(n, random_state=seed))
    ),
    "rqvae": Arm("RQ-VAE", "baseline", _codes(lambda n, seed: RQVAETokenizer(n, random_state=seed)), n_epochs=LONGER),
    "rqvae_aligned": Arm(
        "RQ-VAE, aligned with clicks",
        "baseline",
        _codes(
            lambda n, seed: RQVAETokenizer(n, random_state=seed),
            alignment_of=_interactions,
        ),
        n_epochs=LONGER,
    ),
    "moc": Arm(
        "MoC",
        "baseline",
        _codes(lambda n, seed: MixtureOfCodesTokenizer(n, random_state=seed)),
        n_epochs=LONGER,
    ),
    "moc_graded": Arm(
        "MoC, graded sizes",
        "baseline",
        _codes(lambda n, seed: MixtureOfCodesTokenizer(n, "graded", random_state=seed)),
        n_epochs=LONGER,
    ),
    "parallel": Arm(
        "parallel k-means, equal sizes",
        "baseline",
        _codes(lambda n, seed: ParallelKMeansTokenizer(n, 256, random_state=seed)),
    ),
    "graded": Arm("parallel k-means, graded sizes", "ours", _codes(_graded_kmeans)),
    "moc_whole": Arm("MoC, graded sizes, whole latent", "ours", _codes(_ranking)),
    "moc_aligned": Arm(
        "MoC, graded sizes, whole latent, aligned with clicks",
        "ours",
        _codes(_ranking, alignment_of=_interactions),
    ),
    "graded_joint": Arm(
        "parallel k-means, graded sizes, text and clicks", "ours", _codes(_graded_kmeans, X_of=_text_and_interactions)
    ),
    "co_clicks": Arm("co-click embeddings, k-means of graded sizes", "ours", _co_click_codes, n_epochs=LONGER),
    "alone": Arm(
        "co-click codes without the item's id", "ours", _co_click_codes, n_epochs=LONGER, without=("item_id",)
    ),
    "hashed": Arm(
        "ids hashed into as many rows as the codes have", "control", _hashed_ids, n_epochs=LONG, without=("item_id",)
    ),
    "adapters_co_clicks": Arm(
        "co-click embeddings, MLP adapter to n fields",
        "ours",
        _vector(_co_click_vectors),
        lambda data, n: {"vector_fields": n},
        LONGER,
    ),
    "hybrid_co_clicks": Arm(
        "codes of co-click embeddings beside the vectors of text and clicks",
        "ours",
        _side_by_side(_co_click_codes, _vector(lambda data, n, seed: _text_and_interactions(data))),
        lambda data, n: {"vector_fields": n},
        LONGER,
    ),
    "hybrid": Arm(
        "MoC, aligned, beside embeddings of text and clicks",
        "ours",
        _side_by_side(
            _codes(_ranking, alignment_of=_interactions), _vector(lambda data, n, seed: _text_and_interactions(data))
        ),
        lambda data, n: {"vector_fields": n},
        LONGER,
    ),
}
