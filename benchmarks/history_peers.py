"""DIN of other projects, in the interface of `ctr_peers`.

Fields are the user, the candidate's id and, if there are any, its codes; sequence i is the history in the values of
field i + 1, whose table it shares. Activation units have `ATTENTION_SIZES` hidden units, and the project's own
activation, which is Dice in all three.
"""

import numpy as np
import torch
from ctr_peers import DeepCTRTorch, FuxiCTR, _ClickModel, _field, _import_deepctr_torch

ATTENTION_SIZES = (36,)


class FuxiDIN(FuxiCTR):
    """FuxiCTR's DIN: weights without a softmax, padding masked; its configuration has no regularization."""

    MODELS = ("DIN",)
    EMBEDDING_REGULARIZER = 0

    def _build_feature_map(self):
        feature_map = super()._build_feature_map()
        for target, (name, (size, max_length)) in zip(targets(self), self._sequences.items(), strict=True):
            shared = {"share_embedding": target, "max_len": max_length}
            feature_map.features[name] = _field("sequence", size) | shared
        return feature_map

    def _architecture(self):
        return {
            "dnn_hidden_units": self.hidden_layer_sizes,
            "attention_hidden_units": list(ATTENTION_SIZES),
            "din_target_field": [tuple(targets(self))],
            "din_sequence_field": [tuple(self._sequences)],
        }


class DeepCTRTorchDIN(DeepCTRTorch):
    """DeepCTR-Torch's DIN: weights without a softmax, padding masked by the length, which is one more column."""

    MODELS = ("DIN",)

    def _build(self, seed):
        model = _import_deepctr_torch().models.DIN(
            self._feature_columns(),
            targets(self),
            dnn_hidden_units=self.hidden_layer_sizes,
            att_hidden_size=ATTENTION_SIZES,
            seed=seed,
            **({} if self.as_it_comes else {"l2_reg_embedding": 0.0}),
        )
        model.compile(
            torch.optim.Adam(model.parameters(), lr=self.learning_rate),
            "binary_crossentropy",
            metrics=["binary_crossentropy"] if self.as_it_comes else None,
        )
        return model

    def _feature_columns(self):
        from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat

        columns = [SparseFeat(name, size, self.embedding_dim) for name, size in self._fields.items()]
        for target, (size, max_length) in zip(targets(self), self._sequences.values(), strict=True):
            entries = SparseFeat(f"hist_{target}", size, self.embedding_dim, embedding_name=target)
            columns.append(VarLenSparseFeat(entries, maxlen=max_length, length_name="length"))
        return columns

    def _columns(self, categories):
        columns = super()._columns(categories)
        sequences = {
            f"hist_{target}": columns[name] for target, name in zip(targets(self), self._sequences, strict=True)
        }
        lengths = np.count_nonzero(next(iter(sequences.values())), axis=1)
        return {name: columns[name] for name in self._fields} | sequences | {"length": lengths}


class TorchRecHubDIN(_ClickModel):
    """torch-rechub's DIN: an activation unit of its own for each field of the history, batch norm and Dice throughout.

    Neither of the two can be turned off. Padding is a vector of zeros, and counts in the statistics of the unit.
    """

    MODELS = ("DIN",)
    WEIGHT_DECAY = 1e-5  # in Adam's gradient, its trainer's default

    def _build(self, seed):
        from torch_rechub.basic.features import SequenceFeature, SparseFeature
        from torch_rechub.models.ranking import DIN

        fields = {
            name: SparseFeature(name, size, self.embedding_dim, padding_idx=0) for name, size in self._fields.items()
        }
        history = [
            SequenceFeature(name, size, self.embedding_dim, pooling="concat", shared_with=target, padding_idx=0)
            for target, (name, (size, _)) in zip(targets(self), self._sequences.items(), strict=True)
        ]
        candidate = [fields.pop(target) for target in targets(self)]
        sizes = {"dims": self.hidden_layer_sizes}
        return DIN(list(fields.values()), history, candidate, sizes, {"dims": list(ATTENTION_SIZES)})

    def _prepare(self, columns, y):
        from torch_rechub.trainers import CTRTrainer

        decay = self.WEIGHT_DECAY if self.as_it_comes else 0.0
        self._trainer = CTRTrainer(self.model_, optimizer_params={"lr": self.learning_rate, "weight_decay": decay})
        self._batches = self._loader(columns, y.astype(np.float32), "train")

    def _train_epoch(self):
        self._trainer.train_one_epoch(self._batches)

    def _predict(self, columns):
        labels = np.zeros(len(next(iter(columns.values()))), dtype=np.float32)
        return np.array(self._trainer.predict(self.model_, self._loader(columns, labels, "test")))

    def _loader(self, columns, y, stage):
        """Return the project's own loader: shuffled for "train", as the rows are for "test"."""
        from torch_rechub.utils.data import DataGenerator

        generator = DataGenerator(columns, y)
        train, _, test = generator.generate_dataloader(
            x_val=columns, y_val=y, x_test=columns, y_test=y, batch_size=self.batch_size
        )
        return train if stage == "train" else test


def targets(model):
    """Return the fields of the candidate that the history has too."""
    return list(model._fields)[1 : 1 + len(model._sequences)]
