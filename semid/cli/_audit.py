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


def audit(options):
    """Print the report, as a table to read or as JSON."""
    mapping = read_mapping(_named_ids(options))
    X = None if options.embeddings is None else _embeddings_of(mapping.item_ids, options)
    sizes = None if options.model is None else load_tokenizer(options.model)[1]
    names = [f"code{n}" for n in range(mapping.codes.shape[1])]
    codes = pd.DataFrame(mapping.codes, index=mapping.item_ids, columns=names)
    report = tokenizer_report(codes, X, codebook_size=sizes)
    sys.stdout.write((_as_json(report) if options.json else repr(report)) + "\n")


def _named_ids(options):
    """Return the codes with their ids under the name that is looked for, where the file has them under another."""
    path = Path(options.codes)
    if path.suffix != ".parquet" or options.id_column == "item_id" or not path.is_file():
        return options.codes
    frame = pd.read_parquet(path)
    return frame.assign(item_id=frame[options.id_column]) if options.id_column in frame else options.codes


def _embeddings_of(item_ids, options):
    """Return the embeddings in the order of the codes; those of a ``.npy`` file are in it already."""
    file = EmbeddingFile(options.embeddings, Columns(options.id_column, options.embedding_column))
    X = file.sample(file.n_rows, 65_536)
    if file.path.suffix == ".npy":
        return X
    columns = [batch.column(options.id_column) for batch in file.batches(65_536)]
    ids = np.concatenate([column.to_numpy(zero_copy_only=False) for column in columns])
    index = pd.Index(ids.astype(str))
    if not index.is_unique:
        repeated = index[index.duplicated()][0]
        raise ValueError(f"--embeddings must have each id once, got {repeated!r} more than once.")
    rows = index.get_indexer(np.asarray(item_ids).astype(str))
    if (rows < 0).any():
        missing = np.asarray(item_ids)[rows < 0].astype(str)
        raise ValueError(
            f"--embeddings must hold every item of the codes, {len(missing)} are not there, for example {missing[0]}."
        )
    return X[rows]


def _as_json(report):
    summary = {name: None if pd.isna(value) else float(value) for name, value in report.summary.items()}
    table = json.loads(report.table.to_json(orient="records"))
    return json.dumps({"summary": summary, "codebooks": table, "advice": report.advice}, indent=1)
