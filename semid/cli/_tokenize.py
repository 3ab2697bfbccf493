"""`semid tokenize`: from a file of embeddings to a file of codes."""

import os
import sys
from pathlib import Path

import joblib
from tqdm import tqdm

from semid import io, tokenizers
from semid.cli._embeddings import Columns, EmbeddingFile
from semid.cli._main import MAX_JOBS, TOKENIZERS
from semid.cli._models import load_tokenizer
from semid.io._artifact import check_target
from semid.io._files import replaced
from semid.io._mapping import checked_ids
from semid.tokenizers import presets

_FIT_DEFAULTS = {"tokenizer": "ranking", "seed": 0, "fit_rows": 200_000}


def tokenize(options):
    """Fit or load the tokenizer, and write the codes of one batch after the other."""
    _check_before_work(options)
    columns = Columns(options.id_column, options.embedding_column)
    file = EmbeddingFile(options.embeddings, columns)
    checked_ids(f"column {options.id_column!r} of embeddings", file.ids(), file.n_rows)
    tokenizer = load_tokenizer(options.model)[0] if options.model else _fitted(options, file)
    _write_codes(options, file, tokenizer)
    _say(options, f"codes of {file.n_rows:,} items in {options.codes}")


def _check_before_work(options):
    for name in ("fit_rows", "batch_rows", "n_jobs"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ValueError(f"{_option(name)} must be at least 1, got {getattr(options, name)}.")
    if Path(options.codes).suffix != ".parquet":
        raise ValueError(f"codes must be a .parquet file, got {options.codes!r}.")
    if Path(options.codes).is_dir():
        raise ValueError(f"codes must be a file, {options.codes!r} is a folder.")
    for name in ("save", *_FIT_DEFAULTS, "n_codebooks", "codebook_size"):
        if options.model and getattr(options, name) is not None:
            raise ValueError(f"{_option(name)} must be left out with --model, whose tokenizer is fitted already.")
    for path in (options.codes, options.save):
        if path and Path(path).exists() and not options.overwrite:
            raise ValueError(f"{path!r} is there already; pass --overwrite to replace it.")
        if path and not Path(path).absolute().parent.is_dir():
            raise ValueError(f"the folder of {path!r} must be there, it is not.")
    if os.path.realpath(options.codes) == os.path.realpath(options.embeddings):
        raise ValueError(f"codes must not be the file of the embeddings, got {options.codes!r} for both.")
    if options.save:
        check_target(Path(options.save).resolve(), options.overwrite)


def _option(name):
    return f"--{name.replace('_', '-')}"


def _fitted(options, file):
    chosen = {
        name: default if getattr(options, name) is None else getattr(options, name)
        for name, default in _FIT_DEFAULTS.items()
    }
    name = TOKENIZERS[chosen["tokenizer"]]
    tokenizer = getattr(presets if name == "ranking" else tokenizers, name)(random_state=chosen["seed"])
    parameters = {"n_codebooks": options.n_codebooks, "codebook_size": _codebook_size(options.codebook_size)}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    unknown = set(parameters) - set(tokenizer.get_params())
    if unknown:
        raise ValueError(
            f"{_option(sorted(unknown)[0])} must be left out for --tokenizer {chosen['tokenizer']}, which has none."
        )
    X = file.sample(chosen["fit_rows"], options.batch_rows)
    _say(options, f"fitting {type(tokenizer).__name__} on {len(X):,} of {file.n_rows:,} items")
    tokenizer.set_params(**parameters).fit(X)
    if options.save:
        io.save(tokenizer, options.save, overwrite=options.overwrite)
    return tokenizer


def _codebook_size(text):
    if text is None or text == "graded":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"--codebook-size must be an integer or 'graded', got {text!r}.") from error


def _write_codes(options, file, tokenizer):
    """Write the codes beside their place, and move them there when they are whole."""
    import pyarrow as pa
    from pyarrow import parquet

    names = [str(name) for name in tokenizer.get_feature_names_out()]
    schema = pa.schema([(options.id_column, file.id_type), *((name, pa.int64()) for name in names)])
    batches = io.encode_batches(
        tokenizer,
        file.batches(options.batch_rows),
        embedding=options.embedding_column,
        id=options.id_column,
        n_jobs=options.n_jobs or min(joblib.cpu_count(), MAX_JOBS),
    )
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
