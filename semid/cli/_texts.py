"""Texts in a file: JSON lines, CSV or parquet, one item per row."""

from pathlib import Path

import numpy as np
import pandas as pd

from semid.datasets._lines import GZIP_DAMAGE, BadLines, open_bytes, parse_record, read_rows
from semid.tables._columns import ids_from_text
from semid.tables._parquet import frame_of, read_parquet

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
TEXT_ENDINGS = (*_SEPARATORS, *_JSON_LINES)


def kind_of(path):
    """Return the ending of a file that says what it holds, without that of gzip."""
    path = Path(path)
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


class TextFile:
    """Ids and columns of text of a file, which is read whole.

    Ids of CSV are integers where each one is written as Python writes it; those of other files are what they are there.
    """

    def __init__(self, path, id_column, columns):
        self.path, self.columns = Path(path), list(columns)
        if not self.path.exists():
            raise FileNotFoundError(f"no texts at {str(path)!r}.")
        wanted = [id_column, *self.columns]
        repeated = [name for name in wanted if wanted.count(name) > 1]
        if repeated:
            raise ValueError(
                f"--text-columns must name each column once, and not that of the ids, got {repeated[0]!r}."
            )
        self._frame = _read(self.path, wanted)
        self._ids = self._frame.pop(id_column)
        self.n_rows = len(self._frame)
        if self.n_rows == 0:
            raise ValueError(f"texts must have a row at least, there is none in {str(path)!r}.")
        self.id_type = self._arrow_ids(self._ids).type

    def ids(self):
        """Return the ids of all rows, (n_rows,)."""
        return self._ids.to_numpy()

    def column(self, name):
        """Return another column of the file, (n_rows,)."""
        return _read(self.path, [name])[name].to_numpy()

    def sample(self, n_rows, batch_rows):
        """Return `n_rows` texts spread evenly over the file, in its order; all of them if there are fewer."""
        wanted = np.unique(np.linspace(0, self.n_rows - 1, num=min(n_rows, self.n_rows)).astype(np.int64))
        return self._frame.iloc[wanted]

    def encoded(self, tokenizer, id_column, batch_rows, n_jobs):
        """Yield a record batch of ids and codes for `batch_rows` items after the other."""
        import pyarrow as pa

        names = [str(name) for name in tokenizer.get_feature_names_out()]
        named = hasattr(tokenizer, "feature_names_in_")
        for start in range(0, self.n_rows, batch_rows):
            rows = slice(start, start + batch_rows)
            texts = self._frame.iloc[rows]
            codes = np.asarray(tokenizer.transform(texts if named else texts.to_numpy()), dtype=np.int64)
            columns = [pa.array(np.ascontiguousarray(column)) for column in codes.T]
            ids = self._arrow_ids(self._ids.iloc[rows]).cast(self.id_type)
            yield pa.RecordBatch.from_arrays([ids, *columns], names=[id_column, *names])

    def _arrow_ids(self, ids):
        import pyarrow as pa

        try:
            return pa.array(ids)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"ids must be all text or all integers, in {str(self.path)!r}: {error}") from error


def _read(path, wanted):
    """Return the columns `wanted` of a file as a DataFrame."""
    kind = kind_of(path)
    if path.is_dir() or kind == ".parquet":
        return frame_of(path, read_parquet(path, wanted))[wanted]
    if kind in _SEPARATORS:
        return _read_csv(path, _SEPARATORS[kind], wanted)
    if kind in _JSON_LINES:
        return _read_json_lines(path, wanted)
    raise ValueError(
        f"texts must be in a .parquet, {', '.join(TEXT_ENDINGS)} file, or these with .gz, got {str(path)!r}."
    )


def _read_csv(path, separator, wanted):
    try:
        with open_bytes(path) as stream:
            frame = pd.read_csv(stream, sep=separator, dtype=str, keep_default_na=False, na_values=[""])
    except (ValueError, *GZIP_DAMAGE) as error:
        raise ValueError(f"{path} must be a table of one row per item: {error}") from error
    _check_there(path, wanted, list(frame.columns))
    frame = frame[wanted].copy()
    if not frame[wanted[0]].isna().any():
        frame[wanted[0]] = ids_from_text(frame[wanted[0]])
    return frame


def _read_json_lines(path, wanted):
    bad = BadLines("error")
    try:
        records = list(read_rows(path, parse_record, bad))
    except ValueError as error:
        text = str(error).replace(
            ", or pass on_bad_lines='warn' to leave such lines out and find them in bad_lines", ""
        )
        raise ValueError(f"{text} It must hold an object with keys in each line.") from error
    known = dict.fromkeys(name for record in records for name in record)
    if records:
        _check_there(path, wanted, list(known))
    return pd.DataFrame({name: pd.Series([record.get(name) for record in records], dtype=object) for name in wanted})


def _check_there(path, wanted, known):
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ValueError(
            f"{path} must have the column {missing[0]!r}, got {known}; name yours with --id-column and --text-columns."
        )
