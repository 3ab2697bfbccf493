"""The machine that figures come from: its cores, its packages, and the memory that a piece of work takes."""

import os
import platform
import threading
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = [
    "semid", "numpy", "scipy", "scikit-learn", "torch",
    "faiss-cpu", "nanopq", "semantic-id", "rectokens", "vector-quantize-pytorch", "fuxictr", "deepctr-torch",
    "torch-rechub",
]  # fmt: skip

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def thread_environment(n_threads):
    """Return this process's environment, with every thread pool that is sized at import set to `n_threads`."""
    return os.environ | dict.fromkeys(_THREAD_VARIABLES, str(n_threads))


def prepare_torch(n_threads):
    """Set torch's threads, and import what it imports late: the first optimizer of a process costs 80 MiB."""
    torch.set_num_threads(n_threads)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def describe_machine(n_threads):
    """Return one line: processor, cores, memory, threads used, python and the versions of all packages."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := installed_version(name)))
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory; "
        f"{n_threads} thread{'s' if n_threads > 1 else ''}; "
        f"python {platform.python_version()}, {packages}."
    )


def installed_version(package):
    """Return the version of an installed `package`, None where it is not installed."""
    if package == "semid":  # run from a checkout, it need not be installed
        from semid import __version__

        return __version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


class OwnMemory:
    """Peak of the anonymous memory that a block of code takes: ``with OwnMemory() as memory: ...``, then ``peak``, MiB.

    Anonymous memory is what was allocated: the pages of a memory-mapped file and of libraries are not in it. Counted
    from where it stood on entry, sampled every few milliseconds.
    """

    def __init__(self, interval=0.005):
        self.interval = interval

    def __enter__(self):
        self._before = self._highest = _anonymous_memory()
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        self._sampler.join()

    def _sample(self):
        while not self._done.wait(self.interval):
            self._highest = max(self._highest, _anonymous_memory())

    @property
    def peak(self):
        return (self._highest - self._before) / 2**20


def _anonymous_memory():
    """Bytes of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status must have the line RssAnon; this measurement needs Linux 4.5 or later.")
