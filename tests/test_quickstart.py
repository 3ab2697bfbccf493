"""The example that `make demo` runs, in small, and on files as a user has them."""

import runpy
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from semid.tokenizers import ParallelKMeansTokenizer, presets

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "plot_quickstart.py"


@pytest.fixture
def example():
    matplotlib.use("Agg")
    return runpy.run_path(str(EXAMPLE), run_name="quickstart")


def _few_arms(example):
    tokenizer = ParallelKMeansTokenizer(3, codebook_size=[4, 8, 16], random_state=0)
    learned = presets.ranking(n_codebooks=2, codebook_size=8, hidden_layer_sizes=(), max_iter=1, random_state=0)
    return [
        example["Arm"]("no codes", None, "concat"),
        example["Arm"]("three codes", tokenizer, "gate"),
        example["Arm"]("two codes, aligned", learned, "gate", is_aligned=True),
    ]


def test_the_made_task_gives_a_table_and_a_picture(example, capsys):
    task = example["made_task"]()
    task = task._replace(train=task.train[:6000], test=task.test[:2000])
    results = example["compare"](task, _few_arms(example))
    assert list(results.columns) == ["model", "auc", "log_loss", "seconds"]
    assert results["auc"].between(0.5, task.best_auc + 0.01).all()
    printed = capsys.readouterr().out
    assert "the true click probabilities" in printed
    assert f"{example['rates_auc'](task):.4f}" in printed
    assert example["draw"](results, task).axes


@pytest.mark.filterwarnings("ignore:the model ranks:sklearn.exceptions.ConvergenceWarning")  # few users
@pytest.mark.parametrize("has_clicks", [True, False])
def test_a_users_files_run_to_the_end(example, items, clicks, tmp_path, monkeypatch, has_clicks):
    log = clicks.assign(position=np.arange(len(clicks)))
    log = log if has_clicks else log[log["click"] == 1].drop(columns="click")
    items.frame.to_parquet(tmp_path / "items.parquet")
    np.save(tmp_path / "embeddings.npy", items.embeddings)
    log.to_parquet(tmp_path / "log.parquet")
    arguments = [
        "--items",
        "items.parquet",
        "--embeddings",
        "embeddings.npy",
        "--interactions",
        "log.parquet",
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["quickstart", *arguments, "--fields", "hour"])
    example["main"].__globals__["arms"] = lambda: _few_arms(example)
    example["main"]()
    assert (tmp_path / "outputs" / "quickstart.png").stat().st_size > 10_000


def test_files_without_a_click_column_follow_the_leave_last_out_protocol(example, tmp_path):
    log = pd.DataFrame({"user_id": np.repeat([1, 2], 4), "item_id": list("abcdbcda"), "position": [0, 1, 2, 3] * 2})
    pd.DataFrame({"item_id": list("abcdefgh")}).to_parquet(tmp_path / "items.parquet")
    np.save(tmp_path / "X.npy", np.eye(8))
    log.to_parquet(tmp_path / "log.parquet")

    class Arguments:
        items, embeddings, interactions = (
            tmp_path / "items.parquet",
            tmp_path / "X.npy",
            tmp_path / "log.parquet",
        )
        user, item, order, click, fields = "user_id", "item_id", "position", "click", []

    task = example["task_from_files"](Arguments)
    assert task.train["click"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert task.test.loc[task.test["click"] == 1, "item_id"].tolist() == ["d", "a"]
    assert task.test.loc[task.test["click"] == 0, "item_id"].isin(list("efgh")).all()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--user", "uid"], r"--interactions must have the column 'uid', .* has \['user_id'"),
        (["--order", "tss"], "--interactions must have the column 'tss'"),
        (["--item", "sku"], "--items must have the column 'sku'"),
        (["--items", "nowhere.parquet"], "--items must be a parquet file, nowhere.parquet cannot be read"),
    ],
)
def test_wrong_options_end_with_what_was_found(example, items, clicks, tmp_path, monkeypatch, option, message):
    monkeypatch.chdir(tmp_path)
    items.frame.to_parquet("items.parquet")
    np.save("X.npy", items.embeddings)
    clicks.assign(position=0).to_parquet("log.parquet")
    files = ["--items", "items.parquet", "--embeddings", "X.npy", "--interactions", "log.parquet"]
    monkeypatch.setattr(sys, "argv", ["quickstart", *files, *option])
    with pytest.raises(SystemExit, match=message):
        example["main"]()
