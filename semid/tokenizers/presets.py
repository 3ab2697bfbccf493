"""Settings to start from, as unfitted tokenizers: published recipes, and what ranks clicks best.

The recipes set the shapes, losses and batches of their papers and scripts, without mixup; optimizer (AdamW along a half
cosine), start (PCA and k-means) and number of epochs stay those of this library, which needs tens of epochs where the
recipes run thousands. Keyword arguments override any setting.

Examples
--------
>>> from semid.tokenizers import presets
>>> presets.tiger(max_iter=50).n_codebooks
3
"""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from semid.embedders._co_click_embedder import CoClickEmbedder
from semid.tokenizers._mixture_of_codes import MixtureOfCodesTokenizer
from semid.tokenizers._parallel_kmeans import ParallelKMeansTokenizer
from semid.tokenizers._rqvae import RQVAETokenizer

__all__ = ["co_clicks", "lc_rec", "mixture_of_codes", "ranking", "tiger"]


def tiger(**parameters: Any) -> RQVAETokenizer:
    """Return the RQ-VAE of TIGER: 3 codes of 256, encoder 512-256-128-32 (Rajput et al., 2023, arXiv:2305.05065).

    Wrap it in ``UniqueTokenizer(..., strategy="suffix")`` for the paper's fourth code. Its Adagrad at 0.4 over 20,000
    epochs is replaced as said above.

    Parameters
    ----------
    **parameters : any
        Parameters of `RQVAETokenizer` that override the recipe's.

    Returns
    -------
    tokenizer : RQVAETokenizer

    Examples
    --------
    >>> from semid.tokenizers import UniqueTokenizer, presets
    >>> tokenizer = UniqueTokenizer(presets.tiger(random_state=0), strategy="suffix")
    >>> tokenizer.tokenizer.codebook_update
    'gradient'
    """
    recipe: dict[str, Any] = {
        "n_codebooks": 3,
        "codebook_size": 256,
        "hidden_layer_sizes": (512, 256, 128),
        "latent_dim": 32,
        "commitment_weight": 0.25,
        "codebook_update": "gradient",
        "batch_size": 1024,
        "mixup": 0.0,
    }
    return RQVAETokenizer(**recipe | parameters)


def lc_rec(**parameters: Any) -> RQVAETokenizer:
    """Return the RQ-VAE of LC-Rec: 4 codes of 256, encoder 2048-...-64-32, balanced (arXiv:2311.09049, its scripts).

    The scripts balance the last level only, within each batch; here every level is, by prices that hold for all items.

    Parameters
    ----------
    **parameters : any
        Parameters of `RQVAETokenizer` that override the recipe's.

    Returns
    -------
    tokenizer : RQVAETokenizer

    Examples
    --------
    >>> from semid.tokenizers import presets
    >>> presets.lc_rec(max_iter=50).assignment
    'sinkhorn'
    """
    recipe: dict[str, Any] = {
        "n_codebooks": 4,
        "codebook_size": 256,
        "hidden_layer_sizes": (2048, 1024, 512, 256, 128, 64),
        "latent_dim": 32,
        "commitment_weight": 0.25,
        "codebook_update": "gradient",
        "assignment": "sinkhorn",
        "batch_size": 1024,
        "mixup": 0.0,
    }
    return RQVAETokenizer(**recipe | parameters)


def mixture_of_codes(**parameters: Any) -> MixtureOfCodesTokenizer:
    """Return the tokenizer of the Mixture-of-Codes scripts: 7 codes of 256, projections to 32 (arXiv:2410.09560).

    The scripts' mean absolute error is a mean squared error here.

    Parameters
    ----------
    **parameters : any
        Parameters of `MixtureOfCodesTokenizer` that override the recipe's.

    Returns
    -------
    tokenizer : MixtureOfCodesTokenizer

    Examples
    --------
    >>> from semid.tokenizers import presets
    >>> presets.mixture_of_codes(n_codebooks=3)
    MixtureOfCodesTokenizer(batch_size=5000, commitment_weight=0.0,
                            hidden_layer_sizes=(512, 256), latent_dim=128,
                            learning_rate=0.0003, mixup=0.0, n_codebooks=3,
                            projection_dim=32)
    """
    recipe: dict[str, Any] = {
        "n_codebooks": 7,
        "codebook_size": 256,
        "hidden_layer_sizes": (512, 256),
        "latent_dim": 128,
        "projection_dim": 32,
        "commitment_weight": 0.0,
        "learning_rate": 3e-4,
        "batch_size": 5000,
        "mixup": 0.0,
    }
    return MixtureOfCodesTokenizer(**recipe | parameters)


def ranking(**parameters: Any) -> MixtureOfCodesTokenizer:
    """Return the Mixture-of-Codes tokenizer whose codes of embeddings alone were the best for click models.

    Seven codebooks of graded sizes, each of which sees the whole latent: every code is a good clustering of the items,
    and they differ by how coarse they are. With projections, as in the paper's scripts, codebooks differ by what they
    see, tell more items apart, and each says less of an item. Better aligned with clicks,
    ``SemanticIDEncoder(presets.ranking(), items=table, user="user_id")``, and where there are clicks `co_clicks` is
    better still; :doc:`the study </study>` has the figures. Many items share all their codes: keep the item id as a
    field beside them.

    Parameters
    ----------
    **parameters : any
        Parameters of `MixtureOfCodesTokenizer` that override these.

    Returns
    -------
    tokenizer : MixtureOfCodesTokenizer

    Examples
    --------
    >>> from semid.tokenizers import presets
    >>> tokenizer = presets.ranking(random_state=0)
    >>> tokenizer.codebook_size, tokenizer.projection_dim
    ('graded', None)
    """
    recipe: dict[str, Any] = {"n_codebooks": 7, "codebook_size": "graded", "projection_dim": None, "latent_dim": 64}
    return MixtureOfCodesTokenizer(**recipe | parameters)


def co_clicks(
    n_codebooks: int = 7, *, codebook_size: Any = "graded", random_state: Any = None, **parameters: Any
) -> Pipeline:
    """Return a `CoClickEmbedder` before k-means of graded sizes: codes of a space that follows what users click.

    The best codes for click models that this project knows, :doc:`the study </study>` has the figures. They want
    clicks, ``SemanticIDEncoder(presets.co_clicks(), items=table, user="user_id")``, or
    ``fit(X, embedder__interactions=interaction_matrix(log, ids))``. Many items share all their codes: keep the item id
    as a field beside them.

    Parameters
    ----------
    n_codebooks : int, default 7
        Number of codes per item.
    codebook_size : int, list of int, or "graded", default "graded"
        Of the `ParallelKMeansTokenizer`.
    random_state : int, RandomState instance or None, default None
        Of both steps.
    **parameters : any
        Parameters of `CoClickEmbedder`.

    Returns
    -------
    tokenizer : Pipeline
        Steps ``embedder`` and ``tokenizer``.

    Examples
    --------
    >>> from semid.tokenizers import presets
    >>> presets.co_clicks(n_codebooks=3, random_state=0)["tokenizer"]
    ParallelKMeansTokenizer(n_codebooks=3, random_state=0)
    """
    embedder = CoClickEmbedder(random_state=random_state, **parameters)
    tokenizer = ParallelKMeansTokenizer(n_codebooks, codebook_size, random_state=random_state)
    return Pipeline([("embedder", embedder), ("tokenizer", tokenizer)])
