"""The parts of the click models' docstrings that all of them share; `BaseCTRClassifier` puts them in."""

_COLUMNS = """\
    Integer, text, boolean and category columns are fields with an embedding per category. Columns of lists (genres,
    tags) are fields as well, the mean of the embeddings of their entries. Float columns are numeric fields,
    standardised, with one embedding that is multiplied by the value; a number that lies farther beyond the range of
    training than that is wide counts as the nearest that does not. Float columns that are numbered from 0, eight or
    more under one prefix, are a vector (the embedding of an item, say) and pass an MLP adapter. Columns named
    ``<prefix>_code0``, ``<prefix>_code1``, ..., as `SemanticIDEncoder` names them, are the codes of one item, mixed by
    a fusion. Columns of histories, as `HistoryEncoder` makes them, are fields too: the user's earlier items, whose
    embeddings are those that the same items and codes have as candidates, pooled. Dates are refused: make fields of
    them.

    1, 1.0 and True are one category, whatever the dtype; "1" and "01" are two others, of text.

    A missing category is a category of its own, as is an empty list. A missing number counts as the mean; if there were
    some in `fit`, a field of its own says that it is missing. Categories that were not there in `fit` share an
    embedding, which is zero unless `min_frequency` or rare categories train it.
"""

_HIDDEN = """\
    hidden_layer_sizes : sequence of int, default (256, 128)
        Widths of the MLP's hidden layers; empty for a linear map.
"""

_FUSION = """\
    fusion : str or class, default "gate"
        How the embeddings of an item's codes are mixed before anything else sees them. ``"concat"``: they are not.
        ``"sum"``, ``"mean"``: drawn to their sum or mean, by learned shares. ``"gate"``: scaled by a gate that sees all
        of them. ``"se"``: scaled, each as a whole, by squeeze and excitation. ``"residual"``, ``"mlp"``: corrected by a
        bottleneck or a full hidden layer that sees all of them. ``"attention"``: corrected by self-attention. Every one
        starts as the identity. Or a class of torch modules, called as ``fusion(n_codes, embedding_dim, 32)``, the last
        for a bottleneck, which maps (B, n_codes, embedding_dim) to the same shape; its random layers draw from torch's
        global generator. Other fields are fused if they are named in `code_features`.
"""

_SETS = """\
    n_embedding_sets : int, default 1
        Sets of embeddings, each with an interaction and a first layer of its own, whose mean goes on (Multi-Embedding,
        Guo et al., 2024, arXiv:2310.04400).
"""

_HISTORIES = """\
    history_pooling : {"mean", "attention"}, default "attention"
        What becomes of a history, field by field. ``"mean"``: the mean of its items' embeddings. ``"attention"``: items
        count by how much they are like the candidate, by a softmax of scaled dot products that starts as the mean. An
        item that is not known adds nothing, an empty history is zero.
"""

_COLUMN_PARAMETERS = """\
    categorical_features : "auto", None, list of str or int, or mask of bool, default "auto"
        Columns to use as categories. ``"auto"``: all but float columns. A float column that is named here must hold
        whole numbers. Codes are categories in any case.
    code_features : "auto", None, list of str or int, or mask of bool, default "auto"
        Columns that hold the codes of one item. ``"auto"``: those named ``code<n>`` or ``<prefix>_code<n>``, one group
        per prefix.
    vector_features : "auto", None, list of str or int, or mask of bool, default "auto"
        Float columns that are one vector. ``"auto"``: those numbered from 0 under one prefix, if they are at least
        eight.
    vector_fields : int, default 1
        Fields that the adapter makes of a vector.
    min_frequency : int, default 1
        Categories met in fewer rows of `fit` are treated as unknown.
"""

_DROPOUT = """\
    dropout : float, default 0.0
        Share of the MLP's hidden units dropped in training.
"""

_TRAINING = """\
    max_iter : int, default 30
        Number of epochs at most.
    batch_size : int or "auto", default "auto"
        Impressions per gradient step; ``"auto"`` is a fiftieth of the data, at least 64 and at most 2048.
    learning_rate : float, default 0.006
        Of Adam.
    forgetting : float, default 1.0
        Pace at which weights forget in `fit`, a little in every step: the embeddings of rare categories within about an
        epoch, those of frequent ones and the network's matrices more slowly. Meeting an impression again, an embedding
        then has little memory of it, and the network learns from embeddings as they are for new impressions. Twice the
        value, twice the rate; 0 forgets nothing, as does `partial_fit`, which meets impressions once. First-order
        weights have a Gaussian prior in its place: as wide as click rates differ between the categories of a field.
        Worth searching, from 0.3 to 3.
    class_weight : dict, "balanced" or None, default None
        Weight of each class, as in scikit-learn; multiplies `sample_weight`.
    validation : float, "auto", "last" or None, default "auto"
        What is held out of each class, to stop when its AUC no longer rises, to keep the best epoch, and to calibrate
        the probabilities (Platt scaling): that share, at random; ``"auto"``: a tenth at random, but no more than 5,000
        impressions of the rarer class, and nothing with 1,000 impressions or fewer; ``"last"``: such a tenth from the
        end, of rows in the order of time, however few there are. One more epoch from the best weights then learns all
        impressions, if a twentieth or more was held out. A ConvergenceWarning says so where the model ranks held-out
        impressions no better than click rates alone (``rates_auc`` of ``history_``). None: all of `max_iter` epochs are
        run, and probabilities are not calibrated.
    n_iter_no_change : int, default 5
        Epochs without a better AUC before early stopping; three times as many while the model ranks no better than
        click rates, since interactions may be about to be found.
    warm_start : bool, default False
        Another `fit` goes on from the weights of the last; new categories get rows of their own. Columns, and the
        parameters that decide what becomes of them and of what the model is built, must stay; `dropout` may change.
    checkpoint_dir : str, path-like or None, default None
        Folder in which `fit` keeps its state after every epoch. Killed at any moment, the same call on the same data
        goes on after the last complete epoch and ends with the same probabilities; `random_state` must be an int. The
        file, about five times as large as the weights, is removed when the fit completes. One fit at a time: that of
        other parameters or data is refused as long as the file is there. What callbacks have gathered is kept if it is
        numbers, text or tensors, or has a ``state_dict``; random layers of a `fusion` class are not part of it.
    callbacks : sequence of skorch callbacks, default ()
        Copied before use. The net that they are given trains ``module_``; what predicts is ``average.module``. Its
        history has ``train_loss``, ``valid_loss`` and ``valid_auc``, and whether each is the best so far
        (``valid_auc_best``). A callback may end the training, as `EarlyStopping` does; those that score with the net or
        load weights at the end are refused.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU. Decided at each call, not stored.
    random_state : int, RandomState instance or None, default None
        Seed of the weights, the held-out part and the batches. The same seed gives the same model on the same machine
        with as many threads, on several processes too, see `distributed_fit`.
    verbose : bool, default False
        Show a progress bar with loss and held-out AUC.
"""

_ATTRIBUTES = """\
    calibration_ : dict of float
        ``scale`` and ``shift`` of the logits, 1 and 0 where nothing was held out.
    classes_ : ndarray of shape (2,)
        The two labels; probabilities are those of the second.
    encoder_ : object
        What has become of the columns: ``names_``, ``vocabularies_`` (the categories of each field and list),
        ``code_groups_`` (the fields that are the codes of one item, a slice per item column; empty where no codes were
        found), ``means_`` and ``scales_`` of numbers, ``histories_`` (the columns of histories, and which fields of
        the candidate each shares its embeddings with).
    fields_ : named tuple
        What the module is built for: ``shapes`` of the fields, ``fusion_groups`` (slices of fields that are fused),
        ``fusion_query`` (None) and ``base_logit`` (the log-odds of the share of clicks).
    history_ : dict of ndarray of shape (n_epochs,)
        ``train_loss`` and, with a part held out, ``valid_loss``, ``valid_auc`` and ``rates_auc``, of the last call. The
        last is the yardstick, the same for all epochs: the held-out AUC of click rates of all categories, added up
        as log-odds: each field's say what those of few categories have left over, smoothed by how much they differ.
    n_iter_ : int
        Number of epochs run in the last call.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if `X` had names of type str.
    state_ : dict of ndarray
        The fitted weights by name.
"""

_DIM = """\
    embedding_dim : int, default 16
        Width of the embedding of a category, a code or a numeric field.
"""

SHARED_PARTS = {
    "columns": _COLUMNS,
    "inputs": _DIM + _HIDDEN + _FUSION + _SETS + _HISTORIES + _COLUMN_PARAMETERS + _DROPOUT,
    "inputs of din": _DIM + _HIDDEN.replace("(256, 128)", "(200, 80)") + _FUSION + _COLUMN_PARAMETERS + _DROPOUT,
    "inputs without network": _DIM + _FUSION + _HISTORIES + _COLUMN_PARAMETERS,
    "training": _TRAINING,
    "attributes": _ATTRIBUTES,
}
