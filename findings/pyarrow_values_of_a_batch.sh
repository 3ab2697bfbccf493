#!/usr/bin/env bash
# pyarrow: .values of one batch is the whole column, for every batch.
#
# Expected: `batch["embedding"].values` holds the numbers of the batch, so that .reshape(-1, d) gives its rows.
# Instead: batches of a table or a dataset are slices of one array, and .values does not look at the slice: every batch
#   gives all rows, without an error as reshape(-1, d) fits. Batches of ParquetFile.iter_batches are right, so that code
#   tried on one is wrong on the other. .flatten() looks at the slice, but leaves null rows out, and the rows after them
#   move up.
# Version: pyarrow 26.0.1, numpy 2.4.6.
# Matters to: embeddings as list columns, encoded batch by batch: codes of the first items for all batches.
# Seen on 2026-11-29:
#   rows in .values of three batches of two rows: {'Table.to_batches': [6, 6, 6], 'dataset.to_batches': [6, 6, 6], 'ParquetFile.iter_batches': [2, 2, 2]}
#   last batch: [[8, 9], [10, 11]]; first row of its .values: [0. 1.]
#   flatten() of three rows, one of them null: [[1.0, 2.0], [5.0, 6.0]]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pyarrow==26.0.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

X = np.arange(12, dtype=np.float32).reshape(6, 2)
table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 2)})
with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
    pq.write_table(table, file.name)
    batches = {
        "Table.to_batches": table.to_batches(max_chunksize=2),
        "dataset.to_batches": list(ds.dataset(file.name).to_batches(batch_size=2)),
        "ParquetFile.iter_batches": list(pq.ParquetFile(file.name).iter_batches(2)),
    }
rows = {name: [len(b["embedding"].values.to_numpy().reshape(-1, 2)) for b in of] for name, of in batches.items()}
print("rows in .values of three batches of two rows:", rows)
last = table.to_batches(max_chunksize=2)[-1]["embedding"]
print("last batch: [[8, 9], [10, 11]]; first row of its .values:", last.values.to_numpy()[:2])
null = pa.array([[1.0, 2.0], None, [5.0, 6.0]], pa.list_(pa.float32(), 2))
print("flatten() of three rows, one of them null:", null.flatten().to_numpy().reshape(-1, 2).tolist())

holds = rows["Table.to_batches"] == rows["dataset.to_batches"] == [6, 6, 6] and rows["ParquetFile.iter_batches"] == [2] * 3
raise SystemExit(0 if holds else ".values looks at the slice now")
PYTHON
