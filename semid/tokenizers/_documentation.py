"""The parts of the tokenizers' docstrings that several share; `EmbeddingsToCodes` puts them in."""

_CODEBOOK_SIZE = """\
    codebook_size : int, list of int, or "graded", default {default:codebook_size}
        Number of codes per codebook: one int for all, one int per codebook, or ``"graded"`` for sizes from coarse to
        fine (see `graded_sizes`).
"""

_HIDDEN = """\
    hidden_layer_sizes : sequence of int, default {default:hidden_layer_sizes}
        Widths of the encoder's hidden layers; the decoder mirrors them.
"""

_CODE_VECTORS = """\
    assignment : {"nearest", "sinkhorn"}, default "nearest"
        ``"sinkhorn"`` balances the codes in training: a code that too many items come near gets a price that is added
        to its distance. Prices stay with the codebook, so that an item's codes never depend on its batch.
    commitment_weight : float, default {default:commitment_weight}
        Weight of the commitment loss, which pulls what a codebook sees towards its code vectors.
"""

_TERMS = """\
    separation_weight : float, default {default:separation_weight}
        Weight of a term that pushes apart the latents of items that shared all codes in the last epoch. Between 1 and
        10, it trades reconstruction for codes of their own.
    alignment_weight : float, default {default:alignment_weight}
        Weight of the contrastive term with a second embedding; read where `fit` is given ``alignment``.
"""

_DEVICE = """\
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU. Decided at each call, not stored.
"""

_TRAINING = f"""\
    max_iter : int, default {{default:max_iter}}
        Number of epochs, at most.
    batch_size : int, default {{default:batch_size}}
        Items per gradient step.
    learning_rate : float, default {{default:learning_rate}}
        Of AdamW at the first step; falls to zero along a half cosine.
    mixup : float, default {{default:mixup}}
        How far an embedding moves towards another random item's in training, as a share of the way at most (mixup,
        arXiv:1710.09412). Items that were not there in `fit` lie between those that were: more of it brings their
        reconstruction closer to that of the fitted items, which gets worse.
    validation : float or None, default None
        Share of the items that are held out, to stop when their reconstruction gets no better, and to keep the best
        epoch. None holds nothing out: all epochs are run, and every item is learned from.
    n_iter_no_change : int, default {{default:n_iter_no_change}}
        Epochs without a better held-out reconstruction after which training stops; read with `validation` only.
    warm_start : bool, default False
        Whether `fit` goes on from the fitted codebooks instead of starting anew.
    checkpoint_dir : str, path-like or None, default None
        Folder in which `fit` keeps its state after every epoch. Killed at any moment, the same call on the same data
        goes on after the last complete epoch and ends with the same codes; `random_state` must be an int. The file,
        about four times as large as the weights, is removed when the fit completes. One fit at a time: that of other
        parameters or data is refused as long as the file is there.
{_DEVICE}\
    random_state : int, RandomState instance or None, default None
        Seed of the start, the MLPs and the batches. An int makes codes the same in every run with as many
        threads, by which sums are rounded; on CUDA up to the rounding of its sums. See `distributed_fit`.
    verbose : bool, default False
        Show a progress bar with the loss, R² and mean codebook usage.
"""

_KMEANS = f"""\
{_DEVICE}\
    random_state : int, RandomState instance or None, default None
        Seed of the k-means starts. An int makes codes the same in every run with as many threads, by which sums are
        rounded; on CUDA up to the rounding of its sums.
    verbose : bool, default False
        Show a progress bar with R² and codebook usage.
"""

_SIZES = """\
    codebook_sizes_ : list of int
        Number of codes per codebook after cutting to the number of distinct items.
"""

_STATE = """\
    n_features_in_ : int
        Width of the embeddings seen in `fit`.
    state_ : dict of ndarray
        The fitted model by name.
"""

_HISTORY = f"""\
    history_ : dict of ndarray
        Per epoch: ``loss``, ``reconstruction_loss``, ``codebook_loss`` and ``commitment_loss`` (of standardised
        embeddings, means over items), ``r2``, ``usage`` and ``perplexity`` (n_epochs, n_codebooks), the share and the
        effective number of codes met; with `validation` also ``validation_r2``. All but the last are as met in
        training, of embeddings that `mixup` has moved: `score` has the R² of the items themselves.
    n_iter_ : int
        Number of epochs run.
{_STATE}"""

_COST = """\
    Letters: n items of F features, N codebooks of K codes, D the width of the latent, W weights of encoder and decoder.
    Cost: O(n (W + {search})) time per epoch, and to encode; O(n F + W + {vectors}) memory, of the embeddings no more
    than 512 MB. The MLPs bound it: with the default layers, W is the larger part.
    Going on: `partial_fit` and ``warm_start=True`` are approximate, further epochs from where the codebooks are, and
    not the fit of all items at once; codes drift. From a `checkpoint_dir` a fit goes on exactly.
"""

_NO_GOING_ON = """\
    Going on: new items get codes without a fit, by the codebooks there are; codebooks that know them need another fit.
"""


def _cost(search, vectors):
    return _COST.replace("{search}", search).replace("{vectors}", vectors)


SHARED_PARTS = {
    "codebook_size": _CODEBOOK_SIZE,
    "hidden": _HIDDEN,
    "code_vectors": _CODE_VECTORS,
    "terms": _TERMS,
    "training": _TRAINING,
    "kmeans": _KMEANS,
    "sizes": _SIZES,
    "history": _HISTORY,
    "state": _STATE,
    "cost": _cost("N K D", "N K D"),
    "cost of one codebook": _cost("K D", "K D"),
    "cost without codebooks": _cost("D", "N K"),
    "no going on": _NO_GOING_ON,
}
