"""An estimator from a log of clicks to the item that a user clicks next."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from semid.base._all_or_nothing import all_or_nothing, snapshot
from semid.base._checks import check_integer, check_option
from semid.base._live_module import LiveModule, resolve_device
from semid.base._typing import RandomState, StrPath
from semid.base._versioned import Versioned
from semid.features import ClickHistory, ItemTable, SemanticIDEncoder
from semid.recommend._catalogue import positions_in
from semid.recommend._fitting import begin, held_out_of, known_log, resume, train, warn_of_labels
from semid.recommend._modules import build_module
from semid.recommend._parameters import check_parameters
from semid.recommend._recommending import (
    Ranker,
    Recommendations,
    as_histories,
    ndcg,
    recommend,
    scores_of_all,
)
from semid.tables._frames import check_table
from semid.tables._ids import id_index

_BEAM_SIZE = 50


class NextItemRecommender(Versioned, BaseEstimator):
    """Recommend the item that comes next after a history of clicks, by the codes of items.

    A causal transformer reads a history whose items are embedded by their codes, and says of each codebook which code
    comes next. Trained on a log alone: no language model, no negatives to be drawn. Items that nobody has clicked yet
    have codes, so that they can be recommended, and ids alone (``codes=None``) are the baseline.

    ``head="parallel"`` has logits for the codes of each codebook, all from one state h of the history, and an item the
    sum of those of its codes, in a softmax over the catalogue:

    .. math:: \\log p(i \\mid h) = s_i - \\log \\sum_j e^{s_j}, \\quad
        s_i = \\frac{1}{\\sqrt N} \\sum_n (w_{n, c_{in}} \\cdot h + b_{n, c_{in}})

    (side by side as in RPG, Hou et al., 2025, arXiv:2506.05781, which trains a softmax of each codebook). All items are
    scored, exactly, by one look-up of N numbers each; a training step of a catalogue of over 20,000 draws so many.
    For codes that lie side by side: `MixtureOfCodesTokenizer`, `ProductQuantizationTokenizer`,
    `ParallelKMeansTokenizer`. ``head="residual"`` generates the codes in their order, each given those before it, and a
    beam follows only beginnings that some item has (after TIGER, Rajput et al., 2023, arXiv:2305.05065, without its
    decoder). For `ResidualKMeansTokenizer` and `RQVAETokenizer`. With ``codes=None`` the item's number is its one code,
    and the parallel head is SASRec (Kang & McAuley, 2018, arXiv:1808.09781, from memory) with a softmax over all items.

    Items that share all their codes share what the model says, in proportion to their clicks in training plus one:
    ``log p(item) = log p(codes) + log share``. A history without a known item is answered by popularity alone.

    Parameters
    ----------
    codes : SemanticIDEncoder, ItemTable or None, default None
        Where the codes of items come from. An encoder is cloned and fitted on the clicks of `fit`, with its `user` if
        it has one; a table has 16 codes of `ProductQuantizationTokenizer`, or as many as features. Its items, clicked
        or not, are the catalogue. None for ids alone: the catalogue is the items that were clicked.
    head : {"parallel", "residual", "popularity"}, default "parallel"
        See above. ``"popularity"`` recommends what was clicked most, whatever the history: the least that a model must
        beat.
    user, item : str or int, default "user_id" and "item_id"
        Columns of the log, by name or position.
    time : str, int or None, default "timestamp"
        Column of the time, or any number that rises with it. None if the rows are in their order.
    embedding_dim : int, default 64
        Width of all states and embeddings: up to 32, or a multiple of it, which is the width of a head of attention.
    n_layers : int, default 2
        Blocks of the transformer.
    fusion : str or class, default "concat"
        How the embeddings of an item's codes are mixed before they are added up, as in the click models.
    own_embedding : bool, default False
        Whether an item has, beside those of its codes, an embedding of its own: in histories, and with the parallel
        head as a candidate as well. That of an item without a click is zero.
    max_length : int, default 20
        Items of a history that are read: the last ones. Longer ones are learned from in parts.
    dropout : float, default 0.3
        Share of activations, and of own embeddings, that are set to zero in training.
    max_iter : int, default 50
        Epochs at most.
    batch_size : int or "auto", default "auto"
        Histories in a training step. ``"auto"`` is a fiftieth of them, at least 16 and at most 256.
    learning_rate : float, default 0.003
        Of Adam.
    validation : float or None, default 0.1
        Share of the users, those of three clicks or more, whose last click is held out, at most 5,000 of them. The fit
        ends when NDCG@10 on these has not risen for `n_iter_no_change` epochs, and keeps the best epoch. With a
        hundred such users or more, and more epochs than `n_iter_no_change`, a ConvergenceWarning says so where
        popularity alone is no worse (``popularity_ndcg`` of ``history_``). None for `max_iter` epochs on all clicks.
    n_iter_no_change : int, default 5
        See `validation`.
    checkpoint_dir : str, path-like or None, default None
        Folder in which the state is kept after each epoch, so that the same call goes on after a kill.
    device : str, default "auto"
        ``"auto"`` is CUDA where there is one, else the CPU.
    random_state : int, RandomState instance or None, default None
        Seed of the weights, of what is held out and of the batches.
    verbose : bool, default False
        Show a progress bar with loss and NDCG.

    Attributes
    ----------
    items_ : ndarray of shape (n_items,)
        Ids of the catalogue, in the order of `score_items`.
    codes_ : ndarray of shape (n_items, n_codebooks), int64
        Their codes.
    codebook_sizes_ : list of int
        Sizes of the codebooks.
    encoder_ : SemanticIDEncoder or None
        The fitted encoder.
    clicks_ : ndarray of shape (n_items,), int64
        How often each item was clicked in training.
    log_ : ClickHistory
        All clicks that the model knows of: what `score` takes histories from.
    history_ : dict of ndarray of shape (n_epochs,)
        ``train_loss``, the mean of -log p of the targets, and where something was held out ``valid_ndcg`` and, the same
        in each epoch, ``popularity_ndcg``: that of recommending to all what was clicked most. Of the last call.
    n_iter_ : int
        Number of epochs run in the last call.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, if `X` had names of type str.
    state_ : dict of ndarray
        The fitted weights by name.

    See Also
    --------
    semid.io.prefix_table : The same constraint for generators of one's own.

    Notes
    -----
    Letters: C clicks, I items, N codebooks of K codes, d width, L length of a history.
    Cost: an epoch O(C N K d + C d² + C L d); a parallel recommendation O(N K d + N I), of which N I additions are the
    larger part from some 100,000 items on; a residual one O(W N K d) with a beam of W. Memory O(C + N I + N K d).

    Examples
    --------
    >>> import pandas as pd
    >>> from semid import ItemTable, NextItemRecommender
    >>> from semid.datasets import make_clicks, make_items
    >>> made = make_items(n_items=500, random_state=0)
    >>> log = make_clicks(made, n_impressions=4_000, n_users=100, random_state=0).frame
    >>> log = log[log["click"] == 1]
    >>> table = ItemTable(made.frame["item_id"], made.embeddings)
    >>> model = NextItemRecommender(table, embedding_dim=16, max_iter=3, random_state=0).fit(log)
    >>> found = model.recommend([["item00007", "item00012"], []], n=3)
    >>> found.items.shape
    (2, 3)
    >>> bool((found.scores[:, :-1] >= found.scores[:, 1:]).all())
    True
    >>> users = log["user_id"].unique()[:4]
    >>> model.recommend(model.log_.before(users), n=3).items.shape
    (4, 3)
    """

    # What the module is built from, and stays when a fitted model goes on.
    _architecture_parameters = ("head", "embedding_dim", "n_layers", "fusion", "own_embedding", "max_length", "dropout")

    items_: np.ndarray
    codes_: np.ndarray
    clicks_: np.ndarray
    codebook_sizes_: list[int]
    encoder_: SemanticIDEncoder | None
    log_: ClickHistory
    state_: dict[str, np.ndarray]
    history_: dict[str, np.ndarray]
    n_iter_: int

    def __init__(
        self,
        codes: SemanticIDEncoder | ItemTable | None = None,
        head: Literal["parallel", "residual", "popularity"] = "parallel",
        *,
        user: str | int = "user_id",
        item: str | int = "item_id",
        time: str | int | None = "timestamp",
        embedding_dim: int = 64,
        n_layers: int = 2,
        fusion: str | type = "concat",
        own_embedding: bool = False,
        max_length: int = 20,
        dropout: float = 0.3,
        max_iter: int = 50,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 0.003,
        validation: float | None = 0.1,
        n_iter_no_change: int = 5,
        checkpoint_dir: StrPath | None = None,
        device: str = "auto",
        random_state: RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.codes = codes
        self.head = head
        self.user = user
        self.item = item
        self.time = time
        self.embedding_dim = embedding_dim
        self.n_layers = n_layers
        self.fusion = fusion
        self.own_embedding = own_embedding
        self.max_length = max_length
        self.dropout = dropout
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.n_iter_no_change = n_iter_no_change
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def fit(
        self, X: pd.DataFrame | ArrayLike, y: Any = None, *, eval_set: pd.DataFrame | ArrayLike | None = None
    ) -> Self:
        """Learn from a log of clicks.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_clicks, n_columns)
            One row per click, in any order if there is a time: pandas, polars or another Arrow table, or an array.
            Columns other than user, item and time are not read.
        y : None
            Not read: every row is a click. Select the clicked rows of impressions before.
        eval_set : DataFrame or array-like of shape (n_later_clicks, n_columns), default None
            Later clicks, whose users' last ones say when to stop, in the place of a part of `X`. They are not learned
            from, but the model knows of them afterwards: they are part of the histories of `score`.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If `codes` is none of what it may be, or ids or times of no known kind.
        ValueError
            If a parameter is out of its range, a column is not there, no user has two clicks on items of the catalogue,
            training diverges, or `checkpoint_dir` holds another fit. The recommender then is as it was before.
        OSError
            Before training, if `checkpoint_dir` cannot be written to or has no room.
        """
        self._check_parameters()
        random_state = check_random_state(self.random_state)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        X = check_table(self, X, reset=True)
        warn_of_labels(X, y)
        later = None if eval_set is None else check_table(snapshot(self), eval_set, reset=False)
        clicks, module = begin(self, X, seed)
        *bounds, held_out = held_out_of(self, clicks, later, random_state)
        return train(self, module, clicks, bounds, held_out, self.max_iter, seed, is_whole_fit=True)

    @all_or_nothing
    def partial_fit(self, X: pd.DataFrame | ArrayLike, y: Any = None) -> Self:
        """Go once over later clicks and the items before them, from the weights as they are.

        Of each user in `X`, the last `max_length` clicks and what `X` adds to them are learned. Nothing is held out. Of
        first clicks alone, popularity is all that is learned: ``n_iter_`` is 0.
        With ``codes=None``, items that are met for the first time are added to the catalogue; with codes, `add_items`
        adds them.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_clicks, n_columns)
            Columns as in the first call.
        y : None
            Not read.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As in `fit`, or if a parameter that must stay is not that of the first call.
        """
        self._check_parameters()
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        continues = hasattr(self, "log_")
        X = check_table(self, X, reset=not continues)
        warn_of_labels(X, y)
        clicks, module = (resume if continues else begin)(self, X, seed)
        return train(self, module, clicks, (clicks.offsets[:-1], clicks.offsets[1:]), None, 1, seed)

    @all_or_nothing
    def add_items(self, items: ItemTable) -> Self:
        """Give codes to items that appeared after `fit`, so that they can be recommended. Nothing is learned.

        Parameters
        ----------
        items : ItemTable
            With the same kind of content as that of `fit`. Ids that have codes keep them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If the recommender has ids alone.
        """
        check_is_fitted(self)
        if self.encoder_ is None:
            raise ValueError(
                "codes must not be None for items that nobody has clicked, got None: ids say nothing of them."
            )
        self.encoder_ = snapshot(self.encoder_).add_items(items)
        n_new = len(self.encoder_.ids_) - len(self.items_)
        self.items_, self.codes_ = self.encoder_.ids_, self.encoder_.codes_
        self.clicks_ = np.append(self.clicks_, np.zeros(n_new, dtype=np.int64))
        if "items.own" in self.state_:
            own = self.state_["items.own"]
            self.state_ = self.state_ | {"items.own": np.pad(own, ((0, n_new), (0, 0)))}
        self._live = LiveModule()
        return self

    def recommend(
        self, histories: Any, n: int = 10, *, exclude_seen: bool = True, beam_size: int = _BEAM_SIZE
    ) -> Recommendations:
        """Return the n most probable next items of each history.

        Parameters
        ----------
        histories : list of lists of ids, Series of these, or HistoryArray
            Items, oldest first; those that are not in the catalogue are left out. ``model.log_.before(users)`` has
            those of users that the model knows.
        n : int, default 10
            How many.
        exclude_seen : bool, default True
            Whether items of the history itself are left out.
        beam_size : int, default 50
            Beginnings of codes that the residual head follows, wider for more items (`n`) and those left out. As wide
            as the catalogue, it finds the very best.

        Returns
        -------
        recommendations : Recommendations
            A named tuple of ``items`` and ``scores``, (n_histories, n) each.

        Raises
        ------
        TypeError
            If histories are no lists of ids.
        ValueError
            If `n` or `beam_size` is less than 1, `n` more than there are items, or `exclude_seen` no bool.
        """
        check_is_fitted(self)
        self._index()  # of this object, for later calls as well
        model = snapshot(self)
        check_integer("beam_size", beam_size, 1)
        exclude_seen = check_option("exclude_seen", exclude_seen, (True, False))
        if check_integer("n", n, 1) > len(model.items_):
            raise ValueError(f"n must be at most {len(model.items_)}, the number of items, got {n}.")
        known = model._histories(histories)
        rows, scores = recommend(model._ranker(), known, n, exclude_seen=exclude_seen, beam_size=beam_size)
        return Recommendations(model.items_[rows], scores)

    def score_items(self, histories: Any) -> np.ndarray:
        """Return log p of every item of the catalogue after each history.

        Parameters
        ----------
        histories : list of lists of ids, Series of these, or HistoryArray
            As in `recommend`.

        Returns
        -------
        scores : ndarray of shape (n_histories, n_items), float32
            In the order of ``items_``. Probabilities of all items sum to 1, with either head.
        """
        check_is_fitted(self)
        self._index()  # of this object, for later calls as well
        model = snapshot(self)
        return scores_of_all(model._ranker(), model._histories(histories))

    def score(self, X: pd.DataFrame | ArrayLike, y: Any = None) -> float:
        """Return NDCG@10: how early the last click of each user in `X` is recommended, among all items but those seen.

        The history is what the model knows of the user (``log_``) from before their first click in `X`, and the clicks
        of `X` but the last. Without a time, all that the model knows.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_clicks, n_columns)
            Later clicks: rows that `fit` has not seen.
        y : None
            Not read.

        Returns
        -------
        score : float
            The mean over users of 1 / log2(place + 1), 0 from place 11 on and for items that are not in the catalogue.

        Raises
        ------
        ValueError
            If `X` has other columns than in `fit`, or no click.
        """
        check_is_fitted(self)
        self._index()  # of this object, for later calls as well
        model = snapshot(self)
        asked = known_log(model, check_table(model, X, reset=False))
        n = min(10, len(model.items_))
        rows, _ = recommend(model._ranker(), asked.histories, n, exclude_seen=True, beam_size=_BEAM_SIZE)
        return ndcg(rows, asked.targets)

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_ids_and_index"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        return tags

    def _check_parameters(self):
        check_parameters(self)

    def _histories(self, histories):
        return as_histories(histories, lambda ids: positions_in(self._index(), ids, "the histories"))

    def _build_module(self):
        return build_module(self)

    def _ranker(self, module=None):
        """Return what recommends, by the fitted module or another one of its kind."""
        head, device = self._architecture["head"], resolve_device(self.device)
        if module is None and head != "popularity":
            module = self._live.get(self._build_module, self.state_, device)
        return Ranker(module, device, self._architecture["max_length"], self.clicks_)

    def _index(self):
        """Return an Index of the ids, built once for them; pickles hold none."""
        ids, index = vars(self).get("_ids_and_index", (None, None))
        if ids is not self.items_:
            index = id_index(self.items_)
            self._ids_and_index = self.items_, index
        return index
