import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from semid.metrics import reconstruction_r2
from semid.plots import ReconstructionDisplay
from semid.tokenizers import ParallelKMeansTokenizer, ResidualKMeansTokenizer

TOKENIZER = ResidualKMeansTokenizer(codebook_size=8, max_iter=2, random_state=3)


def test_values_become_mean_and_standard_error_in_order_of_scale():
    errors = np.array([[0.3, 0.2, 0.4], [0.6, 0.6, 0.9]])
    display = ReconstructionDisplay.from_values({"a": ([7, 1], errors)})
    curve = display.curves["a"]
    np.testing.assert_array_equal(curve.x, [1, 7])
    np.testing.assert_allclose(curve.mean, [0.7, 0.3])
    np.testing.assert_allclose(curve.standard_error, errors[::-1].std(axis=1, ddof=1) / np.sqrt(3))
    np.testing.assert_array_equal(curve.n_runs, [3, 3])


def test_a_clone_is_fitted_for_each_number_of_codebooks_and_seed(items):
    X = items.embeddings
    display = ReconstructionDisplay.from_estimator(TOKENIZER, X, n_codebooks=(1, 3), random_states=[0, 1])
    expected = [
        np.mean([1 - clone(TOKENIZER).set_params(n_codebooks=n, random_state=seed).fit(X).score(X) for seed in (0, 1)])
        for n in (1, 3)
    ]
    np.testing.assert_allclose(display.curves["ResidualKMeansTokenizer"].mean, expected)
    assert not hasattr(TOKENIZER, "state_")


def test_other_items_and_the_squared_error(items):
    X, X_test = items.embeddings[:200], items.embeddings[200:]
    tokenizers = {"a": TOKENIZER, "b": ParallelKMeansTokenizer(codebook_size=8, max_iter=2, random_state=0)}
    display = ReconstructionDisplay.from_estimator(tokenizers, X, n_codebooks=[2], X_test=X_test, measure="mse")
    for name, tokenizer in tokenizers.items():
        fitted = clone(tokenizer).set_params(n_codebooks=2).fit(X)
        error = np.square(X_test - fitted.inverse_transform(fitted.transform(X_test))).mean()
        assert display.curves[name].mean[0] == pytest.approx(error, rel=1e-5)
    assert "mean squared" in display.plot().ax_.get_ylabel()


def test_the_first_codes_of_one_fit(items):
    X = items.embeddings
    tokenizer = clone(TOKENIZER).fit(X)
    display = ReconstructionDisplay.from_first_codes(tokenizer, X)
    codes = tokenizer.transform(X)
    expected = [1 - reconstruction_r2(X, tokenizer.inverse_transform(codes[:, :n])) for n in (1, 2, 3)]
    np.testing.assert_allclose(display.curves["ResidualKMeansTokenizer"].mean, expected)
    some = ReconstructionDisplay.from_first_codes({"two": tokenizer}, X, n_codebooks=[2])
    np.testing.assert_allclose(some.curves["two"].mean, expected[1])


def test_lines_and_error_bars_are_the_curves():
    display = ReconstructionDisplay.from_values(
        {"a": ([1, 2, 7], [[0.6, 0.7], [0.4, 0.5], [0.2, 0.2]]), "b": ([1, 2], [0.5, 0.4])}
    )
    ax = display.plot(alpha=0.5).ax_
    for name, line in display.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), display.curves[name].x)
        np.testing.assert_array_equal(line.get_ydata(), display.curves[name].mean)
        assert line.get_alpha() == 0.5
    (bars,) = ax.containers[0].lines[2]
    curve = display.curves["a"]
    heights = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(heights, 2 * curve.standard_error)
    assert ax.containers[1].lines[2] == ()  # one run has no error
    assert ax.get_ylabel() == "reconstruction error, 1 - R²\nmean ± standard error over 2 seeds"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "7"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_bad_input_is_refused(items):
    X = items.embeddings
    make = ReconstructionDisplay
    with pytest.raises(ValueError, match="measure must be one of '1 - r2', 'mse', got 'rmse'"):
        make.from_estimator(TOKENIZER, X, measure="rmse")
    with pytest.raises(ValueError, match="each of n_codebooks must be at least 1, got 0"):
        make.from_estimator(TOKENIZER, X, n_codebooks=[0])
    with pytest.raises(ValueError, match="n_codebooks must hold at least one number"):
        make.from_estimator(TOKENIZER, X, n_codebooks=[])
    with pytest.raises(ValueError, match="random_states must hold at least one seed"):
        make.from_estimator(TOKENIZER, X, random_states=[])
    with pytest.raises(NotFittedError):
        make.from_first_codes(TOKENIZER, X)
    with pytest.raises(ValueError, match="n_codebooks must be at most the 3 of a, got 4"):
        make.from_first_codes({"a": clone(TOKENIZER).fit(X)}, X, n_codebooks=[4])
    with pytest.raises(TypeError, match="values must be a dict of name to"):
        make.from_values([1, 2])
    with pytest.raises(ValueError, match=r"values\['a'\] must be a pair"):
        make.from_values({"a": ([1], [2], [3])})
    with pytest.raises(ValueError, match=r"values\['a'\] must have one row of runs per number of codes, got 1 rows"):
        make.from_values({"a": ([1, 2], [0.5])})
    with pytest.raises(ValueError, match=r"values\['a'\] must have finite scores, got \[nan\] at 2"):
        make.from_values({"a": ([1, 2], [0.5, np.nan])})
    with pytest.raises(ValueError, match="different, finite numbers of codes"):
        make.from_values({"a": ([1, 1], [0.5, 0.5])})
    with pytest.raises(TypeError, match="curves must be a dict of name to Curve"):
        make({"a": [1, 2]})
