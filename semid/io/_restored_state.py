"""Whether the torch module of a restored estimator can be built from its architecture, and its state fits."""

from math import prod
from numbers import Real

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from semid.base._checks import check_integer
from semid.base._live_module import LiveModule, build_seeded

_LARGEST_SIZE = 2**24  # of anything in an architecture
_FACTORIES = (torch.arange, torch.empty, torch.eye, torch.full, torch.ones, torch.rand, torch.randn, torch.zeros)


def check_architecture(architecture, names, of_former_versions=(), of_later_versions=()):
    """Raise unless `architecture` has `names`, with those that only files of former versions hold, or lack."""
    of_today = set(architecture) - set(of_former_versions)
    if not set(names) - set(of_later_versions) <= of_today <= set(names):
        raise ValueError(f"_architecture must hold {names}, got {list(architecture)}.")
    for name, value in architecture.items():
        sizes = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(size, Real) and not size <= _LARGEST_SIZE for size in sizes):
            raise ValueError(f"{name} must be at most {_LARGEST_SIZE}, got {value!r:.80}.")


def check_sizes(sizes):
    if type(sizes) is not list or not sizes:
        raise ValueError(f"codebook_sizes_ must be a list of integers, got {sizes!r:.80}.")
    for size in sizes:
        check_integer("each of codebook_sizes_", size, 1)


def check_state(estimator):
    """Raise unless ``state_`` has the names, shapes and dtypes of the module; return the module, without its numbers.

    The module is built without memory for them, so that sizes in a damaged file cost nothing.
    """
    state = estimator.state_
    if not isinstance(estimator._live, LiveModule):
        raise TypeError(f"_live must be a LiveModule, got {type(estimator._live).__name__}.")
    if not all(isinstance(array, np.ndarray) and np.isfinite(array).all() for array in state.values()):
        raise ValueError("state_ must hold arrays of finite numbers.")
    with _WithoutMemory(n_numbers=sum(array.size for array in state.values()), n_arrays=len(state)):
        module = build_seeded(estimator._build_module, seed=0)
    expected = {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in module.state_dict().items()}
    got = {name: (array.shape, array.dtype.name) for name, array in state.items()}
    if got != expected:
        wrong = sorted(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
        raise ValueError(
            f"state_ must fit the architecture: {wrong[0]!r:.80} must be {expected.get(wrong[0], 'left out')}, got "
            f"{got.get(wrong[0], 'none')}."
        )
    return module


class _WithoutMemory(TorchFunctionMode):
    """Where new tensors have shapes and no numbers, and a module that is far larger than its state is not built."""

    def __init__(self, n_numbers, n_arrays):
        super().__init__()
        self._largest, self._n_calls_left = 64 * n_numbers + 2**20, 200 * n_arrays + 10_000

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **(kwargs | {"device": "meta"} if function in _FACTORIES else kwargs))
        self._n_calls_left -= 1
        if self._n_calls_left < 0 or (isinstance(result, torch.Tensor) and prod(result.shape) > self._largest):
            raise ValueError("the architecture must be that of state_, got a far larger one.")
        return result
