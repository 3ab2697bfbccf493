"""Fitted state as numpy arrays; the live torch module as a cache that can be rebuilt from them at any time.

An estimator keeps ``state_``, a plain ``dict[str, ndarray]``. It pickles small, loads where there is no GPU, and hashes
the same in every process. The module that computes with it is built on first use and kept until the next fit.
"""

import contextlib
import sys
import threading

import torch

_SEEDING = threading.Lock()
sys.modules.setdefault("semid._state", sys.modules[__name__])  # as pickles of 0.1.0 call it


def resolve_device(device: str) -> torch.device:
    """Return the `torch.device` meant by `device`; ``"auto"`` is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got {device!r}.")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} must be there, but this machine has {torch.cuda.device_count()} CUDA device(s). "
            "Pass device='auto' to use what there is."
        )
    return resolved


@contextlib.contextmanager
def prediction_mode(device):
    """Compute without gradients, and without a caller's autocast, by whose rounding codes and scores would differ."""
    kind = "cuda" if device.type == "cuda" else "cpu"  # what `resolve_device` gives
    with torch.inference_mode(), torch.autocast(kind, enabled=False):
        yield


def build_seeded(build, seed):
    """Return ``build()``, its random weights drawn from `seed`; torch's global generator is left as it was.

    Weights are initialised from the one generator that all threads share, hence the lock.
    """
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def export_state(module):
    """Return the parameters and buffers of `module` as numpy arrays of their own, by name."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


class LiveModule:
    """The torch modules built from one fitted state, by device and dtype; empty again in every copy and pickle."""

    def __init__(self):
        self._modules = {}
        self._lock = threading.Lock()

    def get(self, build, state, device, dtype=torch.float32):
        """Return ``build()`` with `state` loaded, in evaluation mode, on `device`; built once, then kept."""
        with self._lock:
            key = (str(device), dtype)
            if key not in self._modules:
                module = load_module(build, state).eval().requires_grad_(False)
                self._modules[key] = module.to(device=device, dtype=dtype)
            return self._modules[key]

    def __reduce__(self):
        return LiveModule, ()


def load_module(build, state):
    """Return ``build()`` with `state` loaded."""
    module = build_seeded(build, seed=0)
    module.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return module
