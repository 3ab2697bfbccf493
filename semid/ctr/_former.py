"""Parameters of click models that 0.1.0 had, and what stands in their place."""

from semid.ctr._fitting import EMBEDDING_PACE

_SHARE = 0.1  # its `validation_fraction`, where nobody had chosen one

REMOVED = {
    "fusion_scope": "Name the columns to fuse in code_features.",
    "fusion_rank": "It is 32; a fusion class of your own may take another.",
    "fusion_query": "The codes ask one another; for a query, pass a class of torch modules as fusion.",
    "adapter_width": "The adapter of a vector has 64 hidden units.",
    "hash_buckets": "Hash the column before, pd.util.hash_array(X[column].to_numpy()) % n, or raise min_frequency.",
    "embedding_init_std": "Embeddings start with a standard deviation of 0.05.",
    "code_embedding_init": "Embeddings of codes start at random; from their codebooks they ranked no better.",
    "embedding_optimizer": "Embeddings are trained by lazy Adam, at a cost that depends on the batch alone.",
    "embedding_learning_rate": "learning_rate is that of all weights.",
    "l2": "Raise forgetting to hold weights closer to zero.",
    "embedding_l2": "Raise forgetting to hold embeddings closer to zero.",
    "embedding_forgetting": "forgetting is the pace of embeddings and network; 1.0 is what was 0.9 here.",
    "network_forgetting": "forgetting is the pace of embeddings and network; 1.0 is what was 0.6 here.",
    "max_gradient_norm": "Pass callbacks=[skorch.callbacks.GradientNormClipping(...)].",
    "weight_averaging": "The weights that predict are always averaged, over three quarters of an epoch.",
    "early_stopping": "Pass validation=None for early_stopping=False, a share such as validation=0.1 for True.",
    "validation_fraction": "Pass the share as validation.",
}


def in_place_of_removed(former):
    """Return attributes of today for those that a model of 0.1.0 has."""
    pace = former.get("embedding_forgetting", "auto")
    return {"validation": _validation(former), "forgetting": 1.0 if pace == "auto" else pace / EMBEDDING_PACE}


def _validation(former):
    stops_early, share = former.get("early_stopping", "auto"), former.get("validation_fraction", "auto")
    if stops_early is False:
        return None
    if former.get("validation") == "last":
        return "last"
    if share in ("auto", _SHARE):
        return "auto" if stops_early == "auto" else _SHARE
    return share
