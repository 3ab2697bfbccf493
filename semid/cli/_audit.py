"""`semid audit`: the report over a file of codes, printed or as a page, alone or beside that of another file."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from semid.cli._embeddings import Columns, EmbeddingFile
from semid.cli._models import load_tokenizer
from semid.datasets import load_interactions
from semid.io import read_mapping
from semid.metrics import ReportComparison, tokenizer_report
from semid.metrics._mapping_columns import text_of_bytes
from semid.plots._style import pyplot
from semid.tables._ids import of_other_kind, plain_name
from semid.tables._parquet import read_indexed


class _Beside(NamedTuple):
    """What is known of the items beside their codes: who took them, and what they are."""

    log: pd.DataFrame | None  # user_id, item_id
    items: pd.DataFrame | None  # item_id, and columns of the file


def audit(options):
    """Print the report, or two side by side, as a table to read or as JSON, and write the page."""
    sizes = _codebook_sizes(options)
    _check_columns(options)
    _check_page(options)
    beside = _read_beside(options)
    shown = report = _report_of(options.codes, sizes, beside, options)
    if options.compare is not None:
        # The sizes are those of the codes that the audit is of; another file may have others.
        names = _names(options.compare, options.codes)
        other = _report_of(options.compare, None, beside, options, ids_of_rows=report.items.ids)
        shown = other.compare(report, names=names)
    if options.html is not None:
        if isinstance(shown, ReportComparison):
            shown.to_html(options.html)
        else:
            shown.to_html(options.html, name=Path(options.codes).name)
    sys.stdout.write((_as_json(shown) if options.json else repr(shown)) + "\n")


def _report_of(path, sizes, beside, options, ids_of_rows=None):
    mapping = read_mapping(_named_ids(path, options))
    if Path(path).suffix == ".npy":  # in the order of the embeddings as well
        ids_of_rows = None
    X = None if options.embeddings is None else _embeddings_of(mapping.item_ids, options, ids_of_rows)
    ids, log = mapping.item_ids, beside.log
    # Keys of JSON are text, whatever the log and the other file have.
    if options.compare is not None or (log is not None and of_other_kind(ids, log["item_id"])):
        ids = _as_keys(ids)
        log = None if log is None else log.assign(item_id=_keys_of_column(log["item_id"]))
    names = [f"code{n}" for n in range(mapping.codes.shape[1])]
    return tokenizer_report(
        pd.DataFrame(mapping.codes, index=ids, columns=names),
        X,
        codebook_size=sizes,
        interactions=log,
        titles=_of_items(ids, beside.items, "title_column", options),
        labels=_of_items(ids, beside.items, "label_column", options),
        purpose=options.purpose,
        baselines=not options.no_baselines,
    )


def _names(first, second):
    """Return what two files are called: by their names, or by all of their paths where these are alike."""
    names = Path(first).name, Path(second).name
    return names if names[0] != names[1] else (str(first), f"{second} " if first == second else str(second))


def _check_columns(options):
    for option in ("title_column", "label_column"):
        if options.items is None and getattr(options, option) is not None:
            raise ValueError(f"--{option.replace('_', '-')} must come with --items, the file that has the column.")


def _check_page(options):
    """Raise if the page cannot be written, before the work that it is of."""
    if options.html is None:
        return
    pyplot()
    path = Path(options.html).absolute()
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"--html must be a file in a folder that is there, got {options.html!r}.")


def _read_beside(options):
    """Return the log and the items, with columns user_id and item_id."""
    log = items = None
    if options.interactions is not None:
        read = load_interactions(options.interactions, user=options.user_column, item=options.id_column)
        log = read.interactions[["user_id", "item_id"]]
    if options.items is not None:
        items = _read_items(options.items, options)
    return _Beside(log, items)


def _read_items(path, options):
    """Return the table of a file of items, its ids named item_id."""
    frame = read_indexed(path) if Path(path).suffix == ".parquet" else _read_csv(path)
    if frame.index.name == options.id_column:
        frame = frame.reset_index()
    if options.id_column not in frame:
        raise ValueError(f"--items must have the column {options.id_column!r}, got {list(frame)}.")
    return frame.rename(columns={options.id_column: "item_id"})


def _read_csv(path):
    """Return a table of text, in which nothing but an empty cell is missing: NA and None may be ids."""
    return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])


def _of_items(item_ids, items, option, options):
    """Return a column of the file of items in the order of the codes, or None where nobody asks for one."""
    column = getattr(options, option) or ("title" if option == "title_column" else None)
    if items is None or column is None or (column not in items and getattr(options, option) is None):
        return None
    if column not in items:
        raise ValueError(f"--{option.replace('_', '-')} must be a column of --items, got {column!r}: {list(items)}.")
    of_keys = pd.Series(items[column].to_numpy(dtype=object), index=_keys_of_column(items["item_id"]))
    keys = _as_keys(item_ids)
    if not of_keys.index.isin(keys).any():
        got = f"ids like {of_keys.index[0]!r}" if len(of_keys) else "no row"
        raise ValueError(f"--items must have items of the codes, whose ids are like {keys[0]!r}, got {got}.")
    return of_keys[~of_keys.index.duplicated()].reindex(keys).to_numpy()


def _keys_of_column(column):
    """Return ids as text, each distinct one turned into it once."""
    numbers, distinct = pd.factorize(column)
    keys = np.append(_as_keys(distinct), "")  # the last is of what is missing
    return keys[numbers]


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


def _named_ids(source, options):
    """Return the codes with their ids under the name that is looked for, where the file has them under another."""
    path = Path(source)
    if path.suffix != ".parquet" or options.id_column == "item_id" or not path.is_file():
        return source
    frame = read_indexed(path)
    if frame.index.name == options.id_column:
        frame = frame.reset_index()
    if options.id_column not in frame:
        return source
    others = [name for name in frame if plain_name(name) == "item_id" and name != options.id_column]
    return frame.drop(columns=others).rename(columns={options.id_column: "item_id"})


def _embeddings_of(item_ids, options, ids_of_rows):
    """Return the embeddings in the order of the codes; those of a ``.npy`` file are in it but for `ids_of_rows`."""
    file = EmbeddingFile(options.embeddings, Columns(options.id_column, options.embedding_column))
    X = file.sample(file.n_rows, 65_536)
    is_npy = file.path.suffix == ".npy"
    if is_npy and ids_of_rows is None:
        return X
    index = pd.Index(ids_of_rows if is_npy else _as_keys(file.ids()))
    if not index.is_unique:
        repeated = index[index.duplicated()][0]
        raise ValueError(f"--embeddings must have each id once, got {repeated!r} more than once.")
    keys = _as_keys(item_ids)
    rows = index.get_indexer(keys)
    if (rows < 0).any():
        missing = keys[rows < 0]
        ask = f" A .npy file is in the order of {options.codes}: pass .parquet, with ids." if is_npy else ""
        raise ValueError(
            f"--embeddings must hold every item of the codes, {len(missing)} are not there, for example {missing[0]}."
            f"{ask}"
        )
    return X[rows]


def _as_keys(ids):
    """Return ids as text, which keys of JSON are: bytes of UTF-8 and whole numbers like those in other files."""
    ids = text_of_bytes(np.asarray(ids))
    if ids.dtype.kind == "f" and (ids == ids.round()).all():
        ids = ids.astype(np.int64) if np.abs(ids).max(initial=0) < 2**63 else ids
    return ids.astype(str)


def _as_json(shown):
    if isinstance(shown, ReportComparison):
        churn = shown.churn
        content = {"names": shown.names, "figures": _plain(shown.table.to_dict("index"))}
        content["churn"] = None if churn is None else {"items": churn.items, "codes": churn.codes.tolist()}
        return json.dumps(content, indent=1)
    content = {
        "summary": _plain(shown.summary),
        "codebooks": json.loads(shown.table.to_json(orient="records")),
        "advice": shown.advice,
        "verdict": shown.verdict,
        "baselines": None if shown.baselines is None else _plain(shown.baselines.drop(columns="mapping").to_dict()),
        "parts": None if shown.parts is None else _plain(shown.parts.to_dict("index")),
    }
    return json.dumps(content, indent=1)


def _plain(figures):
    """Return figures as floats, None where there is none; of dicts within as well."""
    if isinstance(figures, dict):
        return {name: _plain(value) for name, value in figures.items()}
    return None if pd.isna(figures) else float(figures)
