"""Other projects' click models in one interface, each trained by its project's own loop and data loader.

``prepare(categories, y)``, ``train_epoch(categories, y)``, ``predict(categories) → probabilities (n,)`` and
``n_parameters``. The models are those of `semid.ctr`, without dropout and batch norm, as near as the project's own
parameters bring them; where they stay different, the class says so. A peer is imported when it is built, so that
epochs are timed without it.
"""

import importlib.util
import io
import sys
import tempfile
import warnings
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

IM_ORDER = 4
N_ATTENTION_LAYERS, N_HEADS, ATTENTION_DIM = 3, 2, 32
N_CROSS_LAYERS = 3


class _ClickModel:
    """What both projects share: fields by name, their own stream of random numbers, their own threads, silence.

    Parameters
    ----------
    model : str, one of `MODELS`
    vocabulary_sizes : list of int
        Rows of the table of each categorical field.
    embedding_dim : int
    hidden_layer_sizes : sequence of int
        Of the MLP.
    batch_size : int
    learning_rate : float
        Of Adam.
    seed : int
        Of the weights and of the order of rows; torch's global generator stays as it was.
    n_threads : int, default=2
        Torch's threads while it trains and predicts; afterwards they are what they were.
    sequences : list of (vocabulary_size, max_length), default=()
        Multi-valued fields, pooled by their mean. In `categories` each takes `max_length` columns after all categorical
        fields, filled up with 0, which no table counts as a value.
    as_it_comes : bool, default=True
        Whether what is not set above is the project's default. False leaves only the loop: no regularization, no
        metrics, no worker processes.

    Attributes
    ----------
    model_ : torch.nn.Module
        The project's own model.
    """

    MODELS = ()

    def __init__(
        self,
        model,
        vocabulary_sizes,
        *,
        embedding_dim,
        hidden_layer_sizes,
        batch_size,
        learning_rate,
        seed,
        n_threads=2,
        sequences=(),
        as_it_comes=True,
    ):
        if model not in self.MODELS:
            raise ValueError(f"model must be one of {', '.join(self.MODELS)} for {type(self).__name__}, got {model!r}.")
        self.model = model
        self._fields = {f"field_{i}": size for i, size in enumerate(vocabulary_sizes)}
        self._sequences = {f"sequence_{i}": size_and_length for i, size_and_length in enumerate(sequences)}
        self.embedding_dim, self.hidden_layer_sizes = embedding_dim, list(hidden_layer_sizes)
        self.batch_size, self.learning_rate = batch_size, learning_rate
        self.n_threads, self.as_it_comes = n_threads, as_it_comes
        self._random_state = torch.Generator().manual_seed(seed).get_state()
        self._prepared = (None, None)
        with self._own_random_numbers():
            self.model_ = self._build(seed)

    @property
    def n_parameters(self):
        return sum(parameter.numel() for parameter in self.model_.parameters())

    def prepare(self, categories, y):
        """Bring the data into the project's form; outside the time of an epoch, as its users do it once."""
        self._prepare(self._columns(categories), np.asarray(y))
        self._prepared = (categories, y)

    def train_epoch(self, categories, y):
        """Train for one epoch over `categories` (n, n_columns) and `y` (n,), shuffled.

        Arrays that are not the very ones that were prepared last are prepared first.
        """
        if self._prepared[0] is not categories or self._prepared[1] is not y:
            self.prepare(categories, y)
        with self._own_random_numbers(), self._own_threads_and_silence():
            self._train_epoch()

    def predict(self, categories):
        """Return the probability of a click for every row of `categories`: (n,) float64."""
        with torch.random.fork_rng(devices=[]), self._own_threads_and_silence():
            return self._predict(self._columns(categories))

    def _columns(self, categories):
        """Return every field by its name: (n,) int64, of a sequence (n, max_length)."""
        categories = np.asarray(categories, dtype=np.int64)
        widths = [1] * len(self._fields) + [max_length for _, max_length in self._sequences.values()]
        if categories.ndim != 2 or categories.shape[1] != sum(widths):
            raise ValueError(f"categories must have the shape (n, {sum(widths)}), got {categories.shape}.")
        parts = np.split(categories, np.cumsum(widths)[:-1], axis=1)
        columns = dict(zip([*self._fields, *self._sequences], parts, strict=True))
        return columns | {name: columns[name][:, 0] for name in self._fields}

    @contextmanager
    def _own_random_numbers(self):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            yield
            self._random_state = torch.get_rng_state()

    @contextmanager
    def _own_threads_and_silence(self):
        n_threads = torch.get_num_threads()
        torch.set_num_threads(self.n_threads)
        try:
            with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                # FuxiCTR's three workers are more than the machine may have cores.
                warnings.filterwarnings("ignore", message="This DataLoader will create")
                yield
        finally:
            torch.set_num_threads(n_threads)


class FuxiCTR(_ClickModel):
    """A model of FuxiCTR's zoo; its loop clips the gradient to a norm of 10 at every step.

    The wheel has the loop and the layers, a checkout the models. Row 0 of every table is padding, a zero that is not
    trained. Its DeepFM adds the first-order weights of a sequence up, where it takes the mean of the embeddings.

    Parameters
    ----------
    zoo : path
        Folder of a checkout of FuxiCTR, of the version that is installed.
    folder : path, default=None
        Where the data are for a moment as npz files; None is the system's folder for temporary files.
    **settings
        The parameters of `_ClickModel`.
    """

    MODELS = ("DeepFM", "DeepIM", "AutoInt", "DCNv2")
    # Of the configuration in its documentation, its demos and the tests of DeepFM and AutoInt; its templates for
    # experiments have 0. The time of a step depends on whether it is 0, not on how much it is.
    EMBEDDING_REGULARIZER = 1e-8
    N_WORKERS = 3  # of every configuration in its zoo

    def __init__(self, model, vocabulary_sizes, *, zoo, folder=None, **settings):
        self.zoo, self.folder = zoo, folder
        super().__init__(model, vocabulary_sizes, **settings)

    def _build(self, seed):
        model_class = self._load_model_class()
        self._feature_map = self._build_feature_map()
        model = model_class(
            self._feature_map,
            embedding_dim=self.embedding_dim,
            learning_rate=self.learning_rate,
            optimizer="adam",
            loss="binary_crossentropy",
            embedding_regularizer=self.EMBEDDING_REGULARIZER if self.as_it_comes else None,
            # The loop evaluates and saves the model every `eval_steps` steps: never, so that it only trains.
            eval_steps=sys.maxsize,
            metrics=[],
            verbose=0,
            model_root="",
            **self._architecture(),
        )
        # What `fit` sets before it calls `train_epoch`, with its default for the norm. `fit` itself cannot go without
        # an evaluation, since it ends with the best model's file, and it stops at numpy 2, which has no np.Inf.
        model._max_gradient_norm = 10.0
        model._total_steps = model._epoch_index = 0
        model._stop_training = False
        return model

    def _load_model_class(self):
        folder = "DeepFM/DeepFM_torch" if self.model == "DeepFM" else self.model
        path = Path(self.zoo) / "model_zoo" / folder / "src" / f"{self.model}.py"
        if not path.is_file():
            raise FileNotFoundError(
                f"zoo must be the folder of a checkout of https://github.com/reczoo/FuxiCTR, got {self.zoo!r}, where "
                f"{path} is missing."
            )
        specification = importlib.util.spec_from_file_location(self.model, path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return getattr(module, self.model)

    def _build_feature_map(self):
        """Describe the fields as FuxiCTR's preprocessing does: padding first, unknown values last."""
        from fuxictr.features import FeatureMap

        feature_map = FeatureMap(dataset_id="", data_dir="")
        for name, size in self._fields.items():
            feature_map.features[name] = _field("categorical", size)
        for name, (size, max_length) in self._sequences.items():
            feature_map.features[name] = _field("sequence", size) | {
                "feature_encoder": "layers.MaskedAveragePooling()",
                "max_len": max_length,
            }
        feature_map.labels = ["label"]
        feature_map.num_fields = feature_map.get_num_fields()
        feature_map.default_emb_dim = self.embedding_dim
        feature_map.set_column_index()
        return feature_map

    def _architecture(self):
        if self.model == "DeepFM":
            return {"hidden_units": self.hidden_layer_sizes}
        if self.model == "DeepIM":
            return {"hidden_units": self.hidden_layer_sizes, "im_order": IM_ORDER}
        if self.model == "DCNv2":
            return {
                "parallel_dnn_hidden_units": self.hidden_layer_sizes,
                "model_structure": "parallel",
                "num_cross_layers": N_CROSS_LAYERS,
            }
        return {
            "dnn_hidden_units": self.hidden_layer_sizes,
            "attention_layers": N_ATTENTION_LAYERS,
            "attention_dim": ATTENTION_DIM,
            "num_heads": N_HEADS,
            "use_scale": True,
            "use_residual": True,
        }

    def _prepare(self, columns, y):
        self._batches, _ = self._loader("train", columns, y)

    def _train_epoch(self):
        self.model_.train_epoch(self._batches)
        self.model_._epoch_index += 1

    def _predict(self, columns):
        n_rows = len(next(iter(columns.values())))
        return self.model_.predict(self._loader("test", columns, np.zeros(n_rows)))

    def _loader(self, stage, columns, y):
        """Return the project's own loader, "train" with a place for one of validation data; it reads the file once."""
        from fuxictr.pytorch.dataloaders import RankDataLoader

        with tempfile.TemporaryDirectory(dir=self.folder) as folder, self._own_threads_and_silence():
            path = str(Path(folder) / f"{stage}.npz")
            np.savez(path, label=y.astype(np.float64), **columns)  # labels are floats in its configurations
            return RankDataLoader(
                self._feature_map,
                stage=stage,
                batch_size=self.batch_size,
                num_workers=self.N_WORKERS if self.as_it_comes else 0,
                **{f"{stage}_data": path},
            ).make_iterator()


class DeepCTRTorch(_ClickModel):
    """A model of DeepCTR-Torch, fitted as in its "Quick-Start"; its parameters are those of `_ClickModel`.

    Its AutoInt is as wide as the embeddings, whatever `ATTENTION_DIM` is, and has a weight matrix in every residual.
    Rows pass through float32 as they are batched, so that ids from 2^24 on are mixed up. Where it comes with its
    metric, it fails at a batch with one class only. Its MLP starts with a standard deviation of 1e-4. Its loss is the
    sum over a batch, so that its regularization is as much weaker as the batch is large.
    """

    MODELS = ("DeepFM", "AutoInt", "DCNv2")

    def _build(self, seed):
        models, columns = _import_deepctr_torch().models, self._feature_columns()
        settings = {"dnn_hidden_units": self.hidden_layer_sizes, "seed": seed} | self._regularization()
        if self.model == "DeepFM":
            model = models.DeepFM(columns, columns, **settings)
        elif self.model == "DCNv2":
            # Without columns for the linear term, which it adds to the logit of every model.
            model = models.DCN([], columns, cross_num=N_CROSS_LAYERS, cross_parameterization="matrix", **settings)
        else:
            model = models.AutoInt([], columns, att_layer_num=N_ATTENTION_LAYERS, att_head_num=N_HEADS, **settings)
            for layer in model.int_layers:
                layer.scaling = True  # a parameter of the layer that the model does not pass on
        model.compile(
            torch.optim.Adam(model.parameters(), lr=self.learning_rate),
            "binary_crossentropy",
            metrics=["binary_crossentropy"] if self.as_it_comes else None,
        )
        return model

    def _feature_columns(self):
        from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat

        columns = [SparseFeat(name, size, self.embedding_dim) for name, size in self._fields.items()]
        return columns + [
            VarLenSparseFeat(SparseFeat(name, size, self.embedding_dim), maxlen=max_length, combiner="mean")
            for name, (size, max_length) in self._sequences.items()
        ]

    def _regularization(self):
        if self.as_it_comes:
            return {}
        regularized = {
            "DeepFM": ("embedding", "linear"),
            "AutoInt": ("embedding",),
            "DCNv2": ("embedding", "linear", "cross"),
        }
        return {f"l2_reg_{part}": 0.0 for part in regularized[self.model]}

    def _prepare(self, columns, y):
        self._training_data = columns, np.array(y)

    def _train_epoch(self):
        x, y = self._training_data
        # It counts its metrics only where it prints them.
        self.model_.fit(x, y, batch_size=self.batch_size, verbose=2 if self.as_it_comes else 0)

    def _predict(self, columns):
        return self.model_.predict(columns, self.batch_size).reshape(-1)


def _field(kind, size):
    """Return what FuxiCTR's preprocessing writes down about a field with a table of `size` rows."""
    return {"source": "", "type": kind, "padding_idx": 0, "oov_idx": size - 1, "vocab_size": size}


def _import_deepctr_torch():
    """Import DeepCTR-Torch without its look for a newer version.

    Importing it asks PyPI in a thread, with `requests`, which it does not say it needs. A module in place of its
    `utils`, which has nothing else, is all that it takes.
    """
    utils = ModuleType("deepctr_torch.utils")
    utils.check_version = lambda version: None
    sys.modules.setdefault(utils.__name__, utils)
    import deepctr_torch

    return deepctr_torch
