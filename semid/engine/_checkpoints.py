"""Fits that end early: the state of a training on disk, from which a fit that was killed goes on.

One file per folder and kind of estimator, replaced as a whole after every epoch, and gone when the fit completes. It
holds tensors and plain values alone, and is read with ``weights_only=True``: reading it runs no code.
"""

import contextlib
import hashlib
import os
import zipfile
from inspect import Parameter, signature
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from semid import __version__
from semid.base._checks import warn

_BLOCK = 2**20  # bytes written at once by the probe
_LONGEST_SHOWN = 60  # characters of a parameter's value in an error
# They change nothing of what is learned, or are told apart by something else.
_WITHOUT_EFFECT = ("checkpoint_dir", "device", "verbose")


class NoCheckpoint:
    """Stands for a `Checkpoint` where nothing is to be kept."""

    def load(self):
        return None

    def reserve(self, n_bytes):
        pass

    def save(self, export):
        pass

    def keep(self):
        pass

    def finish(self):
        pass


class Checkpoint:
    """The state of one fit in a folder.

    Parameters
    ----------
    folder : str or path-like
        Made if it is not there.
    kind : str
        Name of the estimator: fits of two kinds may share a folder.
    fingerprint : dict of str
        What the fit follows from, see `fingerprint_of`.
    """

    def __init__(self, folder, kind, fingerprint):
        self.folder, self.fingerprint = Path(folder), fingerprint
        self.path = self.folder / f"{kind}.checkpoint.pt"
        self._part = self.folder / f"{kind}.checkpoint.part"
        self._is_kept = False

    def load(self):
        """Return the state of the last complete epoch, None if there is none.

        Raises
        ------
        ValueError
            If the file is that of another fit.
        """
        if not self.path.exists():
            return None
        content = self._read()
        if content is None:
            return None
        self._check_fingerprint(content["fingerprint"])
        return content["state"]

    def reserve(self, n_bytes):
        """Write and remove a file of `n_bytes`, twice that where the old state is not there yet beside the new one.

        Raises
        ------
        OSError
            If the folder cannot be written to, or has no room.
        """
        block = os.urandom(_BLOCK)  # a file system may store zeros in no space at all
        n_blocks = -(-n_bytes * (1 if self.path.exists() else 2) // _BLOCK)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(lambda file: [file.write(block) for _ in range(n_blocks)])
        except OSError as error:
            raise OSError(
                error.errno,
                f"checkpoint_dir must be a folder with room for {n_blocks * _BLOCK / 1e6:.0f} MB, got "
                f"{str(self.folder)!r}, where writing failed: {error.strerror}. Pass another folder, or "
                "checkpoint_dir=None",
            ) from error
        finally:
            _remove(self._part)

    def save(self, export):
        """Replace the file by the state that ``export()`` returns; warn if that fails, and leave the file as it was."""
        content = {"fingerprint": self.fingerprint, "state": export()}
        try:
            self._write(lambda file: torch.save(content, file))
            os.replace(self._part, self.path)
            _sync_folder(self.folder)
        except (OSError, RuntimeError) as error:  # torch's writer may turn the one into the other
            _remove(self._part)
            warn(
                f"the state could not be written to {str(self.path)!r}: {error}. The training goes on; if it is "
                "killed, the next fit starts at the last epoch that could be written."
            )

    def keep(self):
        """Leave the file where it is when the fit ends: the user has interrupted it, and may want to go on."""
        self._is_kept = True

    def finish(self):
        """Remove the file, unless it is to be kept."""
        _remove(self._part)
        if not self._is_kept:
            _remove(self.path)

    def _write(self, write):
        with open(self._part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())

    def _read(self):
        """Return what the file holds; put a damaged one aside with a warning and return None."""
        with open(self.path, "rb") as file:  # outside of the try: that it may not be read is no damage
            try:
                return _checked_content(file)
            except Exception as error:  # of any kind: whatever the bytes have become is parsed
                reason = f"{type(error).__name__}: {error}"
        aside = self.path.with_suffix(".damaged")
        os.replace(self.path, aside)
        warn(
            f"the checkpoint {str(self.path)!r} is damaged ({reason}). It is now {aside.name!r}, and the fit starts "
            "from the beginning."
        )
        return None

    def _check_fingerprint(self, there):
        if there == self.fingerprint:
            return
        names = [name for name in {**there, **self.fingerprint} if there.get(name) != self.fingerprint.get(name)]
        raise ValueError(
            f"checkpoint_dir must hold no checkpoint of another fit, got {str(self.folder)!r}, whose {self.path.name} "
            f"differs in {'; '.join(map(_differs(there, self.fingerprint), names))}. Repeat that fit with its "
            "parameters and data to go on with it, pass another folder, or delete the file."
        )


def check_checkpoint_dir(checkpoint_dir, random_state):
    """Raise unless `checkpoint_dir` is a path or None, and, with a path, `random_state` an int."""
    if checkpoint_dir is None:
        return
    if not isinstance(checkpoint_dir, str | os.PathLike):
        raise TypeError(f"checkpoint_dir must be a str, a path-like or None, got {checkpoint_dir!r}.")
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise ValueError(
            f"random_state must be an int with checkpoint_dir, got {random_state!r}: a second call could not repeat "
            "the first. Pass random_state=0, or checkpoint_dir=None."
        )


def fingerprint_of(estimator, device, *, data, start):
    """Return what a fit follows from, by name, as text.

    Parameters
    ----------
    estimator : BaseEstimator
        Its parameters.
    device : torch.device
    data : iterable of arrays and tensors
        All that is learned from.
    start : iterable of arrays and tensors
        The weights and random generators that the training starts from.
    """
    parameters = estimator.get_params(deep=False)
    return {
        "semid": __version__,
        **{name: _described(value) for name, value in parameters.items() if name not in _WITHOUT_EFFECT},
        "device": device.type,
        "data": digest(data),
        "starting weights": digest(start),
    }


def digest(arrays):
    """Return a hash of the content, dtypes and shapes of arrays and tensors."""
    hashed = hashlib.blake2b(digest_size=16)
    for array in arrays:
        array = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
        hashed.update(f"{array.dtype}{array.shape}".encode())
        hashed.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return hashed.hexdigest()


def n_bytes_of(module):
    """Return the size of the parameters and buffers of `module`."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def warn_of_interruption(n_epochs, max_iter):
    """Warn that the user has ended a training early, and that what it had learned is kept."""
    warn(
        f"training was interrupted: the fit ends with what it had learned after {n_epochs} of {max_iter} epochs.",
        ConvergenceWarning,
    )


def as_plain(value):
    """Return `value` as a checkpoint can hold it; raise TypeError unless it is tensors, numbers and text, or nested."""
    if value is None or isinstance(value, torch.Tensor) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):  # float64 is a float, and yet refused when it is read
        return as_plain(value.item())
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.tensor(value)
    if isinstance(value, dict):
        return {as_plain(key): as_plain(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(as_plain, value))
    raise TypeError(f"{type(value).__name__} is not plain.")


def plain_entries(mapping):
    """Return those entries of `mapping` that a checkpoint can hold."""
    plain = {}
    for name, value in mapping.items():
        with contextlib.suppress(TypeError):
            plain[name] = as_plain(value)
    return plain


def _checked_content(file):
    # torch does not look at the checksums that it writes.
    with zipfile.ZipFile(file) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"the checksum of {broken} is wrong")
    file.seek(0)
    content = torch.load(file, map_location="cpu", weights_only=True)
    return {name: content[name] for name in ("fingerprint", "state")}


def _described(value):
    """Return a text that is the same in every process for equal values."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype} {value.shape} {digest([value]) if value.dtype != object else value.tolist()}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_described(key)}: {_described(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_described, value)) + "]"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    kind = value if isinstance(value, type) else type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if value is kind or not hasattr(value, "on_epoch_end"):
        return name
    # A callback of skorch: what it was made with. LRScheduler has taken more than its signature says.
    parameters = signature(kind).parameters.values()
    is_open = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    names = vars(value) if is_open else [parameter.name for parameter in parameters]
    made_with = {own: getattr(value, own) for own in names if hasattr(value, own) and not own.endswith("_")}
    plain = {own: entry for own, entry in made_with.items() if not hasattr(entry, "on_epoch_end")}
    return f"{name}({_described(plain)})"


def _differs(there, here):
    def describe(name):
        if name in ("data", "starting weights"):
            return name
        texts = (mapping.get(name, "nothing")[:_LONGEST_SHOWN] for mapping in (there, here))
        return "{} ({} there, {} here)".format(name, *texts)

    return describe


def _remove(path):
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync_folder(folder):
    """Make a renaming outlast a loss of power, where folders can be opened at all."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
