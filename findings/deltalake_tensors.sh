#!/usr/bin/env bash
# deltalake writes a table with a column of tensors and cannot read it again, not even its other columns.
#
# Expected: a column of fixed-shape tensors, as Arrow makes of a matrix of embeddings, is refused when it is written, or
#   read as it was.
# Instead: `write_deltalake` takes it, its schema has a list of unknown length with the name of Arrow's extension beside it,
#   and reads raise, since the extension wants lists of fixed size: into a table, into pandas, and from a dataset of which
#   only the ids are asked. The parquet file itself has the vectors, `pyarrow.parquet` reads them. Writing the storage of the
#   column in its place mends it: it comes back as a list.
# Version: deltalake 1.6.6, pyarrow 26.0.1.
# Matters to: jobs that keep embeddings of items in a Delta table: the job succeeds, the next one fails.
# Seen on 2026-11-30:
#   to_pyarrow_table        ArrowInvalid: Expected FixedSizeList storage type, got list<element: float>
#   to_pandas               ArrowInvalid: Expected FixedSizeList storage type, got list<element: float>
#   the ids alone           ArrowInvalid: Expected FixedSizeList storage type, got list<element: float>
#   a parquet file of it    the vectors
#   storage in its place    the vectors, list<element: float>
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check \
  deltalake==1.6.6 pyarrow==26.0.1 numpy==2.4.6 pandas==3.1.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

X = np.arange(12, dtype=np.float32).reshape(3, 4)
vectors = pa.FixedShapeTensorArray.from_numpy_ndarray(X)
write_deltalake("tensors", pa.table({"item_id": [1, 2, 3], "vector": vectors}))
write_deltalake("lists", pa.table({"item_id": [1, 2, 3], "vector": vectors.storage}))

reads = {
    "to_pyarrow_table": lambda: DeltaTable("tensors").to_pyarrow_table(),
    "to_pandas": lambda: DeltaTable("tensors").to_pandas(),
    "the ids alone": lambda: DeltaTable("tensors").to_pyarrow_dataset().to_table(columns=["item_id"]),
}
errors = {}
for title, read in reads.items():
    try:
        read()
    except pa.ArrowInvalid as error:
        errors[title] = error
        print(f"{title:23} ArrowInvalid: {error}")

in_file = pq.read_table(next(Path("tensors").glob("*.parquet")))["vector"].combine_chunks().to_numpy_ndarray()
column = DeltaTable("lists").to_pyarrow_table()["vector"]
are_whole = np.array_equal(in_file, X), column.to_pylist() == X.tolist()
print(f"{'a parquet file of it':23} {'the vectors' if are_whole[0] else 'other numbers'}")
print(f"{'storage in its place':23} {'the vectors' if are_whole[1] else 'other numbers'}, {column.type}")

holds = list(errors) == list(reads) and all(are_whole)
raise SystemExit(0 if holds else "deltalake reads or refuses tensors now")
PYTHON
