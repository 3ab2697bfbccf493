#!/usr/bin/env bash
# pandas: a frame of Arrow's list type is written to parquet, and cannot be read again.
#
# Expected: pd.read_parquet reads what DataFrame.to_parquet has written.
# Instead: the name of the dtype, "list<item: int64>[pyarrow]", goes into the file's metadata, and a plain read_parquet stops
#   at it. Numbers and text of Arrow's types come back. dtype_backend="pyarrow" reads the file, which whoever gets it cannot
#   know; so does pyarrow.
# Version: pandas 3.1.1, pyarrow 26.0.1, numpy 2.4.6.
# Matters to: codes and embeddings, which are a list for each item, in frames that came from Arrow.
# Seen on 2026-11-29:
#   as it comes: TypeError: data type 'list<item: int64>[pyarrow]' not understood
#   Arrow's types: [[1, 2], [3, 4]]
#   pyarrow: [[1, 2], [3, 4]]
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import tempfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

codes = pd.Series([[1, 2], [3, 4]], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
outcomes = {}
with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
    pd.DataFrame({"codes": codes}).to_parquet(file.name)
    for name, options in {"as it comes": {}, "Arrow's types": {"dtype_backend": "pyarrow"}}.items():
        try:
            outcomes[name] = pd.read_parquet(file.name, **options)["codes"].tolist()
        except Exception as error:
            outcomes[name] = f"{type(error).__name__}: {error}"
    outcomes["pyarrow"] = pq.read_table(file.name)["codes"].to_pylist()
for name, outcome in outcomes.items():
    print(f"{name}: {outcome}")

holds = isinstance(outcomes["as it comes"], str) and outcomes["Arrow's types"] == outcomes["pyarrow"] == [[1, 2], [3, 4]]
raise SystemExit(0 if holds else "pandas reads its own lists now, or not at all")
PYTHON
