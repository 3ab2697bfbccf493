#!/usr/bin/env bash
# deltalake writes a table with a column of tensors and cannot open it again, not even for the other columns.
#
# Expected: a column of fixed-shape tensors, as Arrow makes of a matrix of embeddings, is refused when it is written, or
#   read as it was.
# Instead: `write_deltalake` turns it into a list of unknown length and keeps the name of Arrow's extension beside it.
#   Every read raises, since the extension wants lists of fixed size; so does a dataset of which only the ids are asked.
#   The parquet files themselves are whole, `pyarrow.parquet` reads them. Writing the storage of the column mends it: it
#   is read as a list.
# Version: deltalake 1.6.6, pyarrow 26.0.1.
# Matters to: jobs that keep embeddings of items in a Delta table: the job succeeds, the next one fails.
# Seen on 2026-11-30:
#   to_pyarrow_table        ArrowInvalid: Expected FixedSizeList storage type, got list<element: float>
#   the ids alone           ArrowInvalid: Expected FixedSizeList storage type, got list<element: float>
#   a parquet file of it    3 rows
#   storage in its place    3 rows
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  deltalake==1.6.6 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

vectors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12, dtype=np.float32).reshape(3, 4))
write_deltalake("tensors", pa.table({"item_id": [1, 2, 3], "vector": vectors}))
write_deltalake("lists", pa.table({"item_id": [1, 2, 3], "vector": vectors.storage}))

reads = {
    "to_pyarrow_table": lambda: DeltaTable("tensors").to_pyarrow_table(),
    "the ids alone": lambda: DeltaTable("tensors").to_pyarrow_dataset().to_table(columns=["item_id"]),
    "a parquet file of it": lambda: pq.read_table(next(Path("tensors").glob("*.parquet"))),
    "storage in its place": lambda: DeltaTable("lists").to_pyarrow_table(),
}
found = {}
for title, read in reads.items():
    try:
        found[title] = f"{read().num_rows} rows"
    except pa.ArrowInvalid as error:
        found[title] = f"ArrowInvalid: {error}"
    print(f"{title:23} {found[title]}")

holds = [text.startswith("ArrowInvalid") for text in found.values()] == [True, True, False, False]
raise SystemExit(0 if holds else "deltalake reads or refuses tensors now")
PYTHON
