"""Engines that encode a catalogue on two local workers, and a search on two: what one process gives, to the bit.

The engines run the lines of docs/scale.md as they stand there. Without the packages of ``semid[distributed]``, or
without Java for Spark, the tests of an engine are skipped.
"""

import os
import secrets
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import dataset, parquet
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import semid.io
from semid.ctr import DeepFMClassifier
from semid.features import ItemTable, SemanticIDEncoder
from semid.io import encode_batches
from semid.tokenizers import ResidualKMeansTokenizer, RQVAETokenizer

pytestmark = pytest.mark.distributed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
THREADS = "OMP_NUM_THREADS"  # engines are to set it for their workers, so it is taken out of the environment here
TOKENIZERS = {
    "k-means": ResidualKMeansTokenizer(n_codebooks=3, codebook_size=8, random_state=0),
    "learned": RQVAETokenizer(
        n_codebooks=3, codebook_size=8, hidden_layer_sizes=(16,), latent_dim=6, max_iter=3, random_state=0
    ),
}
OLD_PANDAS = "ignore:PySpark does not yet fully support pandas:FutureWarning"  # it says so on every call; nothing to do
RAYS_OWN_DEFAULTS = "ignore:`use_[a-z_0-9]+` is deprecated:DeprecationWarning"  # its settings warn of themselves


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request, items):
    return clone(TOKENIZERS[request.param]).fit(items.embeddings)


@pytest.fixture(scope="module")
def catalogue(items, tmp_path_factory):
    """A folder of three parquet files, 300 items in row groups of 40."""
    folder = tmp_path_factory.mktemp("catalogue")
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(items.embeddings.ravel()), items.embeddings.shape[1])
    table = pa.table({"item_id": items.frame["item_id"].tolist(), "embedding": embedding})
    for start in range(0, 300, 100):
        parquet.write_table(table.slice(start, 100), folder / f"part{start}.parquet", row_group_size=40)
    return folder


@pytest.fixture
def codes(tmp_path):
    return tmp_path / "codes"


@pytest.fixture(scope="module")
def environment():
    """The environment that clusters start in: no number of threads, this python, a token for Ray rather than a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(THREADS, raising=False)
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="module")
def spark(environment, tmp_path_factory):
    sql = pytest.importorskip("pyspark.sql", reason="Spark needs pip install semid[distributed]")
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        pytest.skip("Spark needs Java, 17 or later")
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.local.dir", str(tmp_path_factory.mktemp("spark")))
    session = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "32").getOrCreate()
    gateway = session.sparkContext._gateway
    yield session
    session.stop()
    # A stopped session leaves its Java process behind.
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(timeout=60)


@pytest.fixture(scope="module")
def cluster_client(environment, tmp_path_factory):
    distributed = pytest.importorskip("distributed", reason="Dask needs pip install semid[distributed]")
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"temporary-directory": str(tmp_path_factory.mktemp("dask"))}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(cluster_client):
    """Dask with both of its workers: on a busy machine one may be lost, and is started anew."""
    cluster_client.wait_for_workers(2, timeout=120)
    return cluster_client


@pytest.fixture(scope="module")
def ray(environment):
    ray = pytest.importorskip("ray", reason="Ray needs pip install semid[distributed]")
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # pytest's are too deep for the names of its sockets
        ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False, _temp_dir=folder)
        yield ray
        ray.shutdown()


def run_lines_of(heading, **names):
    """Run the first code under a heading of the page with `names` given; return its names."""
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    _, _, code = section.partition("```python\n")
    names["__name__"] = "__main__"  # as in a script: its functions travel to workers as they are
    exec(compile(code.partition("```")[0], f"{PAGE.name}, {heading}", "exec"), names)
    return names


def assert_codes_are_those_of_transform(folder, tokenizer, items):
    table = dataset.dataset(folder, format="parquet").to_table().sort_by("item_id")
    assert table.column_names == ["item_id", "code0", "code1", "code2"]
    order = np.argsort(items.frame["item_id"])
    assert table["item_id"].to_pylist() == items.frame["item_id"].iloc[order].tolist()
    found = np.column_stack([table[f"code{n}"].to_numpy() for n in range(3)])
    np.testing.assert_array_equal(found, tokenizer.transform(items.embeddings)[order])


def test_pyarrow_alone_encodes_file_by_file(tokenizer, items, catalogue, codes):
    codes.mkdir()
    run_lines_of("### pyarrow", tokenizer=tokenizer, catalogue=catalogue, codes=codes)
    assert sorted(path.name for path in codes.iterdir()) == ["part0.parquet", "part100.parquet", "part200.parquet"]
    assert_codes_are_those_of_transform(codes, tokenizer, items)


@pytest.mark.filterwarnings(OLD_PANDAS)
def test_spark_maps_partitions(spark, tokenizer, items, catalogue, codes):
    run_lines_of("### Spark", spark=spark, tokenizer=tokenizer, catalogue=catalogue, codes=codes)
    assert_codes_are_those_of_transform(codes, tokenizer, items)


def test_dask_maps_files(client, tokenizer, items, catalogue, codes):
    codes.mkdir()
    no_files = codes
    encode_file = run_lines_of("### pyarrow", tokenizer=tokenizer, catalogue=no_files, codes=codes)["encode_file"]
    names = {"client": client, "encode_file": encode_file, "tokenizer": tokenizer}
    run_lines_of("### Dask", catalogue=catalogue, codes=codes, **names)
    assert_codes_are_those_of_transform(codes, tokenizer, items)


@pytest.mark.filterwarnings(RAYS_OWN_DEFAULTS)
def test_ray_maps_blocks(ray, tokenizer, items, catalogue, codes):
    run_lines_of("### Ray", ray=ray, tokenizer=tokenizer, catalogue=catalogue, codes=codes)
    assert_codes_are_those_of_transform(codes, tokenizer, items)


@pytest.mark.filterwarnings(RAYS_OWN_DEFAULTS)
def test_ray_encodes_the_tensors_that_it_makes_of_numpy_arrays(ray, tokenizer, items, codes):
    def encode(table):
        return pa.Table.from_batches(encode_batches(tokenizer, table.to_batches()))

    pairs = zip(items.frame["item_id"], items.embeddings, strict=True)
    rows = [{"item_id": item_id, "embedding": embedding} for item_id, embedding in pairs]
    made = ray.data.from_items(rows, override_num_blocks=3)
    made.map_batches(encode, batch_format="pyarrow").write_parquet(str(codes))
    assert_codes_are_those_of_transform(codes, tokenizer, items)


@pytest.mark.filterwarnings(OLD_PANDAS)
@pytest.mark.parametrize("way", ["a saved folder", "a broadcast variable"])
def test_sparks_workers_get_the_tokenizer_by(way, spark, tokenizer, items, catalogue, codes, tmp_path):
    semid.io.save(tokenizer, tmp_path / "model")
    folder, shared = tmp_path / "model", spark.sparkContext.broadcast(tokenizer)
    ways = {
        "a saved folder": lambda batches: encode_batches(semid.io.load(folder), batches),
        "a broadcast variable": lambda batches: encode_batches(shared.value, batches),
    }
    schema = "item_id string, code0 bigint, code1 bigint, code2 bigint"
    spark.read.parquet(str(catalogue)).mapInArrow(ways[way], schema).write.parquet(str(codes))
    shared.destroy()
    assert_codes_are_those_of_transform(codes, tokenizer, items)


@pytest.mark.filterwarnings(OLD_PANDAS)
def test_sparks_error_names_the_row_of_the_partition(spark, items, tmp_path):
    embeddings = items.embeddings[:10].copy()
    embeddings[7, 3] = np.nan
    parquet.write_table(pa.table({"item_id": np.arange(10), "embedding": list(embeddings)}), tmp_path / "wrong.parquet")
    encode = partial(encode_batches, clone(TOKENIZERS["k-means"]).fit(items.embeddings))
    codes = spark.read.parquet(str(tmp_path / "wrong.parquet")).mapInArrow(encode, "item_id bigint, code0 bigint")
    with pytest.raises(
        Exception, match="embeddings must be finite, without missing numbers, got one in row 7 of batch 0"
    ):
        codes.collect()


@pytest.mark.filterwarnings(OLD_PANDAS)
def test_sparks_workers_compute_in_one_thread_each(spark):
    def threads(batches):
        yield from (pa.RecordBatch.from_pydict({"n": [torch.get_num_threads()]}) for _ in batches)

    rows = spark.range(2, numPartitions=2).mapInArrow(threads, "n bigint").collect()
    assert [row.n for row in rows] == [1, 1]


def test_dasks_workers_compute_in_one_thread_each(client):
    assert list(client.run(lambda: torch.get_num_threads()).values()) == [1, 1]


def test_rays_workers_compute_in_one_thread_each(ray):
    threads = ray.remote(lambda: torch.get_num_threads())
    assert ray.get([threads.remote(), threads.remote()]) == [1, 1]


@pytest.fixture
def search_parts(items, clicks, tmp_path):
    """A model whose embeddings and fitted tokenizers are in a folder that all workers see, its grid, and clicks."""
    np.save(tmp_path / "embeddings.npy", items.embeddings)
    table = ItemTable(items.frame["item_id"], str(tmp_path / "embeddings.npy"))
    encoder = SemanticIDEncoder(TOKENIZERS["learned"], items=table, memory=str(tmp_path / "memory"))
    fields = [("codes", encoder, ["item_id"]), ("fields", "passthrough", ["user_id", "hour"])]
    features = ColumnTransformer(fields, verbose_feature_names_out=False).set_output(transform="pandas")
    click_model = DeepFMClassifier(embedding_dim=4, hidden_layer_sizes=(8,), max_iter=2, random_state=0)
    model = Pipeline([("features", features), ("ctr", click_model)])
    return {"model": model, "grid": {"features__codes__tokenizer__n_codebooks": [1, 2, 3]}, "clicks": clicks}


def test_a_search_on_dask_scores_as_in_one_process(client, search_parts):
    model, grid, clicks = search_parts["model"], search_parts["grid"], search_parts["clicks"]
    alone = GridSearchCV(clone(model).set_params(features__codes__memory=None), grid, scoring="roc_auc", cv=2)
    alone.fit(clicks, clicks["click"])
    before = n_transitions(client)
    search = run_lines_of("## Searching on a cluster", **search_parts)["search"]
    assert n_transitions(client) > before  # it was the cluster that searched
    for split in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(search.cv_results_[split], alone.cv_results_[split])
    assert search.best_params_ == alone.best_params_


def n_transitions(client):
    """Return how many changes of state of a task the scheduler has seen."""
    return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)


def test_a_second_search_on_dask_fits_no_tokenizer(client, search_parts, tmp_path):
    def kept():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "memory").rglob("output.pkl")}

    run_lines_of("## Searching on a cluster", **search_parts)
    first = kept()
    run_lines_of("## Searching on a cluster", **search_parts)
    assert len(first) == 3
    assert kept() == first
