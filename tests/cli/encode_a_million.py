"""A million embeddings as parquet; their codes by the command, and by `transform` in memory. See test_main.py."""

import resource
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from semid import io
from semid.cli import main
from semid.tokenizers import RQVAETokenizer

N_ITEMS, N_FEATURES, STEP = 1_000_000, 1024, 10_000


def make(folder):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(500, N_FEATURES)).astype(np.float32)

    def rows(n):
        return centres[rng.integers(500, size=n)] + 0.5 * rng.normal(size=(n, N_FEATURES)).astype(np.float32)

    io.save(RQVAETokenizer(max_iter=1, random_state=0).fit(rows(5000)), f"{folder}/model")
    schema = pa.schema([("item_id", pa.int64()), ("embedding", pa.list_(pa.float32(), N_FEATURES))])
    with pq.ParquetWriter(f"{folder}/X.parquet", schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, N_ITEMS, STEP):
            values = pa.FixedSizeListArray.from_arrays(pa.array(rows(STEP).reshape(-1)), N_FEATURES)
            ids = pa.array(np.arange(start, start + STEP))
            writer.write_batch(pa.RecordBatch.from_arrays([ids, values], schema=schema))


def stream(folder):
    start = time.perf_counter()
    code = main(["tokenize", f"{folder}/X.parquet", f"{folder}/codes.parquet", "--model", f"{folder}/model", "--quiet"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    sys.stdout.write(f"{time.perf_counter() - start} {memory} {code}")


def memory(folder):
    tokenizer = io.load(f"{folder}/model")
    column = pq.read_table(f"{folder}/X.parquet", columns=["embedding"])["embedding"]
    X = np.empty((N_ITEMS, N_FEATURES), dtype=np.float32)
    start = 0
    for chunk in column.chunks:
        X[start : start + len(chunk)] = chunk.flatten().to_numpy().reshape(-1, N_FEATURES)
        start += len(chunk)
    start = time.perf_counter()
    codes = tokenizer.transform(X)
    seconds = time.perf_counter() - start
    streamed = pq.read_table(f"{folder}/codes.parquet").drop(["item_id"]).to_pandas().to_numpy()
    sys.stdout.write(f"{seconds} {(streamed == codes).all()}")


if __name__ == "__main__":
    {"make": make, "stream": stream, "memory": memory}[sys.argv[2]](sys.argv[1])
