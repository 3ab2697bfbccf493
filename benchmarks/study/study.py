"""The study: do more codes help a click model, which ones, and for which items?

    python benchmarks/study/study.py run tune primary --data folder --hours 2
    python benchmarks/study/study.py report --pages docs/*.md docs/guide/*.md README.md --images docs/images/study
    python benchmarks/study/study.py bootstrap --data folder

Stages are lists of runs; each run is made once and kept, so that a stage that was cut short goes on where it was. Runs
of this machine come in as lines in `outputs/study`, `collect` merges them into `runs.parquet` beside this file.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))  # `records` lies with the other benchmarks

import arms  # noqa: E402
from data import load  # noqa: E402
from plan import STAGES  # noqa: E402
from report import bootstrap_primary, write_report  # noqa: E402
from runs import RunStore, execute  # noqa: E402

OUTPUTS = HERE.parents[1] / "outputs" / "study"
PARQUET = HERE / "runs.parquet"

_loaded = {}  # data sets, in this process


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs of some stages that are missing")
    run.add_argument("stages", nargs="+")
    run.add_argument("--data", required=True, help="folder of the data sets")
    run.add_argument("--only", nargs="*", default=[], help="entries of a run as name=value, to make a part of a stage")
    run.add_argument("--hours", type=float, default=6.0, help="start no run after so long")
    run.add_argument("--workers", type=int, default=2, help="processes of one torch thread each; 0: none but this")
    report = commands.add_parser("report", help="write tables and figures from the runs that there are")
    report.add_argument("--pages", nargs="*", default=[], help="markdown pages with markers of tables; else print only")
    report.add_argument("--images", help="folder for the figures")
    commands.add_parser("collect", help="merge the runs into the parquet file")
    bootstrap = commands.add_parser("bootstrap", help="intervals over users, from the predictions that are kept here")
    bootstrap.add_argument("--data", required=True, help="folder of the data sets")
    for command in (run, report, bootstrap, commands.choices["collect"]):
        command.add_argument("--runs", default=PARQUET, type=Path, help="the parquet file of all runs")
        command.add_argument("--outputs", default=OUTPUTS, type=Path, help="folder for what is kept on this machine")
    arguments = parser.parse_args(arguments)
    store = RunStore(arguments.runs, arguments.outputs / "runs.jsonl")
    if arguments.command == "run":
        for stage in arguments.stages:
            run_stage(stage, store, arguments)
    elif arguments.command == "collect":
        print(f"{len(store.collect()):,} runs in {store.parquet}")
    elif arguments.command == "bootstrap":
        bootstrap_primary(store, arguments.data, arguments.outputs / "predictions")
    else:
        write_report(store, arguments.pages, arguments.images)


def run_stage(stage, store, arguments):
    """Make the missing runs of a stage, until all are there or the time is over."""
    wanted = [run for run in STAGES[stage](store.frame()) if _is_wanted(run, arguments.only)]
    missing = store.missing(wanted)
    print(f"{stage}: {len(wanted)} runs, {len(missing)} to make", flush=True)
    start = time.perf_counter()
    make = _in_processes if arguments.workers else _in_this_process
    for n_made, record in enumerate(make(missing, arguments, start + 3600 * arguments.hours), start=1):
        store.add(record)
        left = (time.perf_counter() - start) / n_made * (len(missing) - n_made) / 60
        print(
            f"{n_made}/{len(missing)}, {left:.0f} min left: {record['data']} {record['model']} {record['arm']} "
            f"{record['n_codes']}x {record['fusion']} seed {record['seed']}: valid {record['valid_auc']:.4f}, "
            f"test {record['auc']:.4f}, cold {record['auc_cold']:.4f} ({record['seconds']:.0f} s)",
            flush=True,
        )


def _in_processes(runs, arguments, deadline):
    """Yield the record of each run as it is made, in no certain order; start none after the deadline."""
    # Torch decides on its threads when it is imported: workers are started afresh, with the variable set.
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(arguments.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        todo, pending = iter(runs), set()
        while True:
            while len(pending) < arguments.workers and time.perf_counter() < deadline:
                run = next(todo, None)
                if run is None:
                    break
                pending.add(pool.submit(_execute, run, arguments.data, arguments.outputs))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _in_this_process(runs, arguments, deadline):
    for run in runs:
        if time.perf_counter() >= deadline:
            return
        yield _execute(run, arguments.data, arguments.outputs)


def _is_wanted(run, only):
    chosen = dict(entry.split("=", 1) for entry in only)
    return all(str(getattr(run, name)) in value.split(",") for name, value in chosen.items())


def _execute(run, folder, outputs):
    """Make one run, and return its record. Data sets stay loaded, codes are kept on the disk."""
    arms.keep_codes_in(outputs / "codes")
    if run.data not in _loaded:
        _loaded[run.data] = load(run.data, folder)
    predictions = outputs / "predictions"
    predictions.mkdir(parents=True, exist_ok=True)
    return execute(run, _loaded[run.data], predictions if run.stage == "primary" else None)


if __name__ == "__main__":
    main()
