import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from semid.plots import ScalingDisplay
from semid.tokenizers import ParallelKMeansTokenizer, ResidualKMeansTokenizer


@pytest.fixture
def runs(rng):
    rows = [
        {"method": method, "n_codebooks": n, "seed": seed, "auc": 0.7 + 0.01 * rng.normal()}
        for method in ("RQ-VAE", "MoC")
        for n in (7, 1, 3)
        for seed in range(4)
    ]
    rows += [{"method": "none", "n_codebooks": np.nan, "seed": seed, "auc": 0.6 + 0.01 * seed} for seed in range(3)]
    return pd.DataFrame(rows)


def test_means_and_standard_errors_are_those_of_pandas(runs):
    display = ScalingDisplay.from_runs(runs, baseline="none")
    expected = runs.groupby(["method", "n_codebooks"])["auc"].agg(["mean", "sem", "size"])
    assert list(display.curves) == ["RQ-VAE", "MoC"]
    for method, curve in display.curves.items():
        np.testing.assert_array_equal(curve.x, expected.loc[method].index)
        np.testing.assert_allclose(curve.mean, expected.loc[method]["mean"])
        np.testing.assert_allclose(curve.standard_error, expected.loc[method]["sem"])
        np.testing.assert_array_equal(curve.n_runs, 4)
    assert display.baseline.mean[0] == pytest.approx(0.61)
    assert display.baseline.standard_error[0] == pytest.approx(0.01 / np.sqrt(3))


def test_lines_baseline_and_labels(runs):
    display = ScalingDisplay.from_runs(runs, baseline="none").plot()
    ax = display.ax_
    for method, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_ydata(), display.curves[method].mean)
    np.testing.assert_allclose(display.baseline_.get_ydata(), 0.61)
    assert ax.get_xlabel() == "number of codebooks"
    assert ax.get_ylabel() == "AUC\nmean ± standard error over 3 to 4 seeds"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["none", "RQ-VAE", "MoC"]


def test_one_line_a_number_as_baseline_and_other_columns(runs):
    runs = runs[runs["method"] == "MoC"].rename(columns={"n_codebooks": "codebook_size", "auc": "log_loss"})
    display = ScalingDisplay.from_runs(runs, x="codebook_size", y="log_loss", by=None, baseline=0.5).plot()
    assert display.ax_.get_xlabel() == "codes per codebook"
    assert display.ax_.get_ylabel().startswith("log loss\n")
    assert display.baseline_.get_ydata()[0] == 0.5
    alone = ScalingDisplay.from_runs(runs, x="codebook_size", y="log_loss", by=None).plot()
    assert alone.baseline_ is None and alone.ax_.get_legend() is None


def test_scales_far_apart_are_drawn_logarithmically(runs):
    assert ScalingDisplay.from_runs(runs, baseline="none").plot().ax_.get_xscale() == "linear"
    runs["n_codebooks"] = runs["n_codebooks"].replace(7, 32)
    ax = ScalingDisplay.from_runs(runs, baseline="none").plot().ax_
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "3", "32"]


def test_bad_runs_are_refused(runs):
    with pytest.raises(TypeError, match="runs must be a DataFrame"):
        ScalingDisplay.from_runs({"a": 1})
    with pytest.raises(ValueError, match="y must be a column of runs, got 'ndcg'; runs has"):
        ScalingDisplay.from_runs(runs, y="ndcg")
    with pytest.raises(ValueError, match=r"baseline must be a number or one of .*'none'.*, got 'no codes'"):
        ScalingDisplay.from_runs(runs, baseline="no codes")
    with pytest.raises(ValueError, match="runs of 'none' must have different, finite numbers of codes"):
        ScalingDisplay.from_runs(runs)
    runs.loc[0, "auc"] = np.nan
    with pytest.raises(ValueError, match=r"runs of 'RQ-VAE' must have finite scores, got \[nan"):
        ScalingDisplay.from_runs(runs, baseline="none")


def test_folds_of_a_grid_search(items):
    X, y = items.embeddings, items.frame["category"] == items.frame["category"].iloc[0]
    model = Pipeline([("codes", ResidualKMeansTokenizer(max_iter=1, random_state=0)), ("lr", LogisticRegression())])
    grid = {"codes__n_codebooks": [1, 3], "codes__codebook_size": [4, 8], "lr__C": [0.1, 1.0]}
    search = GridSearchCV(model, grid, scoring=["roc_auc", "accuracy"], refit=False, cv=3).fit(X, y)
    display = ScalingDisplay.from_cv_results(search.cv_results_, by="codebook_size", score="roc_auc", baseline=0.5)
    table = pd.DataFrame(search.cv_results_)
    for size, curve in display.curves.items():
        rows = table[table["param_codes__codebook_size"] == int(size)]
        best = rows.loc[rows.groupby("param_codes__n_codebooks")["mean_test_roc_auc"].idxmax()]
        np.testing.assert_array_equal(curve.x, [1, 3])
        np.testing.assert_allclose(curve.mean, best["mean_test_roc_auc"])
        np.testing.assert_allclose(curve.standard_error, best["std_test_roc_auc"] / np.sqrt(3 - 1))
    assert display.plot().ax_.get_ylabel() == "AUC\nmean ± standard error over 3 folds"


def test_estimators_in_a_grid_are_named_by_class():
    results = {
        "param_tokenizer__n_codebooks": [1, 1],
        "param_tokenizer": [ResidualKMeansTokenizer(), ParallelKMeansTokenizer()],
        "split0_test_score": [0.1, 0.2],
        "mean_test_score": [0.1, 0.2],
    }
    display = ScalingDisplay.from_cv_results(results, by="tokenizer")
    assert set(display.curves) == {"ResidualKMeansTokenizer", "ParallelKMeansTokenizer"}
    assert display.plot().ax_.get_ylabel() == "score"


def test_candidates_of_another_grid_have_no_scale_and_are_left_out():
    scales = np.ma.masked_array([1, 0, 3], mask=[False, True, False], dtype=object)
    results = {"param_n_codebooks": scales, "split0_test_score": [0.1, 0.9, 0.3], "mean_test_score": [0.1, 0.9, 0.3]}
    curve = ScalingDisplay.from_cv_results(results).curves["codes"]
    np.testing.assert_array_equal(curve.x, [1, 3])
    np.testing.assert_array_equal(curve.mean, [0.1, 0.3])
    results["param_scaler"] = np.ma.masked_array(["none", "none", 0], mask=[False, False, True], dtype=object)
    assert list(ScalingDisplay.from_cv_results(results, by="scaler").curves) == ["none"]


def test_bad_results_are_refused():
    results = {
        "param_a__n_codebooks": [1, 3],
        "param_b__n_codebooks": [1, 3],
        "split0_test_auc": [0.5, np.nan],
        "mean_test_auc": [0.5, np.nan],
    }
    with pytest.raises(ValueError, match=r"score must be one of the scores of the search, \['auc'\], got 'score'"):
        ScalingDisplay.from_cv_results(results)
    with pytest.raises(ValueError, match=r"x must be one of the parameters of the search.*, got 'n_codebooks'"):
        ScalingDisplay.from_cv_results(results, score="auc")
    named = {**results, "param_codebook_size": [16, "graded"], "split0_test_auc": [0.5, 0.6]}
    with pytest.raises(ValueError, match=r"scores of 'codes' must have numbers as scales, got \[16, 'graded'\]"):
        ScalingDisplay.from_cv_results(named, x="codebook_size", score="auc")
    with pytest.raises(ValueError, match="got 1 candidates with fits that failed"):
        ScalingDisplay.from_cv_results(results, x="a__n_codebooks", score="auc")
