"""Torch modules as operations of an ONNX graph: the table of them all, and those that every model has.

A converter is the module's ``forward`` once more, on `Value`s; the shapes are there.
"""

from torch import nn

from semid.nn._autoencoder import LinearPlusMLP
from semid.nn._mlp import MLP, HalvedMLP, LogitHead, SeededDropout

_CONVERTERS: dict = {}


def converts(*kinds):
    """Make a function ``(graph, module, *values) → value`` the converter of modules of these very classes."""

    def register(function):
        _CONVERTERS.update(dict.fromkeys(kinds, function))
        return function

    return register


def convert(graph, module, *values):
    """Return the output of `module` for inputs `values`.

    Raises
    ------
    TypeError
        If there is no converter. A subclass may compute anything, so it does not inherit one.
    """
    kind = type(module)
    if kind not in _CONVERTERS:
        raise TypeError(
            f"estimator must be made of modules that semid can write as ONNX, got {kind.__module__}.{kind.__name__}. "
            "Use a model and a fusion of semid's own, or serve the estimator itself (semid.io.save)."
        )
    return _CONVERTERS[kind](graph, module, *values)


@converts(nn.Identity, SeededDropout)
def _unchanged(graph, module, x):
    return x


@converts(nn.ReLU)
def _relu(graph, module, x):
    return x.relu()


@converts(nn.GELU)
def _gelu(graph, module, x):
    return gelu(graph, x)


def gelu(graph, x):
    """Return x Φ(x)."""
    # An operation of its own only from opset 20 on.
    return x * 0.5 * (graph.call("Erf", x * 0.5**0.5) + 1.0)


@converts(nn.LayerNorm)
def _layer_norm(graph, module, x):
    return graph.call("LayerNormalization", x, module.weight, module.bias, axis=-1, epsilon=module.eps)


@converts(nn.RMSNorm)
def _rms_norm(graph, module, x):
    # An operation of its own only from opset 23 on.
    normed = x / (x.square().mean(-1, keepdim=True) + module.eps).sqrt()
    return normed if module.weight is None else normed * module.weight


@converts(nn.Linear)
def _linear(graph, module, x):
    product = x @ module.weight.T
    return product if module.bias is None else product + module.bias


@converts(nn.Sequential, MLP, HalvedMLP)
def _sequential(graph, module, x):
    for layer in module:
        x = convert(graph, layer, x)
    return x


@converts(LinearPlusMLP)
def _linear_plus_mlp(graph, module, x):
    linear = convert(graph, module.linear, x)
    return linear if module.mlp is None else linear + convert(graph, module.mlp, x)


@converts(LogitHead)
def _logit_head(graph, module, *parts):
    return (graph.concat(parts, axis=1) @ module.weight.T).squeeze(1)
