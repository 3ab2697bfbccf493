"""What the learned tokenizers share: a quantized autoencoder, started as PCA and k-means, trained by gradients."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_consistent_length

from semid.base._all_or_nothing import all_or_nothing
from semid.base._checks import check_integer, check_layer_sizes, check_number, check_option, check_sample_weight
from semid.base._live_module import LiveModule, export_state, load_module, resolve_device
from semid.engine._autoencoder_training import TrainingOptions, train_quantized_autoencoder, warn_of_collapse
from semid.engine._catalogue import ENCODE_ROWS, ROWS_PER_CODE, Catalogue
from semid.engine._checkpoints import Checkpoint, NoCheckpoint, check_checkpoint_dir, fingerprint_of, n_bytes_of
from semid.engine._ranks import current_ranks
from semid.nn._autoencoder import LinearPlusMLP, QuantizedAutoencoder, start_as_pca
from semid.tables._rows import distinct_rows, row_hashes
from semid.tokenizers._base import BaseTokenizer

_INITIAL_KMEANS_ITERATIONS = 15


STOPPING_PARAMETERS = {
    "early_stopping": "Use validation=0.1 in the place of early_stopping=True, validation=None in that of False.",
    "validation_fraction": "Use validation, the share that is held out; None holds nothing out.",
}


class BaseAutoencoderTokenizer(BaseTokenizer):
    """A tokenizer that quantizes the latent of an autoencoder; a subclass gives ``_build_quantizer(dim)``."""

    _architecture_parameters: tuple[str, ...] = (
        "codebook_size",
        "latent_dim",
        "hidden_layer_sizes",
    )
    _former_architecture: tuple[str, ...] = ("output_codebooks",)
    _removed_parameters: ClassVar = {
        **STOPPING_PARAMETERS,
        "codebook_update": (
            "Code vectors are moving averages. RQVAETokenizer(codebook_update='gradient') learns them by gradient, "
            "also with n_codebooks=1."
        ),
        "gradient_estimator": "Gradients pass the codes straight through: leave it out.",
        "output_codebooks": "It reconstructed the items of fit better, others hardly: use a wider latent_dim.",
    }
    codebook_update = "ema"

    @all_or_nothing
    def fit(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None, alignment: ArrayLike | None = None
    ) -> Self:
        """Learn encoder, codebooks and decoder from item embeddings.

        The result does not depend on the order of the items, and an item of weight 2 counts exactly as an item
        listed twice. With ``warm_start=True``, a fitted tokenizer goes on from where it is.

        Ctrl-C after at least one epoch ends the training with a ConvergenceWarning and keeps what complete epochs have
        learned; before, the tokenizer is as it was. With `checkpoint_dir`, the same call goes on from there, as it does
        after a kill.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            One embedding per item of the catalogue; computed with in float32. A float32 memmap is read as it is
            needed: beyond 512 MB of embeddings, 512 MB are held at once. One epoch of `RQVAETokenizer` over 4 GB took
            1.2 GB beside the pages of the file.
        y : None
            Ignored, present for Pipelines.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item, for example its popularity; items of weight 0 are left out. None weights all alike.
        alignment : array-like of shape (n_items, n_alignment_features), default None
            A second embedding of each item, for example from collaborative filtering, that the quantized latents
            learn to tell apart, with weight ``alignment_weight``. Rows of NaN mark items that have none.

        Returns
        -------
        self : object
            The fitted tokenizer.

        Raises
        ------
        ValueError
            If `X` holds NaN or infinity, is empty or not 2-D, has fewer than two rows, if a parameter is out of its
            range, if `sample_weight` is negative, of another length, or zero for every row, if `alignment` has
            another number of rows, if `checkpoint_dir` holds another fit, or if training diverges. The tokenizer then
            is as it was before.
        OSError
            Before training, if `checkpoint_dir` cannot be written to or has no room.
        """
        return self._start_or_continue(self.warm_start, X, sample_weight, alignment, {})

    @all_or_nothing
    def partial_fit(
        self, X: ArrayLike, y: None = None, sample_weight: ArrayLike | None = None, alignment: ArrayLike | None = None
    ) -> Self:
        """Learn from these items for one epoch, at a constant learning rate; the first call also starts the codebooks.

        One epoch is one call: `checkpoint_dir` is not read.

        Codes drift with every call; `align_codes` and `semid.metrics.code_churn` say by how much.

        Parameters
        ----------
        X : array-like of shape (n_items, n_features)
            Embeddings: the first time at least as many as there are codes in a codebook.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_items,), default None
            Weight of each item.
        alignment : array-like of shape (n_items, n_alignment_features), default None
            As in `fit`.

        Returns
        -------
        self : object
            The tokenizer, fitted so far.
        """
        one_epoch = {"max_iter": 1, "schedule": "constant", "n_iter_no_change": None}
        return self._start_or_continue(True, X, sample_weight, alignment, one_epoch)

    def _start_or_continue(self, may_continue, X, sample_weight, alignment, changes):
        if alignment is not None:
            alignment = check_array(alignment, dtype=np.float32, ensure_all_finite="allow-nan", input_name="alignment")
            check_consistent_length(X, alignment)
            _check_whole_rows(alignment)
            starts = not (may_continue and hasattr(self, "state_"))
            alignment = (row_hashes(self._check_embeddings(X, reset=starts)), alignment)
        if may_continue and hasattr(self, "state_"):
            return self._continue(X, sample_weight, alignment=alignment, changes=changes)
        return self._fit(X, sample_weight, alignment=alignment, changes=changes)

    def _continue(self, X, sample_weight, **options):
        """Learn from `X`, starting at the fitted state."""
        self._check_parameters()
        self._check_same_architecture()
        device = resolve_device(self.device)
        X = self._check_embeddings(X, reset=False)
        rows, weights = distinct_rows(X, check_sample_weight(sample_weight, len(X)))
        module = load_module(self._build_module, self.state_).to(device)
        with torch.enable_grad():
            catalogue = Catalogue(X, rows, weights, self.state_["mean"], self.state_["scale"], device)
            # Not the same batches again, however often it goes on.
            generator = torch.Generator().manual_seed(self._draw_seed() + self.n_iter_)
            self._learn(module, catalogue, generator, start=False, **options)
        self.state_, self._live = export_state(module), LiveModule()
        return self

    def _check_same_architecture(self):
        """Raise if a parameter that decides shapes has changed since the codebooks were made."""
        if self._architecture.get("output_codebooks"):
            raise ValueError(
                "output_codebooks=True, of semid 0.1.0, must not be followed by another fit with warm_start or by "
                "partial_fit: its vectors belong to what was learned then. Clone the tokenizer and fit it anew."
            )
        fitted = self._architecture | {"n_codebooks": len(self.codebook_sizes_)}
        for name, value in fitted.items():
            now = getattr(self, name, value)
            if not np.array_equal(now, value):
                raise ValueError(
                    f"{name} must stay {value!r} to go on from a fitted tokenizer, got {now!r}. "
                    "Set it back, or clone the tokenizer and fit it anew."
                )

    def _check_parameters(self):
        self._n_codebooks()
        self._check_latent()
        check_layer_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        check_option("codebook_update", self.codebook_update, ("ema", "gradient"))
        check_option("assignment", self.assignment, ("nearest", "sinkhorn"))
        if self.validation is not None:
            check_number("validation", self.validation, 0, 1, open_minimum=True, open_maximum=True)
        check_integer("n_iter_no_change", self.n_iter_no_change, 1)
        check_option("warm_start", self.warm_start, (False, True))
        check_integer("max_iter", self.max_iter, 1)
        check_integer("batch_size", self.batch_size, 1)
        check_number("learning_rate", self.learning_rate, 0, open_minimum=True)
        for name in ("commitment_weight", "separation_weight", "alignment_weight"):
            check_number(name, getattr(self, name), 0)
        check_number("mixup", self.mixup, 0, 1)
        check_checkpoint_dir(self.checkpoint_dir, self.random_state)

    def _check_latent(self):
        check_integer("latent_dim", self.latent_dim, 1)

    def _latent_width(self):
        return self._architecture["latent_dim"]

    def _build_module(self):
        hidden = check_layer_sizes("hidden_layer_sizes", self._architecture["hidden_layer_sizes"])
        n_features, latent_dim = self.n_features_in_, self._latent_width()
        return QuantizedAutoencoder(
            n_features,
            self._build_quantizer(latent_dim),
            encoder=LinearPlusMLP((n_features, *hidden, latent_dim)),
            decoder=self._build_decoder((latent_dim, *reversed(hidden), n_features)),
            output_codebooks=self._architecture.get("output_codebooks", False),
        )

    def _build_decoder(self, sizes):
        return LinearPlusMLP(sizes)

    def _quantizer_options(self):
        return {"learnable": self._architecture.get("codebook_update") == "gradient"}

    def _remedy_of_collapse(self):
        if self.assignment == "sinkhorn":
            remedy = "pass a smaller learning_rate or a smaller codebook_size."
        else:
            remedy = "pass assignment='sinkhorn', which balances the codes, or a smaller codebook_size."
        # Codes crowd where most vectors are: near zero, where a few are much longer than the others.
        return (
            "If the embeddings differ much in norm, scale them to one length (sklearn.preprocessing.normalize); else "
            + remedy
        )

    def _training_options(self):
        return TrainingOptions(
            max_iter=self.max_iter,
            batch_size=int(self.batch_size),
            learning_rate=self.learning_rate,
            commitment_weight=self.commitment_weight,
            codebook_update=self.codebook_update,
            assignment=self.assignment,
            separation_weight=self.separation_weight,
            alignment_weight=self.alignment_weight,
            mixup=self.mixup,
            n_iter_no_change=self.n_iter_no_change if self.validation is not None else None,
            verbose=bool(self.verbose),
        )

    def _learn(self, module, catalogue, generator, start=True, alignment=None, changes=None):
        options = self._training_options()._replace(**(changes or {}))
        ranks = current_ranks()
        if alignment is not None:
            hashes = row_hashes(np.asarray(catalogue.X[catalogue.rows]))
            alignment = torch.from_numpy(_merge_equal_rows(*alignment, hashes)).to(catalogue.device)
        self._check_ranks(ranks, module, catalogue, generator, alignment)
        checkpoint = NoCheckpoint()
        if self.checkpoint_dir is not None and not changes and ranks.rank == 0:
            checkpoint = self._open_checkpoint(module, catalogue, generator, alignment)
        saved = ranks.on_first(checkpoint.load)
        ranks.on_first(lambda: checkpoint.reserve(_size_of_state(module, len(catalogue))))
        held_out = None
        if options.n_iter_no_change is not None:
            catalogue, held_out, alignment = self._hold_out(catalogue, alignment, generator)
        if start and saved is None:
            self._start(module, catalogue, generator)
            ranks.copy_from_first(module.state_dict().values())
        history = train_quantized_autoencoder(
            module,
            catalogue,
            options,
            generator,
            alignment=alignment,
            held_out=held_out,
            checkpoint=checkpoint,
            saved=saved,
            ranks=ranks,
        )
        warn_of_collapse(history, module.quantizer.sizes, len(catalogue), self._remedy_of_collapse())
        if not start:
            history = _append_history(self.history_, history)
        self.history_ = history
        self.n_iter_ = len(history["loss"])
        checkpoint.finish()

    def _draw_seed(self):
        seed = super()._draw_seed()
        return current_ranks().on_first(lambda: seed)

    def _check_ranks(self, ranks, module, catalogue, generator, alignment):
        """Raise if the processes that share this fit have not been given the same."""
        if ranks.size == 1:
            return
        # Which rows are distinct, in the order of their hashes, tells catalogues apart without another reading of them.
        data = (catalogue.rows, catalogue.weights, *(() if alignment is None else (alignment,)))
        ranks.check_same(fingerprint_of(self, catalogue.device, data=data, start=_starting_point(module, generator)))

    def _open_checkpoint(self, module, catalogue, generator, alignment):
        data, start = _learned_from(catalogue, alignment), _starting_point(module, generator)
        fingerprint = fingerprint_of(self, catalogue.device, data=data, start=start)
        return Checkpoint(self.checkpoint_dir, type(self).__name__, fingerprint)

    def _start(self, module, catalogue, generator):
        """PCA for the autoencoder, k-means of its latents for the codebooks."""
        x, weights = catalogue.sample(generator, n_at_least=ROWS_PER_CODE * max(self.codebook_sizes_))
        start_as_pca(module.encoder, _linear_maps(module.decoder), x, weights, generator)
        with torch.no_grad():
            z = torch.cat([module.encoder(block) for block in x.split(ENCODE_ROWS)])
        module.quantizer.initialize(z, weights, generator, _INITIAL_KMEANS_ITERATIONS)

    def _hold_out(self, catalogue, alignment, generator):
        n_held_out = max(1, round(self.validation * len(catalogue)))
        n_left, n_left_at_least = len(catalogue) - n_held_out, max(2, *self.codebook_sizes_)
        if n_left < n_left_at_least:
            raise ValueError(
                "validation must leave at least 2 distinct items and as many as there are codes in a codebook, "
                f"{n_left_at_least}; validation={self.validation} leaves {n_left} of {len(catalogue)}. Pass "
                "validation=None, a smaller share or codebook_size, or more items."
            )
        order = torch.randperm(len(catalogue), generator=generator).numpy()
        held_out, kept = np.sort(order[:n_held_out]), np.sort(order[n_held_out:])
        if alignment is not None:
            alignment = alignment[torch.from_numpy(kept).to(alignment.device)]
        return catalogue.subset(kept), catalogue.subset(held_out), alignment

    @classmethod
    def _in_place_of_removed(cls, former: dict[str, Any]) -> dict[str, Any]:
        today: dict[str, Any] = {}
        if former.get("early_stopping"):
            today["validation"] = former["validation_fraction"]
        if "_architecture" in former:
            today["_architecture"] = cls._architecture_of_today(former["_architecture"])
        return today

    @classmethod
    def _architecture_of_today(cls, former: dict[str, Any]) -> dict[str, Any]:
        """Return what the module of a former version is built from, without the names that are gone."""
        kept = {*cls._architecture_parameters, *cls._former_architecture}
        return {name: value for name, value in former.items() if name in kept}


def _starting_point(module, generator):
    return (*module.state_dict().values(), generator.get_state())


def _learned_from(catalogue, alignment):
    """Yield all that is learned from, a block of rows at a time."""
    for start in range(0, len(catalogue), ENCODE_ROWS):
        yield catalogue.X[catalogue.rows[start : start + ENCODE_ROWS]]
    yield catalogue.weights
    if alignment is not None:
        yield alignment


def _size_of_state(module, n_items):
    """About the bytes of a checkpoint: weights, those to be kept, two moments of AdamW, and the items' codes."""
    return 4 * n_bytes_of(module) + 8 * n_items * len(module.quantizer.sizes)


def _linear_maps(decoder):
    """The linear parts of a decoder, or of the decoders that are averaged."""
    return [part.linear for part in decoder.modules() if isinstance(part, LinearPlusMLP)]


def _check_whole_rows(alignment):
    is_nan = np.isnan(alignment)
    partly = is_nan.any(axis=1) & ~is_nan.all(axis=1)
    if partly.any():
        raise ValueError(
            "alignment must have rows that are known or NaN as a whole, got some of both in row "
            f"{np.flatnonzero(partly)[0]}. Impute the missing values, or drop their columns."
        )


def _merge_equal_rows(hashes_of_rows, alignment, hashes_of_items):
    """Return the mean of the known rows of `alignment` for each item, NaN for an item without any."""
    order = np.argsort(hashes_of_items)
    places = np.searchsorted(hashes_of_items, hashes_of_rows, sorter=order).clip(max=len(order) - 1)
    items = order[places]
    known = (hashes_of_items[items] == hashes_of_rows) & ~np.isnan(alignment[:, 0])
    totals = np.zeros((len(order), alignment.shape[1]))
    np.add.at(totals, items[known], alignment[known])
    n_known = np.bincount(items[known], minlength=len(order))
    with np.errstate(invalid="ignore"):
        return (totals / n_known[:, None]).astype(np.float32)


def _append_history(old, new):
    """Return the entries of `old` and `new` one after the other, NaN where only one of them has a key."""
    n_old, n_new = len(old["loss"]), len(new["loss"])
    return {
        key: np.concatenate([old.get(key, np.full(n_old, np.nan)), new.get(key, np.full(n_new, np.nan))])
        for key in {**old, **new}
    }
