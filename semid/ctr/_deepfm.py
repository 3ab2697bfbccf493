"""DeepFM (Guo et al., 2017, "DeepFM: A factorization-machine based neural network for CTR prediction", IJCAI).

Letters: B impressions, C categorical and M numeric fields, F = C + M, d width of an embedding.
"""

import torch
from torch import nn

from semid._checks import check_integer, check_option
from semid.ctr._base import BaseCTRClassifier
from semid.nn._fields import FieldEmbedding
from semid.nn._fusions import FUSIONS, FieldFusion
from semid.nn._interactions import factorization_machine
from semid.nn._mlp import MLP


class DeepFM(nn.Module):
    """Logit = bias + Σ_f w_f[x_f] + Σ_{f<g} <e_f, e_g> + MLP([e_1, ..., e_F]).

    The first-order weights w have a table of their own; the codes' embeddings pass the fusion before every branch
    that uses embeddings.

    Shape: categories (B, C) int64, numbers (B, M) → (B,)
    """

    def __init__(self, fields, *, embedding_dim, hidden_layer_sizes, dropout, fusion, fusion_rank, embedding_init_std):
        super().__init__()
        n_fields = len(fields.vocabulary_sizes) + fields.n_numeric
        self.bias = nn.Parameter(torch.tensor(fields.base_logit))
        self.first_order = FieldEmbedding(fields.vocabulary_sizes, fields.n_numeric, 1, init_std=0.0)
        self.embedding = FieldEmbedding(fields.vocabulary_sizes, fields.n_numeric, embedding_dim, embedding_init_std)
        self.fusion = FieldFusion(fusion, fields.code_groups, embedding_dim, fusion_rank)
        self.mlp = MLP((n_fields * embedding_dim, *hidden_layer_sizes), dropout)
        self.head = nn.Linear((n_fields * embedding_dim, *hidden_layer_sizes)[-1], 1, bias=False)

    def forward(self, categories, numbers):
        first_order = self.first_order(categories, numbers).sum((1, 2))  # (B,)
        e = self.fusion(self.embedding(categories, numbers))  # (B, F, d)
        deep = self.head(self.mlp(e.flatten(1))).squeeze(1)  # (B,)
        return self.bias + first_order + factorization_machine(e) + deep


class DeepFMClassifier(BaseCTRClassifier):
    """Click model for tables of fields: first-order weights, a factorization machine and an MLP, summed.

    Integer, text, boolean and category columns are fields with an embedding per category; float columns are numeric
    fields, standardised (and clipped at a million standard deviations), with one embedding that is multiplied by the
    value. Columns named ``<prefix>_code0``, ``<prefix>_code1``, ..., as `SemanticIDEncoder` names them, are the codes
    of one item, mixed by a fusion. Values that were not there in `fit` share an embedding of their own, which is zero
    unless `min_frequency` trains it.

    Guo et al., 2017, IJCAI ("DeepFM", equations 1 to 4, from memory); the fusions are those of Mixture-of-Codes
    (arXiv:2410.09560v1).

    Parameters
    ----------
    embedding_dim : int, default 16
        Width of the embedding of a category, a code or a numeric field.
    hidden_layer_sizes : sequence of int, default (256, 128)
        Widths of the MLP's hidden layers; empty for a linear map.
    fusion : {"gate", "residual", "concat"}, default "gate"
        How the codes of an item are mixed: scaled by a gate that sees all of them, corrected by a residual that sees
        all of them, or left as they are. Every fusion starts as the identity.
    fusion_rank : int, default 32
        Width of the fusion's bottleneck.
    categorical_features : "auto", None, list of str or int, or boolean mask, default "auto"
        Columns to use as categories. ``"auto"``: all but float columns. A float column that is named here must hold
        whole numbers. Codes are categories in any case.
    code_features : "auto", None, or list of str or int, default "auto"
        Columns that hold the codes of one item. ``"auto"``: those named ``code<n>`` or ``<prefix>_code<n>``, one group
        per prefix.
    min_frequency : int, default 1
        Categories met fewer times in `fit` are treated as unknown.
    dropout : float, default 0.0
        Share of the MLP's hidden units dropped in training.
    embedding_init_std : float, default 0.01
        Standard deviation of the embeddings at the start.
    max_iter : int, default 30
        Number of epochs at most.
    batch_size : int or "auto", default "auto"
        Impressions per gradient step; ``"auto"`` is a fiftieth of the data, at least 64 and at most 2048.
    learning_rate : float, default 0.006
        Of Adam.
    weight_decay : float, default 0.0001
        L2 penalty inside Adam's gradient, over all weights at every step, so that rarely met categories shrink.
    weight_averaging : float, default 0.99
        Decay per step of the exponential moving average of the weights that predicts; 0 for the last weights.
    early_stopping : bool or "auto", default "auto"
        Hold out a part of each class, stop when its AUC no longer rises, keep the best epoch, and calibrate the
        probabilities on it (Platt scaling). ``"auto"``: with more than 1,000 impressions. Without it, all of `max_iter`
        epochs are run, and a model of many rare categories becomes too sure of itself.
    validation_fraction : float, default 0.1
        Share held out for early stopping.
    n_iter_no_change : int, default 2
        Epochs without a better AUC before early stopping.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU. Decided at each call, not stored.
    random_state : int, RandomState instance or None, default None
        Seed of the weights, the held-out part and the batches.
    verbose : bool, default False
        Print a line per epoch.

    Attributes
    ----------
    calibration_ : dict of float
        ``scale`` and ``shift`` of the logits, 1 and 0 without early stopping.
    classes_ : ndarray of shape (2,)
        The two labels; probabilities are those of the second.
    history_ : dict of ndarray of shape (n_epochs,)
        ``train_loss`` and, with early stopping, ``valid_loss`` and ``valid_auc``.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if `X` had names of type str.
    state_ : dict of ndarray
        The fitted weights by name.

    Examples
    --------
    >>> from semid.ctr import DeepFMClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = DeepFMClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> model.predict_proba(X[:2]).shape
    (2, 2)
    """

    _architecture_parameters = (*BaseCTRClassifier._architecture_parameters, "fusion", "fusion_rank")

    def __init__(
        self,
        embedding_dim=16,
        hidden_layer_sizes=(256, 128),
        fusion="gate",
        *,
        fusion_rank=32,
        categorical_features="auto",
        code_features="auto",
        min_frequency=1,
        dropout=0.0,
        embedding_init_std=0.01,
        max_iter=30,
        batch_size="auto",
        learning_rate=0.006,
        weight_decay=1e-4,
        weight_averaging=0.99,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=2,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.embedding_dim = embedding_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.fusion = fusion
        self.fusion_rank = fusion_rank
        self.categorical_features = categorical_features
        self.code_features = code_features
        self.min_frequency = min_frequency
        self.dropout = dropout
        self.embedding_init_std = embedding_init_std
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.weight_averaging = weight_averaging
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_option("fusion", self.fusion, tuple(FUSIONS))
        check_integer("fusion_rank", self.fusion_rank, 1)

    def _build_module(self):
        return DeepFM(self.fields_, **self._architecture)
