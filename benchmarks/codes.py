"""Quality, speed and memory of every tokenizer of ours and of other projects, on one catalogue, as markdown tables.

    python benchmarks/codes.py embeddings.npy --n-codebooks 3 4 7 --output docs/benchmarks.md

Every measurement runs in a process of its own and is added to a file of JSON lines at once; measurements that are in
the file already are not repeated, so a run can be stopped and resumed. Contenders take turns.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from contenders import CONTENDERS
from machine import OwnMemory, describe_machine, prepare_torch, thread_environment
from quality import figures_of_codes, figures_of_reconstruction
from records import Records, markdown_table, medians, publish

from semid.metrics import reconstruction_r2

LEGEND = """\
Fitted on all items unless it says otherwise; medians of as many fits as the last column says, with different seeds,
each in a process of its own, contenders taking turns. *R²* of the reconstruction from the codes,
and *R² held out* on the 20 % of the items that a second fit, of the first seed, did not see; *unique*: distinct rows of
codes per item; *prefix shared*: items that share all but their last code with another; *usage* and *perplexity* of the
worst codebook; *neighbours kept*: the 10 nearest by Euclidean distance that stay among the 10 nearest after
reconstruction, for 2,000 items; *fit*: seconds, cold; *rows/s*: to encode the whole catalogue, warm; *memory*: peak
that the fit allocates beside the embeddings. Ours in bold, at their defaults; "refined" is `beam_size=16,
n_refinements=50`, "unique" is `UniqueTokenizer` around it. Autoencoders of other
projects get as many epochs as `RQVAETokenizer`."""


def measure(tokenizer, X, seed):
    """Return the figures of one tokenizer, unfitted, on the items `X`."""
    with OwnMemory() as memory:
        start = time.perf_counter()
        tokenizer.fit(X)
        fit_seconds = time.perf_counter() - start
    codes = tokenizer.encode(X)
    return {
        **figures_of_codes(codes, tokenizer.codebook_sizes),
        **figures_of_reconstruction(X, tokenizer.decode(codes)),
        "fit_seconds": fit_seconds,
        "rows_per_second": len(X) / _warm_seconds(lambda: tokenizer.encode(X)),
        "fit_memory": memory.peak,
    } | ({"held_out_r2": _held_out_r2(tokenizer, X, seed)} if seed == 0 else {})  # a second fit: once is enough


def _warm_seconds(call, n_calls=5):
    seconds = []
    for _ in range(n_calls):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _held_out_r2(tokenizer, X, seed):
    """R² on a random 20 % of the items of a fit on the other 80 %."""
    order = np.random.default_rng(seed).permutation(len(X))
    held_out, seen = X[order[: len(X) // 5]], X[order[len(X) // 5 :]]
    tokenizer.fit(seen)
    return reconstruction_r2(held_out, tokenizer.decode(tokenizer.encode(held_out)))


def measure_in_this_process(embeddings, name, n_codebooks, codebook_size, seed, threads):
    prepare_torch(threads)
    X = load(embeddings)
    return measure(CONTENDERS[name].build(n_codebooks, codebook_size, seed), X, seed)


def measure_in_a_fresh_process(task, limit):
    """Return the figures of `task`, or what went wrong."""
    command = [sys.executable, __file__, task["embeddings"], "--measure", json.dumps(task)]
    # Compiling, which rectokens asks for, would take most of its time: once per batch size in every process.
    environment = thread_environment(task["threads"]) | {"TORCHDYNAMO_DISABLE": "1"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {limit:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def load(embeddings):
    return np.ascontiguousarray(np.load(embeddings), dtype=np.float32)


def run(arguments, records):
    """Measure what is not in `records` yet, contenders taking turns."""
    data = sha256(Path(arguments.embeddings).read_bytes()).hexdigest()[:8]
    n_features = np.load(arguments.embeddings, mmap_mode="r").shape[1]
    for seed in range(arguments.repeats):
        for n_codebooks in arguments.n_codebooks:
            for contender in chosen(arguments, n_codebooks, n_features):
                task = {
                    "embeddings": arguments.embeddings,
                    "name": contender.name,
                    "n_codebooks": n_codebooks,
                    "codebook_size": arguments.codebook_size,
                    "seed": seed,
                    "threads": arguments.threads,
                }
                key = {**task, "embeddings": data, "version": contender.version()}
                if not finished(records, **key):
                    print(f"{contender.name}, {n_codebooks} codes, seed {seed}", file=sys.stderr, flush=True)
                    records.add({**key, **measure_in_a_fresh_process(task, arguments.limit)})
    return data


def chosen(arguments, n_codebooks, n_features):
    """Return the contenders asked for that can give `n_codebooks` codes."""
    names = CONTENDERS if arguments.only is None else arguments.only
    return [CONTENDERS[name] for name in names if CONTENDERS[name].takes(n_codebooks, n_features)]


def report(arguments, records, data):
    """Return the tables of all that was asked for, with what they mean and where they come from."""
    sections = [describe_machine(arguments.threads), LEGEND]
    for n_codebooks in arguments.n_codebooks:
        found = find_results(arguments, records, data, n_codebooks)
        results = sorted((medians(rows) for rows in found.values()), key=lambda row: -row["r2"])
        if not results:
            continue
        sections.append(f"### {n_codebooks} codes of {arguments.codebook_size}")
        sections.append(markdown_table([_row(result) for result in results]))
        sections.append("Usage (perplexity) of each codebook:")
        sections.append(markdown_table([_codebooks_row(result, n_codebooks) for result in results]))
        missing = [_why_missing(contender, arguments, records, data, n_codebooks) for contender in CONTENDERS.values()]
        sections += [f"Not in the table: {'; '.join(filter(None, missing))}."] if any(missing) else []
    return "\n\n".join(sections)


def finished(records, **key):
    """Return the measurements of `key` that came to an end; others are tried again in the next run."""
    return [row for row in records.matching(**key) if "error" not in row]


def find_results(arguments, records, data, n_codebooks):
    """Return the finished measurements, by contender."""
    results = {}
    for contender in CONTENDERS.values():
        key = {"name": contender.name, "version": contender.version(), "threads": arguments.threads}
        key |= {"embeddings": data, "n_codebooks": n_codebooks, "codebook_size": arguments.codebook_size}
        rows = [row for row in finished(records, **key) if row["seed"] < arguments.repeats]
        if rows:
            results[contender.name] = rows
    return results


def _why_missing(contender, arguments, records, data, n_codebooks):
    if contender.name in find_results(arguments, records, data, n_codebooks):
        return None
    of_contender = records.matching(name=contender.name, embeddings=data, n_codebooks=n_codebooks)
    failed = [row for row in of_contender if "error" in row]
    if failed:
        return f"{contender.name} ({failed[-1]['error']})"
    n_features = np.load(arguments.embeddings, mmap_mode="r").shape[1]
    if not contender.takes(n_codebooks, n_features):
        return f"{contender.name} ({n_codebooks} does not divide {n_features})"
    return None


def _row(result):
    return {
        "tokenizer": _name(result),
        "R²": f"{result['r2']:.3f}",
        "R² held out": f"{result['held_out_r2']:.3f}",
        "unique": f"{result['unique_share']:.3f}",
        "prefix shared": f"{result['prefix_shared']:.3f}",
        "usage": f"{min(result['usage']):.3f}",
        "perplexity": f"{min(result['perplexity']):.0f}",
        "neighbours kept": f"{result['neighbours_kept']:.3f}",
        "fit, s": f"{result['fit_seconds']:.1f}",
        "rows/s": f"{result['rows_per_second']:,.0f}",
        "memory, MiB": f"{result['fit_memory']:,.0f}",
        "fits": str(result["n_fits"]),
    }


def _codebooks_row(result, n_codebooks):
    pairs = [
        f"{usage:.2f} ({perplexity:.0f})"
        for usage, perplexity in zip(result["usage"], result["perplexity"], strict=True)
    ]
    pairs += [""] * (n_codebooks - len(pairs))
    return {"tokenizer": _name(result), **{f"code {n}": pair for n, pair in enumerate(pairs)}}


def _name(result):
    return f"**{result['name']}**" if CONTENDERS[result["name"]].is_ours else result["name"]


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", help="npy file (n_items, n_features)")
    parser.add_argument("--n-codebooks", type=int, nargs="+", default=[3, 4, 7], help="codes per item, a table each")
    parser.add_argument("--codebook-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3, help="fits per contender, with seeds 0, 1, ...")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"some of: {'; '.join(CONTENDERS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1800, help="seconds after which a measurement is given up")
    parser.add_argument("--results", default="outputs/tokenizers.jsonl", help="every measurement, one per line")
    parser.add_argument("--output", help="markdown page with the markers 'tokenizers'; without it, print only")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args(arguments)
    unknown = [name for name in arguments.only or [] if name not in CONTENDERS]
    if unknown:
        parser.error(f"--only must name contenders that are installed, got {unknown}; there are {list(CONTENDERS)}")
    return arguments


def main(arguments=None):
    arguments = parse_arguments(arguments)
    if arguments.measure:
        print(json.dumps(measure_in_this_process(**arguments.measure)))
        return
    records = Records(arguments.results)
    data = run(arguments, records)
    publish(report(arguments, records, data), "tokenizers", arguments.output)


if __name__ == "__main__":
    main()
