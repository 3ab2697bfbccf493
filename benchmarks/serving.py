"""Milliseconds until a request has its codes: computed by a tokenizer, by its ONNX graph, or looked up.

python benchmarks/serving.py --output docs/scale.md
"""

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from machine import describe_machine, prepare_torch
from records import Records, markdown_table, publish

from semid.io import to_onnx
from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

REQUESTS = (1, 1_000)
FIT_ROWS = 10_000
TOKENIZERS = {
    "ResidualKMeansTokenizer": lambda: ResidualKMeansTokenizer(3, 256, random_state=0),
    "RQVAETokenizer": lambda: RQVAETokenizer(3, 256, max_iter=1, random_state=0),
}

LEGEND = """\
Milliseconds of CPU time of one thread for a request of so many items, median of {repeats}; 3 codes of 256 from
{n_features} dimensions. *Held*: weights, the ONNX file, or ids and codes of {n_items:,} items, MB. A look-up finds
int64 ids in a sorted array (`numpy.searchsorted`) and takes their rows from an array of uint8."""


def onnx_session(tokenizer, folder):
    """Return a function from embeddings to codes, the tokenizer's graph in ONNX Runtime, and the bytes of its file."""
    import onnxruntime

    path = Path(folder) / f"{type(tokenizer).__name__}.onnx"
    to_onnx(tokenizer, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    (source,) = session.get_inputs()
    return lambda X: session.run(None, {source.name: X}), path.stat().st_size


def look_up(n_items, random):
    """Return a function from ids to codes, the ids that it knows, and the bytes that both take."""
    ids = np.sort(random.choice(10 * n_items, size=n_items, replace=False))
    codes = random.integers(256, size=(n_items, 3), dtype=np.uint8)
    return (lambda wanted: codes[np.searchsorted(ids, wanted)]), ids, ids.nbytes + codes.nbytes


def milliseconds(answer, request, repeats):
    """Return the median of the CPU milliseconds that answers take after a first one."""
    answer(request)
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        answer(request)
        seconds.append(time.process_time() - start)
    return 1e3 * statistics.median(seconds)


def measure(arguments):
    """Yield a record for each way to codes: what it is, the bytes it holds, milliseconds by size of the request."""
    random = np.random.default_rng(0)
    X = random.standard_normal((FIT_ROWS, arguments.n_features), dtype=np.float32)

    def record(way, answer, requests, n_bytes):
        times = {str(n): milliseconds(answer, requests[:n], arguments.repeats) for n in REQUESTS}
        return {"way": way, "bytes": n_bytes, "milliseconds": times}

    with tempfile.TemporaryDirectory() as folder:
        for name, build in TOKENIZERS.items():
            tokenizer = build().fit(X)
            n_bytes = sum(array.nbytes for array in tokenizer.state_.values())
            yield record(f"`{name}.transform`", tokenizer.transform, X, n_bytes)
            run, n_bytes = onnx_session(tokenizer, folder)
            yield record(f"`{name}`, ONNX Runtime", run, X, n_bytes)
    answer, ids, n_bytes = look_up(arguments.n_items, random)
    yield record("look-up", answer, random.permutation(ids)[: max(REQUESTS)], n_bytes)


def row(record):
    times = {f"{n:,} item{'s' * (n > 1)}, ms": f"{record['milliseconds'][str(n)]:.3f}" for n in REQUESTS}
    return {"codes by": record["way"], **times, "held, MB": f"{record['bytes'] / 1e6:,.1f}"}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-features", type=int, default=384)
    parser.add_argument("--n-items", type=int, default=1_000_000, help="items of the look-up")
    parser.add_argument("--repeats", type=int, default=101)
    parser.add_argument("--results", default="outputs/serving.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'serving'; without it, print only")
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = parse_arguments(arguments)
    warnings.simplefilter("ignore")
    prepare_torch(1)
    records, found = Records(arguments.results), []
    for record in measure(arguments):
        records.add(record)
        found.append(record)
    legend = LEGEND.format(repeats=arguments.repeats, n_features=arguments.n_features, n_items=arguments.n_items)
    text = "\n\n".join([describe_machine(1), legend, markdown_table([row(record) for record in found])])
    publish(text, "serving", arguments.output)


if __name__ == "__main__":
    main()
