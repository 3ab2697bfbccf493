"""Multi-layer perceptrons."""

from itertools import pairwise

from torch import nn


class MLP(nn.Sequential):
    """Linear layers with ReLU, and dropout if asked for, after each.

    Shape: (B, sizes[0]) → (B, sizes[-1])
    """

    def __init__(self, sizes, dropout=0.0):
        layers = []
        for width_in, width_out in pairwise(sizes):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers)
