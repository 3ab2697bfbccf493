"""Multi-layer perceptrons."""

from itertools import pairwise

import torch
from torch import nn

from semid.nn._half_products import half_products


class SeededDropout(nn.Module):
    """Dropout whose masks come from a generator of its own, to be set as ``generator`` before training.

    torch's draws from the global one, which other threads share and which is not ours to advance.

    Shape: any → the same
    """

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.generator = None  # on the device of the input

    def forward(self, x):
        if not self.training:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept / (1 - self.p)


class RowDropout(SeededDropout):
    """Sets rows to zero in training, and leaves the others as they are: for rows that some inputs have not at all.

    Shape: (B, d) → (B, d)
    """

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        return x * x.new_empty(len(x), 1).bernoulli_(1 - self.p, generator=self.generator)


class MLP(nn.Sequential):
    """Linear layers with ReLU, and dropout if asked for, after each.

    Shape: (B, sizes[0]) → (B, sizes[-1])
    """

    def __init__(self, sizes, dropout=0.0):
        layers = []
        for width_in, width_out in pairwise(sizes):
            layers += [nn.Linear(width_in, width_out), nn.ReLU(inplace=True)]
            if dropout > 0:
                layers.append(SeededDropout(dropout))
        super().__init__(*layers)


class HalvedMLP(MLP):
    """An MLP that multiplies in bfloat16 in training, where that is faster, and in the dtype of its input otherwise.

    Shape: (B, sizes[0]) → (B, sizes[-1])
    """

    def forward(self, x):
        with half_products(x, self.training):
            return super().forward(x).to(x.dtype)


class LogitHead(nn.Linear):
    """<w, x>, a linear map to one logit, without a bias: a click model has one of its own.

    `x` may come in parts, as if they were side by side.

    Shape: (B, width), or parts of it → (B,)
    """

    def __init__(self, width):
        super().__init__(width, 1, bias=False)

    def forward(self, *parts):
        weights = self.weight[0].split([part.shape[1] for part in parts])
        # The gradient of mv is half as dear as that of a matrix of one row.
        return sum(part.mv(weight) for part, weight in zip(parts, weights, strict=True))
