"""Rows that one core encodes in a second, bytes that an item takes on disk, and what both make of large catalogues.

    python benchmarks/encoding_rates.py scratch_folder --output docs/scale.md

CPU time of one thread, so that neighbours on the machine and waiting for the disk count little. Every tokenizer is
measured in a process of its own; the files, half a gigabyte, stay in the folder.
"""

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
from machine import OwnMemory, describe_machine, prepare_torch, thread_environment
from pyarrow.parquet import ParquetFile, ParquetWriter, write_table
from records import Records, markdown_table, publish
from scale import catalogue

from semid.io import encode_batches
from semid.tokenizers import MixtureOfCodesTokenizer, ResidualKMeansTokenizer, RQVAETokenizer

# Encoding takes as long after one epoch as after thirty.
TOKENIZERS = {
    "ResidualKMeansTokenizer": lambda n_codebooks: ResidualKMeansTokenizer(n_codebooks, 256, random_state=0),
    "RQVAETokenizer": lambda n_codebooks: RQVAETokenizer(n_codebooks, 256, max_iter=1, random_state=0),
    "MixtureOfCodesTokenizer": lambda n_codebooks: MixtureOfCodesTokenizer(
        n_codebooks, 256, max_iter=1, random_state=0
    ),
}
N_CODEBOOKS = (3, 7)
BATCH_ROWS = 8_192
FIT_ROWS = 10_000
CATALOGUES = (10**6, 10**8, 10**10)
MACHINE_CORES = 32
LINK = 10e9 / 8  # bytes/s of 10 Gbit/s

RATES_LEGEND = """\
Rows per second of CPU time of one thread: {n_rows:,} rows of float32 around 1,000 random centers, median of {repeats}.
*transform*: of an array in memory. *file to file*: `encode_file` of the section Engines, from parquet to parquet, lists
of float32 as pyarrow writes them, batches of {batch_rows:,}; its *memory* is the peak of what it allocates. The last
row is what reading alone takes of it."""

STORAGE_LEGEND = """\
Bytes per item, {n_rows:,} items: arrays in memory, and parquet files as pyarrow writes them and without dictionary.
Codes are of 256, drawn at random, which is the most that they can take; ids are 0, 1, 2, ..."""

COSTS_LEGEND = """\
Computed from the rates *file to file* and the bytes above; nothing was run at these sizes but the rates. *Machines*:
of {cores} cores and a link of 10 Gbit/s, to be done in an hour, whichever of the two takes longer."""


def batches_of(file):
    """Yield the batches of a `ParquetFile`, one row group after the other: over several, pyarrow keeps what it read."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(BATCH_ROWS, row_groups=[group])


def encode_file(tokenizer, source, target):
    """Write the codes of a file of embeddings, in the lines of the section Engines."""
    file, names = ParquetFile(source), tokenizer.get_feature_names_out()
    schema = pa.schema([("item_id", file.schema_arrow.field("item_id").type), *((name, pa.int64()) for name in names)])
    with ParquetWriter(target, schema) as writer:
        for batch in encode_batches(tokenizer, batches_of(file)):
            writer.write_batch(batch)


def read_file(source):
    """Read as `encode_batches` does, as far as the array."""
    for batch in batches_of(ParquetFile(source)):
        batch.column("embedding").flatten().to_numpy(zero_copy_only=False).reshape(len(batch), -1)


def lists(X):
    """Return the rows of `X` as an Arrow array of lists."""
    return pa.ListArray.from_arrays(pa.array(np.arange(len(X) + 1, dtype=np.int32) * X.shape[1]), X.ravel())


def parquet_catalogue(path):
    """Return the path of the parquet file of an array in a file; it is written where it is not there yet."""
    parquet = Path(path).with_suffix(".parquet")
    if not parquet.exists():
        X = np.load(path)
        table = pa.table({"item_id": np.arange(len(X)), "embedding": lists(X)})
        write_table(table, parquet, row_group_size=4 * BATCH_ROWS)
    return parquet


def cpu_seconds(call, repeats):
    """Return the median of the CPU seconds that calls take after a first one."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def measure(path, repeats, name=None, n_codebooks=None):
    """Return rows per second: of one tokenizer, or of reading alone where none is named."""
    prepare_torch(1)
    X, source = np.load(path, mmap_mode="r"), parquet_catalogue(path)
    if name is None:
        return {"file to file": len(X) / cpu_seconds(lambda: read_file(source), repeats)}
    tokenizer = TOKENIZERS[name](n_codebooks).fit(np.array(X[:FIT_ROWS]))
    target = source.with_name(f"{source.stem}_codes.parquet")
    with OwnMemory() as memory:
        from_file = cpu_seconds(lambda: encode_file(tokenizer, source, target), repeats)
    X = np.array(X)
    in_memory = cpu_seconds(lambda: tokenizer.transform(X), repeats)
    return {"transform": len(X) / in_memory, "file to file": len(X) / from_file, "memory": memory.peak}


def measure_in_a_fresh_process(task):
    command = [sys.executable, __file__, "unused", "--measure", json.dumps(task)]
    done = subprocess.run(command, env=thread_environment(1), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def bytes_on_disk(folder, columns, **options):
    """Return the bytes that a parquet file of `columns` takes per row."""
    path, table = Path(folder) / "size.parquet", pa.table(columns)
    write_table(table, path, **options)
    size = path.stat().st_size / len(table)
    path.unlink()
    return size


def storage(folder, n_rows, n_features):
    """Return the bytes per item, by what is kept and how."""
    random = np.random.default_rng(0)
    kept = {"int64 id": ({"item_id": np.arange(n_rows)}, 8)}
    for n_codebooks, dtype in itertools.product(N_CODEBOOKS, (np.int64, np.uint8)):
        codes = random.integers(256, size=(n_rows, n_codebooks)).astype(dtype)
        columns = {f"code{n}": column for n, column in enumerate(codes.T)}
        kept[f"{n_codebooks} codes, {codes.dtype}"] = columns, n_codebooks * codes.itemsize
    for width, dtype in itertools.product(n_features, (np.float32, np.float16)):
        X = random.standard_normal((n_rows, width), dtype=np.float32).astype(dtype)
        kept[_embedding(width, X.dtype)] = {"embedding": lists(X)}, width * X.itemsize
    return {
        name: {
            "in memory": in_memory,
            "parquet": bytes_on_disk(folder, columns),
            "parquet without dictionary": bytes_on_disk(folder, columns, use_dictionary=False),
        }
        for name, (columns, in_memory) in kept.items()
    }


def _embedding(width, dtype):
    return f"embedding of {width:,}, {dtype}"


def rate_rows(found, n_features):
    """Return one row per tokenizer, with columns for each width of embeddings."""
    rows = []
    for name, n_codebooks in [*itertools.product(TOKENIZERS, N_CODEBOOKS), (None, None)]:
        row = {"": "reading alone" if name is None else f"`{name}`", "codes": str(n_codebooks or "")}
        for width in n_features:
            rates = found[name, n_codebooks, width]
            for kind in ("transform", "file to file", "memory"):
                unit = "memory, MiB" if kind == "memory" else f"{kind}, rows/s"
                row[f"{width}: {unit}"] = f"{rates[kind]:,.0f}" if kind in rates else ""
        rows.append(row)
    return rows


def cost_rows(found, sizes, n_features):
    """Return what encoding catalogues costs: the arithmetic from rates and bytes to hours and machines."""
    codes = sizes["int64 id"]["parquet"] + sizes["3 codes, int64"]["parquet"]
    rows = []
    for n_items, width, name in itertools.product(CATALOGUES, n_features, TOKENIZERS):
        n_bytes = n_items * sizes[_embedding(width, "float32")]["parquet"]
        one_core = n_items / found[name, 3, width]["file to file"]
        all_cores, link = one_core / MACHINE_CORES, n_bytes / LINK
        row = {
            "items": f"10^{len(str(n_items)) - 1}",
            "features": f"{width:,}",
            "3 codes of": f"`{name}`",
            "one core": _duration(one_core),
            f"{MACHINE_CORES} cores": _duration(all_cores),
            "read at 10 Gbit/s": _duration(link),
            "machines": f"{math.ceil(max(all_cores, link) / 3600)}",
            "embeddings": _in_units(n_bytes),
            "ids and codes": _in_units(n_items * codes),
        }
        rows.append(row)
    return rows


def _duration(seconds):
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _in_units(n_bytes):
    for size, unit in ((1e12, "TB"), (1e9, "GB")):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes / 1e6:,.1f} MB"


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the catalogues are, or are made")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--n-features", type=int, nargs="+", default=[384, 1_024])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", default="outputs/encoding_rates.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers of three tables; without it, print only")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(arguments):
    """Return the rates by (tokenizer, number of codebooks, number of features); those of reading under None."""
    records, found = Records(arguments.results), {}
    for width in arguments.n_features:
        path = str(catalogue(arguments.folder, arguments.rows, width))
        for name, n_codebooks in [(None, None), *itertools.product(TOKENIZERS, N_CODEBOOKS)]:
            task = {"path": path, "repeats": arguments.repeats, "name": name, "n_codebooks": n_codebooks}
            found[name, n_codebooks, width] = measure_in_a_fresh_process(task)
            records.add({**task, **found[name, n_codebooks, width]})
    return found


def main(arguments=None):
    arguments = parse_arguments(arguments)
    if arguments.measure:
        warnings.simplefilter("ignore")
        print(json.dumps(measure(**arguments.measure)))
        return
    found = run(arguments)
    sizes = storage(arguments.folder, arguments.rows, arguments.n_features)
    legend = RATES_LEGEND.format(n_rows=arguments.rows, repeats=arguments.repeats, batch_rows=BATCH_ROWS)
    table = markdown_table(rate_rows(found, arguments.n_features))
    publish("\n\n".join([describe_machine(1), legend, table]), "encoding_rates", arguments.output)
    table = markdown_table(
        [{"": name, **{how: f"{size:,.1f}" for how, size in row.items()}} for name, row in sizes.items()]
    )
    publish("\n\n".join([STORAGE_LEGEND.format(n_rows=arguments.rows), table]), "storage", arguments.output)
    table = markdown_table(cost_rows(found, sizes, arguments.n_features))
    publish("\n\n".join([COSTS_LEGEND.format(cores=MACHINE_CORES), table]), "encoding_costs", arguments.output)


if __name__ == "__main__":
    main()
