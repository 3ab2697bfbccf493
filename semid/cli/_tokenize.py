"""`semid tokenize`: from a file of embeddings, or of texts, to a file of codes."""

import os
import sys
from pathlib import Path

import joblib
from tqdm import tqdm

from semid import io
from semid.cli._items import check_fit_options, fitted, open_items
from semid.cli._main import MAX_JOBS
from semid.cli._models import load_tokenizer
from semid.io._artifact import check_target
from semid.io._files import replaced
from semid.io._mapping import checked_ids


def tokenize(options):
    """Fit or load the tokenizer, and write the codes of one batch after the other."""
    _check_before_work(options)
    tokenizer = load_tokenizer(options.model)[0] if options.model else None
    file = open_items(options.embeddings, options, tokenizer)
    checked_ids(f"column {options.id_column!r} of embeddings", file.ids(), file.n_rows)
    if tokenizer is None:
        tokenizer = fitted(options, file, lambda message: _say(options, message))
        if options.save:
            io.save(tokenizer, options.save, overwrite=options.overwrite)
    _write_codes(options, file, tokenizer)
    _say(options, f"codes of {file.n_rows:,} items in {options.codes}")


def _check_before_work(options):
    check_fit_options(options)
    if Path(options.codes).suffix != ".parquet":
        raise ValueError(f"codes must be a .parquet file, got {options.codes!r}.")
    if Path(options.codes).is_dir():
        raise ValueError(f"codes must be a file, {options.codes!r} is a folder.")
    for path in (options.codes, options.save):
        if path and Path(path).exists() and not options.overwrite:
            raise ValueError(f"{path!r} is there already; pass --overwrite to replace it.")
        if path and not Path(path).absolute().parent.is_dir():
            raise ValueError(f"the folder of {path!r} must be there, it is not.")
    if os.path.realpath(options.codes) == os.path.realpath(options.embeddings):
        raise ValueError(f"codes must not be the file of the embeddings, got {options.codes!r} for both.")
    if options.save:
        check_target(Path(options.save).resolve(), options.overwrite)


def _write_codes(options, file, tokenizer):
    """Write the codes beside their place, and move them there when they are whole."""
    import pyarrow as pa
    from pyarrow import parquet

    names = [str(name) for name in tokenizer.get_feature_names_out()]
    schema = pa.schema([(options.id_column, file.id_type), *((name, pa.int64()) for name in names)])
    n_jobs = options.n_jobs or min(joblib.cpu_count(), MAX_JOBS)
    batches = file.encoded(tokenizer, options.id_column, options.batch_rows, n_jobs)
    progress = tqdm(total=file.n_rows, unit=" items", unit_scale=True, disable=options.quiet, file=sys.stderr)
    with (
        progress,
        replaced(Path(options.codes), overwrite=options.overwrite) as path,
        parquet.ParquetWriter(path, schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            progress.update(len(batch))


def _say(options, message):
    if not options.quiet:
        sys.stderr.write(f"semid: {message}\n")
