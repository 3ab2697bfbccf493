"""Processes that write to a catalogue until they are killed, and one that reads it, for test_catalogue_kills.py."""

import itertools
import sys
import time
from pathlib import Path

import numpy as np

from semid.io import Catalogue, load

N_ITEMS, N_CODEBOOKS, SIZE = 2_000, 3, 12


def made(seed, n_items):
    """Return ids and codes, different ones for each seed."""
    rng = np.random.default_rng(seed)
    return np.array([f"item{i}" for i in range(n_items)], dtype=object), rng.integers(SIZE, size=(n_items, N_CODEBOOKS))


def build(folder, tokenizer_folder):
    """Write the first generation, with a tokenizer where there is one."""
    ids, codes = made(0, N_ITEMS)
    if tokenizer_folder is None:
        return Catalogue.build(folder, ids, codes=codes, codebook_sizes=[SIZE] * N_CODEBOOKS)
    return Catalogue.build(folder, ids, embeddings(N_ITEMS), tokenizer=load(tokenizer_folder))


def embeddings(n_items):
    return np.random.default_rng(1).normal(size=(n_items, 8)).astype(np.float32)


def write_until_killed(folder, seed):
    """Append, refit and go back, one after the other, as fast as it goes."""
    catalogue = Catalogue(folder)
    with_tokenizer = catalogue.open().has_tokenizer
    for n in itertools.count():
        kind = (seed + n) % 3
        last = catalogue.open()
        ids, codes = made(1000 * seed + n, len(last) + 50 if kind == 0 else N_ITEMS)
        given = {"X": embeddings(len(ids))} if with_tokenizer else {"codes": codes}
        if kind == 0:
            catalogue.append(ids, **given)
        elif kind == 1:
            sizes = {} if with_tokenizer else {"codebook_sizes": [SIZE] * N_CODEBOOKS}
            tokenizer = {"tokenizer": last.tokenizer()} if with_tokenizer else {}
            catalogue.refit(ids, popularity=np.arange(len(ids)), **given, **sizes, **tokenizer)
        elif last.number > 1:
            catalogue.rollback(catalogue.generations[0])
        catalogue.prune(6)


def read_until_told(folder, done, failed):
    """Read the newest again and again, and hold the first one throughout; leave a file if anything is wrong."""
    catalogue = Catalogue(folder)
    first = catalogue.open()
    ids, codes = first.item_ids.copy(), first.codes.copy()
    numbers = [first.number]
    while not Path(done).exists():
        newest = catalogue.open()
        numbers.append(newest.number)
        asked = newest.item_ids[::97]
        found = newest.codes_of(asked)
        ok = all(item in group for item, group in zip(asked, newest.items_of(found), strict=True))
        ok &= np.array_equal(first.codes_of(ids), codes) and numbers[-1] >= numbers[-2]
        if not ok:
            Path(failed).write_text(f"generation {newest.number}")
            sys.exit(1)
        time.sleep(0.005)
    Path(done).write_text(f"{len(set(numbers))}")
