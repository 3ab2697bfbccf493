"""`semid audit`: the report over a file of codes."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from semid.cli._embeddings import Columns, EmbeddingFile
from semid.cli._models import load_tokenizer
from semid.io import read_mapping
from semid.metrics import tokenizer_report
from semid.metrics._mapping_columns import text_of_bytes
from semid.tables._ids import plain_name
from semid.tables._parquet import read_indexed


def audit(options):
    """Print the report, as a table to read or as JSON."""
    sizes = _codebook_sizes(options)
    mapping = read_mapping(_named_ids(options))
    X = None if options.embeddings is None else _embeddings_of(mapping.item_ids, options)
    names = [f"code{n}" for n in range(mapping.codes.shape[1])]
    codes = pd.DataFrame(mapping.codes, index=mapping.item_ids, columns=names)
    report = tokenizer_report(codes, X, codebook_size=sizes)
    sys.stdout.write((_as_json(report) if options.json else repr(report)) + "\n")


def _codebook_sizes(options):
    """Return the sizes of the codebooks, one for all or one each, None where nobody knows them."""
    if options.codebook_size is None:
        return None if options.model is None else load_tokenizer(options.model)[1]
    if options.model is not None:
        raise ValueError("--codebook-size must be left out with --model, whose tokenizer knows the sizes.")
    try:
        sizes = [int(size) for size in options.codebook_size.split(",")]
    except ValueError as error:
        raise ValueError(
            f"--codebook-size must be an integer, or one for each codebook as in 16,64,256, got "
            f"{options.codebook_size!r}."
        ) from error
    return sizes[0] if len(sizes) == 1 else sizes


def _named_ids(options):
    """Return the codes with their ids under the name that is looked for, where the file has them under another."""
    path = Path(options.codes)
    if path.suffix != ".parquet" or options.id_column == "item_id" or not path.is_file():
        return options.codes
    frame = read_indexed(path)
    if frame.index.name == options.id_column:
        frame = frame.reset_index()
    if options.id_column not in frame:
        return options.codes
    others = [name for name in frame if plain_name(name) == "item_id" and name != options.id_column]
    return frame.drop(columns=others).rename(columns={options.id_column: "item_id"})


def _embeddings_of(item_ids, options):
    """Return the embeddings in the order of the codes; those of a ``.npy`` file are in it already."""
    file = EmbeddingFile(options.embeddings, Columns(options.id_column, options.embedding_column))
    X = file.sample(file.n_rows, 65_536)
    if file.path.suffix == ".npy":
        return X
    index = pd.Index(_as_keys(file.ids()))
    if not index.is_unique:
        repeated = index[index.duplicated()][0]
        raise ValueError(f"--embeddings must have each id once, got {repeated!r} more than once.")
    keys = _as_keys(item_ids)
    rows = index.get_indexer(keys)
    if (rows < 0).any():
        missing = keys[rows < 0]
        raise ValueError(
            f"--embeddings must hold every item of the codes, {len(missing)} are not there, for example {missing[0]}."
        )
    return X[rows]


def _as_keys(ids):
    """Return ids as text, which keys of JSON are: bytes of UTF-8 and whole numbers like those in other files."""
    ids = text_of_bytes(np.asarray(ids))
    if ids.dtype.kind == "f" and (ids == ids.round()).all():
        ids = ids.astype(np.int64) if np.abs(ids).max() < 2**63 else ids
    return ids.astype(str)


def _as_json(report):
    summary = {name: None if pd.isna(value) else float(value) for name, value in report.summary.items()}
    table = json.loads(report.table.to_json(orient="records"))
    return json.dumps({"summary": summary, "codebooks": table, "advice": report.advice}, indent=1)
