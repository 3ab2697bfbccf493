"""Calls in threads, one core each, whose results come in order."""

import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock


def in_threads(function, arguments, n_threads):
    """Yield the results of `function` in the order of `arguments`; two for each thread are under way at most."""
    waiting = deque()
    with _one_core_each, ThreadPoolExecutor(n_threads, initializer=_one_core_each.start_thread) as pool:
        try:
            for call in _calls(function, arguments):
                waiting.append(pool.submit(call))
                if len(waiting) == 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _calls(function, arguments):
    """Yield a call for each of `arguments`; an error of who reads them is a call as well, raised in its turn."""
    try:
        for each in arguments:
            yield partial(function, *each)
    except Exception as error:
        yield partial(_fail, error)


def _fail(error):
    raise error


class _OneCoreEach:
    """While a stream is open, torch computes on one core in each thread; afterwards on as many as before.

    Threads that share a matrix product wait for the slowest of them, which here also reads and copies. Torch has one
    number for all threads that begin: the first stream changes it, the last one gives it back.
    """

    def __init__(self):
        self._lock = Lock()
        self._n_streams = 0
        self._n_cores = None

    def __enter__(self):
        with self._lock:
            torch = sys.modules.get("torch")  # not there: the tokenizer computes without it
            if self._n_streams == 0:
                self._n_cores = None if torch is None else torch.get_num_threads()
            self._n_streams += 1
        return self

    def __exit__(self, *_):
        with self._lock:
            self._n_streams -= 1
            if self._n_streams == 0 and self._n_cores is not None:
                sys.modules["torch"].set_num_threads(self._n_cores)

    def start_thread(self):
        """Take one core for the thread that calls this."""
        if self._n_cores is not None:
            sys.modules["torch"].set_num_threads(1)


_one_core_each = _OneCoreEach()
