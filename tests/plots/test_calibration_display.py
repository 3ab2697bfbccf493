import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from semid.plots import CalibrationByCodeDisplay


@pytest.fixture
def impressions(rng):
    codes = rng.integers(-1, 6, size=2000)
    y_prob = rng.uniform(size=2000)
    y_true = (rng.uniform(size=2000) < y_prob * (0.5 + 0.1 * codes)).astype(int)
    return y_true, y_prob, codes


def test_rates_are_those_of_pandas(impressions):
    y_true, y_prob, codes = impressions
    display = CalibrationByCodeDisplay.from_predictions(y_true, y_prob, codes)
    groups = pd.DataFrame({"y": y_true, "p": y_prob, "code": codes}).groupby("code")
    np.testing.assert_array_equal(display.codes, range(-1, 6))
    np.testing.assert_allclose(display.observed, groups["y"].mean())
    np.testing.assert_allclose(display.predicted, groups["p"].mean())
    np.testing.assert_array_equal(display.n_impressions, groups.size())
    gaps = (groups["y"].mean() - groups["p"].mean()).abs()
    assert display.calibration_error == pytest.approx((gaps * groups.size()).sum() / 2000)


def test_intervals_are_those_of_scipy():
    y_true, codes = np.array([0, 0, 0, 1, 1, 1, 0, 1]), np.array([0, 0, 0, 1, 1, 2, 2, 2])
    display = CalibrationByCodeDisplay.from_predictions(y_true, np.full(8, 0.5), codes)
    for code, interval in zip(display.codes, display.interval, strict=True):
        clicks = y_true[codes == code]
        expected = binomtest(int(clicks.sum()), len(clicks)).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(interval, [expected.low, expected.high], atol=1e-12)


def test_bubbles_and_error_bars_are_the_data(impressions):
    display = CalibrationByCodeDisplay.from_predictions(*impressions, name="item_id_code0").plot(alpha=0.3)
    ax = display.ax_
    np.testing.assert_array_equal(display.points_.get_offsets(), np.column_stack([display.predicted, display.observed]))
    areas = display.points_.get_sizes()
    np.testing.assert_allclose(areas / areas.max(), display.n_impressions / display.n_impressions.max())
    (bars,) = ax.containers[0].lines[2]
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], display.interval)
    assert display.points_.get_alpha() == 0.3
    assert ax.get_title() == f"item_id_code0: mean distance to the diagonal {display.calibration_error:.3f}"


def test_the_codes_that_are_furthest_off_are_named():
    codes = np.repeat([0, 1, 2, -1], 1000)
    y_true = np.arange(4000) % 2
    y_prob = np.select([codes == 0, codes == 1, codes == 2], [0.5, 0.3, 0.8], 0.1)
    display = CalibrationByCodeDisplay.from_predictions(y_true, y_prob, codes)
    assert {text.get_text() for text in display.plot().ax_.texts} == {"code 1", "code 2", "unknown items"}
    assert [text.get_text() for text in display.plot(n_labels=1).ax_.texts] == ["unknown items"]


def test_a_pipeline_is_asked_for_the_codes_that_it_makes(encoder, classifier, clicks):
    columns = ["user_id", "item_id"]
    features = ColumnTransformer(
        [("codes", encoder, ["item_id"]), ("fields", "passthrough", columns)], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    X, y = clicks[columns], np.where(clicks["click"] == 1, "yes", "no")
    model = Pipeline([("features", features), ("ctr", clone(classifier))]).fit(X[:2000], y[:2000])
    display = CalibrationByCodeDisplay.from_estimator(model, X[2000:], y[2000:], "item_id_code1")
    transformed = model[:-1].transform(X[2000:])
    expected = CalibrationByCodeDisplay.from_predictions(
        y[2000:] == "yes", model.predict_proba(X[2000:])[:, 1], transformed["item_id_code1"]
    )
    np.testing.assert_allclose(display.predicted, expected.predicted)
    np.testing.assert_array_equal(display.observed, expected.observed)
    assert display.name == "item_id_code1"

    alone = CalibrationByCodeDisplay.from_estimator(model[-1], transformed, y[2000:], "item_id_code1")
    np.testing.assert_allclose(alone.predicted, expected.predicted)
    with pytest.raises(ValueError, match="code_column must name columns of X, or give their positions, got 'code9'"):
        CalibrationByCodeDisplay.from_estimator(model, X[2000:], y[2000:], "code9")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [[0.5, 0.5], [0.5, 0.5]], [1, 1]), r"y_prob must have shape \(n_impressions,\).*\[:, 1\]"),
        (([0, 1], [0.5, 1.5], [1, 1]), r"y_prob must lie in \[0, 1\], got 1.5"),
        (([0, 1], [0.5, np.nan], [1, 1]), r"y_prob must lie in \[0, 1\], got nan"),
        (([1, 2], [0.5, 0.5], [1, 1]), "y_true must hold 0 and 1 alone, got .*2.*pass y_true == click"),
        (([0, 1, 1], [0.5, 0.5], [1, 1]), r"y_true must have one entry per impression, \(2,\), got shape \(3,\)"),
        (([0, 1], [0.5, 0.5], [[1], [1]]), r"codes must have one entry per impression"),
        (([0, 1], [0.5, 0.5], [0.5, 1.0]), "codes must be integers, -1 for unknown items, got an array of float64"),
        (([], [], []), "not be empty"),
    ],
)
def test_bad_predictions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CalibrationByCodeDisplay.from_predictions(*arguments)
