"""A catalogue of a million items: what it costs to write, to open, and to look up, both ways.

python benchmarks/catalogue.py --output docs/guide/catalogue.md
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from machine import OwnMemory, describe_machine, prepare_torch
from records import Records, markdown_table, publish

from semid.io import Catalogue
from semid.tokenizers import ParallelKMeansTokenizer, ResidualKMeansTokenizer

N_ASKED = 10_000
FIT_ROWS = 20_000
N_APPENDED = 10_000
TOKENIZERS = {
    "3 of 256": lambda: ResidualKMeansTokenizer(3, 256, random_state=0),
    "7 of 16 to 1,024": lambda: ParallelKMeansTokenizer(7, "graded", random_state=0),
}

LEGEND = """\
{n_items:,} items with text ids, {n_features} dimensions. *Build* and *append* (of {n_appended:,} items): wall seconds
beyond encoding, the tokenizer's artefact included. *Open* reads the generation and compares checksums; the first
look-up of an id builds the hash table. *Ids* and *codes*: milliseconds of CPU time for a look-up of {n_asked:,} at
once, median of {repeats}; *prefixes* are the first two codes of as many items. *Reader* is the memory of a process that
opens the generation and looks up both ways, *build* that of the build beyond the embeddings, both at their peak; *disk*
is the size of the first generation."""


def made_items(n_items, n_features):
    random = np.random.default_rng(0)
    centers = random.standard_normal((500, n_features), dtype=np.float32)
    X = centers[random.integers(500, size=n_items)]
    X += 0.5 * random.standard_normal((n_items, n_features), dtype=np.float32)
    return np.array([f"item{i:08d}" for i in random.permutation(n_items)], dtype=object), X


def write(folder, name, n_items, n_features):
    """Return seconds of encoding, and of a build and an append beyond it."""
    ids, X = made_items(n_items + N_APPENDED, n_features)
    tokenizer = TOKENIZERS[name]().fit(X[:FIT_ROWS])
    start = time.perf_counter()
    tokenizer.transform(X[:n_items])
    encoding = time.perf_counter() - start
    start = time.perf_counter()
    with OwnMemory() as memory:
        catalogue = Catalogue.build(folder, ids[:n_items], X[:n_items], tokenizer=tokenizer)
    build = time.perf_counter() - start
    start = time.perf_counter()
    tokenizer.transform(X[n_items:])
    encoding_new = time.perf_counter() - start
    start = time.perf_counter()
    catalogue.append(ids[n_items:], X[n_items:])
    append = time.perf_counter() - start
    size = sum(path.stat().st_size for path in (catalogue.folder / "generation-000001").rglob("*") if path.is_file())
    return {
        "encoding": encoding,
        "build": build - encoding,
        "append": append - encoding_new,
        "build_mib": memory.peak,
        "disk_bytes": size,
    }


def read(folder, repeats):
    """Return seconds of opening and of the first look-up, milliseconds of look-ups, and the memory that it takes."""
    with OwnMemory() as memory:
        start = time.perf_counter()
        generation = Catalogue(folder).open()
        opening = time.perf_counter() - start
        rows = np.random.default_rng(1).integers(len(generation), size=N_ASKED)
        ids, codes = generation.item_ids[rows], generation.codes[rows]
        start = time.perf_counter()
        generation.codes_of(ids)
        first = time.perf_counter() - start
        generation.items_of(codes)

    asked = {
        "ids": (generation.codes_of, ids),
        "codes": (generation.items_of, codes),
        "prefixes": (generation.rows_of, codes[:, :2]),
    }
    times = {
        f"{name}_{clock}": value for name, call in asked.items() for clock, value in _times(*call, repeats).items()
    }
    return {"open": opening, "first": first, **times, "reader_mib": memory.peak}


def _times(answer, asked, repeats):
    """Return the median milliseconds of an answer, by the wall's clock and by that of the process."""
    seconds = {"wall": [], "cpu": []}
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        answer(asked)
        seconds["wall"].append(time.perf_counter() - wall)
        seconds["cpu"].append(time.process_time() - cpu)
    return {clock: 1e3 * statistics.median(values) for clock, values in seconds.items()}


def _alone(step, *arguments):
    """Return what a step returns in a process of its own."""
    command = [sys.executable, __file__, "--step", step, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(record):
    return {
        "codebooks": record["name"],
        "encoding, s": f"{record['encoding']:.1f}",
        "build, s": f"{record['build']:.1f}",
        "append, s": f"{record['append']:.1f}",
        "open, s": f"{record['open']:.2f}",
        "first look-up, s": f"{record['first']:.2f}",
        **{f"{name}, ms": f"{record[f'{name}_cpu']:.1f}" for name in ("ids", "codes", "prefixes")},
        "reader, MiB": f"{record['reader_mib']:,.0f}",
        "build, MiB": f"{record['build_mib']:,.0f}",
        "disk, MiB": f"{record['disk_bytes'] / 2**20:,.0f}",
    }


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-items", type=int, default=1_000_000)
    parser.add_argument("--n-features", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--results", default="outputs/catalogue.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'catalogue'; without it, print only")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = parse_arguments(arguments)
    warnings.simplefilter("ignore")
    prepare_torch(1)
    if arguments.step:
        step, folder, *rest = arguments.step
        name, *numbers = rest if step == "write" else (None, *rest)
        numbers = list(map(int, numbers))
        result = write(folder, name, *numbers) if step == "write" else read(folder, *numbers)
        print(json.dumps(result))
        return
    records, found = Records(arguments.results), []
    for name in TOKENIZERS:
        with tempfile.TemporaryDirectory() as there:
            folder = Path(there) / "catalogue"
            record = {"name": name, **_alone("write", folder, name, arguments.n_items, arguments.n_features)}
            record |= _alone("read", folder, arguments.repeats)
        records.add(record)
        found.append(record)
    legend = LEGEND.format(
        n_items=arguments.n_items,
        n_features=arguments.n_features,
        n_appended=N_APPENDED,
        n_asked=N_ASKED,
        repeats=arguments.repeats,
    )
    text = "\n\n".join([describe_machine(1), legend, markdown_table([row(record) for record in found])])
    publish(text, "catalogue", arguments.output)


if __name__ == "__main__":
    main()
